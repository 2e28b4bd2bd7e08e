// Merges sorted inputs of one table into new files of one level. What becomes of the versions of a
// key says version_folder.h; a tombstone goes as soon as nothing older may hold its key; sequences
// are kept where a snapshot needs them. Inputs of a table without a key are joined in the order of
// writing.
//
// Output is cut at a size, at the table's cut points, and where a file would overlap too much of
// the level below its own, so that no later compaction of one file rewrites very much. A large job
// is split at keys of its inputs into parts that run in parallel and whose files follow each other.
//
// The inputs may be read by anybody meanwhile. Nothing but new files is written: installing them is
// up to the caller. When the job fails it leaves none behind.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lsm/compaction/run_pipeline.h"
#include "lsm/compaction/version_folder.h"
#include "lsm/version/table_version.h"

namespace marble::lsm {

/// Disjoint files in key order (of a table without a key: one file).
using SstRun = std::vector<SstFileRef>;

struct CompactionJob {
  std::shared_ptr<const TableInfo> info;
  /// The inputs, newest first.
  std::vector<SstRun> runs;
  /// What is older than the inputs: a tombstone stays while some file here may hold its key.
  std::vector<SstRun> older;
  /// The level below the output's.
  SstRun grandparents;
  int output_level = 0;
  uint64_t file_bytes = limits::kMaxSstBytes;
  uint64_t max_grandparent_bytes = UINT64_MAX;
  FoldRules rules;
  int max_parts = 1;

  MemoryBudget* budget = nullptr;
  std::shared_ptr<io::FileSystem> file_system = io::FileSystem::Local();
  std::string dir;
  std::function<FileNumber()> next_number;
  /// Called often, by several threads when there are parts: an error ends the job.
  std::function<Status()> poll;
  /// Called with the bytes of each chunk that was written (about), by several threads.
  std::function<Status(uint64_t)> wrote;
};

/// Run a job on the scheduler and wait for it. The new files, fsynced (the directory is not), in
/// key order.
Result<std::vector<FileMeta>> RunCompactionJob(const CompactionJob& job,
                                               task::TaskScheduler* scheduler);

}  // namespace marble::lsm
