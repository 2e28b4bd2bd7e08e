// A double-ended queue of tasks under a lock of one word. Every queue of the scheduler is one of
// these: a worker's own (the worker pushes and pops at the back, thieves take from the front), a
// producer's, the common one, and the line of tasks that have used up a slice.
//
// The lock bit, the closed bit and the number of tasks share one atomic word. One compare-and-swap
// takes the lock and counts the task in or out, a plain store unlocks: that is all a push or a pop
// costs. Whether there is anything is one load. Tasks lie by value in chunks: a burst needs
// no allocation per task and gives its memory back.
//
// A task taken out of the middle (TakeOf) leaves a hole that is skipped later.
//
// Thread-safe. Nobody waits for the lock for long: a critical section moves at most kMaxMove tasks
// or searches one queue; whoever may go elsewhere (thieves) does not wait at all.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "task/task.h"

namespace marble::task::internal {

enum class PushResult { kPushed, kClosed, kNoMemory };

/// Milliseconds of a clock that ticks a few hundred times a second and costs little; never 0.
uint32_t CoarseMs();

class alignas(64) TaskQueue {
 public:
  /// Most tasks that one push or take moves.
  static constexpr size_t kMaxMove = 64;

  TaskQueue() = default;
  ~TaskQueue();  // must be empty
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  /// Append a task. Sequentially consistent with size(), as PushMany is: who pushes and then looks
  /// for sleepers, and who falls asleep and then looks at size(), cannot both miss the other.
  PushResult Push(GroupState* group, const TaskBody& body) {
    uint64_t state = state_.load(std::memory_order_relaxed);
    do {
      if ((state & kLocked) != 0) state = WaitUnlocked();
      if ((state & kClosed) != 0) return PushResult::kClosed;
    } while (!state_.compare_exchange_weak(state, (state + kOne) | kLocked));
    if (newest_end_ == chunk_end_ && !AddChunk()) {
      Unlock(state);
      return PushResult::kNoMemory;
    }
    Task* const slot = newest_end_++;
    slot->function = body.function;
    slot->group = group;
    slot->queued_at_ms = ++pushes_ % kMeasureEvery == 0 ? CoarseMs() : 0;
    CopyPayload(body.payload, slot->payload);
    Unlock(state + kOne);
    return PushResult::kPushed;
  }
  /// Append 1 to kMaxMove tasks, all or none. Their queued_at_ms must be set.
  PushResult PushMany(const Task* tasks, size_t count);

  /// Take the newest.
  bool PopBack(Task* task) {
    uint64_t state = state_.load(std::memory_order_seq_cst);
    if (state >> kSizeShift == 0) return false;
    while ((state & kLocked) != 0 ||
           !state_.compare_exchange_weak(state, (state - kOne) | kLocked, std::memory_order_acquire,
                                         std::memory_order_relaxed)) {
      if ((state & kLocked) != 0) state = WaitUnlocked();
      if (state >> kSizeShift == 0) return false;
    }
    TakeNewest(task);
    state -= kOne;
    if (state >> kSizeShift == 0) Reset();
    Unlock(state);
    return true;
  }
  /// Take the newest if it is of `group`.
  bool PopBackOf(const GroupState* group, Task* task);
  /// Take up to `most` (<= kMaxMove) of the oldest, in order; 0 also when the lock is held.
  size_t TryPopFront(Task* tasks, size_t most);
  /// Take up to half, but at most `most`.
  size_t TryStealHalf(Task* tasks, size_t most);
  /// Take the newest task of `group`, wherever it is. Waits for the lock: 0 means there was none.
  bool TakeOf(const GroupState* group, Task* task);
  /// Refuse all later pushes.
  void Close();

  size_t size() const { return state_.load(std::memory_order_seq_cst) >> kSizeShift; }

 private:
  static constexpr uint64_t kLocked = 1;
  static constexpr uint64_t kClosed = 2;
  static constexpr int kSizeShift = 2;
  static constexpr uint64_t kOne = uint64_t{1} << kSizeShift;
  /// Every so many pushes one is measured: the clock costs as much as the push.
  static constexpr uint32_t kMeasureEvery = 16;

  struct Chunk {
    static constexpr size_t kTasks = 170;  // with the links: 8 KiB
    Chunk* previous;
    Chunk* next;
    Task tasks[kTasks];
    Task* begin() { return tasks; }
    Task* end() { return tasks + kTasks; }
  };

  void TakeNewest(Task* task) {
    do {
      if (newest_end_ == back_->begin()) DropBackChunk();
      --newest_end_;
    } while (newest_end_->function == nullptr);
    task->function = newest_end_->function;
    task->group = newest_end_->group;
    task->queued_at_ms = newest_end_->queued_at_ms;
    CopyPayload(newest_end_->payload, task->payload);
  }
  /// Word by word: a wider load of what has just been stored word by word would stall.
  static void CopyPayload(const uint64_t* from, uint64_t* to) {
    static_assert(Task::kPayloadWords == 3);
    to[0] = __atomic_load_n(&from[0], __ATOMIC_RELAXED);
    to[1] = __atomic_load_n(&from[1], __ATOMIC_RELAXED);
    to[2] = __atomic_load_n(&from[2], __ATOMIC_RELAXED);
  }

  /// No task is left: one chunk stays, holes vanish.
  void Reset() {
    if (front_ != back_) DropAllButFront();
    oldest_ = newest_end_ = front_->begin();
    chunk_end_ = front_->end();
  }

  /// Spin, then yield: the holder may have been preempted. Returns a state without the lock bit.
  uint64_t WaitUnlocked();
  /// Take the lock without counting; returns the state.
  uint64_t Lock();
  bool TryLock(uint64_t* state);
  void Unlock(uint64_t state) { state_.store(state, std::memory_order_release); }
  size_t PopOldest(uint64_t* state, Task* tasks, size_t most);
  bool AddChunk();
  void DropBackChunk();
  void DropFrontChunk();
  void DropAllButFront();
  void Free(Chunk* chunk);

  std::atomic<uint64_t> state_{0};
  // State below is protected by the lock in state_.
  Task* newest_end_ = nullptr;    // in back_: one behind the newest
  Task* chunk_end_ = nullptr;     // of back_
  Task* oldest_ = nullptr;        // in front_
  Chunk* front_ = nullptr;
  Chunk* back_ = nullptr;
  Chunk* spare_ = nullptr;
  uint32_t pushes_ = 0;
};

/// One turn of a loop that waits for another core.
inline void SpinPause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace marble::task::internal
