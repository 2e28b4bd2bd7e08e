// Order and bytes of encoded keys. The order they are compared with is written out here, over
// plain C++ values: nothing of the codec is used to tell what is right.
#include "base/key_codec.h"

#include <arrow/api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <variant>

namespace marble {
namespace {

using testing::HasSubstr;

/// A key value as the test understands it. Null is the empty optional.
using Plain = std::variant<bool, int64_t, uint64_t, double, std::string, arrow::Decimal128>;
using Cell = std::optional<Plain>;
using Row = std::vector<Cell>;

int CompareCells(const Cell& a, const Cell& b) {
  if (!a || !b) return a.has_value() ? -1 : b.has_value() ? 1 : 0;  // nulls last
  if (const auto* x = std::get_if<double>(&*a)) {
    const double y = std::get<double>(*b);
    if (std::isnan(*x) || std::isnan(y)) return int{std::isnan(*x)} - int{std::isnan(y)};
    return *x < y ? -1 : *x > y;  // -0 equals +0
  }
  if (const auto* x = std::get_if<std::string>(&*a)) {
    const std::string& y = std::get<std::string>(*b);
    return std::lexicographical_compare_three_way(
               x->begin(), x->end(), y.begin(), y.end(),
               [](char l, char r) { return static_cast<uint8_t>(l) <=> static_cast<uint8_t>(r); }) <
                   0
               ? -1
               : *x != y;
  }
  return *a < *b ? -1 : *b < *a;
}

int CompareRows(const Row& a, const Row& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (const int order = CompareCells(a[i], b[i])) return order;
  }
  return 0;
}

int Sign(int value) { return value < 0 ? -1 : value > 0; }

template <typename T>
T RandomInt(std::mt19937_64& random) {
  switch (random() % 6) {
    case 0:
      return std::numeric_limits<T>::min();
    case 1:
      return std::numeric_limits<T>::max();
    case 2:
      return 0;
    case 3:
      return static_cast<T>(random() % 5);
    case 4:
      return static_cast<T>(-static_cast<int64_t>(random() % 5));
    default:
      return static_cast<T>(random());
  }
}

template <typename T>
T RandomFloat(std::mt19937_64& random) {
  using Limits = std::numeric_limits<T>;
  const T some[] = {T(0),
                    -T(0),
                    Limits::infinity(),
                    -Limits::infinity(),
                    Limits::quiet_NaN(),
                    -Limits::quiet_NaN(),
                    Limits::max(),
                    Limits::lowest(),
                    Limits::min(),
                    Limits::denorm_min(),
                    -Limits::denorm_min(),
                    T(1),
                    T(-1),
                    T(1.5)};
  if (random() % 2 == 0) return some[random() % std::size(some)];
  return static_cast<T>(std::ldexp(static_cast<double>(static_cast<int64_t>(random())),
                                   static_cast<int>(random() % 100) - 110));
}

/// Few letters, so that prefixes, equal values, zeros and 0xff are frequent.
std::string RandomText(std::mt19937_64& random) {
  static constexpr char kLetters[] = {'\0', '\x01', 'a', 'b', '\xfe', '\xff'};
  std::string text(random() % 5, '\0');
  for (char& c : text) c = kLetters[random() % std::size(kLetters)];
  return text;
}

/// A random value of a type, as an Arrow scalar and as the test understands it.
std::pair<std::shared_ptr<arrow::Scalar>, Plain> RandomValue(
    const std::shared_ptr<arrow::DataType>& type, std::mt19937_64& random) {
  const auto integer = [&](auto zero) -> std::pair<std::shared_ptr<arrow::Scalar>, Plain> {
    using T = decltype(zero);
    const T value = RandomInt<T>(random);
    auto scalar = arrow::MakeScalar(type, value).ValueOrDie();
    if constexpr (std::is_signed_v<T>)
      return {scalar, Plain(int64_t{value})};
    else
      return {scalar, Plain(uint64_t{value})};
  };
  using arrow::Type;
  switch (type->id()) {
    case Type::BOOL: {
      const bool value = random() % 2;
      return {std::make_shared<arrow::BooleanScalar>(value), Plain(value)};
    }
    case Type::INT8:
      return integer(int8_t{});
    case Type::INT16:
      return integer(int16_t{});
    case Type::INT32:
    case Type::DATE32:
    case Type::TIME32:
      return integer(int32_t{});
    case Type::UINT8:
      return integer(uint8_t{});
    case Type::UINT16:
      return integer(uint16_t{});
    case Type::UINT32:
      return integer(uint32_t{});
    case Type::UINT64:
      return integer(uint64_t{});
    case Type::FLOAT: {
      const auto value = RandomFloat<float>(random);
      return {std::make_shared<arrow::FloatScalar>(value), Plain(double{value})};
    }
    case Type::DOUBLE: {
      const auto value = RandomFloat<double>(random);
      return {std::make_shared<arrow::DoubleScalar>(value), Plain(value)};
    }
    case Type::DECIMAL128: {
      const arrow::Decimal128 value(RandomInt<int64_t>(random), RandomInt<uint64_t>(random));
      return {std::make_shared<arrow::Decimal128Scalar>(value, type), Plain(value)};
    }
    case Type::STRING:
    case Type::BINARY:
    case Type::LARGE_STRING:
    case Type::LARGE_BINARY: {
      const std::string value = RandomText(random);
      return {arrow::MakeScalar(type, arrow::Buffer::FromString(value)).ValueOrDie(), Plain(value)};
    }
    default:
      return integer(int64_t{});
  }
}

/// A schema {x, k0, k1, ..} with its rows, both ways. Column x is no key.
struct Data {
  std::shared_ptr<arrow::RecordBatch> batch;
  std::vector<Row> rows;
  std::vector<std::vector<std::shared_ptr<arrow::Scalar>>> scalars;
  std::shared_ptr<const KeyCodec> codec;
};

Data MakeData(const std::vector<std::shared_ptr<arrow::Field>>& key, int64_t rows,
              std::mt19937_64& random) {
  Data data;
  data.rows.resize(static_cast<size_t>(rows));
  data.scalars.resize(static_cast<size_t>(rows));
  std::vector<std::shared_ptr<arrow::Field>> fields = {arrow::field("x", arrow::int8())};
  std::vector<std::shared_ptr<arrow::Array>> columns = {
      arrow::MakeArrayOfNull(arrow::int8(), rows).ValueOrDie()};
  std::vector<int> indices;
  for (const auto& field : key) {
    auto builder = arrow::MakeBuilder(field->type()).ValueOrDie();
    // Two rows in front that are sliced off: offsets must be taken into account.
    EXPECT_TRUE(builder->AppendEmptyValues(2).ok());
    for (size_t i = 0; i < data.rows.size(); ++i) {
      if (field->nullable() && random() % 4 == 0) {
        EXPECT_TRUE(builder->AppendNull().ok());
        data.rows[i].push_back(std::nullopt);
        data.scalars[i].push_back(arrow::MakeNullScalar(field->type()));
        continue;
      }
      auto [scalar, plain] = RandomValue(field->type(), random);
      EXPECT_TRUE(builder->AppendScalar(*scalar).ok());
      data.rows[i].push_back(plain);
      data.scalars[i].push_back(scalar);
    }
    columns.push_back(builder->Finish().ValueOrDie()->Slice(2));
    indices.push_back(static_cast<int>(fields.size()));
    fields.push_back(field);
  }
  auto schema = arrow::schema(fields);
  data.batch = arrow::RecordBatch::Make(schema, rows, columns);
  data.codec = KeyCodec::Make(schema, indices).ValueOrDie();
  return data;
}

std::vector<std::string> EncodedRows(const Data& data) {
  std::string bytes = "left over";
  std::vector<uint32_t> offsets = {1, 2, 3};
  data.codec->EncodeAll(*data.batch, &bytes, &offsets);
  EXPECT_EQ(offsets.size(), data.rows.size() + 1);
  EXPECT_EQ(offsets.back(), bytes.size());
  std::vector<std::string> keys;
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    keys.push_back(bytes.substr(offsets[i], offsets[i + 1] - offsets[i]));
  }
  return keys;
}

/// Everything that must hold of a set of rows.
void CheckData(const Data& data, const std::string& what) {
  SCOPED_TRACE(what);
  const std::vector<std::string> keys = EncodedRows(data);
  const size_t rows = keys.size();
  for (size_t i = 0; i < rows; ++i) {
    std::string one;
    data.codec->Encode(*data.batch, static_cast<int64_t>(i), &one);
    ASSERT_EQ(one, keys[i]) << "row " << i;
    auto from_scalars = data.codec->EncodeScalars(data.scalars[i]);
    ASSERT_TRUE(from_scalars.ok()) << from_scalars.status();
    ASSERT_EQ(*from_scalars, keys[i]) << "row " << i;

    auto decoded = data.codec->Decode(keys[i]);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    ASSERT_EQ(decoded->size(), data.scalars[i].size());
    for (size_t c = 0; c < decoded->size(); ++c) {
      const auto equal = arrow::EqualOptions().nans_equal(true).signed_zeros_equal(true);
      ASSERT_TRUE((*decoded)[c]->Equals(*data.scalars[i][c], equal))
          << (*decoded)[c]->ToString() << " is not " << data.scalars[i][c]->ToString();
    }
  }
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < rows; j += 7) {
      const int expected = CompareRows(data.rows[i], data.rows[j]);
      ASSERT_EQ(Sign(keys[i].compare(keys[j])), expected) << "rows " << i << ", " << j;
      ASSERT_EQ(data.codec->Compare(*data.batch, static_cast<int64_t>(i), *data.batch,
                                    static_cast<int64_t>(j)),
                expected)
          << "rows " << i << ", " << j;
    }
  }
  std::vector<size_t> by_key(rows), by_value(rows);
  std::iota(by_key.begin(), by_key.end(), 0);
  by_value = by_key;
  std::stable_sort(by_key.begin(), by_key.end(),
                   [&](size_t a, size_t b) { return keys[a] < keys[b]; });
  std::stable_sort(by_value.begin(), by_value.end(),
                   [&](size_t a, size_t b) { return CompareRows(data.rows[a], data.rows[b]) < 0; });
  ASSERT_EQ(by_key, by_value);
}

std::vector<std::shared_ptr<arrow::DataType>> KeyTypes() {
  using arrow::TimeUnit;
  return {arrow::boolean(),
          arrow::int8(),
          arrow::int16(),
          arrow::int32(),
          arrow::int64(),
          arrow::uint8(),
          arrow::uint16(),
          arrow::uint32(),
          arrow::uint64(),
          arrow::float32(),
          arrow::float64(),
          arrow::decimal128(38, 4),
          arrow::date32(),
          arrow::date64(),
          arrow::time32(TimeUnit::MILLI),
          arrow::time64(TimeUnit::MICRO),
          arrow::timestamp(TimeUnit::MICRO, "UTC"),
          arrow::duration(TimeUnit::NANO),
          arrow::utf8(),
          arrow::binary(),
          arrow::large_utf8(),
          arrow::large_binary()};
}

TEST(KeyCodec, EveryTypeAloneOrdersAsItsValuesAndComesBack) {
  std::mt19937_64 random(11);
  for (const auto& type : KeyTypes()) {
    for (const bool nullable : {false, true}) {
      const Data data = MakeData({arrow::field("k", type, nullable)}, 200, random);
      CheckData(data, type->ToString() + (nullable ? " nullable" : ""));
    }
  }
}

TEST(KeyCodec, RandomKeysOfSeveralColumnsOrderAsTheirValuesAndComeBack) {
  std::mt19937_64 random(12);
  const auto types = KeyTypes();
  for (int round = 0; round < 150; ++round) {
    std::vector<std::shared_ptr<arrow::Field>> key;
    std::string what;
    const size_t columns = 2 + random() % 3;
    for (size_t i = 0; i < columns; ++i) {
      key.push_back(
          arrow::field("k" + std::to_string(i), types[random() % types.size()], random() % 2 == 0));
      what += key.back()->ToString() + ", ";
    }
    CheckData(MakeData(key, 120, random), what);
  }
}

TEST(KeyCodec, TheBytesAreThoseOfTheFormat) {
  using arrow::field;
  const auto schema =
      arrow::schema({field("a", arrow::int32(), false), field("b", arrow::utf8(), true),
                     field("c", arrow::float64(), false), field("d", arrow::binary(), false)});
  auto codec = KeyCodec::Make(schema, {0, 1, 2, 3}).ValueOrDie();
  const auto key = codec->EncodeScalars(
      {arrow::MakeScalar(int32_t{-2}), arrow::MakeScalar(std::string("x\0y", 3)),
       arrow::MakeScalar(1.0), std::make_shared<arrow::BinaryScalar>(std::string("\0z", 2))});
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(*key, std::string("\x7f\xff\xff\xfe"
                              "\x01x\x00\xffy\x00\x01"
                              "\xbf\xf0\x00\x00\x00\x00\x00\x00"
                              "\x00z",
                              21));
}

TEST(KeyCodec, AKeyOfFewerColumnsIsAPrefixOfExactlyTheMatchingKeys) {
  std::mt19937_64 random(13);
  const Data data =
      MakeData({arrow::field("a", arrow::utf8(), true), arrow::field("b", arrow::binary(), false),
                arrow::field("c", arrow::int16(), false)},
               300, random);
  const auto keys = EncodedRows(data);
  for (size_t i = 0; i < 40; ++i) {
    for (size_t columns = 0; columns < 3; ++columns) {
      std::vector<std::shared_ptr<arrow::Scalar>> values(
          data.scalars[i].begin(), data.scalars[i].begin() + static_cast<ptrdiff_t>(columns));
      const std::string prefix = data.codec->EncodeScalars(values).ValueOrDie();
      const std::string successor = PrefixSuccessor(prefix);
      for (size_t j = 0; j < keys.size(); ++j) {
        bool same = true;
        for (size_t c = 0; c < columns; ++c) {
          same &= CompareCells(data.rows[i][c], data.rows[j][c]) == 0;
        }
        ASSERT_EQ(keys[j].starts_with(prefix), same);
        ASSERT_EQ(keys[j] >= prefix && (successor.empty() || keys[j] < successor), same);
      }
    }
  }
}

TEST(KeyCodec, ASingleNonNullableBytesColumnIsRaw) {
  for (const auto& type : {arrow::binary(), arrow::utf8(), arrow::large_binary()}) {
    auto schema = arrow::schema({arrow::field("k", type, false), arrow::field("n", type)});
    auto codec = KeyCodec::Make(schema, {0}).ValueOrDie();
    EXPECT_TRUE(codec->raw());
    EXPECT_EQ(codec->num_columns(), 1);
    const auto value = arrow::MakeScalar(type, arrow::Buffer::FromString(std::string("a\0b", 3)));
    EXPECT_EQ(codec->EncodeScalars({*value}).ValueOrDie(), std::string("a\0b", 3));
    EXPECT_FALSE(KeyCodec::Make(schema, {1}).ValueOrDie()->raw());
    EXPECT_FALSE(KeyCodec::Make(schema, {0, 1}).ValueOrDie()->raw());
  }
}

TEST(KeyCodec, BadKeysAreErrorsThatNameTheColumn) {
  auto schema = arrow::schema({arrow::field("id", arrow::int64(), false),
                               arrow::field("tags", arrow::list(arrow::utf8())),
                               arrow::field("name", arrow::utf8())});
  const auto code = [&](const std::vector<int>& columns) {
    return CodeOf(KeyCodec::Make(schema, columns).status());
  };
  EXPECT_EQ(code({}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({3}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({0, 0}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({0, 1}), ErrorCode::kNotSupported);
  EXPECT_THAT(KeyCodec::Make(schema, {1}).status().message(), HasSubstr("'tags'"));

  auto codec = KeyCodec::Make(schema, {0, 2}).ValueOrDie();
  const auto encode = [&](const std::vector<std::shared_ptr<arrow::Scalar>>& values) {
    return codec->EncodeScalars(values).status();
  };
  EXPECT_TRUE(encode({}).ok());
  EXPECT_TRUE(encode({arrow::MakeScalar(int64_t{1}), arrow::MakeNullScalar(arrow::null())}).ok());
  EXPECT_EQ(CodeOf(encode({arrow::MakeScalar(int32_t{1})})), ErrorCode::kSchema);
  EXPECT_THAT(encode({arrow::MakeScalar(int32_t{1})}).message(), HasSubstr("'id'"));
  EXPECT_EQ(CodeOf(encode({arrow::MakeNullScalar(arrow::int64())})), ErrorCode::kSchema);
  EXPECT_EQ(CodeOf(encode({nullptr})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(encode(
                {arrow::MakeScalar(int64_t{1}), arrow::MakeScalar("x"), arrow::MakeScalar("y")})),
            ErrorCode::kInvalidArgument);
}

TEST(KeyCodec, MalformedBytesAreCorruptionAndNeverReadBeyondTheEnd) {
  std::mt19937_64 random(14);
  const Data data =
      MakeData({arrow::field("a", arrow::utf8(), true), arrow::field("b", arrow::boolean(), false),
                arrow::field("c", arrow::decimal128(10, 2), true)},
               100, random);
  for (const std::string& key : EncodedRows(data)) {
    for (size_t cut = 0; cut < key.size(); ++cut) {
      // On the heap in its exact size, so that a sanitizer sees a read behind it.
      const std::vector<char> bytes(key.begin(), key.begin() + static_cast<ptrdiff_t>(cut));
      const auto decoded = data.codec->Decode({bytes.data(), bytes.size()});
      ASSERT_EQ(CodeOf(decoded.status()), ErrorCode::kCorruption);
    }
    ASSERT_EQ(CodeOf(data.codec->Decode(key + "x").status()), ErrorCode::kCorruption);
    std::string wrong = key;
    wrong[0] = '\x07';
    ASSERT_EQ(CodeOf(data.codec->Decode(wrong).status()), ErrorCode::kCorruption);
  }
}

TEST(PrefixSuccessor, IsTheLeastStringAboveAllWithThePrefix) {
  EXPECT_EQ(PrefixSuccessor("ab"), "ac");
  EXPECT_EQ(PrefixSuccessor("a\xff\xff"), "b");
  EXPECT_EQ(PrefixSuccessor("\x7f"), "\x80");
  EXPECT_EQ(PrefixSuccessor("\xff\xff"), "");
  EXPECT_EQ(PrefixSuccessor(""), "");
}

}  // namespace
}  // namespace marble
