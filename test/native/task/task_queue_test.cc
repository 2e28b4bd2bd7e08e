// The queue alone, against std::deque, and under thieves. MARBLE_TASK_SEEDS: how many seeds
// (default 20); MARBLE_TASK_SEED: one seed alone.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "task/group_state_internal.h"
#include "task/task_queue_internal.h"

namespace marble::task::internal {
namespace {

Progress Nothing(Task*, GroupState*, Status*) { return Progress::kDone; }

/// Groups are only told apart by their address here.
GroupState* FakeGroup(uint64_t number) { return reinterpret_cast<GroupState*>(64 + 64 * number); }

TaskBody Body(uint64_t id) { return {&Nothing, {id, ~id, id * 7}}; }

Task MakeTask(uint64_t id, uint64_t group) {
  return {&Nothing, FakeGroup(group), 0, {id, ~id, id * 7}};
}

uint64_t IdOf(const Task& task) {
  EXPECT_EQ(task.payload[1], ~task.payload[0]);
  EXPECT_EQ(task.payload[2], task.payload[0] * 7);
  return task.payload[0];
}

TEST(TaskQueueTest, OwnerTakesTheNewestThievesTheOldest) {
  TaskQueue queue;
  for (uint64_t i = 0; i < 6; ++i) EXPECT_EQ(queue.Push(FakeGroup(0), Body(i)), PushResult::kPushed);
  EXPECT_EQ(queue.size(), 6u);
  Task task;
  ASSERT_TRUE(queue.PopBack(&task));
  EXPECT_EQ(IdOf(task), 5u);
  Task stolen[TaskQueue::kMaxMove];
  ASSERT_EQ(queue.TryPopFront(stolen, 2), 2u);
  EXPECT_EQ(IdOf(stolen[0]), 0u);
  EXPECT_EQ(IdOf(stolen[1]), 1u);
  ASSERT_EQ(queue.TryStealHalf(stolen, 16), 2u) << "half of three, rounded up";
  EXPECT_EQ(IdOf(stolen[0]), 2u);
  ASSERT_EQ(queue.TryStealHalf(stolen, 16), 1u) << "the last one can be stolen too";
  EXPECT_FALSE(queue.PopBack(&task));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(TaskQueueTest, AClosedQueueRefusesAndCanBeEmptied) {
  TaskQueue queue;
  ASSERT_EQ(queue.Push(FakeGroup(0), Body(1)), PushResult::kPushed);
  queue.Close();
  const Task more = MakeTask(2, 0);
  EXPECT_EQ(queue.Push(FakeGroup(0), Body(2)), PushResult::kClosed);
  EXPECT_EQ(queue.PushMany(&more, 1), PushResult::kClosed);
  Task task;
  ASSERT_TRUE(queue.PopBack(&task));
  EXPECT_EQ(IdOf(task), 1u);
  EXPECT_FALSE(queue.PopBack(&task));
  EXPECT_EQ(queue.Push(FakeGroup(0), Body(2)), PushResult::kClosed) << "closed for good";
}

struct Entry {
  uint64_t id;
  uint64_t group;
};

void RunAgainstDeque(uint64_t seed) {
  SCOPED_TRACE("MARBLE_TASK_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto pick = [&](uint64_t below) { return random() % below; };
  TaskQueue queue;
  std::deque<Entry> model;
  uint64_t next = 0;
  const uint64_t groups = 1 + pick(4);
  const uint64_t bias = 2 + pick(6);  // some seeds grow over many chunks, others stay small
  for (int step = 0; step < 4'000; ++step) {
    Task task;
    Task tasks[TaskQueue::kMaxMove];
    switch (pick(8 + bias)) {
      case 0:
        ASSERT_EQ(queue.PopBack(&task), !model.empty());
        if (model.empty()) break;
        ASSERT_EQ(IdOf(task), model.back().id);
        model.pop_back();
        break;
      case 1:
      case 2: {
        const bool steal = pick(2) == 0;
        const size_t most = 1 + pick(TaskQueue::kMaxMove);
        const size_t expected = std::min(most, steal ? (model.size() + 1) / 2 : model.size());
        const size_t taken = steal ? queue.TryStealHalf(tasks, most) : queue.TryPopFront(tasks, most);
        ASSERT_EQ(taken, expected);
        for (size_t i = 0; i < taken; ++i) {
          ASSERT_EQ(IdOf(tasks[i]), model.front().id);
          model.pop_front();
        }
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
        if (!queue.PopBackOf(FakeGroup(group), &task)) break;
        ASSERT_FALSE(model.empty());
        ASSERT_EQ(model.back().group, group);
        ASSERT_EQ(IdOf(task), model.back().id);
        model.pop_back();
        break;
      }
      case 6: {
        const size_t count = 1 + pick(TaskQueue::kMaxMove);
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
        ASSERT_EQ(queue.Push(FakeGroup(group), Body(next)), PushResult::kPushed);
        model.push_back({next++, group});
      }
    }
    ASSERT_EQ(queue.size(), model.size());
  }
  Task task;
  for (; !model.empty(); model.pop_back()) {
    ASSERT_TRUE(queue.PopBack(&task));
    ASSERT_EQ(IdOf(task), model.back().id);
  }
  ASSERT_FALSE(queue.PopBack(&task));
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
  TaskQueue queue;
  std::vector<std::atomic<int>> taken(kTasks);
  std::atomic<uint64_t> left{kTasks};
  const auto take = [&](const Task& task) {
    taken[IdOf(task)].fetch_add(1);
    left.fetch_sub(1);
  };
  std::vector<std::thread> thieves;
  for (int t = 0; t < 3; ++t) {
    thieves.emplace_back([&, t] {
      Task tasks[TaskQueue::kMaxMove];
      while (left.load() > 0) {
        size_t count = 0;
        if (t == 0) {
          count = queue.TakeOf(FakeGroup(1), tasks) ? 1 : 0;
        } else {
          count = t == 1 ? queue.TryPopFront(tasks, 5) : queue.TryStealHalf(tasks, 16);
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
      ASSERT_EQ(queue.Push(FakeGroup(id % 3), Body(id)), PushResult::kPushed);
      ++id;
    }
    Task task;
    if (id % 3 == 0 && queue.PopBack(&task)) take(task);
  }
  Task task;
  while (left.load() > 0) {
    if (queue.PopBack(&task)) take(task);
  }
  for (std::thread& thief : thieves) thief.join();
  for (uint64_t id = 0; id < kTasks; ++id) ASSERT_EQ(taken[id].load(), 1) << id;
}

}  // namespace
}  // namespace marble::task::internal
