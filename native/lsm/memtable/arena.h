// Bump allocation for what lives as long as a memtable, zeroed. One thread allocates; memory_usage
// may be read by any.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/large_memory.h"

namespace marble::lsm {

class Arena {
 public:
  /// 8-byte aligned.
  void* Allocate(size_t bytes) {
    bytes = (bytes + 7) & ~size_t{7};
    if (bytes > left_) return AllocateChunk(bytes);
    uint8_t* result = at_;
    at_ += bytes;
    left_ -= bytes;
    return result;
  }
  /// One cache line.
  void* AllocateLine() {
    const size_t skip = -reinterpret_cast<uintptr_t>(at_) & (kLine - 1);
    if (skip + kLine <= left_) {
      at_ += skip;
      left_ -= skip;
      return Allocate(kLine);
    }
    // A chunk may begin anywhere.
    auto* memory = static_cast<uint8_t*>(AllocateChunk(2 * kLine - 8));
    memory += -reinterpret_cast<uintptr_t>(memory) & (kLine - 1);
    const auto unused = static_cast<size_t>(at_ - (memory + kLine));
    at_ -= unused;
    left_ += unused;
    return memory;
  }
  size_t memory_usage() const { return usage_.load(std::memory_order_relaxed); }

 private:
  void* AllocateChunk(size_t bytes) {
    if (bytes > kMaxChunk / 4) return NewChunk(bytes);  // the current chunk goes on
    next_chunk_ = next_chunk_ < kMaxChunk ? next_chunk_ * 2 : kMaxChunk;
    const size_t size = next_chunk_ > bytes ? next_chunk_ : bytes;
    at_ = NewChunk(size) + bytes;
    left_ = size - bytes;
    return at_ - bytes;
  }
  uint8_t* NewChunk(size_t bytes) {
    chunks_.emplace_back(bytes);
    usage_.fetch_add(bytes, std::memory_order_relaxed);
    return chunks_.back().data();
  }

  static constexpr size_t kLine = 64;
  static constexpr size_t kMaxChunk = kHugePageBytes;
  size_t next_chunk_ = 2048;
  uint8_t* at_ = nullptr;
  size_t left_ = 0;
  std::vector<LargeMemory> chunks_;
  std::atomic<size_t> usage_{0};
};

}  // namespace marble::lsm
