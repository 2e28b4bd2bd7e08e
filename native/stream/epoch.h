// What one epoch stores: collected from all operators at the barrier, written in ONE WriteBatch.
// Kept until the write has succeeded, so that a write refused as busy can be built again.
// One thread, the job's.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "lsm/db.h"

namespace marble::stream {

class EpochWrites {
 public:
  /// Delete rows by key (a batch of the table's key columns), before later inserts.
  void Delete(const lsm::TableHandle& table, std::shared_ptr<arrow::RecordBatch> keys);
  void Insert(const lsm::TableHandle& table, std::shared_ptr<arrow::RecordBatch> rows);
  void DeleteRange(const lsm::TableHandle& table, std::string from, std::string to);

  Result<lsm::WriteBatch> Build() const;
  int64_t rows() const { return rows_; }
  void Clear();

 private:
  struct Write {
    enum class Kind { kDelete, kInsert, kDeleteRange } kind;
    lsm::TableHandle table;
    std::shared_ptr<arrow::RecordBatch> batch;
    std::string from, to;
  };
  std::vector<Write> writes_;
  int64_t rows_ = 0;
};

}  // namespace marble::stream
