#include "stream/push_source.h"

#include <arrow/api.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "base/limits.h"

namespace marble::stream {

namespace {

constexpr int64_t kMaxQueuedRows = 4 * limits::kSourceBatchRows;

class PushSourceImpl : public PushSource {
 public:
  PushSourceImpl(std::shared_ptr<arrow::Schema> schema, std::function<void()> on_demand)
      : schema_(std::move(schema)), on_demand_(std::move(on_demand)) {}

  Result<bool> Push(std::shared_ptr<arrow::RecordBatch> batch) override {
    if (!batch->schema()->Equals(*schema_, false)) {
      return MakeError(ErrorCode::kSchema, "A pushed batch has the columns " +
                                               batch->schema()->ToString() + ", not " +
                                               schema_->ToString());
    }
    std::lock_guard lock(mutex_);
    if (closed_) return MakeError(ErrorCode::kClosed, "The job has ended");
    if (ended_) return MakeError(ErrorCode::kInvalidArgument, "Push after Finish");
    queued_rows_ += batch->num_rows();
    if (batch->num_rows() > 0) queue_.push_back(std::move(batch));
    changed_.notify_all();
    full_ = queued_rows_ >= kMaxQueuedRows;
    return !full_;
  }

  void Finish() override {
    std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  void Fail(Status error) override {
    std::lock_guard lock(mutex_);
    error_ = std::move(error);
    ended_ = true;
    changed_.notify_all();
  }

  Status Open(const Offsets& start) override {
    std::lock_guard lock(mutex_);
    const auto offset = start.find(0);
    if (offset == start.end()) return Status::OK();
    const auto& text = offset->second;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), skip_);
    if (error != std::errc() || end != text.data() + text.size() || skip_ < 0) {
      return MakeError(ErrorCode::kIncompatibleState,
                       "Offset " + text + " is no count of rows, as an iterable's is");
    }
    return Status::OK();
  }

  Result<std::optional<SourceBatch>> Next(std::chrono::milliseconds timeout) override {
    std::shared_ptr<arrow::RecordBatch> rows;
    bool demand = false;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, timeout, [&] { return closed_ || ended_ || !queue_.empty(); });
      if (closed_) return MakeError(ErrorCode::kClosed, "The source is closed");
      if (queue_.empty()) {
        MARBLE_RETURN_NOT_OK(error_);
        return std::nullopt;
      }
      // Large batches come out in pieces, so that an epoch stays short.
      rows = queue_.front();
      const int64_t take = std::min(rows->num_rows(), limits::kSourceBatchRows);
      if (take == rows->num_rows()) {
        queue_.pop_front();
      } else {
        queue_.front() = rows->Slice(take);
        rows = rows->Slice(0, take);
      }
      queued_rows_ -= rows->num_rows();
      if (full_ && queued_rows_ < kMaxQueuedRows / 2) {
        full_ = false;
        demand = true;
      }
    }
    if (demand && on_demand_) on_demand_();
    SourceBatch batch;
    const int64_t skipped = std::min(rows->num_rows(), std::max<int64_t>(skip_ - position_, 0));
    position_ += rows->num_rows();
    batch.rows = rows->Slice(skipped);
    batch.next_offset = std::to_string(std::max(position_, skip_));
    return std::optional(std::move(batch));
  }

  bool finished() const override {
    std::lock_guard lock(mutex_);
    return ended_ && queue_.empty() && error_.ok();
  }

  std::vector<PartitionStatus> Partitions() const override {
    std::lock_guard lock(mutex_);
    PartitionStatus status;
    status.lag = queued_rows_;
    // An iterable that threw has not ended: nothing may be closed because of it.
    status.finished = ended_ && queue_.empty() && error_.ok();
    status.caught_up = queue_.empty();
    return {status};
  }

  Status Commit(const Offsets&) override { return Status::OK(); }

  void Close() override {
    std::lock_guard lock(mutex_);
    closed_ = true;
    queue_.clear();
    queued_rows_ = 0;
    changed_.notify_all();
  }

 private:
  const std::shared_ptr<arrow::Schema> schema_;
  const std::function<void()> on_demand_;
  int64_t position_ = 0;  // rows taken; the job's thread only
  int64_t skip_ = 0;      // rows that an earlier run has processed

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // State below is protected by mutex_.
  std::deque<std::shared_ptr<arrow::RecordBatch>> queue_;
  int64_t queued_rows_ = 0;
  bool full_ = false;
  bool ended_ = false;
  bool closed_ = false;
  Status error_;
};

}  // namespace

std::shared_ptr<PushSource> PushSource::Make(std::shared_ptr<arrow::Schema> schema,
                                             std::function<void()> on_demand) {
  return std::make_shared<PushSourceImpl>(std::move(schema), std::move(on_demand));
}

}  // namespace marble::stream
