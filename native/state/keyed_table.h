// THE keyed table: the state of an operator. A flat hash index from encoded key (and window) to
// a dense group number, and columns of accumulators indexed by it.
//
//   Lookup(batch)   encode all keys, hash all, prefetch, then probe: group numbers per row; every
//                   group that is touched becomes dirty
//   columns         plain vectors that operators update in tight loops
//   CollectDirty()  the rows changed since the last call as one batch of the state table's
//                   schema; CollectDeleted() the keys of erased rows that were stored before
//   Restore(batch)  rows of the state table, when a job resumes
//
// The state table's schema: key_group (uint16) first, so that a group of keys is one key range
// and can move as one; window_end (timestamp ms) where there are windows; the key columns; the
// accumulators. A group's key group is the hash of its encoded key mod max_parallelism; its
// window is not part of that, so all windows of a key stay together.
//
// One thread. Group numbers are valid until Erase and may be reused after it.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/key_codec.h"
#include "base/status.h"
#include "base/types.h"
#include "state/group_column.h"

namespace marble::state {

using GroupId = uint32_t;
inline constexpr GroupId kNoGroup = UINT32_MAX;

struct KeyedTableOptions {
  /// The key columns; may be empty (one global group).
  std::vector<std::shared_ptr<arrow::Field>> keys;
  bool windowed = false;
  /// Accumulators: int64, float64, utf8 or binary.
  std::vector<std::shared_ptr<arrow::Field>> accumulators;
  uint16_t max_parallelism = 16;
};

class KeyedTable {
 public:
  static Result<std::unique_ptr<KeyedTable>> Make(KeyedTableOptions options);
  ~KeyedTable();

  /// Find or create the group of each row of `keys` (a batch of the key columns). `window_ends`
  /// has one value per row, or is null without windows. Groups that are new are appended to
  /// `created` in order. All are marked dirty.
  Status Lookup(const arrow::RecordBatch& keys, const int64_t* window_ends,
                std::vector<GroupId>* groups, std::vector<GroupId>* created);

  /// Remove groups; stored ones are deleted from the state table at the next collect.
  void Erase(const std::vector<GroupId>& groups);

  GroupColumn& accumulator(size_t index) { return accumulators_[index]; }
  int64_t window_end(GroupId group) const { return metas_[group].window_end; }
  /// The key columns of some groups.
  Result<std::vector<std::shared_ptr<arrow::Array>>> GatherKeys(
      const std::vector<GroupId>& groups) const;

  /// Rows changed since the last collect; 0 rows when there are none. Clears the dirty bits.
  Result<std::shared_ptr<arrow::RecordBatch>> CollectDirty();
  /// Keys (the state table's key columns) of stored rows that were erased.
  Result<std::shared_ptr<arrow::RecordBatch>> CollectDeleted();
  /// Forget what changed, for tables that are never stored.
  void DiscardChanges();
  /// Dirty groups in the order in which they became so.
  const std::vector<GroupId>& dirty() const { return dirty_list_; }

  /// Add rows of the state table; `created` gets their groups. kCorruption when the schema is
  /// another one.
  Status Restore(const arrow::RecordBatch& rows, std::vector<GroupId>* created);

  const std::shared_ptr<arrow::Schema>& state_schema() const { return state_schema_; }
  /// Indices of the state table's key columns.
  std::vector<int> state_key_columns() const;

  size_t size() const { return size_; }
  size_t memory_bytes() const;

 private:
  struct Meta {
    uint64_t key_hash;
    int64_t window_end;
    const char* key;
    uint32_t key_size;
    KeyGroup key_group;
    bool dirty;
    bool stored;  // the state table has a row of it
  };
  struct Slot {
    uint32_t tag;
    GroupId group;  // kNoGroup: free; kErased: was in use
  };
  static constexpr GroupId kErased = UINT32_MAX - 1;

  explicit KeyedTable(KeyedTableOptions options);
  static uint64_t SlotHash(uint64_t key_hash, int64_t window_end);
  GroupId FindOrInsert(uint64_t key_hash, int64_t window_end, std::string_view key,
                       const arrow::RecordBatch& rows, int64_t row, int first_key_column,
                       bool* inserted);
  Status EncodeKeys(const arrow::RecordBatch& keys);
  void Rehash(size_t slots);
  void CompactArena();
  const char* Store(std::string_view key);
  Result<std::vector<std::shared_ptr<arrow::Array>>> GatherStateKeys(
      const std::vector<GroupId>& groups) const;

  KeyedTableOptions options_;
  std::shared_ptr<arrow::Schema> key_schema_;
  std::shared_ptr<arrow::Schema> state_schema_;
  std::shared_ptr<const KeyCodec> codec_;  // null without keys

  std::vector<Slot> slots_;
  size_t used_slots_ = 0;  // in use or erased
  std::vector<Meta> metas_;
  std::vector<GroupColumn> keys_;
  std::vector<GroupColumn> accumulators_;
  std::vector<GroupId> free_;
  std::vector<GroupId> dirty_list_;
  size_t size_ = 0;
  size_t capacity_ = 0;  // of the columns

  // Arena of encoded keys: compacted when more than half of it belongs to erased groups.
  std::vector<std::unique_ptr<char[]>> chunks_;
  size_t chunk_used_ = 0, chunk_size_ = 0;
  size_t arena_bytes_ = 0, arena_garbage_ = 0;

  // Keys of erased rows, gathered before their groups are reused.
  std::vector<std::vector<std::shared_ptr<arrow::Array>>> deleted_;

  // Scratch of Lookup.
  std::string encoded_;
  std::vector<uint32_t> offsets_;
  std::vector<uint64_t> hashes_;
};

}  // namespace marble::state
