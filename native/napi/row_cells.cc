#include "napi/row_cells.h"

#include <arrow/array/data.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/bit_util.h>
#include <arrow/util/decimal.h>
#include <arrow/util/float16.h>

#include <cstring>
#include <string>
#include <string_view>

namespace marble::napi {

namespace {

template <class T>
T ValueAt(const arrow::ArrayData& data, int64_t index) {
  T value;
  std::memcpy(&value, data.buffers[1]->data() + index * sizeof(T), sizeof(T));
  return value;
}

template <class T>
std::string_view BytesAt(const arrow::ArrayData& data, int64_t index) {
  T first = ValueAt<T>(data, index);
  T last = ValueAt<T>(data, index + 1);
  if (last == first) return {};
  return {reinterpret_cast<const char*>(data.buffers[2]->data()) + first,
          static_cast<size_t>(last - first)};
}

}  // namespace

bool HasCells(const arrow::Schema& schema) {
  for (const auto& field : schema.fields()) {
    using arrow::Type;
    switch (field->type()->id()) {
      case Type::BOOL:
      case Type::INT8:
      case Type::INT16:
      case Type::INT32:
      case Type::INT64:
      case Type::UINT8:
      case Type::UINT16:
      case Type::UINT32:
      case Type::UINT64:
      case Type::HALF_FLOAT:
      case Type::FLOAT:
      case Type::DOUBLE:
      case Type::STRING:
      case Type::BINARY:
      case Type::LARGE_STRING:
      case Type::LARGE_BINARY:
      case Type::FIXED_SIZE_BINARY:
      case Type::DECIMAL128:
      case Type::DECIMAL256:
      case Type::DATE32:
      case Type::DATE64:
      case Type::TIME32:
      case Type::TIME64:
      case Type::TIMESTAMP:
      case Type::DURATION:
      case Type::INTERVAL_MONTHS:
      case Type::NA:
        break;
      default:
        return false;
    }
  }
  return true;
}

int64_t WriteRowCells(const arrow::RecordBatch& batch, int64_t row, int num_columns, uint8_t* cells,
                      uint8_t* slab, size_t slab_offset, size_t slab_size) {
  uint8_t* nulls = cells + static_cast<size_t>(num_columns) * 8;
  size_t at = slab_offset;
  for (int column = 0; column < num_columns; ++column) {
    const arrow::ArrayData& data = *batch.column_data(column);
    const int64_t index = data.offset + row;
    uint8_t* cell = cells + static_cast<size_t>(column) * 8;
    const bool null =
        data.type->id() == arrow::Type::NA ||
        (data.buffers[0] != nullptr && !arrow::bit_util::GetBit(data.buffers[0]->data(), index));
    nulls[column] = null ? 1 : 0;
    if (null) continue;
    auto number = [cell](double value) { std::memcpy(cell, &value, 8); };
    auto bytes = [&](std::string_view value) {
      if (at + value.size() > slab_size) return false;
      if (!value.empty()) std::memcpy(slab + at, value.data(), value.size());
      auto offset = static_cast<uint32_t>(at);
      auto length = static_cast<uint32_t>(value.size());
      std::memcpy(cell, &offset, 4);
      std::memcpy(cell + 4, &length, 4);
      at += value.size();
      return true;
    };
    using arrow::Type;
    bool fits = true;
    switch (data.type->id()) {
      case Type::BOOL:
        number(arrow::bit_util::GetBit(data.buffers[1]->data(), index) ? 1 : 0);
        break;
      case Type::INT8:
        number(ValueAt<int8_t>(data, index));
        break;
      case Type::INT16:
        number(ValueAt<int16_t>(data, index));
        break;
      case Type::INT32:
      case Type::DATE32:
      case Type::TIME32:
      case Type::INTERVAL_MONTHS:
        number(ValueAt<int32_t>(data, index));
        break;
      case Type::UINT8:
        number(ValueAt<uint8_t>(data, index));
        break;
      case Type::UINT16:
        number(ValueAt<uint16_t>(data, index));
        break;
      case Type::UINT32:
        number(ValueAt<uint32_t>(data, index));
        break;
      case Type::FLOAT:
        number(ValueAt<float>(data, index));
        break;
      case Type::HALF_FLOAT:
        number(arrow::util::Float16::FromBits(ValueAt<uint16_t>(data, index)).ToDouble());
        break;
      case Type::DOUBLE:
      case Type::INT64:
      case Type::UINT64:
      case Type::DATE64:
      case Type::TIME64:
      case Type::TIMESTAMP:
      case Type::DURATION:
        std::memcpy(cell, data.buffers[1]->data() + index * 8, 8);
        break;
      case Type::STRING:
      case Type::BINARY:
        fits = bytes(BytesAt<int32_t>(data, index));
        break;
      case Type::LARGE_STRING:
      case Type::LARGE_BINARY:
        fits = bytes(BytesAt<int64_t>(data, index));
        break;
      case Type::FIXED_SIZE_BINARY: {
        int width = data.type->byte_width();
        fits = bytes({reinterpret_cast<const char*>(data.buffers[1]->data()) + index * width,
                      static_cast<size_t>(width)});
        break;
      }
      case Type::DECIMAL128: {
        arrow::Decimal128 value(data.buffers[1]->data() + index * 16);
        fits = bytes(value.ToString(static_cast<const arrow::Decimal128Type&>(*data.type).scale()));
        break;
      }
      case Type::DECIMAL256: {
        arrow::Decimal256 value(data.buffers[1]->data() + index * 32);
        fits = bytes(value.ToString(static_cast<const arrow::Decimal256Type&>(*data.type).scale()));
        break;
      }
      default:
        break;
    }
    if (!fits) return kCellsNoRoom;
  }
  return static_cast<int64_t>(at - slab_offset);
}

}  // namespace marble::napi
