// The live snapshots of a database. Flush and compaction keep what they see. Thread-safe.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "lsm/db.h"

namespace marble::lsm {

class SnapshotList : public std::enable_shared_from_this<SnapshotList> {
 public:
  /// `read_sequence` is called under the list's mutex: who collects the list afterwards either
  /// finds the new snapshot, or had read everything that it can see before.
  template <typename ReadSequence>
  SnapshotRef Take(int64_t now_ms, const ReadSequence& read_sequence) {
    std::lock_guard lock(mutex_);
    const SequenceNumber sequence = read_sequence();
    return std::make_shared<Entry>(shared_from_this(), sequence, now_ms, live_.insert(sequence),
                                   times_.insert(now_ms));
  }
  /// The clock of the snapshot that sees the most expired rows; `now_ms` when there is none.
  int64_t OldestTime(int64_t now_ms) const {
    std::lock_guard lock(mutex_);
    return times_.empty() ? now_ms : std::min(now_ms, *times_.begin());
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
      std::lock_guard lock(list_->mutex_);
      list_->live_.erase(at_);
      list_->times_.erase(time_at_);
    }
    SequenceNumber sequence() const override { return sequence_; }
    int64_t time_ms() const override { return time_ms_; }

   private:
    const std::shared_ptr<SnapshotList> list_;
    const SequenceNumber sequence_;
    const int64_t time_ms_;
    const std::multiset<SequenceNumber>::iterator at_;
    const std::multiset<int64_t>::iterator time_at_;
  };

  mutable std::mutex mutex_;
  std::multiset<SequenceNumber> live_;
  std::multiset<int64_t> times_;
};

}  // namespace marble::lsm
