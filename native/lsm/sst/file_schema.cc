#include "lsm/sst/file_schema.h"

#include <algorithm>
#include <charconv>
#include <string>

#include <arrow/type.h>
#include <arrow/util/key_value_metadata.h>

#include "base/coding.h"
#include "base/hash.h"
#include "lsm/sst/sst_format.h"

namespace marble::lsm {
namespace {

/// Our own numbers for types, so that the fingerprint does not hang on Arrow's enum.
enum TypeTag : uint8_t {
  kUnsupported = 0,
  kNull,
  kBool,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kHalf,
  kFloat,
  kDouble,
  kDecimal32,
  kDecimal64,
  kDecimal128,
  kDecimal256,
  kDate32,
  kDate64,
  kTime32,
  kTime64,
  kTimestamp,
  kDuration,
  kIntervalMonths,
  kIntervalDayTime,
  kIntervalMonthDayNano,
  kUtf8,
  kLargeUtf8,
  kBinary,
  kLargeBinary,
  kFixedBinary,
  kList,
  kLargeList,
  kFixedList,
  kStruct,
  kMap,
  kSparseUnion,
  kDenseUnion,
};

TypeTag TagOf(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::NA:
      return kNull;
    case arrow::Type::BOOL:
      return kBool;
    case arrow::Type::INT8:
      return kInt8;
    case arrow::Type::INT16:
      return kInt16;
    case arrow::Type::INT32:
      return kInt32;
    case arrow::Type::INT64:
      return kInt64;
    case arrow::Type::UINT8:
      return kUint8;
    case arrow::Type::UINT16:
      return kUint16;
    case arrow::Type::UINT32:
      return kUint32;
    case arrow::Type::UINT64:
      return kUint64;
    case arrow::Type::HALF_FLOAT:
      return kHalf;
    case arrow::Type::FLOAT:
      return kFloat;
    case arrow::Type::DOUBLE:
      return kDouble;
    case arrow::Type::DECIMAL32:
      return kDecimal32;
    case arrow::Type::DECIMAL64:
      return kDecimal64;
    case arrow::Type::DECIMAL128:
      return kDecimal128;
    case arrow::Type::DECIMAL256:
      return kDecimal256;
    case arrow::Type::DATE32:
      return kDate32;
    case arrow::Type::DATE64:
      return kDate64;
    case arrow::Type::TIME32:
      return kTime32;
    case arrow::Type::TIME64:
      return kTime64;
    case arrow::Type::TIMESTAMP:
      return kTimestamp;
    case arrow::Type::DURATION:
      return kDuration;
    case arrow::Type::INTERVAL_MONTHS:
      return kIntervalMonths;
    case arrow::Type::INTERVAL_DAY_TIME:
      return kIntervalDayTime;
    case arrow::Type::INTERVAL_MONTH_DAY_NANO:
      return kIntervalMonthDayNano;
    case arrow::Type::STRING:
      return kUtf8;
    case arrow::Type::LARGE_STRING:
      return kLargeUtf8;
    case arrow::Type::BINARY:
      return kBinary;
    case arrow::Type::LARGE_BINARY:
      return kLargeBinary;
    case arrow::Type::FIXED_SIZE_BINARY:
      return kFixedBinary;
    case arrow::Type::LIST:
      return kList;
    case arrow::Type::LARGE_LIST:
      return kLargeList;
    case arrow::Type::FIXED_SIZE_LIST:
      return kFixedList;
    case arrow::Type::STRUCT:
      return kStruct;
    case arrow::Type::MAP:
      return kMap;
    case arrow::Type::SPARSE_UNION:
      return kSparseUnion;
    case arrow::Type::DENSE_UNION:
      return kDenseUnion;
    default:
      return kUnsupported;
  }
}

bool Storable(const arrow::DataType& type) {
  if (TagOf(type) == kUnsupported) return false;
  return std::all_of(type.fields().begin(), type.fields().end(),
                     [](const auto& field) { return Storable(*field->type()); });
}

uint8_t UnitTag(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return 0;
    case arrow::TimeUnit::MILLI:
      return 1;
    case arrow::TimeUnit::MICRO:
      return 2;
    case arrow::TimeUnit::NANO:
      return 3;
  }
  return 0xff;
}

void Describe(const arrow::DataType& type, std::string* out) {
  out->push_back(static_cast<char>(TagOf(type)));
  switch (type.id()) {
    case arrow::Type::DECIMAL32:
    case arrow::Type::DECIMAL64:
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256: {
      const auto& decimal = static_cast<const arrow::DecimalType&>(type);
      PutFixed<int32_t>(out, decimal.precision());
      PutFixed<int32_t>(out, decimal.scale());
      break;
    }
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      out->push_back(static_cast<char>(UnitTag(static_cast<const arrow::TimeType&>(type).unit())));
      break;
    case arrow::Type::DURATION:
      out->push_back(
          static_cast<char>(UnitTag(static_cast<const arrow::DurationType&>(type).unit())));
      break;
    case arrow::Type::TIMESTAMP: {
      const auto& timestamp = static_cast<const arrow::TimestampType&>(type);
      out->push_back(static_cast<char>(UnitTag(timestamp.unit())));
      PutLengthPrefixed(out, timestamp.timezone());
      break;
    }
    case arrow::Type::FIXED_SIZE_BINARY:
      PutFixed<int32_t>(out, static_cast<const arrow::FixedSizeBinaryType&>(type).byte_width());
      break;
    case arrow::Type::FIXED_SIZE_LIST:
      PutFixed<int32_t>(out, static_cast<const arrow::FixedSizeListType&>(type).list_size());
      break;
    case arrow::Type::SPARSE_UNION:
    case arrow::Type::DENSE_UNION: {
      const auto& codes = static_cast<const arrow::UnionType&>(type).type_codes();
      out->push_back(static_cast<char>(codes.size()));
      for (const int8_t code : codes) out->push_back(static_cast<char>(code));
      break;
    }
    default:
      break;
  }
  PutFixed<uint32_t>(out, static_cast<uint32_t>(type.num_fields()));
  for (const auto& field : type.fields()) Describe(*field->type(), out);
}

}  // namespace

Status CheckStorable(const arrow::Schema& schema) {
  for (const auto& field : schema.fields()) {
    if (!Storable(*field->type())) {
      return MakeError(
          ErrorCode::kNotSupported,
          "column '" + field->name() + "': the type " + field->type()->ToString() +
              " cannot be stored (dictionaries, views, run-end "
              "encoding and extension types are not supported); use its plain value type");
    }
    if (field->name() == kSeqColumn || field->name() == kKindColumn ||
        field->name() == kExpiresColumn) {
      return MakeError(ErrorCode::kSchema,
                       "the column name '" + field->name() + "' is reserved; choose another");
    }
  }
  return Status::OK();
}

std::shared_ptr<arrow::Schema> FileSchema(const std::shared_ptr<arrow::Schema>& table,
                                          const std::vector<int>& key_columns,
                                          const HiddenColumns& hidden) {
  if (!hidden.seq && !hidden.kind && !hidden.expires) return table;
  arrow::FieldVector fields = table->fields();
  if (hidden.kind) {
    for (int i = 0; i < table->num_fields(); ++i) {
      const bool key = std::find(key_columns.begin(), key_columns.end(), i) != key_columns.end();
      if (!key) fields[i] = fields[i]->WithNullable(true);
    }
  }
  if (hidden.seq) fields.push_back(arrow::field(kSeqColumn, arrow::uint64(), false));
  if (hidden.kind) fields.push_back(arrow::field(kKindColumn, arrow::uint8(), false));
  if (hidden.expires) fields.push_back(arrow::field(kExpiresColumn, arrow::int64(), false));
  return arrow::schema(std::move(fields), table->metadata());
}

std::shared_ptr<arrow::Schema> WithFieldIds(const arrow::Schema& file,
                                            const std::vector<uint32_t>& ids, int columns) {
  arrow::FieldVector fields = file.fields();
  for (int i = 0; i < columns; ++i) {
    const uint32_t id = ids.empty() ? static_cast<uint32_t>(i) + 1 : ids[i];
    // In place of what a field may have that was taken from another table.
    const auto& given = fields[i]->metadata();
    auto metadata = given == nullptr ? std::make_shared<arrow::KeyValueMetadata>() : given->Copy();
    if (metadata->Contains(kFieldIdKey)) (void)metadata->Delete(kFieldIdKey);
    metadata->Append(kFieldIdKey, std::to_string(id));
    fields[i] = fields[i]->WithMetadata(std::move(metadata));
  }
  return arrow::schema(std::move(fields), file.metadata());
}

std::vector<uint32_t> FieldIdsOf(const arrow::Schema& file, int columns) {
  std::vector<uint32_t> ids;
  for (int i = 0; i < columns; ++i) {
    const auto& metadata = file.field(i)->metadata();
    const int at = metadata == nullptr ? -1 : metadata->FindKey(kFieldIdKey);
    uint32_t id = static_cast<uint32_t>(i) + 1;
    if (at >= 0) {
      const std::string& text = metadata->value(at);
      id = 0;  // no column's
      (void)std::from_chars(text.data(), text.data() + text.size(), id);
    }
    ids.push_back(id);
  }
  return ids;
}

uint64_t TypeFingerprint(const arrow::Schema& schema) {
  std::string description;
  PutFixed<uint32_t>(&description, static_cast<uint32_t>(schema.num_fields()));
  for (const auto& field : schema.fields()) Describe(*field->type(), &description);
  return HashKey(description);
}

}  // namespace marble::lsm
