// Values written as text, as Flink reads them: integers, decimals, dates, times, timestamps,
// base64. Used by every text format (JSON strings, CSV fields). No locale, no allocation but for
// DecodeBase64. Pure functions, any thread.
#pragma once

#include <arrow/type_fwd.h>
#include <arrow/util/decimal.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace marble::format {

enum class TextError { kNone, kMalformed, kOutOfRange };

/// Strip blanks at both ends, as Java's trim() does.
std::string_view Trim(std::string_view text);

/// True for exactly one number of JSON's grammar.
bool IsJsonNumber(std::string_view text);

/// "[+-]digits". A fraction or an exponent is taken when the value is integral ("1.0", "1e3").
TextError ParseInt64(std::string_view text, int64_t* value);
/// A decimal or exponent form, "NaN", "Infinity", "-Infinity".
TextError ParseDouble(std::string_view text, double* value);
/// Exact; digits beyond `scale` are rounded half up (away from zero at the half).
TextError ParseDecimal(std::string_view text, int32_t precision, int32_t scale,
                       arrow::Decimal128* value);
/// "yyyy-MM-dd" → days since 1970-01-01.
TextError ParseDate(std::string_view text, int32_t* days);
/// "HH:mm[:ss[.fraction]]" with up to 9 digits of fraction.
TextError ParseTime(std::string_view text, int64_t* nanos_of_day);

struct TimestampText {
  /// Between date and time: ' ' (Flink's 'SQL') or 'T' ('ISO-8601').
  char separator = ' ';
  /// A zone must follow ('Z' or ±HH:mm): a timestamp with local time zone. Else none may.
  bool zoned = false;
  arrow::TimeUnit::type unit = arrow::TimeUnit::MILLI;
};
/// Digits finer than the unit are cut off, as Flink does.
TextError ParseTimestamp(std::string_view text, const TimestampText& form, int64_t* value);

/// RFC 4648 with padding.
TextError DecodeBase64(std::string_view text, std::string* bytes);

/// Units of `unit` in a second.
int64_t UnitsPerSecond(arrow::TimeUnit::type unit);

/// At most `max_bytes` of `bytes` for an error message: cut between characters, control and
/// invalid bytes shown as '?', "…" behind what was cut.
std::string Excerpt(std::string_view bytes, size_t max_bytes = 80);

}  // namespace marble::format
