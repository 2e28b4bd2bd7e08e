// An open SSTable: a shared read-only mapping of .arrow, and the parsed .idx. Immutable and
// thread-safe; shared by versions, scans and exported batches, unmapped with the last of them.
// It shows the file with one schema of its table, which may be another than the file was written
// with: columns are found by field id, those that the file does not have are null.
// Batches of a compressed file are decoded into memory of their own, which they keep; what is
// decoded is kept for others in a cache (decoded_cache.h).
// Page checksums are verified at a page's first touch ('first'), at each ('always') or never;
// a mismatch is kCorruption with file and offset.
//
// A file that was just written is checked and loaded when it is opened. One that an earlier process
// has left is only looked at (it is there, its size, its properties): the first read loads it, and
// has to, by Load or by a function that returns an error; what gives none says what it needs.
#pragma once

#include <arrow/type_fwd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/key_codec.h"
#include "io/file_system.h"
#include "lsm/sst/bloom_filter.h"
#include "lsm/sst/point_index.h"
#include "lsm/sst/sst_format.h"

namespace marble::lsm {

class BytesRows;
class DecodedCache;

enum class VerifyReads { kFirst, kAlways, kNever };

/// When the sections of an .idx are checked and decoded.
enum class LoadIndex { kAtOpen, kAtFirstRead };

struct SstReaderOptions {
  std::string dir;
  std::shared_ptr<arrow::Schema> schema;  // the table's
  std::shared_ptr<const KeyCodec> codec;  // null: no primary key
  VerifyReads verify = VerifyReads::kFirst;
  std::shared_ptr<io::FileSystem> file_system = io::FileSystem::Local();
  /// Of the table's columns; empty: 1, 2, 3 … A file's columns are found by them.
  std::vector<uint32_t> field_ids = {};
  /// Of compressed files; null: a small one of the file's own.
  std::shared_ptr<DecodedCache> decoded = nullptr;
  LoadIndex load = LoadIndex::kAtOpen;
};

/// A row found: batch index and row within it.
struct RowLocation {
  int64_t batch;
  int64_t row;
};

class SstReader {
 public:
  virtual ~SstReader() = default;
  static Result<std::shared_ptr<SstReader>> Open(const SstReaderOptions& options,
                                                 const FileMeta& meta);

  /// Check and decode what reading needs, unless that is done: a load of a flag then. kCorruption
  /// names file and offset; whoever tries again gets it again. Any thread; the others wait.
  virtual Status Load() const { return Status::OK(); }

  virtual const FileMeta& meta() const = 0;
  virtual int64_t num_batches() const = 0;
  virtual int64_t num_rows() const = 0;
  /// First row number (in the file) of a batch. Loaded, like layout() and Locate().
  virtual int64_t batch_start(int64_t batch) const = 0;
  virtual const BatchLayout& layout(int64_t batch) const = 0;
  /// Where a table column's nodes and buffers begin in a layout; nullopt: the file does not have
  /// the column, all its values are null.
  virtual std::optional<LayoutSize> column_layout(int column) const = 0;
  virtual const std::shared_ptr<io::MappedFile>& file() const = 0;

  /// Whether batches have to be decoded: they do not lie in the mapping then.
  virtual bool compressed() const { return false; }

  /// The batch, zero-copy over the mapping, with hidden columns behind the table's own (see
  /// seq_column() …). Its pages are verified. The batch keeps the reader alive; decoded it keeps
  /// its own memory.
  virtual Result<std::shared_ptr<arrow::RecordBatch>> ReadBatch(int64_t batch) const = 0;
  /// The same with only the pages of these table columns, of the key and of the hidden columns
  /// verified. The other columns are not to be looked at.
  virtual Result<std::shared_ptr<arrow::RecordBatch>> ReadColumns(
      int64_t batch, const std::vector<int>& /*columns*/) const {
    return ReadBatch(batch);
  }
  /// The same for who walks over a file and comes but once: what has to be decoded is not kept for
  /// others. `columns` null: all.
  virtual Result<std::shared_ptr<arrow::RecordBatch>> ReadOnce(
      int64_t batch, const std::vector<int>* columns) const {
    return columns == nullptr ? ReadBatch(batch) : ReadColumns(batch, *columns);
  }
  /// Index of a hidden column in ReadBatch's result; -1 when absent.
  virtual int seq_column() const = 0;
  virtual int kind_column() const = 0;
  virtual int expires_column() const = 0;
  /// When the first row expires, ms since the epoch; 0: none does.
  virtual int64_t min_expires() const = 0;
  /// When the last of those that expire does.
  virtual int64_t max_expires() const = 0;
  virtual uint64_t merge_operands() const = 0;
  /// Every row expires, or is a tombstone; and some row expires.
  virtual bool all_expire() const { return false; }

  /// False: the key is certainly not in this file (bounds or Bloom filter). True also when that
  /// cannot be told because the .idx is damaged: Find and FindBytes give the error then. Loads.
  bool MayContain(std::string_view key, uint64_t hash) const {
    return key.compare(min_key_) >= 0 && key.compare(max_key_) <= 0 && FilterMayContain(hash);
  }
  /// The same of a key within the file's bounds.
  bool FilterMayContain(uint64_t hash) const {
    if (!lookups_checked_.load(std::memory_order_acquire) && !CheckFilter(hash).ok()) return true;
    return !bloom_ || bloom_->MayContain(hash);
  }
  /// Prefetch the cache lines that MayContain and Find will touch, if it is loaded.
  void Prefetch(uint64_t hash) const {
    if (!loaded()) return;
    if (bloom_) bloom_->Prefetch(hash);
    if (points_) points_->Prefetch(hash);
  }
  /// The first row (newest version) with exactly this key.
  virtual Result<std::optional<RowLocation>> Find(std::string_view key, uint64_t hash) const = 0;
  /// If there is bytes(): the value bytes of the first row with exactly this key, in the mapping.
  /// The filter and the bounds are not consulted.
  virtual Result<std::optional<std::string_view>> FindBytes(std::string_view key,
                                                            uint64_t hash) const = 0;
  /// Where keys and values lie, for who walks them: of a loaded, uncompressed state family's file
  /// with a point index, whose rows all have a value, and whose pages are not verified at every
  /// read; null of others. A batch is not to be read before VerifyBytes of it.
  virtual const BytesRows* bytes() const = 0;
  virtual Status VerifyBytes(size_t batch) const = 0;
  /// If there is bytes(): fetch what FindBytes will read to find the row, once Prefetch has had its
  /// time; then, after more time, the row.
  virtual void PrefetchBytes(uint64_t hash) const = 0;
  virtual void PrefetchValue(uint64_t hash) const = 0;
  /// The first row number (in the file) whose key is >= `key`; num_rows() when there is none.
  virtual Result<int64_t> LowerBound(std::string_view key) const = 0;
  /// Fetch what LowerBound will compare, if that can be told cheaply.
  virtual void PrefetchSearch(std::string_view /*key*/) const {}
  virtual RowLocation Locate(int64_t row_number) const = 0;
  /// The encoded key of a row. Raw codecs: a view into the mapping; else, and of compressed files,
  /// through `scratch`.
  virtual Result<std::string_view> KeyAt(int64_t row_number, std::string* scratch) const = 0;

  struct ZoneMap {
    std::shared_ptr<arrow::Scalar> min;  // null: unknown
    std::shared_ptr<arrow::Scalar> max;
    int64_t null_count = -1;  // -1: unknown
  };
  /// Of a table column in one batch. Only for use inside clean ranges (design: pruning). Unknown
  /// also when the .idx is damaged, which whoever reads the batch is told. Loads.
  virtual ZoneMap zone_map(int64_t batch, int column) const = 0;

  /// Check every checksum and invariant of both files.
  virtual Status Verify() const = 0;

 protected:
  bool loaded() const { return loaded_.load(std::memory_order_acquire); }
  /// Load, and verify what the filter has for a hash.
  virtual Status CheckFilter(uint64_t /*hash*/) const { return Status::OK(); }

  // What most lookups need, and all that those of absent keys do: no call goes through a table.
  std::atomic<bool> loaded_{false};
  /// The Bloom filter and the point index are loaded and every page of them is known to be sound.
  mutable std::atomic<bool> lookups_checked_{false};
  std::optional<BloomFilter> bloom_;
  std::optional<PointIndex> points_;
  std::string_view min_key_;
  std::string_view max_key_;
};

}  // namespace marble::lsm
