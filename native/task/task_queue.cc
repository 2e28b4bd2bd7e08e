#include "task/task_queue_internal.h"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/limits.h"

namespace marble::task::internal {
namespace {

constexpr int kSpins = 64;

}  // namespace

uint32_t CoarseMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const auto ms = static_cast<uint32_t>(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
  return ms == 0 ? 1 : ms;
}

// --- the pool -----------------------------------------------------------------------------

ChunkPool::~ChunkPool() {
  while (free_ != nullptr) delete std::exchange(free_, free_->next);
}

void ChunkPool::Lock() {
  for (int spins = 0; locked_.exchange(true, std::memory_order_acquire); ++spins) {
    if (spins < kSpins) {
      SpinPause();
    } else {
      sched_yield();
    }
  }
}

Chunk* ChunkPool::Get() {
  Lock();
  Chunk* chunk = free_;
  if (chunk != nullptr) {
    free_ = chunk->next;
    --count_;
  }
  locked_.store(false, std::memory_order_release);
  return chunk != nullptr ? chunk : new (std::nothrow) Chunk;
}

void ChunkPool::Put(Chunk* chunk) {
  Lock();
  const bool keep = count_ < limits::kTaskChunksKept;
  if (keep) {
    chunk->next = free_;
    free_ = chunk;
    ++count_;
  }
  locked_.store(false, std::memory_order_release);
  if (!keep) delete chunk;
}

TaskQueue::~TaskQueue() {
  MARBLE_DCHECK(size() == 0);
  while (back_ != nullptr) delete std::exchange(back_, back_->previous);
  delete spare_;
}

// --- the lock -----------------------------------------------------------------------------

uint64_t TaskQueue::WaitUnlocked() {
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
  return *state >> kSizeShift > 0 && (*state & kLocked) == 0 &&
         state_.compare_exchange_strong(*state, *state | kLocked);
}

// --- chunks; the lock is held ---------------------------------------------------------------

bool TaskQueue::AddChunk() {
  Chunk* chunk = spare_ != nullptr ? std::exchange(spare_, nullptr) : pool_->Get();
  if (chunk == nullptr) return false;
  chunk->previous = back_;
  chunk->next = nullptr;
  chunk->holes = 0;
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
    pool_->Put(chunk);
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
  MARBLE_DCHECK(count > 0 && count <= kChunkTasks);
  const uint64_t state = Lock();
  if ((state & kClosed) != 0) {
    Unlock(state);
    return PushResult::kClosed;
  }
  const uint32_t now = CoarseMs();
  const auto append = [&](const Task* begin, const Task* end) {
    for (; begin != end; ++begin, ++newest_end_) {
      *newest_end_ = *begin;
      if (uint32_t* queued_at = back_->MeasureOf(newest_end_)) *queued_at = now;
    }
  };
  const size_t here = std::min(static_cast<size_t>(chunk_end_ - newest_end_), count);
  if (here < count) {
    // The second chunk first: if there is none, nothing has been done.
    Task* const start = newest_end_;
    Chunk* const before = back_;
    if (!AddChunk()) {
      Unlock(state);
      return PushResult::kNoMemory;
    }
    Chunk* const added = std::exchange(back_, before);
    newest_end_ = start;
    append(tasks, tasks + here);
    back_ = added;
    newest_end_ = added->begin();
  }
  append(tasks + (here < count ? here : 0), tasks + count);
  // Sequentially consistent, as the compare-and-swap in Push.
  state_.store(state + count * kOne, std::memory_order_seq_cst);
  return PushResult::kPushed;
}

bool TaskQueue::PopBackOf(const GroupState* group, Task* task, uint32_t* queued_at_ms) {
  if (size() == 0) return false;
  const uint64_t state = Lock();
  // A hole or the bound of a chunk at the end: TakeOf will find what is behind it.
  const bool found = state >> kSizeShift > 0 && newest_end_ != back_->begin() &&
                     newest_end_[-1].function != nullptr && newest_end_[-1].group == group;
  if (!found) {
    Unlock(state);
    return false;
  }
  TakeNewest(task, queued_at_ms);
  UnlockTaken(state - kOne);
  return true;
}

bool TaskQueue::TryPopFront(Task* task, uint32_t* queued_at_ms) {
  uint64_t state;
  if (!TryLock(&state)) return false;
  TakeOldest(task, queued_at_ms);
  UnlockTaken(state - kOne);
  return true;
}

bool TaskQueue::TryTakeChunk(ChunkRun* run) {
  uint64_t state;
  if (!TryLock(&state)) return false;
  while (true) {
    if (oldest_ == front_->end()) DropFrontChunk();
    if (oldest_->function != nullptr) break;
    ++oldest_;
    --front_->holes;
  }
  run->chunk = front_;
  run->oldest = oldest_;
  if (front_ == back_) {
    run->end = newest_end_;
    front_ = back_ = nullptr;
    oldest_ = newest_end_ = chunk_end_ = nullptr;
  } else {
    run->end = front_->end();
    front_ = front_->next;
    front_->previous = nullptr;
    oldest_ = front_->begin();
  }
  run->count = static_cast<size_t>(run->end - run->oldest) - run->chunk->holes;
  const uint64_t left = state - run->count * kOne;
  if (left >> kSizeShift == 0 && front_ != nullptr) Reset();  // only holes are left
  Unlock(left);
  return true;
}

void TaskQueue::Adopt(const ChunkRun& run) {
  const uint64_t state = Lock();
  MARBLE_CHECK(state >> kSizeShift == 0);
  if (front_ != nullptr) Free(front_);
  run.chunk->previous = run.chunk->next = nullptr;
  front_ = back_ = run.chunk;
  oldest_ = run.oldest;
  newest_end_ = chunk_end_ = run.end;
  state_.store(state + run.count * kOne, std::memory_order_seq_cst);
}

size_t TaskQueue::TryStealHalf(Task* tasks, size_t most, uint32_t* queued_at_ms) {
  uint64_t state;
  *queued_at_ms = 0;
  if (!TryLock(&state)) return 0;
  const size_t half = ((state >> kSizeShift) + 1) / 2;
  const size_t count = std::min({most, kChunkTasks, half});
  for (size_t i = 0; i < count; ++i) {
    uint32_t queued_at;
    TakeOldest(&tasks[i], &queued_at);
    if (*queued_at_ms == 0) *queued_at_ms = queued_at;
  }
  UnlockTaken(state - count * kOne);
  return count;
}

bool TaskQueue::TakeOf(const GroupState* group, Task* task) {
  if (size() == 0) return false;
  const uint64_t state = Lock();
  Chunk* chunk = back_;
  Task* candidate = newest_end_;
  for (size_t left = state >> kSizeShift; left > 0;) {
    if (candidate == chunk->begin()) {
      chunk = chunk->previous;
      candidate = chunk->end();
    }
    --candidate;
    if (candidate->function == nullptr) continue;
    --left;
    if (candidate->group != group) continue;
    *task = *candidate;
    candidate->function = nullptr;
    ++chunk->holes;
    UnlockTaken(state - kOne);
    return true;
  }
  Unlock(state);
  return false;
}

void TaskQueue::Close() {
  const uint64_t state = Lock();
  Unlock(state | kClosed);
}

}  // namespace marble::task::internal
