// One row by key, without building an Arrow batch for it: its values are written as 8-byte cells
// into scratch memory that JavaScript sees through typed arrays, its strings and bytes into the
// slab. lib/table/row-cells.ts reads them. Cell i is at 8 × i; behind all cells one null byte per
// column.
//   bool, ints up to 32 bits, floats, dates, 32-bit times → double
//   64-bit ints, timestamps, 64-bit times, durations      → int64
//   utf8, binary, fixed binary, decimal (as text)         → uint32 offset in the slab, uint32
//   length
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>

namespace marble::napi {

/// True when every column of the schema has a cell form (no nested types).
bool HasCells(const arrow::Schema& schema);

constexpr int64_t kCellsNoRoom = -2;
/// Write a row; `slab_offset` is where its strings begin. The bytes used in the slab, or
/// kCellsNoRoom when they do not fit.
int64_t WriteRowCells(const arrow::RecordBatch& batch, int64_t row, int num_columns, uint8_t* cells,
                      uint8_t* slab, size_t slab_offset, size_t slab_size);

}  // namespace marble::napi
