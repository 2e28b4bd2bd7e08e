// The one implementation of SstReader; a header of its own so that Verify (sst_verify.cc) and what
// compressed files do otherwise (sst_decode.cc) can stand apart. Not for other folders.
//
// Lifetimes: everything here points into the two mappings, which live as long as the reader.
// Buffers that leave (ReadBatch) hold the reader; those of `views_` do not, or the reader would
// keep itself alive. Decoded batches hold their own memory and nothing else.
//
// Two steps. Init looks at what must be known of a file that nobody reads yet: the container of the
// .idx and its properties; the .arrow file is mapped and not touched. Load does the rest once,
// under a mutex; what it sets is immutable behind `loaded_`. The Bloom filter and the point index,
// which are most of an .idx, are checked page by page as lookups touch them, and a few more pages
// with each of those lookups, until all are checked and `lookups_checked_` says so.
#pragma once

#include <arrow/record_batch.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lsm/key_fences.h"
#include "lsm/sst/batch_layout.h"
#include "lsm/sst/bloom_filter.h"
#include "lsm/sst/bytes_rows.h"
#include "lsm/sst/decoded_cache.h"
#include "lsm/sst/idx_file.h"
#include "lsm/sst/page_checksums.h"
#include "lsm/sst/point_index.h"
#include "lsm/sst/properties.h"
#include "lsm/sst/sparse_keys.h"
#include "lsm/sst/sst_reader.h"
#include "lsm/sst/stored_buffers.h"
#include "lsm/sst/zone_map.h"

namespace marble::lsm {

class SstReaderImpl : public SstReader, public std::enable_shared_from_this<SstReaderImpl> {
 public:
  SstReaderImpl(const SstReaderOptions& options, const FileMeta& meta)
      : options_(options), meta_(meta) {}
  ~SstReaderImpl() override;
  Status Init();

  Status Load() const override {
    return loaded_.load(std::memory_order_acquire) ? Status::OK() : LoadNow();
  }
  const FileMeta& meta() const override { return meta_; }
  int64_t num_batches() const override { return static_cast<int64_t>(properties_.batches); }
  int64_t num_rows() const override { return static_cast<int64_t>(properties_.rows); }
  int64_t batch_start(int64_t batch) const override {
    MARBLE_DCHECK(loaded());
    return starts_[batch];
  }
  const BatchLayout& layout(int64_t batch) const override {
    MARBLE_DCHECK(loaded());
    return layouts_[batch];
  }
  std::optional<LayoutSize> column_layout(int column) const override {
    const int stored = StoredColumn(column);
    return stored < 0 ? std::nullopt : std::optional<LayoutSize>(first_[stored]);
  }
  const std::shared_ptr<io::MappedFile>& file() const override { return file_; }
  bool compressed() const override { return compressed_; }
  Result<std::shared_ptr<arrow::RecordBatch>> ReadBatch(int64_t batch) const override;
  Result<std::shared_ptr<arrow::RecordBatch>> ReadColumns(
      int64_t batch, const std::vector<int>& columns) const override;
  Result<std::shared_ptr<arrow::RecordBatch>> ReadOnce(
      int64_t batch, const std::vector<int>* columns) const override;
  int seq_column() const override { return seq_column_; }
  int kind_column() const override { return kind_column_; }
  int expires_column() const override { return expires_column_; }
  int64_t min_expires() const override { return properties_.min_expires; }
  int64_t max_expires() const override { return properties_.max_expires; }
  uint64_t merge_operands() const override { return properties_.merge_operands; }
  bool all_expire() const override {
    // Tombstones have no expiry, merge operands have.
    const uint64_t deletes = properties_.tombstones - properties_.merge_operands;
    return properties_.expiring > 0 && properties_.expiring + deletes == properties_.rows;
  }
  Result<std::optional<RowLocation>> Find(std::string_view key, uint64_t hash) const override;
  const BytesRows* bytes() const override { return loaded() ? bytes_.get() : nullptr; }
  Status VerifyBytes(size_t batch) const override {
    return bytes_->batch(batch).verified.load(std::memory_order_acquire) ? Status::OK()
                                                                         : VerifyBytesOf(batch);
  }
  Result<std::optional<std::string_view>> FindBytes(std::string_view key,
                                                    uint64_t hash) const override;
  void PrefetchBytes(uint64_t hash) const override;
  void PrefetchValue(uint64_t hash) const override;
  Result<int64_t> LowerBound(std::string_view key) const override;
  void PrefetchSearch(std::string_view key) const override;
  RowLocation Locate(int64_t row_number) const override;
  Result<std::string_view> KeyAt(int64_t row_number, std::string* scratch) const override;
  ZoneMap zone_map(int64_t batch, int column) const override;
  Status Verify() const override;

 private:
  using BatchView = std::shared_ptr<arrow::RecordBatch>;
  /// Where a key column's buffers stand in a layout.
  struct KeyColumn {
    enum class Shape { kBits, kFixed, kOffsets32, kOffsets64 } shape;
    size_t first_buffer;
    uint64_t width;  // bytes of a value or offset; 0 of kBits
  };

  /// One thread gets to load it; after an error the next one tries again.
  Status LoadNow() const;
  Status LoadLocked();
  Status MapArrow();
  Status InitProperties();
  /// What pages of both files are checked with.
  Status InitPages();
  Status InitColumns();
  Status MapColumns(std::shared_ptr<arrow::Schema> stored);
  Result<std::shared_ptr<arrow::Schema>> ReadStoredSchema() const;
  Status InitSections();
  Status InitKeys();
  Status InitKeyColumns();
  Status CheckFileCrc(uint32_t crc) const;
  void InitRegions();
  Status CheckMeta() const;
  /// A section whose pages are verified; nothing when the file has none. Of a section of which only
  /// the beginning is to be used now, `bytes` of it.
  Result<std::optional<std::string_view>> Section(IdxSection type,
                                                  uint64_t bytes = UINT64_MAX) const;
  /// Load, then verify what the filter, or the point index, has for a hash, and some pages more.
  Status CheckFilter(uint64_t hash) const override;
  Status CheckPoints(uint64_t hash) const;
  Status CheckLookup(uint64_t hash) const {
    return lookups_checked_.load(std::memory_order_acquire) ? Status::OK() : CheckPoints(hash);
  }
  void CheckSome() const;
  Status TouchIdx(const void* at, uint64_t length) const;
  Status Damaged(const std::string& what) const;

  /// Where a column of a batch that was read lies in the file; -1: it does not.
  int StoredColumn(int column) const { return columns_.empty() ? column : columns_[column]; }
  std::vector<std::shared_ptr<arrow::ArrayData>> BuildColumns(int64_t batch,
                                                              const BufferFactory& factory) const;

  /// The value of a key column of variable length. `base`: where the layout's offsets count from,
  /// the mapping or a decoded batch.
  Result<std::string_view> VarValue(const uint8_t* base, const BatchLayout& layout,
                                    const KeyColumn& column, int64_t row) const;
  /// Verify bytes that are about to be read; of a decoded batch they are.
  Status Touch(uint64_t offset, uint64_t length) const {
    return codec_ != nullptr ? Status::OK() : pages_->Touch(offset, length);
  }
  Status VerifyBytesOf(size_t batch) const;
  /// The first sparse key that is not less.
  /// Where a key's lower bound lies, as far as the sparse keys tell: a row of [low, high], most
  /// likely about `guess`.
  struct RowsOfKey {
    int64_t low, high, guess;
  };
  RowsOfKey NarrowBySparse(std::string_view key) const;
  void PrefetchAround(const RowsOfKey& rows) const;
  Result<int64_t> LowerBoundOfBytes(std::string_view key, const RowsOfKey& rows) const;
  std::shared_ptr<arrow::RecordBatch> MakeBatch(int64_t batch) const;
  Status TouchKey(const uint8_t* base, const BatchLayout& layout, int64_t row) const;
  Result<std::string_view> KeyOf(RowLocation at, std::string* scratch) const;

  // Compressed files (sst_decode.cc).
  Status InitStored(std::string_view section);
  /// A batch, from the cache or decoded; then kept there if `keep`.
  Result<DecodedBatchRef> Decoded(int64_t batch, bool keep) const;
  /// `buffers`: those to decode, the others are zeros; null: all.
  Result<DecodedBatchRef> Decode(int64_t batch, const std::vector<bool>* buffers) const;
  Status DecodeBuffer(const BufferSpan& stored, const BufferSpan& decoded, uint8_t* to) const;
  Result<std::shared_ptr<arrow::RecordBatch>> DecodedColumns(int64_t batch,
                                                             const std::vector<int>& columns) const;
  /// The key of a row of a decoded batch: a view into it or into `scratch`.
  Result<std::string_view> DecodedKey(const DecodedBatch& decoded, RowLocation at,
                                      std::string* scratch) const;
  Result<std::optional<RowLocation>> FindDecoded(std::string_view key, uint64_t hash) const;
  Result<int64_t> LowerBoundOfDecoded(std::string_view key, int64_t low, int64_t high) const;
  /// `stored_schema`: what the .arrow file says.
  Status VerifyCompressed(const arrow::Schema& stored_schema) const;

  /// The batch without ownership, built once; for encoding keys.
  const arrow::RecordBatch& View(int64_t batch) const;

  Status VerifyBatches() const;
  Status VerifyKeys() const;
  Status VerifyZones(int64_t batch, const arrow::RecordBatch& rows) const;

  SstReaderOptions options_;
  const FileMeta meta_;
  mutable std::mutex load_mutex_;
  std::shared_ptr<io::MappedFile> file_;
  std::unique_ptr<IdxFile> idx_;
  SstProperties properties_;
  std::shared_ptr<arrow::Schema> file_schema_;    // of the batches read
  std::shared_ptr<arrow::Schema> stored_schema_;  // of those in the file
  /// Of each of the first's columns, its place in the second, -1: none. Empty: the same.
  std::vector<int> columns_;
  int seq_column_ = -1;
  int kind_column_ = -1;
  int expires_column_ = -1;
  bool compressed_ = false;
  bool raw_ = false;
  std::vector<LayoutSize> first_;  // of each stored column in a layout, and behind the last
  std::vector<KeyColumn> key_columns_;

  // Set by Load (the page verifiers by InitColumns if it has to read the .arrow file).
  std::optional<PageVerifier> idx_pages_;
  std::optional<PageVerifier> pages_;  // of the .arrow file
  std::vector<BatchLayout> layouts_;
  std::vector<int64_t> starts_;        // and the number of rows behind them
  std::vector<uint32_t> batch_guess_;  // by row >> guess_shift_: a batch at or before the row's
  int guess_shift_ = 0;
  std::shared_ptr<arrow::util::Codec> codec_;  // null: not compressed
  StoredBatches stored_;                       // of compressed files
  std::shared_ptr<DecodedCache> cache_;        // null: not compressed
  uint64_t cache_file_ = 0;

  std::vector<BufferSpan> regions_;   // what ReadBatch verifies; together, the whole file
  std::unique_ptr<BytesRows> bytes_;  // null: FindBytes does not work
  std::optional<SparseKeys> sparse_;
  mutable std::once_flag fences_made_;
  mutable KeyFences fences_;  // of the sparse keys, made by the first search
  std::optional<ZoneMaps> zones_;
  mutable std::unique_ptr<std::atomic<const BatchView*>[]> views_;

  // Pages of the .idx that hold the filter and the point index, checked from the first to the last.
  uint64_t lookup_pages_begin_ = 0;
  uint64_t lookup_pages_end_ = 0;
  mutable std::atomic<uint64_t> next_lookup_page_{0};
  mutable std::atomic<uint64_t> sound_lookup_pages_{0};
};

}  // namespace marble::lsm
