// Turns one table's memtable into SSTables of level 0. Runs on the background thread, which is
// the only one that changes a table's files; older memtables are flushed already.
//
// Range tombstones end here. Decided: they become point tombstones, one for each key that an
// older file has in the range, so that files need no tombstones of ranges and reads of files
// never look for any. The cost: a range delete over files reads the keys in the range once and
// writes as many tombstones; the next compaction drops both.
#pragma once

#include <memory>
#include <vector>

#include "lsm/compaction/run_writer.h"
#include "lsm/compaction/version_folder.h"
#include "lsm/memtable/memtable.h"
#include "lsm/version/table_version.h"

namespace marble::lsm {

/// `older`: the table's files. options.write_* and sequences are set here.
Result<std::vector<FileMeta>> FlushMemtable(const std::shared_ptr<const TableInfo>& info,
                                            Memtable* memtable, const TableVersion& older,
                                            FoldRules rules, RunWriterOptions options);

}  // namespace marble::lsm
