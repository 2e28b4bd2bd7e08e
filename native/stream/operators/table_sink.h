// Writes a table of the database: rows are gathered during an epoch and become visible with it.
#pragma once

#include <memory>
#include <vector>

#include "stream/operators/operator.h"
#include "stream/plan.h"

namespace marble::stream {

class TableSink : public Operator {
 public:
  /// kTableNotFound, or kSchema when the table's columns or key are not the plan's.
  static Result<std::unique_ptr<TableSink>> Make(const PlanNode& node, lsm::TableHandle table);

  Status Snapshot(EpochWrites* writes) override;

 protected:
  Status ProcessRows(const Morsel& morsel) override;

 private:
  TableSink(const PlanNode& node, lsm::TableHandle table) : node_(node), table_(std::move(table)) {}
  Status FlushInserts(EpochWrites* writes, size_t from, size_t to);

  const PlanNode& node_;
  lsm::TableHandle table_;
  struct Change {
    bool deletes;
    std::shared_ptr<arrow::RecordBatch> rows;  // deletes: the key columns
  };
  std::vector<Change> changes_;
};

}  // namespace marble::stream
