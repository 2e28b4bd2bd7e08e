// Files that have expired as a whole go by an edit of the manifest alone, unread: when they may,
// when they must stay, and that nothing older is ever seen again.
#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include "db_fixture.h"
#include "io/memory_file_system.h"
#include "lsm/backup/inspect.h"
#include "manual_clock.h"

namespace marble::lsm {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kTtlMs = 1000;

class ExpiredFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.clock = &clock_;
    options_.compaction_trigger = 1000;
    options_.listener = [this](const DbEvent& event) {
      if (event.kind != DbEvent::Kind::kCompaction) return;
      std::lock_guard lock(mutex_);
      events_.push_back(event);
    };
    Open();
  }
  void Open() {
    db_.reset();
    db_ = Must(DB::Open(dir_.path(), options_));
  }
  TableHandle Family(const std::string& name, const std::string& merge = "") {
    TableOptions o;
    o.ttl_ms = kTtlMs;
    o.merge_operator = merge;
    o.compression = Compression::kZstd;  // so that decoded batches tell who has read something
    return Must(db_->CreateTable(StateFamily(name, o), true));
  }
  void Put(const TableHandle& state, const std::string& key, const std::string& value) {
    PutOne(db_.get(), state, key, value);
  }
  void Merge(const TableHandle& state, const std::string& key, const std::string& operand) {
    WriteBatch batch;
    Must(batch.Merge(state, key, operand));
    Must(db_->Write(std::move(batch), {}));
  }
  std::optional<std::string> Get(const TableHandle& state, const std::string& key,
                                 const SnapshotRef& snapshot = nullptr) {
    return GetState(db_.get(), state, key, {snapshot});
  }
  /// Let what is due happen, and nothing else: another table is flushed and compacted.
  void Settle() {
    const auto other = Must(db_->CreateTable(StateFamily("other"), true));
    Put(other, std::to_string(n_++), "x");
    Must(db_->Flush());
    Must(db_->Compact("other"));
    WaitForDrops();
  }
  void WaitForDrops() {
    while (db_->metrics().running_compactions > 0) std::this_thread::yield();
  }
  std::vector<int> LevelsOf(const std::string& table) {
    std::vector<int> levels;
    for (const TableMetrics& one : db_->metrics().tables) {
      if (one.name != table) continue;
      for (const LevelMetrics& level : one.levels) {
        levels.insert(levels.end(), level.files, level.level);
      }
    }
    return levels;
  }
  size_t FilesOnDisk() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      count += entry.path().extension() == ".arrow";
    }
    return count;
  }

  TempDir dir_{TempDir::Place::kMemory};
  ManualClock clock_;
  DbOptions options_;
  std::mutex mutex_;
  std::vector<DbEvent> events_;
  std::shared_ptr<DB> db_;
  int n_ = 0;
};

TEST_F(ExpiredFilesTest, GoUnreadWithACounterAndAnEvent) {
  const auto s = Family("s");
  for (int i = 0; i < 2000; ++i) Put(s, "k" + std::to_string(i), std::string(100, 'v'));
  Must(db_->Flush());
  clock_.Advance(kTtlMs - 1);
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre(0)) << "not yet";
  const DbMetrics before = db_->metrics();
  uint64_t bytes = 0;
  for (const auto& table : before.tables) bytes += table.name == "s" ? table.sst_bytes : 0;
  const size_t on_disk = FilesOnDisk();
  clock_.Advance(1);
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre());
  const DbMetrics after = db_->metrics();
  EXPECT_EQ(after.expired_files, before.expired_files + 1);
  EXPECT_EQ(after.expired_bytes, before.expired_bytes + bytes);
  EXPECT_EQ(after.decoded_misses, before.decoded_misses) << "no batch of it was read";
  EXPECT_LE(FilesOnDisk(), on_disk) << "it is unlinked";
  std::vector<DbEvent> drops;
  {
    std::lock_guard lock(mutex_);
    for (const DbEvent& event : events_) {
      if (event.expired) drops.push_back(event);
    }
  }
  ASSERT_EQ(drops.size(), 2u);
  EXPECT_EQ(drops[0].phase, DbEvent::Phase::kBegin);
  EXPECT_EQ(drops[1].phase, DbEvent::Phase::kEnd);
  EXPECT_EQ(drops[1].table, "s");
  EXPECT_EQ(drops[1].rows, 2000u);
  EXPECT_EQ(drops[1].bytes_read, 0u);
  EXPECT_EQ(drops[1].inputs.size(), 1u);
  EXPECT_THAT(drops[1].outputs, ElementsAre());
  EXPECT_THAT(drops[1].message, HasSubstr("drop 1 file of 's' (all rows have expired)"));
  EXPECT_EQ(Get(s, "k1"), std::nullopt);
}

TEST_F(ExpiredFilesTest, GoWithoutAnyWriteWhenTheirTimeHasCome) {
  const auto s = Family("s");
  Put(s, "k", "v");
  Must(db_->Flush());
  clock_.Advance(kTtlMs);
  // The clock of the test has moved; the timer looks at it after a while of the system's.
  for (int i = 0; i < 6000 && db_->metrics().expired_files == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_THAT(LevelsOf("s"), ElementsAre());
  EXPECT_EQ(db_->metrics().expired_files, 1u);
}

TEST_F(ExpiredFilesTest, StayWhileOneRowHasNotExpired) {
  const auto s = Family("s");
  Put(s, "a", "1");
  clock_.Advance(kTtlMs / 2);
  Put(s, "b", "2");
  Must(db_->Flush());
  clock_.Advance(kTtlMs / 2);
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre(0));
  EXPECT_EQ(Get(s, "a"), std::nullopt);
  EXPECT_EQ(Get(s, "b"), "2");
  clock_.Advance(kTtlMs / 2);
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre());
}

TEST_F(ExpiredFilesTest, StayWhileASnapshotSeesTheirRows) {
  const auto s = Family("s");
  Put(s, "k", "v");
  Must(db_->Flush());
  clock_.Advance(kTtlMs - 1);
  auto snapshot = db_->GetSnapshot();
  clock_.Advance(5 * kTtlMs);
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre(0));
  EXPECT_EQ(Get(s, "k", snapshot), "v");
  EXPECT_EQ(Get(s, "k"), std::nullopt);
  const auto late = db_->GetSnapshot();  // sees none of it, and keeps nothing
  snapshot.reset();
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre());
  EXPECT_EQ(Get(s, "k", late), std::nullopt);
}

TEST_F(ExpiredFilesTest, ARowBelowThatExpiresLaterIsNotSeenAgain) {
  const auto s = Family("s");
  Put(s, "k", "old");
  Must(db_->Flush());
  // A clock that is put back: the newer row expires first.
  clock_.Advance(-kTtlMs / 2);
  Put(s, "k", "new");
  Must(db_->Flush());
  clock_.Advance(kTtlMs);
  EXPECT_EQ(Get(s, "k"), std::nullopt);
  Settle();
  EXPECT_EQ(Get(s, "k"), std::nullopt) << "the older row has not expired";
  EXPECT_THAT(LevelsOf("s"), ElementsAre(0, 0));
  Open();
  EXPECT_EQ(Get(Family("s"), "k"), std::nullopt);
  // When both have expired they go together.
  clock_.Advance(kTtlMs);
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre());
  EXPECT_EQ(db_->metrics().expired_files, 2u);
}

TEST_F(ExpiredFilesTest, TheSameBelowASortedLevel) {
  const auto s = Family("s");
  Put(s, "k", "old");
  Put(s, "z", "old");
  Must(db_->Compact("s"));
  clock_.Advance(-kTtlMs / 2);
  Put(s, "k", "new");
  Must(db_->Flush());
  Put(s, "zz", "beside");  // in nobody's range
  Must(db_->Flush());
  clock_.Advance(kTtlMs);
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre(0, limits::kNumLevels - 1))
      << "what has nothing below it goes";
  EXPECT_EQ(Get(s, "k"), std::nullopt);
  EXPECT_EQ(Get(s, "z"), "old");
}

TEST_F(ExpiredFilesTest, OfATimeSeriesTheOldEndGoes) {
  const auto s = Family("s");
  for (int day = 0; day < 5; ++day) {
    Put(s, "day" + std::to_string(day), "v");
    Must(db_->Flush());
    clock_.Advance(kTtlMs / 2);
  }
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre(0));
  EXPECT_EQ(db_->metrics().expired_files, 4u);
  for (int day = 0; day < 5; ++day) {
    EXPECT_EQ(Get(s, "day" + std::to_string(day)).has_value(), day == 4) << day;
  }
}

TEST_F(ExpiredFilesTest, TombstonesGoWithWhatTheyHideAndNotBefore) {
  const auto s = Family("s");
  const auto remove = [&](const std::string& key) {
    WriteBatch batch;
    Must(batch.Delete(s, key));
    Must(db_->Write(std::move(batch), {}));
  };
  Put(s, "a", "1");
  Put(s, "b", "1");
  Must(db_->Flush());
  clock_.Advance(-kTtlMs / 2);
  remove("b");
  Put(s, "c", "2");
  Must(db_->Flush());
  clock_.Advance(kTtlMs);  // c has expired, a has not, b would not have
  Settle();
  EXPECT_EQ(LevelsOf("s").size(), 2u);
  EXPECT_EQ(Get(s, "a"), "1");
  EXPECT_EQ(Get(s, "b"), std::nullopt);
  clock_.Advance(kTtlMs);
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre());
  EXPECT_EQ(db_->metrics().expired_files, 2u);
}

TEST_F(ExpiredFilesTest, WithoutAKeyOlderFilesAreInNobodysWay) {
  TableDescriptor log = AppendTable("log");
  log.options.ttl_ms = kTtlMs;
  log.options.compression = Compression::kZstd;
  const auto table = Must(db_->CreateTable(log, true));
  const auto append = [&](int64_t n) {
    WriteBatch batch;
    arrow::Int64Builder numbers;
    arrow::StringBuilder strings;
    Must(numbers.Append(n));
    Must(strings.Append("x"));
    Must(batch.Insert(table, arrow::RecordBatch::Make(
                                 log.schema, 1, {Must(numbers.Finish()), Must(strings.Finish())})));
    Must(db_->Write(std::move(batch), {}));
    Must(db_->Flush());
  };
  append(1);
  clock_.Advance(-kTtlMs / 2);
  append(2);
  clock_.Advance(kTtlMs / 4);
  append(3);
  clock_.Advance(kTtlMs * 3 / 4);  // only the second has expired
  Settle();
  EXPECT_EQ(LevelsOf("log").size(), 2u);
  std::vector<int64_t> rows;
  for (const auto& batch : Must(ScanBatches(db_.get(), table, {}))) {
    const auto& n = static_cast<const arrow::Int64Array&>(*batch->column(0));
    for (int64_t i = 0; i < n.length(); ++i) rows.push_back(n.Value(i));
  }
  EXPECT_THAT(rows, ElementsAre(1, 3));
  clock_.Advance(kTtlMs);
  Settle();
  EXPECT_THAT(LevelsOf("log"), ElementsAre());
  append(4);
  EXPECT_EQ(Must(ScanBatches(db_.get(), table, {})).size(), 1u);
}

TEST_F(ExpiredFilesTest, WhatAMergeInTimeAddsToStays) {
  const auto s = Family("s", "append");
  Put(s, "k", "a");
  Must(db_->Flush());
  clock_.Advance(kTtlMs - 1);
  Merge(s, "k", "b");  // in time
  Must(db_->Flush());
  clock_.Advance(2);
  EXPECT_EQ(Get(s, "k"), "ab");
  Settle();
  EXPECT_EQ(Get(s, "k"), "ab") << "what it was merged with has expired, and counts";
  EXPECT_EQ(LevelsOf("s").size(), 2u);
  clock_.Advance(kTtlMs);
  Settle();
  EXPECT_EQ(Get(s, "k"), std::nullopt);
  EXPECT_THAT(LevelsOf("s"), ElementsAre());
  // The same when the operand lies in a memtable.
  Put(s, "k", "a");
  Must(db_->Flush());
  clock_.Advance(kTtlMs - 1);
  Merge(s, "k", "b");
  clock_.Advance(2);
  Must(db_->CreateTable(StateFamily("gone"), false));
  Must(db_->DropTable("gone", false));  // a reason to look what is due
  WaitForDrops();
  EXPECT_EQ(LevelsOf("s").size(), 1u);
  EXPECT_EQ(Get(s, "k"), "ab");
  // An operand that came too late began anew.
  clock_.Advance(2 * kTtlMs);
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre());
  Put(s, "m", "a");
  Must(db_->Flush());
  clock_.Advance(kTtlMs);
  Merge(s, "m", "b");
  Must(db_->Flush());
  Settle();
  EXPECT_EQ(Get(s, "m"), "b");
  EXPECT_EQ(LevelsOf("s").size(), 1u);
}

TEST_F(ExpiredFilesTest, ACrashBetweenTheEditAndTheUnlinkLeavesNothingBehind) {
  const auto s = Family("s");
  const auto t = Must(db_->CreateTable(StateFamily("t"), true));
  Put(s, "k", "v");
  Put(t, "k", "stays");
  Must(db_->Flush());
  auto reader = Must(db_->NewIterator(s, {}));  // holds the files on the disk
  clock_.Advance(kTtlMs);
  Settle();
  EXPECT_THAT(LevelsOf("s"), ElementsAre());
  const TempDir copy(TempDir::Place::kMemory);
  std::filesystem::copy(dir_.path(), copy.path(), std::filesystem::copy_options::recursive);
  const auto arrows = [](const std::string& dir) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
      if (entry.path().extension() == ".arrow") names.push_back(entry.path().filename().string());
    }
    return names.size();
  };
  size_t named = 0;
  for (const auto& table : db_->metrics().tables) named += table.sst_files;
  ASSERT_EQ(arrows(copy.path()), named + 1)
      << "the file is there, and the manifest does not name it";
  const auto db = Must(DB::Open(copy.path(), options_));
  EXPECT_EQ(GetState(db.get(), Must(db->GetTable("s")), "k"), std::nullopt);
  EXPECT_EQ(GetState(db.get(), Must(db->GetTable("t")), "k"), "stays");
  size_t left = 0;
  for (const auto& table : db->metrics().tables) left += table.sst_files;
  EXPECT_EQ(arrows(copy.path()), left);
  const auto seen = Must(reader->Next()).batch;
  ASSERT_NE(seen, nullptr) << "a scan that began before they expired goes on";
  EXPECT_EQ(seen->num_rows(), 1);
}

TEST_F(ExpiredFilesTest, WhatExpiredWhileTheDatabaseWasClosedGoesAfterItIsOpened) {
  const auto s = Family("s");
  Put(s, "k", "v");
  Must(db_->Flush());
  Must(db_->Close());
  clock_.Advance(kTtlMs);
  Open();
  Must(db_->Compact("s"));  // waits for it
  EXPECT_EQ(db_->metrics().expired_files, 1u);
  EXPECT_THAT(LevelsOf("s"), ElementsAre());
}

TEST_F(ExpiredFilesTest, ACompactionOfAnAlteredTableWaitsForADropThatBeganBefore) {
  // The drop belongs to a handle of before; it is held where it begins.
  std::promise<void> begun, go_on;
  std::atomic<bool> held{false};
  options_.max_compactions = 2;
  const auto note = options_.listener;
  options_.listener = [&, go = go_on.get_future().share()](const DbEvent& event) {
    note(event);
    if (!event.expired || event.phase != DbEvent::Phase::kBegin || held.exchange(true)) return;
    begun.set_value();
    go.wait();
  };
  Open();
  TableOptions o;
  o.ttl_ms = kTtlMs;
  const TableHandle t = Must(db_->CreateTable(TypedTable("t", o), false));
  WriteBatch batch;
  Must(batch.Insert(t, TypedBatch({{1, "a", 0.5, {}, {}}, {2, "b", {}, "x", true}})));
  Must(db_->Write(std::move(batch), {}));
  Must(db_->Flush());
  clock_.Advance(kTtlMs);
  PutOne(db_.get(), Must(db_->CreateTable(StateFamily("other"), true)), "k", "v");
  std::thread flush([&] { Must(db_->Flush()); });
  begun.get_future().wait();
  flush.join();
  Must(db_->AlterTable("t", TableChange::DropColumn("note")));
  ASSERT_THAT(LevelsOf("t"), ElementsAre(0));
  int asked = 0;
  CompactOptions options;
  options.cancelled = [&] {
    // It has been waiting for a while.
    if (++asked == 20) go_on.set_value();
    return false;
  };
  Must(db_->CompactRange("t", {}, {}, options));
  EXPECT_THAT(LevelsOf("t"), ElementsAre()) << "what had expired is gone";
  if (asked < 20) go_on.set_value();
  WaitForDrops();
}

}  // namespace
}  // namespace marble::lsm
