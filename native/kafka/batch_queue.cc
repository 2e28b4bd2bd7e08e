#include "kafka/batch_queue.h"

#include <utility>

namespace marble::kafka {

bool BatchQueue::Push(Item item) {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return closed_ || items_.empty() || bytes_ + item.bytes <= max_bytes_; });
  if (closed_) return false;
  bytes_ += item.bytes;
  items_.push_back(std::move(item));
  lock.unlock();
  arrival_.notify_one();
  return true;
}

void BatchQueue::End(Status status) {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    status_ = std::move(status);
  }
  arrival_.notify_all();
}

Result<std::optional<BatchQueue::Item>> BatchQueue::Pop(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  arrival_.wait_for(lock, timeout, [&] { return closed_ || ended_ || !items_.empty(); });
  if (closed_) return MakeError(ErrorCode::kClosed, "the kafka source is closed");
  if (items_.empty()) {
    if (ended_) MARBLE_RETURN_NOT_OK(status_);
    return std::nullopt;
  }
  Item item = std::move(items_.front());
  items_.pop_front();
  bytes_ -= item.bytes;
  lock.unlock();
  room_.notify_one();
  return item;
}

void BatchQueue::Close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    items_.clear();
    bytes_ = 0;
  }
  room_.notify_all();
  arrival_.notify_all();
}

int64_t BatchQueue::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace marble::kafka
