#include "stream/operators/table_sink.h"

#include <arrow/api.h>

namespace marble::stream {

Result<std::unique_ptr<TableSink>> TableSink::Make(const PlanNode& node, lsm::TableHandle table) {
  const auto& descriptor = lsm::DescriptorOf(table);
  const auto& schema = *descriptor.schema;
  auto mismatch = [&](const std::string& what) {
    return MakeError(ErrorCode::kSchema,
                     "Sink '" + node.id + "': table '" + node.table + "' " + what);
  };
  if (schema.num_fields() != node.schema->num_fields()) {
    return mismatch("has " + std::to_string(schema.num_fields()) + " columns, the plan " +
                    std::to_string(node.schema->num_fields()));
  }
  for (int i = 0; i < schema.num_fields(); ++i) {
    const auto& have = *schema.field(i);
    const auto& want = *node.schema->field(i);
    if (have.name() != want.name() || !have.type()->Equals(*want.type())) {
      return mismatch("has column '" + have.name() + "' " + have.type()->ToString() +
                      ", the plan '" + want.name() + "' " + want.type()->ToString());
    }
  }
  std::vector<std::string> key;
  for (int column : descriptor.key_columns) key.push_back(schema.field(column)->name());
  if (node.upsert && key != node.primary_key) {
    return mismatch("has another primary key than the plan");
  }
  return std::unique_ptr<TableSink>(new TableSink(node, std::move(table)));
}

Status TableSink::ProcessRows(const Morsel& morsel) {
  const auto& descriptor = lsm::DescriptorOf(table_);
  if (morsel.deletes) {
    std::vector<std::shared_ptr<arrow::Field>> fields;
    std::vector<std::shared_ptr<arrow::Array>> columns;
    for (int column : descriptor.key_columns) {
      fields.push_back(descriptor.schema->field(column));
      columns.push_back(morsel.rows->column(column));
    }
    changes_.push_back(
        {true, arrow::RecordBatch::Make(arrow::schema(std::move(fields)), morsel.rows->num_rows(),
                                        std::move(columns))});
  } else {
    for (int i = 0; i < descriptor.schema->num_fields(); ++i) {
      const auto& field = *descriptor.schema->field(i);
      if (!field.nullable() && morsel.rows->column(i)->null_count() > 0) {
        return MakeError(ErrorCode::kSchema,
                         "Table '" + node_.table + "': column '" + field.name() +
                             "' is NOT NULL, but a row has NULL; filter such rows or declare "
                             "the column nullable");
      }
    }
    changes_.push_back({false, arrow::RecordBatch::Make(descriptor.schema, morsel.rows->num_rows(),
                                                        morsel.rows->columns())});
  }
  rows_out_ += static_cast<uint64_t>(morsel.rows->num_rows());
  return Status::OK();
}

Status TableSink::FlushInserts(EpochWrites* writes, size_t from, size_t to) {
  if (to - from == 1) {
    writes->Insert(table_, changes_[from].rows);
    return Status::OK();
  }
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
  for (size_t i = from; i < to; ++i) batches.push_back(changes_[i].rows);
  MARBLE_ASSIGN_OR_RETURN(auto joined, arrow::ConcatenateRecordBatches(batches));
  writes->Insert(table_, std::move(joined));
  return Status::OK();
}

Status TableSink::Snapshot(EpochWrites* writes) {
  for (size_t at = 0; at < changes_.size();) {
    if (changes_[at].deletes) {
      writes->Delete(table_, changes_[at++].rows);
      continue;
    }
    size_t end = at;
    while (end < changes_.size() && !changes_[end].deletes) ++end;
    MARBLE_RETURN_NOT_OK(FlushInserts(writes, at, end));
    at = end;
  }
  changes_.clear();
  return Status::OK();
}

}  // namespace marble::stream
