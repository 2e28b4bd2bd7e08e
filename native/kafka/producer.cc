#include "kafka/producer.h"

#include "kafka/kafka_options.h"

namespace marble::kafka {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::pair<const char*, const char*> kDefaults[] = {
    {"acks", "all"},
    {"enable.idempotence", "true"},
    {"partitioner", "murmur2_random"},
    {"linger.ms", "5"},
    {"batch.size", "1000000"},
    {"queue.buffering.max.messages", "200000"},
    {"queue.buffering.max.kbytes", "65536"},
    {"client.id", "marbledb"},
};

Status KafkaError(const std::string& message) { return MakeError(ErrorCode::kKafka, message); }

}  // namespace

Result<std::unique_ptr<Producer>> Producer::Make(const ProducerOptions& options) {
  std::unique_ptr<Producer> producer(new Producer());
  producer->bootstrap_servers_ = options.bootstrap_servers;
  producer->max_block_ = options.max_block;
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char reason[512] = "";
  const auto set = [&](const std::string& name, const std::string& value) -> Status {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), reason, sizeof(reason)) ==
        RD_KAFKA_CONF_OK) {
      return Status::OK();
    }
    return MakeError(ErrorCode::kPlan, "kafka producer option '" + name + "': " + reason);
  };
  Status status = Status::OK();
  if (options.bootstrap_servers.empty()) {
    status = MakeError(ErrorCode::kPlan, "kafka producer option 'bootstrap.servers' is missing");
  }
  for (const auto& [name, value] : kDefaults) status &= set(name, value);
  for (const auto& [name, value] : options.properties) {
    status &= CheckPropertyName(name, value);
    status &= set(name, value);
  }
  status &= set("bootstrap.servers", options.bootstrap_servers);
  status &= set("delivery.report.only.error", "true");
  if (!status.ok()) {
    rd_kafka_conf_destroy(conf);
    return status;
  }
  rd_kafka_conf_set_opaque(conf, producer.get());
  rd_kafka_conf_set_dr_msg_cb(conf, OnDelivery);
  rd_kafka_conf_set_error_cb(conf, OnError);
  rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
  producer->rk_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
  if (producer->rk_ == nullptr) {
    rd_kafka_conf_destroy(conf);
    return MakeError(ErrorCode::kPlan, std::string("kafka producer options: ") + reason);
  }
  return producer;
}

Producer::~Producer() {
  if (rk_ == nullptr) return;
  rd_kafka_purge(rk_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  rd_kafka_destroy(rk_);
}

void Producer::OnDelivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) return;
  auto* self = static_cast<Producer*>(opaque);
  self->failed_.fetch_add(1, std::memory_order_relaxed);
  std::lock_guard lock(self->mutex_);
  if (self->failed_since_flush_++ == 0) {
    self->first_failure_ = std::string("topic '") + rd_kafka_topic_name(message->rkt) +
                           "', partition " + std::to_string(message->partition) + ": " +
                           rd_kafka_err2str(message->err);
  }
}

void Producer::OnError(rd_kafka_t*, int, const char* reason, void* opaque) {
  auto* self = static_cast<Producer*>(opaque);
  std::lock_guard lock(self->mutex_);
  self->last_error_ = reason;
}

Status Producer::Produce(const std::string& topic, const ProducerRecord& record) {
  // rd_kafka_produceva owns the headers only when it succeeds.
  rd_kafka_headers_t* headers = nullptr;
  if (!record.headers.empty()) {
    headers = rd_kafka_headers_new(record.headers.size());
    for (const auto& [name, value] : record.headers) {
      rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), value.data(),
                          static_cast<ssize_t>(value.size()));
    }
  }
  rd_kafka_vu_t arguments[7];
  size_t count = 0;
  const auto next = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
    arguments[count].vtype = type;
    return arguments[count++];
  };
  next(RD_KAFKA_VTYPE_TOPIC).u.cstr = topic.c_str();
  next(RD_KAFKA_VTYPE_PARTITION).u.i32 =
      record.partition < 0 ? RD_KAFKA_PARTITION_UA : record.partition;
  next(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
  if (record.key) {
    rd_kafka_vu_t& key = next(RD_KAFKA_VTYPE_KEY);
    // An empty key is a key: librdkafka takes a null pointer for none.
    key.u.mem.ptr = const_cast<char*>(record.key->empty() ? "" : record.key->data());
    key.u.mem.size = record.key->size();
  }
  if (record.value) {
    rd_kafka_vu_t& value = next(RD_KAFKA_VTYPE_VALUE);
    value.u.mem.ptr = const_cast<char*>(record.value->empty() ? "" : record.value->data());
    value.u.mem.size = record.value->size();
  }
  next(RD_KAFKA_VTYPE_TIMESTAMP).u.i64 = record.timestamp_ms;
  if (headers != nullptr) next(RD_KAFKA_VTYPE_HEADERS).u.headers = headers;

  const auto deadline = steady_clock::now() + max_block_;
  while (true) {
    rd_kafka_error_t* error = rd_kafka_produceva(rk_, arguments, count);
    if (error == nullptr) return Status::OK();
    const rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    const std::string text = rd_kafka_error_string(error);
    rd_kafka_error_destroy(error);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && steady_clock::now() < deadline) {
      rd_kafka_poll(rk_, 50);  // serves delivery reports, which make room
      continue;
    }
    if (headers != nullptr) rd_kafka_headers_destroy(headers);
    const std::string what = "producing to topic '" + topic + "': " + text;
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      std::lock_guard lock(mutex_);
      return MakeError(ErrorCode::kBusy, what + " after " + std::to_string(max_block_.count()) +
                                             " ms" +
                                             (last_error_.empty() ? "" : " (" + last_error_ + ")"));
    }
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) return MakeError(ErrorCode::kTooLarge, what);
    return KafkaError(what);
  }
}

Status Producer::Flush(milliseconds timeout) {
  const rd_kafka_resp_err_t error = rd_kafka_flush(rk_, static_cast<int>(timeout.count()));
  rd_kafka_poll(rk_, 0);
  std::lock_guard lock(mutex_);
  if (failed_since_flush_ > 0) {
    const Status status = KafkaError(std::to_string(failed_since_flush_) +
                                     " messages were not delivered; the first: " + first_failure_);
    failed_since_flush_ = 0;
    first_failure_.clear();
    return status;
  }
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return MakeError(ErrorCode::kTimedOut, std::to_string(pending()) + " messages to " +
                                               bootstrap_servers_ + " were not delivered within " +
                                               std::to_string(timeout.count()) + " ms" +
                                               (last_error_.empty() ? "" : ": " + last_error_));
  }
  return Status::OK();
}

Status Producer::CreateTopic(const std::string& topic, int32_t partitions, milliseconds timeout,
                             int replication, const std::map<std::string, std::string>& config) {
  const auto deadline = steady_clock::now() + timeout;
  const int timeout_ms = static_cast<int>(timeout.count());
  const std::string what = "creating topic '" + topic + "' on " + bootstrap_servers_;
  char reason[512] = "";
  rd_kafka_NewTopic_t* wanted =
      rd_kafka_NewTopic_new(topic.c_str(), partitions, replication, reason, sizeof(reason));
  if (wanted == nullptr) return MakeError(ErrorCode::kInvalidArgument, what + ": " + reason);
  for (const auto& [name, value] : config) {
    rd_kafka_NewTopic_set_config(wanted, name.c_str(), value.c_str());
  }
  rd_kafka_AdminOptions_t* options = rd_kafka_AdminOptions_new(rk_, RD_KAFKA_ADMIN_OP_CREATETOPICS);
  rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, reason, sizeof(reason));
  rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, reason, sizeof(reason));
  rd_kafka_queue_t* queue = rd_kafka_queue_new(rk_);
  rd_kafka_CreateTopics(rk_, &wanted, 1, options, queue);
  rd_kafka_event_t* event = rd_kafka_queue_poll(queue, timeout_ms);
  Status status;
  if (event == nullptr) {
    status = MakeError(ErrorCode::kTimedOut,
                       what + ": no answer within " + std::to_string(timeout_ms) + " ms");
  } else if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    status = KafkaError(what + ": " + rd_kafka_event_error_string(event));
  } else {
    size_t count = 0;
    const rd_kafka_topic_result_t** results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; ++i) {
      if (rd_kafka_topic_result_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        status = KafkaError(what + ": " + rd_kafka_topic_result_error_string(results[i]));
      }
    }
  }
  if (event != nullptr) rd_kafka_event_destroy(event);
  rd_kafka_queue_destroy(queue);
  rd_kafka_AdminOptions_destroy(options);
  rd_kafka_NewTopic_destroy(wanted);
  MARBLE_RETURN_NOT_OK(status);
  // The controller knows it; the brokers' metadata follows.
  while (steady_clock::now() < deadline) {
    const Result<int32_t> count = PartitionCount(topic, milliseconds(500));
    if (count.ok() && *count == partitions) return Status::OK();
    rd_kafka_poll(rk_, 20);
  }
  return MakeError(ErrorCode::kTimedOut, what + ": it was created, but has no leaders after " +
                                             std::to_string(timeout_ms) + " ms");
}

Result<int32_t> Producer::PartitionCount(const std::string& topic, milliseconds timeout) {
  rd_kafka_topic_t* handle = rd_kafka_topic_new(rk_, topic.c_str(), nullptr);
  if (handle == nullptr) {
    return KafkaError("topic '" + topic + "': " + rd_kafka_err2str(rd_kafka_last_error()));
  }
  const rd_kafka_metadata_t* metadata = nullptr;
  const rd_kafka_resp_err_t error =
      rd_kafka_metadata(rk_, 0, handle, &metadata, static_cast<int>(timeout.count()));
  Result<int32_t> result = 0;
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    std::lock_guard lock(mutex_);
    result = KafkaError("asking " + bootstrap_servers_ + " for topic '" + topic +
                        "': " + rd_kafka_err2str(error) +
                        (last_error_.empty() ? "" : " (" + last_error_ + ")"));
  } else {
    const rd_kafka_metadata_topic_t& found = metadata->topics[0];
    if (metadata->topic_cnt < 1 || found.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      result = KafkaError("topic '" + topic + "' on " + bootstrap_servers_ + ": " +
                          (metadata->topic_cnt < 1 ? "unknown" : rd_kafka_err2str(found.err)));
    } else {
      result = found.partition_cnt;
      for (int i = 0; i < found.partition_cnt; ++i) {
        if (found.partitions[i].leader < 0) {
          result = KafkaError("topic '" + topic + "', partition " +
                              std::to_string(found.partitions[i].id) + " has no leader");
        }
      }
    }
    rd_kafka_metadata_destroy(metadata);
  }
  rd_kafka_topic_destroy(handle);
  return result;
}

Result<std::pair<int64_t, int64_t>> Producer::Watermarks(const std::string& topic,
                                                         int32_t partition, milliseconds timeout) {
  int64_t low = 0, high = 0;
  const rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
      rk_, topic.c_str(), partition, &low, &high, static_cast<int>(timeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return KafkaError("the offsets of topic '" + topic + "', partition " +
                      std::to_string(partition) + ": " + rd_kafka_err2str(error));
  }
  return std::pair<int64_t, int64_t>(low, high);
}

}  // namespace marble::kafka
