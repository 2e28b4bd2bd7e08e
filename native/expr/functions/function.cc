#include "expr/functions/function.h"

#include <arrow/api.h>

#include <unordered_map>

namespace marble::expr {

const Function* FindFunction(std::string_view name) {
  static const auto* const kByName = [] {
    auto* map = new std::unordered_map<std::string_view, const Function*>();
    for (const auto* list :
         {&ArithmeticFunctions(), &LogicFunctions(), &StringFunctions(), &TimeFunctions()}) {
      for (const auto& function : *list) map->emplace(function.name, &function);
    }
    return map;
  }();
  const auto found = kByName->find(name);
  return found == kByName->end() ? nullptr : found->second;
}

Result<std::shared_ptr<arrow::Array>> AsArray(const arrow::Datum& datum, int64_t rows) {
  if (datum.is_array()) return datum.make_array();
  return arrow::MakeArrayFromScalar(*datum.scalar(), rows);
}

Result<std::string> LiteralText(const Expression& call, size_t index) {
  const auto& arg = *call.args[index];
  if (arg.kind != Expression::Kind::kLiteral || arg.type->id() != arrow::Type::STRING ||
      !arg.literal->is_valid) {
    return MakeError(ErrorCode::kPlan, "Function '" + call.function + "': argument " +
                                           std::to_string(index + 1) + " must be a string literal");
  }
  return static_cast<const arrow::StringScalar&>(*arg.literal).value->ToString();
}

Status TypeNotSupported(const Expression& call) {
  std::string types;
  for (const auto& arg : call.args) {
    types += (types.empty() ? "" : ", ") + arg->type->ToString();
  }
  return MakeError(ErrorCode::kNotSupported,
                   "Function '" + call.function + "' does not take (" + types + ")");
}

}  // namespace marble::expr
