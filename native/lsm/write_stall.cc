#include "lsm/write_stall.h"

#include <algorithm>
#include <cmath>

namespace marble::lsm {
namespace {

/// Less is not worth a sleep: it is owed and added to the next one.
constexpr std::chrono::microseconds kMinDelay{200};
/// What is owed at most: a batch of many megabytes does not hold up those who come after it.
constexpr std::chrono::nanoseconds kMaxDebt{20'000'000};

/// How far `value` is on the way from `slow` to `stop`; below 0: not at all.
double Grade(double value, double slow, double stop) {
  if (value < slow) return -1;
  return stop > slow ? std::min(1.0, (value - slow) / (stop - slow)) : 1;
}

}  // namespace

const char* StallReasonName(StallReason reason) {
  switch (reason) {
    case StallReason::kNone:
      return "";
    case StallReason::kMemtables:
      return "memtables";
    case StallReason::kLevel0:
      return "level0";
    case StallReason::kPendingBytes:
      return "pendingCompactionBytes";
  }
  return "";
}

void WriteStall::Update(const Load& load) {
  load_ = load;
  const StallLimits& l = limits_;
  StallReason reason = StallReason::kNone;
  double grade = -1;
  const auto consider = [&](StallReason which, double its_grade) {
    if (its_grade > grade) {
      grade = its_grade;
      reason = which;
    }
  };
  // One memtable less than the limit: the active one fills while the grade grows with it.
  if (l.max_sealed > 1 && load.sealed == l.max_sealed - 1) consider(StallReason::kMemtables, 0);
  if (load.sealed >= l.max_sealed) consider(StallReason::kMemtables, 1);
  consider(StallReason::kLevel0,
           Grade(static_cast<double>(load.level0_files), static_cast<double>(l.level0_slowdown),
                 static_cast<double>(l.level0_stop)));
  consider(StallReason::kPendingBytes,
           Grade(static_cast<double>(load.pending_bytes), static_cast<double>(l.pending_slowdown),
                 static_cast<double>(l.pending_stop)));
  grade_.store(static_cast<float>(std::max(0.0, grade)), std::memory_order_relaxed);
  stopped_.store(load.sealed >= l.max_sealed || load.level0_files >= l.level0_stop ||
                     load.pending_bytes >= l.pending_stop,
                 std::memory_order_relaxed);
  reason_.store(static_cast<uint8_t>(reason));
}

std::chrono::microseconds WriteStall::DelayFor(size_t bytes,
                                               std::chrono::steady_clock::time_point now) {
  double grade = grade_.load(std::memory_order_relaxed);
  if (reason() == StallReason::kMemtables && limits_.segment_bytes > 0) {
    const auto filled = static_cast<double>(active_bytes_.load(std::memory_order_relaxed)) /
                        static_cast<double>(limits_.segment_bytes);
    grade = std::max(grade, std::min(1.0, filled));
  }
  const double rate = kFastest * std::pow(kSlowest / kFastest, grade);
  const auto cost = static_cast<int64_t>(static_cast<double>(bytes) * 1e9 / rate);
  const int64_t at =
      std::chrono::duration_cast<std::chrono::nanoseconds>(now.time_since_epoch()).count();
  int64_t before = paid_until_.load(std::memory_order_relaxed), after;
  do {
    after = std::min(std::max(before, at) + cost, at + kMaxDebt.count());
  } while (!paid_until_.compare_exchange_weak(before, after, std::memory_order_relaxed));
  const auto owed =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::nanoseconds(after - at));
  if (owed < kMinDelay) return std::chrono::microseconds(0);
  return std::min(owed, kMaxDelay);
}

std::string WriteStall::Describe() const {
  const auto of = [](uint64_t value, const char* what, const char* option, uint64_t limit) {
    return std::to_string(value) + " " + what + ", " + option + " is " + std::to_string(limit);
  };
  const Load& load = load_;
  switch (reason()) {
    case StallReason::kNone:
      return "";
    case StallReason::kMemtables:
      return of(static_cast<uint64_t>(load.sealed), "memtables wait for their flush",
                "maxImmutableGenerations", static_cast<uint64_t>(limits_.max_sealed));
    case StallReason::kLevel0:
      return of(load.level0_files, "files of a table wait in level 0",
                stopped() ? "level0StopFiles" : "level0SlowdownFiles",
                stopped() ? limits_.level0_stop : limits_.level0_slowdown);
    case StallReason::kPendingBytes:
      return of(load.pending_bytes, "bytes wait for their compaction",
                stopped() ? "pendingCompactionStopBytes" : "pendingCompactionSlowdownBytes",
                stopped() ? limits_.pending_stop : limits_.pending_slowdown);
  }
  return "";
}

}  // namespace marble::lsm
