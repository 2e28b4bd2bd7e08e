// Writes a sorted stream of row versions of one table into as many SSTables as it takes: gathers
// rows into chunks, cuts files at limits::kMaxSstBytes between keys. One thread. Files are
// removed by the destructor unless Finish has succeeded.
#pragma once

#include <arrow/type_fwd.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lsm/read/row_collector.h"
#include "lsm/sst/sst_writer.h"
#include "lsm/table_info.h"

namespace marble::lsm {

struct RunWriterOptions {
  std::string dir;
  int level = 0;
  bool write_seq = false;
  bool write_kind = false;
  SequenceNumber min_sequence = 0;  // of everything that may come
  SequenceNumber max_sequence = 0;
  std::function<FileNumber()> next_number;
  /// Called between chunks: a long merge lets more urgent work go first.
  std::function<Status()> between_chunks;
};

class RunWriter {
 public:
  RunWriter(std::shared_ptr<const TableInfo> info, RunWriterOptions options);
  ~RunWriter();

  /// What is added stays valid until the next call of EndOfKey or Finish.
  Status AddRows(const std::shared_ptr<arrow::RecordBatch>& batch, int64_t start, int64_t count,
                 SequenceNumber sequence);
  Status AddBytes(std::string_view key, std::string_view value, SequenceNumber sequence);
  Status AddTombstone(std::string_view key, SequenceNumber sequence);
  /// All versions of a key are added: here a chunk may be written and a file be cut.
  Status EndOfKey();
  /// The files, fsynced (the directory is not); empty when there was no row.
  Result<std::vector<FileMeta>> Finish();

 private:
  Status WriteChunk();
  Status FinishFile();

  const std::shared_ptr<const TableInfo> info_;
  const RunWriterOptions options_;
  RowCollector collector_;
  std::vector<SequenceNumber> sequences_;
  std::vector<uint8_t> kinds_;
  std::unique_ptr<SstWriter> writer_;
  std::vector<FileMeta> files_;
  bool finished_ = false;
};

/// Of the versions of one key, from the newest to the oldest, those that somebody may still see:
/// between two neighbouring snapshots only the newest counts.
class VersionFilter {
 public:
  /// `snapshots` ascending; must outlive the filter.
  explicit VersionFilter(const std::vector<SequenceNumber>* snapshots) : snapshots_(*snapshots) {}
  void StartKey() { last_stripe_ = SIZE_MAX; }
  bool Keep(SequenceNumber sequence);

 private:
  const std::vector<SequenceNumber>& snapshots_;
  size_t last_stripe_ = SIZE_MAX;  // index of the oldest snapshot that sees the last one kept
};

}  // namespace marble::lsm
