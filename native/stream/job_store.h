// What a database keeps of its jobs: the system tables `jobs` and `connector_offsets`, and one
// `state.<job>.<operator>` per stateful operator. All of a job's rows change in the WriteBatch
// of its epoch. Thread-safe.
//
//   jobs               name | plan, status, epoch, updated (ms), error, watermarks
//   connector_offsets  job, connector_id, partition | offset (JSON), watermark (ms), epoch
//
// `watermarks` is a JSON object: watermark operator → its watermark, which may be ahead of the
// minimum of its partitions' when some are idle.
#pragma once

#include <arrow/type_fwd.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lsm/db.h"
#include "stream/epoch.h"
#include "stream/plan.h"
#include "stream/source.h"

namespace marble::stream {

inline constexpr char kJobsTable[] = "jobs";
inline constexpr char kOffsetsTable[] = "connector_offsets";

/// The status kept of a job that was drained: it is finished whatever its input.
inline constexpr std::string_view kDrainedStatus = "drained";
/// The status while a job and its rows are being dropped: whoever finds it drops them again.
inline constexpr std::string_view kDroppingStatus = "dropping";

struct JobRow {
  std::string name;
  std::string plan;
  std::string status;
  uint64_t epoch = 0;
  int64_t updated_ms = 0;
  std::optional<std::string> error;
  std::string watermarks;  // JSON
};

struct OffsetRow {
  std::string connector_id;
  int32_t partition = 0;
  std::string offset;
  std::optional<int64_t> watermark;
  uint64_t epoch = 0;
};

class JobStore {
 public:
  /// Create the system tables where they are missing.
  static Result<std::shared_ptr<JobStore>> Open(std::shared_ptr<lsm::DB> db);

  Result<std::optional<JobRow>> ReadJob(const std::string& name) const;
  Result<std::vector<OffsetRow>> ReadOffsets(const std::string& job) const;

  Status PutJob(const JobRow& row, EpochWrites* writes) const;
  Status PutOffsets(const std::string& job, const std::vector<OffsetRow>& rows,
                    EpochWrites* writes) const;

  /// The state table of an operator, made when there is none. kIncompatibleState when it holds
  /// other columns.
  Result<lsm::TableHandle> StateTable(const std::string& job, const std::string& op,
                                      const std::shared_ptr<arrow::Schema>& schema,
                                      const std::vector<int>& key_columns) const;

  /// Drop a job's row, offsets and state; with `targets` the rows of these tables too.
  Status DropJob(const std::string& job, const std::vector<std::string>& targets) const;
  /// Drop state tables that no job row stands for: a drop that a crash cut short.
  Status DropState(const std::string& job) const;

  const std::shared_ptr<lsm::DB>& db() const { return db_; }

 private:
  JobStore() = default;
  Result<std::string> JobPrefix(const lsm::TableHandle& table, const std::string& job) const;

  std::shared_ptr<lsm::DB> db_;
  lsm::TableHandle jobs_;
  lsm::TableHandle offsets_;
};

}  // namespace marble::stream
