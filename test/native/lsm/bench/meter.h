// What a piece of work has cost: wall time, this process's CPU time and bytes written, and how much
// of the machine others used meanwhile. And the clock of single operations.
#pragma once

#include <cstdint>
#include <functional>

#include "base/status.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#else
#include <chrono>
#endif

namespace marble::lsm::bench {

/// Counters at one moment. All only grow.
struct Usage {
  double seconds = 0;      // a monotonic clock
  double cpu_seconds = 0;  // of this process, user and system
  /// /proc/self/io: page cache made dirty, by write or through a mapping; and what of it was
  /// dropped again before it reached the disk, because its file was removed.
  uint64_t written_bytes = 0;
  uint64_t cancelled_bytes = 0;
  uint64_t read_bytes = 0;     // from the disk
  double machine_seconds = 0;  // CPU time that anybody used, also other guests (steal)

  static Usage Now();
};

struct Cost {
  double seconds = 0;
  double cpu_seconds = 0;
  uint64_t written_bytes = 0;
  uint64_t cancelled_bytes = 0;
  uint64_t read_bytes = 0;
  double others = 0;  // cores that others used

  static Cost Between(const Usage& from, const Usage& to);
};

/// Wait until this process has done nothing for a fifth of a second: `busy` is false, no CPU
/// time is used, nothing written and no thread waits for the disk. kTimedOut after ten minutes.
Status WaitUntilQuiet(const std::function<bool()>& busy);

/// The clock for single operations: the time stamp counter where there is one.
class OperationClock {
 public:
  static uint64_t Ticks() {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
  }
  /// Measured once, over 50 ms.
  static double NanosecondsPerTick();
};

}  // namespace marble::lsm::bench
