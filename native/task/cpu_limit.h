// How many CPUs this process may use: the affinity mask, and the CPU quota of its control group.
//
// A container with a quota of 1.5 CPUs on a 64-core machine has 64 bits in its affinity mask;
// 64 threads there would use up the quota in the first milliseconds of each period and then all
// stand still. A fraction rounds up: half a CPU is one thread.
//
// Pure functions over the text of the kernel's files, so that tests can give their own.
// Thread-safe.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace marble::task {

struct CpuLimit {
  /// At least 1.
  int cpus = 1;
  /// What decided, for messages: "affinity mask" or "quota 150000/100000 in <file>".
  std::string reason;
};

/// The text of a file, or nullopt if it cannot be read.
using ReadText = std::function<std::optional<std::string>(const std::string& path)>;

/// The limit of this process, from /proc/self and the cgroup file systems it names.
CpuLimit DetectCpuLimit();

/// The smaller of `affinity_cpus` and every quota between the process's control group and the
/// root of its hierarchy, v2 (cpu.max) and v1 (cpu.cfs_quota_us), also where both are mounted.
/// What is missing or makes no sense is no limit.
CpuLimit ComputeCpuLimit(int affinity_cpus, const ReadText& read);

}  // namespace marble::task
