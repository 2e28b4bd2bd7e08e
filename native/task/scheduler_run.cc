// How a worker chooses its next task, runs it, and tells its group. The order is that of
// task_scheduler.h; how threads sleep and wake is in scheduler_threads.cc.
#include <algorithm>
#include <exception>
#include <string>

#include "task/scheduler_core_internal.h"

namespace marble::task::internal {
namespace {

/// Most tasks taken at once from a producer or another worker.
constexpr size_t kBatch = 16;
/// After so many picks without a look at the line it comes before the worker's own queue.
constexpr uint64_t kLineTurn = 64;

uint32_t NextRandom(uint32_t* state) {  // xorshift
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

}  // namespace

// --- queueing -----------------------------------------------------------------------------

void SchedulerCore::CountPending(Worker* worker, GroupState* group, uint64_t count) {
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

TaskQueue& SchedulerCore::QueueFor(Worker* worker, GroupState* group, Inbound* inbound) {
  if (worker != nullptr) return worker->queues[group->priority];
  if (!group->was_inbound.load(std::memory_order_relaxed)) group->was_inbound.store(true);
  if (inbound == nullptr) inbound = inbound_[0].load(std::memory_order_relaxed);
  return inbound->queues[group->priority];
}

namespace {

/// Why tasks were not queued; drop them.
Status Refuse(GroupState* group, const TaskBody* bodies, size_t count, PushResult pushed) {
  for (size_t i = 0; i < count; ++i) Drop(bodies[i]);
  group->Finish(count);
  if (pushed == PushResult::kNoMemory) return Status::OutOfMemory("no memory to queue a task");
  return MakeError(ErrorCode::kClosed, "the task scheduler is shut down and takes no more tasks");
}

}  // namespace

/// Why no task may be queued at all.
Status CheckOpen(const GroupState* group, const Inbound* inbound) {
  if (group->source.cancelled()) return group->source.token().Check();
  if (inbound == nullptr || inbound->core == group->core.get()) return Status::OK();
  return MakeError(ErrorCode::kInvalidArgument,
                   "the producer belongs to another scheduler than the task group");
}

Status SubmitMany(GroupState* group, Inbound* inbound, const TaskBody* bodies, size_t count) {
  if (Status open = CheckOpen(group, inbound); !open.ok()) {
    for (size_t i = 0; i < count; ++i) Drop(bodies[i]);
    return open;
  }
  Task tasks[TaskQueue::kMaxMove];
  for (size_t i = 0; i < count; ++i) {
    tasks[i].function = bodies[i].function;
    tasks[i].group = group;
    tasks[i].queued_at_ms = 0;
    std::copy_n(bodies[i].payload, Task::kPayloadWords, tasks[i].payload);
  }
  tasks[0].queued_at_ms = CoarseMs();
  SchedulerCore* const core = group->core.get();
  Worker* const worker = core->CurrentWorker();
  core->CountPending(worker, group, count);
  const PushResult pushed = core->QueueFor(worker, group, inbound).PushMany(tasks, count);
  if (pushed != PushResult::kPushed) return Refuse(group, bodies, count, pushed);
  core->Signal();
  return Status::OK();
}

Status Submit(GroupState* group, Inbound* inbound, const TaskBody& body) {
  SchedulerCore* const core = group->core.get();
  if (group->source.cancelled() || (inbound != nullptr && inbound->core != core)) {
    Drop(body);
    return CheckOpen(group, inbound);
  }
  Worker* const worker = core->CurrentWorker();
  if (worker != nullptr && worker->ahead_group == group && worker->ahead > 0) {
    --worker->ahead;  // then a task of the group runs here
  } else {
    core->CountPending(worker, group, 1);
  }
  const PushResult pushed = core->QueueFor(worker, group, inbound).Push(group, body);
  if (pushed != PushResult::kPushed) return Refuse(group, &body, 1, pushed);
  core->Signal();
  return Status::OK();
}

// --- choosing -----------------------------------------------------------------------------

bool SchedulerCore::AnyQueued() {
  const int producers = inbound_used_.load(std::memory_order_acquire);
  const int workers = workers_used_.load(std::memory_order_acquire);
  for (size_t c = 0; c < kPriorities; ++c) {
    for (int i = 0; i < producers; ++i) {
      if (inbound_[i].load(std::memory_order_relaxed)->queues[c].size() > 0) return true;
    }
    if (sliced_[c].size() > 0) return true;
    for (int i = 0; i < workers; ++i) {
      if (workers_[i].load(std::memory_order_relaxed)->queues[c].size() > 0) return true;
    }
  }
  return false;
}

inline bool SchedulerCore::Pick(Worker* worker, Task* task) {
  // Nothing is more urgent than a user task of its own, unless it is another's turn.
  if (worker->picks < worker->next_turn && worker->queues[Priority::kUser].PopBack(task)) {
    ++worker->picks;
    return true;
  }
  return PickInTurn(worker, task);
}

bool SchedulerCore::PickInTurn(Worker* worker, Task* task) {
  constexpr std::array<uint32_t, kPriorities> kTurns = {0, limits::kFlushTurn,
                                                        limits::kCompactionTurn};
  const bool line_first = worker->picks >= worker->line_first_turn;
  bool found = false;
  for (size_t c = 1; c < kPriorities && !found; ++c) {
    if (worker->picks < worker->class_turn[c]) continue;
    worker->class_turn[c] = worker->picks + kTurns[c];
    found = PickOf(worker, static_cast<Priority>(c), line_first, task);
  }
  for (size_t c = 0; c < kPriorities && !found; ++c) {
    found = PickOf(worker, static_cast<Priority>(c), line_first, task);
    if (found && c > 0) worker->class_turn[c] = worker->picks + kTurns[c];
  }
  if (line_first) worker->line_first_turn = worker->picks + kLineTurn;
  if (found) ++worker->picks;
  worker->next_turn = std::min({worker->class_turn[1], worker->class_turn[2],
                                worker->line_first_turn});
  return found;
}

bool SchedulerCore::PickOf(Worker* worker, Priority priority, bool line_first, Task* task) {
  if (line_first && TakeFromLine(worker, priority, task)) return true;
  if (worker->queues[priority].PopBack(task)) return true;
  if (!line_first && TakeFromLine(worker, priority, task)) return true;
  return Steal(worker, priority, task);
}

void SchedulerCore::KeepFirst(Worker* worker, Priority priority, Task* tasks, size_t count,
                              Task* first) {
  *first = tasks[0];
  if (count == 1) return;
  // The own queue gives the newest first: reversed, the oldest of these comes next.
  std::reverse(tasks + 1, tasks + count);
  if (worker->queues[priority].PushMany(tasks + 1, count - 1) == PushResult::kPushed) return;
  for (size_t i = 1; i < count; ++i) {
    GroupState* group = tasks[i].group;
    group->Fail(Status::OutOfMemory("no memory to queue a task"));
    DropTask(worker, &tasks[i]);
    group->Finish(1);
  }
}

void SchedulerCore::DropTask(Worker* worker, Task* task) {
  GroupState* group = task->group;
  task->Drop();
  worker->counters.tasks_dropped[static_cast<size_t>(group->priority)].Add(1);
  group->CountDropped();
}

bool SchedulerCore::TakeFromLine(Worker* worker, Priority priority, Task* task) {
  const auto producers = static_cast<size_t>(inbound_used_.load(std::memory_order_acquire));
  for (size_t i = 0; i <= producers; ++i) {
    const size_t turn = (worker->line_turn + i) % (producers + 1);
    Task tasks[kBatch];
    size_t count;
    if (turn == producers) {
      count = sliced_[priority].TryPopFront(tasks, 1);
    } else {
      Inbound* inbound = inbound_[turn].load(std::memory_order_relaxed);
      count = inbound->queues[priority].TryPopFront(tasks, kBatch);
    }
    if (count == 0) continue;
    worker->line_turn = turn + 1;
    worker->line_first_turn = worker->picks + kLineTurn;
    KeepFirst(worker, priority, tasks, count, task);
    return true;
  }
  return false;
}

bool SchedulerCore::Steal(Worker* worker, Priority priority, Task* task) {
  const auto workers = static_cast<size_t>(workers_used_.load(std::memory_order_acquire));
  const size_t start = NextRandom(&worker->random) % workers;
  for (size_t i = 0; i < workers; ++i) {
    Worker* victim = workers_[(start + i) % workers].load(std::memory_order_relaxed);
    if (victim == worker) continue;
    Task tasks[kBatch];
    const size_t count = victim->queues[priority].TryStealHalf(tasks, kBatch);
    if (count == 0) continue;
    worker->counters.steals.Add(1);
    worker->counters.stolen_tasks.Add(count);
    KeepFirst(worker, priority, tasks, count, task);
    return true;
  }
  return false;
}

bool SchedulerCore::TakeOfGroup(Worker* worker, const GroupState* group, bool sliced_too,
                                Task* task) {
  const Priority priority = group->priority;
  if (worker->queues[priority].TakeOf(group, task)) return true;
  const int workers = workers_used_.load(std::memory_order_acquire);
  for (int i = 0; i < workers; ++i) {
    Worker* other = workers_[i].load(std::memory_order_relaxed);
    if (other != worker && other->queues[priority].TakeOf(group, task)) return true;
  }
  if (group->was_inbound.load()) {
    const int producers = inbound_used_.load(std::memory_order_acquire);
    for (int i = 0; i < producers; ++i) {
      Inbound* inbound = inbound_[i].load(std::memory_order_relaxed);
      if (inbound->queues[priority].TakeOf(group, task)) return true;
    }
  }
  return sliced_too && group->was_sliced.load() && sliced_[priority].TakeOf(group, task);
}

// --- running ------------------------------------------------------------------------------

void SchedulerCore::WorkerLoop(Worker* worker) {
  while (true) {
    Task task;
    if (GiveUpSurplus(worker)) {
      SettleAhead(worker);
      if (!Park(worker, false)) return;
    }
    if (Pick(worker, &task)) {
      if (worker->searching) StopSearching(worker);
      RunTask(worker, &task);
      continue;
    }
    SettleAhead(worker);
    if (!LookAround(worker) && !Park(worker, true)) return;
  }
}

void SchedulerCore::MeasureWait(Worker* worker, Task* task) {
  // Signed: another core's tick may be one behind.
  const auto waited = static_cast<int32_t>(CoarseMs() - task->queued_at_ms);
  if (waited > 0) {
    worker->counters.max_wait_ms[static_cast<size_t>(task->group->priority)].Max(
        static_cast<uint64_t>(waited));
  }
}

bool SchedulerCore::Requeue(Worker* worker, Task* task) {
  GroupState* group = task->group;
  worker->counters.slices[static_cast<size_t>(group->priority)].Add(1);
  if (!group->was_sliced.load(std::memory_order_relaxed)) group->was_sliced.store(true);
  task->queued_at_ms = CoarseMs();
  if (sliced_[group->priority].PushMany(task, 1) != PushResult::kPushed) {
    group->Fail(Status::OutOfMemory("no memory to queue a task for its next slice"));
    DropTask(worker, task);
    return false;
  }
  // A worker looks at the line next; one that waits does not.
  if (worker->frame != nullptr) Signal();
  return true;
}

inline void SchedulerCore::RunTask(Worker* worker, Task* task) {
  GroupState* const group = task->group;
  if (worker->ahead_group != group) SettleAhead(worker);
  if (task->queued_at_ms != 0) MeasureWait(worker, task);
  if (group->source.cancelled()) {
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
    if (progress == Progress::kMore) {
      if (Requeue(worker, task)) return;
    } else {
      worker->counters.tasks_run[static_cast<size_t>(group->priority)].Add(1);
      if (!status.ok()) group->Fail(status);
    }
  }
  worker->ahead_group = group;
  ++worker->ahead;
}

void SchedulerCore::RunOne(Worker* worker, Task* task) { RunTask(worker, task); }

void SchedulerCore::SettleAhead(Worker* worker) {
  if (worker->ahead_group == nullptr) return;
  GroupState* group = std::exchange(worker->ahead_group, nullptr);
  if (const uint64_t count = std::exchange(worker->ahead, 0); count > 0) group->Finish(count);
}

Slice MakeSlice(const Budget& budget, const GroupState* group) {
  return Slice(budget, group->core->clock(), group->source.token());
}

// --- waiting ------------------------------------------------------------------------------

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
    Task task;
    if (worker->queues[group->priority].PopBackOf(group, &task)) {
      RunTask(worker, &task);
      continue;
    }
    SettleAhead(worker);
    if (group->pending() == 0) break;
    if (TakeOfGroup(worker, group, /*sliced_too=*/false, &task)) {
      RunTask(worker, &task);
    } else {
      SleepInWait(worker, group);
    }
  }
  if (blocking > 0) EnterBlocking(worker);
  worker->blocking = blocking;
  return Status::OK();
}

}  // namespace marble::task::internal
