// What a database's folder holds: catalog, files by level, log segments. Reads and writes nothing
// else; neither locks nor replays. Of a database that is open it may find files half written or
// just gone: DB::metrics tells of that one.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "io/file_system.h"
#include "lsm/options.h"
#include "lsm/sst/sst_format.h"

namespace marble::lsm {

struct InspectOptions {
  /// Read every .idx file for its zone maps as well.
  bool zone_maps = false;
};

/// Bounds of one column in one batch; as text, nullopt: unknown.
struct InspectedZone {
  int64_t batch = 0;
  std::string column;
  std::optional<std::string> min;
  std::optional<std::string> max;
  int64_t null_count = -1;
};
struct InspectedFile {
  FileMeta meta;
  bool present = false;  // both files are there, with the manifest's sizes
  std::vector<InspectedZone> zones;
  std::string error;  // why zone maps could not be read
};
struct InspectedTable {
  TableDescriptor descriptor;
  std::vector<InspectedFile> files;  // by level, then by key
  uint64_t rows = 0;                 // in files; versions and tombstones count
  uint64_t bytes = 0;
  uint64_t uncompressed_bytes = 0;  // what it would take without compression
};
struct InspectedSegment {
  uint64_t id = 0;
  uint64_t file_bytes = 0;
  uint64_t used_bytes = 0;  // up to the end of the last good record
  uint64_t records = 0;     // write batches
  uint64_t first_sequence = 0;
  uint64_t last_sequence = 0;
  bool needed = false;                // false: flushed, or cut away by a recovery
  std::optional<uint64_t> fixed_end;  // from the manifest
  std::string end;  // "sealed", "closed", "open" (no end record), "unused", or what is wrong
};
struct DatabaseInspection {
  std::string path;
  std::string database_id;  // 32 hex digits
  std::string id;           // the option
  std::string manifest;     // file name
  bool manifest_torn = false;
  uint64_t next_file_number = 0;
  uint64_t next_table_id = 0;
  uint64_t log_first_segment = 0;
  uint64_t log_position = 0;
  SequenceNumber flushed_sequence = 0;  // the last one in a file
  SequenceNumber last_sequence = 0;     // of the log as well
  std::vector<InspectedTable> tables;
  std::vector<InspectedSegment> segments;
  std::vector<std::string> other_files;  // that the manifest does not name
};

/// kNotFound when there is no database, kCorruption when its manifest cannot be read.
Result<DatabaseInspection> InspectDatabase(const std::shared_ptr<io::FileSystem>& files,
                                           const std::string& dir, const InspectOptions& options);

/// One JSON object; numbers beyond 2^53 would lose digits in JavaScript and so are strings, as all
/// sequence numbers are. Keys of files are hexadecimal.
Result<std::string> InspectionToJson(const DatabaseInspection& inspection);

}  // namespace marble::lsm
