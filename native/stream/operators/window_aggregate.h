// Tumbling windows per key. A row belongs to the window that holds its time; one whose window
// has closed by the watermark of the rows before it is late: counted, not aggregated.
//
// When the watermark reaches a window's last millisecond the window closes: its rows leave in
// the order (window end, first appearance of the key) and its state is erased in the same epoch.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "state/time_service.h"
#include "stream/operators/aggregate_state.h"

namespace marble::stream {

class WindowAggregate : public Operator {
 public:
  static Result<std::unique_ptr<WindowAggregate>> Make(const PlanNode& node,
                                                       const arrow::Schema& input,
                                                       uint16_t max_parallelism,
                                                       const Clock* clock);

  Status AdvanceWatermark(int64_t watermark) override;
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
  WindowAggregate(const PlanNode& node, AggregateState state)
      : node_(node), state_(std::move(state)) {}
  Status AssignWindows(const arrow::Int64Array& times);
  Status Close(const std::vector<int64_t>& ends);
  void Open(const std::vector<state::GroupId>& created);

  const PlanNode& node_;
  AggregateState state_;
  lsm::TableHandle state_table_;
  state::TimeService timers_;
  std::map<int64_t, std::vector<state::GroupId>> windows_;  // by end
  std::vector<int64_t> window_ends_;                        // scratch: per row
};

}  // namespace marble::stream
