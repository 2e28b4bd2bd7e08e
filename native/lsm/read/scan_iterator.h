// Scans of one table at one sequence number.
//
// With a key: a merge of runs. Where one plain SSTable leads alone for a stretch, the stretch
// comes out as a slice of the file's batch, with no copy; elsewhere rows are gathered into new
// batches: per key the newest run wins, tombstones vanish.
// Without a key: all batches in the order of writing; small ones are gathered.
#pragma once

#include <memory>

#include "lsm/db.h"
#include "lsm/read/counters.h"
#include "lsm/read/read_view.h"
#include "lsm/table_state.h"

namespace marble::lsm {

/// `counters` must outlive the iterator through `keep_alive`; so must the snapshot.
Result<std::unique_ptr<Iterator>> NewScanIterator(const TableHandle& table, SuperVersionRef version,
                                                  const ReadView& view, const ScanOptions& options,
                                                  std::shared_ptr<DbCounters> counters);

}  // namespace marble::lsm
