// CRC-32C (Castagnoli), the checksum of every format. Uses the CPU's instruction where there is
// one (SSE4.2), else a table: chosen once, at the first call. Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace marble {

/// Extend `crc` (0 to begin with) by `size` bytes.
uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size);

inline uint32_t Crc32c(const void* data, size_t size) { return ExtendCrc32c(0, data, size); }
inline uint32_t Crc32c(std::string_view bytes) { return Crc32c(bytes.data(), bytes.size()); }

/// Mask a CRC for storing beside the data it covers, so that a CRC of data that contains CRCs
/// stays strong, and so that a run of zeros is never valid (the masked CRC of nothing is not 0).
inline uint32_t MaskCrc(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

/// Turns CRCs of pieces of one size into that of the pieces behind each other, without their bytes.
class Crc32cJoiner {
 public:
  /// Of pieces of `size` bytes each.
  explicit Crc32cJoiner(uint64_t size);
  /// The CRC of what `before` is of, followed by the piece that `piece` is of.
  uint32_t Append(uint32_t before, uint32_t piece) const {
    return shift_[0][before & 0xff] ^ shift_[1][before >> 8 & 0xff] ^
           shift_[2][before >> 16 & 0xff] ^ shift_[3][before >> 24] ^ piece;
  }

 private:
  /// What a CRC becomes behind `size` zeros, by each of its bytes.
  std::array<std::array<uint32_t, 256>, 4> shift_;
};

/// The table version, exposed so that a test can compare it with the CPU's.
uint32_t ExtendCrc32cPortable(uint32_t crc, const void* data, size_t size);

}  // namespace marble
