// One preallocated, writable log segment file seen as memory.
//
// Two implementations behind one interface: mapped (MAP_SHARED over a fallocate'd file: a store
// into the memory survives SIGKILL because the page cache does) and written (an anonymous
// mapping plus pwrite on Publish, for file systems without shared maps or fallocate). Memory
// stays valid, and at one address, as long as the object lives; the file may be unlinked before.
// Made by FileSystem::CreateLog and OpenLog.
//
// Threads: memory may be written by several threads at disjoint ranges. Publish, Sync and
// Prefault are thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace marble::io {

/// kAny asks for a mapped file, or a written one where the file system refuses that.
enum class LogFileKind { kAny, kMapped, kWritten };

class LogFile {
 public:
  virtual ~LogFile() = default;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }

  /// Hand [from, to) to the operating system. Nothing to do for a mapped file.
  virtual Status Publish(size_t from, size_t to) = 0;
  /// Make all published bytes and the file's length durable against power loss (fdatasync).
  virtual Status Sync() = 0;
  /// Fault in [from, to) for writing, so that appends do not. Best effort.
  virtual void Prefault(size_t from, size_t to) = 0;
  /// kMapped or kWritten.
  virtual LogFileKind kind() const = 0;

 protected:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
};

}  // namespace marble::io
