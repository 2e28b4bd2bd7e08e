#include "stream/job_driver.h"

#include <arrow/api.h>
#include <pthread.h>
#include <simdjson.h>

#include <algorithm>

#include "base/limits.h"
#include "stream/connectors/table_source.h"

namespace marble::stream {

using std::chrono::milliseconds;

namespace {

constexpr int64_t kPollWaitMs = 5;
constexpr int64_t kPartitionsIntervalMs = 20;
constexpr int64_t kPublishIntervalMs = 50;
constexpr int64_t kReportIntervalMs = 1'000;
constexpr int64_t kSourceCommitIntervalMs = 1'000;
constexpr int64_t kRateWindowMs = 5'000;
/// Rows after which an epoch ends early: its write batch must fit limits::kMaxWriteBatchBytes.
constexpr uint64_t kMaxEpochRows = 1'000'000;
constexpr int64_t kStalledMs = 10'000;
/// A pause, or a store that made the job wait, after which no partition may be called idle at once.
constexpr int64_t kAwayMs = 1'000;

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  for (char c : text) {
    if (c == '"' || c == '\\') out->push_back('\\');
    if (static_cast<unsigned char>(c) < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof(buffer), "\\u%04x", c);
      out->append(buffer);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

std::optional<int64_t> KnownWatermark(int64_t watermark) {
  if (watermark == state::kMinWatermark) return std::nullopt;
  return watermark;
}

}  // namespace

std::string_view JobStatusName(JobStatus status) {
  switch (status) {
    case JobStatus::kStarting:
      return "starting";
    case JobStatus::kRunning:
      return "running";
    case JobStatus::kPaused:
      return "paused";
    case JobStatus::kRestarting:
      return "restarting";
    case JobStatus::kFinished:
      return "finished";
    case JobStatus::kFailed:
      return "failed";
    case JobStatus::kCancelled:
      return "cancelled";
  }
  return "";
}

JobDriver::JobDriver(std::string id, Plan plan, std::shared_ptr<JobStore> store,
                     const DriverOptions& options)
    : id_(std::move(id)), plan_(std::move(plan)), store_(std::move(store)), options_(options) {
  if (plan_.collects()) results_ = std::make_shared<ResultQueue>();
  options_.epoch_ms = plan_.epoch_ms.value_or(options.epoch_ms);
  options_.max_parallelism = plan_.max_parallelism.value_or(options.max_parallelism);
  epoch_ms_ = options_.epoch_ms;
}

JobDriver::~JobDriver() {
  Cancel();
  if (thread_.joinable()) thread_.detach();  // destroyed by its own listener
}

Result<std::shared_ptr<JobDriver>> JobDriver::Make(std::string id, Plan plan,
                                                   std::shared_ptr<JobStore> store,
                                                   const DriverOptions& options,
                                                   const std::optional<JobRow>& previous) {
  std::shared_ptr<JobDriver> driver(
      new JobDriver(std::move(id), std::move(plan), std::move(store), options));
  Status status = driver->Prepare(previous);
  if (!status.ok()) {
    driver->SetStatus(JobStatus::kFailed, status);
    return status;
  }
  return driver;
}

std::shared_ptr<JobDriver> JobDriver::MakeFinished(std::string id, Plan plan,
                                                   std::shared_ptr<JobStore> store,
                                                   const JobRow& previous) {
  std::shared_ptr<JobDriver> driver(
      new JobDriver(std::move(id), std::move(plan), std::move(store), {}));
  driver->metrics_.epoch = previous.epoch;
  driver->metrics_.resumed_from_epoch = previous.epoch;
  driver->SetStatus(JobStatus::kFinished);
  return driver;
}

Status JobDriver::Prepare(const std::optional<JobRow>& previous) {
  GraphOptions options;
  options.max_parallelism = options_.max_parallelism;
  options.clock = options_.clock;
  options.results = results_;
  options.find_table = [this](const std::string& name) { return store_->db()->GetTable(name); };
  MARBLE_ASSIGN_OR_RETURN(graph_, Graph::Make(plan_, options));
  for (auto& entry : graph_->sources()) {
    SourceRun run;
    run.entry = &entry;
    MARBLE_ASSIGN_OR_RETURN(run.source, FindSource(*entry.node));
    sources_.push_back(std::move(run));
  }
  if (!stored()) return Status::OK();
  for (size_t i = 0; i < plan_.nodes.size(); ++i) {
    auto& op = *graph_->operators()[i];
    const auto schema = op.state_schema();
    if (schema == nullptr) continue;
    MARBLE_ASSIGN_OR_RETURN(auto table, store_->StateTable(plan_.job_name, plan_.nodes[i].id,
                                                           schema, op.state_key_columns()));
    lsm::ScanOptions scan;
    MARBLE_ASSIGN_OR_RETURN(auto iterator, store_->db()->NewIterator(table, scan));
    while (true) {
      MARBLE_ASSIGN_OR_RETURN(auto step, iterator->Next());
      if (step.batch == nullptr) break;
      MARBLE_RETURN_NOT_OK(op.Restore(*step.batch));
    }
    op.SetStateTable(std::move(table));
  }
  if (previous) {
    MARBLE_RETURN_NOT_OK(RestoreTime(*previous));
    epoch_ = resumed_from_ = previous->epoch;
  }
  EpochWrites writes;
  MARBLE_RETURN_NOT_OK(store_->PutJob(MakeRow(JobStatus::kRunning, epoch_, Status::OK()), &writes));
  MARBLE_RETURN_NOT_OK(WriteEpoch(writes, lsm::Durability::kProcess));
  Publish(true);
  return Status::OK();
}

Status JobDriver::RestoreTime(const JobRow& previous) {
  MARBLE_ASSIGN_OR_RETURN(auto offsets, store_->ReadOffsets(plan_.job_name));
  for (const auto& row : offsets) {
    for (auto& run : sources_) {
      if (run.entry->node->id != row.connector_id) continue;
      run.offsets[row.partition] = run.committed[row.partition] = row.offset;
      if (run.entry->watermark != nullptr && row.watermark) {
        run.entry->watermark->RestorePartition(row.partition, *row.watermark);
      }
    }
  }
  simdjson::dom::parser parser;
  simdjson::dom::object watermarks;
  if (parser.parse(previous.watermarks).get(watermarks) != simdjson::SUCCESS) {
    return MakeError(ErrorCode::kCorruption,
                     "Job '" + plan_.job_name + "': its watermarks cannot be read");
  }
  for (size_t i = 0; i < plan_.nodes.size(); ++i) {
    int64_t watermark;
    if (plan_.nodes[i].type != NodeType::kWatermark ||
        watermarks.at_key(plan_.nodes[i].id).get(watermark) != simdjson::SUCCESS) {
      continue;
    }
    auto* op = static_cast<WatermarkOperator*>(graph_->operators()[i].get());
    op->RestoreWatermark(watermark);
    MARBLE_RETURN_NOT_OK(op->AnnounceWatermark());
  }
  return Status::OK();
}

Result<std::shared_ptr<Source>> JobDriver::FindSource(const PlanNode& node) {
  const auto pushed = options_.push_sources.find(node.id);
  if (pushed != options_.push_sources.end()) return std::shared_ptr<Source>(pushed->second);
  if (node.source.connector == "marbledb") {
    MARBLE_ASSIGN_OR_RETURN(auto source, MakeTableSource(node.source, store_->db()));
    return std::shared_ptr<Source>(std::move(source));
  }
  MARBLE_ASSIGN_OR_RETURN(auto source, MakeSource(node.source));
  return std::shared_ptr<Source>(std::move(source));
}

void JobDriver::StartThread() {
  std::lock_guard lock(join_mutex_);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "marble-job");
    driver_id_.store(std::this_thread::get_id());
    Run();
  });
}

void JobDriver::Run() {
  Status status = RunInput();
  const Request asked = request();
  JobStatus end = JobStatus::kFinished;
  if (completed_) {
    // The end is in the store: a request that came during its commit came too late.
  } else if (asked == Request::kCancel) {
    end = JobStatus::kCancelled;
    status = Status::OK();
  } else if (asked == Request::kStop && (status.ok() || CodeOf(status) == ErrorCode::kAborted)) {
    end = JobStatus::kCancelled;
    status = Status::OK();
  } else if (!status.ok()) {
    end = JobStatus::kFailed;
  }
  for (auto& run : sources_) run.source->Close();
  if (!completed_) RecordEnd(end, status);
  if (results_) {
    results_->Finish(end == JobStatus::kCancelled
                         ? MakeError(ErrorCode::kAborted, "The query was cancelled")
                         : status);
  }
  Publish(true);
  if (end == JobStatus::kFailed) Notify(JobEvent::Kind::kFailed, MessageOf(status));
  if (end == JobStatus::kFinished) Notify(JobEvent::Kind::kFinished, "");
  SetStatus(end, status);
}

Status JobDriver::RunInput() {
  MARBLE_RETURN_NOT_OK(OpenSources());
  SetStatus(JobStatus::kRunning);
  last_commit_ms_ = last_power_ms_ = NowMs();
  while (request() == Request::kNone) {
    bool pause;
    {
      std::lock_guard lock(mutex_);
      pause = pause_;
    }
    if (pause) {
      if (changed_) MARBLE_RETURN_NOT_OK(Commit(JobStatus::kPaused, false));
      SetStatus(JobStatus::kPaused);
      std::unique_lock lock(mutex_);
      changed_status_.wait(lock, [&] { return !pause_ || request() != Request::kNone; });
      lock.unlock();
      if (request() != Request::kNone) break;
      SetStatus(JobStatus::kRunning);
    }
    MARBLE_ASSIGN_OR_RETURN(bool any, Poll());
    (void)any;
    MARBLE_RETURN_NOT_OK(UpdatePartitions());
    bool all_finished = true;
    for (auto& run : sources_) {
      if (!run.finished && run.source->finished()) MARBLE_RETURN_NOT_OK(FinishSource(&run));
      all_finished = all_finished && run.finished;
    }
    ReportLateAndBad();
    if (all_finished) return Commit(JobStatus::kFinished, true);
    if (changed_ && (NowMs() - last_commit_ms_ >= epoch_ms_ ||
                     records_in_ - committed_records_ >= kMaxEpochRows)) {
      MARBLE_RETURN_NOT_OK(Commit(JobStatus::kRunning, false));
    }
    Publish(false);
  }
  if (request() == Request::kDrain) {
    draining_ = true;
    for (auto& run : sources_) {
      if (!run.finished) MARBLE_RETURN_NOT_OK(FinishSource(&run));
    }
    return Commit(JobStatus::kFinished, true);
  }
  if (request() == Request::kStop && (changed_ || epoch_ > 0)) {
    last_power_ms_ = NowMs() - options_.checkpoint_interval_ms;  // a stop is a sync point
    return Commit(JobStatus::kCancelled, false);
  }
  return Status::OK();
}

Status JobDriver::OpenSources() {
  for (auto& run : sources_) {
    // Its end was committed: rows that came since would all be late.
    if (run.entry->watermark != nullptr &&
        run.entry->watermark->watermark() == state::kMaxWatermark) {
      run.finished = true;
    }
    if (run.finished) continue;
    Status status = run.source->Open(run.offsets);
    if (!status.ok()) {
      return MakeError(CodeOf(status),
                       "Source '" + run.entry->node->source.table + "': " + MessageOf(status));
    }
  }
  last_partitions_ms_ = NowMs() - kPartitionsIntervalMs;
  return UpdatePartitions();
}

Result<bool> JobDriver::Poll() {
  bool any = false;
  const size_t count = sources_.size();
  // With several sources none may be waited for while another has rows.
  for (size_t i = 0; i < count; ++i) {
    auto& run = sources_[(next_source_ + i) % count];
    if (run.finished) continue;
    MARBLE_ASSIGN_OR_RETURN(bool got, PollSource(&run, milliseconds(count == 1 ? kPollWaitMs : 0)));
    any = any || got;
  }
  if (any || count == 1) return any;
  next_source_ = (next_source_ + 1) % count;
  for (size_t i = 0; i < count; ++i) {
    auto& run = sources_[(next_source_ + i) % count];
    if (!run.finished) return PollSource(&run, milliseconds(kPollWaitMs));
  }
  return false;
}

Result<bool> JobDriver::PollSource(SourceRun* run, milliseconds timeout) {
  auto next = run->source->Next(timeout);
  if (!next.ok()) {
    if (request() != Request::kNone) return false;
    return MakeError(CodeOf(next.status()), "Source '" + run->entry->node->source.table +
                                                "': " + MessageOf(next.status()));
  }
  if (!next->has_value()) return false;
  SourceBatch& batch = **next;
  if (run->entry->watermark != nullptr &&
      run->entry->watermark->partitions().count(batch.partition) == 0) {
    // Partitions that Next reveals before the interval is over must hold time back too.
    last_partitions_ms_ = 0;
    MARBLE_RETURN_NOT_OK(UpdatePartitions());
  }
  bad_records_ += static_cast<uint64_t>(batch.bad_records);
  if (batch.rows->num_rows() > 0) {
    records_in_ += static_cast<uint64_t>(batch.rows->num_rows());
    Morsel morsel;
    morsel.rows = std::move(batch.rows);
    morsel.partition = batch.partition;
    MARBLE_RETURN_NOT_OK(run->entry->entry->Process(morsel));
  }
  run->offsets[batch.partition] = std::move(batch.next_offset);
  run->changed.insert(batch.partition);
  changed_ = true;
  return true;
}

Status JobDriver::UpdatePartitions() {
  const int64_t now = NowMs();
  const int64_t since = now - last_partitions_ms_;
  if (since < kPartitionsIntervalMs) return Status::OK();
  const bool was_away = last_partitions_ms_ > 0 && since > kAwayMs;
  last_partitions_ms_ = now;
  for (auto& run : sources_) {
    if (run.finished) continue;
    if (was_away && run.entry->watermark != nullptr) run.entry->watermark->RestartIdleClock();
    run.statuses = run.source->Partitions();
    auto* watermark = run.entry->watermark;
    if (watermark == nullptr || run.finished) continue;
    const int64_t before = watermark->watermark();
    MARBLE_RETURN_NOT_OK(watermark->UpdatePartitions(run.statuses));
    changed_ = changed_ || watermark->watermark() != before;
  }
  return Status::OK();
}

Status JobDriver::FinishSource(SourceRun* run) {
  run->finished = true;
  run->statuses = run->source->Partitions();
  changed_ = true;
  return run->entry->entry->AdvanceWatermark(state::kMaxWatermark);
}

JobRow JobDriver::MakeRow(JobStatus status, uint64_t epoch, const Status& error) const {
  JobRow row;
  row.name = plan_.job_name;
  row.plan = plan_.text;
  row.status = status == JobStatus::kFinished && draining_ ? kDrainedStatus : JobStatusName(status);
  row.epoch = epoch;
  row.updated_ms = options_.clock->NowMs();
  if (!error.ok()) row.error = std::string(ErrorCodeName(CodeOf(error))) + ": " + MessageOf(error);
  row.watermarks = "{";
  for (size_t i = 0; i < plan_.nodes.size(); ++i) {
    if (plan_.nodes[i].type != NodeType::kWatermark) continue;
    const auto watermark =
        static_cast<const WatermarkOperator&>(*graph_->operators()[i]).watermark();
    if (watermark == state::kMinWatermark) continue;
    if (row.watermarks.size() > 1) row.watermarks += ",";
    AppendJsonString(plan_.nodes[i].id, &row.watermarks);
    row.watermarks += ":" + std::to_string(watermark);
  }
  row.watermarks += "}";
  return row;
}

Status JobDriver::Commit(JobStatus status, bool last) {
  for (const auto& op : graph_->operators()) MARBLE_RETURN_NOT_OK(op->Flush(last));
  const int64_t start = options_.clock->MonotonicMicros();
  EpochWrites writes;
  for (const auto& op : graph_->operators()) MARBLE_RETURN_NOT_OK(op->Snapshot(&writes));
  const uint64_t epoch = epoch_ + 1;
  bool power = false;
  if (stored()) {
    const int64_t rows = writes.rows();
    std::vector<OffsetRow> offsets;
    for (auto& run : sources_) {
      for (int32_t partition : run.changed) {
        OffsetRow row;
        row.connector_id = run.entry->node->id;
        row.partition = partition;
        row.offset = run.offsets[partition];
        row.epoch = epoch;
        if (run.entry->watermark != nullptr) {
          const auto& partitions = run.entry->watermark->partitions();
          const auto found = partitions.find(partition);
          if (found != partitions.end()) row.watermark = KnownWatermark(found->second.watermark);
        }
        offsets.push_back(std::move(row));
      }
    }
    MARBLE_RETURN_NOT_OK(store_->PutOffsets(plan_.job_name, offsets, &writes));
    MARBLE_RETURN_NOT_OK(store_->PutJob(MakeRow(status, epoch, Status::OK()), &writes));
    power = last || NowMs() - last_power_ms_ >= options_.checkpoint_interval_ms;
    MARBLE_RETURN_NOT_OK(
        WriteEpoch(writes, power ? lsm::Durability::kPower : lsm::Durability::kProcess));
    rows_committed_ += static_cast<uint64_t>(rows);
  }
  const int64_t micros = options_.clock->MonotonicMicros() - start;
  completed_ = last;
  epoch_ = epoch;
  ++commits_;
  commit_micros_ += micros;
  changed_ = false;
  committed_records_ = records_in_;
  last_commit_ms_ = NowMs();
  for (auto& run : sources_) {
    run.changed.clear();
    run.committed = run.offsets;
  }
  if (power) {
    last_power_ms_ = last_commit_ms_;
    last_checkpoint_wall_ms_ = options_.clock->NowMs();
  }
  if (stored() && (last || last_commit_ms_ - last_source_commit_ms_ >= kSourceCommitIntervalMs)) {
    last_source_commit_ms_ = last_commit_ms_;
    // Only tells the outside world: the job goes on without it.
    for (auto& run : sources_) (void)run.source->Commit(run.committed);
  }
  AdaptEpoch(micros);
  Publish(true);
  Notify(JobEvent::Kind::kEpoch, "");
  if (power) Notify(JobEvent::Kind::kCheckpoint, "");
  return Status::OK();
}

Status JobDriver::WriteEpoch(const EpochWrites& writes, lsm::Durability durability) {
  int64_t wait_ms = 1;
  const int64_t start = NowMs();
  bool reported = false;
  while (true) {
    MARBLE_ASSIGN_OR_RETURN(auto batch, writes.Build());
    const auto written = store_->db()->Write(std::move(batch), {durability});
    if (written.ok()) return Status::OK();
    if (CodeOf(written.status()) != ErrorCode::kBusy) return written.status();
    if (!reported && NowMs() - start >= kStalledMs) {
      reported = true;
      Notify(JobEvent::Kind::kStalled,
             "The store does not keep up: " + MessageOf(written.status()));
    }
    // A cancelled job gives the epoch up; a stopped one still wants it stored.
    if (request() == Request::kCancel) {
      return MakeError(ErrorCode::kAborted, "Cancelled while the store was busy");
    }
    std::this_thread::sleep_for(milliseconds(wait_ms));
    wait_ms = std::min<int64_t>(wait_ms * 2, 100);
  }
}

void JobDriver::AdaptEpoch(int64_t commit_micros) {
  if (commit_micros * 10 > epoch_ms_ * 1000) {
    epoch_ms_ = std::max(options_.epoch_ms, std::min(epoch_ms_ * 2, limits::kMaxEpochMs));
  } else if (commit_micros * 40 < epoch_ms_ * 1000) {
    epoch_ms_ = std::max(options_.epoch_ms, epoch_ms_ / 2);
  }
}

void JobDriver::RecordEnd(JobStatus status, const Status& error) {
  if (!stored() || graph_ == nullptr || status == JobStatus::kFinished) return;
  // The row of the last committed epoch, with how the job ended. The watermarks in it must be
  // that epoch's too, not those of the rows that are given up.
  auto row = store_->ReadJob(plan_.job_name);
  if (!row.ok() || !row->has_value()) return;
  (*row)->status = JobStatusName(status);
  (*row)->updated_ms = options_.clock->NowMs();
  if (!error.ok()) {
    (*row)->error = std::string(ErrorCodeName(CodeOf(error))) + ": " + MessageOf(error);
  }
  EpochWrites writes;
  if (!store_->PutJob(**row, &writes).ok()) return;
  auto batch = writes.Build();
  // Best effort: a store that cannot write is often why the job failed; it is resumed all the
  // same, from its last epoch.
  if (batch.ok()) (void)store_->db()->Write(std::move(*batch), {});
}

void JobDriver::ReportLateAndBad() {
  const int64_t now = NowMs();
  if (now - last_report_ms_ < kReportIntervalMs) return;
  uint64_t late = 0;
  for (const auto& op : graph_->operators()) late += op->late_rows();
  if (late > reported_late_) {
    Notify(JobEvent::Kind::kLate, std::to_string(late - reported_late_) + " late rows");
    reported_late_ = late;
    last_report_ms_ = now;
  }
  if (bad_records_ > reported_bad_) {
    Notify(JobEvent::Kind::kBadRecord,
           std::to_string(bad_records_ - reported_bad_) + " bad records skipped");
    reported_bad_ = bad_records_;
    last_report_ms_ = now;
  }
}

void JobDriver::Publish(bool force) {
  const int64_t now = NowMs();
  if (!force && now - last_publish_ms_ < kPublishIntervalMs) return;
  last_publish_ms_ = now;
  if (rate_.empty() || now - rate_.back().first >= 100) rate_.emplace_back(now, records_in_);
  while (rate_.size() > 1 && now - rate_.front().first > kRateWindowMs) rate_.pop_front();
  JobMetrics metrics;
  metrics.records_in = records_in_;
  metrics.bad_records = bad_records_;
  const int64_t span = now - rate_.front().first;
  if (span > 0) {
    metrics.records_per_second = static_cast<double>(records_in_ - rate_.front().second) * 1000.0 /
                                 static_cast<double>(span);
  }
  metrics.epoch = epoch_;
  metrics.resumed_from_epoch = resumed_from_;
  metrics.last_checkpoint_ms = last_checkpoint_wall_ms_;
  metrics.commits = commits_;
  metrics.commit_micros = commit_micros_;
  metrics.state_rows_committed = rows_committed_;
  for (size_t i = 0; i < plan_.nodes.size(); ++i) {
    const auto& op = *graph_->operators()[i];
    const auto& node = plan_.nodes[i];
    OperatorMetrics one;
    one.id = node.id;
    one.type = NodeTypeName(node.type);
    one.rows_in = op.rows_in();
    one.rows_out = op.rows_out();
    one.late_rows = op.late_rows();
    one.state_rows = op.state_rows();
    one.state_bytes = force ? op.state_bytes() : 0;
    one.busy_micros = op.busy_micros();
    metrics.late_records += one.late_rows;
    if (node.type == NodeType::kSink) metrics.records_out += one.rows_out;
    if (node.type == NodeType::kWatermark) {
      const auto known = KnownWatermark(static_cast<const WatermarkOperator&>(op).watermark());
      if (known && (!metrics.watermark_ms || *known < *metrics.watermark_ms)) {
        metrics.watermark_ms = known;
      }
    }
    metrics.operators.push_back(std::move(one));
  }
  for (const auto& run : sources_) {
    std::set<int32_t> partitions;
    std::map<int32_t, int64_t> lags;
    for (const auto& status : run.statuses) {
      partitions.insert(status.partition);
      lags[status.partition] = status.lag;
    }
    for (const auto& [partition, offset] : run.committed) partitions.insert(partition);
    for (int32_t partition : partitions) {
      SourceMetrics one;
      one.name = run.entry->node->source.table;
      one.partition = partition;
      const auto offset = run.committed.find(partition);
      if (offset != run.committed.end()) one.offset = offset->second;
      const auto lag = lags.find(partition);
      if (lag != lags.end()) one.lag = lag->second;
      if (run.entry->watermark != nullptr) {
        const auto& tracked = run.entry->watermark->partitions();
        const auto found = tracked.find(partition);
        if (found != tracked.end()) {
          one.watermark_ms = KnownWatermark(found->second.watermark);
          one.idle = found->second.idle;
        }
      }
      metrics.sources.push_back(std::move(one));
    }
  }
  std::lock_guard lock(mutex_);
  if (!force) {
    for (size_t i = 0; i < metrics.operators.size() && i < metrics_.operators.size(); ++i) {
      metrics.operators[i].state_bytes = metrics_.operators[i].state_bytes;
    }
  }
  metrics_ = std::move(metrics);
}

void JobDriver::Notify(JobEvent::Kind kind, std::string message) {
  std::function<void(const JobEvent&)> listener;
  {
    std::lock_guard lock(mutex_);
    listener = listener_;
  }
  if (listener) listener(JobEvent{kind, epoch_, std::move(message)});
}

void JobDriver::SetStatus(JobStatus status, Status error) {
  bool told;
  {
    std::lock_guard lock(mutex_);
    told = status_ != status;
    status_ = status;
    if (!error.ok()) error_ = std::move(error);
  }
  if (told) Notify(JobEvent::Kind::kStatus, std::string(JobStatusName(status)));
  // Last: who waits for the end may destroy the listener's target after it.
  std::lock_guard lock(mutex_);
  if (status == JobStatus::kFinished || status == JobStatus::kFailed ||
      status == JobStatus::kCancelled) {
    ended_ = true;
  }
  changed_status_.notify_all();
}

JobStatus JobDriver::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

Status JobDriver::error() const {
  std::lock_guard lock(mutex_);
  return error_;
}

bool JobDriver::ended() const {
  std::lock_guard lock(mutex_);
  return ended_;
}

JobMetrics JobDriver::metrics() const {
  std::lock_guard lock(mutex_);
  return metrics_;
}

void JobDriver::Pause() {
  std::lock_guard lock(mutex_);
  pause_ = true;
}

void JobDriver::Resume() {
  std::lock_guard lock(mutex_);
  pause_ = false;
  changed_status_.notify_all();
}

void JobDriver::Cancel() {
  {
    std::lock_guard lock(mutex_);
    request_.store(Request::kCancel, std::memory_order_release);
    changed_status_.notify_all();
  }
  if (results_) results_->Abort();
  for (auto& run : sources_) run.source->Close();
  Join();
}

void JobDriver::Join() {
  // A listener may end its own job: that call cannot wait for the thread it is on.
  if (driver_id_.load() == std::this_thread::get_id()) return;
  std::lock_guard lock(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

Status JobDriver::Stop() { return End(Request::kStop); }

Status JobDriver::Drain() { return End(Request::kDrain); }

Status JobDriver::End(Request request) {
  {
    std::lock_guard lock(mutex_);
    auto none = Request::kNone;
    request_.compare_exchange_strong(none, request);
    changed_status_.notify_all();
  }
  if (results_) results_->Abort();
  Join();
  return error();
}

bool JobDriver::Wait(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_status_.wait_for(lock, timeout, [&] { return ended_; });
}

void JobDriver::SetListener(std::function<void(const JobEvent&)> listener) {
  std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

Result<std::optional<std::shared_ptr<arrow::RecordBatch>>> JobDriver::NextResult(
    milliseconds timeout) {
  if (!results_) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "Job '" + plan_.job_name + "' writes tables; it has no result to read");
  }
  return results_->Pop(timeout);
}

}  // namespace marble::stream
