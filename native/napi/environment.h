// What the addon keeps per Node environment (the main thread, each worker): handles, worker
// threads, the way back to the JS thread, scratch memory of hot calls. Nothing mutable is global
// but the registry of open databases.
//
// Threads: JS thread only, but for CallOnJsThread and pool().
// End of an environment (exit, worker terminate): an env cleanup hook closes the handles children
// first, then joins the worker threads, so that nothing of ours runs when Node frees the rest.
#pragma once

#include <node_api.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "napi/handle.h"
#include "napi/worker_pool.h"

namespace arrow {
class Schema;
}

namespace marble::napi {

class FileMappings;

class Environment {
 public:
  /// Called once by the module's init. Null with an exception pending on failure.
  static Environment* Create(napi_env env);
  static Environment* Get(napi_env env);
  ~Environment();

  napi_env env() const { return env_; }
  WorkerPool* pool() { return &pool_; }
  FileMappings* mappings() { return mappings_.get(); }
  bool closing() const { return closing_.load(std::memory_order_acquire); }

  /// Run `call` on the JS thread, in a handle scope. Any thread. Dropped when the environment ends.
  void CallOnJsThread(std::function<void(napi_env)> call);
  /// Stop the threads, but close nothing that can be used synchronously: JavaScript's 'exit' event
  /// on the main thread. process.exit runs no cleanup hooks, and the process's static destructors
  /// (libarrow's among them) must not run beside threads of ours. JS thread.
  void PrepareExit();
  /// While there is at least one reference the process stays alive (a promise is pending).
  void Ref();
  void Unref();

  void AddHandle(std::shared_ptr<Handle> handle);
  void RemoveHandle(Handle* handle);
  std::shared_ptr<Handle> Share(Handle* handle) const;

  /// (code, message) => error; null before it is set.
  napi_value error_factory() const;
  void SetErrorFactory(napi_value function);

  /// Values of gets are copied here and seen through views: see state_binding.cc.
  void SetSlab(napi_value array_buffer);
  uint8_t* slab() const { return slab_; }
  size_t slab_size() const { return slab_size_; }
  /// Fixed-width cells of a row that is read by key: see row_cells.h.
  void SetCells(napi_value array_buffer);
  uint8_t* cells() const { return cells_; }
  size_t cells_size() const { return cells_size_; }

  /// Schemas parsed from JSON, by text: the same ones come again and again.
  std::unordered_map<std::string, std::shared_ptr<arrow::Schema>>& schemas() { return schemas_; }

 private:
  explicit Environment(napi_env env);
  static void CallJs(napi_env env, napi_value function, void* context, void* data);
  static void OnCleanup(void* environment);
  void Close();
  void StopThreads();
  std::vector<std::shared_ptr<Handle>> HandlesInClosingOrder() const;
  void Hold(napi_value value, napi_ref* ref);

  const napi_env env_;
  napi_threadsafe_function to_js_ = nullptr;
  std::atomic<bool> closing_{false};
  size_t references_ = 0;
  WorkerPool pool_;
  std::unique_ptr<FileMappings> mappings_;
  std::unordered_map<Handle*, std::shared_ptr<Handle>> handles_;
  std::unordered_map<std::string, std::shared_ptr<arrow::Schema>> schemas_;
  napi_ref error_factory_ = nullptr;
  napi_ref slab_ref_ = nullptr;
  napi_ref cells_ref_ = nullptr;
  uint8_t* slab_ = nullptr;
  size_t slab_size_ = 0;
  uint8_t* cells_ = nullptr;
  size_t cells_size_ = 0;
};

}  // namespace marble::napi
