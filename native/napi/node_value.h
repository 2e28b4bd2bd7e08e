// Small helpers over raw Node-API: arguments in, values out, errors thrown. JS thread only.
//
// Convention of every native function here: it returns nullptr after it has thrown. `Check` is
// for calls that can only fail when an exception is pending or the environment is going down.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace marble::napi {

/// Throw a failed status as a MarbleError (made by the factory that TypeScript has registered).
void ThrowStatus(napi_env env, const Status& status);
/// Make the error object without throwing it: for promise rejections.
napi_value StatusToError(napi_env env, const Status& status);
/// Throw a TypeError with code MARBLE_INVALID_ARGUMENT.
void ThrowTypeError(napi_env env, const std::string& message);

/// Read the arguments of a call; missing ones are undefined.
template <size_t N>
struct Arguments {
  napi_value values[N > 0 ? N : 1];
  void* data = nullptr;
  Arguments(napi_env env, napi_callback_info info) {
    size_t count = N;
    napi_get_cb_info(env, info, &count, values, nullptr, &data);
  }
  napi_value operator[](size_t i) const { return values[i]; }
};

napi_valuetype TypeOf(napi_env env, napi_value value);
inline bool IsNullish(napi_env env, napi_value value) {
  napi_valuetype type = TypeOf(env, value);
  return type == napi_undefined || type == napi_null;
}

/// Bytes of a string (as UTF-8) or of a Uint8Array. Short strings lie in `inline_`: no allocation.
/// Views of a Uint8Array are valid as long as JavaScript does not run.
class BytesArgument {
 public:
  /// False: an exception is pending. `what` opens the message ("key", "value"). A string with a
  /// lone surrogate is a TypeError: two different such strings would become one byte string.
  bool Read(napi_env env, napi_value value, const char* what);
  std::string_view view() const { return view_; }

 private:
  char inline_[512];
  std::string heap_;
  std::string_view view_;
};

/// A string argument; throws a TypeError when it is not a string.
bool ReadString(napi_env env, napi_value value, const char* what, std::string* out);
bool ReadInt64(napi_env env, napi_value value, const char* what, int64_t* out);
bool ReadBool(napi_env env, napi_value value, bool* out);  // undefined: false

napi_value Undefined(napi_env env);
napi_value Null(napi_env env);
napi_value MakeBool(napi_env env, bool value);
napi_value MakeNumber(napi_env env, double value);
napi_value MakeBigInt(napi_env env, int64_t value);
napi_value MakeBigUint(napi_env env, uint64_t value);
/// Bytes taken as UTF-8; pure ASCII goes the faster way.
napi_value MakeString(napi_env env, std::string_view value);
napi_value MakeObject(napi_env env);
napi_value MakeArray(napi_env env, size_t length);
void SetProperty(napi_env env, napi_value object, const char* name, napi_value value);
/// An ArrayBuffer of this size and its memory; nullptr with an exception pending.
napi_value MakeArrayBuffer(napi_env env, size_t size, uint8_t** data);
/// Copy doubles into a new Float64Array.
napi_value MakeFloat64Array(napi_env env, const std::vector<double>& values);

bool IsAscii(std::string_view bytes);

}  // namespace marble::napi
