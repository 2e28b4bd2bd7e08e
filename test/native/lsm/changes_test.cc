// The change feed: every commit behind a sequence, in order, cut at commits; or a clear word that
// it cannot be had.
#include <gtest/gtest.h>

#include "copies_fixture.h"

namespace marble::lsm {
namespace {

using namespace testing;

/// A feed's batch applied to what was there before.
void ApplyTo(const ChangeBatch& batch, std::map<std::string, std::string>* state) {
  ASSERT_TRUE(batch.rows->ValidateFull().ok());
  const auto& ops = static_cast<const arrow::StringArray&>(*batch.rows->column(0));
  const auto& keys = static_cast<const arrow::BinaryArray&>(*batch.rows->column(1));
  const auto& values = static_cast<const arrow::BinaryArray&>(*batch.rows->column(2));
  size_t range = 0;
  for (int64_t i = 0; i <= batch.rows->num_rows(); ++i) {
    for (; range < batch.ranges.size() && batch.ranges[range].before_row == i; ++range) {
      const auto& [row, from, to] = batch.ranges[range];
      state->erase(state->lower_bound(from), to.empty() ? state->end() : state->lower_bound(to));
    }
    if (i == batch.rows->num_rows()) break;
    if (ops.GetView(i) == "-D") {
      EXPECT_TRUE(values.IsNull(i) || values.GetView(i).empty());
      state->erase(keys.GetString(i));
    } else {
      ASSERT_EQ(ops.GetView(i), "+U");
      (*state)[keys.GetString(i)] = values.GetString(i);
    }
  }
  EXPECT_EQ(range, batch.ranges.size());
}

TEST(ChangesTest, FollowsRandomWritersFromASnapshotWithoutAGap) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    const TempDir dir;
    const auto db = Must(DB::Open(dir.path(), SmallOptions()));
    const CopiedTables tables(db.get());
    RandomWriter writer(db.get(), 2, seed);
    writer.WaitFor(200);
    // The feed begins at the sequence; what is scanned under the snapshot is what came before.
    const SnapshotRef snapshot = db->GetSnapshot();
    auto opened = db->Changes(tables.b, snapshot->sequence());
    if (!opened.ok()) {  // it was flushed in between
      EXPECT_EQ(CodeOf(opened.status()), ErrorCode::kTooFarBehind);
      writer.Stop();
      continue;
    }
    auto feed = std::move(*opened);
    std::map<std::string, std::string> state;
    ScanOptions options;
    options.read.snapshot = snapshot;
    for (auto& [k, v] : ScanState(db.get(), tables.b, options)) state[k] = v;
    SequenceNumber last = snapshot->sequence();
    std::vector<std::pair<SequenceNumber, std::map<std::string, std::string>>> moments;
    const auto take = [&](int64_t timeout_ms) {
      auto batch = Must(feed->Next(timeout_ms));
      if (!batch) return false;
      EXPECT_GT(batch->last_sequence, last);
      last = batch->last_sequence;
      ApplyTo(*batch, &state);
      moments.emplace_back(last, state);
      return true;
    };
    const uint64_t until = writer.count() + 1500;
    while (writer.count() < until) take(1);
    writer.Stop();
    while (take(0)) {
    }
    EXPECT_GT(moments.size(), 5u);
    EXPECT_GT(db->metrics().flushes, 3u);
    // After each batch it is what the table was at that commit: batches are cut at commits.
    for (const auto& [sequence, at] : moments) {
      ASSERT_EQ(at, writer.ModelAt(sequence).b) << sequence;
    }
    EXPECT_EQ(state, writer.ModelAt(kMaxSequence).b);
  }
}

TEST(ChangesTest, TellsRowsDeletesAndAppendsApart) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path(), {}));
  const CopiedTables tables(db.get());
  TableOptions adding;
  adding.merge_operator = "append";
  const auto m = Must(db->CreateTable(StateFamily("m", adding), true));
  auto typed = Must(db->Changes(tables.t, 0));
  auto log = Must(db->Changes(tables.log, 0));
  auto merges = Must(db->Changes(m, 0));
  EXPECT_EQ(Must(typed->Next(0)), std::nullopt);
  WriteBatch batch;
  ASSERT_OK(batch.Insert(tables.t, TypedBatch({{1, "a", 1.5, "x", true}, {2, "b", {}, {}, {}}})));
  ASSERT_OK(batch.DeleteRows(tables.t, KeyBatch({{7, "gone"}})));
  ASSERT_OK(batch.Delete(tables.t, TypedKey(tables.t, 8, "too")));
  ASSERT_OK(batch.Insert(tables.log, LogRow(5, "five")));
  ASSERT_OK(batch.Merge(m, "k", "operand"));
  const SequenceNumber sequence = Must(db->Write(std::move(batch), {}));
  const auto rows = Must(typed->Next(0));
  ASSERT_TRUE(rows.has_value());
  EXPECT_EQ(rows->last_sequence, sequence);
  ASSERT_OK(rows->rows->ValidateFull());
  EXPECT_TRUE(rows->rows->schema()->Equals(*typed->schema()));
  EXPECT_EQ(rows->rows->schema()->field_names(),
            (std::vector<std::string>{"op", "score", "id", "note", "name", "flag"}));
  ASSERT_EQ(rows->rows->num_rows(), 4);
  const auto& ops = static_cast<const arrow::StringArray&>(*rows->rows->column(0));
  const auto table_columns = Must(rows->rows->SelectColumns({1, 2, 3, 4, 5}));
  const char* want_ops[] = {"+U", "+U", "-D", "-D"};
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(ops.GetView(i), want_ops[i]);
  EXPECT_EQ(TypedRowAt(*table_columns, 0), (TypedRow{1, "a", 1.5, "x", true}));
  EXPECT_EQ(TypedRowAt(*table_columns, 2), (TypedRow{7, "gone", {}, {}, {}}));
  EXPECT_EQ(TypedRowAt(*table_columns, 3), (TypedRow{8, "too", {}, {}, {}}));
  const auto appended = Must(log->Next(0));
  ASSERT_TRUE(appended.has_value());
  EXPECT_EQ(static_cast<const arrow::StringArray&>(*appended->rows->column(0)).GetView(0), "+I");
  const auto merged = Must(merges->Next(0));
  ASSERT_TRUE(merged.has_value());
  EXPECT_EQ(static_cast<const arrow::StringArray&>(*merged->rows->column(0)).GetView(0), "+M");
  EXPECT_EQ(Must(typed->Next(0)), std::nullopt);
}

TEST(ChangesTest, ASubscriberThatIsTooFarBehindIsToldAndTheLogGoes) {
  const TempDir dir;
  DbOptions options = SmallOptions();
  options.max_pinned_log_bytes = 256 << 10;
  const auto db = Must(DB::Open(dir.path(), options));
  const auto a = Must(db->CreateTable(StateFamily("a"), true));
  const auto logs = [&] {
    size_t count = 0;
    for (const std::string& name : Must(io::FileSystem::Local()->List(dir.path()))) {
      count += name.ends_with(".log");
    }
    return count;
  };
  auto slow = Must(db->Changes(a, 0));
  auto unread = Must(db->Changes(a, 0));
  PutOne(db.get(), a, "first", "1");
  ASSERT_TRUE(Must(slow->Next(0)).has_value());
  // Within the limit everything is there still.
  for (int i = 0; i < 2; ++i) {
    PutOne(db.get(), a, "k", std::string(40'000, 'v'));
    ASSERT_OK(db->Flush());
  }
  EXPECT_GE(logs(), 3u);
  ASSERT_TRUE(Must(slow->Next(0)).has_value());
  for (int i = 0; i < 30; ++i) {
    PutOne(db.get(), a, "k", std::string(40'000, 'v'));
    ASSERT_OK(db->Flush());
  }
  for (ChangeFeed* feed : {slow.get(), unread.get()}) {
    Status status;
    for (int i = 0; i < 100 && status.ok(); ++i) status = feed->Next(0).status();
    EXPECT_EQ(CodeOf(status), ErrorCode::kTooFarBehind) << status.ToString();
    EXPECT_EQ(CodeOf(feed->Next(0).status()), ErrorCode::kTooFarBehind);
  }
  EXPECT_LE(logs(), 8u);
  EXPECT_EQ(CodeOf(db->Changes(a, 0).status()), ErrorCode::kTooFarBehind);
  // From now on is always possible; and without subscribers nothing is kept.
  auto current = Must(db->Changes(a, db->last_sequence()));
  PutOne(db.get(), a, "k", "new");
  EXPECT_EQ(Must(current->Next(0))->rows->num_rows(), 1);
  current.reset();
  slow.reset();
  unread.reset();
  ASSERT_OK(db->Flush());
  EXPECT_LE(logs(), 2u);
}

TEST(ChangesTest, EndsWithAReason) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path(), {}));
  const CopiedTables tables(db.get());
  PutOne(db.get(), tables.a, "k", "1");
  EXPECT_EQ(CodeOf(db->Changes(tables.a, 99).status()), ErrorCode::kInvalidArgument);
  TableOptions unlogged;
  unlogged.logged = false;
  EXPECT_EQ(
      CodeOf(db->Changes(Must(db->CreateTable(StateFamily("u", unlogged), true)), 0).status()),
      ErrorCode::kNotSupported);
  // Dropped: what was written before comes first.
  auto dropped = Must(db->Changes(tables.a, 0));
  // Loaded past the log.
  auto loaded = Must(db->Changes(tables.b, 0));
  PutOne(db.get(), tables.b, "k", "1");
  arrow::BinaryBuilder key, value;
  ASSERT_OK(key.Append("x"));
  ASSERT_OK(value.Append("1"));
  auto rows = arrow::RecordBatch::Make(StateFamily("").schema, 1,
                                       {Must(key.Finish()), Must(value.Finish())});
  ASSERT_OK(db->BulkLoad(tables.b,
                         [&]() -> Result<std::shared_ptr<arrow::RecordBatch>> {
                           return std::exchange(rows, nullptr);
                         },
                         {})
                .status());
  PutOne(db.get(), tables.b, "k", "2");
  ASSERT_OK(db->DropTable("a", false));
  EXPECT_EQ(Must(dropped->Next(0))->rows->num_rows(), 1);
  EXPECT_EQ(CodeOf(dropped->Next(0).status()), ErrorCode::kTableNotFound);
  EXPECT_EQ(Must(loaded->Next(0))->rows->num_rows(), 1);
  EXPECT_EQ(CodeOf(loaded->Next(0).status()), ErrorCode::kTooFarBehind);
  // Waiting ones are woken.
  auto cancelled = Must(db->Changes(tables.t, db->last_sequence()));
  auto closed = Must(db->Changes(tables.t, db->last_sequence()));
  Status first, second;
  std::thread one([&] { first = cancelled->Next(-1).status(); });
  std::thread two([&] { second = closed->Next(-1).status(); });
  cancelled->Cancel();
  one.join();
  EXPECT_EQ(CodeOf(first), ErrorCode::kAborted);
  ASSERT_OK(db->Close());
  two.join();
  EXPECT_EQ(CodeOf(second), ErrorCode::kClosed);
}

}  // namespace
}  // namespace marble::lsm
