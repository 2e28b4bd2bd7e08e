// The runs that a read of one table walks together, from the newest to the oldest: memtables,
// files of level 0, levels. Knows what range tombstones hide and what merge operands add up to;
// which run comes first at a key is for its user (merged_runs.h). One thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lsm/db.h"
#include "lsm/read/run_cursor.h"
#include "lsm/table_state.h"

namespace marble::lsm {

class RunSet {
 public:
  /// What is found stays valid while `version` lives. Files outside of `range` are left out.
  /// `columns`: those looked at besides the key; null: all.
  RunSet(const std::shared_ptr<const TableInfo>& info, const SuperVersion& version,
         const ReadView& view, const ScanRange& range, const ColumnsRef& columns);

  size_t size() const { return cursors_.size(); }
  RunCursor& operator[](size_t run) const { return *cursors_[run]; }
  bool has_tombstones() const { return !tombstones_.empty(); }
  /// Files that lie outside of the range.
  size_t files_out_of_range() const { return files_out_of_range_; }

  /// Whether a row of a run is dead: deleted, expired, or under a range tombstone.
  bool Dead(size_t run, const RunRow& row) const {
    return row.deleted || (has_tombstones() && Covered(run, row));
  }
  /// A run stands on a merge operand, and it and all older runs that have the key stand on it:
  /// what the operands add up to. False: nothing, it has expired.
  Result<bool> MergedValue(size_t run, std::string* value);

 private:
  /// A tombstone of a newer memtable hides everything below it, one of the same memtable what is
  /// older.
  bool Covered(size_t run, const RunRow& row) const;
  /// Below which sequence a run's versions of a key are hidden by range tombstones.
  SequenceNumber HiddenBelow(size_t run, std::string_view key) const;

  const TableInfo& info_;
  const ReadView view_;
  std::vector<std::unique_ptr<RunCursor>> cursors_;                   // newest run first
  std::vector<std::pair<size_t, const RangeTombstone*>> tombstones_;  // with their run
  std::string merge_key_;
  size_t files_out_of_range_ = 0;
};

}  // namespace marble::lsm
