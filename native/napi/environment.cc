#include "napi/environment.h"

#include <algorithm>
#include <utility>

#include "napi/database_registry.h"
#include "napi/file_mappings.h"
#include "napi/node_value.h"

namespace marble::napi {

namespace {
using JsCall = std::function<void(napi_env)>;

// An exception out of a user's callback is uncaught, as from any event listener.
void ReportPendingException(napi_env env) {
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) return;
  napi_value error = nullptr;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}
}  // namespace

Environment::Environment(napi_env env) : env_(env), mappings_(std::make_unique<FileMappings>()) {}

Environment::~Environment() = default;

Environment* Environment::Create(napi_env env) {
  auto* environment = new Environment(env);
  napi_value name = MakeString(env, "marbledb");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr,
                                      CallJs, &environment->to_js_) != napi_ok) {
    delete environment;
    napi_throw_error(env, "MARBLE_INTERNAL",
                     "the addon's way back to the JavaScript thread cannot be made");
    return nullptr;
  }
  napi_unref_threadsafe_function(env, environment->to_js_);
  napi_set_instance_data(
      env, environment, [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); },
      nullptr);
  // Hooks run last in, first out: ours before that of the thread-safe function.
  napi_add_env_cleanup_hook(env, OnCleanup, environment);
  return environment;
}

Environment* Environment::Get(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return static_cast<Environment*>(data);
}

void Environment::CallJs(napi_env env, napi_value, void*, void* data) {
  std::unique_ptr<JsCall> call(static_cast<JsCall*>(data));
  if (env == nullptr) return;  // the environment is going down
  (*call)(env);
  ReportPendingException(env);
}

void Environment::CallOnJsThread(JsCall call) {
  if (closing()) return;
  auto* data = new JsCall(std::move(call));
  if (napi_call_threadsafe_function(to_js_, data, napi_tsfn_nonblocking) != napi_ok) delete data;
}

void Environment::Ref() {
  if (references_++ == 0 && !closing()) napi_ref_threadsafe_function(env_, to_js_);
}

void Environment::Unref() {
  if (references_ > 0 && --references_ == 0 && !closing()) {
    napi_unref_threadsafe_function(env_, to_js_);
  }
}

void Environment::OnCleanup(void* environment) { static_cast<Environment*>(environment)->Close(); }

std::vector<std::shared_ptr<Handle>> Environment::HandlesInClosingOrder() const {
  std::vector<std::shared_ptr<Handle>> handles;
  handles.reserve(handles_.size());
  for (const auto& [pointer, handle] : handles_) handles.push_back(handle);
  std::sort(handles.begin(), handles.end(),
            [](const auto& a, const auto& b) { return a->kind() < b->kind(); });
  return handles;
}

void Environment::StopThreads() {
  // First what worker threads may wait for, then the threads.
  for (const auto& handle : HandlesInClosingOrder()) {
    if (handle->kind() < Handle::Kind::kSnapshot) handle->Close();
  }
  pool_.Stop();
}

void Environment::PrepareExit() {
  StopThreads();
  StopDatabaseThreads();
}

void Environment::Close() {
  closing_.store(true, std::memory_order_release);
  StopThreads();
  for (const auto& handle : HandlesInClosingOrder()) {
    if (handle->kind() >= Handle::Kind::kSnapshot) handle->Close();
  }
}

void Environment::AddHandle(std::shared_ptr<Handle> handle) {
  Handle* pointer = handle.get();
  handles_.emplace(pointer, std::move(handle));
}

void Environment::RemoveHandle(Handle* handle) {
  auto it = handles_.find(handle);
  if (it == handles_.end()) return;
  std::shared_ptr<Handle> last = std::move(it->second);
  handles_.erase(it);
}

std::shared_ptr<Handle> Environment::Share(Handle* handle) const {
  auto it = handles_.find(handle);
  return it == handles_.end() ? nullptr : it->second;
}

void Environment::Hold(napi_value value, napi_ref* ref) {
  if (*ref != nullptr) napi_delete_reference(env_, *ref);
  *ref = nullptr;
  napi_create_reference(env_, value, 1, ref);
}

napi_value Environment::error_factory() const {
  napi_value function = nullptr;
  if (error_factory_ != nullptr) napi_get_reference_value(env_, error_factory_, &function);
  return function;
}

void Environment::SetErrorFactory(napi_value function) { Hold(function, &error_factory_); }

void Environment::SetSlab(napi_value array_buffer) {
  void* data = nullptr;
  size_t size = 0;
  if (napi_get_arraybuffer_info(env_, array_buffer, &data, &size) != napi_ok) return;
  Hold(array_buffer, &slab_ref_);
  slab_ = static_cast<uint8_t*>(data);
  slab_size_ = size;
}

void Environment::SetCells(napi_value array_buffer) {
  void* data = nullptr;
  size_t size = 0;
  if (napi_get_arraybuffer_info(env_, array_buffer, &data, &size) != napi_ok) return;
  Hold(array_buffer, &cells_ref_);
  cells_ = static_cast<uint8_t*>(data);
  cells_size_ = size;
}

napi_value WrapHandle(napi_env env, std::shared_ptr<Handle> handle) {
  Environment* environment = Environment::Get(env);
  Handle* pointer = handle.get();
  napi_value external = nullptr;
  environment->AddHandle(std::move(handle));
  napi_status status = napi_create_external(
      env, pointer,
      [](napi_env env, void* data, void*) {
        Environment* environment = Environment::Get(env);
        if (environment != nullptr) environment->RemoveHandle(static_cast<Handle*>(data));
      },
      nullptr, &external);
  if (status != napi_ok) {
    environment->RemoveHandle(pointer);
    return nullptr;
  }
  return external;
}

Handle* UnwrapHandle(napi_env env, napi_value value, Handle::Kind kind) {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) == napi_ok && data != nullptr) {
    auto* handle = static_cast<Handle*>(data);
    if (handle->kind() == kind) return handle;
  }
  ThrowTypeError(env, "a native handle of another kind was passed");
  return nullptr;
}

std::shared_ptr<Handle> ShareHandle(napi_env env, napi_value value, Handle::Kind kind) {
  Handle* handle = UnwrapHandle(env, value, kind);
  return handle == nullptr ? nullptr : Environment::Get(env)->Share(handle);
}

}  // namespace marble::napi
