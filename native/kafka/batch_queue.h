// Finished batches on their way from the fetch thread to the job's thread: a queue bounded by
// bytes. A full one makes the fetch thread wait; librdkafka's own queue then fills to its bound and
// fetching stops. Nothing is dropped, nothing grows.
//
// Threads: Push and End by the fetch thread, Pop by the job's, Close by any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "stream/source.h"

namespace marble::kafka {

class BatchQueue {
 public:
  struct Item {
    stream::SourceBatch batch;
    int64_t next_offset = 0;
    int64_t bytes = 0;
  };

  explicit BatchQueue(int64_t max_bytes) : max_bytes_(max_bytes) {}

  /// Wait for room, then add. A batch larger than the bound is taken when the queue is empty.
  /// False when the queue was closed.
  bool Push(Item item);
  /// Say that nothing follows: OK at the end of bounded input, else why reading ended.
  void End(Status status);
  /// The next batch; nullopt when none came in time, or none will (ended with OK). After the last
  /// batch the error of End, each time; kClosed after Close.
  Result<std::optional<Item>> Pop(std::chrono::milliseconds timeout);
  /// Wake and refuse both sides; what is queued is dropped. Idempotent.
  void Close();

  int64_t bytes() const;

 private:
  const int64_t max_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable arrival_;
  // All below are guarded by mutex_.
  std::deque<Item> items_;
  int64_t bytes_ = 0;
  bool ended_ = false;
  bool closed_ = false;
  Status status_;
};

}  // namespace marble::kafka
