// The live snapshots of a database. Flush and compaction keep what they see; when a table is
// altered, they keep its version with the columns of before, for those who began to read with it.
// Thread-safe.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "lsm/db.h"
#include "lsm/table_state.h"

namespace marble::lsm {

class SnapshotList : public std::enable_shared_from_this<SnapshotList> {
 public:
  /// `read_time` and `read_sequence` are called under the list's mutex: who collects the list
  /// afterwards either finds the new snapshot, or had read everything that it can see before; and
  /// who had read the clock before asks for the oldest time finds no later one that is earlier.
  template <typename ReadTime, typename ReadSequence>
  SnapshotRef Take(const ReadTime& read_time, const ReadSequence& read_sequence) {
    std::lock_guard lock(mutex_);
    const int64_t now_ms = read_time();
    const SequenceNumber sequence = read_sequence();
    const auto at = live_.insert(sequence);
    oldest_.store(*live_.begin(), std::memory_order_release);
    auto entry =
        std::make_shared<Entry>(shared_from_this(), sequence, now_ms, at, times_.insert(now_ms));
    entries_.insert(entry.get());
    return entry;
  }
  /// Let every live snapshot keep a version while `replace` puts another in its place: whoever
  /// finds the new one finds the old one kept.
  template <typename Replace>
  void KeepWhile(const SuperVersionRef& version, const Replace& replace) {
    std::lock_guard lock(mutex_);
    for (Entry* entry : entries_) entry->kept_.push_back(version);
    replace();
  }
  /// What a snapshot keeps of a table at a schema; null: nothing.
  static SuperVersionRef Kept(const Snapshot& snapshot, const TableInfo& info) {
    const auto& entry = static_cast<const Entry&>(snapshot);
    std::lock_guard lock(entry.list_->mutex_);
    for (const SuperVersionRef& version : entry.kept_) {
      if (version->info.get() == &info) return version;
    }
    return nullptr;
  }
  /// The clock of the snapshot that sees the most expired rows; `now_ms` when there is none.
  int64_t OldestTime(int64_t now_ms) const {
    std::lock_guard lock(mutex_);
    return times_.empty() ? now_ms : std::min(now_ms, *times_.begin());
  }
  /// The snapshot that sees least; kMaxSequence when there is none. No lock.
  SequenceNumber oldest() const { return oldest_.load(std::memory_order_acquire); }
  /// Call `hook` whenever the release of a snapshot has changed the oldest one, on the releasing
  /// thread. Null: no more; on return none is running.
  void OnOldestReleased(std::function<void()> hook) {
    std::lock_guard lock(hook_mutex_);
    hook_ = std::move(hook);
  }
  /// Ascending, without repetitions.
  std::vector<SequenceNumber> Collect() const {
    std::lock_guard lock(mutex_);
    std::vector<SequenceNumber> out;
    for (SequenceNumber sequence : live_) {
      if (out.empty() || out.back() != sequence) out.push_back(sequence);
    }
    return out;
  }

 private:
  class Entry : public Snapshot {
   public:
    Entry(std::shared_ptr<SnapshotList> list, SequenceNumber sequence, int64_t time_ms,
          std::multiset<SequenceNumber>::iterator at, std::multiset<int64_t>::iterator time_at)
        : list_(std::move(list)),
          sequence_(sequence),
          time_ms_(time_ms),
          at_(at),
          time_at_(time_at) {}
    ~Entry() override {
      if (!list_->Release(this, at_, time_at_)) return;
      std::lock_guard lock(list_->hook_mutex_);
      if (list_->hook_) list_->hook_();
    }
    SequenceNumber sequence() const override { return sequence_; }
    int64_t time_ms() const override { return time_ms_; }

   private:
    friend class SnapshotList;
    const std::shared_ptr<SnapshotList> list_;
    const SequenceNumber sequence_;
    const int64_t time_ms_;
    const std::multiset<SequenceNumber>::iterator at_;
    const std::multiset<int64_t>::iterator time_at_;
    std::vector<SuperVersionRef> kept_;  // under the list's mutex
  };

  /// True: the oldest one is another now.
  bool Release(Entry* entry, std::multiset<SequenceNumber>::iterator at,
               std::multiset<int64_t>::iterator time_at) {
    std::lock_guard lock(mutex_);
    entries_.erase(entry);
    live_.erase(at);
    times_.erase(time_at);
    const SequenceNumber now = live_.empty() ? kMaxSequence : *live_.begin();
    return oldest_.exchange(now, std::memory_order_acq_rel) != now;
  }

  mutable std::mutex mutex_;
  std::multiset<SequenceNumber> live_;
  std::multiset<int64_t> times_;
  std::set<Entry*> entries_;
  std::atomic<SequenceNumber> oldest_{kMaxSequence};
  std::mutex hook_mutex_;  // before the database's mutex
  std::function<void()> hook_;
};

}  // namespace marble::lsm
