#include "lsm/compaction/executor.h"

#include <unistd.h>

namespace marble::lsm {

Result<std::shared_ptr<task::TaskScheduler>> SharedScheduler() {
  // Never destroyed: databases may be open while static objects go.
  static auto* mutex = new std::mutex;
  static auto* shared = new std::weak_ptr<task::TaskScheduler>;
  static pid_t owner = 0;
  std::lock_guard lock(*mutex);
  auto scheduler = shared->lock();
  // The threads of a process's scheduler do not exist in one that was forked from it.
  if (scheduler != nullptr && owner == ::getpid()) return scheduler;
  MARBLE_ASSIGN_OR_RETURN(std::unique_ptr<task::TaskScheduler> made, task::TaskScheduler::Make());
  scheduler = std::move(made);
  *shared = scheduler;
  owner = ::getpid();
  return scheduler;
}

Executor::Executor(std::shared_ptr<task::TaskScheduler> scheduler)
    : scheduler_(std::move(scheduler)),
      flushes_(scheduler_.get(), task::Priority::kFlush),
      compactions_(scheduler_.get(), task::Priority::kCompaction) {}

Executor::~Executor() { Stop(); }

void Executor::Submit(Kind kind, std::function<void()> work, std::chrono::milliseconds delay) {
  std::lock_guard lock(mutex_);
  if (stopped_) return;
  if (delay.count() == 0) {
    Spawn(kind, std::move(work));
    return;
  }
  delayed_.emplace(SteadyClock::now() + delay, std::pair(kind, std::move(work)));
  if (!timer_.joinable()) timer_ = std::thread([this] { RunTimer(); });
  wake_.notify_one();
}

void Executor::Spawn(Kind kind, std::function<void()> work) {
  // Refused only when there is no memory for it, or the scheduler was shut down by its owner.
  (void)(kind == Kind::kFlush ? flushes_ : compactions_).Spawn(std::move(work));
}

void Executor::RunTimer() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (delayed_.empty()) {
      wake_.wait(lock);
      continue;
    }
    const auto first = delayed_.begin();
    // A copy: Stop forgets the entry while this waits.
    if (const auto due = first->first; due > SteadyClock::now()) {
      wake_.wait_until(lock, due);
      continue;
    }
    auto [kind, work] = std::move(first->second);
    delayed_.erase(first);
    Spawn(kind, std::move(work));
  }
}

void Executor::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    delayed_.clear();
    wake_.notify_all();
  }
  if (timer_.joinable()) timer_.join();
  const Status stopped = MakeError(ErrorCode::kAborted, "the database is closing");
  flushes_.Cancel(stopped);
  compactions_.Cancel(stopped);
  (void)flushes_.Wait();
  (void)compactions_.Wait();
}

}  // namespace marble::lsm
