#include "lsm/read/run_cursor.h"

#include "lsm/read/bytes_cursor.h"

namespace marble::lsm {
namespace {

class MemtableCursor : public RunCursor {
 public:
  MemtableCursor(std::shared_ptr<Memtable> memtable, const ReadView& view)
      : memtable_(std::move(memtable)), view_(view), cursor_(memtable_->NewCursor()) {}

  void PrepareSeek(std::string_view key, int step) override { cursor_.PrepareSeek(key, step); }
  Status SeekGE(std::string_view key) override {
    cursor_.SeekGE(key);
    Settle(/*forward=*/true);
    return Status::OK();
  }
  Status SeekLT(std::string_view key) override {
    if (key.empty()) {
      cursor_.SeekToLast();
    } else {
      cursor_.SeekLT(key);
    }
    Settle(/*forward=*/false);
    return Status::OK();
  }
  Status Next() override {
    Step(/*forward=*/true);
    return Status::OK();
  }
  Status Prev() override {
    Step(/*forward=*/false);
    return Status::OK();
  }
  Result<size_t> Read(bool forward, RunRow* rows, size_t most) override {
    size_t n = 0;
    while (true) {
      RunRow& row = rows[n++];
      if (version_->kind() == VersionKind::kRow) {
        row = RunRow::Of(key_, version_->batch().batch, version_->row());
      } else {
        row = RunRow::Of(key_, version_->bytes());
        __builtin_prefetch(row.value);
      }
      row.sequence = version_->sequence();
      row.merge = version_->kind() == VersionKind::kMerge;
      row.deleted = version_->kind() == VersionKind::kDelete || view_.Expired(version_->expires());
      if (n == most) return n;
      Step(forward);
      if (!valid_) return n;
    }
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
  void Step(bool forward) {
    forward ? cursor_.Next() : cursor_.Prev();
    Settle(forward);
  }
  /// On to a key that the view sees.
  void Settle(bool forward) {
    while (cursor_.Valid()) {
      const KeyNode& node = cursor_.node();
      version_ = node.VisibleAt(view_.sequence);
      if (version_ != nullptr) {
        key_ = node.key();
        valid_ = true;
        return;
      }
      forward ? cursor_.Next() : cursor_.Prev();
    }
    valid_ = false;
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
  Result<SstRows*> PlainRows(size_t /*i*/) override { return plain_ ? &rows_ : nullptr; }
  Status SkipTo(bool forward, int64_t row) override {
    return forward ? Forward(row) : Backward(row);
  }

  /// One row: the memory of its key may be used for the next.
  Result<size_t> Read(bool /*forward*/, RunRow* rows, size_t /*most*/) override {
    RunRow& row = rows[0];
    row = RunRow::Of(key_, rows_.batch(), rows_.row_in_batch());
    if (!plain_) {
      const RowKind kind = rows_.kind();
      row.sequence = rows_.sequence();
      row.deleted = kind == RowKind::kDelete || view_.Expired(rows_.expires());
      row.merge = kind == RowKind::kMerge;
    }
    return 1;
  }
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
    key_ = rows_.key();
    valid_ = true;
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
                                        const ReadView& view, const ColumnsRef& columns) {
  // If it cannot be loaded, the cursor's first seek says so.
  if (file->reader->Load().ok()) {
    if (auto cursor = NewBytesCursor(file, info, view, columns)) return cursor;
  }
  return std::make_unique<SstCursor>(std::move(file), std::move(info), view, columns);
}

}  // namespace marble::lsm
