// scripts/bench store: our store beside RocksDB, in one run. See README.md.
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "experiment.h"
#include "limited_memory.h"
#include "machine.h"
#include "marble_side.h"
#include "options.h"
#include "report.h"
#include "rocksdb_side.h"
#include "work_directory.h"

namespace marble::lsm::bench {
namespace {

/// Space for what the sides keep at once, old and new files of a merge included.
constexpr uint64_t kSpacePerUserByte = 4;
constexpr uint64_t kSpareBytes = uint64_t{1} << 30;

/// `user_bytes` of keys and values; `memory`: the limit, or 0.
std::unique_ptr<StoreSide> MakeSide(const std::string& name, const Options& options,
                                    uint64_t user_bytes, uint64_t memory) {
  // In little memory both sides' write buffers shrink alike.
  const uint64_t buffer = memory == 0 ? 0 : std::min<uint64_t>(64 << 20, memory / 16);
  if (name == "marble") return NewMarbleSide({options.revision, buffer});
  RocksdbSettings settings;
  settings.name = name;
  settings.mapped_reads = name == "rocksdb-mapped";
  if (memory > 0) {
    settings.write_buffer_bytes = buffer;
    // RocksDB's tuning guide: a third of the memory.
    settings.cache_bytes = settings.mapped_reads ? 8 << 20 : memory / 3;
  } else if (settings.mapped_reads) {
    settings.cache_bytes = user_bytes * 2 + (256 << 20);
  }
  return NewRocksdbSide(settings);
}

Result<std::unique_ptr<WorkDirectory>> MakeDirectory(const Options& options) {
  uint64_t most = options.memory_limit > 0 ? KeysForMemory(options.memory_limit) : 0;
  if (most == 0) most = *std::max_element(options.keys.begin(), options.keys.end());
  const uint64_t bytes = most * (kKeyBytes + kValueBytes) * kSpacePerUserByte *
                             (options.memory_limit > 0 ? 1 : options.sides.size()) +
                         kSpareBytes;
  return WorkDirectory::Make(options.directory, bytes);
}

void Print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

Result<Results> Run(const Options& options, const Facts& machine, const WorkDirectory& directory) {
  Results results;
  results.sides = options.sides;
  results.rounds = options.experiment.rounds;
  if (RocksdbHasAssertions()) {
    results.notes.push_back(
        "this RocksDB was built with assertions, so the ratios flatter us (by 1.1 to 1.6); "
        "--rocksdb release builds a fair one");
  }
  const Progress progress = [](const std::string& text) {
    std::fprintf(stderr, "%s\n", text.c_str());
  };
  const auto describe = [&](uint64_t user_bytes) {
    results.descriptions.clear();
    for (const std::string& name : options.sides) {
      results.descriptions.push_back(
          MakeSide(name, options, user_bytes, options.memory_limit)->Describe());
    }
    return ReportHead(results, machine);
  };
  if (options.memory_limit > 0) {
    results.required_ratio = 1.0;
    const uint64_t keys = KeysForMemory(options.memory_limit);
    Print(describe(0));
    MARBLE_RETURN_NOT_OK(RunInLimitedMemory(
        options.memory_limit, options.experiment,
        [&](const std::string& name) { return MakeSide(name, options, 0, options.memory_limit); },
        directory, &results, progress));
    Print("\nin a memory cgroup of " + std::to_string(options.memory_limit >> 20) +
          " MiB:" + ReportKeys(results, keys));
    return results;
  }
  for (const uint64_t keys : options.keys) {
    const uint64_t user_bytes = keys * (kKeyBytes + kValueBytes);
    const std::string head = describe(user_bytes);
    if (keys == options.keys.front()) Print(head);
    Sides sides;
    for (const std::string& name : options.sides) {
      sides.push_back(MakeSide(name, options, user_bytes, 0));
    }
    Experiment experiment(keys, options.experiment, &sides, &directory, &results, progress);
    MARBLE_RETURN_NOT_OK(experiment.Run());
    Print(ReportKeys(results, keys));
  }
  return results;
}

int Main(const std::vector<std::string>& arguments) {
  const auto complain = [](const Status& status, int code) {
    std::fprintf(stderr, "error: %s\n", MessageOf(status).c_str());
    return code;
  };
  const Result<Options> options = ParseOptions(arguments);
  if (!options.ok()) return complain(options.status(), 2);
  if (options->help) {
    Print(HelpText());
    return 0;
  }
  // Before any thread is started.
  const auto directory = MakeDirectory(*options);
  if (!directory.ok()) return complain(directory.status(), 1);
  Facts machine = DescribeMachine();
  machine.emplace_back("directory",
                       (*directory)->path() + " (" + (*directory)->file_system() + ")");
  const Result<Results> results = Run(*options, machine, **directory);
  if (!results.ok()) return complain(results.status(), 1);
  Print(ReportEnd(*results));
  if (!options->json.empty()) {
    std::ofstream file(options->json);
    file << ReportJson(*results, machine);
    file.close();
    if (!file) return complain(IoError("write", options->json, errno), 1);
  }
  return results->valid() ? 0 : 1;
}

}  // namespace
}  // namespace marble::lsm::bench

int main(int argc, char** argv) {
  return marble::lsm::bench::Main(std::vector<std::string>(argv + 1, argv + argc));
}
