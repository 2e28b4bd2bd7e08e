#include "kafka/consumer.h"

#include <algorithm>

namespace marble::kafka {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// How long one request of Open may wait before Close and the deadline are looked at again.
constexpr milliseconds kSlice{250};
/// A topic that was just created is not known to every broker at once.
constexpr milliseconds kUnknownTopicPatience{1500};

struct Setting {
  const char* name;
  const char* value;
};
// Measured with 120-byte records: the defaults stall (fetch.queue.backoff.ms = 1000) and reach
// 40 % of the rate at the same CPU. The byte limit bounds memory: librdkafka needs about 3 times
// as much for such small records. All may be overridden by 'properties.*'.
constexpr Setting kDefaults[] = {
    {"queued.max.messages.kbytes", "32768"},
    {"queued.min.messages", "1000000"},
    {"fetch.message.max.bytes", "4194304"},
    {"fetch.max.bytes", "33554432"},
    {"fetch.wait.max.ms", "50"},
    {"fetch.queue.backoff.ms", "1"},
    {"reconnect.backoff.ms", "50"},
    {"reconnect.backoff.max.ms", "1000"},
    {"isolation.level", "read_committed"},
    {"check.crcs", "true"},
    {"client.id", "marbledb"},
};
// What the source relies on.
constexpr Setting kFixed[] = {
    {"enable.partition.eof", "true"},      {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"}, {"allow.auto.create.topics", "false"},
    {"auto.offset.reset", "error"},
};

Status KafkaError(const std::string& message) { return MakeError(ErrorCode::kKafka, message); }

int RemainingMs(Consumer::Deadline deadline) {
  const auto left =
      std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, INT32_MAX));
}

std::string Seconds(milliseconds time) {
  const auto ms = time.count();
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

}  // namespace

Result<std::unique_ptr<Consumer>> Consumer::Make(const KafkaOptions& options) {
  std::unique_ptr<Consumer> consumer(new Consumer());
  consumer->options_ = options;
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char reason[512] = "";
  const auto set = [&](const std::string& name, const std::string& value) -> Status {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), reason, sizeof(reason)) ==
        RD_KAFKA_CONF_OK) {
      return Status::OK();
    }
    return MakeError(ErrorCode::kPlan, "kafka option 'properties." + name + "': " + reason);
  };
  Status status = Status::OK();
  for (const Setting& setting : kDefaults) status &= set(setting.name, setting.value);
  for (const auto& [name, value] : options.properties) status &= set(name, value);
  for (const Setting& setting : kFixed) status &= set(setting.name, setting.value);
  status &= set("bootstrap.servers", options.bootstrap_servers);
  if (!status.ok()) {
    rd_kafka_conf_destroy(conf);
    return status;
  }
  rd_kafka_conf_set_opaque(conf, consumer.get());
  rd_kafka_conf_set_error_cb(conf, OnError);
  rd_kafka_conf_set_log_cb(conf, OnLog);
  consumer->rk_ = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
  if (consumer->rk_ == nullptr) {
    rd_kafka_conf_destroy(conf);
    return MakeError(ErrorCode::kPlan, std::string("kafka options 'properties.*': ") + reason);
  }
  // The plain consumer has a commit timer of its own, per topic.
  rd_kafka_topic_conf_t* topic_conf = rd_kafka_default_topic_conf_dup(consumer->rk_);
  rd_kafka_topic_conf_set(topic_conf, "auto.commit.enable", "false", reason, sizeof(reason));
  consumer->topic_ = rd_kafka_topic_new(consumer->rk_, options.topic.c_str(), topic_conf);
  if (consumer->topic_ == nullptr) {
    return MakeError(ErrorCode::kPlan, "kafka option 'topic': '" + options.topic +
                                           "': " + rd_kafka_err2str(rd_kafka_last_error()));
  }
  consumer->queue_ = rd_kafka_queue_new(consumer->rk_);
  return consumer;
}

Consumer::~Consumer() {
  if (rk_ == nullptr) return;
  for (int32_t partition : started_) rd_kafka_consume_stop(topic_, partition);
  if (queue_ != nullptr) rd_kafka_queue_destroy(queue_);
  if (topic_ != nullptr) rd_kafka_topic_destroy(topic_);
  rd_kafka_destroy(rk_);
}

void Consumer::OnError(rd_kafka_t* rk, int code, const char* reason, void* opaque) {
  auto* self = static_cast<Consumer*>(opaque);
  switch (static_cast<rd_kafka_resp_err_t>(code)) {
    case RD_KAFKA_RESP_ERR__FATAL:
      self->fatal_ = true;
      break;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
      self->authentication_failed_ = true;
      break;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
      // Says only how many: the reason came with the error before.
      self->connection_errors_.fetch_add(1, std::memory_order_relaxed);
      if (!self->last_error().empty()) return;
      break;
    default:
      break;
  }
  self->CountError(reason);
}

void Consumer::OnLog(const rd_kafka_t*, int, const char*, const char*) {
  // Every failure that matters also comes as an error; nothing is written to stderr.
}

void Consumer::CountError(const std::string& text) {
  connection_errors_.fetch_add(1, std::memory_order_relaxed);
  std::lock_guard lock(mutex_);
  last_error_ = text;
}

std::string Consumer::last_error() const {
  std::lock_guard lock(mutex_);
  return last_error_;
}

Status Consumer::Unreachable(milliseconds timeout, const std::string& what) const {
  const std::string reason = last_error();
  return KafkaError(what + " at " + options_.bootstrap_servers + " within " + Seconds(timeout) +
                    (reason.empty() ? ": no answer" : ": " + reason));
}

Result<std::vector<int32_t>> Consumer::DescribePartitions(Deadline deadline, milliseconds timeout,
                                                          const std::atomic<bool>& cancelled) {
  const auto begin = steady_clock::now();
  while (true) {
    if (cancelled) return MakeError(ErrorCode::kClosed, "the kafka source was closed");
    const rd_kafka_metadata_t* metadata = nullptr;
    const int wait = std::min<int>(static_cast<int>(kSlice.count()), RemainingMs(deadline));
    const rd_kafka_resp_err_t error =
        rd_kafka_metadata(rk_, 0, topic_, &metadata, std::max(wait, 1));
    rd_kafka_poll(rk_, 0);
    if (authentication_failed_) {
      return KafkaError("authentication failed at " + options_.bootstrap_servers + ": " +
                        last_error());
    }
    std::string leaderless;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      std::unique_ptr<const rd_kafka_metadata_t, decltype(&rd_kafka_metadata_destroy)> owner(
          metadata, rd_kafka_metadata_destroy);
      const rd_kafka_metadata_topic_t& topic = metadata->topics[0];
      if (metadata->topic_cnt < 1 || topic.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
          topic.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID) {
        if (steady_clock::now() - begin > kUnknownTopicPatience) {
          return KafkaError("topic '" + options_.topic + "' does not exist on " +
                            options_.bootstrap_servers);
        }
      } else if (topic.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        std::vector<int32_t> partitions;
        for (int i = 0; i < topic.partition_cnt; ++i) {
          const rd_kafka_metadata_partition_t& partition = topic.partitions[i];
          const bool wanted =
              !options_.partitions || std::binary_search(options_.partitions->begin(),
                                                         options_.partitions->end(), partition.id);
          if (!wanted) continue;
          partitions.push_back(partition.id);
          if (partition.leader < 0) leaderless += " " + std::to_string(partition.id);
        }
        if (options_.partitions) {
          for (int32_t partition : *options_.partitions) {
            if (std::find(partitions.begin(), partitions.end(), partition) == partitions.end()) {
              return MakeError(ErrorCode::kPlan, "kafka option 'scan.partitions': topic '" +
                                                     options_.topic + "' has no partition " +
                                                     std::to_string(partition) + "; it has 0-" +
                                                     std::to_string(topic.partition_cnt - 1));
            }
          }
        }
        std::sort(partitions.begin(), partitions.end());
        if (leaderless.empty() && !partitions.empty()) return partitions;
      } else if (topic.err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
        return KafkaError("topic '" + options_.topic + "' on " + options_.bootstrap_servers +
                          " cannot be read: " + rd_kafka_err2str(topic.err));
      }
    } else if (error != RD_KAFKA_RESP_ERR__TRANSPORT && error != RD_KAFKA_RESP_ERR__TIMED_OUT &&
               error != RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE) {
      return KafkaError("asking " + options_.bootstrap_servers + " for topic '" + options_.topic +
                        "' failed: " + rd_kafka_err2str(error));
    }
    if (RemainingMs(deadline) == 0) {
      if (!leaderless.empty()) {
        return KafkaError("topic '" + options_.topic + "': partition" + leaderless +
                          " had no leader within " + Seconds(timeout));
      }
      if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return KafkaError("topic '" + options_.topic + "' was not ready on " +
                          options_.bootstrap_servers + " within " + Seconds(timeout));
      }
      return Unreachable(timeout, "no broker reachable");
    }
    // A refused connection answers at once: do not spin until librdkafka tries again.
    rd_kafka_poll(rk_, std::min<int>(50, RemainingMs(deadline)));
  }
}

Result<std::vector<PartitionRange>> Consumer::Describe(milliseconds timeout,
                                                       const std::atomic<bool>& cancelled) {
  const Deadline deadline = steady_clock::now() + timeout;
  MARBLE_ASSIGN_OR_RETURN(auto partitions, DescribePartitions(deadline, timeout, cancelled));
  std::vector<PartitionRange> ranges;
  for (int32_t partition : partitions) {
    PartitionRange range;
    while (
        !Probe(partition, std::min(kSlice * 4, milliseconds(RemainingMs(deadline) + 1)), &range)) {
      rd_kafka_poll(rk_, 10);
      if (cancelled) return MakeError(ErrorCode::kClosed, "the kafka source was closed");
      if (RemainingMs(deadline) == 0) {
        return Unreachable(timeout, "the offsets of topic '" + options_.topic + "', partition " +
                                        std::to_string(partition) + " were not to be had");
      }
    }
    ranges.push_back(range);
  }
  return ranges;
}

Result<std::map<int32_t, int64_t>> Consumer::OffsetsForTime(
    const std::vector<PartitionRange>& ranges, int64_t timestamp_ms, milliseconds timeout) {
  std::unique_ptr<rd_kafka_topic_partition_list_t, decltype(&rd_kafka_topic_partition_list_destroy)>
      list(rd_kafka_topic_partition_list_new(static_cast<int>(ranges.size())),
           rd_kafka_topic_partition_list_destroy);
  std::map<int32_t, int64_t> offsets;
  for (const PartitionRange& range : ranges) {
    rd_kafka_topic_partition_list_add(list.get(), options_.topic.c_str(), range.partition)->offset =
        timestamp_ms;
    offsets[range.partition] = range.high;
  }
  const rd_kafka_resp_err_t error =
      rd_kafka_offsets_for_times(rk_, list.get(), static_cast<int>(timeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return KafkaError("topic '" + options_.topic + "' on " + options_.bootstrap_servers +
                      ": the offsets for 'scan.startup.timestamp-millis' were not to be had: " +
                      rd_kafka_err2str(error));
  }
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& entry = list->elems[i];
    if (entry.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return KafkaError("topic '" + options_.topic + "', partition " +
                        std::to_string(entry.partition) + ": " + rd_kafka_err2str(entry.err));
    }
    // -1 (end): no record is that late.
    if (entry.offset >= 0) offsets[entry.partition] = entry.offset;
  }
  return offsets;
}

Status Consumer::Start(int32_t partition, int64_t offset) {
  if (rd_kafka_consume_start_queue(topic_, partition, offset, queue_) != 0) {
    return KafkaError("topic '" + options_.topic + "', partition " + std::to_string(partition) +
                      " cannot be read: " + rd_kafka_err2str(rd_kafka_last_error()));
  }
  started_.insert(partition);
  return Status::OK();
}

void Consumer::Stop(int32_t partition) {
  if (started_.erase(partition) > 0) rd_kafka_consume_stop(topic_, partition);
}

size_t Consumer::ConsumeBatch(milliseconds timeout, rd_kafka_message_t** messages, size_t size) {
  const ssize_t count =
      rd_kafka_consume_batch_queue(queue_, static_cast<int>(timeout.count()), messages, size);
  return count > 0 ? static_cast<size_t>(count) : 0;
}

Status Consumer::Poll() {
  rd_kafka_poll(rk_, 0);
  if (!fatal_) return Status::OK();
  char reason[512] = "";
  const rd_kafka_resp_err_t code = rd_kafka_fatal_error(rk_, reason, sizeof(reason));
  return KafkaError("topic '" + options_.topic + "': " + rd_kafka_err2str(code) + ": " + reason);
}

PartitionRange Consumer::CachedRange(int32_t partition) const {
  PartitionRange range{partition, -1, -1};
  if (rd_kafka_get_watermark_offsets(rk_, options_.topic.c_str(), partition, &range.low,
                                     &range.high) != RD_KAFKA_RESP_ERR_NO_ERROR ||
      range.high < 0) {
    range.low = range.high = -1;
  }
  return range;
}

bool Consumer::Probe(int32_t partition, milliseconds timeout, PartitionRange* range) const {
  range->partition = partition;
  return rd_kafka_query_watermark_offsets(rk_, options_.topic.c_str(), partition, &range->low,
                                          &range->high, static_cast<int>(timeout.count())) ==
         RD_KAFKA_RESP_ERR_NO_ERROR;
}

Status Consumer::Commit(const std::map<int32_t, int64_t>& offsets) {
  if (!options_.has_group || offsets.empty()) return Status::OK();
  std::unique_ptr<rd_kafka_topic_partition_list_t, decltype(&rd_kafka_topic_partition_list_destroy)>
      list(rd_kafka_topic_partition_list_new(static_cast<int>(offsets.size())),
           rd_kafka_topic_partition_list_destroy);
  for (const auto& [partition, offset] : offsets) {
    rd_kafka_topic_partition_list_add(list.get(), options_.topic.c_str(), partition)->offset =
        offset;
  }
  const rd_kafka_resp_err_t error = rd_kafka_commit(rk_, list.get(), /*async=*/1);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return Status::OK();
  return KafkaError("committing the offsets of topic '" + options_.topic +
                    "' failed: " + rd_kafka_err2str(error));
}

}  // namespace marble::kafka
