// kafka_bare_loop BOOTSTRAP TOPIC COUNT
//
// The peer that ingest is measured against: librdkafka's batch queue and simdjson, nothing else.
// Reads COUNT messages of a topic filled by kafka_generate, takes 4 fields out of each, sums them,
// and prints one line of JSON. Time runs from the first message on. One thread, as such loops are.
#include <librdkafka/rdkafka.h>
#include <simdjson.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "bench_args.h"

namespace {

int Fail(const std::string& message) {
  std::fprintf(stderr, "kafka_bare_loop: %s\n", message.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  if (argc != 4) return Fail("usage: kafka_bare_loop BOOTSTRAP TOPIC COUNT");
  const int64_t wanted = marble::kafka::bench::Number(argv[3]);
  char reason[512];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  // The best settings that were found for it: see facts on tuned fetching in
  // native/kafka/README.md.
  const char* const settings[][2] = {
      {"bootstrap.servers", argv[1]},     {"queued.max.messages.kbytes", "262144"},
      {"queued.min.messages", "1000000"}, {"fetch.message.max.bytes", "8388608"},
      {"fetch.max.bytes", "67108864"},    {"fetch.wait.max.ms", "50"},
      {"fetch.queue.backoff.ms", "1"},
  };
  for (const auto& [name, value] : settings) {
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK) {
      return Fail(reason);
    }
  }
  rd_kafka_t* rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
  if (rk == nullptr) return Fail(reason);
  rd_kafka_topic_t* topic = rd_kafka_topic_new(rk, argv[2], nullptr);
  rd_kafka_queue_t* queue = rd_kafka_queue_new(rk);
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(rk, 0, topic, &metadata, 10'000) != RD_KAFKA_RESP_ERR_NO_ERROR ||
      metadata->topic_cnt < 1 || metadata->topics[0].partition_cnt < 1) {
    return Fail(std::string("no topic '") + argv[2] + "' at " + argv[1]);
  }
  const int partitions = metadata->topics[0].partition_cnt;
  rd_kafka_metadata_destroy(metadata);
  for (int32_t p = 0; p < partitions; ++p) rd_kafka_consume_start_queue(topic, p, 0, queue);

  std::vector<rd_kafka_message_t*> messages(10'000);
  std::vector<char> padded(64 * 1024);
  simdjson::ondemand::parser parser;
  uint64_t checksum = 0;
  int64_t seen = 0;
  Clock::time_point begin, last_progress = Clock::now();
  double cpu_begin = 0;
  while (seen < wanted) {
    const ssize_t count =
        rd_kafka_consume_batch_queue(queue, 100, messages.data(), messages.size());
    if (count > 0 && seen == 0) {
      begin = Clock::now();
      cpu_begin = marble::kafka::bench::CpuSeconds();
    }
    for (ssize_t i = 0; i < count; ++i) {
      rd_kafka_message_t* message = messages[static_cast<size_t>(i)];
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && seen < wanted) {
        if (message->len + simdjson::SIMDJSON_PADDING > padded.size())
          return Fail("a record too long");
        std::memcpy(padded.data(), message->payload, message->len);
        simdjson::ondemand::document document;
        simdjson::ondemand::object object;
        int64_t ts, qty;
        double px;
        std::string_view key;
        if (parser.iterate(padded.data(), message->len, padded.size()).get(document) ||
            document.get_object().get(object) || object.find_field("ts").get_int64().get(ts) ||
            object.find_field("key").get_string().get(key) ||
            object.find_field("px").get_double().get(px) ||
            object.find_field("qty").get_int64().get(qty)) {
          return Fail("a record that is not kafka_generate's");
        }
        checksum += marble::kafka::bench::Checksum(ts, key, px, qty);
        ++seen;
      }
      rd_kafka_message_destroy(message);
    }
    if (count > 0) last_progress = Clock::now();
    if (Clock::now() - last_progress > std::chrono::seconds(20)) {
      return Fail("only " + std::to_string(seen) + " of " + std::to_string(wanted) +
                  " messages came, then none for 20 s");
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  std::printf(
      "{\"messages\": %lld, \"seconds\": %.3f, \"cpuSeconds\": %.3f, \"checksum\": \"%llu\"}\n",
      static_cast<long long>(seen), seconds, marble::kafka::bench::CpuSeconds() - cpu_begin,
      static_cast<unsigned long long>(checksum));
  for (int32_t p = 0; p < partitions; ++p) rd_kafka_consume_stop(topic, p);
  rd_kafka_queue_destroy(queue);
  rd_kafka_topic_destroy(topic);
  rd_kafka_destroy(rk);
  return 0;
}
