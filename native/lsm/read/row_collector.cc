#include "lsm/read/row_collector.h"

#include <arrow/api.h>
#include <arrow/util/bit_util.h>
#include <arrow/util/bitmap_ops.h>

#include <algorithm>
#include <cstring>

namespace marble::lsm {
namespace {

struct Piece {
  const arrow::ArrayData* data;
  int64_t start;  // within data, its offset added
  int64_t count;
};

/// The validity bitmap of the pieces; null when there is no null.
Status GatherValidity(const std::vector<Piece>& pieces, int64_t rows,
                      std::shared_ptr<arrow::Buffer>* out) {
  bool nulls = false;
  for (const Piece& p : pieces) {
    if (p.data->buffers[0] != nullptr && p.data->GetNullCount() > 0) {
      nulls = true;
      break;
    }
  }
  if (!nulls) return Status::OK();
  MARBLE_ASSIGN_OR_RETURN(auto bitmap, arrow::AllocateEmptyBitmap(rows));
  uint8_t* bits = bitmap->mutable_data();
  int64_t at = 0;
  for (const Piece& p : pieces) {
    const uint8_t* from = p.data->buffers[0] == nullptr ? nullptr : p.data->buffers[0]->data();
    if (p.count == 1) {
      if (from == nullptr || arrow::bit_util::GetBit(from, p.start)) {
        arrow::bit_util::SetBit(bits, at);
      }
    } else if (from == nullptr) {
      arrow::bit_util::SetBitsTo(bits, at, p.count, true);
    } else {
      arrow::internal::CopyBitmap(from, p.start, p.count, bits, at);
    }
    at += p.count;
  }
  *out = std::move(bitmap);
  return Status::OK();
}

template <int kWidth>
void CopyFixed(const std::vector<Piece>& pieces, int width, uint8_t* to) {
  const int w = kWidth > 0 ? kWidth : width;
  for (const Piece& p : pieces) {
    const uint8_t* from = p.data->buffers[1]->data() + p.start * w;
    if (p.count == 1) {
      std::memcpy(to, from, kWidth > 0 ? kWidth : w);
    } else {
      std::memcpy(to, from, p.count * w);
    }
    to += p.count * w;
  }
}

Result<std::shared_ptr<arrow::ArrayData>> GatherFixed(const std::shared_ptr<arrow::DataType>& type,
                                                      const std::vector<Piece>& pieces,
                                                      int64_t rows,
                                                      std::shared_ptr<arrow::Buffer> validity) {
  const int bits = static_cast<const arrow::FixedWidthType&>(*type).bit_width();
  std::shared_ptr<arrow::Buffer> values;
  if (bits == 1) {
    MARBLE_ASSIGN_OR_RETURN(values, arrow::AllocateEmptyBitmap(rows));
    int64_t at = 0;
    for (const Piece& p : pieces) {
      arrow::internal::CopyBitmap(p.data->buffers[1]->data(), p.start, p.count,
                                  values->mutable_data(), at);
      at += p.count;
    }
  } else {
    const int width = bits / 8;
    MARBLE_ASSIGN_OR_RETURN(values, arrow::AllocateBuffer(rows * width));
    uint8_t* to = values->mutable_data();
    switch (width) {
      case 1:
        CopyFixed<1>(pieces, 1, to);
        break;
      case 2:
        CopyFixed<2>(pieces, 2, to);
        break;
      case 4:
        CopyFixed<4>(pieces, 4, to);
        break;
      case 8:
        CopyFixed<8>(pieces, 8, to);
        break;
      case 16:
        CopyFixed<16>(pieces, 16, to);
        break;
      default:
        CopyFixed<0>(pieces, width, to);
        break;
    }
  }
  return arrow::ArrayData::Make(type, rows, {std::move(validity), std::move(values)});
}

/// Null when the offsets would overflow.
template <typename Offset>
Result<std::shared_ptr<arrow::ArrayData>> GatherBinary(const std::shared_ptr<arrow::DataType>& type,
                                                       const std::vector<Piece>& pieces,
                                                       int64_t rows,
                                                       std::shared_ptr<arrow::Buffer> validity) {
  const auto offsets_of = [](const Piece& p) {
    return reinterpret_cast<const Offset*>(p.data->buffers[1]->data()) + p.start;
  };
  int64_t total = 0;
  for (const Piece& p : pieces) {
    const Offset* offsets = offsets_of(p);
    total += offsets[p.count] - offsets[0];
  }
  if (total > std::numeric_limits<Offset>::max()) return nullptr;
  MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> offset_buffer,
                          arrow::AllocateBuffer((rows + 1) * sizeof(Offset)));
  MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> data, arrow::AllocateBuffer(total));
  auto* to = reinterpret_cast<Offset*>(offset_buffer->mutable_data());
  uint8_t* bytes = data->mutable_data();
  Offset at = 0;
  *to++ = 0;
  for (const Piece& p : pieces) {
    const Offset* offsets = offsets_of(p);
    const Offset length = offsets[p.count] - offsets[0];
    if (length > 0) std::memcpy(bytes + at, p.data->buffers[2]->data() + offsets[0], length);
    for (int64_t i = 1; i <= p.count; ++i) *to++ = at + (offsets[i] - offsets[0]);
    at += length;
  }
  return arrow::ArrayData::Make(type, rows,
                                {std::move(validity), std::move(offset_buffer), std::move(data)});
}

Result<std::shared_ptr<arrow::ArrayData>> GatherAny(const std::vector<Piece>& pieces) {
  arrow::ArrayVector arrays;
  arrays.reserve(pieces.size());
  for (const Piece& p : pieces) {
    arrays.push_back(arrow::MakeArray(p.data->Slice(p.start - p.data->offset, p.count)));
  }
  MARBLE_ASSIGN_OR_RETURN(auto array, arrow::Concatenate(arrays));
  return array->data();
}

bool IsFlatFixed(const arrow::DataType& type) {
  return arrow::is_fixed_width(type.id()) && type.num_fields() == 0 && type.id() != arrow::Type::NA;
}

}  // namespace

RowCollector::RowCollector(std::shared_ptr<const TableInfo> info, ColumnsRef columns)
    : info_(std::move(info)),
      columns_(std::move(columns)),
      schema_(SchemaOf(*info_, columns_)),
      state_family_(info_->descriptor.is_state_family) {
  constexpr int64_t kNestedBytes = 32;  // a guess
  for (int i = 0; i < info_->descriptor.schema->num_fields(); ++i) {
    const arrow::DataType& type = *info_->descriptor.schema->field(i)->type();
    if (arrow::is_base_binary_like(type.id())) {
      // Of a scan's columns only some may be there.
      if (columns_ == nullptr) bytes_columns_.push_back(i);
      fixed_bytes_ += type.id() == arrow::Type::STRING || type.id() == arrow::Type::BINARY ? 4 : 8;
    } else if (arrow::is_fixed_width(type.id())) {
      fixed_bytes_ += std::max(1, type.bit_width() / 8);
    } else {
      fixed_bytes_ += kNestedBytes;
    }
  }
}

uint32_t RowCollector::SourceOf(const std::shared_ptr<arrow::RecordBatch>& batch) {
  // Merges alternate between a few sources: look at the latest ones only.
  const size_t n = sources_.size();
  for (size_t i = n; i > 0 && i + 16 > n; --i) {
    if (sources_[i - 1] == batch) return static_cast<uint32_t>(i - 1);
  }
  sources_.push_back(batch);
  return static_cast<uint32_t>(n);
}

void RowCollector::AddBytesRow(std::string_view key, const char* value, size_t value_size) {
  bytes_rows_.push_back(
      {key.data(), value, static_cast<uint32_t>(key.size()), static_cast<uint32_t>(value_size)});
  bytes_ += static_cast<int64_t>(key.size() + value_size) + fixed_bytes_;
  ++rows_;
}

void RowCollector::AddRows(const std::shared_ptr<arrow::RecordBatch>& batch, int64_t start,
                           int64_t count) {
  const uint32_t source = SourceOf(batch);
  if (state_family_) {
    const auto& keys = static_cast<const arrow::BinaryArray&>(*batch->column(0));
    const auto& values = static_cast<const arrow::BinaryArray&>(*batch->column(1));
    for (int64_t row = start; row < start + count; ++row) {
      const std::string_view value = values.GetView(row);
      AddBytesRow(keys.GetView(row),
                  values.IsNull(row)        ? nullptr
                  : value.data() == nullptr ? ""
                                            : value.data(),
                  value.size());
    }
    return;
  }
  rows_ += count;
  bytes_ += count * fixed_bytes_;
  for (const int column : bytes_columns_) {
    const arrow::ArrayData& data = *batch->column_data(column);
    const bool small =
        data.type->id() == arrow::Type::STRING || data.type->id() == arrow::Type::BINARY;
    if (small) {
      const auto* offsets = data.GetValues<int32_t>(1) + start;
      bytes_ += offsets[count] - offsets[0];
    } else {
      const auto* offsets = data.GetValues<int64_t>(1) + start;
      bytes_ += offsets[count] - offsets[0];
    }
  }
  if (!runs_.empty() && runs_.back().source == source &&
      runs_.back().start + runs_.back().count == start) {
    runs_.back().count += count;
    return;
  }
  runs_.push_back({source, start, count});
}

void RowCollector::AddBytes(std::string_view key, std::string_view value) {
  AddBytesRow(key, value.data() == nullptr ? "" : value.data(), value.size());
}

void RowCollector::AddTombstone(std::string_view key) {
  if (state_family_) {
    const bool nullable = info_->descriptor.schema->field(1)->nullable();
    tombstones_.emplace_back(key);
    AddBytesRow(tombstones_.back(), nullable ? nullptr : "", 0);
    return;
  }
  runs_.push_back({kTombstones, static_cast<int64_t>(tombstones_.size()), 1});
  tombstones_.emplace_back(key);
  bytes_ += static_cast<int64_t>(key.size());
  ++rows_;
}

Result<std::shared_ptr<arrow::RecordBatch>> RowCollector::BuildTombstones() const {
  const auto& descriptor = info_->descriptor;
  const int64_t rows = static_cast<int64_t>(tombstones_.size());
  std::vector<std::shared_ptr<arrow::Array>> columns(descriptor.schema->num_fields());
  std::vector<std::unique_ptr<arrow::ArrayBuilder>> builders;
  for (const auto& field : info_->key_schema->fields()) {
    MARBLE_ASSIGN_OR_RETURN(auto builder, arrow::MakeBuilder(field->type()));
    builders.push_back(std::move(builder));
  }
  for (const std::string& key : tombstones_) {
    MARBLE_ASSIGN_OR_RETURN(const auto scalars, info_->codec->Decode(key));
    for (size_t i = 0; i < builders.size(); ++i) {
      MARBLE_RETURN_NOT_OK(builders[i]->AppendScalar(*scalars[i]));
    }
  }
  for (size_t i = 0; i < builders.size(); ++i) {
    MARBLE_ASSIGN_OR_RETURN(columns[descriptor.key_columns[i]], builders[i]->Finish());
  }
  for (int c = 0; c < descriptor.schema->num_fields(); ++c) {
    if (columns[c] != nullptr) continue;
    const auto& field = *descriptor.schema->field(c);
    if (field.nullable()) {
      MARBLE_ASSIGN_OR_RETURN(columns[c], arrow::MakeArrayOfNull(field.type(), rows));
    } else {
      MARBLE_ASSIGN_OR_RETURN(auto builder, arrow::MakeBuilder(field.type()));
      MARBLE_RETURN_NOT_OK(builder->AppendEmptyValues(rows));
      MARBLE_ASSIGN_OR_RETURN(columns[c], builder->Finish());
    }
  }
  return arrow::RecordBatch::Make(descriptor.schema, rows, std::move(columns));
}

Result<std::vector<std::shared_ptr<arrow::RecordBatch>>> RowCollector::Finish() {
  std::vector<std::shared_ptr<arrow::RecordBatch>> out;
  if (state_family_) {
    MARBLE_RETURN_NOT_OK(FinishBytes(0, bytes_rows_.size(), &out));
    if (columns_ != nullptr) {
      for (auto& batch : out) {
        batch = SliceOfTable(schema_, columns_, *batch, 0, batch->num_rows());
      }
    }
  } else if (!runs_.empty()) {
    if (!tombstones_.empty()) {
      MARBLE_ASSIGN_OR_RETURN(auto batch, BuildTombstones());
      const auto source = static_cast<uint32_t>(sources_.size());
      sources_.push_back(std::move(batch));
      for (Run& run : runs_) {
        if (run.source == kTombstones) run.source = source;
      }
    }
    MARBLE_RETURN_NOT_OK(FinishTyped(runs_.data(), runs_.data() + runs_.size(), &out));
  }
  sources_.clear();
  runs_.clear();
  tombstones_.clear();
  bytes_rows_.clear();
  rows_ = 0;
  bytes_ = 0;
  return out;
}

Status RowCollector::FinishBytes(size_t begin, size_t end,
                                 std::vector<std::shared_ptr<arrow::RecordBatch>>* out) {
  const auto& schema = info_->descriptor.schema;
  while (begin < end) {
    // As many rows as 32-bit offsets allow.
    int64_t key_bytes = 0, value_bytes = 0, nulls = 0;
    size_t stop = begin;
    for (; stop < end; ++stop) {
      const BytesRow& row = bytes_rows_[stop];
      if (stop > begin &&
          (key_bytes + row.key_size > INT32_MAX || value_bytes + row.value_size > INT32_MAX)) {
        break;
      }
      key_bytes += row.key_size;
      value_bytes += row.value_size;
      nulls += row.value == nullptr;
    }
    const auto rows = static_cast<int64_t>(stop - begin);
    MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> ko,
                            arrow::AllocateBuffer((rows + 1) * 4));
    MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> vo,
                            arrow::AllocateBuffer((rows + 1) * 4));
    MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> kd, arrow::AllocateBuffer(key_bytes));
    MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> vd, arrow::AllocateBuffer(value_bytes));
    std::shared_ptr<arrow::Buffer> validity;
    if (nulls > 0) {
      MARBLE_ASSIGN_OR_RETURN(validity, arrow::AllocateEmptyBitmap(rows));
    }
    auto* key_offsets = reinterpret_cast<int32_t*>(ko->mutable_data());
    auto* value_offsets = reinterpret_cast<int32_t*>(vo->mutable_data());
    int32_t k = 0, v = 0;
    key_offsets[0] = value_offsets[0] = 0;
    for (int64_t i = 0; i < rows; ++i) {
      // Rows of memtables lie anywhere.
      constexpr int64_t kAhead = 12;
      if (i + kAhead < rows) {
        const BytesRow& later = bytes_rows_[begin + i + kAhead];
        __builtin_prefetch(later.key);
        if (later.value_size > 0) __builtin_prefetch(later.value + later.value_size - 1);
      }
      const BytesRow& row = bytes_rows_[begin + i];
      if (row.key_size > 0) std::memcpy(kd->mutable_data() + k, row.key, row.key_size);
      if (row.value_size > 0) std::memcpy(vd->mutable_data() + v, row.value, row.value_size);
      key_offsets[i + 1] = k += static_cast<int32_t>(row.key_size);
      value_offsets[i + 1] = v += static_cast<int32_t>(row.value_size);
      if (nulls > 0 && row.value != nullptr) {
        arrow::bit_util::SetBit(validity->mutable_data(), i);
      }
    }
    auto keys = arrow::ArrayData::Make(schema->field(0)->type(), rows,
                                       {nullptr, std::move(ko), std::move(kd)}, 0);
    auto values = arrow::ArrayData::Make(
        schema->field(1)->type(), rows, {std::move(validity), std::move(vo), std::move(vd)}, nulls);
    out->push_back(arrow::RecordBatch::Make(
        schema, rows, std::vector<std::shared_ptr<arrow::ArrayData>>{keys, values}));
    begin = stop;
  }
  return Status::OK();
}

Status RowCollector::FinishTyped(const Run* begin, const Run* end,
                                 std::vector<std::shared_ptr<arrow::RecordBatch>>* out) {
  if (end - begin == 1) {
    out->push_back(
        SliceOfTable(schema_, columns_, *sources_[begin->source], begin->start, begin->count));
    return Status::OK();
  }
  int64_t rows = 0;
  for (const Run* run = begin; run != end; ++run) rows += run->count;
  std::vector<std::shared_ptr<arrow::ArrayData>> columns;
  std::vector<Piece> pieces(static_cast<size_t>(end - begin));
  for (int c = 0; c < schema_->num_fields(); ++c) {
    const auto& type = schema_->field(c)->type();
    const int source_column = columns_ == nullptr ? c : (*columns_)[c];
    std::vector<const arrow::ArrayData*> datas(sources_.size());
    for (size_t i = 0; i < sources_.size(); ++i) {
      datas[i] = sources_[i]->column_data(source_column).get();
    }
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Run& run = begin[i];
      pieces[i] = {datas[run.source], datas[run.source]->offset + run.start, run.count};
    }
    std::shared_ptr<arrow::ArrayData> column;
    if (IsFlatFixed(*type)) {
      std::shared_ptr<arrow::Buffer> validity;
      MARBLE_RETURN_NOT_OK(GatherValidity(pieces, rows, &validity));
      MARBLE_ASSIGN_OR_RETURN(column, GatherFixed(type, pieces, rows, std::move(validity)));
    } else if (arrow::is_base_binary_like(type->id())) {
      std::shared_ptr<arrow::Buffer> validity;
      MARBLE_RETURN_NOT_OK(GatherValidity(pieces, rows, &validity));
      if (arrow::is_large_binary_like(type->id())) {
        MARBLE_ASSIGN_OR_RETURN(column,
                                GatherBinary<int64_t>(type, pieces, rows, std::move(validity)));
      } else {
        MARBLE_ASSIGN_OR_RETURN(column,
                                GatherBinary<int32_t>(type, pieces, rows, std::move(validity)));
      }
      if (column == nullptr) {
        const Run* middle = begin + (end - begin) / 2;
        MARBLE_RETURN_NOT_OK(FinishTyped(begin, middle, out));
        return FinishTyped(middle, end, out);
      }
    } else {
      MARBLE_ASSIGN_OR_RETURN(column, GatherAny(pieces));
    }
    columns.push_back(std::move(column));
  }
  out->push_back(arrow::RecordBatch::Make(schema_, rows, std::move(columns)));
  return Status::OK();
}

std::shared_ptr<arrow::Schema> SchemaOf(const TableInfo& info, const ColumnsRef& columns) {
  const auto& schema = info.descriptor.schema;
  if (columns == nullptr) return schema;
  arrow::FieldVector fields;
  for (const int column : *columns) fields.push_back(schema->field(column));
  return arrow::schema(std::move(fields), schema->metadata());
}

std::shared_ptr<arrow::RecordBatch> SliceOfTable(const std::shared_ptr<arrow::Schema>& schema,
                                                 const ColumnsRef& columns,
                                                 const arrow::RecordBatch& batch, int64_t start,
                                                 int64_t count) {
  std::vector<std::shared_ptr<arrow::ArrayData>> out;
  out.reserve(schema->num_fields());
  for (int c = 0; c < schema->num_fields(); ++c) {
    const auto& data = batch.column_data(columns == nullptr ? c : (*columns)[c]);
    out.push_back(start == 0 && count == data->length ? data : data->Slice(start, count));
  }
  return arrow::RecordBatch::Make(schema, count, std::move(out));
}

}  // namespace marble::lsm
