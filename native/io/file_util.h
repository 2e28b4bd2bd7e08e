// Whole-file helpers with the durability steps spelled out. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace marble::io {

Result<bool> FileExists(const std::string& path);
Result<uint64_t> FileSize(const std::string& path);
Status CreateDirs(const std::string& path);
/// Names (not paths) in a directory, unsorted.
Result<std::vector<std::string>> ListDir(const std::string& path);
Status RemoveFile(const std::string& path);
Status RenameFile(const std::string& from, const std::string& to);
Status LinkFile(const std::string& from, const std::string& to);
/// fsync of the directory itself: makes creations, renames and removals in it durable.
Status SyncDir(const std::string& path);
Status SyncFile(const std::string& path);
Result<std::string> ReadFile(const std::string& path);
/// Write to a temporary name, fsync, rename, fsync the directory: all or nothing.
Status WriteFileAtomically(const std::string& path, std::string_view bytes);

/// A file of appended bytes (manifest, idx). One thread.
class AppendFile {
 public:
  ~AppendFile();
  static Result<std::unique_ptr<AppendFile>> Create(const std::string& path);
  Status Append(std::string_view bytes);
  Status Sync();
  Status Close();
  uint64_t size() const { return size_; }

 private:
  AppendFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::string path_;
  uint64_t size_ = 0;
};

/// A read-only mapping of a whole file, shared; unmapped with the last reference.
class MappedFile {
 public:
  ~MappedFile();
  static Result<std::shared_ptr<MappedFile>> Open(const std::string& path);
  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  std::string_view bytes() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  MappedFile() = default;
  const uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
  std::string path_;
};

/// An exclusive lock on a file by flock (a POSIX fcntl lock is granted twice within a process).
class FileLock {
 public:
  ~FileLock();
  /// kLocked, naming the owner's pid (kept in the file), when somebody holds it.
  static Result<std::unique_ptr<FileLock>> Acquire(const std::string& path);

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

/// The id of this boot of the machine (/proc/sys/kernel/random/boot_id); empty if unknown.
std::string BootId();

}  // namespace marble::io
