#include "napi/node_value.h"

#include <cstring>

#include "napi/environment.h"

namespace marble::napi {

napi_value StatusToError(napi_env env, const Status& status) {
  std::string_view code = ErrorCodeName(CodeOf(status));
  std::string message = MessageOf(status);
  napi_value js_code = MakeString(env, code);
  napi_value js_message = MakeString(env, message);
  Environment* environment = Environment::Get(env);
  if (environment != nullptr) {
    napi_value factory = environment->error_factory();
    if (factory != nullptr) {
      napi_value args[2] = {js_code, js_message};
      napi_value error = nullptr;
      if (napi_call_function(env, Undefined(env), factory, 2, args, &error) == napi_ok) {
        return error;
      }
      napi_value ignored;
      napi_get_and_clear_last_exception(env, &ignored);
    }
  }
  napi_value error = nullptr;
  napi_create_error(env, js_code, js_message, &error);
  return error;
}

void ThrowStatus(napi_env env, const Status& status) {
  napi_throw(env, StatusToError(env, status));
}

void ThrowTypeError(napi_env env, const std::string& message) {
  // The factory makes it the TypeError that lib/ throws for a bad argument.
  ThrowStatus(env, MakeError(ErrorCode::kInvalidArgument, message));
}

napi_valuetype TypeOf(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  return type;
}

bool IsAscii(std::string_view bytes) {
  const char* at = bytes.data();
  size_t left = bytes.size();
  while (left >= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    if ((word & 0x8080808080808080ull) != 0) return false;
    at += 8;
    left -= 8;
  }
  for (; left > 0; --left, ++at) {
    if ((static_cast<unsigned char>(*at) & 0x80) != 0) return false;
  }
  return true;
}

namespace {

// V8 writes U+FFFD for a lone surrogate. Only when one is seen in the output is the string itself
// looked at: a real U+FFFD is fine.
bool HasLoneSurrogate(napi_env env, napi_value value, std::string_view utf8) {
  if (utf8.find("\xEF\xBF\xBD") == std::string_view::npos) return false;
  size_t length = 0;
  napi_get_value_string_utf16(env, value, nullptr, 0, &length);
  std::u16string text(length + 1, u'\0');
  napi_get_value_string_utf16(env, value, text.data(), length + 1, &length);
  for (size_t i = 0; i < length; ++i) {
    char16_t unit = text[i];
    if (unit < 0xD800 || unit > 0xDFFF) continue;
    bool pair = unit < 0xDC00 && i + 1 < length && text[i + 1] >= 0xDC00 && text[i + 1] <= 0xDFFF;
    if (!pair) return true;
    ++i;
  }
  return false;
}

}  // namespace

bool BytesArgument::Read(napi_env env, napi_value value, const char* what) {
  size_t length = 0;
  napi_status status = napi_get_value_string_utf8(env, value, inline_, sizeof(inline_), &length);
  if (status == napi_ok) {
    // A cut string ends within 4 bytes of the buffer's end (a character is never split).
    if (length < sizeof(inline_) - 5) {
      view_ = {inline_, length};
    } else {
      napi_get_value_string_utf8(env, value, nullptr, 0, &length);
      heap_.resize(length + 1);
      napi_get_value_string_utf8(env, value, heap_.data(), length + 1, &length);
      heap_.resize(length);
      view_ = heap_;
    }
    if (HasLoneSurrogate(env, value, view_)) {
      ThrowTypeError(env, std::string("the ") + what +
                              " holds a lone surrogate, which has no UTF-8 form: pass a Buffer");
      return false;
    }
    return true;
  }
  napi_typedarray_type type;
  size_t size = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &size, &data, nullptr, nullptr) == napi_ok &&
      type == napi_uint8_array) {
    view_ = {static_cast<const char*>(data), size};
    return true;
  }
  ThrowTypeError(env, std::string("the ") + what + " must be a string or a Uint8Array (Buffer)");
  return false;
}

bool ReadString(napi_env env, napi_value value, const char* what, std::string* out) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    ThrowTypeError(env, std::string(what) + " must be a string");
    return false;
  }
  out->resize(length + 1);
  napi_get_value_string_utf8(env, value, out->data(), length + 1, &length);
  out->resize(length);
  return true;
}

bool ReadInt64(napi_env env, napi_value value, const char* what, int64_t* out) {
  if (napi_get_value_int64(env, value, out) == napi_ok) return true;
  ThrowTypeError(env, std::string(what) + " must be a number");
  return false;
}

bool ReadBool(napi_env env, napi_value value, bool* out) {
  *out = false;
  if (IsNullish(env, value)) return true;
  if (napi_get_value_bool(env, value, out) == napi_ok) return true;
  ThrowTypeError(env, "a boolean was expected");
  return false;
}

napi_value Undefined(napi_env env) {
  napi_value value = nullptr;
  napi_get_undefined(env, &value);
  return value;
}
napi_value Null(napi_env env) {
  napi_value value = nullptr;
  napi_get_null(env, &value);
  return value;
}
napi_value MakeBool(napi_env env, bool flag) {
  napi_value value = nullptr;
  napi_get_boolean(env, flag, &value);
  return value;
}
napi_value MakeNumber(napi_env env, double number) {
  napi_value value = nullptr;
  napi_create_double(env, number, &value);
  return value;
}
napi_value MakeBigInt(napi_env env, int64_t number) {
  napi_value value = nullptr;
  napi_create_bigint_int64(env, number, &value);
  return value;
}
napi_value MakeBigUint(napi_env env, uint64_t number) {
  napi_value value = nullptr;
  napi_create_bigint_uint64(env, number, &value);
  return value;
}
napi_value MakeString(napi_env env, std::string_view text) {
  napi_value value = nullptr;
  napi_status status = IsAscii(text)
                           ? napi_create_string_latin1(env, text.data(), text.size(), &value)
                           : napi_create_string_utf8(env, text.data(), text.size(), &value);
  if (status != napi_ok) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) {
      ThrowStatus(env, MakeError(ErrorCode::kTooLarge,
                                 "the text is longer than a JavaScript string can be"));
    }
    return nullptr;
  }
  return value;
}
napi_value MakeObject(napi_env env) {
  napi_value value = nullptr;
  napi_create_object(env, &value);
  return value;
}
napi_value MakeArray(napi_env env, size_t length) {
  napi_value value = nullptr;
  napi_create_array_with_length(env, length, &value);
  return value;
}
void SetProperty(napi_env env, napi_value object, const char* name, napi_value value) {
  if (value != nullptr) napi_set_named_property(env, object, name, value);
}
napi_value MakeArrayBuffer(napi_env env, size_t size, uint8_t** data) {
  napi_value value = nullptr;
  void* memory = nullptr;
  if (napi_create_arraybuffer(env, size, &memory, &value) != napi_ok) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending)
      ThrowStatus(env,
                  MakeError(ErrorCode::kTooLarge, "an ArrayBuffer of this size cannot be made"));
    return nullptr;
  }
  *data = static_cast<uint8_t*>(memory);
  return value;
}
napi_value MakeFloat64Array(napi_env env, const std::vector<double>& values) {
  uint8_t* data = nullptr;
  napi_value buffer = MakeArrayBuffer(env, values.size() * sizeof(double), &data);
  if (buffer == nullptr) return nullptr;
  if (!values.empty()) std::memcpy(data, values.data(), values.size() * sizeof(double));
  napi_value array = nullptr;
  napi_create_typedarray(env, napi_float64_array, values.size(), buffer, 0, &array);
  return array;
}

}  // namespace marble::napi
