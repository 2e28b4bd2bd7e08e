// How an Arrow type's arrays lie in buffers, in the order of Arrow IPC: per node a validity bitmap,
// then by shape. Both directions of the bridge and lib/arrow/layout.ts walk types in this order.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>

#include "base/status.h"

namespace marble::napi {

enum class Shape {
  kNull,       // no buffers
  kBits,       // validity, values as bits
  kFixed,      // validity, values
  kBytes32,    // validity, int32 offsets, bytes
  kBytes64,    // validity, int64 offsets, bytes
  kList32,     // validity, int32 offsets; one child
  kList64,     // validity, int64 offsets; one child
  kFixedList,  // validity; one child of width × length
  kStruct,     // validity; children
  // Unions have no validity: a value is null where its child's is.
  kSparseUnion,  // type ids; children
  kDenseUnion,   // type ids, int32 offsets; children
};

struct Layout {
  Shape shape;
  int64_t width = 0;  // kFixed: bytes a value; kFixedList: items a value
};

/// kNotSupported for types that do not cross (views, run-end, extension).
Result<Layout> LayoutOf(const arrow::DataType& type);
/// Buffers of a node itself, without its children.
int NumBuffers(Shape shape);

}  // namespace marble::napi
