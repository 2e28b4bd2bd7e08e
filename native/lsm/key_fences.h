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

/// The first i of [begin, end) for which `less(i)` is false, `end` if there is none; true comes
/// before false. Few calls if that is near `guess`, and about those of a binary search elsewhere.
template <typename Index, typename Less>
Index SearchNear(Index begin, Index end, Index guess, const Less& less) {
  if (begin >= end) return end;
  constexpr Index kStep = 4;
  guess = std::clamp<Index>(guess, begin, end - 1);
  if (less(guess)) {
    begin = guess + 1;
    for (Index step = kStep; end - begin >= step; step *= kStep) {
      const Index probe = begin + step - 1;
      if (!less(probe)) {
        end = probe;
        break;
      }
      begin = probe + 1;
    }
  } else {
    end = guess;
    for (Index step = kStep; end - begin >= step; step *= kStep) {
      const Index probe = end - step;
      if (less(probe)) {
        begin = probe + 1;
        break;
      }
      end = probe;
    }
  }
  while (begin < end) {
    const Index middle = begin + (end - begin) / 2;
    if (less(middle)) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
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
    // Where a search goes cannot be predicted: no branches.
    const uint64_t* low = prefixes_.data();
    for (size_t left = prefixes_.size(); left > 0;) {
      const size_t half = left - left / 2;  // of what is left, rounded up
      low += low[half - 1] < behind_shared ? half : 0;
      left -= half;
    }
    const auto first = prefixes_.begin() + (low - prefixes_.data());
    auto last = first;
    if (first != prefixes_.end() && *first == behind_shared) {
      last = std::upper_bound(first, prefixes_.end(), behind_shared);
    }
    return {first - prefixes_.begin(), last - prefixes_.begin()};
  }
  /// If every `interval`-th key of many was added: about how many of those from key `low` - 1 on
  /// are less than a key that lies before key `low`, were they evenly spread.
  size_t Guess(size_t low, uint64_t behind_shared, size_t interval) const {
    if (low == 0 || low >= size()) return interval / 2;
    const uint64_t from = prefixes_[low - 1];
    const uint64_t to = prefixes_[low];
    if (behind_shared <= from || behind_shared >= to) return behind_shared <= from ? 0 : interval;
    return static_cast<size_t>(static_cast<double>(behind_shared - from) /
                               static_cast<double>(to - from) * static_cast<double>(interval));
  }

 private:
  std::string shared_;
  std::vector<uint64_t> prefixes_;
};

}  // namespace marble::lsm
