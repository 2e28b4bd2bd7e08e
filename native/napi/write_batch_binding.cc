// The WriteBatch class: changes over any number of states and tables, atomic when committed.
#include <utility>

#include "napi/arrow_import.h"
#include "napi/bindings.h"
#include "napi/database_handle.h"
#include "napi/node_value.h"
#include "napi/promise_task.h"

namespace marble::napi {

namespace {

WriteBatchHandle* OpenBatch(napi_env env, napi_value value) {
  auto* batch = HandleOf<WriteBatchHandle>(env, value);
  if (batch == nullptr) return nullptr;
  if (batch->database->closed()) {
    ThrowStatus(env, batch->database->CheckOpen());
    return nullptr;
  }
  return batch;
}

// A batch of one database takes no tables of another.
bool SameDatabase(napi_env env, const WriteBatchHandle* batch, const DatabaseHandle* other) {
  if (batch->database->db() == other->db()) return true;
  ThrowStatus(env, MakeError(ErrorCode::kInvalidArgument,
                             "the state or table belongs to another database than the batch"));
  return false;
}

napi_value Done(napi_env env, const Status& status) {
  if (!status.ok()) ThrowStatus(env, status);
  return nullptr;
}

lsm::WriteOptions ReadWriteOptions(napi_env env, napi_value power) {
  lsm::WriteOptions options;
  bool flag = false;
  napi_get_value_bool(env, power, &flag);
  if (flag) options.durability = lsm::Durability::kPower;
  return options;
}

// function batchNew(database: DatabaseHandle): WriteBatchHandle
napi_value BatchNew(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  if (database == nullptr) return nullptr;
  if (Status open = database->CheckOpen(); !open.ok()) return Done(env, open);
  return WrapHandle(env, std::make_shared<WriteBatchHandle>(std::move(database)));
}

// function batchPut(batch: WriteBatchHandle, state: StateHandle, key: string | Uint8Array, value:
// string | Uint8Array): void
napi_value BatchPut(napi_env env, napi_callback_info info) {
  Arguments<4> args(env, info);
  auto* batch = OpenBatch(env, args[0]);
  auto* state = batch == nullptr ? nullptr : HandleOf<StateHandle>(env, args[1]);
  BytesArgument key;
  BytesArgument value;
  if (state == nullptr || !SameDatabase(env, batch, state->database.get()) ||
      !key.Read(env, args[2], "key") || !value.Read(env, args[3], "value")) {
    return nullptr;
  }
  return Done(env, batch->batch.Put(state->table, key.view(), value.view()));
}

// function batchMerge(batch: WriteBatchHandle, state: StateHandle, key: string | Uint8Array,
// operand: string | Uint8Array): void
napi_value BatchMerge(napi_env env, napi_callback_info info) {
  Arguments<4> args(env, info);
  auto* batch = OpenBatch(env, args[0]);
  auto* state = batch == nullptr ? nullptr : HandleOf<StateHandle>(env, args[1]);
  BytesArgument key;
  BytesArgument operand;
  if (state == nullptr || !SameDatabase(env, batch, state->database.get()) ||
      !key.Read(env, args[2], "key") || !operand.Read(env, args[3], "operand")) {
    return nullptr;
  }
  return Done(env, batch->batch.Merge(state->table, key.view(), operand.view()));
}

// function batchDelete(batch: WriteBatchHandle, state: StateHandle, key: string | Uint8Array): void
napi_value BatchDelete(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto* batch = OpenBatch(env, args[0]);
  auto* state = batch == nullptr ? nullptr : HandleOf<StateHandle>(env, args[1]);
  BytesArgument key;
  if (state == nullptr || !SameDatabase(env, batch, state->database.get()) ||
      !key.Read(env, args[2], "key")) {
    return nullptr;
  }
  return Done(env, batch->batch.Delete(state->table, key.view()));
}

// function batchDeleteRange(batch: WriteBatchHandle, state: StateHandle, from: string | Uint8Array,
// to: string | Uint8Array): void
napi_value BatchDeleteRange(napi_env env, napi_callback_info info) {
  Arguments<4> args(env, info);
  auto* batch = OpenBatch(env, args[0]);
  auto* state = batch == nullptr ? nullptr : HandleOf<StateHandle>(env, args[1]);
  BytesArgument from;
  BytesArgument to;
  if (state == nullptr || !SameDatabase(env, batch, state->database.get()) ||
      !from.Read(env, args[2], "key") || !to.Read(env, args[3], "key")) {
    return nullptr;
  }
  return Done(env, batch->batch.DeleteRange(state->table, from.view(), to.view()));
}

// function batchInsert(batch: WriteBatchHandle, table: TableHandle, rows: ImportedBatch): void
napi_value BatchInsert(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto* batch = OpenBatch(env, args[0]);
  auto* table = batch == nullptr ? nullptr : HandleOf<TableBinding>(env, args[1]);
  if (table == nullptr || !SameDatabase(env, batch, table->database.get())) return nullptr;
  const auto& schema = lsm::DescriptorOf(table->table).schema;
  auto insert = [&]() -> Status {
    MARBLE_ASSIGN_OR_RETURN(auto rows, ImportBatch(env, args[2], schema));
    MARBLE_ASSIGN_OR_RETURN(auto conformed, ConformBatch(rows, schema));
    if (conformed->num_rows() == 0) return Status::OK();
    return batch->batch.Insert(table->table, std::move(conformed));
  };
  return Done(env, insert());
}

// function batchDeleteRow(batch: WriteBatchHandle, table: TableHandle, key: unknown[]): void
napi_value BatchDeleteRow(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto* batch = OpenBatch(env, args[0]);
  auto* table = batch == nullptr ? nullptr : HandleOf<TableBinding>(env, args[1]);
  std::string encoded;
  if (table == nullptr || !SameDatabase(env, batch, table->database.get()) ||
      !ReadKey(env, args[2], table->table, false, &encoded)) {
    return nullptr;
  }
  return Done(env, batch->batch.Delete(table->table, encoded));
}

// function batchCommit(batch: WriteBatchHandle, power: boolean): Promise<void>
napi_value BatchCommit(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto batch = SharedHandleOf<WriteBatchHandle>(env, args[0]);
  if (batch == nullptr) return nullptr;
  if (Status open = batch->database->CheckOpen(); !open.ok()) return RejectedPromise(env, open);
  lsm::WriteOptions options = ReadWriteOptions(env, args[1]);
  auto taken = std::make_shared<lsm::WriteBatch>(std::move(batch->batch));
  batch->batch = lsm::WriteBatch();
  return StartTask(env,
                   {.strand = batch->database->writes(),
                    .work =
                        [batch, taken, options] {
                          if (taken->empty()) return Status::OK();
                          return batch->database->db()->Write(std::move(*taken), options).status();
                        },
                    .result = nullptr});
}

// function batchCommitSync(batch: WriteBatchHandle, power: boolean): void
napi_value BatchCommitSync(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto* batch = OpenBatch(env, args[0]);
  if (batch == nullptr || batch->batch.empty()) return nullptr;
  lsm::WriteBatch taken = std::move(batch->batch);
  batch->batch = lsm::WriteBatch();
  return Done(
      env, batch->database->db()->Write(std::move(taken), ReadWriteOptions(env, args[1])).status());
}

// function batchLength(batch: WriteBatchHandle): number
napi_value BatchLength(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* batch = HandleOf<WriteBatchHandle>(env, args[0]);
  if (batch == nullptr) return nullptr;
  return MakeNumber(env, static_cast<double>(batch->batch.num_operations()));
}

// function batchClear(batch: WriteBatchHandle): void
napi_value BatchClear(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  if (auto* batch = HandleOf<WriteBatchHandle>(env, args[0])) batch->batch.Clear();
  return nullptr;
}

}  // namespace

void RegisterWriteBatch(napi_env env, napi_value exports) {
  Export(env, exports, "batchNew", BatchNew);
  Export(env, exports, "batchPut", BatchPut);
  Export(env, exports, "batchMerge", BatchMerge);
  Export(env, exports, "batchDelete", BatchDelete);
  Export(env, exports, "batchDeleteRange", BatchDeleteRange);
  Export(env, exports, "batchInsert", BatchInsert);
  Export(env, exports, "batchDeleteRow", BatchDeleteRow);
  Export(env, exports, "batchCommit", BatchCommit);
  Export(env, exports, "batchCommitSync", BatchCommitSync);
  Export(env, exports, "batchLength", BatchLength);
  Export(env, exports, "batchClear", BatchClear);
}

}  // namespace marble::napi
