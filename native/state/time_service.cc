#include "state/time_service.h"

namespace marble::state {

std::vector<int64_t> TimeService::AdvanceTo(int64_t watermark) {
  std::vector<int64_t> due;
  if (watermark <= watermark_) return due;
  watermark_ = watermark;
  const auto end = timers_.upper_bound(watermark);
  due.assign(timers_.begin(), end);
  timers_.erase(timers_.begin(), end);
  last_registered_ = kMinWatermark;
  return due;
}

}  // namespace marble::state
