// How a worker chooses its next task, runs it, and tells its group. The order is that of
// task_scheduler.h; how threads sleep and wake is in scheduler_threads.cc.
#include <algorithm>
#include <exception>
#include <string>

#include "task/scheduler_core_internal.h"

namespace marble::task::internal {
namespace {

/// Most tasks stolen at once.
constexpr size_t kSteal = 16;
/// A producer with no more than so many tasks queued gives them one by one: others may want some.
constexpr size_t kFew = 8;
/// After so many picks without a look at the line it comes before the worker's own queues.
constexpr uint64_t kLineTurn = 64;

uint32_t NextRandom(uint32_t* state) {  // xorshift
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

}  // namespace

// --- queueing -----------------------------------------------------------------------------

inline void SchedulerCore::CountPending(Worker* worker, GroupState* group, uint64_t count) {
  constexpr uint64_t kAhead = 64;
  if (worker == nullptr || worker->frame == nullptr || worker->frame->group != group) {
    group->AddPending(count);
    return;
  }
  // A task of the group spawns another: count some ahead.
  if (worker->ahead < count) {
    MARBLE_DCHECK(worker->ahead_group == nullptr || worker->ahead_group == group);
    group->AddPending(count + kAhead);
    worker->ahead_group = group;
    worker->ahead += count + kAhead;
  }
  worker->ahead -= count;
}

inline TaskQueue& SchedulerCore::QueueFor(Worker* worker, GroupState* group, Inbound* inbound) {
  if (worker != nullptr) return worker->queues[group->priority];
  if (!group->was_inbound.load(std::memory_order_relaxed)) group->was_inbound.store(true);
  if (inbound == nullptr) inbound = inbound_[0].load(std::memory_order_relaxed);
  return inbound->queues[group->priority];
}

Status WhyRefused(const GroupState* group, const Inbound* inbound) {
  if (group->source.cancelled()) return group->source.token().Check();
  if (inbound != nullptr && inbound->core != group->core.get()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "the producer belongs to another scheduler than the task group");
  }
  if (group->core->IsClosed()) {
    return MakeError(ErrorCode::kClosed, "the task scheduler is shut down and takes no more tasks");
  }
  return Status::OutOfMemory("no memory to queue a task");
}

Status SubmitMany(GroupState* group, Inbound* inbound, Task* tasks, size_t count) {
  SchedulerCore* const core = group->core.get();
  if (!group->source.cancelled() && (inbound == nullptr || inbound->core == core)) {
    for (size_t i = 0; i < count; ++i) tasks[i].group = group;
    Worker* const worker = core->CurrentWorker();
    core->CountPending(worker, group, count);
    if (core->QueueFor(worker, group, inbound).PushMany(tasks, count) == PushResult::kPushed) {
      core->Signal();
      return Status::OK();
    }
    group->Finish(count);
  }
  for (size_t i = 0; i < count; ++i) tasks[i].Drop();
  return WhyRefused(group, inbound);
}

bool Submit(GroupState* group, Inbound* inbound, Task::Function function, uint64_t first,
            uint64_t second) {
  SchedulerCore* const core = group->core.get();
  if (group->source.cancelled() || (inbound != nullptr && inbound->core != core)) [[unlikely]] {
    Task{function, nullptr, {first, second}}.Drop();
    return false;
  }
  Worker* const worker = core->CurrentWorker();
  if (worker != nullptr && worker->ahead_group == group && worker->ahead > 0) {
    --worker->ahead;  // then a task of the group runs here
  } else {
    core->CountPending(worker, group, 1);
  }
  const PushResult pushed =
      core->QueueFor(worker, group, inbound).Push(group, function, first, second);
  if (pushed != PushResult::kPushed) [[unlikely]] {
    Task{function, nullptr, {first, second}}.Drop();
    group->Finish(1);
    return false;
  }
  core->Signal();
  return true;
}

// --- choosing -----------------------------------------------------------------------------

bool SchedulerCore::AnyQueuedOf(size_t priority) {
  const int producers = inbound_used_.load();
  for (int i = 0; i < producers; ++i) {
    if (inbound_[i].load(std::memory_order_relaxed)->queues[priority].size() > 0) return true;
  }
  const int workers = workers_used_.load();
  for (int i = 0; i < workers; ++i) {
    Worker* worker = workers_[i].load(std::memory_order_relaxed);
    if (worker->queues[priority].size() > 0 || worker->batches[priority].size() > 0) return true;
  }
  return sliced_[priority].size() > 0;
}

bool SchedulerCore::AnyQueued() { return AnyQueuedOf(0) || AnyQueuedOf(1) || AnyQueuedOf(2); }

inline bool SchedulerCore::Pick(Worker* worker, Task* task, uint32_t* queued_at_ms) {
  // Nothing is more urgent than a user task it has already, unless it is another's turn.
  if (worker->picks < worker->next_turn &&
      (worker->queues[Priority::kUser].PopBack(task, queued_at_ms) ||
       worker->batches[Priority::kUser].PopFront(task, queued_at_ms))) {
    ++worker->picks;
    return true;
  }
  return PickInTurn(worker, task, queued_at_ms);
}

bool SchedulerCore::PickInTurn(Worker* worker, Task* task, uint32_t* queued_at_ms) {
  constexpr std::array<uint32_t, kPriorities> kTurns = {0, limits::kFlushTurn,
                                                        limits::kCompactionTurn};
  const bool line_first = worker->picks >= worker->line_first_turn;
  bool found = false;
  for (size_t c = 1; c < kPriorities && !found; ++c) {
    if (worker->picks < worker->class_turn[c]) continue;
    worker->class_turn[c] = worker->picks + kTurns[c];
    found =
        AnyQueuedOf(c) && PickOf(worker, static_cast<Priority>(c), line_first, task, queued_at_ms);
  }
  for (size_t c = 0; c < kPriorities && !found; ++c) {
    found = PickOf(worker, static_cast<Priority>(c), line_first, task, queued_at_ms);
    if (found && c > 0) worker->class_turn[c] = worker->picks + kTurns[c];
  }
  if (line_first) worker->line_first_turn = worker->picks + kLineTurn;
  if (found) ++worker->picks;
  worker->next_turn =
      std::min({worker->class_turn[1], worker->class_turn[2], worker->line_first_turn});
  return found;
}

bool SchedulerCore::PickOf(Worker* worker, Priority priority, bool line_first, Task* task,
                           uint32_t* queued_at_ms) {
  return (line_first && TakeFromLine(worker, priority, task, queued_at_ms)) ||
         worker->queues[priority].PopBack(task, queued_at_ms) ||
         worker->batches[priority].PopFront(task, queued_at_ms) ||
         (!line_first && TakeFromLine(worker, priority, task, queued_at_ms)) ||
         Steal(worker, priority, task, queued_at_ms);
}

bool SchedulerCore::TakeFromLine(Worker* worker, Priority priority, Task* task,
                                 uint32_t* queued_at_ms) {
  const auto producers = static_cast<size_t>(inbound_used_.load());
  TaskQueue& batch = worker->batches[priority];
  for (size_t i = 0; i <= producers; ++i, ++worker->line_turn, worker->line_left = kChunkTasks) {
    if (worker->line_turn > producers) worker->line_turn = 0;
    size_t taken = 1;
    if (worker->line_turn == producers) {
      // One slice, then it is the producers' turn again.
      if (!sliced_[priority].TryPopFront(task, queued_at_ms)) continue;
      taken = worker->line_left;
    } else {
      TaskQueue& queue =
          inbound_[worker->line_turn].load(std::memory_order_relaxed)->queues[priority];
      ChunkRun run;
      if (queue.size() > kFew && batch.size() == 0 && queue.TryTakeChunk(&run)) {
        taken = run.count;
        batch.Adopt(run);
        if (!batch.PopFront(task, queued_at_ms)) continue;  // thieves had it all
      } else if (!queue.TryPopFront(task, queued_at_ms)) {
        continue;
      }
    }
    worker->line_first_turn = worker->picks + kLineTurn;
    if (taken < worker->line_left) {
      worker->line_left -= taken;
    } else {
      ++worker->line_turn;
      worker->line_left = kChunkTasks;
    }
    return true;
  }
  return false;
}

bool SchedulerCore::Steal(Worker* worker, Priority priority, Task* task, uint32_t* queued_at_ms) {
  const auto workers = static_cast<size_t>(workers_used_.load());
  const size_t start = NextRandom(&worker->random) % workers;
  for (size_t i = 0; i < workers; ++i) {
    Worker* victim = workers_[(start + i) % workers].load(std::memory_order_relaxed);
    if (victim == worker) continue;
    Task tasks[kSteal];
    size_t count = victim->batches[priority].TryStealHalf(tasks, kSteal, queued_at_ms);
    if (count == 0) count = victim->queues[priority].TryStealHalf(tasks, kSteal, queued_at_ms);
    if (count == 0) continue;
    worker->counters.steals.Add(1);
    worker->counters.stolen_tasks.Add(count);
    *task = tasks[0];
    if (count == 1 ||
        worker->batches[priority].PushMany(tasks + 1, count - 1) == PushResult::kPushed) {
      return true;
    }
    for (size_t k = 1; k < count; ++k) {
      GroupState* group = tasks[k].group;
      group->Fail(Status::OutOfMemory("no memory to queue a task"));
      DropTask(worker, &tasks[k]);
      group->Finish(1);
    }
    return true;
  }
  return false;
}

void SchedulerCore::DropTask(Worker* worker, Task* task) {
  GroupState* group = task->group;
  task->Drop();
  worker->counters.tasks_dropped[static_cast<size_t>(group->priority)].Add(1);
  group->CountDropped();
}

bool SchedulerCore::TakeOfGroup(Worker* worker, const GroupState* group, bool sliced_too,
                                Task* task) {
  const Priority priority = group->priority;
  if (worker->queues[priority].TakeOf(group, task)) return true;
  const int workers = workers_used_.load();
  for (int i = 0; i < workers; ++i) {
    Worker* other = workers_[i].load(std::memory_order_relaxed);
    if (other->batches[priority].TakeOf(group, task)) return true;
    if (other != worker && other->queues[priority].TakeOf(group, task)) return true;
  }
  if (group->was_inbound.load()) {
    const int producers = inbound_used_.load();
    for (int i = 0; i < producers; ++i) {
      Inbound* inbound = inbound_[i].load(std::memory_order_relaxed);
      if (inbound->queues[priority].TakeOf(group, task)) return true;
    }
  }
  return sliced_too && group->was_sliced.load() && sliced_[priority].TakeOf(group, task);
}

// --- running ------------------------------------------------------------------------------

[[gnu::always_inline]] inline void SchedulerCore::RunTask(Worker* worker, Task* task,
                                                          uint32_t queued_at_ms) {
  GroupState* const group = task->group;
  if (worker->ahead_group != group) SettleAhead(worker);
  if (queued_at_ms != 0) MeasureWait(worker, group->priority, queued_at_ms);
  if (group->source.cancelled()) [[unlikely]] {
    DropTask(worker, task);
  } else {
    const Frame frame{group, worker->frame};
    worker->frame = &frame;
    Status status;
    Progress progress = Progress::kDone;
    try {
      progress = task->function(task, group, &status);
    } catch (const std::exception& e) {
      status = MakeError(ErrorCode::kInternal, std::string("a task threw: ") + e.what());
    } catch (...) {
      status = MakeError(ErrorCode::kInternal, "a task threw something that is no std::exception");
    }
    MARBLE_DCHECK(worker->blocking == 0);  // a BlockingScope outlived its task
    worker->frame = frame.below;
    if (progress == Progress::kMore) [[unlikely]] {
      if (Requeue(worker, task)) return;
    } else {
      worker->counters.tasks_run[static_cast<size_t>(group->priority)].Add(1);
      if (!status.ok()) [[unlikely]]
        group->Fail(status);
    }
  }
  worker->ahead_group = group;
  ++worker->ahead;
}

void SchedulerCore::WorkerLoop(Worker* worker) {
  while (true) {
    Task task;
    uint32_t queued_at_ms;
    if (GiveUpSurplus(worker)) {
      SettleAhead(worker);
      if (!Park(worker, false)) return;
    }
    if (Pick(worker, &task, &queued_at_ms)) {
      if (worker->searching) StopSearching(worker);
      RunTask(worker, &task, queued_at_ms);
      continue;
    }
    SettleAhead(worker);
    if (!LookAround(worker) && !Park(worker, true)) return;
  }
}

void SchedulerCore::MeasureWait(Worker* worker, Priority priority, uint32_t queued_at_ms) {
  // Signed: another core's tick may be one behind.
  const auto waited = static_cast<int32_t>(CoarseMs() - queued_at_ms);
  if (waited <= 0) return;
  worker->counters.max_wait_ms[static_cast<size_t>(priority)].Max(static_cast<uint64_t>(waited));
}

bool SchedulerCore::Requeue(Worker* worker, Task* task) {
  GroupState* group = task->group;
  worker->counters.slices[static_cast<size_t>(group->priority)].Add(1);
  if (!group->was_sliced.load(std::memory_order_relaxed)) group->was_sliced.store(true);
  if (sliced_[group->priority].PushMany(task, 1) != PushResult::kPushed) {
    group->Fail(Status::OutOfMemory("no memory to queue a task for its next slice"));
    DropTask(worker, task);
    return false;
  }
  // A worker looks at the line next; one that waits does not.
  if (worker->frame != nullptr) Signal();
  return true;
}

void SchedulerCore::RunOne(Worker* worker, Task* task) { RunTask(worker, task, 0); }

void SchedulerCore::SettleAhead(Worker* worker) {
  if (worker->ahead_group == nullptr) return;
  GroupState* group = std::exchange(worker->ahead_group, nullptr);
  if (const uint64_t count = std::exchange(worker->ahead, 0); count > 0) group->Finish(count);
}

Slice MakeSlice(const Budget& budget, const GroupState* group) {
  return Slice(budget, group->core->clock(), group->source.token());
}

// --- waiting ------------------------------------------------------------------------------

void SchedulerCore::GiveWay(Worker* worker, Priority priority) {
  for (size_t c = 0; c < static_cast<size_t>(priority); ++c) {
    if (!AnyQueuedOf(c)) continue;
    // Another thread takes the permit and, by its priorities, that task; this one goes on with a
    // permit too many until the other is through with it.
    EnterBlocking(worker);
    LeaveBlocking(worker);
    return;
  }
}

Status SchedulerCore::WaitOnWorker(Worker* worker, GroupState* group) {
  for (const Frame* frame = worker->frame; frame != nullptr; frame = frame->below) {
    if (frame->group == group) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "TaskGroup::Wait was called from a task of the same group, which would wait "
                       "for itself; make a group inside the task and wait for that");
    }
  }
  // Inside a BlockingScope this thread has no permit: take one back for the wait.
  const int blocking = std::exchange(worker->blocking, 0);
  if (blocking > 0) LeaveBlocking(worker);
  while (true) {
    GiveWay(worker, group->priority);
    Task task;
    uint32_t queued_at_ms;
    if (worker->queues[group->priority].PopBackOf(group, &task, &queued_at_ms)) {
      RunOne(worker, &task);
      continue;
    }
    SettleAhead(worker);
    if (group->pending() == 0) break;
    if (TakeOfGroup(worker, group, /*sliced_too=*/false, &task)) {
      RunOne(worker, &task);
    } else {
      SleepInWait(worker, group);
    }
  }
  if (blocking > 0) EnterBlocking(worker);
  worker->blocking = blocking;
  return Status::OK();
}

}  // namespace marble::task::internal
