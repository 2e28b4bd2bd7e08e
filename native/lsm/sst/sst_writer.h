// Writes one SSTable: NNNNNN.arrow, a plain Arrow IPC file sorted by key, and NNNNNN.idx beside
// it. Rows come in key order, newest version first among equal keys. One thread.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/key_codec.h"
#include "io/file_system.h"
#include "lsm/sst/encoded_keys.h"
#include "lsm/sst/sst_format.h"

namespace marble::lsm {

struct SstWriterOptions {
  std::string dir = {};
  FileNumber number = 0;
  TableId table = 0;
  int level = 0;
  std::shared_ptr<arrow::Schema> schema = {};  // of the table, without hidden columns
  /// Null: no primary key (no keys, Bloom filter, point index).
  std::shared_ptr<const KeyCodec> codec = {};
  int64_t batch_rows = 0;  // 0: the limits of a table
  int64_t batch_bytes = 0;
  double bloom_bits_per_key = 10;  // 0: none
  bool point_index = true;
  bool zone_maps = true;
  Compression compression = Compression::kNone;
  bool write_seq = false;                // keep __seq
  bool write_kind = false;               // keep __kind: needed when there may be tombstones
  bool write_expires = false;            // keep __expires: needed when rows expire
  std::vector<int> key_columns = {};     // the codec's, in key order; empty without a codec
  std::vector<uint32_t> field_ids = {};  // of the columns; empty: 1, 2, 3 …
  std::shared_ptr<io::FileSystem> file_system = io::FileSystem::Local();

  /// Whether its index has something by the hash of a key.
  bool hashes_keys() const { return bloom_bits_per_key > 0 || point_index; }
};

class SstWriter {
 public:
  virtual ~SstWriter() = default;
  static Result<std::unique_ptr<SstWriter>> Create(const SstWriterOptions& options);

  /// Append rows of the table's schema, in key order. `sequences` (one per row) may be null only
  /// without write_seq; `kinds` null: all puts (tombstones need write_kind, and may carry nulls
  /// in all columns but the key's); `expires` null or 0: never (others need write_expires).
  /// Several versions of a key need write_seq, newest first. The rows' buffers are shared, not
  /// copied, until their batch is full. `keys`: of these rows, hashed if the options ask for
  /// it; null: the writer encodes them. After an error only Abandon is allowed.
  virtual Status Append(const arrow::RecordBatch& rows, const SequenceNumber* sequences,
                        const uint8_t* kinds, const int64_t* expires,
                        const EncodedKeys* keys = nullptr) = 0;
  /// Bytes of .arrow written or buffered so far, for cutting files.
  virtual uint64_t EstimatedBytes() const = 0;
  virtual uint64_t rows() const = 0;
  /// Write the rest, build the index and write the .idx; fsync both (not the directory). At least
  /// one row is needed.
  virtual Result<FileMeta> Finish(SequenceNumber min_sequence, SequenceNumber max_sequence) = 0;
  /// Remove what was written. Harmless after Finish.
  virtual void Abandon() = 0;
};

}  // namespace marble::lsm
