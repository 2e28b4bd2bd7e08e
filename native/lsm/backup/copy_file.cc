#include "lsm/backup/copy_file.h"

namespace marble::lsm {
namespace {
constexpr size_t kPieceBytes = 1 << 20;
constexpr char kLockName[] = "LOCK";
}  // namespace

Status CopyProgress::Advance(uint64_t bytes) {
  done_ += bytes;
  if (total_ < done_) total_ = done_;
  if (bytes > 0 && control_.progress) control_.progress(done_, total_);
  if (control_.cancelled && control_.cancelled()) {
    return MakeError(ErrorCode::kAborted, what_ + " was cancelled");
  }
  return Status::OK();
}

Result<uint64_t> ReadPieces(io::FileSystem* files, const std::string& path, CopyProgress* progress,
                            const PieceVisitor& visit) {
  MARBLE_ASSIGN_OR_RETURN(const auto file, files->Open(path));
  std::string buffer(kPieceBytes, '\0');
  uint64_t offset = 0;
  while (true) {
    MARBLE_ASSIGN_OR_RETURN(const size_t n, file->ReadAt(offset, buffer.size(), buffer.data()));
    if (n > 0) visit({buffer.data(), n});
    offset += n;
    MARBLE_RETURN_NOT_OK(progress->Advance(n));
    if (n < buffer.size()) return offset;
  }
}

namespace {

/// `write` gets the new file; it is synced, closed, and removed if anything fails.
Status MakeFile(io::FileSystem* files, const std::string& path,
                const std::function<Status(io::WritableFile*)>& write) {
  MARBLE_ASSIGN_OR_RETURN(auto file, files->Create(path));
  Status status = write(file.get());
  if (status.ok()) status = file->Sync();
  if (status.ok()) status = file->Close();
  if (status.ok()) return status;
  file.reset();
  (void)files->Remove(path);  // else the next call does
  return status;
}

}  // namespace

Status CopyAndSync(io::FileSystem* from_files, const std::string& from, io::FileSystem* to_files,
                   const std::string& to, CopyProgress* progress, const PieceVisitor& visit) {
  return MakeFile(to_files, to, [&](io::WritableFile* out) -> Status {
    Status appended;
    MARBLE_RETURN_NOT_OK(ReadPieces(from_files, from, progress, [&](std::string_view piece) {
                           if (visit) visit(piece);
                           if (appended.ok()) appended = out->Append(piece);
                         }).status());
    return appended;
  });
}

Status WriteAndSync(io::FileSystem* files, const std::string& path, std::string_view bytes,
                    CopyProgress* progress) {
  return MakeFile(files, path, [&](io::WritableFile* out) -> Status {
    for (size_t at = 0; at < bytes.size(); at += kPieceBytes) {
      const std::string_view piece = bytes.substr(at, kPieceBytes);
      MARBLE_RETURN_NOT_OK(out->Append(piece));
      MARBLE_RETURN_NOT_OK(progress->Advance(piece.size()));
    }
    return Status::OK();
  });
}

std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

Result<std::unique_ptr<FolderBuilder>> FolderBuilder::Begin(std::shared_ptr<io::FileSystem> files,
                                                            const std::string& given,
                                                            bool empty_is_free) {
  const std::string path = WithoutSlash(given);
  if (path.empty() || path == "/" || path == "." || path == "..") {
    return MakeError(ErrorCode::kInvalidArgument, "'" + given + "' is no name for a new folder");
  }
  MARBLE_ASSIGN_OR_RETURN(const auto there, files->Stat(path));
  if (there) {
    bool free = false;
    if (empty_is_free && there->is_directory) {
      MARBLE_ASSIGN_OR_RETURN(const auto names, files->List(path));
      free = names.empty();
    }
    if (!free) {
      return MakeError(ErrorCode::kInvalidArgument,
                       path + (empty_is_free ? " exists and is not an empty folder" : " exists") +
                           "; nothing is overwritten: remove it or choose another name");
    }
  }
  std::unique_ptr<FolderBuilder> builder(new FolderBuilder(std::move(files), path));
  // Folders that are made on the way are to be durable as well.
  std::string parent = io::ParentOf(path);
  builder->to_sync_.push_back(parent);
  while (parent != "/" && parent != ".") {
    MARBLE_ASSIGN_OR_RETURN(const bool exists, builder->files_->Exists(parent));
    if (exists) break;
    parent = io::ParentOf(parent);
    builder->to_sync_.push_back(parent);
  }
  MARBLE_RETURN_NOT_OK(builder->files_->CreateDirs(builder->dir_));
  auto lock = builder->files_->Lock(builder->dir_ + "/" + kLockName);
  if (CodeOf(lock.status()) == ErrorCode::kLocked) {
    builder->published_ = true;  // it is somebody else's
    return MakeError(ErrorCode::kLocked,
                     "somebody else is writing " + path + ": " + MessageOf(lock.status()));
  }
  MARBLE_RETURN_NOT_OK(lock.status());
  builder->lock_ = std::move(*lock);
  // Whoever held the lock before may have finished between the look above and now.
  MARBLE_ASSIGN_OR_RETURN(const bool still, builder->files_->Exists(builder->dir_));
  if (!still) {
    builder->published_ = true;
    return MakeError(ErrorCode::kLocked, "somebody else has just written " + path);
  }
  MARBLE_RETURN_NOT_OK(builder->Empty());
  return builder;
}

Status FolderBuilder::Empty() {
  MARBLE_ASSIGN_OR_RETURN(const auto names, files_->List(dir_));
  for (const std::string& name : names) {
    if (name != kLockName) MARBLE_RETURN_NOT_OK(files_->Remove(dir_ + "/" + name));
  }
  return Status::OK();
}

FolderBuilder::~FolderBuilder() {
  if (published_) return;
  // What fails here is removed by the next call with this target.
  (void)Empty();
  (void)files_->Remove(dir_ + "/" + kLockName);
  (void)files_->RemoveDir(dir_);
}

Status FolderBuilder::Publish() {
  // The lock goes along: its file is the one that an opened database locks.
  MARBLE_RETURN_NOT_OK(files_->SyncDir(dir_));
  MARBLE_RETURN_NOT_OK(files_->Rename(dir_, path_));
  published_ = true;
  lock_.reset();
  for (const std::string& parent : to_sync_) {
    const Status synced = files_->SyncDir(parent);
    if (synced.ok()) continue;
    return MakeError(CodeOf(synced), MessageOf(synced) + "; " + path_ +
                                         " is there and whole, but a power cut may take its name");
  }
  return Status::OK();
}

}  // namespace marble::lsm
