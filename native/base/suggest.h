// "Did you mean": the known name that is nearest to one that is not known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace marble {

/// " (did you mean 'x'?)" for the one name that differs from `name` by case only or by at most a
/// third of its letters (inserted, left out, changed or swapped with the next); empty without one.
std::string DidYouMean(std::string_view name, const std::vector<std::string>& known);

}  // namespace marble
