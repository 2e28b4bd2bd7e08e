// Memory of megabytes that is reached at random, on huge pages where the system has them: what
// such memory costs otherwise is the page table (a fault for each 4 KiB when it is first written,
// and a walk of the table in most reads). Smaller memory comes from the C library.
//
// Pure functions; any thread. Memory comes zeroed. When there is none, std::bad_alloc, as from new.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace marble {

/// Sizes from here on get whole huge pages.
inline constexpr size_t kHugePageBytes = 2 << 20;

void* AllocateLarge(size_t bytes);
/// `bytes`: as at the allocation.
void FreeLarge(void* memory, size_t bytes) noexcept;

/// Owns it.
class LargeMemory {
 public:
  explicit LargeMemory(size_t bytes) : data_(AllocateLarge(bytes)), size_(bytes) {}
  ~LargeMemory() {
    if (data_ != nullptr) FreeLarge(data_, size_);
  }
  LargeMemory(LargeMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
  LargeMemory& operator=(LargeMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  uint8_t* data() const { return static_cast<uint8_t*>(data_); }
  size_t size() const { return size_; }

 private:
  void* data_;
  size_t size_;
};

/// The same for containers.
template <typename T>
struct LargeAllocator {
  using value_type = T;

  LargeAllocator() = default;
  template <typename U>
  LargeAllocator(const LargeAllocator<U>&) {}  // NOLINT(google-explicit-constructor): a container's

  T* allocate(size_t n) { return static_cast<T*>(AllocateLarge(n * sizeof(T))); }
  void deallocate(T* memory, size_t n) noexcept { FreeLarge(memory, n * sizeof(T)); }
  bool operator==(const LargeAllocator&) const { return true; }
};

}  // namespace marble
