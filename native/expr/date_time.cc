#include "expr/date_time.h"

#include <algorithm>

namespace marble::expr {

int64_t DaysFromCivil(int64_t year, unsigned month, unsigned day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const unsigned yoe = static_cast<unsigned>(year - era * 400);
  const unsigned doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + static_cast<int64_t>(doe) - 719468;
}

Civil CivilFromDays(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const unsigned doe = static_cast<unsigned>(days - era * 146097);
  const unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const unsigned mp = (5 * doy + 2) / 153;
  const unsigned month = mp < 10 ? mp + 3 : mp - 9;
  return {static_cast<int64_t>(yoe) + era * 400 + (month <= 2), month,
          doy - (153 * mp + 2) / 5 + 1};
}

unsigned DaysInMonth(int64_t year, unsigned month) {
  static constexpr unsigned kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

namespace {

void AppendPadded(int64_t value, int width, std::string* out) {
  char buffer[24];
  int at = sizeof(buffer);
  bool negative = value < 0;
  uint64_t rest = negative ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  do {
    buffer[--at] = static_cast<char>('0' + rest % 10);
    rest /= 10;
    --width;
  } while (rest > 0);
  while (width-- > 0) buffer[--at] = '0';
  if (negative) buffer[--at] = '-';
  out->append(buffer + at, sizeof(buffer) - at);
}

/// Read between `least` and `most` digits; false without enough of them.
inline bool Digits(const char** at, const char* end, int least, int most, int64_t* value) {
  int64_t number = 0;
  int count = 0;
  while (count < most && *at < end && **at >= '0' && **at <= '9') {
    number = number * 10 + (**at - '0');
    ++*at;
    ++count;
  }
  *value = number;
  return count >= least;
}

inline bool ValidDate(int64_t year, int64_t month, int64_t day) {
  return year >= 1 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 &&
         (day <= 28 || day <= DaysInMonth(year, static_cast<unsigned>(month)));
}

bool ParseDatePrefix(const char** at, const char* end, int64_t* days) {
  int64_t year, month, day;
  if (!Digits(at, end, 4, 4, &year) || *at == end || *(*at)++ != '-') return false;
  if (!Digits(at, end, 1, 2, &month) || *at == end || *(*at)++ != '-') return false;
  if (!Digits(at, end, 1, 2, &day) || !ValidDate(year, month, day)) return false;
  *days = DaysFromCivil(year, static_cast<unsigned>(month), static_cast<unsigned>(day));
  return true;
}

constexpr int64_t kPowersOfTen[] = {1,      10,      100,      1000,      10000,
                                    100000, 1000000, 10000000, 100000000, 1000000000};

}  // namespace

void AppendDate(int64_t days, std::string* out) {
  const Civil civil = CivilFromDays(days);
  AppendPadded(civil.year, 4, out);
  out->push_back('-');
  AppendPadded(civil.month, 2, out);
  out->push_back('-');
  AppendPadded(civil.day, 2, out);
}

void AppendTime(int64_t nanos_of_day, int digits, std::string* out) {
  const int64_t seconds = nanos_of_day / 1'000'000'000;
  AppendPadded(seconds / 3600, 2, out);
  out->push_back(':');
  AppendPadded(seconds / 60 % 60, 2, out);
  out->push_back(':');
  AppendPadded(seconds % 60, 2, out);
  if (digits > 0) {
    out->push_back('.');
    AppendPadded(nanos_of_day % 1'000'000'000 / kPowersOfTen[9 - digits], digits, out);
  }
}

bool ParseDate(std::string_view text, int64_t* days) {
  const char* at = text.data();
  const char* end = at + text.size();
  return ParseDatePrefix(&at, end, days) && at == end;
}

bool ParseTime(std::string_view text, int64_t* nanos_of_day) {
  const char* at = text.data();
  const char* end = at + text.size();
  int64_t hour, minute, second = 0, nanos = 0;
  if (!Digits(&at, end, 1, 2, &hour) || at == end || *at++ != ':') return false;
  if (!Digits(&at, end, 1, 2, &minute)) return false;
  if (at < end) {
    if (*at++ != ':' || !Digits(&at, end, 1, 2, &second)) return false;
    if (at < end) {
      if (*at++ != '.') return false;
      const char* start = at;
      if (!Digits(&at, end, 1, 9, &nanos)) return false;
      nanos *= kPowersOfTen[9 - (at - start)];
    }
  }
  if (at != end || hour > 23 || minute > 59 || second > 59) return false;
  *nanos_of_day = (hour * 3600 + minute * 60 + second) * 1'000'000'000 + nanos;
  return true;
}

bool ParseSqlTimestamp(std::string_view text, Moment* moment) {
  const char* at = text.data();
  const char* end = at + text.size();
  int64_t days, nanos = 0;
  if (!ParseDatePrefix(&at, end, &days)) return false;
  if (at < end) {
    if (*at != ' ' && *at != 'T') return false;
    ++at;
    if (!ParseTime({at, static_cast<size_t>(end - at)}, &nanos)) return false;
  }
  moment->seconds = days * 86400 + nanos / 1'000'000'000;
  moment->nanos = static_cast<int32_t>(nanos % 1'000'000'000);
  return true;
}

Result<DateTimePattern> DateTimePattern::Compile(std::string_view pattern) {
  DateTimePattern compiled;
  auto literal = [&](char c) {
    if (compiled.parts_.empty() || compiled.parts_.back().letter != 0) {
      compiled.parts_.emplace_back();
    }
    compiled.parts_.back().text.push_back(c);
  };
  auto fail = [&](std::string_view what, std::string_view problem) {
    std::string message = "Date pattern '";
    message.append(pattern).append("': ").append(what).append(problem);
    message.append("; supported are yyyy, yy, y, MM, M, dd, d, HH, H, mm, m, ss, s, S to ");
    message.append("SSSSSSSSS and quoted text");
    return MakeError(ErrorCode::kPlan, std::move(message));
  };
  for (size_t i = 0; i < pattern.size();) {
    const char c = pattern[i];
    if (c == '\'') {
      size_t close = i + 1;
      if (close < pattern.size() && pattern[close] == '\'') {
        literal('\'');
        i += 2;
        continue;
      }
      while (true) {
        if (close >= pattern.size()) return fail("a quote", " is not closed");
        if (pattern[close] == '\'') {
          if (close + 1 >= pattern.size() || pattern[close + 1] != '\'') break;
          ++close;
        }
        literal(pattern[close++]);
      }
      i = close + 1;
      continue;
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      size_t count = 1;
      while (i + count < pattern.size() && pattern[i + count] == c) ++count;
      const bool known =
          (c == 'y' && (count == 4 || count == 2 || count == 1)) || (c == 'S' && count <= 9) ||
          (std::string_view("MdHms").find(c) != std::string_view::npos && count <= 2);
      if (!known) return fail(pattern.substr(i, count), " is not supported");
      compiled.parts_.emplace_back();
      compiled.parts_.back().letter = c;
      compiled.parts_.back().width = static_cast<uint8_t>(count);
      i += count;
      continue;
    }
    if (std::string_view("[]{}#").find(c) != std::string_view::npos) {
      return fail(pattern.substr(i, 1), " is not supported");
    }
    literal(c);
    ++i;
  }
  size_t length = 0;
  for (const auto& part : compiled.parts_) {
    if (part.letter == 0) {
      length += part.text.size();
    } else if (part.width == 1 && part.letter != 'S') {
      length = 0;
      break;
    } else {
      length += part.width;
    }
  }
  compiled.fixed_length_ = length;
  return compiled;
}

bool DateTimePattern::Parse(std::string_view text, Moment* moment) const {
  if (fixed_length_ != 0 && text.size() != fixed_length_) return false;
  const char* at = text.data();
  const char* end = at + text.size();
  int64_t year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0, nanos = 0;
  for (const auto& part : parts_) {
    int64_t value = 0;
    switch (part.letter) {
      case 0:
        if (static_cast<size_t>(end - at) < part.text.size() ||
            !std::equal(part.text.begin(), part.text.end(), at)) {
          return false;
        }
        at += part.text.size();
        continue;
      case 'y':
        if (!Digits(&at, end, part.width, part.width == 1 ? 4 : part.width, &value)) return false;
        year = part.width == 2 ? 2000 + value : value;
        continue;
      case 'S':
        if (!Digits(&at, end, part.width, part.width, &value)) return false;
        nanos = value * kPowersOfTen[9 - part.width];
        continue;
      default:
        if (!Digits(&at, end, part.width, 2, &value)) return false;
    }
    switch (part.letter) {
      case 'M':
        month = value;
        break;
      case 'd':
        day = value;
        break;
      case 'H':
        hour = value;
        break;
      case 'm':
        minute = value;
        break;
      default:
        second = value;
        break;
    }
  }
  if (at != end || !ValidDate(year, month, day) || hour > 23 || minute > 59 || second > 59) {
    return false;
  }
  moment->seconds =
      DaysFromCivil(year, static_cast<unsigned>(month), static_cast<unsigned>(day)) * 86400 +
      hour * 3600 + minute * 60 + second;
  moment->nanos = static_cast<int32_t>(nanos);
  return true;
}

void DateTimePattern::Format(const Moment& moment, std::string* out) const {
  const int64_t days = FloorDiv(moment.seconds, 86400);
  const int64_t of_day = moment.seconds - days * 86400;
  const Civil civil = CivilFromDays(days);
  for (const auto& part : parts_) {
    switch (part.letter) {
      case 0:
        out->append(part.text);
        break;
      case 'y':
        AppendPadded(part.width == 2 ? civil.year % 100 : civil.year, part.width, out);
        break;
      case 'M':
        AppendPadded(civil.month, part.width, out);
        break;
      case 'd':
        AppendPadded(civil.day, part.width, out);
        break;
      case 'H':
        AppendPadded(of_day / 3600, part.width, out);
        break;
      case 'm':
        AppendPadded(of_day / 60 % 60, part.width, out);
        break;
      case 's':
        AppendPadded(of_day % 60, part.width, out);
        break;
      default:
        AppendPadded(moment.nanos / kPowersOfTen[9 - part.width], part.width, out);
        break;
    }
  }
}

}  // namespace marble::expr
