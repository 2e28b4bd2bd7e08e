// Options of a database and of a table, with their defaults and effects. Messages name them as
// JavaScript does (bloomBitsPerKey): those are the names that users know.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/limits.h"
#include "base/types.h"
#include "io/file_system.h"
#include "lsm/sst/sst_reader.h"

namespace marble::lsm {

/// kProcess survives SIGKILL (the page cache does); kPower also power loss (fdatasync).
enum class Durability { kProcess, kPower };

enum class Recovery { kStrict, kTruncate };

struct DbEvent {
  enum class Kind { kFlush, kCompaction, kStall, kBackgroundError, kRecovery } kind;
  std::string message;
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t rows = 0;
  int64_t micros = 0;
};

struct DbOptions {
  /// Where the files are; null: by the path's prefix, the local one without a prefix.
  std::shared_ptr<io::FileSystem> file_system;
  std::string id;  // integration id; kept in the manifest
  bool create_if_missing = true;
  Durability durability = Durability::kProcess;  // a batch can only raise it
  Recovery recovery = Recovery::kStrict;
  VerifyReads verify_reads = VerifyReads::kFirst;
  /// A memtable generation is one log segment; this is its size.
  size_t log_segment_bytes = limits::kLogSegmentBytes;
  /// Immutable generations waiting for their flush beyond which writers wait, then get kBusy.
  int max_immutable_generations = 3;
  int64_t max_block_ms = 100;
  /// Files of one table beyond which they are merged into one.
  int compaction_trigger = 8;
  const Clock* clock = Clock::System();
  /// Called on background threads; must not call back into the database.
  std::function<void(const DbEvent&)> listener;
};

struct TableOptions {
  double bloom_bits_per_key = 10;  // 0: none. 1.25 bytes a key at 10, 1 % false positives
  bool point_index = true;         // 8 bytes a row / 0.7: a get without a binary search
  bool zone_maps = true;
  int64_t batch_rows = 0;   // 0: limits::kTableBatchRows
  int64_t batch_bytes = 0;  // 0: limits::kTableBatchBytes
  /// State families: how a merge combines with what is there (write/merge_operator.h); empty:
  /// no merges. Fixed at creation.
  std::string merge_operator;
  /// Rows count for so long after they were written; 0: for ever. Judged by the clock at a read
  /// (a snapshot's: by the clock when it was taken); space comes back by compaction.
  int64_t ttl_ms = 0;
  /// False: writes do not go through the log. All unlogged tables are flushed together; after a
  /// crash they are as they were at that cut. For what can be computed again.
  bool logged = true;
  /// Rows are indexed in memory when they are first read, not when they are written: for
  /// operator state, which its owner holds in memory anyway.
  bool lazy_index = false;
};

/// A table as the catalog knows it. `key_columns` index into `schema`; empty: no primary key,
/// rows keep insertion order. A state family is {key: binary, value: binary} with key 0.
struct TableDescriptor {
  TableId id = 0;  // given by the database
  std::string name;
  std::shared_ptr<arrow::Schema> schema;
  std::vector<int> key_columns;
  TableOptions options;
  bool is_state_family = false;
  bool is_system = false;  // hidden from listTables unless asked for
};

}  // namespace marble::lsm
