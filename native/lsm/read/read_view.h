// What a read sees: every version up to a sequence number, and of those that expire the ones that
// had not at a moment.
#pragma once

#include <cstdint>

#include "base/types.h"

namespace marble::lsm {

struct ReadView {
  SequenceNumber sequence = 0;
  /// ms since the epoch; 0: nothing has expired (tables without expiry do not ask the clock).
  int64_t now_ms = 0;

  /// `expires` 0: never.
  bool Expired(int64_t expires) const { return expires != 0 && expires <= now_ms; }
};

}  // namespace marble::lsm
