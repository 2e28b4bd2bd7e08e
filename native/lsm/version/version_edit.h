// What the manifest says: the state of a database's catalog and files, and edits of it.
// Encoding: FORMAT.md. Plain data; the owner (ManifestLog) is guarded by the database.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "lsm/options.h"
#include "lsm/sst/sst_format.h"
#include "lsm/wal/log_reader.h"

namespace marble::lsm {

/// A table's columns from now on.
struct TableColumns {
  TableId table = 0;
  std::shared_ptr<arrow::Schema> schema;
  std::vector<int> key_columns;
  std::vector<uint32_t> field_ids;
  uint32_t next_field_id = 0;

  static TableColumns Of(const TableDescriptor& table) {
    return {table.id, table.schema, table.key_columns, table.field_ids, table.next_field_id};
  }
};

/// A change of the manifest; atomic.
struct VersionEdit {
  std::vector<TableDescriptor> created_tables;
  std::vector<TableColumns> altered_tables;
  std::vector<TableId> dropped_tables;  // their files go with them
  std::vector<FileMeta> added_files;
  std::vector<std::pair<TableId, FileNumber>> removed_files;
  std::optional<FileNumber> next_file_number;
  std::optional<TableId> next_table_id;
  std::optional<uint64_t> log_first_segment;
  std::optional<LogPosition> log_position;
  std::optional<SequenceNumber> last_sequence;
  /// Replaces all fixed ends known before.
  std::optional<std::vector<FixedEnd>> fixed_ends;

  /// Schemas are serialised, which can fail.
  Result<std::string> Encode() const;
  /// kIncompatible for an unknown mandatory field, kCorruption for malformed bytes.
  static Result<VersionEdit> Decode(std::string_view bytes);
};

/// The sum of all edits.
struct ManifestState {
  std::string database_id;     // 16 random bytes
  std::string integration_id;  // DbOptions::id at creation
  std::map<TableId, TableDescriptor> tables;
  std::map<FileNumber, FileMeta> files;
  FileNumber next_file_number = 1;
  TableId next_table_id = 1;
  uint64_t log_first_segment = 1;
  LogPosition log_position = 0;      // where that segment begins
  SequenceNumber last_sequence = 0;  // of flushed data; the log may know more
  std::vector<FixedEnd> fixed_ends;

  /// Apply an edit. kCorruption when it does not fit (a file added twice, an unknown one removed).
  Status Apply(const VersionEdit& edit);
  /// The whole state as one edit, for a new manifest.
  VersionEdit Snapshot() const;
  /// The invariants that hold at every install; kInternal names the one that does not.
  Status CheckInvariants() const;
};

}  // namespace marble::lsm
