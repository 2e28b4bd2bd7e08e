#include "lsm/compaction/run_writer.h"

#include <arrow/api.h>

#include <algorithm>

#include "base/limits.h"
#include "task/task_scheduler.h"

namespace marble::lsm {

Result<WritableChunk> GatherChunk(RunChunk chunk, MemoryBudget* budget) {
  WritableChunk out;
  out.charge = ChunkCharge(budget, chunk.bytes);
  if (!chunk.rows.empty()) {
    MARBLE_ASSIGN_OR_RETURN(out.batches, chunk.rows.Finish());
  }
  out.sequences = std::move(chunk.sequences);
  out.kinds = std::move(chunk.kinds);
  out.expires = std::move(chunk.expires);
  out.ends_file = chunk.ends_file;
  return out;
}

RunWriter::RunWriter(std::shared_ptr<const TableInfo> info, RunWriterOptions options)
    : info_(std::move(info)), options_(std::move(options)) {}

RunWriter::~RunWriter() {
  if (finished_) return;
  if (writer_ != nullptr) writer_->Abandon();
  for (const FileMeta& file : files_) {
    // What fails here is an orphan that the next open removes.
    (void)options_.file_system->Remove(options_.dir + "/" + SstArrowName(file.number));
    (void)options_.file_system->Remove(options_.dir + "/" + SstIdxName(file.number));
  }
}

Status RunWriter::OpenFile(const arrow::RecordBatch& first_rows) {
  const TableDescriptor& table = info_->descriptor;
  SstWriterOptions options;
  options.file_system = options_.file_system;
  options.dir = options_.dir;
  options.number = options_.next_number();
  options.table = table.id;
  options.level = options_.level;
  options.schema = table.schema;
  options.codec = info_->codec;
  options.key_columns = table.key_columns;
  options.field_ids = table.field_ids;
  options.batch_rows = table.options.batch_rows;
  options.batch_bytes = table.options.batch_bytes;
  if (options.batch_rows == 0) options.batch_rows = limits::kTableBatchRows;
  if (options.batch_bytes == 0) {
    options.batch_bytes =
        table.is_state_family ? limits::kStateBatchBytes : limits::kTableBatchBytes;
  }
  options.batch_bytes = std::min(options.batch_bytes, options_.max_batch_bytes);
  options.bloom_bits_per_key = table.options.bloom_bits_per_key;
  options.point_index = table.options.point_index;
  options.zone_maps = table.options.zone_maps;
  int codec_level = options_.level;
  if (options_.codec_level) {
    std::string key;
    if (info_->keyed()) info_->codec->Encode(first_rows, 0, &key);
    codec_level = options_.codec_level(key);
  }
  options.compression = table.options.CompressionAt(codec_level);
  options.write_seq = options_.hidden.seq;
  options.write_kind = options_.hidden.kind;
  options.write_expires = options_.hidden.expires;
  MARBLE_ASSIGN_OR_RETURN(writer_, SstWriter::Create(options));
  return Status::OK();
}

Result<uint64_t> RunWriter::Write(const WritableChunk& chunk) {
  uint64_t bytes = 0;
  if (!chunk.batches.empty()) {
    if (writer_ == nullptr) MARBLE_RETURN_NOT_OK(OpenFile(*chunk.batches.front()));
    const uint64_t before = writer_->EstimatedBytes();
    size_t done = 0;
    for (const auto& batch : chunk.batches) {
      MARBLE_RETURN_NOT_OK(
          writer_->Append(*batch, options_.hidden.seq ? chunk.sequences.data() + done : nullptr,
                          options_.hidden.kind ? chunk.kinds.data() + done : nullptr,
                          options_.hidden.expires ? chunk.expires.data() + done : nullptr));
      done += static_cast<size_t>(batch->num_rows());
    }
    bytes = writer_->EstimatedBytes() - before;
  }
  // The builder only estimates; what a file may have at most is kept here.
  const bool too_large = writer_ != nullptr && writer_->EstimatedBytes() >= limits::kMaxSstBytes;
  if (writer_ != nullptr && (chunk.ends_file || too_large)) MARBLE_RETURN_NOT_OK(FinishFile());
  return bytes;
}

Status RunWriter::FinishFile() {
  const task::BlockingScope blocking;  // fsync
  MARBLE_ASSIGN_OR_RETURN(FileMeta meta,
                          writer_->Finish(options_.min_sequence, options_.max_sequence));
  files_.push_back(std::move(meta));
  writer_.reset();
  return Status::OK();
}

Result<std::vector<FileMeta>> RunWriter::Finish() {
  if (writer_ != nullptr) MARBLE_RETURN_NOT_OK(FinishFile());
  finished_ = true;
  return files_;
}

}  // namespace marble::lsm
