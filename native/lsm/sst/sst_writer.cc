#include "lsm/sst/sst_writer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <arrow/array.h>
#include <arrow/array/concatenate.h>
#include <arrow/buffer.h>
#include <arrow/ipc/writer.h>
#include <arrow/record_batch.h>
#include <arrow/util/byte_size.h>

#include "base/limits.h"
#include "lsm/sst/batch_layout.h"
#include "lsm/sst/bloom_filter.h"
#include "lsm/sst/checksummed_stream.h"
#include "lsm/sst/file_schema.h"
#include "lsm/sst/idx_file.h"
#include "lsm/sst/point_index.h"
#include "lsm/sst/properties.h"
#include "lsm/sst/sparse_keys.h"
#include "lsm/sst/stored_buffers.h"
#include "lsm/sst/zone_map.h"

namespace marble::lsm {
namespace {

/// Row numbers are 32 bits in the point index, and its largest value means "empty".
constexpr uint64_t kMaxRows = std::numeric_limits<uint32_t>::max() - 1;
/// Hidden columns and offsets: what a row costs beside its values, roughly.
constexpr int64_t kRowOverheadBytes = 1;
/// A buffer of which less than this part is saved is stored as it is.
constexpr double kLeastSaving = 1.0 / 16;
/// What compressed batches are filled to by estimate: rows differ, and one that turns out larger
/// than it may be is halved.
constexpr int64_t kCompressedFillBytes = limits::kCompressedBatchBytes / 16 * 15;

template <typename Vector>
std::shared_ptr<arrow::ArrayData> HiddenArray(const std::shared_ptr<arrow::DataType>& type,
                                              Vector&& values) {
  const auto rows = static_cast<int64_t>(values.size());
  return arrow::ArrayData::Make(
      type, rows, {nullptr, arrow::Buffer::FromVector(std::forward<Vector>(values))}, 0);
}

class SstWriterImpl : public SstWriter {
 public:
  explicit SstWriterImpl(SstWriterOptions options)
      : options_(std::move(options)), zones_(options_.schema->num_fields()) {}
  ~SstWriterImpl() override {
    if (!finished_) Abandon();
  }

  Status Start();
  Status Append(const arrow::RecordBatch& rows, const SequenceNumber* sequences,
                const uint8_t* kinds, const int64_t* expires, const EncodedKeys* keys) override;
  uint64_t EstimatedBytes() const override {
    return (stream_ == nullptr ? 0 : stream_->size()) + pending_bytes_;
  }
  uint64_t rows() const override { return rows_; }
  Result<FileMeta> Finish(SequenceNumber min_sequence, SequenceNumber max_sequence) override;
  void Abandon() override;

 private:
  Status CheckRows(const arrow::RecordBatch& rows, const SequenceNumber* sequences,
                   const uint8_t* kinds, const int64_t* expires) const;
  Status IndexKeys(const EncodedKeys& keys, const SequenceNumber* sequences);
  Status WriteBatch();
  Status WriteRows(const std::shared_ptr<arrow::RecordBatch>& batch);
  Status WriteIdx(const SstProperties& properties, FileMeta* meta);

  const SstWriterOptions options_;
  std::string arrow_path_;
  std::string idx_path_;
  std::shared_ptr<arrow::Schema> file_schema_;
  arrow::ipc::IpcWriteOptions ipc_;
  std::shared_ptr<ChecksummedStream> stream_;
  std::shared_ptr<arrow::ipc::RecordBatchWriter> writer_;
  bool finished_ = false;
  bool created_arrow_ = false;
  bool created_idx_ = false;

  int64_t row_overhead_ = kRowOverheadBytes;

  // Rows that wait for their batch to be full.
  std::vector<std::shared_ptr<arrow::RecordBatch>> pending_;
  int64_t pending_rows_ = 0;
  int64_t pending_bytes_ = 0;
  std::vector<uint64_t> pending_seq_;
  std::vector<uint8_t> pending_kind_;
  std::vector<int64_t> pending_expires_;

  uint64_t rows_ = 0;
  uint64_t batches_ = 0;
  uint64_t tombstones_ = 0;  // and merge operands
  uint64_t merge_operands_ = 0;
  uint64_t expiring_ = 0;
  int64_t min_expires_ = 0;
  int64_t max_expires_ = 0;

  // Of the keys.
  std::string min_key_;
  std::string last_key_;
  SequenceNumber last_sequence_ = 0;
  std::vector<uint64_t> hashes_;      // of distinct keys, in order
  std::vector<uint32_t> first_rows_;  // where they begin; empty while that is 0, 1, 2, ...
  uint64_t distinct_keys_ = 0;
  SparseKeysBuilder sparse_;
  ZoneMapBuilder zones_;
};

Status SstWriterImpl::Start() {
  MARBLE_RETURN_NOT_OK(CheckStorable(*options_.schema));
  arrow_path_ = options_.dir + "/" + SstArrowName(options_.number);
  idx_path_ = options_.dir + "/" + SstIdxName(options_.number);
  file_schema_ = FileSchema(options_.schema, options_.key_columns,
                            {options_.write_seq, options_.write_kind, options_.write_expires});
  file_schema_ = WithFieldIds(*file_schema_, options_.field_ids, options_.schema->num_fields());
  MARBLE_ASSIGN_OR_RETURN(auto file, options_.file_system->Create(arrow_path_));
  created_arrow_ = true;
  stream_ = std::make_shared<ChecksummedStream>(std::move(file));
  ipc_ = arrow::ipc::IpcWriteOptions::Defaults();
  ipc_.alignment = 64;
  ipc_.use_threads = false;
  if (options_.compression != Compression::kNone) {
    MARBLE_ASSIGN_OR_RETURN(ipc_.codec, MakeCodec(options_.compression));
    ipc_.min_space_savings = kLeastSaving;
    // The bound of a compressed batch is a real one.
    row_overhead_ += (options_.write_seq ? sizeof(SequenceNumber) : 0) +
                     (options_.write_kind ? 1 : 0) + (options_.write_expires ? sizeof(int64_t) : 0);
  }
  MARBLE_ASSIGN_OR_RETURN(writer_, arrow::ipc::MakeFileWriter(stream_, file_schema_, ipc_));
  return Status::OK();
}

Status SstWriterImpl::CheckRows(const arrow::RecordBatch& rows, const SequenceNumber* sequences,
                                const uint8_t* kinds, const int64_t* expires) const {
  if (finished_ || writer_ == nullptr) {
    return MakeError(ErrorCode::kClosed, arrow_path_ + ": the file is already finished");
  }
  const arrow::Schema& schema = *options_.schema;
  if (rows.num_columns() != schema.num_fields()) {
    return MakeError(ErrorCode::kSchema,
                     arrow_path_ + ": rows have " + std::to_string(rows.num_columns()) +
                         " columns, the table has " + std::to_string(schema.num_fields()));
  }
  if (options_.write_seq && sequences == nullptr) {
    return MakeError(ErrorCode::kInvalidArgument,
                     arrow_path_ + ": write_seq is set, but rows come without sequences");
  }
  const int64_t n = rows.num_rows();
  if (kinds != nullptr && !options_.write_kind &&
      std::any_of(kinds, kinds + n, [](uint8_t kind) { return kind != 0; })) {
    return MakeError(
        ErrorCode::kInvalidArgument,
        arrow_path_ + ": a row that is no put was appended, but write_kind is not set");
  }
  if (expires != nullptr && !options_.write_expires &&
      std::any_of(expires, expires + n, [](int64_t at) { return at != 0; })) {
    return MakeError(ErrorCode::kInvalidArgument,
                     arrow_path_ + ": an expiring row was appended, but write_expires is not set");
  }
  for (int i = 0; i < rows.num_columns(); ++i) {
    const arrow::Field& field = *schema.field(i);
    const arrow::ArrayData& column = *rows.column_data(i);
    if (!column.type->Equals(*field.type())) {
      return MakeError(ErrorCode::kSchema, arrow_path_ + ": column '" + field.name() + "' is " +
                                               column.type->ToString() + ", the table has " +
                                               field.type()->ToString());
    }
    if (field.nullable() || column.GetNullCount() == 0) continue;
    // Only a tombstone may lack a value that is required, and never its key.
    const bool key = std::find(options_.key_columns.begin(), options_.key_columns.end(), i) !=
                     options_.key_columns.end();
    for (int64_t row = 0; row < n; ++row) {
      const bool tombstone = kinds != nullptr && kinds[row] != 0;
      if (column.IsNull(row) && (key || !tombstone)) {
        return MakeError(ErrorCode::kSchema, arrow_path_ + ": column '" + field.name() +
                                                 "' is not nullable, row " +
                                                 std::to_string(rows_ + row) + " is null");
      }
    }
  }
  if (rows_ + static_cast<uint64_t>(n) > kMaxRows) {
    return MakeError(ErrorCode::kTooLarge,
                     arrow_path_ + ": a file holds at most " + std::to_string(kMaxRows) + " rows");
  }
  return Status::OK();
}

/// Order, bounds, sparse keys and hashes of the rows' keys.
Status SstWriterImpl::IndexKeys(const EncodedKeys& keys, const SequenceNumber* sequences) {
  const bool hashes = options_.hashes_keys();
  std::string_view last = last_key_;
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string_view key = keys.key(i);
    const uint64_t row = rows_ + i;
    const int order = row == 0 ? -1 : last.compare(key);
    if (order > 0) {
      return MakeError(ErrorCode::kInternal,
                       arrow_path_ + ": row " + std::to_string(row) + " is out of key order");
    }
    if (order == 0 && (!options_.write_seq || sequences[i] >= last_sequence_)) {
      return MakeError(
          ErrorCode::kInternal,
          arrow_path_ + ": row " + std::to_string(row) + " repeats a key " +
              (options_.write_seq ? "without an older sequence" : "in a file without sequences"));
    }
    if (row == 0) min_key_ = key;
    if (row % limits::kSparseKeyInterval == 0) sparse_.Add(key);
    if (order != 0) {
      if (distinct_keys_ != row && first_rows_.size() != distinct_keys_) {
        // The first repeated key lies before this row: from here on rows are written down.
        for (size_t k = first_rows_.size(); k < distinct_keys_; ++k) {
          first_rows_.push_back(static_cast<uint32_t>(k));
        }
      }
      if (hashes) hashes_.push_back(keys.hashes[i]);
      if (distinct_keys_ != row) first_rows_.push_back(static_cast<uint32_t>(row));
      ++distinct_keys_;
    }
    last = key;
    if (sequences != nullptr) last_sequence_ = sequences[i];
  }
  if (keys.size() > 0) last_key_ = std::string(last);
  return Status::OK();
}

Status SstWriterImpl::Append(const arrow::RecordBatch& rows, const SequenceNumber* sequences,
                             const uint8_t* kinds, const int64_t* expires,
                             const EncodedKeys* keys) {
  MARBLE_RETURN_NOT_OK(CheckRows(rows, sequences, kinds, expires));
  const int64_t n = rows.num_rows();
  if (n == 0) return Status::OK();
  if (options_.codec != nullptr) {
    EncodedKeys own;
    if (keys == nullptr) {
      own = EncodedKeys::Of(*options_.codec, rows, options_.hashes_keys());
      keys = &own;
    }
    MARBLE_RETURN_NOT_OK(IndexKeys(*keys, sequences));
  }
  rows_ += static_cast<uint64_t>(n);

  MARBLE_ASSIGN_OR_RETURN(const int64_t bytes, arrow::util::ReferencedBufferSize(rows));
  const int64_t row_bytes = std::max<int64_t>(1, bytes / n + row_overhead_);
  for (int64_t at = 0; at < n;) {
    const int64_t room_rows = options_.batch_rows - pending_rows_;
    const int64_t room_bytes = (options_.batch_bytes - pending_bytes_) / row_bytes;
    int64_t take = std::min({n - at, room_rows, room_bytes});
    if (take <= 0) {
      if (pending_rows_ > 0) {
        MARBLE_RETURN_NOT_OK(WriteBatch());
        continue;
      }
      take = 1;  // a row larger than a batch is a batch of its own
    }
    pending_.push_back(rows.Slice(at, take));
    pending_rows_ += take;
    pending_bytes_ += take * row_bytes;
    for (int64_t i = at; i < at + take; ++i) {
      const uint8_t kind = kinds == nullptr ? 0 : kinds[i];
      const int64_t expiry = expires == nullptr ? 0 : expires[i];
      if (kind != 0) ++tombstones_;
      merge_operands_ += kind == static_cast<uint8_t>(RowKind::kMerge);
      if (expiry != 0) {
        ++expiring_;
        min_expires_ = min_expires_ == 0 ? expiry : std::min(min_expires_, expiry);
        max_expires_ = std::max(max_expires_, expiry);
      }
      if (options_.write_kind) pending_kind_.push_back(kind);
      if (options_.write_expires) pending_expires_.push_back(expiry);
    }
    if (options_.write_seq) {
      pending_seq_.insert(pending_seq_.end(), sequences + at, sequences + at + take);
    }
    at += take;
    if (pending_rows_ >= options_.batch_rows || pending_bytes_ >= options_.batch_bytes) {
      MARBLE_RETURN_NOT_OK(WriteBatch());
    }
  }
  return Status::OK();
}

Status SstWriterImpl::WriteBatch() {
  std::vector<std::shared_ptr<arrow::ArrayData>> columns;
  const int num_columns = options_.schema->num_fields();
  for (int c = 0; c < num_columns; ++c) {
    // One piece goes out as it is: the IPC writer cuts slices to size by itself.
    if (pending_.size() == 1) {
      columns.push_back(pending_[0]->column_data(c));
      continue;
    }
    arrow::ArrayVector pieces;
    pieces.reserve(pending_.size());
    for (const auto& piece : pending_) pieces.push_back(piece->column(c));
    MARBLE_ASSIGN_OR_RETURN(auto column, arrow::Concatenate(pieces));
    columns.push_back(column->data());
  }
  if (options_.write_seq) {
    columns.push_back(HiddenArray(arrow::uint64(), std::exchange(pending_seq_, {})));
  }
  if (options_.write_kind) {
    columns.push_back(HiddenArray(arrow::uint8(), std::exchange(pending_kind_, {})));
  }
  if (options_.write_expires) {
    columns.push_back(HiddenArray(arrow::int64(), std::exchange(pending_expires_, {})));
  }
  const auto batch = arrow::RecordBatch::Make(file_schema_, pending_rows_, std::move(columns));
  MARBLE_RETURN_NOT_OK(WriteRows(batch));
  pending_.clear();
  pending_rows_ = 0;
  pending_bytes_ = 0;
  return Status::OK();
}

/// A batch of the file, or two halves of it if it would be too large for a compressed one.
Status SstWriterImpl::WriteRows(const std::shared_ptr<arrow::RecordBatch>& batch) {
  if (ipc_.codec != nullptr && batch->num_rows() > 1) {
    // What Arrow is going to write, to the byte: it references buffers, and copies little.
    arrow::ipc::IpcWriteOptions plain = ipc_;
    plain.codec = nullptr;
    arrow::ipc::IpcPayload payload;
    MARBLE_RETURN_NOT_OK(arrow::ipc::GetRecordBatchPayload(*batch, plain, &payload));
    int64_t bytes = 0;
    for (const auto& buffer : payload.body_buffers) bytes += buffer == nullptr ? 0 : buffer->size();
    if (bytes > limits::kCompressedBatchBytes) {
      const int64_t half = batch->num_rows() / 2;
      MARBLE_RETURN_NOT_OK(WriteRows(batch->Slice(0, half)));
      return WriteRows(batch->Slice(half));
    }
  }
  if (options_.zone_maps) {
    arrow::ArrayDataVector columns;
    for (int c = 0; c < options_.schema->num_fields(); ++c) {
      columns.push_back(batch->column_data(c));
    }
    zones_.AddBatch(columns);
  }
  MARBLE_RETURN_NOT_OK(writer_->WriteRecordBatch(*batch));
  ++batches_;
  return Status::OK();
}

Result<FileMeta> SstWriterImpl::Finish(SequenceNumber min_sequence, SequenceNumber max_sequence) {
  if (finished_ || writer_ == nullptr) {
    return MakeError(ErrorCode::kClosed, arrow_path_ + ": the file is already finished");
  }
  if (rows_ == 0) {
    return MakeError(ErrorCode::kInvalidArgument, arrow_path_ + ": a file needs at least one row");
  }
  if (pending_rows_ > 0) MARBLE_RETURN_NOT_OK(WriteBatch());
  MARBLE_RETURN_NOT_OK(writer_->Close());
  MARBLE_RETURN_NOT_OK(stream_->Close());
  MARBLE_RETURN_NOT_OK(stream_->SyncAndCloseFile());

  SstProperties properties;
  properties.rows = rows_;
  properties.batches = batches_;
  properties.arrow_bytes = stream_->size();
  properties.type_fingerprint = TypeFingerprint(*file_schema_);
  properties.min_sequence = min_sequence;
  properties.max_sequence = max_sequence;
  properties.tombstones = tombstones_;
  properties.merge_operands = merge_operands_;
  properties.distinct_keys = distinct_keys_;
  properties.min_key = min_key_;
  properties.max_key = last_key_;
  properties.hidden = {options_.write_seq, options_.write_kind, options_.write_expires};
  properties.key_columns = options_.key_columns;
  properties.field_ids = FieldIdsOf(*file_schema_, options_.schema->num_fields());
  properties.clean = tombstones_ == 0 && (options_.codec == nullptr || distinct_keys_ == rows_);
  properties.min_expires = min_expires_;
  properties.max_expires = max_expires_;
  properties.expiring = expiring_;

  FileMeta meta;
  meta.number = options_.number;
  meta.table = options_.table;
  meta.level = options_.level;
  meta.arrow_bytes = properties.arrow_bytes;
  meta.rows = rows_;
  meta.tombstones = tombstones_;
  meta.min_sequence = min_sequence;
  meta.max_sequence = max_sequence;
  meta.min_key = min_key_;
  meta.max_key = last_key_;
  meta.clean = properties.clean;
  meta.compression = options_.compression;
  MARBLE_RETURN_NOT_OK(WriteIdx(properties, &meta));
  finished_ = true;
  return meta;
}

Status SstWriterImpl::WriteIdx(const SstProperties& properties, FileMeta* meta) {
  MARBLE_ASSIGN_OR_RETURN(auto mapped, options_.file_system->Map(arrow_path_));
  const bool compressed = options_.compression != Compression::kNone;
  CompressedLayouts read;
  if (compressed) {
    MARBLE_ASSIGN_OR_RETURN(
        read, ReadCompressedLayouts(mapped->bytes(), *file_schema_, options_.compression));
  } else {
    MARBLE_ASSIGN_OR_RETURN(read.decoded, ReadLayouts(mapped->bytes(), *file_schema_));
  }
  created_idx_ = true;  // also by a Create that fails behind the making of the file
  MARBLE_ASSIGN_OR_RETURN(auto idx, IdxWriter::Create(options_.file_system.get(), idx_path_));
  MARBLE_RETURN_NOT_OK(idx->AddSection(IdxSection::kProperties, EncodeProperties(properties)));
  MARBLE_RETURN_NOT_OK(idx->AddSection(IdxSection::kLayout, EncodeLayouts(read.decoded)));
  if (compressed) {
    meta->plain_bytes = PlainBytes(meta->arrow_bytes, read.decoded, read.stored);
    MARBLE_RETURN_NOT_OK(idx->AddSection(IdxSection::kStoredBuffers,
                                         EncodeStoredBuffers(options_.compression, read.stored)));
  }
  const std::vector<uint32_t> crcs = stream_->page_crcs();
  MARBLE_RETURN_NOT_OK(idx->AddSection(
      IdxSection::kArrowPageCrcs,
      {reinterpret_cast<const char*>(crcs.data()), crcs.size() * sizeof(uint32_t)}));
  if (options_.zone_maps) {
    MARBLE_ASSIGN_OR_RETURN(const std::string zones, zones_.Finish());
    MARBLE_RETURN_NOT_OK(idx->AddSection(IdxSection::kZoneMaps, zones));
  }
  if (options_.codec != nullptr) {
    MARBLE_ASSIGN_OR_RETURN(const std::string sparse, sparse_.Finish());
    MARBLE_RETURN_NOT_OK(idx->AddSection(IdxSection::kSparseKeys, sparse));
    if (options_.bloom_bits_per_key > 0) {
      MARBLE_RETURN_NOT_OK(idx->AddSection(IdxSection::kBloomFilter,
                                           BuildBloomFilter(hashes_, options_.bloom_bits_per_key)));
    }
    if (options_.point_index) {
      MARBLE_RETURN_NOT_OK(
          idx->AddSection(IdxSection::kPointIndex, BuildPointIndex(hashes_, first_rows_)));
    }
  }
  MARBLE_RETURN_NOT_OK(idx->Finish());
  meta->idx_bytes = idx->file_bytes();
  meta->idx_crc = idx->file_crc();
  return Status::OK();
}

void SstWriterImpl::Abandon() {
  if (finished_) return;
  finished_ = true;
  pending_.clear();
  if (stream_ != nullptr) stream_->CloseFile();
  // What cannot be removed is garbage that no manifest names: the next open removes it.
  if (created_arrow_) (void)options_.file_system->Remove(arrow_path_);
  if (created_idx_) (void)options_.file_system->Remove(idx_path_);
}

}  // namespace

Result<std::unique_ptr<SstWriter>> SstWriter::Create(const SstWriterOptions& given) {
  SstWriterOptions options = given;
  if (options.schema == nullptr) {
    return MakeError(ErrorCode::kInvalidArgument, "an SSTable needs a schema");
  }
  const size_t keys =
      options.codec == nullptr ? 0 : static_cast<size_t>(options.codec->num_columns());
  if (options.key_columns.size() != keys) {
    return MakeError(ErrorCode::kInvalidArgument, "SstWriterOptions.key_columns has " +
                                                      std::to_string(options.key_columns.size()) +
                                                      " entries, the key codec has " +
                                                      std::to_string(keys) + " columns");
  }
  if (!options.field_ids.empty() &&
      options.field_ids.size() != static_cast<size_t>(options.schema->num_fields())) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "SstWriterOptions.field_ids has " + std::to_string(options.field_ids.size()) +
                         " entries, the schema has " +
                         std::to_string(options.schema->num_fields()) + " columns");
  }
  for (const int column : options.key_columns) {
    if (column < 0 || column >= options.schema->num_fields()) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "key column " + std::to_string(column) + " is not in the schema");
    }
  }
  if (options.write_kind && options.codec == nullptr) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "a table without a primary key has no tombstones");
  }
  if (options.batch_rows <= 0) options.batch_rows = limits::kTableBatchRows;
  if (options.batch_bytes <= 0) options.batch_bytes = limits::kTableBatchBytes;
  if (options.compression != Compression::kNone) {
    options.batch_bytes = std::min(options.batch_bytes, kCompressedFillBytes);
  }
  auto writer = std::make_unique<SstWriterImpl>(std::move(options));
  MARBLE_RETURN_NOT_OK(writer->Start());
  return std::unique_ptr<SstWriter>(std::move(writer));
}

}  // namespace marble::lsm
