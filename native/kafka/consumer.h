// One rd_kafka_t that reads fixed partitions of one topic into one queue: the only place where
// reading meets librdkafka's handles.
//
// It uses librdkafka's plain consumer (rd_kafka_consume_start_queue with numeric offsets), not a
// group's assignment: no group coordinator is asked, no __consumer_offsets topic comes into being,
// and the first record arrives in 10-30 ms (an assignment at "beginning" takes 500).
//
// Threads: Describe, OffsetsForTime, Start by the opener, then ConsumeBatch, Poll, Probe, Stop by
// the fetch thread; Commit and last_error by any. The destructor runs when all of these are done.
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "kafka/kafka_options.h"

namespace marble::kafka {

/// Offsets that a partition has: [low, high). High is the last stable offset under read_committed.
struct PartitionRange {
  int32_t partition = 0;
  int64_t low = 0;
  int64_t high = 0;
};

class Consumer {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  static Result<std::unique_ptr<Consumer>> Make(const KafkaOptions& options);
  ~Consumer();

  /// Ask the cluster for the topic's partitions (those of 'scan.partitions') and their ranges.
  /// kKafka before the deadline: no broker, no topic, no leader. kClosed once `cancelled`.
  Result<std::vector<PartitionRange>> Describe(std::chrono::milliseconds timeout,
                                               const std::atomic<bool>& cancelled);
  /// Per partition the first offset whose record is at or after `timestamp_ms`; its high when none.
  Result<std::map<int32_t, int64_t>> OffsetsForTime(const std::vector<PartitionRange>& ranges,
                                                    int64_t timestamp_ms,
                                                    std::chrono::milliseconds timeout);

  Status Start(int32_t partition, int64_t offset);
  /// Stop fetching a partition; records already queued may still come.
  void Stop(int32_t partition);
  /// Take up to `size` records or events; waits until `size` are there or the time is over.
  size_t ConsumeBatch(std::chrono::milliseconds timeout, rd_kafka_message_t** messages,
                      size_t size);
  /// Serve librdkafka's callbacks. Returns a fatal error, after which nothing will come.
  Status Poll();

  /// The range as last heard of; high is -1 when nothing was heard yet.
  PartitionRange CachedRange(int32_t partition) const;
  /// Ask the partition's leader for its range; false when it does not answer in time.
  bool Probe(int32_t partition, std::chrono::milliseconds timeout, PartitionRange* range) const;

  /// Commit group offsets without waiting; needs 'properties.group.id'.
  Status Commit(const std::map<int32_t, int64_t>& offsets);

  /// Connection errors so far: a change means that brokers may be out of reach.
  uint64_t connection_errors() const { return connection_errors_.load(std::memory_order_relaxed); }
  std::string last_error() const;
  /// Say that an error was met which reading goes on after.
  void CountError(const std::string& text);

 private:
  Consumer() = default;
  static void OnError(rd_kafka_t* rk, int code, const char* reason, void* self);
  static void OnLog(const rd_kafka_t* rk, int level, const char* facility, const char* text);
  Result<std::vector<int32_t>> DescribePartitions(Deadline deadline,
                                                  std::chrono::milliseconds timeout,
                                                  const std::atomic<bool>& cancelled);
  Status Unreachable(std::chrono::milliseconds timeout, const std::string& what) const;

  KafkaOptions options_;
  rd_kafka_t* rk_ = nullptr;
  rd_kafka_topic_t* topic_ = nullptr;
  rd_kafka_queue_t* queue_ = nullptr;
  std::set<int32_t> started_;  // fetch thread (opener before it)
  std::atomic<uint64_t> connection_errors_{0};
  std::atomic<bool> authentication_failed_{false};
  std::atomic<bool> fatal_{false};
  mutable std::mutex mutex_;
  std::string last_error_;  // guarded by mutex_
};

}  // namespace marble::kafka
