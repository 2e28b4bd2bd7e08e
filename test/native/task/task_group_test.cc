#include "task/task_group.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <stdexcept>

#include "task_test_util.h"

namespace marble::task {
namespace {

using namespace testing;

TEST(TaskGroupTest, EveryTaskRunsOnceFromOutsideAndInside) {
  for (int threads : {1, 2, 4}) {
    auto scheduler = MakeScheduler(threads);
    std::vector<std::atomic<int>> runs(3'000);
    TaskGroup group(scheduler.get());
    for (int i = 0; i < 1'000; ++i) {
      ASSERT_TASK_OK(group.Spawn([&, i]() -> Status {
        runs[i].fetch_add(1);
        MARBLE_RETURN_NOT_OK(group.Spawn([&, i] { runs[1'000 + i].fetch_add(1); }));
        return group.SpawnEach(1, [&runs, i](int64_t) { runs[2'000 + i].fetch_add(1); });
      }));
    }
    ASSERT_TASK_OK(group.Wait());
    EXPECT_EQ(group.pending(), 0u);
    for (auto& count : runs) ASSERT_EQ(count.load(), 1);
  }
}

TEST(TaskGroupTest, SpawnEachCallsEachIndexOnce) {
  auto scheduler = MakeScheduler(3);
  for (int64_t count : {0, 1, 63, 64, 65, 1'000}) {
    std::vector<std::atomic<int>> runs(1'000);
    TaskGroup group(scheduler.get());
    ASSERT_TASK_OK(group.SpawnEach(count, [&](int64_t i) { runs[i].fetch_add(1); }));
    // Too big to be copied into each task: shared.
    std::array<int64_t, 8> big{};
    big[7] = 1;
    ASSERT_TASK_OK(group.SpawnEach(count, [&runs, big](int64_t i) {
      runs[i].fetch_add(static_cast<int>(big[7]));
      return Status::OK();
    }));
    ASSERT_TASK_OK(group.Wait());
    for (int64_t i = 0; i < 1'000; ++i) ASSERT_EQ(runs[i].load(), i < count ? 2 : 0) << i;
  }
}

TEST(TaskGroupTest, GroupCanBeUsedAgainAfterWait) {
  auto scheduler = MakeScheduler(2);
  TaskGroup group(scheduler.get());
  std::atomic<int> ran{0};
  for (int round = 1; round <= 50; ++round) {
    for (int i = 0; i < 10; ++i) ASSERT_TASK_OK(group.Spawn([&] { ran.fetch_add(1); }));
    ASSERT_TASK_OK(group.Wait());
    ASSERT_EQ(ran.load(), round * 10);
  }
  TaskGroup empty(scheduler.get());
  EXPECT_TASK_OK(empty.Wait());
}

TEST(TaskGroupTest, TasksMayHoldWhatCannotBeCopied) {
  auto scheduler = MakeScheduler(1);
  TaskGroup group(scheduler.get());
  auto value = std::make_unique<int>(42);
  int seen = 0;
  ASSERT_TASK_OK(group.Spawn([&seen, value = std::move(value)] { seen = *value; }));
  ASSERT_TASK_OK(group.Wait());
  EXPECT_EQ(seen, 42);
}

TEST(TaskGroupTest, FirstErrorWinsAndTheRestIsDropped) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  TaskGroup group(scheduler.get());
  int ran = 0;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TASK_OK(group.Spawn([&, i]() -> Status {
      ++ran;
      return i == 3 ? Failure("the fourth") : Status::OK();
    }));
  }
  held.Release();
  const Status status = group.Wait();
  EXPECT_EQ(CodeOf(status), ErrorCode::kIo);
  EXPECT_EQ(MessageOf(status), "the fourth");
  EXPECT_EQ(ran, 4) << "from outside, tasks run in order; those behind the error must not";
  EXPECT_TRUE(group.token().cancelled());
  EXPECT_EQ(scheduler->metrics().tasks_dropped[0], 6u);
  const Status refused = group.Spawn([&] { ++ran; });
  EXPECT_EQ(MessageOf(refused), "the fourth") << "a failed group takes no more";
  EXPECT_EQ(MessageOf(group.Wait()), "the fourth");
  EXPECT_EQ(ran, 4);
}

TEST(TaskGroupTest, RunningTasksSeeTheErrorOfAnother) {
  auto scheduler = MakeScheduler(2);
  TaskGroup group(scheduler.get());
  Gate begun;
  ASSERT_TASK_OK(group.Spawn([&]() -> Status {
    begun.Open();
    if (!Eventually([&] { return group.token().cancelled(); })) return Failure("never cancelled");
    return group.token().Check();
  }));
  ASSERT_TASK_OK(group.Spawn([&]() -> Status {
    begun.Pass();
    return Failure("the other");
  }));
  EXPECT_EQ(MessageOf(group.Wait()), "the other");
}

TEST(TaskGroupTest, AnExceptionIsAnErrorOfTheGroup) {
  auto scheduler = MakeScheduler(1);
  {
    TaskGroup group(scheduler.get());
    ASSERT_TASK_OK(group.Spawn([] { throw std::runtime_error("boom"); }));
    const Status status = group.Wait();
    EXPECT_EQ(CodeOf(status), ErrorCode::kInternal);
    EXPECT_NE(MessageOf(status).find("boom"), std::string::npos) << status;
  }
  {
    TaskGroup group(scheduler.get());
    std::string held(100, 'x');  // not trivially copyable: must be destroyed all the same
    ASSERT_TASK_OK(
        group.SpawnSliced({}, [held](Slice&) -> Result<Progress> { throw held.size(); }));
    EXPECT_EQ(CodeOf(group.Wait()), ErrorCode::kInternal);
  }
  TaskGroup group(scheduler.get());
  EXPECT_TASK_OK(group.Spawn([] {}));
  EXPECT_TASK_OK(group.Wait()) << "the worker goes on";
}

TEST(TaskGroupTest, CancelDropsWhatIsQueuedAndTellsWhy) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  auto alive = std::make_shared<int>(0);
  std::atomic<int> ran{0};
  TaskGroup group(scheduler.get(), Priority::kFlush);
  for (int i = 0; i < 20; ++i) ASSERT_TASK_OK(group.Spawn([alive, &ran] { ran.fetch_add(1); }));
  EXPECT_EQ(alive.use_count(), 21);
  group.Cancel(MakeError(ErrorCode::kAborted, "not needed any more"));
  EXPECT_EQ(CodeOf(group.Spawn([alive, &ran] { ran.fetch_add(1); })), ErrorCode::kAborted);
  held.Release();
  const Status status = group.Wait();
  EXPECT_EQ(CodeOf(status), ErrorCode::kAborted);
  EXPECT_EQ(MessageOf(status), "not needed any more");
  EXPECT_EQ(ran.load(), 0);
  EXPECT_EQ(alive.use_count(), 1) << "captures are gone when Wait returns";
  EXPECT_EQ(scheduler->metrics().tasks_dropped[1], 20u);
}

TEST(TaskGroupTest, CancelAfterTheLastTaskEndedDoesNotUndoIt) {
  auto scheduler = MakeScheduler(2);
  TaskGroup group(scheduler.get());
  for (int i = 0; i < 10; ++i) ASSERT_TASK_OK(group.Spawn([] {}));
  ASSERT_TASK_OK(group.Wait());
  group.Cancel(MakeError(ErrorCode::kAborted, "too late"));
  EXPECT_TASK_OK(group.Wait());
}

TEST(TaskGroupTest, ParentTokenCancelsTheGroup) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  CancellationSource source;
  TaskGroup outer(scheduler.get(), Priority::kUser, source.token());
  TaskGroup inner(scheduler.get(), Priority::kCompaction, outer.token());
  bool ran = false;
  ASSERT_TASK_OK(inner.Spawn([&] { ran = true; }));
  source.Cancel(MakeError(ErrorCode::kTimedOut, "deadline"));
  held.Release();
  EXPECT_EQ(CodeOf(inner.Wait()), ErrorCode::kTimedOut);
  EXPECT_FALSE(ran);
}

TEST(TaskGroupTest, DestructorCancelsWhatIsQueuedAndWaitsForWhatRuns) {
  auto scheduler = MakeScheduler(2);
  std::atomic<bool> ended{false};
  std::atomic<int> ran{0};
  {
    Gate begun;
    TaskGroup group(scheduler.get());
    ASSERT_TASK_OK(group.Spawn([&] {
      begun.Open();
      EXPECT_TRUE(Eventually([&] { return group.token().cancelled(); }));
      ended.store(true);
    }));
    begun.Pass();
    HeldWorker held(scheduler.get());  // the second thread
    for (int i = 0; i < 5; ++i) ASSERT_TASK_OK(group.Spawn([&] { ran.fetch_add(1); }));
    group.Cancel(MakeError(ErrorCode::kAborted, "end"));
  }
  EXPECT_TRUE(ended.load());
  EXPECT_EQ(ran.load(), 0);
}

// --- waiting on a worker --------------------------------------------------------------------

Status Nest(TaskScheduler* scheduler, int depth, int width, std::atomic<int>* leaves) {
  if (depth == 0) {
    leaves->fetch_add(1);
    return Status::OK();
  }
  TaskGroup group(scheduler, static_cast<Priority>(depth % 3));
  for (int i = 0; i < width; ++i) {
    MARBLE_RETURN_NOT_OK(group.Spawn([=] { return Nest(scheduler, depth - 1, width, leaves); }));
  }
  return group.Wait();
}

TEST(TaskGroupTest, NestedGroupsNeverDeadlock) {
  for (int threads : {1, 2, 3}) {
    auto scheduler = MakeScheduler(threads);
    std::atomic<int> leaves{0};
    TaskGroup group(scheduler.get());
    ASSERT_TASK_OK(group.Spawn([&] { return Nest(scheduler.get(), 6, 4, &leaves); }));
    ASSERT_TASK_OK(group.Wait());
    EXPECT_EQ(leaves.load(), 4 * 4 * 4 * 4 * 4 * 4);
    leaves = 0;
    ASSERT_TASK_OK(group.Spawn([&] { return Nest(scheduler.get(), 200, 1, &leaves); }));
    ASSERT_TASK_OK(group.Wait());
    EXPECT_EQ(leaves.load(), 1);
  }
}

TEST(TaskGroupTest, ManyTasksMayWaitForAGroupThatNoneOfThemMade) {
  // As user calls that wait for a flush: more of them than there can be threads, queued before it.
  for (int threads : {1, 2}) {
    auto scheduler = MakeScheduler(threads);
    TaskGroup users(scheduler.get());
    TaskGroup flush(scheduler.get(), Priority::kFlush);
    std::atomic<int> flushed{0};
    std::atomic<int> saw{0};
    Gate queued;
    const int count = threads + limits::kMaxStandInThreads + 10;
    for (int i = 0; i < count; ++i) {
      ASSERT_TASK_OK(users.Spawn([&]() -> Status {
        queued.Pass();
        MARBLE_RETURN_NOT_OK(flush.Wait());
        saw.fetch_add(flushed.load());
        return Status::OK();
      }));
    }
    ASSERT_TASK_OK(flush.Spawn([&]() -> Status {
      // The flush itself has parts, and they have parts.
      std::atomic<int> parts{0};
      MARBLE_RETURN_NOT_OK(Nest(scheduler.get(), 2, 3, &parts));
      flushed.store(parts.load() == 9 ? 1 : 0);
      return Status::OK();
    }));
    queued.Open();
    ASSERT_TASK_OK(users.Wait());
    EXPECT_EQ(saw.load(), count);
    EXPECT_LE(scheduler->metrics().threads, threads + limits::kMaxStandInThreads);
  }
}

TEST(TaskGroupTest, SlicedTasksOfAGroupThatAWorkerWaitsForEnd) {
  auto scheduler = MakeScheduler(1);
  TaskGroup users(scheduler.get());
  std::atomic<int> slices{0};
  for (int i = 0; i < limits::kMaxStandInThreads + 20; ++i) {
    ASSERT_TASK_OK(users.Spawn([&]() -> Status {
      TaskGroup group(scheduler.get());
      int left = 5;
      MARBLE_RETURN_NOT_OK(group.SpawnSliced({.micros = 1'000'000, .rows = 1}, [&](Slice& slice) {
        slice.Charge(1);
        slices.fetch_add(1);
        return Result<Progress>(--left == 0 ? Progress::kDone : Progress::kMore);
      }));
      return group.Wait();
    }));
  }
  ASSERT_TASK_OK(users.Wait());
  EXPECT_EQ(slices.load(), 5 * (limits::kMaxStandInThreads + 20));
}

TEST(TaskGroupTest, AWaitingWorkerRunsOnlyTasksOfThatGroup) {
  // A task that holds something across a wait would otherwise meet others that want it on its own
  // stack.
  auto scheduler = MakeScheduler(2);
  thread_local int waits_on_this_thread = 0;
  std::atomic<int> foreign_on_top{0};
  TaskGroup foreign(scheduler.get());
  TaskGroup waiters(scheduler.get());
  for (int i = 0; i < 200; ++i) {
    ASSERT_TASK_OK(waiters.Spawn([&]() -> Status {
      TaskGroup own(scheduler.get());
      for (int k = 0; k < 3; ++k) MARBLE_RETURN_NOT_OK(own.Spawn([] {}));
      for (int k = 0; k < 3; ++k) {
        MARBLE_RETURN_NOT_OK(foreign.Spawn([&] {
          if (waits_on_this_thread > 0) foreign_on_top.fetch_add(1);
        }));
      }
      ++waits_on_this_thread;
      const Status status = own.Wait();
      --waits_on_this_thread;
      return status;
    }));
  }
  ASSERT_TASK_OK(waiters.Wait());
  ASSERT_TASK_OK(foreign.Wait());
  EXPECT_EQ(foreign_on_top.load(), 0);
}

TEST(TaskGroupTest, WaitForTheOwnGroupIsRefusedInsteadOfHanging) {
  auto scheduler = MakeScheduler(1);
  TaskGroup group(scheduler.get());
  ASSERT_TASK_OK(group.Spawn([&]() -> Status {
    if (CodeOf(group.Wait()) != ErrorCode::kInvalidArgument) return Failure("own group");
    // Also from below: a task of an inner group waits for the outer one, whose task waits for it.
    TaskGroup inner(scheduler.get());
    MARBLE_RETURN_NOT_OK(inner.Spawn([&]() -> Status {
      return CodeOf(group.Wait()) == ErrorCode::kInvalidArgument ? Status::OK() : Failure("outer");
    }));
    return inner.Wait();
  }));
  EXPECT_TASK_OK(group.Wait());
}

TEST(TaskGroupTest, AWorkerThatWaitsLetsMoreUrgentTasksBeginMeanwhile) {
  auto scheduler = MakeScheduler(1);
  TaskGroup compaction(scheduler.get(), Priority::kCompaction);
  TaskGroup flush(scheduler.get(), Priority::kFlush);
  std::atomic<bool> flushed{false};
  std::atomic<bool> in_time{false};
  ASSERT_TASK_OK(compaction.Spawn([&]() -> Status {
    TaskGroup parts(scheduler.get(), Priority::kCompaction);
    // A chain without end: there is always something of its own for the worker that waits.
    std::function<Status()> next = [&]() -> Status {
      return flushed.load() || in_time.load() ? Status::OK() : parts.Spawn([&] { return next(); });
    };
    MARBLE_RETURN_NOT_OK(parts.Spawn([&] { return next(); }));
    MARBLE_RETURN_NOT_OK(flush.Spawn([&] { flushed = true; }));
    return parts.Wait();
  }));
  EXPECT_TRUE(Eventually([&] { return flushed.load(); }));
  in_time = true;  // ends the chain in any case
  EXPECT_TASK_OK(compaction.Wait());
  EXPECT_TASK_OK(flush.Wait());
}

// --- Detach ----------------------------------------------------------------------------------

TEST(TaskGroupTest, DetachTellsTheEndOnce) {
  auto scheduler = MakeScheduler(2);
  for (int tasks : {0, 1, 50}) {
    for (bool fails : {false, true}) {
      std::atomic<int> told{0};
      std::atomic<int> ran{0};
      Status seen;
      TaskGroup group(scheduler.get());
      for (int i = 0; i < tasks; ++i) {
        ASSERT_TASK_OK(group.Spawn([&, i]() -> Status {
          ran.fetch_add(1);
          return fails && i == tasks - 1 ? Failure("last") : Status::OK();
        }));
      }
      group.Detach([&](const Status& status) {
        seen = status;
        told.fetch_add(1);
      });
      ASSERT_TRUE(Eventually([&] { return told.load() > 0; }));
      // The error cancels the group: what another worker had still queued then is dropped.
      if (fails) {
        EXPECT_LE(ran.load(), tasks);
        EXPECT_EQ(seen.message(), tasks == 0 ? "" : "last");
      } else {
        EXPECT_EQ(ran.load(), tasks);
      }
      EXPECT_EQ(seen.ok(), !fails || tasks == 0) << seen;
      EXPECT_EQ(told.load(), 1);
    }
  }
}

TEST(TaskGroupTest, DetachedCallMaySpawnAndDestroyWhatItHolds) {
  auto scheduler = MakeScheduler(2);
  Gate end;
  auto next = std::make_shared<TaskGroup>(scheduler.get());
  TaskGroup group(scheduler.get());
  ASSERT_TASK_OK(group.Spawn([] {}));
  group.Detach([&end, next = std::move(next)](const Status& status) mutable {
    EXPECT_TASK_OK(status);
    EXPECT_TASK_OK(next->Spawn([] {}));
    next->Detach([&end](const Status&) { end.Open(); });
    next.reset();
  });
  end.Pass();
}

TEST(TaskGroupTest, DetachedCallRunsOnTopOfNoTask) {
  auto scheduler = MakeScheduler(2);
  thread_local int tasks_on_this_thread = 0;
  std::atomic<int> on_top{0};
  std::atomic<int> told{0};
  TaskGroup others(scheduler.get());
  constexpr int kCount = 300;
  for (int i = 0; i < kCount; ++i) {
    TaskGroup group(scheduler.get());
    ASSERT_TASK_OK(group.Spawn([] {}));
    ASSERT_TASK_OK(others.Spawn([&]() -> Status {
      ++tasks_on_this_thread;
      {
        BlockingScope blocking;
      }
      std::atomic<int> leaves{0};
      const Status status = Nest(scheduler.get(), 2, 2, &leaves);
      --tasks_on_this_thread;
      return status;
    }));
    group.Detach([&](const Status&) {
      if (tasks_on_this_thread > 0) on_top.fetch_add(1);
      told.fetch_add(1);
    });
  }
  ASSERT_TASK_OK(others.Wait());
  ASSERT_TRUE(Eventually([&] { return told.load() == kCount; }));
  EXPECT_EQ(on_top.load(), 0);
}

}  // namespace
}  // namespace marble::task
