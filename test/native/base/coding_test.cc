#include "base/coding.h"

#include <gtest/gtest.h>

#include <random>

#include "base/hash.h"
#include "base/status.h"

namespace marble {
namespace {

TEST(Coding, VarintsOfAllLengthsComeBackAndCutOnesAreRefused) {
  std::mt19937_64 random(3);
  for (int bits = 0; bits <= 64; ++bits) {
    for (int i = 0; i < 50; ++i) {
      const uint64_t value = bits == 0 ? 0 : random() >> (64 - bits);
      std::string bytes;
      PutVarint(&bytes, value);
      const auto* from = reinterpret_cast<const uint8_t*>(bytes.data());
      uint64_t back = 0;
      ASSERT_EQ(DecodeVarint(from, from + bytes.size(), &back), from + bytes.size());
      ASSERT_EQ(back, value);
      for (size_t cut = 0; cut < bytes.size(); ++cut) {
        ASSERT_EQ(DecodeVarint(from, from + cut, &back), nullptr);
      }
    }
  }
}

TEST(Coding, AVarintOfMoreThan64BitsIsRefused) {
  const std::string bytes = std::string(9, '\xff') + '\x02';
  const auto* from = reinterpret_cast<const uint8_t*>(bytes.data());
  uint64_t value;
  EXPECT_EQ(DecodeVarint(from, from + bytes.size(), &value), nullptr);
}

TEST(Coding, ADecoderThatFailedOnceFailsForEver) {
  std::string bytes;
  PutFixed<uint32_t>(&bytes, 7);
  PutLengthPrefixed(&bytes, "abc");
  Decoder decoder(bytes);
  uint32_t number;
  std::string_view text;
  ASSERT_TRUE(decoder.Fixed(&number));
  EXPECT_EQ(number, 7u);
  ASSERT_TRUE(decoder.LengthPrefixed(&text));
  EXPECT_EQ(text, "abc");
  EXPECT_FALSE(decoder.Fixed(&number));
  EXPECT_FALSE(decoder.Bytes(1, &text));
  EXPECT_EQ(decoder.remaining(), 0u);
}

TEST(Hash, IsXxh3With64BitsAndSeedZero) {
  // Part of the file formats: these are XXH3's own values for its published test inputs.
  EXPECT_EQ(HashKey(""), 0x2d06800538d394c2ull);
  EXPECT_EQ(HashKey("a"), 0xe6c632b61e964e1full);
  EXPECT_EQ(HashKey("abc"), 0x78af5f94892f3950ull);
}

TEST(Status, CarriesItsCodeAndMessage) {
  const auto [codes, count] = AllErrorCodes();
  for (size_t i = 0; i < count; ++i) {
    const Status status = MakeError(codes[i], "what, where");
    EXPECT_EQ(CodeOf(status), codes[i]);
    EXPECT_EQ(MessageOf(status), "what, where");
    EXPECT_EQ(ErrorCodeName(codes[i]).substr(0, 7), "MARBLE_");
  }
  EXPECT_EQ(CodeOf(IoError("write", "/x", ENOSPC)), ErrorCode::kNoSpace);
  EXPECT_EQ(CodeOf(IoError("write", "/x", EIO)), ErrorCode::kIo);
  EXPECT_EQ(CodeOf(Status::Invalid("arrow's own")), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace marble
