// KeyNodes in the order of their keys: an array that is searched, and walked with its cache misses
// fetched ahead, without following a pointer for most comparisons. Immutable; the nodes belong to
// their memtable.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/large_memory.h"
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

  /// Where the lower bound of a key lies, as far as the fences tell.
  struct Place {
    size_t begin = 0;
    size_t end = 0;
    size_t guess = 0;
    uint64_t prefix = 0;  // of the key behind what all keys share
  };
  Place Narrow(std::string_view key) const;
  /// Fetch what LowerBound will most likely compare.
  void Prefetch(const Place& place) const;
  /// The first i whose key is not less; size() when there is none. `place`: of the same key.
  size_t LowerBound(const Place& place, std::string_view key) const;
  size_t LowerBound(std::string_view key) const { return LowerBound(Narrow(key), key); }

  /// Fetch a node; once it has arrived, what it points to; then a version's value.
  void PrefetchNode(size_t i) const { __builtin_prefetch(entries_[i].node); }
  void PrefetchKey(size_t i) const {
    const KeyNode* node = entries_[i].node;
    __builtin_prefetch(node->key_data);
    __builtin_prefetch(node->newest.load(std::memory_order_acquire));
  }
  void PrefetchValue(size_t i) const {
    __builtin_prefetch(entries_[i].node->newest.load(std::memory_order_acquire)->data);
  }

  /// Fetches ahead of a walk that goes forwards.
  class Ahead {
   public:
    /// The walk begins on `i`. It may be short: `first` nodes are fetched at once.
    void Begin(const SortedNodes& nodes, size_t i, size_t first = 8) {
      nodes_ = i;
      keys_ = values_ = i + 1;
      for (const size_t end = std::min(i + first, nodes.size()); nodes_ < end; ++nodes_) {
        nodes.PrefetchNode(nodes_);
      }
    }
    /// It stands on `i`, behind where it was.
    void MoveTo(const SortedNodes& nodes, size_t i) {
      constexpr size_t kNode = 20, kKey = 10, kValue = 4, kAtOnce = 3;
      const auto advance = [&](size_t* at, size_t distance, size_t limit, auto&& prefetch) {
        *at = std::max(*at, i);
        for (const size_t end = std::min({i + distance, *at + kAtOnce, limit}); *at < end; ++*at) {
          prefetch(*at);
        }
      };
      advance(&values_, kValue, keys_, [&](size_t n) { nodes.PrefetchValue(n); });
      advance(&keys_, kKey, nodes_, [&](size_t n) { nodes.PrefetchKey(n); });
      advance(&nodes_, kNode, nodes.size(), [&](size_t n) { nodes.PrefetchNode(n); });
    }

   private:
    size_t nodes_ = 0;  // where to go on with each
    size_t keys_ = 0;
    size_t values_ = 0;
  };

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

  using Entries = std::vector<Entry, LargeAllocator<Entry>>;

  Entries entries_;
  KeyFences fences_;   // of every 64th key: a search begins in few cache lines
  size_t shared_ = 0;  // bytes with which all keys begin
};

}  // namespace marble::lsm
