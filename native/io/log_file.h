// One preallocated, writable log segment file seen as memory.
//
// Two implementations behind one interface: mapped (MAP_SHARED over a fallocate'd file: a store
// into the memory survives SIGKILL because the page cache does) and written (an anonymous
// mapping plus pwrite on Publish, for file systems without shared maps or fallocate). Memory
// stays valid, and at one address, as long as the object lives; the file may be unlinked before.
//
// Threads: memory may be written by several threads at disjoint ranges. Publish, Sync and
// Prefault are thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"

namespace marble::io {

enum class LogFileKind { kMapped, kWritten };

class LogFile {
 public:
  virtual ~LogFile() = default;

  /// Create `path` (it must not exist) with `size` bytes preallocated and zero. A full disk is
  /// kNoSpace here, never a SIGBUS later. Falls back from mapped to written where the file
  /// system refuses; `kind` forces one (tests).
  static Result<std::shared_ptr<LogFile>> Create(const std::string& path, size_t size);
  static Result<std::shared_ptr<LogFile>> Create(const std::string& path, size_t size,
                                                 LogFileKind kind);
  /// Map an existing segment read-only, for recovery and for memtables over recovered records.
  static Result<std::shared_ptr<LogFile>> OpenForRead(const std::string& path);

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }

  /// Hand [from, to) to the operating system. Nothing to do for a mapped file.
  virtual Status Publish(size_t from, size_t to) = 0;
  /// Make all published bytes and the file's length durable against power loss (fdatasync).
  virtual Status Sync() = 0;
  /// Fault in [from, to) for writing, so that appends do not. Best effort.
  virtual void Prefault(size_t from, size_t to) = 0;
  virtual LogFileKind kind() const = 0;

 protected:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
};

}  // namespace marble::io
