#include "lsm/compaction/run_writer.h"

#include <arrow/api.h>

#include <algorithm>

#include "base/limits.h"

namespace marble::lsm {
namespace {
constexpr int64_t kChunkRows = 16 * 1024;
constexpr int64_t kChunkBytes = 8 << 20;
}  // namespace

RunWriter::RunWriter(std::shared_ptr<const TableInfo> info, RunWriterOptions options)
    : info_(std::move(info)), options_(std::move(options)), collector_(info_) {}

RunWriter::~RunWriter() {
  if (finished_) return;
  if (writer_ != nullptr) writer_->Abandon();
  for (const FileMeta& file : files_) {
    // What fails here is an orphan that the next open removes.
    (void)options_.file_system->Remove(options_.dir + "/" + SstArrowName(file.number));
    (void)options_.file_system->Remove(options_.dir + "/" + SstIdxName(file.number));
  }
}

Status RunWriter::Note(int64_t rows, SequenceNumber sequence, RowKind kind, int64_t expires) {
  if (kind != RowKind::kPut && !options_.write_kind) {
    return MakeError(ErrorCode::kInternal, "a row that is no put for a file without kinds");
  }
  const auto count = static_cast<size_t>(rows);
  if (options_.write_seq) sequences_.insert(sequences_.end(), count, sequence);
  if (options_.write_kind) kinds_.insert(kinds_.end(), count, static_cast<uint8_t>(kind));
  if (options_.write_expires) expires_.insert(expires_.end(), count, expires);
  return Status::OK();
}

Status RunWriter::AddRows(const std::shared_ptr<arrow::RecordBatch>& batch, int64_t start,
                          int64_t count, SequenceNumber sequence) {
  collector_.AddRows(batch, start, count);
  return Note(count, sequence, RowKind::kPut, 0);
}

Status RunWriter::AddRow(const std::shared_ptr<arrow::RecordBatch>& batch, int64_t row,
                         SequenceNumber sequence, RowKind kind, int64_t expires) {
  collector_.AddRows(batch, row, 1);
  return Note(1, sequence, kind, expires);
}

Status RunWriter::AddBytes(std::string_view key, std::string_view value, SequenceNumber sequence,
                           RowKind kind, int64_t expires) {
  collector_.AddBytes(key, value);
  return Note(1, sequence, kind, expires);
}

Status RunWriter::AddOwnedBytes(std::string_view key, std::string value, SequenceNumber sequence,
                                RowKind kind, int64_t expires) {
  const auto& owned = owned_.emplace_back(key, std::move(value));
  return AddBytes(owned.first, owned.second, sequence, kind, expires);
}

Status RunWriter::AddTombstone(std::string_view key, SequenceNumber sequence) {
  collector_.AddTombstone(key);
  return Note(1, sequence, RowKind::kDelete, 0);
}

Status RunWriter::EndOfKey() {
  if (collector_.rows() < kChunkRows && collector_.bytes() < kChunkBytes &&
      file_bytes() < options_.max_file_bytes) {
    return Status::OK();
  }
  if (collector_.empty()) return Status::OK();
  const uint64_t before = written_bytes_;
  MARBLE_RETURN_NOT_OK(WriteChunk());
  const uint64_t bytes = written_bytes_ - before;
  if (written_bytes_ >= options_.max_file_bytes) MARBLE_RETURN_NOT_OK(FinishFile());
  return options_.between_chunks ? options_.between_chunks(bytes) : Status::OK();
}

Status RunWriter::Cut() {
  const uint64_t before = written_bytes_;
  MARBLE_RETURN_NOT_OK(WriteChunk());
  const uint64_t bytes = written_bytes_ - before;
  if (writer_ != nullptr) MARBLE_RETURN_NOT_OK(FinishFile());
  return options_.between_chunks ? options_.between_chunks(bytes) : Status::OK();
}

Status RunWriter::WriteChunk() {
  if (collector_.empty()) return Status::OK();
  const TableDescriptor& table = info_->descriptor;
  if (writer_ == nullptr) {
    SstWriterOptions options;
    options.file_system = options_.file_system;
    options.dir = options_.dir;
    options.number = options_.next_number();
    options.table = table.id;
    options.level = options_.level;
    options.schema = table.schema;
    options.codec = info_->codec;
    options.key_columns = table.key_columns;
    options.batch_rows = table.options.batch_rows;
    options.batch_bytes = table.options.batch_bytes;
    if (options.batch_rows == 0) options.batch_rows = limits::kTableBatchRows;
    if (options.batch_bytes == 0) {
      options.batch_bytes =
          table.is_state_family ? limits::kStateBatchBytes : limits::kTableBatchBytes;
    }
    options.bloom_bits_per_key = table.options.bloom_bits_per_key;
    options.point_index = table.options.point_index;
    options.zone_maps = table.options.zone_maps;
    options.write_seq = options_.write_seq;
    options.write_kind = options_.write_kind;
    options.write_expires = options_.write_expires;
    MARBLE_ASSIGN_OR_RETURN(writer_, SstWriter::Create(options));
  }
  MARBLE_ASSIGN_OR_RETURN(const auto batches, collector_.Finish());
  int64_t done = 0;
  for (const auto& batch : batches) {
    MARBLE_RETURN_NOT_OK(
        writer_->Append(*batch, options_.write_seq ? sequences_.data() + done : nullptr,
                        options_.write_kind ? kinds_.data() + done : nullptr,
                        options_.write_expires ? expires_.data() + done : nullptr));
    done += batch->num_rows();
  }
  sequences_.clear();
  kinds_.clear();
  expires_.clear();
  owned_.clear();
  written_bytes_ = writer_->EstimatedBytes();
  return Status::OK();
}

Status RunWriter::FinishFile() {
  MARBLE_ASSIGN_OR_RETURN(FileMeta meta,
                          writer_->Finish(options_.min_sequence, options_.max_sequence));
  files_.push_back(std::move(meta));
  writer_.reset();
  written_bytes_ = 0;
  return Status::OK();
}

Result<std::vector<FileMeta>> RunWriter::Finish() {
  MARBLE_RETURN_NOT_OK(WriteChunk());
  if (writer_ != nullptr) MARBLE_RETURN_NOT_OK(FinishFile());
  finished_ = true;
  return files_;
}

}  // namespace marble::lsm
