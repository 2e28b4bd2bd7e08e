// Gathers rows from many places into new record batches of a table's schema, column by column.
// Runs of neighbouring rows of one batch are copied as one. State families have a path of their
// own over bytes. One thread; what is added must stay valid until Finish.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "lsm/table_info.h"

namespace marble::lsm {

class RowCollector {
 public:
  /// `columns`: those that the batches are to have, in this order; null: all.
  explicit RowCollector(std::shared_ptr<const TableInfo> info, ColumnsRef columns = nullptr);

  /// Rows [start, start + count) of a batch of the table's schema (hidden columns may follow).
  void AddRows(const std::shared_ptr<arrow::RecordBatch>& batch, int64_t start, int64_t count);
  /// A row of a state family.
  void AddBytes(std::string_view key, std::string_view value);
  /// A row with these key columns and nothing else (null, or zero where null is not allowed).
  void AddTombstone(std::string_view key);

  int64_t rows() const { return rows_; }
  bool empty() const { return rows_ == 0; }
  /// Bytes of columns added so far: an estimate where there are nested ones.
  int64_t bytes() const { return bytes_; }

  /// The rows in the order of adding: one batch, more when a column's 32-bit offsets would
  /// overflow. Leaves the collector empty.
  Result<std::vector<std::shared_ptr<arrow::RecordBatch>>> Finish();

 private:
  struct Run {
    uint32_t source;
    int64_t start;
    int64_t count;
  };
  struct BytesRow {
    const char* key;
    const char* value;  // null: a null
    uint32_t key_size;
    uint32_t value_size;
  };
  static constexpr uint32_t kTombstones = UINT32_MAX;

  uint32_t SourceOf(const std::shared_ptr<arrow::RecordBatch>& batch);
  void AddBytesRow(std::string_view key, const char* value, size_t value_size);
  Result<std::shared_ptr<arrow::RecordBatch>> BuildTombstones() const;
  Status FinishTyped(const Run* begin, const Run* end,
                     std::vector<std::shared_ptr<arrow::RecordBatch>>* out);
  Status FinishBytes(size_t begin, size_t end,
                     std::vector<std::shared_ptr<arrow::RecordBatch>>* out);

  const std::shared_ptr<const TableInfo> info_;
  const ColumnsRef columns_;
  const std::shared_ptr<arrow::Schema> schema_;  // of what Finish returns
  const bool state_family_;
  int64_t fixed_bytes_ = 0;         // of a row
  std::vector<int> bytes_columns_;  // of variable length
  std::vector<std::shared_ptr<arrow::RecordBatch>> sources_;
  std::vector<Run> runs_;
  std::deque<std::string> tombstones_;  // stable addresses
  std::vector<BytesRow> bytes_rows_;
  int64_t rows_ = 0;
  int64_t bytes_ = 0;
};

/// The table's schema, or of it these columns.
std::shared_ptr<arrow::Schema> SchemaOf(const TableInfo& info, const ColumnsRef& columns);
/// The batch's columns without hidden ones (or of them `columns`), under `schema`, which is
/// SchemaOf these; rows [start, start + count).
std::shared_ptr<arrow::RecordBatch> SliceOfTable(const std::shared_ptr<arrow::Schema>& schema,
                                                 const ColumnsRef& columns,
                                                 const arrow::RecordBatch& batch, int64_t start,
                                                 int64_t count);

}  // namespace marble::lsm
