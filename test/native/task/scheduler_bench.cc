// scripts/bench scheduler: tasks that do next to nothing through the scheduler, beside a plain pool
// (one deque of std::function, one mutex, one condition variable) in the same process, in turn.
// Each task adds its number to a sum of its thread; a run whose total is wrong voids all figures.
//   scheduler_bench [tasks [runs [threads]]]
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "task/task_group.h"
#include "task/task_scheduler.h"

namespace marble::task {
namespace {

/// One sum per thread, so that the work itself shares nothing.
class Sums {
 public:
  static void Add(uint64_t value) {
    thread_local Slot* const slot = Register();
    slot->sum += value;
  }
  /// Only while no task runs.
  static uint64_t Take() {
    std::lock_guard lock(mutex());
    uint64_t sum = 0;
    for (auto& slot : slots()) sum += std::exchange(slot->sum, 0);
    return sum;
  }

 private:
  struct alignas(64) Slot {
    uint64_t sum = 0;
  };
  static Slot* Register() {
    std::lock_guard lock(mutex());
    slots().push_back(std::make_unique<Slot>());
    return slots().back().get();
  }
  static std::mutex& mutex() {
    static std::mutex instance;
    return instance;
  }
  static std::vector<std::unique_ptr<Slot>>& slots() {
    static std::vector<std::unique_ptr<Slot>> instance;
    return instance;
  }
};

/// What one writes in an afternoon.
class MutexPool {
 public:
  explicit MutexPool(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
  }
  ~MutexPool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void Spawn(std::function<void()> task) {
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(std::move(task));
      ++pending_;
    }
    wake_.notify_one();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return pending_ == 0; });
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return stop_ || !queue_.empty(); });
      if (queue_.empty()) return;
      std::function<void()> task = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      task();
      lock.lock();
      if (--pending_ == 0) done_.notify_all();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<std::function<void()>> queue_;
  int64_t pending_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

void Must(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "error: %s\n", status.ToString().c_str());
  std::exit(1);
}

/// Each task spawns two until `left` tasks have been: task n has the children 2n+1 and 2n+2.
void PoolTree(MutexPool* pool, uint64_t n, uint64_t count) {
  Sums::Add(n);
  for (uint64_t child = 2 * n + 1; child <= 2 * n + 2 && child < count; ++child) {
    pool->Spawn([=] { PoolTree(pool, child, count); });
  }
}

Status GroupTree(TaskGroup* group, uint64_t n, uint64_t count) {
  Sums::Add(n);
  for (uint64_t child = 2 * n + 1; child <= 2 * n + 2 && child < count; ++child) {
    MARBLE_RETURN_NOT_OK(group->Spawn([=] { return GroupTree(group, child, count); }));
  }
  return Status::OK();
}

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct Case {
  std::string name;
  std::function<void(uint64_t)> run;
  std::vector<double> seconds{};
  std::vector<double> cpu{};
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Main(int argc, char** argv) {
  const uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const int runs = argc > 2 ? std::atoi(argv[2]) : 9;
  const int threads = argc > 3 ? std::atoi(argv[3]) : DetectCpuLimit().cpus;
  if (count == 0 || runs <= 0 || threads <= 0) {
    std::fprintf(stderr, "error: usage: scheduler_bench [tasks [runs [threads]]], all above 0\n");
    return 2;
  }
  SchedulerOptions options;
  options.threads = threads;
  if (threads > DetectCpuLimit().cpus) options.cpus = CpuLimit{threads, "asked for"};
  auto made = TaskScheduler::Make(options);
  Must(made.status());
  TaskScheduler* const scheduler = made->get();
  MutexPool pool(threads);
  auto producer = scheduler->MakeProducer();
  Must(producer.status());

  std::vector<Case> cases;
  cases.push_back({"outside  mutex pool", [&](uint64_t n) {
                     for (uint64_t i = 0; i < n; ++i) pool.Spawn([i] { Sums::Add(i); });
                     pool.Wait();
                   }});
  cases.push_back({"outside  Spawn", [&](uint64_t n) {
                     TaskGroup group(scheduler);
                     for (uint64_t i = 0; i < n; ++i) Must(group.Spawn([i] { Sums::Add(i); }));
                     Must(group.Wait());
                   }});
  cases.push_back({"outside  Spawn, producer", [&](uint64_t n) {
                     TaskGroup group(scheduler);
                     for (uint64_t i = 0; i < n; ++i) {
                       Must(group.Spawn([i] { Sums::Add(i); }, &*producer));
                     }
                     Must(group.Wait());
                   }});
  cases.push_back({"outside  SpawnEach", [&](uint64_t n) {
                     TaskGroup group(scheduler);
                     Must(group.SpawnEach(static_cast<int64_t>(n),
                                          [](int64_t i) { Sums::Add(static_cast<uint64_t>(i)); }));
                     Must(group.Wait());
                   }});
  cases.push_back({"inside   mutex pool", [&](uint64_t n) {
                     pool.Spawn([&, n] {
                       for (uint64_t i = 0; i < n; ++i) pool.Spawn([i] { Sums::Add(i); });
                     });
                     pool.Wait();
                   }});
  cases.push_back({"inside   Spawn", [&](uint64_t n) {
                     TaskGroup group(scheduler);
                     Must(group.Spawn([&group, n]() -> Status {
                       for (uint64_t i = 0; i < n; ++i) {
                         MARBLE_RETURN_NOT_OK(group.Spawn([i] { Sums::Add(i); }));
                       }
                       return Status::OK();
                     }));
                     Must(group.Wait());
                   }});
  cases.push_back({"inside   SpawnEach", [&](uint64_t n) {
                     TaskGroup group(scheduler);
                     Must(group.Spawn([&group, n] {
                       return group.SpawnEach(static_cast<int64_t>(n), [](int64_t i) {
                         Sums::Add(static_cast<uint64_t>(i));
                       });
                     }));
                     Must(group.Wait());
                   }});
  cases.push_back({"tree     mutex pool", [&](uint64_t n) {
                     pool.Spawn([&, n] { PoolTree(&pool, 0, n); });
                     pool.Wait();
                   }});
  cases.push_back({"tree     Spawn", [&](uint64_t n) {
                     TaskGroup group(scheduler);
                     Must(group.Spawn([&group, n] { return GroupTree(&group, 0, n); }));
                     Must(group.Wait());
                   }});

  std::printf(
      "%llu tasks, each adds its number to its thread's sum; %d threads each; %d runs in turn\n",
      static_cast<unsigned long long>(count), threads, runs);
  std::printf("affinity and cgroup allow %d CPUs (%s)\n", DetectCpuLimit().cpus,
              DetectCpuLimit().reason.c_str());
  for (int run = -1; run < runs; ++run) {  // the first warms up
    for (Case& c : cases) {
      const double cpu = CpuSeconds();
      const auto begin = std::chrono::steady_clock::now();
      c.run(count);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      if (run >= 0) {
        c.seconds.push_back(took.count());
        c.cpu.push_back(CpuSeconds() - cpu);
      }
      const uint64_t sum = Sums::Take();
      const uint64_t expected = count % 2 == 0 ? count / 2 * (count - 1) : (count - 1) / 2 * count;
      if (sum != expected) {
        std::fprintf(stderr, "error: void: %s added up %llu, not %llu\n", c.name.c_str(),
                     static_cast<unsigned long long>(sum),
                     static_cast<unsigned long long>(expected));
        return 1;
      }
    }
  }
  double base = 0;
  std::printf("%-26s %10s %10s %10s %12s %8s\n", "", "median", "best", "worst", "CPU a task",
              "x pool");
  for (const Case& c : cases) {
    const double n = static_cast<double>(count);
    const double median = Median(c.seconds);
    if (c.name.ends_with("mutex pool")) base = median;
    std::printf("%-26s %7.1f ns %7.1f ns %7.1f ns %9.1f ns %8.1f\n", c.name.c_str(),
                median / n * 1e9, *std::min_element(c.seconds.begin(), c.seconds.end()) / n * 1e9,
                *std::max_element(c.seconds.begin(), c.seconds.end()) / n * 1e9,
                Median(c.cpu) / n * 1e9, base / median);
  }

  const SchedulerMetrics before = scheduler->metrics();
  const double cpu = CpuSeconds();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const SchedulerMetrics after = scheduler->metrics();
  std::printf("idle for 1 s: %.3f ms of CPU, %llu wakes, %llu parks\n", (CpuSeconds() - cpu) * 1e3,
              static_cast<unsigned long long>(after.wakes - before.wakes),
              static_cast<unsigned long long>(after.parks - before.parks));
  std::printf(
      "in all: %llu tasks, %llu steals of %llu tasks, %llu parks, %llu wakes, %llu stand-ins\n",
      static_cast<unsigned long long>(after.tasks_run[0]),
      static_cast<unsigned long long>(after.steals),
      static_cast<unsigned long long>(after.stolen_tasks),
      static_cast<unsigned long long>(after.parks), static_cast<unsigned long long>(after.wakes),
      static_cast<unsigned long long>(after.stand_ins));
  return 0;
}

}  // namespace
}  // namespace marble::task

int main(int argc, char** argv) { return marble::task::Main(argc, argv); }
