#include "lsm/read/bytes_cursor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "lsm/sst/bytes_rows.h"

namespace marble::lsm {
namespace {

class BytesCursor : public RunCursor {
 public:
  BytesCursor(const SstFileRef& file, const std::shared_ptr<const TableInfo>& info,
              const ColumnsRef& columns)
      : file_(file),
        info_(info),
        columns_(columns),
        bytes_(*file->reader->bytes()),
        total_(file->reader->num_rows()) {}

  void PrepareSeek(std::string_view key, int step) override {
    switch (step) {
      case 0:
        file_->reader->PrefetchSearch(key);
        break;
      case 1:
        // An error comes again, in SeekGE.
        if (const auto row = file_->reader->LowerBound(key); row.ok()) {
          prepared_ = *row;
          if (*row < total_) bytes_.PrefetchRow(*row);
        }
        break;
      default:
        break;
    }
  }
  Status SeekGE(std::string_view key) override {
    int64_t row = 0;
    if (const auto prepared = std::exchange(prepared_, std::nullopt)) {
      row = *prepared;
    } else if (!key.empty()) {
      MARBLE_ASSIGN_OR_RETURN(row, file_->reader->LowerBound(key));
    }
    return MoveTo(row);
  }
  Status SeekLT(std::string_view key) override {
    int64_t row = total_;
    if (!key.empty()) {
      MARBLE_ASSIGN_OR_RETURN(row, file_->reader->LowerBound(key));
    }
    return MoveTo(row - 1);
  }
  Status Next() override { return MoveTo(row_ + 1); }
  Status Prev() override { return MoveTo(row_ - 1); }

  Result<size_t> Read(bool forward, RunRow* rows, size_t most) override {
    first_read_ = row_;
    step_ = forward ? 1 : -1;
    size_t n = 0;
    while (true) {
      // As many of them as the batch has; the cursor stands on the first.
      const int64_t left = forward ? end_ - row_ : row_ - begin_ + 1;
      const size_t stop = std::min(most, n + static_cast<size_t>(left));
      for (int64_t i = row_ - begin_; n < stop; i += step_, ++n) {
        const auto key = BytesRows::Key(*batch_, i);
        const auto value = BytesRows::Value(*batch_, i);
        if (!key || !value) return ImpossibleOffsets(file_->reader->file()->path(), begin_ + i);
        rows[n] = RunRow::Of(*key, *value);
        __builtin_prefetch(value->data());
      }
      row_ = first_read_ + step_ * static_cast<int64_t>(n - 1);
      key_ = rows[n - 1].key();
      const int64_t next = row_ + step_;
      if (n == most || next < 0 || next >= total_) return n;
      MARBLE_RETURN_NOT_OK(MoveTo(next));
    }
  }
  Status CollectChain(SequenceNumber hidden, MergeChain* chain) override {
    // Range tombstones lie in memtables: they hide all of a file's versions, or none.
    if (hidden > 0) return Status::OK();
    const auto value = BytesRows::Value(*batch_, row_ - begin_);
    if (!value) return ImpossibleOffsets(file_->reader->file()->path(), row_);
    chain->AddBase(*value, /*expires=*/0, nullptr);
    return Status::OK();
  }

  Result<SstRows*> PlainRows(size_t i) override {
    if (!rows_) rows_.emplace(file_, info_, columns_);
    MARBLE_RETURN_NOT_OK(rows_->MoveTo(first_read_ + step_ * static_cast<int64_t>(i)));
    return &*rows_;
  }
  Status SkipTo(bool /*forward*/, int64_t row) override { return MoveTo(row); }

 private:
  Status MoveTo(int64_t row) {
    row_ = row;
    valid_ = row >= 0 && row < total_;
    if (!valid_) return Status::OK();
    if (row < begin_ || row >= end_) {
      const size_t index = bytes_.BatchOf(row);
      MARBLE_RETURN_NOT_OK(file_->reader->VerifyBytes(index));
      batch_ = &bytes_.batch(index);
      begin_ = batch_->first_row;
      end_ = bytes_.batch(index + 1).first_row;
    }
    const auto key = BytesRows::Key(*batch_, row - begin_);
    if (!key) return ImpossibleOffsets(file_->reader->file()->path(), row);
    key_ = *key;
    return Status::OK();
  }

  const SstFileRef file_;
  const std::shared_ptr<const TableInfo> info_;
  const ColumnsRef columns_;
  const BytesRows& bytes_;
  const int64_t total_;
  int64_t row_ = 0;
  // The batch of the row.
  const BytesRows::Batch* batch_ = nullptr;
  int64_t begin_ = 0;
  int64_t end_ = 0;
  // What was read last.
  int64_t first_read_ = 0;
  int64_t step_ = 1;
  std::optional<int64_t> prepared_;  // where SeekGE goes
  std::optional<SstRows> rows_;      // made for PlainRows
};

}  // namespace

std::unique_ptr<RunCursor> NewBytesCursor(const SstFileRef& file,
                                          const std::shared_ptr<const TableInfo>& info,
                                          const ReadView& view, const ColumnsRef& columns) {
  const SstReader& reader = *file->reader;
  if (reader.bytes() == nullptr || reader.expires_column() >= 0 || !file->PlainAt(view)) {
    return nullptr;
  }
  return std::make_unique<BytesCursor>(file, info, columns);
}

}  // namespace marble::lsm
