// Order-preserving (memcomparable) key bytes: comparing two encoded keys bytewise orders them as
// Arrow sorts the columns (ascending, nulls last, NaN before null and after every number).
// The byte layout is part of the file formats: native/base/FORMAT.md.
//
// Thread safety: a KeyCodec is immutable after Make.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace marble {

/// Encode and decode the key columns of a schema.
class KeyCodec {
 public:
  /// `key_columns` are indices into `schema`, in key order. Types: bool, ints, floats, decimal128,
  /// date, time, timestamp, utf8, large_utf8, binary, large_binary; others are kNotSupported.
  /// A schema {key: binary} with this one non-nullable key column is raw: the bytes as they are.
  static Result<std::shared_ptr<const KeyCodec>> Make(const std::shared_ptr<arrow::Schema>& schema,
                                                      const std::vector<int>& key_columns);
  virtual ~KeyCodec() = default;

  /// Append the encoded key of `row` to `out`. `batch` has the full schema.
  virtual void Encode(const arrow::RecordBatch& batch, int64_t row, std::string* out) const = 0;

  /// Encode all rows: `bytes` gets the keys one behind the other, `offsets` gets rows + 1 entries.
  /// Much faster than Encode row by row (the column loop is outside).
  virtual void EncodeAll(const arrow::RecordBatch& batch, std::string* bytes,
                         std::vector<uint32_t>* offsets) const = 0;

  /// Encode a key, or a prefix of one (fewer scalars than key columns), from scalars of the
  /// columns' types. kSchema on a wrong type or a null in a non-nullable column.
  virtual Result<std::string> EncodeScalars(
      const std::vector<std::shared_ptr<arrow::Scalar>>& values) const = 0;

  /// Decode an encoded key back to scalars; kCorruption when the bytes are malformed.
  virtual Result<std::vector<std::shared_ptr<arrow::Scalar>>> Decode(
      std::string_view encoded) const = 0;

  /// Compare row `a` of `left` with row `b` of `right` as their encodings would.
  virtual int Compare(const arrow::RecordBatch& left, int64_t a, const arrow::RecordBatch& right,
                      int64_t b) const = 0;

  /// True when every key is one binary or utf8 column stored as it is (no escape, no prefix).
  virtual bool raw() const = 0;
  virtual int num_columns() const = 0;
};

/// The smallest byte string greater than every string that starts with `prefix`; empty when
/// there is none (prefix is all 0xff).
std::string PrefixSuccessor(std::string_view prefix);

}  // namespace marble
