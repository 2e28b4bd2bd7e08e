// Columns of nulls alone, for those that a file does not have: all of them in the process share one
// piece of zeros. Thread-safe.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>

namespace marble::lsm {

/// `rows` nulls of any type that can be stored.
std::shared_ptr<arrow::ArrayData> NullColumn(const std::shared_ptr<arrow::DataType>& type,
                                             int64_t rows);

}  // namespace marble::lsm
