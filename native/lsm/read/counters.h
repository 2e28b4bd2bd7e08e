// Counters of a database, relaxed atomics: any thread.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace marble::lsm {

/// What every lookup counts. The first threads of the process that look something up have a cache
/// line each, to which nobody else writes: no locked instruction, which costs a twentieth of a
/// lookup. Later ones share a line.
class LookupCounters {
 public:
  void Add(uint64_t gets, uint64_t negatives) {
    const size_t slot = Slot();
    Line& line = lines_[slot];
    if (slot == kOwnLines) {
      line.gets.fetch_add(gets, std::memory_order_relaxed);
      line.negatives.fetch_add(negatives, std::memory_order_relaxed);
      return;
    }
    line.gets.store(line.gets.load(std::memory_order_relaxed) + gets, std::memory_order_relaxed);
    line.negatives.store(line.negatives.load(std::memory_order_relaxed) + negatives,
                         std::memory_order_relaxed);
  }
  uint64_t gets() const {
    uint64_t sum = 0;
    for (const Line& line : lines_) sum += line.gets.load(std::memory_order_relaxed);
    return sum;
  }
  /// Files that bounds or a Bloom filter left out.
  uint64_t negatives() const {
    uint64_t sum = 0;
    for (const Line& line : lines_) sum += line.negatives.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  static constexpr size_t kOwnLines = 15;
  struct alignas(64) Line {
    std::atomic<uint64_t> gets{0};
    std::atomic<uint64_t> negatives{0};
  };
  /// This thread's line; kOwnLines: the shared one. No number is given twice.
  static size_t Slot() {
    static std::atomic<size_t> next{0};
    static thread_local size_t slot = SIZE_MAX;
    if (slot == SIZE_MAX) slot = std::min(next.fetch_add(1), kOwnLines);
    return slot;
  }

  std::array<Line, kOwnLines + 1> lines_;
};

struct DbCounters {
  std::atomic<uint64_t> flushes{0};
  std::atomic<uint64_t> compactions{0};
  std::atomic<uint64_t> expired_files{0};   // dropped unread
  std::atomic<uint64_t> expired_bytes{0};   // of them
  std::atomic<uint64_t> stalls{0};          // times that writers began to be held up
  std::atomic<uint64_t> delayed_writes{0};  // that slept for a moment
  std::atomic<uint64_t> stopped_writes{0};  // that had to wait
  std::atomic<uint64_t> stall_micros{0};    // of both
  LookupCounters lookups;
  std::atomic<uint64_t> clean_batches{0};
  std::atomic<uint64_t> merged_batches{0};
  std::atomic<uint64_t> files_out_of_range{0};
  std::atomic<uint64_t> batches_out_of_range{0};
  std::atomic<uint64_t> batches_pruned{0};
  std::atomic<uint64_t> rows_filtered{0};
  std::atomic<uint64_t> rows_from_metadata{0};

  static void Add(std::atomic<uint64_t>& counter, uint64_t n = 1) {
    counter.fetch_add(n, std::memory_order_relaxed);
  }
};

}  // namespace marble::lsm
