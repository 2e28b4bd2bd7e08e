#include "memory_cgroup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "machine.h"

namespace marble::lsm::bench {
namespace {

/// Whether the kernel took it: errors come with the write, not with the stream's buffer.
int WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  if (!file) return errno;
  file << text << std::flush;
  return file.good() ? 0 : errno;
}

Status Refused(const std::string& what, int error) {
  return MakeError(ErrorCode::kNotSupported,
                   "--memory-limit needs a memory cgroup: " + what + ": " + std::strerror(error) +
                       "; run it as root where /sys/fs/cgroup is writable");
}

}  // namespace

Result<std::unique_ptr<MemoryCgroup>> MemoryCgroup::Make(const std::string& name, uint64_t bytes) {
  const std::string own = OwnCgroup("memory");
  const std::string version1 = "/sys/fs/cgroup/memory";
  const bool first = ::access((version1 + "/memory.limit_in_bytes").c_str(), F_OK) == 0 ||
                     ::access((version1 + own + "/memory.limit_in_bytes").c_str(), F_OK) == 0;
  const std::string path = (first ? version1 + own : "/sys/fs/cgroup" + OwnCgroup("")) + "/" + name;
  if (::mkdir(path.c_str(), 0755) != 0) return Refused("mkdir " + path, errno);
  std::unique_ptr<MemoryCgroup> made(new MemoryCgroup(path));
  const std::string limit = path + (first ? "/memory.limit_in_bytes" : "/memory.max");
  if (const int error = WriteFile(limit, std::to_string(bytes))) {
    return Refused("write " + limit, error);
  }
  return made;
}

MemoryCgroup::~MemoryCgroup() {
  // A process that has just ended may still be counted.
  for (int i = 0; i < 100 && ::rmdir(path_.c_str()) != 0 && errno == EBUSY; ++i) ::usleep(10'000);
}

Status MemoryCgroup::Join() const {
  const std::string file = path_ + "/cgroup.procs";
  if (const int error = WriteFile(file, std::to_string(::getpid()))) {
    return Refused("write " + file, error);
  }
  return Status::OK();
}

uint64_t MemoryCgroup::MostUsed() const {
  for (const char* name : {"/memory.max_usage_in_bytes", "/memory.peak"}) {
    const std::string line = FirstLine(path_ + name);
    if (!line.empty()) return std::stoull(line);
  }
  return 0;
}

}  // namespace marble::lsm::bench
