#include "state/marbledb_state_backend.h"

#include "lsm/write/write_batch.h"
#include "table/table.h"

namespace marble::state {

Status MarbledbStateBackend::Open(const StorageConfig& config) {
  if (db_ != nullptr) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "the state backend at " + db_->path() + " is open already");
  }
  MARBLE_ASSIGN_OR_RETURN(auto db, lsm::DB::OpenShared(config.path, {}));
  MARBLE_ASSIGN_OR_RETURN(
      table_, db->CreateTable(table::MakeStateDescriptor(config.name), /*if_not_exists=*/true));
  db_ = std::move(db);
  return Status::OK();
}

Status MarbledbStateBackend::Close() {
  // The database closes with the last that shares it.
  table_ = nullptr;
  db_ = nullptr;
  return Status::OK();
}

Status MarbledbStateBackend::CheckOpen() const {
  return db_ != nullptr ? Status::OK()
                        : MakeError(ErrorCode::kClosed, "the state backend is not open");
}

Result<std::optional<std::string>> MarbledbStateBackend::Get(std::string_view key) const {
  MARBLE_RETURN_NOT_OK(CheckOpen());
  MARBLE_ASSIGN_OR_RETURN(const auto found, db_->Get(table_, key, {}));
  if (!found) return std::nullopt;
  return std::string(found->bytes);
}

Status MarbledbStateBackend::Put(std::string_view key, std::string_view value) {
  MARBLE_RETURN_NOT_OK(CheckOpen());
  lsm::WriteBatch batch;
  MARBLE_RETURN_NOT_OK(batch.Put(table_, key, value));
  return db_->Write(std::move(batch), {}).status();
}

Status MarbledbStateBackend::Delete(std::string_view key) {
  MARBLE_RETURN_NOT_OK(CheckOpen());
  lsm::WriteBatch batch;
  MARBLE_RETURN_NOT_OK(batch.Delete(table_, key));
  return db_->Write(std::move(batch), {}).status();
}

Status MarbledbStateBackend::Scan(std::string_view start, std::string_view end,
                                  const Visit& visit) const {
  MARBLE_RETURN_NOT_OK(CheckOpen());
  const lsm::SnapshotRef snapshot = db_->GetSnapshot();
  lsm::ReadOptions options;
  options.snapshot = snapshot;
  lsm::ScanRange range;
  range.lower = start;
  range.upper = end;
  MARBLE_ASSIGN_OR_RETURN(const auto rows, db_->NewStateIterator(table_, options, range));
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    if (!visit(rows->key(), rows->value())) return Status::OK();
  }
  return rows->status();
}

}  // namespace marble::state
