#include "kafka/kafka_options.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>

namespace marble::kafka {
namespace {

/// More than any cluster has; a typing error ("0-99999999") must not allocate for it.
constexpr int32_t kMaxPartition = 100'000;

struct JavaName {
  std::string_view java;
  std::string_view instead;
};
// Names of the Java client that librdkafka does not have, or means differently.
constexpr JavaName kJavaNames[] = {
    {"ssl.truststore.location",
     "'properties.ssl.ca.location', a PEM file with the CA's certificates"},
    {"ssl.truststore.certificates", "'properties.ssl.ca.pem'"},
    {"ssl.truststore.password",
     "nothing: 'properties.ssl.ca.location' is a PEM file without password"},
    {"ssl.truststore.type", "nothing: 'properties.ssl.ca.location' is always PEM"},
    {"ssl.keystore.key", "'properties.ssl.key.pem'"},
    {"ssl.keystore.certificate.chain", "'properties.ssl.certificate.pem'"},
    {"ssl.keystore.type",
     "'properties.ssl.certificate.location' and 'properties.ssl.key.location' (PEM)"},
    {"ssl.protocol", "nothing: the newest version that both sides know is used"},
    {"ssl.enabled.protocols", "nothing: the newest version that both sides know is used"},
    {"ssl.provider", "'properties.ssl.providers'"},
    {"ssl.keymanager.algorithm", "nothing"},
    {"ssl.trustmanager.algorithm", "nothing"},
    {"ssl.engine.factory.class", "nothing"},
    {"sasl.jaas.config", "'properties.sasl.username' and 'properties.sasl.password'"},
    {"sasl.client.callback.handler.class", "nothing"},
    {"sasl.login.callback.handler.class", "nothing"},
    {"sasl.login.class", "nothing"},
    {"key.deserializer", "nothing: the table's columns and 'format' say how keys are read"},
    {"value.deserializer", "nothing: 'format' says how values are read"},
    {"key.serializer", "nothing: the table's columns and 'format' say how keys are written"},
    {"value.serializer", "nothing: 'format' says how values are written"},
    {"max.poll.records", "nothing: batches are bounded by rows, bytes and time"},
    {"fetch.max.wait.ms", "'properties.fetch.wait.max.ms'"},
    {"receive.buffer.bytes", "'properties.socket.receive.buffer.bytes'"},
    {"send.buffer.bytes", "'properties.socket.send.buffer.bytes'"},
    {"request.timeout.ms", "'properties.socket.timeout.ms'"},
    {"default.api.timeout.ms", "'properties.socket.timeout.ms'"},
    {"metadata.max.age.ms", "'properties.topic.metadata.refresh.interval.ms'"},
    {"socket.connection.setup.timeout.max.ms", "'properties.socket.connection.setup.timeout.ms'"},
    {"interceptor.classes", "nothing"},
    {"metric.reporters", "nothing"},
    {"metrics.recording.level", "nothing"},
    {"metrics.num.samples", "nothing"},
    {"exclude.internal.topics", "nothing: a table names its topic"},
    {"partition.discovery.interval.ms", "nothing: partitions are found when the job starts"},
    {"buffer.memory", "'properties.queue.buffering.max.kbytes'"},
    {"max.block.ms", "nothing"},
    {"schema.registry.url", "nothing: this is no setting of the Kafka client"},
};

Status OptionError(std::string_view option, const std::string& message) {
  return MakeError(ErrorCode::kPlan, "kafka option '" + std::string(option) + "': " + message);
}

Result<int64_t> ParseNumber(std::string_view option, const std::string& value) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (value.empty() || error != std::errc() || end != value.data() + value.size()) {
    return OptionError(option, "'" + value + "' is not a whole number");
  }
  return number;
}

/// Ask librdkafka whether it knows a setting and takes the value.
Status CheckWithLibrdkafka(const std::string& name, const std::string& value) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char reason[512] = "";
  const rd_kafka_conf_res_t result =
      rd_kafka_conf_set(conf, name.c_str(), value.c_str(), reason, sizeof(reason));
  rd_kafka_conf_destroy(conf);
  if (result == RD_KAFKA_CONF_OK) return Status::OK();
  return OptionError(
      "properties." + name,
      std::string(reason) + (result == RD_KAFKA_CONF_UNKNOWN
                                 ? " (the names are those of librdkafka's CONFIGURATION.md)"
                                 : ""));
}

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// By its name, as OpenSSL's users call such files; librdkafka reads nothing else there.
bool IsPkcs12(const std::string& path) {
  const std::string name = Lower(path);
  return name.ends_with(".p12") || name.ends_with(".pfx") || name.ends_with(".pkcs12");
}

/// False, in librdkafka's spellings.
bool IsOff(const std::string& value) {
  const std::string word = Lower(value);
  return word == "false" || word == "f" || word == "0";
}

}  // namespace

Status CheckPropertyName(const std::string& name, const std::string& value) {
  const std::string option = "properties." + name;
  for (const JavaName& entry : kJavaNames) {
    if (name == entry.java) {
      return OptionError(option,
                         "this is the Java client's name; use " + std::string(entry.instead));
    }
  }
  if (name == "ssl.keystore.location" && !IsPkcs12(value)) {
    return OptionError(option,
                       "only PKCS#12 files (.p12, .pfx, .pkcs12) are read; for PEM use "
                       "'properties.ssl.certificate.location' and 'properties.ssl.key.location'");
  }
  if (name == "metadata.broker.list") {
    return OptionError(option, "use 'properties.bootstrap.servers'");
  }
  if (name == "auto.offset.reset") {
    return OptionError(option,
                       "where reading begins is said by 'scan.startup.mode'; a lost offset is "
                       "always an error");
  }
  const bool off = IsOff(value);
  if (name == "auto.commit.interval.ms") {
    return OptionError(option, "offsets are kept in the store, with the state; leave it out");
  }
  if ((name == "enable.auto.commit" || name == "auto.commit.enable" ||
       name == "enable.auto.offset.store") &&
      !off) {
    return OptionError(option, "offsets are kept in the store, with the state; leave it 'false'");
  }
  if (name == "enable.partition.eof" && off) {
    return OptionError(option, "the end of a partition must be seen; leave it 'true'");
  }
  if (name == "allow.auto.create.topics" && !off) {
    return OptionError(option, "reading must not create a topic; leave it 'false'");
  }
  return Status::OK();
}

Result<std::vector<int32_t>> ParsePartitions(const std::string& text) {
  const auto wrong = [&] {
    return OptionError("scan.partitions", "'" + text + "' is not of the form '0-3' or '0,2'");
  };
  std::vector<int32_t> partitions;
  std::string_view rest = text;
  while (true) {
    const size_t comma = rest.find(',');
    std::string_view part = rest.substr(0, comma);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    int32_t first = 0;
    const char* const end = part.data() + part.size();
    auto [at, error] = std::from_chars(part.data(), end, first);
    if (part.empty() || error != std::errc()) return wrong();
    int32_t last = first;
    if (at != end) {
      if (*at != '-') return wrong();
      const auto second = std::from_chars(at + 1, end, last);
      if (second.ec != std::errc() || second.ptr != end) return wrong();
    }
    if (first < 0 || last < first) return wrong();
    if (last > kMaxPartition) {
      return OptionError("scan.partitions", "partition " + std::to_string(last) + " is above " +
                                                std::to_string(kMaxPartition));
    }
    for (int32_t p = first; p <= last; ++p) partitions.push_back(p);
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  std::sort(partitions.begin(), partitions.end());
  partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
  return partitions;
}

Result<KafkaOptions> KafkaOptions::Parse(const std::map<std::string, std::string>& options) {
  KafkaOptions parsed;
  std::optional<int64_t> timestamp;
  for (const auto& [name, value] : options) {
    if (name == "topic") {
      if (value.find(';') != std::string::npos) {
        return MakeError(ErrorCode::kNotSupported,
                         "kafka option 'topic': several topics in one table are not supported yet");
      }
      parsed.topic = value;
    } else if (name == "properties.bootstrap.servers" || name == "bootstrap.servers") {
      parsed.bootstrap_servers = value;
    } else if (name.starts_with("properties.") || name == "group.id") {
      const std::string property = name == "group.id" ? name : name.substr(11);
      MARBLE_RETURN_NOT_OK(CheckPropertyName(property, value));
      MARBLE_RETURN_NOT_OK(CheckWithLibrdkafka(property, value));
      if (property == "group.id") parsed.has_group = !value.empty();
      parsed.properties.emplace_back(property, value);
    } else if (name == "scan.startup.mode") {
      if (value == "earliest-offset") {
        parsed.startup = Startup::kEarliest;
      } else if (value == "latest-offset") {
        parsed.startup = Startup::kLatest;
      } else if (value == "timestamp") {
        parsed.startup = Startup::kTimestamp;
      } else if (value == "group-offsets" || value == "specific-offsets") {
        return MakeError(ErrorCode::kNotSupported,
                         "kafka option 'scan.startup.mode': '" + value +
                             "' is not supported; a job's own offsets are in its store");
      } else {
        return OptionError(name, "'" + value +
                                     "' is none of 'earliest-offset', "
                                     "'latest-offset', 'timestamp'");
      }
    } else if (name == "scan.startup.timestamp-millis") {
      MARBLE_ASSIGN_OR_RETURN(timestamp, ParseNumber(name, value));
      if (*timestamp < 0) return OptionError(name, "'" + value + "' is negative");
    } else if (name == "scan.bounded.mode") {
      if (value == "latest-offset") {
        parsed.bounded = true;
      } else if (value == "timestamp" || value == "group-offsets" || value == "specific-offsets") {
        return MakeError(ErrorCode::kNotSupported,
                         "kafka option 'scan.bounded.mode': '" + value + "' is not supported yet");
      } else if (value != "unbounded") {
        return OptionError(name, "'" + value + "' is none of 'unbounded', 'latest-offset'");
      }
    } else if (name == "scan.partitions") {
      MARBLE_ASSIGN_OR_RETURN(parsed.partitions, ParsePartitions(value));
    } else if (name == "connector" || name == "format" || name == "value.format" ||
               name.starts_with("scan.watermark.") || name.starts_with("sink.")) {
      // Read by the planner, or meant for writing.
    } else if (name == "topic-pattern" || name.starts_with("key.") ||
               name == "value.fields-include" ||
               name == "scan.topic-partition-discovery.interval" ||
               name.starts_with("scan.startup.") || name.starts_with("scan.bounded.") ||
               name == "scan.parallelism") {
      return MakeError(ErrorCode::kNotSupported,
                       "kafka option '" + name + "' is not supported yet");
    } else {
      const bool property = CheckWithLibrdkafka(name, value).ok();
      return OptionError(name, property ? "unknown; did you mean 'properties." + name + "'?"
                                        : std::string("unknown"));
    }
  }
  if (parsed.topic.empty()) return OptionError("topic", "it is missing");
  if (parsed.bootstrap_servers.empty()) {
    return OptionError("properties.bootstrap.servers",
                       "it is missing; say 'host:port[,host:port]'");
  }
  if (parsed.startup == Startup::kTimestamp) {
    if (!timestamp) {
      return OptionError("scan.startup.timestamp-millis",
                         "it is missing, with 'scan.startup.mode' = 'timestamp'");
    }
    parsed.startup_timestamp_ms = *timestamp;
  } else if (timestamp) {
    return OptionError("scan.startup.timestamp-millis",
                       "it needs 'scan.startup.mode' = 'timestamp'");
  }
  return parsed;
}

}  // namespace marble::kafka
