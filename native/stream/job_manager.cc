#include <algorithm>

#include "stream/job.h"
#include "stream/job_driver.h"
#include "stream/job_store.h"

namespace marble::stream {

namespace {

class JobManagerImpl : public JobManager {
 public:
  JobManagerImpl(std::shared_ptr<JobStore> store, const JobManagerOptions& options)
      : store_(std::move(store)), options_(options) {}
  ~JobManagerImpl() override { Close(); }

  Result<std::shared_ptr<Job>> Start(const std::string& plan_json,
                                     const StartOptions& options) override {
    MARBLE_ASSIGN_OR_RETURN(auto plan, ReadPlan(plan_json));
    std::lock_guard starting(start_mutex_);
    MARBLE_ASSIGN_OR_RETURN(auto id, Admit(plan));
    MARBLE_ASSIGN_OR_RETURN(auto job, plan.collects() ? StartQuery(id, std::move(plan), options)
                                                      : StartStored(id, std::move(plan), options));
    std::lock_guard lock(mutex_);
    if (closed_) {
      job->Cancel();
      return MakeError(ErrorCode::kClosed, "The job manager is closed");
    }
    // An ended job makes room for its successor of the same name; ended queries for any.
    std::erase_if(jobs_, [&](const std::shared_ptr<JobDriver>& other) {
      return other->ended() && (!other->stored() || other->name() == job->name());
    });
    jobs_.push_back(job);
    return job;
  }

  std::vector<std::shared_ptr<Job>> jobs() const override {
    std::lock_guard lock(mutex_);
    return {jobs_.begin(), jobs_.end()};
  }

  void Close() override {
    std::vector<std::shared_ptr<JobDriver>> jobs;
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
      jobs = jobs_;
    }
    for (const auto& job : jobs) job->Cancel();
  }

 private:
  Result<std::string> Admit(const Plan& plan) {
    std::lock_guard lock(mutex_);
    if (closed_) return MakeError(ErrorCode::kClosed, "The job manager is closed");
    for (const auto& job : jobs_) {
      if (!plan.collects() && job->stored() && !job->ended() && job->name() == plan.job_name) {
        return MakeError(ErrorCode::kInvalidArgument, "Job '" + plan.job_name +
                                                          "' is already running; stop it first, or "
                                                          "SET 'pipeline.name' to start another");
      }
    }
    return "job-" + std::to_string(++last_id_);
  }

  DriverOptions OptionsFor(const StartOptions& options) const {
    DriverOptions driver;
    driver.epoch_ms = options_.epoch_ms;
    driver.checkpoint_interval_ms = options_.checkpoint_interval_ms;
    driver.max_parallelism = options_.max_parallelism;
    driver.push_sources = options.push_sources;
    return driver;
  }

  Result<std::shared_ptr<JobDriver>> StartQuery(const std::string& id, Plan plan,
                                                const StartOptions& options) {
    MARBLE_ASSIGN_OR_RETURN(auto job,
                            JobDriver::Make(id, std::move(plan), store_, OptionsFor(options), {}));
    job->StartThread();
    return job;
  }

  Result<std::shared_ptr<JobDriver>> StartStored(const std::string& id, Plan plan,
                                                 const StartOptions& options) {
    MARBLE_ASSIGN_OR_RETURN(auto previous, store_->ReadJob(plan.job_name));
    std::optional<Plan> before;
    if (previous) {
      auto read = ReadPlan(previous->plan);
      if (read.ok()) {
        before = std::move(*read);
      } else if (!options.fresh) {
        return MakeError(ErrorCode::kIncompatibleState,
                         "Job '" + plan.job_name +
                             "': its stored plan cannot be read: " + MessageOf(read.status()) +
                             "; SET 'execution.restart' = 'fresh' drops its state and rows");
      }
    }
    if (options.fresh || (previous && previous->status == kDroppingStatus)) {
      std::vector<std::string> targets = Targets(plan);
      if (before) {
        for (auto& name : Targets(*before)) targets.push_back(std::move(name));
      }
      MARBLE_RETURN_NOT_OK(store_->DropJob(plan.job_name, targets));
      previous.reset();
    } else if (previous) {
      MARBLE_RETURN_NOT_OK(CheckCompatible(*before, plan));
      const bool finished = previous->status == JobStatusName(JobStatus::kFinished);
      if ((finished && plan.bounded()) || previous->status == kDrainedStatus) {
        return JobDriver::MakeFinished(id, std::move(plan), store_, *previous);
      }
    } else {
      MARBLE_RETURN_NOT_OK(store_->DropState(plan.job_name));
    }
    MARBLE_ASSIGN_OR_RETURN(
        auto job, JobDriver::Make(id, std::move(plan), store_, OptionsFor(options), previous));
    job->StartThread();
    return job;
  }

  static std::vector<std::string> Targets(const Plan& plan) {
    std::vector<std::string> tables;
    for (const auto& node : plan.nodes) {
      if (node.type == NodeType::kSink) tables.push_back(node.table);
    }
    return tables;
  }

  const std::shared_ptr<JobStore> store_;
  const JobManagerOptions options_;
  std::mutex start_mutex_;  // one Start at a time

  mutable std::mutex mutex_;
  // State below is protected by mutex_.
  std::vector<std::shared_ptr<JobDriver>> jobs_;
  uint64_t last_id_ = 0;
  bool closed_ = false;
};

}  // namespace

Result<std::shared_ptr<JobManager>> JobManager::Open(std::shared_ptr<lsm::DB> db,
                                                     const JobManagerOptions& options) {
  MARBLE_RETURN_NOT_OK(expr::InitializeKernels());
  MARBLE_ASSIGN_OR_RETURN(auto store, JobStore::Open(std::move(db)));
  return std::make_shared<JobManagerImpl>(std::move(store), options);
}

}  // namespace marble::stream
