// Promises of 'format' = 'json': Flink's rules value by value, and a differential test of random
// documents against simdjson's DOM.
#include <arrow/api.h>
#include <arrow/json/from_string.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>

#include "format/decoder.h"

namespace marble::format {
namespace {

using ::testing::HasSubstr;
using Options = std::map<std::string, std::string>;

std::unique_ptr<Decoder> Make(const std::vector<std::shared_ptr<arrow::Field>>& fields,
                              const Options& options = {}) {
  auto decoder = Decoder::Make("json", options, fields);
  EXPECT_TRUE(decoder.ok()) << decoder.status().ToString();
  return std::move(*decoder);
}

/// Decode records with one column 'a' and give it as Arrow prints values; "error: …" when bad.
std::string One(const std::shared_ptr<arrow::DataType>& type, const std::string& record,
                const Options& options = {}, bool nullable = true) {
  auto decoder = Make({arrow::field("a", type, nullable)}, options);
  const Status status = decoder->Append(record);
  if (!status.ok()) {
    EXPECT_EQ(CodeOf(status), ErrorCode::kBadRecord) << status.ToString();
    EXPECT_EQ(decoder->rows(), 0);
    return "error: " + MessageOf(status);
  }
  auto columns = decoder->Finish();
  EXPECT_TRUE(columns.ok());
  EXPECT_TRUE((*columns)[0]->ValidateFull().ok()) << (*columns)[0]->ValidateFull().ToString();
  EXPECT_EQ((*columns)[0]->length(), 1);
  return (*columns)[0]->GetScalar(0).ValueOrDie()->ToString();
}

std::string A(const std::string& value) { return "{\"a\": " + value + "}"; }

TEST(JsonDecoder, ReadsEveryScalarType) {
  EXPECT_EQ(One(arrow::boolean(), A("true")), "true");
  EXPECT_EQ(One(arrow::boolean(), A("\"false\"")), "false");
  EXPECT_EQ(One(arrow::int8(), A("-128")), "-128");
  EXPECT_EQ(One(arrow::int16(), A("32767")), "32767");
  EXPECT_EQ(One(arrow::int32(), A("\" 42 \"")), "42");
  EXPECT_EQ(One(arrow::int64(), A("-9223372036854775808")), "-9223372036854775808");
  EXPECT_EQ(One(arrow::float64(), A("1.5e3")), "1500");
  EXPECT_EQ(One(arrow::float64(), A("\"-0.25\"")), "-0.25");
  EXPECT_EQ(One(arrow::float32(), A("7")), "7");
  EXPECT_EQ(One(arrow::utf8(), A("\"Łódź \\u00e9\\n\"")), "Łódź é\n");
  EXPECT_EQ(One(arrow::date32(), A("\"2001-02-28\"")), "2001-02-28");
  EXPECT_EQ(One(arrow::time32(arrow::TimeUnit::MILLI), A("\"12:34:56.7\"")), "12:34:56.700");
  EXPECT_EQ(One(arrow::time64(arrow::TimeUnit::NANO), A("\"12:34:56\"")), "12:34:56.000000000");
}

TEST(JsonDecoder, BinaryIsBase64) {
  auto decoder = Make({arrow::field("a", arrow::binary())});
  ASSERT_TRUE(decoder->Append(A("\"AP8B\"")).ok());
  ASSERT_TRUE(decoder->Append(A("\"AA==\"")).ok());
  ASSERT_TRUE(decoder->Append(A("\"\"")).ok());
  auto column = std::static_pointer_cast<arrow::BinaryArray>(decoder->Finish().ValueOrDie()[0]);
  EXPECT_EQ(column->GetString(0), std::string("\x00\xff\x01", 3));
  EXPECT_EQ(column->GetString(1), std::string("\0", 1));
  EXPECT_EQ(column->GetString(2), "");
  EXPECT_THAT(One(arrow::binary(), A("\"A=B=\"")), HasSubstr("is not a BYTES"));
  EXPECT_THAT(One(arrow::binary(), A("\"ABC\"")), HasSubstr("is not a BYTES"));
}

TEST(JsonDecoder, TimestampsFollowTheStandardThatIsSet) {
  const auto ms = arrow::timestamp(arrow::TimeUnit::MILLI);
  const Options iso{{"timestamp-format.standard", "ISO-8601"}};
  EXPECT_EQ(One(ms, A("\"2001-01-01 00:47:00\"")), "2001-01-01 00:47:00.000");
  EXPECT_EQ(One(ms, A("\"1969-12-31 23:59:59.999\"")), "1969-12-31 23:59:59.999");
  EXPECT_EQ(One(ms, A("\"2001-01-01 00:47:00.123456789\"")), "2001-01-01 00:47:00.123");
  EXPECT_EQ(One(ms, A("\"2001-01-01T00:47:00.5\""), iso), "2001-01-01 00:47:00.500");
  EXPECT_EQ(One(arrow::timestamp(arrow::TimeUnit::NANO), A("\"2001-01-01 00:47:00.000000001\"")),
            "2001-01-01 00:47:00.000000001");
  EXPECT_THAT(One(ms, A("\"2001-01-01T00:47:00\"")), HasSubstr("ISO-8601"));
  EXPECT_THAT(One(ms, A("\"2001-01-01 00:47:00Z\"")), HasSubstr("is not a TIMESTAMP"));
  EXPECT_THAT(One(ms, A("\"2001-02-29 00:00:00\"")), HasSubstr("out of the range"));
  EXPECT_THAT(One(ms, A("1700000000000")), HasSubstr("is not a TIMESTAMP"));
  const auto ltz = arrow::timestamp(arrow::TimeUnit::MILLI, "UTC");
  EXPECT_EQ(One(ltz, A("\"2001-01-01 00:47:00Z\"")), "2001-01-01 00:47:00.000Z");
  EXPECT_EQ(One(ltz, A("\"2001-01-01T01:47:00.5+01:00\""), iso), "2001-01-01 00:47:00.500Z");
  EXPECT_THAT(One(ltz, A("\"2001-01-01 00:47:00\"")), HasSubstr("is not a TIMESTAMP_LTZ"));
}

TEST(JsonDecoder, DecimalsAreExactAndRoundHalfUp) {
  const auto d = arrow::decimal128(5, 2);
  EXPECT_EQ(One(d, A("123.45")), "123.45");
  EXPECT_EQ(One(d, A("\"-1.005\"")), "-1.01");
  EXPECT_EQ(One(d, A("1.004999999999999999999999")), "1.00");
  EXPECT_EQ(One(d, A("0.005")), "0.01");
  EXPECT_EQ(One(d, A("0.0049")), "0.00");
  EXPECT_EQ(One(d, A("1.5e2")), "150.00");
  EXPECT_EQ(One(d, A("0e999999999999")), "0.00");
  EXPECT_THAT(One(d, A("999.995")), HasSubstr("out of the range of DECIMAL(5, 2)"));
  EXPECT_THAT(One(d, A("1000")), HasSubstr("out of the range of DECIMAL(5, 2)"));
  EXPECT_THAT(One(d, A("1e400")), HasSubstr("out of the range"));
  EXPECT_EQ(One(arrow::decimal128(38, 0), A("99999999999999999999999999999999999999")),
            "99999999999999999999999999999999999999");
  EXPECT_EQ(One(arrow::decimal128(38, 38), A("0.00000000000000000000000000000000000001")), "1E-38");
}

TEST(JsonDecoder, IntegersRefuseFractionsAndWhatDoesNotFit) {
  EXPECT_THAT(One(arrow::int32(), A("1.5")), HasSubstr("field 'a': '1.5' is not a INT"));
  EXPECT_EQ(One(arrow::int32(), A("2.0")), "2");
  EXPECT_EQ(One(arrow::int32(), A("1e3")), "1000");
  EXPECT_THAT(One(arrow::int8(), A("128")), HasSubstr("out of the range of TINYINT"));
  EXPECT_THAT(One(arrow::int64(), A("9223372036854775808")),
              HasSubstr("out of the range of BIGINT"));
  EXPECT_THAT(One(arrow::int64(), A("\"\"")), HasSubstr("is not a BIGINT"));
  EXPECT_THAT(One(arrow::int64(), A("true")), HasSubstr("is not a BIGINT"));
  EXPECT_THAT(One(arrow::int64(), A("{}")), HasSubstr("is not a BIGINT"));
  EXPECT_THAT(One(arrow::float32(), A("1e39")), HasSubstr("out of the range of FLOAT"));
  EXPECT_THAT(One(arrow::float64(), A("1e999")), HasSubstr("out of the range of DOUBLE"));
  EXPECT_EQ(One(arrow::float64(), A("\"NaN\"")), "nan");
}

TEST(JsonDecoder, TextColumnsTakeAnyValueAsItIsWritten) {
  EXPECT_EQ(One(arrow::utf8(), A("12.50")), "12.50");
  EXPECT_EQ(One(arrow::utf8(), A("true")), "true");
  EXPECT_EQ(One(arrow::utf8(), A("{\"b\": [1, 2]}")), "{\"b\": [1, 2]}");
  EXPECT_EQ(One(arrow::utf8(), A("[1,\"x\"]")), "[1,\"x\"]");
  EXPECT_EQ(One(arrow::utf8(), A("null")), "null");  // Arrow's text for a null scalar
  EXPECT_EQ(One(arrow::utf8(), A("\"\"")), "");
}

TEST(JsonDecoder, AMissingFieldIsNullOrAnErrorWhenAsked) {
  EXPECT_EQ(One(arrow::int32(), "{\"b\": 1}"), "null");
  EXPECT_EQ(One(arrow::int32(), "{}"), "null");
  EXPECT_THAT(One(arrow::int32(), "{}", {{"fail-on-missing-field", "true"}}),
              HasSubstr("field 'a': the field is missing: {}"));
  EXPECT_EQ(One(arrow::int32(), A("null"), {{"fail-on-missing-field", "true"}}), "null");
  EXPECT_THAT(One(arrow::int32(), A("null"), {}, /*nullable=*/false), HasSubstr("NOT NULL"));
  EXPECT_THAT(One(arrow::int32(), "{}", {}, /*nullable=*/false), HasSubstr("NOT NULL"));
}

TEST(JsonDecoder, OfAKeyGivenTwiceTheLastCounts) {
  EXPECT_EQ(One(arrow::int32(), R"({"a":1,"b":2,"a":3})"), "3");
  EXPECT_EQ(One(arrow::utf8(), R"({"a":"long text","a":null})"), "null");
  EXPECT_EQ(One(arrow::list(arrow::int32()), R"({"a":[1,2,3],"a":[4]})"),
            One(arrow::list(arrow::int32()), R"({"a":[4]})"));
}

TEST(JsonDecoder, KeysMayBeEscapedAndComeInAnyOrder) {
  auto decoder = Make({arrow::field("a", arrow::int32()), arrow::field("ź", arrow::int32())});
  for (const char* record :
       {R"({"a":1,"ź":2})", R"({"ź":2,"a":1})", R"({"x":0,"\u0061":1,"\u017a":2})",
        R"({"aa":9,"a":1,"ź":2,"źź":9})", R"({"\u017a":2,"":3,"a":1})"}) {
    ASSERT_TRUE(decoder->Append(record).ok()) << record;
  }
  auto columns = decoder->Finish().ValueOrDie();
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(static_cast<const arrow::Int32Array&>(*columns[0]).Value(i), 1) << i;
    EXPECT_EQ(static_cast<const arrow::Int32Array&>(*columns[1]).Value(i), 2) << i;
  }
}

TEST(JsonDecoder, NestedTypesAreReadRecursively) {
  const auto type = arrow::struct_(
      {arrow::field("x", arrow::int32()), arrow::field("l", arrow::list(arrow::utf8())),
       arrow::field("m", arrow::map(arrow::utf8(), arrow::float64()))});
  auto decoder = Make({arrow::field("a", type)});
  ASSERT_TRUE(decoder->Append(R"({"a":{"x":1,"l":["p",null],"m":{"k":0.5}}})").ok());
  ASSERT_TRUE(decoder->Append(R"({"a":null})").ok());
  ASSERT_TRUE(decoder->Append(R"({"a":{"m":{},"l":[]}})").ok());
  const Status bad = decoder->Append(R"({"a":{"x":1,"l":["q"],"m":{"k":"no"}}})");
  EXPECT_THAT(MessageOf(bad), HasSubstr("field 'a.m"));
  ASSERT_TRUE(decoder->Append(R"({"a":{"x":5,"l":null,"m":{"u":1,"v":null}}})").ok());
  EXPECT_EQ(CodeOf(decoder->Append(R"({"a":{"m":{"u":1,"u":2}}})")), ErrorCode::kBadRecord);
  auto column = decoder->Finish().ValueOrDie()[0];
  ASSERT_TRUE(column->ValidateFull().ok()) << column->ValidateFull().ToString();
  auto expected = arrow::json::ArrayFromJSONString(type, R"([
      {"x": 1, "l": ["p", null], "m": [["k", 0.5]]},
      null,
      {"x": null, "l": [], "m": []},
      {"x": 5, "l": null, "m": [["u", 1], ["v", null]]}])")
                      .ValueOrDie();
  EXPECT_TRUE(column->Equals(*expected)) << column->ToString();
}

TEST(JsonDecoder, ABadRecordLeavesNoRowBehind) {
  auto decoder = Make({arrow::field("a", arrow::utf8()), arrow::field("b", arrow::int32())});
  ASSERT_TRUE(decoder->Append(R"({"a":"x","b":1})").ok());
  EXPECT_EQ(CodeOf(decoder->Append(R"({"a":"y","b":"z"})")), ErrorCode::kBadRecord);
  EXPECT_EQ(CodeOf(decoder->Append(R"({"a":"y","b":2)")), ErrorCode::kBadRecord);
  ASSERT_TRUE(decoder->Append(R"({"b":3})").ok());
  EXPECT_EQ(decoder->rows(), 2);
  auto columns = decoder->Finish().ValueOrDie();
  EXPECT_EQ(
      columns[0]->ToString(),
      arrow::json::ArrayFromJSONString(arrow::utf8(), R"(["x", null])").ValueOrDie()->ToString());
  EXPECT_EQ(columns[1]->ToString(),
            arrow::json::ArrayFromJSONString(arrow::int32(), "[1, 3]").ValueOrDie()->ToString());
  EXPECT_EQ(decoder->rows(), 0);
  EXPECT_EQ(decoder->Finish().ValueOrDie()[0]->length(), 0);
}

TEST(JsonDecoder, MalformedRecordsAreRefused) {
  for (const std::string& record : std::vector<std::string>{"",
                                                            " ",
                                                            "[]",
                                                            "1",
                                                            "null",
                                                            "\"x\"",
                                                            "{",
                                                            "{]",
                                                            "{\"a\"}",
                                                            "{\"a\":}",
                                                            "{\"a\":1",
                                                            "{\"a\":1,}",
                                                            "{\"a\":1}}",
                                                            "{\"a\":1} x",
                                                            "{\"a\":1} {\"a\":2}",
                                                            "{\"a\":01}",
                                                            "{\"a\":1 \"b\":2}",
                                                            "{\"a\":tru}",
                                                            "{\"a\":nul}",
                                                            "{\"a\":+1}",
                                                            "{\"a\":.5}",
                                                            "{a:1}",
                                                            "{\"a\":\"\xff\"}",
                                                            "{\"a\":\"\xc3\"}",
                                                            "{\"b\":\"\xff\",\"a\":1}",
                                                            "{\"a\":\"\\x\"}",
                                                            "{\"a\":\"\\ud800\"}",
                                                            "{\"a\":\"\n\"}",
                                                            "{\"b\":truth,\"a\":1}",
                                                            std::string("{\"a\":1}\0", 8),
                                                            "\xef\xbb\xbf\xef\xbb\xbf{}"}) {
    EXPECT_THAT(One(arrow::utf8(), record), HasSubstr("error: ")) << record;
  }
}

TEST(JsonDecoder, ErrorsShowAtMostEightyBytesOfTheRecord) {
  const std::string error = One(arrow::int32(), A("\"" + std::string(500, 'x') + "\""));
  EXPECT_THAT(error, HasSubstr("field 'a'"));
  EXPECT_THAT(error, HasSubstr("…"));
  EXPECT_LT(error.size(), 200u);
  EXPECT_THAT(One(arrow::int32(), "{\"a\":\"\x01\xfe\"}"), ::testing::Not(HasSubstr("\x01")));
}

TEST(JsonDecoder, WrongOptionsAndTypesAreRefusedWhenItIsMade) {
  const auto code = [](const Options& options, const std::shared_ptr<arrow::DataType>& type) {
    return CodeOf(Decoder::Make("json", options, {arrow::field("a", type)}).status());
  };
  EXPECT_EQ(code({{"nonsense", "1"}}, arrow::int32()), ErrorCode::kPlan);
  EXPECT_EQ(code({{"fail-on-missing-field", "yes"}}, arrow::int32()), ErrorCode::kPlan);
  EXPECT_EQ(code({{"fail-on-missing-field", "true"}, {"json.ignore-parse-errors", "true"}},
                 arrow::int32()),
            ErrorCode::kPlan);
  EXPECT_EQ(code({{"timestamp-format.standard", "ISO"}}, arrow::int32()), ErrorCode::kPlan);
  EXPECT_EQ(code({}, arrow::large_utf8()), ErrorCode::kNotSupported);
  EXPECT_EQ(code({}, arrow::map(arrow::int32(), arrow::int32())), ErrorCode::kNotSupported);
  EXPECT_EQ(CodeOf(Decoder::Make("jsn", {}, {}).status()), ErrorCode::kPlan);
  EXPECT_EQ(CodeOf(Decoder::Make("avro", {}, {}).status()), ErrorCode::kNotSupported);
}

/// Random documents whose fields are the columns below or not, in and out of order.
class RandomDocuments {
 public:
  explicit RandomDocuments(uint32_t seed) : random_(seed) {}

  std::string Object(int depth = 0) {
    std::string out = "{";
    const int fields = Below(7);
    for (int i = 0; i < fields; ++i) {
      if (i > 0) out += ",";
      out += Space() + "\"" + Key() + "\"" + Space() + ":" + Space() + Value(depth) + Space();
    }
    return out + "}";
  }
  int Below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }

 private:
  std::string Space() { return Below(4) == 0 ? (Below(2) == 0 ? " " : "\n\t") : ""; }
  std::string Key() {
    static const char* const kKeys[] = {"i", "d", "s", "b", "x", "\\u0069", "other", "ż", ""};
    return kKeys[Below(9)];
  }
  std::string Value(int depth) {
    switch (Below(depth > 2 ? 6 : 8)) {
      case 0:
        return std::to_string(static_cast<int32_t>(random_()));
      case 1:
        return std::to_string(Below(1000)) + "." + std::to_string(Below(1000)) +
               (Below(3) == 0 ? "e-2" : "");
      case 2:
        return Below(2) == 0 ? "true" : "false";
      case 3:
        return "null";
      case 4:
        return "\"" + std::string(static_cast<size_t>(Below(40)), 'y') + "\"";
      case 5:
        return "\"\\\"q\\\\ \\u00e9 Ł\\n\"";
      case 6:
        return Object(depth + 1);
      default:
        return "[" + Value(depth + 1) + "," + Value(depth + 1) + "]";
    }
  }
  std::mt19937 random_;
};

TEST(JsonDecoder, AgreesWithTheDomOnRandomDocuments) {
  const std::vector<std::shared_ptr<arrow::Field>> fields{
      arrow::field("i", arrow::int32()), arrow::field("d", arrow::float64()),
      arrow::field("s", arrow::utf8()), arrow::field("b", arrow::boolean())};
  auto decoder = Make(fields);
  simdjson::dom::parser parser;
  RandomDocuments documents(20260921);
  int good = 0, bad = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::string text = documents.Object();
    // The reference: the DOM's last value of each key, converted by the rules in plain words.
    simdjson::dom::object object;
    ASSERT_EQ(parser.parse(simdjson::padded_string(text)).get(object), simdjson::SUCCESS) << text;
    std::map<std::string, simdjson::dom::element> last;
    bool expect_good = true;
    const auto check = [&](const std::string& key, simdjson::dom::element value) {
      if (value.is_null()) return true;
      if (key == "i") {
        if (value.is_int64())
          return value.get_int64().value_unsafe() >= INT32_MIN &&
                 value.get_int64().value_unsafe() <= INT32_MAX;
        return value.is_double() && value.get_double().value_unsafe() ==
                                        static_cast<int32_t>(value.get_double().value_unsafe());
      }
      if (key == "d") return value.is_number();
      if (key == "b") return value.is_bool();
      return true;
    };
    for (auto [key, value] : object) {
      const std::string name(key);
      if (name == "i" || name == "d" || name == "s" || name == "b") {
        // Every occurrence is converted, also one that a later one replaces.
        expect_good = expect_good && check(name, value);
        last[name] = value;
      }
    }
    const Status status = decoder->Append(text);
    ASSERT_EQ(status.ok(), expect_good) << text << "\n" << status.ToString();
    if (!expect_good) {
      ++bad;
      continue;
    }
    ++good;
    auto columns = decoder->Finish().ValueOrDie();
    const auto null = [&](const char* name) { return !last.count(name) || last[name].is_null(); };
    ASSERT_EQ(columns[0]->IsNull(0), null("i")) << text;
    ASSERT_EQ(columns[1]->IsNull(0), null("d")) << text;
    ASSERT_EQ(columns[2]->IsNull(0), null("s")) << text;
    ASSERT_EQ(columns[3]->IsNull(0), null("b")) << text;
    if (!null("i")) {
      ASSERT_EQ(static_cast<const arrow::Int32Array&>(*columns[0]).Value(0),
                last["i"].is_int64() ? last["i"].get_int64().value_unsafe()
                                     : last["i"].get_double().value_unsafe())
          << text;
    }
    if (!null("d")) {
      ASSERT_EQ(static_cast<const arrow::DoubleArray&>(*columns[1]).Value(0),
                last["d"].get_double().value_unsafe())
          << text;
    }
    if (!null("b")) {
      ASSERT_EQ(static_cast<const arrow::BooleanArray&>(*columns[3]).Value(0),
                last["b"].get_bool().value_unsafe())
          << text;
    }
    if (!null("s")) {
      const std::string value(static_cast<const arrow::StringArray&>(*columns[2]).GetView(0));
      simdjson::dom::element s = last["s"];
      if (s.is_string()) {
        ASSERT_EQ(value, s.get_string().value_unsafe()) << text;
      } else {
        // As it is written: it stands so in the record, and means the same.
        ASSERT_NE(text.find(value), std::string::npos) << text;
        simdjson::dom::parser again;
        simdjson::dom::element reparsed;
        ASSERT_EQ(again.parse(simdjson::padded_string(value)).get(reparsed), simdjson::SUCCESS);
        ASSERT_EQ(simdjson::minify(reparsed), simdjson::minify(s)) << text;
      }
    }
  }
  EXPECT_GT(good, 5000);
  EXPECT_GT(bad, 1000);
}

TEST(JsonDecoder, EveryTruncationAndEveryFlippedByteIsSurvived) {
  const std::vector<std::shared_ptr<arrow::Field>> fields{
      arrow::field("i", arrow::int32()), arrow::field("d", arrow::decimal128(10, 2)),
      arrow::field("s", arrow::utf8()), arrow::field("b", arrow::boolean()),
      arrow::field("x", arrow::struct_({arrow::field("i", arrow::list(arrow::utf8()))}))};
  auto decoder = Make(fields);
  simdjson::dom::parser parser;
  RandomDocuments documents(7);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    const std::string text = documents.Object();
    for (size_t length = 0; length < text.size(); ++length) {
      // An object cut short is no object, wherever it is cut.
      const Status status = decoder->Append(std::string_view(text).substr(0, length));
      ASSERT_EQ(CodeOf(status), ErrorCode::kBadRecord) << text.substr(0, length);
      std::string damaged = text;
      damaged[length] = static_cast<char>(documents.Below(256));
      refused += !decoder->Append(damaged).ok();
    }
  }
  EXPECT_GT(refused, 1000);
  for (const auto& column : decoder->Finish().ValueOrDie()) {
    EXPECT_TRUE(column->ValidateFull().ok()) << column->ValidateFull().ToString();
  }
}

}  // namespace
}  // namespace marble::format
