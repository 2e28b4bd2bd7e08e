// The registry of scalar functions: name → factory that checks an expression's arguments and
// prepares a kernel. The factories live beside each other by subject.
#pragma once

#include <arrow/datum.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "expr/expression.h"

namespace marble::expr {

/// Arguments are arrays of `rows` values or scalars; so is the result. Its type may differ from
/// the expression's in precision or unit: the evaluator casts it.
using Kernel =
    std::function<Result<arrow::Datum>(const std::vector<arrow::Datum>& args, int64_t rows)>;
using KernelFactory = Result<Kernel> (*)(const Expression& call, const Clock* clock);

struct Function {
  std::string_view name;
  int min_args;
  int max_args;
  KernelFactory make;
};

/// All functions by subject.
const std::vector<Function>& ArithmeticFunctions();
const std::vector<Function>& LogicFunctions();
const std::vector<Function>& StringFunctions();
const std::vector<Function>& TimeFunctions();

/// nullptr: not known.
const Function* FindFunction(std::string_view name);

/// A scalar spread over `rows`, or the array itself.
Result<std::shared_ptr<arrow::Array>> AsArray(const arrow::Datum& datum, int64_t rows);
/// The text of a literal argument; kPlan when it is no literal.
Result<std::string> LiteralText(const Expression& call, size_t index);
Status TypeNotSupported(const Expression& call);

}  // namespace marble::expr
