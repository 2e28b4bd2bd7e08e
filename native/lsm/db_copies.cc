// Copies of an open database: the cut that they are made of, and the calls that make them. What
// happens with a cut is in backup/.
#include <arrow/api.h>

#include "lsm/backup/backup.h"
#include "lsm/backup/checkpoint.h"
#include "lsm/db_impl.h"

namespace marble::lsm {

Result<DatabaseCut> DbImpl::TakeCut() {
  DatabaseCut cut;
  cut.file_system = options_.file_system;
  cut.dir = dir_;
  // Nothing is installed, created or dropped meanwhile: so the tables' files are the manifest's,
  // and a table that the cut's log writes to is in the manifest.
  std::lock_guard manifest_lock(manifest_mutex_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  MARBLE_RETURN_NOT_OK(BeginLocked());
  // First the pin: what the manifest says now is needed from the log is not dropped any more.
  cut.log_pin = log_pins_->PinAll();
  cut.manifest = manifest_->state();
  cut.log_end = log_->published();
  cut.last_segment = log_->current_segment();
  // Of a log that has failed nobody knows what it holds; reads may go on, copies may not.
  MARBLE_RETURN_NOT_OK(log_->background_error());
  std::lock_guard lock(mutex_);
  for (const auto& [id, table] : tables_) {
    table->super_version()->files->ForEachFile(
        [&cut](int, const SstFileRef& file) { cut.files.push_back(file); });
  }
  return cut;
}

Result<io::ResolvedPath> DbImpl::ResolveTarget(const std::string& path) const {
  if (path.empty()) {
    return MakeError(ErrorCode::kInvalidArgument, "a copy of a database needs a path");
  }
  // A database that was opened by its path alone has the file system which that means.
  const auto own = io::ResolvePath(path_);
  const bool by_path = own.ok() && own->file_system == options_.file_system;
  if (by_path || path_ == ":memory:") return io::ResolvePath(path);
  return io::ResolvedPath{options_.file_system, path};
}

CopyControl DbImpl::UntilClosed(const CopyControl& control) const {
  CopyControl out = control;
  out.cancelled = [this, given = control.cancelled] {
    return closed_.load(std::memory_order_relaxed) || (given && given());
  };
  return out;
}

Result<CheckpointInfo> DbImpl::Checkpoint(const std::string& dir, const CopyControl& control) {
  const CallGuard guard(&calls_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  MARBLE_ASSIGN_OR_RETURN(const io::ResolvedPath target, ResolveTarget(dir));
  MARBLE_ASSIGN_OR_RETURN(const DatabaseCut cut, TakeCut());
  return WriteCheckpoint(cut, target.file_system, target.path, UntilClosed(control));
}

Result<BackupInfo> DbImpl::Backup(const std::string& dir, const CopyControl& control) {
  const CallGuard guard(&calls_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  MARBLE_ASSIGN_OR_RETURN(const io::ResolvedPath target, ResolveTarget(dir));
  return WriteBackup([this] { return TakeCut(); }, options_.clock->NowMs(), target.file_system,
                     target.path, UntilClosed(control));
}

}  // namespace marble::lsm
