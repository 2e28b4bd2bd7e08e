#include "kafka/mock_cluster.h"

#include <algorithm>

namespace marble::kafka {
namespace {

constexpr std::chrono::milliseconds kTimeout{30'000};

}  // namespace

Result<std::unique_ptr<MockCluster>> MockCluster::Make(const MockClusterOptions& options) {
  if (options.brokers < 1 || options.partitions < 1) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "a mock cluster needs at least one broker and one partition");
  }
  std::unique_ptr<MockCluster> mock(new MockCluster());
  mock->partitions_ = options.partitions;
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
  char reason[512] = "";
  mock->rk_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
  if (mock->rk_ == nullptr) {
    rd_kafka_conf_destroy(conf);
    return MakeError(ErrorCode::kKafka, std::string("starting the mock brokers: ") + reason);
  }
  mock->cluster_ = rd_kafka_mock_cluster_new(mock->rk_, options.brokers);
  if (mock->cluster_ == nullptr) {
    return MakeError(ErrorCode::kKafka, "the mock brokers did not start");
  }
  mock->bootstrap_servers_ = rd_kafka_mock_cluster_bootstraps(mock->cluster_);
  ProducerOptions producer;
  producer.bootstrap_servers = mock->bootstrap_servers_;
  // Batches count against the mock's room: larger ones hold more in 5 MB.
  producer.properties = {{"linger.ms", "1"}, {"reconnect.backoff.max.ms", "200"}};
  MARBLE_ASSIGN_OR_RETURN(mock->producer_, Producer::Make(producer));
  return mock;
}

MockCluster::~MockCluster() { Close(); }

void MockCluster::Close() {
  producer_.reset();
  if (cluster_ != nullptr) rd_kafka_mock_cluster_destroy(cluster_);
  cluster_ = nullptr;
  if (rk_ != nullptr) rd_kafka_destroy(rk_);
  rk_ = nullptr;
}

Status MockCluster::CreateTopic(const std::string& topic, int32_t partitions) {
  if (partitions < 1) {
    return MakeError(ErrorCode::kInvalidArgument, "a topic needs at least one partition");
  }
  std::lock_guard lock(mutex_);
  if (cluster_ == nullptr) return MakeError(ErrorCode::kClosed, "the mock cluster is closed");
  const rd_kafka_resp_err_t error =
      rd_kafka_mock_topic_create(cluster_, topic.c_str(), partitions, /*replication_factor=*/1);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return MakeError(ErrorCode::kKafka,
                     "creating topic '" + topic + "': " + rd_kafka_err2str(error));
  }
  topics_.push_back(topic);
  return Status::OK();
}

Status MockCluster::Produce(const std::string& topic, const std::vector<ProducerRecord>& records) {
  if (producer_ == nullptr) return MakeError(ErrorCode::kClosed, "the mock cluster is closed");
  bool known;
  {
    std::lock_guard lock(mutex_);
    known = std::find(topics_.begin(), topics_.end(), topic) != topics_.end();
  }
  if (!known) {
    // It may have come from another client: then creating it again says so, which is as good.
    const Status created = CreateTopic(topic, partitions_);
    if (!created.ok() && !producer_->PartitionCount(topic, kTimeout).ok()) return created;
  }
  for (const ProducerRecord& record : records) {
    MARBLE_RETURN_NOT_OK(producer_->Produce(topic, record));
  }
  MARBLE_RETURN_NOT_OK(producer_->Flush(kTimeout));
  return CheckNothingDropped(topic);
}

Status MockCluster::CheckNothingDropped(const std::string& topic) {
  if (producer_ == nullptr) return MakeError(ErrorCode::kClosed, "the mock cluster is closed");
  MARBLE_ASSIGN_OR_RETURN(int32_t partitions, producer_->PartitionCount(topic, kTimeout));
  for (int32_t partition = 0; partition < partitions; ++partition) {
    MARBLE_ASSIGN_OR_RETURN(auto range, producer_->Watermarks(topic, partition, kTimeout));
    if (range.first > 0) {
      return MakeError(ErrorCode::kKafka,
                       "the mock broker dropped data: a partition holds at most 5 MB, and the "
                       "first " +
                           std::to_string(range.first) + " records of topic '" + topic +
                           "', partition " + std::to_string(partition) +
                           " are gone; use fewer records, more partitions or a real broker");
    }
  }
  return Status::OK();
}

Status MockCluster::SetBrokerDown(int32_t broker) {
  if (rd_kafka_mock_broker_set_down(cluster_, broker) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return MakeError(ErrorCode::kInvalidArgument, "no mock broker " + std::to_string(broker));
  }
  return Status::OK();
}

Status MockCluster::SetBrokerUp(int32_t broker) {
  if (rd_kafka_mock_broker_set_up(cluster_, broker) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return MakeError(ErrorCode::kInvalidArgument, "no mock broker " + std::to_string(broker));
  }
  return Status::OK();
}

}  // namespace marble::kafka
