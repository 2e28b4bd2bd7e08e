// The Snapshot class.
#include "napi/bindings.h"
#include "napi/database_handle.h"
#include "napi/node_value.h"

namespace marble::napi {

namespace {

// function snapshotOpen(database: DatabaseHandle): SnapshotHandle
napi_value SnapshotOpen(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  if (database == nullptr) return nullptr;
  if (Status open = database->CheckOpen(); !open.ok()) {
    ThrowStatus(env, open);
    return nullptr;
  }
  return WrapHandle(env, std::make_shared<SnapshotHandle>(database, database->db()->GetSnapshot()));
}

// function snapshotSequence(snapshot: SnapshotHandle): bigint
napi_value SnapshotSequence(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* snapshot = HandleOf<SnapshotHandle>(env, args[0]);
  if (snapshot == nullptr) return nullptr;
  return MakeBigUint(env, snapshot->snapshot == nullptr ? 0 : snapshot->snapshot->sequence());
}

// function snapshotClose(snapshot: SnapshotHandle): void
napi_value SnapshotClose(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  if (auto* snapshot = HandleOf<SnapshotHandle>(env, args[0])) snapshot->Close();
  return nullptr;
}

}  // namespace

void RegisterSnapshot(napi_env env, napi_value exports) {
  Export(env, exports, "snapshotOpen", SnapshotOpen);
  Export(env, exports, "snapshotSequence", SnapshotSequence);
  Export(env, exports, "snapshotClose", SnapshotClose);
}

}  // namespace marble::napi
