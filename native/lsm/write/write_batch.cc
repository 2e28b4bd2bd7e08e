#include "lsm/write/write_batch.h"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/api.h>

#include <algorithm>
#include <cstring>

#include "base/coding.h"
#include "base/limits.h"
#include "lsm/table_state.h"
#include "lsm/write/write_batch_rep.h"

namespace marble::lsm {
namespace {

const arrow::ipc::IpcWriteOptions& WriteOptionsForLog() {
  static const arrow::ipc::IpcWriteOptions kOptions = [] {
    auto options = arrow::ipc::IpcWriteOptions::Defaults();
    options.alignment = kMessageAlignment;
    options.use_threads = false;
    return options;
  }();
  return kOptions;
}

Status CheckKeySize(const TableState& table, size_t bytes) {
  if (bytes <= limits::kMaxKeyBytes) return Status::OK();
  return MakeError(ErrorCode::kTooLarge,
                   "table '" + table.info().name() + "': a key of " + std::to_string(bytes) +
                       " bytes exceeds the limit of " + std::to_string(limits::kMaxKeyBytes));
}

Status CheckLive(const TableState& table) {
  if (!table.dropped()) return Status::OK();
  return MakeError(ErrorCode::kTableNotFound,
                   "table '" + table.info().name() + "' has been dropped");
}

Status CheckKeyed(const TableState& table, const char* what) {
  if (table.info().keyed()) return Status::OK();
  return MakeError(ErrorCode::kInvalidArgument, "table '" + table.info().name() +
                                                    "' has no primary key: " + what + " needs one");
}

Status CheckOperand(const TableInfo& info, std::string_view value) {
  const Status status = info.merge_operator->Check(value);
  if (status.ok()) return status;
  return MakeError(CodeOf(status), "state family '" + info.name() + "': " + MessageOf(status));
}

/// Names, types and order must be the table's; nulls only where the column allows them.
Status CheckSchema(const TableState& table, const arrow::Schema& want,
                   const arrow::RecordBatch& rows) {
  const std::string where = "table '" + table.info().name() + "': ";
  if (rows.num_columns() != want.num_fields()) {
    return MakeError(ErrorCode::kSchema,
                     where + "the batch has " + std::to_string(rows.num_columns()) +
                         " columns, expected " + std::to_string(want.num_fields()));
  }
  for (int i = 0; i < want.num_fields(); ++i) {
    const auto& field = *want.field(i);
    if (rows.schema().get() != &want) {
      const auto& got = *rows.schema()->field(i);
      if (got.name() != field.name()) {
        return MakeError(ErrorCode::kSchema, where + "column " + std::to_string(i + 1) +
                                                 " of the batch is '" + got.name() +
                                                 "', expected '" + field.name() + "'");
      }
      if (!got.type()->Equals(*field.type())) {
        return MakeError(ErrorCode::kSchema, where + "column '" + field.name() +
                                                 "' of the batch is " + got.type()->ToString() +
                                                 ", expected " + field.type()->ToString());
      }
    }
    if (!field.nullable() && rows.column(i)->null_count() > 0) {
      return MakeError(ErrorCode::kSchema, where + "column '" + field.name() +
                                               "' does not allow nulls, the batch has " +
                                               std::to_string(rows.column(i)->null_count()));
    }
  }
  return rows.Validate();
}

/// Key lengths, checked value by value only when the column's bytes could hold a long one.
template <typename ArrayType>
size_t LongestValue(const arrow::Array& column) {
  const auto& array = static_cast<const ArrayType&>(column);
  if (static_cast<uint64_t>(array.total_values_length()) <= limits::kMaxKeyBytes / 4) {
    return 0;
  }
  int64_t longest = 0;
  for (int64_t i = 0; i < array.length(); ++i) {
    longest = std::max<int64_t>(longest, array.value_length(i));
  }
  return static_cast<size_t>(longest);
}

Status CheckKeys(const TableState& table, const arrow::RecordBatch& rows,
                 const std::vector<int>& columns) {
  size_t longest = 0;
  for (int column : columns) {
    const arrow::Array& array = *rows.column(column);
    switch (array.type_id()) {
      case arrow::Type::STRING:
      case arrow::Type::BINARY:
        longest += LongestValue<arrow::BinaryArray>(array);
        break;
      case arrow::Type::LARGE_STRING:
      case arrow::Type::LARGE_BINARY:
        longest += LongestValue<arrow::LargeBinaryArray>(array);
        break;
      default:
        break;
    }
  }
  return CheckKeySize(table, longest);
}

}  // namespace

WriteBatch::WriteBatch() : rep_(std::make_unique<Rep>()) {}
WriteBatch::~WriteBatch() = default;
WriteBatch::WriteBatch(WriteBatch&&) noexcept = default;
WriteBatch& WriteBatch::operator=(WriteBatch&&) noexcept = default;

Status WriteBatch::Put(const TableHandle& state, std::string_view key, std::string_view value) {
  return AddBytes(BatchOp::kPut, state, key, value);
}

Status WriteBatch::Merge(const TableHandle& state, std::string_view key, std::string_view operand) {
  if (state->info().merge_operator == nullptr) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "table '" + state->info().name() +
                         "' has no merge operator: give it one when it is created");
  }
  return AddBytes(BatchOp::kMerge, state, key, operand);
}

Status WriteBatch::AddBytes(BatchOp op, const TableHandle& state, std::string_view key,
                            std::string_view value) {
  const TableInfo& info = state->info();
  if (!info.descriptor.is_state_family) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "table '" + info.name() + "' is not a state family: insert Arrow batches");
  }
  MARBLE_RETURN_NOT_OK(CheckLive(*state));
  MARBLE_RETURN_NOT_OK(CheckKeySize(*state, key.size()));
  if (value.size() > limits::kMaxValueBytes) {
    return MakeError(ErrorCode::kTooLarge, "state family '" + info.name() + "': a value of " +
                                               std::to_string(value.size()) +
                                               " bytes exceeds the limit of " +
                                               std::to_string(limits::kMaxValueBytes));
  }
  if (info.merge_operator != nullptr) {
    MARBLE_RETURN_NOT_OK(CheckOperand(info, value));
  }
  BatchOperations& to = rep_->Touch(state);
  EncodePut(&to.bytes, op, state->id(), key, value, state->ExpiryOfWrite());
  ++to.count;
  return Status::OK();
}

Status WriteBatch::Delete(const TableHandle& table, std::string_view key) {
  MARBLE_RETURN_NOT_OK(CheckLive(*table));
  MARBLE_RETURN_NOT_OK(CheckKeyed(*table, "a delete by key"));
  MARBLE_RETURN_NOT_OK(CheckKeySize(*table, key.size()));
  BatchOperations& to = rep_->Touch(table);
  EncodeDelete(&to.bytes, table->id(), key);
  ++to.count;
  return Status::OK();
}

Status WriteBatch::DeleteRange(const TableHandle& table, std::string_view from,
                               std::string_view to) {
  MARBLE_RETURN_NOT_OK(CheckLive(*table));
  MARBLE_RETURN_NOT_OK(CheckKeyed(*table, "a delete of a key range"));
  MARBLE_RETURN_NOT_OK(CheckKeySize(*table, from.size()));
  MARBLE_RETURN_NOT_OK(CheckKeySize(*table, to.size()));
  if (!to.empty() && from >= to) return Status::OK();  // an empty range
  BatchOperations& operations = rep_->Touch(table);
  MARBLE_RETURN_NOT_OK(operations.RemoveRange(table, from, to));
  EncodeDeleteRange(&operations.bytes, table->id(), from, to);
  ++operations.count;
  return Status::OK();
}

Status WriteBatch::Insert(const TableHandle& table, std::shared_ptr<arrow::RecordBatch> rows) {
  MARBLE_RETURN_NOT_OK(CheckLive(*table));
  const TableInfo& info = table->info();
  MARBLE_RETURN_NOT_OK(CheckSchema(*table, *info.descriptor.schema, *rows));
  MARBLE_RETURN_NOT_OK(CheckKeys(*table, *rows, info.descriptor.key_columns));
  if (rows->num_rows() == 0) return Status::OK();
  if (info.merge_operator != nullptr) {
    const auto& values = static_cast<const arrow::BinaryArray&>(*rows->column(1));
    for (int64_t i = 0; i < values.length(); ++i) {
      if (values.IsValid(i)) MARBLE_RETURN_NOT_OK(CheckOperand(info, values.GetView(i)));
    }
  }
  return rep_->Touch(table).AddArrow(BatchOp::kInsert, table, std::move(rows),
                                     table->ExpiryOfWrite());
}

Status WriteBatch::DeleteRows(const TableHandle& table, std::shared_ptr<arrow::RecordBatch> keys) {
  MARBLE_RETURN_NOT_OK(CheckLive(*table));
  MARBLE_RETURN_NOT_OK(CheckKeyed(*table, "a delete of rows"));
  const TableInfo& info = table->info();
  MARBLE_RETURN_NOT_OK(CheckSchema(*table, *info.key_schema, *keys));
  std::vector<int> columns(static_cast<size_t>(keys->num_columns()));
  for (size_t i = 0; i < columns.size(); ++i) columns[i] = static_cast<int>(i);
  MARBLE_RETURN_NOT_OK(CheckKeys(*table, *keys, columns));
  if (keys->num_rows() == 0) return Status::OK();
  return rep_->Touch(table).AddArrow(BatchOp::kDeleteRows, table, std::move(keys), 0);
}

void WriteBatch::Clear() {
  rep_->logged.Clear();
  rep_->unlogged.Clear();
  rep_->owner = nullptr;
  rep_->mixed_owners = false;
  rep_->tables.clear();
}

int64_t WriteBatch::num_operations() const { return rep_->logged.count + rep_->unlogged.count; }

BatchOperations& WriteBatch::Rep::Touch(const TableHandle& table) {
  if (owner == nullptr) owner = table->owner();
  if (owner != table->owner()) mixed_owners = true;
  const TableDescriptor& descriptor = table->info().descriptor;
  if (!descriptor.is_state_family &&
      std::find(tables.begin(), tables.end(), table) == tables.end()) {
    tables.push_back(table);
  }
  return descriptor.options.logged ? logged : unlogged;
}

void BatchOperations::Clear() {
  if (bytes.capacity() > (1 << 20)) {
    bytes = std::string();
  } else {
    bytes.clear();
  }
  arrow_ops.clear();
  count = 0;
}

Status BatchOperations::AddArrow(BatchOp op, const TableHandle& table,
                                 std::shared_ptr<arrow::RecordBatch> rows, int64_t expires) {
  ArrowOp added{bytes.size(), op, table, std::move(rows), expires, {}, 0};
  // For a slice this copies what needs shifting (offsets, bitmaps); values stay where they are.
  MARBLE_RETURN_NOT_OK(
      arrow::ipc::GetRecordBatchPayload(*added.rows, WriteOptionsForLog(), &added.payload));
  const int64_t size = arrow::ipc::GetPayloadSize(added.payload, WriteOptionsForLog());
  if (static_cast<uint64_t>(size) > limits::kMaxWriteBatchBytes) {
    return MakeError(ErrorCode::kTooLarge,
                     "table '" + table->info().name() + "': a batch of " + std::to_string(size) +
                         " bytes exceeds the limit of " +
                         std::to_string(limits::kMaxWriteBatchBytes) + "; insert it in slices");
  }
  added.message_bytes = static_cast<uint32_t>(size);
  count += added.rows->num_rows();
  arrow_ops.push_back(std::move(added));
  return Status::OK();
}

Status BatchOperations::RemoveRange(const TableHandle& table, std::string_view from,
                                    std::string_view to) {
  if (count == 0) return Status::OK();
  const auto inside = [&](std::string_view key) { return key >= from && (to.empty() || key < to); };
  // Byte operations: copy what stays. Arrow operations keep their place in the order.
  std::string kept;
  kept.reserve(bytes.size());
  size_t next_arrow = 0;
  const std::string framed = std::string(1, static_cast<char>(kBatchPayloadVersion)) + bytes;
  MARBLE_ASSIGN_OR_RETURN(
      auto reader,
      BatchPayloadReader::Make(reinterpret_cast<const uint8_t*>(framed.data()), framed.size()));
  while (true) {
    const size_t begin = reader.offset() - 1;
    while (next_arrow < arrow_ops.size() && arrow_ops[next_arrow].at == begin) {
      arrow_ops[next_arrow++].at = kept.size();
    }
    DecodedOp op;
    MARBLE_ASSIGN_OR_RETURN(const bool more, reader.Next(&op));
    if (!more) break;
    const bool drop = op.table == table->id() && op.op != BatchOp::kDeleteRange && inside(op.a);
    if (drop) {
      --count;
    } else {
      kept.append(bytes, begin, reader.offset() - 1 - begin);
    }
  }
  bytes = std::move(kept);

  std::vector<ArrowOp> old = std::move(arrow_ops);
  arrow_ops.clear();
  for (ArrowOp& op : old) {
    if (op.table != table) {
      arrow_ops.push_back(std::move(op));
      continue;
    }
    const auto& codec = op.op == BatchOp::kInsert ? table->info().codec : table->info().key_codec;
    std::string keys;
    std::vector<uint32_t> offsets;
    codec->EncodeAll(*op.rows, &keys, &offsets);
    std::vector<std::shared_ptr<arrow::RecordBatch>> stay;
    int64_t stay_begin = 0;
    const int64_t n = op.rows->num_rows();
    for (int64_t i = 0; i <= n; ++i) {
      const bool drop =
          i < n && inside(std::string_view(keys).substr(offsets[i], offsets[i + 1] - offsets[i]));
      if (i < n && !drop) continue;
      if (i > stay_begin) stay.push_back(op.rows->Slice(stay_begin, i - stay_begin));
      stay_begin = i + 1;
    }
    if (stay.size() == 1 && stay[0]->num_rows() == n) {
      arrow_ops.push_back(std::move(op));
      continue;
    }
    count -= n;
    if (stay.empty()) continue;
    MARBLE_ASSIGN_OR_RETURN(auto rows, arrow::ConcatenateRecordBatches(stay));
    const size_t at = op.at;
    MARBLE_RETURN_NOT_OK(AddArrow(op.op, op.table, std::move(rows), op.expires));
    arrow_ops.back().at = at;
  }
  return Status::OK();
}

size_t BatchOperations::PayloadBytes() const {
  size_t size = 1;
  size_t done = 0;
  std::string head;
  for (const ArrowOp& op : arrow_ops) {
    size += op.at - done;
    done = op.at;
    head.clear();
    EncodeArrowHeader(&head, op.op, op.table->id(), static_cast<uint64_t>(op.rows->num_rows()),
                      op.expires, op.message_bytes);
    size = AlignUp(size + head.size(), kMessageAlignment) + op.message_bytes;
  }
  return size + (bytes.size() - done);
}

Status BatchOperations::WritePayload(uint8_t* to) const {
  uint8_t* at = to;
  *at++ = kBatchPayloadVersion;
  size_t done = 0;
  std::string head;
  for (const ArrowOp& op : arrow_ops) {
    std::memcpy(at, bytes.data() + done, op.at - done);
    at += op.at - done;
    done = op.at;
    head.clear();
    EncodeArrowHeader(&head, op.op, op.table->id(), static_cast<uint64_t>(op.rows->num_rows()),
                      op.expires, op.message_bytes);
    std::memcpy(at, head.data(), head.size());
    at += head.size();
    const size_t pad = AlignUp(at - to, kMessageAlignment) - (at - to);
    std::memset(at, 0, pad);
    at += pad;
    arrow::io::FixedSizeBufferWriter stream(
        std::make_shared<arrow::MutableBuffer>(at, op.message_bytes));
    int32_t metadata_bytes = 0;
    MARBLE_RETURN_NOT_OK(
        arrow::ipc::WriteIpcPayload(op.payload, WriteOptionsForLog(), &stream, &metadata_bytes));
    MARBLE_ASSIGN_OR_RETURN(const int64_t written, stream.Tell());
    if (written != op.message_bytes) {
      return MakeError(ErrorCode::kInternal, "an Arrow message has another size than planned");
    }
    at += op.message_bytes;
  }
  std::memcpy(at, bytes.data() + done, bytes.size() - done);
  return Status::OK();
}

}  // namespace marble::lsm
