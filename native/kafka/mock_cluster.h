// librdkafka's mock brokers as a Kafka for demos and unit tests: in this process, in memory, on
// loopback ports that other processes may use too. What it cannot do is said, not hidden:
// a partition holds at most 5 MB (older records are dropped, which Produce reports as an error),
// and there are no real transactions, so it never proves anything about exactly-once.
//
// Thread-safe but for Close and the destructor, which run when all else is done.
#pragma once

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kafka/producer.h"

namespace marble::kafka {

struct MockClusterOptions {
  int brokers = 1;
  int32_t partitions = 4;  // of topics that Produce creates
};

class MockCluster {
 public:
  static Result<std::unique_ptr<MockCluster>> Make(const MockClusterOptions& options = {});
  ~MockCluster();

  const std::string& bootstrap_servers() const { return bootstrap_servers_; }
  Status CreateTopic(const std::string& topic, int32_t partitions);
  /// Produce and wait for delivery. Creates the topic when it is missing. kKafka when the mock
  /// dropped records for lack of room: a partition holds at most 5 MB.
  Status Produce(const std::string& topic, const std::vector<ProducerRecord>& records);
  /// Fail when any partition of the topic has dropped records (for producers of their own).
  Status CheckNothingDropped(const std::string& topic);
  /// Brokers are numbered from 1. Down: connections are refused, data stays.
  Status SetBrokerDown(int32_t broker);
  Status SetBrokerUp(int32_t broker);
  /// Stop the brokers. Idempotent.
  void Close();

 private:
  MockCluster() = default;
  std::string bootstrap_servers_;
  int32_t partitions_ = 4;
  rd_kafka_t* rk_ = nullptr;  // carries the cluster, nothing else
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
  std::mutex mutex_;
  std::vector<std::string> topics_;  // created here; guarded by mutex_
  std::unique_ptr<Producer> producer_;
};

}  // namespace marble::kafka
