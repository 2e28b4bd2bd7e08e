// Calendar arithmetic (proleptic Gregorian, UTC) and Java's DateTimeFormatter patterns, compiled
// once and run row by row without allocation. Years 0001 to 9999.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace marble::expr {

/// Days since 1970-01-01.
int64_t DaysFromCivil(int64_t year, unsigned month, unsigned day);
struct Civil {
  int64_t year;
  unsigned month, day;
};
Civil CivilFromDays(int64_t days);
unsigned DaysInMonth(int64_t year, unsigned month);

inline int64_t FloorDiv(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

/// A moment as whole seconds since the epoch and nanoseconds within the second.
struct Moment {
  int64_t seconds = 0;
  int32_t nanos = 0;
};

/// Format 'yyyy-MM-dd'.
void AppendDate(int64_t days, std::string* out);
/// Format 'HH:mm:ss' and, with digits > 0, '.fraction'.
void AppendTime(int64_t nanos_of_day, int digits, std::string* out);
/// Parse 'yyyy-MM-dd' (one or two digits of month and day). The whole text must match.
bool ParseDate(std::string_view text, int64_t* days);
/// Parse 'HH:mm[:ss[.fraction]]'.
bool ParseTime(std::string_view text, int64_t* nanos_of_day);
/// Parse a date, a space or 'T', and a time; or a date alone.
bool ParseSqlTimestamp(std::string_view text, Moment* moment);

/// The letters y M d H m s S and literals of a DateTimeFormatter pattern.
class DateTimePattern {
 public:
  /// kPlan names a letter or width that is not supported.
  static Result<DateTimePattern> Compile(std::string_view pattern);

  /// False where the text does not match the pattern as a whole or names no moment.
  bool Parse(std::string_view text, Moment* moment) const;
  void Format(const Moment& moment, std::string* out) const;

 private:
  struct Part {
    char letter = 0;    // 0: literal
    uint8_t width = 0;  // letters; for 'y' 4 digits, 2 digits or 1 to 4 digits
    std::string text;   // literal
  };
  std::vector<Part> parts_;
  size_t fixed_length_ = 0;  // of texts when no part varies; 0: varies
};

}  // namespace marble::expr
