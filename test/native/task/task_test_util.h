// What the scheduler's tests share: schedulers of a given size, a gate to hold a thread, a clock
// that tests move. Nothing here lets time decide a result: Eventually only bounds how long a
// failure takes.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "task/task_group.h"
#include "task/task_scheduler.h"

namespace marble::task::testing {

inline std::unique_ptr<TaskScheduler> MakeScheduler(int threads, int cpus = 8,
                                                    const Clock* clock = nullptr) {
  SchedulerOptions options;
  options.threads = threads;
  options.cpus = CpuLimit{cpus, "test"};
  options.name = "test";
  options.clock = clock;
  auto made = TaskScheduler::Make(options);
  EXPECT_TRUE(made.ok()) << made.status();
  return std::move(*made);
}

/// Closed until opened, once.
class Gate {
 public:
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

/// Wait for what must come to pass; false after a minute.
template <typename Condition>
bool Eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

class FakeClock : public Clock {
 public:
  int64_t NowMs() const override { return micros_.load() / 1000; }
  int64_t MonotonicMicros() const override { return micros_.load(); }
  void Advance(int64_t micros) { micros_.fetch_add(micros); }

 private:
  std::atomic<int64_t> micros_{1};
};

/// Words in the order in which they were written. Thread-safe.
class Log {
 public:
  void Add(const std::string& word) {
    std::lock_guard lock(mutex_);
    words_.push_back(word);
  }
  std::vector<std::string> words() const {
    std::lock_guard lock(mutex_);
    return words_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> words_;
};

/// Occupies the only worker of a scheduler until Release: meanwhile a test queues what it likes.
class HeldWorker {
 public:
  explicit HeldWorker(TaskScheduler* scheduler) : group_(scheduler) {
    EXPECT_TRUE(group_
                    .Spawn([this] {
                      begun_.Open();
                      gate_.Pass();
                    })
                    .ok());
    begun_.Pass();
  }
  ~HeldWorker() { Release(); }
  void Release() {
    gate_.Open();
    EXPECT_TRUE(group_.Wait().ok());
  }

 private:
  Gate begun_, gate_;
  TaskGroup group_;
};

inline Status Failure(const std::string& what) { return MakeError(ErrorCode::kIo, what); }

inline ::testing::AssertionResult IsOk(const Status& status) {
  if (status.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << status.ToString();
}
#define ASSERT_TASK_OK(expr) ASSERT_TRUE(::marble::task::testing::IsOk(expr))
#define EXPECT_TASK_OK(expr) EXPECT_TRUE(::marble::task::testing::IsOk(expr))

}  // namespace marble::task::testing
