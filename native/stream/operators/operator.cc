#include "stream/operators/operator.h"

#include <arrow/api.h>

#include "expr/cast.h"

namespace marble::stream {

namespace {

int64_t NowNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Status Operator::Process(const Morsel& morsel) {
  rows_in_ += static_cast<uint64_t>(morsel.rows->num_rows());
  const int64_t downstream = downstream_nanos_;
  const int64_t start = NowNanos();
  Status status = ProcessRows(morsel);
  busy_nanos_ += NowNanos() - start - (downstream_nanos_ - downstream);
  return status;
}

Status Operator::Emit(const Morsel& morsel) {
  if (morsel.rows->num_rows() == 0) return Status::OK();
  rows_out_ += static_cast<uint64_t>(morsel.rows->num_rows());
  const int64_t start = NowNanos();
  for (Operator* output : outputs_) MARBLE_RETURN_NOT_OK(output->Process(morsel));
  downstream_nanos_ += NowNanos() - start;
  return Status::OK();
}

Status Operator::EmitWatermark(int64_t watermark) {
  const int64_t start = NowNanos();
  for (Operator* output : outputs_) MARBLE_RETURN_NOT_OK(output->AdvanceWatermark(watermark));
  downstream_nanos_ += NowNanos() - start;
  return Status::OK();
}

Result<std::shared_ptr<arrow::Int64Array>> ToMillis(const std::shared_ptr<arrow::Array>& column) {
  const auto& type = static_cast<const arrow::TimestampType&>(*column->type());
  std::shared_ptr<arrow::Array> millis = column;
  if (type.unit() != arrow::TimeUnit::MILLI) {
    MARBLE_ASSIGN_OR_RETURN(
        millis, expr::CastArray(column, arrow::timestamp(arrow::TimeUnit::MILLI), false));
  }
  const auto& data = *millis->data();
  return std::make_shared<arrow::Int64Array>(data.length, data.buffers[1], data.buffers[0],
                                             data.null_count, data.offset);
}

}  // namespace marble::stream
