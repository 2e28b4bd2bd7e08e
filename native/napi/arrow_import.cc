#include "napi/arrow_import.h"

#include <arrow/array.h>
#include <arrow/array/concatenate.h>
#include <arrow/array/util.h>
#include <arrow/buffer.h>
#include <arrow/compute/api_vector.h>
#include <arrow/compute/cast.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/bitmap_ops.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/arrow_types.h"
#include "napi/arrow_layout.h"
#include "napi/environment.h"
#include "napi/node_value.h"

namespace marble::napi {

namespace {

constexpr size_t kMaxCachedSchemas = 256;
constexpr int64_t kNodeNumbers = 5;

Status Malformed(const std::string& what) {
  return MakeError(ErrorCode::kSchema, "the Arrow data passed in is malformed: " + what);
}

class Importer {
 public:
  Importer(napi_env env, napi_value buffers, const double* nodes, size_t num_nodes)
      : env_(env), buffers_(buffers), nodes_(nodes), num_nodes_(num_nodes) {}

  Result<std::shared_ptr<arrow::ArrayData>> Column(const std::shared_ptr<arrow::DataType>& type,
                                                   int64_t expected_length) {
    MARBLE_ASSIGN_OR_RETURN(Node node, NextNode());
    if (expected_length >= 0 && node.length < expected_length) {
      return Malformed("a column has " + std::to_string(node.length) + " rows, not " +
                       std::to_string(expected_length));
    }
    if (node.index_width == 0) return Plain(type, node);
    return Dictionary(type, node);
  }

 private:
  struct Node {
    int64_t length;
    int64_t offset;
    int index_width;
    int64_t chunks;
  };
  struct Bytes {
    const uint8_t* data = nullptr;
    size_t size = 0;
  };

  Result<Node> NextNode() {
    if (next_node_ + kNodeNumbers > num_nodes_) return Malformed("it has too few nodes");
    const double* at = nodes_ + next_node_;
    next_node_ += kNodeNumbers;
    Node node{static_cast<int64_t>(at[0]), static_cast<int64_t>(at[1]), static_cast<int>(at[2]),
              static_cast<int64_t>(at[3])};
    if (node.length < 0 || node.offset < 0 || node.length > INT32_MAX) {
      return Malformed("a length is negative or beyond 2^31");
    }
    return node;
  }

  Result<Bytes> NextBuffer() {
    napi_value value = nullptr;
    napi_get_element(env_, buffers_, next_buffer_++, &value);
    if (IsNullish(env_, value)) return Bytes{};
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(env_, value, &type, &length, &data, nullptr, nullptr) != napi_ok) {
      return Malformed("a buffer is not a typed array");
    }
    static constexpr size_t kWidths[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
    return Bytes{static_cast<const uint8_t*>(data), length * kWidths[static_cast<int>(type)]};
  }

  static Result<std::shared_ptr<arrow::Buffer>> Copy(const uint8_t* data, int64_t size) {
    MARBLE_ASSIGN_OR_RETURN(auto buffer, arrow::AllocateBuffer(size));
    if (size > 0) std::memcpy(buffer->mutable_data(), data, size);
    return std::shared_ptr<arrow::Buffer>(std::move(buffer));
  }

  Result<std::shared_ptr<arrow::Buffer>> CopyBits(const Bytes& from, const Node& node) {
    if (static_cast<int64_t>(from.size) * 8 < node.offset + node.length) {
      return Malformed("a bitmap is too short");
    }
    return arrow::internal::CopyBitmap(arrow::default_memory_pool(), from.data, node.offset,
                                       node.length);
  }

  Result<std::shared_ptr<arrow::Buffer>> Validity(const Node& node) {
    MARBLE_ASSIGN_OR_RETURN(Bytes bytes, NextBuffer());
    if (bytes.size == 0) return std::shared_ptr<arrow::Buffer>();
    return CopyBits(bytes, node);
  }

  // Offsets rebased to 0, and the range of the child or of the bytes that they span.
  template <class T>
  Result<std::shared_ptr<arrow::Buffer>> CopyOffsets(const Node& node, int64_t* first,
                                                     int64_t* last) {
    MARBLE_ASSIGN_OR_RETURN(Bytes bytes, NextBuffer());
    MARBLE_ASSIGN_OR_RETURN(auto buffer, arrow::AllocateBuffer((node.length + 1) * sizeof(T)));
    auto* to = reinterpret_cast<T*>(buffer->mutable_data());
    *first = *last = 0;
    if (node.length == 0 && bytes.size < sizeof(T)) {
      to[0] = 0;
      return std::shared_ptr<arrow::Buffer>(std::move(buffer));
    }
    if (bytes.size < (node.length + 1) * sizeof(T))
      return Malformed("an offsets buffer is too short");
    const auto* from = reinterpret_cast<const T*>(bytes.data);
    T previous = from[0];
    if (previous < 0) return Malformed("an offset is negative");
    const T base = previous;
    for (int64_t i = 0; i <= node.length; ++i) {
      if (from[i] < previous) return Malformed("its offsets are not ascending");
      previous = from[i];
      to[i] = previous - base;
    }
    *first = base;
    *last = previous;
    return std::shared_ptr<arrow::Buffer>(std::move(buffer));
  }

  template <class T>
  Result<std::shared_ptr<arrow::ArrayData>> VarBytes(const std::shared_ptr<arrow::DataType>& type,
                                                     const Node& node) {
    int64_t first = 0;
    int64_t last = 0;
    MARBLE_ASSIGN_OR_RETURN(auto validity, Validity(node));
    MARBLE_ASSIGN_OR_RETURN(auto offsets, CopyOffsets<T>(node, &first, &last));
    MARBLE_ASSIGN_OR_RETURN(Bytes bytes, NextBuffer());
    if (static_cast<int64_t>(bytes.size) < last) return Malformed("offsets point beyond the bytes");
    MARBLE_ASSIGN_OR_RETURN(auto values, Copy(bytes.data + first, last - first));
    return arrow::ArrayData::Make(type, node.length, {validity, offsets, values});
  }

  template <class T>
  Result<std::shared_ptr<arrow::ArrayData>> List(const std::shared_ptr<arrow::DataType>& type,
                                                 const Node& node) {
    int64_t first = 0;
    int64_t last = 0;
    MARBLE_ASSIGN_OR_RETURN(auto validity, Validity(node));
    MARBLE_ASSIGN_OR_RETURN(auto offsets, CopyOffsets<T>(node, &first, &last));
    MARBLE_ASSIGN_OR_RETURN(auto child, Column(type->field(0)->type(), last));
    child = child->Slice(first, last - first);
    return arrow::ArrayData::Make(type, node.length, {validity, offsets}, {child});
  }

  Result<std::shared_ptr<arrow::ArrayData>> Plain(const std::shared_ptr<arrow::DataType>& type,
                                                  const Node& node) {
    MARBLE_ASSIGN_OR_RETURN(Layout layout, LayoutOf(*type));
    switch (layout.shape) {
      case Shape::kNull:
        return arrow::ArrayData::Make(type, node.length, {nullptr}, node.length);
      case Shape::kBits: {
        MARBLE_ASSIGN_OR_RETURN(auto validity, Validity(node));
        MARBLE_ASSIGN_OR_RETURN(Bytes bytes, NextBuffer());
        MARBLE_ASSIGN_OR_RETURN(auto values, CopyBits(bytes, node));
        return arrow::ArrayData::Make(type, node.length, {validity, values});
      }
      case Shape::kFixed: {
        MARBLE_ASSIGN_OR_RETURN(auto validity, Validity(node));
        MARBLE_ASSIGN_OR_RETURN(Bytes bytes, NextBuffer());
        if (static_cast<int64_t>(bytes.size) < node.length * layout.width) {
          return Malformed("a values buffer is too short");
        }
        MARBLE_ASSIGN_OR_RETURN(auto values, Copy(bytes.data, node.length * layout.width));
        return arrow::ArrayData::Make(type, node.length, {validity, values});
      }
      case Shape::kBytes32:
        return VarBytes<int32_t>(type, node);
      case Shape::kBytes64:
        return VarBytes<int64_t>(type, node);
      case Shape::kList32:
        return List<int32_t>(type, node);
      case Shape::kList64:
        return List<int64_t>(type, node);
      case Shape::kFixedList: {
        MARBLE_ASSIGN_OR_RETURN(auto validity, Validity(node));
        MARBLE_ASSIGN_OR_RETURN(auto child,
                                Column(type->field(0)->type(), node.length * layout.width));
        child = child->Slice(0, node.length * layout.width);
        return arrow::ArrayData::Make(type, node.length, {validity}, {child});
      }
      case Shape::kStruct: {
        MARBLE_ASSIGN_OR_RETURN(auto validity, Validity(node));
        std::vector<std::shared_ptr<arrow::ArrayData>> children;
        for (const auto& field : type->fields()) {
          MARBLE_ASSIGN_OR_RETURN(auto child, Column(field->type(), node.length));
          children.push_back(child->Slice(0, node.length));
        }
        return arrow::ArrayData::Make(type, node.length, {validity}, std::move(children));
      }
      case Shape::kSparseUnion:
      case Shape::kDenseUnion:
        return Union(type, node, layout.shape == Shape::kDenseUnion);
    }
    return Malformed("unknown shape");
  }

  Result<std::shared_ptr<arrow::ArrayData>> Union(const std::shared_ptr<arrow::DataType>& type,
                                                  const Node& node, bool dense) {
    const auto& child_ids = static_cast<const arrow::UnionType&>(*type).child_ids();
    MARBLE_ASSIGN_OR_RETURN(const Bytes ids, NextBuffer());
    if (static_cast<int64_t>(ids.size) < node.length) {
      return Malformed("a union's type ids are too few");
    }
    MARBLE_ASSIGN_OR_RETURN(auto codes, Copy(ids.data, node.length));
    for (int64_t i = 0; i < node.length; ++i) {
      const auto code = static_cast<int8_t>(ids.data[i]);
      if (code < 0 || child_ids[code] == arrow::UnionType::kInvalidChildId) {
        return Malformed("a union has no type id " + std::to_string(code));
      }
    }
    if (!dense) {
      arrow::ArrayDataVector children;
      for (const auto& field : type->fields()) {
        MARBLE_ASSIGN_OR_RETURN(auto child, Column(field->type(), node.length));
        children.push_back(child->Slice(0, node.length));
      }
      return arrow::ArrayData::Make(type, node.length, {nullptr, codes}, std::move(children), 0);
    }
    MARBLE_ASSIGN_OR_RETURN(const Bytes places, NextBuffer());
    if (static_cast<int64_t>(places.size) / 4 < node.length) {
      return Malformed("a union's offsets are too few");
    }
    MARBLE_ASSIGN_OR_RETURN(auto offsets, arrow::AllocateBuffer(node.length * 4));
    auto* to = reinterpret_cast<int32_t*>(offsets->mutable_data());
    const auto* from = reinterpret_cast<const int32_t*>(places.data);
    // Of each child the values that are used, in ascending order: from the first to the last.
    std::vector<int32_t> first(type->num_fields(), -1);
    std::vector<int32_t> last(type->num_fields(), -1);
    for (int64_t i = 0; i < node.length; ++i) {
      const int child = child_ids[ids.data[i]];
      if (from[i] < 0 || from[i] < last[child]) return Malformed("a union's offsets descend");
      if (first[child] < 0) first[child] = from[i];
      last[child] = from[i];
      to[i] = from[i] - first[child];
    }
    arrow::ArrayDataVector children;
    for (int c = 0; c < type->num_fields(); ++c) {
      const int64_t end = static_cast<int64_t>(last[c]) + 1;
      MARBLE_ASSIGN_OR_RETURN(auto child, Column(type->field(c)->type(), end));
      const int64_t start = first[c] < 0 ? 0 : first[c];
      children.push_back(child->Slice(start, end - start));
    }
    return arrow::ArrayData::Make(
        type, node.length, {nullptr, codes, std::shared_ptr<arrow::Buffer>(std::move(offsets))},
        std::move(children), 0);
  }

  // apache-arrow makes dictionaries of strings unasked: they are stored decoded.
  Result<std::shared_ptr<arrow::ArrayData>> Dictionary(const std::shared_ptr<arrow::DataType>& type,
                                                       const Node& node) {
    std::shared_ptr<arrow::DataType> index_type;
    switch (node.index_width) {
      case -1:
        index_type = arrow::int8();
        break;
      case -2:
        index_type = arrow::int16();
        break;
      case -4:
        index_type = arrow::int32();
        break;
      case -8:
        index_type = arrow::int64();
        break;
      case 1:
        index_type = arrow::uint8();
        break;
      case 2:
        index_type = arrow::uint16();
        break;
      case 4:
        index_type = arrow::uint32();
        break;
      case 8:
        index_type = arrow::uint64();
        break;
      default:
        return Malformed("dictionary indices of unknown width");
    }
    MARBLE_ASSIGN_OR_RETURN(auto indices, Plain(index_type, node));
    arrow::ArrayVector chunks;
    for (int64_t i = 0; i < node.chunks; ++i) {
      MARBLE_ASSIGN_OR_RETURN(auto chunk, Column(type, -1));
      chunks.push_back(arrow::MakeArray(chunk));
    }
    std::shared_ptr<arrow::Array> dictionary;
    if (chunks.empty()) {
      MARBLE_ASSIGN_OR_RETURN(dictionary, arrow::MakeEmptyArray(type));
    } else {
      MARBLE_ASSIGN_OR_RETURN(dictionary, arrow::Concatenate(chunks));
    }
    auto decoded = arrow::compute::Take(*dictionary, *arrow::MakeArray(indices));
    if (!decoded.ok()) return Malformed("a dictionary index is out of bounds");
    return (*decoded)->data();
  }

  const napi_env env_;
  const napi_value buffers_;
  const double* const nodes_;
  const size_t num_nodes_;
  size_t next_node_ = 0;
  uint32_t next_buffer_ = 0;
};

/// A nested type with other children.
Result<std::shared_ptr<arrow::DataType>> WithChildren(const arrow::DataType& type,
                                                      const arrow::FieldVector& children) {
  switch (type.id()) {
    case arrow::Type::LIST:
      return arrow::list(children[0]);
    case arrow::Type::LARGE_LIST:
      return arrow::large_list(children[0]);
    case arrow::Type::FIXED_SIZE_LIST:
      return arrow::fixed_size_list(children[0],
                                    static_cast<const arrow::FixedSizeListType&>(type).list_size());
    case arrow::Type::STRUCT:
      return arrow::struct_(children);
    case arrow::Type::SPARSE_UNION:
      return arrow::sparse_union(children, static_cast<const arrow::UnionType&>(type).type_codes());
    case arrow::Type::DENSE_UNION:
      return arrow::dense_union(children, static_cast<const arrow::UnionType&>(type).type_codes());
    case arrow::Type::MAP:
      return arrow::MapType::Make(children[0],
                                  static_cast<const arrow::MapType&>(type).keys_sorted());
    default:
      return MakeError(ErrorCode::kNotSupported, "dictionaries or views within " + type.ToString());
  }
}

Result<std::shared_ptr<arrow::ArrayData>> Decode(const std::shared_ptr<arrow::ArrayData>& data) {
  if (data->type->id() == arrow::Type::DICTIONARY) {
    const arrow::DictionaryArray array(data);
    MARBLE_ASSIGN_OR_RETURN(const auto values,
                            arrow::compute::Take(*array.dictionary(), *array.indices()));
    return Decode(values->data());
  }
  if (arrow::is_binary_view_like(data->type->id())) {
    const bool text = data->type->id() == arrow::Type::STRING_VIEW;
    MARBLE_ASSIGN_OR_RETURN(
        const auto plain,
        arrow::compute::Cast(*arrow::MakeArray(data), text ? arrow::utf8() : arrow::binary()));
    return plain->data();
  }
  arrow::ArrayDataVector children;
  arrow::FieldVector fields;
  bool changed = false;
  for (size_t i = 0; i < data->child_data.size(); ++i) {
    MARBLE_ASSIGN_OR_RETURN(auto child, Decode(data->child_data[i]));
    changed = changed || child != data->child_data[i];
    fields.push_back(data->type->field(static_cast<int>(i))->WithType(child->type));
    children.push_back(std::move(child));
  }
  if (!changed) return data;
  auto out = data->Copy();
  out->child_data = std::move(children);
  MARBLE_ASSIGN_OR_RETURN(out->type, WithChildren(*data->type, fields));
  return out;
}

}  // namespace

Result<std::shared_ptr<arrow::RecordBatch>> DecodeDictionaries(
    const std::shared_ptr<arrow::RecordBatch>& batch) {
  arrow::ArrayDataVector columns;
  arrow::FieldVector fields;
  for (int c = 0; c < batch->num_columns(); ++c) {
    MARBLE_ASSIGN_OR_RETURN(auto column, Decode(batch->column_data(c)));
    fields.push_back(batch->schema()->field(c)->WithType(column->type));
    columns.push_back(std::move(column));
  }
  return arrow::RecordBatch::Make(arrow::schema(std::move(fields)), batch->num_rows(),
                                  std::move(columns));
}

Result<std::shared_ptr<arrow::Schema>> CachedSchema(Environment* environment,
                                                    const std::string& json) {
  auto& cache = environment->schemas();
  if (auto it = cache.find(json); it != cache.end()) return it->second;
  MARBLE_ASSIGN_OR_RETURN(auto schema, SchemaFromJson(json));
  if (cache.size() >= kMaxCachedSchemas) cache.clear();
  cache.emplace(json, schema);
  return schema;
}

Result<std::shared_ptr<arrow::RecordBatch>> ImportBatch(
    napi_env env, napi_value batch, const std::shared_ptr<arrow::Schema>& default_schema) {
  auto get = [&](const char* name) {
    napi_value value = nullptr;
    napi_get_named_property(env, batch, name, &value);
    return value;
  };
  std::shared_ptr<arrow::Schema> schema = default_schema;
  if (napi_value json_value = get("schema"); !IsNullish(env, json_value)) {
    size_t length = 0;
    if (napi_get_value_string_utf8(env, json_value, nullptr, 0, &length) != napi_ok) {
      return Malformed("its schema is not a string");
    }
    std::string json(length + 1, '\0');
    napi_get_value_string_utf8(env, json_value, json.data(), length + 1, &length);
    json.resize(length);
    MARBLE_ASSIGN_OR_RETURN(schema, CachedSchema(Environment::Get(env), json));
  }
  int64_t rows = 0;
  napi_typedarray_type type = napi_int8_array;
  size_t num_nodes = 0;
  void* nodes = nullptr;
  if (napi_get_value_int64(env, get("rows"), &rows) != napi_ok || rows < 0 ||
      napi_get_typedarray_info(env, get("nodes"), &type, &num_nodes, &nodes, nullptr, nullptr) !=
          napi_ok ||
      type != napi_float64_array || schema == nullptr) {
    return Malformed("rows, nodes or schema are missing");
  }
  Importer importer(env, get("buffers"), static_cast<const double*>(nodes), num_nodes);
  std::vector<std::shared_ptr<arrow::ArrayData>> columns;
  for (const auto& field : schema->fields()) {
    auto column = importer.Column(field->type(), rows);
    if (!column.ok()) {
      return MakeError(CodeOf(column.status()),
                       "column '" + field->name() + "': " + MessageOf(column.status()));
    }
    columns.push_back((*column)->length == rows ? *column : (*column)->Slice(0, rows));
  }
  return arrow::RecordBatch::Make(schema, rows, std::move(columns));
}

Result<std::shared_ptr<arrow::RecordBatch>> ConformBatch(
    const std::shared_ptr<arrow::RecordBatch>& batch,
    const std::shared_ptr<arrow::Schema>& schema) {
  for (const auto& field : batch->schema()->fields()) {
    if (schema->GetFieldIndex(field->name()) < 0) {
      return MakeError(
          ErrorCode::kSchema, "the table has no column '" + field->name() + "'; it has " + [&] {
            std::string names;
            for (const auto& own : schema->fields()) {
              names += (names.empty() ? "" : ", ") + own->name();
            }
            return names;
          }());
    }
  }
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (const auto& field : schema->fields()) {
    const std::vector<int> found = batch->schema()->GetAllFieldIndices(field->name());
    if (found.size() > 1) {
      return MakeError(ErrorCode::kSchema, "the batch has column '" + field->name() + "' twice");
    }
    if (found.empty()) {
      if (!field->nullable()) {
        return MakeError(ErrorCode::kSchema,
                         "column '" + field->name() + "' is not nullable and is missing");
      }
      MARBLE_ASSIGN_OR_RETURN(auto nulls, arrow::MakeArrayOfNull(field->type(), batch->num_rows()));
      columns.push_back(std::move(nulls));
      continue;
    }
    std::shared_ptr<arrow::Array> column = batch->column(found[0]);
    if (!column->type()->Equals(*field->type())) {
      return MakeError(ErrorCode::kSchema, "column '" + field->name() + "' is " +
                                               field->type()->ToString() + ", not " +
                                               column->type()->ToString());
    }
    if (!field->nullable() && column->null_count() > 0) {
      return MakeError(ErrorCode::kSchema,
                       "column '" + field->name() + "' is not nullable and holds a null");
    }
    // The declared type: names of nested fields may differ in the batch.
    if (column->type().get() != field->type().get()) {
      auto data = column->data()->Copy();
      data->type = field->type();
      column = arrow::MakeArray(data);
    }
    columns.push_back(std::move(column));
  }
  return arrow::RecordBatch::Make(schema, batch->num_rows(), std::move(columns));
}

}  // namespace marble::napi
