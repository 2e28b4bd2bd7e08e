#include "stream/operators/group_aggregate.h"

#include <arrow/api.h>

#include <algorithm>

#include "base/limits.h"

namespace marble::stream {

Result<std::unique_ptr<GroupAggregate>> GroupAggregate::Make(const PlanNode& node,
                                                             const arrow::Schema& input,
                                                             bool final_only,
                                                             uint16_t max_parallelism,
                                                             const Clock* clock) {
  MARBLE_ASSIGN_OR_RETURN(auto state,
                          AggregateState::Make(node, input, false, max_parallelism, clock));
  return std::unique_ptr<GroupAggregate>(new GroupAggregate(node, std::move(state), final_only));
}

std::shared_ptr<arrow::Schema> GroupAggregate::state_schema() const {
  return state_.table().state_schema();
}

std::vector<int> GroupAggregate::state_key_columns() const {
  return state_.table().state_key_columns();
}

Status GroupAggregate::ProcessRows(const Morsel& morsel) {
  std::vector<state::GroupId> created;
  return state_.Update(*morsel.rows, nullptr, &created);
}

Status GroupAggregate::Flush(bool last) {
  if (final_only_ && !last) return Status::OK();
  const auto& dirty = state_.table().dirty();
  for (size_t at = 0; at < dirty.size();) {
    const size_t count = std::min(dirty.size() - at, static_cast<size_t>(limits::kTableBatchRows));
    const std::vector<state::GroupId> groups(dirty.begin() + static_cast<int64_t>(at),
                                             dirty.begin() + static_cast<int64_t>(at + count));
    MARBLE_ASSIGN_OR_RETURN(auto columns, state_.Finish(groups));
    Morsel morsel;
    morsel.rows =
        arrow::RecordBatch::Make(node_.schema, static_cast<int64_t>(count), std::move(columns));
    MARBLE_RETURN_NOT_OK(Emit(morsel));
    at += count;
  }
  return Status::OK();
}

Status GroupAggregate::Snapshot(EpochWrites* writes) {
  // Without a state table the dirty list is what a final flush emits.
  if (state_table_ == nullptr && final_only_) return Status::OK();
  return state_.Snapshot(state_table_, writes);
}

Status GroupAggregate::Restore(const arrow::RecordBatch& rows) {
  std::vector<state::GroupId> created;
  return state_.table().Restore(rows, &created);
}

}  // namespace marble::stream
