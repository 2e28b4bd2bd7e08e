// A task as it lies in a queue: 32 bytes, moved by copying, never allocated by itself.
//
// What a callable captured lies inside if it is small and trivially copyable (two pointers or
// numbers), else in one allocation that the task owns. A task is run once or dropped once; either
// destroys what it captured. Used by the templates of task_group.h; nothing here is for others.
#pragma once

#include <bit>
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
  static constexpr size_t kPayloadWords = 2;
  /// Run the task for its group, or, where that is null, only destroy what it holds.
  using Function = Progress (*)(Task* task, GroupState* group, Status* status);

  Function function;
  GroupState* group;
  uint64_t payload[kPayloadWords];

  void Drop() { function(this, nullptr, nullptr); }
};
static_assert(sizeof(Task) == 32 && std::is_trivial_v<Task>);

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
inline constexpr bool kFitsInTask =
    sizeof(F) <= sizeof(Task::payload) && alignof(F) <= 8 && std::is_trivially_copyable_v<F> &&
    std::is_trivially_destructible_v<F>;

/// Move `function` into one allocation. OutOfMemory instead of an exception.
template <typename Box, typename... Args>
Status MakeBox(Task* task, Args&&... args) {
  static_assert(alignof(Box) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
  try {
    task->payload[0] = reinterpret_cast<uint64_t>(new Box{std::forward<Args>(args)...});
  } catch (const std::exception& e) {
    return Status::OutOfMemory("cannot copy a task's function: ", e.what());
  }
  return Status::OK();
}

template <typename Box>
std::unique_ptr<Box> TakeBox(Task* task) {
  return std::unique_ptr<Box>(reinterpret_cast<Box*>(task->payload[0]));
}

/// The bytes of a small callable as words, without a wide load of what was stored in part.
template <typename Fn>
void CopyToPayload(const Fn& function, uint64_t* payload) {
  if constexpr (sizeof(Fn) == 1) {
    // Mostly a lambda that captures nothing, whose byte is not even initialised.
    if constexpr (!std::is_empty_v<Fn>) payload[0] = std::bit_cast<uint8_t>(function);
  } else if constexpr (sizeof(Fn) == 2) {
    payload[0] = std::bit_cast<uint16_t>(function);
  } else if constexpr (sizeof(Fn) == 4) {
    payload[0] = std::bit_cast<uint32_t>(function);
  } else {
    std::memcpy(payload, &function, sizeof(Fn));
  }
}

/// F: Status() or void().
template <typename F>
Status MakeTask(F&& function, Task* task) {
  using Fn = std::decay_t<F>;
  if constexpr (kFitsInTask<Fn>) {
    CopyToPayload<Fn>(function, task->payload);
    task->function = [](Task* self, GroupState* group, Status* status) {
      if (group == nullptr) return Progress::kDone;  // nothing to destroy
      alignas(Fn) unsigned char bytes[sizeof(Fn)];
      std::memcpy(bytes, self->payload, sizeof(Fn));
      CallForStatus(status, *std::launder(reinterpret_cast<Fn*>(bytes)));
      return Progress::kDone;
    };
    return Status::OK();
  } else {
    task->function = [](Task* self, GroupState* group, Status* status) {
      const std::unique_ptr<Fn> box = TakeBox<Fn>(self);
      if (group != nullptr) CallForStatus(status, *box);
      return Progress::kDone;
    };
    return MakeBox<Fn>(task, std::forward<F>(function));
  }
}

/// F: Result<Progress>(Slice&).
template <typename F>
Status MakeSlicedTask(const Budget& budget, F&& function, Task* task) {
  struct Box {
    Budget budget;
    std::decay_t<F> function;
  };
  task->function = [](Task* self, GroupState* group, Status* status) {
    std::unique_ptr<Box> box = TakeBox<Box>(self);
    if (group == nullptr) return Progress::kDone;
    Slice slice = MakeSlice(box->budget, group);
    Result<Progress> progress = box->function(slice);
    *status = progress.status();
    if (!progress.ok() || *progress == Progress::kDone) return Progress::kDone;
    (void)box.release();  // the task keeps it for its next slice
    return Progress::kMore;
  };
  return MakeBox<Box>(task, budget, std::forward<F>(function));
}

/// Queue a task: a function and its payload. False: it was refused and has been dropped, and
/// WhyRefused tells why.
bool Submit(GroupState* group, Inbound* inbound, Task::Function function, uint64_t first,
            uint64_t second);
Status WhyRefused(const GroupState* group, const Inbound* inbound);
/// The same for up to 64 tasks; their group is set here.
Status SubmitMany(GroupState* group, Inbound* inbound, Task* tasks, size_t count);

}  // namespace internal
}  // namespace marble::task
