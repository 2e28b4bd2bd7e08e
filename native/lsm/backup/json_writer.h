// Writes JSON: puts commas, quotes and escapes; the caller balances brackets. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace marble::lsm {

class JsonWriter {
 public:
  JsonWriter& Name(std::string_view name) {
    Comma();
    PutString(&out_, name);
    out_.push_back(':');
    first_ = true;
    return *this;
  }
  JsonWriter& String(std::string_view text) {
    Comma();
    PutString(&out_, text);
    return *this;
  }
  JsonWriter& Number(uint64_t value) { return Raw(std::to_string(value)); }
  JsonWriter& Signed(int64_t value) { return Raw(std::to_string(value)); }
  JsonWriter& Big(uint64_t value) { return String(std::to_string(value)); }
  JsonWriter& Bool(bool value) { return Raw(value ? "true" : "false"); }
  JsonWriter& Text(const std::optional<std::string>& text) {
    return text ? String(*text) : Raw("null");
  }
  JsonWriter& Raw(std::string_view json) {
    Comma();
    out_ += json;
    return *this;
  }
  JsonWriter& Open(char bracket) {
    Comma();
    out_.push_back(bracket);
    first_ = true;
    return *this;
  }
  JsonWriter& Close(char bracket) {
    out_.push_back(bracket);
    first_ = false;
    return *this;
  }
  std::string Take() { return std::move(out_); }

 private:
  static void PutString(std::string* out, std::string_view text) {
    out->push_back('"');
    for (const char c : text) {
      if (c == '"' || c == '\\') {
        *out += {'\\', c};
      } else if (static_cast<uint8_t>(c) < 0x20) {
        constexpr char kDigits[] = "0123456789abcdef";
        *out += "\\u00";
        out->push_back(kDigits[c >> 4]);
        out->push_back(kDigits[c & 15]);
      } else {
        out->push_back(c);
      }
    }
    out->push_back('"');
  }
  void Comma() {
    if (!first_) out_.push_back(',');
    first_ = false;
  }
  std::string out_;
  bool first_ = true;
};

}  // namespace marble::lsm
