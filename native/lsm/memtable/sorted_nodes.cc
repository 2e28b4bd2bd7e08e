#include "lsm/memtable/sorted_nodes.h"

#include <algorithm>
#include <array>
#include <utility>

namespace marble::lsm {
namespace {

constexpr size_t kFenceInterval = 64;
/// Fewer entries are sorted by comparisons.
constexpr size_t kRadixFrom = 512;

}  // namespace

SortedNodes::SortedNodes(std::vector<KeyNode*> nodes) {
  if (nodes.empty()) return;
  const std::string_view first = nodes.front()->key();
  size_t shared = first.size();
  for (const KeyNode* node : nodes) {
    shared = SharedPrefix(first.substr(0, shared), node->key());
  }
  entries_.reserve(nodes.size());
  for (KeyNode* node : nodes) entries_.push_back({0, node});
  SetPrefixes(shared);
  Sort();
  MakeFences();
}

SortedNodes::SortedNodes(const SortedNodes& older, const SortedNodes& added) {
  if (older.empty() || added.empty()) {
    *this = older.empty() ? added : older;
    return;
  }
  const size_t shared =
      std::min({older.shared_, added.shared_, SharedPrefix(older[0].key(), added[0].key())});
  SortedNodes a, b;
  const auto same = [shared](const SortedNodes& nodes, SortedNodes* copy) -> const SortedNodes& {
    if (nodes.shared_ == shared) return nodes;
    *copy = nodes;
    copy->SetPrefixes(shared);
    return *copy;
  };
  const Entries& left = same(older, &a).entries_;
  const Entries& right = same(added, &b).entries_;
  shared_ = shared;
  entries_.resize(left.size() + right.size());
  std::merge(left.begin(), left.end(), right.begin(), right.end(), entries_.begin(), Less);
  MakeFences();
}

void SortedNodes::SetPrefixes(size_t shared) {
  shared_ = shared;
  for (Entry& entry : entries_) entry.prefix = KeyPrefix(entry.node->key().substr(shared));
}

/// By the prefixes first: least significant byte first, bytes that are all the same left out. Then
/// by the whole keys where prefixes are the same.
void SortedNodes::Sort() {
  if (entries_.size() < kRadixFrom) {
    std::sort(entries_.begin(), entries_.end(), Less);
    return;
  }
  constexpr int kDigits = 8;
  std::vector<std::array<size_t, 256>> counts(kDigits);
  bool sorted = true;
  uint64_t before = 0;
  for (const Entry& entry : entries_) {
    sorted = sorted && before <= entry.prefix;
    before = entry.prefix;
    for (int d = 0; d < kDigits; ++d) ++counts[d][entry.prefix >> (8 * d) & 0xff];
  }
  if (!sorted) {
    Entries other(entries_.size());
    for (int d = 0; d < kDigits; ++d) {
      std::array<size_t, 256>& places = counts[d];
      if (places[entries_[0].prefix >> (8 * d) & 0xff] == entries_.size()) continue;
      size_t at = 0;
      for (size_t& place : places) at += std::exchange(place, at);
      for (const Entry& entry : entries_) other[places[entry.prefix >> (8 * d) & 0xff]++] = entry;
      entries_.swap(other);
    }
  }
  for (auto begin = entries_.begin(); begin != entries_.end();) {
    auto end = begin + 1;
    while (end != entries_.end() && end->prefix == begin->prefix) ++end;
    if (end - begin > 1) std::sort(begin, end, Less);
    begin = end;
  }
}

void SortedNodes::MakeFences() {
  fences_ =
      KeyFences(entries_[0].node->key().substr(0, shared_), entries_.size() / kFenceInterval + 1);
  for (size_t i = 0; i < entries_.size(); i += kFenceInterval) {
    fences_.AddPrefix(entries_[i].prefix);
  }
}

SortedNodes::Place SortedNodes::Narrow(std::string_view key) const {
  Place place;
  if (entries_.empty()) return place;
  const int order = fences_.CompareShared(key);
  if (order != 0) {
    place.begin = place.end = place.guess = order < 0 ? 0 : entries_.size();
    return place;
  }
  place.prefix = KeyPrefix(key.substr(shared_));
  const auto [low, high] = fences_.FindPrefix(place.prefix);
  // Behind the last fence below there may be equals, before the first fence that is one.
  place.begin = low == 0 ? 0 : (low - 1) * kFenceInterval;
  place.end = std::min(high * kFenceInterval, entries_.size());
  place.guess = place.begin + fences_.Guess(low, place.prefix, kFenceInterval);
  return place;
}

void SortedNodes::Prefetch(const Place& place) const {
  if (place.begin == place.end) return;
  constexpr size_t kInLine = 64 / sizeof(Entry);
  // Of 64 keys that are evenly spread one lies seldom farther from where it should.
  constexpr size_t kAround = 6;
  const size_t begin = std::max(place.begin + kAround, place.guess) - kAround;
  const size_t end = std::min(place.end, place.guess + kAround);
  for (size_t i = begin; i < end; i += kInLine) __builtin_prefetch(&entries_[i]);
}

size_t SortedNodes::LowerBound(const Place& place, std::string_view key) const {
  return SearchNear(place.begin, place.end, place.guess, [&](size_t i) {
    const Entry& entry = entries_[i];
    return entry.prefix != place.prefix ? entry.prefix < place.prefix : entry.node->key() < key;
  });
}

}  // namespace marble::lsm
