// File systems behind one interface: the engine opens, writes, maps, renames and syncs files
// through it and nothing else, so that it runs on a disk, in memory, and over faults.
//
// A FileSystem is shared by all who use it and lives until the last of them, files and mappings
// included, lets go. Paths are those of the file system, without a prefix; ResolvePath turns what a
// user writes ("/data", "file:///data", "mem://name/x") into file system and path.
//
// Threads: a FileSystem, its mapped files and its log files are thread-safe; a WritableFile belongs
// to one thread at a time; a ReadableFile may be read by many.
//
// Errors name the operation, the path and the cause; a full disk is kNoSpace. Durability: the
// content of a file is durable after its Sync, its name after SyncDir of its folder. After a failed
// Sync nobody knows what is on the disk, and a second one proves nothing: never try again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "io/log_file.h"
#include "io/mapped_file.h"

namespace marble::io {

/// What a name stands for.
struct FileInfo {
  uint64_t size = 0;
  bool is_directory = false;
  /// Together the file's identity: two paths with equal ones are one file or folder.
  uint64_t device = 0;
  uint64_t inode = 0;
};

struct SpaceInfo {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // for this process's user
};

/// A new file that is appended to. Closed by its destructor, then without a word about errors.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  /// All or nothing: what a failed append left behind is cut off or overwritten by the next one.
  virtual Status Append(std::string_view bytes) = 0;
  /// Make content and length durable.
  virtual Status Sync() = 0;
  /// Idempotent; does not sync.
  virtual Status Close() = 0;
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

 protected:
  explicit WritableFile(std::string path) : path_(std::move(path)) {}
  std::string path_;
  uint64_t size_ = 0;
};

/// A file that is read by position, without a mapping.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  /// Read up to `size` bytes to `to`; fewer only at the end of the file.
  virtual Result<size_t> ReadAt(uint64_t offset, size_t size, void* to) const = 0;
  virtual Result<uint64_t> Size() const = 0;
  const std::string& path() const { return path_; }

 protected:
  explicit ReadableFile(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// Held until it is destroyed.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// The machine's own file system. Lives for ever.
  static const std::shared_ptr<FileSystem>& Local();

  /// What is at `path`; nullopt: nothing.
  virtual Result<std::optional<FileInfo>> Stat(const std::string& path) = 0;
  Result<bool> Exists(const std::string& path);
  Result<uint64_t> Size(const std::string& path);

  /// Create a folder and the folders above it; they may exist.
  virtual Status CreateDirs(const std::string& path) = 0;
  /// Names (not paths) in a folder, unsorted.
  virtual Result<std::vector<std::string>> List(const std::string& path) = 0;
  virtual Status Remove(const std::string& path) = 0;
  /// The folder must be empty.
  virtual Status RemoveDir(const std::string& path) = 0;
  /// Atomic; replaces what has the name `to`.
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  /// A second name for a file. kNotSupported (or another error) where that cannot be: copy then.
  virtual Status Link(const std::string& from, const std::string& to) = 0;
  /// Copy the bytes into a new file (`to` must not exist), which is not synced.
  virtual Status Copy(const std::string& from, const std::string& to) = 0;
  /// Make creations, renames and removals in a folder durable.
  virtual Status SyncDir(const std::string& path) = 0;
  /// Make a file's content and length durable.
  virtual Status SyncFile(const std::string& path) = 0;

  /// The whole file.
  virtual Result<std::string> ReadFile(const std::string& path) = 0;
  /// All or nothing, also in a power cut, and durable on return: writes path + ".tmp", syncs,
  /// renames, syncs the folder.
  Status WriteFileAtomically(const std::string& path, std::string_view bytes);

  /// Create a file, which must not exist yet, for appending.
  virtual Result<std::unique_ptr<WritableFile>> Create(const std::string& path) = 0;
  virtual Result<std::shared_ptr<ReadableFile>> Open(const std::string& path) = 0;
  /// Map a whole file, read-only.
  virtual Result<std::shared_ptr<MappedFile>> Map(const std::string& path) = 0;
  /// Create a log segment (it must not exist) with `size` bytes preallocated and zero. A full
  /// disk is kNoSpace here, never a SIGBUS later; nothing is left behind by a failure.
  virtual Result<std::shared_ptr<LogFile>> CreateLog(const std::string& path, size_t size,
                                                     LogFileKind kind) = 0;
  /// Map an existing segment read-only, for recovery and for memtables over recovered records.
  virtual Result<std::shared_ptr<LogFile>> OpenLog(const std::string& path) = 0;
  /// Lock a file, which is made if need be. kLocked, naming the owner, when somebody holds it: also
  /// when that is this process.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;

  /// Of the disk that holds `path`.
  virtual Result<SpaceInfo> DiskSpace(const std::string& path) = 0;

  /// As long as it stays the same, what was written is there, synced or not: the id of this boot of
  /// the machine (a uuid). Empty if unknown.
  virtual std::string BootId() = 0;
};

/// The folder of a path: "." for a plain name.
std::string ParentOf(const std::string& path);

struct ResolvedPath {
  std::shared_ptr<FileSystem> file_system;
  std::string path;
};
/// The file system and path that a user's path means: by its prefix ("file://", "mem://", or one
/// that was registered), the local one without a prefix. "file:" URLs may be percent-encoded.
/// kInvalidArgument names the known prefixes when it is another one.
Result<ResolvedPath> ResolvePath(const std::string& path);

/// Make `scheme` (without "://") known to ResolvePath; what follows "scheme://" is the path given
/// to the file system. kInvalidArgument when it is taken or not a scheme.
Status RegisterFileSystem(const std::string& scheme, std::shared_ptr<FileSystem> file_system);

}  // namespace marble::io
