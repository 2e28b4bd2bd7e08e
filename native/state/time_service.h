// Event-time timers of one operator: one per time (a window's end), however many groups it has.
// Ordered; a time is due when the watermark has reached it. One thread, the operator's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

namespace marble::state {

inline constexpr int64_t kMinWatermark = std::numeric_limits<int64_t>::min();
inline constexpr int64_t kMaxWatermark = std::numeric_limits<int64_t>::max();

class TimeService {
 public:
  /// Register a timer. Registering a time twice is one timer.
  void Register(int64_t time) {
    if (time == last_registered_) return;
    last_registered_ = time;
    timers_.insert(time);
  }

  /// Move to `watermark` and take the timers that are due, earliest first. A watermark behind
  /// the current one changes nothing: time never regresses.
  std::vector<int64_t> AdvanceTo(int64_t watermark);

  int64_t watermark() const { return watermark_; }
  size_t size() const { return timers_.size(); }

 private:
  std::set<int64_t> timers_;
  int64_t watermark_ = kMinWatermark;
  int64_t last_registered_ = kMinWatermark;
};

}  // namespace marble::state
