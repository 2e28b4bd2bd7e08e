// kafka_generate BOOTSTRAP TOPIC COUNT PARTITIONS [--seed N] [--compression none|lz4|zstd]
//
// Create a topic and fill it at full speed with JSON trades of about 120 bytes,
//   {"ts":1700000000000,"key":"sym123","px":12.34,"qty":5,"side":"buy",…}
// the same for the same seed. ts grows by a millisecond a record; record i goes to partition
// i mod PARTITIONS. Prints one line of JSON.
#include <chrono>
#include <cstdio>
#include <string>

#include "bench_args.h"
#include "kafka/producer.h"

namespace {

int Fail(const std::string& message) {
  std::fprintf(stderr, "kafka_generate: %s\n", message.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace marble;  // NOLINT: a program
  if (argc < 5) {
    return Fail(
        "usage: kafka_generate BOOTSTRAP TOPIC COUNT PARTITIONS [--seed N] "
        "[--compression none|lz4|zstd]");
  }
  const std::string topic = argv[2];
  const int64_t count = kafka::bench::Number(argv[3]);
  const auto partitions = static_cast<int32_t>(kafka::bench::Number(argv[4]));
  if (count < 1 || partitions < 1) return Fail("COUNT and PARTITIONS are at least 1");
  uint64_t state = 1;
  kafka::ProducerOptions options;
  options.bootstrap_servers = argv[1];
  options.properties["queue.buffering.max.messages"] = "500000";
  for (int i = 5; i < argc; ++i) {
    const std::string name = argv[i];
    if (i + 1 == argc) return Fail("'" + name + "' needs a value");
    const std::string value = argv[++i];
    if (name == "--seed") {
      state = static_cast<uint64_t>(kafka::bench::Number(value.c_str()));
    } else if (name == "--compression") {
      options.properties["compression.type"] = value;
    } else {
      return Fail("unknown option '" + name + "'");
    }
  }
  auto producer = kafka::Producer::Make(options);
  if (!producer.ok()) return Fail(MessageOf(producer.status()));
  const Status created = (*producer)->CreateTopic(topic, partitions, std::chrono::seconds(20));
  if (!created.ok()) return Fail(MessageOf(created));

  const auto begin = std::chrono::steady_clock::now();
  uint64_t checksum = 0;
  int64_t bytes = 0;
  char value[256];
  char key[16];
  for (int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    const auto random = static_cast<uint32_t>(state >> 33);
    const int64_t ts = 1'700'000'000'000 + i;
    const int key_length = std::snprintf(key, sizeof(key), "sym%03u", random % 1000);
    const unsigned cents = 1000 + random / 1000 % 9000;
    const unsigned qty = 1 + random % 97;
    const int length = std::snprintf(
        value, sizeof(value),
        "{\"ts\":%lld,\"key\":\"%s\",\"px\":%u.%02u,\"qty\":%u,\"side\":\"%s\",\"venue\":\"XNAS\","
        "\"account\":\"acc-%06u\",\"id\":\"%012lld\"}",
        static_cast<long long>(ts), key, cents / 100, cents % 100, qty,
        random % 2 == 0 ? "buy" : "sell", random % 100'000, static_cast<long long>(i));
    checksum +=
        kafka::bench::Checksum(ts, {key, static_cast<size_t>(key_length)}, cents / 100.0, qty);
    bytes += length;
    kafka::ProducerRecord record;
    record.key = std::string_view(key, static_cast<size_t>(key_length));
    record.value = std::string_view(value, static_cast<size_t>(length));
    record.partition = static_cast<int32_t>(i % partitions);
    record.timestamp_ms = ts;
    const Status produced = (*producer)->Produce(topic, record);
    if (!produced.ok()) return Fail(MessageOf(produced));
  }
  const Status flushed = (*producer)->Flush(std::chrono::minutes(2));
  if (!flushed.ok()) return Fail(MessageOf(flushed));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf(
      "{\"messages\": %lld, \"bytesPerMessage\": %.1f, \"seconds\": %.3f, "
      "\"cpuSeconds\": %.3f, \"checksum\": \"%llu\"}\n",
      static_cast<long long>(count), static_cast<double>(bytes) / static_cast<double>(count),
      seconds, kafka::bench::CpuSeconds(), static_cast<unsigned long long>(checksum));
  return 0;
}
