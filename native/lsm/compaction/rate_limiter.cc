#include "lsm/compaction/rate_limiter.h"

#include <algorithm>

#include "task/task_scheduler.h"

namespace marble::lsm {
namespace {
/// How long a wait may go on before it is asked whether it should.
constexpr std::chrono::milliseconds kPoll{10};
/// What an idle bucket saves up: a pause does not allow a burst longer than this.
constexpr double kBurstSeconds = 0.1;
}  // namespace

void RateLimiter::SetRate(uint64_t bytes_per_second) {
  std::lock_guard lock(mutex_);
  rate_ = bytes_per_second;
  changed_.notify_all();
}

uint64_t RateLimiter::rate() const {
  std::lock_guard lock(mutex_);
  return rate_;
}

Status RateLimiter::Pay(uint64_t bytes, const std::function<Status()>& poll) {
  std::unique_lock lock(mutex_);
  const auto settle = [&] {
    const auto now = SteadyClock::now();
    const std::chrono::duration<double> passed = now - as_of_;
    as_of_ = now;
    const auto rate = static_cast<double>(rate_);
    owed_ = std::max(owed_ - passed.count() * rate, -kBurstSeconds * rate);
  };
  settle();
  if (rate_ == 0) {
    owed_ = 0;
    return Status::OK();
  }
  owed_ += static_cast<double>(bytes);
  if (owed_ <= 0) return Status::OK();
  const task::BlockingScope blocking;
  while (owed_ > 0 && rate_ > 0) {
    const std::chrono::duration<double> due(owed_ / static_cast<double>(rate_));
    if (due < kPoll) {
      changed_.wait_for(lock, due);
    } else {
      changed_.wait_for(lock, kPoll);
    }
    settle();
    lock.unlock();
    MARBLE_RETURN_NOT_OK(poll());
    lock.lock();
  }
  if (rate_ == 0) owed_ = 0;
  return Status::OK();
}

}  // namespace marble::lsm
