// A table at one schema: its descriptor and the codecs of its keys. Immutable after Make; shared by
// everything that touches the table's rows. A table that is altered gets another one.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/key_codec.h"
#include "base/status.h"
#include "lsm/options.h"
#include "lsm/write/merge_operator.h"

namespace marble::lsm {

/// Columns of a table by index; null: all.
using ColumnsRef = std::shared_ptr<const std::vector<int>>;

struct TableInfo {
  TableDescriptor descriptor;
  std::shared_ptr<const KeyCodec> codec;  // null: no primary key
  /// Batches of DeleteRows: the key columns alone, in key order, and their codec.
  std::shared_ptr<arrow::Schema> key_schema;  // null without a key
  std::shared_ptr<const KeyCodec> key_codec;
  MergeOperatorRef merge_operator;  // null: no merges

  /// Check a descriptor and derive the rest. kNotSupported names a column whose type cannot
  /// be stored, kInvalidArgument what else is wrong.
  static Result<std::shared_ptr<const TableInfo>> Make(TableDescriptor descriptor);

  bool keyed() const { return codec != nullptr; }
  bool expires() const { return descriptor.options.ttl_ms > 0; }
  const std::string& name() const { return descriptor.name; }
  TableId id() const { return descriptor.id; }
};

/// The first difference between two descriptors in words; empty when they are identical.
/// Ids are not compared.
std::string DescribeDifference(const TableDescriptor& a, const TableDescriptor& b);

}  // namespace marble::lsm
