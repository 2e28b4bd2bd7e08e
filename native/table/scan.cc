#include "table/scan.h"

#include <arrow/api.h>
#include <arrow/compute/api.h>

#include <algorithm>
#include <set>
#include <utility>

#include "lsm/read/counters.h"

namespace marble::table {
namespace {

using lsm::DbCounters;
using CountersRef = std::shared_ptr<DbCounters>;

/// Leaves out batches of which no row can match.
class ZoneFilter : public lsm::StretchFilter {
 public:
  ZoneFilter(std::shared_ptr<const Predicate> where, CountersRef counters)
      : where_(std::move(where)), counters_(std::move(counters)) {}

  bool LeaveOut(const lsm::SstReader& sst, int64_t batch, int64_t, int64_t) override {
    if (!where_->JudgeBatch(sst, batch).none()) return false;
    DbCounters::Add(counters_->batches_pruned);
    return true;
  }

 private:
  const std::shared_ptr<const Predicate> where_;
  const CountersRef counters_;
};

class FilteredScan : public lsm::Iterator {
 public:
  /// `read`: the columns of the batches of `rows`, ascending; `schema`: of the result.
  FilteredScan(std::unique_ptr<lsm::Iterator> rows, const std::vector<int>& read,
               const std::vector<int>& columns, std::shared_ptr<arrow::Schema> schema,
               const ScanOptions& options, CountersRef counters)
      : rows_(std::move(rows)),
        schema_(std::move(schema)),
        columns_(PositionsIn(read, columns)),
        where_columns_(PositionsIn(read, options.where->columns())),
        where_(options.where),
        pruning_(options.pruning),
        check_(options.check),
        left_(options.limit < 0 ? INT64_MAX : options.limit),
        counters_(std::move(counters)) {}

  Result<lsm::ScanBatch> Next() override {
    while (rows_ != nullptr && left_ > 0) {
      if (check_) MARBLE_RETURN_NOT_OK(check_());
      MARBLE_ASSIGN_OR_RETURN(lsm::ScanBatch step, rows_->Next());
      if (step.batch == nullptr) break;
      if (step.batch->num_rows() == 0) continue;
      MARBLE_ASSIGN_OR_RETURN(step, Keep(std::move(step)));
      if (step.batch == nullptr) continue;
      left_ -= step.batch->num_rows();
      return step;
    }
    rows_ = nullptr;
    return lsm::ScanBatch();
  }

 private:
  /// The rows of a batch that match; batch null when there is none.
  Result<lsm::ScanBatch> Keep(lsm::ScanBatch step) {
    const int64_t rows = step.batch->num_rows();
    const bool known =
        pruning_ && step.sst != nullptr && where_->JudgeBatch(*step.sst, step.sst_batch).all();
    if (known) return Cut(Choose(std::move(step)));
    MARBLE_ASSIGN_OR_RETURN(const auto mask, where_->Evaluate(*step.batch, where_columns_));
    const int64_t matching = mask->true_count();
    DbCounters::Add(counters_->rows_filtered, static_cast<uint64_t>(rows - matching));
    if (matching == rows) return Cut(Choose(std::move(step)));
    if (matching == 0) return lsm::ScanBatch();
    if (columns_.empty()) {  // they are only counted
      lsm::ScanBatch counted;
      counted.batch = arrow::RecordBatch::Make(schema_, matching, arrow::ArrayDataVector());
      return Cut(std::move(counted));
    }
    step = Choose(std::move(step));
    // Matching rows that lie together, as they do in a file sorted by what is asked about, are
    // still a slice of it.
    int64_t first = 0;
    while (!(mask->IsValid(first) && mask->Value(first))) ++first;
    bool together = true;
    for (int64_t row = first; together && row < first + matching; ++row) {
      together = row < rows && mask->IsValid(row) && mask->Value(row);
    }
    if (together) {
      step.batch = step.batch->Slice(first, matching);
      step.first_row += first;
      return Cut(std::move(step));
    }
    MARBLE_ASSIGN_OR_RETURN(step.batch, expr::FilterBatch(step.batch, *mask));
    step.sst = nullptr;
    step.sst_batch = -1;
    step.first_row = 0;
    return Cut(std::move(step));
  }
  static std::vector<int> PositionsIn(const std::vector<int>& read,
                                      const std::vector<int>& columns) {
    std::vector<int> positions;
    for (const int column : columns) {
      positions.push_back(
          static_cast<int>(std::lower_bound(read.begin(), read.end(), column) - read.begin()));
    }
    return positions;
  }
  /// The columns of the result alone; where the batch lies stays true.
  lsm::ScanBatch Choose(lsm::ScanBatch step) const {
    arrow::ArrayDataVector columns;
    for (const int column : columns_) columns.push_back(step.batch->column_data(column));
    step.batch = arrow::RecordBatch::Make(schema_, step.batch->num_rows(), std::move(columns));
    return step;
  }
  /// At most what the limit leaves; backwards a batch begins with the greatest key.
  lsm::ScanBatch Cut(lsm::ScanBatch step) const {
    if (step.batch->num_rows() > left_) step.batch = step.batch->Slice(0, left_);
    return step;
  }

  std::unique_ptr<lsm::Iterator> rows_;  // null: at the end
  const std::shared_ptr<arrow::Schema> schema_;
  const std::vector<int> columns_;        // of the result, in the batches read
  const std::vector<int> where_columns_;  // of the condition
  const std::shared_ptr<const Predicate> where_;
  const bool pruning_;
  const std::function<Status()> check_;
  int64_t left_;
  const CountersRef counters_;
};

class EmptyScan : public lsm::Iterator {
 public:
  Result<lsm::ScanBatch> Next() override { return lsm::ScanBatch(); }
};

/// Counts rows of stretches instead of reading them.
class RowCounter : public lsm::StretchFilter {
 public:
  explicit RowCounter(CountersRef counters) : counters_(std::move(counters)) {}
  bool LeaveOut(const lsm::SstReader&, int64_t, int64_t, int64_t rows) override {
    rows_ += rows;
    DbCounters::Add(counters_->rows_from_metadata, static_cast<uint64_t>(rows));
    return true;
  }
  int64_t rows() const { return rows_; }

 private:
  const CountersRef counters_;
  int64_t rows_ = 0;
};

/// The store's options for a scan; nullopt: nothing can match.
std::optional<lsm::ScanOptions> StoreOptions(const ScanOptions& options) {
  lsm::ScanOptions store;
  store.read = options.read;
  store.range = options.range;
  store.reverse = options.reverse;
  store.batch_rows = options.batch_rows;
  if (options.where == nullptr) {
    store.limit = options.limit;
  } else if (options.pruning) {
    if (!options.where->key_bounds()) return std::nullopt;
    auto both = Intersect(options.range, *options.where->key_bounds());
    if (!both) return std::nullopt;
    store.range = *std::move(both);
  }
  return store;
}

// --- MIN and MAX
// ----------------------------------------------------------------------------------

/// Whether a zone's bounds are values of the column: long texts are cut.
bool HasExactZones(const arrow::DataType& type) { return arrow::is_fixed_width(type.id()); }

using ScalarPtr = std::shared_ptr<arrow::Scalar>;

bool IsNaN(const arrow::Scalar& value) {
  if (value.type->id() == arrow::Type::FLOAT) {
    const float x = static_cast<const arrow::FloatScalar&>(value).value;
    return x != x;
  }
  if (value.type->id() == arrow::Type::DOUBLE) {
    const double x = static_cast<const arrow::DoubleScalar&>(value).value;
    return x != x;
  }
  return false;
}

/// a < b, NaN behind every number.
bool Less(const arrow::Scalar& a, const arrow::Scalar& b) {
  if (IsNaN(a)) return false;
  if (IsNaN(b)) return true;
  return CompareScalars(a, b).value_or(0) < 0;
}

void Take(const ScalarPtr& value, MinMaxResult* so_far) {
  if (so_far->min == nullptr || Less(*value, *so_far->min)) so_far->min = value;
  if (so_far->max == nullptr || Less(*so_far->max, *value)) so_far->max = value;
}

class MinMaxFilter : public lsm::StretchFilter {
 public:
  MinMaxFilter(int column, bool exact, MinMaxResult* so_far, CountersRef counters)
      : column_(column), exact_(exact), so_far_(so_far), counters_(std::move(counters)) {}

  bool LeaveOut(const lsm::SstReader& sst, int64_t batch, int64_t, int64_t rows) override {
    const Zone zone = ZoneInFile(sst, batch, column_);
    bool known = !zone.may_be_value;
    if (!known && zone.min != nullptr && zone.max != nullptr) {
      const bool useless = so_far_->min != nullptr && !Less(*zone.min, *so_far_->min) &&
                           !Less(*so_far_->max, *zone.max);
      // Of a part of a batch the zone says only where nothing can be.
      const bool whole = rows == sst.layout(batch).rows;
      if (!useless && exact_ && whole) {
        Take(zone.min, so_far_);
        Take(zone.max, so_far_);
      }
      known = useless || (exact_ && whole);
    }
    if (known) DbCounters::Add(counters_->rows_from_metadata, static_cast<uint64_t>(rows));
    return known;
  }

 private:
  const int column_;
  const bool exact_;
  MinMaxResult* const so_far_;
  const CountersRef counters_;
};

template <typename ArrayType>
void TakeFloats(const arrow::Array& column, MinMaxResult* so_far) {
  const auto& values = static_cast<const ArrayType&>(column);
  using Value = typename ArrayType::value_type;
  const auto less = [](Value a, Value b) { return a < b || (a == a && b != b); };
  int64_t min = -1, max = -1;
  for (int64_t row = 0; row < values.length(); ++row) {
    if (values.IsNull(row)) continue;
    if (min < 0 || less(values.Value(row), values.Value(min))) min = row;
    if (max < 0 || less(values.Value(max), values.Value(row))) max = row;
  }
  if (min < 0) return;
  Take(arrow::MakeScalar(values.Value(min)), so_far);
  Take(arrow::MakeScalar(values.Value(max)), so_far);
}

Status TakeColumn(const std::shared_ptr<arrow::Array>& column, MinMaxResult* so_far) {
  // The kernel passes over NaN.
  if (column->type_id() == arrow::Type::DOUBLE) {
    TakeFloats<arrow::DoubleArray>(*column, so_far);
    return Status::OK();
  }
  if (column->type_id() == arrow::Type::FLOAT) {
    TakeFloats<arrow::FloatArray>(*column, so_far);
    return Status::OK();
  }
  if (column->null_count() == column->length()) return Status::OK();
  MARBLE_ASSIGN_OR_RETURN(const auto found, arrow::compute::MinMax(column));
  const auto& both = found.scalar_as<arrow::StructScalar>();
  Take(both.value[0], so_far);
  Take(both.value[1], so_far);
  return Status::OK();
}

}  // namespace

Result<std::unique_ptr<lsm::Iterator>> NewScan(lsm::DB* db, const lsm::TableHandle& table,
                                               const ScanOptions& options) {
  MARBLE_ASSIGN_OR_RETURN(const auto projection, Projection::OfColumns(table, options.columns));
  auto store = StoreOptions(options);
  if (!store) {
    // A table that is gone is an error here too.
    MARBLE_RETURN_NOT_OK(db->NewIterator(table, {}).status());
    return std::make_unique<EmptyScan>();
  }
  if (options.where == nullptr) {
    if (options.columns)
      store->columns = std::make_shared<const std::vector<int>>(*options.columns);
    return db->NewIterator(table, *store);
  }
  std::set<int> read(projection.columns().begin(), projection.columns().end());
  read.insert(options.where->columns().begin(), options.where->columns().end());
  const auto columns = std::make_shared<const std::vector<int>>(read.begin(), read.end());
  store->columns = columns;
  if (options.pruning) {
    store->stretches = std::make_shared<ZoneFilter>(options.where, db->counters());
  }
  MARBLE_ASSIGN_OR_RETURN(auto rows, db->NewIterator(table, *store));
  return std::make_unique<FilteredScan>(std::move(rows), *columns, projection.columns(),
                                        projection.schema(), options, db->counters());
}

Result<int64_t> Count(lsm::DB* db, const lsm::TableHandle& table, const ScanOptions& options) {
  ScanOptions scan = options;
  scan.columns.emplace();  // none
  int64_t rows = 0;
  const auto count = [&](lsm::Iterator* it) -> Status {
    while (true) {
      if (options.check) MARBLE_RETURN_NOT_OK(options.check());
      MARBLE_ASSIGN_OR_RETURN(const auto step, it->Next());
      if (step.batch == nullptr) return Status::OK();
      rows += step.batch->num_rows();
    }
  };
  if (options.where != nullptr || !options.pruning) {
    MARBLE_ASSIGN_OR_RETURN(auto it, NewScan(db, table, scan));
    MARBLE_RETURN_NOT_OK(count(it.get()));
    return rows;
  }
  // The limit is applied to the sum: stretches that are counted do not come out of the scan.
  scan.limit = -1;
  lsm::ScanOptions store = *StoreOptions(scan);
  const auto counter = std::make_shared<RowCounter>(db->counters());
  store.stretches = counter;
  store.columns = std::make_shared<const std::vector<int>>();
  MARBLE_ASSIGN_OR_RETURN(auto it, db->NewIterator(table, store));
  MARBLE_RETURN_NOT_OK(count(it.get()));
  rows += counter->rows();
  return options.limit < 0 ? rows : std::min(rows, options.limit);
}

Result<MinMaxResult> MinMax(lsm::DB* db, const lsm::TableHandle& table, int column,
                            const ScanOptions& options) {
  const auto& descriptor = lsm::DescriptorOf(table);
  if (column < 0 || column >= descriptor.schema->num_fields()) {
    return MakeError(ErrorCode::kColumnNotFound,
                     "table '" + descriptor.name + "' has no column " + std::to_string(column));
  }
  const auto& field = *descriptor.schema->field(column);
  const auto& type = field.type();
  if (!arrow::is_primitive(type->id()) && !arrow::is_base_binary_like(type->id()) &&
      !arrow::is_decimal(type->id())) {
    return MakeError(ErrorCode::kNotSupported, "MIN and MAX of column '" + field.name() +
                                                   "': values of type " + type->ToString() +
                                                   " have no order");
  }
  MARBLE_RETURN_NOT_OK(expr::InitializeKernels());
  MinMaxResult out;
  ScanOptions scan = options;
  scan.columns = std::vector<int>{column};
  std::unique_ptr<lsm::Iterator> it;
  if (options.where == nullptr && options.pruning && options.limit < 0) {
    lsm::ScanOptions store = *StoreOptions(scan);
    store.stretches =
        std::make_shared<MinMaxFilter>(column, HasExactZones(*type), &out, db->counters());
    store.columns = std::make_shared<const std::vector<int>>(*scan.columns);
    MARBLE_ASSIGN_OR_RETURN(it, db->NewIterator(table, store));
  } else {
    MARBLE_ASSIGN_OR_RETURN(it, NewScan(db, table, scan));
  }
  while (true) {
    if (options.check) MARBLE_RETURN_NOT_OK(options.check());
    MARBLE_ASSIGN_OR_RETURN(const auto step, it->Next());
    if (step.batch == nullptr) break;
    MARBLE_RETURN_NOT_OK(TakeColumn(step.batch->column(0), &out));
  }
  if (out.min == nullptr) out.min = out.max = arrow::MakeNullScalar(type);
  return out;
}

}  // namespace marble::table
