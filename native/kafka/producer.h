// Messages to Kafka: acks=all, idempotent, partitioned like the Java client (murmur2_random).
// Used by the demo, by tests and by benchmarks; sinks come later.
//
// Thread-safe. Delivery reports are served by Produce (when the queue is full) and Flush; only
// failures are reported, as a count and the first one's text.
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace marble::kafka {

struct ProducerOptions {
  std::string bootstrap_servers;
  /// librdkafka settings ("linger.ms", "compression.type", …); they override the defaults.
  std::map<std::string, std::string> properties;
  /// How long Produce waits for room before it gives up.
  std::chrono::milliseconds max_block{60'000};
};

struct ProducerRecord {
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;  // nullopt: a tombstone
  int32_t partition = -1;                 // -1: by the key's hash
  int64_t timestamp_ms = 0;               // 0: now
  std::vector<std::pair<std::string, std::string>> headers;
};

class Producer {
 public:
  static Result<std::unique_ptr<Producer>> Make(const ProducerOptions& options);
  /// Drops what was not flushed.
  ~Producer();

  /// Queue a copy of a record. Waits while the queue is full; kBusy after max_block, kKafka for a
  /// topic or partition that does not exist, kTooLarge for a record above message.max.bytes.
  Status Produce(const std::string& topic, const ProducerRecord& record);
  /// Wait until all is delivered. kTimedOut names how many are not; kKafka reports the first
  /// failed delivery since the last Flush, and how many failed.
  Status Flush(std::chrono::milliseconds timeout);
  /// Messages queued or in flight.
  int64_t pending() const { return rd_kafka_outq_len(rk_); }
  uint64_t failed() const { return failed_.load(std::memory_order_relaxed); }

  /// Create a topic and wait until it can be used. kKafka when it exists or cannot be created.
  Status CreateTopic(const std::string& topic, int32_t partitions,
                     std::chrono::milliseconds timeout, int replication = 1,
                     const std::map<std::string, std::string>& config = {});
  /// The offsets [low, high) of a partition.
  Result<std::pair<int64_t, int64_t>> Watermarks(const std::string& topic, int32_t partition,
                                                 std::chrono::milliseconds timeout);
  /// Number of partitions of a topic; kKafka when there is none.
  Result<int32_t> PartitionCount(const std::string& topic, std::chrono::milliseconds timeout);

 private:
  Producer() = default;
  static void OnDelivery(rd_kafka_t* rk, const rd_kafka_message_t* message, void* self);
  static void OnError(rd_kafka_t* rk, int code, const char* reason, void* self);

  std::string bootstrap_servers_;
  std::chrono::milliseconds max_block_{0};
  rd_kafka_t* rk_ = nullptr;
  std::atomic<uint64_t> failed_{0};
  mutable std::mutex mutex_;
  uint64_t failed_since_flush_ = 0;  // guarded by mutex_, as all below
  std::string first_failure_;
  std::string last_error_;
};

}  // namespace marble::kafka
