// A state family's file of which every row counts, as a run whose keys and values are read where
// they lie, many at a time, and without Arrow arrays but where stretches are taken whole. One
// thread.
#pragma once

#include <memory>

#include "lsm/read/run_cursor.h"
#include "lsm/version/table_version.h"

namespace marble::lsm {

/// Null when the file has other rows, rows that expire, or no bytes (SstReader::bytes). `columns`
/// of batches that are taken whole.
std::unique_ptr<RunCursor> NewBytesCursor(const SstFileRef& file,
                                          const std::shared_ptr<const TableInfo>& info,
                                          const ReadView& view, const ColumnsRef& columns);

}  // namespace marble::lsm
