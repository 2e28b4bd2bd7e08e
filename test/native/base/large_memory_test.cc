#include "base/large_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

namespace marble {
namespace {

size_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

TEST(LargeMemoryTest, ComesZeroedAndWritableToItsLastByte) {
  for (const size_t bytes : {size_t{1}, size_t{4096}, kHugePageBytes - 1, kHugePageBytes,
                             kHugePageBytes + 1, 5 * kHugePageBytes - 7}) {
    for (int round = 0; round < 2; ++round) {  // the second gets what the first gave back
      LargeMemory memory(bytes);
      ASSERT_TRUE(std::all_of(memory.data(), memory.data() + bytes, [](uint8_t byte) {
        return byte == 0;
      })) << bytes;
      std::memset(memory.data(), 0xee, bytes);
    }
  }
}

TEST(LargeMemoryTest, BeginsAtAHugePage) {
  const LargeMemory memory(3 * kHugePageBytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % kHugePageBytes, 0u);
}

TEST(LargeMemoryTest, IsGivenBack) {
  constexpr size_t kBytes = 256 << 20;
  const size_t before = ResidentBytes();
  {
    LargeMemory memory(kBytes);
    std::memset(memory.data(), 1, kBytes);
    EXPECT_GE(ResidentBytes(), before + kBytes);
    LargeMemory other(std::move(memory));
    other = LargeMemory(16);
  }
  EXPECT_LT(ResidentBytes(), before + kBytes / 8);
}

TEST(LargeMemoryTest, ContainersGrowThroughTheLimit) {
  std::vector<uint64_t, LargeAllocator<uint64_t>> numbers;
  constexpr uint64_t kCount = 3 * kHugePageBytes / sizeof(uint64_t);
  for (uint64_t i = 0; i < kCount; ++i) numbers.push_back(i);
  numbers.shrink_to_fit();
  for (uint64_t i = 0; i < kCount; ++i) ASSERT_EQ(numbers[i], i);
}

}  // namespace
}  // namespace marble
