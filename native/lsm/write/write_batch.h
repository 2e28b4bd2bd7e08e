// A set of changes over any number of tables, atomic when written. Owned by one thread.
//
// A batch is normalised when built (design: rules of versions, a): of several operations on one
// key the last one counts, also between and within Arrow batches; a delete range removes the
// batch's own earlier operations in the range and hides only lower sequences. So all of a
// batch's operations can share one sequence number.
//
// Byte operations (state families) are encoded at once; Arrow batches are kept by reference and
// serialised straight into the log's mapping: they must not change until Write has returned.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "lsm/options.h"

namespace marble::lsm {

enum class BatchOp : uint8_t;
class TableState;  // the database's view of one table
using TableHandle = std::shared_ptr<TableState>;

class WriteBatch {
 public:
  WriteBatch();
  ~WriteBatch();
  WriteBatch(WriteBatch&&) noexcept;
  WriteBatch& operator=(WriteBatch&&) noexcept;

  /// Put a key's value in a state family. kTooLarge beyond the limits.
  Status Put(const TableHandle& state, std::string_view key, std::string_view value);
  /// Combine with what the key has (TableOptions::merge_operator; without one kInvalidArgument).
  Status Merge(const TableHandle& state, std::string_view key, std::string_view operand);
  /// Delete by encoded key: of a state family, or of a table (KeyCodec's encoding).
  Status Delete(const TableHandle& table, std::string_view key);
  /// Delete [from, to) by encoded keys.
  Status DeleteRange(const TableHandle& table, std::string_view from, std::string_view to);
  /// Insert rows, upserting by primary key; the last of equal keys wins. The batch must have the
  /// table's schema exactly (names, types, order); nulls in non-nullable columns are kSchema.
  Status Insert(const TableHandle& table, std::shared_ptr<arrow::RecordBatch> rows);
  /// Delete the rows with these keys: a batch of the key columns, in key order, for many at once.
  Status DeleteRows(const TableHandle& table, std::shared_ptr<arrow::RecordBatch> keys);

  void Clear();
  /// Operations: bytes put or deleted, ranges, and rows of Arrow batches.
  int64_t num_operations() const;
  bool empty() const { return num_operations() == 0; }

  struct Rep;
  Rep* rep() const { return rep_.get(); }

 private:
  Status AddBytes(BatchOp op, const TableHandle& state, std::string_view key,
                  std::string_view value);
  std::unique_ptr<Rep> rep_;
};

}  // namespace marble::lsm
