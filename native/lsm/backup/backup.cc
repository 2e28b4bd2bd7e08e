#include "lsm/backup/backup.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/crc32c.h"
#include "lsm/backup/backup_format.h"
#include "lsm/backup/checkpoint.h"
#include "lsm/backup/json_writer.h"
#include "lsm/version/manifest_log.h"
#include "lsm/wal/log_format.h"

namespace marble::lsm {
namespace {

using backup_format::Description;
using backup_format::StoredFile;

constexpr char kTmpSuffix[] = ".tmp";

/// The folder and what is said in it. Its lock is held where that matters.
class BackupFolder {
 public:
  BackupFolder(io::FileSystem* files, std::string dir)
      : files_(files), dir_(WithoutSlash(std::move(dir))) {}

  std::string FilePath(const std::string& stored_name) const {
    return dir_ + "/" + backup_format::kFilesDir + "/" + stored_name;
  }
  std::string FilesDir() const { return dir_ + "/" + backup_format::kFilesDir; }
  std::string BackupsDir() const { return dir_ + "/" + backup_format::kBackupsDir; }
  std::string DescriptionPath(uint64_t id) const {
    return BackupsDir() + "/" + backup_format::DescriptionName(id);
  }

  Status Create() {
    MARBLE_ASSIGN_OR_RETURN(const bool exists, files_->Exists(BackupsDir()));
    if (!exists) {
      // Somebody's data is no place for backups, a database's least of all.
      MARBLE_ASSIGN_OR_RETURN(const auto there, files_->Stat(dir_));
      if (there) {
        MARBLE_ASSIGN_OR_RETURN(const auto names, files_->List(dir_));
        for (const std::string& name : names) {
          if (name == "LOCK" || name == backup_format::kFilesDir) continue;
          return MakeError(ErrorCode::kInvalidArgument,
                           dir_ + " is no folder of backups and holds " + name +
                               ": choose another folder, or a new one");
        }
      }
    }
    return files_->CreateDirs(dir_);
  }

  Status Lock() {
    auto lock = files_->Lock(dir_ + "/LOCK");
    if (CodeOf(lock.status()) == ErrorCode::kLocked) {
      return MakeError(ErrorCode::kLocked, "another backup, check or restore uses " + dir_ + ": " +
                                               MessageOf(lock.status()));
    }
    MARBLE_RETURN_NOT_OK(lock.status());
    lock_ = std::move(*lock);
    return Status::OK();
  }
  /// For those who only read: what cannot be locked, on a read-only disk, changes for nobody.
  Status LockForReading() {
    MARBLE_RETURN_NOT_OK(CheckThere());
    const Status locked = Lock();
    return CodeOf(locked) == ErrorCode::kLocked ? locked : Status::OK();
  }

  /// Make both folders durable, so that what is synced in them is found again.
  Status CreateFolders() {
    MARBLE_RETURN_NOT_OK(files_->CreateDirs(FilesDir()));
    MARBLE_RETURN_NOT_OK(files_->CreateDirs(BackupsDir()));
    MARBLE_RETURN_NOT_OK(files_->SyncDir(dir_));
    std::string parent = dir_;
    // Which of the folders above are new is not known: the first sync is the expensive one.
    while (parent != "/" && parent != ".") {
      parent = io::ParentOf(parent);
      const Status synced = files_->SyncDir(parent);
      // A folder above that may not be opened was not made by us.
      if (parent == io::ParentOf(dir_)) MARBLE_RETURN_NOT_OK(synced);
    }
    return Status::OK();
  }

  Status CheckThere() const {
    MARBLE_ASSIGN_OR_RETURN(const bool exists, files_->Exists(BackupsDir()));
    if (exists) return Status::OK();
    return MakeError(ErrorCode::kNotFound, "there are no backups in " + dir_);
  }

  struct Entry {
    uint64_t id;
    Result<Description> description;
  };
  /// Ascending by id.
  Result<std::vector<Entry>> ReadAll() const {
    std::vector<Entry> entries;
    MARBLE_ASSIGN_OR_RETURN(const auto names, files_->List(BackupsDir()));
    for (const std::string& name : names) {
      const auto id = backup_format::ParseDescriptionName(name);
      if (id) entries.push_back({*id, Read(*id)});
    }
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.id < b.id; });
    return entries;
  }

  /// kCorruption and kIncompatible are about this backup alone.
  Result<Description> Read(uint64_t id) const {
    const std::string path = DescriptionPath(id);
    MARBLE_ASSIGN_OR_RETURN(const std::string bytes, files_->ReadFile(path));
    auto decoded = backup_format::Decode(bytes);
    if (!decoded.ok()) {
      return MakeError(CodeOf(decoded.status()), path + ": " + MessageOf(decoded.status()));
    }
    if (decoded->id != id) {
      return MakeError(ErrorCode::kCorruption,
                       path + " says that it is backup " + std::to_string(decoded->id));
    }
    return decoded;
  }

  /// The backup with this id, 0: the newest.
  Result<Description> Find(uint64_t id) const {
    if (id == 0) {
      MARBLE_ASSIGN_OR_RETURN(const auto names, files_->List(BackupsDir()));
      for (const std::string& name : names) {
        id = std::max(id, backup_format::ParseDescriptionName(name).value_or(0));
      }
      if (id == 0) return MakeError(ErrorCode::kNotFound, "there are no backups in " + dir_);
    }
    MARBLE_ASSIGN_OR_RETURN(const bool exists, files_->Exists(DescriptionPath(id)));
    if (!exists) {
      return MakeError(ErrorCode::kNotFound,
                       "there is no backup " + std::to_string(id) + " in " + dir_);
    }
    return Read(id);
  }

  /// Remove what no backup names, unless a description cannot be read: then nobody knows.
  Status Clean(const std::vector<Entry>& entries) {
    std::set<std::string> named;
    bool known = true;
    for (const Entry& entry : entries) {
      if (!entry.description.ok()) {
        known = false;
        continue;
      }
      for (const StoredFile& file : entry.description->files) named.insert(file.stored_name);
    }
    bool removed = false;
    MARBLE_ASSIGN_OR_RETURN(const auto stored, files_->List(FilesDir()));
    for (const std::string& name : stored) {
      if (named.contains(name) || (!known && !name.ends_with(kTmpSuffix))) continue;
      MARBLE_RETURN_NOT_OK(files_->Remove(FilePath(name)));
      removed = true;
    }
    MARBLE_ASSIGN_OR_RETURN(const auto descriptions, files_->List(BackupsDir()));
    for (const std::string& name : descriptions) {
      if (!name.ends_with(kTmpSuffix)) continue;
      MARBLE_RETURN_NOT_OK(files_->Remove(BackupsDir() + "/" + name));
    }
    return removed ? files_->SyncDir(FilesDir()) : Status::OK();
  }

  io::FileSystem* files() const { return files_; }
  const std::string& dir() const { return dir_; }

 private:
  io::FileSystem* const files_;
  const std::string dir_;
  std::unique_ptr<io::FileLock> lock_;
};

BackupInfo InfoOf(const Description& description) {
  BackupInfo info;
  info.id = description.id;
  info.time_ms = description.time_ms;
  info.database_id = description.manifest.integration_id;
  info.sequence = description.sequence;
  info.files = description.files.size();
  for (const StoredFile& file : description.files) info.bytes += file.bytes;
  info.bytes_copied = description.bytes_copied;
  return info;
}

/// One backup being made: copies what is not there yet and notes what it consists of.
class BackupWriter {
 public:
  BackupWriter(BackupFolder* folder, const std::vector<BackupFolder::Entry>& entries,
               CopyProgress* progress)
      : folder_(*folder), progress_(*progress) {
    for (const auto& entry : entries) {
      if (!entry.description.ok()) continue;
      for (const StoredFile& file : entry.description->files) known_[file.stored_name] = file;
    }
  }

  Status Write(const DatabaseCut& cut, CutLog log, Description* out) {
    for (const auto& [number, meta] : cut.manifest.files) {
      progress_.AddTotal(meta.arrow_bytes + meta.idx_bytes);
    }
    for (const CutSegment& segment : log.segments) progress_.AddTotal(segment.bytes);
    for (const auto& [number, meta] : cut.manifest.files) {
      MARBLE_RETURN_NOT_OK(AddSst(cut, meta, out));
    }
    for (const CutSegment& segment : log.segments) MARBLE_RETURN_NOT_OK(AddSegment(segment, out));
    if (copied_) MARBLE_RETURN_NOT_OK(folder_.files()->SyncDir(folder_.FilesDir()));
    out->sequence = log.last_sequence;
    out->manifest = std::move(log.manifest);
    return Status::OK();
  }

 private:
  /// A file of an earlier backup that is still there in full. nullopt: copy it.
  Result<std::optional<StoredFile>> Reuse(const std::string& stored_name, uint64_t bytes) {
    const auto it = known_.find(stored_name);
    if (it == known_.end() || it->second.bytes != bytes) return std::nullopt;
    MARBLE_ASSIGN_OR_RETURN(const auto there, folder_.files()->Stat(folder_.FilePath(stored_name)));
    // One that was lost or cut off is copied again, which mends the older backups too.
    if (!there || there->size != bytes) return std::nullopt;
    return it->second;
  }

  Status AddSst(const DatabaseCut& cut, const FileMeta& meta, Description* out) {
    StoredFile arrow{SstArrowName(meta.number), backup_format::StoredArrowName(meta),
                     meta.arrow_bytes, 0};
    StoredFile idx{SstIdxName(meta.number), backup_format::StoredIdxName(meta), meta.idx_bytes, 0};
    MARBLE_ASSIGN_OR_RETURN(const auto old_arrow, Reuse(arrow.stored_name, arrow.bytes));
    MARBLE_ASSIGN_OR_RETURN(const auto old_idx, Reuse(idx.stored_name, idx.bytes));
    if (old_arrow && old_idx) {
      arrow.crc = old_arrow->crc;
      idx.crc = old_idx->crc;
      MARBLE_RETURN_NOT_OK(progress_.Advance(arrow.bytes + idx.bytes));
    } else {
      const std::string arrow_tmp = folder_.FilePath(arrow.stored_name) + kTmpSuffix;
      const std::string idx_tmp = folder_.FilePath(idx.stored_name) + kTmpSuffix;
      MARBLE_ASSIGN_OR_RETURN(const SstCrcs crcs,
                              CopySst(cut.file_system.get(), cut.dir, meta, folder_.files(),
                                      arrow_tmp, idx_tmp, &progress_));
      MARBLE_RETURN_NOT_OK(folder_.files()->Rename(arrow_tmp, folder_.FilePath(arrow.stored_name)));
      MARBLE_RETURN_NOT_OK(folder_.files()->Rename(idx_tmp, folder_.FilePath(idx.stored_name)));
      arrow.crc = crcs.arrow;
      idx.crc = crcs.idx;
      Copied(arrow.bytes + idx.bytes, out);
    }
    out->files.push_back(std::move(arrow));
    out->files.push_back(std::move(idx));
    return Status::OK();
  }

  Status AddSegment(const CutSegment& segment, Description* out) {
    const std::string_view bytes(reinterpret_cast<const char*>(segment.file->data()),
                                 segment.bytes);
    const uint32_t crc = Crc32c(bytes);
    StoredFile file{log_format::SegmentName(segment.id),
                    backup_format::StoredLogName(segment.id, crc, segment.bytes), segment.bytes,
                    crc};
    MARBLE_ASSIGN_OR_RETURN(const auto old, Reuse(file.stored_name, file.bytes));
    if (old) {
      MARBLE_RETURN_NOT_OK(progress_.Advance(file.bytes));
    } else {
      const std::string path = folder_.FilePath(file.stored_name);
      MARBLE_RETURN_NOT_OK(WriteAndSync(folder_.files(), path + kTmpSuffix, bytes, &progress_));
      MARBLE_RETURN_NOT_OK(folder_.files()->Rename(path + kTmpSuffix, path));
      Copied(file.bytes, out);
    }
    out->files.push_back(std::move(file));
    return Status::OK();
  }

  void Copied(uint64_t bytes, Description* out) {
    out->bytes_copied += bytes;
    copied_ = true;
  }

  BackupFolder& folder_;
  CopyProgress& progress_;
  std::map<std::string, StoredFile> known_;
  bool copied_ = false;
};

}  // namespace

Result<BackupInfo> WriteBackup(const std::function<Result<DatabaseCut>()>& take_cut,
                               int64_t time_ms, const std::shared_ptr<io::FileSystem>& files,
                               const std::string& dir, const CopyControl& control) {
  if (dir.empty()) return MakeError(ErrorCode::kInvalidArgument, "a backup needs a folder");
  BackupFolder folder(files.get(), dir);
  MARBLE_RETURN_NOT_OK(folder.Create());
  MARBLE_RETURN_NOT_OK(folder.Lock());
  MARBLE_RETURN_NOT_OK(folder.CreateFolders());
  MARBLE_ASSIGN_OR_RETURN(const auto entries, folder.ReadAll());
  for (const auto& entry : entries) {
    const ErrorCode code = CodeOf(entry.description.status());
    // Bytes that could not be read now are no reason to think them damaged.
    if (!entry.description.ok() && code != ErrorCode::kCorruption &&
        code != ErrorCode::kIncompatible) {
      return entry.description.status();
    }
  }
  MARBLE_RETURN_NOT_OK(folder.Clean(entries));
  // Of the log is copied what there is now, not what there was before a long wait.
  MARBLE_ASSIGN_OR_RETURN(const DatabaseCut cut, take_cut());
  MARBLE_ASSIGN_OR_RETURN(CutLog log, ReadCutLog(cut));
  CopyProgress progress(control, "the backup to " + dir);
  Description description;
  description.id = entries.empty() ? 1 : entries.back().id + 1;
  description.time_ms = time_ms;
  MARBLE_RETURN_NOT_OK(
      BackupWriter(&folder, entries, &progress).Write(cut, std::move(log), &description));
  MARBLE_RETURN_NOT_OK(progress.Poll());
  MARBLE_ASSIGN_OR_RETURN(const std::string bytes, backup_format::Encode(description));
  MARBLE_RETURN_NOT_OK(files->WriteFileAtomically(folder.DescriptionPath(description.id), bytes));
  return InfoOf(description);
}

Result<std::vector<BackupInfo>> ListBackups(io::FileSystem* files, const std::string& dir) {
  const BackupFolder folder(files, dir);
  MARBLE_RETURN_NOT_OK(folder.CheckThere());
  MARBLE_ASSIGN_OR_RETURN(const auto entries, folder.ReadAll());
  std::vector<BackupInfo> infos;
  for (const auto& entry : entries) {
    if (entry.description.ok()) {
      infos.push_back(InfoOf(*entry.description));
      continue;
    }
    BackupInfo damaged;
    damaged.id = entry.id;
    damaged.damage = MessageOf(entry.description.status());
    infos.push_back(std::move(damaged));
  }
  return infos;
}

Result<VerifyReport> VerifyBackup(io::FileSystem* files, const std::string& dir, uint64_t id,
                                  const CopyControl& control) {
  BackupFolder folder(files, dir);
  MARBLE_RETURN_NOT_OK(folder.LockForReading());
  VerifyReport report;
  const auto add = [&report](const std::string& file, std::string message) {
    report.findings.push_back({Finding::Severity::kError, file, std::nullopt, std::move(message)});
  };
  const auto description = folder.Find(id);
  if (!description.ok()) {
    if (CodeOf(description.status()) == ErrorCode::kNotFound) return description.status();
    add(id == 0 ? backup_format::kBackupsDir : backup_format::DescriptionName(id),
        MessageOf(description.status()));
    return report;
  }
  CopyProgress progress(control, "the check of " + dir);
  for (const StoredFile& file : description->files) progress.AddTotal(file.bytes);
  std::set<std::string> names;
  for (const StoredFile& file : description->files) {
    names.insert(file.name);
    uint32_t crc = 0;
    const auto read = ReadPieces(
        files, folder.FilePath(file.stored_name), &progress,
        [&crc](std::string_view piece) { crc = ExtendCrc32c(crc, piece.data(), piece.size()); });
    if (CodeOf(read.status()) == ErrorCode::kAborted) return read.status();
    ++report.files;
    if (!read.ok()) {
      add(file.stored_name, MessageOf(read.status()));
      continue;
    }
    report.bytes += *read;
    if (*read != file.bytes) {
      add(file.stored_name,
          "has " + std::to_string(*read) + " bytes instead of " + std::to_string(file.bytes));
    } else if (crc != file.crc) {
      add(file.stored_name, "the checksum of the file does not match");
    }
  }
  for (const auto& [number, meta] : description->manifest.files) {
    report.rows += meta.rows;
    for (const std::string& name : {SstArrowName(number), SstIdxName(number)}) {
      if (!names.contains(name)) add(name, "the manifest names it, the backup does not");
    }
  }
  for (const FixedEnd& end : description->manifest.fixed_ends) {
    const std::string name = log_format::SegmentName(end.segment_id);
    if (end.end_offset > 0 && !names.contains(name)) {
      add(name, "the manifest names it, the backup does not");
    }
  }
  return report;
}

Result<uint64_t> PruneBackups(io::FileSystem* files, const std::string& dir, uint64_t keep) {
  if (keep == 0) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "pruning keeps at least one backup; remove the folder to have none");
  }
  BackupFolder folder(files, dir);
  MARBLE_RETURN_NOT_OK(folder.CheckThere());
  MARBLE_RETURN_NOT_OK(folder.Lock());
  MARBLE_ASSIGN_OR_RETURN(auto entries, folder.ReadAll());
  for (const auto& entry : entries) {
    if (entry.description.ok()) continue;
    return MakeError(CodeOf(entry.description.status()),
                     MessageOf(entry.description.status()) +
                         "; nothing was removed, because it is not known which files it needs: "
                         "remove this file to give the backup up, then prune again");
  }
  const uint64_t gone = entries.size() > keep ? entries.size() - keep : 0;
  for (uint64_t i = 0; i < gone; ++i) {
    MARBLE_RETURN_NOT_OK(files->Remove(folder.DescriptionPath(entries[i].id)));
  }
  // Else a power cut could bring a description back whose files are gone.
  if (gone > 0) MARBLE_RETURN_NOT_OK(files->SyncDir(folder.BackupsDir()));
  entries.erase(entries.begin(), entries.begin() + static_cast<int64_t>(gone));
  MARBLE_RETURN_NOT_OK(folder.Clean(entries));
  return gone;
}

Status RestoreBackup(io::FileSystem* files, const std::string& dir, uint64_t id,
                     const std::shared_ptr<io::FileSystem>& target_files, const std::string& target,
                     const CopyControl& control) {
  BackupFolder folder(files, dir);
  MARBLE_RETURN_NOT_OK(folder.LockForReading());
  MARBLE_ASSIGN_OR_RETURN(const Description description, folder.Find(id));
  MARBLE_ASSIGN_OR_RETURN(auto builder, FolderBuilder::Begin(target_files, target, true));
  CopyProgress progress(control, "the restoring of " + target);
  for (const StoredFile& file : description.files) progress.AddTotal(file.bytes);
  for (const StoredFile& file : description.files) {
    const std::string from = folder.FilePath(file.stored_name);
    uint32_t crc = 0;
    uint64_t bytes = 0;
    MARBLE_RETURN_NOT_OK(CopyAndSync(files, from, target_files.get(),
                                     builder->dir() + "/" + file.name, &progress,
                                     [&](std::string_view piece) {
                                       crc = ExtendCrc32c(crc, piece.data(), piece.size());
                                       bytes += piece.size();
                                     }));
    if (bytes != file.bytes || crc != file.crc) {
      return MakeError(
          ErrorCode::kCorruption,
          from + ": the backup is damaged: " +
              (bytes != file.bytes
                   ? std::to_string(bytes) + " bytes instead of " + std::to_string(file.bytes)
                   : std::string("the checksum of the file does not match")) +
              "; nothing was restored: try another backup");
    }
  }
  MARBLE_RETURN_NOT_OK(
      ManifestLog::Create(target_files.get(), builder->dir(), 1, description.manifest).status());
  MARBLE_RETURN_NOT_OK(progress.Poll());
  return builder->Publish();
}

std::string BackupsToJson(const std::vector<BackupInfo>& backups) {
  JsonWriter json;
  json.Open('[');
  for (const BackupInfo& info : backups) {
    json.Open('{').Name("id").Number(info.id).Name("timeMs").Signed(info.time_ms);
    json.Name("databaseId").String(info.database_id).Name("sequence").Big(info.sequence);
    json.Name("files").Number(info.files).Name("bytes").Number(info.bytes);
    json.Name("bytesCopied").Number(info.bytes_copied);
    if (!info.damage.empty()) json.Name("damage").String(info.damage);
    json.Close('}');
  }
  return json.Close(']').Take();
}

}  // namespace marble::lsm
