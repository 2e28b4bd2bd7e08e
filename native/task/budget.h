// The budget of a slice: how long a long task may run before it lets others in.
//
// A sliced task is a function that is called again and again. Each call (a slice) works until its
// budget is used up, or until nothing is left, keeps where it was, and says which. Between two
// slices the task goes to the end of its priority's line, so that a short task never waits for
// a long one, only for a slice of it.
//
// A Slice belongs to the call that it was given to.
#pragma once

#include <cstdint>

#include "base/limits.h"
#include "task/cancellation.h"

namespace marble {
class Clock;
}

namespace marble::task {

struct Budget {
  int64_t micros = limits::kTaskSliceMicros;
  int64_t rows = limits::kTaskSliceRows;
};

/// What a slice says when it returns.
enum class Progress : uint8_t { kDone, kMore };

class Slice {
 public:
  Slice(const Budget& budget, const Clock* clock, CancellationToken token);

  /// Count rows that were worked on.
  void Charge(int64_t rows) { rows_left_ -= rows; }
  /// True when it is time to return kMore: rows or time are used up, or the group is cancelled.
  /// Reads the clock: ask once per batch, not per row.
  bool exhausted() const;
  const CancellationToken& token() const { return token_; }

 private:
  int64_t rows_left_;
  int64_t deadline_micros_;
  const Clock* clock_;
  CancellationToken token_;
};

}  // namespace marble::task
