// Finds the version of one key that a sequence number sees: memtables from newest to oldest,
// level 0, the run. The key is hashed once. Any thread; what is found stays valid while the
// super version is referenced.
#pragma once

#include <memory>
#include <string_view>

#include "base/status.h"
#include "lsm/read/counters.h"
#include "lsm/table_state.h"

namespace marble::lsm {

/// Where a live version lies: in a memtable, or in a row of a file's batch, or nowhere.
struct FoundRow {
  const KeyVersion* version = nullptr;
  std::shared_ptr<arrow::RecordBatch> batch;
  int64_t row = 0;

  bool found() const { return version != nullptr || batch != nullptr; }
};

Result<FoundRow> FindRow(const SuperVersion& version, std::string_view key, SequenceNumber sequence,
                         DbCounters* counters);

}  // namespace marble::lsm
