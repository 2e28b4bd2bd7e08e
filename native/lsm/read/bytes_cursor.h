// A state family's file of which every row counts, as a run whose keys and values are read where
// they lie: for readers of single entries, to whom no Arrow batch is of use. One thread.
#pragma once

#include <memory>

#include "lsm/read/run_cursor.h"
#include "lsm/version/table_version.h"

namespace marble::lsm {

/// Null when the file has other rows, rows that expire, or no bytes (SstReader::bytes). `file`
/// outlives the cursor.
std::unique_ptr<RunCursor> NewBytesCursor(const SstFile& file, const ReadView& view);

}  // namespace marble::lsm
