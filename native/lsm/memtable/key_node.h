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
#include "lsm/key_fences.h"

namespace marble::lsm {

enum class VersionKind : uint8_t { kBytes = 0, kDelete = 1, kRow = 2, kMerge = 3 };

/// An Arrow batch in the memtable; a version of kind kRow is a row of one.
struct MemtableBatch {
  SequenceNumber sequence;
  std::shared_ptr<arrow::RecordBatch> batch;
  int64_t expires;  // of all its rows, ms since the epoch; 0: never
};

struct KeyVersion {
  uint64_t tag;  // sequence, then 1 bit: it expires, then 2 bits: kind
  const KeyVersion* older;
  const void* data;  // value bytes, or const MemtableBatch*
  uint32_t size_or_row;
  uint32_t operands;  // kMerge: this one and those right below it

  static uint64_t Tag(SequenceNumber sequence, VersionKind kind, bool expires) {
    return sequence << 3 | uint64_t{expires} << 2 | static_cast<uint64_t>(kind);
  }
  SequenceNumber sequence() const { return tag >> 3; }
  VersionKind kind() const { return static_cast<VersionKind>(tag & 3); }
  /// When the version stops counting, ms since the epoch; 0: never. Of bytes it lies before the
  /// value, as in the log.
  int64_t expires() const {
    if ((tag & 4) == 0) return 0;
    if (kind() == VersionKind::kRow) return batch().expires;
    int64_t at;
    std::memcpy(&at, static_cast<const char*>(data) - sizeof at, sizeof at);
    return at;
  }
  std::string_view bytes() const { return {static_cast<const char*>(data), size_or_row}; }
  const MemtableBatch& batch() const { return *static_cast<const MemtableBatch*>(data); }
  int64_t row() const { return size_or_row; }
};

/// With its first version behind it, one cache line.
struct KeyNode {
  std::atomic<const KeyVersion*> newest;
  KeyNode* created_before;  // all nodes of a memtable, from the newest to the oldest
  const char* key_data;
  uint32_t key_size;
  uint32_t hash;  // its low half

  std::string_view key() const { return {key_data, key_size}; }
  /// The newest version that `sequence` sees; null when it sees none.
  const KeyVersion* VisibleAt(SequenceNumber sequence) const {
    const KeyVersion* version = newest.load(std::memory_order_acquire);
    while (version != nullptr && version->sequence() > sequence) version = version->older;
    return version;
  }
};

static_assert(sizeof(KeyNode) + sizeof(KeyVersion) == 64);

}  // namespace marble::lsm
