// KeyNodes in the order of their keys, where more can be added while others walk.
//
// One thread adds at a time (its caller sees to that); readers need no lock. Nothing is removed.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lsm/memtable/arena.h"
#include "lsm/memtable/key_node.h"
#include "lsm/memtable/sorted_nodes.h"

namespace marble::lsm {

class SkipList {
 public:
  struct Node;

  SkipList();
  /// Each search starts where the one before ended: many at once cost less than one by one.
  void Add(const SortedNodes& nodes);
  size_t size() const { return size_; }  // of the thread that adds
  /// All that were added, in order; the thread that adds.
  std::vector<KeyNode*> Nodes() const;
  size_t memory_usage() const { return arena_.memory_usage(); }

  static KeyNode& KeyNodeOf(const Node* node);
  /// Null behind the last, as from all of these.
  static const Node* Next(const Node* node);
  const Node* First() const { return Next(head_); }
  const Node* Last() const;
  /// The first that is not less.
  const Node* LowerBound(std::string_view key) const { return Next(FindLess(key)); }
  /// The last that is less.
  const Node* Before(std::string_view key) const {
    const Node* found = FindLess(key);
    return found == head_ ? nullptr : found;
  }

 private:
  static constexpr int kMaxHeight = 16;
  Node* NewNode(KeyNode* node, int height);
  const Node* FindLess(std::string_view key) const;  // the head when there is none
  int RandomHeight();

  Arena arena_;
  Node* const head_;
  std::atomic<int> height_{1};
  size_t size_ = 0;
  uint64_t random_ = 0x9e3779b97f4a7c15ull;
};

}  // namespace marble::lsm
