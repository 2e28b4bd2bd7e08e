#include "lsm/sst/null_column.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <arrow/array/data.h>
#include <arrow/buffer.h>
#include <arrow/type.h>
#include <arrow/type_traits.h>

#include "base/status.h"

namespace marble::lsm {
namespace {

constexpr int64_t kLeastZeros = 1 << 20;

/// At least so many zeros, never freed. calloc of so much is memory that nobody has touched: it
/// takes no room until somebody writes, and nobody does.
std::shared_ptr<arrow::Buffer> Zeros(int64_t bytes) {
  static auto* const mutex = new std::mutex;
  static auto* const zeros = new std::shared_ptr<arrow::Buffer>;
  std::lock_guard lock(*mutex);
  if (*zeros == nullptr || (*zeros)->size() < bytes) {
    const int64_t size =
        std::max({kLeastZeros, bytes, *zeros == nullptr ? 0 : 2 * (*zeros)->size()});
    const auto* memory = static_cast<const uint8_t*>(std::calloc(static_cast<size_t>(size), 1));
    MARBLE_CHECK(memory != nullptr);
    *zeros = std::make_shared<arrow::Buffer>(memory, size);
  }
  return *zeros;
}

std::shared_ptr<arrow::ArrayData> Make(const std::shared_ptr<arrow::DataType>& type, int64_t rows);

/// A union has no validity of its own: nulls of its first child, in a dense one all the same null.
std::shared_ptr<arrow::ArrayData> MakeUnion(const std::shared_ptr<arrow::DataType>& type,
                                            int64_t rows) {
  const auto& members = static_cast<const arrow::UnionType&>(*type);
  const bool dense = type->id() == arrow::Type::DENSE_UNION;
  std::vector<std::shared_ptr<arrow::Buffer>> buffers{nullptr};
  const int8_t code = members.type_codes().empty() ? int8_t{0} : members.type_codes()[0];
  if (code == 0) {
    buffers.push_back(arrow::SliceBuffer(Zeros(rows), 0, rows));
  } else {
    buffers.push_back(
        arrow::Buffer::FromString(std::string(static_cast<size_t>(rows), static_cast<char>(code))));
  }
  if (dense) buffers.push_back(arrow::SliceBuffer(Zeros(rows * 4), 0, rows * 4));
  std::vector<std::shared_ptr<arrow::ArrayData>> children;
  for (const auto& field : type->fields()) {
    const int64_t one = children.empty() && rows > 0 ? 1 : 0;
    children.push_back(Make(field->type(), dense ? one : rows));
  }
  return std::make_shared<arrow::ArrayData>(type, rows, std::move(buffers), std::move(children), 0);
}

std::shared_ptr<arrow::ArrayData> Make(const std::shared_ptr<arrow::DataType>& type, int64_t rows) {
  std::vector<std::shared_ptr<arrow::Buffer>> buffers;
  std::vector<std::shared_ptr<arrow::ArrayData>> children;
  const auto add = [&](int64_t bytes) {
    // Spans of the length that is asked for: what copies a column copies its buffers.
    buffers.push_back(arrow::SliceBuffer(Zeros(bytes), 0, bytes));
  };
  if (type->id() == arrow::Type::NA) {
    buffers.push_back(nullptr);
    return std::make_shared<arrow::ArrayData>(type, rows, std::move(buffers), rows);
  }
  if (arrow::is_union(type->id())) return MakeUnion(type, rows);
  add((rows + 7) / 8);
  int64_t child_rows = 0;
  switch (type->id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      add((rows + 1) * 4);
      add(0);
      break;
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      add((rows + 1) * 8);
      add(0);
      break;
    case arrow::Type::LIST:
    case arrow::Type::MAP:
      add((rows + 1) * 4);
      break;
    case arrow::Type::LARGE_LIST:
      add((rows + 1) * 8);
      break;
    case arrow::Type::FIXED_SIZE_LIST:
      child_rows = rows * static_cast<const arrow::FixedSizeListType&>(*type).list_size();
      break;
    case arrow::Type::STRUCT:
      child_rows = rows;
      break;
    default:
      add((rows * static_cast<const arrow::FixedWidthType&>(*type).bit_width() + 7) / 8);
      break;
  }
  for (const auto& field : type->fields()) children.push_back(Make(field->type(), child_rows));
  return std::make_shared<arrow::ArrayData>(type, rows, std::move(buffers), std::move(children),
                                            rows);
}

}  // namespace

std::shared_ptr<arrow::ArrayData> NullColumn(const std::shared_ptr<arrow::DataType>& type,
                                             int64_t rows) {
  return Make(type, rows);
}

}  // namespace marble::lsm
