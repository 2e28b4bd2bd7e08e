// A blocked Bloom filter: every key sets its bits within one 64-byte cache line, so that a test
// costs one cache miss. Built from the one hash of a key: the line is the hash's position in
// [0, lines) by multiplication (its high bits), the bits come from its low 32 bits, multiplied
// by an odd constant for each further probe. The layout is part of the .idx format (FORMAT.md).
#pragma once

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
  /// Nothing when the bytes are malformed.
  static std::optional<BloomFilter> Parse(std::string_view section);

  bool MayContain(uint64_t hash) const {
    const uint8_t* line = LineOf(hash);
    auto bits = static_cast<uint32_t>(hash);
    for (int i = 0; i < probes_; ++i) {
      const uint32_t bit = bits >> 23;  // 512 bits in a line
      if ((line[bit / 8] >> (bit % 8) & 1) == 0) return false;
      bits *= kMultiplier;
    }
    return true;
  }
  void Prefetch(uint64_t hash) const { __builtin_prefetch(LineOf(hash)); }

  static constexpr uint32_t kMultiplier = 0x9e3779b9;
  static constexpr size_t kLineBytes = 64;

 private:
  const uint8_t* LineOf(uint64_t hash) const {
    return lines_ +
           static_cast<uint64_t>((static_cast<unsigned __int128>(hash) * num_lines_) >> 64) *
               kLineBytes;
  }

  const uint8_t* lines_ = nullptr;
  uint64_t num_lines_ = 0;
  int probes_ = 0;
};

}  // namespace marble::lsm
