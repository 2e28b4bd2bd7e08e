// What db.h promises, one promise a test.
#include "lsm/db.h"

#include <gmock/gmock.h>

#include <fstream>
#include <thread>

#include "db_fixture.h"

namespace marble::lsm {
namespace {

using namespace testing;
using ::testing::HasSubstr;

TEST(Db, GivesBackWhatWasPutAcrossFlushAndReopen) {
  TempDir dir;
  for (int round = 0; round < 3; ++round) {
    auto db = Must(DB::Open(dir.path(), {}));
    auto table = Must(db->CreateTable(StateFamily("s"), true));
    for (int i = 0; i < 1000; ++i) {
      if (round > 0) {
        ASSERT_EQ(GetState(db.get(), table, "k" + std::to_string(i)),
                  "v" + std::to_string(i) + "/" + std::to_string(round - 1));
      }
      PutOne(db.get(), table, "k" + std::to_string(i),
             "v" + std::to_string(i) + "/" + std::to_string(round));
    }
    if (round == 1) ASSERT_OK(db->Flush());
    ASSERT_EQ(GetState(db.get(), table, "k7"), "v7/" + std::to_string(round));
    ASSERT_EQ(GetState(db.get(), table, "absent"), std::nullopt);
    ASSERT_OK(db->Close());
    ASSERT_OK(db->Close());
    ASSERT_EQ(CodeOf(db->Get(table, "k", {}).status()), ErrorCode::kClosed);
  }
}

TEST(Db, FlushLeavesOneSegmentAndNoMemtable) {
  TempDir dir;
  auto db = Must(DB::Open(dir.path(), {}));
  auto table = Must(db->CreateTable(StateFamily("s"), false));
  PutOne(db.get(), table, "a", "1");
  ASSERT_OK(db->Flush());
  const DbMetrics m = db->metrics();
  EXPECT_EQ(m.log_bytes, 0u);
  ASSERT_EQ(m.tables.size(), 1u);
  EXPECT_EQ(m.tables[0].memtable_rows, 0u);
  EXPECT_EQ(m.tables[0].sst_files, 1u);
  EXPECT_EQ(m.tables[0].sst_rows, 1u);
  int logs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    logs += entry.path().extension() == ".log";
  }
  EXPECT_EQ(logs, 1);
}

TEST(Db, LastOfSeveralOperationsOnOneKeyWins) {
  TempDir dir;
  auto db = Must(DB::Open(dir.path(), {}));
  auto s = Must(db->CreateTable(StateFamily("s"), false));
  auto t = Must(db->CreateTable(TypedTable("t"), false));
  PutOne(db.get(), s, "b", "old");
  WriteBatch batch;
  ASSERT_OK(batch.Put(s, "a", "1"));
  ASSERT_OK(batch.Put(s, "a", "2"));
  ASSERT_OK(batch.Put(s, "c", "gone"));
  ASSERT_OK(batch.DeleteRange(s, "b", "d"));
  ASSERT_OK(batch.Put(s, "cc", "kept"));
  ASSERT_OK(batch.Delete(s, "a"));
  ASSERT_OK(batch.Put(s, "a", "3"));
  ASSERT_OK(batch.Insert(t, TypedBatch({{1, "x", 1.0, "first", true},
                                        {2, "y", 2.0, "in range", {}},
                                        {1, "x", 3.0, "second", false}})));
  ASSERT_OK(batch.DeleteRange(t, TypedKey(t, 2, ""), TypedKey(t, 3, "")));
  ASSERT_OK(batch.Insert(t, TypedBatch({{2, "z", {}, {}, {}}})));
  Must(db->Write(std::move(batch), {}));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(ScanState(db.get(), s), (Pairs{{"a", "3"}, {"cc", "kept"}}));
    const auto rows = Must(ScanBatches(db.get(), t, {}));
    ASSERT_EQ(rows.size(), 1u);
    ASSERT_EQ(rows[0]->num_rows(), 2);
    EXPECT_EQ(TypedRowAt(*rows[0], 0), (TypedRow{1, "x", 3.0, "second", false}));
    EXPECT_EQ(TypedRowAt(*rows[0], 1), (TypedRow{2, "z", {}, {}, {}}));
    ASSERT_OK(db->Flush());
  }
}

TEST(Db, ArrowRowsLieInTheLogAndAreAligned) {
  TempDir dir;
  auto db = Must(DB::Open(dir.path(), {}));
  auto table = Must(db->CreateTable(TypedTable("t"), false));
  std::vector<TypedRow> rows;
  for (int64_t i = 0; i < 5000; ++i)
    rows.push_back({i, "n" + std::to_string(i), i * 0.5, {}, i % 2 == 0});
  WriteBatch batch;
  // A slice that begins within a byte of the bitmaps.
  ASSERT_OK(batch.Insert(table, TypedBatch(rows)->Slice(13, 4000)));
  Must(db->Write(std::move(batch), {}));
  for (int64_t i : {13, 14, 500, 4012}) {
    const auto found = Must(db->GetRow(table, TypedKey(table, i, "n" + std::to_string(i)), {}));
    ASSERT_TRUE(found);
    EXPECT_EQ(TypedRowAt(*found->batch, found->row), rows[i]);
    const auto& ids = *found->batch->column_data(1)->buffers[1];
    EXPECT_EQ(ids.address() % 64, 0u);
    const auto again = Must(db->GetRow(table, TypedKey(table, i, "n" + std::to_string(i)), {}));
    EXPECT_EQ(again->batch->column_data(1)->buffers[1]->address(), ids.address());
  }
  EXPECT_FALSE(Must(db->GetRow(table, TypedKey(table, 12, "n12"), {})));
}

TEST(Db, OneCleanFileIsScannedWithoutACopy) {
  TempDir dir;
  auto db = Must(DB::Open(dir.path(), {}));
  auto table = Must(db->CreateTable(TypedTable("t"), false));
  std::vector<TypedRow> rows;
  for (int64_t i = 0; i < 100'000; ++i) rows.push_back({i, "n", double(i), {}, {}});
  WriteBatch batch;
  ASSERT_OK(batch.Insert(table, TypedBatch(rows)));
  Must(db->Write(std::move(batch), {}));
  ASSERT_OK(db->Flush());
  auto it = Must(db->NewIterator(table, {}));
  int64_t seen = 0;
  for (ScanBatch step = Must(it->Next()); step.batch != nullptr; step = Must(it->Next())) {
    ASSERT_NE(step.sst, nullptr);
    const auto& buffer = *step.batch->column_data(1)->buffers[1];
    EXPECT_GE(buffer.data(), step.sst->file()->data());
    EXPECT_LE(buffer.data() + buffer.size(), step.sst->file()->data() + step.sst->file()->size());
    seen += step.batch->num_rows();
  }
  EXPECT_EQ(seen, 100'000);
  EXPECT_EQ(db->metrics().merged_batches, 0u);
  // A few newer rows in the middle cost a merge there only.
  WriteBatch patch;
  ASSERT_OK(patch.Insert(table, TypedBatch({{50'000, "n", -1.0, {}, {}}})));
  Must(db->Write(std::move(patch), {}));
  it = Must(db->NewIterator(table, {}));
  int64_t sliced = 0, merged = 0;
  for (ScanBatch step = Must(it->Next()); step.batch != nullptr; step = Must(it->Next())) {
    (step.sst != nullptr ? sliced : merged) += step.batch->num_rows();
  }
  EXPECT_EQ(sliced + merged, 100'000);
  EXPECT_GT(sliced, 90'000);
  EXPECT_GE(merged, 1);
}

TEST(Db, SnapshotSeesItsMomentThroughFlushAndCompaction) {
  TempDir dir;
  auto db = Must(DB::Open(dir.path(), {}));
  auto s = Must(db->CreateTable(StateFamily("s"), false));
  PutOne(db.get(), s, "a", "1");
  PutOne(db.get(), s, "b", "1");
  ReadOptions then{db->GetSnapshot()};
  PutOne(db.get(), s, "a", "2");
  WriteBatch batch;
  ASSERT_OK(batch.DeleteRange(s, "b", ""));
  Must(db->Write(std::move(batch), {}));
  PutOne(db.get(), s, "c", "2");
  const auto check = [&] {
    EXPECT_EQ(GetState(db.get(), s, "a", then), "1");
    EXPECT_EQ(GetState(db.get(), s, "b", then), "1");
    EXPECT_EQ(GetState(db.get(), s, "c", then), std::nullopt);
    EXPECT_EQ(GetState(db.get(), s, "a"), "2");
    EXPECT_EQ(GetState(db.get(), s, "b"), std::nullopt);
    ScanOptions options;
    options.read = then;
    EXPECT_EQ(ScanState(db.get(), s, options), (Pairs{{"a", "1"}, {"b", "1"}}));
    options.reverse = true;
    EXPECT_EQ(ScanState(db.get(), s, options), (Pairs{{"b", "1"}, {"a", "1"}}));
    EXPECT_EQ(ScanState(db.get(), s), (Pairs{{"a", "2"}, {"c", "2"}}));
  };
  check();
  ASSERT_OK(db->Flush());
  check();
  PutOne(db.get(), s, "d", "3");
  ASSERT_OK(db->Compact("s"));
  EXPECT_EQ(GetState(db.get(), s, "b", then), "1");
  EXPECT_EQ(GetState(db.get(), s, "d", then), std::nullopt);
  then.snapshot.reset();
  ASSERT_OK(db->Compact(""));
  EXPECT_EQ(ScanState(db.get(), s), (Pairs{{"a", "2"}, {"c", "2"}, {"d", "3"}}));
  EXPECT_EQ(db->metrics().tables[0].sst_rows, 3u);
}

TEST(Db, TableWithoutKeyKeepsTheOrderOfWriting) {
  TempDir dir;
  auto db = Must(DB::Open(dir.path(), {}));
  auto t = Must(db->CreateTable(AppendTable("log"), false));
  int64_t next = 0;
  SnapshotRef half;
  for (int b = 0; b < 20; ++b) {
    if (b == 10) half = db->GetSnapshot();
    arrow::Int64Builder n;
    arrow::StringBuilder s;
    for (int i = 0; i < 100; ++i, ++next) {
      ASSERT_OK(n.Append(next));
      ASSERT_OK(s.Append(std::to_string(next)));
    }
    WriteBatch batch;
    ASSERT_OK(batch.Insert(t, arrow::RecordBatch::Make(AppendTable("").schema, 100,
                                                       {Must(n.Finish()), Must(s.Finish())})));
    Must(db->Write(std::move(batch), {}));
    if (b == 7 || b == 14) ASSERT_OK(db->Flush());
  }
  const auto values = [&](ScanOptions options) {
    std::vector<int64_t> out;
    for (const auto& batch : Must(ScanBatches(db.get(), t, options))) {
      const auto& n = static_cast<const arrow::Int64Array&>(*batch->column(0));
      for (int64_t i = 0; i < n.length(); ++i) out.push_back(n.Value(i));
    }
    return out;
  };
  std::vector<int64_t> all(2000);
  for (int64_t i = 0; i < 2000; ++i) all[i] = i;
  EXPECT_EQ(values({}), all);
  ScanOptions options;
  options.read.snapshot = half;
  EXPECT_EQ(values(options), std::vector<int64_t>(all.begin(), all.begin() + 1000));
  options.limit = 250;
  EXPECT_EQ(values(options), std::vector<int64_t>(all.begin(), all.begin() + 250));
  options.reverse = true;
  EXPECT_EQ(values(options), std::vector<int64_t>(all.rbegin() + 1000, all.rbegin() + 1250));
  WriteBatch batch;
  EXPECT_EQ(CodeOf(batch.Delete(t, "x")), ErrorCode::kInvalidArgument);
}

TEST(Db, CatalogSurvivesAndNamesDifferences) {
  TempDir dir;
  {
    auto db = Must(DB::Open(dir.path(), {}));
    Must(db->CreateTable(TypedTable("t"), false));
    EXPECT_EQ(CodeOf(db->CreateTable(TypedTable("t"), false).status()), ErrorCode::kTableExists);
    Must(db->CreateTable(StateFamily("gone"), false));
    ASSERT_OK(db->DropTable("gone", false));
    EXPECT_EQ(CodeOf(db->DropTable("gone", false)), ErrorCode::kTableNotFound);
    ASSERT_OK(db->DropTable("gone", true));
  }
  auto db = Must(DB::Open(dir.path(), {}));
  ASSERT_EQ(db->ListTables().size(), 1u);
  Must(db->CreateTable(TypedTable("t"), true));
  auto other = TypedTable("t");
  other.key_columns = {1};
  const Status status = db->CreateTable(other, true).status();
  EXPECT_EQ(CodeOf(status), ErrorCode::kIncompatible);
  EXPECT_THAT(MessageOf(status), HasSubstr("primary key is (id, name), not (id)"));
  auto dictionary = AppendTable("d");
  dictionary.schema =
      arrow::schema({arrow::field("d", arrow::dictionary(arrow::int32(), arrow::utf8()))});
  EXPECT_EQ(CodeOf(db->CreateTable(dictionary, false).status()), ErrorCode::kNotSupported);
}

TEST(Db, InsertRefusesAnotherSchemaByName) {
  TempDir dir;
  auto db = Must(DB::Open(dir.path(), {}));
  auto t = Must(db->CreateTable(TypedTable("t"), false));
  WriteBatch batch;
  const Status status = batch.Insert(t, KeyBatch({{1, "a"}}));
  EXPECT_EQ(CodeOf(status), ErrorCode::kSchema);
  auto columns = TypedBatch({{1, "a", {}, {}, {}}})->columns();
  columns[3] = Must(arrow::MakeArrayOfNull(arrow::utf8(), 1));
  const Status nulls = batch.Insert(t, arrow::RecordBatch::Make(TypedTable("").schema, 1, columns));
  EXPECT_EQ(CodeOf(nulls), ErrorCode::kSchema);
  EXPECT_THAT(MessageOf(nulls), HasSubstr("'name'"));
  EXPECT_TRUE(batch.empty());
}

TEST(Db, DroppedTableTakesItsFilesAlong) {
  TempDir dir;
  auto db = Must(DB::Open(dir.path(), {}));
  auto s = Must(db->CreateTable(StateFamily("s"), false));
  PutOne(db.get(), s, "a", "1");
  ASSERT_OK(db->Flush());
  PutOne(db.get(), s, "b", "2");  // in the log when the table goes
  ASSERT_OK(db->DropTable("s", false));
  EXPECT_EQ(CodeOf(db->Get(s, "a", {}).status()), ErrorCode::kTableNotFound);
  WriteBatch late;
  EXPECT_EQ(CodeOf(late.Put(s, "a", "1")), ErrorCode::kTableNotFound);
  auto again = Must(db->CreateTable(StateFamily("s"), false));
  EXPECT_EQ(GetState(db.get(), again, "a"), std::nullopt);
  ASSERT_OK(db->Close());
  db = Must(DB::Open(dir.path(), {}));
  again = Must(db->GetTable("s"));
  EXPECT_EQ(ScanState(db.get(), again), Pairs{});
  ASSERT_OK(db->Flush());
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    EXPECT_NE(entry.path().extension(), ".arrow");
  }
}

TEST(Db, SecondOpenIsLockedAndSharedOpenIsOne) {
  TempDir dir;
  auto db = Must(DB::OpenShared(dir.path(), {}));
  EXPECT_EQ(CodeOf(DB::Open(dir.path(), {}).status()), ErrorCode::kLocked);
  EXPECT_EQ(Must(DB::OpenShared(dir.path() + "/.", {})).get(), db.get());
  DbOptions other;
  other.compaction_trigger = 99;
  const Status status = DB::OpenShared(dir.path(), other).status();
  EXPECT_EQ(CodeOf(status), ErrorCode::kIncompatible);
  EXPECT_THAT(MessageOf(status), HasSubstr("compactionTrigger"));
  ASSERT_OK(db->Close());
  EXPECT_NE(Must(DB::OpenShared(dir.path(), other)).get(), db.get());
}

TEST(Db, MemoryDatabaseLeavesNothing) {
  const auto names = [] {
    std::set<std::string> out;
    for (const char* root : {"/dev/shm", "/tmp"}) {
      for (const auto& entry : std::filesystem::directory_iterator(root)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with("marbledb-")) out.insert(name);
      }
    }
    return out;
  };
  const auto before = names();
  PinnedValue kept;
  {
    auto db = Must(DB::Open(":memory:", {}));
    auto s = Must(db->CreateTable(StateFamily("s"), false));
    PutOne(db.get(), s, "a", "1");
    ASSERT_OK(db->Flush());
    EXPECT_EQ(GetState(db.get(), s, "a"), "1");
    kept = *Must(db->Get(s, "a", {}));
    auto second = Must(DB::Open(":memory:", {}));
    EXPECT_TRUE(second->ListTables().empty());
    EXPECT_EQ(names(), before);
  }
  EXPECT_EQ(kept.bytes, "1") << "what was read outlives the database";
}

TEST(Db, APrefixChoosesTheFileSystem) {
  TempDir dir;
  {
    auto db = Must(DB::OpenShared("file://" + dir.path(), {}));
    EXPECT_EQ(Must(DB::OpenShared(dir.path(), {})).get(), db.get());
    PutOne(db.get(), Must(db->CreateTable(StateFamily("s"), false)), "a", "1");
  }
  auto local = Must(DB::Open(dir.path(), {}));
  EXPECT_EQ(GetState(local.get(), Must(local->GetTable("s")), "a"), "1");
  {
    auto db = Must(DB::OpenShared("mem://prefix-test/db", {}));
    EXPECT_EQ(Must(DB::OpenShared("mem://prefix-test//db/", {})).get(), db.get());
    PutOne(db.get(), Must(db->CreateTable(StateFamily("s"), false)), "a", "2");
    ASSERT_OK(db->Close());
  }
  // It lives as long as the process does.
  auto memory = Must(DB::Open("mem://prefix-test/db", {}));
  EXPECT_EQ(GetState(memory.get(), Must(memory->GetTable("s")), "a"), "2");
  EXPECT_EQ(CodeOf(DB::Open("mem://prefix-test/db", {}).status()), ErrorCode::kLocked);

  const Status unknown = DB::Open("s4://bucket/db", {}).status();
  EXPECT_EQ(CodeOf(unknown), ErrorCode::kInvalidArgument);
  EXPECT_THAT(unknown.message(),
              ::testing::AllOf(HasSubstr("s4://"), HasSubstr("file://, mem://")));
}

TEST(Db, SmallSegmentsFlushAndCompactBehindTheWriter) {
  TempDir dir;
  DbOptions options;
  options.log_segment_bytes = 256 << 10;
  options.compaction_trigger = 3;
  options.max_block_ms = 20'000;
  auto db = Must(DB::Open(dir.path(), options));
  auto s = Must(db->CreateTable(StateFamily("s"), false));
  const std::string value(200, 'v');
  for (int i = 0; i < 30'000; ++i) {
    PutOne(db.get(), s, "key" + std::to_string(i * 7919 % 5000), value + std::to_string(i));
  }
  ASSERT_OK(db->Compact("s"));
  const DbMetrics m = db->metrics();
  EXPECT_GE(m.flushes, 10u);
  EXPECT_GE(m.compactions, 1u);
  EXPECT_EQ(m.tables[0].sst_rows, 5000u);
  EXPECT_EQ(ScanState(db.get(), s).size(), 5000u);
}

TEST(Db, WriterGetsBusyWhenFlushesDoNotKeepUp) {
  TempDir dir;
  DbOptions options;
  options.log_segment_bytes = 64 << 10;
  options.max_immutable_generations = 1;
  options.max_block_ms = 1;
  std::atomic<bool> slow{true};
  options.listener = [&](const DbEvent& event) {
    while (event.kind == DbEvent::Kind::kFlush && slow) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  auto db = Must(DB::Open(dir.path(), options));
  auto s = Must(db->CreateTable(StateFamily("s"), false));
  Status busy;
  for (int i = 0; i < 100'000 && busy.ok(); ++i) {
    WriteBatch batch;
    ASSERT_OK(batch.Put(s, "k" + std::to_string(i), std::string(500, 'x')));
    busy = db->Write(std::move(batch), {}).status();
  }
  slow = false;
  EXPECT_EQ(CodeOf(busy), ErrorCode::kBusy);
  EXPECT_THAT(MessageOf(busy), HasSubstr("within maxBlockMs (1 ms); try again"));
  ASSERT_OK(db->Flush());
  PutOne(db.get(), s, "after", "1");
}

TEST(Db, FailedFlushMakesTheDatabaseReadOnlyUntilReopened) {
  TempDir dir;
  std::atomic<int> errors{0};
  DbOptions options;
  options.listener = [&](const DbEvent& event) {
    errors += event.kind == DbEvent::Kind::kBackgroundError;
  };
  auto db = Must(DB::Open(dir.path(), options));
  auto s = Must(db->CreateTable(StateFamily("s"), false));
  PutOne(db.get(), s, "a", "1");
  // A directory where the flush wants to create its file.
  std::filesystem::create_directory(dir.path() + "/000001.arrow");
  EXPECT_EQ(CodeOf(db->Flush()), ErrorCode::kReadOnly);
  WriteBatch batch;
  ASSERT_OK(batch.Put(s, "b", "2"));
  EXPECT_EQ(CodeOf(db->Write(std::move(batch), {}).status()), ErrorCode::kReadOnly);
  EXPECT_FALSE(db->writable());
  EXPECT_EQ(errors, 1);
  EXPECT_EQ(GetState(db.get(), s, "a"), "1");
  ASSERT_OK(db->Close());
  std::filesystem::remove(dir.path() + "/000001.arrow");
  db = Must(DB::Open(dir.path(), {}));
  s = Must(db->GetTable("s"));
  PutOne(db.get(), s, "b", "2");
  ASSERT_OK(db->Flush());
  EXPECT_EQ(ScanState(db.get(), s), (Pairs{{"a", "1"}, {"b", "2"}}));
}

/// A copy of a database's directory as a crash would leave it.
std::unique_ptr<TempDir> CrashCopy(const TempDir& dir) {
  auto copy = std::make_unique<TempDir>();
  std::filesystem::copy(dir.path(), copy->path(), std::filesystem::copy_options::recursive);
  return copy;
}

std::string OnlyLog(const std::string& dir) {
  std::string found;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().extension() == ".log") found = entry.path().string();
  }
  return found;
}

TEST(Db, DamagedLogIsCorruptionUnlessTruncationIsAskedFor) {
  TempDir dir;
  auto db = Must(DB::Open(dir.path(), {}));
  auto s = Must(db->CreateTable(StateFamily("s"), false));
  for (int i = 0; i < 100; ++i)
    PutOne(db.get(), s, "key" + std::to_string(i), "value-of-" + std::to_string(i) + ".");
  const auto crashed = CrashCopy(dir);
  const std::string log = OnlyLog(crashed->path());
  std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const size_t at = bytes.find("value-of-50.");
  ASSERT_NE(at, std::string::npos);
  file.clear();
  file.seekp(static_cast<std::streamoff>(at));
  file.put('X');
  file.close();
  const Status refused = DB::Open(crashed->path(), {}).status();
  EXPECT_EQ(CodeOf(refused), ErrorCode::kCorruption);
  EXPECT_THAT(MessageOf(refused), HasSubstr(".log"));
  DbOptions options;
  options.recovery = Recovery::kTruncate;
  std::string event;
  options.listener = [&](const DbEvent& e) {
    if (e.kind == DbEvent::Kind::kRecovery) event = e.message;
  };
  auto cut = Must(DB::Open(crashed->path(), options));
  EXPECT_THAT(event, HasSubstr("replayed 50 write batches; cut"));
  s = Must(cut->GetTable("s"));
  EXPECT_EQ(ScanState(cut.get(), s).size(), 50u);
  PutOne(cut.get(), s, "new", "1");
  ASSERT_OK(cut->Close());
  cut = Must(DB::Open(crashed->path(), {}));
  EXPECT_EQ(ScanState(cut.get(), Must(cut->GetTable("s"))).size(), 51u);
}

TEST(Db, SequencesGoOnAcrossReopening) {
  TempDir dir;
  SequenceNumber last = 0;
  for (int round = 0; round < 6; ++round) {
    auto db = Must(DB::Open(dir.path(), {}));
    EXPECT_GE(db->last_sequence(), last);
    auto s = Must(db->CreateTable(StateFamily("s"), true));
    WriteBatch batch;
    ASSERT_OK(batch.Put(s, "k", std::to_string(round)));
    const SequenceNumber sequence = Must(db->Write(std::move(batch), {}));
    EXPECT_GT(sequence, last);
    last = sequence;
    if (round % 2) ASSERT_OK(db->Flush());
    EXPECT_EQ(GetState(db.get(), s, "k"), std::to_string(round));
  }
}

TEST(Db, MemoryThatLostBitsIsNotFlushed) {
  TempDir dir;
  auto db = Must(DB::Open(dir.path(), {}));
  auto s = Must(db->CreateTable(StateFamily("s"), false));
  PutOne(db.get(), s, "k", "a-value-to-be-damaged");
  const std::string log = OnlyLog(dir.path());
  std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  file.clear();
  file.seekp(static_cast<std::streamoff>(bytes.find("a-value-to-be-damaged")));
  file.put('X');  // through the page cache into the mapping
  file.close();
  const Status status = db->Flush();
  EXPECT_EQ(CodeOf(status), ErrorCode::kReadOnly);
  EXPECT_THAT(MessageOf(status), HasSubstr("when it was flushed"));
}

TEST(Db, ReaderKeepsAnObsoleteFileUntilItIsDone) {
  TempDir dir;
  auto db = Must(DB::Open(dir.path(), {}));
  auto s = Must(db->CreateTable(StateFamily("s"), false));
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 1000; ++i)
      PutOne(db.get(), s, "k" + std::to_string(i), std::to_string(round));
    ASSERT_OK(db->Flush());
  }
  auto it = Must(db->NewIterator(s, {}));
  ASSERT_OK(db->Compact("s"));
  const auto files = [&] {
    int n = 0;
    for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
      n += entry.path().extension() == ".arrow";
    }
    return n;
  };
  EXPECT_EQ(files(), 3);
  int64_t rows = 0;
  for (ScanBatch step = Must(it->Next()); step.batch != nullptr; step = Must(it->Next())) {
    rows += step.batch->num_rows();
  }
  EXPECT_EQ(rows, 1000);
  it.reset();
  EXPECT_EQ(files(), 1);
}

TEST(Db, ConcurrentReadersSeeWholeBatches) {
  TempDir dir;
  DbOptions options;
  options.log_segment_bytes = 256 << 10;
  options.max_block_ms = 20'000;
  auto db = Must(DB::Open(dir.path(), options));
  auto a = Must(db->CreateTable(StateFamily("a"), false));
  TableOptions lazy;
  lazy.lazy_index = true;
  auto b = Must(db->CreateTable(StateFamily("b", lazy), false));
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!stop) {
        ReadOptions at{db->GetSnapshot()};
        const auto x = GetState(db.get(), a, "n", at);
        const auto y = GetState(db.get(), b, "n", at);
        EXPECT_EQ(x, y);
        ScanOptions scan;
        scan.read = at;
        scan.range.lower = "n";
        const Pairs pairs = ScanState(db.get(), a, scan);
        EXPECT_EQ(pairs.empty() ? std::nullopt : std::optional(pairs[0].second), x);
      }
    });
  }
  for (int i = 0; i < 20'000; ++i) {
    WriteBatch batch;
    ASSERT_OK(batch.Put(a, "n", std::to_string(i)));
    ASSERT_OK(batch.Put(a, "filler" + std::to_string(i % 100), "x"));
    ASSERT_OK(batch.Put(b, "n", std::to_string(i)));
    Must(db->Write(std::move(batch), {}));
  }
  stop = true;
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace marble::lsm
