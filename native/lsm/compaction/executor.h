// Runs a database's flushes and compactions on a scheduler, which it may share with others. The
// database decides what is to be done and submits it.
//
// Thread-safe. Flushes go before compactions and never wait for one: a compaction runs in slices
// (run_pipeline.h). What waits inside of a task for the kernel or a rate does so in a
// BlockingScope.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "base/status.h"
#include "task/task_group.h"

namespace marble::lsm {

/// The scheduler of all databases of this process that have none of their own: one thread per CPU.
/// Ends with the last one that holds it.
Result<std::shared_ptr<task::TaskScheduler>> SharedScheduler();

class Executor {
 public:
  enum class Kind { kFlush, kCompaction };

  explicit Executor(std::shared_ptr<task::TaskScheduler> scheduler);
  ~Executor();

  /// Run `work` soon, not before `delay` has passed. After Stop: nothing happens.
  void Submit(Kind kind, std::function<void()> work, std::chrono::milliseconds delay = {});
  /// Wait for the work that runs, drop what has not begun. Idempotent. Not from work itself.
  void Stop();

  task::TaskScheduler* scheduler() const { return scheduler_.get(); }

 private:
  using SteadyClock = std::chrono::steady_clock;
  void Spawn(Kind kind, std::function<void()> work);
  /// The timer's thread, which there is only once something was delayed.
  void RunTimer();

  const std::shared_ptr<task::TaskScheduler> scheduler_;
  task::TaskGroup flushes_;
  task::TaskGroup compactions_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::multimap<SteadyClock::time_point, std::pair<Kind, std::function<void()>>> delayed_;
  std::thread timer_;
  bool stopped_ = false;
};

}  // namespace marble::lsm
