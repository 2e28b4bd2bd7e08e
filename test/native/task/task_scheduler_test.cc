#include "task/task_scheduler.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <set>

#include "task_test_util.h"

namespace marble::task {
namespace {

using namespace testing;

TEST(TaskSchedulerTest, ThreadsAreLimitedByTheCpus) {
  auto made = TaskScheduler::Make({.threads = 4, .cpus = CpuLimit{3, "quota 250000/100000 in /x"}});
  EXPECT_EQ(CodeOf(made.status()), ErrorCode::kInvalidArgument);
  EXPECT_NE(MessageOf(made.status()).find("quota 250000/100000 in /x"), std::string::npos)
      << made.status();
  made = TaskScheduler::Make({.cpus = CpuLimit{3, "test"}});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ((*made)->threads(), 3);
  EXPECT_EQ((*made)->max_threads(), 3);
  for (int bad : {-1, 0, 4}) {
    EXPECT_EQ(CodeOf((*made)->SetThreads(bad)), ErrorCode::kInvalidArgument) << bad;
  }
  EXPECT_EQ((*made)->threads(), 3);
  made = TaskScheduler::Make();
  ASSERT_TRUE(made.ok());
  EXPECT_EQ((*made)->threads(), DetectCpuLimit().cpus);
}

TEST(TaskSchedulerTest, ThreadsAreNamed) {
  auto scheduler = MakeScheduler(2);
  TaskGroup group(scheduler.get());
  std::string name(64, '\0');
  ASSERT_TASK_OK(
      group.Spawn([&] { pthread_getname_np(pthread_self(), name.data(), name.size()); }));
  ASSERT_TASK_OK(group.Wait());
  EXPECT_TRUE(name.starts_with("test-0") || name.starts_with("test-1")) << name;
}

/// How many tasks run at the same time: each waits for the others.
bool RunTogether(TaskScheduler* scheduler, int count) {
  TaskGroup group(scheduler);
  std::atomic<int> running{0};
  std::atomic<bool> met{false};
  std::atomic<bool> give_up{false};
  for (int i = 0; i < count; ++i) {
    EXPECT_TASK_OK(group.Spawn([&] {
      if (running.fetch_add(1) + 1 == count) met.store(true);
      while (!met.load() && !give_up.load()) std::this_thread::yield();
    }));
  }
  const bool together = Eventually([&] { return met.load(); });
  give_up.store(true);
  EXPECT_TASK_OK(group.Wait());
  return together;
}

TEST(TaskSchedulerTest, SetThreadsGrowsAtOnce) {
  auto scheduler = MakeScheduler(1);
  ASSERT_TASK_OK(scheduler->SetThreads(4));
  EXPECT_EQ(scheduler->threads(), 4);
  EXPECT_TRUE(RunTogether(scheduler.get(), 4));
}

TEST(TaskSchedulerTest, SetThreadsGrowsUnderQueuedTasks) {
  auto scheduler = MakeScheduler(1);
  Gate release;
  std::atomic<int> inside{0};
  TaskGroup group(scheduler.get());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TASK_OK(group.Spawn([&] {
      inside.fetch_add(1);
      release.Pass();
    }));
  }
  ASSERT_TRUE(Eventually([&] { return inside.load() == 1; }));
  ASSERT_TASK_OK(scheduler->SetThreads(3));
  EXPECT_TRUE(Eventually([&] { return inside.load() == 3; }));
  release.Open();
  EXPECT_TASK_OK(group.Wait());
}

TEST(TaskSchedulerTest, SetThreadsShrinksToThatManyAtATimeAndThreadsEnd) {
  auto scheduler = MakeScheduler(4);
  ASSERT_TRUE(RunTogether(scheduler.get(), 4));
  ASSERT_TASK_OK(scheduler->SetThreads(1));
  EXPECT_TRUE(Eventually([&] { return scheduler->metrics().threads == 1; }));
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  TaskGroup group(scheduler.get());
  for (int i = 0; i < 500; ++i) {
    ASSERT_TASK_OK(group.Spawn([&] {
      const int now = running.fetch_add(1) + 1;
      if (now > most.load()) most.store(now);
      std::this_thread::yield();
      running.fetch_sub(1);
    }));
  }
  ASSERT_TASK_OK(group.Wait());
  EXPECT_EQ(most.load(), 1);
}

TEST(TaskSchedulerTest, ChangingTheThreadsLosesNoTask) {
  auto scheduler = MakeScheduler(2);
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    for (unsigned i = 0; !stop.load(); ++i) {
      EXPECT_TASK_OK(scheduler->SetThreads(1 + static_cast<int>((i * 7 + i / 3) % 6)));
      std::this_thread::yield();
    }
  });
  std::atomic<int> ran{0};
  for (int round = 0; round < 30; ++round) {
    TaskGroup group(scheduler.get());
    for (int i = 0; i < 100; ++i) {
      ASSERT_TASK_OK(group.Spawn([&]() -> Status {
        ran.fetch_add(1);
        return group.SpawnEach(9, [&ran](int64_t) { ran.fetch_add(1); });
      }));
    }
    ASSERT_TASK_OK(group.Wait());
    ASSERT_EQ(ran.load(), (round + 1) * 1'000);
  }
  stop.store(true);
  changer.join();
}

// --- blocking ---------------------------------------------------------------------------------

TEST(TaskSchedulerTest, AnotherThreadRunsTasksWhileOneBlocks) {
  auto scheduler = MakeScheduler(1);
  TaskGroup group(scheduler.get());
  Gate synced, begun;
  ASSERT_TASK_OK(group.Spawn([&] {
    BlockingScope blocking;
    BlockingScope nested;
    begun.Open();
    synced.Pass();
  }));
  begun.Pass();
  ASSERT_TASK_OK(group.Spawn([&] { synced.Open(); }));  // only a stand-in can run this
  ASSERT_TASK_OK(group.Wait());
  EXPECT_GE(scheduler->metrics().stand_ins, 1u);
  EXPECT_TRUE(Eventually([&] { return scheduler->metrics().threads == 1; })) << "stand-ins end";
  EXPECT_TRUE(Eventually([&] { return scheduler->metrics().running == 0; }));
}

TEST(TaskSchedulerTest, TasksQueuedBeforeABlockRunDuringIt) {
  auto scheduler = MakeScheduler(1);
  TaskGroup group(scheduler.get());
  Gate synced;
  ASSERT_TASK_OK(group.Spawn([&]() -> Status {
    MARBLE_RETURN_NOT_OK(group.Spawn([&] { synced.Open(); }));
    BlockingScope blocking;
    synced.Pass();
    return Status::OK();
  }));
  ASSERT_TASK_OK(group.Wait());
}

TEST(TaskSchedulerTest, StandInsAreBounded) {
  auto scheduler = MakeScheduler(2);
  TaskGroup group(scheduler.get());
  Gate release;
  std::atomic<int> blocked{0};
  constexpr int kMost = 2 + limits::kMaxStandInThreads;
  for (int i = 0; i < 2 * kMost; ++i) {
    ASSERT_TASK_OK(group.Spawn([&] {
      blocked.fetch_add(1);
      BlockingScope blocking;
      release.Pass();
    }));
  }
  EXPECT_TRUE(Eventually([&] { return blocked.load() == kMost; }));
  EXPECT_EQ(scheduler->metrics().threads, kMost);
  EXPECT_EQ(scheduler->metrics().suspended, kMost);
  release.Open();
  ASSERT_TASK_OK(group.Wait());
  EXPECT_EQ(blocked.load(), 2 * kMost);
  EXPECT_EQ(scheduler->metrics().stand_ins, static_cast<uint64_t>(limits::kMaxStandInThreads));
}

TEST(TaskSchedulerTest, NoMoreThanTheThreadsAskedForRunTasksAfterABlock) {
  auto scheduler = MakeScheduler(1);
  std::atomic<int> running{0};
  std::atomic<int> over{0};
  TaskGroup group(scheduler.get());
  for (int i = 0; i < 300; ++i) {
    ASSERT_TASK_OK(group.Spawn([&] {
      // Only whoever has just come back from a block may be one too many.
      if (running.fetch_add(1) > 0) over.fetch_add(1);
      running.fetch_sub(1);
      BlockingScope blocking;
      std::this_thread::yield();
    }));
  }
  ASSERT_TASK_OK(group.Wait());
  EXPECT_EQ(over.load(), 0) << "tasks began while another worker ran one";
}

TEST(TaskSchedulerTest, WaitInsideABlockingScopeWorks) {
  auto scheduler = MakeScheduler(1);
  TaskGroup group(scheduler.get());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TASK_OK(group.Spawn([&]() -> Status {
      BlockingScope blocking;
      TaskGroup inner(scheduler.get());
      MARBLE_RETURN_NOT_OK(inner.Spawn([] { BlockingScope again; }));
      return inner.Wait();
    }));
  }
  ASSERT_TASK_OK(group.Wait());
  EXPECT_TRUE(Eventually([&] {
    const SchedulerMetrics m = scheduler->metrics();
    return m.running == 0 && m.suspended == 0;
  }));
}

TEST(TaskSchedulerTest, ABlockingScopeOutsideOfATaskDoesNothing) {
  BlockingScope blocking;
  auto scheduler = MakeScheduler(1);
  TaskGroup group(scheduler.get());
  ASSERT_TASK_OK(group.Spawn([] {}));
  ASSERT_TASK_OK(group.Wait());
}

// --- producers --------------------------------------------------------------------------------

TEST(TaskSchedulerTest, ProducersRunInOrderAndInTurn) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  auto a = scheduler->MakeProducer();
  auto b = scheduler->MakeProducer();
  ASSERT_TRUE(a.ok() && b.ok());
  TaskGroup group(scheduler.get());
  std::vector<std::pair<char, int>> order;
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_TASK_OK(group.Spawn([&, i] { order.emplace_back('a', i); }, &*a));
  }
  for (int i = 0; i < 10; ++i) {
    ASSERT_TASK_OK(group.Spawn([&, i] { order.emplace_back('b', i); }, &*b));
  }
  held.Release();
  ASSERT_TASK_OK(group.Wait());
  int next_a = 0, next_b = 0;
  for (const auto& [producer, i] : order) {
    EXPECT_EQ(i, producer == 'a' ? next_a++ : next_b++);
    if (producer == 'b' && next_b == 10) {
      EXPECT_LE(next_a, 64) << "the small producer waits its turn";
    }
  }
  EXPECT_EQ(next_a, 1'000);
  EXPECT_EQ(next_b, 10);
}

TEST(TaskSchedulerTest, ProducersAreBoundedAndUsedAgain) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  TaskGroup group(scheduler.get());
  std::atomic<int> ran{0};
  std::vector<Producer> producers;
  for (int i = 0; i < limits::kMaxProducers; ++i) {
    auto made = scheduler->MakeProducer();
    ASSERT_TRUE(made.ok()) << made.status();
    producers.push_back(std::move(*made));
    ASSERT_TASK_OK(group.Spawn([&] { ran.fetch_add(1); }, &producers.back()));
  }
  EXPECT_EQ(CodeOf(scheduler->MakeProducer().status()), ErrorCode::kBusy);
  producers.clear();  // what they queued stays
  for (int i = 0; i < limits::kMaxProducers; ++i) {
    auto made = scheduler->MakeProducer();
    ASSERT_TRUE(made.ok()) << made.status();
    producers.push_back(std::move(*made));
  }
  held.Release();
  ASSERT_TASK_OK(group.Wait());
  EXPECT_EQ(ran.load(), limits::kMaxProducers);
}

TEST(TaskSchedulerTest, AnotherSchedulersProducerIsRefused) {
  auto scheduler = MakeScheduler(1);
  auto other = MakeScheduler(1);
  auto producer = other->MakeProducer();
  ASSERT_TRUE(producer.ok());
  TaskGroup group(scheduler.get());
  auto alive = std::make_shared<int>(0);
  EXPECT_EQ(CodeOf(group.Spawn([alive] {}, &*producer)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(alive.use_count(), 1);
  EXPECT_TASK_OK(group.Wait());
}

TEST(TaskSchedulerTest, TasksOfOneSchedulerMayUseAnother) {
  auto first = MakeScheduler(1);
  auto second = MakeScheduler(1);
  TaskGroup group(first.get());
  std::atomic<int> ran{0};
  ASSERT_TASK_OK(group.Spawn([&]() -> Status {
    TaskGroup there(second.get());
    for (int i = 0; i < 10; ++i) MARBLE_RETURN_NOT_OK(there.Spawn([&] { ran.fetch_add(1); }));
    BlockingScope blocking;  // a wait for another scheduler is a wait like any
    return there.Wait();
  }));
  ASSERT_TASK_OK(group.Wait());
  EXPECT_EQ(ran.load(), 10);
}

// --- sleep and metrics ---------------------------------------------------------------------------

TEST(TaskSchedulerTest, AnIdleSchedulerSleeps) {
  auto scheduler = MakeScheduler(3);
  TaskGroup group(scheduler.get());
  for (int i = 0; i < 100; ++i) ASSERT_TASK_OK(group.Spawn([] {}));
  ASSERT_TASK_OK(group.Wait());
  ASSERT_TRUE(Eventually([&] { return scheduler->metrics().running == 0; }));
  const SchedulerMetrics before = scheduler->metrics();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const SchedulerMetrics after = scheduler->metrics();
  EXPECT_EQ(after.running, 0);
  EXPECT_EQ(after.wakes, before.wakes);
  EXPECT_EQ(after.parks, before.parks) << "nobody got up to look";
  EXPECT_EQ(after.threads, 3);
}

TEST(TaskSchedulerTest, MetricsCountWhatHappened) {
  auto scheduler = MakeScheduler(1);
  {
    HeldWorker held(scheduler.get());
    TaskGroup user(scheduler.get());
    TaskGroup flush(scheduler.get(), Priority::kFlush);
    TaskGroup compaction(scheduler.get(), Priority::kCompaction);
    for (int i = 0; i < 40; ++i) ASSERT_TASK_OK(user.Spawn([] {}));
    for (int i = 0; i < 3; ++i) ASSERT_TASK_OK(flush.Spawn([] {}));
    for (int i = 0; i < 2; ++i) ASSERT_TASK_OK(compaction.Spawn([] {}));
    EXPECT_EQ(scheduler->metrics().queued, (SchedulerMetrics::PerPriority{40, 3, 2}));
    EXPECT_EQ(user.pending(), 40u);
    std::this_thread::sleep_for(
        std::chrono::milliseconds(60));  // so that there is a wait to measure
    compaction.Cancel(MakeError(ErrorCode::kAborted, "x"));
    held.Release();
    ASSERT_TASK_OK(user.Wait());
    ASSERT_TASK_OK(flush.Wait());
    EXPECT_FALSE(compaction.Wait().ok());
  }
  const SchedulerMetrics m = scheduler->metrics();
  EXPECT_EQ(m.queued, (SchedulerMetrics::PerPriority{0, 0, 0}));
  EXPECT_EQ(m.tasks_run, (SchedulerMetrics::PerPriority{41, 3, 0})) << "with the one that held";
  EXPECT_EQ(m.tasks_dropped, (SchedulerMetrics::PerPriority{0, 0, 2}));
  EXPECT_GE(m.max_wait_ms[0], 20u) << "40 tasks waited for 60 ms";
}

TEST(TaskSchedulerTest, ATaskWakesAThreadThatHasGoneToSleep) {
  auto scheduler = MakeScheduler(1);
  // A thread on its way to sleep may find the task by itself: then try again.
  EXPECT_TRUE(Eventually([&] {
    if (scheduler->metrics().running > 0) return false;
    TaskGroup group(scheduler.get());
    EXPECT_TASK_OK(group.Spawn([] {}));
    EXPECT_TASK_OK(group.Wait());
    return scheduler->metrics().wakes > 0;
  }));
}

TEST(TaskSchedulerTest, IdleThreadsStealFromABusyOne) {
  auto scheduler = MakeScheduler(2);
  TaskGroup group(scheduler.get());
  std::atomic<int> ran{0};
  ASSERT_TASK_OK(group.Spawn([&]() -> Status {
    for (int i = 0; i < 8; ++i) MARBLE_RETURN_NOT_OK(group.Spawn([&] { ran.fetch_add(1); }));
    // This worker does nothing until another has taken them all.
    return Eventually([&] { return ran.load() == 8; }) ? Status::OK() : Failure("nobody stole");
  }));
  EXPECT_TASK_OK(group.Wait());
  EXPECT_GE(scheduler->metrics().steals, 1u);
  EXPECT_GE(scheduler->metrics().stolen_tasks, 8u);
}

// --- shutdown -----------------------------------------------------------------------------------

TEST(TaskSchedulerTest, DrainRunsWhatWasAcceptedAndWhatThatSpawns) {
  auto scheduler = MakeScheduler(2);
  std::atomic<int> ran{0};
  TaskGroup group(scheduler.get(), Priority::kCompaction);
  Gate begun, release;
  ASSERT_TASK_OK(group.Spawn([&] {
    begun.Open();
    release.Pass();
  }));
  begun.Pass();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TASK_OK(group.Spawn([&]() -> Status {
      ran.fetch_add(1);
      return group.Spawn([&] { ran.fetch_add(1); });
    }));
  }
  std::thread shutdown([&] { EXPECT_TASK_OK(scheduler->Shutdown(ShutdownMode::kDrain)); });
  // From outside: refused as soon as it has begun, while tasks still run.
  ASSERT_TRUE(Eventually([&] { return CodeOf(group.Spawn([] {})) == ErrorCode::kClosed; }));
  release.Open();
  shutdown.join();
  EXPECT_EQ(ran.load(), 200);
  EXPECT_TASK_OK(group.Wait());
  const SchedulerMetrics m = scheduler->metrics();
  EXPECT_EQ(m.threads, 0);
  EXPECT_EQ(m.tasks_dropped[2], 0u);
  EXPECT_TASK_OK(scheduler->Shutdown(ShutdownMode::kDrain));
  EXPECT_EQ(CodeOf(scheduler->SetThreads(1)), ErrorCode::kClosed);
  EXPECT_EQ(CodeOf(scheduler->MakeProducer().status()), ErrorCode::kClosed);
}

TEST(TaskSchedulerTest, CancelTellsTheQueuedAndTheRunning) {
  auto scheduler = MakeScheduler(1);
  std::atomic<int> ran{0};
  TaskGroup running(scheduler.get());
  TaskGroup queued(scheduler.get());
  Gate begun;
  ASSERT_TASK_OK(running.Spawn([&]() -> Status {
    begun.Open();
    if (!Eventually([&] { return running.token().cancelled(); })) return Failure("not told");
    return running.token().Check();
  }));
  begun.Pass();
  for (int i = 0; i < 50; ++i) ASSERT_TASK_OK(queued.Spawn([&] { ran.fetch_add(1); }));
  ASSERT_TASK_OK(scheduler->Shutdown(ShutdownMode::kCancel));
  EXPECT_EQ(CodeOf(running.Wait()), ErrorCode::kClosed);
  EXPECT_EQ(CodeOf(queued.Wait()), ErrorCode::kClosed);
  EXPECT_EQ(ran.load(), 0);
  EXPECT_EQ(CodeOf(queued.Spawn([] {})), ErrorCode::kClosed);
}

TEST(TaskSchedulerTest, CancelHurriesADrainUnderWay) {
  auto scheduler = MakeScheduler(1);
  TaskGroup group(scheduler.get());
  Gate begun;
  ASSERT_TASK_OK(group.SpawnSliced({}, [&](Slice&) -> Result<Progress> {
    begun.Open();
    return Progress::kMore;  // for ever
  }));
  begun.Pass();
  std::thread drain([&] { EXPECT_TASK_OK(scheduler->Shutdown(ShutdownMode::kDrain)); });
  EXPECT_TASK_OK(scheduler->Shutdown(ShutdownMode::kCancel));
  drain.join();
  EXPECT_EQ(CodeOf(group.Wait()), ErrorCode::kClosed);
}

TEST(TaskSchedulerTest, ShutdownFromATaskIsRefused) {
  auto scheduler = MakeScheduler(1);
  TaskGroup group(scheduler.get());
  ASSERT_TASK_OK(group.Spawn([&] { return scheduler->Shutdown(ShutdownMode::kDrain); }));
  EXPECT_EQ(CodeOf(group.Wait()), ErrorCode::kInvalidArgument);
}

TEST(TaskSchedulerTest, GroupsAndProducersOutliveTheScheduler) {
  auto scheduler = MakeScheduler(2);
  TaskGroup group(scheduler.get());
  auto producer = scheduler->MakeProducer();
  ASSERT_TRUE(producer.ok());
  ASSERT_TASK_OK(group.Spawn([] {}));
  ASSERT_TASK_OK(group.Wait());
  scheduler.reset();
  auto alive = std::make_shared<int>(0);
  EXPECT_EQ(CodeOf(group.Spawn([alive] {})), ErrorCode::kClosed);
  EXPECT_EQ(CodeOf(group.Spawn([alive] {}, &*producer)), ErrorCode::kClosed);
  EXPECT_EQ(CodeOf(group.SpawnEach(100, [alive](int64_t) {})), ErrorCode::kClosed);
  EXPECT_EQ(alive.use_count(), 1);
  EXPECT_TASK_OK(group.Wait());
}

TEST(TaskSchedulerTest, RacingShutdownEachTaskRunsOrIsRefusedOrIsTold) {
  for (int round = 0; round < 60; ++round) {
    auto scheduler = MakeScheduler(1 + round % 3);
    const auto mode = round % 2 == 0 ? ShutdownMode::kDrain : ShutdownMode::kCancel;
    std::atomic<uint64_t> accepted{0}, refused{0}, ran{0};
    auto alive = std::make_shared<int>(0);
    std::vector<std::thread> threads;
    std::atomic<int> failed_groups{0};
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        auto producer = scheduler->MakeProducer();
        TaskGroup group(scheduler.get(), static_cast<Priority>(t));
        for (int i = 0; i < 300; ++i) {
          const Status status = group.Spawn(
              [&ran, &group, &accepted, alive, i]() -> Status {
                ran.fetch_add(1);
                if (i % 5 != 0) return Status::OK();
                const Status inner = group.Spawn([&ran, alive] { ran.fetch_add(1); });
                if (inner.ok()) accepted.fetch_add(1);
                return Status::OK();
              },
              t == 0 && producer.ok() ? &*producer : nullptr);
          (status.ok() ? accepted : refused).fetch_add(1);
          if (!status.ok()) {
            EXPECT_EQ(CodeOf(status), ErrorCode::kClosed) << status;
          }
        }
        if (!group.Wait().ok()) failed_groups.fetch_add(1);
      });
    }
    if (round % 4 >= 2) std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
    EXPECT_TASK_OK(scheduler->Shutdown(mode));
    for (std::thread& thread : threads) thread.join();
    const SchedulerMetrics m = scheduler->metrics();
    const uint64_t dropped = m.tasks_dropped[0] + m.tasks_dropped[1] + m.tasks_dropped[2];
    EXPECT_EQ(ran.load() + dropped, accepted.load());
    EXPECT_EQ(m.tasks_run[0] + m.tasks_run[1] + m.tasks_run[2], ran.load());
    if (mode == ShutdownMode::kDrain) {
      EXPECT_EQ(dropped, 0u);
    }
    EXPECT_EQ(failed_groups.load() > 0, dropped > 0) << "who lost a task was told";
    EXPECT_EQ(alive.use_count(), 1);
  }
}

}  // namespace
}  // namespace marble::task
