// A source that is fed from outside: JavaScript iterables push batches into a bounded queue.
// Offsets count rows since the iterable's beginning: a resumed job gets the whole iterable again
// and skips that many.
//
// Threads: Push, Finish and Fail by the feeder (any thread, never blocking); the Source methods
// by the job's thread.
#pragma once

#include <functional>
#include <memory>

#include "stream/source.h"

namespace marble::stream {

class PushSource : public Source {
 public:
  /// `on_demand` is called on the job's thread when a queue that was full has room again.
  static std::shared_ptr<PushSource> Make(std::shared_ptr<arrow::Schema> schema,
                                          std::function<void()> on_demand);
  /// Queue a batch of the schema. Returns false when the queue is now full: wait for on_demand.
  /// kClosed when the job has ended.
  virtual Result<bool> Push(std::shared_ptr<arrow::RecordBatch> batch) = 0;
  virtual void Finish() = 0;
  /// The iterable threw: the job fails with this.
  virtual void Fail(Status error) = 0;
};

}  // namespace marble::stream
