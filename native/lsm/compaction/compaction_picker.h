// Decides what one table should compact next. Pure: it sees what the manifest says of the files,
// which of them are busy and what snapshots need, and does no I/O. Any thread.
//
// Shape (as RocksDB's level_compaction_dynamic_level_bytes). The last level holds most of the
// data; each level above may hold a `multiplier`th of the one below. Level 0 is merged into the
// base level: the highest one that is worth having, that is, the first whose next level would
// otherwise exceed `base_bytes`. So a small table has level 0 and the last level only, and what
// lies above the last level, shadowed versions included, is about a tenth of it.
//
// Choice, by score (1: due):
// 1. level 0: files / level0_files, or bytes / base_bytes, whichever is more. All its files go
//    down together, except those that overlap nothing: they move (2). Where the base level is much
//    larger than what would be merged into it (a table with a small share of the memtables), the
//    newest files of level 0 are first merged with each other.
// 2. A file that overlaps nothing in the next level moves there by an edit of the manifest alone.
// 3. level n: bytes / target. The file with the least overlap in the next level for its own size
//    goes first, because what a compaction costs is the overlap that it rewrites (RocksDB found
//    the same: kMinOverlappingRatio is its default); tombstones count as if they had size, so
//    that files full of them come before others.
// 4. Nothing due: files whose tombstones would free a good part of what merging them costs; then
//    files with nothing below that keep tombstones or versions for snapshots which are gone.
//
// Tables without a key have level 0 only. Runs of neighbouring small files are concatenated.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "lsm/options.h"
#include "lsm/sst/sst_format.h"

namespace marble::lsm {

/// See DbOptions, where these come from.
struct LevelOptions {
  int level0_files = 4;
  /// From so many files on, level 0 is merged down whatever that costs.
  int level0_most_files = 8;
  uint64_t base_bytes = 512 << 20;
  double multiplier = 10;
  uint64_t file_bytes = 64 << 20;
  /// Inputs and overlapped files of one compaction beyond which it takes no more. 25 times the
  /// size of a file leaves room for twice the usual overlap.
  uint64_t max_job_bytes() const { return 25 * file_bytes; }
};

struct PickerFile {
  const FileMeta* meta;
  bool busy = false;     // an input of a running compaction
  bool has_seq = false;  // keeps __seq
  uint64_t merges = 0;   // of the rows that are no puts: merge operands, which delete nothing
  uint64_t deletes() const { return meta->tombstones - merges; }
  uint64_t bytes() const { return meta->arrow_bytes + meta->idx_bytes; }
};
using PickerFiles = std::vector<PickerFile>;

/// One table at one moment.
struct PickerTable {
  bool keyed = true;
  /// [0] newest first, the others by key; as TableVersion has them.
  std::array<PickerFiles, limits::kNumLevels> levels;
  /// Where running compactions write: no other may put a file of the same level into their range,
  /// be it a gap between their inputs.
  struct Running {
    int output_level;
    std::string_view min_key;
    std::string_view max_key;
  };
  std::vector<Running> running;
  /// The snapshot that sees least; kMaxSequence when there is none.
  SequenceNumber oldest_snapshot = kMaxSequence;
};

struct LevelShape {
  int base_level = limits::kNumLevels - 1;
  std::array<uint64_t, limits::kNumLevels> bytes{};
  /// What a level may hold; 0 where that means nothing (level 0, the last, those above the base).
  std::array<uint64_t, limits::kNumLevels> target{};
  std::array<double, limits::kNumLevels> score{};
  /// Levels with files that are not worth having any more: above this number.
  int drain_above = 0;
  /// An estimate of what has to be rewritten until every level is within its target.
  uint64_t pending_bytes = 0;
};

enum class CompactionReason {
  kLevel0,       // level 0 has grown
  kLevel0Merge,  // files of level 0 with each other
  kLevelBytes,   // a level has outgrown its target
  kDrain,        // a level is not worth having any more
  kTombstones,   // it frees much of what it rewrites
  kBottommost,   // no snapshot needs its versions or tombstones any more
  kConcatenate,  // small files of a table without a key
  kManual,
  kExpired,  // all rows have expired: the files go unread (expired_files.h)
};
const char* CompactionReasonName(CompactionReason reason);

struct CompactionPlan {
  CompactionReason reason;
  int input_level;
  int output_level;
  double score = 0;
  std::vector<FileNumber> inputs;      // of the input level, in its order
  std::vector<FileNumber> overlapped;  // of the output level, where that is another one
  uint64_t input_bytes = 0;
  uint64_t overlapped_bytes = 0;
  std::string min_key;  // of all of them
  std::string max_key;
  bool move = false;  // by an edit of the manifest alone; nothing is overlapped
  bool drop = false;  // the inputs, of any levels, go by an edit of the manifest alone
};

/// A manual compaction's way through a key range: level by level, each from left to right, in
/// steps of bounded size; at the end all that was there lies in the last level.
struct RangeWalk {
  std::string from;
  std::string to;  // empty: to the end
  BottommostFiles bottommost = BottommostFiles::kIfUseful;
  FileNumber first_new = 0;  // files from this number on were written since the walk began

  enum class State { kReady, kBlocked, kFinished } state = State::kReady;
  int level = 0;
  std::string cursor;  // in `level`, files that end before it are done; empty: none
};

class CompactionPicker {
 public:
  explicit CompactionPicker(const LevelOptions& options) : options_(options) {}

  LevelShape Shape(const PickerTable& table) const;
  /// The most urgent compaction that disturbs no running one; nullopt: none is due, or all that
  /// are have to wait.
  std::optional<CompactionPlan> Pick(const PickerTable& table) const;
  /// The next step of a manual compaction, or nullopt: then the walk's state says whether it is
  /// finished or blocked by running compactions.
  std::optional<CompactionPlan> PickRange(const PickerTable& table, RangeWalk* walk) const;

  /// The sequence that the oldest snapshot must reach before a file with nothing below it can lose
  /// versions or tombstones; kMaxSequence when none waits.
  SequenceNumber NextRemovable(const PickerTable& table) const;

  const LevelOptions& options() const { return options_; }

 private:
  using Plan = std::optional<CompactionPlan>;
  Plan PickLevel0(const PickerTable& table, const LevelShape& shape) const;
  Plan PickMoves(const PickerTable& table, int base_level, const RangeWalk* walk) const;
  Plan PickLevel0Merge(const PickerTable& table) const;
  Plan PickLevel(const PickerTable& table, int level) const;
  Plan PickDrain(const PickerTable& table, const LevelShape& shape) const;
  Plan PickTombstones(const PickerTable& table, const LevelShape& shape) const;
  Plan PickBottommost(const PickerTable& table) const;
  Plan PickConcatenation(const PickerTable& table, size_t min_files, bool any_size) const;
  Plan MergeLevel0(const PickerTable& table, const std::vector<size_t>& files, int base_level,
                   CompactionReason reason) const;
  Plan MergeDown(const PickerTable& table, int level, size_t begin, size_t end,
                 CompactionReason reason) const;

  const LevelOptions options_;
};

}  // namespace marble::lsm
