// One run (a memtable or an SSTable) as a scan with one view sees it: per key the newest visible
// version, in key order, forwards or backwards. One thread.
#pragma once

#include <memory>
#include <string_view>

#include "base/status.h"
#include "lsm/memtable/memtable.h"
#include "lsm/read/merge_chain.h"
#include "lsm/read/read_view.h"
#include "lsm/read/row_collector.h"
#include "lsm/read/sst_rows.h"

namespace marble::lsm {

/// What will be looked at of the rows.
struct RowsWanted {
  ColumnsRef columns;  // besides the key; null: all
  /// Key() and Value() of a state family alone, no batches (plain_rows).
  bool bytes_alone = false;
};

class RunCursor {
 public:
  virtual ~RunCursor() = default;

  bool valid() const { return valid_; }
  std::string_view key() const { return key_; }
  uint64_t prefix() const { return prefix_; }  // KeyPrefix(key())
  /// The visible version is a tombstone, or has expired.
  bool deleted() const { return deleted_; }
  /// The visible version is a merge operand: older ones belong to it, here and in older runs.
  bool merge() const { return merge_; }
  /// Of the visible version; 0 when the run does not keep it.
  SequenceNumber sequence() const { return sequence_; }

  /// A hint: SeekGE of the key will follow, after the hints of other runs.
  virtual void PrefetchSeek(std::string_view /*key*/) const {}
  /// To the first key >= `key`; empty: the first.
  virtual Status SeekGE(std::string_view key) = 0;
  /// To the last key < `key`; empty: the last.
  virtual Status SeekLT(std::string_view key) = 0;
  virtual Status Next() = 0;
  virtual Status Prev() = 0;
  /// Add the current row.
  virtual void Collect(RowCollector* to) const = 0;
  /// The value bytes of the current row of a state family.
  virtual std::string_view Value() const = 0;
  /// Add the current key's visible versions to a chain, newest first, those of a sequence below
  /// `hidden` left out. The cursor stays where it is.
  virtual Status CollectChain(SequenceNumber hidden, MergeChain* chain) = 0;

  /// The file when every row of it is visible and live, so that stretches can be taken whole.
  virtual SstRows* plain_rows() { return nullptr; }
  /// After rows were taken through plain_rows: go on at this row.
  virtual Status SkipTo(int64_t /*row*/) { return Status::OK(); }
  /// The same backwards: go on at this row, -1: before the first.
  virtual Status SkipBackTo(int64_t /*row*/) { return Status::OK(); }

 protected:
  void SetKey(std::string_view key) {
    key_ = key;
    prefix_ = KeyPrefix(key);
    valid_ = true;
  }
  bool valid_ = false;
  bool deleted_ = false;
  bool merge_ = false;
  SequenceNumber sequence_ = 0;
  std::string_view key_;
  uint64_t prefix_ = 0;
};

std::unique_ptr<RunCursor> NewMemtableCursor(std::shared_ptr<Memtable> memtable,
                                             const ReadView& view);
std::unique_ptr<RunCursor> NewSstCursor(SstFileRef file, std::shared_ptr<const TableInfo> info,
                                        const ReadView& view, const RowsWanted& wanted);

}  // namespace marble::lsm
