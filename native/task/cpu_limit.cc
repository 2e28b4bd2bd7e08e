#include "task/cpu_limit.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

namespace marble::task {
namespace {

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

bool HasItem(std::string_view list, std::string_view item) {
  const auto items = Split(list, ',');
  return std::find(items.begin(), items.end(), item) != items.end();
}

std::optional<int64_t> Number(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// mountinfo writes space, tab, newline and backslash as \ooo.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto octal = [&](size_t at) {
      return at < text.size() && text[at] >= '0' && text[at] < '8';
    };
    if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      out +=
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

struct Mount {
  std::string root;   // the part of the hierarchy that is mounted
  std::string point;  // where
  bool v2 = false;
};

/// The mounts of cgroup v2 and of v1's cpu controller.
std::vector<Mount> ParseMounts(std::string_view mountinfo) {
  std::vector<Mount> mounts;
  for (std::string_view line : Split(mountinfo, '\n')) {
    // 36 35 98:0 /root /point options [optional fields] - type source super-options
    const size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto left = Split(line.substr(0, dash), ' ');
    const auto right = Split(line.substr(dash + 3), ' ');
    if (left.size() < 6 || right.size() < 3) continue;
    const bool v2 = right[0] == "cgroup2";
    if (!v2 && !(right[0] == "cgroup" && HasItem(right[2], "cpu"))) continue;
    mounts.push_back({Unescape(left[3]), Unescape(left[4]), v2});
  }
  return mounts;
}

/// The process's path in the hierarchy of v2, or of v1's cpu controller.
std::optional<std::string> ParseGroup(std::string_view cgroup, bool v2) {
  for (std::string_view line : Split(cgroup, '\n')) {
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (v2 ? line.substr(0, first) == "0" && controllers.empty() : HasItem(controllers, "cpu")) {
      return std::string(line.substr(second + 1));
    }
  }
  return std::nullopt;
}

struct Quota {
  int64_t quota = 0;
  int64_t period = 0;
  std::string file;
};

std::optional<Quota> ReadQuota(const std::string& directory, bool v2, const ReadText& read) {
  Quota found;
  if (v2) {
    found.file = directory + "/cpu.max";
    const auto text = read(found.file);
    if (!text) return std::nullopt;
    const auto parts = Split(*text, ' ');
    const auto quota = Number(parts[0]);
    const auto period = parts.size() > 1 ? Number(parts[1]) : std::nullopt;
    if (!quota || !period) return std::nullopt;  // "max 100000": no limit
    found.quota = *quota;
    found.period = *period;
  } else {
    found.file = directory + "/cpu.cfs_quota_us";
    const auto quota = read(found.file);
    const auto period = read(directory + "/cpu.cfs_period_us");
    if (!quota || !period) return std::nullopt;
    found.quota = Number(*quota).value_or(-1);  // -1: no limit
    found.period = Number(*period).value_or(-1);
  }
  if (found.quota <= 0 || found.period <= 0) return std::nullopt;
  return found;
}

int CpusOf(const Quota& quota) {
  const int64_t cpus = quota.quota / quota.period + (quota.quota % quota.period != 0 ? 1 : 0);
  return static_cast<int>(std::clamp<int64_t>(cpus, 1, 1 << 20));
}

/// The directories of the process's group and of all its ancestors that this mount shows.
std::vector<std::string> Levels(const Mount& mount, const std::string& group) {
  const std::string root = mount.root == "/" ? "" : mount.root;
  std::string below;
  // A group outside of what is mounted (another cgroup namespace) can only be judged by the top.
  const bool inside = group.starts_with(root) &&
                      (group.size() == root.size() || group[root.size()] == '/') &&
                      group.find("/..") == std::string::npos;
  if (inside) below = group.substr(root.size());
  while (below.ends_with('/')) below.pop_back();
  std::vector<std::string> levels;
  while (true) {
    levels.push_back(mount.point + below);
    if (below.empty()) return levels;
    below.resize(below.rfind('/'));
  }
}

int AffinityCpus() {
  // The kernel refuses a mask smaller than its own: grow until it fits.
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const int result = sched_getaffinity(0, bytes, set);
    const int count = result == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (result == 0) return std::max(count, 1);
  }
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

}  // namespace

CpuLimit ComputeCpuLimit(int affinity_cpus, const ReadText& read) {
  CpuLimit limit{std::max(affinity_cpus, 1), "affinity mask"};
  const auto cgroup = read("/proc/self/cgroup");
  const auto mountinfo = read("/proc/self/mountinfo");
  if (!cgroup || !mountinfo) return limit;
  for (const Mount& mount : ParseMounts(*mountinfo)) {
    const auto group = ParseGroup(*cgroup, mount.v2);
    if (!group) continue;
    for (const std::string& directory : Levels(mount, *group)) {
      const auto quota = ReadQuota(directory, mount.v2, read);
      if (!quota || CpusOf(*quota) >= limit.cpus) continue;
      limit.cpus = CpusOf(*quota);
      limit.reason = "quota " + std::to_string(quota->quota) + "/" + std::to_string(quota->period) +
                     " in " + quota->file;
    }
  }
  return limit;
}

CpuLimit DetectCpuLimit() {
  return ComputeCpuLimit(AffinityCpus(), [](const std::string& path) -> std::optional<std::string> {
    std::ifstream in(path);
    if (!in) return std::nullopt;
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  });
}

}  // namespace marble::task
