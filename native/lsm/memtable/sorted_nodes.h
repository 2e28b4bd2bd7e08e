// KeyNodes in the order of their keys: an array that is searched, and walked with its cache misses
// fetched ahead, without following a pointer for most comparisons. Immutable; the nodes belong to
// their memtable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lsm/key_fences.h"
#include "lsm/memtable/key_node.h"

namespace marble::lsm {

class SortedNodes {
 public:
  SortedNodes() = default;
  /// Takes nodes in any order. Keys differ.
  explicit SortedNodes(std::vector<KeyNode*> nodes);
  /// All of `older`, and `added`, which are in order.
  SortedNodes(const SortedNodes& older, const SortedNodes& added);

  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  KeyNode& operator[](size_t i) const { return *entries_[i].node; }
  size_t memory_usage() const {
    return entries_.capacity() * sizeof(Entry) + fences_.memory_usage();
  }

  /// The first i whose key is not less; size() when there is none.
  size_t LowerBound(std::string_view key) const;

  /// Who walks forwards and stands on i says so, and finds what comes next in the cache: nodes
  /// are fetched first, then what they point to, then the values.
  void PrefetchAfter(size_t i) const {
    constexpr size_t kNode = 16, kKey = 8, kValue = 4;
    if (i + kNode >= entries_.size()) return;
    __builtin_prefetch(entries_[i + kNode].node);
    const KeyNode* node = entries_[i + kKey].node;
    __builtin_prefetch(node->key_data);
    __builtin_prefetch(node->newest.load(std::memory_order_acquire));
    __builtin_prefetch(entries_[i + kValue].node->newest.load(std::memory_order_acquire)->data);
  }
  /// The same from scratch, for a walk that begins on i and may be short.
  void PrefetchFrom(size_t i) const {
    constexpr size_t kFew = 4;
    for (size_t at = i; at < entries_.size() && at < i + kFew; ++at) {
      __builtin_prefetch(entries_[at].node);
    }
  }

 private:
  struct Entry {
    uint64_t prefix;  // of the key behind what all keys share
    KeyNode* node;
  };

  /// Set what all keys share, and the prefixes behind it.
  void SetPrefixes(size_t shared);
  void Sort();
  void MakeFences();
  static bool Less(const Entry& a, const Entry& b) {
    return a.prefix != b.prefix ? a.prefix < b.prefix : a.node->key() < b.node->key();
  }

  std::vector<Entry> entries_;
  KeyFences fences_;   // of every 64th key: a search begins in few cache lines
  size_t shared_ = 0;  // bytes with which all keys begin
};

}  // namespace marble::lsm
