// Keys of a memtable in order, built by those who read it: a sorted array, and a skip list of what
// came after it.
//
// The writer never touches it: it links new nodes into a list (KeyNode::created_before). An
// ordered read first takes the mutex and brings in the nodes created since the last such read;
// then it walks without a lock what it found.
// Decided: catching up at the read instead of inserting at each put, because a put then costs
// the same with and without ordered readers. A few nodes at a time go into the skip list, so that
// alternating put and seek costs one insertion each; when it has grown to an eighth of the array,
// both are merged into a new array (sixteen bytes copied for each of eight keys an insertion),
// because an array is searched and walked several times faster. Who walks the old array keeps it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>

#include "base/shared_cell.h"
#include "lsm/memtable/key_node.h"
#include "lsm/memtable/skip_list.h"
#include "lsm/memtable/sorted_nodes.h"

namespace marble::lsm {

class OrderedIndex {
  struct Content;

 public:
  OrderedIndex();

  /// Bring in the nodes from `newest` (inclusive) back to where the last call began.
  void CatchUp(KeyNode* newest);
  size_t memory_usage() const;

  /// Not thread-safe itself; sees what was brought in before it was made, and may see more.
  class Cursor {
   public:
    explicit Cursor(const OrderedIndex* index) : content_(index->content_.Load()) {}
    bool Valid() const { return node_ != nullptr; }
    const KeyNode& node() const { return *node_; }
    /// The first key >= `key` (empty: the first).
    void SeekGE(std::string_view key);
    /// SeekGE in steps (0, 1, 2): each fetches what the next one reads. SeekGE of the same key, and
    /// no other call, has to follow.
    void PrepareSeek(std::string_view key, int step);
    /// The last key < `key`.
    void SeekLT(std::string_view key);
    void SeekToLast();
    void Next();
    void Prev();

   private:
    void Search(std::string_view key, const SortedNodes::Place& place);
    void ChooseFirst();
    void ChooseLast();

    std::shared_ptr<const Content> content_;
    const KeyNode* node_ = nullptr;
    bool forward_ = true;
    bool in_added_ = false;  // where the node is
    bool prepared_ = false;
    SortedNodes::Place place_;
    // Forwards, the next of each; backwards, the array's next stands before `at_`.
    size_t at_ = 0;
    SortedNodes::Ahead ahead_;
    const SkipList::Node* added_ = nullptr;
  };

 private:
  struct Content {
    SortedNodes sorted;
    SkipList added;
  };

  SharedCell<const Content> content_;
  std::mutex mutex_;
  std::shared_ptr<Content> latest_;  // guarded by mutex_; what content_ holds
  std::atomic<KeyNode*> last_seen_{nullptr};
};

}  // namespace marble::lsm
