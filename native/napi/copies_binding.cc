// Checkpoints, backups, and what is done with folders of closed databases. Reports cross as JSON.
#include <memory>
#include <string>
#include <utility>

#include "lsm/backup/backup.h"
#include "lsm/backup/checkpoint.h"
#include "lsm/backup/inspect.h"
#include "lsm/backup/verify.h"
#include "napi/bindings.h"
#include "napi/database_handle.h"
#include "napi/environment.h"
#include "napi/node_value.h"
#include "napi/operation_handle.h"
#include "napi/promise_task.h"

namespace marble::napi {

namespace {

// function operationNew(): OperationHandle
napi_value OperationNew(napi_env env, napi_callback_info info) {
  return WrapHandle(env, std::make_shared<OperationHandle>());
}

// function operationCancel(operation: OperationHandle): void
napi_value OperationCancel(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  if (auto* operation = HandleOf<OperationHandle>(env, args[0])) operation->Close();
  return nullptr;
}

// function operationProgress(operation: OperationHandle): { done: number, total: number }
napi_value OperationProgress(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* operation = HandleOf<OperationHandle>(env, args[0]);
  if (operation == nullptr) return nullptr;
  const uint64_t done = operation->done.load();  // first: it never exceeds the total
  napi_value object = MakeObject(env);
  SetProperty(env, object, "done", MakeNumber(env, static_cast<double>(done)));
  SetProperty(env, object, "total", MakeNumber(env, static_cast<double>(operation->total.load())));
  return object;
}

/// A task whose result is a string.
napi_value StartForText(napi_env env, std::function<Result<std::string>()> work) {
  auto text = std::make_shared<std::string>();
  return StartTask(env, {.strand = nullptr,
                         .work =
                             [text, work = std::move(work)] {
                               MARBLE_ASSIGN_OR_RETURN(*text, work());
                               return Status::OK();
                             },
                         .result = [text](napi_env env) { return MakeString(env, *text); }});
}

// function databaseCheckpoint(database: DatabaseHandle, dir: string, operation: OperationHandle):
// Promise<void>
napi_value DatabaseCheckpoint(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  std::string dir;
  if (database == nullptr || !ReadString(env, args[1], "dir", &dir)) return nullptr;
  auto operation = SharedHandleOf<OperationHandle>(env, args[2]);
  if (operation == nullptr) return nullptr;
  if (Status open = database->CheckOpen(); !open.ok()) return RejectedPromise(env, open);
  return StartTask(
      env,
      {.strand = nullptr,
       .work =
           [database, dir, operation] {
             return database->db()->Checkpoint(dir, OperationHandle::ControlOf(operation)).status();
           },
       .result = nullptr});
}

// function databaseBackup(database: DatabaseHandle, dir: string, operation: OperationHandle):
// Promise<{ id: number, bytesCopied: number }>
napi_value DatabaseBackup(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  std::string dir;
  if (database == nullptr || !ReadString(env, args[1], "dir", &dir)) return nullptr;
  auto operation = SharedHandleOf<OperationHandle>(env, args[2]);
  if (operation == nullptr) return nullptr;
  if (Status open = database->CheckOpen(); !open.ok()) return RejectedPromise(env, open);
  auto made = std::make_shared<lsm::BackupInfo>();
  return StartTask(
      env, {.strand = nullptr,
            .work =
                [database, dir, operation, made] {
                  MARBLE_ASSIGN_OR_RETURN(
                      *made, database->db()->Backup(dir, OperationHandle::ControlOf(operation)));
                  return Status::OK();
                },
            .result =
                [made](napi_env env) {
                  napi_value object = MakeObject(env);
                  SetProperty(env, object, "id", MakeNumber(env, static_cast<double>(made->id)));
                  SetProperty(env, object, "bytesCopied",
                              MakeNumber(env, static_cast<double>(made->bytes_copied)));
                  return object;
                }});
}

// function backupsList(dir: string): Promise<string>
napi_value BackupsList(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  std::string dir;
  if (!ReadString(env, args[0], "dir", &dir)) return nullptr;
  return StartForText(env, [dir]() -> Result<std::string> {
    MARBLE_ASSIGN_OR_RETURN(const auto where, io::ResolvePath(dir));
    MARBLE_ASSIGN_OR_RETURN(const auto backups,
                            lsm::ListBackups(where.file_system.get(), where.path));
    return lsm::BackupsToJson(backups);
  });
}

// function backupsVerify(dir: string, id: number, operation: OperationHandle): Promise<string>
napi_value BackupsVerify(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  std::string dir;
  int64_t id = 0;
  if (!ReadString(env, args[0], "dir", &dir) || !ReadInt64(env, args[1], "id", &id)) return nullptr;
  auto operation = SharedHandleOf<OperationHandle>(env, args[2]);
  if (operation == nullptr) return nullptr;
  return StartForText(env, [dir, id, operation]() -> Result<std::string> {
    MARBLE_ASSIGN_OR_RETURN(const auto where, io::ResolvePath(dir));
    MARBLE_ASSIGN_OR_RETURN(
        const auto report,
        lsm::VerifyBackup(where.file_system.get(), where.path, static_cast<uint64_t>(id),
                          OperationHandle::ControlOf(operation)));
    return lsm::ReportToJson(report);
  });
}

// function backupsPrune(dir: string, keep: number): Promise<number>
napi_value BackupsPrune(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  std::string dir;
  int64_t keep = 0;
  if (!ReadString(env, args[0], "dir", &dir) || !ReadInt64(env, args[1], "keep", &keep)) {
    return nullptr;
  }
  auto gone = std::make_shared<uint64_t>(0);
  return StartTask(
      env,
      {.strand = nullptr,
       .work =
           [dir, keep, gone] {
             MARBLE_ASSIGN_OR_RETURN(const auto where, io::ResolvePath(dir));
             MARBLE_ASSIGN_OR_RETURN(*gone, lsm::PruneBackups(where.file_system.get(), where.path,
                                                              static_cast<uint64_t>(keep)));
             return Status::OK();
           },
       .result = [gone](napi_env env) { return MakeNumber(env, static_cast<double>(*gone)); }});
}

// function backupsRestore(dir: string, id: number, target: string, operation: OperationHandle):
// Promise<void>
napi_value BackupsRestore(napi_env env, napi_callback_info info) {
  Arguments<4> args(env, info);
  std::string dir, target;
  int64_t id = 0;
  if (!ReadString(env, args[0], "dir", &dir) || !ReadInt64(env, args[1], "id", &id) ||
      !ReadString(env, args[2], "target", &target)) {
    return nullptr;
  }
  auto operation = SharedHandleOf<OperationHandle>(env, args[3]);
  if (operation == nullptr) return nullptr;
  return StartTask(env, {.strand = nullptr,
                         .work =
                             [dir, id, target, operation] {
                               MARBLE_ASSIGN_OR_RETURN(const auto from, io::ResolvePath(dir));
                               MARBLE_ASSIGN_OR_RETURN(const auto to, io::ResolvePath(target));
                               return lsm::RestoreBackup(
                                   from.file_system.get(), from.path, static_cast<uint64_t>(id),
                                   to.file_system, to.path, OperationHandle::ControlOf(operation));
                             },
                         .result = nullptr});
}

// function databaseInspect(path: string, zoneMaps: boolean): Promise<string>
napi_value DatabaseInspect(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  std::string path;
  lsm::InspectOptions options;
  if (!ReadString(env, args[0], "path", &path) || !ReadBool(env, args[1], &options.zone_maps)) {
    return nullptr;
  }
  return StartForText(env, [path, options]() -> Result<std::string> {
    MARBLE_ASSIGN_OR_RETURN(const auto where, io::ResolvePath(path));
    MARBLE_ASSIGN_OR_RETURN(const auto inspection,
                            lsm::InspectDatabase(where.file_system, where.path, options));
    return lsm::InspectionToJson(inspection);
  });
}

// function databaseVerify(path: string, operation: OperationHandle): Promise<string>
napi_value DatabaseVerify(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  std::string path;
  if (!ReadString(env, args[0], "path", &path)) return nullptr;
  auto operation = SharedHandleOf<OperationHandle>(env, args[1]);
  if (operation == nullptr) return nullptr;
  return StartForText(env, [path, operation]() -> Result<std::string> {
    MARBLE_ASSIGN_OR_RETURN(const auto where, io::ResolvePath(path));
    MARBLE_ASSIGN_OR_RETURN(
        const auto report,
        lsm::VerifyDatabase(where.file_system, where.path, OperationHandle::ControlOf(operation)));
    return lsm::ReportToJson(report);
  });
}

}  // namespace

void RegisterCopies(napi_env env, napi_value exports) {
  Export(env, exports, "operationNew", OperationNew);
  Export(env, exports, "operationCancel", OperationCancel);
  Export(env, exports, "operationProgress", OperationProgress);
  Export(env, exports, "databaseCheckpoint", DatabaseCheckpoint);
  Export(env, exports, "databaseBackup", DatabaseBackup);
  Export(env, exports, "backupsList", BackupsList);
  Export(env, exports, "backupsVerify", BackupsVerify);
  Export(env, exports, "backupsPrune", BackupsPrune);
  Export(env, exports, "backupsRestore", BackupsRestore);
  Export(env, exports, "databaseInspect", DatabaseInspect);
  Export(env, exports, "databaseVerify", DatabaseVerify);
}

}  // namespace marble::napi
