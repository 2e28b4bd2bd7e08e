#include "base/large_memory.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <new>

namespace marble {

#ifdef __linux__
namespace {

size_t WholePages(size_t bytes) { return (bytes + kHugePageBytes - 1) & ~(kHugePageBytes - 1); }

}  // namespace
#endif

void* AllocateLarge(size_t bytes) {
#ifdef __linux__
  if (bytes >= kHugePageBytes) {
    // One page more than needed, and what lies outside of the alignment given back.
    const size_t size = WholePages(bytes);
    void* mapped = ::mmap(nullptr, size + kHugePageBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    auto* begin = static_cast<uint8_t*>(mapped);
    auto* data = reinterpret_cast<uint8_t*>(WholePages(reinterpret_cast<uintptr_t>(begin)));
    if (data > begin) ::munmap(begin, data - begin);
    ::munmap(data + size, begin + kHugePageBytes - data);
    ::madvise(data, size, MADV_HUGEPAGE);  // refused where there are none
    return data;
  }
#endif
  void* memory = std::calloc(1, bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void FreeLarge(void* memory, size_t bytes) noexcept {
#ifdef __linux__
  if (bytes >= kHugePageBytes) {
    ::munmap(memory, WholePages(bytes));
    return;
  }
#endif
  (void)bytes;
  std::free(memory);
}

}  // namespace marble
