#include "expr/expression_reader.h"

#include <arrow/api.h>

#include <charconv>
#include <limits>

#include "base/arrow_types.h"

namespace marble::expr {

namespace dom = simdjson::dom;

namespace {

constexpr int kMaxDepth = 256;  // of nesting; the planner's own limit is lower

Result<std::string> DecodeBase64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    int value;
    if (c >= 'A' && c <= 'Z')
      value = c - 'A';
    else if (c >= 'a' && c <= 'z')
      value = c - 'a' + 26;
    else if (c >= '0' && c <= '9')
      value = c - '0' + 52;
    else if (c == '+')
      value = 62;
    else if (c == '/')
      value = 63;
    else if (c == '=')
      break;
    else
      return MakeError(ErrorCode::kPlan, "not base64");
    bits = (bits << 6) | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>((bits >> count) & 0xff));
    }
  }
  return out;
}

Result<int64_t> ReadInteger(const dom::element& value) {
  int64_t number;
  if (value.get(number) == simdjson::SUCCESS) return number;
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS && !text.empty()) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  }
  return MakeError(ErrorCode::kPlan, "must be an integer or a string of one");
}

template <typename CType>
Result<std::shared_ptr<arrow::Scalar>> IntegerScalar(const dom::element& value,
                                                     const std::shared_ptr<arrow::DataType>& type) {
  MARBLE_ASSIGN_OR_RETURN(int64_t number, ReadInteger(value));
  if (number < static_cast<int64_t>(std::numeric_limits<CType>::min()) ||
      number > static_cast<int64_t>(std::numeric_limits<CType>::max())) {
    return MakeError(ErrorCode::kPlan, "does not fit " + type->ToString());
  }
  return arrow::MakeScalar(type, static_cast<CType>(number));
}

Result<std::shared_ptr<arrow::Scalar>> ReadLiteral(const dom::element& value,
                                                   const std::shared_ptr<arrow::DataType>& type) {
  using arrow::Type;
  if (value.is_null()) return arrow::MakeNullScalar(type);
  switch (type->id()) {
    case Type::BOOL: {
      bool flag;
      if (value.get(flag) != simdjson::SUCCESS) break;
      return arrow::MakeScalar(type, flag);
    }
    case Type::INT8:
      return IntegerScalar<int8_t>(value, type);
    case Type::INT16:
      return IntegerScalar<int16_t>(value, type);
    case Type::INT32:
    case Type::DATE32:
    case Type::TIME32:
    case Type::INTERVAL_MONTHS:
      return IntegerScalar<int32_t>(value, type);
    case Type::INT64:
    case Type::DATE64:
    case Type::TIME64:
    case Type::TIMESTAMP:
    case Type::DURATION:
      return IntegerScalar<int64_t>(value, type);
    case Type::FLOAT:
    case Type::DOUBLE: {
      double number;
      if (value.get(number) != simdjson::SUCCESS) break;
      if (type->id() == Type::FLOAT) return arrow::MakeScalar(type, static_cast<float>(number));
      return arrow::MakeScalar(type, number);
    }
    case Type::DECIMAL128: {
      std::string_view text;
      if (value.get(text) != simdjson::SUCCESS) break;
      const auto& decimal = static_cast<const arrow::Decimal128Type&>(*type);
      arrow::Decimal128 number;
      int32_t precision, scale;
      auto parsed = arrow::Decimal128::FromString(text, &number, &precision, &scale);
      if (!parsed.ok()) break;
      auto scaled = number.Rescale(scale, decimal.scale());
      if (!scaled.ok() || !scaled->FitsInPrecision(decimal.precision())) break;
      return std::make_shared<arrow::Decimal128Scalar>(*scaled, type);
    }
    case Type::STRING: {
      std::string_view text;
      if (value.get(text) != simdjson::SUCCESS) break;
      return std::make_shared<arrow::StringScalar>(std::string(text));
    }
    case Type::BINARY: {
      std::string_view text;
      if (value.get(text) != simdjson::SUCCESS) break;
      MARBLE_ASSIGN_OR_RETURN(auto bytes, DecodeBase64(text));
      return std::make_shared<arrow::BinaryScalar>(std::move(bytes));
    }
    default:
      return MakeError(ErrorCode::kNotSupported,
                       "literals of type " + type->ToString() + " are not supported");
  }
  return MakeError(ErrorCode::kPlan, "is no value of type " + type->ToString());
}

Result<ExpressionPtr> Read(dom::element json, const arrow::Schema& input, const std::string& where,
                           int depth) {
  if (depth > kMaxDepth) {
    return MakeError(ErrorCode::kPlan, "Plan: " + where + ": nested too deeply");
  }
  MARBLE_ASSIGN_OR_RETURN(auto object, JsonObject::Make(json, where));
  MARBLE_ASSIGN_OR_RETURN(auto kind, object.String("kind"));
  auto expression = std::make_shared<Expression>();
  MARBLE_ASSIGN_OR_RETURN(expression->type, ReadType(&object));
  MARBLE_ASSIGN_OR_RETURN(expression->nullable, object.Bool("nullable"));
  if (kind == "column") {
    expression->kind = Expression::Kind::kColumn;
    MARBLE_ASSIGN_OR_RETURN(int64_t index, object.Int("index"));
    if (index < 0 || index >= input.num_fields()) {
      return object.Error("column " + std::to_string(index) + " does not exist; the input has " +
                          std::to_string(input.num_fields()));
    }
    expression->column = static_cast<int>(index);
    const auto& field = input.field(expression->column);
    if (!field->type()->Equals(*expression->type)) {
      return object.Error("column '" + field->name() + "' is " + field->type()->ToString() +
                          ", the expression says " + expression->type->ToString());
    }
  } else if (kind == "literal") {
    expression->kind = Expression::Kind::kLiteral;
    MARBLE_ASSIGN_OR_RETURN(auto value, object.Element("value"));
    auto literal = ReadLiteral(value, expression->type);
    if (!literal.ok()) {
      return MakeError(CodeOf(literal.status()),
                       "Plan: " + where + ": 'value' " + MessageOf(literal.status()));
    }
    expression->literal = *literal;
  } else if (kind == "call") {
    expression->kind = Expression::Kind::kCall;
    MARBLE_ASSIGN_OR_RETURN(expression->function, object.String("function"));
    MARBLE_ASSIGN_OR_RETURN(auto args, object.Array("args"));
    for (size_t i = 0; i < args.size(); ++i) {
      MARBLE_ASSIGN_OR_RETURN(
          auto arg,
          Read(args[i], input, where + "." + expression->function + "[" + std::to_string(i) + "]",
               depth + 1));
      expression->args.push_back(std::move(arg));
    }
  } else if (kind == "cast") {
    expression->kind = Expression::Kind::kCast;
    MARBLE_ASSIGN_OR_RETURN(auto arg, object.Element("arg"));
    MARBLE_ASSIGN_OR_RETURN(auto read, Read(arg, input, where + ".cast", depth + 1));
    expression->args.push_back(std::move(read));
    MARBLE_ASSIGN_OR_RETURN(expression->try_cast, object.Bool("try"));
  } else {
    return object.Error("kind '" + kind + "' is not known");
  }
  MARBLE_RETURN_NOT_OK(object.AllRead());
  return expression;
}

}  // namespace

Result<std::shared_ptr<arrow::DataType>> ReadType(JsonObject* object) {
  MARBLE_ASSIGN_OR_RETURN(auto type, object->Element("type"));
  std::string children = "[]";
  if (object->Has("children")) {
    MARBLE_ASSIGN_OR_RETURN(auto element, object->Element("children"));
    children = simdjson::minify(element);
  }
  const std::string field = R"({"name":"","nullable":true,"type":)" +
                            std::string(simdjson::minify(type)) + R"(,"children":)" + children +
                            "}";
  auto parsed = FieldFromJson(field);
  if (!parsed.ok()) return object->Error("type: " + MessageOf(parsed.status()));
  return (*parsed)->type();
}

Result<ExpressionPtr> ReadExpression(dom::element json, const arrow::Schema& input,
                                     const std::string& where) {
  return Read(json, input, where, 0);
}

Result<ExpressionPtr> ReadExpression(std::string_view json, const arrow::Schema& input) {
  dom::parser parser;
  dom::element element;
  const auto error = parser.parse(json.data(), json.size()).get(element);
  if (error != simdjson::SUCCESS) {
    return MakeError(ErrorCode::kPlan,
                     std::string("Plan: not JSON: ") + simdjson::error_message(error));
  }
  return Read(element, input, "expression", 0);
}

}  // namespace marble::expr
