// What the tasks of one group share.
//
// Lifetime: handles (a TaskGroup, whoever is just completing it) are counted in the same word as
// unfinished tasks; the state is deleted when both counts are zero. A queued or running task
// therefore needs no reference of its own.
//
// Completion: whoever finishes the last task turns it into a handle in the same atomic step,
// tells those who wait, and lets go of the handle: nobody can delete the state under it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "task/cancellation.h"
#include "task/task.h"

namespace marble::task::internal {

class SchedulerCore;

struct GroupState {
  GroupState(std::shared_ptr<SchedulerCore> scheduler, Priority group_priority,
             std::initializer_list<CancellationToken> parents)
      : core(std::move(scheduler)), priority(group_priority), source(parents) {}

  static constexpr int kHandleShift = 40;
  static constexpr uint64_t kHandle = uint64_t{1} << kHandleShift;
  static constexpr uint64_t kPendingMask = kHandle - 1;

  /// Tasks that were accepted and have not ended.
  uint64_t pending() const { return word.load(std::memory_order_seq_cst) & kPendingMask; }
  void AddPending(uint64_t count) { word.fetch_add(count, std::memory_order_relaxed); }
  /// `count` accepted tasks have ended. May run the function given to Detach, and delete this.
  void Finish(uint64_t count);
  void ReleaseHandle();

  /// Remember the first error and cancel the rest.
  void Fail(const Status& status);
  /// A task was dropped, because the group is cancelled, without having run to its end.
  void CountDropped();
  Status result();

  const std::shared_ptr<SchedulerCore> core;
  const Priority priority;
  const CancellationSource source;

  alignas(64) std::atomic<uint64_t> word{kHandle};
  /// Workers that sleep until this group is complete.
  std::atomic<int> parked_workers{0};
  std::atomic<uint64_t> dropped{0};
  /// Has a task of this group ever lain in a producer's queue, or waited for its next slice?
  /// Tells a waiting worker where it need not search.
  std::atomic<bool> was_inbound{false};
  std::atomic<bool> was_sliced{false};

  std::mutex mutex;
  std::condition_variable complete;
  // State below is protected by mutex.
  Status error;
  std::function<void(const Status&)> done;
};

}  // namespace marble::task::internal
