#include "stream/epoch.h"

#include <arrow/api.h>

namespace marble::stream {

void EpochWrites::Delete(const lsm::TableHandle& table, std::shared_ptr<arrow::RecordBatch> keys) {
  if (keys->num_rows() == 0) return;
  rows_ += keys->num_rows();
  writes_.push_back({Write::Kind::kDelete, table, std::move(keys), "", ""});
}

void EpochWrites::Insert(const lsm::TableHandle& table, std::shared_ptr<arrow::RecordBatch> rows) {
  if (rows->num_rows() == 0) return;
  rows_ += rows->num_rows();
  writes_.push_back({Write::Kind::kInsert, table, std::move(rows), "", ""});
}

void EpochWrites::DeleteRange(const lsm::TableHandle& table, std::string from, std::string to) {
  ++rows_;
  writes_.push_back({Write::Kind::kDeleteRange, table, nullptr, std::move(from), std::move(to)});
}

Result<lsm::WriteBatch> EpochWrites::Build() const {
  lsm::WriteBatch batch;
  for (const auto& write : writes_) {
    switch (write.kind) {
      case Write::Kind::kDelete:
        MARBLE_RETURN_NOT_OK(batch.DeleteRows(write.table, write.batch));
        break;
      case Write::Kind::kInsert:
        MARBLE_RETURN_NOT_OK(batch.Insert(write.table, write.batch));
        break;
      case Write::Kind::kDeleteRange:
        MARBLE_RETURN_NOT_OK(batch.DeleteRange(write.table, write.from, write.to));
        break;
    }
  }
  return batch;
}

void EpochWrites::Clear() {
  writes_.clear();
  rows_ = 0;
}

}  // namespace marble::stream
