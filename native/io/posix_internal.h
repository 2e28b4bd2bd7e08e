// What the implementations over file descriptors share. Not for other folders.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "io/file_system.h"

namespace marble::io {

/// Closes on every way out.
class ScopedFd {
 public:
  explicit ScopedFd(int fd) : fd_(fd) {}
  ~ScopedFd();
  ScopedFd(const ScopedFd&) = delete;
  ScopedFd& operator=(const ScopedFd&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// pwrite all of it; errno of the failure, 0 when done.
int WriteFully(int fd, std::string_view bytes, uint64_t offset);

/// Reserve room for `size` bytes from the file's beginning. `refused`: the file system cannot do
/// that (the errno says so), and another way may be tried. errno, 0 when done.
int Preallocate(int fd, size_t size, bool* refused);
/// The same in any way that there is, if slowly.
int PreallocateAnyhow(int fd, size_t size);
/// Whether an errno of mmap or fallocate means "not on this file system".
bool IsRefusal(int error);

/// A log file over a descriptor, which it closes, and a mapping of the file, which it unmaps.
std::shared_ptr<LogFile> NewMappedLogFile(int fd, std::string path, uint8_t* data, size_t size);
/// The same over private memory; Publish writes.
std::shared_ptr<LogFile> NewWrittenLogFile(int fd, std::string path, uint8_t* data, size_t size);

/// In local_log_file.cc.
Result<std::shared_ptr<LogFile>> CreateLocalLog(const std::string& path, size_t size,
                                                LogFileKind kind);
Result<std::shared_ptr<LogFile>> OpenLocalLog(const std::string& path);

}  // namespace marble::io
