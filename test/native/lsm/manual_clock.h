// A clock that tests move.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace marble::lsm::testing {

class ManualClock : public Clock {
 public:
  int64_t NowMs() const override { return now_.load(); }
  int64_t MonotonicMicros() const override { return Clock::System()->MonotonicMicros(); }
  void Advance(int64_t ms) { now_ += ms; }

 private:
  std::atomic<int64_t> now_{1'000'000};
};

}  // namespace marble::lsm::testing
