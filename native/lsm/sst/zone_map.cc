#include "lsm/sst/zone_map.h"

#include <limits>
#include <type_traits>

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <arrow/type_traits.h>
#include <arrow/util/bit_util.h>
#include <arrow/util/decimal.h>
#include <arrow/util/utf8.h>

#include "base/coding.h"
#include "base/key_codec.h"

namespace marble::lsm {
namespace {

constexpr uint8_t kHasMin = 1;
constexpr uint8_t kHasMax = 2;

/// What could be found out about one column.
struct Bounds {
  std::optional<std::string> min;
  std::optional<std::string> max;
};

bool IsText(const arrow::DataType& type) {
  return type.id() == arrow::Type::STRING || type.id() == arrow::Type::LARGE_STRING;
}

template <typename T>
std::string BytesOf(const T& value) {
  std::string out;
  PutFixed<T>(&out, value);
  return out;
}

template <typename T>
Bounds NumberBounds(const arrow::ArrayData& data) {
  const T* values = data.GetValues<T>(1);
  const uint8_t* validity = data.GetNullCount() == 0 ? nullptr : data.buffers[0]->data();
  bool any = false;
  T min{};
  T max{};
  for (int64_t i = 0; i < data.length; ++i) {
    if (validity != nullptr && !arrow::bit_util::GetBit(validity, data.offset + i)) continue;
    const T value = values[i];
    if constexpr (std::is_floating_point_v<T>) {
      if (value != value) return {};  // NaN: comparisons with bounds would lie
    }
    if (!any) {
      min = max = value;
      any = true;
    } else {
      min = value < min ? value : min;
      max = max < value ? value : max;
    }
  }
  if (!any) return {};
  return {BytesOf(min), BytesOf(max)};
}

Bounds BoolBounds(const arrow::ArrayData& data) {
  const arrow::BooleanArray array(std::make_shared<arrow::ArrayData>(data));
  const int64_t valid = array.length() - array.null_count();
  if (valid == 0) return {};
  const int64_t trues = array.true_count();
  return {std::string(1, trues == valid ? '\1' : '\0'), std::string(1, trues > 0 ? '\1' : '\0')};
}

template <typename Decimal>
Bounds DecimalBounds(const arrow::ArrayData& data) {
  constexpr size_t kWidth = sizeof(Decimal);
  const uint8_t* values = data.buffers[1]->data() + data.offset * kWidth;
  const uint8_t* validity = data.GetNullCount() == 0 ? nullptr : data.buffers[0]->data();
  int64_t min_row = -1;
  int64_t max_row = -1;
  Decimal min;
  Decimal max;
  for (int64_t i = 0; i < data.length; ++i) {
    if (validity != nullptr && !arrow::bit_util::GetBit(validity, data.offset + i)) continue;
    const Decimal value(values + i * kWidth);
    if (min_row < 0 || value < min) {
      min = value;
      min_row = i;
    }
    if (max_row < 0 || value > max) {
      max = value;
      max_row = i;
    }
  }
  if (min_row < 0) return {};
  const auto bytes = [&](int64_t row) {
    return std::string(reinterpret_cast<const char*>(values + row * kWidth), kWidth);
  };
  return {bytes(min_row), bytes(max_row)};
}

bool IsContinuation(char byte) { return (static_cast<uint8_t>(byte) & 0xc0) == 0x80; }

/// The longest prefix of at most kZoneStringBytes that ends between characters.
std::string_view TextPrefix(std::string_view text) {
  size_t end = kZoneStringBytes;
  while (end > 0 && IsContinuation(text[end])) --end;
  return text.substr(0, end);
}

/// The code point of one well-formed character.
uint32_t DecodeCharacter(std::string_view character) {
  const auto lead = static_cast<uint8_t>(character[0]);
  uint32_t code = character.size() == 1 ? lead : lead & (0x7f >> character.size());
  for (const char byte : character.substr(1)) {
    code = code << 6 | (static_cast<uint8_t>(byte) & 0x3f);
  }
  return code;
}

void AppendCharacter(std::string* out, uint32_t code) {
  const auto tail = [code](int shift) { return static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) {
    *out += static_cast<char>(code);
  } else if (code < 0x800) {
    *out += {static_cast<char>(0xc0 | code >> 6), tail(0)};
  } else if (code < 0x10000) {
    *out += {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  } else {
    *out += {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
  }
}

/// Valid UTF-8 above every text that starts with `prefix`; nothing when there is none. The order
/// of bytes is the order of code points.
std::optional<std::string> TextSuccessor(std::string_view prefix) {
  arrow::util::InitializeUTF8();
  if (!arrow::util::ValidateUTF8(prefix)) return std::nullopt;
  while (!prefix.empty()) {
    size_t start = prefix.size() - 1;
    while (IsContinuation(prefix[start])) --start;
    uint32_t code = DecodeCharacter(prefix.substr(start));
    prefix = prefix.substr(0, start);
    if (code == 0x10ffff) continue;
    if (++code == 0xd800) code = 0xe000;  // surrogates are not characters
    std::string out(prefix);
    AppendCharacter(&out, code);
    return out;
  }
  return std::nullopt;
}

template <typename Offset>
Bounds BinaryBounds(const arrow::ArrayData& data) {
  const auto* offsets = data.GetValues<Offset>(1);
  const auto* bytes =
      data.buffers[2] == nullptr ? nullptr : reinterpret_cast<const char*>(data.buffers[2]->data());
  const uint8_t* validity = data.GetNullCount() == 0 ? nullptr : data.buffers[0]->data();
  bool any = false;
  std::string_view min;
  std::string_view max;
  for (int64_t i = 0; i < data.length; ++i) {
    if (validity != nullptr && !arrow::bit_util::GetBit(validity, data.offset + i)) continue;
    const std::string_view value(bytes + offsets[i],
                                 static_cast<size_t>(offsets[i + 1] - offsets[i]));
    if (!any) {
      min = max = value;
      any = true;
    } else if (value < min) {
      min = value;
    } else if (value > max) {
      max = value;
    }
  }
  if (!any) return {};
  Bounds bounds;
  const bool text = IsText(*data.type);
  const auto prefix = [text](std::string_view value) {
    return text ? TextPrefix(value) : value.substr(0, kZoneStringBytes);
  };
  bounds.min = min.size() <= kZoneStringBytes ? min : prefix(min);
  if (max.size() <= kZoneStringBytes) {
    bounds.max = max;
  } else if (text) {
    bounds.max = TextSuccessor(prefix(max));
  } else {
    bounds.max = PrefixSuccessor(prefix(max));
    if (bounds.max->empty()) bounds.max.reset();
  }
  return bounds;
}

Bounds BoundsOf(const arrow::ArrayData& data) {
  switch (data.type->id()) {
    case arrow::Type::BOOL:
      return BoolBounds(data);
    case arrow::Type::INT8:
      return NumberBounds<int8_t>(data);
    case arrow::Type::INT16:
      return NumberBounds<int16_t>(data);
    case arrow::Type::INT32:
    case arrow::Type::DATE32:
    case arrow::Type::TIME32:
      return NumberBounds<int32_t>(data);
    case arrow::Type::INT64:
    case arrow::Type::DATE64:
    case arrow::Type::TIME64:
    case arrow::Type::TIMESTAMP:
    case arrow::Type::DURATION:
      return NumberBounds<int64_t>(data);
    case arrow::Type::UINT8:
      return NumberBounds<uint8_t>(data);
    case arrow::Type::UINT16:
      return NumberBounds<uint16_t>(data);
    case arrow::Type::UINT32:
      return NumberBounds<uint32_t>(data);
    case arrow::Type::UINT64:
      return NumberBounds<uint64_t>(data);
    case arrow::Type::FLOAT:
      return NumberBounds<float>(data);
    case arrow::Type::DOUBLE:
      return NumberBounds<double>(data);
    case arrow::Type::DECIMAL32:
      return NumberBounds<int32_t>(data);
    case arrow::Type::DECIMAL64:
      return NumberBounds<int64_t>(data);
    case arrow::Type::DECIMAL128:
      return DecimalBounds<arrow::Decimal128>(data);
    case arrow::Type::DECIMAL256:
      return DecimalBounds<arrow::Decimal256>(data);
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      return BinaryBounds<int32_t>(data);
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      return BinaryBounds<int64_t>(data);
    default:
      return {};
  }
}

/// A scalar of a fixed-width type from its bytes as they lie in an Arrow buffer.
std::shared_ptr<arrow::Scalar> ScalarOf(const std::shared_ptr<arrow::DataType>& type,
                                        std::string_view bytes) {
  if (arrow::is_base_binary_like(type->id())) {
    auto scalar = arrow::MakeScalar(type, arrow::Buffer::FromString(std::string(bytes)));
    return scalar.ok() ? *scalar : nullptr;
  }
  if (!arrow::is_fixed_width(type->id())) return nullptr;
  const int bits = static_cast<const arrow::FixedWidthType&>(*type).bit_width();
  if (bytes.size() != static_cast<size_t>(bits + 7) / 8) return nullptr;
  auto data =
      arrow::ArrayData::Make(type, 1, {nullptr, arrow::Buffer::FromString(std::string(bytes))}, 0);
  auto scalar = arrow::MakeArray(data)->GetScalar(0);
  return scalar.ok() ? *scalar : nullptr;
}

}  // namespace

std::string EncodeZone(const arrow::ArrayData& column) {
  const Bounds bounds = BoundsOf(column);
  std::string out;
  out.push_back(static_cast<char>((bounds.min ? kHasMin : 0) | (bounds.max ? kHasMax : 0)));
  int64_t nulls = column.GetNullCount();
  if (column.type->id() == arrow::Type::NA) nulls = column.length;
  // A union has no validity of its own: its values are asked.
  if (arrow::is_union(column.type->id())) nulls = column.ComputeLogicalNullCount();
  PutVarint(&out, static_cast<uint64_t>(nulls));
  if (bounds.min) PutLengthPrefixed(&out, *bounds.min);
  if (bounds.max) PutLengthPrefixed(&out, *bounds.max);
  return out;
}

SstReader::ZoneMap DecodeZone(const std::shared_ptr<arrow::DataType>& type,
                              std::string_view entry) {
  SstReader::ZoneMap unknown;
  Decoder in(entry);
  uint8_t flags = 0;
  uint64_t nulls = 0;
  if (!in.Fixed(&flags) || !in.Varint(&nulls)) return unknown;
  if (nulls > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return unknown;
  SstReader::ZoneMap zone;
  zone.null_count = static_cast<int64_t>(nulls);
  std::string_view bytes;
  if ((flags & kHasMin) != 0) {
    if (!in.LengthPrefixed(&bytes)) return unknown;
    zone.min = ScalarOf(type, bytes);
  }
  if ((flags & kHasMax) != 0) {
    if (!in.LengthPrefixed(&bytes)) return unknown;
    zone.max = ScalarOf(type, bytes);
  }
  return zone;
}

void ZoneMapBuilder::AddBatch(const std::vector<std::shared_ptr<arrow::ArrayData>>& columns) {
  for (int i = 0; i < num_columns_; ++i) {
    entries_ += EncodeZone(*columns[i]);
    offsets_.push_back(entries_.size());
  }
}

Result<std::string> ZoneMapBuilder::Finish() const {
  if (entries_.size() > std::numeric_limits<uint32_t>::max()) {
    return MakeError(ErrorCode::kTooLarge, "the zone maps of one file exceed 4 GiB");
  }
  std::string out;
  PutFixed<uint32_t>(&out, static_cast<uint32_t>(num_columns_));
  PutFixed<uint32_t>(&out, static_cast<uint32_t>(offsets_.size() - 1));
  for (const uint64_t offset : offsets_) PutFixed<uint32_t>(&out, static_cast<uint32_t>(offset));
  out += entries_;
  return out;
}

std::optional<ZoneMaps> ZoneMaps::Parse(std::string_view section, uint64_t batches, int columns) {
  Decoder in(section);
  uint32_t num_columns = 0;
  uint32_t count = 0;
  if (!in.Fixed(&num_columns) || !in.Fixed(&count)) return std::nullopt;
  if (num_columns != static_cast<uint32_t>(columns) || count != batches * num_columns) {
    return std::nullopt;
  }
  ZoneMaps maps;
  if (!in.Bytes((size_t{count} + 1) * 4, &maps.offsets_)) return std::nullopt;
  in.Bytes(in.remaining(), &maps.entries_);
  maps.columns_ = columns;
  return maps;
}

std::string_view ZoneMaps::entry(int64_t batch, int column) const {
  const size_t i = static_cast<size_t>(batch) * columns_ + column;
  const auto from = LoadFixed<uint32_t>(offsets_.data() + i * 4);
  const auto to = LoadFixed<uint32_t>(offsets_.data() + (i + 1) * 4);
  if (from > to || to > entries_.size()) return {};
  return entries_.substr(from, to - from);
}

}  // namespace marble::lsm
