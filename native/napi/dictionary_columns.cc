#include "napi/dictionary_columns.h"

#include <arrow/api.h>
#include <arrow/compute/api.h>
#include <arrow/util/bit_util.h>

#include <limits>
#include <numeric>
#include <utility>

namespace marble::napi {

namespace {

uint64_t MostOf(const arrow::DataType& index) {
  switch (index.id()) {
    case arrow::Type::INT8:
      return 1u << 7;
    case arrow::Type::UINT8:
      return 1u << 8;
    case arrow::Type::INT16:
      return 1u << 15;
    case arrow::Type::UINT16:
      return 1u << 16;
    default:
      // A dictionary is an array, of at most so many values.
      return std::numeric_limits<int32_t>::max();
  }
}

/// The bytes of a value of a type whose values are bytes.
std::string BytesAt(const arrow::ArrayData& data, int64_t i) {
  switch (data.type->id()) {
    case arrow::Type::BOOL:
      return arrow::bit_util::GetBit(data.buffers[1]->data(), data.offset + i) ? "1" : "0";
    case arrow::Type::STRING:
    case arrow::Type::BINARY: {
      const auto* offsets = data.GetValues<int32_t>(1);
      return {reinterpret_cast<const char*>(data.buffers[2]->data()) + offsets[i],
              static_cast<size_t>(offsets[i + 1] - offsets[i])};
    }
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY: {
      const auto* offsets = data.GetValues<int64_t>(1);
      return {reinterpret_cast<const char*>(data.buffers[2]->data()) + offsets[i],
              static_cast<size_t>(offsets[i + 1] - offsets[i])};
    }
    default: {
      const auto width = static_cast<size_t>(data.type->byte_width());
      return {reinterpret_cast<const char*>(data.buffers[1]->data()) + (data.offset + i) * width,
              width};
    }
  }
}

template <typename T>
void Narrow(const int64_t* from, int64_t count, uint8_t* to) {
  auto* out = reinterpret_cast<T*>(to);
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(from[i]);
}

/// Indices of the declared type; where `validity` says null they mean nothing.
Result<std::shared_ptr<arrow::ArrayData>> MakeIndices(const std::shared_ptr<arrow::DataType>& type,
                                                      const std::vector<int64_t>& indices,
                                                      std::shared_ptr<arrow::Buffer> validity,
                                                      int64_t null_count) {
  const auto count = static_cast<int64_t>(indices.size());
  MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> buffer,
                          arrow::AllocateBuffer(count * type->byte_width()));
  switch (type->byte_width()) {
    case 1:
      Narrow<int8_t>(indices.data(), count, buffer->mutable_data());
      break;
    case 2:
      Narrow<int16_t>(indices.data(), count, buffer->mutable_data());
      break;
    case 4:
      Narrow<int32_t>(indices.data(), count, buffer->mutable_data());
      break;
    default:
      Narrow<int64_t>(indices.data(), count, buffer->mutable_data());
  }
  return arrow::ArrayData::Make(type, count, {std::move(validity), std::move(buffer)}, null_count);
}

/// The same rows with children that hold their values and no others, as those of a slice do.
Result<std::shared_ptr<arrow::ArrayData>> Compact(const std::shared_ptr<arrow::ArrayData>& rows) {
  // Take, and not Concatenate, which leaves the children of a dense union as they are.
  std::vector<int64_t> every(static_cast<size_t>(rows->length));
  std::iota(every.begin(), every.end(), 0);
  const arrow::Int64Array indices(rows->length, arrow::Buffer::Wrap(every));
  MARBLE_ASSIGN_OR_RETURN(const auto taken,
                          arrow::compute::Take(*arrow::MakeArray(rows), indices,
                                               arrow::compute::TakeOptions::NoBoundsCheck()));
  return taken->data();
}

}  // namespace

DictionaryColumns::DictionaryColumns(const arrow::Schema& schema)
    : DictionaryColumns(schema.fields()) {}

DictionaryColumns::DictionaryColumns(const arrow::FieldVector& fields) : fields_(fields) {
  for (const auto& field : fields_) {
    const size_t before = dictionaries_.size();
    Collect(*field);
    has_inner_.push_back(dictionaries_.size() > before && !DictionaryOf(*field));
  }
}

void DictionaryColumns::Collect(const arrow::Field& field) {
  if (auto declared = DictionaryOf(field)) {
    Dictionary dictionary;
    dictionary.column = field.name();
    dictionary.most = MostOf(*declared->index_type);
    dictionary.declared = *std::move(declared);
    dictionaries_.push_back(std::move(dictionary));
    return;  // its values are given as they are
  }
  for (const auto& child : field.type()->fields()) Collect(*child);
}

void DictionaryColumns::Reset() {
  for (Dictionary& dictionary : dictionaries_) {
    dictionary.known.clear();
    dictionary.fresh = true;
  }
}

bool DictionaryColumns::BeginsAnew(const arrow::ArrayData& data) {
  return !data.child_data.empty();  // which indices have no use for
}

Result<arrow::RecordBatchVector> DictionaryColumns::Encode(
    const std::shared_ptr<arrow::RecordBatch>& batch) {
  arrow::RecordBatchVector parts;
  MARBLE_RETURN_NOT_OK(EncodeParts(batch, &parts));
  return parts;
}

Status DictionaryColumns::EncodeParts(const std::shared_ptr<arrow::RecordBatch>& batch,
                                      arrow::RecordBatchVector* out) {
  MARBLE_ASSIGN_OR_RETURN(auto encoded, TryEncode(*batch));
  if (encoded == nullptr) {
    // What was noted of it has not been given: begin anew.
    Reset();
    MARBLE_ASSIGN_OR_RETURN(encoded, TryEncode(*batch));
  }
  if (encoded != nullptr) {
    out->push_back(std::move(encoded));
    return Status::OK();
  }
  Reset();
  const int64_t half = batch->num_rows() / 2;
  if (half == 0) {
    return MakeError(
        ErrorCode::kTooLarge,
        "a row has more values than the indices of a dictionary can tell apart (column '" +
            dictionaries_.front().column + "'): give it a larger index type");
  }
  MARBLE_RETURN_NOT_OK(EncodeParts(batch->Slice(0, half), out));
  return EncodeParts(batch->Slice(half), out);
}

Result<std::shared_ptr<arrow::RecordBatch>> DictionaryColumns::TryEncode(
    const arrow::RecordBatch& batch) {
  size_t next = 0;
  arrow::ArrayDataVector columns;
  for (int c = 0; c < batch.num_columns(); ++c) {
    std::shared_ptr<arrow::ArrayData> rows = batch.column_data(c);
    if (has_inner_[c]) {
      MARBLE_ASSIGN_OR_RETURN(rows, Compact(rows));
    }
    MARBLE_ASSIGN_OR_RETURN(auto column, EncodeField(*fields_[c], rows, &next));
    if (column == nullptr) return nullptr;
    columns.push_back(std::move(column));
  }
  return arrow::RecordBatch::Make(batch.schema(), batch.num_rows(), std::move(columns));
}

Result<std::shared_ptr<arrow::ArrayData>> DictionaryColumns::EncodeField(
    const arrow::Field& field, const std::shared_ptr<arrow::ArrayData>& data, size_t* next) {
  if (DictionaryOf(field)) return EncodeValues(&dictionaries_[(*next)++], data);
  const size_t before = *next;
  arrow::ArrayDataVector children;
  for (int i = 0; i < field.type()->num_fields(); ++i) {
    MARBLE_ASSIGN_OR_RETURN(auto child,
                            EncodeField(*field.type()->field(i), data->child_data[i], next));
    if (child == nullptr) return nullptr;
    children.push_back(std::move(child));
  }
  if (*next == before) return data;
  auto out = data->Copy();
  out->child_data = std::move(children);
  return out;
}

Result<std::shared_ptr<arrow::ArrayData>> DictionaryColumns::EncodeValues(
    Dictionary* dictionary, const std::shared_ptr<arrow::ArrayData>& data) {
  const auto array = arrow::MakeArray(data);
  const int64_t rows = array->length();
  std::vector<int64_t> indices(static_cast<size_t>(rows), 0);
  std::shared_ptr<arrow::Array> added;  // values that are new
  bool fresh = dictionary->fresh;
  const bool flat = !arrow::is_nested(data->type->id()) && data->type->id() != arrow::Type::NA;
  const auto encoded = flat ? arrow::compute::DictionaryEncode(array)
                            : Result<arrow::Datum>(Status::NotImplemented("nested values"));
  if (encoded.ok()) {
    const auto made = encoded->make_array();
    const auto& values = static_cast<const arrow::DictionaryArray&>(*made);
    const auto& distinct = *values.dictionary()->data();
    std::vector<int64_t> places;
    arrow::Int64Builder positions;
    for (int64_t i = 0; i < distinct.length; ++i) {
      const auto next = static_cast<int64_t>(dictionary->known.size());
      const auto [at, is_new] = dictionary->known.try_emplace(BytesAt(distinct, i), next);
      if (is_new) MARBLE_RETURN_NOT_OK(positions.Append(i));
      places.push_back(at->second);
    }
    if (dictionary->known.size() > dictionary->most) return nullptr;
    for (int64_t row = 0; row < rows; ++row) {
      if (values.IsValid(row)) indices[row] = places[values.GetValueIndex(row)];
    }
    MARBLE_ASSIGN_OR_RETURN(const auto wanted, positions.Finish());
    MARBLE_ASSIGN_OR_RETURN(added, arrow::compute::Take(*values.dictionary(), *wanted));
  } else {
    // Of types that nobody can compare every value is one of its own.
    if (static_cast<uint64_t>(rows) > dictionary->most) return nullptr;
    fresh = true;
    for (int64_t row = 0; row < rows; ++row) indices[row] = row;
    added = array;
  }
  dictionary->fresh = false;
  std::shared_ptr<arrow::Buffer> validity;
  const int64_t null_count = array->null_count();
  if (null_count > 0) {
    MARBLE_ASSIGN_OR_RETURN(validity, arrow::AllocateEmptyBitmap(rows));
    for (int64_t row = 0; row < rows; ++row) {
      arrow::bit_util::SetBitTo(validity->mutable_data(), row, array->IsValid(row));
    }
  }
  MARBLE_ASSIGN_OR_RETURN(auto out, MakeIndices(dictionary->declared.index_type, indices,
                                                std::move(validity), null_count));
  out->type =
      arrow::dictionary(dictionary->declared.index_type, data->type, dictionary->declared.ordered);
  out->dictionary = added->data();
  if (fresh) out->child_data = {out->dictionary};
  return out;
}

}  // namespace marble::napi
