// Finds the version of one key that a view sees: memtables from newest to oldest, level 0, one file
// of each level below. The key is hashed once. Any thread; what is found stays valid while the
// super version is referenced.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "lsm/read/counters.h"
#include "lsm/read/read_view.h"
#include "lsm/table_state.h"

namespace marble::lsm {

/// Where a live version lies: in a memtable, as bytes or a row of a batch in a file, in the sum of
/// several versions, or nowhere.
struct FoundRow {
  const KeyVersion* version = nullptr;
  std::shared_ptr<arrow::RecordBatch> batch;
  int64_t row = 0;
  std::shared_ptr<const std::string> merged;
  std::optional<std::string_view> bytes;  // in a file of the super version

  bool found() const {
    return version != nullptr || bytes.has_value() || batch != nullptr || merged != nullptr;
  }
};

/// `out` is empty before. `counters` may be null.
Status FindRow(const TableInfo& info, const SuperVersion& version, std::string_view key,
               uint64_t hash, const ReadView& view, DbCounters* counters, FoundRow* out);

/// A lookup of a key whose cache misses overlap with those of others: what FindRow will look at is
/// fetched in three steps, each of which wants the one before to have arrived. Hints alone.
class RowPrefetch {
 public:
  void Begin(const SuperVersion& version, std::string_view key, uint64_t hash);
  void Locate(const TableInfo& info, const SuperVersion& version);
  void Fetch() const;

 private:
  std::string_view key_;
  uint64_t hash_ = 0;
  const KeyNode* node_ = nullptr;      // it lies here, or
  const SstReader* reader_ = nullptr;  // in this file
};

/// The value bytes of a row of a state family's file; empty for a null.
std::string_view ValueAt(const arrow::RecordBatch& batch, int64_t row);

}  // namespace marble::lsm
