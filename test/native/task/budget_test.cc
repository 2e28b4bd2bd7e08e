// Slices, counted: which budget ends one, and who gets in between two. Clocks are moved by the
// tests.
#include <gtest/gtest.h>

#include <algorithm>

#include "task_test_util.h"

namespace marble::task {
namespace {

using namespace testing;

/// Works through `rows`, `step` at a time.
auto Scan(int64_t rows, int64_t step, std::function<void()> at_slice) {
  return
      [=, left = rows, at_slice = std::move(at_slice)](Slice& slice) mutable -> Result<Progress> {
        at_slice();
        while (left > 0) {
          slice.Charge(std::min(step, left));
          left -= step;
          if (left > 0 && slice.exhausted()) return Progress::kMore;
        }
        return Progress::kDone;
      };
}

TEST(BudgetTest, RowsEndASlice) {
  auto scheduler = MakeScheduler(1);
  TaskGroup group(scheduler.get());
  int slices = 0;
  ASSERT_TASK_OK(group.SpawnSliced({.micros = 1'000'000'000, .rows = 100},
                                   Scan(1'000, 10, [&] { ++slices; })));
  ASSERT_TASK_OK(group.Wait());
  EXPECT_EQ(slices, 10);
  EXPECT_EQ(scheduler->metrics().slices[0], 9u) << "nine times it went back to the line";
  EXPECT_EQ(scheduler->metrics().tasks_run[0], 1u);
}

TEST(BudgetTest, TimeEndsASlice) {
  FakeClock clock;
  auto scheduler = MakeScheduler(1, 8, &clock);
  TaskGroup group(scheduler.get());
  int slices = 0;
  int steps = 0;
  ASSERT_TASK_OK(
      group.SpawnSliced({.micros = 50, .rows = 1'000'000}, [&](Slice& slice) -> Result<Progress> {
        ++slices;
        while (steps < 20) {
          ++steps;
          clock.Advance(10);
          if (slice.exhausted()) return Progress::kMore;
        }
        return Progress::kDone;
      }));
  ASSERT_TASK_OK(group.Wait());
  EXPECT_EQ(steps, 20);
  EXPECT_EQ(slices, 20 / 5 + 1) << "5 steps of 10 µs use up 50 µs; the last call finds the end";
}

TEST(BudgetTest, ShortTasksGetInBetweenSlices) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  TaskGroup group(scheduler.get());
  Log log;
  ASSERT_TASK_OK(group.SpawnSliced({.micros = 1'000'000'000, .rows = 10},
                                   Scan(100, 10, [&] { log.Add("slice"); })));
  for (int i = 0; i < 3; ++i) ASSERT_TASK_OK(group.Spawn([&] { log.Add("short"); }));
  held.Release();
  ASSERT_TASK_OK(group.Wait());
  const auto words = log.words();
  ASSERT_EQ(words.size(), 13u);
  EXPECT_EQ(words[0], "slice");
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(words[i], "short") << i;
}

TEST(BudgetTest, SlicesTakeTurnsAmongEachOther) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  TaskGroup group(scheduler.get());
  Log log;
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_TASK_OK(group.SpawnSliced({.micros = 1'000'000'000, .rows = 10},
                                     Scan(40, 10, [&, name] { log.Add(name); })));
  }
  held.Release();
  ASSERT_TASK_OK(group.Wait());
  EXPECT_EQ(log.words(),
            (std::vector<std::string>{"a", "b", "c", "a", "b", "c", "a", "b", "c", "a", "b", "c"}));
}

TEST(BudgetTest, AFloodFromOutsideDoesNotStopSlices) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  TaskGroup group(scheduler.get());
  std::vector<int> slice_at;
  int ran = 0;
  ASSERT_TASK_OK(group.SpawnSliced({.micros = 1'000'000'000, .rows = 10},
                                   Scan(100, 10, [&] { slice_at.push_back(ran); })));
  for (int i = 0; i < 1'000; ++i) ASSERT_TASK_OK(group.Spawn([&] { ++ran; }));
  held.Release();
  ASSERT_TASK_OK(group.Wait());
  ASSERT_EQ(slice_at.size(), 10u);
  for (size_t i = 1; i < slice_at.size(); ++i) {
    EXPECT_GT(slice_at[i], slice_at[i - 1]) << "short tasks get in between any two";
    EXPECT_LE(slice_at[i] - slice_at[i - 1], 2 * 64) << "but at most two batches of the line";
  }
}

TEST(BudgetTest, MoreUrgentTasksComeBetweenSlicesOfLessUrgent) {
  auto scheduler = MakeScheduler(1);
  TaskGroup compaction(scheduler.get(), Priority::kCompaction);
  TaskGroup user(scheduler.get());
  Log log;
  int slice = 0;
  ASSERT_TASK_OK(compaction.SpawnSliced({}, [&](Slice&) -> Result<Progress> {
    log.Add("compaction");
    if (slice == 1) {
      EXPECT_TASK_OK(user.Spawn([&] { log.Add("user"); }));
    }
    return ++slice < 4 ? Progress::kMore : Progress::kDone;
  }));
  ASSERT_TASK_OK(compaction.Wait());
  ASSERT_TASK_OK(user.Wait());
  EXPECT_EQ(log.words(), (std::vector<std::string>{"compaction", "compaction", "user", "compaction",
                                                   "compaction"}));
}

TEST(BudgetTest, CancelledBetweenSlicesIsDroppedAndTold) {
  auto scheduler = MakeScheduler(1);
  auto alive = std::make_shared<int>(0);
  TaskGroup group(scheduler.get());
  int slices = 0;
  ASSERT_TASK_OK(group.SpawnSliced({}, [&, alive](Slice& slice) -> Result<Progress> {
    if (++slices == 3) {
      group.Cancel(MakeError(ErrorCode::kAborted, "enough"));
      EXPECT_TRUE(slice.exhausted()) << "a cancelled task is told that its time is up";
      EXPECT_TRUE(slice.token().cancelled());
    }
    return Progress::kMore;
  }));
  EXPECT_EQ(MessageOf(group.Wait()), "enough");
  EXPECT_EQ(slices, 3);
  EXPECT_EQ(alive.use_count(), 1);
}

}  // namespace
}  // namespace marble::task
