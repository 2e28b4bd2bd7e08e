// A native call that returns a promise: `work` on a worker thread, `result` back on the JS thread.
//
// While the promise is pending the process stays alive. When the environment ends first, neither
// the promise nor what the task holds is touched by JavaScript again; the task is destroyed after
// its work, on a worker thread or with the queue.
#pragma once

#include <node_api.h>

#include <functional>
#include <memory>

#include "base/status.h"
#include "napi/worker_pool.h"

namespace marble::napi {

struct PromiseTask {
  /// Null: as soon as a thread is free. Else in the order of the strand.
  std::shared_ptr<Strand> strand;
  /// On a worker thread. A failed status rejects the promise.
  std::function<Status()> work;
  /// On the JS thread after success; null gives undefined. Returns nullptr after a throw: the
  /// promise is rejected with what was thrown.
  std::function<napi_value(napi_env)> result;
};

/// Start a task and return its promise.
napi_value StartTask(napi_env env, PromiseTask task);
/// A promise that is already rejected.
napi_value RejectedPromise(napi_env env, const Status& status);

}  // namespace marble::napi
