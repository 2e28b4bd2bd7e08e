// The command line of scripts/bench store.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "experiment.h"

namespace marble::lsm::bench {

struct Options {
  std::vector<uint64_t> keys = {100'000, 1'000'000, 10'000'000};
  std::vector<std::string> sides = {"marble", "rocksdb-cache", "rocksdb-mapped"};
  ExperimentOptions experiment;
  std::string directory;
  std::string json;
  std::string revision;
  uint64_t memory_limit = 0;  // 0: none
  bool help = false;
};

/// kInvalidArgument names the argument, and what it may be.
Result<Options> ParseOptions(const std::vector<std::string>& arguments);
std::string HelpText();

}  // namespace marble::lsm::bench
