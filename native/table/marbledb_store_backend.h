// StoreBackend over the engine. Several backends of one path share its database.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lsm/db.h"
#include "table/store_backend.h"

namespace marble::table {

class MarbledbStoreBackend : public StoreBackend {
 public:
  Status Open(const std::string& path) override;
  Status Close() override;
  bool persistent() const override { return true; }
  Status CreateTable(const std::string& name, const std::shared_ptr<arrow::Schema>& schema,
                     const std::vector<std::string>& primary_key) override;
  Status InsertBatch(const std::string& table,
                     const std::shared_ptr<arrow::RecordBatch>& rows) override;
  Status ScanTable(const std::string& table, const StoreScan& scan,
                   const Visit& visit) const override;

 private:
  Result<lsm::TableHandle> Find(const std::string& table) const;
  std::shared_ptr<lsm::DB> db_;
};

}  // namespace marble::table
