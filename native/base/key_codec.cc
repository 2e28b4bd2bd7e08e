#include "base/key_codec.h"

#include <arrow/api.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/coding.h"

namespace marble {
namespace {

// Native-level layout of FORMAT.md, "Keys".
constexpr uint8_t kValuePrefix = 0x01;
constexpr uint8_t kNullPrefix = 0x02;
constexpr uint8_t kEscape = 0x00;
constexpr uint8_t kEscapedZero = 0xff;
constexpr uint8_t kTerminator = 0x01;

template <typename U>
U ToBigEndian(U value) {
  if constexpr (sizeof(U) == 1) return value;
  if constexpr (sizeof(U) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(U) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(U) == 8) return __builtin_bswap64(value);
}

/// How the values of one physical type lie in an Arrow buffer, become an unsigned number that
/// orders as they do, and come back.
template <typename T>
struct Number {
  using Value = T;
  using Bits = std::conditional_t<
      sizeof(T) == 1, uint8_t,
      std::conditional_t<sizeof(T) == 2, uint16_t,
                         std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>>;
  static constexpr size_t kWidth = sizeof(T);
  static constexpr Bits kSign = Bits{1} << (8 * sizeof(T) - 1);

  static T Load(const arrow::ArrayData& data, int64_t row) { return data.GetValues<T>(1)[row]; }
  static Bits Ordered(T value) {
    if constexpr (std::is_floating_point_v<T>) {
      if (value == 0) value = 0;  // -0 and +0 are one key
      if (value != value) value = std::numeric_limits<T>::quiet_NaN();
      const auto bits = std::bit_cast<Bits>(value);
      return (bits & kSign) ? static_cast<Bits>(~bits) : static_cast<Bits>(bits | kSign);
    } else if constexpr (std::is_signed_v<T>) {
      return static_cast<Bits>(static_cast<Bits>(value) ^ kSign);
    } else {
      return value;
    }
  }
  static T FromOrdered(Bits bits) {
    if constexpr (std::is_floating_point_v<T>) {
      bits = (bits & kSign) ? static_cast<Bits>(bits ^ kSign) : static_cast<Bits>(~bits);
      return std::bit_cast<T>(bits);
    } else if constexpr (std::is_signed_v<T>) {
      return static_cast<T>(bits ^ kSign);
    } else {
      return bits;
    }
  }
  static void Encode(T value, uint8_t* to) { StoreFixed(to, ToBigEndian(Ordered(value))); }
  static T Decode(const uint8_t* from) { return FromOrdered(ToBigEndian(LoadFixed<Bits>(from))); }
  static int Compare(T a, T b) {
    const Bits left = Ordered(a);
    const Bits right = Ordered(b);
    return left < right ? -1 : left > right;
  }
};

struct Bool {
  using Value = bool;
  static constexpr size_t kWidth = 1;
  static bool Load(const arrow::ArrayData& data, int64_t row) {
    return arrow::bit_util::GetBit(data.buffers[1]->data(), data.offset + row);
  }
  static void Encode(bool value, uint8_t* to) { *to = value ? 1 : 0; }
  static bool Decode(const uint8_t* from) { return *from != 0; }
  static int Compare(bool a, bool b) { return int{a} - int{b}; }
};

struct Decimal {
  using Value = arrow::Decimal128;
  static constexpr size_t kWidth = 16;
  static Value Load(const arrow::ArrayData& data, int64_t row) {
    return Value(data.buffers[1]->data() + 16 * (data.offset + row));
  }
  static void Encode(const Value& value, uint8_t* to) {
    Number<int64_t>::Encode(value.high_bits(), to);
    Number<uint64_t>::Encode(value.low_bits(), to + 8);
  }
  static Value Decode(const uint8_t* from) {
    return Value(Number<int64_t>::Decode(from), Number<uint64_t>::Decode(from + 8));
  }
  static int Compare(const Value& a, const Value& b) { return a < b ? -1 : b < a; }
};

template <typename Offset>
std::string_view LoadBytes(const arrow::ArrayData& data, int64_t row) {
  const Offset* offsets = data.GetValues<Offset>(1);
  const auto* bytes = data.buffers[2] == nullptr
                          ? nullptr
                          : reinterpret_cast<const char*>(data.buffers[2]->data()) + offsets[row];
  return {bytes, static_cast<size_t>(offsets[row + 1] - offsets[row])};
}

enum class Kind : uint8_t {
  kBool,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFloat,
  kDouble,
  kDecimal,
  kBytes,
  kLargeBytes,
};

bool IsBytes(Kind kind) { return kind == Kind::kBytes || kind == Kind::kLargeBytes; }

/// Call `f` with the traits of a fixed-width kind.
template <typename F>
auto VisitFixed(Kind kind, F&& f) {
  switch (kind) {
    case Kind::kBool:
      return f(Bool{});
    case Kind::kInt8:
      return f(Number<int8_t>{});
    case Kind::kInt16:
      return f(Number<int16_t>{});
    case Kind::kInt32:
      return f(Number<int32_t>{});
    case Kind::kInt64:
      return f(Number<int64_t>{});
    case Kind::kUint8:
      return f(Number<uint8_t>{});
    case Kind::kUint16:
      return f(Number<uint16_t>{});
    case Kind::kUint32:
      return f(Number<uint32_t>{});
    case Kind::kUint64:
      return f(Number<uint64_t>{});
    case Kind::kFloat:
      return f(Number<float>{});
    case Kind::kDouble:
      return f(Number<double>{});
    case Kind::kDecimal:
      return f(Decimal{});
    case Kind::kBytes:
    case Kind::kLargeBytes:
      break;
  }
  MARBLE_CHECK(false);
}

bool KindOf(const arrow::DataType& type, Kind* kind) {
  using arrow::Type;
  switch (type.id()) {
    case Type::BOOL:
      *kind = Kind::kBool;
      return true;
    case Type::INT8:
      *kind = Kind::kInt8;
      return true;
    case Type::INT16:
      *kind = Kind::kInt16;
      return true;
    case Type::INT32:
    case Type::DATE32:
    case Type::TIME32:
      *kind = Kind::kInt32;
      return true;
    case Type::INT64:
    case Type::DATE64:
    case Type::TIME64:
    case Type::TIMESTAMP:
    case Type::DURATION:
      *kind = Kind::kInt64;
      return true;
    case Type::UINT8:
      *kind = Kind::kUint8;
      return true;
    case Type::UINT16:
      *kind = Kind::kUint16;
      return true;
    case Type::UINT32:
      *kind = Kind::kUint32;
      return true;
    case Type::UINT64:
      *kind = Kind::kUint64;
      return true;
    case Type::FLOAT:
      *kind = Kind::kFloat;
      return true;
    case Type::DOUBLE:
      *kind = Kind::kDouble;
      return true;
    case Type::DECIMAL128:
      *kind = Kind::kDecimal;
      return true;
    case Type::STRING:
    case Type::BINARY:
      *kind = Kind::kBytes;
      return true;
    case Type::LARGE_STRING:
    case Type::LARGE_BINARY:
      *kind = Kind::kLargeBytes;
      return true;
    default:
      return false;
  }
}

struct Column {
  int index;
  std::string name;
  std::shared_ptr<arrow::DataType> type;
  Kind kind;
  bool nullable;
  bool last;     // bytes of the last key column are neither escaped nor terminated
  size_t width;  // of a value without prefix; 0 for bytes
};

std::string_view BytesOf(const Column& column, const arrow::ArrayData& data, int64_t row) {
  return column.kind == Kind::kBytes ? LoadBytes<int32_t>(data, row)
                                     : LoadBytes<int64_t>(data, row);
}

size_t EncodedBytesSize(const Column& column, std::string_view bytes) {
  if (column.last) return bytes.size();
  return bytes.size() + 2 + static_cast<size_t>(std::count(bytes.begin(), bytes.end(), '\0'));
}

uint8_t* EncodeBytes(const Column& column, std::string_view bytes, uint8_t* to) {
  if (column.last) {
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    return to + bytes.size();
  }
  while (!bytes.empty()) {
    // Runs without a zero are copied whole: nearly every text is one.
    const void* zero = std::memchr(bytes.data(), 0, bytes.size());
    const size_t run = zero == nullptr
                           ? bytes.size()
                           : static_cast<size_t>(static_cast<const char*>(zero) - bytes.data());
    std::memcpy(to, bytes.data(), run);
    to += run;
    bytes.remove_prefix(run);
    if (zero == nullptr) break;
    *to++ = kEscape;
    *to++ = kEscapedZero;
    bytes.remove_prefix(1);
  }
  *to++ = kEscape;
  *to++ = kTerminator;
  return to;
}

void AppendBytes(const Column& column, std::string_view bytes, std::string* out) {
  const size_t old_size = out->size();
  out->resize(old_size + EncodedBytesSize(column, bytes));
  EncodeBytes(column, bytes, reinterpret_cast<uint8_t*>(out->data()) + old_size);
}

/// Rows of one size: row i of a column lies at first + i * stride.
struct StridedRows {
  uint8_t* first;
  size_t stride;
  uint8_t* Take(int64_t row, size_t) { return first + static_cast<size_t>(row) * stride; }
};

/// Rows of different sizes: a cursor per row.
struct RaggedRows {
  uint8_t* base;
  uint32_t* cursors;
  uint8_t* Take(int64_t row, size_t bytes) {
    uint8_t* at = base + cursors[row];
    cursors[row] += static_cast<uint32_t>(bytes);
    return at;
  }
};

template <typename Rows>
void EncodeFixedColumn(const Column& column, const arrow::ArrayData& data, int64_t rows, Rows out) {
  VisitFixed(column.kind, [&](auto traits) {
    using Traits = decltype(traits);
    constexpr size_t kWidth = Traits::kWidth;
    if (!column.nullable) {
      for (int64_t i = 0; i < rows; ++i) {
        Traits::Encode(Traits::Load(data, i), out.Take(i, kWidth));
      }
      return;
    }
    const bool has_nulls = data.GetNullCount() != 0;
    for (int64_t i = 0; i < rows; ++i) {
      if (has_nulls && data.IsNull(i)) {
        *out.Take(i, 1) = kNullPrefix;
        continue;
      }
      uint8_t* to = out.Take(i, 1 + kWidth);
      *to = kValuePrefix;
      Traits::Encode(Traits::Load(data, i), to + 1);
    }
  });
}

class KeyCodecImpl final : public KeyCodec {
 public:
  explicit KeyCodecImpl(std::vector<Column> columns) : columns_(std::move(columns)) {
    const Column& first = columns_.front();
    raw_ = columns_.size() == 1 && !first.nullable && IsBytes(first.kind);
  }

  void Encode(const arrow::RecordBatch& batch, int64_t row, std::string* out) const override {
    for (const Column& column : columns_) {
      const arrow::ArrayData& data = *batch.column_data(column.index);
      if (column.nullable) {
        const bool null = data.IsNull(row);
        out->push_back(static_cast<char>(null ? kNullPrefix : kValuePrefix));
        if (null) continue;
      }
      if (IsBytes(column.kind)) {
        AppendBytes(column, BytesOf(column, data, row), out);
        continue;
      }
      uint8_t buffer[16];
      VisitFixed(column.kind, [&](auto traits) {
        using Traits = decltype(traits);
        Traits::Encode(Traits::Load(data, row), buffer);
      });
      out->append(reinterpret_cast<const char*>(buffer), column.width);
    }
  }

  void EncodeAll(const arrow::RecordBatch& batch, std::string* bytes,
                 std::vector<uint32_t>* offsets) const override {
    const int64_t rows = batch.num_rows();
    bytes->clear();
    offsets->assign(static_cast<size_t>(rows) + 1, 0);
    size_t stride = 0;
    bool uniform = true;
    for (const Column& column : columns_) {
      const arrow::ArrayData& data = *batch.column_data(column.index);
      uniform &= !IsBytes(column.kind) && !(column.nullable && data.GetNullCount() != 0);
      stride += column.width + (column.nullable ? 1 : 0);
    }
    if (uniform) {
      EncodeUniform(batch, rows, stride, bytes, offsets->data());
    } else {
      EncodeRagged(batch, rows, bytes, offsets->data());
    }
  }

  Result<std::string> EncodeScalars(
      const std::vector<std::shared_ptr<arrow::Scalar>>& values) const override {
    if (values.size() > columns_.size()) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "a key has " + std::to_string(columns_.size()) + " columns, " +
                           std::to_string(values.size()) + " values were given");
    }
    std::string out;
    for (size_t i = 0; i < values.size(); ++i) {
      MARBLE_RETURN_NOT_OK(EncodeScalar(columns_[i], values[i].get(), &out));
    }
    return out;
  }

  Result<std::vector<std::shared_ptr<arrow::Scalar>>> Decode(
      std::string_view encoded) const override {
    std::vector<std::shared_ptr<arrow::Scalar>> values;
    values.reserve(columns_.size());
    for (const Column& column : columns_) {
      MARBLE_ASSIGN_OR_RETURN(auto value, DecodeValue(column, &encoded));
      values.push_back(std::move(value));
    }
    if (!encoded.empty()) {
      return MakeError(ErrorCode::kCorruption, "malformed key: " + std::to_string(encoded.size()) +
                                                   " bytes behind its last column");
    }
    return values;
  }

  int Compare(const arrow::RecordBatch& left, int64_t a, const arrow::RecordBatch& right,
              int64_t b) const override {
    for (const Column& column : columns_) {
      const arrow::ArrayData& x = *left.column_data(column.index);
      const arrow::ArrayData& y = *right.column_data(column.index);
      if (column.nullable) {
        const bool x_null = x.IsNull(a);
        const bool y_null = y.IsNull(b);
        if (x_null != y_null) return x_null ? 1 : -1;
        if (x_null) continue;
      }
      int order;
      if (IsBytes(column.kind)) {
        order = BytesOf(column, x, a).compare(BytesOf(column, y, b));
      } else {
        order = VisitFixed(column.kind, [&](auto traits) {
          using Traits = decltype(traits);
          return Traits::Compare(Traits::Load(x, a), Traits::Load(y, b));
        });
      }
      if (order != 0) return order < 0 ? -1 : 1;
    }
    return 0;
  }

  bool raw() const override { return raw_; }
  int num_columns() const override { return static_cast<int>(columns_.size()); }

 private:
  void EncodeUniform(const arrow::RecordBatch& batch, int64_t rows, size_t stride,
                     std::string* bytes, uint32_t* offsets) const {
    const size_t total = stride * static_cast<size_t>(rows);
    MARBLE_CHECK(total <= std::numeric_limits<uint32_t>::max());
    bytes->resize(total);
    for (int64_t i = 0; i <= rows; ++i) {
      offsets[i] = static_cast<uint32_t>(static_cast<size_t>(i) * stride);
    }
    auto* base = reinterpret_cast<uint8_t*>(bytes->data());
    for (const Column& column : columns_) {
      EncodeFixedColumn(column, *batch.column_data(column.index), rows, StridedRows{base, stride});
      base += column.width + (column.nullable ? 1 : 0);
    }
  }

  void EncodeRagged(const arrow::RecordBatch& batch, int64_t rows, std::string* bytes,
                    uint32_t* offsets) const {
    // Pass 1: the size of every row, in the entry behind it; then running sums.
    for (const Column& column : columns_) {
      const arrow::ArrayData& data = *batch.column_data(column.index);
      const bool has_nulls = column.nullable && data.GetNullCount() != 0;
      const size_t prefix = column.nullable ? 1 : 0;
      for (int64_t i = 0; i < rows; ++i) {
        size_t size = prefix;
        if (!(has_nulls && data.IsNull(i))) {
          size += IsBytes(column.kind) ? EncodedBytesSize(column, BytesOf(column, data, i))
                                       : column.width;
        }
        offsets[i + 1] += static_cast<uint32_t>(size);
      }
    }
    uint64_t total = 0;
    for (int64_t i = 1; i <= rows; ++i) {
      total += offsets[i];
      offsets[i] = static_cast<uint32_t>(total);
    }
    // Write batches are bounded well below this (limits.h).
    MARBLE_CHECK(total <= std::numeric_limits<uint32_t>::max());
    bytes->resize(total);
    std::vector<uint32_t> cursors(offsets, offsets + rows);
    RaggedRows out{reinterpret_cast<uint8_t*>(bytes->data()), cursors.data()};
    for (const Column& column : columns_) {
      const arrow::ArrayData& data = *batch.column_data(column.index);
      if (!IsBytes(column.kind)) {
        EncodeFixedColumn(column, data, rows, out);
        continue;
      }
      const bool has_nulls = column.nullable && data.GetNullCount() != 0;
      for (int64_t i = 0; i < rows; ++i) {
        if (column.nullable) {
          const bool null = has_nulls && data.IsNull(i);
          *out.Take(i, 1) = null ? kNullPrefix : kValuePrefix;
          if (null) continue;
        }
        uint8_t* at = out.base + out.cursors[i];
        uint8_t* end = EncodeBytes(column, BytesOf(column, data, i), at);
        out.Take(i, static_cast<size_t>(end - at));
      }
    }
  }

  static Status EncodeScalar(const Column& column, const arrow::Scalar* value, std::string* out) {
    if (value == nullptr) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "no value for key column '" + column.name + "'");
    }
    // An untyped null is a null of any type.
    const bool untyped_null = value->type->id() == arrow::Type::NA;
    if (!untyped_null && !value->type->Equals(*column.type)) {
      return MakeError(ErrorCode::kSchema, "key column '" + column.name + "' is " +
                                               column.type->ToString() + ", the value given is " +
                                               value->type->ToString());
    }
    if (!value->is_valid) {
      if (!column.nullable) {
        return MakeError(ErrorCode::kSchema, "key column '" + column.name +
                                                 "' is not nullable, the value given is null");
      }
      out->push_back(static_cast<char>(kNullPrefix));
      return Status::OK();
    }
    if (column.nullable) out->push_back(static_cast<char>(kValuePrefix));
    if (IsBytes(column.kind)) {
      const auto& buffer = static_cast<const arrow::BaseBinaryScalar&>(*value).value;
      AppendBytes(column, std::string_view(*buffer), out);
      return Status::OK();
    }
    uint8_t buffer[16];
    if (column.kind == Kind::kDecimal) {
      Decimal::Encode(static_cast<const arrow::Decimal128Scalar&>(*value).value, buffer);
    } else {
      const auto bytes = static_cast<const arrow::internal::PrimitiveScalarBase&>(*value).view();
      VisitFixed(column.kind, [&](auto traits) {
        using Traits = decltype(traits);
        if constexpr (!std::is_same_v<Traits, Decimal>) {
          Traits::Encode(LoadFixed<typename Traits::Value>(bytes.data()), buffer);
        }
      });
    }
    out->append(reinterpret_cast<const char*>(buffer), column.width);
    return Status::OK();
  }

  static Status Malformed(const Column& column, const char* what) {
    return MakeError(ErrorCode::kCorruption,
                     "malformed key: " + std::string(what) + " in column '" + column.name + "'");
  }

  static Result<std::shared_ptr<arrow::Scalar>> DecodeValue(const Column& column,
                                                            std::string_view* in) {
    if (column.nullable) {
      if (in->empty()) return Malformed(column, "the key ends");
      const auto prefix = static_cast<uint8_t>(in->front());
      in->remove_prefix(1);
      if (prefix == kNullPrefix) return arrow::MakeNullScalar(column.type);
      if (prefix != kValuePrefix) return Malformed(column, "a prefix that is none");
    }
    if (IsBytes(column.kind)) return DecodeBytes(column, in);
    if (in->size() < column.width) return Malformed(column, "the key ends");
    const auto* from = reinterpret_cast<const uint8_t*>(in->data());
    in->remove_prefix(column.width);
    if (column.kind == Kind::kBool) {
      if (*from > 1) return Malformed(column, "a bool that is none");
      return std::make_shared<arrow::BooleanScalar>(*from == 1);
    }
    if (column.kind == Kind::kDecimal) {
      return std::make_shared<arrow::Decimal128Scalar>(Decimal::Decode(from), column.type);
    }
    return VisitFixed(column.kind, [&](auto traits) -> Result<std::shared_ptr<arrow::Scalar>> {
      using Traits = decltype(traits);
      if constexpr (std::is_same_v<Traits, Decimal>) {
        return Malformed(column, "a decimal");
      } else {
        return arrow::MakeScalar(column.type, Traits::Decode(from));
      }
    });
  }

  static Result<std::shared_ptr<arrow::Scalar>> DecodeBytes(const Column& column,
                                                            std::string_view* in) {
    std::string bytes;
    if (column.last) {
      bytes = *in;
      *in = {};
    } else {
      for (;;) {
        const size_t zero = in->find('\0');
        if (zero == std::string_view::npos || zero + 1 >= in->size()) {
          return Malformed(column, "no terminator");
        }
        bytes.append(in->substr(0, zero));
        const auto code = static_cast<uint8_t>((*in)[zero + 1]);
        in->remove_prefix(zero + 2);
        if (code == kTerminator) break;
        if (code != kEscapedZero) return Malformed(column, "an escape that is none");
        bytes.push_back('\0');
      }
    }
    return arrow::MakeScalar(column.type, arrow::Buffer::FromString(std::move(bytes)));
  }

  const std::vector<Column> columns_;
  bool raw_;
};

}  // namespace

Result<std::shared_ptr<const KeyCodec>> KeyCodec::Make(const std::shared_ptr<arrow::Schema>& schema,
                                                       const std::vector<int>& key_columns) {
  if (key_columns.empty()) {
    return MakeError(ErrorCode::kInvalidArgument, "a key needs at least one column");
  }
  std::vector<Column> columns;
  for (size_t i = 0; i < key_columns.size(); ++i) {
    const int index = key_columns[i];
    if (index < 0 || index >= schema->num_fields()) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "key column " + std::to_string(index) + " is outside the schema of " +
                           std::to_string(schema->num_fields()) + " columns");
    }
    const auto& field = schema->field(index);
    if (std::find(key_columns.begin(), key_columns.begin() + static_cast<ptrdiff_t>(i), index) !=
        key_columns.begin() + static_cast<ptrdiff_t>(i)) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "column '" + field->name() + "' is twice in the key");
    }
    Column column{index,
                  field->name(),
                  field->type(),
                  Kind::kBool,
                  field->nullable(),
                  i + 1 == key_columns.size(),
                  0};
    if (!KindOf(*field->type(), &column.kind)) {
      return MakeError(ErrorCode::kNotSupported,
                       "column '" + field->name() + "' of type " + field->type()->ToString() +
                           " cannot be part of a key; types that can: bool, int8 to uint64, "
                           "float32, float64, decimal128, date, time, timestamp, duration, "
                           "utf8, binary and their large forms");
    }
    if (!IsBytes(column.kind)) {
      column.width =
          VisitFixed(column.kind, [](auto traits) -> size_t { return decltype(traits)::kWidth; });
    }
    columns.push_back(std::move(column));
  }
  return std::make_shared<const KeyCodecImpl>(std::move(columns));
}

std::string PrefixSuccessor(std::string_view prefix) {
  std::string successor(prefix);
  while (!successor.empty() && static_cast<uint8_t>(successor.back()) == 0xff) {
    successor.pop_back();
  }
  if (!successor.empty()) ++successor.back();
  return successor;
}

}  // namespace marble
