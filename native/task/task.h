// A task as it lies in a queue: 48 bytes, moved by copying, never allocated by itself.
//
// What a callable captured lies inside if it is small and trivially copyable (three pointers or
// numbers), else in one allocation that the task owns. A task is run once or dropped once; either
// destroys what it captured. Used by the templates of task_group.h; nothing here is for others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "base/status.h"
#include "task/budget.h"

namespace marble::task {

/// The classes of work, the most urgent first. A worker takes a task of a class only when it
/// finds none of those before it, but for the guard against starvation (task_scheduler.h).
enum class Priority : uint8_t { kUser = 0, kFlush = 1, kCompaction = 2 };
inline constexpr size_t kPriorities = 3;

namespace internal {

struct GroupState;
struct Inbound;

struct Task {
  static constexpr size_t kPayloadWords = 3;
  /// Run the task for its group, or, where that is null, only destroy what it holds.
  using Function = Progress (*)(Task* task, GroupState* group, Status* status);

  Function function;
  GroupState* group;
  uint32_t queued_at_ms;  // 0: not measured
  uint64_t payload[kPayloadWords];

  void Drop() { function(this, nullptr, nullptr); }
};
static_assert(sizeof(Task) == 48 && std::is_trivial_v<Task>);

/// What is queued: a function and its payload.
struct TaskBody {
  Task::Function function;
  uint64_t payload[Task::kPayloadWords];
};

/// `status` is OK before the call.
template <typename F, typename... Args>
void CallForStatus(Status* status, F& function, Args&&... args) {
  if constexpr (std::is_void_v<std::invoke_result_t<F&, Args...>>) {
    function(std::forward<Args>(args)...);
  } else {
    *status = function(std::forward<Args>(args)...);
  }
}

/// The next slice of a sliced task of `group`.
Slice MakeSlice(const Budget& budget, const GroupState* group);

template <typename F>
inline constexpr bool kFitsInTask = sizeof(F) <= sizeof(Task::payload) && alignof(F) <= 8 &&
                                    std::is_trivially_copyable_v<F> &&
                                    std::is_trivially_destructible_v<F>;

/// Move `function` into one allocation. OutOfMemory instead of an exception.
template <typename Box, typename... Args>
Status MakeBox(TaskBody* body, Args&&... args) {
  static_assert(alignof(Box) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
  try {
    body->payload[0] = reinterpret_cast<uint64_t>(new Box{std::forward<Args>(args)...});
  } catch (const std::exception& e) {
    return Status::OutOfMemory("cannot copy a task's function: ", e.what());
  }
  return Status::OK();
}

template <typename Box>
std::unique_ptr<Box> TakeBox(Task* task) {
  return std::unique_ptr<Box>(reinterpret_cast<Box*>(task->payload[0]));
}

/// F: Status() or void().
template <typename F>
Status MakeBody(F&& function, TaskBody* body) {
  using Fn = std::decay_t<F>;
  if constexpr (kFitsInTask<Fn>) {
    std::memcpy(body->payload, &function, sizeof(Fn));
    body->function = [](Task* self, GroupState* group, Status* status) {
      if (group == nullptr) return Progress::kDone;  // nothing to destroy
      alignas(Fn) unsigned char bytes[sizeof(Fn)];
      std::memcpy(bytes, self->payload, sizeof(Fn));
      CallForStatus(status, *std::launder(reinterpret_cast<Fn*>(bytes)));
      return Progress::kDone;
    };
    return Status::OK();
  } else {
    body->function = [](Task* self, GroupState* group, Status* status) {
      const std::unique_ptr<Fn> box = TakeBox<Fn>(self);
      if (group != nullptr) CallForStatus(status, *box);
      return Progress::kDone;
    };
    return MakeBox<Fn>(body, std::forward<F>(function));
  }
}

/// F: Result<Progress>(Slice&).
template <typename F>
Status MakeSlicedBody(const Budget& budget, F&& function, TaskBody* body) {
  struct Box {
    Budget budget;
    std::decay_t<F> function;
  };
  body->function = [](Task* self, GroupState* group, Status* status) {
    std::unique_ptr<Box> box = TakeBox<Box>(self);
    if (group == nullptr) return Progress::kDone;
    Slice slice = MakeSlice(box->budget, group);
    Result<Progress> progress = box->function(slice);
    *status = progress.status();
    if (!progress.ok() || *progress == Progress::kDone) return Progress::kDone;
    (void)box.release();  // the task keeps it for its next slice
    return Progress::kMore;
  };
  return MakeBox<Box>(body, budget, std::forward<F>(function));
}

/// Destroy what a body holds without running it.
inline void Drop(const TaskBody& body) {
  Task task{body.function, nullptr, 0, {body.payload[0], body.payload[1], body.payload[2]}};
  task.Drop();
}

/// Queue a task. If that is refused the body has been dropped, and the status says why.
Status Submit(GroupState* group, Inbound* inbound, const TaskBody& body);
Status SubmitMany(GroupState* group, Inbound* inbound, const TaskBody* bodies, size_t count);

}  // namespace internal
}  // namespace marble::task
