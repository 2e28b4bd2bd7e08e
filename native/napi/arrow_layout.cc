#include "napi/arrow_layout.h"

#include <arrow/type.h>

namespace marble::napi {

Result<Layout> LayoutOf(const arrow::DataType& type) {
  using arrow::Type;
  switch (type.id()) {
    case Type::NA:
      return Layout{Shape::kNull};
    case Type::BOOL:
      return Layout{Shape::kBits};
    case Type::STRING:
    case Type::BINARY:
      return Layout{Shape::kBytes32};
    case Type::LARGE_STRING:
    case Type::LARGE_BINARY:
      return Layout{Shape::kBytes64};
    case Type::LIST:
    case Type::MAP:
      return Layout{Shape::kList32};
    case Type::LARGE_LIST:
      return Layout{Shape::kList64};
    case Type::FIXED_SIZE_LIST:
      return Layout{Shape::kFixedList,
                    static_cast<const arrow::FixedSizeListType&>(type).list_size()};
    case Type::STRUCT:
      return Layout{Shape::kStruct};
    case Type::SPARSE_UNION:
      return Layout{Shape::kSparseUnion};
    case Type::DENSE_UNION:
      return Layout{Shape::kDenseUnion};
    default:
      if (type.id() != Type::DICTIONARY && type.id() != Type::EXTENSION && type.byte_width() > 0) {
        return Layout{Shape::kFixed, type.byte_width()};
      }
      return MakeError(ErrorCode::kNotSupported,
                       "columns of type " + type.ToString() + " do not cross to JavaScript");
  }
}

int NumBuffers(Shape shape) {
  switch (shape) {
    case Shape::kNull:
      return 0;
    case Shape::kBits:
    case Shape::kFixed:
    case Shape::kList32:
    case Shape::kList64:
    case Shape::kDenseUnion:
      return 2;
    case Shape::kBytes32:
    case Shape::kBytes64:
      return 3;
    case Shape::kFixedList:
    case Shape::kStruct:
    case Shape::kSparseUnion:
      return 1;
  }
  return 0;
}

}  // namespace marble::napi
