// Compactions: which one comes next, one from its beginning to its end, and those that somebody
// asks for.
#include <arrow/api.h>

#include <algorithm>
#include <unordered_map>

#include "lsm/compaction/expired_files.h"
#include "lsm/db_impl.h"

namespace marble::lsm {
namespace {

/// How often a caller of CompactRange looks at its progress and whether it is cancelled.
constexpr std::chrono::milliseconds kManualPoll{10};
/// How soon and how late it is looked again whether files have expired: what keeps them (a
/// snapshot, an older file) tells nobody when it goes.
constexpr std::chrono::milliseconds kLeastExpiryWait{1'000};
constexpr std::chrono::milliseconds kMostExpiryWait{60'000};
/// A file of a compaction overlaps so many files' worth of the level below its own at most.
constexpr uint64_t kGrandparentFiles = 10;

int64_t MicrosSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                               start)
      .count();
}

Status Dropped(const TableInfo& table) {
  return MakeError(ErrorCode::kTableNotFound, "table '" + table.name() + "' has been dropped");
}

/// The files of a level that overlap [min, max].
SstRun Overlapping(const SortedLevel* level, std::string_view min, std::string_view max) {
  SstRun run;
  if (level == nullptr) return run;
  for (size_t i = level->LowerBound(min); i < level->size() && (*level)[i]->meta.min_key <= max;
       ++i) {
    run.push_back((*level)[i]);
  }
  return run;
}

}  // namespace

// --- What comes next (under mutex_) -----------------------------------------------------------

PickerTable DbImpl::PickerViewOf(const TableState& table) const {
  PickerTable view;
  view.keyed = table.info().keyed();
  view.oldest_snapshot = snapshots_->oldest();
  table.super_version()->files->ForEachFile([&view](int level, const SstFileRef& file) {
    view.levels[level].push_back({&file->meta, file->pair->busy, file->reader->seq_column() >= 0,
                                  file->reader->merge_operands()});
  });
  for (const auto& task : running_) {
    if (!task->table->SameTable(table)) continue;
    view.running.push_back({task->plan.output_level, task->plan.min_key, task->plan.max_key});
  }
  return view;
}

void DbImpl::UpdateShape(TableState* table) {
  const PickerTable view = PickerViewOf(*table);
  table->shape = picker_.Shape(view);
  table->waits_for_snapshot = picker_.NextRemovable(view);
  table->check_compaction = true;
  if (table->info().expires()) {
    table->next_file_expiry = NextFileExpiry(*table->super_version()->files);
  }
  SequenceNumber next = table->waits_for_snapshot;
  for (const auto& [id, other] : tables_) next = std::min(next, other->waits_for_snapshot);
  waits_for_snapshot_.store(next, std::memory_order_relaxed);
}

void DbImpl::SnapshotReleased() {
  // Mostly this is all: snapshots come and go by the thousand.
  if (snapshots_->oldest() < waits_for_snapshot_.load(std::memory_order_relaxed)) return;
  std::lock_guard lock(mutex_);
  for (const auto& [id, table] : tables_) {
    if (table->waits_for_snapshot <= snapshots_->oldest()) UpdateShape(table.get());
  }
  ScheduleWork();
}

std::shared_ptr<CompactionTask> DbImpl::NewTask(const TableHandle& table, CompactionPlan plan) {
  auto task = std::make_shared<CompactionTask>();
  task->table = table;
  const SuperVersionRef version = table->super_version();
  task->version = version->files;
  task->info = version->info;
  std::unordered_map<FileNumber, SstFileRef> by_number;
  task->version->ForEachFile([&](int level, const SstFileRef& file) {
    if (level == plan.input_level || level == plan.output_level) {
      by_number.emplace(file->meta.number, file);
    }
  });
  for (FileNumber number : plan.inputs) task->inputs.push_back(by_number.at(number));
  for (FileNumber number : plan.overlapped) task->overlapped.push_back(by_number.at(number));
  for (const auto& file : task->inputs) file->pair->busy = true;
  for (const auto& file : task->overlapped) file->pair->busy = true;
  task->plan = std::move(plan);
  running_.push_back(task);
  return task;
}

std::shared_ptr<CompactionTask> DbImpl::PickExpired() {
  std::optional<int64_t> expired_ms;
  for (const auto& [id, table] : tables_) {
    if (table->next_file_expiry == INT64_MAX) continue;
    // First the clock, then the snapshots: who takes one afterwards reads the clock later.
    if (!expired_ms) expired_ms = snapshots_->OldestTime(options_.clock->NowMs());
    if (table->next_file_expiry > *expired_ms) continue;
    const SuperVersionRef version = table->super_version();
    ExpiryView view{&table->info(), version->files.get(), {}, *expired_ms};
    for (const auto& memtable : version->memtables) {
      view.memtable_expiries.push_back(memtable->min_expires());
    }
    const std::vector<LevelFile> files = FindExpiredFiles(view);
    if (files.empty()) continue;
    auto task = std::make_shared<CompactionTask>();
    task->table = table;
    task->version = version->files;
    CompactionPlan& plan = task->plan;
    plan.reason = CompactionReason::kExpired;
    plan.drop = true;
    plan.input_level = files.front().level;
    plan.output_level = files.back().level;
    plan.min_key = files.front().file->meta.min_key;
    plan.max_key = files.front().file->meta.max_key;
    for (const auto& [level, file] : files) {
      file->pair->busy = true;
      plan.inputs.push_back(file->meta.number);
      plan.input_bytes += file->bytes();
      plan.min_key = std::min(plan.min_key, file->meta.min_key);
      plan.max_key = std::max(plan.max_key, file->meta.max_key);
      task->inputs.push_back(file);
    }
    running_.push_back(task);
    return task;
  }
  return nullptr;
}

void DbImpl::WatchExpiry() {
  int64_t next = INT64_MAX;
  for (const auto& [id, table] : tables_) next = std::min(next, table->next_file_expiry);
  if (next == INT64_MAX) return;
  const int64_t now = options_.clock->NowMs();
  const auto wait = std::clamp(next > now ? std::chrono::milliseconds(next - now) : kMostExpiryWait,
                               kLeastExpiryWait, kMostExpiryWait);
  const auto at = std::chrono::steady_clock::now() + wait;
  if (expiry_watched_ && expiry_watch_at_ <= at) return;
  expiry_watched_ = true;
  expiry_watch_at_ = at;
  executor_->Submit(
      Executor::Kind::kCompaction,
      [this] {
        std::lock_guard lock(mutex_);
        expiry_watched_ = false;
        ScheduleWork();
      },
      wait);
}

std::shared_ptr<CompactionTask> DbImpl::PickTask() {
  if (compactions_held_ > 0) return nullptr;
  if (!compaction_backoff_.waiting) {
    if (auto task = PickExpired()) return task;
  }
  std::vector<TableHandle> candidates;
  for (const auto& [id, table] : tables_) {
    if (table->check_compaction) candidates.push_back(table);
  }
  const auto worst = [](const TableHandle& table) {
    return *std::max_element(table->shape.score.begin(), table->shape.score.end());
  };
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const auto& a, const auto& b) { return worst(a) > worst(b); });
  const auto pick = [this](const TableHandle& table) -> std::shared_ptr<CompactionTask> {
    auto plan = picker_.Pick(PickerViewOf(*table));
    if (!plan) {
      table->check_compaction = false;
      return nullptr;
    }
    return NewTask(table, *std::move(plan));
  };
  // Writers before all: tables whose level 0 holds them up.
  for (const TableHandle& table : candidates) {
    if (compaction_backoff_.waiting || !table->info().keyed() ||
        table->super_version()->files->level0.size() < stall_.limits().level0_slowdown) {
      continue;
    }
    if (auto task = pick(table)) return task;
  }
  for (auto it = manual_.begin(); it != manual_.end();) {
    ManualCompaction& request = **it;
    // Who asks for a compaction finds gone what has expired.
    const bool dropping = std::any_of(running_.begin(), running_.end(), [&](const auto& task) {
      return task->plan.drop && task->table->SameTable(*request.table);
    });
    if (request.running || dropping) {
      ++it;
      continue;
    }
    if (request.table->dropped()) {
      request.status = Dropped(request.table->info());
    } else if (request.cancelled.load()) {
      request.status = MakeError(ErrorCode::kAborted, "the compaction was cancelled");
    } else {
      auto plan = picker_.PickRange(PickerViewOf(*request.table), &request.walk);
      if (plan) {
        auto task = NewTask(request.table, *std::move(plan));
        task->manual = *it;
        request.running = true;
        return task;
      }
      if (request.walk.state == RangeWalk::State::kBlocked) {
        ++it;
        continue;
      }
    }
    request.done = true;
    it = manual_.erase(it);
    done_cv_.notify_all();
  }
  if (compaction_backoff_.waiting) return nullptr;
  for (const TableHandle& table : candidates) {
    // A table with a manual compaction is left to it, or the two might block each other for long.
    const auto is_its = [&table](const auto& request) { return request->table->SameTable(*table); };
    if (std::any_of(manual_.begin(), manual_.end(), is_its)) continue;
    if (auto task = pick(table)) return task;
  }
  return nullptr;
}

// --- One compaction
// -------------------------------------------------------------------------------

void DbImpl::CompactionWork(const std::shared_ptr<CompactionTask>& task) {
  const bool edit_only = task->plan.drop || task->plan.move;
  Status status = Begin();  // no number of a file may be taken by one that is left over
  if (status.ok()) status = edit_only ? EditFiles(task.get()) : RunCompaction(task.get());
  const ErrorCode code = status.ok() ? ErrorCode::kInternal : CodeOf(status);
  const bool full = !status.ok() && code == ErrorCode::kNoSpace && !failed_.load();
  if (!status.ok() && !full && code != ErrorCode::kAborted) SetBackgroundError(status);
  if (full && task->manual == nullptr) {
    DbEvent event{DbEvent::Kind::kNoSpace,
                  "a compaction is tried again later: " + MessageOf(status)};
    event.table = task->table->info().name();
    Emit(std::move(event));
  }
  {
    std::lock_guard lock(mutex_);
    for (const auto& file : task->inputs) file->pair->busy = false;
    for (const auto& file : task->overlapped) file->pair->busy = false;
    std::erase(running_, task);
    if (!task->table->dropped()) UpdateShape(task->table.get());
    if (task->manual == nullptr) {
      if (status.ok()) compaction_backoff_.delay = {};
      if (full && !compaction_backoff_.waiting) {
        BackOff(&compaction_backoff_, Executor::Kind::kCompaction,
                task->plan.input_bytes + task->plan.overlapped_bytes);
      }
    }
  }
  // Before anybody is told that it is done: replaced files that nobody reads are gone by then.
  task->inputs.clear();
  task->overlapped.clear();
  task->version.reset();
  {
    std::lock_guard lock(mutex_);
    if (task->manual != nullptr) {
      task->manual->running = false;
      if (!status.ok()) {
        task->manual->status = task->table->dropped() ? Dropped(task->table->info()) : status;
        task->manual->done = true;
        std::erase(manual_, task->manual);
      }
    }
    UpdateStall();
    ScheduleWork();
    done_cv_.notify_all();
  }
  AnnounceStallEnd();
}

Status DbImpl::PollCompaction(const CompactionTask& task) const {
  if (stopping_.load(std::memory_order_relaxed) || failed_.load(std::memory_order_relaxed)) {
    return MakeError(ErrorCode::kAborted, "the database is closing");
  }
  if (task.table->dropped()) {
    return MakeError(ErrorCode::kAborted,
                     "table '" + task.table->info().name() + "' has been dropped");
  }
  if (task.manual != nullptr && task.manual->cancelled.load(std::memory_order_relaxed)) {
    return MakeError(ErrorCode::kAborted, "the compaction was cancelled");
  }
  return Status::OK();
}

DbEvent DbImpl::CompactionEvent(const CompactionTask& task, DbEvent::Phase phase) const {
  const CompactionPlan& plan = task.plan;
  DbEvent event{DbEvent::Kind::kCompaction};
  event.phase = phase;
  event.table = task.table->info().name();
  event.input_level = plan.input_level;
  event.output_level = plan.output_level;
  event.inputs = plan.inputs;
  event.inputs.insert(event.inputs.end(), plan.overlapped.begin(), plan.overlapped.end());
  event.bytes_read = plan.move || plan.drop ? 0 : plan.input_bytes + plan.overlapped_bytes;
  event.expired = plan.drop;
  const auto files = [](size_t n) { return std::to_string(n) + (n == 1 ? " file" : " files"); };
  if (plan.drop) {
    event.message = "drop " + files(plan.inputs.size()) + " of '" + event.table + "' (" +
                    CompactionReasonName(plan.reason) + ")";
    return event;
  }
  event.message = std::string(plan.move ? "move " : "merge ") + files(plan.inputs.size()) +
                  " of '" + event.table + "' from level " + std::to_string(plan.input_level);
  if (!plan.overlapped.empty()) event.message += " and " + files(plan.overlapped.size());
  event.message += (plan.overlapped.empty() ? " to level " : " of level ") +
                   std::to_string(plan.output_level) + " (" + CompactionReasonName(plan.reason) +
                   ")";
  return event;
}

void DbImpl::LimitExpiry(const CompactionTask& task, FoldRules* rules) const {
  const TableInfo& info = task.table->info();
  if (info.merge_operator == nullptr || !info.expires()) return;
  const auto written_from = [&](int64_t min_expires) {
    if (min_expires == 0) return;
    rules->expired_ms = std::min(rules->expired_ms, min_expires - info.descriptor.options.ttl_ms);
  };
  const SuperVersionRef version = task.table->super_version();
  for (const auto& memtable : version->memtables) written_from(memtable->min_expires());
  version->files->ForEachFile([&](int level, const SstFileRef& file) {
    // Of level 0 also what is older than the inputs: this only keeps more.
    if (level < task.plan.input_level || (level == 0 && task.plan.input_level == 0)) {
      written_from(file->reader->min_expires());
    }
  });
}

CompactionJob DbImpl::MakeJob(CompactionTask* task) {
  const CompactionPlan& plan = task->plan;
  const TableVersion& version = *task->version;
  CompactionJob job;
  job.info = task->info;
  if (plan.input_level == 0) {
    for (const auto& file : task->inputs) job.runs.push_back({file});
  } else {
    job.runs.push_back(task->inputs);
  }
  if (!task->overlapped.empty()) job.runs.push_back(task->overlapped);
  if (job.info->keyed()) {
    if (plan.output_level == 0) {
      // What is merged within level 0 has older files behind it there.
      const auto last =
          std::find(version.level0.begin(), version.level0.end(), task->inputs.back());
      for (auto it = last + 1; it != version.level0.end(); ++it) job.older.push_back({*it});
    }
    for (int level = plan.output_level + 1; level < limits::kNumLevels; ++level) {
      SstRun run = Overlapping(version.levels[level].get(), plan.min_key, plan.max_key);
      if (!run.empty()) job.older.push_back(std::move(run));
    }
    if (plan.output_level > 0 && plan.output_level + 1 < limits::kNumLevels) {
      job.grandparents =
          Overlapping(version.levels[plan.output_level + 1].get(), plan.min_key, plan.max_key);
    }
  }
  job.output_level = plan.output_level;
  // Level 0 orders files by age, so that what is merged within it stays one file if it can.
  job.file_bytes = plan.output_level == 0 ? limits::kMaxSstBytes : options_.target_file_bytes;
  job.max_grandparent_bytes = kGrandparentFiles * options_.target_file_bytes;
  job.rules = RulesFor(*task->table);
  LimitExpiry(*task, &job.rules);
  job.max_parts = options_.max_subcompactions > 0 ? options_.max_subcompactions : max_compactions_;
  job.budget = budget_.get();
  job.file_system = options_.file_system;
  job.dir = dir_;
  job.next_number = [this] { return next_file_.fetch_add(1); };
  job.poll = [this, task] { return PollCompaction(*task); };
  job.wrote = [this, task, poll = job.poll](uint64_t bytes) -> Status {
    if (task->manual != nullptr) task->manual->done_bytes += bytes;
    MARBLE_RETURN_NOT_OK(poll());
    return rate_limiter_.Pay(bytes, poll);
  };
  return job;
}

Status DbImpl::RunCompaction(CompactionTask* task) {
  const auto start = std::chrono::steady_clock::now();
  const CompactionPlan& plan = task->plan;
  MARBLE_RETURN_NOT_OK(PollCompaction(*task));
  Emit(CompactionEvent(*task, DbEvent::Phase::kBegin));
  const uint64_t done_before = task->manual != nullptr ? task->manual->done_bytes.load() : 0;
  MARBLE_ASSIGN_OR_RETURN(const std::vector<FileMeta> metas,
                          RunCompactionJob(MakeJob(task), executor_->scheduler()));
  DbEvent event = CompactionEvent(*task, DbEvent::Phase::kInstall);
  uint64_t written = 0;
  for (const FileMeta& meta : metas) {
    ++event.files;
    event.rows += meta.rows;
    event.outputs.push_back(meta.number);
    written += meta.arrow_bytes + meta.idx_bytes;
  }
  event.bytes = written;
  std::vector<SstFileRef> removed = task->inputs;
  removed.insert(removed.end(), task->overlapped.begin(), task->overlapped.end());
  const auto install = [&]() -> Status {
    if (!metas.empty()) MARBLE_RETURN_NOT_OK(options_.file_system->SyncDir(dir_));
    MARBLE_ASSIGN_OR_RETURN(std::vector<LevelFile> opened, OpenFiles(*task->info, metas));
    MARBLE_RETURN_NOT_OK(PollCompaction(*task));
    Emit(event);
    bool dropped = false;
    MARBLE_RETURN_NOT_OK(LogAndInstall(
        [&]() -> Result<std::optional<VersionEdit>> {
          dropped = task->table->dropped();
          if (dropped) return std::nullopt;
          // Altered meanwhile: what was written is read like every file of before.
          const std::shared_ptr<const TableInfo> now = task->table->super_version()->info;
          if (now != task->info) {
            MARBLE_ASSIGN_OR_RETURN(opened, OpenFiles(*now, metas));
          }
          VersionEdit edit;
          edit.added_files = metas;
          for (const auto& file : removed) {
            edit.removed_files.emplace_back(task->table->id(), file->meta.number);
          }
          edit.next_file_number = next_file_.load();
          return edit;
        },
        [&] { Reinstall(task->table.get(), nullptr, std::move(opened), removed); }));
    return dropped ? PollCompaction(*task) : Status::OK();
  };
  const Status installed = install();
  if (!installed.ok()) {
    RemoveFiles(metas);
    return installed;
  }
  LevelCounters& counters = task->table->level_counters[plan.output_level];
  DbCounters::Add(counters.compactions);
  DbCounters::Add(counters.bytes_read, event.bytes_read);
  const bool same_level = plan.input_level == plan.output_level && plan.output_level > 0;
  DbCounters::Add(counters.bytes_in, same_level ? 0 : plan.input_bytes);
  DbCounters::Add(counters.bytes_written, written);
  DbCounters::Add(counters_->compactions);
  if (task->manual != nullptr) {
    task->manual->done_bytes.store(done_before + plan.input_bytes + plan.overlapped_bytes);
  }
  event.phase = DbEvent::Phase::kEnd;
  event.micros = MicrosSince(start);
  Emit(std::move(event));
  return Status::OK();
}

/// Files move to another level as they are, with their readers and what those hold in memory; or
/// they go, because all their rows have expired.
Status DbImpl::EditFiles(CompactionTask* task) {
  const auto start = std::chrono::steady_clock::now();
  const CompactionPlan& plan = task->plan;
  MARBLE_RETURN_NOT_OK(PollCompaction(*task));
  Emit(CompactionEvent(*task, DbEvent::Phase::kBegin));
  std::vector<LevelFile> moved;
  if (plan.move) {
    for (const auto& file : task->inputs) moved.push_back({plan.output_level, file});
  }
  bool dropped = false;
  MARBLE_RETURN_NOT_OK(LogAndInstall(
      [&]() -> std::optional<VersionEdit> {
        dropped = task->table->dropped();
        if (dropped) return std::nullopt;
        VersionEdit edit;
        for (const auto& file : task->inputs) {
          edit.removed_files.emplace_back(task->table->id(), file->meta.number);
          if (!plan.move) continue;
          edit.added_files.push_back(file->meta);
          edit.added_files.back().level = plan.output_level;
        }
        return edit;
      },
      [&] { Reinstall(task->table.get(), nullptr, std::move(moved), task->inputs); }));
  if (dropped) return PollCompaction(*task);
  DbEvent event = CompactionEvent(*task, DbEvent::Phase::kEnd);
  if (plan.move) {
    LevelCounters& counters = task->table->level_counters[plan.output_level];
    DbCounters::Add(counters.moved_files, task->inputs.size());
    if (task->manual != nullptr) task->manual->done_bytes += plan.input_bytes;
    event.outputs = event.inputs;
  } else {
    DbCounters::Add(counters_->expired_files, plan.inputs.size());
    DbCounters::Add(counters_->expired_bytes, plan.input_bytes);
    for (const auto& file : task->inputs) event.rows += file->meta.rows;
  }
  event.micros = MicrosSince(start);
  Emit(std::move(event));
  return Status::OK();
}

// --- Manual compactions
// ---------------------------------------------------------------------------

uint64_t DbImpl::EstimateManual(const ManualCompaction& request) const {
  uint64_t total = 0, carried = 0;
  const RangeWalk& walk = request.walk;
  const TableVersion& files = *request.table->super_version()->files;
  std::array<uint64_t, limits::kNumLevels> in_range{};
  files.ForEachFile([&](int level, const SstFileRef& file) {
    if (file->meta.max_key >= walk.from && (walk.to.empty() || file->meta.min_key < walk.to)) {
      in_range[level] += file->bytes();
    }
  });
  // What comes down is merged with what there is, and goes on together with it.
  for (uint64_t bytes : in_range) {
    if (carried > 0) total += carried + bytes;
    carried += bytes;
  }
  return std::max(total, carried);
}

Status DbImpl::CompactRange(const std::string& name, std::string_view from, std::string_view to,
                            const CompactOptions& options) {
  const CallGuard guard(&calls_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  if (!to.empty() && from >= to) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "a range to compact must end behind its beginning");
  }
  const bool whole = from.empty() && to.empty();
  std::vector<TableHandle> targets;
  if (name.empty()) {
    if (!whole) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "a range of keys to compact needs a table: keys mean nothing without one");
    }
    std::lock_guard lock(mutex_);
    for (const auto& [id, table] : tables_) targets.push_back(table);
  } else {
    MARBLE_ASSIGN_OR_RETURN(auto table, GetTable(name));
    if (!whole && !table->info().keyed()) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "table '" + name + "' has no primary key: it can only be compacted whole");
    }
    targets.push_back(std::move(table));
  }
  MARBLE_RETURN_NOT_OK(Flush());
  std::vector<std::shared_ptr<ManualCompaction>> requests;
  for (TableHandle& table : targets) {
    auto request = std::make_shared<ManualCompaction>();
    request->table = std::move(table);
    request->walk.from = from;
    request->walk.to = to;
    request->walk.bottommost = options.bottommost;
    requests.push_back(std::move(request));
  }
  return RunManual(requests, options);
}

Status DbImpl::RunManual(const std::vector<std::shared_ptr<ManualCompaction>>& requests,
                         const CompactOptions& options) {
  uint64_t reported = 0, reported_total = 0;
  const auto report = [&](bool finished) {
    if (!options.progress) return;
    uint64_t done = 0, total = 0;
    for (const auto& request : requests) {
      done += request->done_bytes.load();
      total += std::max(request->total_bytes.load(), request->done_bytes.load());
    }
    reported_total = std::max(reported_total, total);
    const uint64_t now = finished ? reported_total : std::max(reported, done);
    if (now == reported && !finished) return;
    reported = now;
    options.progress(now, reported_total);
  };
  std::unique_lock lock(mutex_);
  for (const auto& request : requests) {
    request->walk.first_new = next_file_.load();
    request->total_bytes = EstimateManual(*request);
    manual_.push_back(request);
  }
  ScheduleWork();
  const auto all_done = [&] {
    return std::all_of(requests.begin(), requests.end(), [](const auto& r) { return r->done; });
  };
  while (!all_done()) {
    done_cv_.wait_for(lock, kManualPoll);
    if (all_done()) break;
    lock.unlock();
    report(/*finished=*/false);
    const bool cancelled = options.cancelled && options.cancelled();
    lock.lock();
    if (!cancelled && !closed_ && !stopping_ && !failed_) continue;
    // A step that runs ends within a chunk; what waits for its turn ends here.
    for (const auto& request : requests) {
      request->cancelled = true;
      if (request->running || request->done) continue;
      request->status = MakeError(ErrorCode::kAborted, cancelled ? "the compaction was cancelled"
                                                                 : "the database is closing");
      request->done = true;
      std::erase(manual_, request);
    }
  }
  lock.unlock();
  MARBLE_RETURN_NOT_OK(CheckWritable());
  for (const auto& request : requests) MARBLE_RETURN_NOT_OK(request->status);
  report(/*finished=*/true);
  return Status::OK();
}

}  // namespace marble::lsm
