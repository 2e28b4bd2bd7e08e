// The yardstick itself: that a side which answers wrongly voids its lines, that all sides are asked
// the same, and that the figures are computed as they are defined. Stores are maps here; RocksDB
// is not needed.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "bench/experiment.h"
#include "bench/options.h"
#include "bench/report.h"
#include "db_fixture.h"

namespace marble::lsm::bench {
namespace {

using lsm::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::Not;

/// What a faulty store does.
enum class Fault { kNone, kLosesAPut, kKeepsTheOldValue, kInventsAKey, kSkipsARowOfScans, kFails };

class MapSide : public StoreSide {
 public:
  MapSide(std::string name, Fault fault) : name_(std::move(name)), fault_(fault) {}

  std::string name() const override { return name_; }
  std::string Describe() const override { return "a map"; }
  Status Open(const std::string& dir) override {
    // What is in the directory decides, as with a store.
    if (dir != dir_ || !std::filesystem::exists(dir + "/made")) rows_.clear();
    dir_ = dir;
    ++opens;
    std::FILE* file = std::fopen((dir + "/made").c_str(), "w");
    std::fclose(file);
    return Status::OK();
  }
  Status Close() override { return Status::OK(); }
  bool Busy() override { return false; }
  Status Settle() override { return Status::OK(); }
  std::string Shape() override { return std::to_string(rows_.size()) + " rows"; }

  void Put(std::string_view key, std::string_view value) override {
    std::lock_guard lock(mutex_);
    ++puts;
    if (fault_ == Fault::kLosesAPut && puts % 1000 == 500) return;
    if (fault_ == Fault::kKeepsTheOldValue && puts % 1000 == 500 && rows_.count(std::string(key))) {
      return;
    }
    if (fault_ == Fault::kFails && puts == 700) Fail(MakeError(ErrorCode::kIo, "the disk is gone"));
    rows_[std::string(key)] = value;
  }
  void PutMany(std::span<const KeyValue> rows) override {
    for (const KeyValue& row : rows) Put(row.key, row.value);
  }
  bool Get(std::string_view key, Touched* touched) override {
    std::lock_guard lock(mutex_);
    const auto it = rows_.find(key);
    if (it != rows_.end()) touched->AddValue(it->second);
    // A false positive of a filter that nobody checks: some missing keys are "found".
    return it != rows_.end() || (fault_ == Fault::kInventsAKey && key.back() % 2 == 1);
  }
  void GetMany(std::span<const std::string_view> keys, Touched* touched) override {
    for (const std::string_view key : keys) Get(key, touched);
  }
  void SeekAndRead(std::string_view key, int rows, Touched* touched) override {
    for (auto it = rows_.lower_bound(key); it != rows_.end() && rows-- > 0; ++it) {
      touched->AddRow(it->first, it->second);
    }
  }
  void ScanAll(Touched* touched) override {
    size_t i = 0;
    for (const auto& [key, value] : rows_) {
      if (fault_ != Fault::kSkipsARowOfScans || ++i != 77) touched->AddRow(key, value);
    }
  }
  void VisitAll(const std::function<void(std::string_view, std::string_view)>& visit) override {
    for (const auto& [key, value] : rows_) visit(key, value);
  }

  int puts = 0;
  int opens = 0;

 private:
  const std::string name_;
  const Fault fault_;
  std::string dir_;
  std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> rows_;
};

constexpr uint64_t kKeys = 2000;
constexpr uint64_t kOperations = 3000;

class StoreBenchTest : public ::testing::Test {
 protected:
  /// Two rounds of two maps, the second one with a fault.
  Status RunWith(Fault fault, std::vector<std::string> lines = {}) {
    ExperimentOptions options;
    options.rounds = 2;
    options.operations = kOperations;
    options.lines = std::move(lines);
    options.short_fill_repeats = 2;
    options.noisy_cores = 1e9;
    options.key_shape = KeyShape::kText;  // its last byte tells missing keys
    options.wait_until_quiet = [](StoreSide*) { return Status::OK(); };
    results_ = {};
    results_.sides = {"good", "other"};
    results_.descriptions = {"a map", "a map"};
    results_.rounds = options.rounds;
    sides_.clear();
    sides_.push_back(std::make_unique<MapSide>("good", Fault::kNone));
    sides_.push_back(std::make_unique<MapSide>("other", fault));
    MARBLE_ASSIGN_OR_RETURN(const auto directory, WorkDirectory::Make(temp_.path(), 1));
    Experiment experiment(kKeys, options, &sides_, directory.get(), &results_, nullptr);
    return experiment.Run();
  }
  std::set<std::string> VoidLines() const {
    std::set<std::string> names;
    for (const LineResult& line : results_.lines) {
      if (!line.void_because.empty()) names.insert(line.line);
    }
    return names;
  }

  TempDir temp_;
  Sides sides_;
  Results results_;
};

TEST_F(StoreBenchTest, StoresThatAgreeMakeAValidRunOfAllLines) {
  ASSERT_TRUE(RunWith(Fault::kNone).ok());
  EXPECT_TRUE(results_.valid());
  std::set<std::string> names;
  for (const LineResult& line : results_.lines) {
    names.insert(line.line);
    for (const auto& samples : line.samples) EXPECT_GE(samples.size(), 2u) << line.line;
  }
  EXPECT_EQ(names.size(), 16u);
  EXPECT_TRUE(std::filesystem::is_empty(temp_.path())) << "the working directory was left behind";
}

TEST_F(StoreBenchTest, AllSidesGetTheSameOperations) {
  ASSERT_TRUE(RunWith(Fault::kNone).ok());
  const auto& good = static_cast<const MapSide&>(*sides_[0]);
  const auto& other = static_cast<const MapSide&>(*sides_[1]);
  EXPECT_EQ(good.puts, other.puts);
  EXPECT_EQ(good.opens, other.opens);
  for (const LineResult& line : results_.lines) {
    if (line.line.find("while") != std::string::npos) continue;  // as many reads as there was time
    for (size_t i = 0; i < line.samples[0].size(); ++i) {
      const Outcome& a = line.samples[0][i].outcome;
      const Outcome& b = line.samples[1][i].outcome;
      EXPECT_EQ(a.operations, b.operations) << line.line;
      EXPECT_EQ(a.touched, b.touched) << line.line;
      EXPECT_EQ(a.misses, b.misses) << line.line;
    }
  }
}

TEST_F(StoreBenchTest, EachLineDoesWhatItsNameSays) {
  ASSERT_TRUE(RunWith(Fault::kNone).ok());
  const auto first = [&](const char* state, const char* name) {
    return results_.Line(kKeys, state, name)->samples[1].at(0).outcome;
  };
  EXPECT_EQ(first("", "fill sequential").operations, kKeys);
  EXPECT_EQ(first("", "fill random, batches of 100").operations, kKeys);
  EXPECT_EQ(first("settled", "read random").touched.rows, kOperations);
  EXPECT_EQ(first("settled", "read random").misses, 0u);
  EXPECT_EQ(first("settled", "read missing").touched.rows, 0u);
  EXPECT_EQ(first("settled", "read missing").misses, kOperations);
  EXPECT_EQ(first("settled", "batched read of 100").touched.rows, kOperations);
  EXPECT_EQ(first("settled", "scan all (rows)").operations, 2 * kKeys);  // whole scans
  EXPECT_EQ(first("", "mix, 90 % reads 10 % puts").touched.rows, kOperations * 9 / 10);
  EXPECT_EQ(first("", "read while writing").writes, kOperations);
  EXPECT_EQ(first("", "write while reading").operations, kOperations);
  // Ten rows from a random one on: all but the last few rows have ten.
  EXPECT_NEAR(static_cast<double>(first("settled", "seek + 10 rows").touched.rows), kOperations,
              60);
  EXPECT_GT(first("settled", "read random, latency").nanoseconds.p99, 0);
}

TEST_F(StoreBenchTest, AStoreThatLosesAPutVoidsItsReads) {
  ASSERT_TRUE(RunWith(Fault::kLosesAPut).ok());
  EXPECT_FALSE(results_.valid());
  EXPECT_TRUE(VoidLines().count("scan all (rows)"));
  EXPECT_FALSE(results_.failures.empty());
  EXPECT_THAT(ReportEnd(results_), HasSubstr("VOID"));
  EXPECT_THAT(ReportEnd(results_), HasSubstr("other does not hold what was written"));
  EXPECT_THAT(ReportJson(results_, {}), HasSubstr("\"valid\":false"));
}

TEST_F(StoreBenchTest, AnOldValueVoidsItsReads) {
  ASSERT_TRUE(RunWith(Fault::kKeepsTheOldValue).ok());
  EXPECT_FALSE(results_.valid());
  EXPECT_TRUE(VoidLines().count("read random"));
  EXPECT_TRUE(VoidLines().count("batched read of 100"));
}

TEST_F(StoreBenchTest, AMissingKeyThatIsFoundVoidsItsLineAlone) {
  ASSERT_TRUE(RunWith(Fault::kInventsAKey).ok());
  EXPECT_EQ(VoidLines(), std::set<std::string>{"read missing"});
  EXPECT_FALSE(results_.valid());
}

TEST_F(StoreBenchTest, AShortScanVoidsItsLineAlone) {
  ASSERT_TRUE(RunWith(Fault::kSkipsARowOfScans).ok());
  EXPECT_EQ(VoidLines(), std::set<std::string>{"scan all (rows)"});
}

TEST_F(StoreBenchTest, AStoresErrorEndsTheRun) {
  const Status status = RunWith(Fault::kFails);
  EXPECT_THAT(status.ToString(), HasSubstr("the disk is gone"));
  EXPECT_TRUE(std::filesystem::is_empty(temp_.path()));
}

TEST_F(StoreBenchTest, OnlySelectedLinesAreMeasuredBesideTheFillsThatTheyNeed) {
  ASSERT_TRUE(RunWith(Fault::kNone, {"hot", "settled: scan"}).ok());
  std::set<std::string> names;
  for (const LineResult& line : results_.lines) names.insert(line.state + ":" + line.line);
  EXPECT_EQ(names,
            (std::set<std::string>{":fill random", ":overwrite", "as written:read hot (1,000 keys)",
                                   "settled:read hot (1,000 keys)", "settled:scan all (rows)"}));
}

TEST(StoreBenchRowsTest, KeysSortAsTheirRowsAndMissingKeysLieBetween) {
  for (const KeyShape shape : {KeyShape::kNumber, KeyShape::kText}) {
    const Rows rows(70'000, shape);
    RowBuffer buffer;
    std::string last;
    for (uint64_t row = 0; row < rows.count(); row += 7) {
      const std::string key(rows.Key(row, &buffer));
      const std::string missing(rows.MissingKey(row, &buffer));
      ASSERT_EQ(key.size(), kKeyBytes);
      ASSERT_LT(last, key);
      ASSERT_LT(key, missing);
      ASSERT_EQ(rows.NumberOf(key), row * 2);
      last = missing;
    }
  }
}

TEST(StoreBenchRowsTest, AValueSaysItsRowAndVersion) {
  const Rows rows(1000, KeyShape::kNumber);
  RowBuffer buffer;
  const std::string value(rows.Value(17, 3, &buffer));
  EXPECT_EQ(value.size(), kValueBytes);
  EXPECT_EQ(Rows::VersionOf(17, Touched::FirstBytes(value)), 3u);
  EXPECT_GT(Rows::VersionOf(18, Touched::FirstBytes(value)), 255u);
  EXPECT_NE(value.substr(8), std::string(rows.Value(17, 4, &buffer)).substr(8));
}

TEST(StoreBenchRowsTest, ShuffledHasEveryRowOnce) {
  const Rows rows(5000, KeyShape::kNumber);
  std::vector<uint32_t> order = rows.Shuffled(1);
  EXPECT_NE(order, rows.Shuffled(2));
  EXPECT_EQ(order, rows.Shuffled(1));
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  for (uint32_t i = 0; i < order.size(); ++i) ASSERT_EQ(order[i], i);
}

TEST(StoreBenchStatisticsTest, MediansSpreadsAndPercentiles) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(Median({}), 0);
  EXPECT_DOUBLE_EQ(Spread({90, 100, 110}), 0.2);
  EXPECT_EQ(Spread({5}), 0);
  std::vector<uint32_t> samples;
  for (uint32_t i = 1000; i > 0; --i) samples.push_back(i);  // 1 to 1000, each once
  const Latencies latencies = Summarize(&samples);
  EXPECT_EQ(latencies.mean, 500.5);
  EXPECT_EQ(latencies.p50, 500);
  EXPECT_EQ(latencies.p99, 990);
  EXPECT_EQ(latencies.p999, 999);
}

Sample WithRate(double per_second) {
  Sample sample;
  sample.outcome.operations = 1'000'000;
  sample.cost.seconds = 1e6 / per_second;
  return sample;
}

TEST(StoreBenchVerdictTest, TheBetterSettingOfThePeerCounts) {
  LineResult line;
  line.bars = {{Bar::Of::kRate, 1e6, "a million"}, {Bar::Of::kRate, 4e6, "four"}};
  line.samples = {{WithRate(2e6), WithRate(3e6), WithRate(4e6)},
                  {WithRate(1e6), WithRate(1e6), WithRate(1e6)},
                  {WithRate(1.5e6), WithRate(1.2e6), WithRate(1e6)}};
  const Verdict verdict = Judge(line, 3.0);
  EXPECT_EQ(verdict.better, 2u);
  EXPECT_DOUBLE_EQ(verdict.ratio, 2.5);
  EXPECT_DOUBLE_EQ(verdict.greatest_ratio, 4);
  EXPECT_FALSE(verdict.ratio_reached);
  EXPECT_TRUE(Judge(line, 2.5).ratio_reached);
  EXPECT_EQ(verdict.bars_reached, (std::vector<bool>{true, false}));
}

TEST(StoreBenchVerdictTest, OfTimesTheShorterOneIsBetter) {
  LineResult line;
  line.unit = Unit::kLatency;
  line.bars = {{Bar::Of::kMean, 700, "mean"}, {Bar::Of::kP99, 3000, "p99"}};
  line.samples.resize(3);
  for (const auto& [side, mean, p99] : {std::tuple{0, 500.0, 4000.0}, std::tuple{1, 1500.0, 9000.0},
                                        std::tuple{2, 2500.0, 9000.0}}) {
    Sample sample;
    sample.outcome.nanoseconds.mean = mean;
    sample.outcome.nanoseconds.p99 = p99;
    line.samples[static_cast<size_t>(side)].push_back(sample);
  }
  const Verdict verdict = Judge(line, 3.0);
  EXPECT_EQ(verdict.better, 1u);
  EXPECT_DOUBLE_EQ(verdict.ratio, 3.0);
  EXPECT_TRUE(verdict.ratio_reached);
  EXPECT_EQ(verdict.bars_reached, (std::vector<bool>{true, false}));
}

TEST(StoreBenchOptionsTest, NumbersNamesAndErrors) {
  const auto options =
      ParseOptions({"--keys", "100k,2M", "--sides", "rocksdb-cache,marble", "--rounds", "5"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->keys, (std::vector<uint64_t>{100'000, 2'000'000}));
  EXPECT_EQ(options->sides, (std::vector<std::string>{"marble", "rocksdb-cache"}));
  EXPECT_EQ(ParseOptions({"--memory-limit", "256M"})->memory_limit, uint64_t{256} << 20);
  for (const auto& [arguments, names] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--keys", "ten"}, "--keys 'ten'"},
           {{"--keys", "10x"}, "--keys '10x'"},
           {{"--keys", "99999999999999999999"}, "--keys"},
           {{"--rounds", "0"}, "--rounds '0'"},
           {{"--rounds"}, "--rounds needs a value"},
           {{"--sides", "leveldb"}, "no side 'leveldb'"},
           {{"--key-shape", "round"}, "--key-shape 'round'"},
           {{"--fast"}, "unknown option --fast"}}) {
    const auto parsed = ParseOptions(arguments);
    ASSERT_FALSE(parsed.ok()) << arguments[0];
    EXPECT_EQ(CodeOf(parsed.status()), ErrorCode::kInvalidArgument);
    EXPECT_THAT(parsed.status().ToString(), HasSubstr(names));
  }
}

TEST(StoreBenchDirectoryTest, RefusesMemoryAndTooLittleSpace) {
  TempDir temp;
  const auto no_space = WorkDirectory::Make(temp.path(), uint64_t{1} << 60);
  ASSERT_FALSE(no_space.ok());
  EXPECT_EQ(CodeOf(no_space.status()), ErrorCode::kNoSpace);
  if (!std::filesystem::exists("/dev/shm")) return;
  const auto in_memory = WorkDirectory::Make("/dev/shm", 1);
  ASSERT_FALSE(in_memory.ok());
  EXPECT_THAT(in_memory.status().ToString(), HasSubstr("--dir"));
}

TEST(StoreBenchDirectoryTest, IsRemovedOnSigint) {
  TempDir temp;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto made = WorkDirectory::Make(temp.path(), 1);
    if (!made.ok() || !(*made)->Fresh("some").ok()) ::_exit(1);
    ::kill(::getpid(), SIGINT);
    while (true) ::pause();
  }
  int ended = 0;
  ASSERT_EQ(::waitpid(child, &ended, 0), child);
  ASSERT_TRUE(WIFEXITED(ended));
  EXPECT_EQ(WEXITSTATUS(ended), 128 + SIGINT);
  EXPECT_TRUE(std::filesystem::is_empty(temp.path()));
}

}  // namespace
}  // namespace marble::lsm::bench
