// The database behind db.h.
//
// Threads. Writers append to the log; in their turn (log order, one at a time) they apply their
// batch to the active generation's memtables and move visible_sequence_ on. Readers take a
// table's super version, then the sequence number. One background thread flushes sealed
// generations, oldest first, and compacts; it alone changes which files a table has.
//
// Locks, in this order: (log's turn) → mutex_; manifest_mutex_ → mutex_. Nobody calls the log
// while holding mutex_. mutex_ guards generations, the catalog's maps and the installing of
// super versions; manifest_mutex_ the manifest and its fsyncs.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "lsm/compaction/run_writer.h"
#include "lsm/compaction/version_folder.h"
#include "lsm/db.h"
#include "lsm/read/counters.h"
#include "lsm/read/snapshot_list.h"
#include "lsm/table_state.h"
#include "lsm/version/manifest_log.h"
#include "lsm/wal/log_reader.h"
#include "lsm/wal/log_writer.h"

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
  Status Compact(const std::string& table) override;
  Status SyncLog() override;
  DbMetrics metrics() const override;
  bool writable() const override;

 private:
  DbImpl(std::string path, std::string dir, DbOptions options);

  // --- open (db_open.cc) ------------------------------------------------------------------
  Status Start();
  Status LoadTables(const ManifestState& state);
  /// Replay the log, fix its end in a new manifest, start the new log.
  Status Recover(ManifestState state, uint64_t manifest_number, bool torn_manifest);
  Status RemoveOrphans(const ManifestState& state, uint64_t manifest_number);

  // --- writes (db_write.cc) -----------------------------------------------------------------
  /// Unlogged operations of a write batch in the form of a log payload; empty: there are none.
  struct UnloggedPayload {
    std::string_view bytes;
    std::shared_ptr<const void> owner;  // null: copy the bytes
  };
  /// Write a batch if `decide`, called in the log's turn, says so (null: always); nullopt: not.
  Result<std::optional<SequenceNumber>> WriteIf(WriteBatch&& batch, const WriteOptions& options,
                                                const LogWriter::Decide& decide);
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
  /// In the log's turn: the active generation becomes immutable.
  void Seal();
  /// Slow down or wait while flushes are behind; kBusy after max_block_ms.
  Status WaitForRoom(size_t bytes);
  Status CheckWritable() const;

  // --- background (db_background.cc) ---------------------------------------------------------
  void BackgroundLoop();
  Status FlushOldest();
  /// Check every record of a sealed segment again: what memory has lost must not reach a file.
  Status VerifySegments(const Generation& generation) const;
  Status CompactTable(const TableHandle& table);
  TableHandle PickCompaction();
  RunWriterOptions NewRunOptions();
  /// Make an edit durable, then live: `make_edit` runs under manifest_mutex_ (no table can be
  /// dropped meanwhile; nullopt: nothing to do), `install` under mutex_ as well.
  Status LogAndInstall(const std::function<std::optional<VersionEdit>()>& make_edit,
                       const std::function<void()>& install);
  /// Under mutex_: a table's super version with other files and without one memtable.
  static void Reinstall(TableState* table, const Memtable* flushed, std::vector<LevelFile> added,
                        const std::vector<SstFileRef>& removed);
  Result<std::vector<LevelFile>> OpenFiles(const TableInfo& info,
                                           const std::vector<FileMeta>& metas);
  void SetBackgroundError(const Status& status);
  void Emit(DbEvent event) const;

  /// What a table's file reader needs.
  SstReaderOptions ReaderOptionsOf(const TableInfo& info) const;

  Status CheckOpen() const;
  Status CheckTable(const TableHandle& table) const;
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
  const std::shared_ptr<DbCounters> counters_ = std::make_shared<DbCounters>();
  const std::shared_ptr<SnapshotList> snapshots_ = std::make_shared<SnapshotList>();

  std::string database_id_;  // 16 bytes
  std::unique_ptr<LogWriter> log_;
  LogWriter::Publish apply_;  // Apply, made once
  std::atomic<SequenceNumber> visible_sequence_{0};
  std::atomic<bool> closed_{false};
  std::atomic<int> calls_{0};  // calls under way that Close waits for

  // The manifest, guarded by manifest_mutex_.
  std::mutex manifest_mutex_;
  std::unique_ptr<ManifestLog> manifest_;
  std::atomic<FileNumber> next_file_{1};

  mutable std::mutex mutex_;
  std::condition_variable work_cv_;  // for the background thread
  std::condition_variable done_cv_;  // a flush or compaction has ended
  std::map<TableId, TableHandle> tables_;
  std::map<std::string, TableHandle> tables_by_name_;
  std::shared_ptr<Generation> active_;              // also read without the mutex in the log's turn
  std::deque<std::shared_ptr<Generation>> sealed_;  // oldest first
  uint64_t next_generation_ = 1;
  uint64_t flushed_generation_ = 0;
  bool stopping_ = false;
  std::deque<TableHandle> compaction_requests_;
  uint64_t compactions_requested_ = 0;
  uint64_t compactions_finished_ = 0;
  Status background_error_;  // why the database is read-only

  std::atomic<int> num_sealed_{0};
  std::atomic<bool> failed_{false};       // background_error_ is set
  std::atomic<size_t> unslept_bytes_{0};  // written since the last slow-down
  std::atomic<bool> roll_due_{false};     // unlogged rows fill the active generation
  std::thread background_;
};

}  // namespace marble::lsm
