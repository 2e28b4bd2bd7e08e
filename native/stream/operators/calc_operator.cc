#include "stream/operators/calc_operator.h"

#include <arrow/api.h>

#include "expr/column_builder.h"

namespace marble::stream {

Result<std::unique_ptr<CalcOperator>> CalcOperator::Make(const PlanNode& node, const Clock* clock) {
  std::unique_ptr<CalcOperator> calc(new CalcOperator());
  calc->schema_ = node.schema;
  calc->updating_ = node.updating;
  if (node.filter != nullptr) {
    MARBLE_ASSIGN_OR_RETURN(calc->filter_, expr::Evaluator::Make(node.filter, clock));
  }
  for (const auto& projection : node.projections) {
    MARBLE_ASSIGN_OR_RETURN(auto evaluator, expr::Evaluator::Make(projection, clock));
    calc->projections_.push_back(std::move(evaluator));
  }
  return calc;
}

Status CalcOperator::ProcessRows(const Morsel& morsel) {
  if (filter_ == nullptr || morsel.deletes) return Project(morsel);
  MARBLE_ASSIGN_OR_RETURN(auto mask, filter_->Evaluate(*morsel.rows));
  const auto& flags = static_cast<const arrow::BooleanArray&>(*mask);
  if (flags.true_count() == flags.length()) return Project(morsel);
  if (updating_) {
    MARBLE_ASSIGN_OR_RETURN(auto inverse,
                            expr::BuildBoolean(flags.length(), [&](int64_t i, bool* out) {
                              *out = flags.IsNull(i) || !flags.Value(i);
                              return true;
                            }));
    Morsel gone = morsel;
    MARBLE_ASSIGN_OR_RETURN(
        gone.rows,
        expr::FilterBatch(morsel.rows, static_cast<const arrow::BooleanArray&>(*inverse)));
    gone.deletes = true;
    gone.watermarks = nullptr;
    MARBLE_RETURN_NOT_OK(Project(std::move(gone)));
  }
  if (flags.true_count() == 0) return Status::OK();
  Morsel kept = morsel;
  MARBLE_ASSIGN_OR_RETURN(kept.rows, expr::FilterBatch(morsel.rows, flags));
  if (morsel.watermarks != nullptr) {
    MARBLE_ASSIGN_OR_RETURN(auto watermarks, expr::FilterColumn(morsel.watermarks, flags));
    kept.watermarks = std::static_pointer_cast<arrow::Int64Array>(watermarks);
  }
  return Project(std::move(kept));
}

Status CalcOperator::Project(Morsel morsel) {
  std::vector<std::shared_ptr<arrow::Array>> columns;
  columns.reserve(projections_.size());
  for (size_t i = 0; i < projections_.size(); ++i) {
    auto column = projections_[i]->Evaluate(*morsel.rows);
    if (!column.ok()) {
      return MakeError(CodeOf(column.status()), "Column '" +
                                                    schema_->field(static_cast<int>(i))->name() +
                                                    "': " + MessageOf(column.status()));
    }
    columns.push_back(std::move(*column));
  }
  morsel.rows = arrow::RecordBatch::Make(schema_, morsel.rows->num_rows(), std::move(columns));
  return Emit(morsel);
}

}  // namespace marble::stream
