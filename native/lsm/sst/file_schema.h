// The schema of an .arrow file, derived from the table's: hidden columns behind it, and with
// tombstones every column that is not part of the key nullable. Writer and reader derive it in
// the same way; the fingerprint in the .idx proves that they mean the same types.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"

namespace marble::lsm {

struct HiddenColumns {
  bool seq = false;
  bool kind = false;
  bool expires = false;
};

/// kNotSupported names the column whose type cannot be stored.
Status CheckStorable(const arrow::Schema& schema);

/// The very schema of the table when there is nothing to add.
std::shared_ptr<arrow::Schema> FileSchema(const std::shared_ptr<arrow::Schema>& table,
                                          const std::vector<int>& key_columns,
                                          const HiddenColumns& hidden);

/// Of a field's metadata: its id in the table.
inline constexpr char kFieldIdKey[] = "marble.fieldId";
/// The schema with ids in the metadata of its first fields (all but the hidden ones). Empty: 1, 2 …
std::shared_ptr<arrow::Schema> WithFieldIds(const arrow::Schema& file,
                                            const std::vector<uint32_t>& ids, int columns);
/// The ids that the first fields have. Those of files of older releases have none: 1, 2, 3 …
std::vector<uint32_t> FieldIdsOf(const arrow::Schema& file, int columns);

/// A hash of the column types in order, not of names or nullability: what decides whether
/// stored buffers can be read as this schema.
uint64_t TypeFingerprint(const arrow::Schema& schema);

}  // namespace marble::lsm
