#include "lsm/compaction/executor.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace marble::lsm {
namespace {

using SteadyClock = std::chrono::steady_clock;

/// Threads that take work from one queue, ordered by when it is due.
class Pool {
 public:
  explicit Pool(size_t threads) : max_threads_(threads) {}

  void Submit(std::function<void()> work, std::chrono::milliseconds delay) {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    queue_.emplace(SteadyClock::now() + delay, std::move(work));
    if (queue_.size() > idle_ && threads_.size() < max_threads_) {
      ++idle_;
      threads_.emplace_back([this] { Loop(); });
    }
    wake_.notify_one();
  }

  void Stop() {
    std::vector<std::thread> threads;
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      queue_.clear();
      wake_.notify_all();
      threads.swap(threads_);
    }
    for (auto& thread : threads) thread.join();
  }

  size_t max_threads() const { return max_threads_; }

 private:
  void Loop() {
    std::unique_lock lock(mutex_);
    while (!stopped_) {
      if (queue_.empty()) {
        wake_.wait(lock);
        continue;
      }
      const auto first = queue_.begin();
      if (first->first > SteadyClock::now()) {
        wake_.wait_until(lock, first->first);
        continue;
      }
      auto work = std::move(first->second);
      queue_.erase(first);
      --idle_;
      lock.unlock();
      work();
      work = nullptr;  // what it holds goes before the thread says that it is idle
      lock.lock();
      ++idle_;
    }
  }

  const size_t max_threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::multimap<SteadyClock::time_point, std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;  // threads that wait for work
  bool stopped_ = false;
};

/// What the threads that run parts share; the last of them lets it go.
struct Parts {
  std::vector<std::function<Status()>> parts;
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::condition_variable ended;
  size_t left = 0;
  Status first_error;

  /// Take parts until there is none.
  void Work() {
    for (size_t i = next++; i < parts.size(); i = next++) {
      const Status status = parts[i]();
      std::lock_guard lock(mutex);
      if (!status.ok() && first_error.ok()) first_error = status;
      if (--left == 0) ended.notify_all();
    }
  }
};

class ThreadExecutor : public Executor {
 public:
  explicit ThreadExecutor(size_t compaction_threads) : compactions_(compaction_threads) {}
  ~ThreadExecutor() override { ThreadExecutor::Stop(); }

  void Submit(Kind kind, std::function<void()> work, std::chrono::milliseconds delay) override {
    (kind == Kind::kFlush ? flushes_ : compactions_).Submit(std::move(work), delay);
  }

  Status RunAll(std::vector<std::function<Status()>> parts) override {
    auto shared = std::make_shared<Parts>();
    shared->left = parts.size();
    shared->parts = std::move(parts);
    if (shared->parts.empty()) return Status::OK();
    // A helper that comes too late finds nothing left.
    const size_t helpers = std::min(shared->parts.size(), compactions_.max_threads()) - 1;
    for (size_t i = 0; i < helpers; ++i) compactions_.Submit([shared] { shared->Work(); }, {});
    shared->Work();
    std::unique_lock lock(shared->mutex);
    shared->ended.wait(lock, [&] { return shared->left == 0; });
    return shared->first_error;
  }

  void Stop() override {
    flushes_.Stop();
    compactions_.Stop();
  }

 private:
  Pool flushes_{1};
  Pool compactions_;
};

}  // namespace

std::unique_ptr<Executor> NewThreadExecutor(int compaction_threads) {
  return std::make_unique<ThreadExecutor>(static_cast<size_t>(std::max(1, compaction_threads)));
}

}  // namespace marble::lsm
