// A level (a sorted run of disjoint files) as one run of a scan: walks file by file, and touches a
// file when the scan comes to it. One thread.
#pragma once

#include <memory>

#include "lsm/db.h"
#include "lsm/read/run_cursor.h"

namespace marble::lsm {

/// Null when no file of the level lies in `range`, beyond which nothing is read; the number of
/// files that do not is added to `out_of_range`.
std::unique_ptr<RunCursor> NewLevelCursor(std::shared_ptr<const SortedLevel> level,
                                          std::shared_ptr<const TableInfo> info,
                                          const ReadView& view, const ScanRange& range,
                                          const ColumnsRef& columns, size_t* out_of_range);

}  // namespace marble::lsm
