// The pipeline that flushes, compactions and bulk loads are: produce sorted row versions → gather
// them into batches, and hash their keys → write them → build a file's index and sync it. Its
// stages are sliced tasks (task/pipeline.h), so that a long compaction lets flushes in between, and
// the stages overlap where a thread is free: a file is indexed and synced while the next one is
// written.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "lsm/compaction/run_writer.h"
#include "task/pipeline.h"

namespace marble::lsm {

/// Where sorted row versions come from. Called by one thread at a time, not always the same.
class RowProducer {
 public:
  virtual ~RowProducer() = default;
  /// Add the next key, or some keys if that is cheap, and end it (EndOfKey). False: there is none.
  virtual Result<bool> Step(RunBuilder* out) = 0;
};

struct RunPipelineOptions {
  RunWriterOptions writer;
  uint64_t max_file_bytes = limits::kMaxSstBytes;  // of .arrow, about
  task::Priority priority = task::Priority::kFlush;
  MemoryBudget* budget = nullptr;  // may be null; outlives the pipeline
  /// Called with the bytes of each chunk that was written (about): an error ends the run.
  std::function<Status(uint64_t)> wrote;
};

/// One run from its first key to its files. Start, then Finish; dropping it stops it and removes
/// what it has written.
class RunPipeline {
 public:
  /// `make_producer` gets the builder that it will add to, for those that cut files themselves.
  RunPipeline(task::TaskScheduler* scheduler, const std::shared_ptr<const TableInfo>& info,
              RunPipelineOptions options,
              const std::function<std::unique_ptr<RowProducer>(RunBuilder*)>& make_producer);

  Status Start() { return pipeline_->Start(); }
  /// Wait for the end. The files, fsynced (the directory is not), in key order.
  Result<std::vector<FileMeta>> Finish();

 private:
  Result<std::optional<RunChunk>> NextChunk();

  const std::shared_ptr<const TableInfo> info_;
  MemoryBudget* const budget_;
  const std::function<Status(uint64_t)> wrote_;
  RunFiles written_;
  RunBuilder builder_;
  RunWriter writer_;
  std::unique_ptr<RowProducer> producer_;
  bool ended_ = false;
  std::unique_ptr<task::Pipeline> pipeline_;  // ends first: its stages use the rest
};

}  // namespace marble::lsm
