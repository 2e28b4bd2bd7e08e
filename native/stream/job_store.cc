#include "stream/job_store.h"

#include <arrow/api.h>

#include <set>

namespace marble::stream {

namespace {

std::shared_ptr<arrow::Schema> JobsSchema() {
  return arrow::schema(
      {arrow::field("name", arrow::utf8(), false), arrow::field("plan", arrow::utf8(), false),
       arrow::field("status", arrow::utf8(), false), arrow::field("epoch", arrow::int64(), false),
       arrow::field("updated", arrow::timestamp(arrow::TimeUnit::MILLI, "UTC"), false),
       arrow::field("error", arrow::utf8()), arrow::field("watermarks", arrow::utf8(), false)});
}

std::shared_ptr<arrow::Schema> OffsetsSchema() {
  return arrow::schema({arrow::field("job", arrow::utf8(), false),
                        arrow::field("connector_id", arrow::utf8(), false),
                        arrow::field("partition", arrow::int32(), false),
                        arrow::field("offset", arrow::utf8(), false),
                        arrow::field("watermark", arrow::int64()),
                        arrow::field("epoch", arrow::int64(), false)});
}

std::string StatePrefix(const std::string& job) { return "state." + job + "."; }

template <typename Builder, typename T>
Result<std::shared_ptr<arrow::Array>> Column(Builder* builder, const T& value) {
  MARBLE_RETURN_NOT_OK(builder->Append(value));
  return builder->Finish();
}

template <typename T>
const T& As(const std::shared_ptr<arrow::RecordBatch>& batch, int column) {
  return static_cast<const T&>(*batch->column(column));
}

}  // namespace

Result<std::shared_ptr<JobStore>> JobStore::Open(std::shared_ptr<lsm::DB> db) {
  std::shared_ptr<JobStore> store(new JobStore());
  lsm::TableDescriptor jobs;
  jobs.name = kJobsTable;
  jobs.schema = JobsSchema();
  jobs.key_columns = {0};
  jobs.is_system = true;
  MARBLE_ASSIGN_OR_RETURN(store->jobs_, db->CreateTable(std::move(jobs), true));
  lsm::TableDescriptor offsets;
  offsets.name = kOffsetsTable;
  offsets.schema = OffsetsSchema();
  offsets.key_columns = {0, 1, 2};
  offsets.is_system = true;
  MARBLE_ASSIGN_OR_RETURN(store->offsets_, db->CreateTable(std::move(offsets), true));
  store->db_ = std::move(db);
  return store;
}

Result<std::string> JobStore::JobPrefix(const lsm::TableHandle& table,
                                        const std::string& job) const {
  return lsm::CodecOf(table)->EncodeScalars({std::make_shared<arrow::StringScalar>(job)});
}

Result<std::optional<JobRow>> JobStore::ReadJob(const std::string& name) const {
  MARBLE_ASSIGN_OR_RETURN(auto key, JobPrefix(jobs_, name));
  MARBLE_ASSIGN_OR_RETURN(auto found, db_->GetRow(jobs_, key, {}));
  if (!found) return std::nullopt;
  const auto& batch = found->batch;
  const int64_t row = found->row;
  JobRow job;
  job.name = name;
  job.plan = As<arrow::StringArray>(batch, 1).GetString(row);
  job.status = As<arrow::StringArray>(batch, 2).GetString(row);
  job.epoch = static_cast<uint64_t>(As<arrow::Int64Array>(batch, 3).Value(row));
  job.updated_ms = As<arrow::TimestampArray>(batch, 4).Value(row);
  if (batch->column(5)->IsValid(row)) {
    job.error = As<arrow::StringArray>(batch, 5).GetString(row);
  }
  job.watermarks = As<arrow::StringArray>(batch, 6).GetString(row);
  return std::optional(std::move(job));
}

Result<std::vector<OffsetRow>> JobStore::ReadOffsets(const std::string& job) const {
  lsm::ScanOptions options;
  MARBLE_ASSIGN_OR_RETURN(options.range.lower, JobPrefix(offsets_, job));
  options.range.upper = PrefixSuccessor(options.range.lower);
  MARBLE_ASSIGN_OR_RETURN(auto iterator, db_->NewIterator(offsets_, options));
  std::vector<OffsetRow> rows;
  while (true) {
    MARBLE_ASSIGN_OR_RETURN(auto scanned, iterator->Next());
    const auto& batch = scanned.batch;
    if (batch == nullptr) return rows;
    for (int64_t i = 0; i < batch->num_rows(); ++i) {
      if (As<arrow::StringArray>(batch, 0).GetView(i) != job) continue;
      OffsetRow row;
      row.connector_id = As<arrow::StringArray>(batch, 1).GetString(i);
      row.partition = As<arrow::Int32Array>(batch, 2).Value(i);
      row.offset = As<arrow::StringArray>(batch, 3).GetString(i);
      if (batch->column(4)->IsValid(i)) row.watermark = As<arrow::Int64Array>(batch, 4).Value(i);
      row.epoch = static_cast<uint64_t>(As<arrow::Int64Array>(batch, 5).Value(i));
      rows.push_back(std::move(row));
    }
  }
}

Status JobStore::PutJob(const JobRow& row, EpochWrites* writes) const {
  arrow::StringBuilder name, plan, status, error, watermarks;
  arrow::Int64Builder epoch;
  arrow::TimestampBuilder updated(arrow::timestamp(arrow::TimeUnit::MILLI, "UTC"),
                                  arrow::default_memory_pool());
  std::vector<std::shared_ptr<arrow::Array>> columns(7);
  MARBLE_ASSIGN_OR_RETURN(columns[0], Column(&name, row.name));
  MARBLE_ASSIGN_OR_RETURN(columns[1], Column(&plan, row.plan));
  MARBLE_ASSIGN_OR_RETURN(columns[2], Column(&status, row.status));
  MARBLE_ASSIGN_OR_RETURN(columns[3], Column(&epoch, static_cast<int64_t>(row.epoch)));
  MARBLE_ASSIGN_OR_RETURN(columns[4], Column(&updated, row.updated_ms));
  if (row.error) {
    MARBLE_ASSIGN_OR_RETURN(columns[5], Column(&error, *row.error));
  } else {
    MARBLE_ASSIGN_OR_RETURN(columns[5], arrow::MakeArrayOfNull(arrow::utf8(), 1));
  }
  MARBLE_ASSIGN_OR_RETURN(columns[6], Column(&watermarks, row.watermarks));
  writes->Insert(jobs_,
                 arrow::RecordBatch::Make(lsm::DescriptorOf(jobs_).schema, 1, std::move(columns)));
  return Status::OK();
}

Status JobStore::PutOffsets(const std::string& job, const std::vector<OffsetRow>& rows,
                            EpochWrites* writes) const {
  if (rows.empty()) return Status::OK();
  arrow::StringBuilder jobs, ids, offsets;
  arrow::Int32Builder partitions;
  arrow::Int64Builder watermarks, epochs;
  for (const auto& row : rows) {
    MARBLE_RETURN_NOT_OK(jobs.Append(job));
    MARBLE_RETURN_NOT_OK(ids.Append(row.connector_id));
    MARBLE_RETURN_NOT_OK(partitions.Append(row.partition));
    MARBLE_RETURN_NOT_OK(offsets.Append(row.offset));
    MARBLE_RETURN_NOT_OK(row.watermark ? watermarks.Append(*row.watermark)
                                       : watermarks.AppendNull());
    MARBLE_RETURN_NOT_OK(epochs.Append(static_cast<int64_t>(row.epoch)));
  }
  std::vector<std::shared_ptr<arrow::Array>> columns(6);
  MARBLE_RETURN_NOT_OK(jobs.Finish(&columns[0]));
  MARBLE_RETURN_NOT_OK(ids.Finish(&columns[1]));
  MARBLE_RETURN_NOT_OK(partitions.Finish(&columns[2]));
  MARBLE_RETURN_NOT_OK(offsets.Finish(&columns[3]));
  MARBLE_RETURN_NOT_OK(watermarks.Finish(&columns[4]));
  MARBLE_RETURN_NOT_OK(epochs.Finish(&columns[5]));
  writes->Insert(offsets_,
                 arrow::RecordBatch::Make(lsm::DescriptorOf(offsets_).schema,
                                          static_cast<int64_t>(rows.size()), std::move(columns)));
  return Status::OK();
}

Result<lsm::TableHandle> JobStore::StateTable(const std::string& job, const std::string& op,
                                              const std::shared_ptr<arrow::Schema>& schema,
                                              const std::vector<int>& key_columns) const {
  lsm::TableDescriptor descriptor;
  descriptor.name = StatePrefix(job) + op;
  descriptor.schema = schema;
  descriptor.key_columns = key_columns;
  descriptor.options.lazy_index = true;
  descriptor.options.point_index = false;  // its owner scans it, nobody gets single rows
  descriptor.is_system = true;
  auto made = db_->CreateTable(std::move(descriptor), true);
  if (made.ok() || CodeOf(made.status()) != ErrorCode::kIncompatible) return made;
  return MakeError(ErrorCode::kIncompatibleState,
                   "Job '" + job + "': the state of operator '" + op +
                       "' has other columns: " + MessageOf(made.status()));
}

Status JobStore::DropState(const std::string& job) const {
  // Another job's name may begin with this one's and a dot: its own row protects it.
  const auto prefix = StatePrefix(job);
  for (const auto& table : db_->ListTables()) {
    if (!table.name.starts_with(prefix)) continue;
    bool others = false;
    for (size_t dot = table.name.find('.', prefix.size()); dot != std::string::npos;
         dot = table.name.find('.', dot + 1)) {
      const auto owner = table.name.substr(6, dot - 6);
      MARBLE_ASSIGN_OR_RETURN(auto row, ReadJob(owner));
      others = others || row.has_value();
    }
    if (!others) MARBLE_RETURN_NOT_OK(db_->DropTable(table.name, true));
  }
  return Status::OK();
}

Status JobStore::DropJob(const std::string& job, const std::vector<std::string>& targets) const {
  EpochWrites writes;
  MARBLE_ASSIGN_OR_RETURN(auto key, JobPrefix(jobs_, job));
  writes.DeleteRange(jobs_, key, key + '\0');
  MARBLE_ASSIGN_OR_RETURN(auto prefix, JobPrefix(offsets_, job));
  writes.DeleteRange(offsets_, prefix, PrefixSuccessor(prefix));
  std::vector<lsm::TableDescriptor> recreate;
  for (const auto& name : std::set<std::string>(targets.begin(), targets.end())) {
    auto table = db_->GetTable(name);
    if (!table.ok()) {
      if (CodeOf(table.status()) == ErrorCode::kTableNotFound) continue;
      return table.status();
    }
    if (lsm::CodecOf(*table) != nullptr) {
      writes.DeleteRange(*table, "", "");
    } else {
      recreate.push_back(lsm::DescriptorOf(*table));
    }
  }
  // Rows without a key cannot be deleted: their table is made anew, before the job's own rows
  // go, so that a crash in between leaves a job that is dropped again.
  if (!recreate.empty()) {
    MARBLE_ASSIGN_OR_RETURN(auto row, ReadJob(job));
    if (row) {
      // A crash from here on must not resume the job behind an empty table.
      row->status = kDroppingStatus;
      EpochWrites mark;
      MARBLE_RETURN_NOT_OK(PutJob(*row, &mark));
      MARBLE_ASSIGN_OR_RETURN(auto marked, mark.Build());
      MARBLE_RETURN_NOT_OK(db_->Write(std::move(marked), {}).status());
    }
  }
  for (auto& descriptor : recreate) {
    MARBLE_RETURN_NOT_OK(db_->DropTable(descriptor.name, true));
    MARBLE_RETURN_NOT_OK(db_->CreateTable(descriptor, true).status());
  }
  MARBLE_ASSIGN_OR_RETURN(auto batch, writes.Build());
  MARBLE_RETURN_NOT_OK(db_->Write(std::move(batch), {}).status());
  return DropState(job);
}

}  // namespace marble::stream
