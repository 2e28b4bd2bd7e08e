// Opening, recovering and closing a database. The order of steps is in README.md.
#include <arrow/api.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <set>
#include <thread>

#include "io/memory_file_system.h"
#include "lsm/db_impl.h"

namespace marble::lsm {
namespace {

constexpr char kMemoryPath[] = ":memory:";
/// Where the files of a database in memory lie, in a file system of its own.
constexpr char kMemoryDir[] = "/marbledb";

/// Random, so that log segments of two databases cannot be mixed up.
std::string NewDatabaseId() {
  std::random_device random;
  std::string id;
  while (id.size() < 16) {
    const uint32_t word = random();
    id.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return id;
}

int DefaultThreads() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / 2);
}

int MaxCompactions(const DbOptions& o) {
  return o.max_compactions > 0 ? o.max_compactions : DefaultThreads();
}
int MaxParts(const DbOptions& o) {
  return o.max_subcompactions > 0 ? o.max_subcompactions : MaxCompactions(o);
}
/// Of memtables: those that wait for their flush, and the active one.
int Generations(const DbOptions& o) { return std::max(1, o.max_immutable_generations) + 1; }

uint64_t DecodedCacheBytes(const DbOptions& o) {
  if (o.decoded_cache_bytes != 0) return o.decoded_cache_bytes;
  return o.memory_budget_bytes == 0 ? limits::kDecodedCacheBytes
                                    : o.memory_budget_bytes / MemoryBudget::kDecodedPart;
}

int Trigger(const DbOptions& o) { return std::max(2, o.compaction_trigger); }
int Level0Slowdown(const DbOptions& o) {
  return o.level0_slowdown_files > 0 ? o.level0_slowdown_files : 3 * Trigger(o);
}
int Level0Stop(const DbOptions& o) {
  if (o.level0_stop_files > 0) return o.level0_stop_files;
  return std::max(6 * Trigger(o), 2 * Level0Slowdown(o));
}

/// Options that would leave writers waiting for ever, or mean nothing.
Status CheckOptions(const DbOptions& o) {
  const auto bad = [](const std::string& what) {
    return MakeError(ErrorCode::kInvalidArgument, "database options: " + what);
  };
  const auto number = [](auto value) { return std::to_string(value); };
  if (o.compaction_trigger < 1) {
    return bad("compactionTrigger is " + number(o.compaction_trigger) + ", not at least 1");
  }
  if (o.level0_slowdown_files < 0 || o.level0_stop_files < 0 || o.max_compactions < 0 ||
      o.max_subcompactions < 0) {
    return bad(
        "level0SlowdownFiles, level0StopFiles, maxCompactions and maxSubcompactions must "
        "not be negative");
  }
  // Else writers would be held up before a compaction is due that could help.
  if (Level0Slowdown(o) <= Trigger(o)) {
    return bad("level0SlowdownFiles (" + number(Level0Slowdown(o)) +
               ") must be more than compactionTrigger (" + number(Trigger(o)) + ")");
  }
  if (Level0Stop(o) < Level0Slowdown(o)) {
    return bad("level0StopFiles (" + number(Level0Stop(o)) +
               ") must not be less than level0SlowdownFiles (" + number(Level0Slowdown(o)) + ")");
  }
  if (o.memory_budget_bytes != 0 && o.memory_budget_bytes < MemoryBudget::kLeast) {
    return bad("memoryBudgetBytes is " + number(o.memory_budget_bytes) + ", not at least " +
               number(MemoryBudget::kLeast));
  }
  if (o.memory_budget_bytes != 0 &&
      o.decoded_cache_bytes > o.memory_budget_bytes / MemoryBudget::kDecodedPart) {
    return bad(
        "decodedCacheBytes is " + number(o.decoded_cache_bytes) + ", more than its share of " +
        number(o.memory_budget_bytes / MemoryBudget::kDecodedPart) + " of memoryBudgetBytes");
  }
  if (o.level_base_bytes == 0) return bad("levelBaseBytes must not be 0");
  if (!(o.level_multiplier >= 2 && o.level_multiplier <= 1000)) {
    return bad("levelMultiplier is " + number(o.level_multiplier) + ", not between 2 and 1000");
  }
  if (o.target_file_bytes == 0 || o.target_file_bytes > limits::kMaxSstBytes) {
    return bad("targetFileBytes is " + number(o.target_file_bytes) + ", not between 1 and " +
               number(limits::kMaxSstBytes));
  }
  if (o.pending_compaction_slowdown_bytes == 0 ||
      o.pending_compaction_stop_bytes < o.pending_compaction_slowdown_bytes) {
    return bad("pendingCompactionStopBytes (" + number(o.pending_compaction_stop_bytes) +
               ") must not be less than pendingCompactionSlowdownBytes (" +
               number(o.pending_compaction_slowdown_bytes) + "), nor that be 0");
  }
  return Status::OK();
}

LevelOptions LevelOptionsOf(const DbOptions& o) {
  LevelOptions levels;
  levels.level0_files = Trigger(o);
  levels.level0_most_files = std::min(2 * Trigger(o), Level0Slowdown(o));
  levels.base_bytes = o.level_base_bytes;
  levels.multiplier = o.level_multiplier;
  levels.file_bytes = o.target_file_bytes;
  return levels;
}

StallLimits StallLimitsOf(const DbOptions& o) {
  StallLimits limits;
  limits.max_sealed = std::max(1, o.max_immutable_generations);
  limits.segment_bytes = o.log_segment_bytes;
  limits.level0_slowdown = static_cast<size_t>(Level0Slowdown(o));
  limits.level0_stop = static_cast<size_t>(Level0Stop(o));
  limits.pending_slowdown = o.pending_compaction_slowdown_bytes;
  limits.pending_stop = o.pending_compaction_stop_bytes;
  return limits;
}

/// Create the folder, with those above it, so that it survives a power loss: each in its parent.
Status CreateDatabaseDir(io::FileSystem* files, const std::string& dir) {
  // A database that exists has a durable folder. Of one that is being made the folder may be there
  // already and still not be durable: a process that was killed made it.
  MARBLE_ASSIGN_OR_RETURN(const bool exists, files->Exists(dir + "/" + kCurrentName));
  if (exists) return Status::OK();
  std::vector<std::string> parents = {io::ParentOf(dir)};
  while (true) {
    MARBLE_ASSIGN_OR_RETURN(const bool there, files->Exists(parents.back()));
    const std::string above = io::ParentOf(parents.back());
    if (there || above == parents.back()) break;
    parents.push_back(above);
  }
  MARBLE_RETURN_NOT_OK(files->CreateDirs(dir));
  for (const std::string& parent : parents) {
    const Status synced = files->SyncDir(parent);
    // A folder that may be passed but not read (a home folder, say) cannot be synced.
    if (!synced.ok() && files->List(parent).ok()) {
      return MakeError(CodeOf(synced), "make the folder " + dir + " durable: " + MessageOf(synced));
    }
  }
  return Status::OK();
}

}  // namespace

DbImpl::DbImpl(std::string path, std::string dir, DbOptions options)
    : path_(std::move(path)),
      dir_(std::move(dir)),
      options_(std::move(options)),
      budget_(std::make_shared<MemoryBudget>(options_.memory_budget_bytes, Generations(options_),
                                             1 + MaxCompactions(options_) * MaxParts(options_))),
      decoded_(std::make_shared<DecodedCache>(DecodedCacheBytes(options_), budget_)),
      apply_([this](const PublishedRecord& record) { return Apply(record, {}); }),
      picker_(LevelOptionsOf(options_)),
      max_compactions_(MaxCompactions(options_)),
      rate_limiter_(options_.compaction_bytes_per_second),
      stall_(StallLimitsOf(options_)) {}

Result<std::shared_ptr<DB>> DbImpl::Open(const std::string& path, const DbOptions& given) {
  if (path.empty()) return MakeError(ErrorCode::kInvalidArgument, "a database needs a path");
  MARBLE_RETURN_NOT_OK(CheckOptions(given));
  DbOptions options = given;
  std::string dir = path;
  if (path == kMemoryPath) {
    options.file_system = std::make_shared<io::MemoryFileSystem>();
    dir = kMemoryDir;
  } else if (options.file_system == nullptr) {
    MARBLE_ASSIGN_OR_RETURN(auto resolved, io::ResolvePath(path));
    options.file_system = std::move(resolved.file_system);
    dir = std::move(resolved.path);
  }
  MARBLE_ASSIGN_OR_RETURN(const bool exists, options.file_system->Exists(dir));
  if (!exists && !options.create_if_missing && path != kMemoryPath) {
    return MakeError(ErrorCode::kNotFound,
                     "there is no database at " + path + ", and the option create is false");
  }
  MARBLE_RETURN_NOT_OK(CreateDatabaseDir(options.file_system.get(), dir));
  std::shared_ptr<DbImpl> db(new DbImpl(path, std::move(dir), std::move(options)));
  const Status started = db->Start();
  if (!started.ok()) {
    (void)db->Close();
    return started;
  }
  return std::shared_ptr<DB>(std::move(db));
}

Status DbImpl::Start() {
  MARBLE_ASSIGN_OR_RETURN(lock_, options_.file_system->Lock(dir_ + "/LOCK"));
  MARBLE_ASSIGN_OR_RETURN(auto loaded, ManifestLog::Load(options_.file_system.get(), dir_));
  ManifestState state;
  ManifestEnd manifest;
  bool torn = false;
  if (loaded) {
    manifest = loaded->end();
    state = std::move(loaded->state);
    torn = loaded->torn_tail;
    if (!options_.id.empty() && options_.id != state.integration_id) {
      return MakeError(ErrorCode::kIncompatible, "database " + path_ + " has id '" +
                                                     state.integration_id + "', not '" +
                                                     options_.id + "'");
    }
    options_.id = state.integration_id;
  } else {
    if (!options_.create_if_missing) {
      return MakeError(ErrorCode::kNotFound,
                       "there is no database at " + path_ + ", and the option create is false");
    }
    // Data without CURRENT is a damaged database, not a new one.
    MARBLE_ASSIGN_OR_RETURN(const auto names, options_.file_system->List(dir_));
    for (const std::string& name : names) {
      uint64_t number;
      if (ParseNumberedName(name, "", ".arrow", &number) ||
          ParseNumberedName(name, "", ".log", &number)) {
        return MakeError(ErrorCode::kCorruption, "database " + path_ + " has " + name +
                                                     " but no CURRENT file; restore a backup");
      }
    }
    state.database_id = NewDatabaseId();
    state.integration_id = options_.id;
  }
  const Status loaded_tables = LoadTables(state);
  if (CodeOf(loaded_tables) == ErrorCode::kCorruption) {
    return MakeError(ErrorCode::kCorruption, MessageOf(loaded_tables) +
                                                 " (which files there are is said by " +
                                                 ManifestName(manifest.number) + ")");
  }
  MARBLE_RETURN_NOT_OK(loaded_tables);
  MARBLE_RETURN_NOT_OK(Recover(std::move(state), manifest, torn));
  std::shared_ptr<task::TaskScheduler> scheduler = options_.scheduler;
  if (options_.threads > 0) {
    task::SchedulerOptions own;
    own.threads = options_.threads;
    MARBLE_ASSIGN_OR_RETURN(scheduler, task::TaskScheduler::Make(own));
  } else if (scheduler == nullptr) {
    MARBLE_ASSIGN_OR_RETURN(scheduler, SharedScheduler());
  }
  snapshots_->OnOldestReleased([this] { SnapshotReleased(); });
  std::lock_guard lock(mutex_);
  executor_ = std::make_unique<Executor>(std::move(scheduler));
  UpdateStall();
  ScheduleWork();
  return Status::OK();
}

Status DbImpl::LoadTables(const ManifestState& state) {
  std::map<TableId, std::vector<FileMeta>> files;
  for (const auto& [number, meta] : state.files) files[meta.table].push_back(meta);
  for (const auto& [id, descriptor] : state.tables) {
    MARBLE_ASSIGN_OR_RETURN(auto info, TableInfo::Make(descriptor));
    auto table = std::make_shared<TableState>(std::move(info), this, options_.clock);
    MARBLE_ASSIGN_OR_RETURN(auto opened,
                            OpenFiles(table->info(), files[id], LoadIndex::kAtFirstRead));
    auto version = std::make_shared<SuperVersion>();
    version->info = table->info_ref();
    version->files = ChangeTableVersion({}, {}, std::move(opened));
    table->InstallSuperVersion(std::move(version));
    UpdateShape(table.get());
    tables_[id] = table;
    tables_by_name_[descriptor.name] = table;
  }
  return Status::OK();
}

Status DbImpl::Recover(ManifestState state, const ManifestEnd& manifest, bool torn_manifest) {
  const auto start = std::chrono::steady_clock::now();
  next_file_.store(state.next_file_number);
  database_id_ = state.database_id;
  RecoveryOptions recovery;
  recovery.file_system = options_.file_system;
  recovery.dir = dir_;
  recovery.database_id = state.database_id;
  recovery.boot_id = options_.file_system->BootId();
  recovery.first_segment = state.log_first_segment;
  recovery.first_position = state.log_position;
  recovery.fixed_ends = state.fixed_ends;
  recovery.truncate_corruption = options_.recovery == Recovery::kTruncate;
  recovery.durable = manifest.closed_at.value_or(0);
  next_table_id_ = state.next_table_id;
  auto recovered = RecoverLog(recovery, apply_);
  if (CodeOf(recovered.status()) == ErrorCode::kCorruption && manifest.number > 0) {
    return MakeError(ErrorCode::kCorruption, MessageOf(recovered.status()) +
                                                 " (where the log begins is said by " +
                                                 ManifestName(manifest.number) + ")");
  }
  MARBLE_ASSIGN_OR_RETURN(const RecoveryResult result, std::move(recovered));
  state.next_table_id = std::max(state.next_table_id, next_table_id_);
  if (!recovery.truncate_corruption) {
    MARBLE_RETURN_NOT_OK(
        CheckClosedTogether(dir_, manifest, result, state.fixed_ends, state.log_first_segment));
  }

  // What was read now ends where it was found to end, whatever a later crash leaves.
  uint64_t last_segment = state.log_first_segment - 1;
  for (const FixedEnd& end : result.ends) {
    last_segment = std::max(last_segment, end.segment_id);
  }
  const uint64_t new_segment = last_segment + 1;
  const LogPosition position = std::max(state.log_position, result.end);
  const SequenceNumber last = std::max(state.last_sequence, result.last_sequence);
  visible_sequence_.store(last);
  if (active_ != nullptr) {
    active_->recovered = true;
    active_->last_segment = last_segment;
    active_->end = position;
    active_->log_paths.clear();
    for (const FixedEnd& end : result.ends) {
      active_->log_paths.push_back(dir_ + "/" + LogName(end.segment_id));
    }
    state.fixed_ends = result.ends;
  } else {
    state.log_first_segment = new_segment;
    state.log_position = position;
    state.last_sequence = last;
    state.fixed_ends.clear();
  }
  log_pins_ = std::make_shared<LogPins>(options_.file_system, dir_, options_.max_pinned_log_bytes);
  // What was replayed is flushed and dropped at once: the change feed begins here.
  log_pins_->Start(new_segment, last);
  const bool as_closed = manifest.closed_at && !torn_manifest && result.clean_close &&
                         result.truncation_reason.empty() && active_ == nullptr;
  {
    std::lock_guard lock(manifest_mutex_);
    beginning_ =
        Beginning{std::move(state),           manifest.number + 1, new_segment, position, last,
                  std::move(recovery.boot_id)};
    if (!as_closed) MARBLE_RETURN_NOT_OK(MakeBeginning());
  }
  Seal();  // what was recovered is flushed first

  if (torn_manifest || !result.truncation_reason.empty() || result.records > 0) {
    DbEvent event{DbEvent::Kind::kRecovery,
                  "replayed " + std::to_string(result.records) + " write batches"};
    if (!result.truncation_reason.empty()) {
      event.message +=
          "; cut " + std::to_string(result.truncated_bytes) + " bytes: " + result.truncation_reason;
    }
    if (torn_manifest) event.message += "; the last manifest edit was cut off";
    event.bytes = result.truncated_bytes;
    event.rows = result.records;
    event.micros = std::chrono::duration_cast<std::chrono::microseconds>(
                       std::chrono::steady_clock::now() - start)
                       .count();
    Emit(std::move(event));
  }
  return Status::OK();
}

Status DbImpl::BeginNow() {
  const task::BlockingScope blocking;  // for the lock, and for the fsyncs
  std::lock_guard lock(manifest_mutex_);
  return BeginLocked();
}

Status DbImpl::BeginLocked() {
  if (begun_.load(std::memory_order_relaxed)) return Status::OK();
  MARBLE_RETURN_NOT_OK(CheckWritable());
  const Status begun = MakeBeginning();
  // Of a manifest that could not be made durable nobody knows whether it is in force.
  if (!begun.ok() && CodeOf(begun) != ErrorCode::kNoSpace) SetBackgroundError(begun);
  return begun;
}

Status DbImpl::MakeBeginning() {
  if (manifest_ == nullptr) {  // else only the log was missing
    MARBLE_ASSIGN_OR_RETURN(manifest_,
                            ManifestLog::Create(options_.file_system.get(), dir_,
                                                beginning_->manifest_number, beginning_->state));
  }
  MARBLE_RETURN_NOT_OK(RemoveOrphans(manifest_->state(), manifest_->number()));
  LogOptions log;
  log.file_system = options_.file_system;
  log.dir = dir_;
  log.segment_bytes = options_.log_segment_bytes;
  log.boot_id = beginning_->boot_id;
  log.database_id = database_id_;
  MARBLE_ASSIGN_OR_RETURN(log_, LogWriter::Open(log, beginning_->segment, beginning_->position,
                                                beginning_->last_sequence + 1));
  beginning_.reset();
  begun_.store(true, std::memory_order_release);
  return Status::OK();
}

Status DbImpl::RemoveOrphans(const ManifestState& state, uint64_t manifest_number) {
  std::set<uint64_t> segments;
  for (const FixedEnd& end : state.fixed_ends) segments.insert(end.segment_id);
  MARBLE_ASSIGN_OR_RETURN(const auto names, options_.file_system->List(dir_));
  for (const std::string& name : names) {
    uint64_t number;
    bool orphan = false;
    if (ParseNumberedName(name, "", ".arrow", &number) ||
        ParseNumberedName(name, "", ".idx", &number)) {
      orphan = !state.files.contains(number);
    } else if (ParseNumberedName(name, "", ".log", &number)) {
      orphan = !segments.contains(number);
    } else if (ParseNumberedName(name, "MANIFEST-", "", &number)) {
      orphan = number != manifest_number;
    }
    if (orphan) MARBLE_RETURN_NOT_OK(options_.file_system->Remove(dir_ + "/" + name));
  }
  return Status::OK();
}

DbImpl::~DbImpl() { (void)Close(); }

void DbImpl::StopBackground() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    done_cv_.notify_all();
  }
  if (executor_ != nullptr) executor_->Stop();
}

Status DbImpl::Close() {
  if (closed_.exchange(true)) return Status::OK();
  snapshots_->OnOldestReleased(nullptr);
  changes_->closed.store(true);
  changes_->moved.notify_all();
  {
    std::lock_guard lock(mutex_);
    done_cv_.notify_all();  // those who wait for room or for a compaction
  }
  while (calls_.load() > 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
  StopBackground();
  Status status;
  // Of a database that nothing was written to, the end of the last session stands.
  if (log_ != nullptr) {
    // The log is durable, then the manifest says up to where, then the log says that it was closed:
    // so each end is told from one that was cut off.
    status = log_->Sync(log_->published());
    if (status.ok()) status = manifest_->Close(log_->published());
    const Status closed = log_->Close(status.ok());
    // No room to say so: nothing is lost, the next open takes it for a crash.
    if (CodeOf(status) == ErrorCode::kNoSpace) status = Status::OK();
    if (status.ok()) status = closed;
  }
  {
    // Memory goes now, except what iterators and values still refer to.
    std::lock_guard lock(mutex_);
    for (const auto& [id, table] : tables_) {
      table->InstallEmptyVersion();
    }
    active_.reset();
    sealed_.clear();
    tables_.clear();
    tables_by_name_.clear();
  }
  log_.reset();
  manifest_.reset();
  lock_.reset();
  return status;
}

}  // namespace marble::lsm
