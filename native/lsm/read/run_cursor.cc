#include "lsm/read/run_cursor.h"

namespace marble::lsm {
namespace {

class MemtableCursor : public RunCursor {
 public:
  MemtableCursor(std::shared_ptr<Memtable> memtable, SequenceNumber sequence)
      : memtable_(std::move(memtable)), snapshot_(sequence), cursor_(memtable_->NewCursor()) {}

  Status SeekGE(std::string_view key) override {
    cursor_.SeekGE(key);
    return Settle(/*forward=*/true);
  }
  Status SeekLT(std::string_view key) override {
    if (key.empty()) {
      cursor_.SeekToLast();
    } else {
      cursor_.SeekLT(key);
    }
    return Settle(/*forward=*/false);
  }
  Status Next() override {
    cursor_.Next();
    return Settle(/*forward=*/true);
  }
  Status Prev() override {
    cursor_.Prev();
    return Settle(/*forward=*/false);
  }
  void Collect(RowCollector* to) const override {
    if (version_->kind() == VersionKind::kBytes) {
      to->AddBytes(key_, version_->bytes());
    } else {
      to->AddRows(version_->batch().batch, version_->row(), 1);
    }
  }

 private:
  Status Settle(bool forward) {
    while (cursor_.Valid()) {
      version_ = cursor_.node().VisibleAt(snapshot_);
      if (version_ != nullptr) {
        SetKey(cursor_.node().key());
        sequence_ = version_->sequence();
        deleted_ = version_->kind() == VersionKind::kDelete;
        return Status::OK();
      }
      if (forward) {
        cursor_.Next();
      } else {
        cursor_.Prev();
      }
    }
    valid_ = false;
    return Status::OK();
  }

  const std::shared_ptr<Memtable> memtable_;
  const SequenceNumber snapshot_;
  OrderedIndex::Cursor cursor_;
  const KeyVersion* version_ = nullptr;
};

class SstCursor : public RunCursor {
 public:
  SstCursor(SstFileRef file, std::shared_ptr<const TableInfo> info, SequenceNumber sequence)
      : snapshot_(sequence), plain_(file->PlainAt(sequence)), rows_(std::move(file), info) {}

  Status SeekGE(std::string_view key) override {
    int64_t row = 0;
    if (!key.empty()) {
      MARBLE_ASSIGN_OR_RETURN(row, rows_.LowerBound(key));
    }
    return Forward(row);
  }
  Status SeekLT(std::string_view key) override {
    int64_t row = rows_.total();
    if (!key.empty()) {
      MARBLE_ASSIGN_OR_RETURN(row, rows_.LowerBound(key));
    }
    return Backward(row - 1);
  }
  Status Next() override { return Forward(group_end_); }
  Status Prev() override { return Backward(group_begin_ - 1); }
  Status SkipTo(int64_t row) override { return Forward(row); }
  SstRows* plain_rows() override { return plain_ ? &rows_ : nullptr; }
  void Collect(RowCollector* to) const override {
    to->AddRows(rows_.batch(), rows_.row_in_batch(), 1);
  }

 private:
  /// To the first visible key at or after `row`, which begins a key's versions.
  Status Forward(int64_t row) {
    while (row < rows_.total()) {
      MARBLE_RETURN_NOT_OK(rows_.MoveTo(row));
      if (plain_) return Arrive(row, row + 1);
      group_key_.assign(rows_.key());
      int64_t end = row + 1;
      for (; end < rows_.total(); ++end) {
        MARBLE_RETURN_NOT_OK(rows_.MoveTo(end));
        if (rows_.key() != group_key_) break;
      }
      MARBLE_ASSIGN_OR_RETURN(const bool found, FindVisible(row, end));
      if (found) return Arrive(row, end);
      row = end;
    }
    valid_ = false;
    return Status::OK();
  }
  /// To the last visible key at or before `row`, which ends a key's versions.
  Status Backward(int64_t row) {
    while (row >= 0) {
      MARBLE_RETURN_NOT_OK(rows_.MoveTo(row));
      if (plain_) return Arrive(row, row + 1);
      group_key_.assign(rows_.key());
      int64_t begin = row;
      for (; begin > 0; --begin) {
        MARBLE_RETURN_NOT_OK(rows_.MoveTo(begin - 1));
        if (rows_.key() != group_key_) break;
      }
      MARBLE_ASSIGN_OR_RETURN(const bool found, FindVisible(begin, row + 1));
      if (found) return Arrive(begin, row + 1);
      row = begin - 1;
    }
    valid_ = false;
    return Status::OK();
  }
  /// Move to the newest visible version among rows [begin, end) of one key.
  Result<bool> FindVisible(int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      MARBLE_RETURN_NOT_OK(rows_.MoveTo(row));
      if (rows_.sequence() <= snapshot_) return true;
    }
    return false;
  }
  Status Arrive(int64_t begin, int64_t end) {
    group_begin_ = begin;
    group_end_ = end;
    SetKey(rows_.key());
    sequence_ = plain_ ? 0 : rows_.sequence();
    deleted_ = !plain_ && rows_.is_tombstone();
    return Status::OK();
  }

  const SequenceNumber snapshot_;
  const bool plain_;
  SstRows rows_;
  int64_t group_begin_ = 0;  // rows of the current key
  int64_t group_end_ = 0;
  std::string group_key_;
};

}  // namespace

std::unique_ptr<RunCursor> NewMemtableCursor(std::shared_ptr<Memtable> memtable,
                                             SequenceNumber sequence) {
  return std::make_unique<MemtableCursor>(std::move(memtable), sequence);
}

std::unique_ptr<RunCursor> NewSstCursor(SstFileRef file, std::shared_ptr<const TableInfo> info,
                                        SequenceNumber sequence) {
  return std::make_unique<SstCursor>(std::move(file), std::move(info), sequence);
}

}  // namespace marble::lsm
