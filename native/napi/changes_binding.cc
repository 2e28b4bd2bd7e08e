// The change feed of a table: batches of committed changes, as the log has them.
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/arrow_types.h"
#include "napi/arrow_export.h"
#include "napi/bindings.h"
#include "napi/database_handle.h"
#include "napi/dictionary_columns.h"
#include "napi/environment.h"
#include "napi/node_value.h"
#include "napi/promise_task.h"

namespace marble::napi {

namespace {

class ChangesHandle final : public Handle {
 public:
  static constexpr Kind kKind = Kind::kChanges;
  ChangesHandle(std::shared_ptr<DatabaseHandle> database, std::unique_ptr<lsm::ChangeFeed> feed)
      : Handle(kKind),
        database(std::move(database)),
        feed(std::move(feed)),
        strand(std::make_shared<Strand>()),
        schema(this->feed->schema()),
        dictionaries(std::make_unique<DictionaryColumns>(*schema)) {}
  /// What it holds is freed by whoever uses it last.
  void Close() override { feed->Cancel(); }

  const std::shared_ptr<DatabaseHandle> database;
  const std::unique_ptr<lsm::ChangeFeed> feed;
  const std::shared_ptr<Strand> strand;
  // That JavaScript knows; on the strand.
  std::shared_ptr<arrow::Schema> schema;
  std::unique_ptr<DictionaryColumns> dictionaries;
};

// function changesOpen(database: DatabaseHandle, table: string, behind?: bigint): { handle:
// ChangesHandle, schema: string }
napi_value ChangesOpen(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  std::string table;
  if (database == nullptr || !ReadString(env, args[1], "table", &table)) return nullptr;
  uint64_t behind = 0;
  const bool given = !IsNullish(env, args[2]);
  if (given) {
    bool exact = false;
    if (napi_get_value_bigint_uint64(env, args[2], &behind, &exact) != napi_ok || !exact) {
      ThrowTypeError(env, "from must be a sequence number: a bigint that is not negative");
      return nullptr;
    }
  }
  std::string schema;
  std::unique_ptr<lsm::ChangeFeed> feed;
  const auto open = [&]() -> Status {
    MARBLE_RETURN_NOT_OK(database->CheckOpen());
    MARBLE_ASSIGN_OR_RETURN(const auto handle, database->db()->GetTable(table));
    MARBLE_ASSIGN_OR_RETURN(
        feed, database->db()->Changes(handle, given ? behind : database->db()->last_sequence()));
    MARBLE_ASSIGN_OR_RETURN(schema, SchemaToJson(*feed->schema()));
    return Status::OK();
  };
  if (const Status opened = open(); !opened.ok()) {
    ThrowStatus(env, opened);
    return nullptr;
  }
  napi_value handle = WrapHandle(env, std::make_shared<ChangesHandle>(database, std::move(feed)));
  napi_value object = MakeObject(env);
  SetProperty(env, object, "handle", handle);
  SetProperty(env, object, "schema", MakeString(env, schema));
  return object;
}

// function changesNext(changes: ChangesHandle, waitMs: number): Promise<{ chunk: BatchChunk,
// schema?: string } | undefined>
napi_value ChangesNext(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto changes = SharedHandleOf<ChangesHandle>(env, args[0]);
  int64_t wait_ms = 0;
  if (changes == nullptr || !ReadInt64(env, args[1], "waitMs", &wait_ms)) return nullptr;
  auto batches = std::make_shared<std::vector<ExportedBatch>>();
  auto changed = std::make_shared<std::string>();  // the columns, if they are others than before
  return StartTask(
      env,
      {.strand = changes->strand,
       .work =
           [changes, batches, changed, wait_ms] {
             MARBLE_ASSIGN_OR_RETURN(const auto next, changes->feed->Next(wait_ms));
             if (!next) return Status::OK();
             if (!next->ranges.empty()) {
               return MakeError(ErrorCode::kNotSupported,
                                "a range of keys was deleted, which a batch of rows cannot say; "
                                "read the table and follow its changes from there");
             }
             if (changes->feed->schema() != changes->schema) {
               changes->schema = changes->feed->schema();
               changes->dictionaries = std::make_unique<DictionaryColumns>(*changes->schema);
               MARBLE_ASSIGN_OR_RETURN(*changed, SchemaToJson(*changes->schema));
             }
             const auto columns = AllColumns(static_cast<size_t>(next->rows->num_columns()));
             MARBLE_ASSIGN_OR_RETURN(const auto parts, changes->dictionaries->Encode(next->rows));
             for (const auto& part : parts) {
               MARBLE_ASSIGN_OR_RETURN(ExportedBatch batch, CopyBatch(*part, columns));
               batches->push_back(std::move(batch));
             }
             return Status::OK();
           },
       .result =
           [batches, changed](napi_env env) {
             if (batches->empty()) return Undefined(env);
             napi_value object = MakeObject(env);
             // In memory: nothing is left to copy.
             SetProperty(env, object, "chunk", DeliverBatches(env, std::move(*batches), {}));
             if (!changed->empty()) {
               SetProperty(env, object, "schema", MakeString(env, *changed));
             }
             return object;
           }});
}

// function changesClose(changes: ChangesHandle): void
napi_value ChangesClose(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  if (auto* changes = HandleOf<ChangesHandle>(env, args[0])) changes->Close();
  return nullptr;
}

}  // namespace

void RegisterChanges(napi_env env, napi_value exports) {
  Export(env, exports, "changesOpen", ChangesOpen);
  Export(env, exports, "changesNext", ChangesNext);
  Export(env, exports, "changesClose", ChangesClose);
}

}  // namespace marble::napi
