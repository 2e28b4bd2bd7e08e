// A double-ended queue of tasks under a lock of one word. Every queue of the scheduler is one of
// these: a worker's own (the worker pushes and pops at the back, thieves take from the front), a
// producer's, the common one, the line of tasks that have used up a slice, and the batch that a
// worker has taken out of a producer's queue.
//
// The lock bit, the closed bit and the number of tasks share one atomic word. One compare-and-swap
// takes the lock and counts the task in or out, a plain store unlocks: that is all a push or a pop
// costs. Whether there is anything is one load. Tasks lie by value in chunks of kChunkTasks; a
// whole chunk moves from a producer to a worker as a pointer, so that nobody holds the lock while
// another core's cache is read. Chunks come from a pool and go back to it.
//
// A task taken out of the middle (TakeOf) leaves a hole that is skipped later.
//
// Thread-safe. Nobody waits for the lock for long: a critical section moves at most kChunkTasks
// tasks or searches one queue; whoever may go elsewhere (thieves) does not wait at all.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "task/task.h"

namespace marble::task::internal {

/// Tasks of a chunk; the most that one push or take moves.
inline constexpr size_t kChunkTasks = 64;

/// One turn of a loop that waits for another core.
inline void SpinPause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

/// Milliseconds of a clock that ticks a few hundred times a second and costs little; never 0.
uint32_t CoarseMs();

struct Chunk {
  /// Every so many tasks the time of the push is kept: the clock costs more than the push.
  static constexpr size_t kMeasureEvery = 16;

  Chunk* previous;
  Chunk* next;
  uint32_t holes;  // tasks taken out of the middle and not yet skipped
  uint32_t queued_at_ms[kChunkTasks / kMeasureEvery];
  Task tasks[kChunkTasks];

  Task* begin() { return tasks; }
  Task* end() { return tasks + kChunkTasks; }
  /// Where the time of this task's push is kept, or null.
  uint32_t* MeasureOf(const Task* task) {
    const auto at = static_cast<size_t>(task - tasks);
    return at % kMeasureEvery == 0 ? &queued_at_ms[at / kMeasureEvery] : nullptr;
  }
};

/// Chunks that are not in use, up to a bound. Thread-safe.
class ChunkPool {
 public:
  ChunkPool() = default;
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;
  /// Null: out of memory.
  Chunk* Get();
  void Put(Chunk* chunk);

 private:
  void Lock();
  std::atomic<bool> locked_{false};
  // State below is protected by locked_.
  Chunk* free_ = nullptr;
  size_t count_ = 0;
};

enum class PushResult { kPushed, kClosed, kNoMemory };

/// A chunk taken out of a queue, with the tasks [oldest, end) in it, less its holes.
struct ChunkRun {
  Chunk* chunk = nullptr;
  Task* oldest = nullptr;
  Task* end = nullptr;
  size_t count = 0;
};

class alignas(64) TaskQueue {
 public:
  explicit TaskQueue(ChunkPool* pool) : pool_(pool) {}
  ~TaskQueue();  // must be empty
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  /// Append a task. Sequentially consistent with size(), as PushMany is: who pushes and then looks
  /// for sleepers, and who falls asleep and then looks at size(), cannot both miss the other.
  PushResult Push(GroupState* group, Task::Function function, uint64_t first, uint64_t second) {
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
    slot->function = function;
    slot->group = group;
    slot->payload[0] = first;
    slot->payload[1] = second;
    if (uint32_t* queued_at = back_->MeasureOf(slot)) *queued_at = CoarseMs();
    Unlock(state + kOne);
    return PushResult::kPushed;
  }
  /// Append 1 to kChunkTasks tasks, all or none.
  PushResult PushMany(const Task* tasks, size_t count);

  /// Take the newest, or the oldest. `queued_at_ms`: when it was pushed, or 0 if that is not known.
  bool PopBack(Task* task, uint32_t* queued_at_ms) {
    uint64_t state;
    if (!LockToTake(&state)) return false;
    TakeNewest(task, queued_at_ms);
    UnlockTaken(state);
    return true;
  }
  bool PopFront(Task* task, uint32_t* queued_at_ms) {
    uint64_t state;
    if (!LockToTake(&state)) return false;
    TakeOldest(task, queued_at_ms);
    UnlockTaken(state);
    return true;
  }
  /// Take the newest if it is of `group`.
  bool PopBackOf(const GroupState* group, Task* task, uint32_t* queued_at_ms);
  /// As PopFront, but false also when the lock is held.
  bool TryPopFront(Task* task, uint32_t* queued_at_ms);
  /// Take the chunk with the oldest tasks, if the lock is free.
  bool TryTakeChunk(ChunkRun* run);
  /// Put such a chunk into this queue, which must be empty and gets tasks from this thread only.
  void Adopt(const ChunkRun& run);
  /// Take up to half, but at most `most` (<= kChunkTasks), of the oldest, in order; 0 also when the
  /// lock is held. `queued_at_ms`: of the oldest of which it is known, or 0.
  size_t TryStealHalf(Task* tasks, size_t most, uint32_t* queued_at_ms);
  /// Take the newest task of `group`, wherever it is. Waits for the lock: false means there was
  /// none.
  bool TakeOf(const GroupState* group, Task* task);
  /// Refuse all later pushes.
  void Close();

  size_t size() const { return state_.load(std::memory_order_seq_cst) >> kSizeShift; }

 private:
  static constexpr uint64_t kLocked = 1;
  static constexpr uint64_t kClosed = 2;
  static constexpr int kSizeShift = 2;
  static constexpr uint64_t kOne = uint64_t{1} << kSizeShift;

  /// Take the lock and count one task out; false: there is none.
  bool LockToTake(uint64_t* locked) {
    uint64_t state = state_.load(std::memory_order_seq_cst);
    if (state >> kSizeShift == 0) return false;
    while ((state & kLocked) != 0 ||
           !state_.compare_exchange_weak(state, (state - kOne) | kLocked, std::memory_order_acquire,
                                         std::memory_order_relaxed)) {
      if ((state & kLocked) != 0) state = WaitUnlocked();
      if (state >> kSizeShift == 0) return false;
    }
    *locked = state - kOne;
    return true;
  }
  void UnlockTaken(uint64_t state) {
    if (state >> kSizeShift == 0) Reset();
    Unlock(state);
  }
  void TakeNewest(Task* task, uint32_t* queued_at_ms) {
    while (true) {
      if (newest_end_ == back_->begin()) DropBackChunk();
      --newest_end_;
      if (newest_end_->function != nullptr) break;
      --back_->holes;
    }
    const uint32_t* queued_at = back_->MeasureOf(newest_end_);
    *queued_at_ms = queued_at == nullptr ? 0 : *queued_at;
    Copy(*newest_end_, task);
  }
  void TakeOldest(Task* task, uint32_t* queued_at_ms) {
    while (true) {
      if (oldest_ == front_->end()) DropFrontChunk();
      ++oldest_;
      if (oldest_[-1].function != nullptr) break;
      --front_->holes;
    }
    const uint32_t* queued_at = front_->MeasureOf(oldest_ - 1);
    *queued_at_ms = queued_at == nullptr ? 0 : *queued_at;
    Copy(oldest_[-1], task);
  }
  /// Word by word: a wider load of what has just been stored word by word would stall.
  static void Copy(const Task& from, Task* to) {
    static_assert(Task::kPayloadWords == 2);
    to->function = __atomic_load_n(&from.function, __ATOMIC_RELAXED);
    to->group = __atomic_load_n(&from.group, __ATOMIC_RELAXED);
    to->payload[0] = __atomic_load_n(&from.payload[0], __ATOMIC_RELAXED);
    to->payload[1] = __atomic_load_n(&from.payload[1], __ATOMIC_RELAXED);
  }
  /// No task is left: one chunk stays, holes vanish.
  void Reset() {
    if (front_ != back_) DropAllButFront();
    oldest_ = newest_end_ = front_->begin();
    chunk_end_ = front_->end();
    front_->holes = 0;
  }

  /// Spin, then yield: the holder may have been preempted. Returns a state without the lock bit.
  uint64_t WaitUnlocked();
  /// Take the lock without counting; returns the state.
  uint64_t Lock();
  bool TryLock(uint64_t* state);
  void Unlock(uint64_t state) { state_.store(state, std::memory_order_release); }
  bool AddChunk();
  void DropBackChunk();
  void DropFrontChunk();
  void DropAllButFront();
  void Free(Chunk* chunk);

  std::atomic<uint64_t> state_{0};
  // State below is protected by the lock in state_.
  Task* newest_end_ = nullptr;  // in back_: one behind the newest
  Task* chunk_end_ = nullptr;   // of back_
  Task* oldest_ = nullptr;      // in front_
  Chunk* front_ = nullptr;
  Chunk* back_ = nullptr;
  Chunk* spare_ = nullptr;
  ChunkPool* const pool_;
};
static_assert(sizeof(TaskQueue) == 64);

}  // namespace marble::task::internal
