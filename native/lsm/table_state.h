// The database's view of one table: its schema (TableInfo) and what reads need now, a super
// version. TableHandle is a shared pointer to it.
//
// A handle stands for a table at one schema: what was derived from its descriptor stays true of it.
// When the table is altered, new handles stand for the new schema, and calls with an old one are
// refused (kSchemaChanged); iterators go on. All handles of a table share a TableCore.
//
// Threads: info is immutable. The super version is replaced by the publishing writer (a new
// memtable) and by the background thread (flush, compaction), each under the database's mutex;
// readers take a reference at any time.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/shared_cell.h"
#include "lsm/compaction/compaction_filter.h"
#include "lsm/compaction/compaction_picker.h"
#include "lsm/memtable/memtable.h"
#include "lsm/table_info.h"
#include "lsm/version/table_version.h"

namespace marble::lsm {

/// All that a read of one table consults: memtables from newest to oldest, then files. Immutable.
struct SuperVersion {
  /// The schema that memtables and readers of files have.
  std::shared_ptr<const TableInfo> info;
  std::vector<std::shared_ptr<Memtable>> memtables;
  std::shared_ptr<const TableVersion> files;
};
using SuperVersionRef = std::shared_ptr<const SuperVersion>;

/// What compactions have done to one level since the database was opened.
struct LevelCounters {
  std::atomic<uint64_t> compactions{0};  // that wrote to it
  std::atomic<uint64_t> moved_files{0};  // that came without being rewritten
  std::atomic<uint64_t> bytes_read{0};
  std::atomic<uint64_t> bytes_in{0};  // of those, from the levels above
  std::atomic<uint64_t> bytes_written{0};
};

/// Writers of a table, and whoever alters it: both never at once. An alteration is rare and waits
/// for the writers under way; a write costs two atomic operations.
class WriterGate {
 public:
  /// Who waits for the other looks again after this.
  static constexpr std::chrono::microseconds kPoll{100};

  /// False: the table is being altered.
  bool Enter() {
    writers_.fetch_add(1);
    if (!closed_.load()) return true;
    writers_.fetch_sub(1);
    return false;
  }
  void Leave() { writers_.fetch_sub(1); }
  bool closed() const { return closed_.load(); }

  /// From now on nobody enters. One thread at a time.
  void Close() { closed_.store(true); }
  void Open() { closed_.store(false); }
  bool empty() const { return writers_.load() == 0; }

 private:
  std::atomic<int> writers_{0};
  std::atomic<bool> closed_{false};
};

/// What all handles of one table share, whatever schema they stand for.
struct TableCore {
  TableCore(const void* its_owner, const Clock* its_clock) : owner(its_owner), clock(its_clock) {}

  const void* const owner;
  const Clock* const clock;
  WriterGate gate;
  std::atomic<bool> dropped{false};
  SharedCell<const SuperVersion> cell;
  std::mutex filter_mutex;
  std::shared_ptr<const CompactionFilter> compaction_filter;

  /// The schemas that the table has had since the database was opened, each with the last sequence
  /// before it. What a writer writes is of the last one.
  struct Schema {
    SequenceNumber behind;
    std::shared_ptr<const TableInfo> info;
  };
  mutable std::mutex schemas_mutex;
  std::vector<Schema> schemas;
  std::atomic<const TableInfo*> newest{nullptr};  // of the last of them

  // What TableState's members of the same names refer to.
  std::atomic<size_t> memtable_size_hint{0};
  std::atomic<uint64_t> flushed_bytes{0};
  std::array<LevelCounters, limits::kNumLevels> level_counters;
  std::atomic<SequenceNumber> bulk_loaded{0};
  LevelShape shape;
  int64_t next_file_expiry = INT64_MAX;
  bool check_compaction = true;
  SequenceNumber waits_for_snapshot = kMaxSequence;
};

class TableState {
 public:
  /// `clock` outlives the database's calls.
  TableState(std::shared_ptr<const TableInfo> info, const void* owner, const Clock* clock)
      : TableState(std::move(info), std::make_shared<TableCore>(owner, clock)) {
    BecomeCurrent(0);
    InstallEmptyVersion();
  }
  /// The same table at another schema.
  TableState(std::shared_ptr<const TableInfo> info, const TableState& before)
      : TableState(std::move(info), before.core_) {}

  const TableInfo& info() const { return *info_; }
  const std::shared_ptr<const TableInfo>& info_ref() const { return info_; }
  TableId id() const { return info_->descriptor.id; }
  /// The database this table belongs to.
  const void* owner() const { return core_->owner; }
  bool SameTable(const TableState& other) const { return core_ == other.core_; }

  /// When what is written now stops counting; 0: never.
  int64_t ExpiryOfWrite() const {
    const int64_t ttl_ms = info_->descriptor.options.ttl_ms;
    return ttl_ms == 0 ? 0 : core_->clock->NowMs() + ttl_ms;
  }

  /// Its schema is the table's now, which may be another than this handle's.
  SuperVersionRef super_version() const { return core_->cell.Load(); }
  void InstallSuperVersion(SuperVersionRef next) { core_->cell.Store(std::move(next)); }
  /// Nothing to read any more: the table is dropped, or the database is closing.
  void InstallEmptyVersion() {
    auto empty = std::make_shared<SuperVersion>();
    empty->info = info_;
    empty->files = std::make_shared<TableVersion>();
    InstallSuperVersion(std::move(empty));
  }

  WriterGate& gate() const { return core_->gate; }
  /// Of a record with this sequence.
  std::shared_ptr<const TableInfo> SchemaAt(SequenceNumber sequence) const {
    std::lock_guard lock(core_->schemas_mutex);
    auto at = core_->schemas.end() - 1;
    while (at != core_->schemas.begin() && at->behind >= sequence) --at;
    return at->info;
  }
  /// This handle's schema is that of everything written behind a sequence.
  void BecomeCurrent(SequenceNumber behind) {
    std::lock_guard lock(core_->schemas_mutex);
    core_->schemas.push_back({behind, info_});
    core_->newest.store(info_.get(), std::memory_order_release);
  }
  /// Whether this handle's schema is the one that the table has now.
  bool current() const { return core_->newest.load(std::memory_order_acquire) == info_.get(); }

  bool dropped() const { return core_->dropped.load(std::memory_order_acquire); }
  void MarkDropped() { core_->dropped.store(true, std::memory_order_release); }

  std::shared_ptr<const CompactionFilter> compaction_filter() const {
    std::lock_guard lock(core_->filter_mutex);
    return core_->compaction_filter;
  }
  void SetCompactionFilter(std::shared_ptr<const CompactionFilter> filter) {
    std::lock_guard lock(core_->filter_mutex);
    core_->compaction_filter = std::move(filter);
  }

 private:
  TableState(std::shared_ptr<const TableInfo> info, std::shared_ptr<TableCore> core)
      : info_(std::move(info)), core_(std::move(core)) {}

  const std::shared_ptr<const TableInfo> info_;
  const std::shared_ptr<TableCore> core_;

 public:
  /// Keys of the last full memtable: the next one's hash index starts at that size.
  std::atomic<size_t>& memtable_size_hint = core_->memtable_size_hint;
  /// Into level 0, since the database was opened.
  std::atomic<uint64_t>& flushed_bytes = core_->flushed_bytes;
  std::array<LevelCounters, limits::kNumLevels>& level_counters = core_->level_counters;

  /// Of the last bulk load, whose rows are in no log; 0: none since the database was opened.
  std::atomic<SequenceNumber>& bulk_loaded = core_->bulk_loaded;

  /// Under the database's mutex: what compactions are decided by; follows the super version.
  LevelShape& shape = core_->shape;
  /// When the next file will have expired as a whole; INT64_MAX: none will.
  int64_t& next_file_expiry = core_->next_file_expiry;
  /// Something has changed since nothing was found to do.
  bool& check_compaction = core_->check_compaction;
  /// The sequence that the oldest snapshot must reach for there to be something to do.
  SequenceNumber& waits_for_snapshot = core_->waits_for_snapshot;
};

/// kSchemaChanged: the table has other columns by now than a handle.
Status SchemaChanged(const TableInfo& table);

}  // namespace marble::lsm
