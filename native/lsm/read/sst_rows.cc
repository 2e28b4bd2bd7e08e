#include "lsm/read/sst_rows.h"

#include <arrow/api.h>

#include <algorithm>

namespace marble::lsm {
namespace {
constexpr int64_t kMaxBlock = 1024;
}

Status SstRows::LoadBatch(int64_t row) {
  MARBLE_RETURN_NOT_OK(file_->reader->Load());
  const RowLocation at = file_->reader->Locate(row);
  MARBLE_ASSIGN_OR_RETURN(batch_, file_->ReadBatch(at.batch, columns_.get(), /*once=*/true));
  batch_index_ = at.batch;
  batch_begin_ = row - at.row;
  batch_end_ = batch_begin_ + batch_->num_rows();
  return Status::OK();
}

void SstRows::EncodeBlock(int64_t row) {
  // Grow while the walk is sequential; a jump starts small again.
  const bool forward = row == block_end_;
  const bool backward = row + 1 == block_begin_;
  block_size_ = forward || backward ? std::min(kMaxBlock, block_size_ * 2) : 8;
  if (backward) {
    block_end_ = row + 1;
    block_begin_ = std::max(batch_begin_, block_end_ - block_size_);
  } else {
    block_begin_ = row;
    block_end_ = std::min(batch_end_, row + block_size_);
  }
  block_bytes_.clear();
  block_offsets_.clear();
  info_->codec->EncodeAll(*batch_->Slice(block_begin_ - batch_begin_, block_end_ - block_begin_),
                          &block_bytes_, &block_offsets_);
}

Status SstRows::MoveTo(int64_t row) {
  row_ = row;
  if (row < batch_begin_ || row >= batch_end_) MARBLE_RETURN_NOT_OK(LoadBatch(row));
  if (!info_->keyed()) return Status::OK();
  if (info_->codec->raw()) {
    const arrow::Array& column = *batch_->column(info_->descriptor.key_columns[0]);
    if (arrow::is_large_binary_like(column.type_id())) {
      key_ = static_cast<const arrow::LargeBinaryArray&>(column).GetView(row_in_batch());
    } else {
      key_ = static_cast<const arrow::BinaryArray&>(column).GetView(row_in_batch());
    }
    return Status::OK();
  }
  if (row < block_begin_ || row >= block_end_) EncodeBlock(row);
  const auto i = static_cast<size_t>(row - block_begin_);
  key_ = std::string_view(block_bytes_)
             .substr(block_offsets_[i], block_offsets_[i + 1] - block_offsets_[i]);
  return Status::OK();
}

SequenceNumber SstRows::sequence() const {
  const int column = file_->reader->seq_column();
  if (column < 0) return file_->flat_sequence;
  return batch_->column_data(column)->GetValues<uint64_t>(1)[row_in_batch()];
}

RowKind SstRows::kind() const {
  const int column = file_->reader->kind_column();
  if (column < 0) return RowKind::kPut;
  return static_cast<RowKind>(batch_->column_data(column)->GetValues<uint8_t>(1)[row_in_batch()]);
}

int64_t SstRows::expires() const {
  const int column = file_->reader->expires_column();
  return column < 0 ? 0 : batch_->column_data(column)->GetValues<int64_t>(1)[row_in_batch()];
}

}  // namespace marble::lsm
