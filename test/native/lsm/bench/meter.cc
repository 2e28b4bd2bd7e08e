#include "meter.h"

#include <dirent.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

namespace marble::lsm::bench {
namespace {

double Monotonic() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

void Sleep(double seconds) { ::usleep(static_cast<useconds_t>(seconds * 1e6)); }

/// Whether a thread of this process is in uninterruptible sleep.
bool WaitsForDisk() {
  DIR* tasks = ::opendir("/proc/self/task");
  if (tasks == nullptr) return false;
  bool found = false;
  while (const dirent* entry = ::readdir(tasks)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream file("/proc/self/task/" + std::string(entry->d_name) + "/stat");
    std::string line;
    std::getline(file, line);
    // The state comes behind the name, which may hold anything, in parentheses.
    const size_t at = line.rfind(") ");
    found = found || (at != std::string::npos && at + 2 < line.size() && line[at + 2] == 'D');
  }
  ::closedir(tasks);
  return found;
}

}  // namespace

Usage Usage::Now() {
  Usage now;
  std::ifstream io("/proc/self/io");
  std::string name;
  uint64_t value;
  while (io >> name >> value) {
    if (name == "read_bytes:") now.read_bytes = value;
    if (name == "write_bytes:") now.written_bytes = value;
    if (name == "cancelled_write_bytes:") now.cancelled_bytes = value;
  }
  std::ifstream stat("/proc/stat");
  std::string line;
  std::getline(stat, line);
  std::istringstream fields(line);
  uint64_t ticks[8] = {};  // user nice system idle iowait irq softirq steal
  fields >> name;
  for (uint64_t& field : ticks) fields >> field;
  now.machine_seconds =
      static_cast<double>(ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7]) /
      static_cast<double>(::sysconf(_SC_CLK_TCK));
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  now.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  now.seconds = Monotonic();
  return now;
}

Cost Cost::Between(const Usage& from, const Usage& to) {
  Cost cost;
  cost.seconds = to.seconds - from.seconds;
  cost.cpu_seconds = to.cpu_seconds - from.cpu_seconds;
  cost.written_bytes = to.written_bytes - from.written_bytes;
  cost.cancelled_bytes = to.cancelled_bytes - from.cancelled_bytes;
  cost.read_bytes = to.read_bytes - from.read_bytes;
  if (cost.seconds > 0) {
    const double machine = to.machine_seconds - from.machine_seconds;
    cost.others = std::max(0.0, (machine - cost.cpu_seconds) / cost.seconds);
  }
  return cost;
}

Status WaitUntilQuiet(const std::function<bool()>& busy) {
  constexpr double kWindow = 0.05;
  constexpr int kWindows = 4;
  constexpr double kLimit = 600;
  const double start = Monotonic();
  int quiet = 0;
  while (quiet < kWindows) {
    const Usage before = Usage::Now();
    Sleep(kWindow);
    const Cost cost = Cost::Between(before, Usage::Now());
    const bool idle =
        !busy() && !WaitsForDisk() && cost.cpu_seconds < 0.002 && cost.written_bytes == 0;
    quiet = idle ? quiet + 1 : 0;
    if (Monotonic() - start > kLimit) {
      return MakeError(ErrorCode::kTimedOut,
                       "background work did not end within ten minutes after a line that writes");
    }
  }
  return Status::OK();
}

double OperationClock::NanosecondsPerTick() {
  static const double kNanoseconds = [] {
    const double start = Monotonic();
    const uint64_t from = Ticks();
    Sleep(0.05);
    const uint64_t to = Ticks();
    return (Monotonic() - start) * 1e9 / static_cast<double>(to - from);
  }();
  return kNanoseconds;
}

}  // namespace marble::lsm::bench
