#include "options.h"

#include <algorithm>
#include <charconv>

namespace marble::lsm::bench {
namespace {

constexpr const char* kSides[] = {"marble", "rocksdb-cache", "rocksdb-mapped"};
constexpr uint64_t kMaxKeys = 1'000'000'000;
constexpr uint64_t kMinMemory = 64 << 20;

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    if (comma > begin) parts.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return parts;
}

/// A whole number, with k, M or G behind it for powers of `unit`.
Result<uint64_t> ParseNumber(const std::string& name, const std::string& text, uint64_t unit,
                             uint64_t least, uint64_t greatest) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  uint64_t scale = 1;
  bool good = error == std::errc() && end - rest <= 1;
  if (good && rest != end) {
    if (*rest == 'k') scale = unit;
    if (*rest == 'M') scale = unit * unit;
    if (*rest == 'G') scale = unit * unit * unit;
    good = scale > 1;
  }
  if (!good || number > greatest / scale || number * scale < least) {
    return MakeError(ErrorCode::kInvalidArgument,
                     name + " '" + text + "': a whole number from " + std::to_string(least) +
                         " to " + std::to_string(greatest) + " is needed (k, M, G may follow)");
  }
  return number * scale;
}

}  // namespace

std::string HelpText() {
  return R"(scripts/bench store: MarbleDB's store beside RocksDB, in one run.
  --keys N[,N...]       numbers of keys (default 100k,1M,10M)
  --quick               100k and 1M keys
  --rounds N            of all lines; medians are reported (default 3)
  --lines TEXT[,TEXT]   only lines whose names contain one of these, as "hot" or "settled: read random"
  --sides NAME[,NAME]   of marble, rocksdb-cache, rocksdb-mapped (default all)
  --key-shape number|text   eight big-endian bytes and '00000000', or sixteen decimal digits
  --operations N        of lines that do not go over all keys (default: keys, from 1M to 2M)
  --retries N           of a read line beside which others use the machine (default 2)
  --memory-limit BYTES  instead: data of three times this memory, in a memory cgroup (needs root)
  --dir PATH            where the databases lie, on a disk (default $TMPDIR, else the build directory)
  --json FILE           write everything that was measured
  --rocksdb system|release   Debian's package, or the same version built without assertions
exit: 0 when all sides agree (bars missed or not), 1 when a line is void or something failed, 2 for bad arguments
)";
}

Result<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = arguments[i];
    if (name == "--help") {
      options.help = true;
      continue;
    }
    if (name == "--quick") {
      options.keys = {100'000, 1'000'000};
      continue;
    }
    constexpr const char* kWithValue[] = {
        "--keys",    "--rounds",       "--lines", "--sides", "--key-shape", "--operations",
        "--retries", "--memory-limit", "--dir",   "--json",  "--revision"};
    if (std::find(std::begin(kWithValue), std::end(kWithValue), name) == std::end(kWithValue)) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "unknown option " + name + "; see scripts/bench store --help");
    }
    if (i + 1 == arguments.size()) {
      return MakeError(ErrorCode::kInvalidArgument, name + " needs a value");
    }
    const std::string& value = arguments[++i];
    if (name == "--keys") {
      options.keys.clear();
      for (const std::string& part : Split(value)) {
        MARBLE_ASSIGN_OR_RETURN(const uint64_t keys, ParseNumber(name, part, 1000, 1000, kMaxKeys));
        options.keys.push_back(keys);
      }
      if (options.keys.empty()) return MakeError(ErrorCode::kInvalidArgument, "--keys has none");
    } else if (name == "--rounds") {
      MARBLE_ASSIGN_OR_RETURN(const uint64_t rounds, ParseNumber(name, value, 1000, 1, 1000));
      options.experiment.rounds = static_cast<int>(rounds);
    } else if (name == "--lines") {
      options.experiment.lines = Split(value);
    } else if (name == "--sides") {
      options.sides = Split(value);
      for (const std::string& side : options.sides) {
        if (std::find(std::begin(kSides), std::end(kSides), side) != std::end(kSides)) continue;
        return MakeError(ErrorCode::kInvalidArgument,
                         "--sides: there is no side '" + side +
                             "', but marble, rocksdb-cache and rocksdb-mapped");
      }
      if (options.sides.empty()) return MakeError(ErrorCode::kInvalidArgument, "--sides has none");
      // Ours comes first, if it is there.
      std::stable_partition(options.sides.begin(), options.sides.end(),
                            [](const std::string& side) { return side == "marble"; });
    } else if (name == "--key-shape") {
      if (value != "number" && value != "text") {
        return MakeError(ErrorCode::kInvalidArgument,
                         "--key-shape '" + value + "': number or text is needed");
      }
      options.experiment.key_shape = value == "text" ? KeyShape::kText : KeyShape::kNumber;
    } else if (name == "--operations") {
      MARBLE_ASSIGN_OR_RETURN(options.experiment.operations,
                              ParseNumber(name, value, 1000, 1000, kMaxKeys));
    } else if (name == "--retries") {
      MARBLE_ASSIGN_OR_RETURN(const uint64_t retries, ParseNumber(name, value, 1000, 0, 1000));
      options.experiment.retries = static_cast<int>(retries);
    } else if (name == "--memory-limit") {
      MARBLE_ASSIGN_OR_RETURN(options.memory_limit,
                              ParseNumber(name, value, 1024, kMinMemory, uint64_t{1} << 40));
    } else if (name == "--dir") {
      options.directory = value;
    } else if (name == "--json") {
      options.json = value;
    } else {
      options.revision = value;
    }
  }
  return options;
}

}  // namespace marble::lsm::bench
