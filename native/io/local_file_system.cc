// The machine's own file system.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "io/posix_internal.h"

namespace marble::io {

ScopedFd::~ScopedFd() {
  if (fd_ >= 0) ::close(fd_);
}

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

namespace {

/// What copy_file_range is asked for at a time, and the buffer where it does not work.
constexpr size_t kCopyBytes = 1 << 20;

int OpenRetry(const std::string& path, int flags, mode_t mode = 0) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

Status SyncPath(const std::string& path, int flags, const char* what) {
  ScopedFd fd(OpenRetry(path, flags));
  if (fd.get() < 0) return IoError(what, path, errno);
  // Never retried: after a failed fsync the kernel may have dropped the pages.
  if (::fsync(fd.get()) != 0) return IoError(what, path, errno);
  return Status::OK();
}

class LocalWritableFile final : public WritableFile {
 public:
  LocalWritableFile(int fd, std::string path) : WritableFile(std::move(path)), fd_(fd) {}
  ~LocalWritableFile() override {
    if (fd_ >= 0) ::close(fd_);
  }

  Status Append(std::string_view bytes) override {
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

  Status Sync() override {
    if (fd_ < 0 || ::fsync(fd_) != 0) return IoError("fsync", path_, fd_ < 0 ? EBADF : errno);
    return Status::OK();
  }

  Status Close() override {
    if (fd_ < 0) return Status::OK();
    if (::close(std::exchange(fd_, -1)) != 0) return IoError("close", path_, errno);
    return Status::OK();
  }

 private:
  int fd_;
};

class LocalReadableFile final : public ReadableFile {
 public:
  LocalReadableFile(int fd, std::string path) : ReadableFile(std::move(path)), fd_(fd) {}
  ~LocalReadableFile() override { ::close(fd_); }

  Result<size_t> ReadAt(uint64_t offset, size_t size, void* to) const override {
    size_t done = 0;
    while (done < size) {
      const ssize_t n = ::pread(fd_, static_cast<char*>(to) + done, size - done,
                                static_cast<off_t>(offset + done));
      if (n < 0) {
        if (errno == EINTR) continue;
        return IoError("read", path_, errno);
      }
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  Result<uint64_t> Size() const override {
    struct stat info;
    if (::fstat(fd_, &info) != 0) return IoError("stat", path_, errno);
    return static_cast<uint64_t>(info.st_size);
  }

 private:
  const int fd_;
};

class LocalMappedFile final : public MappedFile {
 public:
  LocalMappedFile(std::string path, const uint8_t* data, uint64_t size) {
    path_ = std::move(path);
    data_ = data;
    size_ = size;
  }
  ~LocalMappedFile() override {
    if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
  }

  void* MapPrivately() const override {
    // By name: to keep a descriptor for every mapped file would cost more than it is worth.
    ScopedFd fd(OpenRetry(path_, O_RDONLY));
    struct stat info;
    if (size_ == 0 || fd.get() < 0 || ::fstat(fd.get(), &info) != 0 ||
        static_cast<uint64_t>(info.st_size) != size_) {
      return nullptr;
    }
    void* data =
        ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd.get(), 0);
    return data == MAP_FAILED ? nullptr : data;
  }
};

/// flock, since a POSIX fcntl lock is granted twice within a process.
class LocalFileLock final : public FileLock {
 public:
  explicit LocalFileLock(int fd) : fd_(fd) {}
  ~LocalFileLock() override {
    // An empty file says "no owner"; the file itself stays, since to unlink it would let two
    // processes lock two files of one name.
    if (::ftruncate(fd_, 0) != 0) {
      // Only the pid in the next error message depends on it.
    }
    ::close(fd_);
  }

 private:
  const int fd_;
};

class LocalFileSystem final : public FileSystem {
 public:
  Result<std::optional<FileInfo>> Stat(const std::string& path) override {
    struct stat info;
    if (::stat(path.c_str(), &info) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return std::optional<FileInfo>();
      return IoError("stat", path, errno);
    }
    FileInfo out;
    out.size = static_cast<uint64_t>(info.st_size);
    out.is_directory = S_ISDIR(info.st_mode);
    out.device = static_cast<uint64_t>(info.st_dev);
    out.inode = static_cast<uint64_t>(info.st_ino);
    return std::optional<FileInfo>(out);
  }

  Status CreateDirs(const std::string& path) override {
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

  Result<std::vector<std::string>> List(const std::string& path) override {
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

  Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return IoError("remove", path, errno);
    return Status::OK();
  }

  Status RemoveDir(const std::string& path) override {
    if (::rmdir(path.c_str()) != 0) return IoError("remove folder", path, errno);
    return Status::OK();
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return IoError("rename", from + " to " + to, errno);
    }
    return Status::OK();
  }

  Status Link(const std::string& from, const std::string& to) override {
    if (::link(from.c_str(), to.c_str()) != 0) {
      return IoError("link", from + " to " + to, errno);
    }
    return Status::OK();
  }

  Status Copy(const std::string& from, const std::string& to) override {
    ScopedFd in(OpenRetry(from, O_RDONLY));
    if (in.get() < 0) return IoError("open", from, errno);
    ScopedFd out(OpenRetry(to, O_WRONLY | O_CREAT | O_EXCL, 0644));
    if (out.get() < 0) return IoError("create", to, errno);
    Status status = CopyBytes(in.get(), from, out.get(), to);
    if (status.ok() && ::close(out.Release()) != 0) status = IoError("close", to, errno);
    if (!status.ok()) ::unlink(to.c_str());
    return status;
  }

  Status SyncDir(const std::string& path) override {
    return SyncPath(path, O_RDONLY | O_DIRECTORY, "fsync folder");
  }
  Status SyncFile(const std::string& path) override { return SyncPath(path, O_RDONLY, "fsync"); }

  Result<std::string> ReadFile(const std::string& path) override {
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

  Result<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    const int fd = OpenRetry(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) return IoError("create", path, errno);
    return std::make_unique<LocalWritableFile>(fd, path);
  }

  Result<std::shared_ptr<ReadableFile>> Open(const std::string& path) override {
    ScopedFd fd(OpenRetry(path, O_RDONLY));
    if (fd.get() < 0) return IoError("open", path, errno);
    struct stat info;
    if (::fstat(fd.get(), &info) != 0) return IoError("stat", path, errno);
    if (S_ISDIR(info.st_mode)) return IoError("open", path, EISDIR);
    return std::make_shared<LocalReadableFile>(fd.Release(), path);
  }

  Result<std::shared_ptr<MappedFile>> Map(const std::string& path) override {
    ScopedFd fd(OpenRetry(path, O_RDONLY));
    if (fd.get() < 0) return IoError("open", path, errno);
    struct stat info;
    if (::fstat(fd.get(), &info) != 0) return IoError("stat", path, errno);
    if (!S_ISREG(info.st_mode)) return IoError("map", path, EISDIR);
    // mmap refuses an empty range.
    if (info.st_size == 0) return std::make_shared<LocalMappedFile>(path, nullptr, 0);
    const auto size = static_cast<size_t>(info.st_size);
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (data == MAP_FAILED) return IoError("map", path, errno);
    return std::make_shared<LocalMappedFile>(path, static_cast<const uint8_t*>(data), size);
  }

  Result<std::shared_ptr<LogFile>> CreateLog(const std::string& path, size_t size,
                                             LogFileKind kind) override {
    return CreateLocalLog(path, size, kind);
  }
  Result<std::shared_ptr<LogFile>> OpenLog(const std::string& path) override {
    return OpenLocalLog(path);
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
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
    return std::make_unique<LocalFileLock>(fd.Release());
  }

  Result<SpaceInfo> DiskSpace(const std::string& path) override {
    struct statvfs fs;
    if (::statvfs(path.c_str(), &fs) != 0) return IoError("read the free space of", path, errno);
    return SpaceInfo{static_cast<uint64_t>(fs.f_blocks) * fs.f_frsize,
                     static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize};
  }

  std::string BootId() override {
    auto text = ReadFile("/proc/sys/kernel/random/boot_id");
    if (!text.ok()) return {};
    while (!text->empty() && (text->back() == '\n' || text->back() == ' ')) text->pop_back();
    return *text;
  }

 private:
  static Status CopyBytes(int in, const std::string& from, int out, const std::string& to) {
#ifdef __linux__
    // In the kernel, and as a reference to the same blocks where the file system has that.
    bool any = false;
    for (;;) {
      const ssize_t n = ::copy_file_range(in, nullptr, out, nullptr, kCopyBytes, 0);
      if (n > 0) {
        any = true;
        continue;
      }
      // Some kernels say 0 at once for files of /proc and the like: read those.
      if (n == 0 && any) return Status::OK();
      if (n == 0 || errno == EXDEV || IsRefusal(errno)) break;
      if (errno != EINTR) return IoError("copy", from + " to " + to, errno);
    }
#endif
    const off_t start = ::lseek(in, 0, SEEK_CUR);
    std::string buffer(kCopyBytes, '\0');
    for (uint64_t offset = start > 0 ? static_cast<uint64_t>(start) : 0;;) {
      const ssize_t n = ::pread(in, buffer.data(), buffer.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return IoError("read", from, errno);
      if (n == 0) return Status::OK();
      if (const int error =
              WriteFully(out, std::string_view(buffer).substr(0, static_cast<size_t>(n)), offset)) {
        return IoError("write", to, error);
      }
      offset += static_cast<uint64_t>(n);
    }
  }
};

}  // namespace

const std::shared_ptr<FileSystem>& FileSystem::Local() {
  // Outlives every static destructor.
  static const auto* local = new std::shared_ptr<FileSystem>(std::make_shared<LocalFileSystem>());
  return *local;
}

}  // namespace marble::io
