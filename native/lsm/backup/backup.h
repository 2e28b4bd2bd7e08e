// Incremental backups in one folder, of which any that is kept can be restored. A backup copies
// only files that the folder lacks; what is the same file, and the order of steps, is in FORMAT.md.
// DB::Backup makes one.
//
// Functions that may write hold the folder's lock (kLocked when somebody else does). Errors name
// the file; kCorruption means that a backup is damaged, or that the database is: then nothing of it
// is kept, and the older backups are what they were.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "lsm/backup/copy_file.h"
#include "lsm/backup/cut.h"
#include "lsm/backup/verify.h"

namespace marble::lsm {

struct BackupInfo {
  uint64_t id = 0;
  int64_t time_ms = 0;
  std::string database_id;      // the database's id option
  SequenceNumber sequence = 0;  // the last write in it
  uint64_t files = 0;
  uint64_t bytes = 0;         // of all its files
  uint64_t bytes_copied = 0;  // that were new when it was made
  std::string damage;         // why it cannot be restored, if its description is damaged
};

/// `take_cut` is called once the folder is locked.
Result<BackupInfo> WriteBackup(const std::function<Result<DatabaseCut>()>& take_cut,
                               int64_t time_ms, const std::shared_ptr<io::FileSystem>& files,
                               const std::string& dir, const CopyControl& control);

/// Oldest first. Reads descriptions only, without the lock.
Result<std::vector<BackupInfo>> ListBackups(io::FileSystem* files, const std::string& dir);

/// Read every byte of a backup (0: the newest). kNotFound: there is none with this id.
Result<VerifyReport> VerifyBackup(io::FileSystem* files, const std::string& dir, uint64_t id,
                                  const CopyControl& control);

/// Remove all backups but the newest `keep` (at least one), then the files that none of them needs.
/// Returns how many backups went.
Result<uint64_t> PruneBackups(io::FileSystem* files, const std::string& dir, uint64_t keep);

/// Write a backup (0: the newest) into a new folder, or an empty one, which then opens as the
/// database was. It is there whole or not at all.
Status RestoreBackup(io::FileSystem* files, const std::string& dir, uint64_t id,
                     const std::shared_ptr<io::FileSystem>& target_files, const std::string& target,
                     const CopyControl& control);

/// An array of { id, timeMs, databaseId, sequence, files, bytes, bytesCopied, damage? }.
std::string BackupsToJson(const std::vector<BackupInfo>& backups);

}  // namespace marble::lsm
