#include "io/file_util.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace marble::io {
namespace {

/// Closes on every way out.
class ScopedFd {
 public:
  explicit ScopedFd(int fd) : fd_(fd) {}
  ~ScopedFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  ScopedFd(const ScopedFd&) = delete;
  ScopedFd& operator=(const ScopedFd&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

int OpenRetry(const std::string& path, int flags, mode_t mode = 0) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

/// pwrite all of it; errno of the failure, 0 when done.
int WriteFully(int fd, std::string_view bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return 0;
}

Status SyncPath(const std::string& path, int flags, const char* what) {
  ScopedFd fd(OpenRetry(path, flags));
  if (fd.get() < 0) return IoError(what, path, errno);
  // Never retried: after a failed fsync the kernel may have dropped the pages.
  if (::fsync(fd.get()) != 0) return IoError(what, path, errno);
  return Status::OK();
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Result<bool> FileExists(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return IoError("stat", path, errno);
}

Result<uint64_t> FileSize(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return IoError("stat", path, errno);
  return static_cast<uint64_t>(info.st_size);
}

Status CreateDirs(const std::string& path) {
  // Front to back, so that the error names the first folder that could not be made.
  for (size_t end = 1; end <= path.size(); ++end) {
    if (end != path.size() && path[end] != '/') continue;
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), 0755) == 0) continue;
    const int error = errno;
    struct stat info;
    // A parent on a read-only or automounted file system answers other codes than EEXIST.
    if (::stat(part.c_str(), &info) != 0) return IoError("create folder", part, error);
    if (!S_ISDIR(info.st_mode)) return IoError("create folder", part, ENOTDIR);
  }
  return Status::OK();
}

Result<std::vector<std::string>> ListDir(const std::string& path) {
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) return IoError("list folder", path, errno);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name(entry->d_name);
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int error = errno;
  ::closedir(dir);
  if (error != 0) return IoError("list folder", path, error);
  return names;
}

Status RemoveFile(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return IoError("remove", path, errno);
  return Status::OK();
}

Status RenameFile(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return IoError("rename", from + " to " + to, errno);
  }
  return Status::OK();
}

Status LinkFile(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) != 0) {
    return IoError("link", from + " to " + to, errno);
  }
  return Status::OK();
}

Status SyncDir(const std::string& path) {
  return SyncPath(path, O_RDONLY | O_DIRECTORY, "fsync folder");
}

Status SyncFile(const std::string& path) { return SyncPath(path, O_RDONLY, "fsync"); }

Result<std::string> ReadFile(const std::string& path) {
  ScopedFd fd(OpenRetry(path, O_RDONLY));
  if (fd.get() < 0) return IoError("open", path, errno);
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return IoError("stat", path, errno);
  std::string bytes;
  // Files of /proc say that they are empty: read until the end, whatever the size was.
  size_t room = static_cast<size_t>(info.st_size) + 1;
  for (;;) {
    const size_t old_size = bytes.size();
    bytes.resize(old_size + room);
    const ssize_t n = ::read(fd.get(), bytes.data() + old_size, room);
    if (n < 0) {
      if (errno != EINTR) return IoError("read", path, errno);
      bytes.resize(old_size);
      continue;
    }
    bytes.resize(old_size + static_cast<size_t>(n));
    if (n == 0) return bytes;
    room = std::max<size_t>(room - static_cast<size_t>(n), 4096);
  }
}

Status WriteFileAtomically(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp";
  ScopedFd fd(OpenRetry(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  if (fd.get() < 0) return IoError("create", temporary, errno);
  Status status;
  if (const int error = WriteFully(fd.get(), bytes, 0)) {
    status = IoError("write", temporary, error);
  } else if (::fsync(fd.get()) != 0) {
    status = IoError("fsync", temporary, errno);
  } else if (::close(fd.Release()) != 0) {
    status = IoError("close", temporary, errno);
  } else {
    status = RenameFile(temporary, path);
  }
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncDir(ParentOf(path));
}

AppendFile::~AppendFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<std::unique_ptr<AppendFile>> AppendFile::Create(const std::string& path) {
  const int fd = OpenRetry(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (fd < 0) return IoError("create", path, errno);
  return std::unique_ptr<AppendFile>(new AppendFile(fd, path));
}

Status AppendFile::Append(std::string_view bytes) {
  if (fd_ < 0) return IoError("write", path_, EBADF);
  // Written at size_, so that what a failed append left behind is overwritten by the next one;
  // it is cut off as well, in case there is no next one.
  if (const int error = WriteFully(fd_, bytes, size_)) {
    if (::ftruncate(fd_, static_cast<off_t>(size_)) != 0) {
      // The first error is the one to report.
    }
    return IoError("write", path_, error);
  }
  size_ += bytes.size();
  return Status::OK();
}

Status AppendFile::Sync() {
  if (fd_ < 0 || ::fsync(fd_) != 0) return IoError("fsync", path_, fd_ < 0 ? EBADF : errno);
  return Status::OK();
}

Status AppendFile::Close() {
  if (fd_ < 0) return Status::OK();
  if (::close(std::exchange(fd_, -1)) != 0) return IoError("close", path_, errno);
  return Status::OK();
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
}

Result<std::shared_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  ScopedFd fd(OpenRetry(path, O_RDONLY));
  if (fd.get() < 0) return IoError("open", path, errno);
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return IoError("stat", path, errno);
  if (!S_ISREG(info.st_mode)) return IoError("map", path, EISDIR);
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path;
  if (info.st_size == 0) return file;  // mmap refuses an empty range
  const auto size = static_cast<size_t>(info.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return IoError("map", path, errno);
  file->data_ = static_cast<const uint8_t*>(data);
  file->size_ = size;
  return file;
}

FileLock::~FileLock() {
  // An empty file says "no owner"; the file itself stays, since to unlink it would let two
  // processes lock two files of one name.
  if (::ftruncate(fd_, 0) != 0) {
    // Only the pid in the next error message depends on it.
  }
  ::close(fd_);
}

Result<std::unique_ptr<FileLock>> FileLock::Acquire(const std::string& path) {
  ScopedFd fd(OpenRetry(path, O_RDWR | O_CREAT, 0644));
  if (fd.get() < 0) return IoError("open lock file", path, errno);
  int locked;
  do {
    locked = ::flock(fd.get(), LOCK_EX | LOCK_NB);
  } while (locked != 0 && errno == EINTR);
  if (locked != 0) {
    if (errno != EWOULDBLOCK) return IoError("lock", path, errno);
    char text[32] = {};
    const ssize_t n = ::pread(fd.get(), text, sizeof(text) - 1, 0);
    const long pid = n > 0 ? std::strtol(text, nullptr, 10) : 0;
    std::string owner = "another process";
    if (pid == static_cast<long>(::getpid())) {
      owner = "this process (" + std::to_string(pid) + ")";
    } else if (pid > 0) {
      owner = "process " + std::to_string(pid);
    }
    return MakeError(ErrorCode::kLocked, "database " + ParentOf(path) + " is in use by " + owner +
                                             "; close it there first, or open another path");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd.get(), 0) != 0) return IoError("write lock file", path, errno);
  if (const int error = WriteFully(fd.get(), pid, 0); error != 0 && error != ENOSPC) {
    return IoError("write lock file", path, error);
  }
  return std::unique_ptr<FileLock>(new FileLock(fd.Release()));
}

std::string BootId() {
  auto text = ReadFile("/proc/sys/kernel/random/boot_id");
  if (!text.ok()) return {};
  while (!text->empty() && (text->back() == '\n' || text->back() == ' ')) text->pop_back();
  return *text;
}

}  // namespace marble::io
