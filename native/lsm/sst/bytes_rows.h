// Where the keys and values of a state family's file lie: one cache line for each batch, so that
// a lookup goes from a row number to its bytes without the batch's layout or any Arrow array, and,
// where all keys or values of a batch have one size, without its offsets: that is a cache miss
// less of the three or four that a lookup costs.
//
// Immutable but for what is noted when a batch's pages have been verified; any thread. Points into
// a mapping that must outlive it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/coding.h"
#include "base/status.h"
#include "lsm/sst/sst_format.h"

namespace marble::lsm {

class BytesRows {
 public:
  struct alignas(64) Batch {
    int64_t first_row;
    const uint8_t* key_offsets;  // int32 each
    const uint8_t* key_data;
    const uint8_t* value_offsets;
    const uint8_t* value_data;
    uint32_t key_bytes;
    uint32_t value_bytes;
    // Noted by MarkVerified; of all rows, 0: the offsets must be looked at.
    mutable std::atomic<uint32_t> key_size;
    mutable std::atomic<uint32_t> value_size;
    mutable std::atomic<bool> verified;
  };

  /// `layouts` of a file whose first two columns are binary with 32-bit offsets. Null when a batch
  /// has nulls: they have no bytes.
  static std::unique_ptr<BytesRows> Make(const std::vector<BatchLayout>& layouts,
                                         const uint8_t* file);

  size_t num_batches() const { return num_batches_; }
  const Batch& batch(size_t i) const { return batches_[i]; }
  /// The batch that holds a row of the file.
  size_t BatchOf(int64_t row) const {
    size_t i = guess_[static_cast<size_t>(row) >> shift_];
    while (batches_[i + 1].first_row <= row) ++i;
    return i;
  }
  /// The pages of a batch are as they were written.
  void MarkVerified(size_t i) const;

  /// Key and value of row `i` of a verified batch; nothing when its offsets are impossible.
  static std::optional<std::string_view> Key(const Batch& batch, int64_t i) {
    return Slice(batch.key_size, batch.key_offsets, batch.key_data, batch.key_bytes, i);
  }
  static std::optional<std::string_view> Value(const Batch& batch, int64_t i) {
    return Slice(batch.value_size, batch.value_offsets, batch.value_data, batch.value_bytes, i);
  }

  /// Fetch what says where a row's bytes lie; then fetch those.
  void PrefetchOffsets(int64_t row) const {
    const Batch& at = batches_[BatchOf(row)];
    const int64_t i = row - at.first_row;
    if (at.key_size == 0) __builtin_prefetch(at.key_offsets + i * 4);
    if (at.value_size == 0) __builtin_prefetch(at.value_offsets + i * 4);
  }
  /// Fetch the keys of rows [low, high), as far as they lie in one batch and their places are
  /// known.
  void PrefetchKeys(int64_t low, int64_t high) const {
    constexpr int64_t kMost = 1024, kLine = 64;
    const Batch& at = batches_[BatchOf(low)];
    const int64_t size = at.key_size.load(std::memory_order_relaxed);
    const int64_t begin = (low - at.first_row) * size;
    const int64_t end =
        std::min(begin + std::min(kMost, (high - low) * size), static_cast<int64_t>(at.key_bytes));
    for (int64_t i = begin; i < end; i += kLine) __builtin_prefetch(at.key_data + i);
  }
  void PrefetchRow(int64_t row) const {
    const Batch& at = batches_[BatchOf(row)];
    const int64_t i = row - at.first_row;
    if (const auto key = Key(at, i)) __builtin_prefetch(key->data());
    if (const auto value = Value(at, i)) __builtin_prefetch(value->data());
  }

 private:
  BytesRows() = default;
  static std::optional<std::string_view> Slice(const std::atomic<uint32_t>& size_of_all,
                                               const uint8_t* offsets, const uint8_t* data,
                                               uint32_t bytes, int64_t i) {
    const auto* chars = reinterpret_cast<const char*>(data);
    if (const uint32_t size = size_of_all.load(std::memory_order_relaxed); size > 0) {
      return std::string_view(chars + i * int64_t{size}, size);
    }
    const auto from = LoadFixed<uint32_t>(offsets + i * 4);
    const auto to = LoadFixed<uint32_t>(offsets + i * 4 + 4);
    if (from > to || to > bytes) return std::nullopt;
    return std::string_view(chars + from, to - from);
  }
  size_t num_batches_ = 0;
  std::unique_ptr<Batch[]> batches_;  // one more at the end: the number of rows
  std::vector<uint32_t> guess_;       // by row >> shift_: a batch at or before the row's
  int shift_ = 0;
};

/// kCorruption: a row whose bytes cannot be where the offsets say.
Status ImpossibleOffsets(const std::string& arrow_path, int64_t row);

}  // namespace marble::lsm
