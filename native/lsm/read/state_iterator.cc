#include "lsm/read/state_iterator.h"

#include <algorithm>
#include <string>
#include <utility>

#include "lsm/read/merged_runs.h"

namespace marble::lsm {
namespace {

/// Rows read at once of a run after a seek: who seeks may want few.
constexpr size_t kFirstRows = 1;

class StateIteratorImpl : public StateIterator {
 public:
  StateIteratorImpl(const TableHandle& state, SuperVersionRef version, const ReadView& view,
                    SnapshotRef snapshot, const ScanRange& range)
      : table_(state),
        version_(std::move(version)),
        snapshot_(std::move(snapshot)),
        range_(range),
        runs_(state->info_ref(), *version_, view, range_, /*columns=*/nullptr, kFirstRows) {}

  bool Valid() const override { return valid_; }
  std::string_view key() const override { return key_; }
  std::string_view value() const override { return value_; }
  Status status() const override { return status_; }

  void Seek(std::string_view key) override {
    // It may be the key that the iterator stands on, whose memory goes when a run moves.
    seek_key_.assign(std::max(key, std::string_view(range_.lower)));
    forward_ = true;
    if (Note(runs_.SeekGE(seek_key_))) Settle();
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
    if (Note(runs_.Next())) Settle();
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
    if (Note(runs_.Next())) Settle();
  }

 private:
  void SeekBelow(std::string_view key) {
    forward_ = false;
    if (Note(runs_.SeekLT(key))) Settle();
  }
  bool Note(const Status& status) {
    if (status.ok()) return true;
    status_ = status;
    valid_ = false;
    return false;
  }
  /// Show the row that the runs have come to, or the next one that lives.
  void Settle() {
    valid_ = false;
    while (runs_.valid() && InRange(runs_.row().key())) {
      if (!runs_.dead()) {
        const RunRow& row = runs_.row();
        if (!row.merge) {
          key_ = row.key();
          value_ = row.Value();
          valid_ = true;
          return;
        }
        const Result<bool> found = runs_.MergedValue(&merged_);
        if (!Note(found.status())) return;
        if (*found) {
          key_ = runs_.row().key();
          value_ = merged_;
          valid_ = true;
          return;
        }
      }
      if (!Note(runs_.Next())) return;
    }
  }
  bool InRange(std::string_view key) const {
    return forward_ ? range_.upper.empty() || key < range_.upper : key >= range_.lower;
  }

  const TableHandle table_;
  const SuperVersionRef version_;
  const SnapshotRef snapshot_;
  const ScanRange range_;
  MergedRuns runs_;
  bool forward_ = true;
  bool valid_ = false;
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
