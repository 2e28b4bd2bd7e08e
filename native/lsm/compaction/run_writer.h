// Writes the chunks of a sorted run (run_builder.h) into SSTables, in order. What a file needs is
// done in three steps, which the pipeline (run_pipeline.h) overlaps: gather a chunk's rows and hash
// their keys (GatherChunk), write them (RunWriter), build the index of a file that has all its rows
// and sync it (RunFiles).
#pragma once

#include <arrow/type_fwd.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
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
  std::vector<EncodedKeys> keys;  // of each batch; empty without a primary key
  std::vector<SequenceNumber> sequences;
  std::vector<uint8_t> kinds;
  std::vector<int64_t> expires;
  bool ends_file = false;
  ChunkCharge charge;
};
/// Gather a chunk's rows and encode their keys; what it referred to is not needed any more then.
/// Any thread. With a budget, the rows and keys are counted as long as the result lives.
Result<WritableChunk> GatherChunk(const TableInfo& info, RunChunk chunk,
                                  MemoryBudget* budget = nullptr);

/// One thread at a time.
class RunWriter {
 public:
  RunWriter(std::shared_ptr<const TableInfo> info, RunWriterOptions options);

  /// The bytes that it added to a file, about.
  Result<uint64_t> Write(const WritableChunk& chunk);
  /// After each Write: a file that has all of its rows, for RunFiles; null: there is none.
  std::unique_ptr<SstWriter> TakeFull() { return std::move(full_); }
  /// After the last: the file that was begun; null: there is none.
  std::unique_ptr<SstWriter> TakeLast() { return std::move(writer_); }

 private:
  Status OpenFile(const arrow::RecordBatch& first_rows);

  const std::shared_ptr<const TableInfo> info_;
  const RunWriterOptions options_;
  std::unique_ptr<SstWriter> writer_;  // removes its file when it is dropped unfinished
  uint64_t told_ = 0;                  // bytes of its file that Write has told
  std::unique_ptr<SstWriter> full_;
};

/// The complete files of a run, removed by the destructor unless taken. One thread at a time.
class RunFiles {
 public:
  explicit RunFiles(const RunWriterOptions& options) : options_(options) {}
  ~RunFiles();
  RunFiles(const RunFiles&) = delete;
  RunFiles& operator=(const RunFiles&) = delete;

  /// Build the file's index and sync both (the directory is not).
  Status Add(SstWriter* writer);
  /// In the order in which they were added, and no longer this object's to remove.
  std::vector<FileMeta> Take() { return std::exchange(metas_, {}); }

 private:
  const RunWriterOptions options_;
  std::vector<FileMeta> metas_;
};

}  // namespace marble::lsm
