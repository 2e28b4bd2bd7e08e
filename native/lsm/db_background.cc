// The background thread: flushes sealed generations, oldest first; compacts when there is
// nothing to flush. Between two chunks of a compaction it flushes what has become due.
#include <arrow/api.h>

#include <algorithm>
#include <chrono>

#include "lsm/compaction/compaction_job.h"
#include "lsm/compaction/flush_job.h"
#include "lsm/db_impl.h"
#include "lsm/wal/log_format.h"

namespace marble::lsm {
namespace {

int64_t MicrosSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                               start)
      .count();
}

void AddFiles(const std::vector<FileMeta>& files, DbEvent* event) {
  for (const FileMeta& file : files) {
    ++event->files;
    event->bytes += file.arrow_bytes + file.idx_bytes;
    event->rows += file.rows;
  }
}

}  // namespace

void DbImpl::BackgroundLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    TableHandle compact;
    bool requested = false;
    work_cv_.wait(lock, [&] {
      if (stopping_) return true;
      if (failed_.load()) return !compaction_requests_.empty();
      if (!sealed_.empty() || !compaction_requests_.empty()) return true;
      compact = PickCompaction();
      return compact != nullptr;
    });
    if (stopping_) return;
    if (!failed_.load() && !sealed_.empty()) {
      lock.unlock();
      const Status flushed = FlushOldest();
      if (!flushed.ok()) SetBackgroundError(flushed);
      lock.lock();
      done_cv_.notify_all();
      continue;
    }
    if (!compaction_requests_.empty()) {
      compact = compaction_requests_.front();
      compaction_requests_.pop_front();
      requested = true;
    }
    if (!failed_.load() && compact != nullptr) {
      lock.unlock();
      const Status compacted = CompactTable(compact);
      if (!compacted.ok() && CodeOf(compacted) != ErrorCode::kAborted) {
        SetBackgroundError(compacted);
      }
      lock.lock();
    }
    if (requested) ++compactions_finished_;
    done_cv_.notify_all();
  }
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
  return options;
}

SstReaderOptions DbImpl::ReaderOptionsOf(const TableInfo& info) const {
  SstReaderOptions options;
  options.file_system = options_.file_system;
  options.dir = dir_;
  options.schema = info.descriptor.schema;
  options.codec = info.codec;
  options.verify = options_.verify_reads;
  return options;
}

Result<std::vector<LevelFile>> DbImpl::OpenFiles(const TableInfo& info,
                                                 const std::vector<FileMeta>& metas) {
  std::vector<LevelFile> files;
  for (const FileMeta& meta : metas) {
    MARBLE_ASSIGN_OR_RETURN(auto reader, SstReader::Open(ReaderOptionsOf(info), meta));
    files.push_back(
        {meta.level, std::make_shared<SstFile>(options_.file_system, dir_, std::move(reader),
                                               options_.verify_reads != VerifyReads::kAlways)});
  }
  return files;
}

Status DbImpl::LogAndInstall(const std::function<std::optional<VersionEdit>()>& make_edit,
                             const std::function<void()>& install) {
  std::lock_guard manifest_lock(manifest_mutex_);
  const std::optional<VersionEdit> edit = make_edit();
  if (!edit) return Status::OK();
  MARBLE_RETURN_NOT_OK(manifest_->Append(*edit));
  std::lock_guard lock(mutex_);
  install();
  return Status::OK();
}

void DbImpl::Reinstall(TableState* table, const Memtable* flushed, std::vector<LevelFile> added,
                       const std::vector<SstFileRef>& removed) {
  const SuperVersionRef old = table->super_version();
  auto next = std::make_shared<SuperVersion>();
  for (const auto& memtable : old->memtables) {
    if (memtable.get() != flushed) next->memtables.push_back(memtable);
  }
  std::vector<SstFileRef> gone;  // a file that only moves is in both lists
  for (const auto& file : removed) {
    const auto same = [&file](const LevelFile& a) { return a.file == file; };
    if (std::none_of(added.begin(), added.end(), same)) gone.push_back(file);
  }
  next->files = added.empty() && removed.empty()
                    ? old->files
                    : ChangeTableVersion(*old->files, removed, std::move(added));
  table->InstallSuperVersion(std::move(next));
  for (const auto& file : gone) file->obsolete.store(true, std::memory_order_release);
}

Status DbImpl::VerifySegments(const Generation& generation) const {
  if (generation.recovered) return Status::OK();
  const uint32_t seed = log_format::CrcSeed(reinterpret_cast<const uint8_t*>(database_id_.data()),
                                            generation.last_segment);
  for (const auto& segment : generation.segments) {
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
      if (header.type == static_cast<uint8_t>(RecordType::kSegmentEnd)) break;
      offset = layout.end;
    }
  }
  return Status::OK();
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
    if (sealed_.empty()) return Status::OK();
    generation = sealed_.front();
    for (const auto& memtable : generation->memtables) {
      if (memtable == nullptr) continue;
      const auto it = tables_.find(memtable->info().id());
      if (it != tables_.end()) work.push_back({it->second, memtable, {}, {}});
    }
  }
  MARBLE_RETURN_NOT_OK(log_->background_error());
  MARBLE_RETURN_NOT_OK(VerifySegments(*generation));
  bool any = false;
  for (Flushed& item : work) {
    const SuperVersionRef version = item.table->super_version();
    // After the generation was sealed: whoever takes a snapshot from now on sees all of it.
    MARBLE_ASSIGN_OR_RETURN(
        item.metas, FlushMemtable(item.table->info_ref(), item.memtable.get(), *version->files,
                                  RulesFor(*item.table), NewRunOptions()));
    any = any || !item.metas.empty();
  }
  if (any) MARBLE_RETURN_NOT_OK(options_.file_system->SyncDir(dir_));
  DbEvent event{DbEvent::Kind::kFlush, "flushed a memtable generation"};
  for (Flushed& item : work) {
    MARBLE_ASSIGN_OR_RETURN(item.files, OpenFiles(item.table->info(), item.metas));
    AddFiles(item.metas, &event);
  }
  MARBLE_RETURN_NOT_OK(LogAndInstall(
      [&]() -> std::optional<VersionEdit> {
        VersionEdit edit;
        for (const Flushed& item : work) {
          if (item.table->dropped()) {
            for (const auto& [level, file] : item.files) file->obsolete.store(true);
            continue;
          }
          edit.added_files.insert(edit.added_files.end(), item.metas.begin(), item.metas.end());
        }
        edit.next_file_number = next_file_.load();
        edit.log_first_segment = generation->last_segment + 1;
        edit.log_position = generation->end;
        edit.last_sequence = std::max(manifest_->state().last_sequence, generation->last_sequence);
        return edit;
      },
      [&] {
        for (Flushed& item : work) {
          item.table->memtable_size_hint.store(item.memtable->num_keys());
          if (item.table->dropped()) continue;
          Reinstall(item.table.get(), item.memtable.get(), std::move(item.files), {});
        }
        sealed_.pop_front();
        num_sealed_.store(static_cast<int>(sealed_.size()));
        flushed_generation_ = generation->id;
      }));
  // Only now: the manifest no longer needs these segments.
  for (const std::string& path : generation->log_paths) (void)options_.file_system->Remove(path);
  DbCounters::Add(counters_->flushes);
  done_cv_.notify_all();
  event.micros = MicrosSince(start);
  Emit(std::move(event));
  return Status::OK();
}

TableHandle DbImpl::PickCompaction() {
  for (const auto& [id, table] : tables_) {
    if (!table->info().keyed()) continue;
    const SuperVersionRef version = table->super_version();
    if (static_cast<int>(version->files->level0.size()) >=
        std::max(2, options_.compaction_trigger)) {
      return table;
    }
  }
  return nullptr;
}

Status DbImpl::CompactTable(const TableHandle& table) {
  const auto start = std::chrono::steady_clock::now();
  const std::shared_ptr<const TableVersion> files = table->super_version()->files;
  if (table->dropped() || !table->info().keyed() || !NeedsCompaction(*files, RulesFor(*table))) {
    return Status::OK();
  }
  const FoldRules rules = RulesFor(*table);
  RunWriterOptions options = NewRunOptions();
  options.between_chunks = [this]() -> Status {
    while (true) {
      {
        std::lock_guard lock(mutex_);
        if (stopping_) return MakeError(ErrorCode::kAborted, "the database is closing");
        if (sealed_.empty()) return Status::OK();
      }
      MARBLE_RETURN_NOT_OK(FlushOldest());
    }
  };
  MARBLE_ASSIGN_OR_RETURN(const std::vector<FileMeta> metas,
                          CompactFiles(table->info_ref(), *files, rules, options));
  if (!metas.empty()) MARBLE_RETURN_NOT_OK(options_.file_system->SyncDir(dir_));
  MARBLE_ASSIGN_OR_RETURN(std::vector<LevelFile> opened, OpenFiles(table->info(), metas));
  std::vector<SstFileRef> removed;
  files->ForEachFile([&](int, const SstFileRef& file) { removed.push_back(file); });
  MARBLE_RETURN_NOT_OK(LogAndInstall(
      [&]() -> std::optional<VersionEdit> {
        if (table->dropped()) {
          for (const auto& [level, file] : opened) file->obsolete.store(true);
          return std::nullopt;
        }
        VersionEdit edit;
        edit.added_files = metas;
        for (const auto& file : removed) {
          edit.removed_files.emplace_back(table->id(), file->meta.number);
        }
        edit.next_file_number = next_file_.load();
        return edit;
      },
      [&] { Reinstall(table.get(), nullptr, std::move(opened), removed); }));
  DbCounters::Add(counters_->compactions);
  DbEvent event{DbEvent::Kind::kCompaction, "merged the files of '" + table->info().name() + "'"};
  AddFiles(metas, &event);
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

namespace {
Status Stopped() {
  return MakeError(ErrorCode::kAborted,
                   "the database's background work was stopped: it is closing");
}
}  // namespace

Status DbImpl::Flush() {
  const CallGuard guard(&calls_);
  const auto run = [this]() -> Status {
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
      done_cv_.wait(lock,
                    [&] { return flushed_generation_ >= target || failed_.load() || stopping_; });
      if (flushed_generation_ < target && stopping_) return Stopped();
    }
    return CheckWritable();
  };
  return run();
}

Status DbImpl::Compact(const std::string& name) {
  MARBLE_RETURN_NOT_OK(CheckOpen());
  std::vector<TableHandle> targets;
  if (name.empty()) {
    std::lock_guard lock(mutex_);
    for (const auto& [id, table] : tables_) targets.push_back(table);
  } else {
    MARBLE_ASSIGN_OR_RETURN(auto table, GetTable(name));
    targets.push_back(std::move(table));
  }
  const CallGuard guard(&calls_);
  const auto run = [&]() -> Status {
    MARBLE_RETURN_NOT_OK(Flush());
    std::unique_lock lock(mutex_);
    for (auto& table : targets) compaction_requests_.push_back(std::move(table));
    compactions_requested_ += targets.size();
    const uint64_t ticket = compactions_requested_;
    work_cv_.notify_one();
    done_cv_.wait(lock, [&] { return compactions_finished_ >= ticket || stopping_; });
    if (compactions_finished_ < ticket) return Stopped();
    lock.unlock();
    return CheckWritable();
  };
  return run();
}

Status DbImpl::SyncLog() {
  const CallGuard guard(&calls_);
  Status status = CheckOpen();
  if (status.ok()) status = log_->Sync(log_->published());
  return status;
}

}  // namespace marble::lsm
