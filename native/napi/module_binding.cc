// What belongs to no class: the list of error codes, scratch memory, references, test hooks.
#include "base/status.h"
#include "napi/bindings.h"
#include "napi/environment.h"
#include "napi/file_mappings.h"
#include "napi/node_value.h"

namespace marble::napi {

namespace {

// function errorCodes(): string[]
napi_value ErrorCodes(napi_env env, napi_callback_info) {
  auto [codes, count] = AllErrorCodes();
  napi_value array = MakeArray(env, count);
  for (size_t i = 0; i < count; ++i) {
    napi_set_element(env, array, static_cast<uint32_t>(i),
                     MakeString(env, ErrorCodeName(codes[i])));
  }
  return array;
}

// function prepareExit(): void
napi_value PrepareExit(napi_env env, napi_callback_info) {
  Environment::Get(env)->PrepareExit();
  return nullptr;
}

// function setErrorFactory(factory: (code: string, message: string) => Error): void
napi_value SetErrorFactory(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  Environment::Get(env)->SetErrorFactory(args[0]);
  return nullptr;
}

// function setSlab(slab: ArrayBuffer): void
napi_value SetSlab(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  Environment::Get(env)->SetSlab(args[0]);
  return nullptr;
}

// function setCells(cells: ArrayBuffer): void
napi_value SetCells(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  Environment::Get(env)->SetCells(args[0]);
  return nullptr;
}

// function ref(): void
napi_value Ref(napi_env env, napi_callback_info) {
  Environment::Get(env)->Ref();
  return nullptr;
}

// function unref(): void
napi_value Unref(napi_env env, napi_callback_info) {
  Environment::Get(env)->Unref();
  return nullptr;
}

// function detach(buffer: ArrayBuffer): void
napi_value Detach(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  bool detached = true;
  if (napi_is_detached_arraybuffer(env, args[0], &detached) == napi_ok && !detached) {
    napi_detach_arraybuffer(env, args[0]);
  }
  return nullptr;
}

// function addressOf(buffer: ArrayBuffer): bigint
napi_value AddressOf(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  void* data = nullptr;
  size_t size = 0;
  if (napi_get_arraybuffer_info(env, args[0], &data, &size) != napi_ok) {
    ThrowTypeError(env, "an ArrayBuffer was expected");
    return nullptr;
  }
  return MakeBigUint(env, reinterpret_cast<uintptr_t>(data));
}

// function mappedFiles(): { path: string, address: bigint, size: number }[]
napi_value MappedFiles(napi_env env, napi_callback_info) {
  auto mappings = Environment::Get(env)->mappings()->list();
  napi_value array = MakeArray(env, mappings.size());
  for (size_t i = 0; i < mappings.size(); ++i) {
    napi_value object = MakeObject(env);
    SetProperty(env, object, "path", MakeString(env, mappings[i].path));
    SetProperty(env, object, "address", MakeBigUint(env, mappings[i].address));
    SetProperty(env, object, "size", MakeNumber(env, static_cast<double>(mappings[i].size)));
    napi_set_element(env, array, static_cast<uint32_t>(i), object);
  }
  return array;
}

}  // namespace

void RegisterModule(napi_env env, napi_value exports) {
  Export(env, exports, "errorCodes", ErrorCodes);
  Export(env, exports, "prepareExit", PrepareExit);
  Export(env, exports, "setErrorFactory", SetErrorFactory);
  Export(env, exports, "setSlab", SetSlab);
  Export(env, exports, "setCells", SetCells);
  Export(env, exports, "ref", Ref);
  Export(env, exports, "unref", Unref);
  Export(env, exports, "detach", Detach);
  Export(env, exports, "addressOf", AddressOf);
  Export(env, exports, "mappedFiles", MappedFiles);
}

}  // namespace marble::napi
