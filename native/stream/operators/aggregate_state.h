// What window and group aggregates share: keys, a keyed table, aggregators, the state table.
#pragma once

#include <memory>
#include <vector>

#include "state/keyed_table.h"
#include "stream/operators/aggregator.h"
#include "stream/operators/operator.h"
#include "stream/plan.h"

namespace marble::stream {

class AggregateState {
 public:
  static Result<AggregateState> Make(const PlanNode& node, const arrow::Schema& input,
                                     bool windowed, uint16_t max_parallelism, const Clock* clock);

  /// Find the rows' groups and add the rows to them.
  Status Update(const arrow::RecordBatch& rows, const int64_t* window_ends,
                std::vector<state::GroupId>* created);
  /// Keys and results of some groups, in the order of the node's fields.
  Result<std::vector<std::shared_ptr<arrow::Array>>> Finish(
      const std::vector<state::GroupId>& groups);
  /// Hand changed and erased rows over, or forget them where nothing is stored.
  Status Snapshot(const lsm::TableHandle& table, EpochWrites* writes);

  state::KeyedTable& table() { return *table_; }
  const state::KeyedTable& table() const { return *table_; }

 private:
  AggregateState() = default;
  std::vector<int> keys_;
  std::shared_ptr<arrow::Schema> key_schema_;
  std::unique_ptr<state::KeyedTable> table_;
  std::vector<std::unique_ptr<Aggregator>> aggregators_;
  std::vector<state::GroupId> groups_;
};

}  // namespace marble::stream
