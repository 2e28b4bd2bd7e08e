#include "stream/operators/collect_sink.h"

#include <arrow/api.h>

namespace marble::stream {

Status CollectSink::ProcessRows(const Morsel& morsel) {
  // A row that HAVING drops again cannot be taken back from a reader; bounded queries emit
  // their groups once, so nothing was given.
  if (morsel.deletes) return Status::OK();
  rows_out_ += static_cast<uint64_t>(morsel.rows->num_rows());
  return queue_->Push(
      arrow::RecordBatch::Make(node_.schema, morsel.rows->num_rows(), morsel.rows->columns()));
}

}  // namespace marble::stream
