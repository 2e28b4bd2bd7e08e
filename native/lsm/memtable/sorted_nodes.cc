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

SortedNodes::Block SortedNodes::Search(uint64_t prefix) const {
  const auto [low, high] = fences_.FindPrefix(prefix);
  // Behind the last fence below there may be equals, before the first fence that is one.
  return {low == 0 ? 0 : (low - 1) * kFenceInterval,
          std::min(high * kFenceInterval, entries_.size())};
}

size_t SortedNodes::LowerBound(std::string_view key) const {
  if (entries_.empty()) return 0;
  const int order = fences_.CompareShared(key);
  if (order != 0) return order < 0 ? 0 : entries_.size();
  const uint64_t prefix = KeyPrefix(key.substr(shared_));
  const Block block = Search(prefix);
  const auto less = [&](const Entry& entry) {
    return entry.prefix != prefix ? entry.prefix < prefix : entry.node->key() < key;
  };
  return static_cast<size_t>(
      std::partition_point(entries_.begin() + block.begin, entries_.begin() + block.end, less) -
      entries_.begin());
}

void SortedNodes::PrefetchSearch(std::string_view key) const {
  if (entries_.empty() || fences_.CompareShared(key) != 0) return;
  const Block block = Search(KeyPrefix(key.substr(shared_)));
  constexpr size_t kInLine = 64 / sizeof(Entry);
  const size_t end = std::min(block.end, block.begin + kFenceInterval);
  for (size_t i = block.begin; i < end; i += kInLine) __builtin_prefetch(&entries_[i]);
}

}  // namespace marble::lsm
