// Permits, sleep, and the coming and going of threads. The rules are in scheduler_core_internal.h.
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>

#include "base/clock.h"
#include "task/scheduler_core_internal.h"

namespace marble::task::internal {
namespace {

/// Looks around before sleep: some microseconds, less than sleeping and waking would cost.
constexpr int kSearchRounds = 32;
constexpr int kPausesPerRound = 16;

}  // namespace

constinit thread_local Worker* current_worker = nullptr;

SchedulerCore::SchedulerCore(const SchedulerOptions& options, CpuLimit cpus, int threads)
    : cpus_(std::move(cpus)),
      name_(options.name),
      clock_(options.clock != nullptr ? options.clock : Clock::System()),
      permits_(static_cast<uint64_t>(threads) << kTargetShift),
      worker_slots_(cpus_.cpus + limits::kMaxStandInThreads) {
  workers_ = std::make_unique<std::atomic<Worker*>[]>(static_cast<size_t>(worker_slots_));
  inbound_[0].store(new Inbound(this, &chunks_));
  inbound_used_.store(1);
}

SchedulerCore::~SchedulerCore() {
  for (int i = 0; i < workers_used_.load(); ++i) delete workers_[i].load();
  for (int i = 0; i < inbound_used_.load(); ++i) delete inbound_[i].load();
}

// --- permits ------------------------------------------------------------------------------

bool SchedulerCore::TryTakePermit() {
  uint64_t permits = permits_.load(std::memory_order_seq_cst);
  while (SearchingOf(permits) == 0 && RunningOf(permits) < TargetOf(permits)) {
    if (permits_.compare_exchange_weak(permits, permits + kRunning + kSearching)) return true;
  }
  return false;
}

void SchedulerCore::WakeOne() {
  if (!TryTakePermit()) return;
  std::unique_lock lock(park_mutex_);
  if (!idle_.empty()) {
    Worker* worker = idle_.back();
    idle_.pop_back();
    worker->has_permit = true;
    wakes_.fetch_add(1, std::memory_order_relaxed);
    lock.unlock();
    worker->wake.notify_one();
    return;
  }
  if (!stop_ && threads_ < target() + limits::kMaxStandInThreads && StartThread(true).ok()) {
    wakes_.fetch_add(1, std::memory_order_relaxed);
    stand_ins_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  permits_.fetch_sub(kRunning + kSearching, std::memory_order_seq_cst);
  for (Worker* worker : waiting_) {
    worker->poked = true;
    worker->wake.notify_one();
  }
}

bool SchedulerCore::StartSearching(Worker* worker) {
  if (worker->searching) return true;
  uint64_t permits = permits_.load(std::memory_order_relaxed);
  while (SearchingOf(permits) * 2 < TargetOf(permits)) {
    if (permits_.compare_exchange_weak(permits, permits + kSearching)) {
      worker->searching = true;
      return true;
    }
  }
  return false;
}

void SchedulerCore::StopSearching(Worker* worker) {
  worker->searching = false;
  const uint64_t before = permits_.fetch_sub(kSearching, std::memory_order_seq_cst);
  if (SearchingOf(before) == 1 && AnyQueued()) Signal();
}

bool SchedulerCore::GiveUpPermit(Worker* worker) {
  uint64_t permits = permits_.load(std::memory_order_relaxed);
  while (RunningOf(permits) > TargetOf(permits)) {
    const uint64_t given = kRunning + (worker->searching ? kSearching : 0);
    if (permits_.compare_exchange_weak(permits, permits - given)) {
      worker->searching = false;
      return true;
    }
  }
  return false;
}

void SchedulerCore::EnterBlocking(Worker* worker) {
  suspended_.fetch_add(1, std::memory_order_relaxed);
  permits_.fetch_sub(kRunning, std::memory_order_seq_cst);
  if (AnyQueued()) Signal();
}

void SchedulerCore::LeaveBlocking(Worker* worker) {
  permits_.fetch_add(kRunning, std::memory_order_seq_cst);
  suspended_.fetch_sub(1, std::memory_order_relaxed);
}

// --- sleep --------------------------------------------------------------------------------

bool SchedulerCore::LookAround(Worker* worker) {
  if (!StartSearching(worker)) return false;
  for (int round = 0; round < kSearchRounds; ++round) {
    for (int i = 0; i < kPausesPerRound; ++i) SpinPause();
    if (AnyQueued()) return true;
  }
  return false;
}

bool SchedulerCore::Park(Worker* worker, bool has_permit) {
  std::unique_lock lock(park_mutex_);
  if (has_permit) {
    permits_.fetch_sub(kRunning + (worker->searching ? kSearching : 0), std::memory_order_seq_cst);
  }
  worker->searching = false;
  worker->has_permit = false;
  worker->counters.parks.Add(1);
  idle_.push_back(worker);
  if (draining_.load(std::memory_order_relaxed)) quiet_.notify_all();
  return SleepIdle(worker, &lock);
}

bool SchedulerCore::SleepIdle(Worker* worker, std::unique_lock<std::mutex>* lock) {
  const auto leave_idle = [&] { idle_.erase(std::find(idle_.begin(), idle_.end(), worker)); };
  while (true) {
    if (worker->has_permit) break;  // whoever gave it has taken this one off idle_
    if (stop_) {
      leave_idle();
      EndThread(worker);
      return false;
    }
    // After the permit was given up: a task queued before that, and not signalled, is seen here.
    if (AnyQueued() && TryTakePermit()) {
      leave_idle();
      break;
    }
    if (threads_ <= target()) {
      worker->wake.wait(*lock);
      continue;
    }
    const auto linger = std::chrono::milliseconds(limits::kStandInLingerMs);
    if (worker->wake.wait_for(*lock, linger) == std::cv_status::timeout && !worker->has_permit &&
        threads_ > target()) {
      leave_idle();
      EndThread(worker);
      return false;
    }
  }
  worker->searching = true;
  return true;
}

void SchedulerCore::SleepInWait(Worker* worker, GroupState* group) {
  {
    std::lock_guard lock(park_mutex_);
    worker->poked = false;
    worker->waits_for = group;
    waiting_.push_back(worker);
  }
  group->parked_workers.fetch_add(1, std::memory_order_seq_cst);
  suspended_.fetch_add(1, std::memory_order_relaxed);
  permits_.fetch_sub(kRunning, std::memory_order_seq_cst);
  if (AnyQueued()) Signal();
  Task task;
  bool found = false;
  while (group->pending() > 0) {
    std::unique_lock lock(park_mutex_);
    // Poked for completion, or because no other thread can be had for what is queued.
    worker->wake.wait(lock, [&] { return worker->poked; });
    worker->poked = false;
    lock.unlock();
    found = TakeOfGroup(worker, group, /*sliced_too=*/true, &task);
    if (found) break;
  }
  permits_.fetch_add(kRunning, std::memory_order_seq_cst);
  suspended_.fetch_sub(1, std::memory_order_relaxed);
  group->parked_workers.fetch_sub(1, std::memory_order_seq_cst);
  {
    std::lock_guard lock(park_mutex_);
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), worker));
    worker->waits_for = nullptr;
  }
  if (found) RunOne(worker, &task);
}

void SchedulerCore::WakeWaitersOf(const GroupState* group) {
  std::lock_guard lock(park_mutex_);
  for (Worker* worker : waiting_) {
    if (worker->waits_for != group) continue;
    worker->poked = true;
    worker->wake.notify_one();
  }
}

// --- threads ------------------------------------------------------------------------------

Status SchedulerCore::StartThread(bool has_permit) {
  try {
    if (vacant_.empty()) {
      const int used = workers_used_.load(std::memory_order_relaxed);
      MARBLE_CHECK(used < worker_slots_);
      // Room for this thread wherever it may be listed: none of that may fail later.
      for (auto* list : {&idle_, &waiting_, &vacant_}) list->reserve(static_cast<size_t>(used) + 1);
      ended_.reserve(static_cast<size_t>(used) + 1);
      vacant_.push_back(new Worker(this, &chunks_, used));
      workers_[used].store(vacant_.back(), std::memory_order_relaxed);
      workers_used_.store(used + 1);
    }
    Worker* worker = vacant_.back();
    worker->thread = std::thread([this, worker, has_permit] {
      current_worker = worker;
      const std::string name = name_ + "-" + std::to_string(worker->index);
      pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
      if (!has_permit) {
        std::unique_lock lock(park_mutex_);
        if (!SleepIdle(worker, &lock)) return;
      }
      worker->searching = true;
      WorkerLoop(worker);
    });
  } catch (const std::exception& e) {
    return MakeError(ErrorCode::kBusy,
                     "cannot start thread " + std::to_string(threads_ + 1) + " of scheduler '" +
                         name_ + "': " + e.what() +
                         "; the system's limit on threads may be reached (ulimit -u)");
  }
  Worker* worker = vacant_.back();
  vacant_.pop_back();
  // Listed before it has got that far: whoever wants to wake somebody now need not start another.
  worker->has_permit = false;
  if (!has_permit) idle_.push_back(worker);
  ++threads_;
  return Status::OK();
}

void SchedulerCore::EndThread(Worker* worker) {
  --threads_;
  ended_.push_back(std::move(worker->thread));
  vacant_.push_back(worker);
  if (draining_.load(std::memory_order_relaxed)) quiet_.notify_all();
}

void SchedulerCore::JoinEnded() {
  std::vector<std::thread> ended;
  {
    std::lock_guard lock(park_mutex_);
    ended.assign(std::make_move_iterator(ended_.begin()), std::make_move_iterator(ended_.end()));
    ended_.clear();  // keeps the room that StartThread reserved
  }
  for (std::thread& thread : ended) thread.join();
}

Status SchedulerCore::Start() { return SetThreads(target()); }

Status SchedulerCore::SetThreads(int threads) {
  if (threads < 1 || threads > cpus_.cpus) {
    return MakeError(ErrorCode::kInvalidArgument, "scheduler '" + name_ + "' cannot have " +
                                                      std::to_string(threads) + " threads: 1 to " +
                                                      std::to_string(cpus_.cpus) +
                                                      " are allowed (" + cpus_.reason + ")");
  }
  JoinEnded();
  {
    std::lock_guard lock(park_mutex_);
    if (draining_.load()) {
      return MakeError(ErrorCode::kClosed, "scheduler '" + name_ + "' is shut down");
    }
    while (threads_ < threads) MARBLE_RETURN_NOT_OK(StartThread(false));
    uint64_t permits = permits_.load();
    while (!permits_.compare_exchange_weak(
        permits, (permits & ((uint64_t{1} << kTargetShift) - 1)) | static_cast<uint64_t>(threads)
                                                                       << kTargetShift)) {
    }
    // Those that are too many now end when they have lingered.
    for (Worker* worker : idle_) worker->wake.notify_one();
  }
  if (AnyQueued()) Signal();
  return Status::OK();
}

Status SchedulerCore::Shutdown(ShutdownMode mode) {
  if (CurrentWorker() != nullptr) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "scheduler '" + name_ +
                         "' cannot be shut down by one of its own tasks, which it would wait for");
  }
  if (mode == ShutdownMode::kCancel) {
    root_.Cancel(MakeError(ErrorCode::kClosed, "scheduler '" + name_ + "' is shut down"));
  }
  std::lock_guard one(shutdown_mutex_);
  std::unique_lock lock(park_mutex_);
  if (stopped_) return Status::OK();
  draining_.store(true);
  for (int i = 0; i < inbound_used_.load(); ++i) {
    for (TaskQueue& queue : inbound_[i].load()->queues.by_priority) queue.Close();
  }
  // All asleep without a task and nothing queued: nobody is left who could queue one.
  quiet_.wait(lock, [&] { return idle_.size() == static_cast<size_t>(threads_) && !AnyQueued(); });
  stop_ = true;
  for (Worker* worker : idle_) worker->wake.notify_one();
  quiet_.wait(lock, [&] { return threads_ == 0; });
  stopped_ = true;
  lock.unlock();
  JoinEnded();
  return Status::OK();
}

// --- producers and metrics ----------------------------------------------------------------

Result<Inbound*> SchedulerCore::TakeInbound() {
  std::lock_guard lock(park_mutex_);
  if (draining_.load()) {
    return MakeError(ErrorCode::kClosed, "scheduler '" + name_ + "' is shut down");
  }
  const int used = inbound_used_.load(std::memory_order_relaxed);
  for (int i = 1; i < used; ++i) {
    Inbound* inbound = inbound_[i].load(std::memory_order_relaxed);
    if (!std::exchange(inbound->taken, true)) return inbound;
  }
  if (used > limits::kMaxProducers) {
    return MakeError(ErrorCode::kBusy, "scheduler '" + name_ + "' has " +
                                           std::to_string(limits::kMaxProducers) +
                                           " producers already; release one, or spawn without");
  }
  auto* inbound = new Inbound(this, &chunks_);
  inbound_[used].store(inbound, std::memory_order_relaxed);
  inbound_used_.store(used + 1);
  return inbound;
}

void SchedulerCore::ReleaseInbound(Inbound* inbound) {
  std::lock_guard lock(park_mutex_);
  inbound->taken = false;
}

SchedulerMetrics SchedulerCore::metrics() {
  SchedulerMetrics m;
  const int workers = workers_used_.load();
  const int producers = inbound_used_.load();
  for (size_t c = 0; c < kPriorities; ++c) {
    m.queued[c] = sliced_[c].size();
    for (int i = 0; i < producers; ++i) m.queued[c] += inbound_[i].load()->queues[c].size();
    for (int i = 0; i < workers; ++i) {
      Worker* worker = workers_[i].load();
      const Worker::Counters& counters = worker->counters;
      m.queued[c] += worker->queues[c].size() + worker->batches[c].size();
      m.tasks_run[c] += counters.tasks_run[c].value();
      m.tasks_dropped[c] += counters.tasks_dropped[c].value();
      m.slices[c] += counters.slices[c].value();
      m.max_wait_ms[c] = std::max(m.max_wait_ms[c], counters.max_wait_ms[c].value());
    }
  }
  for (int i = 0; i < workers; ++i) {
    const Worker::Counters& counters = workers_[i].load()->counters;
    m.steals += counters.steals.value();
    m.stolen_tasks += counters.stolen_tasks.value();
    m.parks += counters.parks.value();
  }
  m.wakes = wakes_.load(std::memory_order_relaxed);
  m.stand_ins = stand_ins_.load(std::memory_order_relaxed);
  m.suspended = suspended_.load(std::memory_order_relaxed);
  m.running = static_cast<int>(RunningOf(permits_.load()));
  std::lock_guard lock(park_mutex_);
  m.threads = threads_;
  return m;
}

}  // namespace marble::task::internal

namespace marble::task {

BlockingScope::BlockingScope() {
  internal::Worker* worker = internal::current_worker;
  if (worker != nullptr && worker->blocking++ == 0) worker->core->EnterBlocking(worker);
}

BlockingScope::~BlockingScope() {
  internal::Worker* worker = internal::current_worker;
  if (worker != nullptr && --worker->blocking == 0) worker->core->LeaveBlocking(worker);
}

}  // namespace marble::task
