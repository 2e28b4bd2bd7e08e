// Writes one SSTable: NNNNNN.arrow, a plain Arrow IPC file sorted by key, and NNNNNN.idx beside
// it. Rows come in key order, newest version first among equal keys. One thread.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/key_codec.h"
#include "lsm/sst/sst_format.h"

namespace marble::lsm {

struct SstWriterOptions {
  std::string dir;
  FileNumber number = 0;
  TableId table = 0;
  int level = 0;
  std::shared_ptr<arrow::Schema> schema;      // of the table, without hidden columns
  std::shared_ptr<const KeyCodec> codec;      // null: no primary key (no keys, bloom, point index)
  int64_t batch_rows = 0;                     // 0: the limits of a table
  int64_t batch_bytes = 0;
  double bloom_bits_per_key = 10;             // 0: none
  bool point_index = true;
  bool zone_maps = true;
  bool write_seq = false;                     // keep __seq
};

class SstWriter {
 public:
  virtual ~SstWriter() = default;
  static Result<std::unique_ptr<SstWriter>> Create(const SstWriterOptions& options);

  /// Append rows of the table's schema, in key order. `sequences` (one per row) may be null only
  /// without write_seq; `kinds` null: all puts; `keys`: the rows' encoded keys when the caller
  /// has them (offsets as of KeyCodec::EncodeAll), else they are encoded here.
  virtual Status Append(const arrow::RecordBatch& rows, const SequenceNumber* sequences,
                        const uint8_t* kinds, const int64_t* expires) = 0;
  /// Bytes of .arrow written or buffered so far, for cutting files.
  virtual uint64_t EstimatedBytes() const = 0;
  virtual uint64_t rows() const = 0;
  /// Write the rest and the .idx; fsync both (not the directory). At least one row is needed.
  virtual Result<FileMeta> Finish(SequenceNumber min_sequence, SequenceNumber max_sequence) = 0;
  /// Remove what was written. Harmless after Finish.
  virtual void Abandon() = 0;
};

}  // namespace marble::lsm
