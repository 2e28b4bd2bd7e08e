#include "lsm/compaction/run_writer.h"

#include <arrow/api.h>

#include <algorithm>

#include "base/limits.h"
#include "task/task_scheduler.h"

namespace marble::lsm {

namespace {

/// What a table's options say of its files' indexes; the rest is to be filled in.
SstWriterOptions IndexOptions(const TableInfo& info) {
  const TableOptions& table = info.descriptor.options;
  SstWriterOptions options;
  options.bloom_bits_per_key = table.bloom_bits_per_key;
  options.point_index = table.point_index;
  options.zone_maps = table.zone_maps;
  return options;
}

}  // namespace

Result<WritableChunk> GatherChunk(const TableInfo& info, RunChunk chunk, MemoryBudget* budget) {
  WritableChunk out;
  uint64_t bytes = chunk.bytes;
  if (!chunk.rows.empty()) {
    MARBLE_ASSIGN_OR_RETURN(out.batches, chunk.rows.Finish());
    if (info.keyed()) {
      const bool hashes = IndexOptions(info).hashes_keys();
      for (const auto& batch : out.batches) {
        out.keys.push_back(EncodedKeys::Of(*info.codec, *batch, hashes));
        bytes += out.keys.back().memory();
      }
    }
  }
  out.charge = ChunkCharge(budget, bytes);
  out.sequences = std::move(chunk.sequences);
  out.kinds = std::move(chunk.kinds);
  out.expires = std::move(chunk.expires);
  out.ends_file = chunk.ends_file;
  return out;
}

RunWriter::RunWriter(std::shared_ptr<const TableInfo> info, RunWriterOptions options)
    : info_(std::move(info)), options_(std::move(options)) {}

Status RunWriter::OpenFile(const arrow::RecordBatch& first_rows) {
  const TableDescriptor& table = info_->descriptor;
  SstWriterOptions options = IndexOptions(*info_);
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
    if (writer_ == nullptr) {
      MARBLE_RETURN_NOT_OK(OpenFile(*chunk.batches.front()));
      told_ = 0;
    }
    size_t done = 0;
    for (size_t i = 0; i < chunk.batches.size(); ++i) {
      const arrow::RecordBatch& batch = *chunk.batches[i];
      MARBLE_RETURN_NOT_OK(
          writer_->Append(batch, options_.hidden.seq ? chunk.sequences.data() + done : nullptr,
                          options_.hidden.kind ? chunk.kinds.data() + done : nullptr,
                          options_.hidden.expires ? chunk.expires.data() + done : nullptr,
                          chunk.keys.empty() ? nullptr : &chunk.keys[i]));
      done += static_cast<size_t>(batch.num_rows());
    }
    // What waited for its batch may take less there, compressed: then nothing is told for a while.
    const uint64_t now = writer_->EstimatedBytes();
    bytes = now - std::min(now, told_);
    told_ = std::max(now, told_);
  }
  // The builder only estimates; what a file may have at most is kept here.
  const bool too_large = writer_ != nullptr && writer_->EstimatedBytes() >= limits::kMaxSstBytes;
  if (chunk.ends_file || too_large) full_ = std::move(writer_);
  return bytes;
}

Status RunFiles::Add(SstWriter* writer) {
  const task::BlockingScope blocking;  // fsync
  MARBLE_ASSIGN_OR_RETURN(FileMeta meta,
                          writer->Finish(options_.min_sequence, options_.max_sequence));
  metas_.push_back(std::move(meta));
  return Status::OK();
}

RunFiles::~RunFiles() {
  for (const FileMeta& file : metas_) {
    // What fails here is an orphan that the next open removes.
    (void)options_.file_system->Remove(options_.dir + "/" + SstArrowName(file.number));
    (void)options_.file_system->Remove(options_.dir + "/" + SstIdxName(file.number));
  }
}

}  // namespace marble::lsm
