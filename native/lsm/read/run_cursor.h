// One run (a memtable or an SSTable) as a scan with one view sees it: per key the newest visible
// version, in key order, forwards or backwards. One thread.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <string_view>
#include <type_traits>

#include "base/status.h"
#include "lsm/memtable/memtable.h"
#include "lsm/read/merge_chain.h"
#include "lsm/read/point_reader.h"
#include "lsm/read/read_view.h"
#include "lsm/read/sst_rows.h"

namespace marble::lsm {

/// The visible version of a key in a run, where it lies. Not initialised unless made by Of.
struct RunRow {
  uint64_t prefix;  // KeyPrefix(key())
  const char* key_data;
  const char* value;
  /// Of whose batch it is a row; null: value bytes.
  const std::shared_ptr<arrow::RecordBatch>* batch;
  int64_t size_or_row;
  SequenceNumber sequence;  // 0 when the run does not keep it
  uint32_t key_size;
  bool deleted;  // a tombstone, or it has expired
  bool merge;    // an operand: older versions belong to it, here and in older runs

  static RunRow Of(std::string_view key, std::string_view value) {
    return {.prefix = KeyPrefix(key),
            .key_data = key.data(),
            .value = value.data(),
            .batch = nullptr,
            .size_or_row = static_cast<int64_t>(value.size()),
            .sequence = 0,
            .key_size = static_cast<uint32_t>(key.size()),
            .deleted = false,
            .merge = false};
  }
  static RunRow Of(std::string_view key, const std::shared_ptr<arrow::RecordBatch>& batch,
                   int64_t row) {
    RunRow made = Of(key, {});
    made.batch = &batch;
    made.size_or_row = row;
    return made;
  }

  std::string_view key() const { return {key_data, key_size}; }
  /// The value of a state family's row.
  std::string_view Value() const {
    return batch == nullptr ? std::string_view(value, static_cast<size_t>(size_or_row))
                            : ValueAt(**batch, size_or_row);
  }
};
static_assert(std::is_trivially_default_constructible_v<RunRow>);

class RunCursor {
 public:
  virtual ~RunCursor() = default;

  bool valid() const { return valid_; }
  std::string_view key() const { return key_; }

  /// SeekGE in steps, so that the cache misses of several runs overlap: each step (0 to kSeekSteps
  /// - 1) of all runs, then SeekGE of the same key of all, and no other call between.
  static constexpr int kSeekSteps = 3;
  virtual void PrepareSeek(std::string_view /*key*/, int /*step*/) {}
  /// To the first key >= `key`; empty: the first.
  virtual Status SeekGE(std::string_view key) = 0;
  /// To the last key < `key`; empty: the last.
  virtual Status SeekLT(std::string_view key) = 0;
  virtual Status Next() = 0;
  virtual Status Prev() = 0;
  /// Read the row that it stands on and up to `most` - 1 that follow (backwards: go before), and
  /// stand on the last of them, or, where nothing follows, perhaps on nothing; how many. What they
  /// point to is valid until the cursor moves; of several, as long as the version read from.
  virtual Result<size_t> Read(bool forward, RunRow* rows, size_t most) = 0;
  /// Add the visible versions of the key that it stands on to a chain, newest first, those of a
  /// sequence below `hidden` left out. The cursor stays where it is.
  virtual Status CollectChain(SequenceNumber hidden, MergeChain* chain) = 0;

  /// When every row of the file is visible and live, so that stretches can be taken whole: the
  /// file, at the row read as the i-th by the last Read. Null elsewhere. The cursor stays.
  virtual Result<SstRows*> PlainRows(size_t /*i*/) { return nullptr; }
  /// After rows were taken through PlainRows: to this row of the file, or behind it (or before).
  virtual Status SkipTo(bool /*forward*/, int64_t /*row*/) { return Status::OK(); }

 protected:
  bool valid_ = false;
  std::string_view key_;
};

std::unique_ptr<RunCursor> NewMemtableCursor(std::shared_ptr<Memtable> memtable,
                                             const ReadView& view);
std::unique_ptr<RunCursor> NewSstCursor(SstFileRef file, std::shared_ptr<const TableInfo> info,
                                        const ReadView& view, const ColumnsRef& columns);

}  // namespace marble::lsm
