// Scans of tables with conditions. Batches come out of the store (merged where runs overlap), and
// the condition is asked about each after that; what can be known before is left out unread:
//
// 1. conditions on a prefix of the primary key become the range of keys;
// 2. in stretches where one file alone counts (lsm::StretchFilter), batches whose zone maps say
//    that no row can match are skipped; where they say that all rows do, nothing is evaluated;
// 3. everything else is read, and the rows that match are kept. A batch of which all rows match
//    comes out as it is: a slice of a file stays one, and can cross without a copy.
//
// An iterator belongs to one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lsm/db.h"
#include "table/predicate.h"
#include "table/table.h"

namespace marble::table {

struct ScanOptions {
  lsm::ReadOptions read = {};
  lsm::ScanRange range = {};  // conditions on the key narrow it
  std::shared_ptr<const Predicate> where = nullptr;
  /// Indices into the table's schema, in the order of the result. nullopt: all.
  std::optional<std::vector<int>> columns = std::nullopt;
  bool reverse = false;
  int64_t limit = -1;      // rows that match; -1: all
  int64_t batch_rows = 0;  // of merged batches; 0: limits::kTableBatchRows
  /// False: read and evaluate everything, for comparison. The result is the same.
  bool pruning = true;
  /// Asked between batches, also between those that come to nothing: an error ends the scan.
  std::function<Status()> check = nullptr;
};

/// Batches have the chosen columns alone; `sst` says where the whole batch lies.
Result<std::unique_ptr<lsm::Iterator>> NewScan(lsm::DB* db, const lsm::TableHandle& table,
                                               const ScanOptions& options);

/// The number of rows that NewScan would give, its columns ignored. Without a condition, rows of
/// stretches in which one file alone counts are taken from its metadata.
Result<int64_t> Count(lsm::DB* db, const lsm::TableHandle& table, const ScanOptions& options);

/// The least and the greatest value of a column over the rows that NewScan would give, null
/// scalars when there is none. NaN counts as greater than every number, as in the order of keys.
/// From zone maps where they are exact, by reading elsewhere. kNotSupported for types without an
/// order.
struct MinMaxResult {
  std::shared_ptr<arrow::Scalar> min;
  std::shared_ptr<arrow::Scalar> max;
};
Result<MinMaxResult> MinMax(lsm::DB* db, const lsm::TableHandle& table, int column,
                            const ScanOptions& options);

}  // namespace marble::table
