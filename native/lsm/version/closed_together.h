// A database that was closed says so twice: its manifest, with the position that the log had, and
// its log. What is left of one of them after damage or a cut is found by the other. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "lsm/wal/log_reader.h"

namespace marble::lsm {

/// What the manifest says of its end (ManifestLog::Loaded).
struct ManifestEnd {
  uint64_t number = 0;
  uint64_t bytes = 0;
  bool has_marks = false;
  std::optional<LogPosition> closed_at;
};

/// kCorruption when one of the two is cut off. `fixed_ends` and `first_segment`: of the manifest,
/// as the log was read with them.
Status CheckClosedTogether(const std::string& dir, const ManifestEnd& manifest,
                           const RecoveryResult& log, const std::vector<FixedEnd>& fixed_ends,
                           uint64_t first_segment);

}  // namespace marble::lsm
