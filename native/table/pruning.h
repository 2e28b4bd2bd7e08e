// What a condition says about rows that nobody has read: from the zone maps of a batch, whether
// any row of it can match, and from the condition itself, between which keys all matching rows
// lie. Both err on the side of reading: "maybe" where nothing is known.
//
// Zone maps speak of one file. They may be asked only about rows that no other run has a say in
// (lsm::StretchFilter); bounds of keys hold anywhere.
// Immutable; any thread.
#pragma once

#include <arrow/type_fwd.h>

#include <functional>
#include <optional>

#include "expr/expression.h"
#include "lsm/db.h"

namespace marble::table {

/// What is known about the values of a column in some rows.
struct Zone {
  std::shared_ptr<arrow::Scalar> min;  // null: unknown
  std::shared_ptr<arrow::Scalar> max;
  bool may_be_null = true;
  bool may_be_value = true;  // false: all null
};
/// By index of the column in the condition's input.
using ZoneOf = std::function<Zone(int column)>;

/// Which values a condition can have over rows with these zones.
struct Verdict {
  bool may_be_true = true;
  bool may_be_false = true;
  bool may_be_null = true;

  bool none() const { return !may_be_true; }
  bool all() const { return !may_be_false && !may_be_null; }
};
Verdict Judge(const expr::Expression& condition, const ZoneOf& zone_of);

/// The zone of a table column in one batch of a file.
Zone ZoneInFile(const lsm::SstReader& sst, int64_t batch, int column);

/// The keys between which all rows lie that match: conditions on a prefix of the primary key,
/// equalities and then one range. nullopt: no row can match. Unbounded when the table has no key.
Result<std::optional<lsm::ScanRange>> KeyBounds(const lsm::TableHandle& table,
                                                const expr::Expression& condition);

/// What lies in both ranges; nullopt: nothing.
std::optional<lsm::ScanRange> Intersect(const lsm::ScanRange& a, const lsm::ScanRange& b);

/// Order two values of one type as comparisons do; nullopt where there is no order of ours
/// (nulls, NaN, nested types, types that differ).
std::optional<int> CompareScalars(const arrow::Scalar& a, const arrow::Scalar& b);

/// Whether a cast keeps the order of values and loses none of them.
bool IsExactCast(const arrow::DataType& from, const arrow::DataType& to);

}  // namespace marble::table
