// Walks the rows of one SSTable by row number, forwards or backwards, with their keys, sequences
// and kinds. Keys of raw codecs are views into the mapping; others are encoded in blocks that
// grow while the walk goes on, so that a short read encodes little and a long one is fast.
// One thread. Keeps the reader alive through the file.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lsm/table_info.h"
#include "lsm/version/table_version.h"

namespace marble::lsm {

class SstRows {
 public:
  /// `columns`: besides the key, only these will be looked at; null: all.
  SstRows(SstFileRef file, std::shared_ptr<const TableInfo> info, ColumnsRef columns = nullptr)
      : file_(std::move(file)),
        info_(std::move(info)),
        columns_(std::move(columns)),
        total_(file_->reader->num_rows()) {}

  int64_t total() const { return total_; }
  int64_t row() const { return row_; }
  /// Move to a row of the file; [0, total).
  Status MoveTo(int64_t row);

  /// Of the row moved to; valid until the next MoveTo.
  std::string_view key() const { return key_; }
  /// SstFile::flat_sequence when the file has no column of them.
  SequenceNumber sequence() const;
  RowKind kind() const;
  int64_t expires() const;  // 0: never
  const std::shared_ptr<arrow::RecordBatch>& batch() const { return batch_; }
  int64_t batch_index() const { return batch_index_; }
  int64_t row_in_batch() const { return row_ - batch_begin_; }
  int64_t batch_end() const { return batch_end_; }

  Result<int64_t> LowerBound(std::string_view key) const { return file_->reader->LowerBound(key); }
  const SstFileRef& file() const { return file_; }

 private:
  Status LoadBatch(int64_t row);
  void EncodeBlock(int64_t row);

  const SstFileRef file_;
  const std::shared_ptr<const TableInfo> info_;
  const ColumnsRef columns_;
  const int64_t total_;
  int64_t row_ = -1;
  std::string_view key_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  int64_t batch_index_ = -1;
  int64_t batch_begin_ = 0;
  int64_t batch_end_ = 0;
  // Encoded keys of rows [block_begin_, block_end_).
  int64_t block_begin_ = 0;
  int64_t block_end_ = 0;
  int64_t block_size_ = 8;
  std::string block_bytes_;
  std::vector<uint32_t> block_offsets_;
};

}  // namespace marble::lsm
