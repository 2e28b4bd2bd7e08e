// One column of a keyed table, indexed by group number: fixed-width values in a plain vector, or
// byte strings. Operators update int64 and double columns through raw pointers.
// One thread, the operator's.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace marble::state {

class GroupColumn {
 public:
  /// kNotSupported for types that are neither fixed-width nor utf8 or binary.
  static Result<GroupColumn> Make(std::shared_ptr<arrow::Field> field);

  /// Grow to `groups`; new ones are NULL (0 where the column is not nullable).
  void Resize(size_t groups);
  void Reset(uint32_t group);

  int64_t* int64s() { return reinterpret_cast<int64_t*>(fixed_.data()); }
  double* doubles() { return reinterpret_cast<double*>(fixed_.data()); }
  std::string* strings() { return strings_.data(); }
  uint8_t* valid() { return valid_.data(); }

  /// Copy a value out of an array of the column's type.
  void Set(uint32_t group, const arrow::Array& array, int64_t row);
  Result<std::shared_ptr<arrow::Array>> Gather(const std::vector<uint32_t>& groups) const;

  const std::shared_ptr<arrow::Field>& field() const { return field_; }
  size_t memory_bytes() const;

 private:
  GroupColumn() = default;
  std::shared_ptr<arrow::Field> field_;
  int width_ = 0;  // bytes; 0: strings
  bool bits_ = false;
  std::vector<uint8_t> fixed_;
  std::vector<std::string> strings_;
  std::vector<uint8_t> valid_;
};

}  // namespace marble::state
