// A condition over a table's rows: compiled once, asked about batches (which rows match), about
// zones (can any) and about keys (between which).
//
// SQL's three-valued logic: a row matches when the condition is true, not when it is NULL.
// Immutable; any thread.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "expr/evaluator.h"
#include "expr/expression.h"
#include "lsm/db.h"
#include "table/pruning.h"

namespace marble::table {

class Predicate {
 public:
  /// Compile a boolean expression over the table's schema. A comparison `CAST(column) = literal`
  /// becomes one of the column itself where the literal is a value of the column's type. kSchema
  /// when it is no condition, kNotSupported and kPlan as expr::Evaluator::Make.
  static Result<std::shared_ptr<const Predicate>> Make(const lsm::TableHandle& table,
                                                       const expr::ExpressionPtr& condition);

  /// What it has become, over the table's schema.
  const expr::Expression& condition() const { return *condition_; }
  /// The columns that it reads, ascending indices into the table's schema.
  const std::vector<int>& columns() const { return columns_; }
  /// The keys between which all rows lie that match; nullopt: none can.
  const std::optional<lsm::ScanRange>& key_bounds() const { return key_bounds_; }

  /// One value per row of a batch in which `columns()[i]` is column `at[i]`.
  Result<std::shared_ptr<arrow::BooleanArray>> Evaluate(const arrow::RecordBatch& batch,
                                                        const std::vector<int>& at) const;

  /// What a file's zone maps say of one of its batches.
  Verdict JudgeBatch(const lsm::SstReader& sst, int64_t batch) const {
    return Judge(*condition_, [&](int column) { return ZoneInFile(sst, batch, column); });
  }

 private:
  Predicate() = default;
  expr::ExpressionPtr condition_;
  std::vector<int> columns_;
  std::optional<lsm::ScanRange> key_bounds_;
  std::shared_ptr<arrow::Schema> input_;  // of columns_
  std::unique_ptr<expr::Evaluator> evaluator_;
};

/// Conditions on columns by name, for callers in C++. kColumnNotFound names the column and the
/// nearest that there is; kSchema a value that is none of the column's type. Values are brought
/// to the column's type where that loses nothing (an int32 beside an int64 column).
class Conditions {
 public:
  enum class Op { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };
  using Value = std::shared_ptr<arrow::Scalar>;

  explicit Conditions(lsm::TableHandle table) : table_(std::move(table)) {}

  Result<expr::ExpressionPtr> Compare(const std::string& column, Op op, const Value& value) const;
  Result<expr::ExpressionPtr> Between(const std::string& column, const Value& low,
                                      const Value& high) const;
  Result<expr::ExpressionPtr> In(const std::string& column, const std::vector<Value>& values) const;
  Result<expr::ExpressionPtr> IsNull(const std::string& column) const;
  Result<expr::ExpressionPtr> Like(const std::string& column, const std::string& pattern) const;

  static expr::ExpressionPtr And(std::vector<expr::ExpressionPtr> conditions);
  static expr::ExpressionPtr Or(std::vector<expr::ExpressionPtr> conditions);
  static expr::ExpressionPtr Not(expr::ExpressionPtr condition);

 private:
  Result<expr::ExpressionPtr> Column(const std::string& name) const;
  Result<expr::ExpressionPtr> Literal(const std::string& column, const expr::Expression& of,
                                      const Value& value) const;

  const lsm::TableHandle table_;
};

}  // namespace marble::table
