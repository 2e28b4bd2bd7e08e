#include "lsm/compaction/run_builder.h"

#include <arrow/api.h>

namespace marble::lsm {
namespace {
constexpr int64_t kChunkRows = 16 * 1024;
}  // namespace

Status RunBuilder::Note(int64_t rows, SequenceNumber sequence, RowKind kind, int64_t expires) {
  if (kind != RowKind::kPut && !hidden_.kind) {
    return MakeError(ErrorCode::kInternal, "a row that is no put for a file without kinds");
  }
  const auto count = static_cast<size_t>(rows);
  RunChunk& chunk = open();
  if (hidden_.seq) chunk.sequences.insert(chunk.sequences.end(), count, sequence);
  if (hidden_.kind) chunk.kinds.insert(chunk.kinds.end(), count, static_cast<uint8_t>(kind));
  if (hidden_.expires) chunk.expires.insert(chunk.expires.end(), count, expires);
  return Status::OK();
}

Status RunBuilder::AddRows(const std::shared_ptr<arrow::RecordBatch>& batch, int64_t start,
                           int64_t count, SequenceNumber sequence) {
  open().rows.AddRows(batch, start, count);
  return Note(count, sequence, RowKind::kPut, 0);
}

Status RunBuilder::AddRow(const std::shared_ptr<arrow::RecordBatch>& batch, int64_t row,
                          SequenceNumber sequence, RowKind kind, int64_t expires) {
  open().rows.AddRows(batch, row, 1);
  return Note(1, sequence, kind, expires);
}

Status RunBuilder::AddBytes(std::string_view key, std::string_view value, SequenceNumber sequence,
                            RowKind kind, int64_t expires) {
  open().rows.AddBytes(key, value);
  return Note(1, sequence, kind, expires);
}

Status RunBuilder::AddOwnedBytes(std::string_view key, std::string value, SequenceNumber sequence,
                                 RowKind kind, int64_t expires) {
  const auto& owned = open().owned.emplace_back(key, std::move(value));
  return AddBytes(owned.first, owned.second, sequence, kind, expires);
}

Status RunBuilder::AddTombstone(std::string_view key, SequenceNumber sequence) {
  open().rows.AddTombstone(key);
  return Note(1, sequence, RowKind::kDelete, 0);
}

uint64_t RunBuilder::ChunkBytes() const {
  if (open_ == nullptr) return 0;
  const uint64_t hidden = (hidden_.seq ? sizeof(SequenceNumber) : 0) + (hidden_.kind ? 1 : 0) +
                          (hidden_.expires ? sizeof(int64_t) : 0);
  return static_cast<uint64_t>(open_->rows.bytes()) +
         hidden * static_cast<uint64_t>(open_->rows.rows());
}

void RunBuilder::EndOfKey() {
  if (open_ == nullptr) return;
  const bool full = file_bytes() >= max_file_bytes_;
  if (full || open_->rows.rows() >= kChunkRows || ChunkBytes() >= chunk_bytes_) {
    EndChunk(full);
  }
}

void RunBuilder::Cut() { EndChunk(/*ends_file=*/true); }

void RunBuilder::EndChunk(bool ends_file) {
  if (open_ == nullptr) {
    if (!ends_file || file_bytes_ == 0) return;
    // The last chunk may be taken already: an empty one says that the file ends.
    (void)open();
  }
  open_->bytes = ChunkBytes();
  file_bytes_ += open_->bytes;
  open_->ends_file = ends_file;
  chunks_.push_back(std::move(*open_));
  open_ = nullptr;
  if (!ends_file) return;
  file_bytes_ = 0;
  ++num_files_;
}

RunChunk RunBuilder::TakeChunk() {
  RunChunk chunk = std::move(chunks_.front());
  chunks_.pop_front();
  return chunk;
}

}  // namespace marble::lsm
