#include "stream/operators/watermark_operator.h"

#include <arrow/api.h>

#include <algorithm>

namespace marble::stream {

using state::kMaxWatermark;
using state::kMinWatermark;

Result<std::unique_ptr<WatermarkOperator>> WatermarkOperator::Make(const PlanNode& node,
                                                                   const Clock* clock) {
  std::unique_ptr<WatermarkOperator> watermark(new WatermarkOperator());
  watermark->id_ = node.id;
  watermark->time_column_ = node.time_column;
  watermark->time_name_ = node.schema->field(node.time_column)->name();
  watermark->idle_timeout_ms_ = node.idle_timeout_ms;
  watermark->clock_ = clock;
  MARBLE_ASSIGN_OR_RETURN(watermark->expression_, expr::Evaluator::Make(node.expression, clock));
  return watermark;
}

void WatermarkOperator::RestorePartition(int32_t partition, int64_t watermark) {
  auto& state = partitions_[partition];
  state.watermark = watermark;
  state.active_at_ms = NowMs();
}

void WatermarkOperator::RestartIdleClock() {
  for (auto& [number, partition] : partitions_) partition.active_at_ms = NowMs();
}

Status WatermarkOperator::AnnounceWatermark() {
  if (watermark_ == kMinWatermark) return Status::OK();
  return EmitWatermark(watermark_);
}

int64_t WatermarkOperator::OthersMinimum(const Partition* except) const {
  int64_t minimum = kMaxWatermark;
  for (const auto& [number, partition] : partitions_) {
    if (&partition == except || partition.idle || partition.finished) continue;
    minimum = std::min(minimum, partition.watermark);
  }
  return minimum;
}

Status WatermarkOperator::ProcessRows(const Morsel& morsel) {
  const auto& times = *morsel.rows->column(time_column_);
  if (times.null_count() > 0) {
    return MakeError(ErrorCode::kBadRecord,
                     "Time attribute '" + time_name_ + "' is NULL in a row of partition " +
                         std::to_string(morsel.partition) + " (operator '" + id_ +
                         "'); it must not be: use COALESCE where the text may be malformed");
  }
  MARBLE_ASSIGN_OR_RETURN(auto evaluated, expression_->Evaluate(*morsel.rows));
  MARBLE_ASSIGN_OR_RETURN(auto values, ToMillis(evaluated));
  Partition& own = partitions_[morsel.partition];
  own.idle = false;
  own.active_at_ms = NowMs();
  const int64_t others = OthersMinimum(&own);
  const int64_t rows = values->length();
  const int64_t* raw = values->raw_values();
  const bool nulls = values->null_count() > 0;

  int64_t highest = own.watermark;
  for (int64_t i = 0; i < rows; ++i) {
    if (nulls && values->IsNull(i)) continue;
    highest = std::max(highest, raw[i]);
  }
  Morsel out = morsel;
  if (std::max(watermark_, std::min(highest, others)) > watermark_) {
    MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> buffer,
                            arrow::AllocateBuffer(rows * int64_t{sizeof(int64_t)}));
    auto* before = reinterpret_cast<int64_t*>(buffer->mutable_data());
    int64_t running = own.watermark;
    for (int64_t i = 0; i < rows; ++i) {
      before[i] = std::max(watermark_, std::min(running, others));
      if (!nulls || values->IsValid(i)) running = std::max(running, raw[i]);
    }
    out.watermarks = std::make_shared<arrow::Int64Array>(rows, std::move(buffer));
  }
  MARBLE_RETURN_NOT_OK(Emit(out));
  own.watermark = highest;
  return Advance();
}

Status WatermarkOperator::Advance() {
  if (partitions_.empty()) return Status::OK();
  bool all_finished = true, any_active = false;
  for (const auto& [number, partition] : partitions_) {
    all_finished = all_finished && partition.finished;
    any_active = any_active || (!partition.finished && !partition.idle);
  }
  if (!any_active && !all_finished) return Status::OK();  // idle: time stands still
  const int64_t now = all_finished ? kMaxWatermark : OthersMinimum(nullptr);
  if (now <= watermark_) return Status::OK();
  watermark_ = now;
  return EmitWatermark(now);
}

Status WatermarkOperator::UpdatePartitions(const std::vector<PartitionStatus>& statuses) {
  const int64_t now = NowMs();
  for (const auto& status : statuses) {
    const bool known = partitions_.count(status.partition) > 0;
    Partition& partition = partitions_[status.partition];
    if (!known) partition.active_at_ms = now;
    partition.finished = partition.finished || status.finished;
    if (!idle_timeout_ms_) continue;
    if (!status.caught_up) {
      partition.active_at_ms = now;
      partition.idle = false;
    } else if (now - partition.active_at_ms >= *idle_timeout_ms_) {
      partition.idle = true;
    }
  }
  return Advance();
}

Status WatermarkOperator::AdvanceWatermark(int64_t watermark) {
  if (watermark != kMaxWatermark || watermark_ == kMaxWatermark) return Status::OK();
  for (auto& [number, partition] : partitions_) partition.finished = true;
  watermark_ = kMaxWatermark;
  return EmitWatermark(kMaxWatermark);
}

}  // namespace marble::stream
