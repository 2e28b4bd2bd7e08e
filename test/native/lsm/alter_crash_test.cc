// Columns changed while calls of the file system fail or the power does, at every single call of a
// short life of a database: afterwards the table has the columns of before or those of after, and
// every acknowledged row, each value under the column that it was written to.
#include <gtest/gtest.h>

#include <functional>

#include "alter_fixture.h"
#include "io/fault_injection_file_system.h"
#include "io/memory_file_system.h"
#include "lsm/backup/verify.h"

namespace marble::lsm {
namespace {

using namespace testing;
using io::Fault;
using io::FaultInjectionFileSystem;

constexpr const char* kRoot = "/disk";
constexpr const char* kDir = "/disk/db";

/// A table as it must be: its columns by id, in order, and rows by key with values by column id.
struct Model {
  struct Column {
    int id;
    std::string name;
    std::shared_ptr<arrow::DataType> type;
  };
  std::vector<Column> columns;
  std::map<int64_t, std::map<int, std::string>> rows;

  std::string Text() const {
    std::string text;
    for (const Column& column : columns) text += column.name + ":" + column.type->ToString() + " ";
    for (const auto& [key, values] : rows) {
      text += "\n" + std::to_string(key) + ":";
      for (const Column& column : columns) {
        const auto value = values.find(column.id);
        text += " " + (value == values.end() ? "null" : value->second);
      }
    }
    return text;
  }
};

std::string TextOf(DB* db) {
  const auto table = db->GetTable("t");
  if (!table.ok()) return "no table";
  const auto& schema = *DescriptorOf(*table).schema;
  std::string text;
  for (const auto& field : schema.fields()) {
    text += field->name() + ":" + field->type()->ToString() + " ";
  }
  for (const Cells& row : Must(ReadRows(db, *table))) {
    // The key is the column that never goes; it is called k, or later key.
    text += "\n" + (row.contains("k") ? row.at("k") : row.at("key")) + ":";
    for (const auto& field : schema.fields()) {
      const auto cell = row.find(field->name());
      text += " " + (cell == row.end() ? "null" : cell->second);
    }
  }
  return text;
}

/// One life: writes and changes of columns. What is acknowledged is the model; what was under way
/// when a call failed may have happened or not.
class Life {
 public:
  explicit Life(std::shared_ptr<io::FileSystem> files) { options_.file_system = std::move(files); }

  /// The states that may be found afterwards: the last acknowledged one first.
  const std::vector<std::string>& possible() const { return possible_; }

  void Run() {
    options_.log_segment_bytes = 16 << 10;
    options_.max_block_ms = 100;
    options_.compaction_trigger = 2;
    options_.max_compactions = 1;
    auto opened = DB::Open(kDir, options_);
    if (!opened.ok()) return;
    db_ = *opened;
    Steps();
    (void)db_->Close();
    db_ = nullptr;
  }

 private:
  using Change = std::function<void(Model*)>;

  void Steps() {
    TableDescriptor t;
    t.name = "t";
    t.schema =
        arrow::schema({arrow::field("a", arrow::int64()), arrow::field("k", arrow::int64(), false),
                       arrow::field("b", arrow::utf8())});
    t.key_columns = {1};
    Do([&] { return db_->CreateTable(t, false).status(); },
       [](Model* m) {
         m->columns = {{1, "a", arrow::int64()}, {2, "k", arrow::int64()}, {3, "b", arrow::utf8()}};
       });
    Insert(0, 6);
    Do([&] { return db_->Flush(); }, [](Model*) {});
    Insert(3, 9);
    Alter(TableChange::AddColumn(arrow::field("c", arrow::float64())),
          [](Model* m) { m->columns.push_back({4, "c", arrow::float64()}); });
    Insert(6, 12);
    Alter(TableChange::DropColumn("a"), [](Model* m) { m->columns.erase(m->columns.begin()); });
    Insert(1, 4);
    Alter(TableChange::AddColumn(arrow::field("a", arrow::int64())),
          [](Model* m) { m->columns.push_back({5, "a", arrow::int64()}); });
    Alter(TableChange::RenameColumn("k", "key"), [](Model* m) { m->columns[0].name = "key"; });
    Insert(5, 7);
    Do([&] { return db_->Compact("t"); }, [](Model*) {});
    Alter(TableChange::DropColumn("b"), [](Model* m) { m->columns.erase(m->columns.begin() + 1); });
    Insert(20, 22);
  }

  void Alter(const TableChange& change, const Change& model) {
    Do([&] { return db_->AlterTable("t", change).status(); }, model);
  }

  void Insert(int64_t from, int64_t to) {
    ++writes_;
    // What is written where: by the model's columns, under their names.
    std::vector<Cells> rows;
    std::map<int64_t, std::map<int, std::string>> values;
    for (int64_t key = from; key < to; ++key) {
      Cells cells;
      for (const Model::Column& column : model_.columns) {
        const std::string value =
            column.id == 2 ? std::to_string(key) : std::to_string(writes_ * 1000 + column.id);
        if (column.id != 2 && (key + column.id) % 4 == 0) continue;  // a null
        cells[column.name] = value;
        values[key][column.id] = value;
      }
      rows.push_back(std::move(cells));
    }
    Do(
        [&]() -> Status {
          MARBLE_ASSIGN_OR_RETURN(const TableHandle table, db_->GetTable("t"));
          return InsertRows(db_.get(), table, rows, {Durability::kPower});
        },
        [&](Model* m) {
          for (const auto& [key, cells] : values) m->rows[key] = cells;
        });
  }

  void Do(const std::function<Status()>& step, const Change& change) {
    if (failed_) return;
    Model after = model_;
    change(&after);
    const Status status = step();
    if (status.ok()) {
      model_ = std::move(after);
      possible_ = {Text(model_)};
    } else {
      failed_ = true;
      possible_ = {Text(model_), Text(after)};
    }
  }
  static std::string Text(const Model& model) {
    return model.columns.empty() ? "no table" : model.Text();
  }

  DbOptions options_;
  std::shared_ptr<DB> db_;
  Model model_;
  int writes_ = 0;
  bool failed_ = false;
  std::vector<std::string> possible_{"no table"};
};

/// Open what there is, compare, go on a little and verify.
void Check(const std::shared_ptr<io::FileSystem>& files, const Life& life,
           const std::string& when) {
  DbOptions options;
  options.log_segment_bytes = 16 << 10;
  options.file_system = files;
  for (const char* again : {"opened", "opened again"}) {
    auto opened = DB::Open(kDir, options);
    ASSERT_TRUE(opened.ok()) << when << ": " << opened.status();
    const auto db = *opened;
    const std::string found = TextOf(db.get());
    bool possible = false;
    for (const std::string& text : life.possible()) possible |= text == found;
    ASSERT_TRUE(possible) << when << ", " << again << ": found " << found << "\n\ninstead of "
                          << life.possible().front() << "\n\nor " << life.possible().back();
    Must(db->Flush());
    Must(db->Compact(""));
    EXPECT_EQ(TextOf(db.get()), found) << when << ", compacted";
    Must(db->Close());
  }
  const auto report = Must(VerifyDatabase(files, kDir, {}));
  EXPECT_TRUE(report.ok()) << when << ReportToJson(report);
}

std::shared_ptr<FaultInjectionFileSystem> NewDisk(std::shared_ptr<io::FileSystem>* base) {
  *base = std::make_shared<io::MemoryFileSystem>();
  Must((*base)->CreateDirs(kRoot));
  return Must(FaultInjectionFileSystem::Make(*base, kRoot));
}

uint64_t CallsOfALife() {
  std::shared_ptr<io::FileSystem> base;
  const auto files = NewDisk(&base);
  Life life(files);
  life.Run();
  EXPECT_EQ(life.possible().size(), 1u);
  Check(base, life, "without a fault");
  return files->total_calls();
}

TEST(AlterCrashTest, APowerLossAtAnyCallLeavesTheOldColumnsOrTheNewOnes) {
  const uint64_t calls = CallsOfALife();
  EXPECT_GT(calls, 100u);
  for (uint64_t n = 1; n <= calls && !HasFatalFailure(); ++n) {
    std::shared_ptr<io::FileSystem> base;
    const auto files = NewDisk(&base);
    files->LosePowerAt(n, /*seed=*/n);
    Life life(files);
    life.Run();
    if (!files->power_lost()) files->LosePower(n);
    const auto restored = std::make_shared<io::MemoryFileSystem>();
    Must(files->Restore(restored.get(), kRoot));
    Check(restored, life, "the power failed at call " + std::to_string(n));
  }
}

TEST(AlterCrashTest, AFailingCallLeavesTheOldColumnsOrTheNewOnes) {
  const uint64_t calls = CallsOfALife();
  for (uint64_t n = 1; n <= calls && !HasFatalFailure(); ++n) {
    std::shared_ptr<io::FileSystem> base;
    const auto files = NewDisk(&base);
    files->Inject({.nth = n, .error = n % 2 == 0 ? 5 : 28});  // EIO, ENOSPC
    Life life(files);
    life.Run();
    files->Heal();
    Check(base, life, "call " + std::to_string(n) + " failed");
  }
}

}  // namespace
}  // namespace marble::lsm
