// The database's view of one table: what never changes (TableInfo) and what reads need now, a
// super version. TableHandle is a shared pointer to it.
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

class TableState {
 public:
  /// `clock` outlives the database's calls.
  TableState(std::shared_ptr<const TableInfo> info, const void* owner, const Clock* clock)
      : info_(std::move(info)), owner_(owner), clock_(clock) {
    auto empty = std::make_shared<SuperVersion>();
    empty->files = std::make_shared<TableVersion>();
    cell_.Store(std::move(empty));
  }

  const TableInfo& info() const { return *info_; }
  const std::shared_ptr<const TableInfo>& info_ref() const { return info_; }
  TableId id() const { return info_->descriptor.id; }
  /// The database this table belongs to.
  const void* owner() const { return owner_; }

  /// When what is written now stops counting; 0: never.
  int64_t ExpiryOfWrite() const {
    const int64_t ttl_ms = info_->descriptor.options.ttl_ms;
    return ttl_ms == 0 ? 0 : clock_->NowMs() + ttl_ms;
  }

  SuperVersionRef super_version() const { return cell_.Load(); }
  void InstallSuperVersion(SuperVersionRef next) { cell_.Store(std::move(next)); }

  bool dropped() const { return dropped_.load(std::memory_order_acquire); }
  void MarkDropped() { dropped_.store(true, std::memory_order_release); }

  std::shared_ptr<const CompactionFilter> compaction_filter() const {
    std::lock_guard lock(filter_mutex_);
    return compaction_filter_;
  }
  void SetCompactionFilter(std::shared_ptr<const CompactionFilter> filter) {
    std::lock_guard lock(filter_mutex_);
    compaction_filter_ = std::move(filter);
  }

  /// Keys of the last full memtable: the next one's hash index starts at that size.
  std::atomic<size_t> memtable_size_hint{0};
  std::atomic<uint64_t> flushed_bytes{0};  // into level 0, since the database was opened
  std::array<LevelCounters, limits::kNumLevels> level_counters;

  /// Of the last bulk load, whose rows are in no log; 0: none since the database was opened.
  std::atomic<SequenceNumber> bulk_loaded{0};

  /// Under the database's mutex: what compactions are decided by; follows the super version.
  LevelShape shape;
  bool check_compaction = true;  // something has changed since nothing was found to do
  /// The sequence that the oldest snapshot must reach for there to be something to do.
  SequenceNumber waits_for_snapshot = kMaxSequence;

 private:
  const std::shared_ptr<const TableInfo> info_;
  const void* const owner_;
  const Clock* const clock_;
  std::atomic<bool> dropped_{false};
  SharedCell<const SuperVersion> cell_;
  mutable std::mutex filter_mutex_;
  std::shared_ptr<const CompactionFilter> compaction_filter_;
};

}  // namespace marble::lsm
