// The threads that run the engine's work: flush, compaction, bulk load, scans.
//
// One per process or database; owned by whoever made it. Work comes in through task groups
// (task_group.h) and pipelines (pipeline.h), which may outlive the scheduler: after Shutdown
// they refuse.
//
// How a worker chooses (each worker has a queue per priority, so has each producer):
//  1. Priorities in order: user, flush, compaction. A class is looked at only when none of the
//     classes before it has a task anywhere. Guard against starvation: at least every
//     limits::kFlushTurn-th task a worker takes is a flush if one is queued, and every
//     limits::kCompactionTurn-th a compaction.
//  2. Within a class: the newest task of its own queue (it is warm in the cache); else the line:
//     up to 16 of the oldest from each producer in turn, and one task that waits for its next
//     slice; else half of what another worker has queued, oldest first. Every 64th time
//     the line comes first, so that a task that spawns its successor cannot shut it out.
//  3. Nothing found: look around for some microseconds, then sleep until woken. At most half of
//     the threads look around at once. An idle scheduler uses no CPU.
//
// Threads. `threads()` is how many run tasks at the same time. A worker that blocks (BlockingScope)
// or sleeps in TaskGroup::Wait is not counted meanwhile: another thread takes its place, one of
// those idle or a stand-in; there are at most limits::kMaxStandInThreads more threads than
// asked for, and a stand-in without work ends after limits::kStandInLingerMs.
//
// Thread-safe, except that a Producer belongs to one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "task/cpu_limit.h"
#include "task/task.h"

namespace marble::task {

class TaskGroup;

namespace internal {
class SchedulerCore;
class TaskQueue;
struct Inbound;
}  // namespace internal

struct SchedulerOptions {
  /// Threads at the start; 0: as many as `cpus`.
  int threads = 0;
  /// Most threads that can be asked for. nullopt: DetectCpuLimit(). Given by tests.
  std::optional<CpuLimit> cpus;
  /// Threads are called "<name>-<number>"; the system cuts that to 15 bytes.
  std::string name = "marble";
  /// Times slices. Not owned; null: the machine's clock.
  const Clock* clock = nullptr;
};

/// Counters since the start, gauges of this moment. Not one consistent cut.
struct SchedulerMetrics {
  using PerPriority = std::array<uint64_t, kPriorities>;
  PerPriority tasks_run{};      // ran to their end, with success or not
  PerPriority tasks_dropped{};  // accepted, then told that they were cancelled
  PerPriority slices{};         // a task used up its budget and went back to the line
  PerPriority queued{};         // wait in queues now
  /// The longest wait in a queue, to a tick of the kernel (1-10 ms). Measured on every 16th task
  /// of a queue, and on each that waits for its next slice.
  PerPriority max_wait_ms{};
  uint64_t steals = 0;        // a worker took tasks from another's queue
  uint64_t stolen_tasks = 0;  // how many
  uint64_t parks = 0;         // a thread went to sleep for want of work
  uint64_t wakes = 0;         // a sleeping thread was woken, or a stand-in started, for a task
  uint64_t stand_ins = 0;     // threads started beyond those asked for
  int threads = 0;            // threads that exist
  int running = 0;            // of these: run tasks or look for some
  int suspended = 0;          // of these: blocked, or asleep in TaskGroup::Wait
};

enum class ShutdownMode {
  kDrain,   // run all that was accepted, and what it spawns, to the end
  kCancel,  // cancel all groups: queued tasks are dropped, running ones see their token
};

/// An outside thread's own way in: it contends with nobody but the thieves.
class Producer {
 public:
  Producer(Producer&& other) noexcept;
  Producer& operator=(Producer&& other) noexcept;
  /// What was spawned stays queued.
  ~Producer();

 private:
  friend class TaskScheduler;
  friend class TaskGroup;
  Producer(std::shared_ptr<internal::SchedulerCore> core, internal::Inbound* inbound);
  void Release();
  std::shared_ptr<internal::SchedulerCore> core_;
  internal::Inbound* inbound_ = nullptr;
};

class TaskScheduler {
 public:
  /// Start the threads. kInvalidArgument names the limit when more are asked for than there are
  /// CPUs.
  static Result<std::unique_ptr<TaskScheduler>> Make(const SchedulerOptions& options = {});
  /// Shutdown(kCancel). Not from a task.
  ~TaskScheduler();

  /// Run tasks on `threads` threads from now on, 1 to max_threads(). No task is lost: what a thread
  /// that goes had queued is left to the others. Growing takes effect at once; shrinking as
  /// threads end the task (or slice) they run.
  Status SetThreads(int threads);
  int threads() const;
  /// What the affinity mask and the control group's quota allowed at Make.
  int max_threads() const;

  /// A queue for one outside thread. kBusy when limits::kMaxProducers exist, kClosed after
  /// Shutdown. Without one, outside threads share a queue.
  Result<Producer> MakeProducer();

  /// Refuse tasks from outside from now on (kClosed), end what was accepted as `mode` says, stop
  /// the threads. Waits for it. A second call is harmless, and one with kCancel hurries a
  /// kDrain under way. kInvalidArgument from a task of this scheduler, which cannot wait for
  /// itself.
  Status Shutdown(ShutdownMode mode);

  SchedulerMetrics metrics() const;

 private:
  friend class TaskGroup;
  explicit TaskScheduler(std::shared_ptr<internal::SchedulerCore> core);
  const std::shared_ptr<internal::SchedulerCore> core_;
};

/// Around a call into the operating system that may take long (fsync, a cold read, sleep): while it
/// lives, another thread may run tasks in this one's place. Costs about 20 ns when nothing is
/// queued. Nests; no effect outside of a task. Must end in the task, and on the thread, where it
/// began.
///
/// Not for waiting for another task: stand-ins are bounded, so enough such waiters would
/// leave nobody to run it. TaskGroup::Wait is for that.
class BlockingScope {
 public:
  BlockingScope();
  ~BlockingScope();
  BlockingScope(const BlockingScope&) = delete;
  BlockingScope& operator=(const BlockingScope&) = delete;
};

}  // namespace marble::task
