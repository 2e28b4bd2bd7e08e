#include "lsm/read/run_cursor.h"

#include "lsm/read/bytes_cursor.h"
#include "lsm/read/point_reader.h"

namespace marble::lsm {
namespace {

class MemtableCursor : public RunCursor {
 public:
  MemtableCursor(std::shared_ptr<Memtable> memtable, const ReadView& view)
      : memtable_(std::move(memtable)), view_(view), cursor_(memtable_->NewCursor()) {}

  void PrefetchSeek(std::string_view key) const override { cursor_.PrefetchSeek(key); }
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
  std::string_view Value() const override {
    return version_->kind() == VersionKind::kRow
               ? ValueAt(*version_->batch().batch, version_->row())
               : version_->bytes();
  }
  Status CollectChain(SequenceNumber hidden, MergeChain* chain) override {
    for (const KeyVersion* v = version_;
         v != nullptr && v->sequence() >= hidden && !chain->complete(); v = v->older) {
      switch (v->kind()) {
        case VersionKind::kMerge:
          chain->AddOperand(v->bytes(), v->expires(), nullptr);
          break;
        case VersionKind::kBytes:
          chain->AddBase(v->bytes(), v->expires(), nullptr);
          break;
        case VersionKind::kRow:
          chain->AddBase(ValueAt(*v->batch().batch, v->row()), v->expires(), nullptr);
          break;
        case VersionKind::kDelete:
          chain->AddNothing();
          break;
      }
    }
    return Status::OK();
  }

 private:
  Status Settle(bool forward) {
    while (cursor_.Valid()) {
      version_ = cursor_.node().VisibleAt(view_.sequence);
      if (version_ != nullptr) {
        SetKey(cursor_.node().key());
        sequence_ = version_->sequence();
        deleted_ = version_->kind() == VersionKind::kDelete || view_.Expired(version_->expires());
        merge_ = version_->kind() == VersionKind::kMerge;
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
  const ReadView view_;
  OrderedIndex::Cursor cursor_;
  const KeyVersion* version_ = nullptr;
};

class SstCursor : public RunCursor {
 public:
  SstCursor(SstFileRef file, std::shared_ptr<const TableInfo> info, const ReadView& view,
            ColumnsRef columns)
      : view_(view),
        plain_(file->PlainAt(view)),
        rows_(std::move(file), std::move(info), std::move(columns)) {}

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
  Status SkipBackTo(int64_t row) override { return Backward(row); }
  SstRows* plain_rows() override { return plain_ ? &rows_ : nullptr; }
  void Collect(RowCollector* to) const override {
    to->AddRows(rows_.batch(), rows_.row_in_batch(), 1);
  }
  std::string_view Value() const override { return ValueAt(*rows_.batch(), rows_.row_in_batch()); }
  Status CollectChain(SequenceNumber hidden, MergeChain* chain) override {
    const int64_t visible = rows_.row();
    // Of equal keys the versions follow each other, newest first.
    for (int64_t row = visible; row < group_end_ && !chain->complete(); ++row) {
      MARBLE_RETURN_NOT_OK(rows_.MoveTo(row));
      if (rows_.sequence() < hidden) break;
      const std::string_view value = ValueAt(*rows_.batch(), rows_.row_in_batch());
      switch (rows_.kind()) {
        case RowKind::kMerge:
          chain->AddOperand(value, rows_.expires(), rows_.batch());
          break;
        case RowKind::kPut:
          chain->AddBase(value, rows_.expires(), rows_.batch());
          break;
        case RowKind::kDelete:
          chain->AddNothing();
          break;
      }
    }
    MARBLE_RETURN_NOT_OK(rows_.MoveTo(visible));
    key_ = rows_.key();  // its memory may have been used meanwhile
    return Status::OK();
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
      if (rows_.sequence() <= view_.sequence) return true;
    }
    return false;
  }
  Status Arrive(int64_t begin, int64_t end) {
    group_begin_ = begin;
    group_end_ = end;
    SetKey(rows_.key());
    sequence_ = plain_ ? 0 : rows_.sequence();
    if (!plain_) {
      const RowKind kind = rows_.kind();
      deleted_ = kind == RowKind::kDelete || view_.Expired(rows_.expires());
      merge_ = kind == RowKind::kMerge;
    }
    return Status::OK();
  }

  const ReadView view_;
  const bool plain_;
  SstRows rows_;
  int64_t group_begin_ = 0;  // rows of the current key
  int64_t group_end_ = 0;
  std::string group_key_;
};

}  // namespace

std::unique_ptr<RunCursor> NewMemtableCursor(std::shared_ptr<Memtable> memtable,
                                             const ReadView& view) {
  return std::make_unique<MemtableCursor>(std::move(memtable), view);
}

std::unique_ptr<RunCursor> NewSstCursor(SstFileRef file, std::shared_ptr<const TableInfo> info,
                                        const ReadView& view, const RowsWanted& wanted) {
  if (wanted.bytes_alone) {
    if (auto cursor = NewBytesCursor(*file, view)) return cursor;
  }
  return std::make_unique<SstCursor>(std::move(file), std::move(info), view, wanted.columns);
}

}  // namespace marble::lsm
