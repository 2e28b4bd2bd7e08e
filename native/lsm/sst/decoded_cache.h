// Decoded batches of compressed files, kept for the next read: one cache for all files of a
// database, least recently used first out, bounded, in shards with a lock each. Thread-safe.
//
// What it hands out stays valid for as long as somebody holds it, in the cache or not: a batch owns
// its memory and refers to no file. Point reads and seeks put batches in; walks over many rows
// (scans, compactions) only take what is there, so that they do not wash it out.
#pragma once

#include <arrow/type_fwd.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "lsm/memory_budget.h"

namespace marble::lsm {

/// Immutable.
struct DecodedBatch {
  std::shared_ptr<arrow::Buffer> bytes;  // where the layout's offsets count from
  std::shared_ptr<arrow::RecordBatch> rows;
  const uint8_t* data = nullptr;  // of bytes
  uint64_t memory = 0;            // of bytes and arrays, an estimate
};
using DecodedBatchRef = std::shared_ptr<const DecodedBatch>;

class DecodedCache {
 public:
  /// Keeps `capacity` bytes at most; with a budget, they are counted there.
  explicit DecodedCache(uint64_t capacity, std::shared_ptr<MemoryBudget> budget = nullptr);
  ~DecodedCache();
  DecodedCache(const DecodedCache&) = delete;
  DecodedCache& operator=(const DecodedCache&) = delete;

  /// A number for an open file.
  static uint64_t NewFile();

  /// Null when it is not there. Counted as hit or miss.
  DecodedBatchRef Find(uint64_t file, int64_t batch);
  void Insert(uint64_t file, int64_t batch, const DecodedBatchRef& decoded);
  /// Drop what is kept of a file with so many batches.
  void Forget(uint64_t file, int64_t batches);

  uint64_t capacity() const { return capacity_; }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  uint64_t hits() const { return hits_.load(std::memory_order_relaxed); }
  uint64_t misses() const { return misses_.load(std::memory_order_relaxed); }

 private:
  struct Key {
    uint64_t file;
    int64_t batch;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const {
      // Batches of one file are neighbours: spread them over shards and buckets.
      const uint64_t mixed = (key.file * 0x9e3779b97f4a7c15ull ^ static_cast<uint64_t>(key.batch)) *
                             0xbf58476d1ce4e5b9ull;
      return static_cast<size_t>(mixed ^ (mixed >> 32));
    }
  };
  struct Entry {
    Key key;
    DecodedBatchRef decoded;
  };
  struct alignas(64) Shard {
    std::mutex mutex;
    std::list<Entry> entries;  // the last used first
    std::unordered_map<Key, std::list<Entry>::iterator, Hash> by_key;
    uint64_t bytes = 0;
  };

  Shard& ShardOf(const Key& key) { return shards_[(Hash()(key) >> 16) % shards_.size()]; }
  /// Under the shard's lock: take an entry out; it dies when the caller lets go of it.
  void TakeOut(Shard* shard, std::list<Entry>::iterator entry, std::list<Entry>* out);

  const uint64_t capacity_;
  const std::shared_ptr<MemoryBudget> budget_;  // may be null
  std::vector<Shard> shards_;
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> hits_{0};
  std::atomic<uint64_t> misses_{0};
};

}  // namespace marble::lsm
