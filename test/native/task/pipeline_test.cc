#include "task/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "task_test_util.h"

namespace marble::task {
namespace {

using namespace testing;

/// 0, 1, … count-1.
auto Numbers(int count) {
  return [next = 0, count](StageContext&) mutable -> Result<std::optional<int>> {
    return next < count ? std::optional(next++) : std::nullopt;
  };
}

PipelineOptions TinySlices() { return {.budget = {.micros = 1, .rows = 1}}; }

std::vector<int> Iota(int count) {
  std::vector<int> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

TEST(PipelineTest, ItemsGoThroughEveryStageInOrder) {
  for (int threads : {1, 3}) {
    auto scheduler = MakeScheduler(threads);
    std::vector<std::string> seen;  // the last stage is serial: no lock
    auto pipeline = PipelineFrom<int>(scheduler.get(), {}, {.name = "read"}, Numbers(500))
                        .Then<int>({.name = "double"},
                                   [](int n, Emitter<int>& out) {
                                     out.Emit(2 * n);
                                     return Status::OK();
                                   })
                        .Then<std::string>({.name = "print", .parallelism = 4},
                                           [](int n, Emitter<std::string>& out) {
                                             if (n % 4 == 0) std::this_thread::yield();
                                             out.Emit(std::to_string(n));
                                             return Status::OK();
                                           })
                        .Into({.name = "write"}, [&](std::string text, StageContext&) {
                          seen.push_back(std::move(text));
                          return Status::OK();
                        });
    ASSERT_TASK_OK(pipeline->Run());
    ASSERT_EQ(seen.size(), 500u);
    for (int i = 0; i < 500; ++i) ASSERT_EQ(seen[i], std::to_string(2 * i));
    const auto stats = pipeline->stats();
    ASSERT_EQ(stats.size(), 4u);
    EXPECT_EQ(stats[0].name, "read");
    EXPECT_EQ(stats[0].items_out, 500u);
    EXPECT_EQ(stats[3].items_in, 500u);
  }
}

TEST(PipelineTest, AStageMayMakeManyItemsOrNone) {
  auto scheduler = MakeScheduler(2);
  std::vector<int> seen;
  auto pipeline = PipelineFrom<int>(scheduler.get(), TinySlices(), {}, Numbers(50))
                      .Then<int>({.parallelism = 3, .buffer = 2},
                                 [](int n, Emitter<int>& out) {
                                   for (int i = 0; i < n % 7; ++i) out.Emit(100 * n + i);
                                   return Status::OK();
                                 })
                      .Into({.buffer = 1}, [&](int n, StageContext&) {
                        seen.push_back(n);
                        return Status::OK();
                      });
  ASSERT_TASK_OK(pipeline->Run());
  std::vector<int> expected;
  for (int n = 0; n < 50; ++n) {
    for (int i = 0; i < n % 7; ++i) expected.push_back(100 * n + i);
  }
  EXPECT_EQ(seen, expected);
}

TEST(PipelineTest, AtEndGivesOutWhatWasGathered) {
  auto scheduler = MakeScheduler(2);
  auto gathered = std::make_shared<std::vector<int>>();
  std::vector<std::vector<int>> batches;
  bool ended = false;
  auto pipeline = PipelineFrom<int>(scheduler.get(), {}, {}, Numbers(25))
                      .Then<std::vector<int>>(
                          {.name = "gather"},
                          [gathered](int n, Emitter<std::vector<int>>& out) {
                            gathered->push_back(n);
                            if (gathered->size() == 10) out.Emit(std::exchange(*gathered, {}));
                            return Status::OK();
                          },
                          [gathered](Emitter<std::vector<int>>& out) {
                            if (!gathered->empty()) out.Emit(std::exchange(*gathered, {}));
                            return Status::OK();
                          })
                      .Into(
                          {.name = "write"},
                          [&](std::vector<int> batch, StageContext&) {
                            EXPECT_FALSE(ended);
                            batches.push_back(std::move(batch));
                            return Status::OK();
                          },
                          [&](StageContext&) {
                            EXPECT_EQ(batches.size(), 3u) << "after all items";
                            ended = true;
                            return Status::OK();
                          });
  ASSERT_TASK_OK(pipeline->Run());
  EXPECT_TRUE(ended);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[2], (std::vector<int>{20, 21, 22, 23, 24}));
}

TEST(PipelineTest, AtEndOfAParallelStageComesAfterItsLastItem) {
  for (bool ordered : {true, false}) {
    auto scheduler = MakeScheduler(4);
    std::atomic<int> done{0};
    std::vector<int> seen;
    auto pipeline = PipelineFrom<int>(scheduler.get(), TinySlices(), {}, Numbers(100))
                        .Then<int>(
                            {.parallelism = 4, .ordered = ordered},
                            [&](int n, Emitter<int>& out) {
                              if (n % 3 == 0) std::this_thread::yield();
                              out.Emit(n);
                              done.fetch_add(1);
                              return Status::OK();
                            },
                            [&](Emitter<int>& out) {
                              EXPECT_EQ(done.load(), 100);
                              out.Emit(100);
                              return Status::OK();
                            })
                        .Into({}, [&](int n, StageContext&) {
                          seen.push_back(n);
                          return Status::OK();
                        });
    ASSERT_TASK_OK(pipeline->Run());
    EXPECT_EQ(seen.back(), 100);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, Iota(101));
  }
}

TEST(PipelineTest, EmptyInputEndsEveryStage) {
  auto scheduler = MakeScheduler(1);
  int ends = 0;
  auto pipeline = PipelineFrom<int>(scheduler.get(), {}, {}, Numbers(0))
                      .Then<int>(
                          {.parallelism = 2}, [](int, Emitter<int>&) { return Status::OK(); },
                          [&](Emitter<int>&) {
                            ++ends;
                            return Status::OK();
                          })
                      .Into(
                          {}, [](int, StageContext&) { return Status::OK(); },
                          [&](StageContext&) {
                            ++ends;
                            return Status::OK();
                          });
  ASSERT_TASK_OK(pipeline->Run());
  EXPECT_EQ(ends, 2);
}

TEST(PipelineTest, ASlowStageStopsThoseBeforeIt) {
  auto scheduler = MakeScheduler(4);
  Gate gate;
  std::atomic<int> made{0};
  auto pipeline = PipelineFrom<int>(scheduler.get(), {}, {},
                                    [&](StageContext&) -> Result<std::optional<int>> {
                                      const int n = made.fetch_add(1);
                                      return n < 1'000 ? std::optional(n) : std::nullopt;
                                    })
                      .Then<int>({.parallelism = 2, .buffer = 3},
                                 [](int n, Emitter<int>& out) {
                                   out.Emit(n);
                                   return Status::OK();
                                 })
                      .Into({.buffer = 5}, [&](int, StageContext&) {
                        gate.Pass();
                        return Status::OK();
                      });
  ASSERT_TASK_OK(pipeline->Start());
  // One item is in the last call, 5 lie before it, 3 before the middle stage.
  ASSERT_TRUE(Eventually([&] { return made.load() == 9; }));
  ASSERT_TRUE(Eventually([&] { return scheduler->metrics().running == 1; }));
  EXPECT_EQ(made.load(), 9) << "and there it stands";
  gate.Open();
  ASSERT_TASK_OK(pipeline->Wait());
  const auto stats = pipeline->stats();
  EXPECT_EQ(stats[2].items_in, 1'000u);
  EXPECT_LE(stats[1].most_buffered, 3u);
  EXPECT_LE(stats[2].most_buffered, 5u);
}

TEST(PipelineTest, ItemsThatAreDoneEarlyWaitAndKeepTheirPlaces) {
  auto scheduler = MakeScheduler(3);
  Gate first;
  std::atomic<int> begun{0};
  std::vector<int> seen;
  auto pipeline = PipelineFrom<int>(scheduler.get(), {}, {}, Numbers(40))
                      .Then<int>({.parallelism = 3, .buffer = 10},
                                 [&](int n, Emitter<int>& out) {
                                   begun.fetch_add(1);
                                   if (n == 0) first.Pass();
                                   out.Emit(n);
                                   return Status::OK();
                                 })
                      .Into({.buffer = 6}, [&](int n, StageContext&) {
                        seen.push_back(n);
                        return Status::OK();
                      });
  ASSERT_TASK_OK(pipeline->Start());
  // Number 0 is held up. 1 to 5 are done and have places behind; a seventh would not fit.
  ASSERT_TRUE(Eventually([&] { return begun.load() == 6; }));
  ASSERT_TRUE(Eventually([&] { return scheduler->metrics().running == 1; }));
  EXPECT_EQ(begun.load(), 6);
  first.Open();
  ASSERT_TASK_OK(pipeline->Wait());
  EXPECT_EQ(seen, Iota(40));
}

TEST(PipelineTest, SerialStagesAreNeverCalledAtTheSameTimeParallelOnesAre) {
  auto scheduler = MakeScheduler(4);
  std::atomic<int> in_serial{0}, serial_overlaps{0}, in_parallel{0};
  std::atomic<bool> met{false}, give_up{false};
  auto pipeline = PipelineFrom<int>(scheduler.get(), TinySlices(), {}, Numbers(200))
                      .Then<int>({},
                                 [&](int n, Emitter<int>& out) {
                                   if (in_serial.fetch_add(1) != 0) serial_overlaps.fetch_add(1);
                                   std::this_thread::yield();
                                   in_serial.fetch_sub(1);
                                   out.Emit(n);
                                   return Status::OK();
                                 })
                      .Into({.parallelism = 3}, [&](int, StageContext&) {
                        if (in_parallel.fetch_add(1) == 2) met.store(true);
                        while (!met.load() && !give_up.load()) std::this_thread::yield();
                        in_parallel.fetch_sub(1);
                        return Status::OK();
                      });
  ASSERT_TASK_OK(pipeline->Start());
  EXPECT_TRUE(Eventually([&] { return met.load(); }))
      << "three calls of the parallel stage at once";
  give_up.store(true);
  ASSERT_TASK_OK(pipeline->Wait());
  EXPECT_EQ(serial_overlaps.load(), 0);
}

TEST(PipelineTest, AnErrorOfAnyStageEndsItAndNamesTheStage) {
  for (size_t bad = 0; bad < 5; ++bad) {
    auto scheduler = MakeScheduler(2);
    auto alive = std::make_shared<int>(0);
    using Item = std::pair<int, std::shared_ptr<int>>;
    const auto check = [bad](size_t stage, int n) {
      return stage == bad && n == 20 ? Failure("item 20") : Status::OK();
    };
    std::atomic<int> written{0};
    {
      auto pipeline =
          PipelineFrom<Item>(scheduler.get(), TinySlices(), {.name = "stage 0"},
                             [&, n = 0](StageContext&) mutable -> Result<std::optional<Item>> {
                               MARBLE_RETURN_NOT_OK(check(0, n));
                               if (n == 40) return std::nullopt;
                               return Item{n++, alive};
                             })
              .Then<Item>(
                  {.name = "stage 1", .parallelism = 3},
                  [&](Item item, Emitter<Item>& out) {
                    out.Emit(item);
                    return check(1, item.first);
                  },
                  [&](Emitter<Item>&) { return check(3, 20); })
              .Into(
                  {.name = "stage 2"},
                  [&](Item item, StageContext&) {
                    written.fetch_add(1);
                    return check(2, item.first);
                  },
                  [&](StageContext&) { return check(4, 20); });
      const Status status = pipeline->Run();
      EXPECT_EQ(CodeOf(status), ErrorCode::kIo) << status;
      const size_t stage = bad < 3 ? bad : bad - 2;
      EXPECT_EQ(MessageOf(status), "in stage 'stage " + std::to_string(stage) + "': item 20");
      EXPECT_EQ(alive.use_count(), 1) << "no item is left in any buffer";
    }
    EXPECT_LE(written.load(), 40);
    EXPECT_EQ(alive.use_count(), 1);
  }
}

TEST(PipelineTest, AnExceptionEndsIt) {
  auto scheduler = MakeScheduler(2);
  auto pipeline = PipelineFrom<int>(scheduler.get(), {}, {}, Numbers(40))
                      .Into({}, [](int n, StageContext&) -> Status {
                        if (n == 7) throw std::runtime_error("boom");
                        return Status::OK();
                      });
  EXPECT_EQ(CodeOf(pipeline->Run()), ErrorCode::kInternal);
}

TEST(PipelineTest, CancelEndsItWhereverItStands) {
  for (int how = 0; how < 3; ++how) {
    auto scheduler = MakeScheduler(2);
    CancellationSource source;
    std::atomic<int> written{0};
    auto pipeline = PipelineFrom<int>(scheduler.get(), {.token = source.token()}, {},
                                      [](StageContext&) -> Result<std::optional<int>> { return 1; })
                        .Into({}, [&](int, StageContext&) {
                          written.fetch_add(1);
                          return Status::OK();
                        });
    ASSERT_TASK_OK(pipeline->Start());
    ASSERT_TRUE(Eventually([&] { return written.load() > 100; }));
    const Status reason = MakeError(ErrorCode::kAborted, "enough");
    if (how == 0) pipeline->Cancel(reason);
    if (how == 1) source.Cancel(reason);
    if (how == 2) {
      ASSERT_TASK_OK(scheduler->Shutdown(ShutdownMode::kCancel));
      EXPECT_EQ(CodeOf(pipeline->Wait()), ErrorCode::kClosed);
    } else {
      EXPECT_EQ(MessageOf(pipeline->Wait()), "enough");
    }
  }
}

TEST(PipelineTest, DestructorCancelsAndWaits) {
  auto scheduler = MakeScheduler(2);
  std::atomic<int> in_call{0};
  std::atomic<int> calls{0};
  {
    auto pipeline =
        PipelineFrom<int>(scheduler.get(), {}, {}, [](StageContext&) -> Result<std::optional<int>> {
          return 1;
        }).Into({.parallelism = 2}, [&](int, StageContext&) {
          in_call.fetch_add(1);
          calls.fetch_add(1);
          in_call.fetch_sub(1);
          return Status::OK();
        });
    ASSERT_TASK_OK(pipeline->Start());
    ASSERT_TRUE(Eventually([&] { return calls.load() > 10; }));
  }
  EXPECT_EQ(in_call.load(), 0);
  const int then = calls.load();
  EXPECT_TRUE(Eventually([&] { return scheduler->metrics().running == 0; }));
  EXPECT_EQ(calls.load(), then);
}

TEST(PipelineTest, RunsInsideATaskOfAOneThreadScheduler) {
  auto scheduler = MakeScheduler(1);
  TaskGroup group(scheduler.get(), Priority::kFlush);
  std::atomic<int> written{0};
  for (int i = 0; i < limits::kMaxStandInThreads + 10; ++i) {
    ASSERT_TASK_OK(group.Spawn([&] {
      return PipelineFrom<int>(scheduler.get(), TinySlices(), {}, Numbers(20))
          .Then<int>({.parallelism = 2},
                     [](int n, Emitter<int>& out) {
                       out.Emit(n);
                       return Status::OK();
                     })
          .Into({},
                [&](int, StageContext&) {
                  written.fetch_add(1);
                  return Status::OK();
                })
          ->Run();
    }));
  }
  ASSERT_TASK_OK(group.Wait());
  EXPECT_EQ(written.load(), 20 * (limits::kMaxStandInThreads + 10));
}

TEST(PipelineTest, ShortTasksGetInBetweenItsSlices) {
  auto scheduler = MakeScheduler(1);
  HeldWorker held(scheduler.get());
  std::vector<std::string> order;
  auto pipeline =
      PipelineFrom<int>(scheduler.get(), {.budget = {.micros = 1'000'000'000, .rows = 4}}, {},
                        [&, n = 0](StageContext& context) mutable -> Result<std::optional<int>> {
                          context.Charge(1);
                          return n < 16 ? std::optional(n++) : std::nullopt;
                        })
          .Into({.buffer = 100}, [&](int, StageContext&) {
            order.emplace_back("item");
            return Status::OK();
          });
  ASSERT_TASK_OK(pipeline->Start());
  TaskGroup user(scheduler.get());
  ASSERT_TASK_OK(user.Spawn([&] { order.emplace_back("user"); }));
  held.Release();
  ASSERT_TASK_OK(pipeline->Wait());
  ASSERT_TASK_OK(user.Wait());
  ASSERT_EQ(order.size(), 17u);
  EXPECT_LE(std::find(order.begin(), order.end(), "user") - order.begin(), 4)
      << "the source's first slice makes four items; then the user task is next in the line";
}

TEST(PipelineTest, MisuseIsRefused) {
  auto scheduler = MakeScheduler(1);
  const auto sink = [](int, StageContext&) { return Status::OK(); };
  EXPECT_EQ(CodeOf(PipelineFrom<int>(scheduler.get(), {}, {.parallelism = 2}, Numbers(1))
                       .Into({}, sink)
                       ->Run()),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(PipelineFrom<int>(scheduler.get(), {}, {}, Numbers(1))
                       .Into({.parallelism = 0}, sink)
                       ->Run()),
            ErrorCode::kInvalidArgument);
  const Status status = PipelineFrom<int>(scheduler.get(), {}, {}, Numbers(1))
                            .Into({.name = "tight", .buffer = 0}, sink)
                            ->Run();
  EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument);
  EXPECT_NE(MessageOf(status).find("tight"), std::string::npos);
  auto pipeline = PipelineFrom<int>(scheduler.get(), {}, {}, Numbers(1)).Into({}, sink);
  EXPECT_EQ(CodeOf(pipeline->Wait()), ErrorCode::kInvalidArgument) << "not started";
  ASSERT_TASK_OK(pipeline->Run());
  EXPECT_EQ(CodeOf(pipeline->Start()), ErrorCode::kInvalidArgument) << "started before";
  ASSERT_TASK_OK(scheduler->Shutdown(ShutdownMode::kDrain));
  EXPECT_EQ(CodeOf(PipelineFrom<int>(scheduler.get(), {}, {}, Numbers(1)).Into({}, sink)->Run()),
            ErrorCode::kClosed);
}

TEST(PipelineTest, DrainLetsAPipelineEnd) {
  auto scheduler = MakeScheduler(2);
  Gate begun;
  int written = 0;
  auto pipeline = PipelineFrom<int>(scheduler.get(), TinySlices(), {}, Numbers(300))
                      .Into({}, [&](int, StageContext&) {
                        begun.Open();
                        ++written;
                        return Status::OK();
                      });
  ASSERT_TASK_OK(pipeline->Start());
  begun.Pass();
  ASSERT_TASK_OK(scheduler->Shutdown(ShutdownMode::kDrain));
  EXPECT_TASK_OK(pipeline->Wait());
  EXPECT_EQ(written, 300);
}

}  // namespace
}  // namespace marble::task
