// What each *_binding.cc registers on the exports object, and how a function is declared.
//
// Above each native function stands its TypeScript type; binding.d.ts holds the same signatures and
// scripts/check-binding.mjs compares the two and the addon.
#pragma once

#include <node_api.h>

namespace marble::napi {

/// Define a native function on `exports`.
void Export(napi_env env, napi_value exports, const char* name, napi_callback callback);

void RegisterModule(napi_env env, napi_value exports);
void RegisterDatabase(napi_env env, napi_value exports);
void RegisterChanges(napi_env env, napi_value exports);
void RegisterCopies(napi_env env, napi_value exports);
void RegisterState(napi_env env, napi_value exports);
void RegisterSnapshot(napi_env env, napi_value exports);
void RegisterWriteBatch(napi_env env, napi_value exports);
void RegisterTable(napi_env env, napi_value exports);
void RegisterIterator(napi_env env, napi_value exports);
void RegisterSource(napi_env env, napi_value exports);
void RegisterJob(napi_env env, napi_value exports);
void RegisterKafka(napi_env env, napi_value exports);

}  // namespace marble::napi
