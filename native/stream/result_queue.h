// The results of a query on their way to its reader: bounded, so a slow reader slows the job.
// Thread-safe: the job pushes, any thread pops.
#pragma once

#include <arrow/type_fwd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "base/status.h"

namespace marble::stream {

class ResultQueue {
 public:
  /// Wait for room, then push. kAborted once the reader or the job has closed the queue.
  Status Push(std::shared_ptr<arrow::RecordBatch> batch);
  /// No batch follows: what is queued can still be read, then the end or `status`.
  void Finish(Status status);
  /// Wake a Push that waits, and refuse later ones: the job is being cancelled.
  void Abort();
  /// nullopt: none within `timeout`; a null batch inside: the end.
  Result<std::optional<std::shared_ptr<arrow::RecordBatch>>> Pop(std::chrono::milliseconds timeout);

 private:
  static constexpr size_t kMaxBatches = 64;
  std::mutex mutex_;
  std::condition_variable changed_;
  // State below is protected by mutex_.
  std::deque<std::shared_ptr<arrow::RecordBatch>> batches_;
  bool finished_ = false;
  bool aborted_ = false;
  Status status_;
};

}  // namespace marble::stream
