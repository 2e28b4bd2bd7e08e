// The Table class: rows by key, inserts, deletes. Scans are in iterator_binding.cc.
#include <arrow/array/util.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/reader.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/util/decimal.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/arrow_types.h"
#include "napi/arrow_export.h"
#include "napi/arrow_import.h"
#include "napi/bindings.h"
#include "napi/database_handle.h"
#include "napi/environment.h"
#include "napi/node_value.h"
#include "napi/promise_task.h"
#include "napi/row_cells.h"

namespace marble::napi {

namespace {

// A value of a key column. Integers come as number or bigint; TypeScript has turned dates and
// milliseconds into the column's unit.
Result<std::shared_ptr<arrow::Scalar>> ReadScalar(napi_env env, napi_value value,
                                                  const arrow::Field& field) {
  using arrow::Type;
  const std::shared_ptr<arrow::DataType>& type = field.type();
  auto wrong = [&](const char* expected) {
    return MakeError(ErrorCode::kSchema, "key column '" + field.name() + "' (" + type->ToString() +
                                             ") takes " + expected);
  };
  if (IsNullish(env, value)) {
    if (field.nullable()) return arrow::MakeNullScalar(type);
    return MakeError(ErrorCode::kSchema, "key column '" + field.name() + "' has no value");
  }
  napi_valuetype js = TypeOf(env, value);
  switch (type->id()) {
    case Type::BOOL: {
      bool flag = false;
      if (napi_get_value_bool(env, value, &flag) != napi_ok) return wrong("a boolean");
      return std::make_shared<arrow::BooleanScalar>(flag);
    }
    case Type::FLOAT:
    case Type::DOUBLE: {
      double number = 0;
      if (napi_get_value_double(env, value, &number) != napi_ok) return wrong("a number");
      if (type->id() == Type::FLOAT) {
        return std::make_shared<arrow::FloatScalar>(static_cast<float>(number));
      }
      return std::make_shared<arrow::DoubleScalar>(number);
    }
    case Type::STRING:
    case Type::LARGE_STRING:
    case Type::BINARY:
    case Type::LARGE_BINARY: {
      BytesArgument bytes;
      bool text = type->id() == Type::STRING || type->id() == Type::LARGE_STRING;
      if (text && js != napi_string) return wrong("a string");
      if (!bytes.Read(env, value, "key")) {
        napi_value error = nullptr;
        napi_get_and_clear_last_exception(env, &error);
        return wrong(text ? "a string without lone surrogates" : "a Uint8Array");
      }
      auto buffer = arrow::Buffer::FromString(std::string(bytes.view()));
      switch (type->id()) {
        case Type::STRING:
          return std::make_shared<arrow::StringScalar>(buffer);
        case Type::LARGE_STRING:
          return std::make_shared<arrow::LargeStringScalar>(buffer);
        case Type::BINARY:
          return std::make_shared<arrow::BinaryScalar>(buffer);
        default:
          return std::make_shared<arrow::LargeBinaryScalar>(buffer);
      }
    }
    case Type::DECIMAL128: {
      std::string text;
      size_t length = 0;
      if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
        return wrong("a decimal as a string");
      }
      text.resize(length + 1);
      napi_get_value_string_utf8(env, value, text.data(), length + 1, &length);
      text.resize(length);
      arrow::Decimal128 decimal;
      int32_t precision = 0;
      int32_t scale = 0;
      if (!arrow::Decimal128::FromString(text, &decimal, &precision, &scale).ok()) {
        return wrong("a decimal as a string");
      }
      auto rescaled =
          decimal.Rescale(scale, static_cast<const arrow::Decimal128Type&>(*type).scale());
      if (!rescaled.ok()) return wrong("a decimal of its scale");
      return std::make_shared<arrow::Decimal128Scalar>(*rescaled, type);
    }
    default:
      break;
  }
  int64_t number = 0;
  if (js == napi_bigint) {
    bool lossless = false;
    if (type->id() == Type::UINT64) {
      uint64_t unsigned_number = 0;
      napi_get_value_bigint_uint64(env, value, &unsigned_number, &lossless);
      number = static_cast<int64_t>(unsigned_number);
    } else {
      napi_get_value_bigint_int64(env, value, &number, &lossless);
    }
    if (!lossless) return wrong("an integer within its range");
  } else if (js == napi_number) {
    double exact = 0;
    napi_get_value_double(env, value, &exact);
    if (std::floor(exact) != exact || std::fabs(exact) > 9007199254740991.0) {
      return wrong("a safe integer or a bigint");
    }
    number = static_cast<int64_t>(exact);
  } else {
    return wrong("an integer");
  }
  if (type->id() == Type::UINT64) {
    if (js == napi_number && number < 0) return wrong("an integer within its range");
    return std::make_shared<arrow::UInt64Scalar>(static_cast<uint64_t>(number));
  }
  auto in_range = [number](int64_t low, int64_t high) { return number >= low && number <= high; };
  const char* range = "an integer within its range";
  switch (type->id()) {
    case Type::INT64:
      return std::make_shared<arrow::Int64Scalar>(number);
    case Type::INT32:
      if (!in_range(INT32_MIN, INT32_MAX)) return wrong(range);
      return std::make_shared<arrow::Int32Scalar>(static_cast<int32_t>(number));
    case Type::INT16:
      if (!in_range(INT16_MIN, INT16_MAX)) return wrong(range);
      return std::make_shared<arrow::Int16Scalar>(static_cast<int16_t>(number));
    case Type::INT8:
      if (!in_range(INT8_MIN, INT8_MAX)) return wrong(range);
      return std::make_shared<arrow::Int8Scalar>(static_cast<int8_t>(number));
    case Type::UINT32:
      if (!in_range(0, UINT32_MAX)) return wrong(range);
      return std::make_shared<arrow::UInt32Scalar>(static_cast<uint32_t>(number));
    case Type::UINT16:
      if (!in_range(0, UINT16_MAX)) return wrong(range);
      return std::make_shared<arrow::UInt16Scalar>(static_cast<uint16_t>(number));
    case Type::UINT8:
      if (!in_range(0, UINT8_MAX)) return wrong(range);
      return std::make_shared<arrow::UInt8Scalar>(static_cast<uint8_t>(number));
    case Type::DATE32:
      if (!in_range(INT32_MIN, INT32_MAX)) return wrong(range);
      return std::make_shared<arrow::Date32Scalar>(static_cast<int32_t>(number));
    case Type::DATE64:
      return std::make_shared<arrow::Date64Scalar>(number);
    case Type::TIMESTAMP:
      return std::make_shared<arrow::TimestampScalar>(number, type);
    case Type::TIME32:
      if (!in_range(INT32_MIN, INT32_MAX)) return wrong(range);
      return std::make_shared<arrow::Time32Scalar>(static_cast<int32_t>(number), type);
    case Type::TIME64:
      return std::make_shared<arrow::Time64Scalar>(number, type);
    case Type::DURATION:
      return std::make_shared<arrow::DurationScalar>(number, type);
    default:
      return MakeError(ErrorCode::kNotSupported,
                       "columns of type " + type->ToString() + " cannot be keys");
  }
}

TableBinding* OpenTable(napi_env env, napi_value value) {
  auto* table = HandleOf<TableBinding>(env, value);
  if (table == nullptr) return nullptr;
  if (table->database->closed()) {
    ThrowStatus(env, table->database->CheckOpen());
    return nullptr;
  }
  return table;
}

using FoundRow = std::optional<lsm::RowRef>;

bool LookupRow(napi_env env, const TableBinding* table, napi_value key, napi_value snapshot,
               FoundRow* found) {
  std::string encoded;
  lsm::ReadOptions options;
  if (!ReadKey(env, key, table->table, false, &encoded) ||
      !ReadSnapshot(env, snapshot, table->database.get(), &options)) {
    return false;
  }
  Result<FoundRow> result = table->database->db()->GetRow(table->table, encoded, options);
  if (!result.ok()) {
    ThrowStatus(env, result.status());
    return false;
  }
  *found = std::move(*result);
  return true;
}

// function tableGetCells(table: TableHandle, key: unknown[], slabOffset: number, snapshot?:
// SnapshotHandle): number
napi_value TableGetCells(napi_env env, napi_callback_info info) {
  Arguments<4> args(env, info);
  TableBinding* table = OpenTable(env, args[0]);
  FoundRow row;
  uint32_t offset = 0;
  if (table == nullptr || !LookupRow(env, table, args[1], args[3], &row)) return nullptr;
  napi_get_value_uint32(env, args[2], &offset);
  constexpr double kMissing = -1;
  if (!row.has_value()) return MakeNumber(env, kMissing);
  const Environment* environment = Environment::Get(env);
  const int columns = lsm::DescriptorOf(table->table).schema->num_fields();
  if (static_cast<size_t>(columns) * 9 > environment->cells_size()) {
    return MakeNumber(env, static_cast<double>(kCellsNoRoom));
  }
  return MakeNumber(env, static_cast<double>(
                             WriteRowCells(*row->batch, row->row, columns, environment->cells(),
                                           environment->slab(), offset, environment->slab_size())));
}

napi_value DeliverRow(napi_env env, const TableBinding& table, const lsm::RowRef& row) {
  const std::vector<int> columns = AllColumns(lsm::DescriptorOf(table.table).schema->num_fields());
  Result<ExportedBatch> copied = CopyBatch(*row.batch->Slice(row.row, 1), columns);
  if (!copied.ok()) {
    ThrowStatus(env, copied.status());
    return nullptr;
  }
  std::vector<ExportedBatch> batches;
  batches.push_back(std::move(*copied));
  return DeliverBatches(env, std::move(batches), columns);
}

// function tableGetBatch(table: TableHandle, key: unknown[], snapshot?: SnapshotHandle): BatchChunk
// | undefined
napi_value TableGetBatch(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  TableBinding* table = OpenTable(env, args[0]);
  FoundRow row;
  if (table == nullptr || !LookupRow(env, table, args[1], args[2], &row)) return nullptr;
  return row.has_value() ? DeliverRow(env, *table, *row) : nullptr;
}

// function tableGetAsync(table: TableHandle, key: unknown[], snapshot?: SnapshotHandle):
// Promise<BatchChunk | undefined>
napi_value TableGetAsync(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto table = SharedHandleOf<TableBinding>(env, args[0]);
  std::string encoded;
  lsm::ReadOptions options;
  if (table == nullptr || !ReadKey(env, args[1], table->table, false, &encoded) ||
      !ReadSnapshot(env, args[2], table->database.get(), &options)) {
    return nullptr;
  }
  auto columns = AllColumns(lsm::DescriptorOf(table->table).schema->num_fields());
  auto copied = std::make_shared<std::vector<ExportedBatch>>();
  return StartTask(
      env, {.strand = nullptr,
            .work =
                [table, encoded, options, copied, columns] {
                  MARBLE_RETURN_NOT_OK(table->database->CheckOpen());
                  MARBLE_ASSIGN_OR_RETURN(
                      FoundRow row, table->database->db()->GetRow(table->table, encoded, options));
                  if (!row.has_value()) return Status::OK();
                  MARBLE_ASSIGN_OR_RETURN(ExportedBatch batch,
                                          CopyBatch(*row->batch->Slice(row->row, 1), columns));
                  copied->push_back(std::move(batch));
                  return Status::OK();
                },
            .result =
                [copied, columns](napi_env env) {
                  return copied->empty() ? Undefined(env)
                                         : DeliverBatches(env, std::move(*copied), columns);
                }});
}

// function tableIsCurrent(table: TableHandle): boolean
napi_value TableIsCurrent(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* table = HandleOf<TableBinding>(env, args[0]);
  return table == nullptr ? nullptr : MakeBool(env, lsm::IsCurrent(table->table));
}

// function tableCurrent(table: TableHandle): { handle: TableHandle, schema: string, primaryKey:
// number[] }
napi_value TableCurrent(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* table = OpenTable(env, args[0]);
  if (table == nullptr) return nullptr;
  auto current = table->database->db()->CurrentTable(table->table);
  if (!current.ok()) {
    ThrowStatus(env, current.status());
    return nullptr;
  }
  return OpenedTable(env, table->database, *std::move(current));
}

// function tableAlter(table: TableHandle, kind: string, column: string, change: string):
// Promise<void>
napi_value TableAlter(napi_env env, napi_callback_info info) {
  Arguments<4> args(env, info);
  auto table = SharedHandleOf<TableBinding>(env, args[0]);
  std::string kind, column, change;
  if (table == nullptr || !ReadString(env, args[1], "kind", &kind) ||
      !ReadString(env, args[2], "column", &column) ||
      !ReadString(env, args[3], "change", &change)) {
    return nullptr;
  }
  if (Status open = table->database->CheckOpen(); !open.ok()) return RejectedPromise(env, open);
  return StartTask(
      env, {.strand = table->database->writes(),  // behind the writes that were called before
            .work = [table, kind, column, change]() -> Status {
              lsm::TableChange to;
              if (kind == "add") {
                // A schema of one field.
                MARBLE_ASSIGN_OR_RETURN(const auto schema, SchemaFromJson(change));
                to = lsm::TableChange::AddColumn(schema->field(0));
              } else if (kind == "drop") {
                to = lsm::TableChange::DropColumn(column);
              } else {
                to = lsm::TableChange::RenameColumn(column, change);
              }
              lsm::DB* db = table->database->db();
              MARBLE_ASSIGN_OR_RETURN(const auto now, db->CurrentTable(table->table));
              return db->AlterTable(lsm::DescriptorOf(now).name, to).status();
            },
            .result = nullptr});
}

// function tableHasCells(table: TableHandle): boolean
napi_value TableHasCells(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* table = HandleOf<TableBinding>(env, args[0]);
  if (table == nullptr) return nullptr;
  return MakeBool(env, HasCells(*lsm::DescriptorOf(table->table).schema));
}

napi_value StartInsert(napi_env env, std::shared_ptr<TableBinding> table,
                       std::function<Result<arrow::RecordBatchVector>()> read) {
  if (Status open = table->database->CheckOpen(); !open.ok()) return RejectedPromise(env, open);
  auto rows = std::make_shared<int64_t>(0);
  const std::shared_ptr<Strand>& strand = table->database->writes();
  return StartTask(
      env,
      {.strand = strand,
       .work =
           [table, read = std::move(read), rows] {
             // What was accepted before close() is written: close waits behind it.
             MARBLE_ASSIGN_OR_RETURN(arrow::RecordBatchVector batches, read());
             const auto& schema = lsm::DescriptorOf(table->table).schema;
             lsm::WriteBatch write;
             for (const auto& batch : batches) {
               MARBLE_ASSIGN_OR_RETURN(auto conformed, ConformBatch(batch, schema));
               *rows += conformed->num_rows();
               if (conformed->num_rows() > 0) {
                 MARBLE_RETURN_NOT_OK(write.Insert(table->table, std::move(conformed)));
               }
             }
             if (write.empty()) return Status::OK();
             return table->database->db()->Write(std::move(write), {}).status();
           },
       .result = [rows](napi_env env) { return MakeNumber(env, static_cast<double>(*rows)); }});
}

// function tableInsert(table: TableHandle, batches: ImportedBatch[]): Promise<number>
napi_value TableInsert(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto table = SharedHandleOf<TableBinding>(env, args[0]);
  if (table == nullptr) return nullptr;
  if (Status open = table->database->CheckOpen(); !open.ok()) return RejectedPromise(env, open);
  uint32_t count = 0;
  napi_get_array_length(env, args[1], &count);
  arrow::RecordBatchVector batches;
  for (uint32_t i = 0; i < count; ++i) {
    napi_value element = nullptr;
    napi_get_element(env, args[1], i, &element);
    auto batch = ImportBatch(env, element, lsm::DescriptorOf(table->table).schema);
    if (!batch.ok()) return RejectedPromise(env, batch.status());
    batches.push_back(std::move(*batch));
  }
  return StartInsert(env, std::move(table), [batches] { return batches; });
}

Result<arrow::RecordBatchVector> ReadIpc(const std::shared_ptr<arrow::Buffer>& bytes) {
  auto input = std::make_shared<arrow::io::BufferReader>(bytes);
  arrow::RecordBatchVector batches;
  auto wrong = [](const Status& status) {
    return MakeError(ErrorCode::kSchema,
                     "the bytes are no Arrow IPC file or stream: " + MessageOf(status));
  };
  constexpr std::string_view kMagic = "ARROW1";
  if (std::string_view(*bytes).starts_with(kMagic)) {
    auto reader = arrow::ipc::RecordBatchFileReader::Open(input);
    if (!reader.ok()) return wrong(reader.status());
    for (int i = 0; i < (*reader)->num_record_batches(); ++i) {
      auto batch = (*reader)->ReadRecordBatch(i);
      if (!batch.ok()) return wrong(batch.status());
      batches.push_back(std::move(*batch));
    }
  } else {
    auto reader = arrow::ipc::RecordBatchStreamReader::Open(input);
    if (!reader.ok()) return wrong(reader.status());
    auto all = (*reader)->ToRecordBatches();
    if (!all.ok()) return wrong(all.status());
    batches = std::move(*all);
  }
  for (auto& batch : batches) {
    if (Status valid = batch->ValidateFull(); !valid.ok()) return wrong(valid);
    MARBLE_ASSIGN_OR_RETURN(batch, DecodeDictionaries(batch));
  }
  return batches;
}

// function tableInsertIpc(table: TableHandle, bytes: Uint8Array): Promise<number>
napi_value TableInsertIpc(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto table = SharedHandleOf<TableBinding>(env, args[0]);
  BytesArgument bytes;
  if (table == nullptr || !bytes.Read(env, args[1], "data")) return nullptr;
  auto copy = arrow::AllocateBuffer(static_cast<int64_t>(bytes.view().size()));
  if (!copy.ok()) return RejectedPromise(env, copy.status());
  std::memcpy((*copy)->mutable_data(), bytes.view().data(), bytes.view().size());
  return StartInsert(
      env, std::move(table),
      [buffer = std::shared_ptr<arrow::Buffer>(std::move(*copy))] { return ReadIpc(buffer); });
}

// function tableDelete(table: TableHandle, key: unknown[]): void
napi_value TableDelete(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  TableBinding* table = OpenTable(env, args[0]);
  std::string encoded;
  if (table == nullptr || !ReadKey(env, args[1], table->table, false, &encoded)) return nullptr;
  lsm::WriteBatch batch;
  Status status = batch.Delete(table->table, encoded);
  if (status.ok()) status = table->database->db()->Write(std::move(batch), {}).status();
  if (!status.ok()) ThrowStatus(env, status);
  return nullptr;
}

}  // namespace

bool ReadKey(napi_env env, napi_value array, const lsm::TableHandle& table, bool allow_prefix,
             std::string* encoded) {
  const lsm::TableDescriptor& descriptor = lsm::DescriptorOf(table);
  uint32_t count = 0;
  if (napi_get_array_length(env, array, &count) != napi_ok) {
    ThrowTypeError(env, "a key must be an array of values");
    return false;
  }
  Status status;
  if (descriptor.key_columns.empty()) {
    status = MakeError(
        ErrorCode::kNotSupported,
        "table '" + descriptor.name + "' has no primary key: its rows have no key to be found by");
  } else if (count > descriptor.key_columns.size() ||
             (!allow_prefix && count < descriptor.key_columns.size())) {
    status = MakeError(ErrorCode::kSchema, "the key of table '" + descriptor.name + "' has " +
                                               std::to_string(descriptor.key_columns.size()) +
                                               " columns, " + std::to_string(count) +
                                               " values were given");
  } else {
    std::vector<std::shared_ptr<arrow::Scalar>> values;
    values.reserve(count);
    for (uint32_t i = 0; i < count && status.ok(); ++i) {
      napi_value element = nullptr;
      napi_get_element(env, array, i, &element);
      auto scalar = ReadScalar(env, element, *descriptor.schema->field(descriptor.key_columns[i]));
      status = scalar.status();
      if (scalar.ok()) values.push_back(std::move(*scalar));
    }
    if (status.ok()) {
      Result<std::string> bytes = lsm::CodecOf(table)->EncodeScalars(values);
      status = bytes.status();
      if (bytes.ok()) *encoded = std::move(*bytes);
    }
  }
  if (!status.ok()) ThrowStatus(env, status);
  return status.ok();
}

void RegisterTable(napi_env env, napi_value exports) {
  Export(env, exports, "tableGetCells", TableGetCells);
  Export(env, exports, "tableGetBatch", TableGetBatch);
  Export(env, exports, "tableGetAsync", TableGetAsync);
  Export(env, exports, "tableHasCells", TableHasCells);
  Export(env, exports, "tableIsCurrent", TableIsCurrent);
  Export(env, exports, "tableCurrent", TableCurrent);
  Export(env, exports, "tableAlter", TableAlter);
  Export(env, exports, "tableInsert", TableInsert);
  Export(env, exports, "tableInsertIpc", TableInsertIpc);
  Export(env, exports, "tableDelete", TableDelete);
}

}  // namespace marble::napi
