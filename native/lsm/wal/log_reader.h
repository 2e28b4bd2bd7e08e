// Recovery of the log: replays records in order up to the first bad one, and decides whether
// what follows is the torn tail of a crash (cut) or corruption (an error): FORMAT.md, "Recovery".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "io/file_system.h"
#include "lsm/wal/log_writer.h"

namespace marble::lsm {

/// A segment whose end an earlier recovery has fixed in the manifest: nothing at or behind
/// `end_offset` exists, whatever the bytes say.
struct FixedEnd {
  uint64_t segment_id;
  uint64_t end_offset;
};

struct RecoveryOptions {
  std::string dir;
  std::string database_id;
  std::string boot_id;     // of this boot
  uint64_t first_segment;  // older segments are flushed: ignored
  /// Where that segment begins, if its header does not say so because it was lost.
  std::optional<LogPosition> first_position = {};
  std::vector<FixedEnd> fixed_ends;
  bool truncate_corruption = false;  // recovery: 'truncate'
  /// All before it is known to be durable: where the database was closed. 0: nothing is known.
  LogPosition durable = 0;
  std::shared_ptr<io::FileSystem> file_system = io::FileSystem::Local();
};

struct RecoveryResult {
  LogPosition end = 0;               // log position behind the last good record
  SequenceNumber last_sequence = 0;  // 0: no record
  uint64_t last_segment = 0;         // highest id of a file; 0: none. Write to the next
  std::vector<FixedEnd> ends;        // of every segment read: to be put into the manifest
  bool clean_close = false;          // the last record is one
  LogPosition close_position = 0;    // where the last clean close begins
  uint64_t close_segment = 0;        // where the last clean close is
  uint64_t records = 0;
  uint64_t truncated_bytes = 0;   // of a torn tail
  std::string truncation_reason;  // for the event; empty when nothing was cut
};

/// Replay records in order, sync what was read (unless it was durable and there is nothing to
/// replay), remove segment files that were never used.
/// `ends` has one entry per segment file that exists, 0 for those that are cut away as a whole;
/// `last_segment` is the highest id of any file found, used or not. `apply` gets each write
/// batch; its payload stays valid while the segment in it is referenced. Errors: kCorruption
/// with file and offset; kIncompatible for a newer format; what `apply` returns.
Result<RecoveryResult> RecoverLog(const RecoveryOptions& options, const LogWriter::Publish& apply);

}  // namespace marble::lsm
