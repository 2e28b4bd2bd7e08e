#include "lsm/version/closed_together.h"

#include <algorithm>

#include "lsm/version/manifest_log.h"

namespace marble::lsm {

Status CheckClosedTogether(const std::string& dir, const ManifestEnd& manifest,
                           const RecoveryResult& log, const std::vector<FixedEnd>& fixed_ends,
                           uint64_t first_segment) {
  uint64_t last_read = 0;
  for (const FixedEnd& end : log.ends) {
    if (end.end_offset > 0) last_read = std::max(last_read, end.segment_id);
  }
  const std::string name = dir + "/" + ManifestName(manifest.number);
  if (manifest.closed_at && log.end < *manifest.closed_at) {
    return MakeError(
        ErrorCode::kCorruption,
        "the log in " + dir + " is cut off: " +
            (last_read == 0 ? dir + "/" + LogName(first_segment) + " is missing or empty"
                            : dir + "/" + LogName(last_read) + " ends at log offset " +
                                  std::to_string(log.end)) +
            ", but the log reached " + std::to_string(*manifest.closed_at) +
            " when the database was closed. Restore a backup, or open with recovery: 'truncate' to "
            "go on without what is missing");
  }
  // A clean close in a segment with a fixed end is older than this manifest: the process ended
  // before it had written a record of its own.
  const bool of_this_manifest =
      std::none_of(fixed_ends.begin(), fixed_ends.end(),
                   [&](const FixedEnd& end) { return end.segment_id == log.close_segment; });
  if (log.clean_close && of_this_manifest && manifest.has_marks && !manifest.closed_at) {
    return MakeError(
        ErrorCode::kCorruption,
        name + ": cut off or damaged at offset " + std::to_string(manifest.bytes) +
            ": the log says that the database was closed, and the manifest does not. Restore a "
            "backup, or open with recovery: 'truncate' to go on without what is missing");
  }
  return Status::OK();
}

}  // namespace marble::lsm
