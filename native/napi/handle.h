// Everything native that a JavaScript object holds: an External whose data is a Handle.
//
// Owned by its Environment; released when JavaScript drops the External, or at the end of the
// environment, when Close is called in the order of Kind (children first). Handles keep what they
// need alive by shared_ptr, so that the order of garbage collection does not matter.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <memory>

namespace marble::napi {

class Environment;

class Handle {
 public:
  /// Also the order of closing at the end of an environment.
  enum class Kind : uint32_t {
    kIterator = 0x4d420001,
    kSource,
    kPushSource,
    kJob,
    kJobManager,
    kProducer,
    kMockCluster,
    kOperation,
    kChanges,
    kSnapshot,
    kWriteBatch,
    kState,
    kTable,
    kDatabase,
  };
  virtual ~Handle() = default;
  Kind kind() const { return kind_; }
  /// JS thread; idempotent; may wait for own threads, never for the event loop.
  virtual void Close() {}

 protected:
  explicit Handle(Kind kind) : kind_(kind) {}

 private:
  const Kind kind_;
};

/// Make the External for a handle; the environment owns the handle from now on.
napi_value WrapHandle(napi_env env, std::shared_ptr<Handle> handle);
/// The handle behind an External, or nullptr after a TypeError was thrown.
Handle* UnwrapHandle(napi_env env, napi_value value, Handle::Kind kind);
/// The same as an owning pointer, for work that outlives the call.
std::shared_ptr<Handle> ShareHandle(napi_env env, napi_value value, Handle::Kind kind);

template <class T>
T* HandleOf(napi_env env, napi_value value) {
  return static_cast<T*>(UnwrapHandle(env, value, T::kKind));
}
template <class T>
std::shared_ptr<T> SharedHandleOf(napi_env env, napi_value value) {
  return std::static_pointer_cast<T>(ShareHandle(env, value, T::kKind));
}

}  // namespace marble::napi
