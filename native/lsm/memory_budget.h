// How a database's memory budget is divided, and what each part holds now. Thread-safe.
//
// 3/4 are for memtables: rows in the log's mapping or in memory, and their indexes. Each generation
// may hold an equal share: the active one is sealed when it has reached it, and writers wait when
// as many as there may be are waiting for their flush. 2/16 are for rows on their way into files:
// the size of chunks and batches follows from it. 1/16 is for arrays over mapped files that are
// kept for the next read, 1/16 for decoded batches of compressed files (sst/decoded_cache.h). Pages
// of mapped SSTables are the system's to drop: they do not count.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

#include "base/limits.h"

namespace marble::lsm {

class MemoryBudget {
 public:
  static constexpr uint64_t kLeast = 8 << 20;
  /// One part in so many is for decoded batches: their cache keeps to it.
  static constexpr uint64_t kDecodedPart = 16;

  /// `bytes` 0: no budget. `generations`: of memtables, the active one included; `pipelines`:
  /// flushes and parts of compactions at once.
  MemoryBudget(uint64_t bytes, int generations, int pipelines)
      : bytes_(bytes),
        generation_bytes_(bytes / 4 * 3 / static_cast<uint64_t>(generations)),
        chunk_bytes_(bytes == 0
                         ? kMostChunkBytes
                         : std::clamp(bytes / 16 * 2 /
                                          (kChunksOfPipeline * static_cast<uint64_t>(pipelines)),
                                      kLeastChunkBytes, kMostChunkBytes)) {}

  uint64_t bytes() const { return bytes_; }
  /// At which the active generation is sealed; 0: no limit but the log segment's.
  uint64_t generation_bytes() const { return generation_bytes_; }
  /// Of a chunk on its way into a file, and of a record batch in one.
  uint64_t chunk_bytes() const { return chunk_bytes_; }

  /// Whether arrays of so many bytes may be kept; they are counted then until ReleaseArrays.
  bool KeepArrays(uint64_t bytes) {
    const uint64_t before = arrays_.fetch_add(bytes, std::memory_order_relaxed);
    if (bytes_ == 0 || before + bytes <= bytes_ / 16) return true;
    ReleaseArrays(bytes);
    return false;
  }
  void ReleaseArrays(uint64_t bytes) { arrays_.fetch_sub(bytes, std::memory_order_relaxed); }
  uint64_t arrays() const { return arrays_.load(std::memory_order_relaxed); }
  /// Decoded batches that are kept.
  void ChargeDecoded(uint64_t bytes) { decoded_.fetch_add(bytes, std::memory_order_relaxed); }
  void ReleaseDecoded(uint64_t bytes) { decoded_.fetch_sub(bytes, std::memory_order_relaxed); }
  uint64_t decoded() const { return decoded_.load(std::memory_order_relaxed); }
  uint64_t chunks() const { return chunks_.load(std::memory_order_relaxed); }

 private:
  friend class ChunkCharge;
  /// Gathered chunks of one pipeline: waiting, being made, being written, held by the batch of the
  /// file that is written and of two that wait for their index or get it.
  static constexpr uint64_t kChunksOfPipeline = 7;
  static constexpr uint64_t kLeastChunkBytes = 64 << 10;
  static constexpr uint64_t kMostChunkBytes = 8 << 20;

  const uint64_t bytes_;
  const uint64_t generation_bytes_;
  const uint64_t chunk_bytes_;
  std::atomic<uint64_t> arrays_{0};
  std::atomic<uint64_t> decoded_{0};
  std::atomic<uint64_t> chunks_{0};
};

/// Counts a chunk for as long as it lives. The budget must outlive it.
class ChunkCharge {
 public:
  ChunkCharge() = default;
  ChunkCharge(MemoryBudget* budget, uint64_t bytes)
      : budget_(budget), bytes_(budget == nullptr ? 0 : bytes) {
    if (budget_ != nullptr) budget_->chunks_.fetch_add(bytes_, std::memory_order_relaxed);
  }
  ChunkCharge(ChunkCharge&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
  ChunkCharge& operator=(ChunkCharge&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~ChunkCharge() {
    if (budget_ != nullptr) budget_->chunks_.fetch_sub(bytes_, std::memory_order_relaxed);
  }

 private:
  MemoryBudget* budget_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace marble::lsm
