#include "lsm/memtable/ordered_index.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace marble::lsm {
namespace {
/// The skip list may have so many nodes, or a share of the array's, before both are merged.
constexpr size_t kMinAdded = 256;
constexpr size_t kShareOfArray = 8;
/// Nodes to fetch at once after a seek in one of several runs: each gives few of what is read.
constexpr size_t kFirstNodesOfSeveral = 3;
}  // namespace

OrderedIndex::OrderedIndex() : latest_(std::make_shared<Content>()) { content_.Store(latest_); }

size_t OrderedIndex::memory_usage() const {
  const auto content = content_.Load();
  return content->sorted.memory_usage() + content->added.memory_usage();
}

void OrderedIndex::CatchUp(KeyNode* newest) {
  if (newest == last_seen_.load(std::memory_order_acquire)) return;
  std::lock_guard lock(mutex_);
  KeyNode* const stop = last_seen_.load(std::memory_order_relaxed);
  // Another reader may have gone further than `newest` meanwhile: nothing is left to do then.
  std::vector<KeyNode*> pending;
  for (KeyNode* node = newest; node != stop; node = node->created_before) {
    if (node == nullptr) return;  // `stop` is newer than `newest`
    pending.push_back(node);
  }
  Content& now = *latest_;
  const size_t most = std::max(kMinAdded, now.sorted.size() / kShareOfArray);
  if (now.added.size() + pending.size() <= most) {
    now.added.Add(SortedNodes(std::move(pending)));
  } else {
    const std::vector<KeyNode*> added = now.added.Nodes();
    pending.insert(pending.end(), added.begin(), added.end());
    auto next = std::make_shared<Content>();
    next->sorted = SortedNodes(now.sorted, SortedNodes(std::move(pending)));
    latest_ = next;
    content_.Store(std::move(next));
  }
  last_seen_.store(newest, std::memory_order_release);
}

void OrderedIndex::Cursor::Search(std::string_view key, const SortedNodes::Place& place) {
  forward_ = true;
  at_ = content_->sorted.LowerBound(place, key);
  added_ = content_->added.LowerBound(key);
}

void OrderedIndex::Cursor::PrepareSeek(std::string_view key, int step) {
  const SortedNodes& sorted = content_->sorted;
  switch (step) {
    case 0:
      place_ = sorted.Narrow(key);
      sorted.Prefetch(place_);
      break;
    case 1:
      Search(key, place_);
      ahead_.Begin(sorted, at_, kFirstNodesOfSeveral);
      prepared_ = true;
      break;
    default:
      if (at_ < sorted.size()) sorted.PrefetchKey(at_);
  }
}

void OrderedIndex::Cursor::SeekGE(std::string_view key) {
  if (!std::exchange(prepared_, false)) {
    Search(key, content_->sorted.Narrow(key));
    ahead_.Begin(content_->sorted, at_);
  }
  ChooseFirst();
}

void OrderedIndex::Cursor::SeekLT(std::string_view key) {
  forward_ = false;
  at_ = content_->sorted.LowerBound(key);
  added_ = content_->added.Before(key);
  ChooseLast();
}

void OrderedIndex::Cursor::SeekToLast() {
  forward_ = false;
  at_ = content_->sorted.size();
  added_ = content_->added.Last();
  ChooseLast();
}

void OrderedIndex::Cursor::Next() {
  if (!forward_) {
    const std::string_view key = node_->key();
    Search(key, content_->sorted.Narrow(key));
    ahead_.Begin(content_->sorted, at_);
    ChooseFirst();
  }
  if (in_added_) {
    added_ = SkipList::Next(added_);
  } else {
    ahead_.MoveTo(content_->sorted, ++at_);
  }
  ChooseFirst();
}

void OrderedIndex::Cursor::Prev() {
  if (forward_) return SeekLT(node_->key());
  if (in_added_) {
    added_ = content_->added.Before(node_->key());
  } else {
    --at_;
  }
  ChooseLast();
}

void OrderedIndex::Cursor::ChooseFirst() {
  const SortedNodes& sorted = content_->sorted;
  in_added_ = added_ != nullptr &&
              (at_ == sorted.size() || SkipList::KeyNodeOf(added_).key() < sorted[at_].key());
  if (in_added_) {
    node_ = &SkipList::KeyNodeOf(added_);
  } else {
    node_ = at_ == sorted.size() ? nullptr : &sorted[at_];
  }
}

void OrderedIndex::Cursor::ChooseLast() {
  const SortedNodes& sorted = content_->sorted;
  in_added_ =
      added_ != nullptr && (at_ == 0 || sorted[at_ - 1].key() < SkipList::KeyNodeOf(added_).key());
  if (in_added_) {
    node_ = &SkipList::KeyNodeOf(added_);
  } else {
    node_ = at_ == 0 ? nullptr : &sorted[at_ - 1];
  }
}

}  // namespace marble::lsm
