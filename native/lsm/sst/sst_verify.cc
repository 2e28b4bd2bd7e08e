// SstReader::Verify: every checksum, and every promise that writer, format and reader make to
// each other, checked from the rows themselves.
#include <utility>

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/type.h>

#include "base/crc32c.h"
#include "base/hash.h"
#include "lsm/sst/sst_reader_impl.h"

namespace marble::lsm {
namespace {

bool SameZone(const SstReader::ZoneMap& a, const SstReader::ZoneMap& b) {
  const auto same = [](const auto& x, const auto& y) {
    return (x == nullptr) == (y == nullptr) && (x == nullptr || x->Equals(*y));
  };
  return a.null_count == b.null_count && same(a.min, b.min) && same(a.max, b.max);
}

}  // namespace

Status SstReaderImpl::Verify() const {
  // Where the damage is comes first, then whether it is the file that the manifest names.
  MARBLE_RETURN_NOT_OK(idx_->Verify());
  if (options_.verify != VerifyReads::kNever) {
    MARBLE_RETURN_NOT_OK(CheckFileCrc(Crc32c(idx_->file().bytes())));
  }
  MARBLE_RETURN_NOT_OK(Load());
  const auto crcs = idx_->section(IdxSection::kArrowPageCrcs);
  MARBLE_RETURN_NOT_OK(
      CheckPages(file_->bytes(), *crcs, 0, PageCount(file_->size()) - 1, file_->path()));
  MARBLE_RETURN_NOT_OK(VerifyBatches());
  return key_columns_.empty() ? Status::OK() : VerifyKeys();
}

/// The arrays are sound, and Arrow's own reader sees the same ones.
Status SstReaderImpl::VerifyBatches() const {
  // Of a column that was renamed the file has another name.
  auto stored = ReadFileSchema(file_->bytes());
  if (!stored.ok()) return IdxCorruption(file_->path(), MessageOf(stored.status()));
  if (TypeFingerprint(**stored) != properties_.type_fingerprint) {
    return IdxCorruption(file_->path(), "the Arrow file's schema is " + (*stored)->ToString() +
                                            ", expected " + stored_schema_->ToString());
  }
  if (compressed()) {
    MARBLE_RETURN_NOT_OK(VerifyCompressed(**stored));
  } else {
    auto layouts = ReadLayouts(file_->bytes(), **stored);
    if (!layouts.ok()) return IdxCorruption(file_->path(), MessageOf(layouts.status()));
    if (EncodeLayouts(*layouts) != EncodeLayouts(layouts_)) {
      return Damaged("the layout is not that of the .arrow file");
    }
  }
  uint64_t tombstones = 0, merge_operands = 0;
  for (int64_t b = 0; b < num_batches(); ++b) {
    MARBLE_ASSIGN_OR_RETURN(auto batch, ReadBatch(b));
    const Status valid = batch->ValidateFull();
    if (!valid.ok()) {
      return IdxCorruption(file_->path(), "batch " + std::to_string(b) + ": " + MessageOf(valid));
    }
    if (kind_column_ >= 0) {
      const auto* kinds = batch->column_data(kind_column_)->GetValues<uint8_t>(1);
      for (int64_t i = 0; i < batch->num_rows(); ++i) {
        tombstones += kinds[i] != 0;
        merge_operands += kinds[i] == static_cast<uint8_t>(RowKind::kMerge);
      }
    }
    MARBLE_RETURN_NOT_OK(VerifyZones(b, *batch));
  }
  if (tombstones != properties_.tombstones) {
    return Damaged("the number of tombstones is wrong");
  }
  // Absent, and so 0, in files of the first writers.
  if (properties_.merge_operands != 0 && merge_operands != properties_.merge_operands) {
    return Damaged("the number of merge operands is wrong");
  }
  return Status::OK();
}

Status SstReaderImpl::VerifyZones(int64_t batch, const arrow::RecordBatch& rows) const {
  if (!zones_) return Status::OK();
  for (int c = 0; c < options_.schema->num_fields(); ++c) {
    const auto want =
        DecodeZone(options_.schema->field(c)->type(), EncodeZone(*rows.column_data(c)));
    if (!SameZone(zone_map(batch, c), want)) {
      return Damaged("the zone map of column '" + options_.schema->field(c)->name() +
                     "' in batch " + std::to_string(batch) + " does not hold");
    }
  }
  return Status::OK();
}

/// Keys are sorted, versions of one key newest first, and every index finds every key.
Status SstReaderImpl::VerifyKeys() const {
  std::string bytes;
  std::vector<uint32_t> offsets;
  std::string last;
  uint64_t last_sequence = 0;
  uint64_t distinct = 0;
  std::string scratch;
  for (int64_t b = 0; b < num_batches(); ++b) {
    MARBLE_ASSIGN_OR_RETURN(auto batch, ReadBatch(b));
    bytes.clear();
    offsets.clear();
    options_.codec->EncodeAll(*batch, &bytes, &offsets);
    const uint64_t* sequences =
        seq_column_ < 0 ? nullptr : batch->column_data(seq_column_)->GetValues<uint64_t>(1);
    for (int64_t i = 0; i < batch->num_rows(); ++i) {
      const std::string_view key(bytes.data() + offsets[i], offsets[i + 1] - offsets[i]);
      const int64_t row = starts_[b] + i;
      const auto fail = [&](const std::string& what) {
        return Damaged("row " + std::to_string(row) + ": " + what);
      };
      const int order = row == 0 ? -1 : last.compare(key);
      if (order > 0) return fail("out of key order");
      if (order == 0 && (sequences == nullptr || sequences[i] >= last_sequence)) {
        return fail("the versions of a key are not newest first");
      }
      if (row == 0 && key != properties_.min_key) return fail("not the smallest key");
      if (row % limits::kSparseKeyInterval == 0 &&
          sparse_->key(row / limits::kSparseKeyInterval) != key) {
        return fail("the sparse index has another key");
      }
      if (order != 0) {
        ++distinct;
        const uint64_t hash = HashKey(key);
        if (!MayContain(key, hash)) return fail("the Bloom filter denies the key");
        MARBLE_ASSIGN_OR_RETURN(const auto found, Find(key, hash));
        if (!found || starts_[found->batch] + found->row != row) {
          return fail("the key is not found where it is");
        }
      }
      MARBLE_ASSIGN_OR_RETURN(const std::string_view at, KeyAt(row, &scratch));
      if (at != key) return fail("the key reads differently by row");
      last = key;
      if (sequences != nullptr) last_sequence = sequences[i];
    }
  }
  if (last != properties_.max_key) return Damaged("the largest key is not the last row's");
  if (distinct != properties_.distinct_keys || (points_ && points_->entries() != distinct)) {
    return Damaged("the number of distinct keys is wrong");
  }
  if (properties_.clean && distinct != properties_.rows) {
    return Damaged("it claims one version per key and has more");
  }
  return Status::OK();
}

}  // namespace marble::lsm
