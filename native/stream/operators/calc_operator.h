// Filter and projections. A column that is only passed on costs nothing.
//
// In an updating stream a row that the filter drops may have passed it before: it goes on as a
// deletion of its key, so that the sink forgets it (HAVING over a group aggregate).
#pragma once

#include <memory>
#include <vector>

#include "expr/evaluator.h"
#include "stream/operators/operator.h"
#include "stream/plan.h"

namespace marble::stream {

class CalcOperator : public Operator {
 public:
  static Result<std::unique_ptr<CalcOperator>> Make(const PlanNode& node, const Clock* clock);

 protected:
  Status ProcessRows(const Morsel& morsel) override;

 private:
  CalcOperator() = default;
  Status Project(Morsel morsel);

  std::shared_ptr<arrow::Schema> schema_;
  bool updating_ = false;
  std::unique_ptr<expr::Evaluator> filter_;
  std::vector<std::unique_ptr<expr::Evaluator>> projections_;
};

}  // namespace marble::stream
