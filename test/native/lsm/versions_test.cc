// What a key's versions become: merges, expiry, put if absent, unlogged tables, compaction
// filters, lookups of many keys. The random counterpart is version_model_test.cc.
#include <gtest/gtest.h>

#include <thread>

#include "base/coding.h"
#include "db_fixture.h"
#include "manual_clock.h"
#include "lsm/write/merge_operator.h"

namespace marble::lsm {
namespace {

using namespace testing;

class VersionsTest : public ::testing::Test {
 protected:
  VersionsTest() {
    options_.clock = &clock_;
    options_.compaction_trigger = 100;  // only when asked
    Open();
  }
  void Open() {
    db_.reset();
    db_ = Must(DB::Open(dir_.path(), options_));
  }
  TableHandle Family(const std::string& name, const std::string& merge, int64_t ttl_ms = 0,
                     bool logged = true) {
    TableOptions o;
    o.merge_operator = merge;
    o.ttl_ms = ttl_ms;
    o.logged = logged;
    return Must(db_->CreateTable(StateFamily(name, o), true));
  }
  void Merge(const TableHandle& state, std::string_view key, std::string_view operand) {
    WriteBatch batch;
    Must(batch.Merge(state, key, operand));
    Must(db_->Write(std::move(batch), {}));
  }
  static std::string Int64(int64_t value) {
    std::string bytes;
    PutFixed<int64_t>(&bytes, value);
    return bytes;
  }
  int64_t Int64At(const TableHandle& state, std::string_view key) {
    return LoadFixed<int64_t>(GetState(db_.get(), state, key)->data());
  }
  uint64_t RowsInFiles(const std::string& name) {
    for (const TableMetrics& t : db_->metrics().tables) {
      if (t.name == name) return t.sst_rows;
    }
    return 0;
  }

  ManualClock clock_;
  TempDir dir_;
  DbOptions options_;
  std::shared_ptr<DB> db_;
};

TEST_F(VersionsTest, EachBuiltInMergeOperatorDoesWhatItsNameSays) {
  const auto add = Family("add", "int64add");
  Merge(add, "k", Int64(40));
  Merge(add, "k", Int64(-7));
  Must(db_->Flush());
  Merge(add, "k", Int64(9));
  EXPECT_EQ(Int64At(add, "k"), 42);
  Merge(add, "wraps", Int64(INT64_MAX));
  Merge(add, "wraps", Int64(1));
  EXPECT_EQ(Int64At(add, "wraps"), INT64_MIN);

  const auto max = Family("max", "max"), min = Family("min", "min");
  for (const char* value : {"b", "c", "a"}) {
    Merge(max, "k", value);
    Merge(min, "k", value);
  }
  EXPECT_EQ(GetState(db_.get(), max, "k"), "c");
  EXPECT_EQ(GetState(db_.get(), min, "k"), "a");

  const auto append = Family("append", "append");
  PutOne(db_.get(), append, "k", "base");
  Merge(append, "k", "1");
  Must(db_->Flush());
  Merge(append, "k", "2");
  EXPECT_EQ(GetState(db_.get(), append, "k"), "base12");
}

TEST_F(VersionsTest, OperandsThatAnOperatorCannotTakeAreRefusedWhenWritten) {
  const auto add = Family("add", "int64add");
  WriteBatch batch;
  for (const Status& status : {batch.Merge(add, "k", "7"), batch.Put(add, "k", "seven"),
                               batch.Merge(Family("plain", ""), "k", Int64(1))}) {
    EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument) << status.ToString();
  }
  EXPECT_TRUE(batch.empty());
  TableOptions unknown;
  unknown.merge_operator = "int64mul";
  const auto created = db_->CreateTable(StateFamily("mul", unknown), false);
  EXPECT_EQ(CodeOf(created.status()), ErrorCode::kNotFound);
  EXPECT_NE(created.status().ToString().find("append"), std::string::npos);
  EXPECT_EQ(CodeOf(db_->CreateTable(StateFamily("add"), true).status()), ErrorCode::kIncompatible);
}

class Longest : public MergeOperator {
 public:
  std::string_view name() const override { return "test.longest"; }
  Status Check(std::string_view) const override { return Status::OK(); }
  void Merge(std::string_view, std::string_view older, std::string_view newer,
             std::string* out) const override {
    out->append(newer.size() >= older.size() ? newer : older);
  }
};

TEST_F(VersionsTest, AnOperatorOfOnesOwnIsFoundByName) {
  Must(RegisterMergeOperator(std::make_shared<Longest>()));
  EXPECT_EQ(CodeOf(RegisterMergeOperator(std::make_shared<Longest>())), ErrorCode::kTableExists);
  const auto state = Family("longest", "test.longest");
  Merge(state, "k", "four");
  Merge(state, "k", "two");
  EXPECT_EQ(GetState(db_.get(), state, "k"), "four");
}

TEST_F(VersionsTest, ReadingAKeyMergedManyTimesLooksAtFewOperands) {
  const auto add = Family("add", "int64add");
  const auto append = Family("append", "append");
  std::string expected;
  for (int i = 0; i < 20'000; ++i) {
    Merge(add, "k", Int64(i));
    Merge(append, "k", std::to_string(i % 10));
    expected += std::to_string(i % 10);
  }
  EXPECT_EQ(Int64At(add, "k"), 20'000LL * 19'999 / 2);
  EXPECT_EQ(GetState(db_.get(), append, "k"), expected);
  // 20,000 operands and the sums put on top of them: a constant factor, not their square.
  EXPECT_LT(db_->metrics().memtable_bytes, 8u << 20);
}

TEST_F(VersionsTest, CompactionLeavesOneValuePerMergedKey) {
  ASSERT_OK(db_->Close());
  options_.compaction_trigger = 100;
  Open();
  const auto add = Family("add", "int64add");
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 100; ++i) Merge(add, "k" + std::to_string(i), Int64(i));
    Must(db_->Flush());
  }
  EXPECT_EQ(RowsInFiles("add"), 500u);
  Must(db_->Compact("add"));
  EXPECT_EQ(RowsInFiles("add"), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Int64At(add, "k" + std::to_string(i)), 5 * i);
}

TEST_F(VersionsTest, ASnapshotSeesTheOperandsWrittenBeforeIt) {
  const auto append = Family("append", "append");
  Merge(append, "k", "a");
  const auto before = db_->GetSnapshot();
  Merge(append, "k", "b");
  Must(db_->Flush());
  Must(db_->Compact("append"));
  EXPECT_EQ(GetState(db_.get(), append, "k", {before}), "a");
  EXPECT_EQ(GetState(db_.get(), append, "k"), "ab");
}

TEST_F(VersionsTest, ExpiredRowsAreGoneForReadersAndThenFromFiles) {
  const auto state = Family("expiring", "", 1000);
  TableDescriptor typed = TypedTable("typed");
  typed.options.ttl_ms = 1000;
  const auto table = Must(db_->CreateTable(typed, false));
  PutOne(db_.get(), state, "old", "1");
  WriteBatch batch;
  Must(batch.Insert(table, TypedBatch({{1, "a", {}, {}, {}}})));
  Must(db_->Write(std::move(batch), {}));
  clock_.Advance(999);
  EXPECT_EQ(GetState(db_.get(), state, "old"), "1");
  PutOne(db_.get(), state, "new", "2");
  const auto snapshot = db_->GetSnapshot();
  Must(db_->Flush());
  clock_.Advance(1);
  EXPECT_EQ(GetState(db_.get(), state, "old"), std::nullopt);
  EXPECT_EQ(ScanState(db_.get(), state), (Pairs{{"new", "2"}}));
  EXPECT_FALSE(Must(db_->Exists(table, TypedKey(table, 1, "a"), {})));
  // The snapshot's clock stands still.
  EXPECT_EQ(GetState(db_.get(), state, "old", {snapshot}), "1");
  Must(db_->Compact(""));
  EXPECT_EQ(GetState(db_.get(), state, "old", {snapshot}), "1");
  EXPECT_EQ(RowsInFiles("expiring"), 2u);
}

TEST_F(VersionsTest, CompactionRemovesWhatHasExpiredForEveryone) {
  const auto state = Family("expiring", "", 1000);
  for (int i = 0; i < 100; ++i) PutOne(db_.get(), state, "k" + std::to_string(i), "v");
  Must(db_->Flush());
  EXPECT_EQ(RowsInFiles("expiring"), 100u);
  clock_.Advance(1001);
  PutOne(db_.get(), state, "k7", "again");
  Must(db_->Compact("expiring"));
  EXPECT_EQ(RowsInFiles("expiring"), 1u);
  EXPECT_EQ(ScanState(db_.get(), state), (Pairs{{"k7", "again"}}));
}

TEST_F(VersionsTest, AnExpiredRowDoesNotBringBackTheOneBelowIt) {
  TableOptions o;
  o.ttl_ms = 1000;
  const auto state = Must(db_->CreateTable(StateFamily("expiring", o), false));
  PutOne(db_.get(), state, "k", "older");
  Must(db_->Flush());
  PutOne(db_.get(), state, "k", "newer");
  Must(db_->Flush());
  clock_.Advance(5000);
  EXPECT_EQ(GetState(db_.get(), state, "k"), std::nullopt);
  EXPECT_TRUE(ScanState(db_.get(), state).empty());
}

TEST_F(VersionsTest, ExpirySurvivesReopeningAndIsComparedAtReopening) {
  Family("expiring", "", 1000);
  PutOne(db_.get(), Family("expiring", "", 1000), "k", "v");
  Must(db_->Close());
  Open();
  EXPECT_EQ(GetState(db_.get(), Family("expiring", "", 1000), "k"), "v");
  clock_.Advance(1000);
  EXPECT_EQ(GetState(db_.get(), Family("expiring", "", 1000), "k"), std::nullopt);
  TableOptions other;
  other.ttl_ms = 7;
  EXPECT_EQ(CodeOf(db_->CreateTable(StateFamily("expiring", other), true).status()),
            ErrorCode::kIncompatible);
}

TEST_F(VersionsTest, PutIfAbsentLetsExactlyOneOfManyWritersWin) {
  const auto state = Family("s", "");
  constexpr int kThreads = 4, kKeys = 500;
  std::vector<std::thread> threads;
  std::atomic<int> wins{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kKeys; ++i) {
        const std::string key = "k" + std::to_string(i);
        if (Must(db_->PutIfAbsent(state, key, "by " + std::to_string(t), {}))) ++wins;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wins.load(), kKeys);
  EXPECT_EQ(ScanState(db_.get(), state).size(), static_cast<size_t>(kKeys));
}

TEST_F(VersionsTest, WhatPutIfAbsentDecidedAgainstDoesNotComeBackInRecovery) {
  const auto state = Family("s", "");
  // Racing writers: some decisions are made against a record that is in the log already.
  std::vector<std::thread> threads;
  std::atomic<int> losses{0};
  std::map<std::string, std::string> expected;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        if (!Must(db_->PutIfAbsent(state, std::to_string(i), std::to_string(t), {}))) ++losses;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const Pairs before = ScanState(db_.get(), state);
  EXPECT_EQ(losses.load(), 2000);
  Must(db_->Close());
  Open();
  EXPECT_EQ(ScanState(db_.get(), Must(db_->GetTable("s"))), before);
}

TEST_F(VersionsTest, UnloggedTablesAreFlushedTogetherAndWriteNothingToTheLog) {
  const auto a = Family("a", "", 0, false), b = Family("b", "", 0, false);
  const uint64_t log_before = db_->metrics().log_bytes;
  for (int i = 0; i < 1000; ++i) {
    WriteBatch batch;
    Must(batch.Put(a, std::to_string(i), std::string(1000, 'x')));
    Must(batch.Put(b, std::to_string(i), "y"));
    Must(db_->Write(std::move(batch), {}));
  }
  EXPECT_LT(db_->metrics().log_bytes - log_before, 100'000u);
  Must(db_->Flush());
  PutOne(db_.get(), a, "after", "the flush");
  Must(db_->Close());
  Open();
  EXPECT_EQ(ScanState(db_.get(), Must(db_->GetTable("a"))).size(), 1000u);
  EXPECT_EQ(ScanState(db_.get(), Must(db_->GetTable("b"))).size(), 1000u);
}

TEST_F(VersionsTest, UnloggedRowsAreFlushedWhenTheyFillAGeneration) {
  options_.log_segment_bytes = 256 << 10;
  Open();
  const auto a = Family("a", "", 0, false);
  for (int i = 0; i < 2000; ++i) PutOne(db_.get(), a, std::to_string(i), std::string(1000, 'x'));
  Must(db_->Flush());
  EXPECT_GE(db_->metrics().flushes, 5u);
  EXPECT_EQ(ScanState(db_.get(), a).size(), 2000u);
}

TEST_F(VersionsTest, MultiGetGivesWhatAsManyGetsGive) {
  const auto state = Family("s", "append");
  std::vector<std::string> keys;
  for (int i = 0; i < 300; ++i) {
    keys.push_back(std::to_string(i * 7 % 300));
    if (i % 3 == 0) PutOne(db_.get(), state, std::to_string(i), "v" + std::to_string(i));
    if (i % 100 == 50) Must(db_->Flush());
    if (i % 4 == 0) Merge(state, std::to_string(i), "+");
  }
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  std::vector<std::optional<PinnedValue>> values(keys.size());
  Must(db_->MultiGet(state, views.data(), views.size(), {}, values.data()));
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(values[i] ? std::optional(std::string(values[i]->bytes)) : std::nullopt,
              GetState(db_.get(), state, keys[i]));
  }
}

TEST_F(VersionsTest, ATableThatLooksLikeAStateFamilyGivesRows) {
  TableDescriptor d = StateFamily("t");
  d.is_state_family = false;
  const auto table = Must(db_->CreateTable(d, false));
  arrow::BinaryBuilder keys, values;
  Must(keys.Append("k"));
  Must(values.Append("v"));
  WriteBatch batch;
  Must(batch.Insert(
      table, arrow::RecordBatch::Make(d.schema, 1, {Must(keys.Finish()), Must(values.Finish())})));
  Must(db_->Write(std::move(batch), {}));
  Must(db_->Flush());
  const auto row = Must(db_->GetRow(
      table, Must(CodecOf(table)->EncodeScalars({std::make_shared<arrow::BinaryScalar>("k")})),
      {}));
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(static_cast<const arrow::BinaryArray&>(*row->batch->column(1)).GetString(row->row),
            "v");
}

class OddKeysOut : public CompactionFilter {
 public:
  Decision FilterValue(std::string_view key, std::string_view value,
                       std::string* changed) const override {
    if ((key.back() - '0') % 2 == 1) return Decision::kRemove;
    if (value != "change") return Decision::kKeep;
    *changed = "changed";
    return Decision::kChange;
  }
  bool RemoveRow(std::string_view, const arrow::RecordBatch& rows, int64_t row) const override {
    return static_cast<const arrow::Int64Array&>(*rows.column(1)).Value(row) < 10;
  }
};

TEST_F(VersionsTest, ACompactionFilterRemovesAndChangesRowsThatNoSnapshotSees) {
  const auto state = Family("s", "");
  const auto table = Must(db_->CreateTable(TypedTable("t"), false));
  PutOne(db_.get(), state, "1", "one");
  const auto snapshot = db_->GetSnapshot();
  PutOne(db_.get(), state, "2", "change");
  PutOne(db_.get(), state, "3", "three");
  WriteBatch batch;
  Must(batch.Insert(table, TypedBatch({{1, "a", {}, {}, {}}, {11, "b", {}, {}, {}}})));
  Must(db_->Write(std::move(batch), {}));
  Must(db_->SetCompactionFilter(state, std::make_shared<OddKeysOut>()));
  Must(db_->SetCompactionFilter(table, std::make_shared<OddKeysOut>()));
  Must(db_->Compact(""));
  EXPECT_EQ(ScanState(db_.get(), state), (Pairs{{"1", "one"}, {"2", "changed"}}));
  EXPECT_FALSE(Must(db_->Exists(table, TypedKey(table, 1, "a"), {})));
  EXPECT_TRUE(Must(db_->Exists(table, TypedKey(table, 11, "b"), {})));
}

}  // namespace
}  // namespace marble::lsm
