// One column being gathered row by row: plain growing memory that becomes an Arrow array without
// a copy. Arrow's builders cost a virtual call and a Status a value; a decoder appends millions a
// second, and must take a row back when a later field of it is bad (Truncate), which they cannot.
//
// Validity is kept as a byte a row and packed in Finish, only if there was a null. Nested columns
// own their children: a struct's have its length, a list's and a map's are addressed by offsets.
// One thread. Invariant: the children of a struct are as long as it is between two rows.
#pragma once

#include <arrow/buffer_builder.h>
#include <arrow/type_fwd.h>

#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace marble::format {

class ColumnBuffer {
 public:
  enum class Kind { kBool, kFixed, kBytes, kStruct, kList, kMap };

  /// kNotSupported names a type that cannot be gathered.
  static Result<std::unique_ptr<ColumnBuffer>> Make(std::shared_ptr<arrow::DataType> type);

  int64_t length() const { return length_; }
  int64_t bytes() const;

  Status AppendNull();
  /// T's size is the type's width; bool is uint8_t 0 or 1.
  template <typename T>
  Status AppendFixed(T value) {
    if (length_ == capacity_) ARROW_RETURN_NOT_OK(Grow());
    MARBLE_DCHECK(static_cast<int>(sizeof(T)) == width_);
    std::memcpy(values_.mutable_data() + length_ * sizeof(T), &value, sizeof(T));
    validity_.mutable_data()[length_++] = 1;
    return Status::OK();
  }
  /// utf8 and binary. The caller vouches for UTF-8.
  Status AppendBytes(std::string_view value) {
    if (length_ == capacity_) ARROW_RETURN_NOT_OK(Grow());
    ARROW_RETURN_NOT_OK(data_.Append(value.data(), static_cast<int64_t>(value.size())));
    if (data_.length() > INT32_MAX) return TooLarge();
    return CloseVarying();
  }
  /// After its children's values were appended: one row for a struct; for a list or a map all
  /// that was added to the children since the last row.
  Status AppendNested();

  /// Forget all rows from `length` on.
  void Truncate(int64_t length);

  /// The rows so far; the buffer is empty afterwards.
  Result<std::shared_ptr<arrow::Array>> Finish();

  Kind kind() const { return kind_; }
  const std::shared_ptr<arrow::DataType>& type() const { return type_; }
  /// struct: its fields; list: its item; map: key, item.
  ColumnBuffer* child(size_t i) { return children_[i].get(); }
  size_t num_children() const { return children_.size(); }

 private:
  ColumnBuffer() = default;
  Result<std::shared_ptr<arrow::ArrayData>> FinishData();
  Status Grow();
  Status CloseVarying();
  Status TooLarge() const;
  const int32_t* offsets() const { return reinterpret_cast<const int32_t*>(values_.data()); }
  bool varying() const {
    return kind_ == Kind::kBytes || kind_ == Kind::kList || kind_ == Kind::kMap;
  }
  int64_t ChildLength() const { return children_[0]->length(); }

  std::shared_ptr<arrow::DataType> type_;
  Kind kind_ = Kind::kFixed;
  int width_ = 0;  // bytes a value; 4 (an offset) for varying kinds; 0 for structs
  int64_t length_ = 0;
  int64_t capacity_ = 0;  // rows that fit validity_ and values_
  int64_t nulls_ = 0;
  static constexpr int64_t kMinRows = 256;
  static constexpr int64_t kMaxHintRows = 1 << 20;
  static constexpr int64_t kMaxHintBytes = 8 << 20;
  int64_t row_hint_ = kMinRows;  // what the batch before needed
  int64_t byte_hint_ = 0;
  arrow::BufferBuilder validity_;  // sizes are managed by length_: only their memory is used
  arrow::BufferBuilder values_;
  arrow::BufferBuilder data_;
  std::vector<std::unique_ptr<ColumnBuffer>> children_;
};

}  // namespace marble::format
