// Fixed-width result columns built in one pass: values straight into a buffer, a validity bitmap
// only when a row is NULL.
#pragma once

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/util/bit_util.h>

#include <memory>
#include <utility>

#include "base/status.h"

namespace marble::expr {

/// Build a column of `rows` values with `value(row, C* out)`, which returns false for NULL.
template <typename C, typename F>
Result<std::shared_ptr<arrow::Array>> BuildFixed(std::shared_ptr<arrow::DataType> type,
                                                 int64_t rows, F&& value) {
  MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> data,
                          arrow::AllocateBuffer(rows * static_cast<int64_t>(sizeof(C))));
  auto* out = reinterpret_cast<C*>(data->mutable_data());
  std::shared_ptr<arrow::Buffer> validity;
  int64_t nulls = 0;
  for (int64_t i = 0; i < rows; ++i) {
    if (value(i, &out[i])) continue;
    if (nulls == 0) {
      MARBLE_ASSIGN_OR_RETURN(validity, arrow::AllocateBitmap(rows));
      std::memset(validity->mutable_data(), 0xff, static_cast<size_t>(validity->size()));
    }
    ++nulls;
    out[i] = C{};
    arrow::bit_util::ClearBit(validity->mutable_data(), i);
  }
  return arrow::MakeArray(
      arrow::ArrayData::Make(std::move(type), rows, {std::move(validity), std::move(data)}, nulls));
}

/// The same for booleans.
template <typename F>
Result<std::shared_ptr<arrow::Array>> BuildBoolean(int64_t rows, F&& value) {
  MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> data, arrow::AllocateEmptyBitmap(rows));
  std::shared_ptr<arrow::Buffer> validity;
  int64_t nulls = 0;
  for (int64_t i = 0; i < rows; ++i) {
    bool bit = false;
    if (value(i, &bit)) {
      if (bit) arrow::bit_util::SetBit(data->mutable_data(), i);
      continue;
    }
    if (nulls == 0) {
      MARBLE_ASSIGN_OR_RETURN(validity, arrow::AllocateBitmap(rows));
      std::memset(validity->mutable_data(), 0xff, static_cast<size_t>(validity->size()));
    }
    ++nulls;
    arrow::bit_util::ClearBit(validity->mutable_data(), i);
  }
  return arrow::MakeArray(arrow::ArrayData::Make(arrow::boolean(), rows,
                                                 {std::move(validity), std::move(data)}, nulls));
}

}  // namespace marble::expr
