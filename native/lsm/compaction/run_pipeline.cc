#include "lsm/compaction/run_pipeline.h"

#include <utility>

namespace marble::lsm {
namespace {

/// Chunks that may wait in front of a stage: each refers to, or holds, up to 8 MiB.
constexpr size_t kBuffer = 2;
/// Files that may wait for their index: each holds the hashes of its keys and its last batch.
constexpr size_t kFilesBuffer = 1;

}  // namespace

RunPipeline::RunPipeline(
    task::TaskScheduler* scheduler, const std::shared_ptr<const TableInfo>& info,
    RunPipelineOptions options,
    const std::function<std::unique_ptr<RowProducer>(RunBuilder*)>& make_producer)
    : info_(info),
      budget_(options.budget),
      wrote_(std::move(options.wrote)),
      written_(options.writer),
      builder_(info, options.writer.hidden, options.max_file_bytes,
               budget_ == nullptr ? RunBuilder::kChunkBytes : budget_->chunk_bytes()),
      writer_(info, std::move(options.writer)),
      producer_(make_producer(&builder_)) {
  // Stages have no names: what they say is the user's error message.
  task::PipelineOptions pipeline;
  pipeline.priority = options.priority;
  task::StageOptions stage;
  stage.buffer = kBuffer;
  task::StageOptions index;
  index.buffer = kFilesBuffer;
  using FullFile = std::unique_ptr<SstWriter>;
  pipeline_ = task::PipelineFrom<RunChunk>(scheduler, pipeline, {},
                                           [this](task::StageContext&) { return NextChunk(); })
                  .Then<WritableChunk>(
                      stage,
                      [this](RunChunk chunk, task::Emitter<WritableChunk>& out) -> Status {
                        MARBLE_ASSIGN_OR_RETURN(WritableChunk gathered,
                                                GatherChunk(*info_, std::move(chunk), budget_));
                        out.Emit(std::move(gathered));
                        return Status::OK();
                      })
                  .Then<FullFile>(
                      stage,
                      [this](const WritableChunk& chunk, task::Emitter<FullFile>& out) -> Status {
                        MARBLE_ASSIGN_OR_RETURN(const uint64_t bytes, writer_.Write(chunk));
                        if (FullFile full = writer_.TakeFull()) out.Emit(std::move(full));
                        return wrote_ && bytes > 0 ? wrote_(bytes) : Status::OK();
                      },
                      [this](task::Emitter<FullFile>& out) -> Status {
                        if (FullFile last = writer_.TakeLast()) out.Emit(std::move(last));
                        return Status::OK();
                      })
                  .Into(index, [this](const FullFile& file, task::StageContext&) -> Status {
                    return written_.Add(file.get());
                  });
}

Result<std::optional<RunChunk>> RunPipeline::NextChunk() {
  while (!builder_.has_chunks() && !ended_) {
    MARBLE_ASSIGN_OR_RETURN(const bool more, producer_->Step(&builder_));
    if (more) continue;
    ended_ = true;
    builder_.Finish();
  }
  if (!builder_.has_chunks()) return std::nullopt;
  return builder_.TakeChunk();
}

Result<std::vector<FileMeta>> RunPipeline::Finish() {
  MARBLE_RETURN_NOT_OK(pipeline_->Wait());
  return written_.Take();
}

}  // namespace marble::lsm
