// Sorted keys as numbers: the eight bytes behind what all of them share, so that most of a binary
// search follows no pointer. Immutable once built.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace marble::lsm {

/// The first eight bytes of a key as a number that orders as the bytes do (ties: compare all).
inline uint64_t KeyPrefix(std::string_view key) {
  uint64_t prefix = 0;
  if (key.size() >= 8) {
    std::memcpy(&prefix, key.data(), 8);
  } else {
    std::memcpy(&prefix, key.data(), key.size());
  }
  return __builtin_bswap64(prefix);
}

/// How many bytes two keys have in common from their beginning.
inline size_t SharedPrefix(std::string_view a, std::string_view b) {
  const size_t most = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + most, b.begin()).first -
                             a.begin());
}

class KeyFences {
 public:
  KeyFences() = default;
  /// `shared`: what all keys to be added begin with.
  KeyFences(std::string_view shared, size_t expected) : shared_(shared) {
    prefixes_.reserve(expected);
  }
  /// Keys in order.
  void Add(std::string_view key) { AddPrefix(PrefixOf(key)); }
  /// Of a key that begins with what is shared: what orders it, but for ties.
  uint64_t PrefixOf(std::string_view key) const {
    return KeyPrefix(key.substr(std::min(key.size(), shared_.size())));
  }
  void AddPrefix(uint64_t behind_shared) { prefixes_.push_back(behind_shared); }

  size_t size() const { return prefixes_.size(); }
  size_t memory_usage() const { return prefixes_.capacity() * sizeof(uint64_t); }
  /// < 0: the key is less than all that begin with what is shared; > 0: greater; 0: it begins so.
  int CompareShared(std::string_view key) const {
    return key.substr(0, shared_.size()).compare(shared_);
  }
  /// Which keys may equal `key`, [first, second): all before are less, all behind are greater.
  std::pair<size_t, size_t> Find(std::string_view key) const {
    const int order = CompareShared(key);
    if (order < 0) return {0, 0};
    if (order > 0) return {size(), size()};
    return FindPrefix(KeyPrefix(key.substr(shared_.size())));
  }
  /// The same of a key that begins with what is shared.
  std::pair<size_t, size_t> FindPrefix(uint64_t behind_shared) const {
    const auto [low, high] = std::equal_range(prefixes_.begin(), prefixes_.end(), behind_shared);
    return {low - prefixes_.begin(), high - prefixes_.begin()};
  }

 private:
  std::string shared_;
  std::vector<uint64_t> prefixes_;
};

}  // namespace marble::lsm
