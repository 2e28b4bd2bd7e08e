// Turns one table's memtable into SSTables of level 0, by a pipeline on the scheduler. Older
// memtables are flushed already.
//
// Range tombstones end here. Decided: they become point tombstones, one for each key that an
// older file has in the range, so that files need no tombstones of ranges and reads of files
// never look for any. The cost: a range delete over files reads the keys in the range once and
// writes as many tombstones; the next compaction drops both.
#pragma once

#include <memory>
#include <vector>

#include "lsm/compaction/run_pipeline.h"
#include "lsm/compaction/version_folder.h"
#include "lsm/memtable/memtable.h"
#include "lsm/version/table_version.h"

namespace marble::lsm {

/// `older`: the table's files. files.hidden and sequences are set here. Waits for the end.
Result<std::vector<FileMeta>> FlushMemtable(const std::shared_ptr<const TableInfo>& info,
                                            Memtable* memtable, const TableVersion& older,
                                            FoldRules rules, RunWriterOptions files,
                                            MemoryBudget* budget, task::TaskScheduler* scheduler);

}  // namespace marble::lsm
