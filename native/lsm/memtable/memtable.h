// One table's rows of one generation (one log segment), as indexes over the log's mapping.
//
// Tables with a key: a hash index of keys, built by the writer, and an ordered index, built by
// ordered readers. Tables without: a list of Arrow batches in the order of writing. Range
// tombstones are a list of their own. Tables with `lazy_index` queue their operations; whoever
// reads first applies them to the index.
//
// Threads: writes come from one thread at a time, in log order (the publish turn). Reads are
// lock-free, except that Prepare may build what is pending. A reader must load the visible
// sequence number before it reads, and ignores what is newer. Immutable once its generation is
// sealed. Keeps the log segments that its rows lie in mapped.
#pragma once

#include <arrow/type_fwd.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "lsm/memtable/arena.h"
#include "lsm/memtable/hash_index.h"
#include "lsm/memtable/key_node.h"
#include "lsm/memtable/ordered_index.h"
#include "lsm/memtable/sorted_nodes.h"
#include "lsm/table_info.h"

namespace marble::lsm {

/// Keys in [from, to) written before `sequence` are deleted; `to` empty: to the end.
struct RangeTombstone {
  SequenceNumber sequence;
  std::string_view from;
  std::string_view to;
  const RangeTombstone* next;  // older

  bool Covers(std::string_view key) const { return key >= from && (to.empty() || key < to); }
};

/// A batch of a table without a key.
struct AppendedBatch {
  SequenceNumber sequence;
  std::shared_ptr<arrow::RecordBatch> batch;
  int64_t expires;                                  // of all rows; 0: never
  std::atomic<const AppendedBatch*> next{nullptr};  // newer
};

class Memtable {
 public:
  Memtable(std::shared_ptr<const TableInfo> info, uint64_t generation, size_t expected_keys);

  // --- the writer -------------------------------------------------------------------------
  /// Keep memory alive while this memtable lives: a log segment, or where unlogged rows lie.
  void Pin(const std::shared_ptr<const void>& memory);
  /// Key and value lie in pinned memory. An expiry lies in the 8 bytes before the value.
  void Put(SequenceNumber sequence, std::string_view key, std::string_view value, bool expires);
  /// The number of operands that lie on top of each other since the last put or delete.
  uint32_t Merge(SequenceNumber sequence, std::string_view key, std::string_view operand,
                 bool expires);
  /// Put a copy of the value on top of merges that it is the sum of, at the same sequence.
  void PutMerged(SequenceNumber sequence, std::string_view key, std::string_view value,
                 int64_t expires);
  void Delete(SequenceNumber sequence, std::string_view key);
  void DeleteRange(SequenceNumber sequence, std::string_view from, std::string_view to);
  void Insert(SequenceNumber sequence, std::shared_ptr<arrow::RecordBatch> rows, int64_t expires);
  void DeleteRows(SequenceNumber sequence, std::shared_ptr<arrow::RecordBatch> keys);

  // --- readers ----------------------------------------------------------------------------
  /// Bring the indexes that are built by readers up to date: call before a read.
  void Prepare(bool ordered);
  void Prefetch(uint64_t hash) const { keys_->Prefetch(hash); }
  /// What Find will look at next, once Prefetch has had its time: it is fetched, not looked at.
  /// Null: nothing.
  const KeyNode* Guess(uint64_t hash) const {
    const KeyNode* node = keys_->Guess(hash);
    if (node != nullptr) __builtin_prefetch(node);
    return node;
  }
  const KeyVersion* Find(std::string_view key, uint64_t hash, SequenceNumber sequence) const {
    const KeyNode* node = keys_->Find(key, hash);
    return node == nullptr ? nullptr : node->VisibleAt(sequence);
  }
  /// The newest range tombstone over `key` that `sequence` sees; 0: none.
  SequenceNumber RangeTombstoneOver(std::string_view key, SequenceNumber sequence) const;
  const RangeTombstone* range_tombstones() const {
    return range_tombstones_.load(std::memory_order_acquire);
  }
  OrderedIndex::Cursor NewCursor() const { return OrderedIndex::Cursor(&ordered_); }
  /// Tables without a key: the oldest batch.
  const AppendedBatch* first_batch() const { return first_batch_.load(std::memory_order_acquire); }

  // --- flush (immutable memtable, after Prepare) ---------------------------------------------
  SortedNodes InOrder() const;

  const TableInfo& info() const { return *info_; }
  uint64_t generation() const { return generation_; }
  size_t num_keys() const { return num_keys_.load(std::memory_order_relaxed); }
  /// Versions in here, tombstones included; for metrics.
  uint64_t num_rows() const { return num_rows_.load(std::memory_order_relaxed); }
  size_t memory_usage() const;
  /// Some operation was a delete of any kind, or a merge.
  bool has_deletes() const { return has_deletes_; }
  /// When the last of the rows that expire does; 0: none does.
  int64_t max_expires() const { return max_expires_; }
  /// When the first of them does; 0: none does. Any thread, at any time.
  int64_t min_expires() const { return min_expires_.load(std::memory_order_relaxed); }
  SequenceNumber min_sequence() const { return min_sequence_; }
  SequenceNumber max_sequence() const { return max_sequence_; }

 private:
  struct PendingOp {
    SequenceNumber sequence;
    VersionKind kind;
    bool expiring;
    std::string_view key;  // byte operations
    std::string_view value;
    std::shared_ptr<arrow::RecordBatch> rows;  // Arrow operations
    int64_t expires;                           // of the rows
  };

  void Note(SequenceNumber sequence, uint64_t rows);
  void NoteExpiry(int64_t expires);
  void Apply(const PendingOp& op);
  const KeyVersion* Add(std::string_view key, uint64_t hash, SequenceNumber sequence,
                        VersionKind kind, bool expires, const void* data, uint32_t size_or_row);
  uint32_t AddBytes(SequenceNumber sequence, VersionKind kind, std::string_view key,
                    std::string_view value, bool expires);
  void AddRows(SequenceNumber sequence, const std::shared_ptr<arrow::RecordBatch>& rows,
               bool is_delete, int64_t expires);

  const std::shared_ptr<const TableInfo> info_;
  const uint64_t generation_;
  std::vector<std::shared_ptr<const void>> pinned_;
  Arena arena_;
  std::unique_ptr<HashIndex> keys_;  // null without a key
  std::atomic<KeyNode*> newest_node_{nullptr};
  OrderedIndex ordered_;
  std::deque<MemtableBatch> batches_;  // stable addresses
  std::atomic<const RangeTombstone*> range_tombstones_{nullptr};
  std::deque<AppendedBatch> appended_;
  std::atomic<const AppendedBatch*> first_batch_{nullptr};
  std::atomic<uint64_t> num_rows_{0};
  std::atomic<size_t> num_keys_{0};
  SequenceNumber min_sequence_ = 0;  // writer and flush
  SequenceNumber max_sequence_ = 0;
  bool has_deletes_ = false;
  int64_t max_expires_ = 0;
  std::atomic<int64_t> min_expires_{0};

  // lazy_index: guarded by lazy_mutex_, which is then also the writer lock of the hash index.
  const bool lazy_;
  std::mutex lazy_mutex_;
  std::deque<PendingOp> pending_;
};

}  // namespace marble::lsm
