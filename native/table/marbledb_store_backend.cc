#include "table/marbledb_store_backend.h"

#include <arrow/api.h>

#include "lsm/write/write_batch.h"

namespace marble::table {

Status MarbledbStoreBackend::Open(const std::string& path) {
  if (db_ != nullptr) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "the store backend at " + db_->path() + " is open already");
  }
  MARBLE_ASSIGN_OR_RETURN(db_, lsm::DB::OpenShared(path, {}));
  return Status::OK();
}

Status MarbledbStoreBackend::Close() {
  // The database closes with the last that shares it.
  db_ = nullptr;
  return Status::OK();
}

Result<lsm::TableHandle> MarbledbStoreBackend::Find(const std::string& table) const {
  if (db_ == nullptr) return MakeError(ErrorCode::kClosed, "the store backend is not open");
  return db_->GetTable(table);
}

Status MarbledbStoreBackend::CreateTable(const std::string& name,
                                         const std::shared_ptr<arrow::Schema>& schema,
                                         const std::vector<std::string>& primary_key) {
  if (db_ == nullptr) return MakeError(ErrorCode::kClosed, "the store backend is not open");
  MARBLE_ASSIGN_OR_RETURN(auto descriptor, MakeTableDescriptor(name, schema, primary_key));
  return db_->CreateTable(std::move(descriptor), /*if_not_exists=*/true).status();
}

Status MarbledbStoreBackend::InsertBatch(const std::string& table,
                                         const std::shared_ptr<arrow::RecordBatch>& rows) {
  MARBLE_ASSIGN_OR_RETURN(const lsm::TableHandle handle, Find(table));
  MARBLE_ASSIGN_OR_RETURN(auto conformed, Conform(rows, lsm::DescriptorOf(handle).schema));
  if (conformed->num_rows() == 0) return Status::OK();
  lsm::WriteBatch batch;
  MARBLE_RETURN_NOT_OK(batch.Insert(handle, std::move(conformed)));
  return db_->Write(std::move(batch), {}).status();
}

Status MarbledbStoreBackend::ScanTable(const std::string& table, const StoreScan& scan,
                                       const Visit& visit) const {
  MARBLE_ASSIGN_OR_RETURN(const lsm::TableHandle handle, Find(table));
  MARBLE_ASSIGN_OR_RETURN(const auto projection, Projection::Make(handle, scan.columns));
  lsm::ScanOptions options;
  MARBLE_ASSIGN_OR_RETURN(auto range, EncodeRange(handle, scan.range));
  if (!range) return Status::OK();
  options.range = *std::move(range);
  options.reverse = scan.reverse;
  options.limit = scan.limit;
  options.read.snapshot = db_->GetSnapshot();
  MARBLE_ASSIGN_OR_RETURN(const auto rows, db_->NewIterator(handle, options));
  while (true) {
    MARBLE_ASSIGN_OR_RETURN(lsm::ScanBatch step, rows->Next());
    if (step.batch == nullptr) return Status::OK();
    if (!visit(projection.Apply(std::move(step)).batch)) return Status::OK();
  }
}

}  // namespace marble::table
