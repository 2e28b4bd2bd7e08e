// Merges all files of one table into one new sorted run (level 1): shadowed versions and
// tombstones go, since nothing lies below. Runs on the background thread.
#pragma once

#include <memory>
#include <vector>

#include "lsm/compaction/run_writer.h"
#include "lsm/compaction/version_folder.h"
#include "lsm/version/table_version.h"

namespace marble::lsm {

/// Whether merging would change anything: more than one level, tombstones or dead versions, rows
/// that have expired or want to be filtered.
bool NeedsCompaction(const TableVersion& files, const FoldRules& rules);

/// options.level, write_* and sequences are set here. Keyed tables only.
Result<std::vector<FileMeta>> CompactFiles(const std::shared_ptr<const TableInfo>& info,
                                           const TableVersion& files, FoldRules rules,
                                           RunWriterOptions options);

}  // namespace marble::lsm
