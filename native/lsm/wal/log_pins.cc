#include "lsm/wal/log_pins.h"

#include <algorithm>

#include "lsm/wal/log_format.h"

namespace marble::lsm {

LogPins::Pin::~Pin() { pins_->Release(this); }

void LogPins::Pin::Advance(uint64_t segment) {
  std::lock_guard lock(pins_->mutex_);
  if (segment <= segment_.load()) return;
  segment_.store(segment, std::memory_order_release);
  pins_->Collect();
}

void LogPins::Start(uint64_t first, SequenceNumber sequence) {
  std::lock_guard lock(mutex_);
  next_ = first_segment_ = first;
  dropped_sequence_ = sequence;
}

std::shared_ptr<LogPins::Pin> LogPins::Take(uint64_t segment, bool may_be_lost) {
  auto pin = std::make_shared<Pin>();
  pin->pins_ = shared_from_this();
  pin->segment_.store(segment);
  pin->may_be_lost_ = may_be_lost;
  pins_.insert(pin.get());
  return pin;
}

std::shared_ptr<LogPins::Pin> LogPins::PinAll() {
  std::lock_guard lock(mutex_);
  return Take(0, false);
}

std::shared_ptr<LogPins::Pin> LogPins::PinBehind(SequenceNumber sequence) {
  std::lock_guard lock(mutex_);
  return sequence < dropped_sequence_ ? nullptr : Take(first_segment_, true);
}

void LogPins::Drop(const std::vector<std::string>& recovered, uint64_t last_segment,
                   SequenceNumber last_sequence) {
  std::vector<std::string> paths = recovered;
  uint64_t bytes = 0;
  bool pinned;
  {
    std::lock_guard lock(mutex_);
    pinned = !pins_.empty();
    // Also those that nothing was written to.
    for (; next_ <= last_segment; ++next_) {
      paths.push_back(dir_ + "/" + log_format::SegmentName(next_));
    }
  }
  if (pinned) {  // a size counts only for what is kept
    for (const std::string& path : paths) bytes += file_system_->Size(path).ValueOr(0);
  }
  std::lock_guard lock(mutex_);
  kept_.push_back({paths, last_segment, last_sequence, bytes});
  kept_bytes_ += bytes;
  Collect();
  while (kept_bytes_ > limit_bytes_) {
    Pin* oldest = nullptr;
    for (Pin* pin : pins_) {
      if (!pin->may_be_lost_ || pin->lost()) continue;
      if (oldest == nullptr || pin->segment() < oldest->segment()) oldest = pin;
    }
    // Only what is kept for it is worth taking it away.
    if (oldest == nullptr || kept_.empty() || oldest->segment() > kept_.front().last_segment) break;
    oldest->lost_.store(true, std::memory_order_release);
    Collect();
  }
}

void LogPins::Release(Pin* pin) {
  std::lock_guard lock(mutex_);
  pins_.erase(pin);
  Collect();
}

void LogPins::Collect() {
  uint64_t needed = UINT64_MAX;
  for (const Pin* pin : pins_) {
    if (!pin->lost()) needed = std::min(needed, pin->segment());
  }
  while (!kept_.empty() && kept_.front().last_segment < needed) {
    for (const std::string& path : kept_.front().paths) (void)file_system_->Remove(path);
    kept_bytes_ -= kept_.front().bytes;
    first_segment_ = kept_.front().last_segment + 1;
    dropped_sequence_ = kept_.front().last_sequence;
    kept_.pop_front();
  }
}

SequenceNumber LogPins::dropped_sequence() const {
  std::lock_guard lock(mutex_);
  return dropped_sequence_;
}

uint64_t LogPins::kept_bytes() const {
  std::lock_guard lock(mutex_);
  return kept_bytes_;
}

}  // namespace marble::lsm
