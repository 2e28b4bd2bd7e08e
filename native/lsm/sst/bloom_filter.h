// A blocked Bloom filter: every key sets its bits within one 64-byte cache line, so that a test
// costs one cache miss. Built from the one hash of a key: the line is the hash's position in
// [0, lines) by multiplication (its high bits), the bits come from its low 32 bits, multiplied
// by an odd constant for each further probe. The layout is part of the .idx format (FORMAT.md).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace marble::lsm {

/// The section's bytes for these keys. `bits_per_key` is above 0.
std::string BuildBloomFilter(const std::vector<uint64_t>& hashes, double bits_per_key);

/// A filter where it lies, in a mapping that outlives it. Immutable.
class BloomFilter {
 public:
  /// Nothing when the bytes are malformed. Only the header is looked at.
  static std::optional<BloomFilter> Parse(std::string_view section);

  bool MayContain(uint64_t hash) const {
    const uint8_t* line = LineOf(hash);
    const auto bits = static_cast<uint32_t>(hash);
    // All of them: where the first missing bit is cannot be predicted, and to look on costs less.
    uint32_t all = 1;
    for (int i = 0; i < probes_; ++i) {
      const uint32_t bit = bits * kFactors[i] >> 23;  // 512 bits in a line
      all &= static_cast<uint32_t>(line[bit / 8]) >> (bit % 8);
    }
    return all != 0;
  }
  void Prefetch(uint64_t hash) const { __builtin_prefetch(LineOf(hash)); }

  /// The line that a hash is tested in.
  const uint8_t* LineOf(uint64_t hash) const {
    return lines_ +
           static_cast<uint64_t>((static_cast<unsigned __int128>(hash) * num_lines_) >> 64) *
               kLineBytes;
  }

  static constexpr uint32_t kMultiplier = 0x9e3779b9;
  static constexpr int kMaxProbes = 16;
  static constexpr size_t kLineBytes = 64;
  static constexpr size_t kHeaderBytes = 64;  // keeps the lines aligned

 private:
  /// The powers of the multiplier.
  static constexpr std::array<uint32_t, kMaxProbes> kFactors = [] {
    std::array<uint32_t, kMaxProbes> factors{};
    uint32_t factor = 1;
    for (uint32_t& f : factors) {
      f = factor;
      factor *= kMultiplier;
    }
    return factors;
  }();

  const uint8_t* lines_ = nullptr;
  uint64_t num_lines_ = 0;
  int probes_ = 0;
};

}  // namespace marble::lsm
