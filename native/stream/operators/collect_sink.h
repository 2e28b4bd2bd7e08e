// Hands a query's rows to its reader. Rows of an updating query are the newest of each key.
#pragma once

#include <memory>

#include "stream/operators/operator.h"
#include "stream/plan.h"
#include "stream/result_queue.h"

namespace marble::stream {

class CollectSink : public Operator {
 public:
  CollectSink(const PlanNode& node, std::shared_ptr<ResultQueue> queue)
      : node_(node), queue_(std::move(queue)) {}

 protected:
  Status ProcessRows(const Morsel& morsel) override;

 private:
  const PlanNode& node_;
  std::shared_ptr<ResultQueue> queue_;
};

}  // namespace marble::stream
