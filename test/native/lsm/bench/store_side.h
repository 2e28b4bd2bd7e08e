// One store under measurement. The workloads know nothing else of it: every operation is one call
// of the store's public C++ API, and what is read is touched in the same way on every side.
//
// Hot calls return no status, so that checking it is not measured: a side keeps its first error,
// which error() gives after a line. Put and PutMany come from one thread at a time, the reads
// from one other at most.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace marble::lsm::bench {

/// What reads have seen, in order: equal on all sides, or the line is void. Adding to it loads the
/// first bytes of what was read, which is the work that a reader of a value cannot avoid.
struct Touched {
  uint64_t rows = 0;
  uint64_t bytes = 0;  // of values
  uint64_t sum = 0;

  static uint64_t FirstBytes(std::string_view bytes) {
    uint64_t first = 0;
    std::memcpy(&first, bytes.data(), bytes.size() < 8 ? bytes.size() : 8);
    return first;
  }
  void AddValue(std::string_view value) {
    ++rows;
    bytes += value.size();
    sum = std::rotl(sum, 7) + FirstBytes(value);
  }
  void AddRow(std::string_view key, std::string_view value) {
    ++rows;
    bytes += value.size();
    sum = std::rotl(sum, 7) + (std::rotl(FirstBytes(key), 32) ^ FirstBytes(value));
  }
  bool operator==(const Touched&) const = default;
};

struct KeyValue {
  std::string_view key;
  std::string_view value;
};

class StoreSide {
 public:
  virtual ~StoreSide() = default;

  /// A short name for columns.
  virtual std::string name() const = 0;
  /// Version and all settings that are not defaults, one per line.
  virtual std::string Describe() const = 0;

  /// Open or create the database in `dir`.
  virtual Status Open(const std::string& dir) = 0;
  virtual Status Close() = 0;
  /// Whether the store itself says that background work is under way or due.
  virtual bool Busy() = 0;
  /// Flush what is in memory and merge all files into one sorted run.
  virtual Status Settle() = 0;
  /// Where the rows are now: files per level, memtables.
  virtual std::string Shape() = 0;

  virtual void Put(std::string_view key, std::string_view value) = 0;
  /// One atomic batch.
  virtual void PutMany(std::span<const KeyValue> rows) = 0;
  /// False when there is no such key.
  virtual bool Get(std::string_view key, Touched* touched) = 0;
  /// As many gets, with the store's batched call if it has one. Values in the order of the keys.
  virtual void GetMany(std::span<const std::string_view> keys, Touched* touched) = 0;
  /// The first `rows` rows from `key` on.
  virtual void SeekAndRead(std::string_view key, int rows, Touched* touched) = 0;
  virtual void ScanAll(Touched* touched) = 0;
  /// All rows in key order, for checks outside of the measurement.
  virtual void VisitAll(const std::function<void(std::string_view, std::string_view)>& visit) = 0;

  Status error() const {
    std::lock_guard lock(error_mutex_);
    return error_;
  }

 protected:
  void Fail(Status status) {
    std::lock_guard lock(error_mutex_);
    if (error_.ok()) error_ = std::move(status);
  }

 private:
  mutable std::mutex error_mutex_;
  Status error_;
};

}  // namespace marble::lsm::bench
