// Writes a sorted stream of row versions of one table into as many SSTables as it takes: gathers
// rows into chunks, cuts files at a size, or where it is told to, between keys. One thread. Files
// are removed by the destructor unless Finish has succeeded.
#pragma once

#include <arrow/type_fwd.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "lsm/read/row_collector.h"
#include "lsm/sst/sst_writer.h"
#include "lsm/table_info.h"

namespace marble::lsm {

struct RunWriterOptions {
  std::string dir;
  int level = 0;
  bool write_seq = false;
  bool write_kind = false;
  bool write_expires = false;
  SequenceNumber min_sequence = 0;  // of everything that may come
  SequenceNumber max_sequence = 0;
  std::function<FileNumber()> next_number;
  uint64_t max_file_bytes = limits::kMaxSstBytes;  // of .arrow, about
  /// Called between chunks with the bytes of the last one (about): for cancelling and for pacing.
  std::function<Status(uint64_t)> between_chunks;
  std::shared_ptr<io::FileSystem> file_system = io::FileSystem::Local();
};

class RunWriter {
 public:
  RunWriter(std::shared_ptr<const TableInfo> info, RunWriterOptions options);
  ~RunWriter();

  /// Rows of a batch, all puts that never expire. What is added must stay valid until it is
  /// written; the writer keeps batches alive itself.
  Status AddRows(const std::shared_ptr<arrow::RecordBatch>& batch, int64_t start, int64_t count,
                 SequenceNumber sequence);
  /// One row: a put, or a merge operand in its value column.
  Status AddRow(const std::shared_ptr<arrow::RecordBatch>& batch, int64_t row,
                SequenceNumber sequence, RowKind kind, int64_t expires);
  Status AddBytes(std::string_view key, std::string_view value, SequenceNumber sequence,
                  RowKind kind, int64_t expires);
  /// The same, of bytes that the writer keeps.
  Status AddOwnedBytes(std::string_view key, std::string value, SequenceNumber sequence,
                       RowKind kind, int64_t expires);
  Status AddTombstone(std::string_view key, SequenceNumber sequence);
  /// All versions of a key are added: here a chunk may be written and a file be cut.
  Status EndOfKey();
  /// Between keys: what follows goes to a new file.
  Status Cut();
  /// Of the current file, about; 0: the next row begins one.
  uint64_t file_bytes() const { return written_bytes_ + static_cast<uint64_t>(collector_.bytes()); }
  size_t num_files() const { return files_.size(); }  // finished
  /// The files, fsynced (the directory is not); empty when there was no row.
  Result<std::vector<FileMeta>> Finish();

 private:
  Status Note(int64_t rows, SequenceNumber sequence, RowKind kind, int64_t expires);
  Status WriteChunk();
  Status FinishFile();

  const std::shared_ptr<const TableInfo> info_;
  const RunWriterOptions options_;
  RowCollector collector_;
  std::vector<SequenceNumber> sequences_;
  std::vector<uint8_t> kinds_;
  std::vector<int64_t> expires_;
  std::deque<std::pair<std::string, std::string>> owned_;  // stable addresses
  std::unique_ptr<SstWriter> writer_;
  uint64_t written_bytes_ = 0;  // of the current file
  std::vector<FileMeta> files_;
  bool finished_ = false;
};

}  // namespace marble::lsm
