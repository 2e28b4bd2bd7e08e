// Compactions of a whole database: what moves, what waits for nothing, what stops, what comes
// back. Where a test needs a compaction to be under way, its rate is set so low that it stays so.
#include <gmock/gmock.h>

#include <atomic>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "db_fixture.h"

#include "lsm/version/manifest_log.h"

namespace marble::lsm {
namespace {

using namespace testing;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kLast = limits::kNumLevels - 1;

/// Wait for something that another thread brings about. A minute is for ever.
template <typename Condition>
::testing::AssertionResult Eventually(const Condition& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) {
      return ::testing::AssertionFailure() << "not within a minute";
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return ::testing::AssertionSuccess();
}

/// All events of a database, by any thread.
class Events {
 public:
  std::function<void(const DbEvent&)> listener() {
    return [this](const DbEvent& event) {
      std::lock_guard lock(mutex_);
      events_.push_back(event);
    };
  }
  std::vector<DbEvent> Of(DbEvent::Kind kind, DbEvent::Phase phase = DbEvent::Phase::kEnd) {
    std::lock_guard lock(mutex_);
    std::vector<DbEvent> out;
    for (const DbEvent& event : events_) {
      if (event.kind == kind && event.phase == phase) out.push_back(event);
    }
    return out;
  }

 private:
  std::mutex mutex_;
  std::vector<DbEvent> events_;
};

class CompactionTest : public ::testing::Test {
 protected:
  CompactionTest() {
    options_.log_segment_bytes = 1 << 20;
    options_.level_base_bytes = 1 << 20;
    options_.target_file_bytes = 16 << 10;
    options_.max_block_ms = 60'000;
    options_.listener = events_.listener();
  }
  void Open() { db_ = Must(DB::Open(dir_.path(), options_)); }
  TableHandle State(const std::string& name) {
    return Must(db_->CreateTable(StateFamily(name), true));
  }
  static std::string Key(int i) {
    char key[16];
    std::snprintf(key, sizeof key, "k%06d", i);
    return key;
  }
  /// Keys [from, to) with a value of `size` bytes that names the round, in one batch, flushed.
  void Fill(const TableHandle& table, int from, int to, int round, size_t size = 100,
            int step = 1) {
    WriteBatch batch;
    for (int i = from; i < to; i += step) Must(batch.Put(table, Key(i), Value(i, round, size)));
    Must(db_->Write(std::move(batch), {}));
    Must(db_->Flush());
  }
  static std::string Value(int i, int round, size_t size = 100) {
    std::string value = std::to_string(round) + "/" + std::to_string(i) + "/";
    value.resize(size, 'v');
    return value;
  }
  /// Files by level, as the manifest on disk has them.
  std::map<int, std::vector<FileMeta>> Files(const std::string& table) {
    const ManifestState state =
        Must(ManifestLog::Load(io::FileSystem::Local().get(), dir_.path()))->state;
    std::map<int, std::vector<FileMeta>> out;
    for (const auto& [number, file] : state.files) {
      if (state.tables.at(file.table).name == table) out[file.level].push_back(file);
    }
    return out;
  }
  /// Names of SSTable files in the directory.
  std::set<std::string> Listing() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".arrow" || extension == ".idx") {
        names.insert(entry.path().filename().string());
      }
    }
    return names;
  }
  std::set<std::string> Named() {  // by the manifest
    std::set<std::string> names;
    const ManifestState state =
        Must(ManifestLog::Load(io::FileSystem::Local().get(), dir_.path()))->state;
    for (const auto& [number, file] : state.files) {
      names.insert(SstArrowName(number));
      names.insert(SstIdxName(number));
    }
    return names;
  }
  bool Idle() { return db_->metrics().running_compactions == 0; }
  TableMetrics MetricsOf(const std::string& name) {
    for (const auto& table : db_->metrics().tables) {
      if (table.name == name) return table;
    }
    std::abort();
  }
  /// Four overlapping flushes and a compaction of them that has begun and does not get on.
  void Stick(const TableHandle& table) {
    const uint64_t running = db_->metrics().running_compactions;
    db_->SetCompactionRate(1);
    for (int round = 0; round < 4; ++round) Fill(table, 0, 500, round);
    ASSERT_TRUE(Eventually([&] { return db_->metrics().running_compactions > running; }));
    ASSERT_TRUE(Eventually([&] { return Listing().size() > Named().size(); }));
  }

  TempDir dir_;
  Events events_;
  DbOptions options_;
  std::shared_ptr<DB> db_;
};

TEST_F(CompactionTest, AFileThatOverlapsNothingMovesWithItsMapping) {
  Open();
  auto s = State("s");
  Fill(s, 0, 100, 0);
  const auto value = Must(db_->Get(s, Key(7), {}));
  const std::vector<FileMeta> before = Files("s").at(0);
  for (int i = 1; i < 4; ++i) Fill(s, i * 100, i * 100 + 100, 0);
  ASSERT_TRUE(Eventually([&] { return !Files("s").contains(0); }));
  ASSERT_TRUE(Eventually([&] { return Idle(); }));
  const auto after = Files("s");
  ASSERT_EQ(after.at(kLast).size(), 4u);
  EXPECT_EQ(after.at(kLast)[0].number, before[0].number);
  // The very same mapping: what was read before and what is read now lie at one address.
  EXPECT_EQ(Must(db_->Get(s, Key(7), {}))->bytes.data(), value->bytes.data());
  const auto moves = events_.Of(DbEvent::Kind::kCompaction);
  ASSERT_EQ(moves.size(), 1u);
  EXPECT_EQ(moves[0].input_level, 0);
  EXPECT_EQ(moves[0].output_level, kLast);
  EXPECT_EQ(moves[0].inputs.size(), 4u);
  EXPECT_EQ(moves[0].outputs, moves[0].inputs);
  EXPECT_EQ(moves[0].bytes, 0u);
  EXPECT_EQ(db_->metrics().compactions, 0u);
  EXPECT_EQ(MetricsOf("s").levels.back().moved_files, 4u);
  EXPECT_EQ(MetricsOf("s").write_amplification, 1);
  EXPECT_EQ(Listing(), Named()) << "an old version that went took the file along";
  for (int round = 0; round < 2; ++round) {
    const Pairs pairs = ScanState(db_.get(), s);
    ASSERT_EQ(pairs.size(), 400u);
    EXPECT_EQ(pairs[123].second, Value(123, 0));
    ASSERT_OK(db_->Close());
    Open();
    s = State("s");
  }
}

TEST_F(CompactionTest, DataSpreadsOverLevelsAndReadsFindTheNewest) {
  options_.target_file_bytes = 8 << 10;
  options_.level_base_bytes = 32 << 10;
  options_.level_multiplier = 4;
  Open();
  auto s = State("s");
  std::map<std::string, std::string> model;
  std::mt19937_64 random(5);
  for (int round = 0; round < 60; ++round) {
    WriteBatch batch;
    for (int i = 0; i < 150; ++i) {
      const int k = static_cast<int>(random() % 8000);
      if (random() % 8 == 0) {
        Must(batch.Delete(s, Key(k)));
        model.erase(Key(k));
      } else {
        Must(batch.Put(s, Key(k), model[Key(k)] = Value(k, round)));
      }
    }
    Must(db_->Write(std::move(batch), {}));
    Must(db_->Flush());
  }
  ASSERT_TRUE(Eventually([&] { return Idle(); }));
  std::set<int> levels;
  for (const auto& [level, files] : Files("s")) levels.insert(level);
  levels.erase(0);
  EXPECT_GE(levels.size(), 3u) << "the test means several levels";
  for (int k = 0; k < 8000; k += 3) {
    const auto it = model.find(Key(k));
    ASSERT_EQ(GetState(db_.get(), s, Key(k)),
              it == model.end() ? std::nullopt : std::optional(it->second));
  }
  for (const bool reverse : {false, true}) {
    for (const auto& [from, to] : {std::pair(0, 8000), {1234, 1236}, {3999, 7001}, {7999, 8000}}) {
      ScanOptions scan;
      scan.reverse = reverse;
      scan.range = {Key(from), Key(to)};
      Pairs expect(model.lower_bound(Key(from)), model.lower_bound(Key(to)));
      if (reverse) std::reverse(expect.begin(), expect.end());
      ASSERT_EQ(ScanState(db_.get(), s, scan), expect);
    }
  }
  const TableMetrics m = MetricsOf("s");
  EXPECT_GT(m.compacted_bytes, 0u);
  EXPECT_GT(m.write_amplification, 1);
  uint64_t files = 0, bytes = 0;
  for (const LevelMetrics& level : m.levels) {
    files += level.files;
    bytes += level.bytes;
    if (level.level > m.base_level && level.compactions > 0) {
      EXPECT_GE(level.write_amplification, 0.5);
    }
  }
  EXPECT_EQ(files, m.sst_files);
  EXPECT_EQ(bytes, m.sst_bytes);
}

TEST_F(CompactionTest, AFlushDoesNotWaitForACompaction) {
  Open();
  auto s = State("s");
  Stick(s);
  const uint64_t flushes = db_->metrics().flushes;
  Fill(s, 0, 10, 99);
  Fill(s, 0, 10, 100);
  EXPECT_EQ(db_->metrics().flushes, flushes + 2);
  EXPECT_EQ(db_->metrics().running_compactions, 1u);
  EXPECT_EQ(GetState(db_.get(), s, Key(3)), Value(3, 100));
  db_->SetCompactionRate(0);
  ASSERT_TRUE(Eventually([&] { return Idle() && db_->metrics().compactions >= 1; }));
  EXPECT_EQ(GetState(db_.get(), s, Key(3)), Value(3, 100));
  EXPECT_EQ(GetState(db_.get(), s, Key(30)), Value(30, 3));
}

TEST_F(CompactionTest, CloseStopsARunningCompactionAndRemovesWhatItWrote) {
  Open();
  auto s = State("s");
  Stick(s);
  std::thread asks([&] {  // one that somebody waits for ends as well
    EXPECT_EQ(CodeOf(db_->Compact("s")), ErrorCode::kAborted);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto named = Named();
  ASSERT_OK(db_->Close());
  asks.join();
  EXPECT_EQ(Listing(), named);
  options_.compaction_bytes_per_second = 0;
  Open();
  s = State("s");
  EXPECT_EQ(GetState(db_.get(), s, Key(499)), Value(499, 3));
  ASSERT_OK(db_->Compact("s"));
  EXPECT_EQ(ScanState(db_.get(), s).size(), 500u);
}

TEST_F(CompactionTest, DropTableStopsItsCompactionAndTakesAllFilesAlong) {
  Open();
  auto s = State("s");
  auto other = State("other");
  Stick(s);
  std::thread asks([&] { EXPECT_EQ(CodeOf(db_->Compact("s")), ErrorCode::kTableNotFound); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ASSERT_OK(db_->DropTable("s", false));
  asks.join();
  EXPECT_TRUE(Eventually([&] { return Idle() && Listing().empty(); }));
  Fill(other, 0, 10, 1);
  EXPECT_EQ(GetState(db_.get(), other, Key(3)), Value(3, 1));
}

TEST_F(CompactionTest, CompactionsOfDisjointInputsRunAtOnceAndShareNoFile) {
  options_.max_compactions = 3;
  options_.max_subcompactions = 1;
  Open();
  auto a = State("a"), b = State("b");
  Stick(a);
  Stick(b);
  EXPECT_EQ(db_->metrics().running_compactions, 2u);
  Fill(a, 0, 500, 7);  // nothing more of `a` can go down now
  EXPECT_EQ(db_->metrics().running_compactions, 2u);
  // Told of a moment after it is counted.
  ASSERT_TRUE(Eventually(
      [&] { return events_.Of(DbEvent::Kind::kCompaction, DbEvent::Phase::kBegin).size() == 2; }));
  std::set<FileNumber> inputs;
  for (const DbEvent& begun : events_.Of(DbEvent::Kind::kCompaction, DbEvent::Phase::kBegin)) {
    for (FileNumber number : begun.inputs) EXPECT_TRUE(inputs.insert(number).second);
  }
  EXPECT_EQ(inputs.size(), 8u);
  db_->SetCompactionRate(0);
  ASSERT_TRUE(Eventually([&] { return Idle() && db_->metrics().compactions >= 2; }));
  EXPECT_EQ(GetState(db_.get(), a, Key(0)), Value(0, 7));
  EXPECT_EQ(GetState(db_.get(), b, Key(0)), Value(0, 3));
}

TEST_F(CompactionTest, SubcompactionsGiveTheSameTable) {
  Pairs expect;
  for (int parts : {1, 4}) {
    TempDir dir;
    options_.max_compactions = parts;
    options_.max_subcompactions = parts;
    auto db = Must(DB::Open(dir.path(), options_));
    auto t = Must(db->CreateTable(TypedTable("t"), false));
    std::mt19937_64 random(3);
    for (int round = 0; round < 6; ++round) {
      std::vector<TypedRow> rows;
      for (int i = 0; i < 3000; ++i) {
        const int64_t id = static_cast<int64_t>(random() % 10'000) - 5000;
        rows.push_back({id, std::to_string(id % 3), double(round), {}, {}});
      }
      WriteBatch batch;
      ASSERT_OK(batch.Insert(t, TypedBatch(rows)));
      Must(db->Write(std::move(batch), {}));
      ASSERT_OK(db->Flush());
    }
    ASSERT_OK(db->Compact("t"));
    Pairs got;
    for (const auto& batch : Must(ScanBatches(db.get(), t, {}))) {
      for (int64_t i = 0; i < batch->num_rows(); ++i) {
        const TypedRow row = TypedRowAt(*batch, i);
        got.emplace_back(std::to_string(row.id) + row.name, std::to_string(*row.score));
      }
    }
    if (expect.empty()) expect = got;
    EXPECT_TRUE(got == expect);
    EXPECT_EQ(db->metrics().tables[0].sst_rows, got.size());
  }
}

TEST_F(CompactionTest, TableFilesKeepToItsCutPoints) {
  Open();
  TableOptions table;
  table.cut_points = {Key(100), Key(250)};
  auto s = Must(db_->CreateTable(StateFamily("s", table), false));
  auto other = table;
  other.cut_points[1] = Key(251);
  EXPECT_EQ(CodeOf(db_->CreateTable(StateFamily("s", other), true).status()),
            ErrorCode::kIncompatible);
  for (auto bad : {std::vector<std::string>{"b", "a"}, {"a", "a"}, {""}}) {
    other.cut_points = bad;
    EXPECT_EQ(CodeOf(db_->CreateTable(StateFamily("bad", other), false).status()),
              ErrorCode::kInvalidArgument);
  }
  ASSERT_OK(db_->Close());
  Open();  // they are kept
  s = Must(db_->CreateTable(StateFamily("s", table), true));
  for (int round = 0; round < 2; ++round) Fill(s, 0, 400, round, 20);
  ASSERT_OK(db_->Compact("s"));
  const auto files = Files("s");
  ASSERT_EQ(files.size(), 1u);
  std::vector<std::string> begins;
  for (const FileMeta& file : files.at(kLast)) begins.push_back(file.min_key);
  std::sort(begins.begin(), begins.end());
  EXPECT_THAT(begins, ElementsAre(Key(0), Key(100), Key(250)));
}

TEST_F(CompactionTest, ReleasedSnapshotsLetGoOfTheirVersionsByThemselves) {
  Open();
  auto s = State("s");
  Fill(s, 0, 300, 0);
  auto snapshot = db_->GetSnapshot();
  Fill(s, 0, 300, 1, 100, 2);
  WriteBatch batch;
  ASSERT_OK(batch.DeleteRange(s, Key(200), ""));
  Must(db_->Write(std::move(batch), {}));
  ASSERT_OK(db_->Compact("s"));
  EXPECT_GT(MetricsOf("s").sst_rows, 300u);
  EXPECT_EQ(GetState(db_.get(), s, Key(250), {snapshot}), Value(250, 0));
  db_->GetSnapshot().reset();  // not the one that counts
  EXPECT_TRUE(Eventually([&] { return Idle(); }));
  EXPECT_GT(MetricsOf("s").sst_rows, 300u);
  snapshot.reset();
  EXPECT_TRUE(Eventually([&] { return MetricsOf("s").sst_rows == 200; }));
  ASSERT_TRUE(Eventually([&] { return Idle(); }));
  for (const auto& [level, files] : Files("s")) {
    for (const FileMeta& file : files) EXPECT_TRUE(file.clean);
  }
  EXPECT_EQ(ScanState(db_.get(), s).size(), 200u);
}

TEST_F(CompactionTest, SmallFilesOfATableWithoutAKeyAreJoinedInOrder) {
  Open();
  auto t = Must(db_->CreateTable(AppendTable("log"), false));
  std::vector<int64_t> expect;
  SnapshotRef half;
  const auto read = [&](const ReadOptions& at) {
    ScanOptions scan;
    scan.read = at;
    std::vector<int64_t> out;
    for (const auto& batch : Must(ScanBatches(db_.get(), t, scan))) {
      const auto& n = static_cast<const arrow::Int64Array&>(*batch->column(0));
      for (int64_t i = 0; i < n.length(); ++i) out.push_back(n.Value(i));
    }
    return out;
  };
  for (int round = 0; round < 40; ++round) {
    if (round == 21) half = db_->GetSnapshot();
    arrow::Int64Builder n;
    arrow::StringBuilder s;
    for (int i = 0; i < 20; ++i) {
      expect.push_back(static_cast<int64_t>(expect.size()));
      ASSERT_OK(n.Append(expect.back()));
      ASSERT_OK(s.Append("x"));
    }
    WriteBatch batch;
    ASSERT_OK(batch.Insert(t, arrow::RecordBatch::Make(AppendTable("").schema, 20,
                                                       {Must(n.Finish()), Must(s.Finish())})));
    Must(db_->Write(std::move(batch), {}));
    ASSERT_OK(db_->Flush());
  }
  ASSERT_TRUE(Eventually([&] { return Idle(); }));
  EXPECT_LT(Files("log").at(0).size(), 20u);
  EXPECT_EQ(read({}), expect);
  EXPECT_EQ(read({half}), std::vector<int64_t>(expect.begin(), expect.begin() + 420));
  EXPECT_EQ(CodeOf(db_->CompactRange("log", "a", "b", {})), ErrorCode::kInvalidArgument);
  ASSERT_OK(db_->Compact("log"));
  EXPECT_LE(Files("log").at(0).size(), 4u);
  EXPECT_EQ(read({}), expect);
  ASSERT_OK(db_->Close());
  Open();
  t = Must(db_->GetTable("log"));
  EXPECT_EQ(read({}), expect);
}

TEST_F(CompactionTest, ManyTombstonesAreMergedWithWhatTheyDelete) {
  // Right above it, and with empty levels between.
  for (const uint64_t base_bytes : {1 << 20, 32 << 10}) {
    options_.level_base_bytes = base_bytes;
    Open();
    auto s = State("s");
    for (int round = 0; round < 4; ++round) Fill(s, 0, 2000, round);
    ASSERT_OK(db_->Compact("s"));
    EXPECT_EQ(MetricsOf("s").sst_rows, 2000u);
    WriteBatch batch;
    ASSERT_OK(batch.DeleteRange(s, Key(100), Key(1900)));
    Must(db_->Write(std::move(batch), {}));
    ASSERT_OK(db_->Flush());  // one file of level 0: not due by their number
    EXPECT_TRUE(Eventually([&] { return MetricsOf("s").sst_rows == 200; })) << base_bytes;
    EXPECT_EQ(ScanState(db_.get(), s).size(), 200u);
    ASSERT_OK(db_->Close());
  }
}

TEST_F(CompactionTest, ARangeIsCompactedAndTheRestIsLeft) {
  options_.compaction_trigger = 100;  // nothing by itself, which would join the halves
  Open();
  auto s = State("s");
  for (int round = 0; round < 3; ++round) {
    Fill(s, 0, 1000, round);
    Fill(s, 1000, 2000, round);
  }
  // Two files of each round in level 0; now the upper half alone.
  std::vector<uint64_t> done;
  uint64_t last_total = 0;
  CompactOptions options;
  options.progress = [&](uint64_t now, uint64_t total) {
    EXPECT_LE(now, total);
    EXPECT_GE(total, last_total);
    if (!done.empty()) {
      EXPECT_GE(now, done.back());
    }
    done.push_back(now);
    last_total = total;
  };
  ASSERT_OK(db_->CompactRange("s", Key(1000), Key(2000), options));
  ASSERT_FALSE(done.empty());
  EXPECT_EQ(done.back(), last_total);
  EXPECT_GT(last_total, 0u);
  uint64_t rows = 0;
  for (const auto& [level, files] : Files("s")) {
    for (const FileMeta& file : files) {
      if (file.min_key < Key(1000)) continue;
      EXPECT_EQ(level, kLast);
      EXPECT_TRUE(file.clean);
      rows += file.rows;
    }
  }
  EXPECT_EQ(rows, 1000u);
  EXPECT_EQ(ScanState(db_.get(), s).size(), 2000u);
  EXPECT_EQ(CodeOf(db_->CompactRange("s", "b", "a", {})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(db_->CompactRange("s", "b", "b", {})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(db_->CompactRange("", "a", "b", {})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(db_->CompactRange("t", "", "", {})), ErrorCode::kTableNotFound);
}

TEST_F(CompactionTest, AManualCompactionRewritesTheLastLevelAsAsked) {
  Open();
  auto s = State("s");
  for (int round = 0; round < 2; ++round) Fill(s, 0, 1000, round);
  ASSERT_OK(db_->Compact("s"));
  const auto numbers = [&] {
    std::set<FileNumber> out;
    for (const auto& [level, files] : Files("s")) {
      EXPECT_EQ(level, kLast);
      for (const FileMeta& file : files) out.insert(file.number);
    }
    return out;
  };
  const auto before = numbers();
  EXPECT_GT(before.size(), 3u);
  CompactOptions options;
  ASSERT_OK(db_->CompactRange("s", "", "", options));
  EXPECT_EQ(numbers(), before) << "nothing to gain";
  options.bottommost = BottommostFiles::kRewrite;
  ASSERT_OK(db_->CompactRange("s", "", "", options));
  for (FileNumber number : numbers()) EXPECT_FALSE(before.contains(number));
  // Files that this call has written itself are not written again.
  Fill(s, 0, 1000, 2);
  const uint64_t rewritten = MetricsOf("s").compacted_bytes;
  ASSERT_OK(db_->CompactRange("s", "", "", options));
  EXPECT_LT(MetricsOf("s").compacted_bytes - rewritten, MetricsOf("s").sst_bytes * 3 / 2);
}

TEST_F(CompactionTest, AManualCompactionCanBeCancelled) {
  Open();
  auto s = State("s");
  for (int round = 0; round < 3; ++round) Fill(s, 0, 2000, round);
  db_->SetCompactionRate(1);
  CompactOptions options;
  int asked = 0;
  options.cancelled = [&] { return ++asked > 2; };
  EXPECT_EQ(CodeOf(db_->CompactRange("s", "", "", options)), ErrorCode::kAborted);
  EXPECT_GE(asked, 3);
  ASSERT_TRUE(Eventually([&] { return Idle(); }));
  EXPECT_TRUE(Eventually([&] { return Listing() == Named(); }));
  EXPECT_EQ(ScanState(db_.get(), s).size(), 2000u);
  // Also one that waits for its turn.
  Stick(s);
  auto other = State("other");
  Fill(other, 0, 10, 0);
  asked = 0;
  EXPECT_EQ(CodeOf(db_->CompactRange("other", "", "", options)), ErrorCode::kAborted);
}

TEST_F(CompactionTest, WritersAreSlowedDownThenStoppedByLevelZeroAndToldSo) {
  options_.level0_slowdown_files = 6;
  options_.level0_stop_files = 8;
  options_.max_block_ms = 20;
  Open();
  auto s = State("s");
  Stick(s);
  EXPECT_TRUE(db_->writable());
  EXPECT_EQ(db_->metrics().stall_reason, "");
  Fill(s, 0, 10, 5);
  Fill(s, 0, 10, 6);
  EXPECT_EQ(db_->metrics().stall_reason, "level0");
  EXPECT_FALSE(db_->metrics().stall_stopped);
  EXPECT_FALSE(db_->writable());
  EXPECT_THAT(events_.Of(DbEvent::Kind::kStall, DbEvent::Phase::kBegin), IsEmpty())
      << "a stall begins with the first write that it holds up";
  // So much at once takes longer than a moment at any pace.
  PutOne(db_.get(), s, Key(0), std::string(300'000, 'x'));
  DbMetrics m = db_->metrics();
  EXPECT_GT(m.delayed_writes, 0u);
  EXPECT_EQ(m.stopped_writes, 0u);
  EXPECT_GT(m.stall_micros, 0u);
  Fill(s, 0, 10, 7);
  Fill(s, 0, 10, 8);
  EXPECT_TRUE(db_->metrics().stall_stopped);
  WriteBatch batch;
  ASSERT_OK(batch.Put(s, "k", "v"));
  const Status busy = db_->Write(std::move(batch), {}).status();
  EXPECT_EQ(CodeOf(busy), ErrorCode::kBusy);
  EXPECT_THAT(MessageOf(busy), HasSubstr("level0StopFiles is 8"));
  m = db_->metrics();
  EXPECT_EQ(m.stopped_writes, 1u);
  EXPECT_EQ(m.stalls, 1u) << "one stall, slow first, then stopped";
  EXPECT_EQ(events_.Of(DbEvent::Kind::kStall, DbEvent::Phase::kBegin).size(), 1u);
  EXPECT_THAT(events_.Of(DbEvent::Kind::kStall), IsEmpty());
  db_->SetCompactionRate(0);
  ASSERT_TRUE(Eventually([&] { return events_.Of(DbEvent::Kind::kStall).size() == 1; }));
  EXPECT_GT(events_.Of(DbEvent::Kind::kStall)[0].micros, 0);
  PutOne(db_.get(), s, "k", "v");
  EXPECT_TRUE(db_->writable());
}

TEST_F(CompactionTest, AWriterThatWaitsGoesOnWhenThereIsRoom) {
  options_.level0_slowdown_files = 5;
  options_.level0_stop_files = 6;
  Open();
  auto s = State("s");
  Stick(s);
  Fill(s, 0, 10, 5);
  Fill(s, 0, 10, 6);
  ASSERT_TRUE(db_->metrics().stall_stopped);
  std::atomic<bool> written{false};
  std::thread writer([&] {
    PutOne(db_.get(), s, "k", "v");
    written = true;
  });
  ASSERT_TRUE(Eventually(
      [&] { return events_.Of(DbEvent::Kind::kStall, DbEvent::Phase::kBegin).size() == 1; }));
  EXPECT_FALSE(written);
  db_->SetCompactionRate(0);
  writer.join();
  EXPECT_EQ(GetState(db_.get(), s, "k"), "v");
}

TEST_F(CompactionTest, OptionsThatWouldHoldWritersUpForEverAreRefused) {
  const auto refused = [&](const char* what, auto change) {
    DbOptions options = options_;
    change(&options);
    const Status status = DB::Open(dir_.path(), options).status();
    EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument) << what;
    EXPECT_THAT(MessageOf(status), HasSubstr(what));
  };
  refused("compactionTrigger", [](DbOptions* o) { o->compaction_trigger = 0; });
  refused("level0SlowdownFiles", [](DbOptions* o) { o->level0_slowdown_files = 4; });
  refused("level0StopFiles", [](DbOptions* o) { o->level0_stop_files = 5; });
  refused("levelBaseBytes", [](DbOptions* o) { o->level_base_bytes = 0; });
  refused("levelMultiplier", [](DbOptions* o) { o->level_multiplier = 1; });
  refused("targetFileBytes", [](DbOptions* o) { o->target_file_bytes = 2ull << 30; });
  refused("pendingCompactionStopBytes", [](DbOptions* o) { o->pending_compaction_stop_bytes = 1; });
  refused("maxCompactions", [](DbOptions* o) { o->max_compactions = -1; });
}

}  // namespace
}  // namespace marble::lsm
