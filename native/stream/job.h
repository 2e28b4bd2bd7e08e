// Jobs: a JSON plan (lib/sql/plan/PLAN.md) run over a database, with exactly-once epochs.
//
// The manager owns the jobs; each job has one driver thread: sources → operators → barrier every
// epoch → one WriteBatch with changed state, offsets, watermarks and sink rows. A crash resumes
// at the last epoch. All methods are thread-safe; listeners are called on the job's thread.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "lsm/db.h"
#include "stream/push_source.h"
#include "stream/source.h"

namespace marble::stream {

enum class JobStatus { kStarting, kRunning, kPaused, kRestarting, kFinished, kFailed, kCancelled };
std::string_view JobStatusName(JobStatus status);  // "running" …

struct SourceMetrics {
  std::string name;  // table
  int32_t partition = 0;
  std::string offset;  // of the last committed epoch
  int64_t lag = -1;    // -1: unknown
  std::optional<int64_t> watermark_ms;
  bool idle = false;
};
struct OperatorMetrics {
  std::string id;
  std::string type;
  uint64_t rows_in = 0;
  uint64_t rows_out = 0;
  uint64_t late_rows = 0;
  uint64_t state_rows = 0;
  uint64_t state_bytes = 0;
  int64_t busy_micros = 0;
};
struct JobMetrics {
  uint64_t records_in = 0;
  uint64_t records_out = 0;
  double records_per_second = 0;  // over the last seconds
  uint64_t late_records = 0;
  uint64_t bad_records = 0;
  std::optional<int64_t> watermark_ms;
  uint64_t epoch = 0;               // last committed
  uint64_t resumed_from_epoch = 0;  // 0: fresh
  int64_t last_checkpoint_ms = -1;  // wall clock of the last power-durable epoch
  uint64_t commits = 0;
  int64_t commit_micros = 0;  // in all
  uint64_t state_rows_committed = 0;
  std::vector<SourceMetrics> sources;
  std::vector<OperatorMetrics> operators;
};
struct JobEvent {
  enum class Kind {
    kEpoch,
    kCheckpoint,
    kLate,
    kBadRecord,
    kStalled,
    kFailed,
    kFinished,
    kStatus
  } kind;
  uint64_t epoch = 0;
  std::string message;
};

class Job {
 public:
  virtual ~Job() = default;
  virtual const std::string& id() const = 0;
  virtual const std::string& name() const = 0;
  virtual JobStatus status() const = 0;
  /// Why it failed; OK otherwise.
  virtual Status error() const = 0;
  virtual JobMetrics metrics() const = 0;
  virtual void Pause() = 0;
  virtual void Resume() = 0;
  /// End at the last committed epoch. Waits for the job's thread.
  virtual void Cancel() = 0;
  /// Commit what was read, then end; a later start resumes. Waits for the job's thread.
  virtual Status Stop() = 0;
  /// End the input here: close all windows, commit, finish. A drained job is not run again unless
  /// fresh: rows that came later would reopen windows whose results are out. Waits as Stop does.
  virtual Status Drain() = 0;
  /// Wait until finished, failed or cancelled; false on time-out.
  virtual bool Wait(std::chrono::milliseconds timeout) = 0;
  virtual void SetListener(std::function<void(const JobEvent&)> listener) = 0;
  /// For a plan with a collect sink: the next result batch. nullopt: none within `timeout`; a
  /// null batch inside: the end. The queue is bounded: a slow reader slows the job.
  virtual Result<std::optional<std::shared_ptr<arrow::RecordBatch>>> NextResult(
      std::chrono::milliseconds timeout) = 0;
};

struct JobManagerOptions {
  int64_t epoch_ms = 100;
  int64_t checkpoint_interval_ms = 60'000;
  uint16_t max_parallelism = 16;
  /// Keep nothing of collect jobs (queries): no offsets, no state, no row in `jobs`.
};
struct StartOptions {
  /// Drop the job's state, offsets and rows first (SET 'execution.restart' = 'fresh').
  bool fresh = false;
  /// Sources that live in this process, by the id of their node in the plan.
  std::map<std::string, std::shared_ptr<PushSource>> push_sources;
};

class JobManager {
 public:
  virtual ~JobManager() = default;
  static Result<std::shared_ptr<JobManager>> Open(std::shared_ptr<lsm::DB> db,
                                                  const JobManagerOptions& options);
  /// Start a plan's job. One that has state is resumed if the plan fits it, else
  /// kIncompatibleState names the operator; a bounded one that finished is not run again (its
  /// status is kFinished at once). Already running: kInvalidArgument.
  virtual Result<std::shared_ptr<Job>> Start(const std::string& plan_json,
                                             const StartOptions& options) = 0;
  virtual std::vector<std::shared_ptr<Job>> jobs() const = 0;
  /// Cancel all jobs and wait. Idempotent.
  virtual void Close() = 0;
};

}  // namespace marble::stream
