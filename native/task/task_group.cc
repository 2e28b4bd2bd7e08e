#include "task/task_group.h"

#include <string>

#include "task/group_state_internal.h"
#include "task/scheduler_core_internal.h"

namespace marble::task {
namespace internal {

void GroupState::Finish(uint64_t count) {
  uint64_t before = word.load(std::memory_order_relaxed);
  uint64_t after;
  bool last;
  do {
    MARBLE_DCHECK((before & kPendingMask) >= count);
    last = (before & kPendingMask) == count;
    after = before - count + (last ? kHandle : 0);
  } while (!word.compare_exchange_weak(before, after, std::memory_order_seq_cst));
  if (!last) return;
  std::function<void(const Status&)> tell;
  Status status;
  {
    std::lock_guard lock(mutex);
    complete.notify_all();
    if (done != nullptr) {
      tell = std::exchange(done, nullptr);
      status = error;
    }
  }
  if (parked_workers.load(std::memory_order_seq_cst) > 0) core->WakeWaitersOf(this);
  if (tell != nullptr) tell(status);
  ReleaseHandle();
}

void GroupState::ReleaseHandle() {
  if (word.fetch_sub(kHandle, std::memory_order_acq_rel) == kHandle) delete this;
}

void GroupState::Fail(const Status& status) {
  {
    std::lock_guard lock(mutex);
    if (error.ok()) error = status;
  }
  source.Cancel(status);
}

void GroupState::CountDropped() {
  if (dropped.fetch_add(1, std::memory_order_relaxed) != 0) return;
  std::lock_guard lock(mutex);
  if (error.ok()) error = source.token().Check();
}

Status GroupState::result() {
  std::lock_guard lock(mutex);
  return error;
}

}  // namespace internal

TaskGroup::TaskGroup(TaskScheduler* scheduler, Priority priority, const CancellationToken& parent)
    : state_(new internal::GroupState(scheduler->core_, priority,
                                      {scheduler->core_->root_token(), parent})) {}

TaskGroup::~TaskGroup() {
  if (state_ == nullptr) return;
  if (pending() > 0) {
    Cancel(
        MakeError(ErrorCode::kAborted, "the task group was given up before its tasks had ended"));
    (void)Wait();
    MARBLE_CHECK(pending() == 0);  // else destroyed by one of its own tasks
  }
  state_->ReleaseHandle();
}

Status TaskGroup::Wait() {
  if (internal::Worker* worker = state_->core->CurrentWorker(); worker != nullptr) {
    MARBLE_RETURN_NOT_OK(state_->core->WaitOnWorker(worker, state_));
  } else {
    std::unique_lock lock(state_->mutex);
    state_->complete.wait(lock, [&] { return state_->pending() == 0; });
  }
  return state_->result();
}

void TaskGroup::Cancel(const Status& reason) { state_->source.Cancel(reason); }
const CancellationToken& TaskGroup::token() const { return state_->source.token(); }
uint64_t TaskGroup::pending() const { return state_->pending(); }

void TaskGroup::Detach(std::function<void(const Status&)> done) {
  state_->AddPending(1);  // so that whoever reaches zero next is the last
  {
    std::lock_guard lock(state_->mutex);
    state_->done = std::move(done);
  }
  internal::GroupState* state = std::exchange(state_, nullptr);
  state->Finish(1);
  // The handle given back here is what kept the state alive over Finish.
  state->ReleaseHandle();  // NOLINT(clang-analyzer-cplusplus.NewDelete)
}

}  // namespace marble::task
