#include "stream/result_queue.h"

#include <arrow/api.h>

namespace marble::stream {

Status ResultQueue::Push(std::shared_ptr<arrow::RecordBatch> batch) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return aborted_ || batches_.size() < kMaxBatches; });
  if (aborted_) return MakeError(ErrorCode::kAborted, "The query was cancelled");
  batches_.push_back(std::move(batch));
  changed_.notify_all();
  return Status::OK();
}

void ResultQueue::Finish(Status status) {
  std::lock_guard lock(mutex_);
  if (finished_) return;
  finished_ = true;
  status_ = std::move(status);
  changed_.notify_all();
}

void ResultQueue::Abort() {
  std::lock_guard lock(mutex_);
  aborted_ = true;
  changed_.notify_all();
}

Result<std::optional<std::shared_ptr<arrow::RecordBatch>>> ResultQueue::Pop(
    std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return finished_ || !batches_.empty(); });
  if (!batches_.empty()) {
    auto batch = std::move(batches_.front());
    batches_.pop_front();
    changed_.notify_all();
    return std::optional(std::move(batch));
  }
  if (!finished_) return std::optional<std::shared_ptr<arrow::RecordBatch>>();
  MARBLE_RETURN_NOT_OK(status_);
  return std::optional<std::shared_ptr<arrow::RecordBatch>>(nullptr);
}

}  // namespace marble::stream
