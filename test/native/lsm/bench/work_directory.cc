#include "work_directory.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <thread>
#include <utility>

namespace marble::lsm::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

/// What the signals' thread has to clean up.
struct Litter {
  std::mutex mutex;
  std::string directory;
  pid_t child = 0;
  std::string cgroup;
};
Litter& TheLitter() {
  static auto* const litter = new Litter;  // outlives all threads
  return *litter;
}

/// Background threads may still make files in there: try until it is gone.
void RemoveTree(const std::string& path) {
  for (int i = 0; i < 50; ++i) {
    std::error_code error;
    fs::remove_all(path, error);
    if (!fs::exists(path, error)) return;
    ::usleep(20'000);
  }
  std::fprintf(stderr, "warning: %s could not be removed\n", path.c_str());
}

[[noreturn]] void EndBySignal(int signal) {
  Litter& litter = TheLitter();
  std::lock_guard lock(litter.mutex);
  if (litter.child > 0) {
    ::kill(litter.child, SIGKILL);
    ::waitpid(litter.child, nullptr, 0);
  }
  if (!litter.directory.empty()) RemoveTree(litter.directory);
  if (!litter.cgroup.empty()) ::rmdir(litter.cgroup.c_str());
  std::fprintf(stderr, "\nstopped; the working directory is removed\n");
  ::_exit(128 + signal);
}

void WatchSignals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : kSignals) ::sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::thread([set] {
    int signal = 0;
    if (::sigwait(&set, &signal) == 0) EndBySignal(signal);
  }).detach();
}

/// The type as /proc/self/mounts names it, of the longest mount point above `path`.
std::string FileSystemOf(const std::string& path) {
  std::FILE* mounts = std::fopen("/proc/self/mounts", "r");
  if (mounts == nullptr) return "unknown";
  char device[4096];
  char point[4096];
  char type[256];
  std::string best;
  size_t best_size = 0;
  while (std::fscanf(mounts, "%4095s %4095s %255s %*[^\n]", device, point, type) == 3) {
    const std::string mount = point;
    const bool above = path.rfind(mount, 0) == 0 &&
                       (mount == "/" || path.size() == mount.size() || path[mount.size()] == '/');
    if (above && mount.size() >= best_size) {
      best_size = mount.size();
      best = std::string(type) + " on " + device;
    }
  }
  std::fclose(mounts);
  return best;
}

std::string DefaultParent() {
  const char* temporary = ::getenv("TMPDIR");
  if (temporary != nullptr && *temporary != '\0') return temporary;
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path().string();
}

}  // namespace

Result<std::unique_ptr<WorkDirectory>> WorkDirectory::Make(const std::string& parent,
                                                           uint64_t bytes) {
  const std::string below = fs::absolute(parent.empty() ? DefaultParent() : parent).string();
  struct statvfs space;
  if (::statvfs(below.c_str(), &space) != 0) {
    return IoError("use as working directory", below, errno);
  }
  const std::string type = FileSystemOf(fs::canonical(below).string());
  if (type.rfind("tmpfs", 0) == 0 || type.rfind("ramfs", 0) == 0) {
    return MakeError(ErrorCode::kInvalidArgument,
                     below + " is in memory (" + type + "); give a directory on a disk with --dir");
  }
  const uint64_t free = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
  if (free < bytes) {
    return MakeError(ErrorCode::kNoSpace,
                     below + " has " + std::to_string(free >> 20) + " MiB free, this run needs " +
                         std::to_string(bytes >> 20) + "; give another directory with --dir");
  }
  std::string pattern = below + "/store-bench-XXXXXX";
  WatchSignals();
  if (::mkdtemp(pattern.data()) == nullptr) return IoError("make a directory in", below, errno);
  return std::unique_ptr<WorkDirectory>(new WorkDirectory(pattern, type));
}

WorkDirectory::WorkDirectory(std::string path, std::string file_system)
    : path_(std::move(path)), file_system_(std::move(file_system)) {
  std::lock_guard lock(TheLitter().mutex);
  TheLitter().directory = path_;
}

WorkDirectory::~WorkDirectory() {
  std::lock_guard lock(TheLitter().mutex);
  RemoveTree(path_);
  TheLitter().directory.clear();
}

Result<std::string> WorkDirectory::Fresh(const std::string& name) const {
  Remove(name);
  const std::string dir = path_ + "/" + name;
  if (::mkdir(dir.c_str(), 0755) != 0) return IoError("make the directory", dir, errno);
  return dir;
}

void WorkDirectory::Remove(const std::string& name) const {
  std::error_code ignored;
  fs::remove_all(path_ + "/" + name, ignored);
}

void WorkDirectory::SyncFileSystem() const {
  const int fd = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::syncfs(fd);
  ::close(fd);
}

DiskUse WorkDirectory::UseOf(const std::string& dir) {
  DiskUse use;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error)) {
    struct stat info;
    if (::stat(entry.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    const uint64_t bytes = static_cast<uint64_t>(info.st_blocks) * 512;
    const std::string kind = entry.path().extension().string();
    if (kind == ".sst" || kind == ".arrow" || kind == ".idx") {
      use.tables += bytes;
    } else if (kind == ".log") {
      use.logs += bytes;
    } else {
      use.other += bytes;
    }
  }
  return use;
}

void WorkDirectory::DropFromPageCache(const std::string& dir) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error)) {
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
}

void WorkDirectory::AlsoEnd(pid_t child, const std::string& cgroup) {
  Litter& litter = TheLitter();
  std::lock_guard lock(litter.mutex);
  litter.child = child;
  litter.cgroup = cgroup;
}

}  // namespace marble::lsm::bench
