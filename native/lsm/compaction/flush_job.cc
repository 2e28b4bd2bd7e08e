#include "lsm/compaction/flush_job.h"

#include <arrow/api.h>

#include <algorithm>
#include <string>

#include "base/hash.h"
#include "lsm/read/sst_rows.h"

namespace marble::lsm {
namespace {

class KeyedFlush {
 public:
  KeyedFlush(const std::shared_ptr<const TableInfo>& info, Memtable* memtable,
             const TableVersion& older, const std::vector<SequenceNumber>& snapshots,
             RunWriter* out)
      : info_(info), memtable_(memtable), older_(older), filter_(&snapshots), out_(out) {
    for (const RangeTombstone* t = memtable->range_tombstones(); t != nullptr; t = t->next) {
      ranges_.push_back(t);  // newest first
    }
  }

  Status Run() {
    const std::vector<const KeyNode*> nodes = memtable_->SortedNodes();
    MARBLE_RETURN_NOT_OK(FindHiddenKeys());
    size_t hidden = 0;
    for (const KeyNode* node : nodes) {
      while (hidden < hidden_keys_.size() && hidden_keys_[hidden] < node->key()) {
        MARBLE_RETURN_NOT_OK(WriteKey(hidden_keys_[hidden++], nullptr));
      }
      if (hidden < hidden_keys_.size() && hidden_keys_[hidden] == node->key()) ++hidden;
      MARBLE_RETURN_NOT_OK(WriteKey(node->key(), node->newest.load(std::memory_order_acquire)));
    }
    while (hidden < hidden_keys_.size()) {
      MARBLE_RETURN_NOT_OK(WriteKey(hidden_keys_[hidden++], nullptr));
    }
    return Status::OK();
  }

 private:
  struct Kept {
    SequenceNumber sequence;
    const KeyVersion* version;  // null: a range tombstone
  };

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
    for (const auto& file : older_.level0) MARBLE_RETURN_NOT_OK(scan(file));
    for (const auto& file : older_.run) MARBLE_RETURN_NOT_OK(scan(file));
    std::sort(hidden_keys_.begin(), hidden_keys_.end());
    hidden_keys_.erase(std::unique(hidden_keys_.begin(), hidden_keys_.end()), hidden_keys_.end());
    return Status::OK();
  }

  Status WriteKey(std::string_view key, const KeyVersion* version) {
    kept_.clear();
    filter_.StartKey();
    auto range = ranges_.begin();
    const auto next_range = [&] {
      while (range != ranges_.end() && !(*range)->Covers(key)) ++range;
    };
    next_range();
    // Newest first; at one sequence the row comes before the range, which hides only what is older.
    while (version != nullptr || range != ranges_.end()) {
      const bool take_range = range != ranges_.end() &&
                              (version == nullptr || (*range)->sequence > version->sequence());
      const SequenceNumber sequence = take_range ? (*range)->sequence : version->sequence();
      if (filter_.Keep(sequence)) kept_.push_back({sequence, take_range ? nullptr : version});
      if (take_range) {
        ++range;
        next_range();
      } else {
        version = version->older;
      }
    }
    // A tombstone with nothing below it hides nothing.
    const auto is_tombstone = [](const Kept& k) {
      return k.version == nullptr || k.version->kind() == VersionKind::kDelete;
    };
    if (is_tombstone(kept_.back()) && !older_.MayContain(key, HashKey(key))) {
      while (!kept_.empty() && is_tombstone(kept_.back())) kept_.pop_back();
    }
    for (const Kept& k : kept_) {
      if (is_tombstone(k)) {
        MARBLE_RETURN_NOT_OK(out_->AddTombstone(key, k.sequence));
      } else if (k.version->kind() == VersionKind::kBytes) {
        MARBLE_RETURN_NOT_OK(out_->AddBytes(key, k.version->bytes(), k.sequence));
      } else {
        MARBLE_RETURN_NOT_OK(
            out_->AddRows(k.version->batch().batch, k.version->row(), 1, k.sequence));
      }
    }
    return out_->EndOfKey();
  }

  const std::shared_ptr<const TableInfo>& info_;
  Memtable* const memtable_;
  const TableVersion& older_;
  VersionFilter filter_;
  RunWriter* const out_;
  std::vector<const RangeTombstone*> ranges_;
  std::vector<std::string> hidden_keys_;  // sorted
  std::vector<Kept> kept_;
};

}  // namespace

Result<std::vector<FileMeta>> FlushMemtable(const std::shared_ptr<const TableInfo>& info,
                                            Memtable* memtable, const TableVersion& older,
                                            const std::vector<SequenceNumber>& snapshots,
                                            RunWriterOptions options) {
  memtable->Prepare(/*ordered=*/false);
  options.min_sequence = memtable->min_sequence();
  options.max_sequence = memtable->max_sequence();
  // Sequences are needed while some snapshot may not see every row.
  options.write_seq = !snapshots.empty() && snapshots.front() < options.max_sequence;
  options.write_kind = info->keyed() && memtable->has_deletes();
  RunWriter out(info, std::move(options));
  if (info->keyed()) {
    KeyedFlush flush(info, memtable, older, snapshots, &out);
    MARBLE_RETURN_NOT_OK(flush.Run());
  } else {
    for (const AppendedBatch* batch = memtable->first_batch(); batch != nullptr;
         batch = batch->next.load(std::memory_order_acquire)) {
      // Pieces of a chunk's size: a batch may be as large as the log allows.
      constexpr int64_t kPiece = 16 * 1024;
      for (int64_t at = 0; at < batch->batch->num_rows(); at += kPiece) {
        const int64_t count = std::min(kPiece, batch->batch->num_rows() - at);
        MARBLE_RETURN_NOT_OK(out.AddRows(batch->batch, at, count, batch->sequence));
        MARBLE_RETURN_NOT_OK(out.EndOfKey());
      }
    }
  }
  return out.Finish();
}

}  // namespace marble::lsm
