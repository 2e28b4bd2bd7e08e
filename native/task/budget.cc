#include "task/budget.h"

#include <utility>

#include "base/clock.h"

namespace marble::task {

Slice::Slice(const Budget& budget, const Clock* clock, CancellationToken token)
    : rows_left_(budget.rows),
      deadline_micros_(clock->MonotonicMicros() + budget.micros),
      clock_(clock),
      token_(std::move(token)) {}

bool Slice::exhausted() const {
  return rows_left_ <= 0 || token_.cancelled() || clock_->MonotonicMicros() >= deadline_micros_;
}

}  // namespace marble::task
