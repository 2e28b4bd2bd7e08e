// Keys of a memtable in order: a skip list over its KeyNodes, built by those who read it.
//
// The writer never touches it: it links new nodes into a list (KeyNode::created_before). An
// ordered read first takes the mutex and inserts the nodes created since the last such read,
// sorted, each search starting where the one before ended; then it walks without a lock.
// Decided: catching up at the read instead of inserting at each put, because a put then costs
// the same with and without ordered readers, alternating put and seek still costs one insertion
// each, and many puts between two reads are inserted in order, which is much cheaper.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string_view>

#include "lsm/memtable/arena.h"
#include "lsm/memtable/key_node.h"

namespace marble::lsm {

class OrderedIndex {
  struct SkipNode;

 public:
  OrderedIndex();

  /// Insert the nodes from `newest` (inclusive) back to where the last call began.
  void CatchUp(KeyNode* newest);
  bool built() const { return last_seen_.load(std::memory_order_relaxed) != nullptr; }
  size_t memory_usage() const { return arena_.memory_usage(); }

  /// Not thread-safe itself; stays valid while the index lives and others insert.
  class Cursor {
   public:
    explicit Cursor(const OrderedIndex* index) : index_(index) {}
    bool Valid() const { return node_ != nullptr; }
    const KeyNode& node() const;
    /// The first key >= `key` (empty: the first).
    void SeekGE(std::string_view key);
    /// The last key < `key`.
    void SeekLT(std::string_view key);
    void SeekToLast();
    void Next();
    void Prev();

   private:
    const OrderedIndex* index_;
    const SkipNode* node_ = nullptr;
  };

 private:
  static constexpr int kMaxHeight = 16;
  SkipNode* NewSkipNode(KeyNode* node, int height);
  /// The last node < key; null stands for the head.
  const SkipNode* FindLess(std::string_view key) const;
  int RandomHeight();

  Arena arena_;
  SkipNode* const head_;
  std::mutex mutex_;
  std::atomic<KeyNode*> last_seen_{nullptr};
  std::atomic<int> height_{1};
  uint64_t random_ = 0x9e3779b97f4a7c15ull;
};

}  // namespace marble::lsm
