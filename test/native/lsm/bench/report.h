// The results as text for people and as JSON for programs. Pure functions of the results.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "results.h"

namespace marble::lsm::bench {

using Facts = std::vector<std::pair<std::string, std::string>>;

/// Machine, settings of all sides.
std::string ReportHead(const Results& results, const Facts& machine);
/// Every line of one number of keys with its bars, then latencies, CPU time, space and writes.
std::string ReportKeys(const Results& results, uint64_t keys);
/// What was reached, what was missed, what is void.
std::string ReportEnd(const Results& results);

std::string ReportJson(const Results& results, const Facts& machine);

}  // namespace marble::lsm::bench
