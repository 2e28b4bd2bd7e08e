// Aggregate functions over the groups of a keyed table: count, sum, avg, min, max with Flink's
// result types and NULL rules. Each owns one or two accumulator columns of the table.
// One thread, the operator's.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "expr/evaluator.h"
#include "state/keyed_table.h"
#include "stream/plan.h"

namespace marble::stream {

class Aggregator {
 public:
  virtual ~Aggregator() = default;
  /// `index` names its accumulators; `output` is the field it fills. kNotSupported names a
  /// function over a type that it does not take.
  static Result<std::unique_ptr<Aggregator>> Make(const AggregateCall& call, size_t index,
                                                  const std::shared_ptr<arrow::Field>& output,
                                                  const Clock* clock);

  const std::vector<std::shared_ptr<arrow::Field>>& accumulators() const { return fields_; }
  /// `first` is the table's index of its first accumulator.
  void Bind(state::KeyedTable* table, size_t first) {
    table_ = table;
    first_ = first;
  }

  /// Add rows to their groups.
  Status Update(const arrow::RecordBatch& rows, const std::vector<state::GroupId>& groups);
  /// The results of some groups, of the output's type.
  virtual Result<std::shared_ptr<arrow::Array>> Finish(
      const std::vector<state::GroupId>& groups) = 0;

 protected:
  /// `selected`: 0 for rows that the filter drops or whose argument is NULL; null: all count.
  virtual Status Add(const arrow::Array* argument, const uint8_t* selected,
                     const std::vector<state::GroupId>& groups) = 0;
  state::GroupColumn& column(size_t index) { return table_->accumulator(first_ + index); }

  std::vector<std::shared_ptr<arrow::Field>> fields_;
  std::shared_ptr<arrow::Field> output_;

 private:
  std::unique_ptr<expr::Evaluator> argument_;  // null: count(*)
  std::unique_ptr<expr::Evaluator> filter_;
  state::KeyedTable* table_ = nullptr;
  size_t first_ = 0;
  std::vector<uint8_t> selected_;
};

}  // namespace marble::stream
