// Jobs over a store: results, restarts, kills at any moment, consistent cuts.
#include <arrow/api.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "base/arrow_types.h"
#include "plan_text.h"
#include "stream/graph.h"
#include "stream/job.h"
#include "stream/plan.h"

extern char** environ;

namespace marble::stream {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr milliseconds kPatience{60'000};

struct Totals {
  int64_t n = 0, sum = 0;
  int32_t min = INT32_MAX, max = INT32_MIN;
  bool operator==(const Totals&) const = default;
};
using View = std::map<std::pair<std::string, int64_t>, Totals>;

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/marble-stream-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::shared_ptr<arrow::Schema> ViewSchema(bool keyed) {
  std::vector<std::shared_ptr<arrow::Field>> fields;
  if (keyed) fields.push_back(arrow::field("key", arrow::utf8()));
  fields.push_back(arrow::field("n", arrow::int64(), false));
  for (const char* name : {"sum", "min", "max", "avg"}) {
    fields.push_back(arrow::field(name, arrow::int32()));
  }
  fields.push_back(arrow::field("start", arrow::timestamp(arrow::TimeUnit::MILLI), false));
  return arrow::schema(fields);
}

std::shared_ptr<lsm::DB> OpenDb(const std::string& path) {
  auto db = lsm::DB::Open(path, {});
  EXPECT_TRUE(db.ok()) << db.status().ToString();
  for (bool keyed : {true, false}) {
    lsm::TableDescriptor table;
    table.name = keyed ? "by_key" : "total";
    table.schema = ViewSchema(keyed);
    table.key_columns = keyed ? std::vector<int>{0, 6} : std::vector<int>{5};
    auto made = (*db)->CreateTable(std::move(table), true);
    EXPECT_TRUE(made.ok()) << made.status().ToString();
  }
  return *db;
}

View ReadView(lsm::DB& db, bool keyed, lsm::SnapshotRef snapshot = nullptr) {
  View view;
  lsm::ScanOptions options;
  options.read.snapshot = std::move(snapshot);
  auto table = *db.GetTable(keyed ? "by_key" : "total");
  auto iterator = *db.NewIterator(table, options);
  while (true) {
    auto step = iterator->Next();
    EXPECT_TRUE(step.ok()) << step.status().ToString();
    if (!step.ok() || step->batch == nullptr) return view;
    const auto& batch = *step->batch;
    const int first = keyed ? 1 : 0;
    for (int64_t i = 0; i < batch.num_rows(); ++i) {
      auto i32 = [&](int c) {
        return static_cast<const arrow::Int32Array&>(*batch.column(c)).Value(i);
      };
      Totals totals;
      totals.n = static_cast<const arrow::Int64Array&>(*batch.column(first)).Value(i);
      totals.sum = i32(first + 1);
      totals.min = i32(first + 2);
      totals.max = i32(first + 3);
      const auto start =
          static_cast<const arrow::TimestampArray&>(*batch.column(first + 5)).Value(i);
      const auto key =
          keyed ? static_cast<const arrow::StringArray&>(*batch.column(0)).GetString(i) : "";
      EXPECT_TRUE(view.emplace(std::pair(key, start), totals).second) << "a key twice";
    }
  }
}

/// Files of rows whose times only grow, and what their windows must hold.
View WriteRows(const std::string& dir, int files, int rows_per_file, int64_t size_ms,
               uint32_t seed = 1) {
  std::mt19937 random(seed);
  View expected;
  fs::create_directory(dir);
  int64_t ts = 0;
  for (int f = 0; f < files; ++f) {
    std::ofstream out(dir + "/part-" + std::to_string(10 + f) + ".json");
    for (int i = 0; i < rows_per_file; ++i) {
      ts += static_cast<int64_t>(random() % 3);
      const auto key = "k" + std::to_string(random() % 50);
      const auto value = static_cast<int32_t>(random() % 1000);
      char time[40];
      std::snprintf(time, sizeof(time), "1970-01-01 %02d:%02d:%02d.%03d",
                    static_cast<int>(ts / 3'600'000), static_cast<int>(ts / 60'000 % 60),
                    static_cast<int>(ts / 1000 % 60), static_cast<int>(ts % 1000));
      out << R"({"key":")" << key << R"(","value":)" << value << R"(,"ts":")" << time << "\"}\n";
      for (const auto& name : {key, std::string()}) {
        Totals& totals = expected[{name, ts / size_ms * size_ms}];
        ++totals.n;
        totals.sum += value;
        totals.min = std::min(totals.min, value);
        totals.max = std::max(totals.max, value);
      }
    }
  }
  return expected;
}

View Only(const View& all, bool keyed) {
  View part;
  for (const auto& [key, totals] : all) {
    if (key.first.empty() != keyed) part[key] = totals;
  }
  return part;
}

PlanText FilePlan(const std::string& dir) {
  PlanText text;
  text.connector = "filesystem";
  text.options = R"({"path":")" + dir + R"("})";
  text.sink = "marbledb";
  text.total = true;
  text.size_ms = 1000;
  return text;
}

void ExpectFinished(Job& job) {
  ASSERT_TRUE(job.Wait(kPatience));
  ASSERT_EQ(job.status(), JobStatus::kFinished) << job.error().ToString();
}

TEST(Job, ABoundedJobFillsItsTablesAndIsNotRunAgain) {
  TempDir dir;
  const View expected = WriteRows(dir / "in", 3, 20'000, 1000);
  const auto plan = FilePlan(dir / "in").Text();
  {
    auto db = OpenDb(dir / "db");
    auto manager = *JobManager::Open(db, {});
    auto started = manager->Start(plan, {});
    ASSERT_TRUE(started.ok()) << started.status().ToString();
    ExpectFinished(**started);
    EXPECT_EQ(ReadView(*db, true), Only(expected, true));
    EXPECT_EQ(ReadView(*db, false), Only(expected, false));
    const auto metrics = (*started)->metrics();
    EXPECT_EQ(metrics.records_in, 60'000u);
    EXPECT_EQ(metrics.records_out, expected.size());
    EXPECT_EQ(metrics.late_records, 0u);
    EXPECT_GE(metrics.epoch, 1u);
    manager->Close();
    ASSERT_TRUE(db->Close().ok());
  }
  auto db = OpenDb(dir / "db");
  auto manager = *JobManager::Open(db, {});
  auto again = *manager->Start(plan, {});
  EXPECT_EQ(again->status(), JobStatus::kFinished);
  EXPECT_EQ(again->metrics().records_in, 0u);
  EXPECT_EQ(ReadView(*db, true), Only(expected, true));

  // Another window over the same state: refused. Fresh: rows of the new plan alone.
  auto changed = FilePlan(dir / "in");
  changed.size_ms = 500;
  auto refused = manager->Start(changed.Text(), {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(CodeOf(refused.status()), ErrorCode::kIncompatibleState);
  EXPECT_THAT(MessageOf(refused.status()), HasSubstr("'agg'"));
  StartOptions fresh;
  fresh.fresh = true;
  auto rerun = manager->Start(changed.Text(), fresh);
  ASSERT_TRUE(rerun.ok()) << rerun.status().ToString();
  ExpectFinished(**rerun);
  int64_t rows = 0;
  for (const auto& [key, totals] : ReadView(*db, true)) rows += totals.n;
  EXPECT_EQ(rows, 60'000);
  EXPECT_GT(ReadView(*db, false).size(), Only(expected, false).size());
  manager->Close();
  ASSERT_TRUE(db->Close().ok());
}

std::shared_ptr<arrow::RecordBatch> PushRows(
    const std::shared_ptr<arrow::Schema>& schema,
    std::vector<std::tuple<std::string, int, int64_t>> rows) {
  arrow::StringBuilder keys;
  arrow::Int32Builder values;
  arrow::TimestampBuilder times(arrow::timestamp(arrow::TimeUnit::MILLI),
                                arrow::default_memory_pool());
  for (const auto& [key, value, ts] : rows) {
    EXPECT_TRUE(keys.Append(key).ok());
    EXPECT_TRUE(values.Append(value).ok());
    EXPECT_TRUE(times.Append(ts).ok());
  }
  return arrow::RecordBatch::Make(schema, static_cast<int64_t>(rows.size()),
                                  {*keys.Finish(), *values.Finish(), *times.Finish()});
}

TEST(Job, StoppedAndStartedItSkipsWhatItHasRead) {
  TempDir dir;
  auto db = OpenDb(dir / "db");
  auto manager = *JobManager::Open(db, {});
  PlanText text;
  text.sink = "marbledb";
  text.total = true;
  text.bounded = false;
  text.epoch_ms = "5";
  const auto schema = ReadPlan(text.Text())->nodes[0].schema;
  for (int run = 0; run < 2; ++run) {
    auto source = PushSource::Make(schema, nullptr);
    StartOptions options;
    options.push_sources["src"] = source;
    auto started = manager->Start(text.Text(), options);
    ASSERT_TRUE(started.ok()) << started.status().ToString();
    auto job = *started;
    EXPECT_EQ(CodeOf(manager->Start(text.Text(), options).status()), ErrorCode::kInvalidArgument);
    // The iterable from its beginning, each time; the second time it goes on.
    ASSERT_TRUE(source->Push(PushRows(schema, {{"a", 1, 10}, {"a", 2, 20}, {"b", 3, 30}})).ok());
    if (run == 0) {
      for (int i = 0; i < 1000 && job->metrics().epoch == 0; ++i) {
        std::this_thread::sleep_for(milliseconds(5));
      }
      EXPECT_EQ(job->metrics().sources.at(0).offset, "3");
      EXPECT_EQ(job->metrics().watermark_ms, 20);
      ASSERT_TRUE(job->Stop().ok());
      EXPECT_EQ(job->status(), JobStatus::kCancelled);
      EXPECT_TRUE(ReadView(*db, true).empty());
    } else {
      EXPECT_GT(job->metrics().resumed_from_epoch, 0u);
      ASSERT_TRUE(source->Push(PushRows(schema, {{"a", 4, 40}})).ok());
      source->Finish();
      ExpectFinished(*job);
      const View expected = {{{"a", 0}, {3, 7, 1, 4}}, {{"b", 0}, {1, 3, 3, 3}}};
      EXPECT_EQ(ReadView(*db, true), expected);
      EXPECT_EQ(job->metrics().records_in, 1u);
    }
  }
  manager->Close();
  ASSERT_TRUE(db->Close().ok());
}

TEST(Job, DrainedItClosesItsWindowsAndIsNotRunAgain) {
  TempDir dir;
  auto db = OpenDb(dir / "db");
  auto manager = *JobManager::Open(db, {});
  PlanText text;
  text.sink = "marbledb";
  text.total = true;
  text.bounded = false;
  text.epoch_ms = "5";
  const auto schema = ReadPlan(text.Text())->nodes[0].schema;
  const View expected = {{{"a", 0}, {2, 3, 1, 2}}, {{"b", 0}, {1, 3, 3, 3}}};
  for (int run = 0; run < 2; ++run) {
    auto source = PushSource::Make(schema, nullptr);
    StartOptions options;
    options.push_sources["src"] = source;
    auto started = manager->Start(text.Text(), options);
    ASSERT_TRUE(started.ok()) << started.status().ToString();
    auto job = *started;
    if (run == 0) {
      ASSERT_TRUE(source->Push(PushRows(schema, {{"a", 1, 10}, {"a", 2, 20}, {"b", 3, 30}})).ok());
      for (int i = 0; i < 1000 && job->metrics().epoch == 0; ++i) {
        std::this_thread::sleep_for(milliseconds(5));
      }
      ASSERT_TRUE(job->Drain().ok());
    }
    EXPECT_EQ(job->status(), JobStatus::kFinished);
    EXPECT_EQ(ReadView(*db, true), expected);
  }
  manager->Close();
  ASSERT_TRUE(db->Close().ok());
}

TEST(Job, AFailureNamesItsCauseAndAppliesNothing) {
  TempDir dir;
  fs::create_directory(dir / "in");
  std::ofstream(dir / "in/a.json") << R"({"key":"a","value":1,"ts":"1970-01-01 00:00:00"})"
                                      "\n"
                                   << "{broken\n";
  auto db = OpenDb(dir / "db");
  auto manager = *JobManager::Open(db, {});
  auto job = *manager->Start(FilePlan(dir / "in").Text(), {});
  ASSERT_TRUE(job->Wait(kPatience));
  EXPECT_EQ(job->status(), JobStatus::kFailed);
  EXPECT_EQ(CodeOf(job->error()), ErrorCode::kBadRecord);
  EXPECT_THAT(MessageOf(job->error()), HasSubstr("a.json at byte"));
  EXPECT_TRUE(ReadView(*db, true).empty());
  manager->Close();
  ASSERT_TRUE(db->Close().ok());
}

TEST(Job, AQueryCollectsAndKeepsNothing) {
  TempDir dir;
  const View expected = WriteRows(dir / "in", 1, 5'000, 1000);
  auto db = OpenDb(dir / "db");
  auto manager = *JobManager::Open(db, {});
  const auto tables = db->ListTables().size();
  auto text = FilePlan(dir / "in");
  text.sink = "collect";
  text.total = false;
  auto job = *manager->Start(text.Text(), {});
  size_t rows = 0;
  while (true) {
    auto next = job->NextResult(kPatience);
    ASSERT_TRUE(next.ok()) << next.status().ToString();
    ASSERT_TRUE(next->has_value());
    if (**next == nullptr) break;
    rows += static_cast<size_t>((**next)->num_rows());
  }
  EXPECT_EQ(rows, Only(expected, true).size());
  ExpectFinished(*job);
  EXPECT_EQ(db->ListTables().size(), tables);
  manager->Close();
  ASSERT_TRUE(db->Close().ok());
}

/// A plan that groups by key and keeps the groups with fewer than three rows.
std::string GroupPlan() {
  const auto aggregates =
      PlanText::Aggregate("count", "") + "," + PlanText::Aggregate("sum", ColumnText(1, kInt));
  const auto fields =
      FieldText("key", kText) + "," + FieldText("n", kLong, false) + "," + FieldText("sum", kInt);
  const auto boolean = std::string(R"({"name":"bool"})");
  return R"({"version":1,"job":{"name":"g"},"settings":{"epochMs":1},"nodes":[)" +
         PlanText().Source() +
         R"(,{"id":"agg","type":"groupAggregate","input":"src","keys":[0],"aggregates":[)" +
         aggregates + R"(],"fields":[)" + fields +
         R"(]},{"id":"having","type":"calc","input":"agg","filter":{"kind":"call","function":)"
         R"("lessThan","args":[)" +
         ColumnText(1, kLong) + R"(,{"kind":"literal","value":"3","type":)" + kLong +
         R"(,"nullable":false}],"type":)" + boolean + R"(,"nullable":true},"projections":[)" +
         ColumnText(0, kText) + "," + ColumnText(1, kLong) + "," + ColumnText(2, kInt) +
         R"(],"fields":[)" + fields +
         R"(]},{"id":"out","type":"sink","input":"having","table":"groups","connector":)"
         R"("marbledb","options":{},"primaryKey":["key"],"mode":"upsert","fields":[)" +
         fields + "]}]}";
}

TEST(Job, AGroupAggregateUpsertsAndTakesBackWhatHavingDrops) {
  TempDir dir;
  std::map<std::string, std::pair<int64_t, int64_t>> model;
  std::vector<std::tuple<std::string, int, int64_t>> rows;
  std::mt19937 random(3);
  auto db = OpenDb(dir / "db");
  lsm::TableDescriptor table;
  table.name = "groups";
  table.schema =
      arrow::schema({arrow::field("key", arrow::utf8()), arrow::field("n", arrow::int64(), false),
                     arrow::field("sum", arrow::int32())});
  table.key_columns = {0};
  auto handle = *db->CreateTable(table, false);
  auto manager = *JobManager::Open(db, {});
  const auto schema = ReadPlan(GroupPlan())->nodes[0].schema;
  for (int run = 0; run < 6; ++run) {
    auto source = PushSource::Make(schema, nullptr);
    StartOptions options;
    options.push_sources["src"] = source;
    auto job = *manager->Start(GroupPlan(), options);
    ASSERT_TRUE(source->Push(PushRows(schema, rows)).ok());
    for (int i = 0; i < 20; ++i) {
      const auto key = "k" + std::to_string(random() % 60);
      const int value = static_cast<int>(random() % 100);
      rows.emplace_back(key, value, 0);
      ++model[key].first;
      model[key].second += value;
      ASSERT_TRUE(source->Push(PushRows(schema, {rows.back()})).ok());
    }
    const auto want = std::to_string(rows.size());
    for (int i = 0; i < 5000; ++i) {
      const auto metrics = job->metrics();
      if (!metrics.sources.empty() && metrics.sources[0].offset == want) break;
      std::this_thread::sleep_for(milliseconds(2));
    }
    std::map<std::string, std::pair<int64_t, int64_t>> expected, found;
    for (const auto& [key, totals] : model) {
      if (totals.first < 3) expected[key] = totals;
    }
    auto iterator = *db->NewIterator(handle, {});
    for (auto step = *iterator->Next(); step.batch != nullptr; step = *iterator->Next()) {
      for (int64_t i = 0; i < step.batch->num_rows(); ++i) {
        found[static_cast<const arrow::StringArray&>(*step.batch->column(0)).GetString(i)] = {
            static_cast<const arrow::Int64Array&>(*step.batch->column(1)).Value(i),
            static_cast<const arrow::Int32Array&>(*step.batch->column(2)).Value(i)};
      }
    }
    ASSERT_EQ(found, expected) << "run " << run;
    // Alternate how it ends; what is committed stays either way.
    if (run % 2 == 0) {
      job->Cancel();
    } else {
      ASSERT_TRUE(job->Stop().ok());
    }
  }
  manager->Close();
  ASSERT_TRUE(db->Close().ok());
}

/// Under any snapshot the totals are the sums over keys.
void ExpectOneCut(const View& by_key, const View& total) {
  std::map<int64_t, std::pair<int64_t, int64_t>> sums;
  for (const auto& [key, totals] : by_key) {
    sums[key.second].first += totals.n;
    sums[key.second].second += totals.sum;
  }
  ASSERT_EQ(sums.size(), total.size());
  for (const auto& [key, totals] : total) {
    ASSERT_EQ(sums[key.second], std::pair(totals.n, totals.sum)) << "a torn epoch";
  }
}

TEST(Job, EverySnapshotIsOneConsistentCut) {
  TempDir dir;
  const View expected = WriteRows(dir / "in", 4, 30'000, 50);
  auto db = OpenDb(dir / "db");
  auto manager = *JobManager::Open(db, {});
  auto text = FilePlan(dir / "in");
  text.size_ms = 50;
  text.epoch_ms = "1";
  auto job = *manager->Start(text.Text(), {});
  int cuts = 0;
  size_t last = 0;
  while (!job->Wait(milliseconds(0))) {
    auto snapshot = db->GetSnapshot();
    const View total = ReadView(*db, false, snapshot);
    ASSERT_NO_FATAL_FAILURE(ExpectOneCut(ReadView(*db, true, snapshot), total));
    if (total.size() != last && total.size() < Only(expected, false).size()) ++cuts;
    last = total.size();
  }
  ASSERT_EQ(job->status(), JobStatus::kFinished) << job->error().ToString();
  EXPECT_EQ(ReadView(*db, true), Only(expected, true));
  EXPECT_GE(cuts, 1) << "no snapshot fell inside the run";
  manager->Close();
  ASSERT_TRUE(db->Close().ok());
}

/// Not a test: what a child process of the next one runs.
TEST(JobCrash, DISABLED_Child) {
  const std::string dir = std::getenv("MARBLE_CRASH_DIR");
  auto db = OpenDb(dir + "/db");
  auto manager = *JobManager::Open(db, {});
  auto text = FilePlan(dir + "/in");
  text.size_ms = 200;
  text.epoch_ms = "2";
  auto started = manager->Start(text.Text(), {});
  ASSERT_TRUE(started.ok()) << started.status().ToString();
  std::ofstream(dir + "/running") << "1";
  ASSERT_TRUE((*started)->Wait(kPatience));
  ASSERT_EQ((*started)->status(), JobStatus::kFinished) << (*started)->error().ToString();
  _exit(0);
}

uint64_t CommittedEpoch(lsm::DB& db, std::string* status) {
  auto table = db.GetTable("jobs");
  if (!table.ok()) return 0;
  auto iterator = *db.NewIterator(*table, {});
  auto step = *iterator->Next();
  if (step.batch == nullptr) return 0;
  *status = static_cast<const arrow::StringArray&>(*step.batch->column(2)).GetString(0);
  const auto epoch = static_cast<const arrow::Int64Array&>(*step.batch->column(3)).Value(0);
  // The newest offset is of the same epoch: they are one write. A stop adds an epoch without
  // offsets, but a kill never does.
  auto offsets = *db.NewIterator(*db.GetTable("connector_offsets"), {});
  auto row = *offsets->Next();
  if (row.batch != nullptr && *status == "running") {
    EXPECT_EQ(static_cast<const arrow::Int64Array&>(*row.batch->column(5)).Value(0), epoch);
  }
  return static_cast<uint64_t>(epoch);
}

TEST(JobCrash, NothingIsLostOrDoubledWhereverItIsKilled) {
  TempDir dir;
  const View expected = WriteRows(dir / "in", 6, 120'000, 200);
  setenv("MARBLE_CRASH_DIR", (dir / "").c_str(), 1);
  std::mt19937 random(std::random_device{}());
  int inside = 0, kills = 0;
  // Grows while kills come too early for any progress, on a slow machine.
  uint32_t most_ms = 40;
  uint64_t last_epoch = 0;
  std::string epochs;
  bool done = false;
  for (int round = 0; round < 200 && !done; ++round) {
    std::string self = fs::read_symlink("/proc/self/exe").string();
    std::string filter = "--gtest_filter=JobCrash.DISABLED_Child";
    std::string also = "--gtest_also_run_disabled_tests";
    std::string quiet = "--gtest_brief=1";
    char* args[] = {self.data(), filter.data(), also.data(), quiet.data(), nullptr};
    pid_t pid;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    ASSERT_EQ(posix_spawn(&pid, self.c_str(), &actions, nullptr, args, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    int code = 0;
    if (kills < 20) {
      // From the moment its job has started: how long a process takes to load varies.
      for (int i = 0; i < 10'000 && !fs::exists(dir / "running"); ++i) {
        std::this_thread::sleep_for(milliseconds(1));
      }
      std::this_thread::sleep_for(milliseconds(random() % most_ms));
      kill(pid, SIGKILL);
    }
    waitpid(pid, &code, 0);
    if (!WIFSIGNALED(code)) {
      ASSERT_EQ(WEXITSTATUS(code), 0) << "the child failed";
      done = true;
      continue;
    }
    ++kills;
    fs::remove(dir / "running");
    auto db = OpenDb(dir / "db");
    std::string status;
    const uint64_t epoch = CommittedEpoch(*db, &status);
    if (epoch > 0 && status == "running") ++inside;
    epochs += " " + std::to_string(epoch);
    EXPECT_GE(epoch, last_epoch) << "an acknowledged epoch is gone";
    most_ms = epoch > last_epoch ? std::max(20u, most_ms / 2) : std::min(1000u, most_ms * 3 / 2);
    last_epoch = epoch;
    ASSERT_NO_FATAL_FAILURE(ExpectOneCut(ReadView(*db, true), ReadView(*db, false)));
    ASSERT_TRUE(db->Close().ok());
  }
  ASSERT_TRUE(done);
  std::printf("killed %d times, %d inside the run, at epochs%s\n", kills, inside, epochs.c_str());
  EXPECT_GT(inside * 2, kills) << "most kills must fall inside the run";
  auto db = OpenDb(dir / "db");
  EXPECT_EQ(ReadView(*db, true), Only(expected, true));
  EXPECT_EQ(ReadView(*db, false), Only(expected, false));
  ASSERT_TRUE(db->Close().ok());
}

TEST(PlanReader, ReadsEveryFixture) {
  const fs::path dir = fs::path(MARBLE_SOURCE_DIR) / "test/fixtures/plans";
  int read = 0;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream in(entry.path());
    std::stringstream text;
    text << in.rdbuf();
    auto plan = ReadPlan(text.str());
    ASSERT_TRUE(plan.ok()) << entry.path() << ": " << plan.status().ToString();
    // And every function, cast and aggregate in it is one that this runtime has.
    auto db = *lsm::DB::Open(":memory:", {});
    GraphOptions options;
    options.results = std::make_shared<ResultQueue>();
    options.find_table = [&](const std::string& name) -> Result<lsm::TableHandle> {
      for (const auto& node : plan->nodes) {
        if (node.type != NodeType::kSink || node.table != name) continue;
        lsm::TableDescriptor table;
        table.name = name;
        table.schema = node.schema;
        for (const auto& key : node.primary_key) {
          table.key_columns.push_back(node.schema->GetFieldIndex(key));
        }
        return db->CreateTable(std::move(table), true);
      }
      return db->GetTable(name);
    };
    auto graph = Graph::Make(*plan, options);
    EXPECT_TRUE(graph.ok()) << entry.path() << ": " << graph.status().ToString();
    graph = Status::Invalid("released before the database");
    ASSERT_TRUE(db->Close().ok());
    ++read;
  }
  EXPECT_GE(read, 1);
}

}  // namespace
}  // namespace marble::stream
