// Wall and monotonic time behind an interface, so that tests can move it.
#pragma once

#include <chrono>
#include <cstdint>

namespace marble {

/// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Milliseconds since the epoch, UTC.
  virtual int64_t NowMs() const = 0;
  /// Microseconds on a clock that never goes back.
  virtual int64_t MonotonicMicros() const = 0;
  /// The machine's clock.
  static const Clock* System();
};

}  // namespace marble
