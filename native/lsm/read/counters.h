// Counters of a database, relaxed atomics: any thread.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace marble::lsm {

/// What every lookup counts. Some threads of the process that look something up have a cache line
/// each, to which nobody else writes: no locked instruction, which costs a twentieth of a lookup. A
/// thread that ends gives its line back; one that finds none free uses a line with the others.
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
  /// Whether this thread counts in a line of its own.
  static bool has_own_line() { return Slot() < kOwnLines; }
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
  /// This thread's line; kOwnLines: the shared one. No line is two threads' at a time.
  static size_t Slot() {
    static thread_local size_t slot = SIZE_MAX;
    if (slot == SIZE_MAX) {
      static thread_local const Lease lease(&slot);
    }
    return slot;
  }
  /// A line for as long as the thread lives.
  class Lease {
   public:
    explicit Lease(size_t* slot) : slot_(slot) {
      uint32_t taken = taken_.load(std::memory_order_relaxed);
      do {
        *slot_ = static_cast<size_t>(std::countr_one(taken));
        if (*slot_ == kOwnLines) return;
        // Acquire: what the thread that had it last has counted.
      } while (!taken_.compare_exchange_weak(taken, taken | 1u << *slot_, std::memory_order_acquire,
                                             std::memory_order_relaxed));
    }
    ~Lease() {
      const size_t mine = std::exchange(*slot_, kOwnLines);
      if (mine < kOwnLines) taken_.fetch_and(~(1u << mine), std::memory_order_release);
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

   private:
    static inline std::atomic<uint32_t> taken_{0};  // a bit for each line
    size_t* const slot_;
  };

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
