// The interface of every source, in C++ what SourceConnector is in TypeScript (CamelCase).
//
// A source is driven by one thread, its job's: Open, then Next until finished() or Close. It may
// have threads of its own behind Next. Offsets are strings per partition ("JSON as it stands"):
// what they mean is the connector's business; for Kafka the number of the next record to read.
#pragma once

#include <arrow/type_fwd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace marble::stream {

/// Partition → offset of the next record to read.
using Offsets = std::map<int32_t, std::string>;

/// Where a column of a source comes from.
struct SourceColumn {
  enum class Kind { kPhysical, kMetadata } kind = Kind::kPhysical;
  std::string name;                     // physical: the format's field; metadata: the key
  std::shared_ptr<arrow::Field> field;  // name and type in the source's output
};

/// What a plan's source node, or createSource, says of a source.
struct SourceSpec {
  std::string id;  // connector id: offsets are kept under it
  std::string table;
  std::string connector;
  std::map<std::string, std::string> options;
  std::string format;  // "json"; empty: the connector's own rows
  std::map<std::string, std::string> format_options;
  std::vector<SourceColumn> columns;
  bool bounded = false;
};

/// Rows of ONE partition, in its order.
struct SourceBatch {
  std::shared_ptr<arrow::RecordBatch> rows;  // the spec's columns; may have 0 rows (only an offset)
  int32_t partition = 0;
  std::string next_offset;  // behind these rows
  int64_t bad_records = 0;  // skipped while these were read
};

struct PartitionStatus {
  int32_t partition = 0;
  int64_t high_watermark = -1;  // end of the partition as last seen; -1: unknown
  int64_t lag = -1;             // records not yet returned by Next; -1: unknown
  bool finished = false;        // bounded and read to its bound
  /// Caught up with its end: may become idle when it stays silent. A partition that is paused,
  /// leaderless or behind is not.
  bool caught_up = false;
};

class Source {
 public:
  virtual ~Source() = default;
  /// Start reading. `start`: offsets to resume from; partitions that are not in it begin as the
  /// options say. Returns within a bounded time: a broker that is down, a topic that does not
  /// exist or a wrong setting is an error that names it.
  virtual Status Open(const Offsets& start) = 0;
  /// The next batch; nullopt when nothing came within `timeout`. A connection that is lost and
  /// comes back is not an error. Bad records: kBadRecord with place, unless they are skipped.
  virtual Result<std::optional<SourceBatch>> Next(std::chrono::milliseconds timeout) = 0;
  /// True when every partition is finished and all rows were returned.
  virtual bool finished() const = 0;
  virtual std::vector<PartitionStatus> Partitions() const = 0;
  /// Tell the outside world that everything before these offsets is safe (Kafka group offsets,
  /// for monitoring only; a source that has nothing to tell does nothing).
  virtual Status Commit(const Offsets& offsets) = 0;
  /// Stop threads and connections. Idempotent; safe from another thread while Next waits.
  virtual void Close() = 0;
};

using SourceFactory = std::function<Result<std::unique_ptr<Source>>(const SourceSpec&)>;

/// Connectors by name, process-wide. The napi layer registers kafka (native/kafka) at load.
/// Thread-safe.
void RegisterSource(const std::string& connector, SourceFactory factory);
Result<std::unique_ptr<Source>> MakeSource(const SourceSpec& spec);  // kPlan: unknown connector

}  // namespace marble::stream
