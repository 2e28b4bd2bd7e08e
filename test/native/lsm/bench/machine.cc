#include "machine.h"

#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

namespace marble::lsm::bench {
namespace {

/// The value of the first line that starts with `name`, behind its colon.
std::string Field(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind(name, 0) != 0) continue;
    const size_t colon = line.find(':');
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::string DescribeCgroup() {
  std::string text;
  const std::string memory = OwnCgroup("memory");
  const std::string unified = OwnCgroup("");
  std::string limit = FirstLine("/sys/fs/cgroup/memory" + memory + "/memory.limit_in_bytes");
  if (limit.empty()) limit = FirstLine("/sys/fs/cgroup" + unified + "/memory.max");
  // Version 1 says "no limit" with a number near 2^63.
  if (limit.empty() || limit == "max" || limit.size() > 18) {
    text = "memory unlimited";
  } else {
    text = "memory " + std::to_string(std::stoull(limit) >> 20) + " MiB";
  }
  const std::string cpu = "/sys/fs/cgroup/cpu" + OwnCgroup("cpu");
  std::string quota = FirstLine(cpu + "/cpu.cfs_quota_us");
  if (quota.empty()) quota = FirstLine("/sys/fs/cgroup" + unified + "/cpu.max");
  if (quota.empty() || quota == "-1" || quota.rfind("max", 0) == 0) return text + ", CPU unlimited";
  return text + ", CPU quota " + quota + " " + FirstLine(cpu + "/cpu.cfs_period_us");
}

}  // namespace

std::string OwnCgroup(const std::string& controller) {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::istringstream names(line.substr(first + 1, second - first - 1));
    std::string name;
    bool found = controller.empty() && second == first + 1;
    while (std::getline(names, name, ',')) found = found || (!name.empty() && name == controller);
    if (found) return line.substr(second + 1);
  }
  return "";
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::vector<std::pair<std::string, std::string>> DescribeMachine() {
  std::vector<std::pair<std::string, std::string>> facts;
  facts.emplace_back("processor", std::to_string(std::thread::hardware_concurrency()) + " x " +
                                      Field("/proc/cpuinfo", "model name"));
  facts.emplace_back("memory", Field("/proc/meminfo", "MemTotal") + ", available " +
                                   Field("/proc/meminfo", "MemAvailable"));
  utsname system;
  if (::uname(&system) == 0) {
    facts.emplace_back("kernel", std::string(system.sysname) + " " + system.release);
  }
  facts.emplace_back("cgroup", DescribeCgroup());
  facts.emplace_back("load", FirstLine("/proc/loadavg"));
  facts.emplace_back("compiler", "gcc " __VERSION__);
  const time_t now = ::time(nullptr);
  tm utc;
  char date[32];
  ::gmtime_r(&now, &utc);
  if (::strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &utc) > 0) {
    facts.emplace_back("date", date);
  }
  return facts;
}

}  // namespace marble::lsm::bench
