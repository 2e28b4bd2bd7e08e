// Where the keys and values of a state family's file lie: one cache line for each batch, so that
// a lookup goes from a row number to its bytes without the batch's layout or any Arrow array.
//
// Immutable but for the mark that a batch's pages have been verified; any thread. Points into a
// mapping that must outlive it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/coding.h"
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
  /// Fetch the offsets of a row.
  void Prefetch(int64_t row) const {
    const Batch& at = batches_[BatchOf(row)];
    const int64_t i = row - at.first_row;
    __builtin_prefetch(at.key_offsets + i * 4);
    __builtin_prefetch(at.value_offsets + i * 4);
  }
  /// Nothing when the offsets are impossible.
  static std::optional<std::string_view> Slice(const uint8_t* offsets, const uint8_t* data,
                                               uint32_t bytes, int64_t i) {
    const auto from = LoadFixed<uint32_t>(offsets + i * 4);
    const auto to = LoadFixed<uint32_t>(offsets + i * 4 + 4);
    if (from > to || to > bytes) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(data) + from, to - from);
  }

 private:
  BytesRows() = default;
  size_t num_batches_ = 0;
  std::unique_ptr<Batch[]> batches_;  // one more at the end: the number of rows
  std::vector<uint32_t> guess_;       // by row >> shift_: a batch at or before the row's
  int shift_ = 0;
};

}  // namespace marble::lsm
