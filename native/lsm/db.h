// The database: tables over one log, memtables and SSTables. Thread-safe; see README.md for the
// life of a write and of a read.
//
// Lifetimes: a DB is shared (one native database per process and path: OpenShared). Handles,
// snapshots and iterators keep what they read alive; after Close every call is kClosed.
#pragma once

#include <arrow/type_fwd.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/key_codec.h"
#include "base/status.h"
#include "base/types.h"
#include "lsm/backup/copy_file.h"
#include "lsm/compaction/compaction_filter.h"
#include "lsm/options.h"
#include "lsm/table_change.h"
#include "lsm/write/write_batch.h"

namespace marble::lsm {

/// A consistent view: every read with it sees the writes up to `sequence` and no later one.
/// Released with the last reference.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  virtual SequenceNumber sequence() const = 0;
  /// When it was taken, ms since the epoch: what had not expired then has not for its readers.
  virtual int64_t time_ms() const = 0;
};
using SnapshotRef = std::shared_ptr<const Snapshot>;

struct ReadOptions {
  SnapshotRef snapshot;  // null: the newest published write at the call
};
struct WriteOptions {
  Durability durability = Durability::kProcess;  // raised to the database's if that is higher
};

/// A row where it lies: in a mapped SSTable or a batch decoded from one, in a log segment's mapping
/// or in memory. `batch` has
/// the table's schema, possibly with hidden columns behind it, and keeps its memory alive.
struct RowRef {
  std::shared_ptr<arrow::RecordBatch> batch;
  int64_t row;
};

/// A value where it lies. `owner` keeps the bytes alive.
struct PinnedValue {
  std::string_view bytes;
  std::shared_ptr<const void> owner;
};

/// Bounds by encoded key. Empty strings: open. Bounds are [lower, upper).
struct ScanRange {
  std::string lower;
  std::string upper;
};
/// Asked by a scan about stretches of a file's batch in which the file alone counts: each row of
/// [first_row, first_row + rows) is the newest version of its key, visible and alive. There, and
/// nowhere else, what is known of the batch without reading it (zone maps, numbers of rows) is
/// true of the scan's result: elsewhere a row may hide an older version, or be hidden.
class StretchFilter {
 public:
  virtual ~StretchFilter() = default;
  /// Whether the scan may leave the stretch out, unread. It is asked at most once about a row
  /// that it leaves out.
  virtual bool LeaveOut(const SstReader& sst, int64_t batch, int64_t first_row, int64_t rows) = 0;
};

struct ScanOptions {
  ReadOptions read;
  ScanRange range;
  bool reverse = false;
  int64_t limit = -1;      // rows after merging; -1: all
  int64_t batch_rows = 0;  // of merged batches; 0: limits::kTableBatchRows
  std::shared_ptr<StretchFilter> stretches = nullptr;  // null: nothing is left out
  /// The columns of the batches, indices into the table's schema; null: all. Of files, the pages
  /// of other columns are neither read nor verified (but for those of the key).
  std::shared_ptr<const std::vector<int>> columns = nullptr;
};

/// One step of a scan.
struct ScanBatch {
  std::shared_ptr<arrow::RecordBatch> batch;  // the columns asked for, as in the table's schema
  /// Set when the rows are a slice of one SSTable, unmerged: [first_row, first_row +
  /// batch->num_rows()) of that file's batch `sst_batch`. This is what can cross with no copy, if
  /// the file is not compressed(); if it is, the batch keeps the memory that it was decoded into.
  std::shared_ptr<const SstReader> sst;
  int64_t sst_batch = -1;
  int64_t first_row = 0;
};

/// Pull-based; nothing is read ahead of Next. Not thread-safe; may move between threads.
class Iterator {
 public:
  virtual ~Iterator() = default;
  /// The next batch in key order (insertion order without a key); batch null at the end.
  virtual Result<ScanBatch> Next() = 0;
};

/// The entries of a state family one by one, at one moment, from anywhere in both directions.
/// Key and value stay valid until the iterator moves. Not thread-safe; may move between threads.
class StateIterator {
 public:
  virtual ~StateIterator() = default;
  virtual bool Valid() const = 0;
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
  /// Why it is not valid, if an error is the reason.
  virtual Status status() const = 0;
  /// To the first key >= `key`, the last <= `key`, the first, the last: within the bounds.
  virtual void Seek(std::string_view key) = 0;
  virtual void SeekForPrev(std::string_view key) = 0;
  virtual void SeekToFirst() = 0;
  virtual void SeekToLast() = 0;
  /// Nothing when it is not valid.
  virtual void Next() = 0;
  virtual void Prev() = 0;
};

struct LevelMetrics {
  int level = 0;
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t uncompressed_bytes = 0;  // what they would be without compression
  uint64_t target_bytes = 0;        // 0: no limit of its own
  double score = 0;                 // 1: a compaction of it is due
  // Since the database was opened, of compactions into this level (level 0: with each other):
  uint64_t compactions = 0;
  uint64_t moved_files = 0;  // came here without being rewritten
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  /// Bytes written for each byte that came from above; 0: none came.
  double write_amplification = 0;
};
struct TableMetrics {
  std::string name;
  uint64_t memtable_rows = 0;
  uint64_t sst_files = 0;
  uint64_t sst_rows = 0;
  uint64_t sst_bytes = 0;
  uint64_t sst_uncompressed_bytes = 0;    // what they would take without compression
  uint64_t flushed_bytes = 0;             // since the database was opened
  uint64_t compacted_bytes = 0;           // written by compactions
  double write_amplification = 0;         // bytes written by both for each byte flushed
  uint64_t pending_compaction_bytes = 0;  // to be rewritten until each level is within its target
  int base_level = 0;                     // where level 0 is merged into
  std::vector<LevelMetrics> levels;       // those that have files or counters
};
/// What a database holds in memory, in bytes.
struct MemoryMetrics {
  uint64_t budget = 0;            // 0: none
  uint64_t memtable_rows = 0;     // in the log's mapping, and of unlogged tables
  uint64_t memtable_indexes = 0;  // and what is made by merges
  uint64_t file_chunks = 0;       // on their way into files
  uint64_t file_arrays = 0;       // kept over mapped files, an estimate
  uint64_t decoded_batches = 0;   // of compressed files, kept for the next read
  uint64_t total() const {
    return memtable_rows + memtable_indexes + file_chunks + file_arrays + decoded_batches;
  }
};
struct DbMetrics {
  SequenceNumber last_sequence = 0;
  uint64_t log_bytes = 0;       // in segments not yet dropped
  uint64_t memtable_bytes = 0;  // indexes; rows lie in the log's mapping
  uint64_t flushes = 0;
  uint64_t compactions = 0;
  uint64_t expired_files = 0;   // dropped unread, because all their rows had expired
  uint64_t expired_bytes = 0;   // of them
  uint64_t stalls = 0;          // times that writers began to be slowed down or to wait
  std::string stall_reason;     // now; "", "memtables", "level0" or "pendingCompactionBytes"
  bool stall_stopped = false;   // now: they wait
  uint64_t delayed_writes = 0;  // that slept for a moment
  uint64_t stopped_writes = 0;  // that had to wait
  uint64_t stall_micros = 0;    // of both
  uint64_t running_compactions = 0;
  uint64_t pending_compaction_bytes = 0;  // of all tables
  uint64_t gets = 0;
  uint64_t bloom_negatives = 0;       // files skipped by bounds or Bloom filter
  uint64_t clean_batches = 0;         // scan batches that came out as slices of a file
  uint64_t merged_batches = 0;        // scan batches that had to be merged
  uint64_t files_out_of_range = 0;    // files that scans left out by their key bounds
  uint64_t batches_out_of_range = 0;  // batches of other files, left out by the key bounds
  uint64_t batches_pruned = 0;        // batches (or parts of them) left out by zone maps
  uint64_t rows_filtered = 0;         // rows read and left out by a predicate
  uint64_t rows_from_metadata = 0;    // rows counted, or asked for MIN and MAX, without reading
  uint64_t decoded_hits = 0;          // batches of compressed files that were kept decoded
  uint64_t decoded_misses = 0;        // that had to be decoded
  MemoryMetrics memory;
  std::vector<TableMetrics> tables;
};

struct CompactOptions {
  BottommostFiles bottommost = BottommostFiles::kIfUseful;
  /// Called now and then, and at the end, on the thread that called: bytes dealt with of the bytes
  /// that are, by estimate, to be dealt with. `done` never exceeds `total`, neither goes back.
  std::function<void(uint64_t done, uint64_t total)> progress;
  /// Asked about every 10 ms on the thread that called; true: stop within a chunk, kAborted.
  std::function<bool()> cancelled;
};
struct DbCounters;

struct CheckpointInfo;  // lsm/backup/checkpoint.h
struct BackupInfo;      // lsm/backup/backup.h

struct BulkLoadInfo {
  uint64_t rows = 0;
  uint64_t files = 0;
  uint64_t bytes = 0;
  int level = 0;                // where the files went
  SequenceNumber sequence = 0;  // of all rows
};

/// One or more whole commits as they touched one table.
struct ChangeBatch {
  /// Every commit in (the last batch's last_sequence, last_sequence] is dealt with.
  SequenceNumber last_sequence = 0;
  /// First column `op` (utf8): "+I" a row of a table without a key, "+U" a row put by key, "-D" a
  /// row deleted (its key, nulls else), "+M" a merge operand in the value's column. Then the
  /// table's columns; those outside the key are nullable. In the order of the commits.
  std::shared_ptr<arrow::RecordBatch> rows;
  /// Deletions of key ranges, by encoded keys, [from, to), `to` empty: to the end. Each comes
  /// before row `before_row` of `rows`.
  struct RangeDelete {
    int64_t before_row;
    std::string from;
    std::string to;
  };
  std::vector<RangeDelete> ranges;
};

/// The committed changes of one table in order. One thread at a time; Cancel from any. A change of
/// the table's columns lies between two batches: each has the columns that the table had when its
/// commits were written.
class ChangeFeed {
 public:
  virtual ~ChangeFeed() = default;
  /// The next batch; waits until there is one, nullopt after `timeout_ms` without (negative: for
  /// ever). kTooFarBehind when the log that is needed is gone (DbOptions::max_pinned_log_bytes), or
  /// rows came that are in no log (a bulk load): read the table and begin anew. kTableNotFound once
  /// the table is dropped, kAborted after Cancel, kClosed.
  virtual Result<std::optional<ChangeBatch>> Next(int64_t timeout_ms) = 0;
  virtual void Cancel() = 0;
  /// Of `rows` in the batch that was given last; before the first, of that one as far as is known.
  virtual const std::shared_ptr<arrow::Schema>& schema() const = 0;
};

class DB {
 public:
  virtual ~DB() = default;

  /// Open or create. ':memory:' keeps nothing on disk. kLocked names the owner's pid.
  static Result<std::shared_ptr<DB>> Open(const std::string& path, const DbOptions& options);
  /// The process's one database for this path (by device and inode), opened when there is none.
  static Result<std::shared_ptr<DB>> OpenShared(const std::string& path, const DbOptions& options);
  /// Finish background work, write the clean-close record, release the lock. Idempotent.
  virtual Status Close() = 0;

  /// Finish the background work under way and begin no more, because the process is about to
  /// exit: its static destructors must not run beside a flush. Reads and writes still work.
  virtual void StopBackground() = 0;

  virtual const std::string& path() const = 0;
  virtual const std::string& id() const = 0;

  /// Create a table. kTableExists when the name is taken; with `if_not_exists`, the existing
  /// table when it is identical, else kIncompatible naming the difference.
  virtual Result<TableHandle> CreateTable(TableDescriptor descriptor, bool if_not_exists) = 0;
  /// Let compactions of a table ask `filter` from now on (null: no more). Not remembered over a
  /// reopening. kInvalidArgument without a primary key.
  virtual Status SetCompactionFilter(const TableHandle& table,
                                     std::shared_ptr<const CompactionFilter> filter) = 0;
  virtual Result<TableHandle> GetTable(const std::string& name) const = 0;  // kTableNotFound
  virtual Status DropTable(const std::string& name, bool if_exists) = 0;
  /// Add, drop or rename a column; no file is rewritten. The table's handle from now on: calls with
  /// those that there were, and batches built with them, are refused (kSchemaChanged); iterators go
  /// on with the columns that they began with. Writers of the table wait meanwhile, up to
  /// max_block_ms, for the flush of what they have written last. After a crash the table has its
  /// old columns or the new ones, and every row. Not for state families, whose schema is fixed, nor
  /// system tables. Errors: as of Changed (table_change.h), kTableNotFound, and those of Flush.
  virtual Result<TableHandle> AlterTable(const std::string& name, const TableChange& change) = 0;
  /// The table of a handle with the columns that it has now.
  virtual Result<TableHandle> CurrentTable(const TableHandle& table) const = 0;
  /// Whether a read with this handle finds the table: kSchemaChanged when it is of other columns
  /// than the table's, and no snapshot keeps those.
  virtual Status CheckColumns(const TableHandle& table, const ReadOptions& options) const = 0;
  virtual std::vector<TableDescriptor> ListTables() const = 0;

  /// Write a batch atomically. Near a limit of what flushes and compactions may be behind by, a
  /// call sleeps up to a millisecond; at it, up to max_block_ms, then kBusy (retriable), naming it.
  virtual Result<SequenceNumber> Write(WriteBatch&& batch, const WriteOptions& options) = 0;

  /// Put a value unless the key has one; whether it was put. Atomic against all other writes.
  virtual Result<bool> PutIfAbsent(const TableHandle& state, std::string_view key,
                                   std::string_view value, const WriteOptions& options) = 0;

  /// The bytes of a state family's key.
  virtual Result<std::optional<PinnedValue>> Get(const TableHandle& state, std::string_view key,
                                                 const ReadOptions& options) = 0;
  /// The bytes of `count` keys of a state family, all at one moment, into `values`. Faster than
  /// as many Gets: cache misses of neighbouring keys overlap.
  virtual Status MultiGet(const TableHandle& state, const std::string_view* keys, size_t count,
                          const ReadOptions& options, std::optional<PinnedValue>* values) = 0;
  /// Whether a table has a row with this encoded key.
  virtual Result<bool> Exists(const TableHandle& table, std::string_view key,
                              const ReadOptions& options) = 0;
  /// The row of a table with this encoded key.
  virtual Result<std::optional<RowRef>> GetRow(const TableHandle& table, std::string_view key,
                                               const ReadOptions& options) = 0;
  virtual Result<std::unique_ptr<Iterator>> NewIterator(const TableHandle& table,
                                                        const ScanOptions& options) = 0;

  /// Stands nowhere at first: seek. For keys with a common prefix: PrefixRange.
  virtual Result<std::unique_ptr<StateIterator>> NewStateIterator(const TableHandle& state,
                                                                  const ReadOptions& options,
                                                                  const ScanRange& range) = 0;

  virtual SnapshotRef GetSnapshot() = 0;
  /// The newest published sequence.
  virtual SequenceNumber last_sequence() const = 0;

  /// Flush every memtable; returns when all is in SSTables and the log before is dropped. kNoSpace
  /// when the disk is full: it is tried again in the background.
  virtual Status Flush() = 0;
  /// Flush, then bring what a table (all tables: empty name) has in [from, to), `to` empty: to the
  /// end, down into the last level, merged, without tombstones and versions that no snapshot needs.
  /// Level by level, in steps of bounded size: automatic compactions of other tables, and of files
  /// that hold writers up, go on between them. Tables without a key (only whole): join small files.
  /// kAborted when it was cancelled or the database is closing, kTableNotFound when the table was
  /// dropped meanwhile, kNoSpace when the disk is full: what was done until then stays done.
  virtual Status CompactRange(const std::string& table, std::string_view from, std::string_view to,
                              const CompactOptions& options) = 0;
  /// The same for the whole key range.
  virtual Status Compact(const std::string& table) = 0;
  /// What all compactions together may write in a second from now on; 0: no limit.
  virtual void SetCompactionRate(uint64_t bytes_per_second) = 0;
  /// fdatasync of all published writes.
  virtual Status SyncLog() = 0;

  /// Write a copy that opens as a database: a consistent cut over all tables, with every write
  /// acknowledged before the call. Files are linked where that is possible. `dir` must not exist;
  /// it is there whole or not at all. A plain path is in the database's own file system if that was
  /// given in the options. Writers, flushes and compactions go on. See backup/checkpoint.h.
  virtual Result<CheckpointInfo> Checkpoint(const std::string& dir, const CopyControl& control) = 0;

  /// Add a backup to those in the folder `dir`, copying only what it lacks. See backup/backup.h,
  /// which has what else is done with backups.
  virtual Result<BackupInfo> Backup(const std::string& dir, const CopyControl& control) = 0;

  /// Load sorted rows straight into files, past the log and the memtables. `next`, called on
  /// threads of the scheduler one call at a time, gives batches of the table's schema until it
  /// gives null; keys ascend strictly over all of them (tables without a key: in the order given),
  /// else kInvalidArgument names the row. The rows become visible together, newer than every write
  /// acknowledged before, durable against power loss. Not for unlogged tables. Writers go on; those
  /// of other rows of this table too.
  using BatchSource = std::function<Result<std::shared_ptr<arrow::RecordBatch>>()>;
  virtual Result<BulkLoadInfo> BulkLoad(const TableHandle& table, const BatchSource& next,
                                        const CopyControl& control) = 0;

  /// The changes of a table behind a sequence number (a snapshot's, or the last one dealt with),
  /// read from the log, which is kept from now on. kTooFarBehind when it has been dropped already.
  virtual Result<std::unique_ptr<ChangeFeed>> Changes(const TableHandle& table,
                                                      SequenceNumber behind) = 0;

  virtual DbMetrics metrics() const = 0;
  /// What metrics() counts, for the layers above that save reads (lsm/read/counters.h).
  virtual const std::shared_ptr<DbCounters>& counters() const = 0;
  /// False: the next write may have to wait.
  virtual bool writable() const = 0;
};

/// The bounds of all keys that begin with `prefix`.
ScanRange PrefixRange(std::string_view prefix);

/// What a handle says about its table. Immutable: when the table is altered there is a new handle.
const TableDescriptor& DescriptorOf(const TableHandle& table);
const std::shared_ptr<const KeyCodec>& CodecOf(const TableHandle& table);  // null without a key
/// Whether the table still has the columns that the handle says.
bool IsCurrent(const TableHandle& table);

}  // namespace marble::lsm
