// The module: instance data of this environment, and the functions of every binding.
#include "napi/bindings.h"
#include "napi/environment.h"

namespace marble::napi {

void Export(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function) == napi_ok) {
    napi_set_named_property(env, exports, name, function);
  }
}

}  // namespace marble::napi

NAPI_MODULE_INIT() {
  using namespace marble::napi;
  if (Environment::Create(env) == nullptr) return nullptr;
  RegisterModule(env, exports);
  RegisterDatabase(env, exports);
  RegisterCopies(env, exports);
  RegisterChanges(env, exports);
  RegisterState(env, exports);
  RegisterSnapshot(env, exports);
  RegisterWriteBatch(env, exports);
  RegisterTable(env, exports);
  RegisterIterator(env, exports);
  RegisterSource(env, exports);
  RegisterJob(env, exports);
  RegisterKafka(env, exports);
  return exports;
}
