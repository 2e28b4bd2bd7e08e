// What the SSTable tests share: random schemas and rows, and a file written and opened again.
#pragma once

#include <arrow/api.h>
#include <arrow/compute/api_vector.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include "base/hash.h"
#include "base/key_codec.h"
#include "lsm/sst/sst_reader.h"
#include "lsm/sst/sst_writer.h"

namespace marble::lsm {

#define ASSERT_OK(expr)                              \
  do {                                               \
    const ::arrow::Status _status = (expr);          \
    ASSERT_TRUE(_status.ok()) << _status.ToString(); \
  } while (false)

/// The value of a result that must be good.
template <typename T>
T Must(arrow::Result<T> result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.status().ToString();
    std::abort();
  }
  return std::move(result).ValueUnsafe();
}

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sst-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

using Random = std::mt19937_64;

inline int64_t Below(Random* random, int64_t n) {
  return static_cast<int64_t>((*random)() % static_cast<uint64_t>(n));
}

inline std::string RandomText(Random* random, int64_t max_length) {
  static const char* const kPieces[] = {"a", "b", "Zz", "\xc5\x81", "\xe2\x82\xac", "0", "-"};
  std::string text;
  const int64_t length = Below(random, max_length + 1);
  for (int64_t i = 0; i < length; ++i) text += kPieces[Below(random, 7)];
  return text;
}

/// Append one random value, null with probability 1/8 where the field allows it.
inline void AppendRandom(arrow::ArrayBuilder* builder, const arrow::Field& field, Random* random,
                         int64_t max_text = 12) {
  using arrow::Type;
  const arrow::DataType& type = *field.type();
  const auto ok = [](const arrow::Status& status) { ASSERT_OK(status); };
  if (type.id() == Type::NA || (field.nullable() && Below(random, 8) == 0)) {
    ok(builder->AppendNull());
    return;
  }
  const auto bits = static_cast<int64_t>((*random)());
  switch (type.id()) {
#define CASE(ID, NAME, VALUE)                                       \
  case Type::ID:                                                    \
    ok(static_cast<arrow::NAME##Builder*>(builder)->Append(VALUE)); \
    break
    CASE(BOOL, Boolean, (bits & 1) != 0);
    CASE(INT8, Int8, static_cast<int8_t>(bits));
    CASE(INT16, Int16, static_cast<int16_t>(bits));
    CASE(INT32, Int32, static_cast<int32_t>(bits));
    CASE(INT64, Int64, bits);
    CASE(UINT8, UInt8, static_cast<uint8_t>(bits));
    CASE(UINT16, UInt16, static_cast<uint16_t>(bits));
    CASE(UINT32, UInt32, static_cast<uint32_t>(bits));
    CASE(UINT64, UInt64, static_cast<uint64_t>(bits));
    CASE(HALF_FLOAT, HalfFloat, static_cast<uint16_t>(bits & 0x3bff));
    CASE(FLOAT, Float, static_cast<float>(bits) / 3);
    CASE(DOUBLE, Double, static_cast<double>(bits) / 7);
    CASE(DATE32, Date32, static_cast<int32_t>(bits % 100000));
    CASE(DATE64, Date64, bits % 100000 * 86400000);
    CASE(TIME32, Time32, static_cast<int32_t>(Below(random, 86400)));
    CASE(TIME64, Time64, Below(random, 86400000000));
    CASE(TIMESTAMP, Timestamp, bits);
    CASE(DURATION, Duration, bits);
    CASE(INTERVAL_MONTHS, MonthInterval, static_cast<int32_t>(bits));
    CASE(DECIMAL32, Decimal32, arrow::Decimal32(static_cast<int32_t>(bits % 1000000)));
    CASE(DECIMAL64, Decimal64, arrow::Decimal64(bits % 1000000000));
    CASE(DECIMAL128, Decimal128, arrow::Decimal128(bits));
    CASE(DECIMAL256, Decimal256, arrow::Decimal256(bits));
    CASE(STRING, String, RandomText(random, max_text));
    CASE(LARGE_STRING, LargeString, RandomText(random, max_text));
    CASE(BINARY, Binary, RandomText(random, max_text));
    CASE(LARGE_BINARY, LargeBinary, RandomText(random, max_text));
    CASE(FIXED_SIZE_BINARY, FixedSizeBinary, std::string(5, static_cast<char>(bits)));
#undef CASE
    case Type::LIST:
    case Type::LARGE_LIST:
    case Type::FIXED_SIZE_LIST: {
      int64_t n = Below(random, 4);
      arrow::ArrayBuilder* values = nullptr;
      if (type.id() == Type::LIST) {
        ok(static_cast<arrow::ListBuilder*>(builder)->Append());
      } else if (type.id() == Type::LARGE_LIST) {
        ok(static_cast<arrow::LargeListBuilder*>(builder)->Append());
      } else {
        ok(static_cast<arrow::FixedSizeListBuilder*>(builder)->Append());
        n = static_cast<const arrow::FixedSizeListType&>(type).list_size();
      }
      if (type.id() == Type::LIST) {
        values = static_cast<arrow::ListBuilder*>(builder)->value_builder();
      } else if (type.id() == Type::LARGE_LIST) {
        values = static_cast<arrow::LargeListBuilder*>(builder)->value_builder();
      } else {
        values = static_cast<arrow::FixedSizeListBuilder*>(builder)->value_builder();
      }
      for (int64_t i = 0; i < n; ++i) AppendRandom(values, *type.field(0), random, max_text);
      break;
    }
    case Type::STRUCT: {
      auto* rows = static_cast<arrow::StructBuilder*>(builder);
      ok(rows->Append());
      for (int i = 0; i < type.num_fields(); ++i) {
        AppendRandom(rows->field_builder(i), *type.field(i), random, max_text);
      }
      break;
    }
    case Type::MAP: {
      auto* map = static_cast<arrow::MapBuilder*>(builder);
      ok(map->Append());
      const auto& entries = static_cast<const arrow::MapType&>(type);
      for (int64_t i = Below(random, 3); i > 0; --i) {
        AppendRandom(map->key_builder(), *entries.key_field(), random, max_text);
        AppendRandom(map->item_builder(), *entries.item_field(), random, max_text);
      }
      break;
    }
    case Type::DENSE_UNION:
    case Type::SPARSE_UNION: {
      auto* members = static_cast<arrow::BasicUnionBuilder*>(builder);
      const auto mine = static_cast<int>(Below(random, type.num_fields()));
      const int8_t code = static_cast<const arrow::UnionType&>(type).type_codes()[mine];
      if (type.id() == Type::DENSE_UNION) {
        ok(static_cast<arrow::DenseUnionBuilder*>(builder)->Append(code));
      } else {
        ok(static_cast<arrow::SparseUnionBuilder*>(builder)->Append(code));
      }
      for (int i = 0; i < type.num_fields(); ++i) {
        arrow::ArrayBuilder* child = members->child_builder(i).get();
        if (i == mine) {
          AppendRandom(child, *type.field(i), random, max_text);
        } else if (type.id() == Type::SPARSE_UNION) {
          ok(child->AppendEmptyValue());
        }
      }
      break;
    }
    default:
      FAIL() << type.ToString();
  }
}

inline std::shared_ptr<arrow::RecordBatch> RandomRows(const std::shared_ptr<arrow::Schema>& schema,
                                                      int64_t rows, Random* random,
                                                      int64_t max_text = 12) {
  arrow::ArrayVector columns;
  for (const auto& field : schema->fields()) {
    auto builder = Must(arrow::MakeBuilder(field->type()));
    for (int64_t i = 0; i < rows; ++i) AppendRandom(builder.get(), *field, random, max_text);
    columns.push_back(Must(builder->Finish()));
  }
  return arrow::RecordBatch::Make(schema, rows, std::move(columns));
}

/// Every type that can be stored.
inline std::vector<std::shared_ptr<arrow::DataType>> AllTypes() {
  const auto nested = arrow::struct_({arrow::field("x", arrow::utf8()),
                                      arrow::field("y", arrow::list(arrow::int16())),
                                      arrow::field("z", arrow::boolean(), false)});
  const arrow::FieldVector members{arrow::field("n", arrow::int64()),
                                   arrow::field("t", arrow::utf8()), arrow::field("s", nested)};
  return {arrow::null(),
          arrow::boolean(),
          arrow::int8(),
          arrow::int16(),
          arrow::int32(),
          arrow::int64(),
          arrow::uint8(),
          arrow::uint16(),
          arrow::uint32(),
          arrow::uint64(),
          arrow::float16(),
          arrow::float32(),
          arrow::float64(),
          arrow::decimal32(7, 2),
          arrow::decimal64(12, 3),
          arrow::decimal128(30, 4),
          arrow::decimal256(60, 5),
          arrow::date32(),
          arrow::date64(),
          arrow::time32(arrow::TimeUnit::SECOND),
          arrow::time64(arrow::TimeUnit::MICRO),
          arrow::timestamp(arrow::TimeUnit::MILLI, "UTC"),
          arrow::timestamp(arrow::TimeUnit::NANO),
          arrow::duration(arrow::TimeUnit::MILLI),
          arrow::month_interval(),
          arrow::utf8(),
          arrow::large_utf8(),
          arrow::binary(),
          arrow::large_binary(),
          arrow::fixed_size_binary(5),
          arrow::list(arrow::utf8()),
          arrow::large_list(arrow::int32()),
          arrow::fixed_size_list(arrow::float64(), 3),
          nested,
          arrow::list(nested),
          arrow::map(arrow::utf8(), arrow::int64()),
          arrow::list(arrow::list(arrow::binary())),
          arrow::dense_union(members, {5, 0, 127}),
          arrow::sparse_union(members, {1, 0, 3}),
          arrow::list(arrow::dense_union(members)),
          arrow::struct_({arrow::field("u", arrow::sparse_union(members))})};
}

struct Keyed {
  std::shared_ptr<arrow::RecordBatch> rows;
  std::vector<std::string> keys;
};

/// The rows sorted by encoded key; of equal keys only the first stays unless `duplicates`.
inline Keyed SortByKey(const std::shared_ptr<arrow::RecordBatch>& rows, const KeyCodec& codec,
                       bool duplicates = false) {
  std::string bytes;
  std::vector<uint32_t> offsets;
  codec.EncodeAll(*rows, &bytes, &offsets);
  std::vector<std::pair<std::string, int64_t>> order;
  for (int64_t i = 0; i < rows->num_rows(); ++i) {
    order.emplace_back(bytes.substr(offsets[i], offsets[i + 1] - offsets[i]), i);
  }
  std::sort(order.begin(), order.end());
  Keyed sorted;
  arrow::Int64Builder indices;
  for (auto& [key, row] : order) {
    if (!duplicates && !sorted.keys.empty() && sorted.keys.back() == key) continue;
    EXPECT_TRUE(indices.Append(row).ok());
    sorted.keys.push_back(key);
  }
  sorted.rows = Must(arrow::compute::Take(rows, Must(indices.Finish()))).record_batch();
  return sorted;
}

struct Opened {
  FileMeta meta;
  std::shared_ptr<SstReader> reader;
};

inline SstReaderOptions ReaderOptions(const SstWriterOptions& writer,
                                      VerifyReads verify = VerifyReads::kFirst) {
  return {writer.dir, writer.schema, writer.codec, verify};
}

/// Write the rows in random pieces.
inline FileMeta WriteFile(const SstWriterOptions& options, const arrow::RecordBatch& rows,
                          Random* random, const SequenceNumber* sequences = nullptr,
                          const uint8_t* kinds = nullptr, const int64_t* expires = nullptr) {
  auto writer = Must(SstWriter::Create(options));
  for (int64_t at = 0; at < rows.num_rows();) {
    const int64_t n = std::min(rows.num_rows() - at, 1 + Below(random, 1000));
    const auto status = writer->Append(
        *rows.Slice(at, n), sequences == nullptr ? nullptr : sequences + at,
        kinds == nullptr ? nullptr : kinds + at, expires == nullptr ? nullptr : expires + at);
    EXPECT_TRUE(status.ok()) << status.ToString();
    at += n;
  }
  return Must(writer->Finish(1, 1000));
}

inline Opened WriteAndOpen(const SstWriterOptions& options, const arrow::RecordBatch& rows,
                           Random* random, const SequenceNumber* sequences = nullptr,
                           const uint8_t* kinds = nullptr) {
  Opened opened;
  opened.meta = WriteFile(options, rows, random, sequences, kinds);
  opened.reader = Must(SstReader::Open(ReaderOptions(options), opened.meta));
  return opened;
}

/// All rows of a file as one table.
inline std::shared_ptr<arrow::Table> ReadAll(const SstReader& reader) {
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
  for (int64_t b = 0; b < reader.num_batches(); ++b) {
    batches.push_back(Must(reader.ReadBatch(b)));
    const auto valid = batches.back()->ValidateFull();
    EXPECT_TRUE(valid.ok()) << valid.ToString();
  }
  return Must(arrow::Table::FromRecordBatches(batches));
}

/// Compare the table's columns (hidden ones apart) with the rows in memory.
inline void ExpectSameRows(const arrow::Table& got, const arrow::RecordBatch& want) {
  ASSERT_EQ(got.num_rows(), want.num_rows());
  ASSERT_GE(got.num_columns(), want.num_columns());
  for (int i = 0; i < want.num_columns(); ++i) {
    const arrow::ChunkedArray expected(want.column(i));
    EXPECT_TRUE(got.column(i)->Equals(expected, arrow::EqualOptions::Defaults().nans_equal(true)))
        << got.schema()->field(i)->ToString();
  }
}

}  // namespace marble::lsm
