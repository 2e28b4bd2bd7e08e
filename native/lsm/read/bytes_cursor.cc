#include "lsm/read/bytes_cursor.h"

#include "lsm/sst/bytes_rows.h"

namespace marble::lsm {
namespace {

class BytesCursor : public RunCursor {
 public:
  explicit BytesCursor(const SstFile& file)
      : file_(file), rows_(*file.reader->bytes()), total_(file.reader->num_rows()) {}

  void PrefetchSeek(std::string_view key) const override { file_.reader->PrefetchSearch(key); }
  Status SeekGE(std::string_view key) override {
    int64_t row = 0;
    if (!key.empty()) {
      MARBLE_ASSIGN_OR_RETURN(row, file_.reader->LowerBound(key));
    }
    return MoveTo(row);
  }
  Status SeekLT(std::string_view key) override {
    int64_t row = total_;
    if (!key.empty()) {
      MARBLE_ASSIGN_OR_RETURN(row, file_.reader->LowerBound(key));
    }
    return MoveTo(row - 1);
  }
  Status Next() override { return MoveTo(row_ + 1); }
  Status Prev() override { return MoveTo(row_ - 1); }
  void Collect(RowCollector* to) const override { to->AddBytes(key_, value_); }
  std::string_view Value() const override { return value_; }
  Status CollectChain(SequenceNumber hidden, MergeChain* chain) override {
    // Range tombstones lie in memtables: they hide all of a file's versions, or none.
    if (hidden == 0) chain->AddBase(value_, /*expires=*/0, nullptr);
    return Status::OK();
  }

 private:
  Status MoveTo(int64_t row) {
    row_ = row;
    valid_ = row >= 0 && row < total_;
    if (!valid_) return Status::OK();
    if (row < begin_ || row >= end_) {
      const size_t index = rows_.BatchOf(row);
      MARBLE_RETURN_NOT_OK(file_.reader->VerifyBytes(index));
      batch_ = &rows_.batch(index);
      begin_ = batch_->first_row;
      end_ = rows_.batch(index + 1).first_row;
    }
    const int64_t i = row - begin_;
    const auto key = BytesRows::Key(*batch_, i);
    const auto value = BytesRows::Value(*batch_, i);
    if (!key || !value) return ImpossibleOffsets(file_.reader->file()->path(), row);
    SetKey(*key);
    value_ = *value;
    return Status::OK();
  }

  const SstFile& file_;
  const BytesRows& rows_;
  const int64_t total_;
  int64_t row_ = 0;
  // The batch of the row.
  const BytesRows::Batch* batch_ = nullptr;
  int64_t begin_ = 0;
  int64_t end_ = 0;
  std::string_view value_;
};

}  // namespace

std::unique_ptr<RunCursor> NewBytesCursor(const SstFile& file, const ReadView& view) {
  const SstReader& reader = *file.reader;
  if (reader.bytes() == nullptr || reader.expires_column() >= 0 || !file.PlainAt(view)) {
    return nullptr;
  }
  return std::make_unique<BytesCursor>(file);
}

}  // namespace marble::lsm
