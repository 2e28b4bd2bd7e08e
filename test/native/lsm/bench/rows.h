// The rows that every side stores, made from numbers: nothing is read from disk and nothing is
// random beyond a fixed seed, so that two runs write the same bytes.
//
// Keys have 16 bytes. Row i has the number 2 * i; the odd numbers between are the missing keys,
// so that they lie inside of every file's key range and only a filter or a lookup can refuse
// them. Values have 100 bytes: eight that say row and version (what a reader verifies), the rest
// a piece of a pool of random bytes.
//
// Immutable; any thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace marble::lsm::bench {

inline constexpr size_t kKeyBytes = 16;
inline constexpr size_t kValueBytes = 100;

/// kNumber: eight bytes of the number, big-endian, and eight of '0', as RocksDB's db_bench makes
/// them. kText: sixteen decimal digits, so that the first eight bytes of most keys are equal.
enum class KeyShape { kNumber, kText };

/// splitmix64: two nanoseconds a number, which all sides pay.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15); }
  /// Below `n`.
  uint64_t Below(uint64_t n) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * n) >> 64);
  }
  static uint64_t Mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

/// Room for one row in the making.
struct RowBuffer {
  char key[kKeyBytes];
  char value[kValueBytes];
};

class Rows {
 public:
  Rows(uint64_t count, KeyShape shape);

  uint64_t count() const { return count_; }
  KeyShape shape() const { return shape_; }
  /// Bytes of keys and values.
  uint64_t user_bytes() const { return count_ * (kKeyBytes + kValueBytes); }

  std::string_view Key(uint64_t row, RowBuffer* buffer) const { return Numbered(row * 2, buffer); }
  std::string_view MissingKey(uint64_t row, RowBuffer* buffer) const {
    return Numbered(row * 2 + 1, buffer);
  }
  /// The number of a key made here.
  uint64_t NumberOf(std::string_view key) const;

  /// Versions are small numbers, one per line that writes.
  std::string_view Value(uint64_t row, uint8_t version, RowBuffer* buffer) const {
    const uint64_t mark = MarkOf(row) + version;
    std::memcpy(buffer->value, &mark, sizeof(mark));
    const char* from = pool_.data() + (mark * 0x9e3779b97f4a7c15 >> (64 - kPoolBits));
    std::memcpy(buffer->value + sizeof(mark), from, kValueBytes - sizeof(mark));
    return {buffer->value, kValueBytes};
  }
  /// The version that the first bytes of a value of `row` say; more than 255 for any other value.
  static uint64_t VersionOf(uint64_t row, uint64_t first_bytes) {
    return first_bytes - MarkOf(row);
  }

  /// All rows in a random order that depends on `seed` alone.
  std::vector<uint32_t> Shuffled(uint64_t seed) const;

 private:
  static constexpr int kPoolBits = 16;

  static uint64_t MarkOf(uint64_t row) { return Random::Mix(row + 1); }
  std::string_view Numbered(uint64_t number, RowBuffer* buffer) const {
    if (shape_ == KeyShape::kNumber) {
      const uint64_t big_endian = __builtin_bswap64(number);
      std::memcpy(buffer->key, &big_endian, 8);
      std::memset(buffer->key + 8, '0', 8);
    } else {
      for (size_t i = kKeyBytes; i-- > 0; number /= 10) {
        buffer->key[i] = static_cast<char>('0' + number % 10);
      }
    }
    return {buffer->key, kKeyBytes};
  }

  const uint64_t count_;
  const KeyShape shape_;
  std::string pool_;
};

}  // namespace marble::lsm::bench
