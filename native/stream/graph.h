// The operators of a job, made from its plan and wired to each other. Owned by the job; used by
// its thread alone.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "stream/operators/operator.h"
#include "stream/operators/watermark_operator.h"
#include "stream/plan.h"
#include "stream/result_queue.h"

namespace marble::stream {

struct GraphOptions {
  uint16_t max_parallelism = 16;
  const Clock* clock = Clock::System();
  /// Finds a sink's table by name.
  std::function<Result<lsm::TableHandle>(const std::string&)> find_table;
  std::shared_ptr<ResultQueue> results;  // of a collect sink
};

/// Where a source's batches enter the graph.
struct SourceEntry {
  const PlanNode* node;
  Operator* entry;
  WatermarkOperator* watermark = nullptr;  // null: the source has no event time
};

class Graph {
 public:
  /// `plan` must outlive the graph.
  static Result<std::unique_ptr<Graph>> Make(const Plan& plan, const GraphOptions& options);

  /// Operators by node, in topological order.
  const std::vector<std::unique_ptr<Operator>>& operators() const { return operators_; }
  std::vector<SourceEntry>& sources() { return sources_; }
  const Plan& plan() const { return plan_; }

 private:
  explicit Graph(const Plan& plan) : plan_(plan) {}
  const Plan& plan_;
  std::vector<std::unique_ptr<Operator>> operators_;
  std::vector<SourceEntry> sources_;
};

}  // namespace marble::stream
