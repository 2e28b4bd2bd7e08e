// A set of tasks that are waited for together: the first error wins and cancels the rest.
//
// Owned by whoever spawns: an object on the stack of a function or task, or a member of a
// database. Its destructor cancels what has not begun and waits for what has, so that tasks may
// refer to what lives around the group. Groups nest: a task may make a group of its own and
// wait for it.
//
// Invariants
//  - Every task that was accepted (Spawn returned OK) either runs to its end, or is dropped without
//    running (further) and the group's status tells so. What it captured is destroyed before
//    the group is complete.
//  - A worker in Wait runs tasks of that group, and of no other: whatever it holds (locks, a
//    half-done change) is seen only by tasks that the wait was for anyway. When none of them
//    is queued it sleeps and another thread takes its place. So waits that do not depend on each
//    other in a circle always end, whatever the number of threads.
//  - A function given to Detach runs on top of no task.
//
// Thread-safe, except for moving and destroying.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "task/task.h"
#include "task/task_scheduler.h"

namespace marble::task {

class TaskGroup {
 public:
  /// A group whose tasks have `priority`; it is cancelled when `parent` is.
  explicit TaskGroup(TaskScheduler* scheduler, Priority priority = Priority::kUser,
                     const CancellationToken& parent = {});
  TaskGroup(TaskGroup&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  TaskGroup& operator=(TaskGroup&&) = delete;
  ~TaskGroup();

  /// Queue `function`: Status() or void(). From a task it goes to the worker's own queue, from
  /// outside to `producer`'s, or to the common one. An exception that leaves it is a kInternal
  /// error of the group. Errors: the reason once the group is cancelled; kClosed after Shutdown;
  /// OutOfMemory. After an error the function will not run.
  template <typename F>
  Status Spawn(F&& function, Producer* producer = nullptr) {
    internal::Task task{};
    MARBLE_RETURN_NOT_OK(internal::MakeTask(std::forward<F>(function), &task));
    return Submit(task, producer);
  }

  /// Queue a task that runs in slices of `budget`. `function`: Result<Progress>(Slice&); it is
  /// called again after it returned kMore. Else as Spawn.
  template <typename F>
  Status SpawnSliced(const Budget& budget, F&& function, Producer* producer = nullptr) {
    internal::Task task{};
    MARBLE_RETURN_NOT_OK(internal::MakeSlicedTask(budget, std::forward<F>(function), &task));
    return Submit(task, producer);
  }

  /// Queue `count` tasks that call `function(index)`, 0 to count-1: Status(int64_t) or
  /// void(int64_t). Tasks share one function, which must allow concurrent calls. Cheaper than one
  /// by one. After an error some may have been accepted; those run.
  template <typename F>
  Status SpawnEach(int64_t count, F&& function, Producer* producer = nullptr);

  /// Wait until no task is unfinished, then tell the first error, or why tasks were dropped. OK
  /// means that every task accepted so far ran to its end and said OK. A worker that waits
  /// runs the group's tasks. The group can be used on after OK.
  /// kInvalidArgument when called from one of the group's own tasks, which would never end.
  Status Wait();

  /// Cancel: queued tasks are dropped, running ones see their token, Spawn refuses with `reason`.
  void Cancel(const Status& reason);
  /// Cancelled with the first error, by Cancel, with the parent, or by Shutdown(kCancel).
  const CancellationToken& token() const;
  /// Tasks that were accepted and have not ended: never too few, and exact when none runs.
  uint64_t pending() const;

  /// Let the group go without waiting: `done` gets its status when the last task has ended, on the
  /// thread that ended it, or here if none is left. It must not throw. This object is empty
  /// afterwards and may only be destroyed.
  void Detach(std::function<void(const Status&)> done);

 private:
  Status Submit(const internal::Task& task, Producer* producer) {
    internal::Inbound* const inbound = InboundOf(producer);
    if (internal::Submit(state_, inbound, task.function, task.payload[0], task.payload[1])) {
      return Status::OK();
    }
    return internal::WhyRefused(state_, inbound);
  }
  static internal::Inbound* InboundOf(Producer* producer) {
    return producer == nullptr ? nullptr : producer->inbound_;
  }
  internal::GroupState* state_;
};

template <typename F>
Status TaskGroup::SpawnEach(int64_t count, F&& function, Producer* producer) {
  using Fn = std::decay_t<F>;
  constexpr int64_t kBatch = 64;
  const auto spawn_all = [&](const auto& call) -> Status {
    internal::Task tasks[kBatch] = {};
    for (int64_t begin = 0; begin < count; begin += kBatch) {
      const int64_t end = std::min(begin + kBatch, count);
      for (int64_t i = begin; i < end; ++i) {
        Status made =
            internal::MakeTask([call, i]() mutable { return (*call)(i); }, &tasks[i - begin]);
        if (!made.ok()) {
          while (--i >= begin) tasks[i - begin].Drop();
          return made;
        }
      }
      MARBLE_RETURN_NOT_OK(internal::SubmitMany(state_, InboundOf(producer), tasks,
                                                static_cast<size_t>(end - begin)));
    }
    return Status::OK();
  };
  if constexpr (internal::kFitsInTask<Fn> && sizeof(Fn) <= sizeof(uint64_t)) {
    // Small enough that each task has a copy.
    struct Copy {
      mutable Fn function;
      Fn& operator*() const { return function; }
    };
    return spawn_all(Copy{std::forward<F>(function)});
  } else {
    std::shared_ptr<Fn> shared;
    try {
      shared = std::make_shared<Fn>(std::forward<F>(function));
    } catch (const std::exception& e) {
      return Status::OutOfMemory("cannot copy a task's function: ", e.what());
    }
    return spawn_all(shared);
  }
}

}  // namespace marble::task
