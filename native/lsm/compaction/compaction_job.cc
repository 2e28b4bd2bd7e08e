#include "lsm/compaction/compaction_job.h"

#include <arrow/api.h>

#include <algorithm>

#include "lsm/memtable/key_node.h"
#include "lsm/read/sst_rows.h"

namespace marble::lsm {
namespace {

/// Consecutive keys of one input after which a whole stretch is looked for.
constexpr int kStreak = 8;
constexpr int64_t kMaxStretch = 8 * 1024;

/// All rows of one sorted input, newest version first among equal keys.
struct Input {
  Input(const SstFileRef& file, const std::shared_ptr<const TableInfo>& info)
      : rows(file, info), plain(file->meta.clean) {}
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
  Merge(std::vector<std::unique_ptr<Input>> inputs, const std::vector<SequenceNumber>& snapshots,
        RunWriter* out)
      : inputs_(std::move(inputs)), filter_(&snapshots), out_(out) {}

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

  struct Version {
    SequenceNumber sequence;
    bool tombstone;
    std::shared_ptr<arrow::RecordBatch> batch;
    int64_t row;
  };

  /// All versions of the least key, from the newest input on.
  Status TakeKey(size_t first) {
    key_.assign(inputs_[first]->rows.key());
    const uint64_t prefix = inputs_[first]->prefix;
    filter_.StartKey();
    kept_.clear();
    for (size_t i = first; i < inputs_.size(); ++i) {
      Input& input = *inputs_[i];
      while (input.valid && input.prefix == prefix && input.rows.key() == key_) {
        const SequenceNumber sequence = input.rows.sequence();
        if (filter_.Keep(sequence)) {
          kept_.push_back(
              {sequence, input.rows.is_tombstone(), input.rows.batch(), input.rows.row_in_batch()});
        }
        MARBLE_RETURN_NOT_OK(input.Next());
      }
    }
    while (!kept_.empty() && kept_.back().tombstone) kept_.pop_back();
    for (const Version& version : kept_) {
      if (version.tombstone) {
        MARBLE_RETURN_NOT_OK(out_->AddTombstone(key_, version.sequence));
      } else {
        MARBLE_RETURN_NOT_OK(out_->AddRows(version.batch, version.row, 1, version.sequence));
      }
    }
    return out_->EndOfKey();
  }

  const std::vector<std::unique_ptr<Input>> inputs_;  // newest first
  VersionFilter filter_;
  RunWriter* const out_;
  std::string key_;
  std::vector<Version> kept_;
};

}  // namespace

bool NeedsCompaction(const TableVersion& files) {
  if (files.empty()) return false;
  // One file from a flush moves down as it is not: only a rewrite sets its level, and one clean
  // file is as good as a run.
  if (files.level0.size() + (files.run.empty() ? 0 : 1) > 1) return true;
  const auto dirty = [](const SstFileRef& f) { return !f->meta.clean; };
  return std::any_of(files.level0.begin(), files.level0.end(), dirty) ||
         std::any_of(files.run.begin(), files.run.end(), dirty);
}

Result<std::vector<FileMeta>> CompactFiles(const std::shared_ptr<const TableInfo>& info,
                                           const TableVersion& files,
                                           const std::vector<SequenceNumber>& snapshots,
                                           RunWriterOptions options) {
  options.level = 1;
  options.min_sequence = kMaxSequence;
  options.max_sequence = 0;
  std::vector<std::unique_ptr<Input>> inputs;
  bool tombstones = false;
  const auto add = [&](const SstFileRef& file) {
    options.min_sequence = std::min(options.min_sequence, file->meta.min_sequence);
    options.max_sequence = std::max(options.max_sequence, file->meta.max_sequence);
    tombstones = tombstones || file->meta.tombstones > 0;
    inputs.push_back(std::make_unique<Input>(file, info));
  };
  for (const auto& file : files.level0) add(file);
  for (const auto& file : files.run) add(file);
  options.write_seq = !snapshots.empty() && snapshots.front() < options.max_sequence;
  options.write_kind = options.write_seq && tombstones;  // else no tombstone survives
  RunWriter out(info, std::move(options));
  Merge merge(std::move(inputs), snapshots, &out);
  MARBLE_RETURN_NOT_OK(merge.Run());
  return out.Finish();
}

}  // namespace marble::lsm
