// Background work: what is due and where it runs, flushes, the installing of files, and what
// becomes of errors. Compactions are in db_compaction.cc.
#include <arrow/api.h>

#include <algorithm>
#include <chrono>

#include "lsm/compaction/flush_job.h"
#include "lsm/db_impl.h"
#include "lsm/mutation.h"
#include "lsm/wal/log_format.h"

namespace marble::lsm {
namespace {

/// A full disk is looked at again after this long, then after twice as long each time.
constexpr std::chrono::milliseconds kFirstSpaceRetry{200};
constexpr std::chrono::milliseconds kLastSpaceRetry{10'000};

int64_t MicrosSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                               start)
      .count();
}

Status Stopped() {
  return MakeError(ErrorCode::kAborted,
                   "the database's background work was stopped: it is closing");
}

void AddFiles(const std::vector<FileMeta>& files, DbEvent* event) {
  for (const FileMeta& file : files) {
    ++event->files;
    event->bytes += file.arrow_bytes + file.idx_bytes;
    event->rows += file.rows;
  }
}

}  // namespace

void DbImpl::ScheduleWork() {
  if (executor_ == nullptr || stopping_ || failed_) return;
  if (!sealed_.empty() && !flushing_ && !flush_backoff_.waiting) {
    flushing_ = true;
    executor_->Submit(Executor::Kind::kFlush, [this] { FlushWork(); });
  }
  while (static_cast<int>(running_.size()) < max_compactions_) {
    auto task = PickTask();
    if (task == nullptr) break;
    executor_->Submit(Executor::Kind::kCompaction, [this, task] { CompactionWork(task); });
  }
  WatchExpiry();
}

void DbImpl::FlushWork() {
  while (true) {
    uint64_t bytes;
    {
      std::lock_guard lock(mutex_);
      if (stopping_ || failed_ || sealed_.empty()) {
        flushing_ = false;
        return;
      }
      bytes = sealed_.front()->log_bytes;
    }
    const Status flushed = FlushOldest();
    const bool full = CodeOf(flushed) == ErrorCode::kNoSpace && !failed_.load();
    if (!flushed.ok() && !full) SetBackgroundError(flushed);
    if (full) {
      DbEvent event{DbEvent::Kind::kNoSpace, "a flush is tried again later: " + MessageOf(flushed)};
      Emit(std::move(event));
    }
    {
      std::lock_guard lock(mutex_);
      flush_error_ = flushed;
      if (full) {
        ++flush_failures_;
        flushing_ = false;
        BackOff(&flush_backoff_, Executor::Kind::kFlush, bytes);
      } else if (flushed.ok()) {
        flush_backoff_ = {};
      }
      UpdateStall();
      ScheduleWork();
      done_cv_.notify_all();
    }
    AnnounceStallEnd();
    if (full) return;
  }
}

void DbImpl::UpdateStall() {
  WriteStall::Load load;
  load.sealed = static_cast<int>(sealed_.size());
  for (const auto& [id, table] : tables_) {
    load.pending_bytes += table->shape.pending_bytes;
    if (!table->info().keyed()) continue;  // its files are read one after the other anyway
    load.level0_files = std::max(load.level0_files, table->super_version()->files->level0.size());
  }
  const bool stopped = stall_.stopped();
  stall_.Update(load);
  if (stopped && !stall_.stopped()) done_cv_.notify_all();
}

void DbImpl::AnnounceStallEnd() {
  if (!stall_announced_.load(std::memory_order_relaxed)) return;
  DbEvent event{DbEvent::Kind::kStall, "writes go on"};
  {
    std::lock_guard lock(mutex_);
    if (stall_.reason() != StallReason::kNone || !stall_announced_.exchange(false)) return;
    event.micros = MicrosSince(stall_since_);
  }
  Emit(std::move(event));
}

void DbImpl::BackOff(SpaceBackoff* backoff, Executor::Kind kind, uint64_t needed_bytes) {
  backoff->delay = std::clamp(backoff->delay * 2, kFirstSpaceRetry, kLastSpaceRetry);
  backoff->needed_bytes = needed_bytes;
  backoff->waiting = true;
  executor_->Submit(
      kind, [this, backoff, kind] { RetryAfterBackoff(backoff, kind); }, backoff->delay);
}

void DbImpl::RetryAfterBackoff(SpaceBackoff* backoff, Executor::Kind kind) {
  const Result<io::SpaceInfo> space = options_.file_system->DiskSpace(dir_);
  std::lock_guard lock(mutex_);
  if (!backoff->waiting) return;  // somebody did not want to wait
  // What is needed is an upper bound: now and then it is tried with less.
  if (space.ok() && space->free_bytes < backoff->needed_bytes && backoff->delay < kLastSpaceRetry) {
    BackOff(backoff, kind, backoff->needed_bytes);
    return;
  }
  backoff->waiting = false;
  for (const auto& [id, table] : tables_) table->check_compaction = true;
  ScheduleWork();
}

FoldRules DbImpl::RulesFor(const TableState& table) const {
  FoldRules rules;
  rules.snapshots = snapshots_->Collect();
  if (table.info().expires()) {
    rules.expired_ms = snapshots_->OldestTime(options_.clock->NowMs());
  }
  rules.filter = table.compaction_filter();
  return rules;
}

RunWriterOptions DbImpl::NewRunOptions() {
  RunWriterOptions options;
  options.file_system = options_.file_system;
  options.dir = dir_;
  options.next_number = [this] { return next_file_.fetch_add(1); };
  options.max_batch_bytes = static_cast<int64_t>(budget_->chunk_bytes());
  return options;
}

SstReaderOptions DbImpl::ReaderOptionsOf(const TableInfo& info, LoadIndex load) const {
  SstReaderOptions options;
  options.load = load;
  options.file_system = options_.file_system;
  options.dir = dir_;
  options.schema = info.descriptor.schema;
  options.codec = info.codec;
  options.field_ids = info.descriptor.field_ids;
  options.verify = options_.verify_reads;
  options.decoded = decoded_;
  return options;
}

Result<std::vector<LevelFile>> DbImpl::OpenFiles(const TableInfo& info,
                                                 const std::vector<FileMeta>& metas,
                                                 LoadIndex load) {
  std::vector<LevelFile> files;
  const SstReaderOptions options = ReaderOptionsOf(info, load);
  for (const FileMeta& meta : metas) {
    MARBLE_ASSIGN_OR_RETURN(auto reader, SstReader::Open(options, meta));
    files.push_back({meta.level, std::make_shared<SstFile>(
                                     options_.file_system, dir_, std::move(reader),
                                     options_.verify_reads != VerifyReads::kAlways, budget_)});
  }
  return files;
}

Status DbImpl::LogAndInstall(const std::function<Result<std::optional<VersionEdit>>()>& make_edit,
                             const std::function<void()>& install) {
  const task::BlockingScope blocking;  // for the lock, and for the fsync
  std::lock_guard manifest_lock(manifest_mutex_);
  MARBLE_RETURN_NOT_OK(BeginLocked());
  MARBLE_ASSIGN_OR_RETURN(const std::optional<VersionEdit> edit, make_edit());
  if (!edit) return Status::OK();
  const Status logged = manifest_->Append(*edit);
  if (!logged.ok()) {
    // A full disk may pass; anything else leaves it open what the manifest says.
    if (!manifest_->usable() || CodeOf(logged) != ErrorCode::kNoSpace) SetBackgroundError(logged);
    return logged;
  }
  std::lock_guard lock(mutex_);
  install();
  return Status::OK();
}

void DbImpl::Reinstall(TableState* table, const Memtable* flushed, std::vector<LevelFile> added,
                       const std::vector<SstFileRef>& removed) {
  const SuperVersionRef old = table->super_version();
  auto next = std::make_shared<SuperVersion>();
  next->info = old->info;
  for (const auto& memtable : old->memtables) {
    if (memtable.get() != flushed) next->memtables.push_back(memtable);
  }
  std::vector<SstFileRef> gone;  // a file that only moves is in both lists
  for (const auto& file : removed) {
    const auto same = [&file](const LevelFile& a) { return a.file->pair == file->pair; };
    if (std::none_of(added.begin(), added.end(), same)) gone.push_back(file);
  }
  next->files = added.empty() && removed.empty()
                    ? old->files
                    : ChangeTableVersion(*old->files, removed, std::move(added));
  table->InstallSuperVersion(std::move(next));
  UpdateShape(table);
  UpdateStall();
  for (const auto& file : gone) file->pair->obsolete.store(true);
}

void DbImpl::RemoveFiles(const std::vector<FileMeta>& metas) {
  if (failed_.load()) return;
  for (const FileMeta& meta : metas) {
    (void)options_.file_system->Remove(dir_ + "/" + SstArrowName(meta.number));
    (void)options_.file_system->Remove(dir_ + "/" + SstIdxName(meta.number));
  }
}

Result<LogPosition> DbImpl::VerifySegments(const Generation& generation) const {
  LogPosition end = generation.end;
  if (generation.recovered) return end;
  const uint32_t seed = log_format::CrcSeed(reinterpret_cast<const uint8_t*>(database_id_.data()),
                                            generation.last_segment);
  for (const auto& segment : generation.segments) {
    std::string why;
    MARBLE_ASSIGN_OR_RETURN(
        const auto begin, log_format::DecodeSegmentHeader(segment->data(), segment->size(), &why));
    if (!begin) {
      return MakeError(ErrorCode::kCorruption, "log segment " + segment->path() +
                                                   ", offset 0: " + why + " when it was flushed");
    }
    size_t offset = log_format::kSegmentHeaderBytes;
    while (true) {
      log_format::RecordHeader header;
      log_format::RecordLayout layout;
      const char* why = "";
      if (!log_format::DecodeRecord(segment->data(), segment->size(), offset,
                                    generation.last_segment, seed, &header, &layout, &why)) {
        return MakeError(ErrorCode::kCorruption, "log segment " + segment->path() + ", offset " +
                                                     std::to_string(offset) + ": " + why +
                                                     " when it was flushed");
      }
      offset = layout.end;
      if (header.type == static_cast<uint8_t>(RecordType::kSegmentEnd)) break;
    }
    end = begin->base + offset;
  }
  return end;
}

Status DbImpl::FlushOldest() {
  const auto start = std::chrono::steady_clock::now();
  struct Flushed {
    TableHandle table;
    std::shared_ptr<Memtable> memtable;
    std::vector<FileMeta> metas;
    std::vector<LevelFile> files;
  };
  std::shared_ptr<Generation> generation;
  std::vector<Flushed> work;
  {
    std::lock_guard lock(mutex_);
    generation = sealed_.front();
    for (const auto& memtable : generation->memtables) {
      if (memtable == nullptr) continue;
      const auto it = tables_.find(memtable->info().id());
      if (it != tables_.end()) work.push_back({it->second, memtable, {}, {}});
    }
  }
  MARBLE_RETURN_NOT_OK(log_->background_error());
  MARBLE_ASSIGN_OR_RETURN(const LogPosition log_position, VerifySegments(*generation));
  DbEvent event{DbEvent::Kind::kFlush, "flushes a memtable generation"};
  event.phase = DbEvent::Phase::kBegin;
  Emit(event);
  const auto write = [&]() -> Status {
    // After the generation was sealed: whoever takes a snapshot from now on sees all of it.
    for (Flushed& item : work) {
      // Compactions may replace these files meanwhile: then they hold no other keys than now.
      const SuperVersionRef version = item.table->super_version();
      MARBLE_ASSIGN_OR_RETURN(
          item.metas, FlushMemtable(item.table->info_ref(), item.memtable.get(), *version->files,
                                    RulesFor(*item.table), NewRunOptions(), budget_.get(),
                                    executor_->scheduler()));
      AddFiles(item.metas, &event);
    }
    if (event.files > 0 && !Mutated(Mutant::kDropFolderFsync)) {
      MARBLE_RETURN_NOT_OK(options_.file_system->SyncDir(dir_));
    }
    for (Flushed& item : work) {
      // Nobody alters a table that has something in memory.
      MARBLE_ASSIGN_OR_RETURN(item.files, OpenFiles(item.memtable->info(), item.metas));
    }
    event.phase = DbEvent::Phase::kInstall;
    Emit(event);
    if (Mutated(Mutant::kRemoveLogEarly)) {
      for (const std::string& log : generation->log_paths) {
        (void)options_.file_system->Remove(log);
      }
    }
    return LogAndInstall(
        [&]() -> Result<std::optional<VersionEdit>> {
          VersionEdit edit;
          for (const Flushed& item : work) {
            if (item.table->dropped()) {
              for (const auto& [level, file] : item.files) file->pair->obsolete.store(true);
              continue;
            }
            edit.added_files.insert(edit.added_files.end(), item.metas.begin(), item.metas.end());
          }
          edit.next_file_number = next_file_.load();
          edit.log_first_segment = generation->last_segment + 1;
          edit.log_position = log_position;
          edit.last_sequence =
              std::max(manifest_->state().last_sequence, generation->last_sequence);
          return edit;
        },
        [&] {
          for (Flushed& item : work) {
            item.table->memtable_size_hint.store(item.memtable->num_keys());
            if (item.table->dropped()) continue;
            for (const FileMeta& meta : item.metas) {
              item.table->flushed_bytes += meta.arrow_bytes + meta.idx_bytes;
            }
            Reinstall(item.table.get(), item.memtable.get(), std::move(item.files), {});
          }
          sealed_.pop_front();
          flushed_generation_ = generation->id;
          UpdateStall();
        });
  };
  const Status written = write();
  if (!written.ok()) {
    for (Flushed& item : work) {
      item.files.clear();  // unmapped before they are removed
      RemoveFiles(item.metas);
    }
    return written;
  }
  // Only now: the manifest no longer needs these segments. Copies and the change feed may.
  log_pins_->Drop(generation->recovered ? generation->log_paths : std::vector<std::string>(),
                  generation->last_segment, generation->last_sequence);
  DbCounters::Add(counters_->flushes);
  event.phase = DbEvent::Phase::kEnd;
  event.message = "flushed a memtable generation";
  event.micros = MicrosSince(start);
  Emit(std::move(event));
  return Status::OK();
}

void DbImpl::SetBackgroundError(const Status& status) {
  {
    std::lock_guard lock(mutex_);
    if (!background_error_.ok()) return;
    background_error_ = status;
  }
  // The event comes before anybody is refused because of it.
  Emit({DbEvent::Kind::kBackgroundError, MessageOf(status)});
  std::lock_guard lock(mutex_);
  failed_.store(true, std::memory_order_release);
  done_cv_.notify_all();
}

Status DbImpl::Flush() {
  const CallGuard guard(&calls_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  MARBLE_RETURN_NOT_OK(CheckWritable());
  bool roll;
  {
    std::lock_guard lock(mutex_);
    roll = active_ != nullptr;
  }
  if (roll) MARBLE_RETURN_NOT_OK(log_->Roll([this] { Seal(); }).status());
  {
    std::unique_lock lock(mutex_);
    const uint64_t target = sealed_.empty() ? flushed_generation_ : sealed_.back()->id;
    const uint64_t failures = flush_failures_;
    if (flush_backoff_.waiting) {  // the caller wants to know now
      flush_backoff_.waiting = false;
      ScheduleWork();
    }
    done_cv_.wait(lock, [&] {
      return flushed_generation_ >= target || failed_ || stopping_ || flush_failures_ > failures;
    });
    if (flushed_generation_ < target && !failed_) return stopping_ ? Stopped() : flush_error_;
  }
  return CheckWritable();
}

Status DbImpl::SyncLog() {
  const CallGuard guard(&calls_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  if (!begun_.load(std::memory_order_acquire)) return Status::OK();  // nothing was written
  return log_->Sync(log_->published());
}

}  // namespace marble::lsm
