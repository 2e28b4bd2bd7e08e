// Tracks event time: a watermark per partition, the operator's is the minimum over the
// partitions that are neither idle nor finished. It never regresses.
//
// Lateness is a matter of rows, not of batches: where the watermark moves within a batch, the
// rows carry the watermark that the rows before them imply (with the other partitions' at the
// batch's start), and windows judge each row by it. So how rows fall into batches never changes
// a result.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "expr/evaluator.h"
#include "state/time_service.h"
#include "stream/operators/operator.h"
#include "stream/plan.h"
#include "stream/source.h"

namespace marble::stream {

class WatermarkOperator : public Operator {
 public:
  struct Partition {
    int64_t watermark = state::kMinWatermark;
    bool idle = false;
    bool finished = false;
    int64_t active_at_ms = 0;  // monotonic
  };

  static Result<std::unique_ptr<WatermarkOperator>> Make(const PlanNode& node, const Clock* clock);

  /// Continue where a job stopped. Before the first row.
  void RestoreWatermark(int64_t watermark) { watermark_ = watermark; }
  /// Tell the operators behind it the restored watermark, once their state is restored.
  Status AnnounceWatermark();
  void RestorePartition(int32_t partition, int64_t watermark);

  /// Tell what the source says of its partitions: new ones, finished ones, silent ones.
  Status UpdatePartitions(const std::vector<PartitionStatus>& statuses);
  /// INT64_MAX from the source: all partitions are finished.
  Status AdvanceWatermark(int64_t watermark) override;

  int64_t watermark() const { return watermark_; }
  /// The job did not read for a while: that silence is not the partitions'.
  void RestartIdleClock();
  const std::map<int32_t, Partition>& partitions() const { return partitions_; }

 protected:
  Status ProcessRows(const Morsel& morsel) override;

 private:
  WatermarkOperator() = default;
  /// The minimum over active partitions but `except`; INT64_MAX without any.
  int64_t OthersMinimum(const Partition* except) const;
  Status Advance();
  int64_t NowMs() const { return clock_->MonotonicMicros() / 1000; }

  std::string id_;
  std::string time_name_;
  int time_column_ = 0;
  std::unique_ptr<expr::Evaluator> expression_;
  std::optional<int64_t> idle_timeout_ms_;
  const Clock* clock_ = nullptr;
  std::map<int32_t, Partition> partitions_;
  int64_t watermark_ = state::kMinWatermark;
};

}  // namespace marble::stream
