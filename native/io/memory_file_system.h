// A file system in memory: each file is anonymous memory behind a descriptor (memfd), so that its
// mappings are as real as those of a disk, shared or private. It ends with the last file, mapping
// or database that refers to it; nothing is left behind by a killed process.
//
// It may be given a capacity, and another one later: a disk that fills up and gets room again.
// Sync and SyncDir succeed and do nothing. Locks exclude within the file system. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "io/file_system.h"

namespace marble::io {

class MemoryFileSystem final : public FileSystem {
 public:
  /// `capacity_bytes` 0: as much as there is memory.
  explicit MemoryFileSystem(uint64_t capacity_bytes = 0);
  ~MemoryFileSystem() override;

  void SetCapacity(uint64_t bytes);
  uint64_t used_bytes() const;

  Result<std::optional<FileInfo>> Stat(const std::string& path) override;
  Status CreateDirs(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& path) override;
  Status Remove(const std::string& path) override;
  Status RemoveDir(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Link(const std::string& from, const std::string& to) override;
  Status Copy(const std::string& from, const std::string& to) override;
  Status SyncDir(const std::string& path) override;
  Status SyncFile(const std::string& path) override;
  Result<std::string> ReadFile(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> Create(const std::string& path) override;
  Result<std::shared_ptr<ReadableFile>> Open(const std::string& path) override;
  Result<std::shared_ptr<MappedFile>> Map(const std::string& path) override;
  /// Always mapped unless kWritten is asked for: then the memory is private until it is published.
  Result<std::shared_ptr<LogFile>> CreateLog(const std::string& path, size_t size,
                                             LogFileKind kind) override;
  Result<std::shared_ptr<LogFile>> OpenLog(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;
  Result<SpaceInfo> DiskSpace(const std::string& path) override;
  /// Of the machine: nothing is lost before it is started again.
  std::string BootId() override;

 private:
  struct Inode;
  struct Space;
  using InodeRef = std::shared_ptr<Inode>;
  class Writable;
  class Readable;
  class Mapped;
  class Log;
  class Held;
  struct Locks;

  Result<InodeRef> NewInode(const std::string& path, bool is_directory);
  /// Under mutex_: what has the name, null if nothing has.
  InodeRef Find(const std::string& path) const;
  Result<InodeRef> FindFile(const char* what, const std::string& path) const;
  /// Under mutex_: the parent folder is there and the name is free.
  Status CheckNewName(const char* what, const std::string& path) const;
  /// Under mutex_: whether something lies below a folder.
  bool HasChildren(const std::string& directory) const;

  const uint64_t device_;
  const std::shared_ptr<Space> space_;
  const std::shared_ptr<Locks> locks_;
  mutable std::mutex mutex_;
  uint64_t next_inode_ = 1;
  /// By normalised path; "" is the root.
  std::map<std::string, InodeRef> names_;
};

}  // namespace marble::io
