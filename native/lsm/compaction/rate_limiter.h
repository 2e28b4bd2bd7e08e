// Keeps compactions to so many bytes a second, so that they leave the disk to reads and flushes:
// a token bucket that all compactions of a database share. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

#include "base/status.h"

namespace marble::lsm {

class RateLimiter {
 public:
  explicit RateLimiter(uint64_t bytes_per_second) : rate_(bytes_per_second) {}

  /// Takes effect at once, also for those who wait. 0: no limit.
  void SetRate(uint64_t bytes_per_second);
  uint64_t rate() const;

  /// Pay for bytes that were written: wait until the rate allows the next ones. `poll` is called
  /// now and then meanwhile; its error ends the wait and is returned.
  Status Pay(uint64_t bytes, const std::function<Status()>& poll);

 private:
  using SteadyClock = std::chrono::steady_clock;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t rate_;
  double owed_ = 0;  // bytes written beyond what the rate has allowed since then
  SteadyClock::time_point as_of_ = SteadyClock::now();
};

}  // namespace marble::lsm
