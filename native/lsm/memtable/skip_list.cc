#include "lsm/memtable/skip_list.h"

#include <algorithm>
#include <new>

namespace marble::lsm {

struct SkipList::Node {
  KeyNode* key_node;
  uint64_t prefix;
  std::atomic<Node*> next[1];  // as many as its height

  bool Less(std::string_view key, uint64_t key_prefix) const {
    return prefix != key_prefix ? prefix < key_prefix : key_node->key() < key;
  }
};

SkipList::SkipList() : head_(NewNode(nullptr, kMaxHeight)) {}

SkipList::Node* SkipList::NewNode(KeyNode* node, int height) {
  void* memory = arena_.Allocate(sizeof(Node) + sizeof(std::atomic<Node*>) * (height - 1));
  auto* result = new (memory) Node;
  result->key_node = node;
  result->prefix = node == nullptr ? 0 : KeyPrefix(node->key());
  for (int i = 0; i < height; ++i) new (&result->next[i]) std::atomic<Node*>(nullptr);
  return result;
}

int SkipList::RandomHeight() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  int height = 1;  // one in four goes up a level
  for (uint64_t bits = random_; height < kMaxHeight && (bits & 3) == 0; bits >>= 2) ++height;
  return height;
}

void SkipList::Add(const SortedNodes& nodes) {
  Node* before[kMaxHeight];
  std::fill(before, before + kMaxHeight, head_);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const int height = RandomHeight();
    if (height > height_.load(std::memory_order_relaxed)) {
      height_.store(height, std::memory_order_release);
    }
    Node* const added = NewNode(&nodes[i], height);
    const std::string_view key = nodes[i].key();
    Node* x = head_;
    for (int level = height_.load(std::memory_order_relaxed) - 1; level >= 0; --level) {
      // Start at the further of: where the level above led, where the key before was.
      if (before[level] != head_ &&
          (x == head_ || x->Less(before[level]->key_node->key(), before[level]->prefix))) {
        x = before[level];
      }
      for (Node* next = x->next[level].load(std::memory_order_relaxed);
           next != nullptr && next->Less(key, added->prefix);
           next = x->next[level].load(std::memory_order_relaxed)) {
        x = next;
      }
      before[level] = x;
    }
    for (int level = 0; level < height; ++level) {
      added->next[level].store(before[level]->next[level].load(std::memory_order_relaxed),
                               std::memory_order_relaxed);
      before[level]->next[level].store(added, std::memory_order_release);
      before[level] = added;
    }
  }
  size_ += nodes.size();
}

std::vector<KeyNode*> SkipList::Nodes() const {
  std::vector<KeyNode*> nodes;
  nodes.reserve(size_);
  for (const Node* node = First(); node != nullptr; node = Next(node)) {
    nodes.push_back(node->key_node);
  }
  return nodes;
}

KeyNode& SkipList::KeyNodeOf(const Node* node) { return *node->key_node; }

const SkipList::Node* SkipList::Next(const Node* node) {
  return node->next[0].load(std::memory_order_acquire);
}

const SkipList::Node* SkipList::FindLess(std::string_view key) const {
  const uint64_t prefix = KeyPrefix(key);
  const Node* x = head_;
  for (int level = height_.load(std::memory_order_acquire) - 1; level >= 0; --level) {
    for (const Node* next = x->next[level].load(std::memory_order_acquire);
         next != nullptr && next->Less(key, prefix);
         next = x->next[level].load(std::memory_order_acquire)) {
      x = next;
    }
  }
  return x;
}

const SkipList::Node* SkipList::Last() const {
  const Node* x = head_;
  for (int level = height_.load(std::memory_order_acquire) - 1; level >= 0; --level) {
    for (const Node* next = x->next[level].load(std::memory_order_acquire); next != nullptr;
         next = x->next[level].load(std::memory_order_acquire)) {
      x = next;
    }
  }
  return x == head_ ? nullptr : x;
}

}  // namespace marble::lsm
