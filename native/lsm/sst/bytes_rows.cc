#include "lsm/sst/bytes_rows.h"

#include "lsm/sst/idx_file.h"

namespace marble::lsm {

Status ImpossibleOffsets(const std::string& arrow_path, int64_t row) {
  return IdxCorruption(arrow_path, "the offsets of row " + std::to_string(row) + " are impossible");
}

namespace {

/// The size that all rows of a column have; 0: they have not, or it cannot be.
uint32_t SizeOfAll(const uint8_t* offsets, uint32_t bytes, int64_t rows) {
  const auto size = LoadFixed<uint32_t>(offsets + 4);
  if (LoadFixed<uint32_t>(offsets) != 0 || static_cast<uint64_t>(rows) * size > bytes) return 0;
  uint32_t differ = 0;
  for (int64_t i = 1; i <= rows; ++i) {
    differ |= LoadFixed<uint32_t>(offsets + i * 4) ^ static_cast<uint32_t>(i * size);
  }
  return differ == 0 ? size : 0;
}

}  // namespace

void BytesRows::MarkVerified(size_t i) const {
  const Batch& at = batches_[i];
  const int64_t rows = batches_[i + 1].first_row - at.first_row;
  if (rows > 0) {
    at.key_size = SizeOfAll(at.key_offsets, at.key_bytes, rows);
    at.value_size = SizeOfAll(at.value_offsets, at.value_bytes, rows);
  }
  at.verified.store(true, std::memory_order_release);
}

std::unique_ptr<BytesRows> BytesRows::Make(const std::vector<BatchLayout>& layouts,
                                           const uint8_t* file) {
  // Of each column: validity, offsets, data.
  constexpr size_t kBuffersOfColumn = 3;
  std::unique_ptr<BytesRows> out(new BytesRows());
  out->num_batches_ = layouts.size();
  out->batches_ = std::make_unique<Batch[]>(layouts.size() + 1);
  int64_t row = 0;
  for (size_t i = 0; i < layouts.size(); ++i) {
    const BatchLayout& layout = layouts[i];
    if (layout.nodes[0].null_count != 0 || layout.nodes[1].null_count != 0) return nullptr;
    const BufferSpan* key = layout.buffers.data();
    const BufferSpan* value = key + kBuffersOfColumn;
    Batch& batch = out->batches_[i];
    batch.first_row = row;
    batch.key_offsets = file + key[1].offset;
    batch.key_data = file + key[2].offset;
    batch.key_bytes = static_cast<uint32_t>(key[2].length);
    batch.value_offsets = file + value[1].offset;
    batch.value_data = file + value[2].offset;
    batch.value_bytes = static_cast<uint32_t>(value[2].length);
    row += layout.rows;
  }
  out->batches_[layouts.size()].first_row = row;

  // About one entry per batch: a guess is off by a batch or two.
  const auto rows = static_cast<uint64_t>(row);
  const uint64_t average = rows / layouts.size();
  while (out->shift_ < 62 && (uint64_t{1} << (out->shift_ + 1)) <= average) ++out->shift_;
  const uint64_t entries = (rows >> out->shift_) + 1;
  out->guess_.reserve(entries);
  uint32_t batch = 0;
  for (uint64_t i = 0; i < entries; ++i) {
    const auto first = static_cast<int64_t>(i << out->shift_);
    while (batch + 1 < layouts.size() && out->batches_[batch + 1].first_row <= first) ++batch;
    out->guess_.push_back(batch);
  }
  return out;
}

}  // namespace marble::lsm
