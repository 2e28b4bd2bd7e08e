// Merge operators of state families: a write that combines with what is there instead of
// replacing it, without reading it first. Operators are associative, and an operand is itself a
// value: the first merge of a key puts it (as RocksDB's AssociativeMergeOperator). So operands
// may be folded with each other anywhere between two snapshots: in memory, at flush, in
// compaction, at a read.
//
// Stateless after registration; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace marble::lsm {

class MergeOperator {
 public:
  virtual ~MergeOperator() = default;
  /// The name kept in the table's options; never to be used for another function.
  virtual std::string_view name() const = 0;
  /// Whether bytes can be a value or an operand; the reason if not. Checked at every put and
  /// merge, so that Merge cannot fail later.
  virtual Status Check(std::string_view value) const = 0;
  /// Append to `out` the value that `older` becomes by `newer`. Both have passed Check.
  virtual void Merge(std::string_view key, std::string_view older, std::string_view newer,
                     std::string* out) const = 0;
};
using MergeOperatorRef = std::shared_ptr<const MergeOperator>;

/// Make an operator known to all databases of this process, before a table that uses it is
/// opened. kTableExists when the name is taken. Built in:
///   int64add   8 bytes, little-endian, two's complement; wraps around
///   max, min   of the two values, compared as bytes
///   append     the operand's bytes behind the value's
Status RegisterMergeOperator(MergeOperatorRef merge_operator);
/// kNotFound naming the known ones; null for an empty name.
Result<MergeOperatorRef> FindMergeOperator(std::string_view name);
std::vector<std::string> MergeOperatorNames();

}  // namespace marble::lsm
