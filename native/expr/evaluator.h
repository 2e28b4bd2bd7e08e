// Evaluates an expression over record batches. Compiled once per operator: functions are looked
// up, patterns and literal arguments are prepared; a column reference costs nothing.
//
// CASE, COALESCE, AND and OR evaluate an argument that can fail only for the rows that need it:
// `CASE WHEN b <> 0 THEN a / b END` does not divide by zero.
// Threads: Evaluate is const and may run on several at once.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>

#include "base/clock.h"
#include "base/status.h"
#include "expr/expression.h"

namespace marble::expr {

class Evaluator {
 public:
  /// Compile. kPlan names a function that is not known or a wrong number of arguments;
  /// kNotSupported names types that a function or cast does not take.
  static Result<std::unique_ptr<Evaluator>> Make(ExpressionPtr expression,
                                                 const Clock* clock = Clock::System());
  ~Evaluator();

  /// One value per row, of the expression's type.
  Result<std::shared_ptr<arrow::Array>> Evaluate(const arrow::RecordBatch& batch) const;

  const Expression& expression() const { return *expression_; }

  class Node;

 private:
  Evaluator(ExpressionPtr expression, std::unique_ptr<Node> root);
  ExpressionPtr expression_;
  std::unique_ptr<Node> root_;
};

/// Keep the rows where `mask` is true (not NULL).
Result<std::shared_ptr<arrow::RecordBatch>> FilterBatch(
    const std::shared_ptr<arrow::RecordBatch>& batch, const arrow::BooleanArray& mask);
Result<std::shared_ptr<arrow::Array>> FilterColumn(const std::shared_ptr<arrow::Array>& array,
                                                   const arrow::BooleanArray& mask);

/// Make Arrow's compute kernels available. Idempotent, thread-safe; Evaluator::Make calls it.
Status InitializeKernels();

}  // namespace marble::expr
