// Cuts a sorted stream of row versions of one table into chunks, and says where one file ends and
// the next begins: the first stage of what writes SSTables (run_pipeline.h). Rows are referred to,
// not copied: a RunWriter does that.
//
// One thread at a time. What is added must stay valid until its chunk is written; batches, and
// bytes added as owned, a chunk keeps alive itself.
#pragma once

#include <arrow/type_fwd.h>

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "lsm/read/row_collector.h"
#include "lsm/table_info.h"

namespace marble::lsm {

/// Which hidden columns the files have.
struct HiddenColumnsOf {
  bool seq = false;
  bool kind = false;
  bool expires = false;
};

/// Rows between two keys. Moved, never copied.
struct RunChunk {
  explicit RunChunk(const std::shared_ptr<const TableInfo>& info) : rows(info) {}
  RunChunk(RunChunk&&) = default;

  RowCollector rows;
  std::vector<SequenceNumber> sequences;
  std::vector<uint8_t> kinds;
  std::vector<int64_t> expires;
  std::deque<std::pair<std::string, std::string>> owned;  // stable addresses
  bool ends_file = false;
  uint64_t bytes = 0;  // an estimate
};

class RunBuilder {
 public:
  static constexpr uint64_t kChunkBytes = 8 << 20;

  RunBuilder(std::shared_ptr<const TableInfo> info, const HiddenColumnsOf& hidden,
             uint64_t max_file_bytes = limits::kMaxSstBytes, uint64_t chunk_bytes = kChunkBytes)
      : info_(std::move(info)),
        hidden_(hidden),
        max_file_bytes_(max_file_bytes),
        chunk_bytes_(chunk_bytes) {}

  /// Rows of a batch, all puts that never expire.
  Status AddRows(const std::shared_ptr<arrow::RecordBatch>& batch, int64_t start, int64_t count,
                 SequenceNumber sequence);
  /// One row: a put, or a merge operand in its value column.
  Status AddRow(const std::shared_ptr<arrow::RecordBatch>& batch, int64_t row,
                SequenceNumber sequence, RowKind kind, int64_t expires);
  Status AddBytes(std::string_view key, std::string_view value, SequenceNumber sequence,
                  RowKind kind, int64_t expires);
  /// The same, of bytes that the chunk keeps.
  Status AddOwnedBytes(std::string_view key, std::string value, SequenceNumber sequence,
                       RowKind kind, int64_t expires);
  Status AddTombstone(std::string_view key, SequenceNumber sequence);
  /// All versions of a key are added: here a chunk may end, and a file.
  void EndOfKey();
  /// Between keys: what follows goes to a new file.
  void Cut();

  /// Of the current file, about; 0: the next row begins one.
  uint64_t file_bytes() const { return file_bytes_ + ChunkBytes(); }
  size_t num_files() const { return num_files_; }  // ended

  /// Chunks that are complete, in order; what was begun stays.
  bool has_chunks() const { return !chunks_.empty(); }
  RunChunk TakeChunk();
  /// There is nothing more: what was begun is a chunk too.
  void Finish() { EndChunk(/*ends_file=*/true); }

 private:
  RunChunk& open() {
    if (open_ == nullptr) open_ = std::make_unique<RunChunk>(info_);
    return *open_;
  }
  uint64_t ChunkBytes() const;
  Status Note(int64_t rows, SequenceNumber sequence, RowKind kind, int64_t expires);
  void EndChunk(bool ends_file);

  const std::shared_ptr<const TableInfo> info_;
  const HiddenColumnsOf hidden_;
  const uint64_t max_file_bytes_;
  const uint64_t chunk_bytes_;
  std::unique_ptr<RunChunk> open_;  // null: no row since the last chunk
  std::deque<RunChunk> chunks_;
  uint64_t file_bytes_ = 0;  // of the current file's chunks
  size_t num_files_ = 0;
};

}  // namespace marble::lsm
