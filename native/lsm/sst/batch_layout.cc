#include "lsm/sst/batch_layout.h"

#include <arrow/array/data.h>
#include <arrow/buffer.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/reader.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include "base/coding.h"

namespace marble::lsm {
namespace {

/// How Arrow stores a type, as far as buffers go.
enum class Shape {
  kNull,
  kFixed,
  kVar32,
  kVar64,
  kList32,
  kList64,
  kFixedList,
  kStruct,
  kSparseUnion,
  kDenseUnion,
};

Shape ShapeOf(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::NA:
      return Shape::kNull;
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      return Shape::kVar32;
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      return Shape::kVar64;
    case arrow::Type::LIST:
    case arrow::Type::MAP:
      return Shape::kList32;
    case arrow::Type::LARGE_LIST:
      return Shape::kList64;
    case arrow::Type::FIXED_SIZE_LIST:
      return Shape::kFixedList;
    case arrow::Type::STRUCT:
      return Shape::kStruct;
    case arrow::Type::SPARSE_UNION:
      return Shape::kSparseUnion;
    case arrow::Type::DENSE_UNION:
      return Shape::kDenseUnion;
    default:
      return Shape::kFixed;
  }
}

size_t BuffersOf(Shape shape) {
  switch (shape) {
    case Shape::kNull:
      return 0;
    case Shape::kFixedList:
    case Shape::kStruct:
    case Shape::kSparseUnion:
      return 1;
    case Shape::kVar32:
    case Shape::kVar64:
      return 3;
    default:
      return 2;
  }
}

/// Of unions Arrow's files have no validity, its arrays a place for it.
size_t FirstBuffer(Shape shape) {
  return shape == Shape::kSparseUnion || shape == Shape::kDenseUnion ? 1 : 0;
}

Status AppendLayout(const arrow::ArrayData& data, std::string_view file, BatchLayout* out) {
  if (data.offset != 0) {
    return MakeError(ErrorCode::kInternal, "an array read from a file has an offset");
  }
  out->nodes.push_back({data.length, data.GetNullCount()});
  const Shape shape = ShapeOf(*data.type);
  const size_t first = FirstBuffer(shape);
  for (size_t i = first; i < first + BuffersOf(shape); ++i) {
    const auto& buffer = data.buffers[i];
    if (buffer == nullptr || buffer->size() == 0) {
      out->buffers.push_back({0, 0});
      continue;
    }
    const auto* at = reinterpret_cast<const char*>(buffer->data());
    if (at < file.data() || at + buffer->size() > file.data() + file.size()) {
      return MakeError(ErrorCode::kInternal, "a buffer read from a file is not inside it");
    }
    out->buffers.push_back(
        {static_cast<uint64_t>(at - file.data()), static_cast<uint64_t>(buffer->size())});
  }
  for (const auto& child : data.child_data) {
    MARBLE_RETURN_NOT_OK(AppendLayout(*child, file, out));
  }
  return Status::OK();
}

/// Walks one batch's layout and checks it against the types.
class Validator {
 public:
  Validator(const BatchLayout& layout, uint64_t file_bytes)
      : layout_(layout), file_bytes_(file_bytes) {}

  bool Column(const arrow::DataType& type, int64_t rows) {
    return Node(type, rows, /*exact=*/true);
  }

 private:
  /// A child of a list has any length, others at least `length`.
  bool Node(const arrow::DataType& type, int64_t length, bool exact) {
    const BatchLayout::Node& node = layout_.nodes[next_node_++];
    if (node.length < 0 || node.null_count < 0 || node.null_count > node.length) return false;
    if (exact ? node.length != length : node.length < length) return false;
    const Shape shape = ShapeOf(type);
    // A column without buffers may be long, all others are bounded by the file's bits.
    if (shape == Shape::kNull) return node.length <= kMaxLength;
    if (node.length > kMaxLength) return false;
    if (FirstBuffer(shape) == 0 ? !Validity(node) : node.null_count != 0) return false;
    switch (shape) {
      case Shape::kFixed: {
        const auto bits = static_cast<const arrow::FixedWidthType&>(type).bit_width();
        const auto want = (static_cast<unsigned __int128>(node.length) * bits + 7) / 8;
        return Span(want);
      }
      case Shape::kVar32:
      case Shape::kVar64:
        return Offsets(node, shape == Shape::kVar32 ? 4 : 8) && Span(0);
      case Shape::kList32:
      case Shape::kList64:
        return Offsets(node, shape == Shape::kList32 ? 4 : 8) &&
               Node(*type.field(0)->type(), 0, false);
      case Shape::kFixedList: {
        const int64_t size = static_cast<const arrow::FixedSizeListType&>(type).list_size();
        if (size > 0 && node.length > kMaxLength / size) return false;
        return Node(*type.field(0)->type(), node.length * size, false);
      }
      case Shape::kStruct:
        for (const auto& field : type.fields()) {
          if (!Node(*field->type(), node.length, false)) return false;
        }
        return true;
      case Shape::kSparseUnion:
      case Shape::kDenseUnion: {
        const bool dense = shape == Shape::kDenseUnion;
        const auto length = static_cast<uint64_t>(node.length);
        if (!Span(length) || (dense && !Span(length * sizeof(int32_t)))) return false;
        for (const auto& field : type.fields()) {
          if (!Node(*field->type(), dense ? 0 : node.length, false)) return false;
        }
        return true;
      }
      case Shape::kNull:
        return true;
    }
    return false;
  }

  bool Span(unsigned __int128 at_least) {
    const BufferSpan& span = layout_.buffers[next_buffer_++];
    return span.offset <= file_bytes_ && span.length <= file_bytes_ - span.offset &&
           span.offset % 8 == 0 && span.length >= at_least;
  }
  bool Validity(const BatchLayout::Node& node) {
    const bool absent = layout_.buffers[next_buffer_].length == 0;
    if (absent && node.null_count > 0) return false;
    return Span(absent ? 0 : (static_cast<uint64_t>(node.length) + 7) / 8);
  }
  bool Offsets(const BatchLayout::Node& node, uint64_t width) {
    // An empty column may have no offsets at all.
    return Span(node.length == 0 ? 0 : (static_cast<uint64_t>(node.length) + 1) * width);
  }

  static constexpr int64_t kMaxLength = int64_t{1} << 40;
  const BatchLayout& layout_;
  uint64_t file_bytes_;
  size_t next_node_ = 0;
  size_t next_buffer_ = 0;
};

/// Stands for absent data and for the offsets of empty columns.
const std::shared_ptr<arrow::Buffer>& ZeroBuffer() {
  alignas(64) static constexpr uint8_t kZeros[64] = {};
  static const auto* const kBuffer =
      new std::shared_ptr<arrow::Buffer>(std::make_shared<arrow::Buffer>(kZeros, 64));
  return *kBuffer;
}
const std::shared_ptr<arrow::Buffer>& EmptyBuffer() {
  static const auto* const kBuffer =
      new std::shared_ptr<arrow::Buffer>(std::make_shared<arrow::Buffer>(ZeroBuffer()->data(), 0));
  return *kBuffer;
}

class Builder {
 public:
  Builder(const BatchLayout& layout, const BufferFactory& factory, const LayoutSize& first = {})
      : layout_(layout), factory_(factory), next_node_(first.nodes), next_buffer_(first.buffers) {}

  std::shared_ptr<arrow::ArrayData> Build(const std::shared_ptr<arrow::DataType>& type) {
    const BatchLayout::Node& node = layout_.nodes[next_node_++];
    const Shape shape = ShapeOf(*type);
    std::vector<std::shared_ptr<arrow::Buffer>> buffers;
    if (shape == Shape::kNull) {
      buffers.push_back(nullptr);
    } else {
      const size_t first = FirstBuffer(shape);
      const size_t count = first + BuffersOf(shape);
      buffers.reserve(count);
      buffers.resize(first);
      for (size_t i = first; i < count; ++i) {
        const BufferSpan& span = layout_.buffers[next_buffer_++];
        if (span.length != 0) {
          buffers.push_back(factory_(span));
        } else if (i == 0) {
          buffers.push_back(nullptr);
        } else {
          const bool offsets = i == 1 && shape != Shape::kFixed && first == 0;
          buffers.push_back(offsets ? ZeroBuffer() : EmptyBuffer());
        }
      }
    }
    std::vector<std::shared_ptr<arrow::ArrayData>> children;
    children.reserve(type->num_fields());
    for (const auto& field : type->fields()) children.push_back(Build(field->type()));
    return std::make_shared<arrow::ArrayData>(type, node.length, std::move(buffers),
                                              std::move(children), node.null_count);
  }

 private:
  const BatchLayout& layout_;
  const BufferFactory& factory_;
  size_t next_node_;
  size_t next_buffer_;
};

Result<std::shared_ptr<arrow::ipc::RecordBatchFileReader>> OpenArrow(std::string_view file) {
  arrow::ipc::IpcReadOptions options;
  options.use_threads = false;
  auto buffer = std::make_shared<arrow::Buffer>(reinterpret_cast<const uint8_t*>(file.data()),
                                                static_cast<int64_t>(file.size()));
  return arrow::ipc::RecordBatchFileReader::Open(
      std::make_shared<arrow::io::BufferReader>(std::move(buffer)), options);
}

}  // namespace

LayoutSize LayoutSizeOf(const arrow::DataType& type) {
  LayoutSize size{1, BuffersOf(ShapeOf(type))};
  for (const auto& field : type.fields()) {
    const LayoutSize child = LayoutSizeOf(*field->type());
    size.nodes += child.nodes;
    size.buffers += child.buffers;
  }
  return size;
}

LayoutSize LayoutSizeOf(const arrow::Schema& schema) {
  LayoutSize size;
  for (const auto& field : schema.fields()) {
    const LayoutSize column = LayoutSizeOf(*field->type());
    size.nodes += column.nodes;
    size.buffers += column.buffers;
  }
  return size;
}

Result<std::shared_ptr<arrow::Schema>> ReadFileSchema(std::string_view arrow_file) {
  MARBLE_ASSIGN_OR_RETURN(const auto reader, OpenArrow(arrow_file));
  return reader->schema();
}

Result<std::vector<BatchLayout>> ReadLayouts(std::string_view arrow_file,
                                             const arrow::Schema& schema) {
  MARBLE_ASSIGN_OR_RETURN(auto reader, OpenArrow(arrow_file));
  if (!reader->schema()->Equals(schema, /*check_metadata=*/false)) {
    return MakeError(ErrorCode::kCorruption, "the Arrow file's schema is " +
                                                 reader->schema()->ToString() + ", expected " +
                                                 schema.ToString());
  }
  std::vector<BatchLayout> layouts(reader->num_record_batches());
  for (int i = 0; i < reader->num_record_batches(); ++i) {
    MARBLE_ASSIGN_OR_RETURN(auto batch, reader->ReadRecordBatch(i));
    layouts[i].rows = batch->num_rows();
    for (int c = 0; c < batch->num_columns(); ++c) {
      MARBLE_RETURN_NOT_OK(AppendLayout(*batch->column_data(c), arrow_file, &layouts[i]));
    }
  }
  return layouts;
}

std::string EncodeLayouts(const std::vector<BatchLayout>& layouts) {
  std::string out;
  const size_t nodes = layouts.empty() ? 0 : layouts[0].nodes.size();
  const size_t buffers = layouts.empty() ? 0 : layouts[0].buffers.size();
  out.reserve(16 + layouts.size() * (8 + 16 * (nodes + buffers)));
  PutFixed<uint64_t>(&out, layouts.size());
  PutFixed<uint32_t>(&out, static_cast<uint32_t>(nodes));
  PutFixed<uint32_t>(&out, static_cast<uint32_t>(buffers));
  for (const BatchLayout& layout : layouts) {
    PutFixed<int64_t>(&out, layout.rows);
    for (const auto& node : layout.nodes) {
      PutFixed<int64_t>(&out, node.length);
      PutFixed<int64_t>(&out, node.null_count);
    }
    for (const auto& span : layout.buffers) {
      PutFixed<uint64_t>(&out, span.offset);
      PutFixed<uint64_t>(&out, span.length);
    }
  }
  return out;
}

namespace {

constexpr uint64_t kLayoutsHeadBytes = 8 + 4 + 4;

uint64_t EncodedBytes(const LayoutSize& of_batch) {
  return 8 + 16 * (of_batch.nodes + of_batch.buffers);
}

}  // namespace

bool IsLayoutOf(uint64_t section_bytes, uint64_t batches, const LayoutSize& of_batch) {
  if (section_bytes < kLayoutsHeadBytes) return false;
  const uint64_t bytes = section_bytes - kLayoutsHeadBytes;
  return bytes % EncodedBytes(of_batch) == 0 && bytes / EncodedBytes(of_batch) == batches;
}

Result<std::vector<BatchLayout>> DecodeLayouts(std::string_view section,
                                               const arrow::Schema& schema, uint64_t arrow_bytes) {
  const auto damaged = [](const std::string& what) {
    return MakeError(ErrorCode::kCorruption, what);
  };
  const LayoutSize want = LayoutSizeOf(schema);
  Decoder in(section);
  uint64_t count = 0;
  uint32_t nodes = 0;
  uint32_t buffers = 0;
  if (!in.Fixed(&count) || !in.Fixed(&nodes) || !in.Fixed(&buffers)) {
    return damaged("the layout section is cut off");
  }
  if (nodes != want.nodes || buffers != want.buffers) {
    return damaged("the layout does not fit the schema");
  }
  const uint64_t per_batch = EncodedBytes(want);
  if (count != in.remaining() / per_batch || in.remaining() % per_batch != 0) {
    return damaged("the layout section has a wrong size");
  }
  std::vector<BatchLayout> layouts(count);
  for (BatchLayout& layout : layouts) {
    in.Fixed(&layout.rows);
    layout.nodes.resize(nodes);
    for (auto& node : layout.nodes) {
      in.Fixed(&node.length);
      in.Fixed(&node.null_count);
    }
    layout.buffers.resize(buffers);
    for (auto& span : layout.buffers) {
      in.Fixed(&span.offset);
      in.Fixed(&span.length);
    }
    if (layout.rows <= 0) return damaged("the layout names an empty batch");
    Validator validator(layout, arrow_bytes);
    for (const auto& field : schema.fields()) {
      if (!validator.Column(*field->type(), layout.rows)) {
        return damaged("the layout of column '" + field->name() + "' is impossible");
      }
    }
  }
  return layouts;
}

std::shared_ptr<arrow::ArrayData> BuildArray(const BatchLayout& layout,
                                             const std::shared_ptr<arrow::DataType>& type,
                                             const LayoutSize& first,
                                             const BufferFactory& factory) {
  return Builder(layout, factory, first).Build(type);
}

std::vector<std::shared_ptr<arrow::ArrayData>> BuildArrays(const BatchLayout& layout,
                                                           const arrow::Schema& schema,
                                                           const BufferFactory& factory) {
  Builder builder(layout, factory);
  std::vector<std::shared_ptr<arrow::ArrayData>> columns;
  columns.reserve(schema.num_fields());
  for (const auto& field : schema.fields()) columns.push_back(builder.Build(field->type()));
  return columns;
}

}  // namespace marble::lsm
