// What an application lets compaction do to rows that nobody would miss: remove them, or change
// a state family's values. Called by background threads, several at a time, for the newest version
// of a key, when no snapshot sees it: must be thread-safe and must not call the database.
//
// When a row is looked at depends on the compactions; a row that is never compacted is never
// filtered. Removed rows vanish for readers at once when the compaction is installed.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace marble::lsm {

class CompactionFilter {
 public:
  virtual ~CompactionFilter() = default;
  enum class Decision { kKeep, kRemove, kChange };
  /// Of a state family; kChange: `changed` is the new value.
  virtual Decision FilterValue(std::string_view /*key*/, std::string_view /*value*/,
                               std::string* /*changed*/) const {
    return Decision::kKeep;
  }
  /// Of a table: true removes the row. `key` is encoded; `rows` may have hidden columns behind
  /// the table's.
  virtual bool RemoveRow(std::string_view /*key*/, const arrow::RecordBatch& /*rows*/,
                         int64_t /*row*/) const {
    return false;
  }
};

}  // namespace marble::lsm
