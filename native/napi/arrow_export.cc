#include "napi/arrow_export.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/util/bitmap_ops.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "napi/arrow_layout.h"
#include "napi/dictionary_columns.h"
#include "napi/environment.h"
#include "napi/file_mappings.h"
#include "napi/node_value.h"

namespace marble::napi {

namespace {

constexpr size_t kAlignment = 64;
// Below this an ordinary ArrayBuffer plus a copy is cheaper than an external one with a finalizer.
constexpr size_t kExternalFrom = 16 * 1024;

size_t Aligned(size_t size) { return (size + kAlignment - 1) & ~(kAlignment - 1); }

/// Lays arrays out behind one another; with `out` null it only measures.
class CompactWriter {
 public:
  explicit CompactWriter(uint8_t* out, std::vector<double>* meta) : out_(out), meta_(meta) {}
  size_t size() const { return at_; }

  Status Write(const arrow::ArrayData& data, int64_t offset, int64_t length) {
    if (data.type->id() == arrow::Type::DICTIONARY) return WriteDictionary(data, offset, length);
    MARBLE_ASSIGN_OR_RETURN(Layout layout, LayoutOf(*data.type));
    const int64_t absolute = data.offset + offset;
    int64_t null_count = 0;
    if (layout.shape == Shape::kNull) {
      null_count = length;
    } else if (data.buffers[0] != nullptr && data.null_count != 0 && length > 0) {
      null_count =
          length - arrow::internal::CountSetBits(data.buffers[0]->data(), absolute, length);
    }
    meta_->push_back(static_cast<double>(length));
    meta_->push_back(static_cast<double>(null_count));
    if (layout.shape == Shape::kNull) return Status::OK();
    if (layout.shape == Shape::kSparseUnion || layout.shape == Shape::kDenseUnion) {
      return WriteUnion(data, absolute, length);
    }
    if (null_count > 0) {
      Bits(data.buffers[0]->data(), absolute, length);
    } else {
      Absent();
    }
    switch (layout.shape) {
      case Shape::kNull:
        break;
      case Shape::kBits:
        Bits(Buffer(data, 1), absolute, length);
        break;
      case Shape::kFixed:
        Bytes(Buffer(data, 1) + absolute * layout.width, length * layout.width);
        break;
      case Shape::kBytes32: {
        auto [first, last] = Offsets<int32_t>(data, absolute, length);
        Bytes(Buffer(data, 2) + first, last - first);
        break;
      }
      case Shape::kBytes64: {
        auto [first, last] = Offsets<int64_t>(data, absolute, length);
        Bytes(Buffer(data, 2) + first, last - first);
        break;
      }
      case Shape::kList32: {
        auto [first, last] = Offsets<int32_t>(data, absolute, length);
        return Write(*data.child_data[0], first, last - first);
      }
      case Shape::kList64: {
        auto [first, last] = Offsets<int64_t>(data, absolute, length);
        return Write(*data.child_data[0], first, last - first);
      }
      case Shape::kFixedList:
        return Write(*data.child_data[0], absolute * layout.width, length * layout.width);
      case Shape::kStruct:
        for (const auto& child : data.child_data) {
          MARBLE_RETURN_NOT_OK(Write(*child, absolute, length));
        }
        break;
      case Shape::kSparseUnion:
      case Shape::kDenseUnion:
        break;
    }
    return Status::OK();
  }

 private:
  Status WriteUnion(const arrow::ArrayData& data, int64_t absolute, int64_t length) {
    const uint8_t* codes = Buffer(data, 1) + absolute;
    Bytes(codes, length);
    if (data.type->id() == arrow::Type::SPARSE_UNION) {
      for (const auto& child : data.child_data) {
        MARBLE_RETURN_NOT_OK(Write(*child, absolute, length));
      }
      return Status::OK();
    }
    // Of each child what lies between the first and the last value that is used.
    const auto& child_ids = static_cast<const arrow::UnionType&>(*data.type).child_ids();
    const auto* places = reinterpret_cast<const int32_t*>(Buffer(data, 2)) + absolute;
    struct Range {
      int32_t first = 0;
      int32_t end = 0;
    };
    std::vector<Range> ranges(data.child_data.size());
    for (int64_t i = 0; i < length; ++i) {
      Range& range = ranges[static_cast<size_t>(child_ids[codes[i]])];
      if (range.end == 0) range.first = places[i];
      range.end = places[i] + 1;
    }
    if (out_ != nullptr) {
      auto* to = reinterpret_cast<int32_t*>(out_ + at_);
      for (int64_t i = 0; i < length; ++i) {
        to[i] = places[i] - ranges[static_cast<size_t>(child_ids[codes[i]])].first;
      }
    }
    Span(static_cast<size_t>(length) * sizeof(int32_t));
    for (size_t c = 0; c < ranges.size(); ++c) {
      MARBLE_RETURN_NOT_OK(
          Write(*data.child_data[c], ranges[c].first, ranges[c].end - ranges[c].first));
    }
    return Status::OK();
  }
  /// The indices as a node of their type, whether the dictionary begins anew, what is new in it.
  Status WriteDictionary(const arrow::ArrayData& data, int64_t offset, int64_t length) {
    arrow::ArrayData indices(data);
    indices.type = static_cast<const arrow::DictionaryType&>(*data.type).index_type();
    indices.dictionary = nullptr;
    indices.child_data.clear();
    MARBLE_RETURN_NOT_OK(Write(indices, offset, length));
    meta_->push_back(DictionaryColumns::BeginsAnew(data) ? 1 : 0);
    return Write(*data.dictionary, 0, data.dictionary->length);
  }
  static const uint8_t* Buffer(const arrow::ArrayData& data, int index) {
    return data.buffers[index] == nullptr ? nullptr : data.buffers[index]->data();
  }
  void Span(size_t length) {
    meta_->push_back(static_cast<double>(at_));
    meta_->push_back(static_cast<double>(length));
    at_ += Aligned(length);
  }
  void Absent() {
    meta_->push_back(0);
    meta_->push_back(0);
  }
  void Bytes(const uint8_t* from, int64_t length) {
    if (out_ != nullptr && length > 0) std::memcpy(out_ + at_, from, length);
    Span(length);
  }
  void Bits(const uint8_t* from, int64_t offset, int64_t length) {
    int64_t bytes = (length + 7) / 8;
    if (out_ != nullptr && length > 0) {
      out_[at_ + bytes - 1] = 0;
      arrow::internal::CopyBitmap(from, offset, length, out_ + at_, 0);
    }
    Span(bytes);
  }
  template <class T>
  std::pair<int64_t, int64_t> Offsets(const arrow::ArrayData& data, int64_t absolute,
                                      int64_t length) {
    const auto* raw = reinterpret_cast<const T*>(Buffer(data, 1));
    int64_t first = 0;
    int64_t last = 0;
    if (raw != nullptr && length > 0) {
      first = raw[absolute];
      last = raw[absolute + length];
    }
    if (out_ != nullptr) {
      auto* to = reinterpret_cast<T*>(out_ + at_);
      if (length == 0 || raw == nullptr) {
        std::memset(to, 0, (length + 1) * sizeof(T));
      } else {
        for (int64_t i = 0; i <= length; ++i) to[i] = static_cast<T>(raw[absolute + i] - first);
      }
    }
    Span((length + 1) * sizeof(T));
    return {first, last};
  }

  uint8_t* const out_;
  std::vector<double>* const meta_;
  size_t at_ = 0;
};

void PushHeader(std::vector<double>* meta, int64_t rows, int64_t first, int64_t whole) {
  meta->push_back(static_cast<double>(rows));
  meta->push_back(static_cast<double>(first));
  meta->push_back(static_cast<double>(whole));
}

// Append a column that a file does not have: nulls without a buffer, which JavaScript makes itself.
Status DescribeNulls(const arrow::DataType& type, int64_t rows, std::vector<double>* meta) {
  MARBLE_ASSIGN_OR_RETURN(Layout shape, LayoutOf(type));
  meta->push_back(static_cast<double>(rows));
  meta->push_back(static_cast<double>(rows));
  for (int i = 0; i < 2 * NumBuffers(shape.shape); ++i) meta->push_back(0);
  for (const auto& child : type.fields()) {
    MARBLE_RETURN_NOT_OK(DescribeNulls(*child->type(), 0, meta));
  }
  return Status::OK();
}

// Append nodes and spans of a file's column; advances the positions behind it.
Status DescribeColumn(const arrow::DataType& type, const lsm::BatchLayout& layout, size_t* node,
                      size_t* buffer, std::vector<double>* meta) {
  MARBLE_ASSIGN_OR_RETURN(Layout shape, LayoutOf(type));
  const int buffers = NumBuffers(shape.shape);
  if (*node >= layout.nodes.size() || *buffer + buffers > layout.buffers.size()) {
    return MakeError(ErrorCode::kCorruption,
                     "the layout table of an SSTable is shorter than its schema");
  }
  meta->push_back(static_cast<double>(layout.nodes[*node].length));
  meta->push_back(static_cast<double>(layout.nodes[*node].null_count));
  ++*node;
  for (int i = 0; i < buffers; ++i, ++*buffer) {
    meta->push_back(static_cast<double>(layout.buffers[*buffer].offset));
    meta->push_back(static_cast<double>(layout.buffers[*buffer].length));
  }
  for (const auto& child : type.fields()) {
    MARBLE_RETURN_NOT_OK(DescribeColumn(*child->type(), layout, node, buffer, meta));
  }
  return Status::OK();
}

}  // namespace

OwnedBytes::~OwnedBytes() { std::free(data_); }
OwnedBytes::OwnedBytes(OwnedBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
OwnedBytes& OwnedBytes::operator=(OwnedBytes&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Result<OwnedBytes> OwnedBytes::Allocate(size_t size) {
  OwnedBytes bytes;
  bytes.size_ = Aligned(size);
  if (bytes.size_ == 0) return bytes;
  bytes.data_ = static_cast<uint8_t*>(std::aligned_alloc(kAlignment, bytes.size_));
  if (bytes.data_ == nullptr) {
    return Status::OutOfMemory("no memory for a batch of ", bytes.size_, " bytes");
  }
  return bytes;
}

napi_value OwnedBytes::ToArrayBuffer(napi_env env) && {
  napi_value buffer = nullptr;
  if (size_ >= kExternalFrom) {
    // From here on the finalizer frees the memory, also when the call fails with an exception.
    void* data = std::exchange(data_, nullptr);
    auto finalize = [](napi_env, void* data, void*) { std::free(data); };
    if (napi_create_external_arraybuffer(env, data, size_, finalize, nullptr, &buffer) == napi_ok) {
      return buffer;
    }
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (pending) return nullptr;
    data_ = static_cast<uint8_t*>(data);  // external buffers are refused: copy
  }
  uint8_t* copy = nullptr;
  buffer = MakeArrayBuffer(env, size_, &copy);
  if (buffer != nullptr && size_ > 0) std::memcpy(copy, data_, size_);
  return buffer;
}

Result<ExportedBatch> CopyBatch(const arrow::RecordBatch& batch, const std::vector<int>& columns) {
  ExportedBatch exported;
  std::vector<double> measured;
  CompactWriter measure(nullptr, &measured);
  for (int column : columns) {
    MARBLE_RETURN_NOT_OK(measure.Write(*batch.column_data(column), 0, batch.num_rows()));
  }
  MARBLE_ASSIGN_OR_RETURN(exported.bytes, OwnedBytes::Allocate(measure.size()));
  PushHeader(&exported.meta, batch.num_rows(), 0, batch.num_rows());
  CompactWriter writer(exported.bytes.data(), &exported.meta);
  for (int column : columns) {
    MARBLE_RETURN_NOT_OK(writer.Write(*batch.column_data(column), 0, batch.num_rows()));
  }
  return exported;
}

std::vector<int> AllColumns(size_t count) {
  std::vector<int> columns(count);
  for (size_t i = 0; i < count; ++i) columns[i] = static_cast<int>(i);
  return columns;
}

Result<ExportedBatch> DescribeBatch(const lsm::ScanBatch& scan, const arrow::Schema& schema,
                                    const std::vector<int>& columns) {
  // A compressed file's rows are not in its mapping.
  if (scan.sst == nullptr || scan.sst->compressed()) {
    return CopyBatch(*scan.batch, AllColumns(columns.size()));
  }
  ExportedBatch exported;
  exported.file = scan.sst;
  exported.batch = scan.batch;
  const lsm::BatchLayout& layout = scan.sst->layout(scan.sst_batch);
  PushHeader(&exported.meta, scan.batch->num_rows(), scan.first_row, layout.rows);
  for (int column : columns) {
    const arrow::DataType& type = *schema.field(column)->type();
    const auto first = scan.sst->column_layout(column);
    if (!first) {
      MARBLE_RETURN_NOT_OK(DescribeNulls(type, layout.rows, &exported.meta));
      continue;
    }
    size_t node = first->nodes;
    size_t buffer = first->buffers;
    MARBLE_RETURN_NOT_OK(DescribeColumn(type, layout, &node, &buffer, &exported.meta));
  }
  return exported;
}

napi_value DeliverBatches(napi_env env, std::vector<ExportedBatch> batches,
                          const std::vector<int>& columns) {
  Environment* environment = Environment::Get(env);
  napi_value buffers = MakeArray(env, 0);
  std::vector<double> meta;
  std::vector<std::pair<const lsm::SstReader*, uint32_t>> seen;
  uint32_t count = 0;
  for (ExportedBatch& batch : batches) {
    uint32_t index = count;
    bool mapped = false;
    if (batch.file != nullptr) {
      bool known = false;
      for (const auto& [file, at] : seen) {
        if (file == batch.file.get()) {
          index = at;
          known = mapped = true;
        }
      }
      if (!known) {
        napi_value buffer = environment->mappings()->Get(env, batch.file);
        if (buffer != nullptr) {
          mapped = true;
          seen.emplace_back(batch.file.get(), index);
          napi_set_element(env, buffers, count++, buffer);
        }
      }
      if (!mapped) {
        Result<ExportedBatch> copied = CopyBatch(*batch.batch, columns);
        if (!copied.ok()) {
          ThrowStatus(env, copied.status());
          return nullptr;
        }
        batch = std::move(*copied);
      }
    }
    bool zero_copy = false;
    if (mapped) {
      // Computed from the address, not from how we came here.
      napi_value buffer = nullptr;
      void* data = nullptr;
      size_t size = 0;
      napi_get_element(env, buffers, index, &buffer);
      napi_get_arraybuffer_info(env, buffer, &data, &size);
      zero_copy = environment->mappings()->IsMapped(data);
    } else {
      napi_value buffer = std::move(batch.bytes).ToArrayBuffer(env);
      if (buffer == nullptr) return nullptr;
      napi_set_element(env, buffers, count++, buffer);
    }
    meta.push_back(index);
    meta.insert(meta.end(), batch.meta.begin(), batch.meta.begin() + 3);
    meta.push_back(zero_copy ? 1 : 0);
    meta.insert(meta.end(), batch.meta.begin() + 3, batch.meta.end());
  }
  napi_value result = MakeObject(env);
  SetProperty(env, result, "count", MakeNumber(env, static_cast<double>(batches.size())));
  SetProperty(env, result, "meta", MakeFloat64Array(env, meta));
  SetProperty(env, result, "buffers", buffers);
  return result;
}

}  // namespace marble::napi
