#include "lsm/memtable/memtable.h"

#include <arrow/api.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/coding.h"
#include "base/hash.h"

namespace marble::lsm {
namespace {
/// Rows whose slots are prefetched before they are inserted.
constexpr int64_t kInsertAhead = 16;
}  // namespace

Memtable::Memtable(std::shared_ptr<const TableInfo> info, uint64_t generation, size_t expected_keys)
    : info_(std::move(info)),
      generation_(generation),
      lazy_(info_->keyed() && info_->descriptor.options.lazy_index) {
  if (info_->keyed()) keys_ = std::make_unique<HashIndex>(lazy_ ? 0 : expected_keys);
}

void Memtable::Pin(const std::shared_ptr<const void>& memory) {
  if (pinned_.empty() || pinned_.back() != memory) pinned_.push_back(memory);
}

void Memtable::Note(SequenceNumber sequence, uint64_t rows) {
  if (min_sequence_ == 0) min_sequence_ = sequence;
  max_sequence_ = sequence;
  num_rows_.store(num_rows_.load(std::memory_order_relaxed) + rows, std::memory_order_relaxed);
}

void Memtable::Put(SequenceNumber sequence, std::string_view key, std::string_view value,
                   bool expires) {
  AddBytes(sequence, VersionKind::kBytes, key, value, expires);
}

uint32_t Memtable::Merge(SequenceNumber sequence, std::string_view key, std::string_view operand,
                         bool expires) {
  has_deletes_ = true;
  return AddBytes(sequence, VersionKind::kMerge, key, operand, expires);
}

void Memtable::PutMerged(SequenceNumber sequence, std::string_view key, std::string_view value,
                         int64_t expires) {
  std::unique_lock<std::mutex> lock(lazy_mutex_, std::defer_lock);
  if (lazy_) lock.lock();
  // The key is in here: the operands that the value stands for.
  auto* copy = static_cast<char*>(arena_.Allocate(sizeof expires + value.size()));
  std::memcpy(copy, &expires, sizeof expires);
  std::memcpy(copy + sizeof expires, value.data(), value.size());
  Add(key, HashKey(key), sequence, VersionKind::kBytes, expires != 0, copy + sizeof expires,
      static_cast<uint32_t>(value.size()));
}

void Memtable::NoteExpiry(int64_t expires) {
  max_expires_ = std::max(max_expires_, expires);
  const int64_t first = min_expires_.load(std::memory_order_relaxed);
  if (first == 0 || expires < first) min_expires_.store(expires, std::memory_order_relaxed);
}

void Memtable::Delete(SequenceNumber sequence, std::string_view key) {
  has_deletes_ = true;
  AddBytes(sequence, VersionKind::kDelete, key, {}, false);
}

uint32_t Memtable::AddBytes(SequenceNumber sequence, VersionKind kind, std::string_view key,
                            std::string_view value, bool expires) {
  Note(sequence, 1);
  if (expires) NoteExpiry(LoadFixed<int64_t>(value.data() - sizeof(int64_t)));
  if (lazy_) {
    std::lock_guard lock(lazy_mutex_);
    pending_.push_back({sequence, kind, expires, key, value, nullptr, 0});
    return 0;
  }
  return Add(key, HashKey(key), sequence, kind, expires, value.data(),
             static_cast<uint32_t>(value.size()))
      ->operands;
}

void Memtable::DeleteRange(SequenceNumber sequence, std::string_view from, std::string_view to) {
  has_deletes_ = true;
  Note(sequence, 1);
  std::unique_lock<std::mutex> lock(lazy_mutex_, std::defer_lock);
  if (lazy_) lock.lock();  // readers allocate from the arena too
  auto* tombstone = new (arena_.Allocate(sizeof(RangeTombstone)))
      RangeTombstone{sequence, from, to, range_tombstones_.load(std::memory_order_relaxed)};
  range_tombstones_.store(tombstone, std::memory_order_release);
}

void Memtable::Insert(SequenceNumber sequence, std::shared_ptr<arrow::RecordBatch> rows,
                      int64_t expires) {
  Note(sequence, static_cast<uint64_t>(rows->num_rows()));
  if (expires != 0) NoteExpiry(expires);
  if (keys_ == nullptr) {
    AppendedBatch* last = appended_.empty() ? nullptr : &appended_.back();
    AppendedBatch& added = appended_.emplace_back();
    added.sequence = sequence;
    added.batch = std::move(rows);
    added.expires = expires;
    if (last == nullptr) {
      first_batch_.store(&added, std::memory_order_release);
    } else {
      last->next.store(&added, std::memory_order_release);
    }
    return;
  }
  if (lazy_) {
    std::lock_guard lock(lazy_mutex_);
    pending_.push_back({sequence, VersionKind::kRow, false, {}, {}, std::move(rows), expires});
    return;
  }
  AddRows(sequence, rows, /*is_delete=*/false, expires);
}

void Memtable::DeleteRows(SequenceNumber sequence, std::shared_ptr<arrow::RecordBatch> keys) {
  has_deletes_ = true;
  Note(sequence, static_cast<uint64_t>(keys->num_rows()));
  if (lazy_) {
    std::lock_guard lock(lazy_mutex_);
    pending_.push_back({sequence, VersionKind::kDelete, false, {}, {}, std::move(keys), 0});
    return;
  }
  AddRows(sequence, keys, /*is_delete=*/true, 0);
}

void Memtable::Apply(const PendingOp& op) {
  if (op.rows != nullptr) {
    AddRows(op.sequence, op.rows, op.kind == VersionKind::kDelete, op.expires);
  } else {
    Add(op.key, HashKey(op.key), op.sequence, op.kind, op.expiring, op.value.data(),
        static_cast<uint32_t>(op.value.size()));
  }
}

void Memtable::AddRows(SequenceNumber sequence, const std::shared_ptr<arrow::RecordBatch>& rows,
                       bool is_delete, int64_t expires) {
  std::string bytes;
  std::vector<uint32_t> offsets;
  (is_delete ? info_->key_codec : info_->codec)->EncodeAll(*rows, &bytes, &offsets);
  // At least one: also a lone empty key lies somewhere.
  char* keys = static_cast<char*>(arena_.Allocate(std::max<size_t>(bytes.size(), 1)));
  std::memcpy(keys, bytes.data(), bytes.size());
  const MemtableBatch* batch = nullptr;
  if (!is_delete) batch = &batches_.emplace_back(MemtableBatch{sequence, rows, expires});
  const auto key_at = [&](int64_t row) {
    return std::string_view(keys + offsets[row], offsets[row + 1] - offsets[row]);
  };
  uint64_t hashes[kInsertAhead];
  const int64_t count = rows->num_rows();
  for (int64_t begin = 0; begin < count; begin += kInsertAhead) {
    const int64_t end = std::min(count, begin + kInsertAhead);
    for (int64_t row = begin; row < end; ++row) {
      hashes[row - begin] = HashKey(key_at(row));
      keys_->Prefetch(hashes[row - begin]);
    }
    for (int64_t row = begin; row < end; ++row) {
      Add(key_at(row), hashes[row - begin], sequence,
          is_delete ? VersionKind::kDelete : VersionKind::kRow, expires != 0, batch,
          static_cast<uint32_t>(row));
    }
  }
}

const KeyVersion* Memtable::Add(std::string_view key, uint64_t hash, SequenceNumber sequence,
                                VersionKind kind, bool expires, const void* data,
                                uint32_t size_or_row) {
  const uint64_t tag = KeyVersion::Tag(sequence, kind, expires);
  const uint32_t operands = kind == VersionKind::kMerge ? 1 : 0;
  if (KeyNode* node = keys_->Find(key, hash)) {
    const KeyVersion* older = node->newest.load(std::memory_order_relaxed);
    auto* version = new (arena_.Allocate(sizeof(KeyVersion)))
        KeyVersion{tag, older, data, size_or_row, operands == 0 ? 0 : older->operands + 1};
    node->newest.store(version, std::memory_order_release);
    return version;
  }
  auto* memory = static_cast<uint8_t*>(arena_.AllocateLine());
  auto* version =
      new (memory + sizeof(KeyNode)) KeyVersion{tag, nullptr, data, size_or_row, operands};
  auto* node = new (memory) KeyNode;
  node->newest.store(version, std::memory_order_relaxed);
  node->key_data = key.data();
  node->key_size = static_cast<uint32_t>(key.size());
  node->hash = static_cast<uint32_t>(hash);
  node->created_before = newest_node_.load(std::memory_order_relaxed);
  keys_->Insert(node, hash);
  newest_node_.store(node, std::memory_order_release);
  num_keys_.store(num_keys_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return version;
}

void Memtable::Prepare(bool ordered) {
  if (lazy_) {
    std::lock_guard lock(lazy_mutex_);
    while (!pending_.empty()) {
      Apply(pending_.front());
      pending_.pop_front();
    }
  }
  if (ordered && keys_ != nullptr) {
    KeyNode* newest = newest_node_.load(std::memory_order_acquire);
    if (newest != nullptr) ordered_.CatchUp(newest);
  }
}

SequenceNumber Memtable::RangeTombstoneOver(std::string_view key, SequenceNumber sequence) const {
  // Newest first: the first that covers is the one that counts.
  for (const RangeTombstone* t = range_tombstones(); t != nullptr; t = t->next) {
    if (t->sequence <= sequence && t->Covers(key)) return t->sequence;
  }
  return 0;
}

SortedNodes Memtable::InOrder() const {
  std::vector<KeyNode*> nodes;
  nodes.reserve(num_keys());
  for (KeyNode* node = newest_node_.load(std::memory_order_acquire); node != nullptr;
       node = node->created_before) {
    nodes.push_back(node);
  }
  // Often they came in order, so that nothing is left to sort.
  std::reverse(nodes.begin(), nodes.end());
  return SortedNodes(std::move(nodes));
}

size_t Memtable::memory_usage() const {
  return arena_.memory_usage() + ordered_.memory_usage() +
         (keys_ == nullptr ? 0 : keys_->memory_usage());
}

}  // namespace marble::lsm
