// What the figures depend on, for the report's head. Reads /proc and /sys; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace marble::lsm::bench {

/// Name and value of each fact, in the order of the report.
std::vector<std::pair<std::string, std::string>> DescribeMachine();

/// This process's path in the hierarchy of `controller` (cgroups version 1), or in the one of
/// version 2 for an empty name; nothing when it is in none.
std::string OwnCgroup(const std::string& controller);

/// One line of a small file; empty when it cannot be read.
std::string FirstLine(const std::string& path);

}  // namespace marble::lsm::bench
