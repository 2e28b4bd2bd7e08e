// Log segments of the local file system: log_file.h.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/posix_internal.h"

namespace marble::io {
namespace {

#ifdef __linux__
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; older kernels answer EINVAL
#endif
#endif

constexpr size_t kPageBytes = 4096;

/// What both kinds have: a file descriptor and a mapping.
class LocalLogFile : public LogFile {
 public:
  LocalLogFile(int fd, std::string path, uint8_t* data, size_t size) : fd_(fd) {
    path_ = std::move(path);
    data_ = data;
    size_ = size;
  }
  ~LocalLogFile() override {
    if (data_ != nullptr) ::munmap(data_, size_);
    ::close(fd_);
  }

  Status Sync() override {
    // Never retried: after a failure the kernel may have dropped the dirty pages.
#ifdef __linux__
    if (::fdatasync(fd_) != 0) return IoError("fdatasync", path_, errno);
#else
    if (::fsync(fd_) != 0) return IoError("fsync", path_, errno);
#endif
    return Status::OK();
  }

  void Prefault(size_t from, size_t to) override {
    from = from / kPageBytes * kPageBytes;
    to = std::min(to, size_);
    if (from >= to) return;
#ifdef MADV_POPULATE_WRITE
    // Unlike a store of zero this does not race with appends into the same page.
    ::madvise(data_ + from, to - from, MADV_POPULATE_WRITE);
#endif
  }

 protected:
  const int fd_;
};

/// A store into the memory is a store into the page cache.
class MappedLogFile final : public LocalLogFile {
 public:
  using LocalLogFile::LocalLogFile;
  Status Publish(size_t, size_t) override { return Status::OK(); }
  LogFileKind kind() const override { return LogFileKind::kMapped; }
};

/// Private memory; Publish copies it into the file.
class WrittenLogFile final : public LocalLogFile {
 public:
  using LocalLogFile::LocalLogFile;
  Status Publish(size_t from, size_t to) override {
    while (from < to) {
      const ssize_t n = ::pwrite(fd_, data_ + from, to - from, static_cast<off_t>(from));
      if (n < 0) {
        if (errno == EINTR) continue;
        return IoError("write", path_, errno);
      }
      from += static_cast<size_t>(n);
    }
    return Status::OK();
  }
  LogFileKind kind() const override { return LogFileKind::kWritten; }
};

Result<std::shared_ptr<LogFile>> CreateMapped(int fd, const std::string& path, size_t size,
                                              bool* refused) {
  if (const int error = Preallocate(fd, size, refused)) return IoError("preallocate", path, error);
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) {
    *refused = IsRefusal(errno);
    return IoError("map", path, errno);
  }
  return NewMappedLogFile(fd, path, static_cast<uint8_t*>(data), size);
}

Result<std::shared_ptr<LogFile>> CreateWritten(int fd, const std::string& path, size_t size) {
  if (const int error = PreallocateAnyhow(fd, size)) return IoError("preallocate", path, error);
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return IoError("reserve memory for", path, errno);
  return NewWrittenLogFile(fd, path, static_cast<uint8_t*>(data), size);
}

}  // namespace

bool IsRefusal(int error) {
  return error == EOPNOTSUPP || error == ENOSYS || error == ENODEV || error == EINVAL ||
         error == EACCES || error == EPERM;
}

int Preallocate(int fd, size_t size, bool* refused) {
#ifdef __linux__
  int result;
  do {
    result = ::fallocate(fd, 0, 0, static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  const int error = result == 0 ? 0 : errno;
#else
  (void)fd;
  (void)size;
  const int error = EOPNOTSUPP;
#endif
  *refused = IsRefusal(error);
  return error;
}

int PreallocateAnyhow(int fd, size_t size) {
  bool refused = false;
  int error = Preallocate(fd, size, &refused);
#ifdef __linux__
  // The C library's version touches every block where the file system cannot preallocate.
  if (refused) error = ::posix_fallocate(fd, 0, static_cast<off_t>(size));
#else
  if (refused) error = ::ftruncate(fd, static_cast<off_t>(size)) == 0 ? 0 : errno;
#endif
  return error;
}

std::shared_ptr<LogFile> NewMappedLogFile(int fd, std::string path, uint8_t* data, size_t size) {
  return std::make_shared<MappedLogFile>(fd, std::move(path), data, size);
}

std::shared_ptr<LogFile> NewWrittenLogFile(int fd, std::string path, uint8_t* data, size_t size) {
  return std::make_shared<WrittenLogFile>(fd, std::move(path), data, size);
}

Result<std::shared_ptr<LogFile>> CreateLocalLog(const std::string& path, size_t size,
                                                LogFileKind kind) {
  if (size == 0) {
    return MakeError(ErrorCode::kInvalidArgument, "log file " + path + " of no bytes");
  }
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return IoError("create", path, errno);
  bool refused = false;
  auto file = kind == LogFileKind::kWritten ? CreateWritten(fd, path, size)
                                            : CreateMapped(fd, path, size, &refused);
  if (!file.ok() && refused && kind == LogFileKind::kAny) file = CreateWritten(fd, path, size);
  if (!file.ok()) {
    ::close(fd);
    ::unlink(path.c_str());
  }
  return file;
}

Result<std::shared_ptr<LogFile>> OpenLocalLog(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return IoError("open", path, errno);
  struct stat info;
  Status status;
  uint8_t* data = nullptr;
  size_t size = 0;
  if (::fstat(fd, &info) != 0) {
    status = IoError("stat", path, errno);
  } else if (!S_ISREG(info.st_mode)) {
    status = IoError("map", path, EISDIR);
  } else if (info.st_size > 0) {
    size = static_cast<size_t>(info.st_size);
    void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    // File systems without shared maps still have private ones.
    if (mapped == MAP_FAILED) mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED)
      status = IoError("map", path, errno);
    else
      data = static_cast<uint8_t*>(mapped);
  }
  if (!status.ok()) {
    ::close(fd);
    return status;
  }
  return NewMappedLogFile(fd, path, data, size);
}

}  // namespace marble::io
