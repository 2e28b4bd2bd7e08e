// Every function of PLAN.md's table: a normal case, NULL, an edge. Expected values are Flink's.
#include <arrow/api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expr/cast.h"
#include "expr/date_time.h"
#include "expr/evaluator.h"
#include "expr/expression_reader.h"

namespace marble::expr {
namespace {

using testing::HasSubstr;

std::shared_ptr<arrow::DataType> Ms() { return arrow::timestamp(arrow::TimeUnit::MILLI); }

/// A literal of a type from its text; "NULL" is NULL.
ExpressionPtr Lit(const std::shared_ptr<arrow::DataType>& type, const std::string& text) {
  if (text == "NULL") return MakeLiteral(arrow::MakeNullScalar(type));
  if (type->id() == arrow::Type::STRING) {
    return MakeLiteral(std::make_shared<arrow::StringScalar>(text));
  }
  if (type->id() == arrow::Type::TIMESTAMP || type->id() == arrow::Type::DURATION) {
    return MakeLiteral(*arrow::MakeScalar(type, static_cast<int64_t>(std::stoll(text))));
  }
  if (type->id() == arrow::Type::DECIMAL128) {
    arrow::Decimal128 value;
    int32_t precision, scale;
    EXPECT_TRUE(arrow::Decimal128::FromString(text, &value, &precision, &scale).ok());
    const auto& decimal = static_cast<const arrow::Decimal128Type&>(*type);
    return MakeLiteral(
        std::make_shared<arrow::Decimal128Scalar>(*value.Rescale(scale, decimal.scale()), type));
  }
  return MakeLiteral(*arrow::Scalar::Parse(type, text));
}

/// Evaluate over two rows of columns made from the arguments, so that kernels see arrays; text
/// of the first row, "NULL" or "error: …".
std::string Eval(const std::string& function, const std::vector<ExpressionPtr>& args,
                 const std::shared_ptr<arrow::DataType>& type, bool columns = true) {
  std::vector<ExpressionPtr> inputs;
  std::vector<std::shared_ptr<arrow::Field>> fields;
  std::vector<std::shared_ptr<arrow::Array>> arrays;
  for (size_t i = 0; i < args.size(); ++i) {
    const bool keep =
        !columns || (function == "in" && i > 0) || (function == "like" && i > 0) ||
        ((function == "toTimestamp" || function == "dateFormat" || function == "floorTime") &&
         i == 1) ||
        (function == "extract" && i == 0);
    if (keep) {
      inputs.push_back(args[i]);
      continue;
    }
    inputs.push_back(MakeColumn(static_cast<int>(fields.size()), args[i]->type));
    fields.push_back(arrow::field("c" + std::to_string(i), args[i]->type));
    arrays.push_back(*arrow::MakeArrayFromScalar(*args[i]->literal, 2));
  }
  auto batch = arrow::RecordBatch::Make(arrow::schema(fields), 2, arrays);
  auto evaluator = Evaluator::Make(MakeCall(function, inputs, type));
  if (!evaluator.ok()) return "error: " + MessageOf(evaluator.status());
  auto result = (*evaluator)->Evaluate(*batch);
  if (!result.ok()) return "error: " + MessageOf(result.status());
  EXPECT_TRUE((*result)->ValidateFull().ok());
  EXPECT_EQ((*result)->length(), 2);
  EXPECT_TRUE((*result)->type()->Equals(*type)) << (*result)->type()->ToString();
  auto scalar = *(*result)->GetScalar(0);
  if (!scalar->is_valid) return "NULL";
  if (type->id() == arrow::Type::TIMESTAMP) {
    return std::to_string(static_cast<const arrow::TimestampScalar&>(*scalar).value);
  }
  if (type->id() == arrow::Type::DURATION) {
    return std::to_string(static_cast<const arrow::DurationScalar&>(*scalar).value);
  }
  return scalar->ToString();
}

struct Case {
  std::string function;
  std::vector<ExpressionPtr> args;
  std::shared_ptr<arrow::DataType> type;
  std::string expected;
};

void Check(const std::vector<Case>& cases) {
  for (const auto& c : cases) {
    std::string what = c.function;
    for (const auto& arg : c.args) what += " " + arg->ToString();
    EXPECT_EQ(Eval(c.function, c.args, c.type), c.expected) << what << " (columns)";
    EXPECT_EQ(Eval(c.function, c.args, c.type, false), c.expected) << what << " (literals)";
  }
}

const auto i8 = arrow::int8();
const auto i32 = arrow::int32();
const auto i64 = arrow::int64();
const auto f64 = arrow::float64();
const auto str = arrow::utf8();
const auto boo = arrow::boolean();

TEST(Functions, ArithmeticWrapsAndDividesLikeJava) {
  const auto dec = arrow::decimal128(10, 2);
  const auto dur = arrow::duration(arrow::TimeUnit::MILLI);
  const std::string zero = "error: Division by zero; NULLIF(divisor, 0) gives NULL instead";
  Check({
      {"plus", {Lit(i32, "2"), Lit(i32, "3")}, i32, "5"},
      {"plus", {Lit(i32, "2147483647"), Lit(i32, "1")}, i32, "-2147483648"},
      {"plus", {Lit(i32, "NULL"), Lit(i32, "1")}, i32, "NULL"},
      {"minus", {Lit(i8, "-128"), Lit(i8, "1")}, i8, "127"},
      {"times", {Lit(i64, "9223372036854775807"), Lit(i64, "2")}, i64, "-2"},
      {"divide", {Lit(i32, "-7"), Lit(i32, "2")}, i32, "-3"},
      {"divide", {Lit(i32, "-2147483648"), Lit(i32, "-1")}, i32, "-2147483648"},
      {"divide", {Lit(i32, "1"), Lit(i32, "0")}, i32, zero},
      {"divide", {Lit(i32, "NULL"), Lit(i32, "0")}, i32, "NULL"},
      {"divide", {Lit(f64, "1"), Lit(f64, "0")}, f64, "inf"},
      {"mod", {Lit(i32, "-7"), Lit(i32, "3")}, i32, "-1"},
      {"mod", {Lit(i64, "-9223372036854775808"), Lit(i64, "-1")}, i64, "0"},
      {"mod", {Lit(i32, "7"), Lit(i32, "0")}, i32, zero},
      {"mod", {Lit(f64, "7.5"), Lit(f64, "2")}, f64, "1.5"},
      {"negate", {Lit(i32, "-2147483648")}, i32, "-2147483648"},
      {"negate", {Lit(f64, "NULL")}, f64, "NULL"},
      {"abs", {Lit(f64, "-2.5")}, f64, "2.5"},
      {"floor", {Lit(f64, "-2.5")}, f64, "-3"},
      {"ceil", {Lit(f64, "-2.5")}, f64, "-2"},
      {"ceil", {Lit(i32, "7")}, i32, "7"},
      {"plus", {Lit(dec, "1.25"), Lit(dec, "2.50")}, arrow::decimal128(11, 2), "3.75"},
      {"minus", {Lit(dec, "1.25"), Lit(dec, "2.50")}, arrow::decimal128(11, 2), "-1.25"},
      {"times", {Lit(dec, "1.25"), Lit(dec, "2.50")}, arrow::decimal128(20, 4), "3.1250"},
      {"times", {Lit(dec, "99999999.99"), Lit(dec, "99999999.99")}, dec, "NULL"},
      {"divide", {Lit(dec, "1.00"), Lit(dec, "3.00")}, arrow::decimal128(23, 6), "0.333333"},
      {"divide", {Lit(dec, "2.00"), Lit(dec, "3.00")}, arrow::decimal128(23, 6), "0.666667"},
      {"divide", {Lit(dec, "1.00"), Lit(dec, "0.00")}, dec, zero},
      {"mod", {Lit(dec, "-7.50"), Lit(dec, "2.00")}, dec, "-1.50"},
      {"plus", {Lit(Ms(), "1000"), Lit(dur, "500")}, Ms(), "1500"},
      {"minus", {Lit(Ms(), "1000"), Lit(dur, "1500")}, Ms(), "-500"},
      {"minus", {Lit(Ms(), "1000"), Lit(Ms(), "400")}, dur, "600"},
  });
}

TEST(Functions, LogicIsThreeValued) {
  Check({
      {"equals", {Lit(str, "a"), Lit(str, "a")}, boo, "true"},
      {"equals", {Lit(str, "a"), Lit(str, "NULL")}, boo, "NULL"},
      {"notEquals", {Lit(boo, "true"), Lit(boo, "false")}, boo, "true"},
      {"lessThan", {Lit(i32, "1"), Lit(i32, "1")}, boo, "false"},
      {"lessThanOrEqual", {Lit(i32, "1"), Lit(i32, "1")}, boo, "true"},
      {"greaterThan", {Lit(str, "b"), Lit(str, "a")}, boo, "true"},
      {"greaterThanOrEqual", {Lit(f64, "NaN"), Lit(f64, "1")}, boo, "false"},
      {"and", {Lit(boo, "NULL"), Lit(boo, "false")}, boo, "false"},
      {"and", {Lit(boo, "NULL"), Lit(boo, "true")}, boo, "NULL"},
      {"or", {Lit(boo, "NULL"), Lit(boo, "true")}, boo, "true"},
      {"or", {Lit(boo, "false"), Lit(boo, "false"), Lit(boo, "NULL")}, boo, "NULL"},
      {"not", {Lit(boo, "NULL")}, boo, "NULL"},
      {"not", {Lit(boo, "true")}, boo, "false"},
      {"isNull", {Lit(i32, "NULL")}, boo, "true"},
      {"isNotNull", {Lit(i32, "NULL")}, boo, "false"},
      {"isTrue", {Lit(boo, "NULL")}, boo, "false"},
      {"isFalse", {Lit(boo, "NULL")}, boo, "false"},
      {"isFalse", {Lit(boo, "false")}, boo, "true"},
      {"isNotTrue", {Lit(boo, "NULL")}, boo, "true"},
      {"isNotTrue", {Lit(boo, "true")}, boo, "false"},
      {"isNotFalse", {Lit(boo, "NULL")}, boo, "true"},
      {"isNotFalse", {Lit(boo, "false")}, boo, "false"},
      {"in", {Lit(i32, "2"), Lit(i32, "1"), Lit(i32, "2")}, boo, "true"},
      {"in", {Lit(i32, "3"), Lit(i32, "1"), Lit(i32, "NULL")}, boo, "NULL"},
      {"in", {Lit(i32, "NULL"), Lit(i32, "1")}, boo, "NULL"},
      {"in", {Lit(i32, "3"), Lit(i32, "1")}, boo, "false"},
      {"case", {Lit(boo, "NULL"), Lit(i32, "1"), Lit(i32, "2")}, i32, "2"},
      {"case",
       {Lit(boo, "false"), Lit(i32, "1"), Lit(boo, "true"), Lit(i32, "5"), Lit(i32, "2")},
       i32,
       "5"},
      {"coalesce", {Lit(str, "NULL"), Lit(str, "x")}, str, "x"},
      {"coalesce", {Lit(str, "NULL"), Lit(str, "NULL")}, str, "NULL"},
  });
}

TEST(Functions, TextCountsCodePoints) {
  Check({
      {"upper", {Lit(str, "zażółć")}, str, "ZAŻÓŁĆ"},
      {"lower", {Lit(str, "ÄB")}, str, "äb"},
      {"upper", {Lit(str, "NULL")}, str, "NULL"},
      {"trim", {Lit(str, "  a b ")}, str, "a b"},
      {"trim", {Lit(str, "\ta")}, str, "\ta"},
      {"charLength", {Lit(str, "żó")}, i32, "2"},
      {"concat", {Lit(str, "a"), Lit(str, "b"), Lit(str, "c")}, str, "abc"},
      {"concat", {Lit(str, "a"), Lit(str, "NULL")}, str, "NULL"},
      {"substring", {Lit(str, "żółty"), Lit(i32, "2")}, str, "ółty"},
      {"substring", {Lit(str, "hello"), Lit(i32, "2"), Lit(i32, "3")}, str, "ell"},
      {"substring", {Lit(str, "hello"), Lit(i32, "0"), Lit(i32, "2")}, str, "he"},
      {"substring", {Lit(str, "hello"), Lit(i32, "-3"), Lit(i32, "2")}, str, "ll"},
      {"substring", {Lit(str, "hello"), Lit(i32, "-9"), Lit(i32, "2")}, str, ""},
      {"substring", {Lit(str, "hello"), Lit(i32, "9")}, str, ""},
      {"substring", {Lit(str, "hello"), Lit(i32, "1"), Lit(i32, "-1")}, str, "NULL"},
      {"substring", {Lit(str, "hello"), Lit(i32, "NULL")}, str, "NULL"},
      {"like", {Lit(str, "hello"), Lit(str, "h%o")}, boo, "true"},
      {"like", {Lit(str, "hello"), Lit(str, "h_llo")}, boo, "true"},
      {"like", {Lit(str, "żo"), Lit(str, "_o")}, boo, "true"},
      {"like", {Lit(str, "hello"), Lit(str, "h")}, boo, "false"},
      {"like", {Lit(str, ""), Lit(str, "%")}, boo, "true"},
      {"like", {Lit(str, "ababab"), Lit(str, "%ab_b%b")}, boo, "true"},
      {"like", {Lit(str, "50%"), Lit(str, "50!%"), Lit(str, "!")}, boo, "true"},
      {"like", {Lit(str, "505"), Lit(str, "50!%"), Lit(str, "!")}, boo, "false"},
      {"like", {Lit(str, "a\\b"), Lit(str, "a\\b")}, boo, "true"},
      {"like", {Lit(str, "NULL"), Lit(str, "%")}, boo, "NULL"},
  });
}

TEST(Functions, TimeIsUtcAndMalformedTextIsNull) {
  const auto us = arrow::timestamp(arrow::TimeUnit::MICRO);
  auto parse = [&](const std::string& text, const std::string& pattern, const std::string& out) {
    return Case{"toTimestamp", {Lit(str, text), Lit(str, pattern)}, Ms(), out};
  };
  const std::string minute = "yyyy/MM/dd HH:mm";
  Check({
      parse("2001/01/01 00:47", minute, "978310020000"),
      parse("1969/12/31 23:59", minute, "-60000"),
      parse("NULL", minute, "NULL"),
      parse("2001/01/01 00:47 ", minute, "NULL"),
      parse("2001/1/01 00:47", minute, "NULL"),
      parse("2001/02/29 00:00", minute, "NULL"),
      parse("2000/02/29 00:00", minute, "951782400000"),
      parse("1900/02/29 00:00", minute, "NULL"),
      parse("2001/13/01 00:00", minute, "NULL"),
      parse("2001/04/31 00:00", minute, "NULL"),
      parse("2001/01/01 24:00", minute, "NULL"),
      parse("0000/01/01 00:00", minute, "NULL"),
      parse("", minute, "NULL"),
      parse("0001-01-01", "yyyy-MM-dd", "-62135596800000"),
      parse("9999-12-31", "yyyy-MM-dd", "253402214400000"),
      parse("2001-01-01T00:00:00.125", "yyyy-MM-dd'T'HH:mm:ss.SSS", "978307200125"),
      parse("1/2/2001", "d/M/yyyy", "980985600000"),
      parse("11/12/2001", "d/M/yyyy", "1008028800000"),
      {"toTimestamp",
       {Lit(str, "2001-01-01 00:00:00.000001"), Lit(str, "yyyy-MM-dd HH:mm:ss.SSSSSS")},
       us,
       "978307200000001"},
      {"dateFormat", {Lit(Ms(), "978310020000"), Lit(str, minute)}, str, "2001/01/01 00:47"},
      {"dateFormat",
       {Lit(Ms(), "-1"), Lit(str, "yyyy-MM-dd HH:mm:ss.SSS")},
       str,
       "1969-12-31 23:59:59.999"},
      {"dateFormat", {Lit(Ms(), "NULL"), Lit(str, minute)}, str, "NULL"},
      {"extract", {Lit(str, "YEAR"), Lit(Ms(), "-1")}, i64, "1969"},
      {"extract", {Lit(str, "MONTH"), Lit(Ms(), "-1")}, i64, "12"},
      {"extract", {Lit(str, "DAY"), Lit(Ms(), "-1")}, i64, "31"},
      {"extract", {Lit(str, "HOUR"), Lit(Ms(), "-1")}, i64, "23"},
      {"extract", {Lit(str, "MINUTE"), Lit(Ms(), "NULL")}, i64, "NULL"},
      {"extract", {Lit(str, "SECOND"), Lit(Ms(), "61000")}, i64, "1"},
      {"floorTime", {Lit(Ms(), "978310020000"), Lit(str, "DAY")}, Ms(), "978307200000"},
      {"floorTime", {Lit(Ms(), "-1"), Lit(str, "YEAR")}, Ms(), "-31536000000"},
      {"floorTime", {Lit(Ms(), "-1"), Lit(str, "MONTH")}, Ms(), "-2678400000"},
      {"floorTime", {Lit(Ms(), "NULL"), Lit(str, "HOUR")}, Ms(), "NULL"},
  });
  EXPECT_THAT(Eval("toTimestamp", {Lit(str, "x"), Lit(str, "yyyy QQ")}, Ms()), HasSubstr("QQ"));
}

class FixedClock : public Clock {
 public:
  int64_t NowMs() const override { return 1234; }
  int64_t MonotonicMicros() const override { return 0; }
};

TEST(Functions, ProcTimeIsTheClocks) {
  const FixedClock clock;
  const auto type = arrow::timestamp(arrow::TimeUnit::MILLI, "UTC");
  auto evaluator = *Evaluator::Make(MakeCall("procTime", {}, type), &clock);
  auto batch = arrow::RecordBatch::Make(arrow::schema({}), 3, arrow::ArrayVector{});
  auto result = *evaluator->Evaluate(*batch);
  ASSERT_EQ(result->length(), 3);
  EXPECT_EQ(static_cast<const arrow::TimestampArray&>(*result).Value(2), 1234);
}

TEST(Functions, AnUnknownOneIsNamed) {
  auto made = Evaluator::Make(MakeCall("soundex", {Lit(str, "a")}, str));
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(CodeOf(made.status()), ErrorCode::kPlan);
  EXPECT_THAT(MessageOf(made.status()), HasSubstr("soundex"));
}

TEST(Evaluator, ABranchThatCanFailRunsOnlyForItsRows) {
  // b: 0, 2, NULL; CASE WHEN b <> 0 THEN 10 / b ELSE -1 END, and b <> 0 AND 10 / b > 3.
  arrow::Int32Builder builder;
  ASSERT_TRUE(builder.AppendValues({0, 2}).ok());
  ASSERT_TRUE(builder.AppendNull().ok());
  auto array = *builder.Finish();
  auto batch = arrow::RecordBatch::Make(arrow::schema({arrow::field("b", i32)}), 3, {array});
  auto b = MakeColumn(0, i32);
  auto nonzero = MakeCall("notEquals", {b, Lit(i32, "0")}, boo);
  auto quotient = MakeCall("divide", {Lit(i32, "10"), b}, i32);
  auto choice = *Evaluator::Make(MakeCall("case", {nonzero, quotient, Lit(i32, "-1")}, i32));
  auto result = *choice->Evaluate(*batch);
  EXPECT_EQ(result->ToString(), "[\n  -1,\n  5,\n  -1\n]");
  auto both = *Evaluator::Make(
      MakeCall("and", {nonzero, MakeCall("greaterThan", {quotient, Lit(i32, "3")}, boo)}, boo));
  EXPECT_EQ((*both->Evaluate(*batch))->ToString(), "[\n  false,\n  true,\n  null\n]");
}

std::string CastText(const std::shared_ptr<arrow::DataType>& from, const std::string& value,
                     const std::shared_ptr<arrow::DataType>& to, bool try_cast = false) {
  auto array = *arrow::MakeArrayFromScalar(*Lit(from, value)->literal, 2);
  auto cast = CastArray(array, to, try_cast);
  if (!cast.ok()) return "error: " + MessageOf(cast.status());
  EXPECT_TRUE((*cast)->ValidateFull().ok());
  auto scalar = *(*cast)->GetScalar(1);
  if (!scalar->is_valid) return "NULL";
  if (to->id() == arrow::Type::TIMESTAMP) {
    return std::to_string(static_cast<const arrow::TimestampScalar&>(*scalar).value);
  }
  if (to->id() == arrow::Type::DATE32) {
    return std::to_string(static_cast<const arrow::Date32Scalar&>(*scalar).value);
  }
  if (to->id() == arrow::Type::TIME32) {
    return std::to_string(static_cast<const arrow::Time32Scalar&>(*scalar).value);
  }
  return scalar->ToString();
}

TEST(Cast, FollowsFlinksRules) {
  const auto dec = arrow::decimal128(5, 2);
  EXPECT_EQ(CastText(f64, "-2.9", i32), "-2");
  EXPECT_EQ(CastText(f64, "1e300", i32), "2147483647");
  EXPECT_EQ(CastText(f64, "NaN", i64), "0");
  EXPECT_EQ(CastText(f64, "300", i8), "44");
  EXPECT_EQ(CastText(i64, "4294967297", i32), "1");
  EXPECT_EQ(CastText(i32, "7", f64), "7");
  EXPECT_EQ(CastText(i32, "7", str), "7");
  EXPECT_EQ(CastText(f64, "1", str), "1.0");
  EXPECT_EQ(CastText(f64, "1e10", str), "1.0E10");
  EXPECT_EQ(CastText(f64, "0.0001", str), "1.0E-4");
  EXPECT_EQ(CastText(f64, "1234567.5", str), "1234567.5");
  EXPECT_EQ(CastText(boo, "true", str), "TRUE");
  EXPECT_EQ(CastText(boo, "true", i32), "1");
  EXPECT_EQ(CastText(i32, "-3", boo), "true");
  EXPECT_EQ(CastText(str, " 12 ", i32), "12");
  EXPECT_EQ(CastText(str, "12.9", i32), "12");
  EXPECT_EQ(CastText(str, "+5", i32), "5");
  EXPECT_THAT(CastText(str, "twelve", i32), HasSubstr("'twelve' is no int32"));
  EXPECT_EQ(CastText(str, "twelve", i32, true), "NULL");
  EXPECT_EQ(CastText(str, "3000000000", i32, true), "NULL");
  EXPECT_EQ(CastText(str, "1e3", f64), "1000");
  EXPECT_EQ(CastText(str, "x1", f64, true), "NULL");
  EXPECT_EQ(CastText(str, "Yes", boo), "true");
  EXPECT_EQ(CastText(str, "maybe", boo, true), "NULL");
  EXPECT_EQ(CastText(str, "2001-02-03", arrow::date32()), "11356");
  EXPECT_EQ(CastText(str, "2001-02-30", arrow::date32(), true), "NULL");
  EXPECT_EQ(CastText(str, "12:30:05.5", arrow::time32(arrow::TimeUnit::MILLI)), "45005500");
  EXPECT_EQ(CastText(str, "2001-01-01 00:47", Ms()), "978310020000");
  EXPECT_EQ(CastText(str, "2001-01-01", Ms()), "978307200000");
  EXPECT_EQ(CastText(Ms(), "978310020001", str), "2001-01-01 00:47:00.001");
  EXPECT_EQ(CastText(Ms(), "-1", arrow::date32()), "-1");
  EXPECT_EQ(CastText(Ms(), "-1", arrow::timestamp(arrow::TimeUnit::MICRO)), "-1000");
  EXPECT_EQ(CastText(arrow::timestamp(arrow::TimeUnit::MICRO), "-1", Ms()), "-1");
  EXPECT_EQ(CastText(Ms(), "86399999", arrow::time32(arrow::TimeUnit::MILLI)), "86399999");
  EXPECT_EQ(CastText(str, "1.005", dec), "1.01");
  EXPECT_EQ(CastText(str, "1000", dec), "NULL");
  EXPECT_EQ(CastText(i32, "999", dec), "999.00");
  EXPECT_EQ(CastText(f64, "1.005", dec), "1.01");
  EXPECT_EQ(CastText(dec, "-1.99", i32), "-1");
  EXPECT_EQ(CastText(dec, "-0.05", str), "-0.05");
  EXPECT_EQ(CastText(dec, "1.25", f64), "1.25");
  EXPECT_EQ(CastText(i32, "NULL", str), "NULL");
  EXPECT_FALSE(CheckCast(*Ms(), *i64).ok());
  EXPECT_FALSE(CheckCast(*arrow::list(i32), *str).ok());
}

TEST(ExpressionReader, ReadsAndRefuses) {
  const auto input = arrow::schema({arrow::field("a", i32)});
  const std::string type = R"("type":{"name":"int","bitWidth":32,"isSigned":true})";
  const std::string column = R"({"kind":"column","index":0,)" + type + R"(,"nullable":true})";
  auto call = ReadExpression(R"({"kind":"call","function":"plus","args":[)" + column +
                                 R"(,{"kind":"literal","value":2,)" + type +
                                 R"(,"nullable":false}],)" + type + R"(,"nullable":true})",
                             *input);
  ASSERT_TRUE(call.ok()) << call.status().ToString();
  EXPECT_EQ((*call)->ToString(input.get()), "plus(a, 2:int32)");
  auto refused = [&](const std::string& json, const std::string& why) {
    auto read = ReadExpression(json, *input);
    ASSERT_FALSE(read.ok()) << json;
    EXPECT_EQ(CodeOf(read.status()), ErrorCode::kPlan);
    EXPECT_THAT(MessageOf(read.status()), HasSubstr(why));
  };
  refused(R"({"kind":"column","index":1,)" + type + R"(,"nullable":true})", "does not exist");
  refused(R"({"kind":"column","index":0,)" + type + R"(,"nullable":true,"x":1})", "'x'");
  refused(R"({"kind":"lambda",)" + type + R"(,"nullable":true})", "lambda");
  refused(R"({"kind":"literal","value":"b",)" + type + R"(,"nullable":true})", "value");
  refused(R"({"kind":"column","index":0,"type":{"name":"utf8"},"nullable":true})", "int32");
}

}  // namespace
}  // namespace marble::expr
