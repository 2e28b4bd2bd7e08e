// How long a write is held up, by what the engine is behind by.
#include "lsm/write_stall.h"

#include <gtest/gtest.h>

namespace marble::lsm {
namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;

StallLimits Limits() {
  StallLimits limits;
  limits.max_sealed = 3;
  limits.segment_bytes = 1 << 20;
  limits.level0_slowdown = 12;
  limits.level0_stop = 24;
  limits.pending_slowdown = 1000;
  limits.pending_stop = 2000;
  return limits;
}

TEST(WriteStall, NamesTheWorstReasonAndStopsAtALimit) {
  WriteStall stall(Limits());
  const auto after = [&](int sealed, size_t level0, uint64_t pending) {
    WriteStall::Load load;
    load.sealed = sealed;
    load.level0_files = level0;
    load.pending_bytes = pending;
    stall.Update(load);
    return std::pair(stall.reason(), stall.stopped());
  };
  EXPECT_EQ(after(1, 11, 999), std::pair(StallReason::kNone, false));
  EXPECT_EQ(after(2, 0, 0), std::pair(StallReason::kMemtables, false));
  EXPECT_EQ(after(3, 0, 0), std::pair(StallReason::kMemtables, true));
  EXPECT_EQ(after(0, 12, 0), std::pair(StallReason::kLevel0, false));
  EXPECT_EQ(after(0, 24, 0), std::pair(StallReason::kLevel0, true));
  EXPECT_EQ(after(0, 0, 1000), std::pair(StallReason::kPendingBytes, false));
  EXPECT_EQ(after(0, 0, 2000), std::pair(StallReason::kPendingBytes, true));
  EXPECT_EQ(after(0, 13, 1900), std::pair(StallReason::kPendingBytes, false));
  EXPECT_EQ(after(2, 23, 1100), std::pair(StallReason::kLevel0, false));
  EXPECT_NE(stall.Describe().find("level0SlowdownFiles is 12"), std::string::npos);
}

/// Bytes that one writer gets through in a second, in calls of so many bytes.
double Rate(WriteStall* stall, size_t bytes, microseconds* longest) {
  // A clock that only this test moves: a call takes as long as it is held up, and a bit.
  const auto start = steady_clock::now() + std::chrono::hours(1);
  auto now = start;
  double written = 0;
  while (now - start < std::chrono::seconds(1)) {
    const microseconds delay = stall->DelayFor(bytes, now);
    *longest = std::max(*longest, delay);
    now += delay + microseconds(1);
    written += static_cast<double>(bytes);
  }
  return written;
}

TEST(WriteStall, HoldsWritersUpTheMoreTheNearerTheLimitAndNeverLong) {
  for (const size_t bytes : {size_t{100}, size_t{2000}}) {
    double last = 1e18;
    for (size_t files = 12; files < 24; ++files) {
      WriteStall stall(Limits());
      WriteStall::Load load;
      load.level0_files = files;
      stall.Update(load);
      microseconds longest{0};
      const double rate = Rate(&stall, bytes, &longest);
      EXPECT_LE(longest, WriteStall::kMaxDelay);
      EXPECT_LE(rate, last * 1.01) << files;
      EXPECT_LE(rate, WriteStall::kFastest * 1.05);
      EXPECT_GE(rate, WriteStall::kSlowest * 0.2);
      if (files == 23) {
        EXPECT_LE(rate, WriteStall::kSlowest * 2);
      }
      last = rate;
    }
  }
  // While the last memtable fills, the rate falls with it.
  WriteStall stall(Limits());
  WriteStall::Load load;
  load.sealed = 2;
  stall.Update(load);
  microseconds longest{0};
  stall.SetActiveBytes(0);
  const double at_first = Rate(&stall, 1000, &longest);
  stall.SetActiveBytes(900 << 10);
  EXPECT_LT(Rate(&stall, 1000, &longest), at_first / 10);
}

TEST(WriteStall, ALargeBatchDoesNotHoldUpThoseWhoComeLater) {
  WriteStall stall(Limits());
  WriteStall::Load load;
  load.level0_files = 23;
  stall.Update(load);
  const auto now = steady_clock::now();
  EXPECT_EQ(stall.DelayFor(512 << 20, now), WriteStall::kMaxDelay);
  EXPECT_EQ(stall.DelayFor(100, now + std::chrono::milliseconds(100)), microseconds(0));
}

}  // namespace
}  // namespace marble::lsm
