// Typed tables over the engine: descriptors from schemas, keys from values, projected scans.
// Stateless functions; thread-safe.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "lsm/db.h"

namespace marble::table {

/// Describe a table. `primary_key` names columns, in key order; empty: none. kColumnNotFound
/// names a key column that the schema lacks, kSchema what cannot be a key.
Result<lsm::TableDescriptor> MakeTableDescriptor(std::string name,
                                                 std::shared_ptr<arrow::Schema> schema,
                                                 const std::vector<std::string>& primary_key,
                                                 lsm::TableOptions options = {});

/// Describe a state family: {key: binary not null, value: binary not null}.
lsm::TableDescriptor MakeStateDescriptor(std::string name, lsm::TableOptions options = {});

using KeyValues = std::vector<std::shared_ptr<arrow::Scalar>>;

/// Encode a full key. kInvalidArgument when the number of values is not that of the key columns.
Result<std::string> EncodeKey(const lsm::TableHandle& table, const KeyValues& values);

/// Bounds of a scan by keys or by prefixes of keys (fewer values than key columns). A prefix
/// means every key that begins with it: gt skips, lte includes them all. Of gte and gt, and of
/// lte and lt, at most one may be set.
struct KeyRange {
  std::optional<KeyValues> gte = {};
  std::optional<KeyValues> gt = {};
  std::optional<KeyValues> lte = {};
  std::optional<KeyValues> lt = {};
};
/// nullopt: no key can lie between the bounds.
Result<std::optional<lsm::ScanRange>> EncodeRange(const lsm::TableHandle& table,
                                                  const KeyRange& range);
/// All keys that begin with `prefix`.
Result<lsm::ScanRange> EncodePrefix(const lsm::TableHandle& table, const KeyValues& prefix);

/// The index of a column. kColumnNotFound names it, the nearest that there is, and all.
Result<int> ColumnIndex(const lsm::TableHandle& table, const std::string& name);

/// Columns of a scan by name, resolved once.
class Projection {
 public:
  /// Empty `columns`: all of the table's. kColumnNotFound names the column and those there are.
  static Result<Projection> Make(const lsm::TableHandle& table,
                                 const std::vector<std::string>& columns);
  /// The same by index, nullopt: all. None is a projection too: batches with a number of rows.
  static Result<Projection> OfColumns(const lsm::TableHandle& table,
                                      const std::optional<std::vector<int>>& columns);
  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }
  /// Indices into the table's schema.
  const std::vector<int>& columns() const { return columns_; }
  /// Replace the batch by one with these columns alone; what says where it lies stays true.
  lsm::ScanBatch Apply(lsm::ScanBatch step) const;

 private:
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<int> columns_;
};

/// Bring a batch to `schema`: columns by name in the schema's order, nulls for a nullable column
/// that the batch lacks. No copy. kSchema names a column that is missing, unknown, of another
/// type (nothing is cast), or null where null is not allowed.
Result<std::shared_ptr<arrow::RecordBatch>> Conform(
    const std::shared_ptr<arrow::RecordBatch>& batch, const std::shared_ptr<arrow::Schema>& schema);

}  // namespace marble::table
