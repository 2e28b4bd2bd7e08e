#include "lsm/compaction/compaction_job.h"

#include <arrow/api.h>

#include <algorithm>

#include "lsm/compaction/version_folder.h"
#include "lsm/memtable/key_node.h"
#include "lsm/read/sst_rows.h"

namespace marble::lsm {
namespace {

/// Consecutive keys of one input after which a whole stretch is looked for.
constexpr int kStreak = 8;
constexpr int64_t kMaxStretch = 8 * 1024;

/// All rows of one sorted input, newest version first among equal keys.
struct Input {
  /// `look`: every row has to be looked at, because it may expire or be filtered.
  Input(const SstFileRef& file, const std::shared_ptr<const TableInfo>& info, bool look)
      : rows(file, info), plain(file->meta.clean && !look) {}
  Status MoveTo(int64_t row) {
    valid = row < rows.total();
    if (!valid) return Status::OK();
    MARBLE_RETURN_NOT_OK(rows.MoveTo(row));
    prefix = KeyPrefix(rows.key());
    return Status::OK();
  }
  Status Next() { return MoveTo(rows.row() + 1); }

  SstRows rows;
  const bool plain;  // one version per key and no tombstone
  bool valid = false;
  uint64_t prefix = 0;
};

int Compare(const Input& a, const Input& b) {
  if (a.prefix != b.prefix) return a.prefix < b.prefix ? -1 : 1;
  return a.rows.key().compare(b.rows.key());
}

class Merge {
 public:
  Merge(std::vector<std::unique_ptr<Input>> inputs, const TableInfo* info, const FoldRules* rules,
        RunWriter* out)
      : inputs_(std::move(inputs)), folder_(info, rules, out), out_(out) {}

  Status Run() {
    for (auto& input : inputs_) MARBLE_RETURN_NOT_OK(input->MoveTo(0));
    size_t last = SIZE_MAX;
    int streak = 0;
    while (true) {
      Input* winner = nullptr;
      Input* second = nullptr;
      size_t winner_index = 0;
      bool tie = false;
      for (size_t i = 0; i < inputs_.size(); ++i) {
        Input* input = inputs_[i].get();
        if (!input->valid) continue;
        const int order = winner == nullptr ? -1 : Compare(*input, *winner);
        if (order < 0) {
          second = winner;
          winner = input;
          winner_index = i;
          tie = false;
        } else if (order == 0) {
          tie = true;
        } else if (second == nullptr || Compare(*input, *second) < 0) {
          second = input;
        }
      }
      if (winner == nullptr) return Status::OK();
      streak = winner_index == last && !tie ? streak + 1 : 0;
      last = winner_index;
      if (!tie && winner->plain && (second == nullptr || streak > kStreak)) {
        MARBLE_ASSIGN_OR_RETURN(const bool short_one, TakeStretch(winner, second));
        if (short_one) streak = 0;
        continue;
      }
      MARBLE_RETURN_NOT_OK(TakeKey(winner_index));
    }
  }

 private:
  /// Rows of `input` that come before any other's, within its batch. True: there were few.
  Result<bool> TakeStretch(Input* input, const Input* other) {
    SstRows& rows = input->rows;
    int64_t stop = std::min(rows.batch_end(), rows.row() + kMaxStretch);
    if (other != nullptr) {
      MARBLE_ASSIGN_OR_RETURN(const int64_t bound, rows.LowerBound(other->rows.key()));
      stop = std::min(stop, bound);
    }
    const int64_t count = stop - rows.row();
    if (rows.file()->reader->seq_column() < 0) {
      MARBLE_RETURN_NOT_OK(out_->AddRows(rows.batch(), rows.row_in_batch(), count, 0));
    } else {
      const auto& sequences = static_cast<const arrow::UInt64Array&>(
          *rows.batch()->column(rows.file()->reader->seq_column()));
      for (int64_t i = 0; i < count; ++i) {
        MARBLE_RETURN_NOT_OK(out_->AddRows(rows.batch(), rows.row_in_batch() + i, 1,
                                           sequences.Value(rows.row_in_batch() + i)));
      }
    }
    MARBLE_RETURN_NOT_OK(input->MoveTo(stop));
    MARBLE_RETURN_NOT_OK(out_->EndOfKey());
    return count < kStreak;
  }

  /// All versions of the least key, from the newest input on.
  Status TakeKey(size_t first) {
    key_.assign(inputs_[first]->rows.key());
    const uint64_t prefix = inputs_[first]->prefix;
    for (size_t i = first; i < inputs_.size(); ++i) {
      Input& input = *inputs_[i];
      while (input.valid && input.prefix == prefix && input.rows.key() == key_) {
        const RowKind kind = input.rows.kind();
        folder_.Add({input.rows.sequence(),
                     kind,
                     input.rows.expires(),
                     kind == RowKind::kDelete ? nullptr : input.rows.batch(),
                     input.rows.row_in_batch(),
                     {}});
        MARBLE_RETURN_NOT_OK(input.Next());
      }
    }
    return folder_.FinishKey(key_, [] { return true; });
  }

  const std::vector<std::unique_ptr<Input>> inputs_;  // newest first
  VersionFolder folder_;
  RunWriter* const out_;
  std::string key_;
};

}  // namespace

bool NeedsCompaction(const TableVersion& files, const FoldRules& rules) {
  if (files.empty()) return false;
  if (rules.filter != nullptr) return true;
  // One file from a flush moves down as it is not: only a rewrite sets its level, and one clean
  // file is as good as a run.
  size_t runs = files.level0.size();
  for (const auto& level : files.levels) runs += level != nullptr;
  if (runs > 1) return true;
  bool dirty = false;
  files.ForEachFile([&](int, const SstFileRef& f) {
    const int64_t expires = f->reader->min_expires();
    dirty = dirty || !f->meta.clean || (expires != 0 && expires <= rules.expired_ms);
  });
  return dirty;
}

Result<std::vector<FileMeta>> CompactFiles(const std::shared_ptr<const TableInfo>& info,
                                           const TableVersion& files, FoldRules rules,
                                           RunWriterOptions options) {
  options.level = limits::kNumLevels - 1;
  options.min_sequence = kMaxSequence;
  options.max_sequence = 0;
  std::vector<std::unique_ptr<Input>> inputs;
  bool tombstones = false;
  const bool look = info->expires() || rules.filter != nullptr;
  int64_t max_expires = 0;
  const auto add = [&](const SstFileRef& file) {
    options.min_sequence = std::min(options.min_sequence, file->meta.min_sequence);
    options.max_sequence = std::max(options.max_sequence, file->meta.max_sequence);
    max_expires = std::max(max_expires, file->reader->max_expires());
    tombstones = tombstones || file->meta.tombstones > 0;
    inputs.push_back(std::make_unique<Input>(file, info, look));
  };
  files.ForEachFile([&add](int, const SstFileRef& file) { add(file); });
  rules.LimitExpiry(*info, max_expires);
  options.write_seq = NeedsSequences(*info) ||
                      (!rules.snapshots.empty() && rules.snapshots.front() < options.max_sequence);
  // Without snapshots everything is a put in the end.
  options.write_kind = options.write_seq && (tombstones || look);
  options.write_expires = info->expires();
  RunWriter out(info, std::move(options));
  Merge merge(std::move(inputs), info.get(), &rules, &out);
  MARBLE_RETURN_NOT_OK(merge.Run());
  return out.Finish();
}

}  // namespace marble::lsm
