// The payload of a log record: the operations of one write batch (FORMAT.md beside this file).
// Encoding is append-only into a string; decoding is a cursor over the mapped log. Stateless.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/types.h"

namespace marble::lsm {

inline constexpr uint8_t kBatchPayloadVersion = 1;
/// Arrow messages start at a multiple of this within the payload, and the payload itself does.
inline constexpr size_t kMessageAlignment = 64;

enum class BatchOp : uint8_t {
  kPut = 1,
  kDelete = 2,
  kDeleteRange = 3,
  kInsert = 4,
  kDeleteRows = 5,
  kMerge = 6,
  kPutExpiring = 7,
  kMergeExpiring = 8,
  kInsertExpiring = 9,
};
/// Put, merge or insert without its expiry.
BatchOp WithoutExpiry(BatchOp op);

/// One decoded operation; views point into the payload.
struct DecodedOp {
  BatchOp op;
  TableId table;
  std::string_view a;        // key, or the lower end of a range
  std::string_view b;        // value, or the upper end of a range
  uint64_t rows = 0;         // of an Arrow message
  int64_t expires = 0;       // ms since the epoch; 0: never. Byte operations: it lies before `b`
  std::string_view message;  // an encapsulated IPC RecordBatch message, without schema
};

/// kPut or kMerge; `expires` 0: never.
void EncodePut(std::string* out, BatchOp op, TableId table, std::string_view key,
               std::string_view value, int64_t expires);
void EncodeDelete(std::string* out, TableId table, std::string_view key);
void EncodeDeleteRange(std::string* out, TableId table, std::string_view from, std::string_view to);
/// The bytes of an Arrow operation before its alignment padding.
void EncodeArrowHeader(std::string* out, BatchOp op, TableId table, uint64_t rows, int64_t expires,
                       uint32_t message_bytes);

/// Walks the operations of one payload in order.
class BatchPayloadReader {
 public:
  /// kCorruption for an unknown version.
  static Result<BatchPayloadReader> Make(const uint8_t* payload, size_t bytes);
  /// False at the end. kCorruption when the bytes are malformed (the record's CRC held, so
  /// that is a bug or a newer writer).
  Result<bool> Next(DecodedOp* op);
  /// Payload offset of the operation that Next will read.
  size_t offset() const { return static_cast<size_t>(at_ - begin_); }

 private:
  BatchPayloadReader(const uint8_t* begin, const uint8_t* end)
      : begin_(begin), at_(begin + 1), end_(end) {}
  const uint8_t* begin_;
  const uint8_t* at_;
  const uint8_t* end_;
};

/// The record batch of a message, its arrays pointing into memory that they keep alive by `owner`
/// (a log segment, or where unlogged rows lie).
Result<std::shared_ptr<arrow::RecordBatch>> ReadMessage(
    std::string_view message, const std::shared_ptr<arrow::Schema>& schema,
    const std::shared_ptr<const void>& owner);

}  // namespace marble::lsm
