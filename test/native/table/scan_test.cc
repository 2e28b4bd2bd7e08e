// Scans with conditions: what they give, what they leave out unread, and that leaving out never
// changes what they give.
//
// The random test compares with a condition evaluated row by row here, over a map that has had
// the same writes: nothing of native/table or native/expr takes part in what is expected. Between
// writes, columns are dropped, added and renamed, and the database is closed or loses power.
// MARBLE_SCAN_SEEDS: how many seeds (default 4); MARBLE_SCAN_SEED: one seed alone.
#include "table/scan.h"

#include <arrow/api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <variant>

#include "../lsm/db_fixture.h"
#include "../lsm/manual_clock.h"
#include "io/fault_injection_file_system.h"
#include "io/memory_file_system.h"

namespace marble::table {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Op = Conditions::Op;

using lsm::testing::Must;

// --- Rows and conditions of the test's own
// ----------------------------------------------------------

using Value = std::variant<std::monostate, bool, int64_t, double, std::string>;  // monostate: NULL
using Row = std::vector<Value>;                                                  // by column

enum Column {
  kName,
  kNumber,
  kI,
  kSmall,
  kD,
  kF,
  kS,
  kFlag,
  kTs,
  kDec,
  kU,
  kBig,
  kLarge,
  kColumns
};

std::shared_ptr<arrow::Schema> Schema() {
  return arrow::schema(
      {arrow::field("name", arrow::utf8(), false), arrow::field("number", arrow::int32(), false),
       arrow::field("i", arrow::int64()), arrow::field("small", arrow::int8()),
       arrow::field("d", arrow::float64()), arrow::field("f", arrow::float32()),
       arrow::field("s", arrow::utf8()), arrow::field("flag", arrow::boolean()),
       arrow::field("ts", arrow::timestamp(arrow::TimeUnit::MILLI)),
       arrow::field("dec", arrow::decimal128(10, 2)), arrow::field("u", arrow::uint32()),
       arrow::field("big", arrow::uint64()), arrow::field("large", arrow::large_utf8())});
}

std::shared_ptr<arrow::Scalar> ScalarOf(const Value& value,
                                        const std::shared_ptr<arrow::DataType>& type) {
  if (std::holds_alternative<std::monostate>(value)) return arrow::MakeNullScalar(type);
  switch (type->id()) {
    case arrow::Type::BOOL:
      return std::make_shared<arrow::BooleanScalar>(std::get<bool>(value));
    case arrow::Type::DOUBLE:
      return std::make_shared<arrow::DoubleScalar>(std::get<double>(value));
    case arrow::Type::FLOAT:
      return std::make_shared<arrow::FloatScalar>(static_cast<float>(std::get<double>(value)));
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
      return Must(arrow::MakeScalar(type, arrow::Buffer::FromString(std::get<std::string>(value))));
    case arrow::Type::DECIMAL128:
      return std::make_shared<arrow::Decimal128Scalar>(arrow::Decimal128(std::get<int64_t>(value)),
                                                       type);
    default:
      return Must(arrow::MakeScalar(type, std::get<int64_t>(value)));
  }
}

Value ValueAt(const arrow::Array& column, int64_t row) {
  if (column.IsNull(row)) return {};
  const auto scalar = Must(column.GetScalar(row));
  switch (column.type_id()) {
    case arrow::Type::BOOL:
      return static_cast<const arrow::BooleanScalar&>(*scalar).value;
    case arrow::Type::DOUBLE:
      return static_cast<const arrow::DoubleScalar&>(*scalar).value;
    case arrow::Type::FLOAT:
      return double{static_cast<const arrow::FloatScalar&>(*scalar).value};
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
      return static_cast<const arrow::BaseBinaryScalar&>(*scalar).value->ToString();
    case arrow::Type::DECIMAL128:
      return static_cast<int64_t>(
          static_cast<const arrow::Decimal128Scalar&>(*scalar).value.low_bits());
    case arrow::Type::INT8:
      return int64_t{static_cast<const arrow::Int8Scalar&>(*scalar).value};
    case arrow::Type::INT32:
      return int64_t{static_cast<const arrow::Int32Scalar&>(*scalar).value};
    case arrow::Type::UINT32:
      return int64_t{static_cast<const arrow::UInt32Scalar&>(*scalar).value};
    case arrow::Type::UINT64:
      return static_cast<int64_t>(static_cast<const arrow::UInt64Scalar&>(*scalar).value);
    case arrow::Type::TIMESTAMP:
      return static_cast<const arrow::TimestampScalar&>(*scalar).value;
    default:
      return static_cast<const arrow::Int64Scalar&>(*scalar).value;
  }
}

std::string Show(const Value& value) {
  if (std::holds_alternative<std::monostate>(value)) return "NULL";
  if (const auto* x = std::get_if<bool>(&value)) return *x ? "true" : "false";
  if (const auto* x = std::get_if<int64_t>(&value)) return std::to_string(*x);
  if (const auto* x = std::get_if<double>(&value)) {
    return (std::signbit(*x) ? "-" : "+") + std::to_string(std::fabs(*x));
  }
  return "'" + std::get<std::string>(value) + "'";
}
std::string Show(const Row& row) {
  std::string text;
  for (const Value& value : row) text += Show(value) + " ";
  return text;
}

struct Condition {
  enum class Kind { kCompare, kIn, kBetween, kIsNull, kLike, kAnd, kOr, kNot } kind;
  int column = 0;
  Op op = Op::kEqual;
  std::vector<Value> values = {};
  std::vector<Condition> inner = {};
};

std::string Show(const Condition& c) {
  std::string text = "(" + std::to_string(static_cast<int>(c.kind)) + " column " +
                     std::to_string(c.column) + " op " + std::to_string(static_cast<int>(c.op));
  for (const Value& value : c.values) text += " " + Show(value);
  for (const Condition& x : c.inner) text += " " + Show(x);
  return text + ")";
}

/// nullopt: NULL.
using Truth = std::optional<bool>;

Truth CompareValues(const Value& a, Op op, const Value& b) {
  if (a.index() == 0 || b.index() == 0) return std::nullopt;
  // Comparing the variants compares the values: floating ones by IEEE's rules.
  switch (op) {
    case Op::kEqual:
      return a == b;
    case Op::kNotEqual:
      return a != b;
    case Op::kLess:
      return a < b;
    case Op::kLessEqual:
      return a <= b;
    case Op::kGreater:
      return a > b;
    default:
      return a >= b;
  }
}

Truth AndOf(Truth a, Truth b) {
  if (a == false || b == false) return false;
  if (!a || !b) return std::nullopt;
  return true;
}
Truth NotOf(Truth a) { return a ? Truth(!*a) : a; }
Truth OrOf(Truth a, Truth b) { return NotOf(AndOf(NotOf(a), NotOf(b))); }

bool LikeMatches(std::string_view text, std::string_view pattern) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '%') {
    for (size_t skip = 0; skip <= text.size(); ++skip) {
      if (LikeMatches(text.substr(skip), pattern.substr(1))) return true;
    }
    return false;
  }
  return !text.empty() && (pattern[0] == '_' || pattern[0] == text[0]) &&
         LikeMatches(text.substr(1), pattern.substr(1));
}

Truth Evaluate(const Condition& c, const Row& row) {
  using Kind = Condition::Kind;
  const Value& value = row[c.column];
  switch (c.kind) {
    case Kind::kCompare:
      return CompareValues(value, c.op, c.values[0]);
    case Kind::kIn: {
      Truth out = false;
      for (const Value& item : c.values) out = OrOf(out, CompareValues(value, Op::kEqual, item));
      return out;
    }
    case Kind::kBetween:
      return AndOf(CompareValues(value, Op::kGreaterEqual, c.values[0]),
                   CompareValues(value, Op::kLessEqual, c.values[1]));
    case Kind::kIsNull:
      return value.index() == 0;
    case Kind::kLike:
      if (value.index() == 0) return std::nullopt;
      return LikeMatches(std::get<std::string>(value), std::get<std::string>(c.values[0]));
    case Kind::kNot:
      return NotOf(Evaluate(c.inner[0], row));
    case Kind::kAnd:
    case Kind::kOr: {
      Truth out = c.kind == Kind::kAnd;
      for (const Condition& x : c.inner) {
        out = c.kind == Kind::kAnd ? AndOf(out, Evaluate(x, row)) : OrOf(out, Evaluate(x, row));
      }
      return out;
    }
  }
  return std::nullopt;
}

/// Under which names a table has the columns of Schema(), at one moment; empty: it has not.
struct Layout {
  lsm::TableHandle table;
  std::vector<std::string> names = Schema()->field_names();

  bool has(int column) const { return !names[column].empty(); }
  int place(int column) const { return Must(ColumnIndex(table, names[column])); }
};

expr::ExpressionPtr Build(const Condition& c, const Layout& layout) {
  using Kind = Condition::Kind;
  const auto schema = Schema();
  const Conditions make(layout.table);
  const auto field_name = [&] { return layout.names[c.column]; };
  const auto literal = [&](const Value& value) {
    return ScalarOf(value, schema->field(c.column)->type());
  };
  switch (c.kind) {
    case Kind::kCompare:
      return Must(make.Compare(field_name(), c.op, literal(c.values[0])));
    case Kind::kIn: {
      std::vector<Conditions::Value> items;
      for (const Value& value : c.values) items.push_back(literal(value));
      return Must(make.In(field_name(), items));
    }
    case Kind::kBetween:
      return Must(make.Between(field_name(), literal(c.values[0]), literal(c.values[1])));
    case Kind::kIsNull:
      return Must(make.IsNull(field_name()));
    case Kind::kLike:
      return Must(make.Like(field_name(), std::get<std::string>(c.values[0])));
    case Kind::kNot:
      return Conditions::Not(Build(c.inner[0], layout));
    default: {
      std::vector<expr::ExpressionPtr> inner;
      for (const Condition& x : c.inner) inner.push_back(Build(x, layout));
      return c.kind == Kind::kAnd ? Conditions::And(inner) : Conditions::Or(inner);
    }
  }
}

/// In the table's order of columns.
std::shared_ptr<arrow::RecordBatch> BatchOf(const std::vector<Row>& rows, const Layout& layout) {
  const auto& schema = lsm::DescriptorOf(layout.table).schema;
  arrow::ArrayVector columns(schema->num_fields());
  for (int c = 0; c < kColumns; ++c) {
    if (!layout.has(c)) continue;
    const auto& type = schema->field(layout.place(c))->type();
    auto builder = Must(arrow::MakeBuilder(type));
    for (const Row& row : rows) Must(builder->AppendScalar(*ScalarOf(row[c], type)));
    columns[layout.place(c)] = Must(builder->Finish());
  }
  return arrow::RecordBatch::Make(schema, static_cast<int64_t>(rows.size()), columns);
}

// --- The random test
// ----------------------------------------------------------------------------------

constexpr int kNames = 4;
constexpr int kNumbers = 600;
using Key = std::pair<std::string, int64_t>;
using Rows = std::map<Key, Row>;

class ScanRun {
 public:
  explicit ScanRun(uint64_t seed) : random_(seed) {
    options_.compaction_trigger = 3 + Pick(4);
    options_.max_block_ms = 60'000;
    options_.log_segment_bytes = 256 << 10;
    options_.durability = lsm::Durability::kPower;  // so that a loss of power loses nothing
    disk_ = std::make_shared<io::MemoryFileSystem>();
    Must(disk_->CreateDirs(kRoot));
    Open();
    lsm::TableOptions table;
    table.batch_rows = 8 + Pick(60);
    table.zone_maps = Pick(8) != 0;
    table_.table = Must(db_->CreateTable(
        Must(MakeTableDescriptor("t", Schema(), {"name", "number"}, table)), false));
    log_.table =
        Must(db_->CreateTable(Must(MakeTableDescriptor("log", Schema(), {}, table)), false));
  }

  void Run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      const int what = Pick(100);
      if (what < 36) {
        Write();
      } else if (what < 48) {
        Must(db_->Flush());
      } else if (what < 52) {
        Must(db_->Compact(""));
      } else if (what < 58) {
        Alter();
      } else if (what < 59) {
        Reopen();
      } else if (what < 62) {
        snapshots_.push_back({db_->GetSnapshot(), rows_, appended_, table_, log_});
      } else if (what < 64 && !snapshots_.empty()) {
        snapshots_.erase(snapshots_.begin() + Pick(snapshots_.size()));
      } else {
        Check();
      }
    }
    Grow();
  }
  const lsm::DbMetrics& metrics() const { return sum_; }
  int alterations() const { return alterations_; }

 private:
  static constexpr const char* kRoot = "/disk";

  struct Taken {
    lsm::SnapshotRef snapshot;
    Rows rows;
    std::vector<Row> appended;
    Layout table;  // of then
    Layout log;
  };

  void Open() {
    files_ = Must(io::FaultInjectionFileSystem::Make(disk_, kRoot));
    options_.file_system = files_;
    db_ = Must(lsm::DB::Open(std::string(kRoot) + "/db", options_));
  }
  /// Closed, or the power lost: nothing that was acknowledged is.
  void Reopen() {
    Grow();
    snapshots_.clear();
    if (Pick(2)) {
      Must(db_->Close());
    } else {
      files_->LosePower(random_());
      (void)db_->Close();
      disk_ = std::make_shared<io::MemoryFileSystem>();
      Must(files_->Restore(disk_.get(), kRoot));
    }
    db_ = nullptr;
    Open();
    table_.table = Must(db_->GetTable("t"));
    log_.table = Must(db_->GetTable("log"));
  }
  /// Counters begin anew with each opening.
  void Grow() {
    const auto now = db_->metrics();
    sum_.batches_pruned += now.batches_pruned;
    sum_.rows_from_metadata += now.rows_from_metadata;
    sum_.rows_filtered += now.rows_filtered;
    sum_.clean_batches += now.clean_batches;
    sum_.merged_batches += now.merged_batches;
  }

  /// A column is dropped, one that is not there is added, or one is renamed.
  void Alter() {
    ++alterations_;
    const bool keyed = Pick(2);
    Layout& layout = keyed ? table_ : log_;
    const std::string name = keyed ? "t" : "log";
    const int column = Pick(kColumns);
    // A name of before may come again.
    const std::string fresh =
        Pick(2) ? "c" + std::to_string(++names_given_) : Schema()->field(column)->name();
    const auto alter = [&](const lsm::TableChange& change) {
      layout.table = Must(db_->AlterTable(name, change));
    };
    if (!layout.has(column)) {
      const auto field = Schema()->field(column)->WithName(fresh)->WithNullable(true);
      alter(lsm::TableChange::AddColumn(field));
      layout.names[column] = fresh;
    } else if (column > kNumber && Pick(3) != 0) {
      alter(lsm::TableChange::DropColumn(layout.names[column]));
      layout.names[column].clear();
      if (keyed) {
        for (auto& [key, row] : rows_) row[column] = {};
      } else {
        for (Row& row : appended_) row[column] = {};
      }
    } else if (fresh != layout.names[column]) {
      alter(lsm::TableChange::RenameColumn(layout.names[column], fresh));
      layout.names[column] = fresh;
    }
  }

  int Pick(size_t below) { return static_cast<int>(random_() % below); }

  std::string Text() {
    static const std::string kLong(70, 'x');
    switch (Pick(6)) {
      case 0:
        return "";
      case 1:
        return kLong + std::to_string(Pick(9));
      case 2:
        return "ab" + std::to_string(Pick(50));
      case 3:
        return std::string("a\0b", 3);
      case 4:
        return "\xc5\x81" + std::to_string(Pick(9));  // Ł
      default:
        return std::string(1 + Pick(3), static_cast<char>('a' + Pick(4)));
    }
  }

  /// A value of a column, near to what the key says, so that batches of neighbouring keys have
  /// narrow zones; now and then from anywhere, so that versions of a key differ in what matches.
  Value Random(int column, int64_t near) {
    if (Pick(12) == 0) return {};
    if (Pick(6) == 0) near = Pick(kNumbers);
    switch (column) {
      case kI:
        return near * 10 + Pick(10) - 2000;
      case kSmall:
        return near * 200 / kNumbers - 100;
      case kD:
        if (Pick(60) == 0) return std::numeric_limits<double>::quiet_NaN();
        if (Pick(10) == 0) return Pick(2) ? 0.0 : -0.0;
        return static_cast<double>(near) - 300 + Pick(4) / 4.0;
      case kF:
        if (Pick(60) == 0) return -std::numeric_limits<double>::infinity();
        return static_cast<double>(near) - 300 + Pick(4) / 4.0;
      case kFlag:
        return near % 100 < 50;
      case kTs:
        return 1'000'000'000'000 + near * 1000 + Pick(1000);
      case kDec:
        return near * 100 + Pick(100);
      case kU:
        return 4'000'000'000 + near;
      case kBig:
        return near * 1'000'000'000'000;
      case kS:
      case kLarge:
        return Pick(3) ? Value("k" + std::to_string(1000 + near)) : Value(Text());
      default:
        return static_cast<int64_t>(near);
    }
  }

  std::string Name() { return std::string(1 + Pick(2), static_cast<char>('a' + Pick(2))); }

  void Write() {
    lsm::WriteBatch batch;
    const std::string name = Name();
    const int from = Pick(kNumbers);
    const int count = 1 + Pick(Pick(3) == 0 ? 400 : 20);
    const bool dense = Pick(3) != 0;
    if (Pick(5) == 0) {  // deletes
      arrow::StringBuilder names;
      arrow::Int32Builder numbers;
      for (int i = 0; i < std::min(count, 60); ++i) {
        const int number = (from + i) % kNumbers;
        Must(names.Append(name));
        Must(numbers.Append(number));
        rows_.erase({name, number});
      }
      Must(batch.DeleteRows(
          table_.table,
          arrow::RecordBatch::Make(
              arrow::schema({arrow::field(table_.names[kName], arrow::utf8(), false),
                             arrow::field(table_.names[kNumber], arrow::int32(), false)}),
              std::min(count, 60), {Must(names.Finish()), Must(numbers.Finish())})));
      Must(db_->Write(std::move(batch), {}).status());
      return;
    }
    std::vector<Row> rows;
    for (int i = 0; i < count; ++i) {
      const int64_t number = dense ? (from + i) % kNumbers : Pick(kNumbers);
      Row row(kColumns);
      row[kName] = name;
      row[kNumber] = number;
      for (int c = kI; c < kColumns; ++c) row[c] = Random(c, number);
      rows_[{name, number}] = Stored(row, table_);
      rows.push_back(std::move(row));
    }
    Must(batch.Insert(table_.table, BatchOf(rows, table_)));
    if (Pick(4) == 0) {
      Must(batch.Insert(log_.table, BatchOf(rows, log_)));
      for (const Row& row : rows) appended_.push_back(Stored(row, log_));
    }
    Must(db_->Write(std::move(batch), {}).status());
  }
  /// What a table keeps of a row.
  static Row Stored(Row row, const Layout& layout) {
    for (int c = 0; c < kColumns; ++c) {
      if (!layout.has(c)) row[c] = {};
    }
    return row;
  }

  Value Literal(int column) {
    if (column == kName) return Name();
    if (column == kNumber) return int64_t{Pick(kNumbers)};
    return Random(column, Pick(kNumbers));
  }

  int RandomColumn(const Layout& layout) {
    while (true) {
      const int column = Pick(kColumns);
      if (layout.has(column)) return column;
    }
  }

  Condition RandomCondition(int depth, const Layout& layout) {
    using Kind = Condition::Kind;
    if (depth > 0 && Pick(2)) {
      const int what = Pick(5);
      if (what == 0) return {.kind = Kind::kNot, .inner = {RandomCondition(depth - 1, layout)}};
      Condition c{.kind = what < 3 ? Kind::kAnd : Kind::kOr};
      const int count = 2 + Pick(2);
      for (int i = 0; i < count; ++i) c.inner.push_back(RandomCondition(depth - 1, layout));
      return c;
    }
    Condition c{.kind = Kind::kCompare};
    c.column = Pick(4) == 0 ? Pick(2) : RandomColumn(layout);
    const bool text = c.column == kName || c.column == kS || c.column == kLarge;
    switch (Pick(8)) {
      case 0:
        c.kind = Kind::kIn;
        for (int i = 0, count = 1 + Pick(5); i < count; ++i) c.values.push_back(Literal(c.column));
        break;
      case 1:
        c.kind = Kind::kBetween;
        c.values = {Literal(c.column), Literal(c.column)};
        if (Pick(4) && c.values[1] < c.values[0]) std::swap(c.values[0], c.values[1]);
        break;
      case 2:
        c.kind = Kind::kIsNull;
        break;
      case 3:
        if (text) {
          static const char* const kPatterns[] = {"k1%", "k12%", "a%",    "",  "%",
                                                  "_b%", "ab%1", "xxxx%", "a", "k1_5%"};
          c.kind = Kind::kLike;
          c.values = {std::string(kPatterns[Pick(std::size(kPatterns))])};
          break;
        }
        [[fallthrough]];
      default:
        c.op = static_cast<Op>(Pick(6));
        c.values = {Literal(c.column)};
    }
    return c;
  }

  std::vector<Row> Scan(const lsm::TableHandle& table, const ScanOptions& options) {
    auto it = Must(NewScan(db_.get(), table, options));
    std::vector<Row> out;
    while (true) {
      const auto step = Must(it->Next());
      if (step.batch == nullptr) break;
      Must(step.batch->ValidateFull());
      EXPECT_GT(step.batch->num_rows(), 0);
      if (step.sst != nullptr) {
        // A slice says truly where it lies.
        const auto whole = Must(step.sst->ReadBatch(step.sst_batch));
        const auto rows = whole->Slice(step.first_row, step.batch->num_rows());
        for (size_t c = 0; c < options.columns->size(); ++c) {
          EXPECT_TRUE(rows->column((*options.columns)[c])
                          ->Equals(step.batch->column(c),
                                   arrow::EqualOptions::Defaults().nans_equal(true)));
        }
      }
      for (int64_t row = 0; row < step.batch->num_rows(); ++row) {
        Row values;
        for (const auto& column : step.batch->columns()) values.push_back(ValueAt(*column, row));
        out.push_back(std::move(values));
      }
    }
    return out;
  }

  void Check() {
    const Taken now{nullptr, rows_, appended_, table_, log_};
    const Taken& view = snapshots_.empty() || Pick(2) ? now : snapshots_[Pick(snapshots_.size())];
    const bool keyed = Pick(4) != 0;
    // A snapshot is read in the columns of its time.
    const Layout& layout = keyed ? view.table : view.log;
    const lsm::TableHandle& table = layout.table;
    const Condition condition = RandomCondition(2, layout);
    std::vector<Row> all;
    if (keyed) {
      for (const auto& [key, row] : view.rows) all.push_back(row);
    } else {
      all = view.appended;
    }
    ScanOptions options;
    options.read.snapshot = view.snapshot;
    options.where = Must(Predicate::Make(table, Build(condition, layout)));
    options.reverse = Pick(4) == 0;
    options.columns.emplace();
    std::vector<int> columns;
    for (int c = 0; c < kColumns; ++c) {
      if (Pick(3) != 0 || !layout.has(c)) continue;
      columns.push_back(c);
      options.columns->push_back(layout.place(c));
    }
    if (options.reverse) std::reverse(all.begin(), all.end());
    std::vector<std::string> expected;
    std::vector<Row> matching;
    for (const Row& row : all) {
      if (Evaluate(condition, row) != true) continue;
      matching.push_back(row);
      Row chosen;
      for (int column : columns) chosen.push_back(row[column]);
      expected.push_back(Show(chosen));
    }
    SCOPED_TRACE(Show(condition) + (options.reverse ? " reverse" : ""));
    EXPECT_EQ(Must(Count(db_.get(), table, options)), static_cast<int64_t>(matching.size()));
    CheckMinMax(layout, options, matching);
    if (Pick(3) == 0) {
      options.limit = Pick(30);
      expected.resize(std::min<size_t>(expected.size(), options.limit));
    }
    for (const bool pruning : {true, false}) {
      SCOPED_TRACE(pruning ? "with pruning" : "without pruning");
      options.pruning = pruning;
      std::vector<std::string> found;
      for (const Row& row : Scan(table, options)) found.push_back(Show(row));
      ASSERT_EQ(found, expected);
    }
    options.where = nullptr;
    options.limit = -1;
    options.pruning = true;
    EXPECT_EQ(Must(Count(db_.get(), table, options)), static_cast<int64_t>(all.size()));
    CheckMinMax(layout, options, all);
  }

  void CheckMinMax(const Layout& layout, const ScanOptions& options, const std::vector<Row>& rows) {
    const int column = RandomColumn(layout);
    Value min, max;
    const auto less = [](const Value& a, const Value& b) {
      const auto nan = [](const Value& v) {
        return std::holds_alternative<double>(v) && std::isnan(std::get<double>(v));
      };
      return nan(a) || nan(b) ? !nan(a) && nan(b) : a < b;
    };
    for (const Row& row : rows) {
      if (row[column].index() == 0) continue;
      if (min.index() == 0 || less(row[column], min)) min = row[column];
      if (max.index() == 0 || less(max, row[column])) max = row[column];
    }
    const auto found = Must(MinMax(db_.get(), layout.table, layout.place(column), options));
    const auto same = [](const Value& a, const Value& b) {
      return a == b || (Show(a) == Show(b));  // -0 and 0 are equal, NaN shows itself
    };
    const auto value = [](const arrow::Scalar& scalar) {
      return ValueAt(*Must(arrow::MakeArrayFromScalar(scalar, 1)), 0);
    };
    SCOPED_TRACE("column " + std::to_string(column));
    EXPECT_TRUE(same(value(*found.min), min)) << found.min->ToString() << " is not " << Show(min);
    EXPECT_TRUE(same(value(*found.max), max)) << found.max->ToString() << " is not " << Show(max);
  }

  std::mt19937_64 random_;
  lsm::DbOptions options_;
  std::shared_ptr<io::FileSystem> disk_;
  std::shared_ptr<io::FaultInjectionFileSystem> files_;
  std::shared_ptr<lsm::DB> db_;
  Layout table_;
  Layout log_;
  int names_given_ = 0;
  int alterations_ = 0;
  lsm::DbMetrics sum_;
  Rows rows_;
  std::vector<Row> appended_;
  std::vector<Taken> snapshots_;
};

TEST(RandomScanTest, PruningNeverChangesWhatAConditionGives) {
  const char* one = std::getenv("MARBLE_SCAN_SEED");
  const char* many = std::getenv("MARBLE_SCAN_SEEDS");
  const uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 10) : 1;
  const uint64_t count =
      one != nullptr ? 1 : (many != nullptr ? std::strtoull(many, nullptr, 10) : 4);
  uint64_t pruned = 0, from_metadata = 0, filtered = 0, clean = 0, merged = 0;
  int alterations = 0;
  for (uint64_t seed = first; seed < first + count && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    ScanRun run(seed);
    run.Run(300);
    const auto& metrics = run.metrics();
    alterations += run.alterations();
    pruned += metrics.batches_pruned;
    from_metadata += metrics.rows_from_metadata;
    filtered += metrics.rows_filtered;
    clean += metrics.clean_batches;
    merged += metrics.merged_batches;
  }
  if (one != nullptr) return;
  // The test has been where it wants to be.
  EXPECT_GT(pruned, 100);
  EXPECT_GT(from_metadata, 1000);
  EXPECT_GT(filtered, 1000);
  EXPECT_GT(clean, 100);
  EXPECT_GT(merged, 100);
  EXPECT_GT(alterations, 20);
}

// --- One promise at a time
// --------------------------------------------------------------------------

/// (n int32 key, v double, s text, list): n ascending, v = n / 10, s = "k<n>".
class ScanTest : public ::testing::Test {
 protected:
  static constexpr int kRows = 10'000;
  static constexpr int kBatchRows = 2'048;

  static std::shared_ptr<arrow::Schema> Schema() {
    return arrow::schema({arrow::field("n", arrow::int32(), false),
                          arrow::field("v", arrow::float64()), arrow::field("s", arrow::utf8())});
  }
  void Open(lsm::DbOptions options = {}) {
    db_ = Must(lsm::DB::Open(dir_.path(), options));
    lsm::TableOptions table;
    table.batch_rows = kBatchRows;
    table_ = Must(db_->CreateTable(Must(MakeTableDescriptor("t", Schema(), {"n"}, table)), true));
  }
  void Insert(int from, int count, double shift = 0) {
    arrow::Int32Builder n;
    arrow::DoubleBuilder v;
    arrow::StringBuilder s;
    for (int i = from; i < from + count; ++i) {
      Must(n.Append(i));
      Must(v.Append(i / 10.0 + shift));
      Must(s.Append("k" + std::to_string(i)));
    }
    lsm::WriteBatch batch;
    Must(batch.Insert(
        table_, arrow::RecordBatch::Make(Schema(), count,
                                         {Must(n.Finish()), Must(v.Finish()), Must(s.Finish())})));
    Must(db_->Write(std::move(batch), {}).status());
    Must(db_->Flush());
  }
  void SetUp() override {
    Open();
    Insert(0, kRows);
  }
  static Conditions::Value Number(double v) { return std::make_shared<arrow::DoubleScalar>(v); }
  static Conditions::Value Integer(int64_t n) { return std::make_shared<arrow::Int64Scalar>(n); }
  std::shared_ptr<const Predicate> Where(Result<expr::ExpressionPtr> condition) {
    return Must(Predicate::Make(table_, Must(std::move(condition))));
  }
  std::vector<lsm::ScanBatch> Steps(const ScanOptions& options) {
    auto it = Must(NewScan(db_.get(), table_, options));
    std::vector<lsm::ScanBatch> out;
    for (auto step = Must(it->Next()); step.batch != nullptr; step = Must(it->Next())) {
      out.push_back(std::move(step));
    }
    return out;
  }
  static int64_t RowsOf(const std::vector<lsm::ScanBatch>& steps) {
    int64_t rows = 0;
    for (const auto& step : steps) rows += step.batch->num_rows();
    return rows;
  }
  /// What a counter of the database has grown by since the last call.
  template <typename Member>
  uint64_t Grown(Member member) {
    const auto now = db_->metrics();
    const uint64_t grown = now.*member - before_.*member;
    before_ = now;
    return grown;
  }

  lsm::testing::TempDir dir_;
  std::shared_ptr<lsm::DB> db_;
  lsm::TableHandle table_;
  lsm::DbMetrics before_;
};

TEST_F(ScanTest, ZoneMapsSkipWholeBatchesUnread) {
  ScanOptions options;
  options.where = Where(Conditions(table_).Compare("v", Op::kLess, Number(10)));
  for (const bool reverse : {false, true}) {
    options.reverse = reverse;
    before_ = db_->metrics();
    EXPECT_EQ(RowsOf(Steps(options)), 100);
    EXPECT_EQ(Grown(&lsm::DbMetrics::batches_pruned), kRows / kBatchRows) << reverse;
    before_ = db_->metrics();
    options.pruning = false;
    EXPECT_EQ(RowsOf(Steps(options)), 100);
    EXPECT_EQ(Grown(&lsm::DbMetrics::batches_pruned), 0);
    options.pruning = true;
  }
}

TEST_F(ScanTest, WhatMatchesWhollyStaysASliceOfTheFile) {
  ScanOptions options;
  options.where = Where(Conditions(table_).Compare("v", Op::kGreaterEqual, Number(0)));
  before_ = db_->metrics();
  for (const auto& step : Steps(options)) EXPECT_NE(step.sst, nullptr);
  // Rows that match lie together: they are a slice too.
  options.where = Where(Conditions(table_).Between("v", Number(100), Number(500)));
  const auto steps = Steps(options);
  EXPECT_EQ(RowsOf(steps), 4001);
  for (const auto& step : steps) EXPECT_NE(step.sst, nullptr);
  // Scattered rows are copied.
  options.where = Where(Conditions(table_).Like("s", "k%7"));
  for (const auto& step : Steps(options)) EXPECT_EQ(step.sst, nullptr);
}

TEST_F(ScanTest, ConditionsOnTheKeyBoundWhatIsRead) {
  ScanOptions options;
  // An int64 literal beside an int32 key: cast once, and a bound all the same.
  options.where = Where(Conditions(table_).Between("n", Integer(5000), Integer(5009)));
  before_ = db_->metrics();
  EXPECT_EQ(RowsOf(Steps(options)), 10);
  EXPECT_EQ(Grown(&lsm::DbMetrics::batches_out_of_range), kRows / kBatchRows);
  before_ = db_->metrics();
  options.where = Where(Conditions(table_).In("n", {Integer(20'001), Integer(20'000)}));
  EXPECT_EQ(RowsOf(Steps(options)), 0);
  EXPECT_EQ(Grown(&lsm::DbMetrics::files_out_of_range), 1);
  // Contradictions are not even looked up.
  options.where = Where(Conditions(table_).Between("n", Integer(10), Integer(9)));
  EXPECT_EQ(options.where->key_bounds(), std::nullopt);
  EXPECT_EQ(RowsOf(Steps(options)), 0);
}

TEST_F(ScanTest, NewerVersionThatDoesNotMatchHidesTheOlder) {
  Insert(-100, 200, 1e6);  // alone up to 0, then above older rows
  ScanOptions options;
  options.where = Where(Conditions(table_).Compare("v", Op::kLess, Number(11)));
  for (const bool reverse : {false, true}) {
    options.reverse = reverse;
    EXPECT_EQ(RowsOf(Steps(options)), 10);
  }
}

TEST_F(ScanTest, CountReadsOnlyWhereRunsOverlap) {
  before_ = db_->metrics();
  EXPECT_EQ(Must(Count(db_.get(), table_, {})), kRows);
  EXPECT_EQ(Grown(&lsm::DbMetrics::rows_from_metadata), kRows);
  Insert(kRows - 50, 100);
  before_ = db_->metrics();
  EXPECT_EQ(Must(Count(db_.get(), table_, {})), kRows + 50);
  const uint64_t known = Grown(&lsm::DbMetrics::rows_from_metadata);
  EXPECT_GE(known, kRows - 50);
  EXPECT_LE(known, kRows);
  ScanOptions limited;
  limited.limit = 7;
  EXPECT_EQ(Must(Count(db_.get(), table_, limited)), 7);
}

TEST_F(ScanTest, MinAndMaxComeFromZonesWhereTheyAreExact) {
  before_ = db_->metrics();
  auto found = Must(MinMax(db_.get(), table_, 1, {}));
  EXPECT_TRUE(found.min->Equals(arrow::DoubleScalar(0)));
  EXPECT_TRUE(found.max->Equals(arrow::DoubleScalar((kRows - 1) / 10.0)));
  EXPECT_EQ(Grown(&lsm::DbMetrics::rows_from_metadata), kRows);
  // Zones of text may be cut, so the batch that may hold an extreme is read.
  found = Must(MinMax(db_.get(), table_, 2, {}));
  EXPECT_EQ(found.max->ToString(), "k9999");
  // Part of a batch: its zone says too much.
  ScanOptions part;
  part.range = *Must(EncodeRange(
      table_, {.gte = KeyValues{arrow::MakeScalar(10)}, .lt = KeyValues{arrow::MakeScalar(20)}}));
  found = Must(MinMax(db_.get(), table_, 1, part));
  EXPECT_TRUE(found.min->Equals(arrow::DoubleScalar(1)));
  EXPECT_TRUE(found.max->Equals(arrow::DoubleScalar(1.9)));
  part.range = *Must(EncodeRange(table_, {.gt = KeyValues{arrow::MakeScalar(kRows)}}));
  EXPECT_FALSE(Must(MinMax(db_.get(), table_, 1, part)).min->is_valid);
}

TEST_F(ScanTest, OnlyTheColumnsThatAreAskedForAreRead) {
  // Damage a page of v: who does not ask for v does not notice.
  ScanOptions options;
  const auto first = Steps(options)[0];
  const auto& file = *first.sst->file();
  const auto offset =
      first.batch->column_data(1)->buffers[1]->data() - file.data() + 8 * (kBatchRows / 2);
  const std::string path = file.path();
  Must(db_->Close());
  db_ = nullptr;
  {
    std::fstream raw(path, std::ios::in | std::ios::out | std::ios::binary);
    raw.seekp(offset);
    raw.put('\x5a');
    ASSERT_TRUE(raw.good());
  }
  Open();
  options.columns = std::vector<int>{2};
  options.where = Where(Conditions(table_).Compare("n", Op::kGreaterEqual, Integer(0)));
  EXPECT_EQ(RowsOf(Steps(options)), kRows);
  options.where = Where(Conditions(table_).Compare("v", Op::kNotEqual, Number(-1)));
  auto asked = Must(NewScan(db_.get(), table_, options));
  EXPECT_EQ(CodeOf(asked->Next().status()), ErrorCode::kCorruption);
  options.where = nullptr;
  options.columns = std::vector<int>{1};
  auto whole = Must(NewScan(db_.get(), table_, options));
  EXPECT_EQ(CodeOf(whole->Next().status()), ErrorCode::kCorruption);
}

TEST_F(ScanTest, ConditionsNameWhatDoesNotFit) {
  const Conditions make(table_);
  const auto unknown = make.Compare("nn", Op::kEqual, Integer(1)).status();
  EXPECT_EQ(CodeOf(unknown), ErrorCode::kColumnNotFound);
  EXPECT_THAT(MessageOf(unknown),
              AllOf(HasSubstr("table 't'"), HasSubstr("did you mean 'n'"), HasSubstr("n, v, s")));
  const auto mismatch = make.Compare("s", Op::kLess, Integer(1)).status();
  EXPECT_EQ(CodeOf(mismatch), ErrorCode::kSchema);
  EXPECT_THAT(MessageOf(mismatch),
              AllOf(HasSubstr("'s'"), HasSubstr("string"), HasSubstr("int64")));
  EXPECT_EQ(CodeOf(make.In("n", {Integer(int64_t{1} << 40)}).status()), ErrorCode::kSchema);
  EXPECT_EQ(CodeOf(make.Like("v", "a%").status()), ErrorCode::kSchema);
  EXPECT_EQ(CodeOf(Predicate::Make(table_, expr::MakeColumn(1, arrow::float64())).status()),
            ErrorCode::kSchema);
  // An expression that was made for another table.
  EXPECT_EQ(CodeOf(Predicate::Make(table_, expr::MakeColumn(7, arrow::boolean())).status()),
            ErrorCode::kColumnNotFound);
}

/// Rows of one file of which some have expired are no stretch of their own.
TEST(ExpiryScanTest, ExpiredRowsAreNeitherCountedNorFound) {
  lsm::testing::ManualClock clock;
  lsm::DbOptions options;
  options.clock = &clock;
  const auto db = Must(lsm::DB::Open(":memory:", options));
  const auto schema = arrow::schema({arrow::field("n", arrow::int32(), false)});
  lsm::TableOptions expiring;
  expiring.ttl_ms = 1000;
  expiring.batch_rows = 16;
  const std::vector<std::vector<std::string>> keys = {{"n"}, {}};
  for (const auto& key : keys) {
    SCOPED_TRACE(key.empty() ? "without a key" : "with a key");
    const auto table = Must(db->CreateTable(
        Must(MakeTableDescriptor(key.empty() ? "log" : "t", schema, key, expiring)), false));
    const auto insert = [&](int from, int count) {
      arrow::Int32Builder n;
      for (int i = from; i < from + count; ++i) Must(n.Append(i));
      lsm::WriteBatch batch;
      Must(batch.Insert(table, arrow::RecordBatch::Make(schema, count, {Must(n.Finish())})));
      Must(db->Write(std::move(batch), {}).status());
    };
    ScanOptions all;
    all.where = Must(Predicate::Make(
        table, Must(Conditions(table).Compare("n", Op::kGreaterEqual, arrow::MakeScalar(0)))));
    const auto check = [&](int64_t rows, const std::string& least) {
      EXPECT_EQ(Must(Count(db.get(), table, {})), rows);
      EXPECT_EQ(Must(Count(db.get(), table, all)), rows);
      EXPECT_EQ(Must(MinMax(db.get(), table, 0, {})).min->ToString(), least);
    };
    insert(0, 100);
    clock.Advance(500);
    insert(100, 100);
    Must(db->Flush());
    check(200, "0");
    clock.Advance(600);
    check(100, "100");
    clock.Advance(600);
    check(0, "null");
  }
}

TEST(ConditionTest, FloatingComparisonsAreIeees) {
  const auto db = Must(lsm::DB::Open(":memory:", {}));
  const auto schema = arrow::schema({arrow::field("d", arrow::float64())});
  const auto table = Must(db->CreateTable(Must(MakeTableDescriptor("t", schema, {})), false));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  arrow::DoubleBuilder d;
  Must(d.AppendValues({0.0, -0.0, nan, 1.0, -1.0}));
  Must(d.AppendNull());
  lsm::WriteBatch batch;
  Must(batch.Insert(table, arrow::RecordBatch::Make(schema, 6, {Must(d.Finish())})));
  Must(db->Write(std::move(batch), {}).status());
  const Conditions make(table);
  const auto count = [&](Result<expr::ExpressionPtr> condition) {
    ScanOptions options;
    options.where = Must(Predicate::Make(table, Must(std::move(condition))));
    return Must(Count(db.get(), table, options));
  };
  for (const bool flushed : {false, true}) {
    if (flushed) Must(db->Flush());
    EXPECT_EQ(count(make.Compare("d", Op::kEqual, std::make_shared<arrow::DoubleScalar>(-0.0))), 2);
    EXPECT_EQ(count(make.In("d", {std::make_shared<arrow::DoubleScalar>(0.0),
                                  std::make_shared<arrow::DoubleScalar>(nan)})),
              2);
    EXPECT_EQ(count(make.Compare("d", Op::kGreater, std::make_shared<arrow::DoubleScalar>(-9))), 4);
    EXPECT_EQ(count(make.Compare("d", Op::kEqual, std::make_shared<arrow::DoubleScalar>(nan))), 0);
    EXPECT_EQ(count(make.Compare("d", Op::kNotEqual, std::make_shared<arrow::DoubleScalar>(0))), 3);
    const auto both = Must(MinMax(db.get(), table, 0, {}));
    EXPECT_EQ(both.min->ToString(), "-1");
    EXPECT_EQ(both.max->ToString(), "nan");
  }
}

}  // namespace
}  // namespace marble::table
