#include "expr/expression.h"

#include <arrow/api.h>

namespace marble::expr {

std::string Expression::ToString(const arrow::Schema* input) const {
  switch (kind) {
    case Kind::kColumn:
      if (input != nullptr && column >= 0 && column < input->num_fields()) {
        return input->field(column)->name();
      }
      return "$" + std::to_string(column);
    case Kind::kLiteral:
      return (literal->is_valid ? literal->ToString() : "NULL") + ":" + type->ToString();
    case Kind::kCast:
      return std::string(try_cast ? "TRY_CAST(" : "CAST(") + args[0]->ToString(input) + " AS " +
             type->ToString() + ")";
    case Kind::kCall: {
      std::string text = function + "(";
      for (size_t i = 0; i < args.size(); ++i) {
        if (i > 0) text += ", ";
        text += args[i]->ToString(input);
      }
      return text + ")";
    }
  }
  return "";
}

bool Expression::CanFail() const {
  if (kind == Kind::kCast && !try_cast) {
    const auto from = args[0]->type->id();
    if ((arrow::is_base_binary_like(from)) && !arrow::is_base_binary_like(type->id())) return true;
  }
  if (kind == Kind::kCall && (function == "divide" || function == "mod") &&
      !arrow::is_floating(type->id())) {
    return true;
  }
  for (const auto& arg : args) {
    if (arg->CanFail()) return true;
  }
  return false;
}

ExpressionPtr MakeColumn(int index, std::shared_ptr<arrow::DataType> type, bool nullable) {
  auto expression = std::make_shared<Expression>();
  expression->kind = Expression::Kind::kColumn;
  expression->column = index;
  expression->type = std::move(type);
  expression->nullable = nullable;
  return expression;
}

ExpressionPtr MakeLiteral(std::shared_ptr<arrow::Scalar> value) {
  auto expression = std::make_shared<Expression>();
  expression->kind = Expression::Kind::kLiteral;
  expression->type = value->type;
  expression->nullable = !value->is_valid;
  expression->literal = std::move(value);
  return expression;
}

ExpressionPtr MakeCall(std::string function, std::vector<ExpressionPtr> args,
                       std::shared_ptr<arrow::DataType> type) {
  auto expression = std::make_shared<Expression>();
  expression->kind = Expression::Kind::kCall;
  expression->function = std::move(function);
  expression->args = std::move(args);
  expression->type = std::move(type);
  return expression;
}

ExpressionPtr MakeCast(ExpressionPtr arg, std::shared_ptr<arrow::DataType> type, bool try_cast) {
  auto expression = std::make_shared<Expression>();
  expression->kind = Expression::Kind::kCast;
  expression->args = {std::move(arg)};
  expression->type = std::move(type);
  expression->try_cast = try_cast;
  return expression;
}

}  // namespace marble::expr
