// Inside of a WriteBatch: byte operations already encoded, Arrow batches by reference, in order.
// Owned by one thread.
#pragma once

#include <arrow/ipc/writer.h>
#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lsm/write/batch_payload.h"
#include "lsm/write/write_batch.h"

namespace marble::lsm {

/// Operations in their order, one payload of the format.
struct BatchOperations {
  struct ArrowOp {
    size_t at;  // comes behind bytes[0, at)
    BatchOp op;
    TableHandle table;
    std::shared_ptr<arrow::RecordBatch> rows;
    int64_t expires;
    arrow::ipc::IpcPayload payload;
    uint32_t message_bytes;
  };

  std::string bytes;  // encoded byte operations
  std::vector<ArrowOp> arrow_ops;
  int64_t count = 0;

  Status AddArrow(BatchOp op, const TableHandle& table, std::shared_ptr<arrow::RecordBatch> rows,
                  int64_t expires);
  /// Remove operations on keys of `table` in [from, to).
  Status RemoveRange(const TableHandle& table, std::string_view from, std::string_view to);
  void Clear();

  size_t PayloadBytes() const;
  /// Write exactly PayloadBytes() bytes.
  Status WritePayload(uint8_t* to) const;
};

struct WriteBatch::Rep {
  BatchOperations logged;
  BatchOperations unlogged;     // of tables that are not in the log
  const void* owner = nullptr;  // the database of all tables in here
  bool mixed_owners = false;
  /// The tables in here whose columns may change (not state families), each once.
  std::vector<TableHandle> tables;

  /// Where operations on a table go.
  BatchOperations& Touch(const TableHandle& table);
};

}  // namespace marble::lsm
