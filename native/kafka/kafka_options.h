// What a table's options say of its topic: Flink's names ('topic', 'scan.startup.mode',
// 'properties.*') read and checked, before any connection is made. Errors name the option.
//
// 'properties.*' take librdkafka's names. A Java client's name that librdkafka does not know is
// refused with the equivalent named; names that would undo exactly-once are refused too.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace marble::kafka {

struct KafkaOptions {
  enum class Startup { kEarliest, kLatest, kTimestamp };

  std::string topic;
  std::string bootstrap_servers;
  /// librdkafka settings of the user, without the prefix, in the order of their names.
  std::vector<std::pair<std::string, std::string>> properties;
  Startup startup = Startup::kEarliest;
  int64_t startup_timestamp_ms = 0;
  bool bounded = false;                            // 'scan.bounded.mode' = 'latest-offset'
  std::optional<std::vector<int32_t>> partitions;  // 'scan.partitions'; sorted, no doubles
  bool has_group = false;                          // 'properties.group.id' is set

  /// Read a source's options. kPlan: unknown, missing or wrong; kNotSupported: Flink's, not ours
  /// yet.
  static Result<KafkaOptions> Parse(const std::map<std::string, std::string>& options);
};

/// "0-3", "0,2" or a mix → sorted numbers without doubles.
Result<std::vector<int32_t>> ParsePartitions(const std::string& text);

/// Check one 'properties.*' name against the Java client's: OK, or kPlan with the equivalent.
Status CheckPropertyName(const std::string& name, const std::string& value);

}  // namespace marble::kafka
