// The measurement with data of three times the memory: each side in a process and a memory cgroup
// of its own (version 1 or 2), one after the other, so that neither page cache nor heap of one
// counts for another. Fill random, settle, then read random and mix, which have to go to the disk.
//
// The cgroup holds everything: the fill, its dirty pages and the flushes as well. Answers are
// compared with the model in the parent.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "experiment.h"
#include "results.h"
#include "store_side.h"
#include "work_directory.h"

namespace marble::lsm::bench {

/// Keys whose rows have three times `memory` bytes.
uint64_t KeysForMemory(uint64_t memory);

/// `make_side` is called in the child. kNotSupported without the right to make memory cgroups. A
/// side that is killed for lack of memory is a failure in the results, not an error.
Status RunInLimitedMemory(
    uint64_t memory, const ExperimentOptions& options,
    const std::function<std::unique_ptr<StoreSide>(const std::string&)>& make_side,
    const WorkDirectory& directory, Results* results, Progress progress);

}  // namespace marble::lsm::bench
