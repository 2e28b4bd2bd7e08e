#include "lsm/read/state_iterator.h"

#include <algorithm>
#include <string>
#include <utility>

#include "lsm/read/run_set.h"

namespace marble::lsm {
namespace {

class StateIteratorImpl : public StateIterator {
 public:
  StateIteratorImpl(const TableHandle& state, SuperVersionRef version, const ReadView& view,
                    SnapshotRef snapshot, const ScanRange& range)
      : table_(state),
        version_(std::move(version)),
        snapshot_(std::move(snapshot)),
        range_(range),
        runs_(state->info_ref(), *version_, view, range_,
              {.columns = nullptr, .bytes_alone = true}) {}

  bool Valid() const override { return valid_; }
  std::string_view key() const override { return key_; }
  std::string_view value() const override { return value_; }
  Status status() const override { return status_; }

  void Seek(std::string_view key) override {
    // It may be the key that the iterator stands on, whose memory goes when a run moves.
    seek_key_.assign(std::max(key, std::string_view(range_.lower)));
    forward_ = true;
    if (runs_.size() > 1) {
      for (size_t i = 0; i < runs_.size(); ++i) runs_[i].PrefetchSeek(seek_key_);
    }
    for (size_t i = 0; i < runs_.size(); ++i) {
      if (!Note(runs_[i].SeekGE(seek_key_))) return;
    }
    Settle();
  }
  void SeekForPrev(std::string_view key) override {
    // The last key <= `key` is the last one below its successor.
    std::string after(key);
    after.push_back('\0');
    SeekBelow(range_.upper.empty() || after < range_.upper ? after : range_.upper);
  }
  void SeekToFirst() override { Seek({}); }
  void SeekToLast() override { SeekBelow(range_.upper); }

  void Next() override {
    if (!valid_) return;
    if (!forward_) {
      // The other runs stand before the key: bring all behind it.
      const std::string from = std::string(key_) + '\0';
      return Seek(from);
    }
    if (Pass()) Settle();
  }
  void Prev() override {
    if (!valid_) return;
    if (forward_) {
      const std::string to(key_);
      // Nothing lies below the empty key, which would mean the end.
      if (to.empty()) {
        valid_ = false;
        return;
      }
      return SeekBelow(to);
    }
    if (Pass()) Settle();
  }

 private:
  void SeekBelow(std::string_view key) {
    forward_ = false;
    for (size_t i = 0; i < runs_.size(); ++i) {
      if (!Note(runs_[i].SeekLT(key))) return;
    }
    Settle();
  }
  bool Note(const Status& status) {
    if (status.ok()) return true;
    status_ = status;
    valid_ = false;
    return false;
  }
  /// Move all runs off the key of the winner.
  bool Pass() {
    RunCursor& winner = runs_[winner_];
    for (size_t i = winner_ + 1; i < runs_.size(); ++i) {
      if (!runs_[i].valid() || RunSet::CompareKeys(runs_[i], winner) != 0) continue;
      if (!Note(forward_ ? runs_[i].Next() : runs_[i].Prev())) return false;
    }
    return Note(forward_ ? winner.Next() : winner.Prev());
  }
  /// The newest run with the first key wins; on while its row is dead.
  void Settle() {
    constexpr size_t kNone = SIZE_MAX;
    while (true) {
      winner_ = kNone;
      for (size_t i = 0; i < runs_.size(); ++i) {
        if (!runs_[i].valid()) continue;
        if (winner_ == kNone) {
          winner_ = i;
          continue;
        }
        const int order = RunSet::CompareKeys(runs_[i], runs_[winner_]);
        if (forward_ ? order < 0 : order > 0) winner_ = i;
      }
      valid_ = winner_ != kNone && InRange(runs_[winner_].key());
      if (!valid_) return;
      if (!runs_.Dead(winner_)) {
        if (!runs_[winner_].merge()) {
          value_ = runs_[winner_].Value();
          break;
        }
        const Result<bool> found = runs_.MergedValue(winner_, &merged_);
        if (!Note(found.status())) return;
        value_ = merged_;
        if (*found) break;
      }
      if (!Pass()) return;
    }
    key_ = runs_[winner_].key();
  }
  bool InRange(std::string_view key) const {
    return forward_ ? range_.upper.empty() || key < range_.upper : key >= range_.lower;
  }

  const TableHandle table_;
  const SuperVersionRef version_;
  const SnapshotRef snapshot_;
  const ScanRange range_;
  RunSet runs_;
  bool forward_ = true;
  bool valid_ = false;
  size_t winner_ = 0;
  std::string_view key_;
  std::string_view value_;
  std::string merged_;
  std::string seek_key_;
  Status status_;
};

}  // namespace

std::unique_ptr<StateIterator> NewStateIterator(const TableHandle& state, SuperVersionRef version,
                                                const ReadView& view, SnapshotRef snapshot,
                                                const ScanRange& range) {
  return std::make_unique<StateIteratorImpl>(state, std::move(version), view, std::move(snapshot),
                                             range);
}

}  // namespace marble::lsm
