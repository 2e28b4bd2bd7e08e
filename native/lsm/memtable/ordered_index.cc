#include "lsm/memtable/ordered_index.h"

#include <algorithm>
#include <new>
#include <vector>

namespace marble::lsm {

struct OrderedIndex::SkipNode {
  KeyNode* key_node;
  uint64_t prefix;
  std::atomic<SkipNode*> next[1];  // as many as its height

  bool Less(std::string_view key, uint64_t key_prefix) const {
    return prefix != key_prefix ? prefix < key_prefix : key_node->key() < key;
  }
};

OrderedIndex::OrderedIndex() : head_(NewSkipNode(nullptr, kMaxHeight)) {}

OrderedIndex::SkipNode* OrderedIndex::NewSkipNode(KeyNode* node, int height) {
  void* memory = arena_.Allocate(sizeof(SkipNode) + sizeof(std::atomic<SkipNode*>) * (height - 1));
  auto* result = new (memory) SkipNode;
  result->key_node = node;
  result->prefix = node == nullptr ? 0 : KeyPrefix(node->key());
  for (int i = 0; i < height; ++i) new (&result->next[i]) std::atomic<SkipNode*>(nullptr);
  return result;
}

int OrderedIndex::RandomHeight() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  int height = 1;  // one in four goes up a level
  for (uint64_t bits = random_; height < kMaxHeight && (bits & 3) == 0; bits >>= 2) ++height;
  return height;
}

void OrderedIndex::CatchUp(KeyNode* newest) {
  if (newest == last_seen_.load(std::memory_order_acquire)) return;
  std::lock_guard lock(mutex_);
  KeyNode* const stop = last_seen_.load(std::memory_order_relaxed);
  // Another reader may have gone further than `newest` meanwhile: nothing is left to do then.
  struct Pending {
    uint64_t prefix;
    KeyNode* node;
  };
  std::vector<Pending> pending;
  for (KeyNode* node = newest; node != stop; node = node->created_before) {
    if (node == nullptr) return;  // `stop` is newer than `newest`
    pending.push_back({KeyPrefix(node->key()), node});
  }
  std::sort(pending.begin(), pending.end(), [](const Pending& a, const Pending& b) {
    return a.prefix != b.prefix ? a.prefix < b.prefix : a.node->key() < b.node->key();
  });
  SkipNode* before[kMaxHeight];
  std::fill(before, before + kMaxHeight, head_);
  for (const Pending& p : pending) {
    const std::string_view key = p.node->key();
    const int height = RandomHeight();
    if (height > height_.load(std::memory_order_relaxed)) {
      height_.store(height, std::memory_order_release);
    }
    SkipNode* x = head_;
    for (int level = height_.load(std::memory_order_relaxed) - 1; level >= 0; --level) {
      // Start at the further of: where the level above led, where the key before was.
      if (before[level] != head_ &&
          (x == head_ || x->Less(before[level]->key_node->key(), before[level]->prefix))) {
        x = before[level];
      }
      for (SkipNode* next = x->next[level].load(std::memory_order_relaxed);
           next != nullptr && next->Less(key, p.prefix);
           next = x->next[level].load(std::memory_order_relaxed)) {
        x = next;
      }
      before[level] = x;
    }
    SkipNode* added = NewSkipNode(p.node, height);
    for (int level = 0; level < height; ++level) {
      added->next[level].store(before[level]->next[level].load(std::memory_order_relaxed),
                               std::memory_order_relaxed);
      before[level]->next[level].store(added, std::memory_order_release);
      before[level] = added;
    }
  }
  last_seen_.store(newest, std::memory_order_release);
}

const OrderedIndex::SkipNode* OrderedIndex::FindLess(std::string_view key) const {
  const uint64_t prefix = KeyPrefix(key);
  const SkipNode* x = head_;
  for (int level = height_.load(std::memory_order_acquire) - 1; level >= 0; --level) {
    for (const SkipNode* next = x->next[level].load(std::memory_order_acquire);
         next != nullptr && next->Less(key, prefix);
         next = x->next[level].load(std::memory_order_acquire)) {
      x = next;
    }
  }
  return x;
}

const KeyNode& OrderedIndex::Cursor::node() const { return *node_->key_node; }

void OrderedIndex::Cursor::SeekGE(std::string_view key) {
  node_ = key.empty() ? index_->head_ : index_->FindLess(key);
  Next();
}

void OrderedIndex::Cursor::SeekLT(std::string_view key) {
  node_ = index_->FindLess(key);
  if (node_ == index_->head_) node_ = nullptr;
}

void OrderedIndex::Cursor::SeekToLast() {
  const SkipNode* x = index_->head_;
  for (int level = index_->height_.load(std::memory_order_acquire) - 1; level >= 0; --level) {
    for (const SkipNode* next = x->next[level].load(std::memory_order_acquire); next != nullptr;
         next = x->next[level].load(std::memory_order_acquire)) {
      x = next;
    }
  }
  node_ = x == index_->head_ ? nullptr : x;
}

void OrderedIndex::Cursor::Next() { node_ = node_->next[0].load(std::memory_order_acquire); }

void OrderedIndex::Cursor::Prev() { SeekLT(node_->key_node->key()); }

}  // namespace marble::lsm
