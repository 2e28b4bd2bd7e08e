// A checkpoint: a folder that opens as an ordinary database with everything that a cut holds.
// SSTables are hard links where that is possible, copies where it is not; the log is copied up to
// the cut; the manifest is a new one that names exactly these files.
//
//   1. Build everything in <dir>.incomplete, each file synced.
//   2. Sync the folder, rename it to <dir>, sync the parent. A crash before leaves no <dir>.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "lsm/backup/copy_file.h"
#include "lsm/backup/cut.h"

namespace marble::lsm {

struct CheckpointInfo {
  /// The last write that is in it: exactly those up to here are (unlogged tables: those that were
  /// flushed).
  SequenceNumber sequence = 0;
  uint64_t linked_files = 0;
  uint64_t copied_files = 0;
  uint64_t copied_bytes = 0;  // the log and the manifest included
};

/// kInvalidArgument when `dir` exists, kLocked when another checkpoint is being written there,
/// kNoSpace, kAborted, kCorruption when the log or a file that is copied is damaged. What fails
/// leaves nothing under the name.
Result<CheckpointInfo> WriteCheckpoint(const DatabaseCut& cut,
                                       const std::shared_ptr<io::FileSystem>& files,
                                       const std::string& dir, const CopyControl& control);

/// Copy both files of an SSTable to new ones, checking every page. Both are synced. The checksums
/// of the whole files are returned.
struct SstCrcs {
  uint32_t arrow = 0;
  uint32_t idx = 0;
};
Result<SstCrcs> CopySst(io::FileSystem* from_files, const std::string& from_dir,
                        const FileMeta& meta, io::FileSystem* to_files,
                        const std::string& arrow_path, const std::string& idx_path,
                        CopyProgress* progress);

}  // namespace marble::lsm
