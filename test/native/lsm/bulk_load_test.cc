// Bulk loads: where the files go, what is refused, and that nobody sees a part or the wrong
// version.
#include <gtest/gtest.h>

#include "copies_fixture.h"
#include "io/fault_injection_file_system.h"
#include "io/memory_file_system.h"
#include "lsm/backup/checkpoint.h"
#include "lsm/backup/verify.h"

namespace marble::lsm {
namespace {

using namespace testing;

std::shared_ptr<arrow::RecordBatch> StateBatch(const Pairs& rows) {
  arrow::BinaryBuilder keys, values;
  for (const auto& [k, v] : rows) {
    Must(keys.Append(k));
    Must(values.Append(v));
  }
  return arrow::RecordBatch::Make(StateFamily("").schema, static_cast<int64_t>(rows.size()),
                                  {Must(keys.Finish()), Must(values.Finish())});
}

DB::BatchSource SourceOf(std::vector<std::shared_ptr<arrow::RecordBatch>> batches) {
  auto at = std::make_shared<size_t>(0);
  return [at, batches = std::move(batches)]() -> Result<std::shared_ptr<arrow::RecordBatch>> {
    return *at == batches.size() ? nullptr : batches[(*at)++];
  };
}

std::string Key(int i) {
  char text[16];
  std::snprintf(text, sizeof text, "k%06d", i);
  return text;
}

Pairs Rows(int from, int to, const std::string& value) {
  Pairs rows;
  for (int i = from; i < to; ++i) rows.emplace_back(Key(i), value);
  return rows;
}

ScanOptions At(const SnapshotRef& snapshot, bool reverse = false) {
  ScanOptions options;
  options.read.snapshot = snapshot;
  options.reverse = reverse;
  return options;
}

size_t FilesIn(const std::string& dir, const std::string& suffix) {
  size_t count = 0;
  for (const std::string& name : Must(io::FileSystem::Local()->List(dir))) {
    count += name.ends_with(suffix);
  }
  return count;
}

TEST(BulkLoadTest, GoesToTheDeepestLevelWhereItFitsAndIsNewestThere) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path(), {}));
  const auto s = Must(db->CreateTable(StateFamily("s"), true));
  const auto first = Must(db->BulkLoad(s, SourceOf({StateBatch(Rows(0, 1000, "first"))}), {}));
  EXPECT_EQ(first.level, limits::kNumLevels - 1);
  EXPECT_EQ(first.rows, 1000u);
  // Between keys of the first: above it.
  const auto second = Must(db->BulkLoad(s, SourceOf({StateBatch(Rows(500, 600, "second"))}), {}));
  EXPECT_EQ(second.level, limits::kNumLevels - 2);
  // Behind all others: as deep as it goes.
  const auto third = Must(db->BulkLoad(s, SourceOf({StateBatch(Rows(2000, 2100, "third"))}), {}));
  EXPECT_EQ(third.level, limits::kNumLevels - 1);
  // Over a flushed row, which lies in level 0.
  PutOne(db.get(), s, Key(550), "put");
  const auto fourth = Must(db->BulkLoad(s, SourceOf({StateBatch(Rows(549, 552, "fourth"))}), {}));
  EXPECT_EQ(fourth.level, 0);
  EXPECT_LT(first.sequence, second.sequence);
  EXPECT_LT(third.sequence, fourth.sequence);
  EXPECT_EQ(db->last_sequence(), fourth.sequence);
  PutOne(db.get(), s, Key(551), "last");
  Pairs want = Rows(0, 1000, "first");
  for (int i = 500; i < 600; ++i) want[static_cast<size_t>(i)].second = "second";
  for (int i = 549; i < 552; ++i) want[static_cast<size_t>(i)].second = "fourth";
  want[551].second = "last";
  for (const auto& row : Rows(2000, 2100, "third")) want.push_back(row);
  EXPECT_EQ(ScanState(db.get(), s), want);
  for (const auto& [key, value] : want) EXPECT_EQ(GetState(db.get(), s, key), value);
  ASSERT_OK(db->Compact("s"));
  EXPECT_EQ(ScanState(db.get(), s), want);
  ASSERT_OK(db->Close());
  const auto again = Must(DB::Open(dir.path(), {}));
  EXPECT_EQ(ScanState(again.get(), Must(again->GetTable("s"))), want);
  ASSERT_OK(again->Close());
  const auto report = Must(VerifyDatabase(io::FileSystem::Local(), dir.path(), {}));
  EXPECT_TRUE(report.ok());
}

TEST(BulkLoadTest, LeavesNoLogBehind) {
  const TempDir dir;
  DbOptions options;
  options.log_segment_bytes = 64 << 10;
  const auto db = Must(DB::Open(dir.path() + "/db", options));
  const auto s = Must(db->CreateTable(StateFamily("s"), true));
  for (int i = 0; i < 10; ++i) {
    ASSERT_OK(db->BulkLoad(s, SourceOf({StateBatch(Rows(i, i + 1, "v"))}), {}).status());
    if (i == 5) PutOne(db.get(), s, "other", "1");
  }
  EXPECT_LE(FilesIn(dir.path() + "/db", ".log"), 2u);  // the one in use, and the one made ahead
  PutOne(db.get(), s, "last", "1");
  ASSERT_OK(db->Checkpoint(dir.path() + "/copy", {}).status());
  const auto copy = Must(DB::Open(dir.path() + "/copy", options));
  EXPECT_EQ(ScanState(copy.get(), Must(copy->GetTable("s"))).size(), 12u);
  ASSERT_OK(db->Close());
  const auto again = Must(DB::Open(dir.path() + "/db", options));
  EXPECT_EQ(ScanState(again.get(), Must(again->GetTable("s"))).size(), 12u);
}

TEST(BulkLoadTest, UnsortedAndDuplicateRowsAreRefusedByNumberAndLeaveNothing) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path(), {}));
  const auto s = Must(db->CreateTable(StateFamily("s"), true));
  const struct {
    std::vector<Pairs> batches;
    std::string message;
  } cases[] = {
      {{{{"a", "1"}, {"c", "2"}, {"b", "3"}}}, "row 2 comes before"},
      {{{{"a", "1"}, {"b", "2"}}, {{"b", "3"}}}, "row 2 has the same key"},
      {{{{"b", "1"}}, {{"a", "2"}}}, "row 1 comes before"},
  };
  for (const auto& c : cases) {
    std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
    for (const Pairs& rows : c.batches) batches.push_back(StateBatch(rows));
    const Status status = db->BulkLoad(s, SourceOf(batches), {}).status();
    EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument);
    EXPECT_NE(MessageOf(status).find(c.message), std::string::npos) << status.ToString();
  }
  // A large one, of which files were written already.
  auto rows = Rows(0, 30'000, std::string(500, 'v'));
  std::swap(rows[29'000], rows[29'500]);
  EXPECT_FALSE(db->BulkLoad(s, SourceOf({StateBatch(rows)}), {}).ok());
  const Status schema = db->BulkLoad(s, SourceOf({LogRow(1, "x")}), {}).status();
  EXPECT_EQ(CodeOf(schema), ErrorCode::kSchema) << schema.ToString();
  const Status broken = db->BulkLoad(s,
                                     []() -> Result<std::shared_ptr<arrow::RecordBatch>> {
                                       return MakeError(ErrorCode::kIo, "the source broke");
                                     },
                                     {})
                            .status();
  EXPECT_EQ(CodeOf(broken), ErrorCode::kIo);
  EXPECT_TRUE(ScanState(db.get(), s).empty());
  EXPECT_EQ(FilesIn(dir.path(), ".arrow"), 0u);
  EXPECT_EQ(FilesIn(dir.path(), ".idx"), 0u);
}

TEST(BulkLoadTest, OlderSnapshotsDoNotSeeItNorDoesCompactionShowItToThem) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path(), {}));
  const auto s = Must(db->CreateTable(StateFamily("s"), true));
  PutOne(db.get(), s, Key(1), "old");
  const SnapshotRef before = db->GetSnapshot();
  SnapshotRef during;
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches{StateBatch(Rows(0, 2, "new")), nullptr};
  size_t at = 0;
  ASSERT_OK(db->BulkLoad(s,
                         [&]() -> Result<std::shared_ptr<arrow::RecordBatch>> {
                           PutOne(db.get(), s, "other", "1");
                           during = db->GetSnapshot();
                           return batches[at++];
                         },
                         {})
                .status());
  const auto check = [&] {
    const Pairs old{{Key(1), "old"}};
    EXPECT_EQ(ScanState(db.get(), s, At(before)), old);
    EXPECT_EQ(GetState(db.get(), s, Key(0), {before}), std::nullopt);
    EXPECT_EQ(GetState(db.get(), s, Key(1), {before}), "old");
    EXPECT_EQ(ScanState(db.get(), s, At(during)), (Pairs{{Key(1), "old"}, {"other", "1"}}));
    EXPECT_EQ(GetState(db.get(), s, Key(0), {during}), std::nullopt);
    EXPECT_EQ(ScanState(db.get(), s, At(before, true)), old);
    EXPECT_EQ(ScanState(db.get(), s), (Pairs{{Key(0), "new"}, {Key(1), "new"}, {"other", "1"}}));
  };
  check();
  ASSERT_OK(db->Compact("s"));
  check();
}

TEST(BulkLoadTest, UnflushedWritesToItsRowsAreOlderAndLaterOnesNewer) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path(), {}));
  const auto s = Must(db->CreateTable(StateFamily("s"), true));
  PutOne(db.get(), s, Key(5), "before");
  WriteBatch range;
  ASSERT_OK(range.DeleteRange(s, Key(0), Key(3)));
  ASSERT_OK(db->Write(std::move(range), {}).status());
  // Written while the files are being written: older as well.
  size_t at = 0;
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches{StateBatch(Rows(0, 10, "bulk")),
                                                           nullptr};
  ASSERT_OK(db->BulkLoad(s,
                         [&]() -> Result<std::shared_ptr<arrow::RecordBatch>> {
                           PutOne(db.get(), s, Key(6), "meanwhile");
                           return batches[at++];
                         },
                         {})
                .status());
  EXPECT_EQ(ScanState(db.get(), s), Rows(0, 10, "bulk"));
  WriteBatch later;
  ASSERT_OK(later.DeleteRange(s, Key(8), ""));
  ASSERT_OK(db->Write(std::move(later), {}).status());
  PutOne(db.get(), s, Key(7), "after");
  Pairs want = Rows(0, 8, "bulk");
  want[7].second = "after";
  EXPECT_EQ(ScanState(db.get(), s), want);
  ASSERT_OK(db->Flush());
  EXPECT_EQ(ScanState(db.get(), s), want);
}

TEST(BulkLoadTest, KeepsTheOrderOfATableWithoutAKey) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path(), {}));
  const auto log = Must(db->CreateTable(AppendTable("log"), true));
  const auto append = [&](int64_t n) {
    WriteBatch batch;
    ASSERT_OK(batch.Insert(log, LogRow(n, "w")));
    ASSERT_OK(db->Write(std::move(batch), {}).status());
  };
  append(1);
  ASSERT_OK(db->BulkLoad(log, SourceOf({LogRow(3, "b"), LogRow(2, "b")}), {}).status());
  append(4);
  ASSERT_OK(db->Flush());
  ASSERT_OK(db->BulkLoad(log, SourceOf({LogRow(5, "b")}), {}).status());
  std::vector<int64_t> numbers;
  for (const auto& batch : Must(ScanBatches(db.get(), log, {}))) {
    const auto& n = static_cast<const arrow::Int64Array&>(*batch->column(0));
    for (int64_t i = 0; i < n.length(); ++i) numbers.push_back(n.Value(i));
  }
  EXPECT_EQ(numbers, (std::vector<int64_t>{1, 3, 2, 4, 5}));
}

TEST(BulkLoadTest, ExpiringRowsExpireAndUnloggedTablesAreRefused) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path(), {}));
  TableOptions options;
  options.logged = false;
  const auto u = Must(db->CreateTable(StateFamily("u", options), true));
  EXPECT_EQ(CodeOf(db->BulkLoad(u, SourceOf({StateBatch({{"a", "1"}})}), {}).status()),
            ErrorCode::kInvalidArgument);
  options.logged = true;
  options.ttl_ms = 3'600'000;
  const auto e = Must(db->CreateTable(StateFamily("e", options), true));
  ASSERT_OK(db->BulkLoad(e, SourceOf({StateBatch({{"a", "1"}})}), {}).status());
  EXPECT_EQ(GetState(db.get(), e, "a"), "1");
}

TEST(BulkLoadTest, FitsBetweenRandomWritersFlushesAndCompactions) {
  // Loads go to keys of their own and to keys that writers use too; then the table is the model.
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    const TempDir dir;
    const auto db = Must(DB::Open(dir.path(), SmallOptions()));
    const auto a = Must(db->CreateTable(StateFamily("a"), true));
    std::mt19937_64 random(seed);
    std::map<std::string, std::string> model;
    for (int step = 0; step < 60; ++step) {
      const std::string value = std::to_string(step) + std::string(random() % 300, 'v');
      const int from = static_cast<int>(random() % 2000);
      const int to = from + 1 + static_cast<int>(random() % 300);
      if (random() % 3 == 0) {
        ASSERT_OK(db->BulkLoad(a, SourceOf({StateBatch(Rows(from, to, value))}), {}).status());
        for (const auto& [k, v] : Rows(from, to, value)) model[k] = v;
      } else {
        WriteBatch batch;
        for (int i = from; i < to; ++i) {
          if (random() % 8 == 0) {
            ASSERT_OK(batch.Delete(a, Key(i)));
            model.erase(Key(i));
          } else {
            ASSERT_OK(batch.Put(a, Key(i), value));
            model[Key(i)] = value;
          }
        }
        ASSERT_OK(db->Write(std::move(batch), {}).status());
      }
      if (random() % 10 == 0) {
        const Pairs want(model.begin(), model.end());
        ASSERT_EQ(ScanState(db.get(), a), want);
      }
    }
    EXPECT_GT(db->metrics().compactions, 0u);
    const Pairs want(model.begin(), model.end());
    EXPECT_EQ(ScanState(db.get(), a), want);
    ASSERT_OK(db->Close());
    EXPECT_TRUE(Must(VerifyDatabase(io::FileSystem::Local(), dir.path(), {})).ok());
    const auto again = Must(DB::Open(dir.path(), SmallOptions()));
    EXPECT_EQ(ScanState(again.get(), Must(again->GetTable("a"))), want);
  }
}

TEST(BulkLoadTest, AgainstWritersOfTheSameRowsTheSequenceDecides) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path(), SmallOptions()));
  const auto a = Must(db->CreateTable(StateFamily("a"), true));
  std::mutex mutex;
  std::map<SequenceNumber, Pairs> history;  // what was put under each sequence
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int thread = 0; thread < 2; ++thread) {
    writers.emplace_back([&, thread] {
      std::mt19937_64 random(static_cast<uint64_t>(thread));
      for (int i = 0; !stop; ++i) {
        // Bursts, between which a load gets its turn.
        if (i % 200 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
        const std::string key = Key(static_cast<int>(random() % 500));
        const std::string value = std::to_string(thread) + "/" + std::to_string(i);
        WriteBatch batch;
        Must(batch.Put(a, key, value));
        const SequenceNumber sequence = Must(db->Write(std::move(batch), {}));
        std::lock_guard lock(mutex);
        history[sequence] = {{key, value}};
      }
    });
  }
  int loaded = 0;
  for (int i = 0; i < 25; ++i) {
    const Pairs rows = Rows(i * 20, i * 20 + 40, "bulk" + std::to_string(i));
    const auto info = db->BulkLoad(a, SourceOf({StateBatch(rows)}), {});
    if (!info.ok()) {
      EXPECT_EQ(CodeOf(info.status()), ErrorCode::kBusy) << info.status().ToString();
      continue;
    }
    ++loaded;
    std::lock_guard lock(mutex);
    EXPECT_TRUE(history.emplace(info->sequence, rows).second);
  }
  stop = true;
  for (auto& thread : writers) thread.join();
  EXPECT_GT(loaded, 0);
  std::map<std::string, std::string> model;
  for (const auto& [sequence, rows] : history) {
    for (const auto& [k, v] : rows) model[k] = v;
  }
  const Pairs want(model.begin(), model.end());
  EXPECT_EQ(ScanState(db.get(), a), want);
  ASSERT_OK(db->Flush());
  ASSERT_OK(db->Compact(""));
  EXPECT_EQ(ScanState(db.get(), a), want);
}

TEST(BulkLoadTest, IsThereAsAWholeOrNotAtAllAfterAPowerLoss) {
  const auto make = [] {
    auto memory = std::make_shared<io::MemoryFileSystem>();
    Must(memory->CreateDirs("/disk"));
    return Must(io::FaultInjectionFileSystem::Make(memory, "/disk", {}));
  };
  const auto run = [](const std::shared_ptr<io::FaultInjectionFileSystem>& files,
                      const std::function<void()>& before) -> Status {
    DbOptions options = SmallOptions();
    options.file_system = files;
    MARBLE_ASSIGN_OR_RETURN(const auto db, DB::Open("/disk/db", options));
    MARBLE_ASSIGN_OR_RETURN(const auto s, db->CreateTable(StateFamily("s"), true));
    MARBLE_RETURN_NOT_OK(files->SyncDir("/disk"));  // the database's own folder
    before();
    return db->BulkLoad(s, SourceOf({StateBatch(Rows(0, 2000, std::string(50, 'v')))}), {})
        .status();
  };
  auto counted = make();
  uint64_t before = 0;
  ASSERT_OK(run(counted, [&] { before = counted->total_calls(); }));
  const uint64_t calls = counted->total_calls() - before;
  int whole = 0, absent = 0;
  for (uint64_t at = 1; at <= calls; ++at) {
    SCOPED_TRACE(at);
    auto files = make();
    const bool acknowledged = run(files, [&] { files->LosePowerAt(at, at); }).ok();
    if (!files->power_lost()) files->LosePower(at);
    auto disk = std::make_shared<io::MemoryFileSystem>();
    ASSERT_OK(files->Restore(disk.get(), "/disk"));
    DbOptions options = SmallOptions();
    options.file_system = disk;
    const auto db = Must(DB::Open("/disk/db", options));
    const size_t rows = ScanState(db.get(), Must(db->CreateTable(StateFamily("s"), true))).size();
    EXPECT_TRUE(rows == 2000 || (rows == 0 && !acknowledged)) << rows;
    ++(rows == 0 ? absent : whole);
  }
  EXPECT_GT(whole, 0);
  EXPECT_GT(absent, 0);
}

}  // namespace
}  // namespace marble::lsm
