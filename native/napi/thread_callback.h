// A JavaScript function that native threads may call. It does not keep the process alive.
//
// Rules: the reference to the function is made and deleted on the JS thread, wherever Close is
// called from; a call after Close, or after the end of the environment, does nothing; arguments are
// made on the JS thread.
#pragma once

#include <node_api.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "napi/environment.h"

namespace marble::napi {

class ThreadCallback : public std::enable_shared_from_this<ThreadCallback> {
 public:
  using MakeArguments = std::function<std::vector<napi_value>(napi_env)>;
  /// Null after a TypeError when `function` is no function. JS thread.
  static std::shared_ptr<ThreadCallback> Make(napi_env env, napi_value function, const char* what);
  /// Any thread.
  void Call(MakeArguments arguments);
  /// Any thread; idempotent.
  void Close();

 private:
  ThreadCallback(Environment* environment, napi_ref function)
      : environment_(environment), js_thread_(std::this_thread::get_id()), function_(function) {}
  void Delete();
  Environment* const environment_;
  const std::thread::id js_thread_;
  napi_ref function_;  // JS thread only
};

}  // namespace marble::napi
