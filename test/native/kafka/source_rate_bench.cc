// kafka_source_rate BOOTSTRAP TOPIC [name=value …]
//
// How fast KafkaSource turns a topic filled by kafka_generate into Arrow batches, to the end of the
// topic; the same four fields and checksum as kafka_bare_loop. Options are the table's.
#include <arrow/api.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>

#include "bench_args.h"
#include "kafka/kafka_source.h"

int main(int argc, char** argv) {
  using namespace marble;  // NOLINT: a program
  using Clock = std::chrono::steady_clock;
  const auto fail = [](const Status& status) {
    std::fprintf(stderr, "kafka_source_rate: %s\n", MessageOf(status).c_str());
    return 1;
  };
  if (argc < 3) {
    return fail(MakeError(ErrorCode::kInvalidArgument,
                          "usage: kafka_source_rate BOOTSTRAP TOPIC [name=value …]"));
  }
  stream::SourceSpec spec;
  spec.id = "bench";
  spec.options = {{"topic", argv[2]},
                  {"properties.bootstrap.servers", argv[1]},
                  {"scan.bounded.mode", "latest-offset"}};
  for (int i = 3; i < argc; ++i) {
    const std::string option = argv[i];
    const size_t equals = option.find('=');
    spec.options[option.substr(0, equals)] =
        equals == std::string::npos ? "" : option.substr(equals + 1);
  }
  spec.format = "json";
  for (const auto& field :
       {arrow::field("ts", arrow::int64()), arrow::field("key", arrow::utf8()),
        arrow::field("px", arrow::float64()), arrow::field("qty", arrow::int32())}) {
    spec.columns.push_back({stream::SourceColumn::Kind::kPhysical, field->name(), field});
  }
  auto source = kafka::KafkaSource::Make(spec);
  if (!source.ok()) return fail(source.status());
  const Status opened = (*source)->Open({});
  if (!opened.ok()) return fail(opened);
  uint64_t checksum = 0;
  int64_t seen = 0, batches = 0;
  Clock::time_point begin = Clock::now();
  const double cpu_begin = kafka::bench::CpuSeconds();
  while (!(*source)->finished()) {
    auto next = (*source)->Next(std::chrono::milliseconds(100));
    if (!next.ok()) return fail(next.status());
    if (!*next) continue;
    const auto& rows = *(*next)->rows;
    ++batches;
    seen += rows.num_rows();
    const auto& ts = static_cast<const arrow::Int64Array&>(*rows.column(0));
    const auto& key = static_cast<const arrow::StringArray&>(*rows.column(1));
    const auto& px = static_cast<const arrow::DoubleArray&>(*rows.column(2));
    const auto& qty = static_cast<const arrow::Int32Array&>(*rows.column(3));
    for (int64_t i = 0; i < rows.num_rows(); ++i) {
      checksum += kafka::bench::Checksum(ts.Value(i), key.GetView(i), px.Value(i), qty.Value(i));
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const double cpu = kafka::bench::CpuSeconds() - cpu_begin;
  (*source)->Close();
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "{\"messages\": %lld, \"seconds\": %.3f, \"cpuSeconds\": %.3f, \"batches\": %lld, "
      "\"peakRssMb\": %ld, \"checksum\": \"%llu\"}\n",
      static_cast<long long>(seen), seconds, cpu, static_cast<long long>(batches),
      usage.ru_maxrss / 1024, static_cast<unsigned long long>(checksum));
  return 0;
}
