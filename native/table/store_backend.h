// The seam for stores of tables: what sinks, sources and services need of one, and no more. Chosen
// by name: 'marbledb' (the engine) and 'memory' (ordered maps that end with their object). Others
// register a factory. All keep the same contract, and test/native/table/store_backend_test.cc runs
// it on each.
//
// Contract
//  - A table has a schema and, usually, a primary key. Rows come out in key order, as Arrow sorts
//    the columns; without a key in the order of insertion.
//  - A row with the key of another replaces it; of equal keys in one batch the last one counts.
//  - An InsertBatch that returned OK is seen whole by every later scan, and before that not in
//  part.
//  - A scan sees the table as it was at the call, whatever is written meanwhile.
//  - What a persistent backend acknowledged is there after Close and Open of the same path.
//  - Before Open and after Close every call but those two is kClosed; a second Close is harmless.
//
// Thread-safe, except Open and Close.
#pragma once

#include <arrow/type_fwd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "table/table.h"

namespace marble::table {

struct StoreScan {
  std::vector<std::string> columns = {};  // empty: all
  KeyRange range = {};                    // keyed tables only
  bool reverse = false;
  int64_t limit = -1;  // rows; -1: all
};

class StoreBackend {
 public:
  virtual ~StoreBackend() = default;

  /// Where it lies; backends that keep nothing ignore it. ':memory:' for the engine in memory.
  virtual Status Open(const std::string& path) = 0;
  virtual Status Close() = 0;
  /// Whether what was written survives Close.
  virtual bool persistent() const = 0;

  /// A table that exists with the same schema and key is left as it is; with others kIncompatible.
  virtual Status CreateTable(const std::string& name, const std::shared_ptr<arrow::Schema>& schema,
                             const std::vector<std::string>& primary_key) = 0;
  /// Columns by name; a nullable one that is missing is null. kTableNotFound, kSchema.
  virtual Status InsertBatch(const std::string& table,
                             const std::shared_ptr<arrow::RecordBatch>& rows) = 0;
  /// False: enough. A batch has at least a row, and stays valid.
  using Visit = std::function<bool(const std::shared_ptr<arrow::RecordBatch>& batch)>;
  /// kTableNotFound, kColumnNotFound; kInvalidArgument for a range of a table without a key.
  virtual Status ScanTable(const std::string& table, const StoreScan& scan,
                           const Visit& visit) const = 0;
};

using StoreBackendFactory = std::function<std::unique_ptr<StoreBackend>()>;
/// kInvalidArgument when the name is taken. Any thread.
Status RegisterStoreBackend(const std::string& name, StoreBackendFactory factory);
/// A closed backend. kNotFound names those there are.
Result<std::unique_ptr<StoreBackend>> MakeStoreBackend(const std::string& name);
std::vector<std::string> StoreBackendNames();

}  // namespace marble::table
