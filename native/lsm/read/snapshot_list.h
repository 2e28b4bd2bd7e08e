// The live snapshots of a database. Flush and compaction keep what they see. Thread-safe.
#pragma once

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
  SnapshotRef Take(const ReadSequence& read_sequence) {
    std::lock_guard lock(mutex_);
    const SequenceNumber sequence = read_sequence();
    return std::make_shared<Entry>(shared_from_this(), sequence, live_.insert(sequence));
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
    Entry(std::shared_ptr<SnapshotList> list, SequenceNumber sequence,
          std::multiset<SequenceNumber>::iterator at)
        : list_(std::move(list)), sequence_(sequence), at_(at) {}
    ~Entry() override {
      std::lock_guard lock(list_->mutex_);
      list_->live_.erase(at_);
    }
    SequenceNumber sequence() const override { return sequence_; }

   private:
    const std::shared_ptr<SnapshotList> list_;
    const SequenceNumber sequence_;
    const std::multiset<SequenceNumber>::iterator at_;
  };

  mutable std::mutex mutex_;
  std::multiset<SequenceNumber> live_;
};

}  // namespace marble::lsm
