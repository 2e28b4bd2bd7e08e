// Counters of a database, relaxed atomics: any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace marble::lsm {

struct DbCounters {
  std::atomic<uint64_t> flushes{0};
  std::atomic<uint64_t> compactions{0};
  std::atomic<uint64_t> expired_files{0};   // dropped unread
  std::atomic<uint64_t> expired_bytes{0};   // of them
  std::atomic<uint64_t> stalls{0};          // times that writers began to be held up
  std::atomic<uint64_t> delayed_writes{0};  // that slept for a moment
  std::atomic<uint64_t> stopped_writes{0};  // that had to wait
  std::atomic<uint64_t> stall_micros{0};    // of both
  std::atomic<uint64_t> gets{0};
  std::atomic<uint64_t> bloom_negatives{0};
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
