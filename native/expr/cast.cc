#include "expr/cast.h"

#include <arrow/api.h>
#include <arrow/compute/api.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "expr/column_builder.h"
#include "expr/date_time.h"

namespace marble::expr {

using arrow::Type;

namespace {

enum class Family {
  kBool,
  kInt,
  kFloat,
  kDecimal,
  kText,
  kBinary,
  kDate,
  kTime,
  kTimestamp,
  kDuration,
  kMonths,
  kOther
};

Family FamilyOf(const arrow::DataType& type) {
  switch (type.id()) {
    case Type::BOOL:
      return Family::kBool;
    case Type::INT8:
    case Type::INT16:
    case Type::INT32:
    case Type::INT64:
      return Family::kInt;
    case Type::FLOAT:
    case Type::DOUBLE:
      return Family::kFloat;
    case Type::DECIMAL128:
      return Family::kDecimal;
    case Type::STRING:
      return Family::kText;
    case Type::BINARY:
      return Family::kBinary;
    case Type::DATE32:
      return Family::kDate;
    case Type::TIME32:
      return Family::kTime;
    case Type::TIMESTAMP:
      return Family::kTimestamp;
    case Type::DURATION:
      return Family::kDuration;
    case Type::INTERVAL_MONTHS:
      return Family::kMonths;
    default:
      return Family::kOther;
  }
}

bool IsNumber(Family family) {
  return family == Family::kInt || family == Family::kFloat || family == Family::kDecimal;
}

std::string_view Trim(std::string_view text) {
  auto space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

template <typename C>
bool ParseInteger(std::string_view text, C* out) {
  if (!text.empty() && text[0] == '+') {
    text.remove_prefix(1);
    if (!text.empty() && text[0] == '-') return false;
  }
  // A fraction is checked and cut off, as Flink does.
  const size_t dot = text.find('.');
  if (dot != std::string_view::npos) {
    const auto fraction = text.substr(dot + 1);
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!std::all_of(fraction.begin(), fraction.end(), digit)) return false;
    text = text.substr(0, dot);
    if (text.empty() || text == "-") {
      *out = 0;
      return !fraction.empty();
    }
  }
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

template <typename C>
bool ParseFloating(std::string_view text, C* out) {
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "NaN") {
    *out = std::numeric_limits<C>::quiet_NaN();
    return true;
  }
  if (text == "Infinity") {
    *out = negative ? -std::numeric_limits<C>::infinity() : std::numeric_limits<C>::infinity();
    return true;
  }
  if (text.empty() || !((text[0] >= '0' && text[0] <= '9') || text[0] == '.')) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  if (end != text.data() + text.size()) return false;
  if (error == std::errc::result_out_of_range) {
    // Java: too large is infinite, too small is zero.
    *out = static_cast<C>(std::strtod(std::string(text).c_str(), nullptr));
  } else if (error != std::errc()) {
    return false;
  }
  if (negative) *out = -*out;
  return true;
}

bool ParseBoolean(std::string_view text, bool* out) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  for (auto word : {"t", "true", "y", "yes", "1"}) {
    if (lower == word) {
      *out = true;
      return true;
    }
  }
  for (auto word : {"f", "false", "n", "no", "0"}) {
    if (lower == word) {
      *out = false;
      return true;
    }
  }
  return false;
}

/// Scale with HALF_UP, NULL when it does not fit.
bool RescaleDecimal(arrow::Decimal128 value, int32_t from, int32_t to, int32_t precision,
                    arrow::Decimal128* out) {
  if (to < from) {
    *out = value.ReduceScaleBy(from - to, true);
  } else {
    auto scaled = value.Rescale(from, to);
    if (!scaled.ok()) return false;
    *out = *scaled;
  }
  return out->FitsInPrecision(precision);
}

template <typename C, typename D>
C JavaTruncate(D value) {
  if (std::isnan(value)) return 0;
  // Java narrows byte and short through int.
  using Wide = std::conditional_t<(sizeof(C) < 4), int32_t, C>;
  Wide wide;
  if (value >= static_cast<D>(std::numeric_limits<Wide>::max())) {
    wide = std::numeric_limits<Wide>::max();
  } else if (value <= static_cast<D>(std::numeric_limits<Wide>::min())) {
    wide = std::numeric_limits<Wide>::min();
  } else {
    wide = static_cast<Wide>(value);
  }
  return static_cast<C>(wide);
}

template <typename F>
Result<std::shared_ptr<arrow::Array>> DispatchInt(const arrow::DataType& type, F&& f) {
  switch (type.id()) {
    case Type::INT8:
      return f(int8_t{});
    case Type::INT16:
      return f(int16_t{});
    case Type::INT32:
      return f(int32_t{});
    default:
      return f(int64_t{});
  }
}

Result<std::shared_ptr<arrow::Array>> ArrowCast(const std::shared_ptr<arrow::Array>& array,
                                                const std::shared_ptr<arrow::DataType>& to) {
  MARBLE_ASSIGN_OR_RETURN(auto result,
                          arrow::compute::Cast(array, arrow::compute::CastOptions::Unsafe(to)));
  return result.make_array();
}

Status BadText(std::string_view text, const arrow::DataType& to) {
  std::string shown(text.substr(0, 100));
  return MakeError(ErrorCode::kInvalidArgument, "CAST: '" + shown + "' is no " + to.ToString() +
                                                    "; TRY_CAST gives NULL instead");
}

/// Parse every text with `parse(text, C*)`.
template <typename C, typename F>
Result<std::shared_ptr<arrow::Array>> FromText(const arrow::StringArray& array,
                                               const std::shared_ptr<arrow::DataType>& to,
                                               bool try_cast, F&& parse) {
  int64_t bad = -1;
  auto value = [&](int64_t i, C* out) {
    if (array.IsNull(i)) return false;
    if (parse(Trim(array.GetView(i)), out)) return true;
    if (bad < 0) bad = i;
    return false;
  };
  std::shared_ptr<arrow::Array> result;
  if constexpr (std::is_same_v<C, bool>) {
    MARBLE_ASSIGN_OR_RETURN(result, BuildBoolean(array.length(), value));
  } else {
    MARBLE_ASSIGN_OR_RETURN(result, BuildFixed<C>(to, array.length(), value));
  }
  if (bad >= 0 && !try_cast) return BadText(array.GetView(bad), *to);
  return result;
}

Result<std::shared_ptr<arrow::Array>> CastFromText(const arrow::StringArray& array,
                                                   const std::shared_ptr<arrow::DataType>& to,
                                                   bool try_cast) {
  switch (FamilyOf(*to)) {
    case Family::kInt:
      return DispatchInt(*to, [&](auto zero) {
        using C = decltype(zero);
        return FromText<C>(array, to, try_cast,
                           [](std::string_view text, C* out) { return ParseInteger(text, out); });
      });
    case Family::kFloat:
      if (to->id() == Type::FLOAT) {
        return FromText<float>(array, to, try_cast, ParseFloating<float>);
      }
      return FromText<double>(array, to, try_cast, ParseFloating<double>);
    case Family::kBool:
      return FromText<bool>(array, to, try_cast, ParseBoolean);
    case Family::kDate:
      return FromText<int32_t>(array, to, try_cast, [](std::string_view text, int32_t* out) {
        int64_t days;
        if (!ParseDate(text, &days)) return false;
        *out = static_cast<int32_t>(days);
        return true;
      });
    case Family::kTime:
      return FromText<int32_t>(array, to, try_cast, [](std::string_view text, int32_t* out) {
        int64_t nanos;
        if (!ParseTime(text, &nanos)) return false;
        *out = static_cast<int32_t>(nanos / 1'000'000);
        return true;
      });
    case Family::kTimestamp: {
      const int64_t ticks = TicksPerSecond(static_cast<const arrow::TimestampType&>(*to).unit());
      return FromText<int64_t>(array, to, try_cast, [ticks](std::string_view text, int64_t* out) {
        Moment moment;
        if (!ParseSqlTimestamp(text, &moment)) return false;
        int64_t scaled;
        if (__builtin_mul_overflow(moment.seconds, ticks, &scaled)) return false;
        *out = scaled + moment.nanos / (1'000'000'000 / ticks);
        return true;
      });
    }
    case Family::kDecimal: {
      const auto& type = static_cast<const arrow::Decimal128Type&>(*to);
      // Text that is no number fails; a number that does not fit is NULL.
      int64_t bad = -1;
      MARBLE_ASSIGN_OR_RETURN(
          auto result,
          BuildFixed<arrow::Decimal128>(to, array.length(), [&](int64_t i, arrow::Decimal128* out) {
            if (array.IsNull(i)) return false;
            arrow::Decimal128 value;
            int32_t precision, scale;
            if (!arrow::Decimal128::FromString(Trim(array.GetView(i)), &value, &precision, &scale)
                     .ok()) {
              if (bad < 0) bad = i;
              return false;
            }
            return RescaleDecimal(value, scale, type.scale(), type.precision(), out);
          }));
      if (bad >= 0 && !try_cast) return BadText(array.GetView(bad), *to);
      return result;
    }
    default:
      break;
  }
  return MakeError(ErrorCode::kInternal, "cast of text without a rule");
}

/// Write every value with `append(row, string*)`.
template <typename F>
Result<std::shared_ptr<arrow::Array>> ToText(const arrow::Array& array, F&& append) {
  arrow::StringBuilder builder;
  MARBLE_RETURN_NOT_OK(builder.Reserve(array.length()));
  std::string text;
  for (int64_t i = 0; i < array.length(); ++i) {
    if (array.IsNull(i)) {
      builder.UnsafeAppendNull();
      continue;
    }
    text.clear();
    append(i, &text);
    MARBLE_RETURN_NOT_OK(builder.Append(text));
  }
  return builder.Finish();
}

int FractionDigits(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return 0;
    case arrow::TimeUnit::MILLI:
      return 3;
    case arrow::TimeUnit::MICRO:
      return 6;
    default:
      return 9;
  }
}

Result<std::shared_ptr<arrow::Array>> CastToText(const arrow::Array& array) {
  switch (array.type_id()) {
    case Type::BOOL:
      return ToText(array, [&](int64_t i, std::string* out) {
        *out = static_cast<const arrow::BooleanArray&>(array).Value(i) ? "TRUE" : "FALSE";
      });
    case Type::INT8:
    case Type::INT16:
    case Type::INT32:
    case Type::INT64:
      return DispatchInt(*array.type(), [&](auto zero) {
        using C = decltype(zero);
        using ArrayType = arrow::NumericArray<typename arrow::CTypeTraits<C>::ArrowType>;
        const auto* values = static_cast<const ArrayType&>(array).raw_values();
        return ToText(array, [values](int64_t i, std::string* out) {
          *out = std::to_string(static_cast<int64_t>(values[i]));
        });
      });
    case Type::FLOAT:
      return ToText(array, [&](int64_t i, std::string* out) {
        AppendJavaFloat(static_cast<const arrow::FloatArray&>(array).Value(i), out);
      });
    case Type::DOUBLE:
      return ToText(array, [&](int64_t i, std::string* out) {
        AppendJavaDouble(static_cast<const arrow::DoubleArray&>(array).Value(i), out);
      });
    case Type::DECIMAL128: {
      const int32_t scale = static_cast<const arrow::Decimal128Type&>(*array.type()).scale();
      return ToText(array, [&, scale](int64_t i, std::string* out) {
        const arrow::Decimal128 value(static_cast<const arrow::Decimal128Array&>(array).Value(i));
        // ToString would write an exponent for small numbers.
        std::string digits = arrow::Decimal128(value.Abs(value)).ToIntegerString();
        if (value.IsNegative()) out->push_back('-');
        if (scale > 0) {
          if (digits.size() <= static_cast<size_t>(scale)) {
            digits.insert(0, static_cast<size_t>(scale) + 1 - digits.size(), '0');
          }
          digits.insert(digits.size() - static_cast<size_t>(scale), ".");
        }
        out->append(digits);
      });
    }
    case Type::DATE32:
      return ToText(array, [&](int64_t i, std::string* out) {
        AppendDate(static_cast<const arrow::Date32Array&>(array).Value(i), out);
      });
    case Type::TIME32:
      return ToText(array, [&](int64_t i, std::string* out) {
        AppendTime(static_cast<const arrow::Time32Array&>(array).Value(i) * int64_t{1'000'000}, 3,
                   out);
      });
    case Type::TIMESTAMP: {
      const auto unit = static_cast<const arrow::TimestampType&>(*array.type()).unit();
      const int64_t ticks = TicksPerSecond(unit);
      const int digits = FractionDigits(unit);
      return ToText(array, [&, ticks, digits](int64_t i, std::string* out) {
        const int64_t value = static_cast<const arrow::TimestampArray&>(array).Value(i);
        const int64_t seconds = FloorDiv(value, ticks);
        const int64_t days = FloorDiv(seconds, 86400);
        AppendDate(days, out);
        out->push_back(' ');
        AppendTime((seconds - days * 86400) * 1'000'000'000 +
                       (value - seconds * ticks) * (1'000'000'000 / ticks),
                   digits, out);
      });
    }
    default:
      break;
  }
  return MakeError(ErrorCode::kInternal, "cast to text without a rule");
}

Result<std::shared_ptr<arrow::Array>> CastToDecimal(const arrow::Array& array,
                                                    const std::shared_ptr<arrow::DataType>& to) {
  const auto& type = static_cast<const arrow::Decimal128Type&>(*to);
  const int32_t scale = type.scale(), precision = type.precision();
  switch (FamilyOf(*array.type())) {
    case Family::kInt:
      return DispatchInt(*array.type(), [&](auto zero) {
        using C = decltype(zero);
        using ArrayType = arrow::NumericArray<typename arrow::CTypeTraits<C>::ArrowType>;
        const auto& values = static_cast<const ArrayType&>(array);
        return BuildFixed<arrow::Decimal128>(
            to, array.length(), [&](int64_t i, arrow::Decimal128* out) {
              return !values.IsNull(i) &&
                     RescaleDecimal(arrow::Decimal128(static_cast<int64_t>(values.Value(i))), 0,
                                    scale, precision, out);
            });
      });
    case Family::kFloat:
      return BuildFixed<arrow::Decimal128>(
          to, array.length(), [&](int64_t i, arrow::Decimal128* out) {
            if (array.IsNull(i)) return false;
            // Through the shortest text, as Java's BigDecimal.valueOf: 1.005 is 1.005.
            std::string text;
            if (array.type_id() == Type::FLOAT) {
              AppendJavaFloat(static_cast<const arrow::FloatArray&>(array).Value(i), &text);
            } else {
              AppendJavaDouble(static_cast<const arrow::DoubleArray&>(array).Value(i), &text);
            }
            arrow::Decimal128 value;
            int32_t parsed_precision, parsed_scale;
            return arrow::Decimal128::FromString(text, &value, &parsed_precision, &parsed_scale)
                       .ok() &&
                   RescaleDecimal(value, parsed_scale, scale, precision, out);
          });
    case Family::kDecimal: {
      const int32_t from = static_cast<const arrow::Decimal128Type&>(*array.type()).scale();
      const auto& values = static_cast<const arrow::Decimal128Array&>(array);
      return BuildFixed<arrow::Decimal128>(
          to, array.length(), [&](int64_t i, arrow::Decimal128* out) {
            return !values.IsNull(i) &&
                   RescaleDecimal(arrow::Decimal128(values.Value(i)), from, scale, precision, out);
          });
    }
    default: {  // bool
      const auto& values = static_cast<const arrow::BooleanArray&>(array);
      return BuildFixed<arrow::Decimal128>(
          to, array.length(), [&](int64_t i, arrow::Decimal128* out) {
            return !values.IsNull(i) && RescaleDecimal(arrow::Decimal128(values.Value(i) ? 1 : 0),
                                                       0, scale, precision, out);
          });
    }
  }
}

Result<std::shared_ptr<arrow::Array>> CastFromDecimal(const arrow::Decimal128Array& array,
                                                      const std::shared_ptr<arrow::DataType>& to) {
  const int32_t scale = static_cast<const arrow::Decimal128Type&>(*array.type()).scale();
  if (to->id() == Type::BOOL) {
    return BuildBoolean(array.length(), [&](int64_t i, bool* out) {
      if (array.IsNull(i)) return false;
      *out = arrow::Decimal128(array.Value(i)) != arrow::Decimal128(0);
      return true;
    });
  }
  if (FamilyOf(*to) == Family::kFloat) {
    const bool single = to->id() == Type::FLOAT;
    auto value = [&](int64_t i) { return arrow::Decimal128(array.Value(i)).ToDouble(scale); };
    if (single) {
      return BuildFixed<float>(to, array.length(), [&](int64_t i, float* out) {
        if (array.IsNull(i)) return false;
        *out = static_cast<float>(value(i));
        return true;
      });
    }
    return BuildFixed<double>(to, array.length(), [&](int64_t i, double* out) {
      if (array.IsNull(i)) return false;
      *out = value(i);
      return true;
    });
  }
  return DispatchInt(*to, [&](auto zero) {
    using C = decltype(zero);
    return BuildFixed<C>(to, array.length(), [&](int64_t i, C* out) {
      if (array.IsNull(i)) return false;
      const arrow::Decimal128 whole(arrow::Decimal128(array.Value(i)).ReduceScaleBy(scale, false));
      *out = static_cast<C>(whole.low_bits());
      return true;
    });
  });
}

Result<std::shared_ptr<arrow::Array>> CastTimestamp(const std::shared_ptr<arrow::Array>& array,
                                                    const std::shared_ptr<arrow::DataType>& to) {
  const auto& values = static_cast<const arrow::TimestampArray&>(*array);
  const int64_t from =
      TicksPerSecond(static_cast<const arrow::TimestampType&>(*array->type()).unit());
  switch (FamilyOf(*to)) {
    case Family::kTimestamp: {
      const int64_t ticks = TicksPerSecond(static_cast<const arrow::TimestampType&>(*to).unit());
      if (ticks == from) return array->View(to);
      return BuildFixed<int64_t>(to, array->length(), [&](int64_t i, int64_t* out) {
        if (values.IsNull(i)) return false;
        if (ticks < from) {
          *out = FloorDiv(values.Value(i), from / ticks);
          return true;
        }
        return !__builtin_mul_overflow(values.Value(i), ticks / from, out);
      });
    }
    case Family::kDate:
      return BuildFixed<int32_t>(to, array->length(), [&](int64_t i, int32_t* out) {
        if (values.IsNull(i)) return false;
        *out = static_cast<int32_t>(FloorDiv(values.Value(i), from * 86400));
        return true;
      });
    default:  // time
      return BuildFixed<int32_t>(to, array->length(), [&](int64_t i, int32_t* out) {
        if (values.IsNull(i)) return false;
        const int64_t value = values.Value(i);
        const int64_t of_day = value - FloorDiv(value, from * 86400) * from * 86400;
        *out = static_cast<int32_t>(from >= 1000 ? of_day / (from / 1000) : of_day * 1000);
        return true;
      });
  }
}

template <typename C>
void AppendJava(C value, std::string* out) {
  if (std::isnan(value)) {
    out->append("NaN");
    return;
  }
  if (std::signbit(value)) out->push_back('-');
  value = std::abs(value);
  if (std::isinf(value)) {
    out->append("Infinity");
    return;
  }
  if (value == 0) {
    out->append("0.0");
    return;
  }
  char buffer[64];
  if (value >= static_cast<C>(1e-3) && value < static_cast<C>(1e7)) {
    auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed).ptr;
    std::string_view text(buffer, static_cast<size_t>(end - buffer));
    out->append(text);
    if (text.find('.') == std::string_view::npos) out->append(".0");
    return;
  }
  auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  const auto mantissa = text.substr(0, e);
  out->append(mantissa);
  if (mantissa.find('.') == std::string_view::npos) out->append(".0");
  int exponent = 0;
  auto digits = text.substr(e + 1);
  if (digits[0] == '+') digits.remove_prefix(1);
  std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
  out->append("E").append(std::to_string(exponent));
}

}  // namespace

void AppendJavaDouble(double value, std::string* out) { AppendJava(value, out); }
void AppendJavaFloat(float value, std::string* out) { AppendJava(value, out); }

int64_t TicksPerSecond(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return 1;
    case arrow::TimeUnit::MILLI:
      return 1'000;
    case arrow::TimeUnit::MICRO:
      return 1'000'000;
    default:
      return 1'000'000'000;
  }
}

/// Types that tables may have and SQL has no name for, to those that hold all their values.
static bool IsForeignCast(const arrow::DataType& from, const arrow::DataType& to) {
  const Family family = FamilyOf(to);
  switch (from.id()) {
    case Type::UINT8:
    case Type::UINT16:
    case Type::UINT32:
      return IsNumber(family) && (family != Family::kInt || to.bit_width() > from.bit_width());
    case Type::UINT64:
      return family == Family::kDecimal || family == Family::kFloat;
    case Type::LARGE_STRING:
      return family == Family::kText;
    case Type::LARGE_BINARY:
      return family == Family::kBinary;
    default:
      return false;
  }
}

Status CheckCast(const arrow::DataType& from, const arrow::DataType& to) {
  if (from.Equals(to) || from.id() == Type::NA || IsForeignCast(from, to)) return Status::OK();
  const Family a = FamilyOf(from), b = FamilyOf(to);
  auto numeric = [](Family family) { return IsNumber(family) || family == Family::kBool; };
  bool known = numeric(a) && numeric(b);
  if (a == Family::kText) {
    known = numeric(b) || b == Family::kDate || b == Family::kTime || b == Family::kTimestamp ||
            b == Family::kBinary;
  } else if (b == Family::kText) {
    known = numeric(a) || a == Family::kDate || a == Family::kTime || a == Family::kTimestamp ||
            a == Family::kBinary;
  } else if (a == Family::kTimestamp) {
    known = b == Family::kTimestamp || b == Family::kDate || b == Family::kTime;
  } else if (a == Family::kDate) {
    known = b == Family::kTimestamp;
  } else if (a == Family::kDuration) {
    known = b == Family::kDuration;
  }
  if (known) return Status::OK();
  return MakeError(ErrorCode::kNotSupported,
                   "CAST from " + from.ToString() + " to " + to.ToString() + " is not supported");
}

Result<std::shared_ptr<arrow::Array>> CastArray(const std::shared_ptr<arrow::Array>& array,
                                                const std::shared_ptr<arrow::DataType>& to,
                                                bool try_cast) {
  const auto& from = *array->type();
  if (from.Equals(*to)) return array;
  if (from.id() == Type::NA) return arrow::MakeArrayOfNull(to, array->length());
  MARBLE_RETURN_NOT_OK(CheckCast(from, *to));
  if (IsForeignCast(from, *to)) return ArrowCast(array, to);
  const Family a = FamilyOf(from), b = FamilyOf(*to);
  if (a == Family::kText) {
    if (b == Family::kBinary) return array->View(to);
    return CastFromText(static_cast<const arrow::StringArray&>(*array), to, try_cast);
  }
  if (b == Family::kText) {
    if (a == Family::kBinary) return ArrowCast(array, to);
    return CastToText(*array);
  }
  if (b == Family::kDecimal) return CastToDecimal(*array, to);
  if (a == Family::kDecimal) {
    return CastFromDecimal(static_cast<const arrow::Decimal128Array&>(*array), to);
  }
  if (a == Family::kFloat && b == Family::kInt) {
    auto run = [&](const auto& values) {
      return DispatchInt(*to, [&](auto zero) {
        using C = decltype(zero);
        return BuildFixed<C>(to, values.length(), [&](int64_t i, C* out) {
          if (values.IsNull(i)) return false;
          *out = JavaTruncate<C>(values.Value(i));
          return true;
        });
      });
    };
    if (from.id() == Type::FLOAT) return run(static_cast<const arrow::FloatArray&>(*array));
    return run(static_cast<const arrow::DoubleArray&>(*array));
  }
  if (a == Family::kTimestamp) return CastTimestamp(array, to);
  if (a == Family::kDate) {
    const int64_t ticks = TicksPerSecond(static_cast<const arrow::TimestampType&>(*to).unit());
    const auto& values = static_cast<const arrow::Date32Array&>(*array);
    return BuildFixed<int64_t>(to, array->length(), [&](int64_t i, int64_t* out) {
      return !values.IsNull(i) &&
             !__builtin_mul_overflow(int64_t{values.Value(i)} * 86400, ticks, out);
    });
  }
  // int → int wraps, int → float, float → float, number ↔ bool, duration → duration.
  return ArrowCast(array, to);
}

}  // namespace marble::expr
