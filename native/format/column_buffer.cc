#include "format/column_buffer.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/type.h>
#include <arrow/util/bit_util.h>

#include <algorithm>

namespace marble::format {

Result<std::unique_ptr<ColumnBuffer>> ColumnBuffer::Make(std::shared_ptr<arrow::DataType> type) {
  std::unique_ptr<ColumnBuffer> column(new ColumnBuffer());
  column->type_ = type;
  const auto add_child = [&](const std::shared_ptr<arrow::DataType>& child) -> Status {
    MARBLE_ASSIGN_OR_RETURN(auto buffer, Make(child));
    column->children_.push_back(std::move(buffer));
    return Status::OK();
  };
  switch (type->id()) {
    case arrow::Type::BOOL:
      column->kind_ = Kind::kBool;
      column->width_ = 1;
      break;
    case arrow::Type::INT8:
    case arrow::Type::INT16:
    case arrow::Type::INT32:
    case arrow::Type::INT64:
    case arrow::Type::FLOAT:
    case arrow::Type::DOUBLE:
    case arrow::Type::DECIMAL128:
    case arrow::Type::DATE32:
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
    case arrow::Type::TIMESTAMP:
      column->kind_ = Kind::kFixed;
      column->width_ = static_cast<const arrow::FixedWidthType&>(*type).bit_width() / 8;
      break;
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      column->kind_ = Kind::kBytes;
      column->width_ = sizeof(int32_t);
      break;
    case arrow::Type::STRUCT:
      column->kind_ = Kind::kStruct;
      for (const auto& field : type->fields()) MARBLE_RETURN_NOT_OK(add_child(field->type()));
      break;
    case arrow::Type::LIST:
      column->kind_ = Kind::kList;
      column->width_ = sizeof(int32_t);
      MARBLE_RETURN_NOT_OK(add_child(static_cast<const arrow::ListType&>(*type).value_type()));
      break;
    case arrow::Type::MAP: {
      column->kind_ = Kind::kMap;
      column->width_ = sizeof(int32_t);
      const auto& map = static_cast<const arrow::MapType&>(*type);
      MARBLE_RETURN_NOT_OK(add_child(map.key_type()));
      MARBLE_RETURN_NOT_OK(add_child(map.item_type()));
      break;
    }
    default:
      return MakeError(ErrorCode::kNotSupported,
                       "a column of type " + type->ToString() + " cannot be read from records");
  }
  return column;
}

int64_t ColumnBuffer::bytes() const {
  int64_t total = length_ * (width_ + 1) + data_.length();
  for (const auto& child : children_) total += child->bytes();
  return total;
}

Status ColumnBuffer::Grow() {
  // A first growth takes what the batch before needed: batches of one source are alike.
  const int64_t capacity = capacity_ == 0 ? row_hint_ : capacity_ * 2;
  // One value more than rows: the end offset.
  MARBLE_RETURN_NOT_OK(validity_.Resize(capacity, /*shrink_to_fit=*/false));
  MARBLE_RETURN_NOT_OK(values_.Resize((capacity + 1) * width_, /*shrink_to_fit=*/false));
  if (capacity_ == 0) {
    if (varying()) std::memset(values_.mutable_data(), 0, sizeof(int32_t));
    if (kind_ == Kind::kBytes) MARBLE_RETURN_NOT_OK(data_.Reserve(byte_hint_));
  }
  capacity_ = capacity;
  return Status::OK();
}

Status ColumnBuffer::TooLarge() const {
  return MakeError(ErrorCode::kTooLarge, "a column of one batch would hold more than 2 GiB");
}

Status ColumnBuffer::CloseVarying() {
  const int64_t end = kind_ == Kind::kBytes ? data_.length() : ChildLength();
  if (end > INT32_MAX) return TooLarge();
  validity_.mutable_data()[length_++] = 1;
  const auto offset = static_cast<int32_t>(end);
  std::memcpy(values_.mutable_data() + length_ * sizeof(int32_t), &offset, sizeof(offset));
  return Status::OK();
}

Status ColumnBuffer::AppendNested() {
  if (length_ == capacity_) MARBLE_RETURN_NOT_OK(Grow());
  if (kind_ != Kind::kStruct) return CloseVarying();
  validity_.mutable_data()[length_++] = 1;
  return Status::OK();
}

Status ColumnBuffer::AppendNull() {
  if (length_ == capacity_) MARBLE_RETURN_NOT_OK(Grow());
  if (varying()) {
    MARBLE_RETURN_NOT_OK(CloseVarying());
  } else {
    if (width_ > 0) {
      std::memset(values_.mutable_data() + length_ * width_, 0, static_cast<size_t>(width_));
    }
    ++length_;
    for (const auto& child : children_) MARBLE_RETURN_NOT_OK(child->AppendNull());
  }
  validity_.mutable_data()[length_ - 1] = 0;
  ++nulls_;
  return Status::OK();
}

void ColumnBuffer::Truncate(int64_t length) {
  for (int64_t i = length; i < length_; ++i) nulls_ -= validity_.data()[i] == 0;
  length_ = std::min(length_, length);
  if (kind_ == Kind::kStruct) {
    for (const auto& child : children_) child->Truncate(length_);
  } else if (varying()) {
    const int32_t end = capacity_ == 0 ? 0 : offsets()[length_];
    if (kind_ == Kind::kBytes) {
      data_.Rewind(end);
    } else {
      for (const auto& child : children_) child->Truncate(end);
    }
  }
}

Result<std::shared_ptr<arrow::ArrayData>> ColumnBuffer::FinishData() {
  if (capacity_ == 0) MARBLE_RETURN_NOT_OK(Grow());
  row_hint_ = std::clamp<int64_t>(length_ + length_ / 8, kMinRows, kMaxHintRows);
  byte_hint_ = std::min<int64_t>(data_.length() + data_.length() / 8, kMaxHintBytes);
  std::shared_ptr<arrow::Buffer> bitmap;
  if (nulls_ > 0) {
    MARBLE_ASSIGN_OR_RETURN(bitmap, arrow::AllocateEmptyBitmap(length_));
    for (int64_t i = 0; i < length_; ++i) {
      if (validity_.data()[i] != 0) arrow::bit_util::SetBit(bitmap->mutable_data(), i);
    }
  }
  std::vector<std::shared_ptr<arrow::Buffer>> buffers{bitmap};
  std::vector<std::shared_ptr<arrow::ArrayData>> children;
  for (const auto& child : children_) {
    MARBLE_ASSIGN_OR_RETURN(auto data, child->FinishData());
    children.push_back(std::move(data));
  }
  if (kind_ == Kind::kBool) {
    MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> bits,
                            arrow::AllocateEmptyBitmap(length_));
    for (int64_t i = 0; i < length_; ++i) {
      if (values_.data()[i] != 0) arrow::bit_util::SetBit(bits->mutable_data(), i);
    }
    buffers.push_back(std::move(bits));
  } else if (kind_ != Kind::kStruct) {
    const int64_t values = varying() ? length_ + 1 : length_;
    MARBLE_ASSIGN_OR_RETURN(auto buffer,
                            values_.FinishWithLength(values * width_, /*shrink_to_fit=*/false));
    buffers.push_back(std::move(buffer));
  }
  if (kind_ == Kind::kBytes) {
    MARBLE_ASSIGN_OR_RETURN(auto buffer, data_.Finish(/*shrink_to_fit=*/false));
    buffers.push_back(std::move(buffer));
  } else if (kind_ == Kind::kMap) {
    // A map's one child is the struct of its entries.
    const auto& map = static_cast<const arrow::MapType&>(*type_);
    const int64_t entries = children[0]->length;
    children = {arrow::ArrayData::Make(map.value_type(), entries, {nullptr}, std::move(children),
                                       /*null_count=*/0)};
  }
  auto data =
      arrow::ArrayData::Make(type_, length_, std::move(buffers), std::move(children), nulls_);
  validity_.Reset();
  values_.Reset();
  data_.Reset();
  length_ = capacity_ = nulls_ = 0;
  return data;
}

Result<std::shared_ptr<arrow::Array>> ColumnBuffer::Finish() {
  MARBLE_ASSIGN_OR_RETURN(auto data, FinishData());
  return arrow::MakeArray(data);
}

}  // namespace marble::format
