// The database behind db.h.
//
// Threads. Writers append to the log; in their turn (log order, one at a time) they apply their
// batch to the active generation's memtables and move visible_sequence_ on. Readers take a
// table's super version, then the sequence number. Background work runs on an executor: at most
// one flush (sealed generations, oldest first), which alone adds files from memtables, and up to
// max_compactions compactions of disjoint inputs, which replace files. ScheduleWork submits what
// is due; it is called after everything that may make something due.
//
// Locks, in this order: (log's turn) → mutex_; manifest_mutex_ → mutex_; the snapshot list's hook →
// mutex_. Whoever alters a table holds alter_mutex_ and keeps the table's writers out of their gate
// (table_state.h) while it waits for a flush; a flush needs neither. Nobody calls the log while
// holding mutex_. mutex_ guards generations, the catalog's maps, what runs and the installing of
// super versions; manifest_mutex_ the manifest and its fsyncs, and the beginning of a session:
// whoever writes to the log or the manifest, or takes a number for a file, calls Begin before.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lsm/backup/cut.h"
#include "lsm/compaction/compaction_job.h"
#include "lsm/compaction/compaction_picker.h"
#include "lsm/compaction/executor.h"
#include "lsm/compaction/rate_limiter.h"
#include "lsm/compaction/version_folder.h"
#include "lsm/db.h"
#include "lsm/read/counters.h"
#include "lsm/read/snapshot_list.h"
#include "lsm/sst/decoded_cache.h"
#include "lsm/table_state.h"
#include "lsm/version/closed_together.h"
#include "lsm/version/manifest_log.h"
#include "lsm/wal/log_pins.h"
#include "lsm/wal/log_reader.h"
#include "lsm/wal/log_writer.h"
#include "lsm/write_stall.h"

namespace marble::lsm {

/// The memtables over one log segment (after recovery: over all recovered ones).
struct Generation {
  uint64_t id = 0;
  uint64_t last_segment = 0;
  LogPosition end = 0;
  SequenceNumber last_sequence = 0;
  std::atomic<uint64_t> log_bytes{0};
  std::vector<std::shared_ptr<io::LogFile>> segments;
  std::vector<std::string> log_paths;  // unlinked when all is flushed
  bool recovered = false;              // the replay has checked the records
  /// By table id; null: nothing written yet, or the table is dropped.
  std::vector<std::shared_ptr<Memtable>> memtables;
  std::vector<TableHandle> tables;  // of the memtables
  /// Where rows of unlogged tables lie; allocated from in the log's turn.
  std::shared_ptr<Arena> unlogged = std::make_shared<Arena>();
  uint64_t unlogged_bytes = 0;
  uint64_t weighed_at = 0;  // log and unlogged bytes when its memory was last looked at
};

/// A manual compaction that somebody waits for. Under mutex_, but for the atomics.
struct ManualCompaction {
  TableHandle table;
  RangeWalk walk;
  bool running = false;  // a step is under way
  bool done = false;
  Status status;
  std::atomic<bool> cancelled{false};
  std::atomic<uint64_t> done_bytes{0};
  std::atomic<uint64_t> total_bytes{0};  // an estimate
};

/// One compaction from its choice until its files are installed.
struct CompactionTask {
  TableHandle table;
  CompactionPlan plan;
  std::shared_ptr<const TableVersion> version;  // that the plan was made for
  std::shared_ptr<const TableInfo> info;        // the table's then: with it the files are written
  std::vector<SstFileRef> inputs;               // of the input level, in the plan's order
  std::vector<SstFileRef> overlapped;
  std::shared_ptr<ManualCompaction> manual;  // whose step it is; null: automatic
};

/// What the subscribers of the change feed wait for; they may outlive the database.
struct ChangeSignal {
  /// Where the last applied record ends: the log is read up to here.
  std::atomic<LogPosition> applied_end{0};
  std::atomic<bool> closed{false};
  std::atomic<int> waiters{0};
  std::mutex mutex;
  std::condition_variable moved;  // a hint: a waiter looks again after a while anyway
};

/// When to try again after the disk was full. Under mutex_.
struct SpaceBackoff {
  bool waiting = false;
  std::chrono::milliseconds delay{0};
  uint64_t needed_bytes = 0;
};

/// A call that Close waits for.
class CallGuard {
 public:
  explicit CallGuard(std::atomic<int>* calls) : calls_(calls) { calls_->fetch_add(1); }
  ~CallGuard() { calls_->fetch_sub(1); }
  CallGuard(const CallGuard&) = delete;
  CallGuard& operator=(const CallGuard&) = delete;

 private:
  std::atomic<int>* const calls_;
};

class DbImpl : public DB {
 public:
  static Result<std::shared_ptr<DB>> Open(const std::string& path, const DbOptions& options);
  ~DbImpl() override;

  Status Close() override;
  void StopBackground() override;
  const std::string& path() const override { return path_; }
  const std::string& id() const override { return options_.id; }

  Result<TableHandle> CreateTable(TableDescriptor descriptor, bool if_not_exists) override;
  Result<TableHandle> GetTable(const std::string& name) const override;
  Status DropTable(const std::string& name, bool if_exists) override;
  Result<TableHandle> AlterTable(const std::string& name, const TableChange& change) override;
  Result<TableHandle> CurrentTable(const TableHandle& table) const override;
  Status CheckColumns(const TableHandle& table, const ReadOptions& options) const override;
  std::vector<TableDescriptor> ListTables() const override;

  Result<SequenceNumber> Write(WriteBatch&& batch, const WriteOptions& options) override;
  Result<bool> PutIfAbsent(const TableHandle& state, std::string_view key, std::string_view value,
                           const WriteOptions& options) override;
  Status MultiGet(const TableHandle& state, const std::string_view* keys, size_t count,
                  const ReadOptions& options, std::optional<PinnedValue>* values) override;
  Result<bool> Exists(const TableHandle& table, std::string_view key,
                      const ReadOptions& options) override;
  Status SetCompactionFilter(const TableHandle& table,
                             std::shared_ptr<const CompactionFilter> filter) override;
  Result<std::optional<PinnedValue>> Get(const TableHandle& state, std::string_view key,
                                         const ReadOptions& options) override;
  Result<std::optional<RowRef>> GetRow(const TableHandle& table, std::string_view key,
                                       const ReadOptions& options) override;
  Result<std::unique_ptr<Iterator>> NewIterator(const TableHandle& table,
                                                const ScanOptions& options) override;
  Result<std::unique_ptr<StateIterator>> NewStateIterator(const TableHandle& state,
                                                          const ReadOptions& options,
                                                          const ScanRange& range) override;
  SnapshotRef GetSnapshot() override;
  SequenceNumber last_sequence() const override {
    return visible_sequence_.load(std::memory_order_acquire);
  }

  Status Flush() override;
  Status CompactRange(const std::string& table, std::string_view from, std::string_view to,
                      const CompactOptions& options) override;
  Status Compact(const std::string& table) override { return CompactRange(table, {}, {}, {}); }
  void SetCompactionRate(uint64_t bytes_per_second) override {
    rate_limiter_.SetRate(bytes_per_second);
  }
  Status SyncLog() override;
  Result<CheckpointInfo> Checkpoint(const std::string& dir, const CopyControl& control) override;
  Result<BackupInfo> Backup(const std::string& dir, const CopyControl& control) override;
  Result<BulkLoadInfo> BulkLoad(const TableHandle& table, const BatchSource& next,
                                const CopyControl& control) override;
  Result<std::unique_ptr<ChangeFeed>> Changes(const TableHandle& table,
                                              SequenceNumber behind) override;
  DbMetrics metrics() const override;
  const std::shared_ptr<DbCounters>& counters() const override { return counters_; }
  bool writable() const override;

 private:
  DbImpl(std::string path, std::string dir, DbOptions options);

  // --- open (db_open.cc) ------------------------------------------------------------------
  Status Start();
  Status LoadTables(const ManifestState& state);
  /// Replay the log, fix its end in a new manifest, start the new log.
  Status Recover(ManifestState state, const ManifestEnd& manifest, bool torn_manifest);
  Status RemoveOrphans(const ManifestState& state, uint64_t manifest_number);
  /// Make the manifest and the log of this session, unless they are there: before anything is
  /// written. A full disk may be tried again; another error makes the database read-only.
  Status Begin() { return begun_.load(std::memory_order_acquire) ? Status::OK() : BeginNow(); }
  Status BeginNow();
  /// The same under manifest_mutex_; and without the judgement of errors.
  Status BeginLocked();
  Status MakeBeginning();

  // --- writes (db_write.cc) -----------------------------------------------------------------
  /// Unlogged operations of a write batch in the form of a log payload; empty: there are none.
  struct UnloggedPayload {
    std::string_view bytes;
    std::shared_ptr<const void> owner;  // null: copy the bytes
  };
  /// Write a batch if `decide`, called in the log's turn, says so (null: always); nullopt: not.
  Result<std::optional<SequenceNumber>> WriteIf(WriteBatch&& batch, const WriteOptions& options,
                                                const LogWriter::Decide& decide);
  /// Let a batch into its tables, whose columns must be those that it was built for.
  Status EnterTables(const std::vector<TableHandle>& tables, class WriterPasses* passes);
  /// In the log's turn, or during recovery: apply one record to the memtables.
  Status Apply(const PublishedRecord& record, const UnloggedPayload& unlogged);
  Status ApplyPayload(std::string_view payload, const std::shared_ptr<const void>& owner,
                      SequenceNumber sequence);
  Status ApplyOp(const struct DecodedOp& op, const std::shared_ptr<const void>& owner,
                 SequenceNumber sequence);
  /// A key has many merge operands on top of each other: put their sum on top if that is cheap.
  void FoldMerges(Memtable* memtable, const TableHandle& table, const struct DecodedOp& op,
                  SequenceNumber sequence, uint32_t operands);
  Result<Memtable*> MemtableFor(TableId id);
  /// In the log's turn: whether the active generation has had its share of the budget.
  bool HasHadItsShare();
  /// In the log's turn: the active generation becomes immutable.
  void Seal();
  /// Slow down or wait while flushes or compactions are behind; kBusy after max_block_ms.
  Status WaitForRoom(size_t bytes);
  Status CheckWritable() const;

  // --- background (db_background.cc) ---------------------------------------------------------
  /// Under mutex_: submit the work that is due.
  void ScheduleWork();
  /// Under mutex_: what writers are held up by, after anything that it depends on has changed.
  void UpdateStall();
  /// Tell the listener of a stall that has ended; without mutex_.
  void AnnounceStallEnd();
  void FlushWork();
  Status FlushOldest();
  /// Check every record of a sealed segment again: what memory has lost must not reach a file. The
  /// position at which the next segment begins.
  Result<LogPosition> VerifySegments(const Generation& generation) const;
  RunWriterOptions NewRunOptions();
  /// Make an edit durable, then live: `make_edit` runs under manifest_mutex_ (no table can be
  /// dropped meanwhile; nullopt: nothing to do), `install` under mutex_ as well.
  Status LogAndInstall(const std::function<Result<std::optional<VersionEdit>>()>& make_edit,
                       const std::function<void()>& install);
  /// Under mutex_: a table's super version with other files and without one memtable.
  void Reinstall(TableState* table, const Memtable* flushed, std::vector<LevelFile> added,
                 const std::vector<SstFileRef>& removed);
  Result<std::vector<LevelFile>> OpenFiles(const TableInfo& info,
                                           const std::vector<FileMeta>& metas,
                                           LoadIndex load = LoadIndex::kAtOpen);
  /// Remove files that were written but are in no manifest. After an error that made the database
  /// read-only it is not known whether they are: they stay, and the next open decides.
  void RemoveFiles(const std::vector<FileMeta>& metas);
  void SetBackgroundError(const Status& status);
  /// The disk was full: try again later. Under mutex_.
  void BackOff(SpaceBackoff* backoff, Executor::Kind kind, uint64_t needed_bytes);
  void RetryAfterBackoff(SpaceBackoff* backoff, Executor::Kind kind);
  void Emit(DbEvent event) const;

  // --- compactions (db_compaction.cc) --------------------------------------------------------
  /// Under mutex_.
  PickerTable PickerViewOf(const TableState& table) const;
  void UpdateShape(TableState* table);
  std::shared_ptr<CompactionTask> PickTask();
  /// Files that have expired as a whole; they go before anything is merged with them.
  std::shared_ptr<CompactionTask> PickExpired();
  /// Look again when the next file has expired: no write may come that would.
  void WatchExpiry();
  std::shared_ptr<CompactionTask> NewTask(const TableHandle& table, CompactionPlan plan);
  /// On an executor's thread: one compaction from beginning to end.
  void CompactionWork(const std::shared_ptr<CompactionTask>& task);
  Status RunCompaction(CompactionTask* task);
  /// What is done by an edit of the manifest alone, unread.
  Status EditFiles(CompactionTask* task);
  CompactionJob MakeJob(CompactionTask* task);
  /// With merges, a value that has expired by now may still count for an operand that was written
  /// in time and lies in a newer run: forget only what had expired before all of those.
  void LimitExpiry(const CompactionTask& task, FoldRules* rules) const;
  Status PollCompaction(const CompactionTask& task) const;
  DbEvent CompactionEvent(const CompactionTask& task, DbEvent::Phase phase) const;
  void SnapshotReleased();
  Status RunManual(const std::vector<std::shared_ptr<ManualCompaction>>& requests,
                   const CompactOptions& options);
  uint64_t EstimateManual(const ManualCompaction& request) const;

  // --- copies (db_copies.cc) ------------------------------------------------------------------
  /// Hold a consistent cut of everything. Writers do not wait.
  Result<DatabaseCut> TakeCut();
  /// Where a copy goes that the user names by a path.
  Result<io::ResolvedPath> ResolveTarget(const std::string& path) const;
  /// Cancelled also when the database is closed meanwhile.
  CopyControl UntilClosed(const CopyControl& control) const;

  // --- bulk load (db_bulk_load.cc) ------------------------------------------------------------
  struct BulkFiles;
  Status WriteBulkFiles(const TableHandle& table, const BatchSource& next,
                        const CopyControl& control, BulkFiles* out);
  Status OpenBulkFiles(const TableInfo& info, BulkFiles* files);
  /// In the log's turn: install the files if no memtable has rows in their ranges; false: some has.
  Result<bool> InstallBulkFiles(const TableHandle& table, BulkFiles* files, SequenceNumber sequence,
                                uint64_t new_segment);
  /// Under mutex_: the deepest level with nothing in the files' ranges at or above it.
  int LevelForBulkFiles(const TableState& table, const std::vector<FileMeta>& metas) const;

  /// What a table's file reader needs.
  SstReaderOptions ReaderOptionsOf(const TableInfo& info,
                                   LoadIndex load = LoadIndex::kAtOpen) const;

  // --- columns (db_alter.cc) ------------------------------------------------------------------
  /// With no writer in the table and nothing of it in memory: make the new schema durable, then
  /// live.
  Result<TableHandle> InstallSchema(const TableHandle& before,
                                    std::shared_ptr<const TableInfo> info);

  Status CheckOpen() const;
  Status CheckTable(const TableHandle& table) const;
  /// Of a version that was taken, the one with the handle's schema: itself, or what the snapshot
  /// keeps; else kSchemaChanged.
  static Status HandlesVersion(const TableHandle& table, const ReadOptions& options,
                               SuperVersionRef* version);
  static Status CheckKeyed(const TableHandle& table);
  /// Take the table's super version first: all that the view sees is in it or was written later.
  ReadView ViewOf(const TableInfo& info, const ReadOptions& options) const {
    if (options.snapshot != nullptr) {
      return {options.snapshot->sequence(), options.snapshot->time_ms()};
    }
    return {last_sequence(), info.expires() ? options_.clock->NowMs() : 0};
  }
  FoldRules RulesFor(const TableState& table) const;

  const std::string path_;  // as given
  const std::string dir_;   // where files are
  DbOptions options_;
  std::unique_ptr<io::FileLock> lock_;
  /// Files and what reads them may outlive the database.
  const std::shared_ptr<MemoryBudget> budget_;
  const std::shared_ptr<DecodedCache> decoded_;
  const std::shared_ptr<DbCounters> counters_ = std::make_shared<DbCounters>();
  const std::shared_ptr<SnapshotList> snapshots_ = std::make_shared<SnapshotList>();

  /// What Begin goes by. A database that was closed, with nothing in its log to replay, stays as it
  /// lies there until something is written to it: to open and read it writes nothing.
  struct Beginning {
    ManifestState state;
    uint64_t manifest_number;
    uint64_t segment;  // the first of the log
    LogPosition position;
    SequenceNumber last_sequence;
    std::string boot_id;
  };
  std::optional<Beginning> beginning_;  // under manifest_mutex_
  std::atomic<bool> begun_{false};      // manifest_ and log_ are there

  std::string database_id_;  // 16 bytes
  // What the manifest said when it was read; for recovery.
  TableId next_table_id_ = 0;          // beyond all that the manifest and, truncated, the log know
  std::unique_ptr<LogWriter> log_;     // null until it has begun
  std::shared_ptr<LogPins> log_pins_;  // set when the log is
  LogWriter::Publish apply_;           // Apply, made once
  std::atomic<SequenceNumber> visible_sequence_{0};
  const std::shared_ptr<ChangeSignal> changes_ = std::make_shared<ChangeSignal>();
  std::atomic<bool> closed_{false};
  std::atomic<int> calls_{0};  // calls under way that Close waits for

  std::mutex alter_mutex_;  // one alteration at a time; before all other locks

  // The manifest, guarded by manifest_mutex_.
  std::mutex manifest_mutex_;
  std::unique_ptr<ManifestLog> manifest_;  // null until it has begun
  std::atomic<FileNumber> next_file_{1};

  mutable std::mutex mutex_;
  std::condition_variable done_cv_;  // a flush or compaction has ended
  std::map<TableId, TableHandle> tables_;
  std::map<std::string, TableHandle> tables_by_name_;
  std::shared_ptr<Generation> active_;              // also read without the mutex in the log's turn
  std::deque<std::shared_ptr<Generation>> sealed_;  // oldest first
  uint64_t next_generation_ = 1;
  uint64_t flushed_generation_ = 0;
  bool flushing_ = false;
  SpaceBackoff flush_backoff_;
  uint64_t flush_failures_ = 0;  // for lack of space
  Status flush_error_;           // the last of them
  std::vector<std::shared_ptr<CompactionTask>> running_;
  std::deque<std::shared_ptr<ManualCompaction>> manual_;  // oldest first
  SpaceBackoff compaction_backoff_;
  bool expiry_watched_ = false;  // WatchExpiry waits, until
  std::chrono::steady_clock::time_point expiry_watch_at_;
  int compactions_held_ = 0;  // by installs that must know what runs
  Status background_error_;   // why the database is read-only

  std::atomic<bool> stopping_{false};  // set under mutex_
  std::atomic<bool> failed_{false};    // background_error_ is set
  std::atomic<bool> roll_due_{false};  // unlogged rows fill the active generation
  /// The least sequence that the oldest snapshot must reach for a compaction to be due.
  std::atomic<SequenceNumber> waits_for_snapshot_{kMaxSequence};

  const CompactionPicker picker_;
  const int max_compactions_;
  RateLimiter rate_limiter_;
  WriteStall stall_;
  std::atomic<bool> stall_announced_{false};
  std::chrono::steady_clock::time_point stall_since_;  // under mutex_
  std::unique_ptr<Executor> executor_;                 // ends first
};

}  // namespace marble::lsm
