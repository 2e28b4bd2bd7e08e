#include "table/memory_store_backend.h"

#include <arrow/api.h>

#include <bit>
#include <cstring>

#include "base/clock.h"
#include "base/limits.h"
#include "lsm/read/row_collector.h"
#include "lsm/table_state.h"

namespace marble::table {
namespace {

std::string RowNumberKey(uint64_t number) {
  std::string key;
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(number >> shift));
  return key;
}

}  // namespace

Status MemoryStoreBackend::Open(const std::string&) {
  std::lock_guard lock(mutex_);
  if (open_) {
    return MakeError(ErrorCode::kInvalidArgument, "the store backend in memory is open already");
  }
  open_ = true;
  return Status::OK();
}

Status MemoryStoreBackend::Close() {
  std::lock_guard lock(mutex_);
  open_ = false;
  tables_.clear();
  return Status::OK();
}

Result<MemoryStoreBackend::Table*> MemoryStoreBackend::Find(const std::string& table) const {
  if (!open_) return MakeError(ErrorCode::kClosed, "the store backend is not open");
  const auto found = tables_.find(table);
  if (found == tables_.end()) {
    return MakeError(ErrorCode::kTableNotFound, "there is no table '" + table + "'");
  }
  return &found->second;
}

Status MemoryStoreBackend::CreateTable(const std::string& name,
                                       const std::shared_ptr<arrow::Schema>& schema,
                                       const std::vector<std::string>& primary_key) {
  MARBLE_ASSIGN_OR_RETURN(auto descriptor, MakeTableDescriptor(name, schema, primary_key));
  MARBLE_ASSIGN_OR_RETURN(const auto info, lsm::TableInfo::Make(std::move(descriptor)));
  std::lock_guard lock(mutex_);
  if (!open_) return MakeError(ErrorCode::kClosed, "the store backend is not open");
  const auto found = tables_.find(name);
  if (found != tables_.end()) {
    const std::string difference =
        lsm::DescribeDifference(found->second.info->descriptor, info->descriptor);
    if (difference.empty()) return Status::OK();
    return MakeError(ErrorCode::kIncompatible,
                     "table '" + name + "' exists and is another: " + difference);
  }
  Table& table = tables_[name];
  table.info = info;
  table.handle = std::make_shared<lsm::TableState>(info, nullptr, Clock::System());
  return Status::OK();
}

Status MemoryStoreBackend::InsertBatch(const std::string& name,
                                       const std::shared_ptr<arrow::RecordBatch>& rows) {
  std::lock_guard lock(mutex_);
  MARBLE_ASSIGN_OR_RETURN(Table * table, Find(name));
  MARBLE_ASSIGN_OR_RETURN(const auto conformed, Conform(rows, table->info->descriptor.schema));
  std::string bytes;
  std::vector<uint32_t> offsets;
  if (table->info->keyed()) table->info->codec->EncodeAll(*conformed, &bytes, &offsets);
  if (table->rows.use_count() > 1) table->rows = std::make_shared<Rows>(*table->rows);
  for (int64_t row = 0; row < conformed->num_rows(); ++row) {
    const auto i = static_cast<size_t>(row);
    std::string key = table->info->keyed() ? bytes.substr(offsets[i], offsets[i + 1] - offsets[i])
                                           : RowNumberKey(table->next_row++);
    table->rows->insert_or_assign(std::move(key), Row{conformed, row});
  }
  return Status::OK();
}

Status MemoryStoreBackend::ScanTable(const std::string& name, const StoreScan& scan,
                                     const Visit& visit) const {
  // Let go under the lock, so that whoever finds the rows unshared comes after this scan.
  struct Shared {
    ~Shared() {
      std::lock_guard lock(*mutex);
      rows = nullptr;
    }
    std::mutex* mutex;
    std::shared_ptr<const Rows> rows;
  } shared{&mutex_, nullptr};
  std::shared_ptr<const lsm::TableInfo> info;
  lsm::TableHandle handle;
  {
    std::lock_guard lock(mutex_);
    MARBLE_ASSIGN_OR_RETURN(const Table* table, Find(name));
    shared.rows = table->rows;
    info = table->info;
    handle = table->handle;
  }
  MARBLE_ASSIGN_OR_RETURN(const auto projection, Projection::Make(handle, scan.columns));
  MARBLE_ASSIGN_OR_RETURN(const auto range, EncodeRange(handle, scan.range));
  if (!range) return Status::OK();
  const Rows& rows = *shared.rows;
  const auto begin = rows.lower_bound(range->lower);
  const auto end = range->upper.empty() ? rows.end() : rows.lower_bound(range->upper);
  lsm::RowCollector collector(info);
  const auto give = [&]() -> Result<bool> {
    if (collector.empty()) return true;
    MARBLE_ASSIGN_OR_RETURN(const auto batches, collector.Finish());
    for (const auto& batch : batches) {
      lsm::ScanBatch step;
      step.batch = batch;
      if (!visit(projection.Apply(std::move(step)).batch)) return false;
    }
    return true;
  };
  int64_t left = scan.limit < 0 ? INT64_MAX : scan.limit;
  const auto take = [&](const Row& row) -> Result<bool> {
    if (left-- <= 0) return false;
    collector.AddRows(row.batch, row.row, 1);
    return collector.rows() < limits::kTableBatchRows ? true : give();
  };
  if (scan.reverse) {
    for (auto it = end; it != begin;) {
      MARBLE_ASSIGN_OR_RETURN(const bool more, take((--it)->second));
      if (!more) break;
    }
  } else {
    for (auto it = begin; it != end; ++it) {
      MARBLE_ASSIGN_OR_RETURN(const bool more, take(it->second));
      if (!more) break;
    }
  }
  return give().status();
}

}  // namespace marble::table
