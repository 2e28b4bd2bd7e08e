// A database written by a release that knew no field ids: the fields of its .arrow files have none
// in their metadata, its .idx files lack property 18, its manifest field 22. Its files are read
// right after columns have been dropped, added and renamed. The fixture
// (test/fixtures/database-before-field-ids) says how it was made.
#include <arrow/io/file.h>
#include <arrow/ipc/reader.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "alter_fixture.h"
#include "lsm/backup/verify.h"
#include "lsm/sst/file_schema.h"
#include "lsm/sst/idx_file.h"
#include "lsm/sst/properties.h"

namespace marble::lsm {
namespace {

using namespace testing;
namespace fs = std::filesystem;

/// A row as the fixture was given it: note, id and age.
Cells RowOf(int64_t id) {
  Cells cells{{"id", std::to_string(id)}};
  if (id % 7 != 0) cells["note"] = "note " + std::to_string(id);
  if (id % 5 != 0) cells["age"] = std::to_string(2 * id);
  return cells;
}
std::vector<Cells> People() {
  std::vector<Cells> rows;
  for (int64_t id = 0; id < 310; ++id) {
    if (id < 200 || id >= 300) rows.push_back(RowOf(id));
    if (id >= 50 && id < 60) rows.back()["note"] = "newer";
  }
  // Deleted, in a file and in the log.
  std::erase_if(rows, [](const Cells& cells) {
    const int64_t id = std::stoll(cells.at("id"));
    return (id >= 60 && id < 65) || id == 70;
  });
  return rows;
}
std::vector<Cells> Log() {
  std::vector<Cells> rows;
  for (int64_t id = 0; id < 55; ++id) {
    rows.push_back(RowOf(id));
  }
  return rows;
}

class BeforeFieldIdsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::copy(fs::path(MARBLE_SOURCE_DIR) / "test/fixtures/database-before-field-ids", dir_.path(),
             fs::copy_options::recursive);
    fs::rename(dir_.path() + "/000003.log-segment", dir_.path() + "/000003.log");
    fs::remove(dir_.path() + "/README.md");
    Open();
  }
  void Open() { db_ = Must(DB::Open(dir_.path(), {})); }
  void Reopen() {
    Must(db_->Close());
    db_ = nullptr;
    Open();
  }
  void Alter(const std::string& table, const TableChange& change) {
    Must(db_->AlterTable(table, change));
  }
  std::string Rows(const std::string& table) {
    return TextOf(Must(ReadRows(db_.get(), Must(db_->GetTable(table)))));
  }
  /// At once, after a reopening, and when all is written anew.
  void ExpectRows(const std::string& table, const std::vector<Cells>& want) {
    EXPECT_EQ(Rows(table), TextOf(want)) << table;
    Reopen();
    EXPECT_EQ(Rows(table), TextOf(want)) << table << ", reopened";
    CompactOptions rewrite;
    rewrite.bottommost = BottommostFiles::kRewrite;
    Must(db_->CompactRange(table, {}, {}, rewrite));
    EXPECT_EQ(Rows(table), TextOf(want)) << table << ", compacted";
    Reopen();
    EXPECT_EQ(Rows(table), TextOf(want)) << table << ", compacted and reopened";
    Must(db_->Close());
    const auto report = Must(VerifyDatabase(io::FileSystem::Local(), dir_.path(), {}));
    EXPECT_TRUE(report.ok()) << ReportToJson(report);
    Open();
  }

  TempDir dir_;
  std::shared_ptr<DB> db_;
};

TEST_F(BeforeFieldIdsTest, TheFixtureHasNone) {
  int files = 0;
  Must(db_->Close());
  const fs::path fixture = fs::path(MARBLE_SOURCE_DIR) / "test/fixtures/database-before-field-ids";
  for (const auto& entry : fs::directory_iterator(fixture)) {
    const std::string path = entry.path().string();
    if (path.ends_with(".idx")) {
      const auto idx = Must(IdxFile::Open(io::FileSystem::Local().get(), path));
      const auto properties = Must(DecodeProperties(*idx->section(IdxSection::kProperties)));
      EXPECT_TRUE(properties.field_ids.empty()) << path;
      ++files;
    } else if (path.ends_with(".arrow")) {
      auto reader =
          Must(arrow::ipc::RecordBatchFileReader::Open(Must(arrow::io::ReadableFile::Open(path))));
      for (const auto& field : reader->schema()->fields()) {
        EXPECT_TRUE(field->metadata() == nullptr || !field->metadata()->Contains(kFieldIdKey));
      }
    }
  }
  EXPECT_EQ(files, 3);
  Open();
}

TEST_F(BeforeFieldIdsTest, ItIsReadAsItIs) {
  ExpectRows("people", People());
  ExpectRows("log", Log());
}

TEST_F(BeforeFieldIdsTest, ADroppedColumnBeforeTheOthersIsNotReadForThem) {
  for (const char* table : {"people", "log"}) {
    Alter(table, TableChange::DropColumn("note"));
    std::vector<Cells> want = table == std::string("people") ? People() : Log();
    for (Cells& cells : want) cells.erase("note");
    ExpectRows(table, want);
  }
}

TEST_F(BeforeFieldIdsTest, ADroppedColumnIsGoneAlsoWhenItsNameAndItsPlaceComeAgain) {
  for (const char* table : {"people", "log"}) {
    // The last one: by position the new column would be the one of before.
    Alter(table, TableChange::DropColumn("age"));
    Alter(table, TableChange::AddColumn(arrow::field("age", arrow::int64())));
    std::vector<Cells> want = table == std::string("people") ? People() : Log();
    for (Cells& cells : want) cells.erase("age");
    EXPECT_EQ(Rows(table), TextOf(want));
    Must(InsertRows(db_.get(), Must(db_->GetTable(table)), {{{"id", "400"}, {"age", "4"}}}));
    want.push_back({{"id", "400"}, {"age", "4"}});
    ExpectRows(table, want);
  }
}

TEST_F(BeforeFieldIdsTest, NamesMayChangeHands) {
  for (const char* table : {"people", "log"}) {
    Alter(table, TableChange::AddColumn(arrow::field("score", arrow::float64())));
    Alter(table, TableChange::RenameColumn("age", "years"));
    Alter(table, TableChange::RenameColumn("id", "age"));
    Alter(table, TableChange::RenameColumn("score", "id"));
    std::vector<Cells> want;
    for (const Cells& cells : table == std::string("people") ? People() : Log()) {
      want.push_back({{"age", cells.at("id")}});
      if (cells.contains("note")) want.back()["note"] = cells.at("note");
      if (cells.contains("age")) want.back()["years"] = cells.at("age");
    }
    ExpectRows(table, want);
  }
}

TEST_F(BeforeFieldIdsTest, KeysAreFoundInOldFilesWithOtherColumns) {
  Alter("people", TableChange::DropColumn("note"));
  Alter("people", TableChange::AddColumn(arrow::field("note", arrow::int64())));
  const TableHandle table = Must(db_->GetTable("people"));
  std::map<int64_t, Cells> want;
  for (Cells cells : People()) {
    cells.erase("note");
    want[std::stoll(cells.at("id"))] = cells;
  }
  for (int64_t id = -1; id < 320; ++id) {
    const std::string key = Must(CodecOf(table)->EncodeScalars({arrow::MakeScalar(id)}));
    const auto row = Must(db_->GetRow(table, key, {}));
    ASSERT_EQ(row.has_value(), want.contains(id)) << id;
    if (row) {
      EXPECT_EQ(CellsAt(*row->batch, row->row, 3), want[id]);
    }
  }
}

}  // namespace
}  // namespace marble::lsm
