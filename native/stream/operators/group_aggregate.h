// Aggregates by key over all rows so far: an upsert stream. Changed groups leave at each epoch's
// end, not per row; with `final_only` once, at the end of a bounded query.
#pragma once

#include <memory>
#include <vector>

#include "stream/operators/aggregate_state.h"

namespace marble::stream {

class GroupAggregate : public Operator {
 public:
  static Result<std::unique_ptr<GroupAggregate>> Make(const PlanNode& node,
                                                      const arrow::Schema& input, bool final_only,
                                                      uint16_t max_parallelism, const Clock* clock);

  Status Flush(bool last) override;
  Status Snapshot(EpochWrites* writes) override;
  std::shared_ptr<arrow::Schema> state_schema() const override;
  std::vector<int> state_key_columns() const override;
  void SetStateTable(lsm::TableHandle table) override { state_table_ = std::move(table); }
  Status Restore(const arrow::RecordBatch& rows) override;
  uint64_t state_rows() const override { return state_.table().size(); }
  uint64_t state_bytes() const override { return state_.table().memory_bytes(); }

 protected:
  Status ProcessRows(const Morsel& morsel) override;

 private:
  GroupAggregate(const PlanNode& node, AggregateState state, bool final_only)
      : node_(node), state_(std::move(state)), final_only_(final_only) {}

  const PlanNode& node_;
  AggregateState state_;
  bool final_only_;
  lsm::TableHandle state_table_;
};

}  // namespace marble::stream
