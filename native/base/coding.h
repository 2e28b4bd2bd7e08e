// Fixed-width little-endian integers and LEB128 varints, the building blocks of every format.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace marble {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "formats are little-endian");

template <typename T>
inline void StoreFixed(void* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}
template <typename T>
inline T LoadFixed(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}
template <typename T>
inline void PutFixed(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(T));
}

inline constexpr int kMaxVarint64Bytes = 10;

/// Write a varint and return the position behind it. `to` has kMaxVarint64Bytes of room.
inline uint8_t* EncodeVarint(uint8_t* to, uint64_t value) {
  while (value >= 0x80) {
    *to++ = static_cast<uint8_t>(value) | 0x80;
    value >>= 7;
  }
  *to++ = static_cast<uint8_t>(value);
  return to;
}
inline void PutVarint(std::string* out, uint64_t value) {
  uint8_t buffer[kMaxVarint64Bytes];
  out->append(reinterpret_cast<char*>(buffer), EncodeVarint(buffer, value) - buffer);
}
inline void PutLengthPrefixed(std::string* out, std::string_view bytes) {
  PutVarint(out, bytes.size());
  out->append(bytes);
}

/// Read a varint from [from, end); nullptr when it is cut off or longer than 64 bits.
inline const uint8_t* DecodeVarint(const uint8_t* from, const uint8_t* end, uint64_t* value) {
  uint64_t result = 0;
  for (int shift = 0; shift < 64 && from < end; shift += 7) {
    const uint64_t byte = *from++;
    if (shift == 63 && byte > 1) return nullptr;
    result |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = result;
      return from;
    }
  }
  return nullptr;
}

/// A cursor over encoded bytes. Every read says whether it fitted; after a failure all fail.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes)
      : at_(reinterpret_cast<const uint8_t*>(bytes.data())), end_(at_ + bytes.size()) {}

  template <typename T>
  bool Fixed(T* value) {
    if (remaining() < sizeof(T)) return Fail();
    *value = LoadFixed<T>(at_);
    at_ += sizeof(T);
    return true;
  }
  bool Varint(uint64_t* value) {
    const uint8_t* next = DecodeVarint(at_, end_, value);
    if (next == nullptr) return Fail();
    at_ = next;
    return true;
  }
  bool Bytes(size_t length, std::string_view* value) {
    if (remaining() < length) return Fail();
    *value = {reinterpret_cast<const char*>(at_), length};
    at_ += length;
    return true;
  }
  bool LengthPrefixed(std::string_view* value) {
    uint64_t length;
    return Varint(&length) && Bytes(length, value);
  }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  const uint8_t* position() const { return at_; }

 private:
  bool Fail() {
    at_ = end_;
    return false;
  }
  const uint8_t* at_;
  const uint8_t* end_;
};

inline constexpr uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace marble
