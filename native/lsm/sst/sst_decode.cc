// What SstReader does otherwise with a compressed file: batches are decoded, as a whole or the
// columns that are asked for, into memory of their own. Lookups go through whole decoded batches,
// which the cache keeps.
//
// Before memory is taken for a batch, its layout has been bounded by what is stored of it (at open,
// DecodeStoredBuffers); before a buffer is decoded, the length in front of it must be the layout's.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/reader.h>
#include <arrow/type.h>
#include <arrow/util/compression.h>

#include "base/coding.h"
#include "lsm/mutation.h"
#include "lsm/sst/sst_reader_impl.h"

namespace marble::lsm {
namespace {

/// Of a reader that is given none: for tools that walk through a file.
constexpr uint64_t kOwnCacheBytes = 1 << 20;
/// What arrays over a decoded batch take, measured: as in version/table_version.cc.
constexpr uint64_t kBatchBytes = 300, kColumnBytes = 400;

}  // namespace

Status SstReaderImpl::InitStored(std::string_view section) {
  auto stored = DecodeStoredBuffers(section, layouts_, meta_.arrow_bytes);
  if (!stored.ok()) return Damaged(MessageOf(stored.status()));
  if (stored->compression != meta_.compression ||
      PlainBytes(meta_.arrow_bytes, layouts_, stored->batches) != meta_.plain_bytes) {
    return Damaged("how the file says that it is compressed is not what the manifest says");
  }
  MARBLE_ASSIGN_OR_RETURN(codec_, MakeCodec(stored->compression));
  stored_ = std::move(stored->batches);
  cache_ = options_.decoded != nullptr ? options_.decoded
                                       : std::make_shared<DecodedCache>(kOwnCacheBytes);
  cache_file_ = DecodedCache::NewFile();
  return Status::OK();
}

Result<DecodedBatchRef> SstReaderImpl::Decoded(int64_t batch, bool keep) const {
  if (options_.verify == VerifyReads::kAlways) {
    MARBLE_RETURN_NOT_OK(pages_->Touch(regions_[batch].offset, regions_[batch].length));
  }
  if (DecodedBatchRef kept = cache_->Find(cache_file_, batch)) return kept;
  MARBLE_ASSIGN_OR_RETURN(DecodedBatchRef decoded, Decode(batch, nullptr));
  if (keep) cache_->Insert(cache_file_, batch, decoded);
  return decoded;
}

Result<DecodedBatchRef> SstReaderImpl::Decode(int64_t batch,
                                              const std::vector<bool>* buffers) const {
  const BatchLayout& layout = layouts_[batch];
  const std::vector<BufferSpan>& stored = stored_[batch];
  if (buffers == nullptr) {
    MARBLE_RETURN_NOT_OK(pages_->Touch(regions_[batch].offset, regions_[batch].length));
  }
  const uint64_t size = DecodedBytes(layout);
  MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> bytes,
                          arrow::AllocateBuffer(static_cast<int64_t>(size)));
  uint8_t* data = bytes->mutable_data();
  uint64_t end = 0;  // of what is written
  for (size_t i = 0; i < stored.size(); ++i) {
    const BufferSpan& span = layout.buffers[i];
    if (span.length == 0) continue;
    // Between buffers, and instead of those that nobody will look at: zeros.
    std::memset(data + end, 0, span.offset - end);
    end = span.offset + span.length;
    if (buffers != nullptr && !(*buffers)[i]) {
      std::memset(data + span.offset, 0, span.length);
      continue;
    }
    if (buffers != nullptr) {
      MARBLE_RETURN_NOT_OK(pages_->Touch(stored[i].offset, stored[i].length));
    }
    MARBLE_RETURN_NOT_OK(DecodeBuffer(stored[i], span, data + span.offset));
  }
  if (size > end) std::memset(data + end, 0, size - end);
  const BufferFactory factory = [&bytes](const BufferSpan& span) {
    return arrow::SliceBuffer(bytes, static_cast<int64_t>(span.offset),
                              static_cast<int64_t>(span.length));
  };
  auto decoded = std::make_shared<DecodedBatch>();
  decoded->rows = arrow::RecordBatch::Make(file_schema_, layout.rows, BuildColumns(batch, factory));
  decoded->data = data;
  decoded->memory =
      size + kBatchBytes + kColumnBytes * static_cast<uint64_t>(file_schema_->num_fields());
  decoded->bytes = std::move(bytes);
  return decoded;
}

Status SstReaderImpl::DecodeBuffer(const BufferSpan& stored, const BufferSpan& decoded,
                                   uint8_t* to) const {
  const auto damaged = [&](const std::string& what) {
    return IdxCorruption(file_->path(),
                         "the buffer at offset " + std::to_string(stored.offset) + " " + what);
  };
  const uint8_t* from = file_->data() + stored.offset;
  const auto claimed = LoadFixed<int64_t>(from);
  from += kDecodedLengthBytes;
  const uint64_t size = stored.length - kDecodedLengthBytes;
  if (claimed == -1 && size == decoded.length) {
    std::memcpy(to, from, size);
    return Status::OK();
  }
  if (claimed < 0 || static_cast<uint64_t>(claimed) != decoded.length) {
    return damaged("says that it has " +
                   std::to_string(claimed == -1 ? static_cast<int64_t>(size) : claimed) +
                   " bytes, the index says " + std::to_string(decoded.length));
  }
  const auto written = codec_->Decompress(static_cast<int64_t>(size), from, claimed, to);
  if (!written.ok()) return damaged("cannot be decoded (" + MessageOf(written.status()) + ")");
  if (*written != claimed) {
    return damaged("gives " + std::to_string(*written) + " bytes instead of " +
                   std::to_string(claimed));
  }
  return Status::OK();
}

Result<std::shared_ptr<arrow::RecordBatch>> SstReaderImpl::DecodedColumns(
    int64_t batch, const std::vector<int>& columns) const {
  std::vector<bool> buffers(layouts_[batch].buffers.size());
  const auto want = [&](int stored) {
    if (stored < 0) return;
    for (size_t i = first_[stored].buffers; i < first_[stored + 1].buffers; ++i) buffers[i] = true;
  };
  for (const int column : columns) {
    const bool wrong =
        Mutated(Mutant::kDecodeTableColumns) && column + 1 < static_cast<int>(first_.size());
    want(wrong ? column : StoredColumn(column));
  }
  for (const int column : properties_.key_columns) want(column);
  for (const int column : {seq_column_, kind_column_, expires_column_}) {
    if (column >= 0) want(StoredColumn(column));
  }
  if (std::find(buffers.begin(), buffers.end(), false) == buffers.end()) {
    MARBLE_ASSIGN_OR_RETURN(const auto decoded, Decoded(batch, /*keep=*/false));
    return decoded->rows;
  }
  if (options_.verify != VerifyReads::kAlways) {
    if (const DecodedBatchRef kept = cache_->Find(cache_file_, batch)) return kept->rows;
  }
  MARBLE_ASSIGN_OR_RETURN(const auto decoded, Decode(batch, &buffers));
  return decoded->rows;
}

Result<std::string_view> SstReaderImpl::DecodedKey(const DecodedBatch& decoded, RowLocation at,
                                                   std::string* scratch) const {
  const BatchLayout& layout = layouts_[at.batch];
  if (raw_) return VarValue(decoded.data, layout, key_columns_[0], at.row);
  MARBLE_RETURN_NOT_OK(TouchKey(decoded.data, layout, at.row));
  scratch->clear();
  options_.codec->Encode(*decoded.rows, at.row, scratch);
  return std::string_view(*scratch);
}

Result<std::optional<RowLocation>> SstReaderImpl::FindDecoded(std::string_view key,
                                                              uint64_t hash) const {
  thread_local std::string scratch;
  const auto has_key = [&](RowLocation at) -> Result<bool> {
    MARBLE_ASSIGN_OR_RETURN(const auto decoded, Decoded(at.batch, /*keep=*/true));
    MARBLE_ASSIGN_OR_RETURN(const std::string_view found, DecodedKey(*decoded, at, &scratch));
    return found == key;
  };
  if (!points_) {
    MARBLE_ASSIGN_OR_RETURN(const int64_t row, LowerBound(key));
    if (row == num_rows()) return std::nullopt;
    const RowLocation at = Locate(row);
    MARBLE_ASSIGN_OR_RETURN(const bool found, has_key(at));
    return found ? std::optional<RowLocation>(at) : std::nullopt;
  }
  PointIndex::Probe probe = points_->Lookup(hash);
  for (uint32_t row = probe.Next(); row != PointIndex::kNone; row = probe.Next()) {
    if (row >= num_rows()) return Damaged("the point index names a row beyond the file");
    const RowLocation at = Locate(row);
    MARBLE_ASSIGN_OR_RETURN(const bool found, has_key(at));
    if (found) return at;
  }
  return std::nullopt;
}

/// Rows [low, high) are in one batch, or in two, or in many if rows are large.
Result<int64_t> SstReaderImpl::LowerBoundOfDecoded(std::string_view key, int64_t low,
                                                   int64_t high) const {
  std::string scratch;
  DecodedBatchRef decoded;
  int64_t batch = -1;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    const RowLocation at = Locate(middle);
    if (at.batch != batch) {
      MARBLE_ASSIGN_OR_RETURN(decoded, Decoded(at.batch, /*keep=*/true));
      batch = at.batch;
    }
    MARBLE_ASSIGN_OR_RETURN(const std::string_view found, DecodedKey(*decoded, at, &scratch));
    if (found < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Arrow's own reader finds the buffers where the .idx says, and the same rows in them.
Status SstReaderImpl::VerifyCompressed(const arrow::Schema& stored_schema) const {
  auto layouts = ReadCompressedLayouts(file_->bytes(), stored_schema, meta_.compression);
  if (!layouts.ok()) return IdxCorruption(file_->path(), MessageOf(layouts.status()));
  if (EncodeLayouts(layouts->decoded) != EncodeLayouts(layouts_) ||
      EncodeStoredBuffers(meta_.compression, layouts->stored) !=
          EncodeStoredBuffers(meta_.compression, stored_)) {
    return Damaged("the layout is not that of the .arrow file");
  }
  // Every length that Arrow's reader will believe has been compared by now.
  arrow::ipc::IpcReadOptions options;
  options.use_threads = false;
  const auto whole =
      std::make_shared<arrow::Buffer>(file_->data(), static_cast<int64_t>(file_->size()));
  auto arrows = arrow::ipc::RecordBatchFileReader::Open(
      std::make_shared<arrow::io::BufferReader>(whole), options);
  if (!arrows.ok()) return IdxCorruption(file_->path(), MessageOf(arrows.status()));
  for (int64_t b = 0; b < num_batches(); ++b) {
    const auto theirs = (*arrows)->ReadRecordBatch(static_cast<int>(b));
    if (!theirs.ok()) {
      return IdxCorruption(file_->path(),
                           "batch " + std::to_string(b) + ": " + MessageOf(theirs.status()));
    }
    MARBLE_ASSIGN_OR_RETURN(const auto ours, Decoded(b, /*keep=*/true));
    if (!(*theirs)->ValidateFull().ok()) continue;  // ours is judged by the caller
    for (int c = 0; c < file_schema_->num_fields(); ++c) {
      const auto same = arrow::EqualOptions::Defaults().nans_equal(true);
      const int stored = StoredColumn(c);
      if (stored < 0) continue;
      if ((*theirs)->column(stored)->Equals(*ours->rows->column(c), same)) continue;
      return IdxCorruption(file_->path(),
                           "batch " + std::to_string(b) + ": Arrow's reader sees other values");
    }
  }
  return Status::OK();
}

}  // namespace marble::lsm
