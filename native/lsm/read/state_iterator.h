// Entries of a state family one by one, in both directions, over all runs: where a scan gathers
// Arrow batches, this points at the bytes where they lie.
#pragma once

#include <memory>

#include "lsm/db.h"
#include "lsm/read/read_view.h"
#include "lsm/table_state.h"

namespace marble::lsm {

/// `snapshot` (may be null) stays registered as long as the iterator lives.
std::unique_ptr<StateIterator> NewStateIterator(const TableHandle& state, SuperVersionRef version,
                                                const ReadView& view, SnapshotRef snapshot,
                                                const ScanRange& range);

}  // namespace marble::lsm
