// The threads that run what may wait or read much: never the event loop, never libuv's pool.
//
// One pool per environment. It grows by a thread whenever work arrives and none is idle, up to
// kMaxThreads: some work only waits (for a job's results, for a source). Stop drops what has not
// begun and joins what has.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace marble::napi {

class WorkerPool {
 public:
  static constexpr size_t kMaxThreads = 16;
  ~WorkerPool() { Stop(); }
  /// Any thread. False after Stop: `work` was dropped.
  bool Post(std::function<void()> work);
  void Stop();

 private:
  void Run();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopped_ = false;
};

/// Runs what is posted to it one after the other, in order, on a pool: writes to one database,
/// steps of one iterator. Thread-safe. Kept alive by the work in it.
class Strand : public std::enable_shared_from_this<Strand> {
 public:
  bool Post(WorkerPool* pool, std::function<void()> work);

 private:
  void RunNext(WorkerPool* pool);
  std::mutex mutex_;
  std::deque<std::function<void()>> queue_;
  bool running_ = false;
};

}  // namespace marble::napi
