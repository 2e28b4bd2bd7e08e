// All runs of a table as one: key by key in order, forwards or backwards, each with the newest
// visible version of all runs. One thread.
//
// Runs are read some rows at a time, a few at first and more while the walk goes on, so that what
// is asked of each row is a number among few: the prefixes of the keys that the runs have come to.
// Whole keys are compared where prefixes are equal.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lsm/read/run_set.h"

namespace marble::lsm {

class MergedRuns {
 public:
  /// As RunSet. `first_rows`: to read at once of a run at first.
  MergedRuns(const std::shared_ptr<const TableInfo>& info, const SuperVersion& version,
             const ReadView& view, const ScanRange& range, const ColumnsRef& columns,
             size_t first_rows);

  size_t size() const { return runs_.size(); }
  bool has_tombstones() const { return runs_.has_tombstones(); }
  size_t files_out_of_range() const { return runs_.files_out_of_range(); }

  /// To the first key >= `key` (empty: the first), to go forwards.
  Status SeekGE(std::string_view key);
  /// To the last key < `key` (empty: the last), to go backwards.
  Status SeekLT(std::string_view key);
  /// Whether there is a row. After a call that failed there is none.
  bool valid() const { return first_ != kNone; }
  /// The newest version of the key. It may be dead.
  const RunRow& row() const { return *lanes_[first_].at; }
  /// The run that it is from: 0 is the newest.
  size_t run() const { return first_; }
  /// Older runs have the key as well.
  bool tied() const { return tied_; }
  bool dead() const { return runs_.Dead(first_, row()); }
  /// row() is a merge operand: what it and older versions add up to. False: nothing, it has
  /// expired.
  Result<bool> MergedValue(std::string* value);
  /// Off the key in all runs.
  Status Next();

  /// No other run has any rows left.
  bool alone() const { return live_ == 1; }
  /// For who takes stretches whole: the first row of another run than run() and of another key;
  /// null: there is none. Where row() is not tied.
  const RunRow* Second() const;
  /// Whether a run has rows left, and if so, where it lies: RunCursor::PlainRows.
  bool has_rows(size_t run) const { return lanes_[run].at != nullptr; }
  Result<SstRows*> PlainRows(size_t run) {
    Lane& lane = lanes_[run];
    return runs_[run].PlainRows(static_cast<size_t>(lane.at - lane.rows));
  }
  /// What PlainRows gave for a run is used up to (not including) a row of its file.
  Status SkipTo(size_t run, int64_t row);

 private:
  static constexpr size_t kNone = SIZE_MAX;
  static constexpr size_t kMostRows = 64;
  static constexpr size_t kFewRows = 4;

  /// What was read of a run.
  struct Lane {
    Lane() {}  // `few` is not to be zeroed
    std::array<RunRow, kFewRows> few;
    std::unique_ptr<RunRow[]> many;
    RunRow* rows = few.data();
    const RunRow* at = nullptr;  // null: the run has come to its end
    const RunRow* end = nullptr;
    size_t next_rows = 1;  // to read at once
  };

  uint64_t OrderOf(const RunRow& row) const { return forward_ ? row.prefix : ~row.prefix; }
  /// Whether row `a` comes before row `b` (negative), equals it, or comes behind it.
  int Compare(const RunRow& a, const RunRow& b) const {
    const int order = a.key().compare(b.key());
    return forward_ ? order : -order;
  }
  Status Start(bool forward);
  /// Read where the run stands.
  Status Fill(size_t run);
  Status Advance(size_t run);
  void Choose();

  RunSet runs_;
  const size_t first_rows_;
  const size_t most_rows_;
  std::vector<Lane> lanes_;
  std::vector<uint64_t> orders_;  // OrderOf what each has come to; the greatest number: its end
  size_t live_ = 0;               // runs that have not come to their end
  bool forward_ = true;
  bool tied_ = false;
  size_t first_ = kNone;
};

}  // namespace marble::lsm
