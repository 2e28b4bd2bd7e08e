#include "napi/thread_callback.h"

#include <string>
#include <utility>

#include "napi/node_value.h"

namespace marble::napi {

std::shared_ptr<ThreadCallback> ThreadCallback::Make(napi_env env, napi_value function,
                                                     const char* what) {
  if (TypeOf(env, function) != napi_function) {
    ThrowTypeError(env, std::string(what) + " must be a function");
    return nullptr;
  }
  napi_ref ref = nullptr;
  napi_create_reference(env, function, 1, &ref);
  return std::shared_ptr<ThreadCallback>(new ThreadCallback(Environment::Get(env), ref));
}

void ThreadCallback::Call(MakeArguments arguments) {
  environment_->CallOnJsThread(
      [self = shared_from_this(), arguments = std::move(arguments)](napi_env env) {
        if (self->function_ == nullptr) return;
        napi_value function = nullptr;
        if (napi_get_reference_value(env, self->function_, &function) != napi_ok) return;
        std::vector<napi_value> values = arguments ? arguments(env) : std::vector<napi_value>();
        napi_value result = nullptr;
        napi_call_function(env, Undefined(env), function, values.size(), values.data(), &result);
      });
}

void ThreadCallback::Close() {
  if (std::this_thread::get_id() == js_thread_) {
    Delete();
  } else {
    environment_->CallOnJsThread([self = shared_from_this()](napi_env) { self->Delete(); });
  }
}

void ThreadCallback::Delete() {
  if (function_ == nullptr) return;
  // A closing environment frees its references itself.
  if (!environment_->closing()) napi_delete_reference(environment_->env(), function_);
  function_ = nullptr;
}

}  // namespace marble::napi
