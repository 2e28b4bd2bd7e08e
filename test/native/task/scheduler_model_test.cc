// A random program of groups, run on a random scheduler while its size changes and groups are
// cancelled. What must hold is counted by the tasks themselves, independently of the
// scheduler's own counters:
//  - a task that was accepted ran to its end once, or was dropped and its group says so;
//  - a refused one never runs; whatever a task captured is destroyed, once, before its group ends;
//  - a group says OK exactly if all its tasks ran and none failed; else it tells a reason that
//    somebody gave;
//  - nothing runs after its group has ended; every wait ends.
// MARBLE_TASK_SEEDS: how many seeds (default 20); MARBLE_TASK_SEED: one seed alone. A seed fixes
// the program, not how threads interleave: repeat it (--gtest_repeat) to find a rare order again.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "task_test_util.h"

namespace marble::task {
namespace {

using namespace testing;

using Random = std::mt19937_64;

/// One per group of the program.
struct Tally {
  std::atomic<int64_t> accepted{0};
  std::atomic<int64_t> ended{0};     // ran to their end
  std::atomic<int64_t> failed{0};    // of these: with an error or an exception
  std::atomic<int64_t> captured{0};  // live captures
  std::atomic<bool> over{false};     // its Wait has returned
};

/// Captured by each task.
class Capture {
 public:
  explicit Capture(Tally* tally) : tally_(tally) { tally_->captured.fetch_add(1); }
  Capture(Capture&& other) noexcept : tally_(std::exchange(other.tally_, nullptr)) {}
  Capture(const Capture&) = delete;
  ~Capture() {
    if (tally_ == nullptr) return;
    EXPECT_FALSE(tally_->over.load()) << "a capture outlived its group";
    tally_->captured.fetch_sub(1);
  }
  Tally* tally() const { return tally_; }

 private:
  Tally* tally_;
};

class Program {
 public:
  Program(TaskScheduler* scheduler, CancellationToken token)
      : scheduler_(scheduler), token_(std::move(token)) {}

  /// Make a group, fill it, wait for it, and check what it says.
  Status RunGroup(uint64_t seed, int depth, Producer* producer) {
    Random random(seed);
    Tally tally;
    Status status;
    bool cancelled = false;
    {
      const auto priority = static_cast<Priority>(random() % kPriorities);
      TaskGroup group(scheduler_, priority, random() % 4 == 0 ? token_ : CancellationToken());
      const uint64_t way_out = random() % 12;
      // Detached, it may be gone before its tasks are; and a worker must not block until they end.
      const bool detach = way_out == 1 && depth == 0;
      const int tasks = static_cast<int>(random() % (depth == 0 ? 40 : 6));
      for (int i = 0; i < tasks; ++i) {
        if (random() % 150 == 0) {
          group.Cancel(MakeError(ErrorCode::kAborted, "cancelled by the program"));
          cancelled = true;
        }
        CheckReason(SpawnOne(&group, !detach, &tally, random(), depth, producer));
      }
      if (way_out == 0) {
        group.Cancel(MakeError(ErrorCode::kAborted, "cancelled by the program"));
        cancelled = true;
      }
      if (detach) {
        Gate end;
        group.Detach([&](const Status& told) {
          status = told;
          end.Open();
        });
        end.Pass();
      } else if (way_out == 2) {
        status = Status::Cancelled("left to the destructor");
      } else {
        status = group.Wait();
      }
    }
    tally.over.store(true);
    Check(tally, status, cancelled);
    return Status::OK();
  }

  int64_t groups() const { return groups_.load(); }
  int64_t tasks() const { return tasks_.load(); }

 private:
  /// `siblings`: the task may spawn into the group too.
  Status SpawnOne(TaskGroup* group, bool siblings, Tally* tally, uint64_t seed, int depth,
                  Producer* producer) {
    // Counted before: it may run before Spawn returns.
    tally->accepted.fetch_add(1);
    Status spawned;
    switch (seed % 8) {
      case 0:
        spawned = group->SpawnSliced(
            {.micros = 1'000'000, .rows = 1 + static_cast<int64_t>(seed / 8 % 4)},
            [capture = Capture(tally), left = static_cast<int64_t>(seed / 64 % 10)](
                Slice& slice) mutable -> Result<Progress> {
              EXPECT_FALSE(capture.tally()->over.load());
              while (left-- > 0) {
                slice.Charge(1);
                if (slice.exhausted()) return Progress::kMore;
              }
              capture.tally()->ended.fetch_add(1);
              return Progress::kDone;
            },
            producer);
        break;
      case 1: {
        // Trivially copyable: lies inside the queue's slot.
        spawned = group->Spawn([tally] { tally->ended.fetch_add(1); }, producer);
        break;
      }
      default:
        spawned = group->Spawn(
            [this, group = siblings ? group : nullptr, seed, depth, capture = Capture(tally)]()
                -> Status { return Body(group, capture.tally(), seed / 8, depth); },
            producer);
    }
    if (!spawned.ok()) tally->accepted.fetch_sub(1);
    return spawned;
  }

  Status Body(TaskGroup* group, Tally* tally, uint64_t seed, int depth) {
    EXPECT_FALSE(tally->over.load()) << "a task ran after its group had ended";
    Random random(seed);
    tasks_.fetch_add(1);
    Status status;
    switch (random() % 16) {
      case 0:
      case 1:
      case 2:
        if (depth < 4) status = RunGroup(random(), depth + 1, nullptr);
        break;
      case 3:
      case 4:
        for (uint64_t i = group == nullptr ? 0 : random() % 3; i > 0; --i) {
          CheckReason(SpawnOne(group, true, tally, random(), std::min(depth + 1, 4), nullptr));
        }
        break;
      case 5: {
        BlockingScope blocking;
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 100));
        break;
      }
      case 6:
        for (uint64_t i = random() % 2'000; i > 0; --i)
          spin_.fetch_add(1, std::memory_order_relaxed);
        break;
      case 7:
        if (random() % 20 == 0) status = Failure("failed by the program");
        break;
      case 8:
        if (random() % 40 == 0) {
          tally->failed.fetch_add(1);
          tally->ended.fetch_add(1);
          throw std::runtime_error("thrown by the program");
        }
        break;
      default:
        break;
    }
    if (!status.ok()) tally->failed.fetch_add(1);
    tally->ended.fetch_add(1);
    return status;
  }

  static void CheckReason(const Status& status) {
    if (status.ok()) return;
    for (const char* reason : {"by the program", "shut down", "given up"}) {
      if (MessageOf(status).find(reason) != std::string::npos) return;
    }
    ADD_FAILURE() << "nobody gave this reason: " << status;
  }

  void Check(const Tally& tally, const Status& status, bool cancelled) {
    groups_.fetch_add(1);
    EXPECT_EQ(tally.captured.load(), 0);
    const int64_t dropped = tally.accepted.load() - tally.ended.load();
    EXPECT_GE(dropped, 0);
    if (status.IsCancelled()) return;  // nobody asked
    EXPECT_EQ(status.ok(), dropped == 0 && tally.failed.load() == 0)
        << status << ", dropped " << dropped << ", failed " << tally.failed.load() << ", cancelled "
        << cancelled;
    CheckReason(status);
  }

  TaskScheduler* const scheduler_;
  const CancellationToken token_;
  std::atomic<int64_t> groups_{0};
  std::atomic<int64_t> tasks_{0};
  std::atomic<uint64_t> spin_{0};
};

void RunSeed(uint64_t seed) {
  SCOPED_TRACE("MARBLE_TASK_SEED=" + std::to_string(seed));
  Random random(seed);
  auto scheduler = MakeScheduler(1 + static_cast<int>(random() % 4), 6);
  CancellationSource source;
  Program program(scheduler.get(), source.token());
  std::vector<std::thread> outsiders;
  for (uint64_t t = 1 + random() % 3; t > 0; --t) {
    outsiders.emplace_back([&, thread_seed = random()] {
      Random own(thread_seed);
      auto producer = scheduler->MakeProducer();
      for (int i = 0; i < 12; ++i) {
        (void)program.RunGroup(own(), 0, own() % 2 == 0 && producer.ok() ? &*producer : nullptr);
      }
    });
  }
  std::thread changer([&, changer_seed = random()] {
    Random own(changer_seed);
    for (int i = 0; i < 30; ++i) {
      const Status status = scheduler->SetThreads(1 + static_cast<int>(own() % 6));
      EXPECT_TRUE(status.ok() || CodeOf(status) == ErrorCode::kClosed) << status;
      std::this_thread::sleep_for(std::chrono::microseconds(own() % 300));
    }
  });
  const uint64_t end = random() % 4;
  std::this_thread::sleep_for(std::chrono::microseconds(random() % 3'000));
  if (end == 1) source.Cancel(MakeError(ErrorCode::kAborted, "cancelled by the program"));
  if (end >= 2) {
    EXPECT_TASK_OK(scheduler->Shutdown(end == 2 ? ShutdownMode::kDrain : ShutdownMode::kCancel));
  }
  for (std::thread& thread : outsiders) thread.join();
  changer.join();
  EXPECT_TASK_OK(scheduler->Shutdown(ShutdownMode::kDrain));
  EXPECT_GT(program.groups(), 0);
  const SchedulerMetrics m = scheduler->metrics();
  EXPECT_EQ(m.queued, (SchedulerMetrics::PerPriority{0, 0, 0}));
  EXPECT_EQ(m.running, 0);
  EXPECT_EQ(m.suspended, 0);
  EXPECT_EQ(m.threads, 0);
}

TEST(SchedulerModelTest, RandomProgramsKeepEveryPromise) {
  if (const char* one = std::getenv("MARBLE_TASK_SEED")) {
    RunSeed(std::strtoull(one, nullptr, 10));
    return;
  }
  const char* many = std::getenv("MARBLE_TASK_SEEDS");
  const uint64_t seeds = many == nullptr ? 20 : std::strtoull(many, nullptr, 10);
  for (uint64_t seed = 1; seed <= seeds && !::testing::Test::HasFailure(); ++seed) RunSeed(seed);
}

}  // namespace
}  // namespace marble::task
