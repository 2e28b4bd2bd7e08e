// Columns added, dropped and renamed without rewriting files: what is read of rows that were
// written with other columns, who is refused and who goes on, and that copies, loads, compactions
// and the change feed know of it.
#include <arrow/io/file.h>
#include <arrow/ipc/reader.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "alter_fixture.h"
#include "lsm/backup/backup.h"
#include "lsm/backup/checkpoint.h"
#include "lsm/backup/inspect.h"
#include "lsm/backup/verify.h"
#include "lsm/sst/file_schema.h"
#include "lsm/version/manifest_log.h"

namespace marble::lsm {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

using Table = std::vector<Cells>;

TableDescriptor People(TableOptions options = {}) {
  TableDescriptor d;
  d.name = "people";
  d.schema =
      arrow::schema({arrow::field("note", arrow::utf8()), arrow::field("id", arrow::int64(), false),
                     arrow::field("age", arrow::int64())});
  d.key_columns = {1};
  d.options = options;
  return d;
}

class AlterTableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Open();
    table_ = Must(db_->CreateTable(People(), true));
  }
  void Open() {
    options_.listener = [this](const DbEvent& event) {
      if (listener_) listener_(event);
    };
    db_ = Must(DB::Open(dir_.path(), options_));
    const auto table = db_->GetTable("people");
    if (table.ok()) table_ = *table;
  }
  void Reopen() {
    Must(db_->Close());
    db_ = nullptr;
    Open();
  }
  void Add(const std::string& name, std::shared_ptr<arrow::DataType> type) {
    table_ = Must(
        db_->AlterTable("people", TableChange::AddColumn(arrow::field(name, std::move(type)))));
  }
  void Drop(const std::string& name) {
    table_ = Must(db_->AlterTable("people", TableChange::DropColumn(name)));
  }
  void Rename(const std::string& from, const std::string& to) {
    table_ = Must(db_->AlterTable("people", TableChange::RenameColumn(from, to)));
  }
  void Insert(const Table& rows) { Must(InsertRows(db_.get(), table_, rows)); }
  Table Rows(const ScanOptions& options = {}) { return Must(ReadRows(db_.get(), table_, options)); }
  std::optional<Cells> Get(int64_t id, const ReadOptions& options = {}) {
    const std::string key = Must(CodecOf(table_)->EncodeScalars({arrow::MakeScalar(id)}));
    const auto row = Must(db_->GetRow(table_, key, options));
    if (!row) return std::nullopt;
    return CellsAt(*row->batch, row->row, DescriptorOf(table_).schema->num_fields());
  }
  std::vector<std::string> ColumnNames() { return DescriptorOf(table_).schema->field_names(); }
  /// What the table holds in memory, in files, after a compaction and after it was reopened.
  void ExpectEverywhere(const Table& want) {
    EXPECT_EQ(TextOf(Rows()), TextOf(want)) << "at once";
    Must(db_->Flush());
    EXPECT_EQ(TextOf(Rows()), TextOf(want)) << "flushed";
    Reopen();
    EXPECT_EQ(TextOf(Rows()), TextOf(want)) << "reopened";
    CompactOptions rewrite;
    rewrite.bottommost = BottommostFiles::kRewrite;
    Must(db_->CompactRange("people", {}, {}, rewrite));
    EXPECT_EQ(TextOf(Rows()), TextOf(want)) << "compacted";
    Reopen();
    EXPECT_EQ(TextOf(Rows()), TextOf(want)) << "compacted and reopened";
    const auto report = Verified();
    EXPECT_TRUE(report.ok()) << ReportToJson(report);
  }
  VerifyReport Verified() {
    Must(db_->Close());
    const auto report = Must(VerifyDatabase(io::FileSystem::Local(), dir_.path(), {}));
    Open();
    return report;
  }
  std::map<std::string, std::string> FilesNow() {
    std::map<std::string, std::string> files;
    for (const std::string& name : Must(io::FileSystem::Local()->List(dir_.path()))) {
      if (name.ends_with(".arrow") || name.ends_with(".idx")) {
        files[name] = Must(io::FileSystem::Local()->ReadFile(dir_.path() + "/" + name));
      }
    }
    return files;
  }

  TempDir dir_;
  DbOptions options_;
  std::function<void(const DbEvent&)> listener_;
  std::shared_ptr<DB> db_;
  TableHandle table_;
};

TEST_F(AlterTableTest, AnAddedColumnIsNullInTheRowsThatThereWere) {
  Insert({{{"id", "1"}, {"note", "a"}, {"age", "10"}}, {{"id", "2"}}});
  Must(db_->Flush());
  Insert({{{"id", "3"}, {"note", "c"}}});  // still in memory
  Add("score", arrow::float64());
  EXPECT_EQ(ColumnNames(), (std::vector<std::string>{"note", "id", "age", "score"}));
  EXPECT_EQ(Get(1), (Cells{{"id", "1"}, {"note", "a"}, {"age", "10"}}));
  Insert({{{"id", "2"}, {"score", "5"}}, {{"id", "4"}, {"score", "7"}}});
  ExpectEverywhere({{{"id", "1"}, {"note", "a"}, {"age", "10"}},
                    {{"id", "2"}, {"score", "5"}},
                    {{"id", "3"}, {"note", "c"}},
                    {{"id", "4"}, {"score", "7"}}});
  EXPECT_EQ(Get(2), (Cells{{"id", "2"}, {"score", "5"}}));
}

TEST_F(AlterTableTest, ADroppedColumnIsGoneAlsoWhenItsNameComesAgain) {
  Insert({{{"id", "1"}, {"note", "a"}, {"age", "10"}}});
  Must(db_->Flush());
  Drop("age");
  EXPECT_EQ(TextOf(Rows()), TextOf(Table{{{"id", "1"}, {"note", "a"}}}));
  Insert({{{"id", "2"}, {"note", "b"}}});
  // The same name and the same type: another column.
  Add("age", arrow::int64());
  EXPECT_EQ(ColumnNames(), (std::vector<std::string>{"note", "id", "age"}));
  Insert({{{"id", "3"}, {"age", "30"}}});
  ExpectEverywhere(
      {{{"id", "1"}, {"note", "a"}}, {{"id", "2"}, {"note", "b"}}, {{"id", "3"}, {"age", "30"}}});
}

TEST_F(AlterTableTest, ARenamedColumnKeepsItsValuesAlsoOfTheKey) {
  Insert({{{"id", "1"}, {"note", "a"}, {"age", "10"}}});
  Must(db_->Flush());
  Rename("age", "years");
  Rename("id", "number");
  Insert({{{"number", "2"}, {"years", "20"}}});
  // Names change hands.
  Rename("note", "age");
  Rename("years", "note");
  EXPECT_EQ(ColumnNames(), (std::vector<std::string>{"age", "number", "note"}));
  EXPECT_EQ(Get(1), (Cells{{"number", "1"}, {"age", "a"}, {"note", "10"}}));
  WriteBatch batch;
  const auto keys = arrow::schema({arrow::field("number", arrow::int64(), false)});
  Must(batch.DeleteRows(table_, BatchOf(keys, {{{"number", "7"}}})));
  Must(db_->Write(std::move(batch), {}));
  ExpectEverywhere(
      {{{"number", "1"}, {"age", "a"}, {"note", "10"}}, {{"number", "2"}, {"note", "20"}}});
}

TEST_F(AlterTableTest, ColumnsBeforeTheKeyMayGo) {
  // The key moves to another place in the schema, its encoding stays.
  for (int i = 0; i < 300; ++i) Insert({{{"id", std::to_string(i)}, {"note", "n"}, {"age", "1"}}});
  Must(db_->Flush());
  Drop("note");
  EXPECT_EQ(DescriptorOf(table_).key_columns, std::vector<int>{0});
  Table want;
  for (int i = 0; i < 300; ++i) want.push_back({{"id", std::to_string(i)}, {"age", "1"}});
  want[7] = {{"id", "7"}, {"age", "70"}};
  want.erase(want.begin() + 8);
  Insert({want[7]});
  WriteBatch batch;
  Must(batch.Delete(table_, Must(CodecOf(table_)->EncodeScalars({arrow::MakeScalar(int64_t{8})}))));
  Must(db_->Write(std::move(batch), {}));
  for (int64_t id : {0, 7, 64, 128, 299}) {
    EXPECT_EQ(Get(id), (Cells{{"id", std::to_string(id)}, {"age", id == 7 ? "70" : "1"}}));
  }
  EXPECT_EQ(Get(8), std::nullopt);
  EXPECT_EQ(Get(300), std::nullopt);
  ExpectEverywhere(want);
}

TEST_F(AlterTableTest, NoFileIsRewritten) {
  Table rows;
  for (int i = 0; i < 5000; ++i) rows.push_back({{"id", std::to_string(i)}, {"note", "text"}});
  Insert(rows);
  Must(db_->Flush());
  const auto before = FilesNow();
  ASSERT_EQ(before.size(), 2u);
  Add("a", arrow::utf8());
  Drop("note");
  Rename("age", "b");
  Reopen();
  EXPECT_EQ(FilesNow(), before);
  EXPECT_EQ(Rows().size(), 5000u);
}

TEST_F(AlterTableTest, CleanSlicesStayWithoutCopyAndNullsShareTheirZeros) {
  Table rows;
  for (int i = 0; i < 3000; ++i) {
    rows.push_back({{"id", std::to_string(i)}, {"note", "text"}, {"age", std::to_string(i)}});
  }
  Insert(rows);
  Must(db_->Flush());
  Drop("note");
  Add("score", arrow::float64());
  Add("text", arrow::utf8());
  Add("list", Numbers());
  auto it = Must(db_->NewIterator(table_, {}));
  const ScanBatch step = Must(it->Next());
  ASSERT_NE(step.sst, nullptr);
  ASSERT_EQ(step.batch->num_rows(), 3000);
  const auto file = step.sst->file()->bytes();
  const auto inside = [&](const uint8_t* at) {
    return reinterpret_cast<const char*>(at) >= file.data() &&
           reinterpret_cast<const char*>(at) < file.data() + file.size();
  };
  for (const char* name : {"id", "age"}) {
    EXPECT_TRUE(inside(step.batch->GetColumnByName(name)->data()->buffers[1]->data())) << name;
  }
  const auto& score = *step.batch->GetColumnByName("score");
  EXPECT_EQ(score.null_count(), 3000);
  EXPECT_EQ(score.data()->buffers[0]->data(), score.data()->buffers[1]->data());
  const auto& text = *step.batch->GetColumnByName("text");
  EXPECT_EQ(text.data()->buffers[1]->data(), score.data()->buffers[1]->data());
  EXPECT_EQ(step.batch->GetColumnByName("list")->null_count(), 3000);
  // Only what is asked for is looked at, by the table's columns.
  ScanOptions some;
  some.columns = std::make_shared<const std::vector<int>>(std::vector<int>{3, 1, 2});
  const auto batch = Must(Must(db_->NewIterator(table_, some))->Next()).batch;
  EXPECT_EQ(batch->schema()->field_names(), (std::vector<std::string>{"text", "age", "score"}));
  EXPECT_EQ(TextAt(*batch->column(1), 77), "77");
  EXPECT_TRUE(batch->column(0)->IsNull(77));
}

TEST_F(AlterTableTest, ZonesFollowTheColumn) {
  Insert({{{"id", "1"}, {"age", "10"}, {"note", "x"}}, {{"id", "2"}, {"age", "30"}}});
  Must(db_->Flush());
  Drop("note");
  Rename("age", "years");
  Add("age", arrow::int64());
  const auto check = [&] {
    auto it = Must(db_->NewIterator(table_, {}));
    const ScanBatch step = Must(it->Next());
    ASSERT_NE(step.sst, nullptr);
    const auto years = step.sst->zone_map(0, 1);
    EXPECT_TRUE(years.min->Equals(arrow::Int64Scalar(10)));
    EXPECT_TRUE(years.max->Equals(arrow::Int64Scalar(30)));
    EXPECT_EQ(years.null_count, 0);
    const auto age = step.sst->zone_map(0, 2);
    EXPECT_EQ(age.min, nullptr);
    EXPECT_EQ(age.max, nullptr);
    EXPECT_EQ(age.null_count, 2);
  };
  check();
  Reopen();
  check();
}

TEST_F(AlterTableTest, MistakesAreNamed) {
  const auto fails = [&](const TableChange& change, ErrorCode code,
                         const std::vector<std::string>& words) {
    const auto altered = db_->AlterTable("people", change);
    ASSERT_FALSE(altered.ok());
    EXPECT_EQ(CodeOf(altered.status()), code) << altered.status();
    for (const std::string& word : words) {
      EXPECT_THAT(MessageOf(altered.status()), HasSubstr(word));
    }
  };
  const auto int64 = [](const std::string& name, bool nullable = true) {
    return TableChange::AddColumn(arrow::field(name, arrow::int64(), nullable));
  };
  fails(int64("age"), ErrorCode::kSchema, {"'people'", "'age'", "already"});
  fails(int64("x", false), ErrorCode::kSchema, {"'people'", "'x'", "nullable"});
  fails(int64("__seq"), ErrorCode::kSchema, {"'people'", "'__seq'", "reserved"});
  fails(int64(""), ErrorCode::kInvalidArgument, {"'people'", "name"});
  fails(TableChange::AddColumn(nullptr), ErrorCode::kInvalidArgument, {"'people'"});
  fails(TableChange::AddColumn(arrow::field("u", arrow::utf8_view())), ErrorCode::kNotSupported,
        {"'people'", "'u'"});
  fails(TableChange::DropColumn("agee"), ErrorCode::kColumnNotFound,
        {"'people'", "'agee'", "did you mean 'age'", "note, id, age"});
  fails(TableChange::DropColumn("id"), ErrorCode::kSchema, {"'people'", "'id'", "primary key"});
  fails(TableChange::RenameColumn("nota", "x"), ErrorCode::kColumnNotFound,
        {"'nota'", "did you mean 'note'"});
  fails(TableChange::RenameColumn("note", "age"), ErrorCode::kSchema, {"'age'", "already"});
  fails(TableChange::RenameColumn("note", "note"), ErrorCode::kSchema, {"'note'", "already"});
  fails(TableChange::RenameColumn("note", ""), ErrorCode::kInvalidArgument, {"name"});
  EXPECT_EQ(ColumnNames(), (std::vector<std::string>{"note", "id", "age"}));
  EXPECT_TRUE(IsCurrent(table_));

  const auto missing = db_->AlterTable("peple", int64("x"));
  EXPECT_EQ(CodeOf(missing.status()), ErrorCode::kTableNotFound);
  Must(db_->CreateTable(StateFamily("state"), false));
  const auto state = db_->AlterTable("state", int64("x"));
  EXPECT_EQ(CodeOf(state.status()), ErrorCode::kNotSupported);
  EXPECT_THAT(MessageOf(state.status()), HasSubstr("'state'"));
  Must(db_->CreateTable(AppendTable("log"), false));
  Must(db_->AlterTable("log", TableChange::DropColumn("s")));
  const auto last = db_->AlterTable("log", TableChange::DropColumn("n"));
  EXPECT_EQ(CodeOf(last.status()), ErrorCode::kSchema);
  EXPECT_THAT(MessageOf(last.status()), AllOf(HasSubstr("'n'"), HasSubstr("'log'")));
  Must(db_->Close());
  EXPECT_EQ(CodeOf(db_->AlterTable("people", int64("x")).status()), ErrorCode::kClosed);
  Open();
}

TEST_F(AlterTableTest, FieldIdsAreNeverUsedAgain) {
  const auto state = [&] {
    Must(db_->Close());
    const auto loaded = Must(ManifestLog::Load(io::FileSystem::Local().get(), dir_.path()));
    Open();
    return loaded->state.tables.at(DescriptorOf(table_).id);
  };
  const auto ids = [&] { return state().field_ids; };
  EXPECT_EQ(ids(), (std::vector<uint32_t>{1, 2, 3}));
  Add("a", arrow::utf8());
  Drop("a");
  EXPECT_EQ(ids(), (std::vector<uint32_t>{1, 2, 3}));  // and yet:
  EXPECT_EQ(state().next_field_id, 5u);
  Add("a", arrow::utf8());
  EXPECT_EQ(ids(), (std::vector<uint32_t>{1, 2, 3, 5}));
  Drop("note");
  Rename("age", "b");
  EXPECT_EQ(ids(), (std::vector<uint32_t>{2, 3, 5}));
  // The files say them too.
  Insert({{{"id", "1"}, {"a", "x"}}});
  Must(db_->Flush());
  auto it = Must(db_->NewIterator(table_, {}));
  const auto path = Must(it->Next()).sst->file()->path();
  auto input = Must(arrow::io::ReadableFile::Open(path));
  auto reader = Must(arrow::ipc::RecordBatchFileReader::Open(input));
  std::vector<std::string> stored;
  for (const auto& field : reader->schema()->fields()) {
    stored.push_back(field->name() + "=" + Must(field->metadata()->Get(kFieldIdKey)));
  }
  EXPECT_EQ(stored, (std::vector<std::string>{"id=2", "b=3", "a=5"}));
  // A table with the same name is another one.
  Must(db_->DropTable("people", false));
  table_ = Must(db_->CreateTable(People(), false));
  EXPECT_EQ(ids(), (std::vector<uint32_t>{1, 2, 3}));
}

TEST_F(AlterTableTest, TheChangedTableIsIdenticalToOneCreatedSo) {
  Add("score", arrow::float64());
  Drop("note");
  TableDescriptor same = People();
  EXPECT_EQ(CodeOf(db_->CreateTable(same, true).status()), ErrorCode::kIncompatible);
  same.schema =
      arrow::schema({arrow::field("id", arrow::int64(), false), arrow::field("age", arrow::int64()),
                     arrow::field("score", arrow::float64())});
  same.key_columns = {0};
  EXPECT_EQ(Must(db_->CreateTable(same, true)), table_);
}

TEST_F(AlterTableTest, WhatWasMadeForTheOldColumnsIsRefused) {
  Insert({{{"id", "1"}, {"note", "a"}}});
  const TableHandle before = table_;
  const std::string key = Must(CodecOf(table_)->EncodeScalars({arrow::MakeScalar(int64_t{1})}));
  WriteBatch insert, remove, several;
  Must(insert.Insert(before, BatchOf(before, {{{"id", "2"}}})));
  Must(remove.Delete(before, key));
  const auto state = Must(db_->CreateTable(StateFamily("state"), false));
  Must(several.Put(state, "k", "v"));
  Must(several.Insert(before, BatchOf(before, {{{"id", "3"}}})));
  Add("score", arrow::float64());
  EXPECT_FALSE(IsCurrent(before));
  EXPECT_TRUE(IsCurrent(table_));
  const SequenceNumber last = db_->last_sequence();
  const auto refused = [](const Status& status) {
    EXPECT_EQ(CodeOf(status), ErrorCode::kSchemaChanged) << status;
    EXPECT_THAT(MessageOf(status), HasSubstr("'people'"));
  };
  refused(db_->Write(std::move(insert), {}).status());
  refused(db_->Write(std::move(remove), {}).status());
  refused(db_->Write(std::move(several), {}).status());
  refused(db_->GetRow(before, key, {}).status());
  refused(db_->Exists(before, key, {}).status());
  refused(db_->NewIterator(before, {}).status());
  refused(db_->Changes(before, last).status());
  refused(db_->BulkLoad(before, [] { return nullptr; }, {}).status());
  WriteBatch later;
  Must(later.Insert(before, BatchOf(before, {{{"id", "4"}}})));
  refused(db_->Write(std::move(later), {}).status());
  EXPECT_EQ(db_->last_sequence(), last);
  EXPECT_EQ(GetState(db_.get(), state, "k"), std::nullopt);
  ExpectEverywhere({{{"id", "1"}, {"note", "a"}}});
}

TEST_F(AlterTableTest, IteratorsAndSnapshotsOfBeforeGoOnWithTheirColumns) {
  Table rows;
  for (int i = 0; i < 100; ++i) {
    rows.push_back({{"id", std::to_string(i)}, {"note", "old"}, {"age", std::to_string(i)}});
  }
  Insert(rows);
  Must(db_->Flush());
  Insert({{{"id", "50"}, {"note", "newer"}}});
  rows[50] = {{"id", "50"}, {"note", "newer"}};
  const TableHandle before = table_;
  auto it = Must(db_->NewIterator(before, {}));
  const SnapshotRef snapshot = db_->GetSnapshot();
  Drop("note");
  Rename("age", "years");
  Insert({{{"id", "50"}, {"years", "51"}}, {{"id", "200"}}});
  Must(db_->Flush());
  CompactOptions rewrite;
  rewrite.bottommost = BottommostFiles::kRewrite;
  Must(db_->CompactRange("people", {}, {}, rewrite));
  Table seen;
  for (ScanBatch step = Must(it->Next()); step.batch != nullptr; step = Must(it->Next())) {
    Must(step.batch->ValidateFull());
    for (int64_t i = 0; i < step.batch->num_rows(); ++i) seen.push_back(CellsAt(*step.batch, i, 3));
  }
  EXPECT_EQ(TextOf(seen), TextOf(rows));
  // Through the handle of before the snapshot shows all of it; the new one its rows in the columns
  // that there are now.
  ScanOptions then;
  then.read.snapshot = snapshot;
  EXPECT_EQ(TextOf(Must(ReadRows(db_.get(), before, then))), TextOf(rows));
  const std::string key = Must(CodecOf(before)->EncodeScalars({arrow::MakeScalar(int64_t{50})}));
  const auto row = Must(db_->GetRow(before, key, then.read));
  EXPECT_EQ(CellsAt(*row->batch, row->row, 3), rows[50]);
  Table now;
  for (const Cells& cells : rows) {
    now.push_back({{"id", cells.at("id")}});
    if (cells.contains("age")) now.back()["years"] = cells.at("age");
  }
  EXPECT_EQ(TextOf(Rows(then)), TextOf(now));
  // A snapshot that was taken later does not bring the columns back.
  ScanOptions later;
  later.read.snapshot = db_->GetSnapshot();
  EXPECT_EQ(CodeOf(db_->NewIterator(before, later).status()), ErrorCode::kSchemaChanged);
}

TEST_F(AlterTableTest, FilesThatASnapshotKeptGoWithIt) {
  Insert({{{"id", "1"}, {"note", "a"}}});
  Must(db_->Flush());
  SnapshotRef snapshot = db_->GetSnapshot();
  Drop("age");
  CompactOptions rewrite;
  rewrite.bottommost = BottommostFiles::kRewrite;
  Must(db_->CompactRange("people", {}, {}, rewrite));
  EXPECT_EQ(FilesNow().size(), 4u);  // the snapshot's, and what was written of it
  snapshot = nullptr;
  EXPECT_EQ(FilesNow().size(), 2u);
  EXPECT_EQ(TextOf(Rows()), TextOf(Table{{{"id", "1"}, {"note", "a"}}}));
}

TEST_F(AlterTableTest, WritersGoOnAndLoseNothing) {
  // Each thread writes rows of its own, with whatever columns there are, and reads one back.
  constexpr int kThreads = 4;
  std::atomic<bool> stop{false};
  std::atomic<int> refused{0}, written{0};
  std::vector<std::map<int64_t, Cells>> wrote(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      TableHandle table = Must(db_->GetTable("people"));
      for (int64_t i = 0; !stop; ++i) {
        const int64_t id = i * kThreads + t;
        Cells cells{{"id", std::to_string(id)}};
        for (const auto& field : DescriptorOf(table).schema->fields()) {
          if (field->name() != "id") cells[field->name()] = std::to_string(id);
        }
        const Status status = InsertRows(db_.get(), table, {cells});
        if (status.ok()) {
          ++written;
          wrote[t][id] = std::move(cells);
          continue;
        }
        EXPECT_TRUE(CodeOf(status) == ErrorCode::kSchemaChanged ||
                    CodeOf(status) == ErrorCode::kBusy)
            << status;
        ++refused;
        table = Must(db_->GetTable("people"));
      }
    });
  }
  // By the time a column goes, what it held is not looked for any more.
  std::set<std::string> gone{"note"};
  Drop("note");
  for (int i = 0; i < 30; ++i) {
    const int before = written;
    while (written < before + 20) std::this_thread::yield();
    Add("c" + std::to_string(i), i % 2 == 0 ? arrow::int64() : arrow::utf8());
    if (i % 3 == 0) {
      Drop("c" + std::to_string(i / 3));
      gone.insert("c" + std::to_string(i / 3));
    }
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  std::map<int64_t, Cells> want;
  for (auto& rows : wrote) {
    for (auto& [id, cells] : rows) {
      for (const std::string& name : gone) cells.erase(name);
      want[id] = std::move(cells);
    }
  }
  Table all;
  for (auto& [id, cells] : want) all.push_back(std::move(cells));
  EXPECT_GT(refused, 0);
  ExpectEverywhere(all);
}

TEST_F(AlterTableTest, TheChangeFeedGivesEachCommitInTheColumnsOfItsTime) {
  const auto read = [](const ChangeBatch& batch) {
    Table rows;
    Must(batch.rows->ValidateFull());
    for (int64_t i = 0; i < batch.rows->num_rows(); ++i) {
      rows.push_back(CellsAt(*batch.rows, i, batch.rows->num_columns()));
    }
    return rows;
  };
  const SequenceNumber start = db_->last_sequence();
  auto feed = Must(db_->Changes(table_, start));
  auto slow = Must(db_->Changes(table_, start));  // keeps the log
  Insert({{{"id", "1"}, {"note", "a"}, {"age", "10"}}});
  Insert({{{"id", "2"}, {"note", "b"}}});
  Rename("age", "years");
  Drop("note");
  Insert({{{"id", "3"}, {"years", "30"}}});
  const std::string key = Must(CodecOf(table_)->EncodeScalars({arrow::MakeScalar(int64_t{1})}));
  WriteBatch batch;
  Must(batch.Delete(table_, key));
  const SequenceNumber last = Must(db_->Write(std::move(batch), {}));
  const auto first = *Must(feed->Next(1000));
  EXPECT_EQ(TextOf(read(first)),
            TextOf(Table{{{"op", "+U"}, {"id", "1"}, {"note", "a"}, {"age", "10"}},
                         {{"op", "+U"}, {"id", "2"}, {"note", "b"}}}));
  EXPECT_EQ(feed->schema()->field_names(), (std::vector<std::string>{"op", "note", "id", "age"}));
  const auto second = *Must(feed->Next(1000));
  EXPECT_EQ(TextOf(read(second)), TextOf(Table{{{"op", "+U"}, {"id", "3"}, {"years", "30"}},
                                               {{"op", "-D"}, {"id", "1"}}}));
  EXPECT_EQ(feed->schema()->field_names(), (std::vector<std::string>{"op", "id", "years"}));
  EXPECT_EQ(second.last_sequence, last);
  // Who begins in the past gets the past's columns.
  auto again = Must(db_->Changes(table_, start));
  EXPECT_EQ(again->schema()->field_names(), (std::vector<std::string>{"op", "note", "id", "age"}));
  EXPECT_EQ(TextOf(read(*Must(again->Next(1000)))), TextOf(read(first)));
  // Behind the first batch nothing has its columns.
  auto behind = Must(db_->Changes(table_, first.last_sequence));
  EXPECT_EQ(TextOf(read(*Must(behind->Next(1000)))), TextOf(read(second)));
  EXPECT_EQ(TextOf(read(*Must(slow->Next(1000)))), TextOf(read(first)));
}

TEST_F(AlterTableTest, CopiesHaveTheColumns) {
  Insert({{{"id", "1"}, {"note", "a"}, {"age", "10"}}});
  Must(db_->Flush());
  Drop("note");
  Add("note", arrow::utf8());
  Insert({{{"id", "2"}, {"note", "b"}}});  // in the log
  const Table want{{{"id", "1"}, {"age", "10"}}, {{"id", "2"}, {"note", "b"}}};
  const TempDir copies;
  Must(db_->Checkpoint(copies.path() + "/checkpoint", {}));
  Must(db_->Backup(copies.path() + "/backups", {}));
  Drop("age");
  Must(RestoreBackup(io::FileSystem::Local().get(), copies.path() + "/backups", 0,
                     io::FileSystem::Local(), copies.path() + "/restored", {}));
  for (const char* copy : {"/checkpoint", "/restored"}) {
    const auto db = Must(DB::Open(copies.path() + copy, {}));
    const auto table = Must(db->GetTable("people"));
    EXPECT_EQ(TextOf(Must(ReadRows(db.get(), table))), TextOf(want)) << copy;
    Must(db->Close());
    const auto report = Must(VerifyDatabase(io::FileSystem::Local(), copies.path() + copy, {}));
    EXPECT_TRUE(report.ok()) << copy << ReportToJson(report);
  }
}

TEST_F(AlterTableTest, ABulkLoadMayBeUnderWay) {
  // The load began with the old columns: its rows are read like all others of before.
  bool altered = false;
  int batches = 0;
  const TableHandle before = table_;
  const auto source = [&]() -> Result<std::shared_ptr<arrow::RecordBatch>> {
    if (batches == 2) return nullptr;
    if (batches == 1) {
      Drop("note");
      Add("score", arrow::float64());
      altered = true;
    }
    const std::string id = std::to_string(++batches);
    return BatchOf(before, {{{"id", id}, {"note", "n" + id}, {"age", id}}});
  };
  const auto info = Must(db_->BulkLoad(before, source, {}));
  EXPECT_TRUE(altered);
  EXPECT_EQ(info.rows, 2u);
  const Table want{{{"id", "1"}, {"age", "1"}}, {{"id", "2"}, {"age", "2"}}};
  EXPECT_EQ(TextOf(Rows()), TextOf(want));
  ExpectEverywhere(want);
}

TEST_F(AlterTableTest, ACompactionMayBeUnderWay) {
  for (int round = 0; round < 2; ++round) {
    Table rows;
    for (int i = 0; i < 100; ++i) {
      rows.push_back(
          {{"id", std::to_string(i)}, {"note", "r" + std::to_string(round)}, {"age", "1"}});
    }
    Insert(rows);
    Must(db_->Flush());
  }
  // When its files are written and not yet installed, the columns change.
  std::atomic<bool> once{false};
  listener_ = [&](const DbEvent& event) {
    if (event.kind != DbEvent::Kind::kCompaction || event.phase != DbEvent::Phase::kInstall) return;
    if (once.exchange(true)) return;
    std::thread([&] {
      Drop("age");
      Add("score", arrow::float64());
    }).join();
  };
  Must(db_->Compact("people"));
  listener_ = nullptr;
  EXPECT_TRUE(once);
  Table want;
  for (int i = 0; i < 100; ++i) want.push_back({{"id", std::to_string(i)}, {"note", "r1"}});
  std::sort(want.begin(), want.end(), [](const Cells& a, const Cells& b) {
    return std::stoi(a.at("id")) < std::stoi(b.at("id"));
  });
  EXPECT_EQ(FilesNow().size(), 2u);
  ExpectEverywhere(want);
}

TEST_F(AlterTableTest, AFileMayBeMoving) {
  Insert({{{"id", "1"}, {"note", "a"}, {"age", "1"}}});
  Must(db_->Flush());
  std::atomic<bool> once{false};
  listener_ = [&](const DbEvent& event) {
    if (event.kind != DbEvent::Kind::kCompaction || event.phase != DbEvent::Phase::kBegin) return;
    if (once.exchange(true)) return;
    std::thread([&] { Drop("age"); }).join();
  };
  Must(db_->Compact("people"));
  listener_ = nullptr;
  EXPECT_TRUE(once);
  EXPECT_EQ(FilesNow().size(), 2u);
  EXPECT_EQ(TextOf(Rows()), TextOf(Table{{{"id", "1"}, {"note", "a"}}}));
  // It is in one place only.
  EXPECT_EQ(db_->metrics().tables[0].sst_files, 1u);
  ExpectEverywhere({{{"id", "1"}, {"note", "a"}}});
}

TEST_F(AlterTableTest, TablesWithoutKeyWithExpiryOrWithoutLogCanBeAlteredToo) {
  TableDescriptor log = People();
  log.name = "log";
  log.key_columns = {};
  TableDescriptor expiring = People();
  expiring.name = "expiring";
  expiring.options.ttl_ms = 1'000'000'000;
  TableDescriptor unlogged = People();
  unlogged.name = "unlogged";
  unlogged.options.logged = false;
  for (const TableDescriptor& descriptor : {log, expiring, unlogged}) {
    SCOPED_TRACE(descriptor.name);
    TableHandle table = Must(db_->CreateTable(descriptor, false));
    Must(InsertRows(db_.get(), table, {{{"id", "1"}, {"note", "a"}, {"age", "10"}}}));
    Must(db_->Flush());
    Must(InsertRows(db_.get(), table, {{{"id", "2"}, {"note", "b"}}}));
    table = Must(db_->AlterTable(descriptor.name, TableChange::DropColumn("note")));
    table = Must(
        db_->AlterTable(descriptor.name, TableChange::AddColumn(arrow::field("list", Numbers()))));
    Must(InsertRows(db_.get(), table, {{{"id", "3"}, {"list", "4 5"}}}));
    const Table want{{{"id", "1"}, {"age", "10"}}, {{"id", "2"}}, {{"id", "3"}, {"list", "4 5"}}};
    EXPECT_EQ(TextOf(Must(ReadRows(db_.get(), table))), TextOf(want));
    Must(db_->Flush());
    ScanOptions reverse;
    reverse.reverse = true;
    EXPECT_EQ(TextOf(Must(ReadRows(db_.get(), table, reverse))),
              TextOf(Table(want.rbegin(), want.rend())));
    Reopen();
    table = Must(db_->GetTable(descriptor.name));
    Must(db_->Compact(descriptor.name));
    EXPECT_EQ(TextOf(Must(ReadRows(db_.get(), table))), TextOf(want));
  }
  EXPECT_TRUE(Verified().ok());
}

TEST_F(AlterTableTest, InspectionShowsTheColumnsOfNow) {
  Insert({{{"id", "1"}, {"note", "a"}, {"age", "10"}}});
  Must(db_->Flush());
  Drop("note");
  Add("score", arrow::float64());
  Must(db_->Close());
  InspectOptions options;
  options.zone_maps = true;
  const auto text =
      Must(InspectionToJson(Must(InspectDatabase(io::FileSystem::Local(), dir_.path(), options))));
  EXPECT_THAT(text, AllOf(HasSubstr("score"), ::testing::Not(HasSubstr("\"note\""))));
  Open();
}

}  // namespace
}  // namespace marble::lsm
