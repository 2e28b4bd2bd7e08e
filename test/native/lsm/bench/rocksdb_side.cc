#include "rocksdb_side.h"

#if !__has_include(<rocksdb/db.h>)
#error \
    "RocksDB's headers are missing: install librocksdb-dev, or name a build with scripts/bench store --rocksdb"
#endif

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <utility>
#include <vector>

// Not in the public headers; absent in other versions. They say how the library was built.
namespace ROCKSDB_NAMESPACE::crc32c {
__attribute__((weak)) std::string IsFastCrc32Supported();
}
extern "C" __attribute__((weak)) void _ZN7rocksdb9SyncPoint11GetInstanceEv();

namespace marble::lsm::bench {
namespace {

constexpr size_t kMaxBatch = 1024;

rocksdb::Slice ToSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

Status ToStatus(const rocksdb::Status& status) {
  if (status.ok()) return Status::OK();
  return MakeError(ErrorCode::kIo, "RocksDB: " + status.ToString());
}

std::string MiB(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::string DescribeLibrary() {
  std::string text = "RocksDB " + std::to_string(ROCKSDB_MAJOR) + "." +
                     std::to_string(ROCKSDB_MINOR) + "." + std::to_string(ROCKSDB_PATCH);
  text +=
      RocksdbHasAssertions() ? ", built WITH assertions (no NDEBUG)" : ", built without assertions";
  if (rocksdb::crc32c::IsFastCrc32Supported != nullptr) {
    text += ", CRC32C in hardware: " + rocksdb::crc32c::IsFastCrc32Supported();
  }
  return text;
}

class RocksdbSide : public StoreSide {
 public:
  explicit RocksdbSide(RocksdbSettings settings) : settings_(std::move(settings)) {
    options_.create_if_missing = true;
    options_.compression = rocksdb::kNoCompression;
    options_.write_buffer_size = settings_.write_buffer_bytes;
    // As many as ours: one that takes writes, three that wait for their flush.
    options_.max_write_buffer_number = 4;
    options_.max_background_jobs = 2;
    // RocksDB's tuning guide.
    options_.level_compaction_dynamic_level_bytes = true;
    options_.bytes_per_sync = 1 << 20;
    options_.compaction_readahead_size = 2 << 20;
    options_.allow_mmap_reads = settings_.mapped_reads;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(settings_.cache_bytes);
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
    table.format_version = 5;
    // A hash index in each block: point lookups without a binary search.
    table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
    options_.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    // With mapped reads no block enters the cache: each get would check its block again.
    read_.verify_checksums = !settings_.mapped_reads;
  }
  ~RocksdbSide() override {
    if (db_ != nullptr) (void)Close();
  }

  std::string name() const override { return settings_.name; }

  std::string Describe() const override {
    return DescribeLibrary() + "\nblock cache " + MiB(settings_.cache_bytes) +
           (settings_.mapped_reads ? ", allow_mmap_reads, verify_checksums=false on reads (with "
                                     "mapped reads every get "
                                     "would check its block again)"
                                   : ", reads with pread into the block cache") +
           "\nBloom 10 bits (full filter), format 5, block 4 KiB with binary and hash index, "
           "kNoCompression"
           "\nlog on, not synced; write_buffer_size " +
           MiB(settings_.write_buffer_bytes) +
           ", max_write_buffer_number 4, max_background_jobs 2, "
           "level_compaction_dynamic_level_bytes, "
           "bytes_per_sync 1 MiB, compaction_readahead_size 2 MiB; all else default"
           "\nput: DB::Put; batched read: DB::MultiGet";
  }

  Status Open(const std::string& dir) override {
    rocksdb::DB* db = nullptr;
    MARBLE_RETURN_NOT_OK(ToStatus(rocksdb::DB::Open(options_, dir, &db)));
    db_.reset(db);
    return Status::OK();
  }

  Status Close() override {
    const rocksdb::Status closed = db_->Close();
    db_ = nullptr;
    return ToStatus(closed);
  }

  bool Busy() override {
    for (const char* property : {"rocksdb.num-running-flushes", "rocksdb.num-running-compactions",
                                 "rocksdb.mem-table-flush-pending", "rocksdb.compaction-pending"}) {
      uint64_t value = 0;
      if (db_->GetIntProperty(property, &value) && value > 0) return true;
    }
    return false;
  }

  Status Settle() override {
    MARBLE_RETURN_NOT_OK(ToStatus(db_->Flush({})));
    return ToStatus(db_->CompactRange({}, nullptr, nullptr));
  }

  std::string Shape() override {
    std::string text;
    for (int level = 0; level < db_->NumberLevels(); ++level) {
      std::string files;
      db_->GetProperty("rocksdb.num-files-at-level" + std::to_string(level), &files);
      if (files == "0") continue;
      text += "L" + std::to_string(level) + ": " + files + ", ";
    }
    uint64_t active = 0;
    uint64_t immutable = 0;
    db_->GetIntProperty("rocksdb.num-entries-active-mem-table", &active);
    db_->GetIntProperty("rocksdb.num-entries-imm-mem-tables", &immutable);
    return text + std::to_string(active + immutable) + " rows in memtables";
  }

  void Put(std::string_view key, std::string_view value) override {
    Check(db_->Put(write_, ToSlice(key), ToSlice(value)));
  }

  void PutMany(std::span<const KeyValue> rows) override {
    batch_.Clear();
    for (const KeyValue& row : rows) Check(batch_.Put(ToSlice(row.key), ToSlice(row.value)));
    Check(db_->Write(write_, &batch_));
  }

  bool Get(std::string_view key, Touched* touched) override {
    value_.Reset();
    const rocksdb::Status status =
        db_->Get(read_, db_->DefaultColumnFamily(), ToSlice(key), &value_);
    if (!status.ok()) {
      if (!status.IsNotFound()) Check(status);
      return false;
    }
    touched->AddValue(ToView(value_));
    return true;
  }

  void GetMany(std::span<const std::string_view> keys, Touched* touched) override {
    const size_t n = std::min(keys.size(), kMaxBatch);
    for (size_t i = 0; i < n; ++i) slices_[i] = ToSlice(keys[i]);
    db_->MultiGet(read_, db_->DefaultColumnFamily(), n, slices_.data(), values_.data(),
                  statuses_.data());
    for (size_t i = 0; i < n; ++i) {
      if (statuses_[i].ok()) {
        touched->AddValue(ToView(values_[i]));
      } else if (!statuses_[i].IsNotFound()) {
        Check(statuses_[i]);
      }
      values_[i].Reset();
    }
    if (n < keys.size()) GetMany(keys.subspan(n), touched);
  }

  void SeekAndRead(std::string_view key, int rows, Touched* touched) override {
    // A new one each time, as db_bench does: an iterator is a view of one moment.
    const std::unique_ptr<rocksdb::Iterator> iterator(db_->NewIterator(read_));
    for (iterator->Seek(ToSlice(key)); rows > 0 && iterator->Valid(); iterator->Next(), --rows) {
      touched->AddRow(ToView(iterator->key()), ToView(iterator->value()));
    }
    Check(iterator->status());
  }

  void ScanAll(Touched* touched) override {
    Scan([touched](std::string_view k, std::string_view v) { touched->AddRow(k, v); });
  }

  void VisitAll(const std::function<void(std::string_view, std::string_view)>& visit) override {
    Scan(visit);
  }

 private:
  template <typename Visit>
  void Scan(const Visit& visit) {
    const std::unique_ptr<rocksdb::Iterator> iterator(db_->NewIterator(read_));
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      visit(ToView(iterator->key()), ToView(iterator->value()));
    }
    Check(iterator->status());
  }

  void Check(const rocksdb::Status& status) {
    if (!status.ok()) Fail(ToStatus(status));
  }

  const RocksdbSettings settings_;
  rocksdb::Options options_;
  rocksdb::ReadOptions read_;
  const rocksdb::WriteOptions write_;  // log on, not synced
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::WriteBatch batch_;
  rocksdb::PinnableSlice value_;
  std::array<rocksdb::Slice, kMaxBatch> slices_;
  std::array<rocksdb::PinnableSlice, kMaxBatch> values_;
  std::array<rocksdb::Status, kMaxBatch> statuses_;
};

}  // namespace

/// A library without NDEBUG has sync points.
bool RocksdbHasAssertions() { return _ZN7rocksdb9SyncPoint11GetInstanceEv != nullptr; }

std::unique_ptr<StoreSide> NewRocksdbSide(RocksdbSettings settings) {
  return std::make_unique<RocksdbSide>(std::move(settings));
}

}  // namespace marble::lsm::bench
