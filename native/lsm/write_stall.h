// Slows writers down before they have to wait for flushes and compactions: the nearer a limit, the
// fewer bytes a second are let through, from kFastest at the first sign to kSlowest just below it.
//
// The database says what has changed (Update, one call at a time, under its mutex); writers ask
// without a lock. A call of a writer is held up for kMaxDelay at most: what it owes beyond that the
// next ones pay. At a limit itself writers wait, which is the database's part.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace marble::lsm {

enum class StallReason : uint8_t { kNone, kMemtables, kLevel0, kPendingBytes };
/// "", "memtables", "level0", "pendingCompactionBytes".
const char* StallReasonName(StallReason reason);

/// From where writers are slowed down and where they wait.
struct StallLimits {
  int max_sealed = 3;  // slowed down from one less
  uint64_t segment_bytes = 0;
  size_t level0_slowdown = 12;
  size_t level0_stop = 24;
  uint64_t pending_slowdown = 0;
  uint64_t pending_stop = 0;
};

class WriteStall {
 public:
  static constexpr std::chrono::microseconds kMaxDelay{1000};
  static constexpr double kFastest = 256e6;  // bytes/s
  static constexpr double kSlowest = 4e6;

  struct Load {
    int sealed = 0;              // memtable generations that wait for their flush
    size_t level0_files = 0;     // of the table that has most
    uint64_t pending_bytes = 0;  // of all tables
  };

  explicit WriteStall(const StallLimits& limits) : limits_(limits) {}

  void Update(const Load& load);
  /// Bytes in the log's current segment: how near the next memtable is.
  void SetActiveBytes(uint64_t bytes) { active_bytes_.store(bytes, std::memory_order_relaxed); }

  StallReason reason() const { return static_cast<StallReason>(reason_.load()); }
  /// Writers have to wait.
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }
  /// How long a write of so many bytes is to sleep; 0 mostly.
  std::chrono::microseconds DelayFor(size_t bytes, std::chrono::steady_clock::time_point now);
  /// The limit that holds writers up, for messages; call under the database's mutex.
  std::string Describe() const;

  const StallLimits& limits() const { return limits_; }

 private:
  const StallLimits limits_;
  Load load_;
  std::atomic<uint8_t> reason_{0};
  std::atomic<bool> stopped_{false};
  std::atomic<float> grade_{0};  // 0: at the first sign, 1: at the limit
  std::atomic<uint64_t> active_bytes_{0};
  std::atomic<int64_t> paid_until_{0};  // nanoseconds of the steady clock
};

}  // namespace marble::lsm
