// Writes the chunks of a sorted run (run_builder.h) into SSTables, in order. One thread at a time.
// Files are removed by the destructor unless Finish has succeeded.
#pragma once

#include <arrow/type_fwd.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lsm/compaction/run_builder.h"
#include "lsm/memory_budget.h"
#include "lsm/sst/sst_writer.h"
#include "lsm/table_info.h"

namespace marble::lsm {

struct RunWriterOptions {
  std::shared_ptr<io::FileSystem> file_system = io::FileSystem::Local();
  std::string dir;
  int level = 0;
  /// The level whose compression a file gets, by its first key (empty without a key), where its own
  /// is not known yet. Null: `level`.
  std::function<int(std::string_view)> codec_level = nullptr;
  HiddenColumnsOf hidden;
  SequenceNumber min_sequence = 0;  // of everything that may come
  SequenceNumber max_sequence = 0;
  std::function<FileNumber()> next_number;
  int64_t max_batch_bytes = INT64_MAX;  // of a record batch, whatever the table wants
};

/// A chunk as record batches, with the versions of their rows.
struct WritableChunk {
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
  std::vector<SequenceNumber> sequences;
  std::vector<uint8_t> kinds;
  std::vector<int64_t> expires;
  bool ends_file = false;
  ChunkCharge charge;
};
/// Gather a chunk's rows; what it referred to is not needed any more then. Any thread. With a
/// budget, the rows are counted as long as the result lives.
Result<WritableChunk> GatherChunk(RunChunk chunk, MemoryBudget* budget = nullptr);

class RunWriter {
 public:
  RunWriter(std::shared_ptr<const TableInfo> info, RunWriterOptions options);
  ~RunWriter();

  /// The bytes that it added to a file, about.
  Result<uint64_t> Write(const WritableChunk& chunk);
  /// The files, fsynced (the directory is not); empty when there was no row.
  Result<std::vector<FileMeta>> Finish();

 private:
  Status OpenFile(const arrow::RecordBatch& first_rows);
  Status FinishFile();

  const std::shared_ptr<const TableInfo> info_;
  const RunWriterOptions options_;
  std::unique_ptr<SstWriter> writer_;
  std::vector<FileMeta> files_;
  bool finished_ = false;
};

}  // namespace marble::lsm
