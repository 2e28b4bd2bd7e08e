// What is behind TaskScheduler: queues, threads, permits. Kept alive by the scheduler, by groups
// and by producers; only the scheduler stops the threads.
//
// Permits. A thread runs tasks, or looks for some, only while it holds a permit; there are
// `target` of them. One word holds {target, searching, running}:
//   running    permits taken. May exceed target for a moment: a thread that comes back from a
//   blocking
//              call or a wait takes one regardless; then some worker gives its own up before
//              its next task.
//   searching  of the running: have no task and look for one. While somebody searches, nobody is
//   woken.
//
// No task is forgotten: whoever queues a task calls Signal afterwards; whoever gives a permit up
// looks at all queues afterwards (all sequentially consistent, so that one of the two sees the
// other). The last searcher that finds a task calls Signal again if more is queued. Signal passes a
// permit to a sleeping idle thread, else to a new stand-in; if neither can be had, it has all
// workers that sleep in Wait look for tasks of their groups: one of them can go on, if anybody can.
//
// Locks: park_mutex_ guards who sleeps and who exists; nothing is called under it but the queues'
// size(). The queues have their own locks, never nested in each other.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "task/group_state_internal.h"
#include "task/task_queue_internal.h"
#include "task/task_scheduler.h"

namespace marble::task::internal {

/// The queues, one per priority, of a worker, a producer, or the line of slices.
struct Queues {
  explicit Queues(ChunkPool* pool)
      : by_priority{TaskQueue(pool), TaskQueue(pool), TaskQueue(pool)} {}
  TaskQueue& operator[](Priority priority) { return by_priority[static_cast<size_t>(priority)]; }
  TaskQueue& operator[](size_t priority) { return by_priority[priority]; }
  std::array<TaskQueue, kPriorities> by_priority;
};

/// Where outside threads put tasks: number 0 is common, the others have one producer each.
struct Inbound {
  Inbound(const SchedulerCore* owner, ChunkPool* pool) : core(owner), queues(pool) {}
  const SchedulerCore* const core;
  Queues queues;
  bool taken = true;  // protected by park_mutex_
};

/// A counter that one thread writes and any thread reads.
class OwnCounter {
 public:
  void Add(uint64_t by) {
    value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  void Max(uint64_t value) {
    if (value > value_.load(std::memory_order_relaxed)) {
      value_.store(value, std::memory_order_relaxed);
    }
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

/// One task on a worker's stack; a task that waits has others above it.
struct Frame {
  const GroupState* group;
  const Frame* below;
};

/// A thread and its queues. Never freed before the core: a thread that ends leaves its slot, and
/// what is queued there, to thieves and to the next thread.
struct Worker {
  Worker(SchedulerCore* owner, ChunkPool* pool, int number)
      : core(owner), index(number), queues(pool), batches(pool), random(number * 2654435761u + 1) {}

  SchedulerCore* const core;
  const int index;
  /// What its tasks spawned: newest first for the worker, oldest first for thieves.
  Queues queues;
  /// What it took from producers and other workers: oldest first for all.
  Queues batches;

  // The worker's thread only.
  uint64_t picks = 0;
  uint64_t next_turn = 0;  // the pick at which the first of these comes:
  std::array<uint64_t, kPriorities> class_turn = {UINT64_MAX, limits::kFlushTurn - 1,
                                                  limits::kCompactionTurn - 2};
  uint64_t line_first_turn = 0;
  size_t line_turn = 0;  // which part of the line comes next,
  size_t line_left =
      kChunkTasks;  // and how many tasks it may still give before the next one's turn
  uint32_t random;
  bool searching = false;
  int blocking = 0;  // nested BlockingScopes of the task that runs
  const Frame* frame = nullptr;
  // How many more tasks the group below counts than are unfinished: those that ended here and were
  // not yet told, and those counted ahead for tasks that may be spawned here. Never held longer
  // than the worker runs tasks of that group: while one of them is unfinished so is the group.
  GroupState* ahead_group = nullptr;
  uint64_t ahead = 0;

  struct Counters {
    std::array<OwnCounter, kPriorities> tasks_run, tasks_dropped, slices, max_wait_ms;
    OwnCounter steals, stolen_tasks, parks;
  };
  alignas(64) Counters counters;

  std::condition_variable wake;
  // Protected by the core's park_mutex_.
  std::thread thread;
  bool has_permit = false;  // given by whoever woke it
  bool poked = false;       // sleeps in Wait: look again
  const GroupState* waits_for = nullptr;
};

/// The worker whose thread this is.
extern constinit thread_local Worker* current_worker;

class SchedulerCore {
 public:
  SchedulerCore(const SchedulerOptions& options, CpuLimit cpus, int threads);
  ~SchedulerCore();

  Status Start();
  Status SetThreads(int threads);
  Status Shutdown(ShutdownMode mode);
  Result<Inbound*> TakeInbound();
  void ReleaseInbound(Inbound* inbound);
  SchedulerMetrics metrics();

  /// As the functions of these names in task.h, for this core's groups.
  bool IsClosed() const { return draining_.load(); }
  /// The queue for a new task of `group`.
  TaskQueue& QueueFor(Worker* worker, GroupState* group, Inbound* inbound);
  /// Count tasks as unfinished before they are queued.
  void CountPending(Worker* worker, GroupState* group, uint64_t count);
  /// After tasks were queued: see to it that somebody looks.
  void Signal() {
    const uint64_t permits = permits_.load(std::memory_order_seq_cst);
    if (SearchingOf(permits) == 0 && RunningOf(permits) < TargetOf(permits)) WakeOne();
  }
  /// Wait for `group` on a worker's thread.
  Status WaitOnWorker(Worker* worker, GroupState* group);
  /// `group` is complete: wake the workers that sleep for it.
  void WakeWaitersOf(const GroupState* group);
  void EnterBlocking(Worker* worker);
  void LeaveBlocking(Worker* worker);

  /// The worker whose thread this is, if it is one of this core's.
  Worker* CurrentWorker() const {
    Worker* const worker = current_worker;
    return worker != nullptr && worker->core == this ? worker : nullptr;
  }

  int target() const { return static_cast<int>(permits_.load() >> kTargetShift); }
  const CpuLimit& cpus() const { return cpus_; }
  const Clock* clock() const { return clock_; }
  const CancellationToken& root_token() const { return root_.token(); }

 private:
  static constexpr uint64_t kRunning = 1;
  static constexpr int kSearchingShift = 20;
  static constexpr uint64_t kSearching = uint64_t{1} << kSearchingShift;
  static constexpr int kTargetShift = 40;
  static constexpr uint64_t kFieldMask = kSearching - 1;
  static uint64_t RunningOf(uint64_t permits) { return permits & kFieldMask; }
  static uint64_t SearchingOf(uint64_t permits) {
    return (permits >> kSearchingShift) & kFieldMask;
  }
  static uint64_t TargetOf(uint64_t permits) { return permits >> kTargetShift; }

  // --- choosing and running tasks (scheduler_run.cc) --------------------------------------
  void WorkerLoop(Worker* worker);
  bool Pick(Worker* worker, Task* task, uint32_t* queued_at_ms);
  bool PickInTurn(Worker* worker, Task* task, uint32_t* queued_at_ms);
  bool PickOf(Worker* worker, Priority priority, bool line_first, Task* task,
              uint32_t* queued_at_ms);
  bool TakeFromLine(Worker* worker, Priority priority, Task* task, uint32_t* queued_at_ms);
  bool Steal(Worker* worker, Priority priority, Task* task, uint32_t* queued_at_ms);
  bool TakeOfGroup(Worker* worker, const GroupState* group, bool sliced_too, Task* task);
  void RunTask(Worker* worker, Task* task, uint32_t queued_at_ms);  // in scheduler_run.cc only
  void RunOne(Worker* worker, Task* task);                          // the same, for others
  void MeasureWait(Worker* worker, Priority priority, uint32_t queued_at_ms);
  bool Requeue(Worker* worker, Task* task);
  /// Destroy an accepted task without running it, and tell its group (but not that it has ended).
  void DropTask(Worker* worker, Task* task);
  void SettleAhead(Worker* worker);
  /// A worker in Wait runs tasks of its group only: let others at those that are more urgent.
  void GiveWay(Worker* worker, Priority priority);
  bool AnyQueuedOf(size_t priority);
  bool AnyQueued();

  // --- permits and sleep (scheduler_threads.cc) --------------------------------------------
  /// Look for a task for some microseconds, if not too many do already.
  bool LookAround(Worker* worker);
  void WakeOne();
  bool TryTakePermit();
  bool StartSearching(Worker* worker);
  void StopSearching(Worker* worker);
  /// If there are more running threads than permits: give this one's up.
  bool GiveUpSurplus(Worker* worker) {
    const uint64_t permits = permits_.load(std::memory_order_relaxed);
    return RunningOf(permits) > TargetOf(permits) && GiveUpPermit(worker);
  }
  bool GiveUpPermit(Worker* worker);
  /// Sleep without a permit until there is one and something to do; false: the thread ends.
  bool Park(Worker* worker, bool has_permit);
  /// The sleep itself: the worker is in idle_, and park_mutex_ is held.
  bool SleepIdle(Worker* worker, std::unique_lock<std::mutex>* lock);
  void SleepInWait(Worker* worker, GroupState* group);
  /// Start a thread in a free slot. park_mutex_ is held.
  Status StartThread(bool has_permit);
  void EndThread(Worker* worker);
  void JoinEnded();

  const CpuLimit cpus_;
  const std::string name_;
  const Clock* const clock_;
  const CancellationSource root_;
  ChunkPool chunks_;  // outlives all queues

  alignas(64) std::atomic<uint64_t> permits_;

  // Slots are filled in order and never emptied: readers go up to the count.
  alignas(64) std::atomic<int> workers_used_{0};
  std::unique_ptr<std::atomic<Worker*>[]> workers_;
  const int worker_slots_;
  std::atomic<int> inbound_used_{0};
  std::array<std::atomic<Inbound*>, limits::kMaxProducers + 1> inbound_{};
  Queues sliced_{&chunks_};  // used up a slice, in order

  std::atomic<uint64_t> wakes_{0};
  std::atomic<uint64_t> stand_ins_{0};
  std::atomic<int> suspended_{0};
  std::atomic<bool> draining_{false};

  std::mutex shutdown_mutex_;  // one Shutdown at a time; before park_mutex_
  std::mutex park_mutex_;
  std::condition_variable quiet_;  // a thread went idle while draining
  // State below is protected by park_mutex_.
  std::vector<Worker*> idle_;     // asleep without a task, the longest first
  std::vector<Worker*> waiting_;  // asleep in Wait
  std::vector<Worker*> vacant_;   // slots without a thread
  std::vector<std::thread> ended_;
  int threads_ = 0;
  bool stop_ = false;
  bool stopped_ = false;
};

}  // namespace marble::task::internal
