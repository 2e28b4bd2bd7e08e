#include "stream/operators/aggregate_state.h"

#include <arrow/api.h>

namespace marble::stream {

Result<AggregateState> AggregateState::Make(const PlanNode& node, const arrow::Schema& input,
                                            bool windowed, uint16_t max_parallelism,
                                            const Clock* clock) {
  AggregateState made;
  state::KeyedTableOptions options;
  options.windowed = windowed;
  options.max_parallelism = max_parallelism;
  for (int key : node.keys) options.keys.push_back(input.field(key));
  made.keys_ = node.keys;
  made.key_schema_ = arrow::schema(options.keys);
  std::vector<size_t> firsts;
  for (size_t i = 0; i < node.aggregates.size(); ++i) {
    MARBLE_ASSIGN_OR_RETURN(
        auto aggregator,
        Aggregator::Make(node.aggregates[i], i,
                         node.schema->field(static_cast<int>(node.keys.size() + i)), clock));
    firsts.push_back(options.accumulators.size());
    for (const auto& field : aggregator->accumulators()) options.accumulators.push_back(field);
    made.aggregators_.push_back(std::move(aggregator));
  }
  MARBLE_ASSIGN_OR_RETURN(made.table_, state::KeyedTable::Make(std::move(options)));
  for (size_t i = 0; i < firsts.size(); ++i) {
    made.aggregators_[i]->Bind(made.table_.get(), firsts[i]);
  }
  return made;
}

Status AggregateState::Update(const arrow::RecordBatch& rows, const int64_t* window_ends,
                              std::vector<state::GroupId>* created) {
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (int key : keys_) columns.push_back(rows.column(key));
  const auto keys = arrow::RecordBatch::Make(key_schema_, rows.num_rows(), std::move(columns));
  MARBLE_RETURN_NOT_OK(table_->Lookup(*keys, window_ends, &groups_, created));
  for (const auto& aggregator : aggregators_) {
    MARBLE_RETURN_NOT_OK(aggregator->Update(rows, groups_));
  }
  return Status::OK();
}

Result<std::vector<std::shared_ptr<arrow::Array>>> AggregateState::Finish(
    const std::vector<state::GroupId>& groups) {
  MARBLE_ASSIGN_OR_RETURN(auto columns, table_->GatherKeys(groups));
  for (const auto& aggregator : aggregators_) {
    MARBLE_ASSIGN_OR_RETURN(auto column, aggregator->Finish(groups));
    columns.push_back(std::move(column));
  }
  return columns;
}

Status AggregateState::Snapshot(const lsm::TableHandle& table, EpochWrites* writes) {
  if (table == nullptr) {
    table_->DiscardChanges();
    return Status::OK();
  }
  MARBLE_ASSIGN_OR_RETURN(auto deleted, table_->CollectDeleted());
  writes->Delete(table, std::move(deleted));
  MARBLE_ASSIGN_OR_RETURN(auto dirty, table_->CollectDirty());
  writes->Insert(table, std::move(dirty));
  return Status::OK();
}

}  // namespace marble::stream
