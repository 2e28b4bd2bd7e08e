#include "task/task_scheduler.h"

#include <algorithm>
#include <utility>

#include "task/scheduler_core_internal.h"

namespace marble::task {

Result<std::unique_ptr<TaskScheduler>> TaskScheduler::Make(const SchedulerOptions& options) {
  CpuLimit cpus = options.cpus ? *options.cpus : DetectCpuLimit();
  cpus.cpus = std::clamp(cpus.cpus, 1, limits::kMaxSchedulerThreads);
  const int threads = options.threads == 0 ? cpus.cpus : options.threads;
  if (threads < 1 || threads > cpus.cpus) {
    return MakeError(ErrorCode::kInvalidArgument, "scheduler '" + options.name + "' cannot have " +
                                                      std::to_string(threads) + " threads: 1 to " +
                                                      std::to_string(cpus.cpus) + " are allowed (" +
                                                      cpus.reason + ")");
  }
  auto core = std::make_shared<internal::SchedulerCore>(options, std::move(cpus), threads);
  // From here on the scheduler's destructor stops what was started.
  auto scheduler = std::unique_ptr<TaskScheduler>(new TaskScheduler(std::move(core)));
  MARBLE_RETURN_NOT_OK(scheduler->core_->Start());
  return scheduler;
}

TaskScheduler::TaskScheduler(std::shared_ptr<internal::SchedulerCore> core)
    : core_(std::move(core)) {}

TaskScheduler::~TaskScheduler() { MARBLE_CHECK(Shutdown(ShutdownMode::kCancel).ok()); }

Status TaskScheduler::SetThreads(int threads) { return core_->SetThreads(threads); }
int TaskScheduler::threads() const { return core_->target(); }
int TaskScheduler::max_threads() const { return core_->cpus().cpus; }
Status TaskScheduler::Shutdown(ShutdownMode mode) { return core_->Shutdown(mode); }
SchedulerMetrics TaskScheduler::metrics() const { return core_->metrics(); }

Result<Producer> TaskScheduler::MakeProducer() {
  MARBLE_ASSIGN_OR_RETURN(internal::Inbound * inbound, core_->TakeInbound());
  return Producer(core_, inbound);
}

Producer::Producer(std::shared_ptr<internal::SchedulerCore> core, internal::Inbound* inbound)
    : core_(std::move(core)), inbound_(inbound) {}

Producer::Producer(Producer&& other) noexcept
    : core_(std::move(other.core_)), inbound_(std::exchange(other.inbound_, nullptr)) {}

Producer& Producer::operator=(Producer&& other) noexcept {
  if (this != &other) {
    Release();
    core_ = std::move(other.core_);
    inbound_ = std::exchange(other.inbound_, nullptr);
  }
  return *this;
}

Producer::~Producer() { Release(); }

void Producer::Release() {
  if (inbound_ != nullptr) core_->ReleaseInbound(std::exchange(inbound_, nullptr));
}

}  // namespace marble::task
