// A table whose columns change at random, and what must be read of it: rows are kept by the ids of
// their columns, so that a name that comes again is another column. Names and types are few: names
// come again and change hands, and columns of one type take each other's place. For the random
// test (model_test.cc). One thread.
#pragma once

#include <arrow/api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "alter_fixture.h"

namespace marble::lsm::testing {

class AlteredTable {
 public:
  struct Column {
    uint32_t id;
    std::string name;
    std::shared_ptr<arrow::DataType> type;
    bool operator==(const Column& other) const {
      return id == other.id && name == other.name && type->Equals(*other.type);
    }
  };
  using Values = std::map<uint32_t, std::string>;  // by column; one that is not there is null
  /// The table at a moment. Copies share their rows.
  struct State {
    TableHandle handle;  // of these columns
    std::vector<Column> columns;
    uint32_t next_id = 1;
    std::map<int64_t, std::shared_ptr<const Values>> rows;  // by key, or in the order of insertion
  };
  using Pick = std::function<int(size_t)>;

  /// `keyed`: with the primary key `k`, an int64; else without one.
  AlteredTable(std::string name, bool keyed, TableOptions options, Pick pick)
      : name_(std::move(name)), keyed_(keyed), options_(std::move(options)), pick_(pick) {}

  const std::string& name() const { return name_; }

  /// Create the table, or find it with the columns that it had.
  void Open(DB* db, State* state) {
    if (!state->columns.empty()) {
      state->handle = Must(db->GetTable(name_));
      CheckColumns(*state);
      return;
    }
    TableDescriptor d;
    d.name = name_;
    d.schema = arrow::schema({arrow::field("a", arrow::int64()),
                              arrow::field("k", arrow::int64(), /*nullable=*/!keyed_),
                              arrow::field("b", arrow::utf8()), arrow::field("c", Numbers())});
    if (keyed_) d.key_columns = {1};
    d.options = options_;
    state->handle = Must(db->CreateTable(d, false));
    for (const auto& field : d.schema->fields()) {
      state->columns.push_back({state->next_id++, field->name(), field->type()});
    }
  }

  void Insert(WriteBatch* batch, State* state) {
    std::vector<int64_t> keys;
    if (pick_(15) == 0) {  // a sorted stretch: files with clean ranges, several batches
      const int64_t begin = 1000 + pick_(2000);
      for (int64_t i = 0; i < 700; ++i) keys.push_back(begin + i);
    } else {
      for (int i = 1 + pick_(20); i > 0; --i) keys.push_back(RandomKey());
    }
    std::vector<Cells> rows;
    for (int64_t key : keys) {
      Values values;
      for (const Column& column : state->columns) {
        if (keyed_ && column.id == kKeyColumn) {
          values[column.id] = std::to_string(key);
        } else if (pick_(4) != 0) {
          values[column.id] = RandomText(*column.type);
        }
      }
      Cells cells;
      for (const Column& column : state->columns) {
        if (values.contains(column.id)) cells[column.name] = values[column.id];
      }
      rows.push_back(std::move(cells));
      if (!keyed_) key = state->rows.empty() ? 0 : state->rows.rbegin()->first + 1;
      state->rows[key] = std::make_shared<const Values>(std::move(values));
    }
    Must(batch->Insert(state->handle, BatchOf(state->handle, rows)));
  }

  /// Some rows or a range of them. Not without a key.
  void Delete(WriteBatch* batch, State* state) {
    if (pick_(2) == 0) {
      const int64_t from = RandomKey(), to = from + 1 + pick_(pick_(3) ? 6 : 500);
      Must(batch->DeleteRange(state->handle, Encoded(*state, from), Encoded(*state, to)));
      state->rows.erase(state->rows.lower_bound(from), state->rows.lower_bound(to));
      return;
    }
    std::vector<Cells> keys;
    for (int i = 1 + pick_(6); i > 0; --i) {
      const int64_t key = RandomKey();
      keys.push_back({{KeyName(*state), std::to_string(key)}});
      state->rows.erase(key);
    }
    const auto schema = arrow::schema({arrow::field(KeyName(*state), arrow::int64(), false)});
    Must(batch->DeleteRows(state->handle, BatchOf(schema, keys)));
  }

  /// Change the columns, perhaps while an iterator is open; what was made for the columns of before
  /// is refused from then on.
  void Alter(DB* db, State* state) {
    if (pick_(8) == 0) Mistake(db, *state);
    State after = *state;
    const TableChange change = RandomChange(&after);
    std::unique_ptr<Iterator> iterator;
    std::vector<std::string> seen;
    const auto take = [&] {
      const ScanBatch step = Must(iterator->Next());
      for (int64_t i = 0; step.batch != nullptr && i < step.batch->num_rows(); ++i) {
        seen.push_back(Text(*step.batch, i));
      }
      return step.batch != nullptr;
    };
    if (pick_(3) == 0) {
      iterator = Must(db->NewIterator(state->handle, {}));
      if (pick_(2) == 0) take();
    }
    WriteBatch stale;
    State never = *state;
    Insert(&stale, &never);
    after.handle = Must(db->AlterTable(name_, change));
    CheckColumns(after);
    const auto refused = [](const Status& status) {
      EXPECT_EQ(CodeOf(status), ErrorCode::kSchemaChanged) << status;
    };
    refused(db->Write(std::move(stale), {}).status());
    refused(db->NewIterator(state->handle, {}).status());
    if (iterator != nullptr) {
      if (pick_(2) == 0) {
        WriteBatch batch;
        Insert(&batch, &after);
        Must(db->Write(std::move(batch), {}));
      }
      if (pick_(2) == 0) Must(db->Compact(name_));
      while (take()) continue;
      EXPECT_EQ(seen, Expected(*state, *state, All(*state))) << "an iterator of before";
    }
    *state = std::move(after);
  }

  /// Look for keys: `then` has the rows, as of `read`; `with` the columns and the handle.
  void CheckGets(DB* db, const State& with, const State& then, const ReadOptions& read) {
    if (!keyed_) return;
    for (int i = 0; i < 10; ++i) {
      const int64_t key = RandomKey();
      const auto want = then.rows.find(key);
      const auto found = Must(db->GetRow(with.handle, Encoded(with, key), read));
      ASSERT_EQ(found.has_value(), want != then.rows.end()) << name_ << ", key " << key;
      if (!found) continue;
      ASSERT_EQ(Text(*found->batch, found->row, static_cast<int>(with.columns.size())),
                Text(with, *want->second, All(with)));
    }
  }

  /// Scan, of a table with a key perhaps a range of it; all columns or some.
  void CheckScan(DB* db, const State& with, const State& then, ScanOptions options) {
    std::optional<int64_t> from, to;
    options.range = {};
    if (keyed_ && pick_(3) == 0) from = RandomKey();
    if (keyed_ && pick_(3) == 0) to = RandomKey();
    if (from) options.range.lower = Encoded(with, *from);
    if (to) options.range.upper = Encoded(with, *to);
    std::vector<int> columns = All(with);
    if (pick_(3) == 0) {
      for (size_t i = columns.size(); i > 1; --i) std::swap(columns[i - 1], columns[pick_(i)]);
      columns.resize(1 + pick_(columns.size()));
      options.columns = std::make_shared<const std::vector<int>>(columns);
    }
    std::vector<std::string> want;
    for (auto it = from ? then.rows.lower_bound(*from) : then.rows.begin();
         it != then.rows.end() && (!to || it->first < *to); ++it) {
      want.push_back(Text(with, *it->second, columns));
    }
    if (options.reverse) std::reverse(want.begin(), want.end());
    if (options.limit >= 0 && want.size() > static_cast<size_t>(options.limit)) {
      want.resize(static_cast<size_t>(options.limit));
    }
    std::vector<std::string> got;
    for (const auto& batch : Must(ScanBatches(db, with.handle, options))) {
      ASSERT_EQ(batch->num_columns(), static_cast<int>(columns.size()));
      for (size_t c = 0; c < columns.size(); ++c) {
        const auto& field = *batch->schema()->field(static_cast<int>(c));
        ASSERT_EQ(field.name(), with.columns[columns[c]].name);
        ASSERT_TRUE(field.type()->Equals(*with.columns[columns[c]].type)) << field.ToString();
      }
      for (int64_t i = 0; i < batch->num_rows(); ++i) got.push_back(Text(*batch, i));
    }
    ASSERT_EQ(got, want) << name_;
  }

 private:
  static constexpr uint32_t kKeyColumn = 2;

  int64_t RandomKey() { return pick_(4) ? pick_(60) - 20 : 1000 + pick_(2700); }

  std::string RandomText(const arrow::DataType& type) {
    switch (type.id()) {
      case arrow::Type::BOOL:
        return pick_(2) ? "true" : "false";
      case arrow::Type::STRING:
        return std::string(pick_(pick_(20) ? 30 : 2000), 'a' + pick_(26));
      case arrow::Type::LIST: {
        std::string text;
        for (int i = pick_(4); i > 0; --i) {
          text += (text.empty() ? "" : " ") + std::to_string(pick_(1000));
        }
        return text;
      }
      default:
        return std::to_string(pick_(1000) - 500);
    }
  }

  TableChange RandomChange(State* after) {
    std::vector<std::string> names;  // not taken
    for (const char* name : {"a", "b", "c", "d", "e", "k", "x"}) {
      if (std::none_of(after->columns.begin(), after->columns.end(),
                       [&](const Column& column) { return column.name == name; })) {
        names.push_back(name);
      }
    }
    const auto name = [&] { return names[pick_(names.size())]; };
    const size_t columns = after->columns.size();
    while (true) {
      const int what = pick_(3);
      if (what == 0 && !names.empty()) {
        const std::shared_ptr<arrow::DataType> types[] = {
            arrow::int64(), arrow::float64(), arrow::boolean(), arrow::utf8(), Numbers()};
        after->columns.push_back({after->next_id++, name(), types[pick_(std::size(types))]});
        const Column& added = after->columns.back();
        return TableChange::AddColumn(arrow::field(added.name, added.type));
      }
      const size_t at = pick_(columns);
      const std::string was = after->columns[at].name;
      if (what == 1 && columns > 1 && !(keyed_ && after->columns[at].id == kKeyColumn)) {
        after->columns.erase(after->columns.begin() + static_cast<std::ptrdiff_t>(at));
        return TableChange::DropColumn(was);
      }
      if (what == 2 && !names.empty()) {
        after->columns[at].name = name();
        return TableChange::RenameColumn(was, after->columns[at].name);
      }
    }
  }

  /// A change that cannot be leaves everything as it is.
  void Mistake(DB* db, const State& state) {
    const std::string taken = state.columns[pick_(state.columns.size())].name;
    const TableChange changes[] = {TableChange::AddColumn(arrow::field(taken, arrow::int64())),
                                   TableChange::RenameColumn(taken, state.columns[0].name),
                                   TableChange::DropColumn("nobody")};
    EXPECT_FALSE(db->AlterTable(name_, changes[pick_(std::size(changes))]).ok());
    if (keyed_) {
      EXPECT_FALSE(db->AlterTable(name_, TableChange::DropColumn(KeyName(state))).ok());
    }
    EXPECT_TRUE(IsCurrent(state.handle));
  }

  void CheckColumns(const State& state) {
    const TableDescriptor& table = DescriptorOf(state.handle);
    std::vector<Column> columns;
    for (int i = 0; i < table.schema->num_fields(); ++i) {
      const auto& field = *table.schema->field(i);
      columns.push_back({table.field_ids[i], field.name(), field.type()});
    }
    EXPECT_TRUE(columns == state.columns) << name_ << " is " << table.schema->ToString();
  }

  static std::string KeyName(const State& state) {
    for (const Column& column : state.columns) {
      if (column.id == kKeyColumn) return column.name;
    }
    std::abort();
  }
  static std::string Encoded(const State& state, int64_t key) {
    return Must(CodecOf(state.handle)->EncodeScalars({arrow::MakeScalar(key)}));
  }

  static std::vector<int> All(const State& state) {
    std::vector<int> columns(state.columns.size());
    for (size_t i = 0; i < columns.size(); ++i) columns[i] = static_cast<int>(i);
    return columns;
  }
  static std::string Text(const State& with, const Values& values,
                          const std::vector<int>& columns) {
    std::string text;
    for (const int column : columns) {
      const auto value = values.find(with.columns[column].id);
      text += (value == values.end() ? "~" : value->second) + "|";
    }
    return text;
  }
  /// `columns`: so many, without hidden ones behind them; -1: all.
  static std::string Text(const arrow::RecordBatch& batch, int64_t row, int columns = -1) {
    std::string text;
    for (int c = 0; c < (columns < 0 ? batch.num_columns() : columns); ++c) {
      const arrow::Array& column = *batch.column(c);
      text += (column.IsNull(row) ? "~" : TextAt(column, row)) + "|";
    }
    return text;
  }
  static std::vector<std::string> Expected(const State& with, const State& then,
                                           const std::vector<int>& columns) {
    std::vector<std::string> rows;
    for (const auto& [key, values] : then.rows) rows.push_back(Text(with, *values, columns));
    return rows;
  }

  const std::string name_;
  const bool keyed_;
  const TableOptions options_;
  const Pick pick_;
};

}  // namespace marble::lsm::testing
