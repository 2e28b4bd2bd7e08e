// Options of a database and of a table, with their defaults and effects. Messages name them as
// JavaScript does (bloomBitsPerKey): those are the names that users know.
#pragma once

#include <arrow/type_fwd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/limits.h"
#include "base/types.h"
#include "io/file_system.h"
#include "lsm/sst/sst_reader.h"

namespace marble::task {
class TaskScheduler;
}

namespace marble::lsm {

/// kProcess survives SIGKILL (the page cache does); kPower also power loss (fdatasync).
enum class Durability { kProcess, kPower };

enum class Recovery { kStrict, kTruncate };

/// What a manual compaction does with files that have nothing below them.
enum class BottommostFiles {
  kKeep,      // merge levels only
  kIfUseful,  // rewrite those with versions or tombstones that can go
  kRewrite,   // rewrite all that this compaction has not written
};

struct DbEvent {
  /// kNoSpace: a flush or compaction found the disk full; it is tried again when there is room.
  enum class Kind { kFlush, kCompaction, kStall, kBackgroundError, kRecovery, kNoSpace } kind;
  std::string message = {};
  uint64_t files = 0;  // written
  uint64_t bytes = 0;
  uint64_t rows = 0;
  int64_t micros = 0;
  /// Flushes and compactions have all three, stalls kBegin and kEnd, others kEnd. kInstall: the
  /// files are durable, the manifest does not name them yet.
  enum class Phase { kBegin, kInstall, kEnd } phase = Phase::kEnd;
  /// Of a compaction. Outputs of one that only moves files to another level are its inputs.
  std::string table = {};
  int input_level = -1;
  int output_level = -1;
  uint64_t bytes_read = 0;
  std::vector<FileNumber> inputs = {};
  std::vector<FileNumber> outputs = {};
  /// Of a compaction: it was none. All rows of the inputs had expired, and they were dropped
  /// unread.
  bool expired = false;
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

  /// What memtables, rows on their way into files and arrays kept over mapped files may take
  /// together; at least 8 MiB; 0: no limit but those above. memory_budget.h says how it is divided,
  /// DbMetrics::memory what each part takes. A small one means smaller memtables, and so more
  /// compaction.
  uint64_t memory_budget_bytes = 0;
  /// What decoded batches of compressed files may take that are kept for the next read. 0: a
  /// sixteenth of the memory budget, which is also the most; 64 MiB without one.
  uint64_t decoded_cache_bytes = 0;
  /// What is kept of the log, beyond what is not flushed yet, for those who read the change feed
  /// and are behind; who needs more is told that it is too far behind (kTooFarBehind).
  uint64_t max_pinned_log_bytes = 1ull << 30;

  // Compaction, leveled: compaction/compaction_picker.h tells how. Sizes are for log segments of
  // 64 MiB, of which a table's flush is at most one.

  /// Files of a table in level 0 from which they are merged into the next level. A get asks each of
  /// them (a Bloom filter's cache line and bounds, about 50 ns), so few are good for reads; each
  /// merge rewrites what it overlaps, so many are good for writes.
  int compaction_trigger = 4;
  /// Files of a table in level 0 from which writers are slowed down, and at which they wait. 0:
  /// three and six times compaction_trigger, which bounds what a get asks to 24 files.
  int level0_slowdown_files = 0;
  int level0_stop_files = 0;
  /// The most that the first level below level 0 holds: twice what is merged into it at once. A
  /// quarter costs more levels and so more writing (12.8 times the data instead of 8.0, simulated,
  /// for 80 flushes' worth), four times as much longer merges of level 0 for nothing.
  uint64_t level_base_bytes = 512 << 20;
  /// How much larger each level is than the one above it. What lies above the last level, at worst
  /// all of it garbage, is one part in `level_multiplier`; each level costs up to so much writing.
  double level_multiplier = 10;
  /// The size at which compactions cut files (of .arrow; at most limits::kMaxSstBytes). Smaller:
  /// compactions pick more precisely, and there are more files to keep mapped.
  uint64_t target_file_bytes = 64 << 20;
  /// Bytes that compactions are behind by (an estimate) from which writers are slowed down, and at
  /// which they wait. So much garbage there may be besides, and so long reads find more levels.
  uint64_t pending_compaction_slowdown_bytes = 16ull << 30;
  uint64_t pending_compaction_stop_bytes = 64ull << 30;
  /// Compactions at once. 0: half of the processor's cores, at least one.
  int max_compactions = 0;
  /// Parts that one compaction is split into, which run in parallel where threads are idle. 0: as
  /// many as max_compactions.
  int max_subcompactions = 0;
  /// What all compactions together may write in a second; flushes are not limited. 0: no limit.
  /// DB::SetCompactionRate changes it. Too low, and writers will be slowed down instead.
  uint64_t compaction_bytes_per_second = 0;

  /// Threads of a scheduler of its own for flushes and compactions, at most one per CPU. 0: those
  /// of `scheduler`, or where that is null, of one that all databases of the process share, with a
  /// thread per CPU.
  int threads = 0;
  std::shared_ptr<task::TaskScheduler> scheduler;

  const Clock* clock = Clock::System();
  /// Called on background and writing threads, also by several at once; must not call back into the
  /// database.
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
  /// Encoded keys, ascending, at which compactions cut files: no file below level 0 holds keys of
  /// both sides. For state that is partitioned by key group, so that a group's files can be moved.
  /// Each bound costs up to one more file in each level.
  std::vector<std::string> cut_points = {};
  /// How record batches in files are compressed: less disk and page cache, against decoding a batch
  /// of up to 64 KiB at a read that finds it not decoded, and scans that copy. A file that moves
  /// down unchanged keeps what it was written with.
  Compression compression = Compression::kNone;
  /// Instead: of the files of level 0, 1, … ; the last holds for all deeper levels. At most
  /// limits::kNumLevels of them. Levels as DbMetrics names them: level 0 is what flushes write,
  /// small databases have only the last besides.
  std::vector<Compression> compression_per_level = {};

  /// What files of a level are written with.
  Compression CompressionAt(int level) const {
    if (compression_per_level.empty()) return compression;
    return compression_per_level[std::min(static_cast<size_t>(level),
                                          compression_per_level.size() - 1)];
  }
};

/// Options for a use, to be changed further: 'timeSeries' and 'appendLog' (read in ranges: large
/// batches, no Bloom filter, no point index), 'dimension' (read by key: small batches, no zone
/// maps). docs/tuning.md has the price of each. kInvalidArgument names those there are.
Result<TableOptions> PresetTableOptions(std::string_view preset);

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
  /// Of each column, given by the database: files are read by them, so that columns can be added,
  /// dropped and renamed without rewriting any. An id is never used again in its table. Empty: 1,
  /// 2, 3 …
  std::vector<uint32_t> field_ids = {};
  uint32_t next_field_id = 0;  // 0: behind the last
};

/// Whether the ids are 1, 2, 3 … with nothing behind: those of a table that was never altered.
bool HasFirstFieldIds(const TableDescriptor& table);

}  // namespace marble::lsm
