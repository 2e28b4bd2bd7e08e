#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <string>

namespace marble {
namespace {

TEST(Crc32c, MatchesThePublishedVectors) {
  // RFC 3720, B.4, and the check value of the CRC catalogue.
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string up(32, '\0');
  std::iota(up.begin(), up.end(), 0);
  EXPECT_EQ(Crc32c(up), 0x46dd794eu);
  EXPECT_EQ(Crc32c(std::string(up.rbegin(), up.rend())), 0x113fdb5cu);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(Crc32c, TheCpusInstructionAndTheTableAgreeAtEveryLengthAndAlignment) {
  std::mt19937_64 random(1);
  std::string bytes(4096, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  for (size_t from = 0; from < 16; ++from) {
    for (size_t size = 0; size < 300; ++size) {
      const auto seed = static_cast<uint32_t>(random());
      ASSERT_EQ(ExtendCrc32c(seed, bytes.data() + from, size),
                ExtendCrc32cPortable(seed, bytes.data() + from, size));
    }
  }
  EXPECT_EQ(Crc32c(bytes), ExtendCrc32cPortable(0, bytes.data(), bytes.size()));
}

TEST(Crc32c, ExtendingByPartsIsTheCrcOfTheWhole) {
  const std::string bytes = "the quick brown fox jumps over the lazy dog";
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    const uint32_t first = Crc32c(bytes.data(), cut);
    EXPECT_EQ(ExtendCrc32c(first, bytes.data() + cut, bytes.size() - cut), Crc32c(bytes));
  }
}

TEST(Crc32c, JoinedFromPiecesItIsTheCrcOfTheWhole) {
  std::mt19937_64 random(2);
  std::string bytes(3 * 4096 + 5, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  for (const size_t size :
       {size_t{1}, size_t{2}, size_t{7}, size_t{64}, size_t{1000}, size_t{4096}}) {
    const Crc32cJoiner joiner(size);
    uint32_t joined = 0;
    size_t at = 0;
    for (; at + size <= bytes.size(); at += size) {
      joined = joiner.Append(joined, Crc32c(bytes.data() + at, size));
    }
    EXPECT_EQ(joined, Crc32c(bytes.data(), at)) << size;
  }
}

TEST(Crc32c, AMaskedCrcOfNothingIsNotZero) { EXPECT_NE(MaskCrc(Crc32c("")), 0u); }

}  // namespace
}  // namespace marble
