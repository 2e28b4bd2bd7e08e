// What both indexes of a memtable point to: one node per key with its versions, newest first.
// Nodes and versions are written by the memtable's one writer and published by release stores;
// readers need no lock. Memory belongs to the memtable's arena, keys and values to the log's
// mapping (keys of Arrow rows: to the arena).
#pragma once

#include <arrow/type_fwd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/types.h"

namespace marble::lsm {

enum class VersionKind : uint8_t { kBytes = 0, kDelete = 1, kRow = 2 };

/// An Arrow batch in the memtable; a version of kind kRow is a row of one.
struct MemtableBatch {
  SequenceNumber sequence;
  std::shared_ptr<arrow::RecordBatch> batch;
};

struct KeyVersion {
  uint64_t sequence_and_kind;
  const KeyVersion* older;
  const void* data;  // value bytes, or const MemtableBatch*
  uint32_t size_or_row;

  SequenceNumber sequence() const { return sequence_and_kind >> 2; }
  VersionKind kind() const { return static_cast<VersionKind>(sequence_and_kind & 3); }
  std::string_view bytes() const { return {static_cast<const char*>(data), size_or_row}; }
  const MemtableBatch& batch() const { return *static_cast<const MemtableBatch*>(data); }
  int64_t row() const { return size_or_row; }
};

struct KeyNode {
  std::atomic<const KeyVersion*> newest;
  KeyNode* created_before;  // all nodes of a memtable, from the newest to the oldest
  const char* key_data;
  uint64_t hash;
  uint32_t key_size;

  std::string_view key() const { return {key_data, key_size}; }
  /// The newest version that `sequence` sees; null when it sees none.
  const KeyVersion* VisibleAt(SequenceNumber sequence) const {
    const KeyVersion* version = newest.load(std::memory_order_acquire);
    while (version != nullptr && version->sequence() > sequence) version = version->older;
    return version;
  }
};

/// The first eight bytes of a key as a number that orders as the bytes do (ties: compare all).
inline uint64_t KeyPrefix(std::string_view key) {
  uint64_t prefix = 0;
  if (key.size() >= 8) {
    std::memcpy(&prefix, key.data(), 8);
  } else {
    std::memcpy(&prefix, key.data(), key.size());
  }
  return __builtin_bswap64(prefix);
}

}  // namespace marble::lsm
