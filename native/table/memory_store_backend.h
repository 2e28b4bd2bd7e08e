// StoreBackend in ordered maps, for tests and for tables that need not survive their process.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "lsm/table_info.h"
#include "table/store_backend.h"

namespace marble::table {

class MemoryStoreBackend : public StoreBackend {
 public:
  Status Open(const std::string& path) override;
  Status Close() override;
  bool persistent() const override { return false; }
  Status CreateTable(const std::string& name, const std::shared_ptr<arrow::Schema>& schema,
                     const std::vector<std::string>& primary_key) override;
  Status InsertBatch(const std::string& table,
                     const std::shared_ptr<arrow::RecordBatch>& rows) override;
  Status ScanTable(const std::string& table, const StoreScan& scan,
                   const Visit& visit) const override;

 private:
  struct Row {
    std::shared_ptr<arrow::RecordBatch> batch;
    int64_t row;
  };
  /// By encoded key; without a primary key by the number of the row, big-endian.
  using Rows = std::map<std::string, Row>;
  struct Table {
    std::shared_ptr<const lsm::TableInfo> info;
    lsm::TableHandle handle;  // for what is written in terms of one; of no database
    /// Scans share it; who changes it then copies it first.
    std::shared_ptr<Rows> rows = std::make_shared<Rows>();
    uint64_t next_row = 0;
  };
  /// mutex_ is held.
  Result<Table*> Find(const std::string& table) const;

  mutable std::mutex mutex_;
  bool open_ = false;
  mutable std::map<std::string, Table> tables_;
};

}  // namespace marble::table
