#include "format/text_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace marble::format {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// Take exactly `count` digits.
bool TakeDigits(std::string_view* text, int count, int* value) {
  if (text->size() < static_cast<size_t>(count)) return false;
  int result = 0;
  for (int i = 0; i < count; ++i) {
    const char c = (*text)[i];
    if (!IsDigit(c)) return false;
    result = result * 10 + (c - '0');
  }
  text->remove_prefix(count);
  *value = result;
  return true;
}

bool Take(std::string_view* text, char c) {
  if (text->empty() || text->front() != c) return false;
  text->remove_prefix(1);
  return true;
}

/// Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant's algorithm).
int64_t DaysFromCivil(int year, int month, int day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const unsigned year_of_era = static_cast<unsigned>(year - era * 400);
  const unsigned day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + static_cast<int64_t>(day_of_era) - 719468;
}

bool IsLeap(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

TextError TakeDate(std::string_view* text, int64_t* days) {
  int year, month, day;
  if (!TakeDigits(text, 4, &year) || !Take(text, '-') || !TakeDigits(text, 2, &month) ||
      !Take(text, '-') || !TakeDigits(text, 2, &day)) {
    return TextError::kMalformed;
  }
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1) return TextError::kOutOfRange;
  if (day > kDays[month - 1] + (month == 2 && IsLeap(year))) return TextError::kOutOfRange;
  *days = DaysFromCivil(year, month, day);
  return TextError::kNone;
}

TextError TakeTime(std::string_view* text, int64_t* seconds, int64_t* nanos) {
  int hour, minute, second = 0;
  if (!TakeDigits(text, 2, &hour) || !Take(text, ':') || !TakeDigits(text, 2, &minute)) {
    return TextError::kMalformed;
  }
  *nanos = 0;
  if (Take(text, ':')) {
    if (!TakeDigits(text, 2, &second)) return TextError::kMalformed;
    if (Take(text, '.')) {
      int digits = 0;
      int64_t fraction = 0;
      for (; digits < 9 && !text->empty() && IsDigit(text->front()); ++digits) {
        fraction = fraction * 10 + (text->front() - '0');
        text->remove_prefix(1);
      }
      if (digits == 0) return TextError::kMalformed;
      for (; digits < 9; ++digits) fraction *= 10;
      *nanos = fraction;
    }
  }
  if (hour > 23 || minute > 59 || second > 59) return TextError::kOutOfRange;
  *seconds = hour * 3600 + minute * 60 + second;
  return TextError::kNone;
}

TextError TakeZone(std::string_view* text, int64_t* offset_seconds) {
  *offset_seconds = 0;
  if (Take(text, 'Z')) return TextError::kNone;
  int sign;
  if (Take(text, '+')) {
    sign = 1;
  } else if (Take(text, '-')) {
    sign = -1;
  } else {
    return TextError::kMalformed;
  }
  int hour, minute = 0;
  if (!TakeDigits(text, 2, &hour)) return TextError::kMalformed;
  if (!text->empty()) {
    Take(text, ':');
    if (!TakeDigits(text, 2, &minute)) return TextError::kMalformed;
  }
  if (hour > 18 || minute > 59) return TextError::kOutOfRange;
  *offset_seconds = sign * (hour * 3600 + minute * 60);
  return TextError::kNone;
}

/// A number taken apart: sign, significant digits (no leading zeros), power of ten.
struct Digits {
  static constexpr size_t kMax = 400;
  bool negative = false;
  std::array<char, kMax> digits;
  size_t count = 0;
  int64_t exponent = 0;
};

TextError TakeApart(std::string_view text, Digits* out) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    out->negative = text.front() == '-';
    text.remove_prefix(1);
  }
  bool any = false, point = false;
  size_t i = 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '.') {
      if (point) return TextError::kMalformed;
      point = true;
      continue;
    }
    if (!IsDigit(c)) break;
    any = true;
    if (point) --out->exponent;
    if (c == '0' && out->count == 0) continue;
    if (out->count < Digits::kMax) {
      out->digits[out->count++] = c;
    } else {
      // Far beyond what any type holds: only the magnitude still matters.
      ++out->exponent;
    }
  }
  if (!any) return TextError::kMalformed;
  if (i < text.size()) {
    if (text[i] != 'e' && text[i] != 'E') return TextError::kMalformed;
    ++i;
    if (i < text.size() && text[i] == '+') ++i;
    int64_t exponent = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + text.size(), exponent);
    if (end != text.data() + text.size() || end == text.data() + i) return TextError::kMalformed;
    if (error != std::errc()) return TextError::kOutOfRange;
    exponent = std::clamp<int64_t>(exponent, -1'000'000'000, 1'000'000'000);
    out->exponent += exponent;
  }
  return TextError::kNone;
}

}  // namespace

std::string_view Trim(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

bool IsJsonNumber(std::string_view text) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t begin = i;
    while (i < text.size() && IsDigit(text[i])) ++i;
    return i - begin;
  };
  if (i < text.size() && text[i] == '-') ++i;
  const bool zero = i < text.size() && text[i] == '0';
  const size_t integer = digits();
  if (integer == 0 || (zero && integer > 1)) return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (digits() == 0) return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

TextError ParseInt64(std::string_view text, int64_t* value) {
  std::string_view plain = text;
  if (plain.size() > 1 && plain.front() == '+' && IsDigit(plain[1])) plain.remove_prefix(1);
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), *value);
  if (!plain.empty() && end == plain.data() + plain.size()) {
    return error == std::errc() ? TextError::kNone : TextError::kOutOfRange;
  }
  // Not plain digits: 1.0 and 1e3 are integers all the same, 1.5 is not.
  Digits number;
  if (const TextError bad = TakeApart(text, &number); bad != TextError::kNone) return bad;
  while (number.count > 0 && number.exponent < 0 && number.digits[number.count - 1] == '0') {
    --number.count;
    ++number.exponent;
  }
  if (number.count == 0) {
    *value = 0;
    return TextError::kNone;
  }
  if (number.exponent < 0) return TextError::kMalformed;
  if (static_cast<int64_t>(number.count) + number.exponent > 19) return TextError::kOutOfRange;
  std::array<char, 24> plain_digits;
  size_t length = 0;
  if (number.negative) plain_digits[length++] = '-';
  for (size_t i = 0; i < number.count; ++i) plain_digits[length++] = number.digits[i];
  for (int64_t i = 0; i < number.exponent; ++i) plain_digits[length++] = '0';
  const auto result = std::from_chars(plain_digits.data(), plain_digits.data() + length, *value);
  return result.ec == std::errc() ? TextError::kNone : TextError::kOutOfRange;
}

TextError ParseDouble(std::string_view text, double* value) {
  if (text == "NaN") {
    *value = std::numeric_limits<double>::quiet_NaN();
    return TextError::kNone;
  }
  std::string_view number = text;
  if (number.size() > 1 && number.front() == '+') number.remove_prefix(1);
  if (number == "Infinity" || number == "-Infinity") {
    *value = number.front() == '-' ? -std::numeric_limits<double>::infinity()
                                   : std::numeric_limits<double>::infinity();
    return TextError::kNone;
  }
  // from_chars would take "inf" and "nan" too, which Java does not.
  const size_t first = !number.empty() && number.front() == '-' ? 1 : 0;
  if (number.size() <= first || !(IsDigit(number[first]) || number[first] == '.')) {
    return TextError::kMalformed;
  }
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), *value);
  if (end != number.data() + number.size()) return TextError::kMalformed;
  if (error == std::errc()) return TextError::kNone;
  // Out of range: too small is zero, too large does not fit.
  Digits apart;
  if (TakeApart(text, &apart) != TextError::kNone) return TextError::kMalformed;
  if (apart.exponent + static_cast<int64_t>(apart.count) > 0) return TextError::kOutOfRange;
  *value = apart.negative ? -0.0 : 0.0;
  return TextError::kNone;
}

TextError ParseDecimal(std::string_view text, int32_t precision, int32_t scale,
                       arrow::Decimal128* value) {
  Digits number;
  if (const TextError bad = TakeApart(text, &number); bad != TextError::kNone) return bad;
  int64_t shift = number.exponent + scale;  // digits × 10^shift is the unscaled value
  size_t count = number.count;
  bool round_up = false;
  if (count > 0 && shift < 0) {
    const int64_t drop = -shift;
    if (drop > static_cast<int64_t>(count)) {
      count = 0;
    } else {
      count -= static_cast<size_t>(drop);
      round_up = number.digits[count] >= '5';
    }
    shift = 0;
  }
  if (count > 0 && static_cast<int64_t>(count) + shift > precision) return TextError::kOutOfRange;
  unsigned __int128 magnitude = 0;
  for (size_t i = 0; i < count; ++i) magnitude = magnitude * 10 + (number.digits[i] - '0');
  if (count > 0) {
    for (int64_t i = 0; i < shift; ++i) magnitude *= 10;
  }
  if (round_up) ++magnitude;
  unsigned __int128 limit = 1;
  for (int32_t i = 0; i < precision; ++i) limit *= 10;
  if (magnitude >= limit) return TextError::kOutOfRange;
  const __int128 result =
      number.negative ? -static_cast<__int128>(magnitude) : static_cast<__int128>(magnitude);
  *value = arrow::Decimal128(static_cast<int64_t>(result >> 64), static_cast<uint64_t>(result));
  return TextError::kNone;
}

TextError ParseDate(std::string_view text, int32_t* days) {
  int64_t result;
  if (const TextError bad = TakeDate(&text, &result); bad != TextError::kNone) return bad;
  if (!text.empty()) return TextError::kMalformed;
  *days = static_cast<int32_t>(result);
  return TextError::kNone;
}

TextError ParseTime(std::string_view text, int64_t* nanos_of_day) {
  int64_t seconds, nanos;
  if (const TextError bad = TakeTime(&text, &seconds, &nanos); bad != TextError::kNone) return bad;
  if (!text.empty()) return TextError::kMalformed;
  *nanos_of_day = seconds * 1'000'000'000 + nanos;
  return TextError::kNone;
}

int64_t UnitsPerSecond(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return 1;
    case arrow::TimeUnit::MILLI:
      return 1'000;
    case arrow::TimeUnit::MICRO:
      return 1'000'000;
    case arrow::TimeUnit::NANO:
      return 1'000'000'000;
  }
  return 1;
}

TextError ParseTimestamp(std::string_view text, const TimestampText& form, int64_t* value) {
  int64_t days, seconds, nanos, zone = 0;
  if (const TextError bad = TakeDate(&text, &days); bad != TextError::kNone) return bad;
  if (!Take(&text, form.separator)) return TextError::kMalformed;
  if (const TextError bad = TakeTime(&text, &seconds, &nanos); bad != TextError::kNone) return bad;
  if (form.zoned) {
    if (const TextError bad = TakeZone(&text, &zone); bad != TextError::kNone) return bad;
  }
  if (!text.empty()) return TextError::kMalformed;
  const int64_t units = UnitsPerSecond(form.unit);
  int64_t result;
  if (__builtin_mul_overflow(days * 86'400 + seconds - zone, units, &result) ||
      __builtin_add_overflow(result, nanos / (1'000'000'000 / units), &result)) {
    return TextError::kOutOfRange;
  }
  *value = result;
  return TextError::kNone;
}

TextError DecodeBase64(std::string_view text, std::string* bytes) {
  bytes->clear();
  if (text.size() % 4 != 0) return TextError::kMalformed;
  const auto sextet = [](char c) -> int {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    if (c == '/') return 63;
    return -1;
  };
  bytes->reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const int padding = !last ? 0 : text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
    uint32_t word = 0;
    for (int j = 0; j < 4; ++j) {
      const int bits = j >= 4 - padding ? 0 : sextet(text[i + j]);
      if (bits < 0) return TextError::kMalformed;
      word = word << 6 | static_cast<uint32_t>(bits);
    }
    bytes->push_back(static_cast<char>(word >> 16));
    if (padding < 2) bytes->push_back(static_cast<char>(word >> 8));
    if (padding < 1) bytes->push_back(static_cast<char>(word));
  }
  return TextError::kNone;
}

std::string Excerpt(std::string_view bytes, size_t max_bytes) {
  std::string out;
  size_t i = 0;
  while (i < bytes.size()) {
    const auto lead = static_cast<unsigned char>(bytes[i]);
    size_t length = lead < 0x80                   ? 1
                    : lead >= 0xc2 && lead < 0xe0 ? 2
                    : lead >= 0xe0 && lead < 0xf0 ? 3
                    : lead >= 0xf0 && lead < 0xf5 ? 4
                                                  : 0;
    bool valid = length > 0 && i + length <= bytes.size();
    for (size_t j = 1; valid && j < length; ++j) {
      valid = (static_cast<unsigned char>(bytes[i + j]) & 0xc0) == 0x80;
    }
    if (!valid) length = 1;
    if (i + length > max_bytes) break;
    if (!valid || (length == 1 && (lead < 0x20 || lead == 0x7f))) {
      out.push_back('?');
    } else {
      out.append(bytes.substr(i, length));
    }
    i += length;
  }
  if (i < bytes.size()) out.append("…");
  return out;
}

}  // namespace marble::format
