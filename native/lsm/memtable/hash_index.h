// Open-addressing table from key to KeyNode. A slot is one atomic word: 16 bits of the hash and
// a 48-bit pointer; zero is empty; nothing is ever removed.
//
// One writer, any number of lock-free readers. Growing publishes a new array; the old ones stay
// until the index dies, because a reader may still be probing one (it sees all that was there
// when it loaded the pointer; whatever was published later it may miss, as if it had come
// earlier). Together they take less than the newest one does.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/large_memory.h"
#include "lsm/memtable/key_node.h"

namespace marble::lsm {

class HashIndex {
 public:
  /// `expected` keys fit before the first growth.
  explicit HashIndex(size_t expected) {
    Publish(std::bit_ceil(expected * 2 < kMinSlots ? kMinSlots : expected * 2));
  }

  void Prefetch(uint64_t hash) const {
    const Slots* slots = current_.load(std::memory_order_acquire);
    __builtin_prefetch(&slots->words[static_cast<uint32_t>(hash) & slots->mask]);
  }

  /// The node of some key that probably has this hash, not looked at; null when there is none.
  const KeyNode* Guess(uint64_t hash) const {
    const Slots* slots = current_.load(std::memory_order_acquire);
    for (size_t i = static_cast<uint32_t>(hash) & slots->mask;; i = (i + 1) & slots->mask) {
      const uint64_t word = slots->words[i].load(std::memory_order_acquire);
      if (word == 0) return nullptr;
      if ((word >> kPointerBits) == (hash >> kPointerBits)) return ToNode(word);
    }
  }

  KeyNode* Find(std::string_view key, uint64_t hash) const {
    const Slots* slots = current_.load(std::memory_order_acquire);
    for (size_t i = static_cast<uint32_t>(hash) & slots->mask;; i = (i + 1) & slots->mask) {
      const uint64_t word = slots->words[i].load(std::memory_order_acquire);
      if (word == 0) return nullptr;
      if ((word >> kPointerBits) != (hash >> kPointerBits)) continue;
      KeyNode* node = ToNode(word);
      if (node->hash == static_cast<uint32_t>(hash) && node->key() == key) return node;
    }
  }

  /// Writer only; the key is not in the index yet.
  void Insert(KeyNode* node, uint64_t hash) {
    Slots* slots = current_.load(std::memory_order_relaxed);
    if ((size_ + 1) * 10 > (slots->mask + 1) * 6) slots = Grow(slots);
    Place(slots, hash >> kPointerBits << kPointerBits | reinterpret_cast<uint64_t>(node));
    ++size_;
  }

  size_t memory_usage() const { return usage_.load(std::memory_order_relaxed); }

 private:
  struct Slots {
    explicit Slots(size_t count)
        : mask(count - 1),
          memory(count * sizeof(uint64_t)),
          words(reinterpret_cast<std::atomic<uint64_t>*>(memory.data())) {}
    const size_t mask;
    const LargeMemory memory;
    std::atomic<uint64_t>* const words;  // zero at first
  };
  static constexpr int kPointerBits = 48;
  static constexpr size_t kMinSlots = 256;

  static KeyNode* ToNode(uint64_t word) {
    return reinterpret_cast<KeyNode*>(word & ((uint64_t{1} << kPointerBits) - 1));
  }
  /// The low half of a hash finds the slot.
  static void Place(Slots* slots, uint64_t word) {
    size_t i = ToNode(word)->hash & slots->mask;
    while (slots->words[i].load(std::memory_order_relaxed) != 0) i = (i + 1) & slots->mask;
    slots->words[i].store(word, std::memory_order_release);
  }
  std::unique_ptr<Slots> Allocate(size_t count) {
    auto slots = std::make_unique<Slots>(count);
    usage_.fetch_add(slots->memory.size(), std::memory_order_relaxed);
    return slots;
  }
  void Publish(size_t count) {
    all_.push_back(Allocate(count));
    current_.store(all_.back().get(), std::memory_order_release);
  }
  Slots* Grow(const Slots* old) {
    const size_t count = old->mask + 1;
    auto bigger = Allocate(count < (1 << 16) ? count * 4 : count * 2);
    for (size_t i = 0; i < count; ++i) {
      const uint64_t word = old->words[i].load(std::memory_order_relaxed);
      if (word != 0) Place(bigger.get(), word);
    }
    all_.push_back(std::move(bigger));
    current_.store(all_.back().get(), std::memory_order_release);
    return all_.back().get();
  }

  std::atomic<Slots*> current_{nullptr};
  std::vector<std::unique_ptr<Slots>> all_;  // the last one is current
  size_t size_ = 0;
  std::atomic<size_t> usage_{0};
};

}  // namespace marble::lsm
