// The order in which one worker takes what lies in its queues. The worker is held while a test
// queues, so the order is exact and no time is involved.
#include <gtest/gtest.h>

#include <algorithm>

#include "task_test_util.h"

namespace marble::task {
namespace {

using namespace testing;

struct Queued {
  explicit Queued(TaskScheduler* scheduler)
      : groups{TaskGroup(scheduler, Priority::kUser), TaskGroup(scheduler, Priority::kFlush),
               TaskGroup(scheduler, Priority::kCompaction)} {}
  void Add(size_t priority, int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TASK_OK(groups[priority].Spawn([this, priority] { order.push_back(priority); }));
    }
  }
  void Wait() {
    for (TaskGroup& group : groups) ASSERT_TASK_OK(group.Wait());
  }
  std::vector<size_t> order;
  TaskGroup groups[kPriorities];
};

TEST(PriorityTest, AFewTasksOfEachClassRunStrictlyInOrderOfUrgency) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  Queued queued(scheduler.get());
  queued.Add(2, 3);
  queued.Add(1, 4);
  queued.Add(0, 5);  // the last to come are the first to run
  held.Release();
  queued.Wait();
  EXPECT_EQ(queued.order, (std::vector<size_t>{0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2}));
}

TEST(PriorityTest, UserTasksThatComeLaterOvertakeAFlushThatWaits) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  Queued queued(scheduler.get());
  TaskGroup flush(scheduler.get(), Priority::kFlush);
  // The first flush queues user tasks: the second flush must let them pass.
  ASSERT_TASK_OK(flush.Spawn([&] {
    queued.order.push_back(1);
    queued.Add(0, 3);
  }));
  ASSERT_TASK_OK(flush.Spawn([&] { queued.order.push_back(1); }));
  held.Release();
  ASSERT_TASK_OK(flush.Wait());
  queued.Wait();
  EXPECT_EQ(queued.order, (std::vector<size_t>{1, 0, 0, 0, 1}));
}

TEST(PriorityTest, NoClassStarvesAndNoneGetsMoreThanItsTurn) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  Queued queued(scheduler.get());
  constexpr int kUser = 2'000, kFlush = 60, kCompaction = 20;
  queued.Add(2, kCompaction);
  queued.Add(1, kFlush);
  queued.Add(0, kUser);
  held.Release();
  queued.Wait();
  ASSERT_EQ(queued.order.size(), static_cast<size_t>(kUser + kFlush + kCompaction));
  const auto last_user = std::find(queued.order.rbegin(), queued.order.rend(), 0u).base();
  // While user tasks wait: a flush in every kFlushTurn tasks, a compaction in every
  // kCompactionTurn.
  size_t since[kPriorities] = {0, 0, 0};
  size_t ran[kPriorities] = {0, 0, 0};
  for (auto it = queued.order.begin(); it != last_user; ++it) {
    for (size_t c = 1; c < kPriorities; ++c) ++since[c];
    ++ran[*it];
    since[*it] = 0;
    if (ran[1] < kFlush) {
      ASSERT_LT(since[1], limits::kFlushTurn);
    }
    if (ran[2] < kCompaction) {
      ASSERT_LT(since[2], limits::kCompactionTurn);
    }
  }
  const size_t picks = static_cast<size_t>(last_user - queued.order.begin());
  EXPECT_LE(ran[1], picks / (limits::kFlushTurn - 1) + 1) << "strict but for the turns";
  EXPECT_LE(ran[2], picks / (limits::kCompactionTurn - 2) + 1);
  EXPECT_GE(ran[1], 1u);
  EXPECT_GE(ran[2], 1u);
  // Then flushes before compactions, but for the turns.
  EXPECT_EQ(std::count(queued.order.begin(), queued.order.end(), 1u), kFlush);
  EXPECT_EQ(std::count(queued.order.begin(), queued.order.end(), 2u), kCompaction);
}

TEST(PriorityTest, ATaskThatSpawnsItsSuccessorDoesNotShutOutTheLine) {
  auto scheduler = MakeScheduler(1);
  TaskGroup group(scheduler.get());
  std::atomic<bool> other_ran{false};
  Gate begun;
  int generations = 0;
  std::function<Status()> again = [&]() -> Status {
    begun.Open();
    if (++generations > 100'000'000) return Failure("the line was shut out");
    return other_ran.load() ? Status::OK() : group.Spawn([&] { return again(); });
  };
  ASSERT_TASK_OK(group.Spawn([&] { return again(); }));
  begun.Pass();
  TaskGroup outside(scheduler.get());
  ASSERT_TASK_OK(outside.Spawn([&] { other_ran.store(true); }));
  EXPECT_TASK_OK(group.Wait());
  EXPECT_TASK_OK(outside.Wait());
}

}  // namespace
}  // namespace marble::task
