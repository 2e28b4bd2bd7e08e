#include "lsm/write/batch_payload.h"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/api.h>

#include "base/coding.h"

namespace marble::lsm {
namespace {

/// Memory inside a log segment, say; the last reference unmaps it.
class OwnedBuffer : public arrow::Buffer {
 public:
  OwnedBuffer(std::string_view bytes, std::shared_ptr<const void> owner)
      : arrow::Buffer(reinterpret_cast<const uint8_t*>(bytes.data()),
                      static_cast<int64_t>(bytes.size())),
        owner_(std::move(owner)) {}

 private:
  std::shared_ptr<const void> owner_;
};

Status Malformed(size_t offset) {
  return MakeError(ErrorCode::kCorruption,
                   "write batch payload is malformed at offset " + std::to_string(offset));
}

}  // namespace

BatchOp WithoutExpiry(BatchOp op) {
  switch (op) {
    case BatchOp::kPutExpiring:
      return BatchOp::kPut;
    case BatchOp::kMergeExpiring:
      return BatchOp::kMerge;
    case BatchOp::kInsertExpiring:
      return BatchOp::kInsert;
    default:
      return op;
  }
}

void EncodePut(std::string* out, BatchOp op, TableId table, std::string_view key,
               std::string_view value, int64_t expires) {
  if (expires != 0) {
    op = op == BatchOp::kPut ? BatchOp::kPutExpiring : BatchOp::kMergeExpiring;
  }
  uint8_t head[1 + 3 * kMaxVarint64Bytes];
  head[0] = static_cast<uint8_t>(op);
  uint8_t* at = EncodeVarint(head + 1, table);
  at = EncodeVarint(at, key.size());
  at = EncodeVarint(at, value.size());
  out->append(reinterpret_cast<char*>(head), at - head);
  out->append(key);
  if (expires != 0) PutFixed<int64_t>(out, expires);
  out->append(value);
}

void EncodeDelete(std::string* out, TableId table, std::string_view key) {
  out->push_back(static_cast<char>(BatchOp::kDelete));
  PutVarint(out, table);
  PutLengthPrefixed(out, key);
}

void EncodeDeleteRange(std::string* out, TableId table, std::string_view from,
                       std::string_view to) {
  out->push_back(static_cast<char>(BatchOp::kDeleteRange));
  PutVarint(out, table);
  PutVarint(out, from.size());
  PutVarint(out, to.size());
  out->append(from);
  out->append(to);
}

void EncodeArrowHeader(std::string* out, BatchOp op, TableId table, uint64_t rows, int64_t expires,
                       uint32_t message_bytes) {
  out->push_back(static_cast<char>(expires == 0 ? op : BatchOp::kInsertExpiring));
  PutVarint(out, table);
  PutVarint(out, rows);
  if (expires != 0) PutFixed<int64_t>(out, expires);
  PutFixed<uint32_t>(out, message_bytes);
}

Result<BatchPayloadReader> BatchPayloadReader::Make(const uint8_t* payload, size_t bytes) {
  if (bytes < 1) return Malformed(0);
  if (payload[0] != kBatchPayloadVersion) {
    return MakeError(ErrorCode::kCorruption,
                     "write batch payload has version " + std::to_string(payload[0]) +
                         "; this build reads version " + std::to_string(kBatchPayloadVersion));
  }
  return BatchPayloadReader(payload, payload + bytes);
}

Result<bool> BatchPayloadReader::Next(DecodedOp* op) {
  if (at_ == end_) return false;
  const size_t start = offset();
  op->op = static_cast<BatchOp>(*at_++);
  uint64_t table;
  if ((at_ = DecodeVarint(at_, end_, &table)) == nullptr || table > UINT32_MAX) {
    return Malformed(start);
  }
  op->table = static_cast<TableId>(table);
  const auto view = [](const uint8_t* at, uint64_t n) {
    return std::string_view(reinterpret_cast<const char*>(at), n);
  };
  uint64_t a_size = 0;
  uint64_t b_size = 0;
  op->expires = 0;
  const bool expiring = WithoutExpiry(op->op) != op->op;
  switch (op->op) {
    case BatchOp::kPut:
    case BatchOp::kPutExpiring:
    case BatchOp::kMerge:
    case BatchOp::kMergeExpiring:
    case BatchOp::kDeleteRange:
      if ((at_ = DecodeVarint(at_, end_, &a_size)) == nullptr) return Malformed(start);
      if ((at_ = DecodeVarint(at_, end_, &b_size)) == nullptr) return Malformed(start);
      break;
    case BatchOp::kDelete:
      if ((at_ = DecodeVarint(at_, end_, &a_size)) == nullptr) return Malformed(start);
      break;
    case BatchOp::kInsert:
    case BatchOp::kInsertExpiring:
    case BatchOp::kDeleteRows: {
      if ((at_ = DecodeVarint(at_, end_, &op->rows)) == nullptr) return Malformed(start);
      if (expiring) {
        if (end_ - at_ < 8) return Malformed(start);
        op->expires = LoadFixed<int64_t>(at_);
        at_ += 8;
      }
      if (end_ - at_ < 4) return Malformed(start);
      const uint32_t bytes = LoadFixed<uint32_t>(at_);
      const uint64_t at = AlignUp(offset() + 4, kMessageAlignment);
      const uint64_t size = static_cast<uint64_t>(end_ - begin_);
      if (at > size || bytes > size - at) return Malformed(start);
      op->message = view(begin_ + at, bytes);
      at_ = begin_ + at + bytes;
      return true;
    }
    default:
      return Malformed(start);
  }
  const uint64_t left = static_cast<uint64_t>(end_ - at_);
  const uint64_t expiry_size = expiring ? sizeof(int64_t) : 0;
  if (a_size > left || expiry_size > left - a_size || b_size > left - a_size - expiry_size) {
    return Malformed(start);
  }
  op->a = view(at_, a_size);
  if (expiring) op->expires = LoadFixed<int64_t>(at_ + a_size);
  op->b = view(at_ + a_size + expiry_size, b_size);
  at_ += a_size + expiry_size + b_size;
  return true;
}

Result<std::shared_ptr<arrow::RecordBatch>> ReadMessage(
    std::string_view message, const std::shared_ptr<arrow::Schema>& schema,
    const std::shared_ptr<const void>& owner) {
  arrow::io::BufferReader stream(std::make_shared<OwnedBuffer>(message, owner));
  arrow::ipc::DictionaryMemo no_dictionaries;
  arrow::ipc::IpcReadOptions options;
  options.use_threads = false;
  return arrow::ipc::ReadRecordBatch(schema, &no_dictionaries, options, &stream);
}

}  // namespace marble::lsm
