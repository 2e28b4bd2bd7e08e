// A job's thread: sources → operators → barrier → one WriteBatch, until the input ends, the job
// is stopped or something fails.
//
//   1. Next() of each source in turn; a batch goes through the whole graph at once
//   2. partitions that became idle or finished move the watermark
//   3. when the epoch is over and something changed: Flush and Snapshot of all operators, with
//      offsets, watermarks and the job's row in one atomic write; refused as busy, it waits and
//      tries again; any other error ends the job with nothing of the epoch applied
//
// An epoch lengthens (to limits::kMaxEpochMs) while commits take more than a tenth of it.
// Threads: one driver thread; the methods marked so may be called from any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "stream/graph.h"
#include "stream/job.h"
#include "stream/job_store.h"
#include "stream/plan.h"
#include "stream/result_queue.h"

namespace marble::stream {

struct DriverOptions {
  int64_t epoch_ms = 100;
  int64_t checkpoint_interval_ms = 60'000;
  uint16_t max_parallelism = 16;
  std::map<std::string, std::shared_ptr<PushSource>> push_sources;
  const Clock* clock = Clock::System();
};

class JobDriver : public Job {
 public:
  /// A job to run: `previous` is its row when it resumes. Restores state; StartThread runs it.
  static Result<std::shared_ptr<JobDriver>> Make(std::string id, Plan plan,
                                                 std::shared_ptr<JobStore> store,
                                                 const DriverOptions& options,
                                                 const std::optional<JobRow>& previous);
  /// A bounded job that has finished before.
  static std::shared_ptr<JobDriver> MakeFinished(std::string id, Plan plan,
                                                 std::shared_ptr<JobStore> store,
                                                 const JobRow& previous);
  ~JobDriver() override;
  void StartThread();

  const std::string& id() const override { return id_; }
  const std::string& name() const override { return plan_.job_name; }
  JobStatus status() const override;
  Status error() const override;
  JobMetrics metrics() const override;
  void Pause() override;
  void Resume() override;
  void Cancel() override;
  Status Stop() override;
  Status Drain() override;
  bool Wait(std::chrono::milliseconds timeout) override;
  void SetListener(std::function<void(const JobEvent&)> listener) override;
  Result<std::optional<std::shared_ptr<arrow::RecordBatch>>> NextResult(
      std::chrono::milliseconds timeout) override;

  bool ended() const;
  /// Collect jobs keep nothing in the store.
  bool stored() const { return !plan_.collects(); }

 private:
  enum class Request { kNone, kStop, kDrain, kCancel };

  struct SourceRun {
    SourceEntry* entry = nullptr;
    std::shared_ptr<Source> source;
    Offsets offsets;            // behind what was processed
    Offsets committed;          // of the last committed epoch
    std::set<int32_t> changed;  // partitions since the last commit
    std::vector<PartitionStatus> statuses;
    bool finished = false;
  };

  JobDriver(std::string id, Plan plan, std::shared_ptr<JobStore> store,
            const DriverOptions& options);
  Status Prepare(const std::optional<JobRow>& previous);
  Status RestoreTime(const JobRow& previous);
  Result<std::shared_ptr<Source>> FindSource(const PlanNode& node);

  void Run();
  void Join();
  Status End(Request request);
  Status RunInput();
  Status OpenSources();
  /// Take batches; true when any source gave one.
  Result<bool> Poll();
  Result<bool> PollSource(SourceRun* run, std::chrono::milliseconds timeout);
  Status UpdatePartitions();
  Status FinishSource(SourceRun* run);
  Status Commit(JobStatus status, bool last);
  Status WriteEpoch(const EpochWrites& writes, lsm::Durability durability);
  void AdaptEpoch(int64_t commit_micros);
  JobRow MakeRow(JobStatus status, uint64_t epoch, const Status& error) const;
  void RecordEnd(JobStatus status, const Status& error);
  void Publish(bool force);
  void ReportLateAndBad();
  void Notify(JobEvent::Kind kind, std::string message);
  void SetStatus(JobStatus status, Status error = Status::OK());
  Request request() const { return request_.load(std::memory_order_acquire); }
  int64_t NowMs() const { return options_.clock->MonotonicMicros() / 1000; }

  const std::string id_;
  const Plan plan_;
  const std::shared_ptr<JobStore> store_;
  DriverOptions options_;
  std::shared_ptr<ResultQueue> results_;
  bool draining_ = false;   // driver thread: the input was ended by Drain
  bool completed_ = false;  // driver thread: the last epoch, that of the end, is in the store
  std::thread thread_;
  std::mutex join_mutex_;
  std::atomic<std::thread::id> driver_id_{};
  std::atomic<Request> request_{Request::kNone};

  // Driver thread only, after Make.
  std::unique_ptr<Graph> graph_;
  std::vector<SourceRun> sources_;
  uint64_t epoch_ = 0;
  uint64_t resumed_from_ = 0;
  bool changed_ = false;
  int64_t epoch_ms_ = 100;
  int64_t last_commit_ms_ = 0;
  int64_t last_power_ms_ = 0;
  int64_t last_partitions_ms_ = 0;
  int64_t last_source_commit_ms_ = 0;
  int64_t last_publish_ms_ = 0;
  int64_t last_report_ms_ = 0;
  uint64_t reported_late_ = 0, reported_bad_ = 0;
  size_t next_source_ = 0;
  uint64_t records_in_ = 0, bad_records_ = 0, committed_records_ = 0;
  uint64_t commits_ = 0, rows_committed_ = 0;
  int64_t commit_micros_ = 0;
  int64_t last_checkpoint_wall_ms_ = -1;
  std::deque<std::pair<int64_t, uint64_t>> rate_;  // (ms, records_in)

  mutable std::mutex mutex_;
  std::condition_variable changed_status_;
  // State below is protected by mutex_.
  JobStatus status_ = JobStatus::kStarting;
  bool ended_ = false;
  bool pause_ = false;
  Status error_;
  JobMetrics metrics_;
  std::function<void(const JobEvent&)> listener_;
};

}  // namespace marble::stream
