#include "io/memory_file_system.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <limits>
#include <set>
#include <utility>

#include "io/posix_internal.h"

namespace marble::io {
namespace {

/// Above the numbers of real devices, so that identities of files never meet.
std::atomic<uint64_t> next_device{uint64_t{1} << 48};

/// A descriptor of memory that has no name anywhere.
Result<int> NewAnonymousFile(const std::string& path) {
#ifdef __linux__
  const int fd = ::memfd_create("marbledb", MFD_CLOEXEC);
#else
  const char* temp = ::getenv("TMPDIR");
  std::string pattern = std::string(temp != nullptr ? temp : "/tmp") + "/marbledb-mem-XXXXXX";
  const int fd = ::mkstemp(pattern.data());
  if (fd >= 0) ::unlink(pattern.c_str());
#endif
  if (fd < 0) return IoError("create", path, errno);
  return fd;
}

/// "/a//b/./c/../d/" and "a/b/d" are one name: "a/b/d".
std::string Normalise(const std::string& path) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = std::string_view(path).substr(begin, end - begin);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
    begin = end + 1;
  }
  std::string out;
  for (const std::string_view part : parts) {
    if (!out.empty()) out.push_back('/');
    out.append(part);
  }
  return out;
}

std::string NormalParent(const std::string& name) {
  const size_t slash = name.find_last_of('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

}  // namespace

/// What all files together take, and may take.
struct MemoryFileSystem::Space {
  std::atomic<uint64_t> used{0};
  std::atomic<uint64_t> capacity{std::numeric_limits<uint64_t>::max()};

  bool Take(uint64_t bytes) {
    if (used.fetch_add(bytes) + bytes <= capacity.load()) return true;
    used.fetch_sub(bytes);
    return false;
  }
  void Give(uint64_t bytes) { used.fetch_sub(bytes); }
};

struct MemoryFileSystem::Inode {
  Inode(std::shared_ptr<Space> given_space, int given_fd, uint64_t given_id, bool directory)
      : space(std::move(given_space)), fd(given_fd), id(given_id), is_directory(directory) {}
  ~Inode() {
    if (fd >= 0) ::close(fd);
    space->Give(size.load());
  }

  const std::shared_ptr<Space> space;
  const int fd;  // -1: a folder
  const uint64_t id;
  const bool is_directory;
  std::atomic<uint64_t> size{0};
};

/// Names that somebody holds. Outlives the file system with the last lock.
struct MemoryFileSystem::Locks {
  std::mutex mutex;
  std::set<std::string> held;
};

class MemoryFileSystem::Writable final : public WritableFile {
 public:
  Writable(InodeRef inode, const std::string& path)
      : WritableFile(path), inode_(std::move(inode)) {}

  Status Append(std::string_view bytes) override {
    if (inode_ == nullptr) return IoError("write", path_, EBADF);
    if (!inode_->space->Take(bytes.size())) return IoError("write", path_, ENOSPC);
    if (const int error = WriteFully(inode_->fd, bytes, size_)) {
      inode_->space->Give(bytes.size());
      if (::ftruncate(inode_->fd, static_cast<off_t>(size_)) != 0) {
        // The first error is the one to report.
      }
      return IoError("write", path_, error);
    }
    size_ += bytes.size();
    inode_->size.store(size_, std::memory_order_release);
    return Status::OK();
  }
  Status Sync() override {
    return inode_ != nullptr ? Status::OK() : IoError("fsync", path_, EBADF);
  }
  Status Close() override {
    inode_.reset();
    return Status::OK();
  }

 private:
  InodeRef inode_;  // null: closed
};

class MemoryFileSystem::Readable final : public ReadableFile {
 public:
  Readable(InodeRef inode, const std::string& path)
      : ReadableFile(path), inode_(std::move(inode)) {}

  Result<size_t> ReadAt(uint64_t offset, size_t size, void* to) const override {
    size_t done = 0;
    while (done < size) {
      const ssize_t n = ::pread(inode_->fd, static_cast<char*>(to) + done, size - done,
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
  Result<uint64_t> Size() const override { return inode_->size.load(); }

 private:
  const InodeRef inode_;
};

class MemoryFileSystem::Mapped final : public MappedFile {
 public:
  static Result<std::shared_ptr<MappedFile>> Make(InodeRef inode, const std::string& path) {
    const uint64_t size = inode->size.load(std::memory_order_acquire);
    auto file = std::make_shared<Mapped>(std::move(inode), path, size);
    if (size == 0) return file;  // mmap refuses an empty range
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file->inode_->fd, 0);
    if (data == MAP_FAILED) return IoError("map", path, errno);
    file->data_ = static_cast<const uint8_t*>(data);
    return file;
  }
  Mapped(InodeRef inode, const std::string& path, uint64_t size) : inode_(std::move(inode)) {
    path_ = path;
    size_ = size;
  }
  ~Mapped() override {
    if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
  }
  void* MapPrivately() const override {
    if (size_ == 0) return nullptr;
    void* data =
        ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, inode_->fd, 0);
    return data == MAP_FAILED ? nullptr : data;
  }

 private:
  const InodeRef inode_;
};

/// A log file over the inode's descriptor that keeps the inode, which keeps the account.
class MemoryFileSystem::Log final : public LogFile {
 public:
  Log(InodeRef inode, std::shared_ptr<LogFile> file)
      : inode_(std::move(inode)), file_(std::move(file)) {
    data_ = file_->data();
    size_ = file_->size();
    path_ = file_->path();
  }
  Status Publish(size_t from, size_t to) override { return file_->Publish(from, to); }
  Status Sync() override { return Status::OK(); }
  void Prefault(size_t from, size_t to) override { file_->Prefault(from, to); }
  LogFileKind kind() const override { return file_->kind(); }

 private:
  const InodeRef inode_;
  const std::shared_ptr<LogFile> file_;
};

class MemoryFileSystem::Held final : public FileLock {
 public:
  Held(std::shared_ptr<Locks> locks, std::string name)
      : locks_(std::move(locks)), name_(std::move(name)) {}
  ~Held() override {
    std::lock_guard lock(locks_->mutex);
    locks_->held.erase(name_);
  }

 private:
  const std::shared_ptr<Locks> locks_;
  const std::string name_;
};

MemoryFileSystem::MemoryFileSystem(uint64_t capacity_bytes)
    : device_(next_device.fetch_add(1)),
      space_(std::make_shared<Space>()),
      locks_(std::make_shared<Locks>()) {
  SetCapacity(capacity_bytes);
  names_[""] = std::make_shared<Inode>(space_, -1, next_inode_++, true);
}

MemoryFileSystem::~MemoryFileSystem() = default;

void MemoryFileSystem::SetCapacity(uint64_t bytes) {
  space_->capacity.store(bytes == 0 ? std::numeric_limits<uint64_t>::max() : bytes);
}

uint64_t MemoryFileSystem::used_bytes() const { return space_->used.load(); }

MemoryFileSystem::InodeRef MemoryFileSystem::Find(const std::string& path) const {
  const auto it = names_.find(Normalise(path));
  return it == names_.end() ? nullptr : it->second;
}

Result<MemoryFileSystem::InodeRef> MemoryFileSystem::FindFile(const char* what,
                                                              const std::string& path) const {
  std::lock_guard lock(mutex_);
  InodeRef inode = Find(path);
  if (inode == nullptr) return IoError(what, path, ENOENT);
  if (inode->is_directory) return IoError(what, path, EISDIR);
  return inode;
}

Status MemoryFileSystem::CheckNewName(const char* what, const std::string& path) const {
  const std::string name = Normalise(path);
  if (names_.contains(name)) return IoError(what, path, EEXIST);
  const auto parent = names_.find(NormalParent(name));
  if (parent == names_.end()) return IoError(what, path, ENOENT);
  if (!parent->second->is_directory) return IoError(what, path, ENOTDIR);
  return Status::OK();
}

bool MemoryFileSystem::HasChildren(const std::string& directory) const {
  const std::string prefix = directory.empty() ? "" : directory + "/";
  const auto it = names_.upper_bound(prefix);
  return it != names_.end() && it->first.starts_with(prefix);
}

Result<std::optional<FileInfo>> MemoryFileSystem::Stat(const std::string& path) {
  std::lock_guard lock(mutex_);
  const InodeRef inode = Find(path);
  if (inode == nullptr) return std::optional<FileInfo>();
  return std::optional<FileInfo>(
      FileInfo{inode->size.load(), inode->is_directory, device_, inode->id});
}

Status MemoryFileSystem::CreateDirs(const std::string& path) {
  const std::string name = Normalise(path);
  std::lock_guard lock(mutex_);
  for (size_t end = 0; end <= name.size(); ++end) {
    if (end != name.size() && name[end] != '/') continue;
    const std::string part = name.substr(0, end);
    const auto it = names_.find(part);
    if (it == names_.end()) {
      names_[part] = std::make_shared<Inode>(space_, -1, next_inode_++, true);
    } else if (!it->second->is_directory) {
      return IoError("create folder", part, ENOTDIR);
    }
  }
  return Status::OK();
}

Result<std::vector<std::string>> MemoryFileSystem::List(const std::string& path) {
  const std::string name = Normalise(path);
  std::lock_guard lock(mutex_);
  const auto found = names_.find(name);
  if (found == names_.end()) return IoError("list folder", path, ENOENT);
  if (!found->second->is_directory) return IoError("list folder", path, ENOTDIR);
  const std::string prefix = name.empty() ? "" : name + "/";
  std::vector<std::string> out;
  for (auto it = names_.upper_bound(prefix); it != names_.end() && it->first.starts_with(prefix);
       ++it) {
    const std::string child = it->first.substr(prefix.size());
    if (!child.empty() && child.find('/') == std::string::npos) out.push_back(child);
  }
  return out;
}

Status MemoryFileSystem::Remove(const std::string& path) {
  InodeRef removed;  // freed without the mutex
  std::lock_guard lock(mutex_);
  removed = Find(path);
  if (removed == nullptr) return IoError("remove", path, ENOENT);
  if (removed->is_directory) return IoError("remove", path, EISDIR);
  names_.erase(Normalise(path));
  return Status::OK();
}

Status MemoryFileSystem::RemoveDir(const std::string& path) {
  std::lock_guard lock(mutex_);
  const std::string name = Normalise(path);
  const InodeRef found = Find(path);
  if (found == nullptr) return IoError("remove folder", path, ENOENT);
  if (!found->is_directory) return IoError("remove folder", path, ENOTDIR);
  if (name.empty()) return IoError("remove folder", path, EBUSY);
  if (HasChildren(name)) return IoError("remove folder", path, ENOTEMPTY);
  names_.erase(name);
  return Status::OK();
}

Status MemoryFileSystem::Rename(const std::string& from, const std::string& to) {
  const std::string old_name = Normalise(from);
  const std::string new_name = Normalise(to);
  const std::string both = from + " to " + to;
  InodeRef replaced;
  std::lock_guard lock(mutex_);
  const InodeRef moved = Find(from);
  if (moved == nullptr) return IoError("rename", both, ENOENT);
  if (old_name == new_name) return Status::OK();
  replaced = Find(to);
  if (replaced == nullptr) {
    MARBLE_RETURN_NOT_OK(CheckNewName("rename", to));
  } else if (replaced->is_directory != moved->is_directory) {
    return IoError("rename", both, replaced->is_directory ? EISDIR : ENOTDIR);
  } else if (replaced->is_directory && HasChildren(new_name)) {
    return IoError("rename", both, ENOTEMPTY);
  }
  if (old_name.empty() || new_name.starts_with(old_name + "/")) {
    return IoError("rename", both, EINVAL);
  }
  names_.erase(old_name);
  names_[new_name] = moved;
  if (!moved->is_directory) return Status::OK();
  std::vector<std::pair<std::string, InodeRef>> below;
  const std::string prefix = old_name + "/";
  for (auto it = names_.lower_bound(prefix); it != names_.end() && it->first.starts_with(prefix);) {
    below.emplace_back(new_name + "/" + it->first.substr(prefix.size()), it->second);
    it = names_.erase(it);
  }
  for (auto& [name, inode] : below) names_[name] = std::move(inode);
  return Status::OK();
}

Status MemoryFileSystem::Link(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  const InodeRef inode = Find(from);
  if (inode == nullptr) return IoError("link", from + " to " + to, ENOENT);
  if (inode->is_directory) return IoError("link", from + " to " + to, EPERM);
  MARBLE_RETURN_NOT_OK(CheckNewName("link", to));
  names_[Normalise(to)] = inode;
  return Status::OK();
}

Status MemoryFileSystem::Copy(const std::string& from, const std::string& to) {
  MARBLE_ASSIGN_OR_RETURN(const InodeRef source, FindFile("copy", from));
  MARBLE_ASSIGN_OR_RETURN(const auto mapped, Mapped::Make(source, from));
  MARBLE_ASSIGN_OR_RETURN(auto file, Create(to));
  const Status written = file->Append(mapped->bytes());
  if (!written.ok()) (void)Remove(to);
  return written;
}

Status MemoryFileSystem::SyncDir(const std::string& path) {
  std::lock_guard lock(mutex_);
  const InodeRef inode = Find(path);
  if (inode == nullptr) return IoError("fsync folder", path, ENOENT);
  if (!inode->is_directory) return IoError("fsync folder", path, ENOTDIR);
  return Status::OK();
}

Status MemoryFileSystem::SyncFile(const std::string& path) {
  return FindFile("fsync", path).status();
}

Result<std::string> MemoryFileSystem::ReadFile(const std::string& path) {
  MARBLE_ASSIGN_OR_RETURN(InodeRef inode, FindFile("open", path));
  MARBLE_ASSIGN_OR_RETURN(const auto mapped, Mapped::Make(std::move(inode), path));
  return std::string(mapped->bytes());
}

Result<MemoryFileSystem::InodeRef> MemoryFileSystem::NewInode(const std::string& path,
                                                              bool is_directory) {
  // Under mutex_.
  MARBLE_RETURN_NOT_OK(CheckNewName("create", path));
  int fd = -1;
  if (!is_directory) {
    MARBLE_ASSIGN_OR_RETURN(fd, NewAnonymousFile(path));
  }
  auto inode = std::make_shared<Inode>(space_, fd, next_inode_++, is_directory);
  names_[Normalise(path)] = inode;
  return inode;
}

Result<std::unique_ptr<WritableFile>> MemoryFileSystem::Create(const std::string& path) {
  std::lock_guard lock(mutex_);
  MARBLE_ASSIGN_OR_RETURN(InodeRef inode, NewInode(path, false));
  return std::make_unique<Writable>(std::move(inode), path);
}

Result<std::shared_ptr<ReadableFile>> MemoryFileSystem::Open(const std::string& path) {
  MARBLE_ASSIGN_OR_RETURN(InodeRef inode, FindFile("open", path));
  return std::make_shared<Readable>(std::move(inode), path);
}

Result<std::shared_ptr<MappedFile>> MemoryFileSystem::Map(const std::string& path) {
  MARBLE_ASSIGN_OR_RETURN(InodeRef inode, FindFile("open", path));
  return Mapped::Make(std::move(inode), path);
}

Result<std::shared_ptr<LogFile>> MemoryFileSystem::CreateLog(const std::string& path, size_t size,
                                                             LogFileKind kind) {
  if (size == 0) {
    return MakeError(ErrorCode::kInvalidArgument, "log file " + path + " of no bytes");
  }
  InodeRef inode;
  {
    std::lock_guard lock(mutex_);
    MARBLE_ASSIGN_OR_RETURN(inode, NewInode(path, false));
  }
  const auto fail = [&](const char* what, int error) {
    (void)Remove(path);
    return IoError(what, path, error);
  };
  if (!space_->Take(size)) return fail("preallocate", ENOSPC);
  inode->size.store(size);  // the inode gives it back
  // Memory that cannot be had is an error here, not a SIGBUS at a store.
  if (const int error = PreallocateAnyhow(inode->fd, size)) return fail("preallocate", error);
  const int fd = ::fcntl(inode->fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return fail("open", errno);
  const bool written = kind == LogFileKind::kWritten;
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      written ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, written ? -1 : fd, 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    ::close(fd);
    return fail("map", error);
  }
  auto* bytes = static_cast<uint8_t*>(data);
  return std::make_shared<Log>(std::move(inode), written ? NewWrittenLogFile(fd, path, bytes, size)
                                                         : NewMappedLogFile(fd, path, bytes, size));
}

Result<std::shared_ptr<LogFile>> MemoryFileSystem::OpenLog(const std::string& path) {
  MARBLE_ASSIGN_OR_RETURN(InodeRef inode, FindFile("open", path));
  const int fd = ::fcntl(inode->fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return IoError("open", path, errno);
  const auto size = static_cast<size_t>(inode->size.load());
  uint8_t* data = nullptr;
  if (size > 0) {
    void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
      const int error = errno;
      ::close(fd);
      return IoError("map", path, error);
    }
    data = static_cast<uint8_t*>(mapped);
  }
  return std::make_shared<Log>(std::move(inode), NewMappedLogFile(fd, path, data, size));
}

Result<std::unique_ptr<FileLock>> MemoryFileSystem::Lock(const std::string& path) {
  std::string name = Normalise(path);
  {
    std::lock_guard lock(mutex_);
    const InodeRef found = Find(path);
    if (found != nullptr && found->is_directory) return IoError("open lock file", path, EISDIR);
    if (found == nullptr) MARBLE_RETURN_NOT_OK(NewInode(path, false).status());
  }
  std::lock_guard lock(locks_->mutex);
  if (!locks_->held.insert(name).second) {
    return MakeError(ErrorCode::kLocked, "database " + ParentOf(path) +
                                             " is in use by this process (" +
                                             std::to_string(::getpid()) +
                                             "); close it there first, or open another path");
  }
  return std::make_unique<Held>(locks_, std::move(name));
}

Result<SpaceInfo> MemoryFileSystem::DiskSpace(const std::string& path) {
  MARBLE_ASSIGN_OR_RETURN(const auto info, Stat(path));
  if (!info) return IoError("read the free space of", path, ENOENT);
  SpaceInfo space;
  space.total_bytes = space_->capacity.load();
  if (space.total_bytes == std::numeric_limits<uint64_t>::max()) {
    const auto pages = ::sysconf(_SC_PHYS_PAGES);
    space.total_bytes =
        static_cast<uint64_t>(pages) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  const uint64_t used = space_->used.load();
  space.free_bytes = space.total_bytes > used ? space.total_bytes - used : 0;
  return space;
}

std::string MemoryFileSystem::BootId() { return FileSystem::Local()->BootId(); }

}  // namespace marble::io
