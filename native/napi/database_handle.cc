#include "napi/database_handle.h"

#include "napi/node_value.h"

namespace marble::napi {

void DatabaseHandle::MarkClosed() {
  closed_.store(true, std::memory_order_release);
  open_.events->Remove(this);
  if (listener_ != nullptr) listener_->Close();
  listener_ = nullptr;
}

Status DatabaseHandle::Release() {
  if (released_.exchange(true)) return Status::OK();
  return ReleaseDatabase(open_);
}

void DatabaseHandle::Close() {
  MarkClosed();
  // At the end of an environment there is nobody left to tell; what a close could not write is
  // recovered from the log at the next open.
  (void)Release();
}

void DatabaseHandle::SetListener(std::shared_ptr<ThreadCallback> listener) {
  open_.events->Remove(this);
  if (listener_ != nullptr) listener_->Close();
  listener_ = std::move(listener);
  open_.events->Add(this, [callback = listener_](const lsm::DbEvent& event) {
    // JavaScript hears of what has ended; of a stall also that it begins.
    const bool ended = event.phase == lsm::DbEvent::Phase::kEnd;
    if (!ended && event.kind != lsm::DbEvent::Kind::kStall) return;
    if (!ended && event.phase != lsm::DbEvent::Phase::kBegin) return;
    callback->Call([event, ended](napi_env env) {
      static constexpr const char* kNames[] = {"flush",           "compaction", "stall",
                                               "backgroundError", "recovery",   "noSpace"};
      napi_value info = MakeObject(env);
      SetProperty(env, info, "message", MakeString(env, event.message));
      SetProperty(env, info, "files", MakeNumber(env, static_cast<double>(event.files)));
      SetProperty(env, info, "bytes", MakeNumber(env, static_cast<double>(event.bytes)));
      SetProperty(env, info, "rows", MakeNumber(env, static_cast<double>(event.rows)));
      SetProperty(env, info, "durationMs",
                  MakeNumber(env, static_cast<double>(event.micros) / 1000));
      if (event.kind == lsm::DbEvent::Kind::kStall) {
        SetProperty(env, info, "phase", MakeString(env, ended ? "end" : "begin"));
      }
      if (event.kind == lsm::DbEvent::Kind::kCompaction) {
        const auto numbers = [env](const std::vector<FileNumber>& files) {
          napi_value array = MakeArray(env, files.size());
          for (size_t i = 0; i < files.size(); ++i) {
            napi_set_element(env, array, static_cast<uint32_t>(i),
                             MakeNumber(env, static_cast<double>(files[i])));
          }
          return array;
        };
        SetProperty(env, info, "table", MakeString(env, event.table));
        SetProperty(env, info, "inputLevel", MakeNumber(env, event.input_level));
        SetProperty(env, info, "outputLevel", MakeNumber(env, event.output_level));
        SetProperty(env, info, "expired", MakeBool(env, event.expired));
        SetProperty(env, info, "bytesRead", MakeNumber(env, static_cast<double>(event.bytes_read)));
        SetProperty(env, info, "inputs", numbers(event.inputs));
        SetProperty(env, info, "outputs", numbers(event.outputs));
      }
      return std::vector<napi_value>{MakeString(env, kNames[static_cast<int>(event.kind)]), info};
    });
  });
}

bool ReadSnapshot(napi_env env, napi_value value, const DatabaseHandle* database,
                  lsm::ReadOptions* options) {
  if (IsNullish(env, value)) return true;
  auto* handle = HandleOf<SnapshotHandle>(env, value);
  if (handle == nullptr) return false;
  if (handle->snapshot == nullptr) {
    ThrowStatus(env, MakeError(ErrorCode::kClosed, "the snapshot is closed"));
    return false;
  }
  if (handle->database->db() != database->db()) {
    ThrowStatus(env,
                MakeError(ErrorCode::kInvalidArgument, "the snapshot belongs to another database"));
    return false;
  }
  options->snapshot = handle->snapshot;
  return true;
}

}  // namespace marble::napi
