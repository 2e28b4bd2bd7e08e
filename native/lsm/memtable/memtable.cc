#include "lsm/memtable/memtable.h"

#include <arrow/api.h>

#include <algorithm>
#include <cstring>
#include <new>

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

void Memtable::Pin(const std::shared_ptr<io::LogFile>& segment) {
  if (segments_.empty() || segments_.back() != segment) segments_.push_back(segment);
}

void Memtable::Note(SequenceNumber sequence, uint64_t rows) {
  if (min_sequence_ == 0) min_sequence_ = sequence;
  max_sequence_ = sequence;
  num_rows_.store(num_rows_.load(std::memory_order_relaxed) + rows, std::memory_order_relaxed);
}

void Memtable::Put(SequenceNumber sequence, std::string_view key, std::string_view value) {
  Note(sequence, 1);
  if (lazy_) {
    std::lock_guard lock(lazy_mutex_);
    pending_.push_back({sequence, false, key, value, nullptr});
    return;
  }
  Add(key, HashKey(key), sequence, VersionKind::kBytes, value.data(),
      static_cast<uint32_t>(value.size()));
}

void Memtable::Delete(SequenceNumber sequence, std::string_view key) {
  has_deletes_ = true;
  Note(sequence, 1);
  if (lazy_) {
    std::lock_guard lock(lazy_mutex_);
    pending_.push_back({sequence, true, key, {}, nullptr});
    return;
  }
  Add(key, HashKey(key), sequence, VersionKind::kDelete, nullptr, 0);
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

void Memtable::Insert(SequenceNumber sequence, std::shared_ptr<arrow::RecordBatch> rows) {
  Note(sequence, static_cast<uint64_t>(rows->num_rows()));
  if (keys_ == nullptr) {
    AppendedBatch* last = appended_.empty() ? nullptr : &appended_.back();
    AppendedBatch& added = appended_.emplace_back();
    added.sequence = sequence;
    added.batch = std::move(rows);
    if (last == nullptr) {
      first_batch_.store(&added, std::memory_order_release);
    } else {
      last->next.store(&added, std::memory_order_release);
    }
    return;
  }
  if (lazy_) {
    std::lock_guard lock(lazy_mutex_);
    pending_.push_back({sequence, false, {}, {}, std::move(rows)});
    return;
  }
  AddRows(sequence, rows, /*is_delete=*/false);
}

void Memtable::DeleteRows(SequenceNumber sequence, std::shared_ptr<arrow::RecordBatch> keys) {
  has_deletes_ = true;
  Note(sequence, static_cast<uint64_t>(keys->num_rows()));
  if (lazy_) {
    std::lock_guard lock(lazy_mutex_);
    pending_.push_back({sequence, true, {}, {}, std::move(keys)});
    return;
  }
  AddRows(sequence, keys, /*is_delete=*/true);
}

void Memtable::Apply(const PendingOp& op) {
  if (op.rows != nullptr) {
    AddRows(op.sequence, op.rows, op.is_delete);
  } else if (op.is_delete) {
    Add(op.key, HashKey(op.key), op.sequence, VersionKind::kDelete, nullptr, 0);
  } else {
    Add(op.key, HashKey(op.key), op.sequence, VersionKind::kBytes, op.value.data(),
        static_cast<uint32_t>(op.value.size()));
  }
}

void Memtable::AddRows(SequenceNumber sequence, const std::shared_ptr<arrow::RecordBatch>& rows,
                       bool is_delete) {
  std::string bytes;
  std::vector<uint32_t> offsets;
  (is_delete ? info_->key_codec : info_->codec)->EncodeAll(*rows, &bytes, &offsets);
  char* keys = static_cast<char*>(arena_.Allocate(bytes.size()));
  std::memcpy(keys, bytes.data(), bytes.size());
  const MemtableBatch* batch = nullptr;
  if (!is_delete) batch = &batches_.emplace_back(MemtableBatch{sequence, rows});
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
          is_delete ? VersionKind::kDelete : VersionKind::kRow, batch, static_cast<uint32_t>(row));
    }
  }
}

void Memtable::Add(std::string_view key, uint64_t hash, SequenceNumber sequence, VersionKind kind,
                   const void* data, uint32_t size_or_row) {
  const uint64_t tag = sequence << 2 | static_cast<uint64_t>(kind);
  if (KeyNode* node = keys_->Find(key, hash)) {
    auto* version = new (arena_.Allocate(sizeof(KeyVersion)))
        KeyVersion{tag, node->newest.load(std::memory_order_relaxed), data, size_or_row};
    node->newest.store(version, std::memory_order_release);
    return;
  }
  auto* memory = static_cast<uint8_t*>(arena_.Allocate(sizeof(KeyNode) + sizeof(KeyVersion)));
  auto* version = new (memory + sizeof(KeyNode)) KeyVersion{tag, nullptr, data, size_or_row};
  auto* node = new (memory) KeyNode;
  node->newest.store(version, std::memory_order_relaxed);
  node->key_data = key.data();
  node->key_size = static_cast<uint32_t>(key.size());
  node->hash = hash;
  node->created_before = newest_node_.load(std::memory_order_relaxed);
  keys_->Insert(node);
  newest_node_.store(node, std::memory_order_release);
  num_keys_.store(num_keys_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
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

std::vector<const KeyNode*> Memtable::SortedNodes() const {
  struct Entry {
    uint64_t prefix;
    const KeyNode* node;
  };
  std::vector<Entry> entries;
  entries.reserve(num_keys());
  for (const KeyNode* node = newest_node_.load(std::memory_order_acquire); node != nullptr;
       node = node->created_before) {
    entries.push_back({KeyPrefix(node->key()), node});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.prefix != b.prefix ? a.prefix < b.prefix : a.node->key() < b.node->key();
  });
  std::vector<const KeyNode*> nodes;
  nodes.reserve(entries.size());
  for (const Entry& entry : entries) nodes.push_back(entry.node);
  return nodes;
}

size_t Memtable::memory_usage() const {
  return arena_.memory_usage() + ordered_.memory_usage() +
         (keys_ == nullptr ? 0 : keys_->memory_usage());
}

}  // namespace marble::lsm
