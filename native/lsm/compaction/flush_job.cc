#include "lsm/compaction/flush_job.h"

#include <arrow/api.h>

#include <algorithm>
#include <string>

#include "base/hash.h"
#include "lsm/compaction/version_folder.h"
#include "lsm/read/sst_rows.h"

namespace marble::lsm {
namespace {

class KeyedFlush {
 public:
  KeyedFlush(const std::shared_ptr<const TableInfo>& info, Memtable* memtable,
             const TableVersion& older, const FoldRules& rules, RunWriter* out)
      : info_(info), memtable_(memtable), older_(older), folder_(info.get(), &rules, out) {
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
    while (version != nullptr || range != ranges_.end()) {
      if (range != ranges_.end() &&
          (version == nullptr || (*range)->sequence > version->sequence())) {
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
  std::vector<std::string> hidden_keys_;  // sorted
};

}  // namespace

Result<std::vector<FileMeta>> FlushMemtable(const std::shared_ptr<const TableInfo>& info,
                                            Memtable* memtable, const TableVersion& older,
                                            FoldRules rules, RunWriterOptions options) {
  rules.LimitExpiry(*info, memtable->max_expires());
  memtable->Prepare(/*ordered=*/false);
  options.min_sequence = memtable->min_sequence();
  options.max_sequence = memtable->max_sequence();
  // Sequences are needed while some snapshot may not see every row.
  options.write_seq = NeedsSequences(*info) ||
                      (!rules.snapshots.empty() && rules.snapshots.front() < options.max_sequence);
  options.write_kind =
      info->keyed() && (memtable->has_deletes() || info->expires() || rules.filter != nullptr);
  options.write_expires = info->expires();
  RunWriter out(info, std::move(options));
  if (info->keyed()) {
    KeyedFlush flush(info, memtable, older, rules, &out);
    MARBLE_RETURN_NOT_OK(flush.Run());
  } else {
    for (const AppendedBatch* batch = memtable->first_batch(); batch != nullptr;
         batch = batch->next.load(std::memory_order_acquire)) {
      // Pieces of a chunk's size: a batch may be as large as the log allows.
      constexpr int64_t kPiece = 16 * 1024;
      if (batch->expires != 0) {
        if (batch->expires <= rules.expired_ms) continue;
        for (int64_t row = 0; row < batch->batch->num_rows(); ++row) {
          MARBLE_RETURN_NOT_OK(
              out.AddRow(batch->batch, row, batch->sequence, RowKind::kPut, batch->expires));
          MARBLE_RETURN_NOT_OK(out.EndOfKey());
        }
        continue;
      }
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
