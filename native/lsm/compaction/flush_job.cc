#include "lsm/compaction/flush_job.h"

#include <arrow/api.h>

#include <algorithm>
#include <string>

#include "base/hash.h"
#include "lsm/compaction/version_folder.h"
#include "lsm/read/sst_rows.h"

namespace marble::lsm {
namespace {

class KeyedFlush : public RowProducer {
 public:
  KeyedFlush(const std::shared_ptr<const TableInfo>& info, Memtable* memtable,
             const TableVersion& older, const FoldRules& rules, RunBuilder* out)
      : info_(info), memtable_(memtable), older_(older), folder_(info.get(), &rules, out) {
    for (const RangeTombstone* t = memtable->range_tombstones(); t != nullptr; t = t->next) {
      ranges_.push_back(t);  // newest first
    }
  }

  Result<bool> Step(RunBuilder*) override {
    if (!begun_) {
      begun_ = true;
      nodes_ = memtable_->InOrder();
      ahead_.Begin(nodes_, 0);
      MARBLE_RETURN_NOT_OK(FindHiddenKeys());
    }
    const bool nodes_left = node_ < nodes_.size();
    if (hidden_ < hidden_keys_.size() &&
        (!nodes_left || hidden_keys_[hidden_] < nodes_[node_].key())) {
      MARBLE_RETURN_NOT_OK(WriteKey(hidden_keys_[hidden_++], nullptr));
      return true;
    }
    if (!nodes_left) return false;
    ahead_.MoveTo(nodes_, node_);
    const KeyNode& node = nodes_[node_++];
    if (hidden_ < hidden_keys_.size() && hidden_keys_[hidden_] == node.key()) ++hidden_;
    MARBLE_RETURN_NOT_OK(WriteKey(node.key(), node.newest.load(std::memory_order_acquire)));
    return true;
  }

 private:
  /// The keys of older files that some range tombstone covers.
  Status FindHiddenKeys() {
    if (ranges_.empty()) return Status::OK();
    const auto scan = [&](const SstFileRef& file) -> Status {
      for (const RangeTombstone* range : ranges_) {
        if (file->meta.max_key < range->from) continue;
        if (!range->to.empty() && file->meta.min_key >= range->to) continue;
        SstRows rows(file, info_);
        int64_t row = 0;
        if (!range->from.empty()) {
          MARBLE_ASSIGN_OR_RETURN(row, rows.LowerBound(range->from));
        }
        for (; row < rows.total(); ++row) {
          MARBLE_RETURN_NOT_OK(rows.MoveTo(row));
          if (!range->to.empty() && rows.key() >= range->to) break;
          hidden_keys_.emplace_back(rows.key());
        }
      }
      return Status::OK();
    };
    Status scanned;
    older_.ForEachFile([&](int, const SstFileRef& file) {
      if (scanned.ok()) scanned = scan(file);
    });
    MARBLE_RETURN_NOT_OK(scanned);
    std::sort(hidden_keys_.begin(), hidden_keys_.end());
    hidden_keys_.erase(std::unique(hidden_keys_.begin(), hidden_keys_.end()), hidden_keys_.end());
    return Status::OK();
  }

  Status WriteKey(std::string_view key, const KeyVersion* version) {
    auto range = ranges_.begin();
    const auto next_range = [&] {
      while (range != ranges_.end() && !(*range)->Covers(key)) ++range;
    };
    next_range();
    // Newest first; at one sequence the row comes before the range, which hides only what is older.
    while (true) {
      const bool ranges_left = range != ranges_.end();
      if (version == nullptr && !ranges_left) break;
      if (version == nullptr || (ranges_left && (*range)->sequence > version->sequence())) {
        folder_.Add({(*range)->sequence, RowKind::kDelete, 0, nullptr, 0, {}});
        ++range;
        next_range();
      } else {
        folder_.Add(VersionOf(*version));
        version = version->older;
      }
    }
    return folder_.FinishKey(key, [&] { return !older_.MayContain(key, HashKey(key)); });
  }

  static RowVersion VersionOf(const KeyVersion& version) {
    RowVersion out;
    out.sequence = version.sequence();
    out.expires = version.expires();
    switch (version.kind()) {
      case VersionKind::kDelete:
        out.kind = RowKind::kDelete;
        break;
      case VersionKind::kRow:
        out.batch = version.batch().batch;
        out.row = version.row();
        break;
      case VersionKind::kMerge:
        out.kind = RowKind::kMerge;
        out.bytes = version.bytes();
        break;
      case VersionKind::kBytes:
        out.bytes = version.bytes();
        break;
    }
    return out;
  }

  const std::shared_ptr<const TableInfo>& info_;
  Memtable* const memtable_;
  const TableVersion& older_;
  VersionFolder folder_;
  std::vector<const RangeTombstone*> ranges_;
  bool begun_ = false;
  SortedNodes nodes_;
  SortedNodes::Ahead ahead_;
  std::vector<std::string> hidden_keys_;  // sorted
  size_t node_ = 0;
  size_t hidden_ = 0;
};

/// Tables without a key: the batches in the order of writing.
class AppendedFlush : public RowProducer {
 public:
  AppendedFlush(const Memtable& memtable, const FoldRules& rules)
      : batch_(memtable.first_batch()), expired_ms_(rules.expired_ms) {}

  Result<bool> Step(RunBuilder* out) override {
    // Pieces of a chunk's size: a batch may be as large as the log allows.
    constexpr int64_t kPiece = 16 * 1024;
    if (batch_ == nullptr) return false;
    const int64_t count = std::min(kPiece, batch_->batch->num_rows() - at_);
    if (batch_->expires == 0) {
      MARBLE_RETURN_NOT_OK(out->AddRows(batch_->batch, at_, count, batch_->sequence));
    } else if (batch_->expires > expired_ms_) {
      for (int64_t row = at_; row < at_ + count; ++row) {
        MARBLE_RETURN_NOT_OK(
            out->AddRow(batch_->batch, row, batch_->sequence, RowKind::kPut, batch_->expires));
      }
    }
    out->EndOfKey();
    at_ += count;
    if (at_ == batch_->batch->num_rows()) {
      at_ = 0;
      batch_ = batch_->next.load(std::memory_order_acquire);
    }
    return true;
  }

 private:
  const AppendedBatch* batch_;
  int64_t at_ = 0;
  const int64_t expired_ms_;
};

}  // namespace

Result<std::vector<FileMeta>> FlushMemtable(const std::shared_ptr<const TableInfo>& info,
                                            Memtable* memtable, const TableVersion& older,
                                            FoldRules rules, RunWriterOptions files,
                                            MemoryBudget* budget, task::TaskScheduler* scheduler) {
  rules.LimitExpiry(*info, memtable->max_expires());
  memtable->Prepare(/*ordered=*/false);
  files.min_sequence = memtable->min_sequence();
  files.max_sequence = memtable->max_sequence();
  // Sequences are needed while some snapshot may not see every row.
  files.hidden.seq = NeedsSequences(*info) ||
                     (!rules.snapshots.empty() && rules.snapshots.front() < files.max_sequence);
  files.hidden.kind =
      info->keyed() && (memtable->has_deletes() || info->expires() || rules.filter != nullptr);
  files.hidden.expires = info->expires();
  RunPipelineOptions options;
  options.writer = std::move(files);
  options.priority = task::Priority::kFlush;
  options.budget = budget;
  RunPipeline run(scheduler, info, std::move(options),
                  [&](RunBuilder* out) -> std::unique_ptr<RowProducer> {
                    if (!info->keyed()) return std::make_unique<AppendedFlush>(*memtable, rules);
                    return std::make_unique<KeyedFlush>(info, memtable, older, rules, out);
                  });
  MARBLE_RETURN_NOT_OK(run.Start());
  return run.Finish();
}

}  // namespace marble::lsm
