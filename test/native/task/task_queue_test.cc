// The queue alone, against std::deque, and under thieves. MARBLE_TASK_SEEDS: how many seeds
// (default 20); MARBLE_TASK_SEED: one seed alone.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "task/group_state_internal.h"
#include "task/task_queue_internal.h"

namespace marble::task::internal {
namespace {

Progress Nothing(Task*, GroupState*, Status*) { return Progress::kDone; }

/// Groups are only told apart by their address here.
GroupState* FakeGroup(uint64_t number) { return reinterpret_cast<GroupState*>(64 + 64 * number); }

Task MakeTask(uint64_t id, uint64_t group) { return {&Nothing, FakeGroup(group), {id, ~id}}; }

PushResult Push(TaskQueue* queue, uint64_t id, uint64_t group = 0) {
  return queue->Push(FakeGroup(group), &Nothing, id, ~id);
}

uint64_t IdOf(const Task& task) {
  EXPECT_EQ(task.payload[1], ~task.payload[0]);
  return task.payload[0];
}

/// A queue with its pool, and takes that do not ask when the task was pushed.
struct Fixture {
  ChunkPool pool;
  TaskQueue queue{&pool};
  uint32_t queued_at = 0;
  bool PopBack(Task* task) { return queue.PopBack(task, &queued_at); }
  bool PopFront(Task* task) { return queue.PopFront(task, &queued_at); }
};

TEST(TaskQueueTest, OwnerTakesTheNewestThievesTheOldest) {
  Fixture f;
  for (uint64_t i = 0; i < 6; ++i) EXPECT_EQ(Push(&f.queue, i), PushResult::kPushed);
  EXPECT_EQ(f.queue.size(), 6u);
  Task task;
  ASSERT_TRUE(f.PopBack(&task));
  EXPECT_EQ(IdOf(task), 5u);
  ASSERT_TRUE(f.PopFront(&task));
  EXPECT_EQ(IdOf(task), 0u);
  ASSERT_TRUE(f.queue.TryPopFront(&task, &f.queued_at));
  EXPECT_EQ(IdOf(task), 1u);
  Task stolen[kChunkTasks];
  ASSERT_EQ(f.queue.TryStealHalf(stolen, 16, &f.queued_at), 2u) << "half of three, rounded up";
  EXPECT_EQ(IdOf(stolen[0]), 2u);
  EXPECT_EQ(IdOf(stolen[1]), 3u);
  ASSERT_EQ(f.queue.TryStealHalf(stolen, 16, &f.queued_at), 1u) << "the last one too";
  EXPECT_FALSE(f.PopBack(&task));
  EXPECT_FALSE(f.PopFront(&task));
  EXPECT_EQ(f.queue.size(), 0u);
}

TEST(TaskQueueTest, AChunkMovesWholeWithItsHoles) {
  Fixture f;
  TaskQueue batch(&f.pool);
  const uint64_t count = 2 * kChunkTasks + 10;
  for (uint64_t i = 0; i < count; ++i) ASSERT_EQ(Push(&f.queue, i, i % 2), PushResult::kPushed);
  Task task;
  ASSERT_TRUE(f.PopFront(&task));  // 0
  ASSERT_TRUE(f.PopFront(&task));  // 1
  std::set<uint64_t> taken{0, 1};
  for (int i = 0; i < 100; ++i) {  // the newest 100 of odd number: holes in all three chunks
    if (!f.queue.TakeOf(FakeGroup(1), &task)) break;
    taken.insert(IdOf(task));
  }
  for (uint64_t next = 0; f.queue.size() > 0;) {
    ChunkRun run;
    ASSERT_TRUE(f.queue.TryTakeChunk(&run));
    batch.Adopt(run);
    ASSERT_EQ(batch.size(), run.count);
    while (batch.PopFront(&task, &f.queued_at)) {
      while (taken.count(next) > 0) ++next;
      ASSERT_EQ(IdOf(task), next++);
    }
  }
  ChunkRun run;
  EXPECT_FALSE(f.queue.TryTakeChunk(&run));
  ASSERT_EQ(Push(&f.queue, 7), PushResult::kPushed) << "and the queue goes on";
  ASSERT_TRUE(f.PopBack(&task));
  EXPECT_EQ(IdOf(task), 7u);
}

TEST(TaskQueueTest, AClosedQueueRefusesAndCanBeEmptied) {
  Fixture f;
  ASSERT_EQ(Push(&f.queue, 1), PushResult::kPushed);
  f.queue.Close();
  const Task more = MakeTask(2, 0);
  EXPECT_EQ(Push(&f.queue, 2), PushResult::kClosed);
  EXPECT_EQ(f.queue.PushMany(&more, 1), PushResult::kClosed);
  Task task;
  ASSERT_TRUE(f.PopBack(&task));
  EXPECT_EQ(IdOf(task), 1u);
  EXPECT_FALSE(f.PopBack(&task));
  EXPECT_EQ(Push(&f.queue, 2), PushResult::kClosed) << "closed for good";
}

TEST(TaskQueueTest, EverySixteenthPushIsMeasured) {
  Fixture f;
  for (uint64_t i = 0; i < 200; ++i) ASSERT_EQ(Push(&f.queue, i), PushResult::kPushed);
  int measured = 0;
  Task task;
  while (f.PopFront(&task)) measured += f.queued_at != 0 ? 1 : 0;
  EXPECT_EQ(measured, 13);
}

struct Entry {
  uint64_t id;
  uint64_t group;
};

void RunAgainstDeque(uint64_t seed) {
  SCOPED_TRACE("MARBLE_TASK_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto pick = [&](uint64_t below) { return random() % below; };
  Fixture f;
  TaskQueue& queue = f.queue;
  TaskQueue batch(&f.pool);
  std::deque<Entry> model;
  uint64_t next = 0;
  const uint64_t groups = 1 + pick(4);
  const uint64_t bias = 2 + pick(6);  // some seeds grow over many chunks, others stay small
  for (int step = 0; step < 4'000; ++step) {
    Task task;
    Task tasks[kChunkTasks];
    switch (pick(8 + bias)) {
      case 0:
        ASSERT_EQ(f.PopBack(&task), !model.empty());
        if (model.empty()) break;
        ASSERT_EQ(IdOf(task), model.back().id);
        model.pop_back();
        break;
      case 1: {
        const size_t most = 1 + pick(kChunkTasks);
        const size_t taken = queue.TryStealHalf(tasks, most, &f.queued_at);
        ASSERT_EQ(taken, std::min(most, (model.size() + 1) / 2));
        for (size_t i = 0; i < taken; ++i) {
          ASSERT_EQ(IdOf(tasks[i]), model.front().id);
          model.pop_front();
        }
        break;
      }
      case 2: {
        if (pick(2) == 0) {
          ASSERT_EQ(f.PopFront(&task), !model.empty());
          if (model.empty()) break;
          ASSERT_EQ(IdOf(task), model.front().id);
          model.pop_front();
          break;
        }
        ChunkRun run;
        ASSERT_EQ(queue.TryTakeChunk(&run), !model.empty());
        if (model.empty()) break;
        batch.Adopt(run);
        ASSERT_LE(run.count, kChunkTasks);
        for (size_t i = 0; i < run.count; ++i) {
          ASSERT_TRUE(batch.PopFront(&task, &f.queued_at));
          ASSERT_EQ(IdOf(task), model.front().id);
          model.pop_front();
        }
        ASSERT_EQ(batch.size(), 0u);
        break;
      }
      case 3:
      case 4: {
        const uint64_t group = pick(groups + 1);  // one of them has no task
        auto found = model.rbegin();
        while (found != model.rend() && found->group != group) ++found;
        ASSERT_EQ(queue.TakeOf(FakeGroup(group), &task), found != model.rend());
        if (found == model.rend()) break;
        ASSERT_EQ(IdOf(task), found->id);
        model.erase(std::next(found).base());
        break;
      }
      case 5: {
        // May miss a newest task that lies behind a hole, but never takes a wrong one.
        const uint64_t group = pick(groups);
        if (!queue.PopBackOf(FakeGroup(group), &task, &f.queued_at)) break;
        ASSERT_FALSE(model.empty());
        ASSERT_EQ(model.back().group, group);
        ASSERT_EQ(IdOf(task), model.back().id);
        model.pop_back();
        break;
      }
      case 6: {
        const size_t count = 1 + pick(kChunkTasks);
        const uint64_t group = pick(groups);
        for (size_t i = 0; i < count; ++i) {
          tasks[i] = MakeTask(next, group);
          model.push_back({next++, group});
        }
        ASSERT_EQ(queue.PushMany(tasks, count), PushResult::kPushed);
        break;
      }
      default: {
        const uint64_t group = pick(groups);
        ASSERT_EQ(Push(&queue, next, group), PushResult::kPushed);
        model.push_back({next++, group});
      }
    }
    ASSERT_EQ(queue.size(), model.size());
  }
  Task task;
  for (; !model.empty(); model.pop_back()) {
    ASSERT_TRUE(f.PopBack(&task));
    ASSERT_EQ(IdOf(task), model.back().id);
  }
  ASSERT_FALSE(f.PopBack(&task));
}

TEST(TaskQueueTest, RandomOperationsAgreeWithADeque) {
  if (const char* one = std::getenv("MARBLE_TASK_SEED")) {
    RunAgainstDeque(std::strtoull(one, nullptr, 10));
    return;
  }
  const char* many = std::getenv("MARBLE_TASK_SEEDS");
  const uint64_t seeds = many == nullptr ? 20 : std::strtoull(many, nullptr, 10);
  for (uint64_t seed = 1; seed <= seeds && !::testing::Test::HasFailure(); ++seed) {
    RunAgainstDeque(seed);
  }
}

TEST(TaskQueueTest, ThievesAndOwnerTakeEachTaskOnce) {
  constexpr uint64_t kTasks = 40'000;
  ChunkPool pool;
  TaskQueue queue(&pool);
  std::vector<std::atomic<int>> taken(kTasks);
  std::atomic<uint64_t> left{kTasks};
  const auto take = [&](const Task& task) {
    taken[IdOf(task)].fetch_add(1);
    left.fetch_sub(1);
  };
  std::vector<std::thread> thieves;
  for (int t = 0; t < 3; ++t) {
    thieves.emplace_back([&, t] {
      TaskQueue batch(&pool);
      Task tasks[kChunkTasks];
      uint32_t queued_at;
      while (left.load() > 0) {
        size_t count = 0;
        ChunkRun run;
        if (t == 0) {
          count = queue.TakeOf(FakeGroup(1), tasks) ? 1 : 0;
        } else if (t == 1) {
          count = queue.TryStealHalf(tasks, 16, &queued_at);
        } else if (queue.TryTakeChunk(&run)) {
          batch.Adopt(run);
          while (batch.PopFront(&tasks[count], &queued_at)) ++count;
        }
        for (size_t i = 0; i < count; ++i) take(tasks[i]);
        if (count == 0) std::this_thread::yield();
      }
    });
  }
  for (uint64_t id = 0; id < kTasks;) {
    if (id % 97 == 0 && id + 20 <= kTasks) {
      Task tasks[20];
      for (Task& task : tasks) {
        task = MakeTask(id, id % 3);
        ++id;
      }
      ASSERT_EQ(queue.PushMany(tasks, 20), PushResult::kPushed);
    } else {
      ASSERT_EQ(Push(&queue, id, id % 3), PushResult::kPushed);
      ++id;
    }
    Task task;
    uint32_t queued_at;
    if (id % 3 == 0 && queue.PopBack(&task, &queued_at)) take(task);
  }
  Task task;
  uint32_t queued_at;
  while (left.load() > 0) {
    if (queue.PopBack(&task, &queued_at)) take(task);
  }
  for (std::thread& thief : thieves) thief.join();
  for (uint64_t id = 0; id < kTasks; ++id) ASSERT_EQ(taken[id].load(), 1) << id;
}

}  // namespace
}  // namespace marble::task::internal
