// What every text that matches a LIKE begins with: for pruning.
#pragma once

#include <optional>
#include <string>

#include "expr/expression.h"

namespace marble::expr {

/// The literal text before a pattern's first wildcard, escapes taken away; empty when it begins
/// with one, nullopt when the expression is no `like` of a constant pattern.
std::optional<std::string> LikePrefix(const Expression& like);

}  // namespace marble::expr
