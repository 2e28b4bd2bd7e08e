#include "task/task_queue_internal.h"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <new>
#include <utility>

namespace marble::task::internal {

uint32_t CoarseMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const auto ms = static_cast<uint32_t>(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
  return ms == 0 ? 1 : ms;
}

TaskQueue::~TaskQueue() {
  MARBLE_DCHECK(size() == 0);
  while (back_ != nullptr) delete std::exchange(back_, back_->previous);
  delete spare_;
}

// --- the lock -----------------------------------------------------------------------------

uint64_t TaskQueue::WaitUnlocked() {
  constexpr int kSpins = 64;
  for (int spins = 0;; ++spins) {
    const uint64_t state = state_.load(std::memory_order_relaxed);
    if ((state & kLocked) == 0) return state;
    if (spins < kSpins) {
      SpinPause();
    } else {
      sched_yield();
    }
  }
}

uint64_t TaskQueue::Lock() {
  uint64_t state = WaitUnlocked();
  while (!state_.compare_exchange_weak(state, state | kLocked)) state = WaitUnlocked();
  return state;
}

bool TaskQueue::TryLock(uint64_t* state) {
  *state = state_.load(std::memory_order_relaxed);
  return (*state & kLocked) == 0 && state_.compare_exchange_strong(*state, *state | kLocked);
}

// --- chunks; the lock is held ---------------------------------------------------------------

bool TaskQueue::AddChunk() {
  Chunk* chunk = spare_ != nullptr ? std::exchange(spare_, nullptr) : new (std::nothrow) Chunk;
  if (chunk == nullptr) return false;
  chunk->previous = back_;
  chunk->next = nullptr;
  if (back_ == nullptr) {
    front_ = chunk;
    oldest_ = chunk->begin();
  } else {
    back_->next = chunk;
  }
  back_ = chunk;
  newest_end_ = chunk->begin();
  chunk_end_ = chunk->end();
  return true;
}

void TaskQueue::Free(Chunk* chunk) {
  if (spare_ == nullptr) {
    spare_ = chunk;
  } else {
    delete chunk;
  }
}

void TaskQueue::DropBackChunk() {
  Chunk* emptied = back_;
  back_ = emptied->previous;
  back_->next = nullptr;
  newest_end_ = chunk_end_ = back_->end();
  Free(emptied);
}

void TaskQueue::DropFrontChunk() {
  Chunk* emptied = front_;
  front_ = emptied->next;
  front_->previous = nullptr;
  oldest_ = front_->begin();
  Free(emptied);
}

void TaskQueue::DropAllButFront() {
  while (back_ != front_) DropBackChunk();
}

// --- pushing and taking ---------------------------------------------------------------------

PushResult TaskQueue::PushMany(const Task* tasks, size_t count) {
  MARBLE_DCHECK(count > 0 && count <= kMaxMove);
  const uint64_t state = Lock();
  if ((state & kClosed) != 0) {
    Unlock(state);
    return PushResult::kClosed;
  }
  const auto room = static_cast<size_t>(chunk_end_ - newest_end_);
  const size_t here = std::min(room, count);
  Task* const start = newest_end_;
  if (here < count && !AddChunk()) {
    Unlock(state);
    return PushResult::kNoMemory;
  }
  std::copy_n(tasks, here, start);
  if (here < count) {
    std::copy_n(tasks + here, count - here, newest_end_);  // kMaxMove < kTasks: it has the room
    newest_end_ += count - here;
  } else {
    newest_end_ += count;
  }
  // Sequentially consistent, as the compare-and-swap in BeginPush.
  state_.store(state + count * kOne, std::memory_order_seq_cst);
  return PushResult::kPushed;
}

bool TaskQueue::PopBackOf(const GroupState* group, Task* task) {
  if (size() == 0) return false;
  uint64_t state = Lock();
  // A hole or the bound of a chunk at the end: TakeOf will find what is behind it.
  bool found = false;
  if (state >> kSizeShift > 0 && newest_end_ != back_->begin()) {
    const Task& newest = newest_end_[-1];
    found = newest.function != nullptr && newest.group == group;
  }
  if (found) {
    TakeNewest(task);
    state -= kOne;
    if (state >> kSizeShift == 0) Reset();
  }
  Unlock(state);
  return found;
}

size_t TaskQueue::PopOldest(uint64_t* state, Task* tasks, size_t most) {
  size_t count = 0;
  while (count < most && *state >> kSizeShift > 0) {
    if (oldest_ == front_->end()) DropFrontChunk();
    const Task& oldest = *oldest_++;
    if (oldest.function == nullptr) continue;
    tasks[count++] = oldest;
    *state -= kOne;
  }
  if (count > 0 && *state >> kSizeShift == 0) Reset();
  return count;
}

size_t TaskQueue::TryPopFront(Task* tasks, size_t most) {
  uint64_t state;
  if (size() == 0 || !TryLock(&state)) return 0;
  const size_t count = PopOldest(&state, tasks, std::min(most, kMaxMove));
  Unlock(state);
  return count;
}

size_t TaskQueue::TryStealHalf(Task* tasks, size_t most) {
  uint64_t state;
  if (size() == 0 || !TryLock(&state)) return 0;
  const size_t half = ((state >> kSizeShift) + 1) / 2;
  const size_t count = PopOldest(&state, tasks, std::min({most, kMaxMove, half}));
  Unlock(state);
  return count;
}

bool TaskQueue::TakeOf(const GroupState* group, Task* task) {
  if (size() == 0) return false;
  uint64_t state = Lock();
  Chunk* chunk = back_;
  Task* candidate = newest_end_;
  bool found = false;
  for (size_t left = state >> kSizeShift; left > 0 && !found;) {
    if (candidate == chunk->begin()) {
      chunk = chunk->previous;
      candidate = chunk->end();
    }
    --candidate;
    if (candidate->function == nullptr) continue;
    --left;
    found = candidate->group == group;
  }
  if (found) {
    *task = *candidate;
    candidate->function = nullptr;
    state -= kOne;
    if (state >> kSizeShift == 0) Reset();
  }
  Unlock(state);
  return found;
}

void TaskQueue::Close() {
  const uint64_t state = Lock();
  Unlock(state | kClosed);
}

}  // namespace marble::task::internal
