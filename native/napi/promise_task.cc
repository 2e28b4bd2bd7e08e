#include "napi/promise_task.h"

#include <utility>

#include "napi/environment.h"
#include "napi/node_value.h"

namespace marble::napi {

namespace {

struct Running {
  PromiseTask task;
  Environment* environment;
  napi_deferred deferred = nullptr;
  Status status;
};

void Settle(napi_env env, Running* running) {
  napi_value value = nullptr;
  bool rejected = false;
  if (running->status.ok()) {
    value = running->task.result ? running->task.result(env) : Undefined(env);
    if (value == nullptr) {
      rejected = true;
      if (napi_get_and_clear_last_exception(env, &value) != napi_ok) value = Undefined(env);
    }
  } else {
    rejected = true;
    value = StatusToError(env, running->status);
  }
  if (rejected) {
    napi_reject_deferred(env, running->deferred, value);
  } else {
    napi_resolve_deferred(env, running->deferred, value);
  }
  running->environment->Unref();
}

}  // namespace

napi_value StartTask(napi_env env, PromiseTask task) {
  Environment* environment = Environment::Get(env);
  auto running = std::make_shared<Running>();
  running->task = std::move(task);
  running->environment = environment;
  napi_value promise = nullptr;
  if (napi_create_promise(env, &running->deferred, &promise) != napi_ok) return nullptr;
  environment->Ref();
  auto run = [running] {
    running->status = running->task.work();
    running->environment->CallOnJsThread(
        [running](napi_env js_env) { Settle(js_env, running.get()); });
  };
  bool posted = running->task.strand != nullptr
                    ? running->task.strand->Post(environment->pool(), std::move(run))
                    : environment->pool()->Post(std::move(run));
  if (!posted) {
    running->status = MakeError(ErrorCode::kClosed, "this Node environment is ending");
    Settle(env, running.get());
  }
  return promise;
}

napi_value RejectedPromise(napi_env env, const Status& status) {
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return nullptr;
  napi_reject_deferred(env, deferred, StatusToError(env, status));
  return promise;
}

}  // namespace marble::napi
