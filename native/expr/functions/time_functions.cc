// Dates and times. Everything is UTC; TIMESTAMP keeps the unit of its type.
#include <arrow/api.h>
#include <arrow/compute/api.h>

#include "expr/cast.h"
#include "expr/column_builder.h"
#include "expr/date_time.h"
#include "expr/functions/function.h"

namespace marble::expr {

using arrow::Datum;
using arrow::Type;

namespace {

Result<int64_t> TimestampTicks(const Expression& call, const arrow::DataType& type) {
  if (type.id() != Type::TIMESTAMP) return TypeNotSupported(call);
  return TicksPerSecond(static_cast<const arrow::TimestampType&>(type).unit());
}

Result<Kernel> MakeToTimestamp(const Expression& call, const Clock*) {
  if (call.args[0]->type->id() != Type::STRING) return TypeNotSupported(call);
  MARBLE_ASSIGN_OR_RETURN(auto text, LiteralText(call, 1));
  MARBLE_ASSIGN_OR_RETURN(auto pattern, DateTimePattern::Compile(text));
  MARBLE_ASSIGN_OR_RETURN(const int64_t ticks, TimestampTicks(call, *call.type));
  const auto type = call.type;
  return Kernel([=](const std::vector<Datum>& args, int64_t rows) -> Result<Datum> {
    MARBLE_ASSIGN_OR_RETURN(auto array, AsArray(args[0], rows));
    const auto& texts = static_cast<const arrow::StringArray&>(*array);
    return BuildFixed<int64_t>(type, rows, [&](int64_t i, int64_t* out) {
      Moment moment;
      if (texts.IsNull(i) || !pattern.Parse(texts.GetView(i), &moment)) return false;
      return !__builtin_mul_overflow(moment.seconds, ticks, out) &&
             !__builtin_add_overflow(*out, moment.nanos / (1'000'000'000 / ticks), out);
    });
  });
}

Result<Kernel> MakeDateFormat(const Expression& call, const Clock*) {
  MARBLE_ASSIGN_OR_RETURN(const int64_t ticks, TimestampTicks(call, *call.args[0]->type));
  MARBLE_ASSIGN_OR_RETURN(auto text, LiteralText(call, 1));
  MARBLE_ASSIGN_OR_RETURN(auto pattern, DateTimePattern::Compile(text));
  return Kernel([=](const std::vector<Datum>& args, int64_t rows) -> Result<Datum> {
    MARBLE_ASSIGN_OR_RETURN(auto array, AsArray(args[0], rows));
    const auto& values = static_cast<const arrow::TimestampArray&>(*array);
    arrow::StringBuilder builder;
    MARBLE_RETURN_NOT_OK(builder.Reserve(rows));
    std::string out;
    for (int64_t i = 0; i < rows; ++i) {
      if (values.IsNull(i)) {
        builder.UnsafeAppendNull();
        continue;
      }
      out.clear();
      Moment moment;
      moment.seconds = FloorDiv(values.Value(i), ticks);
      moment.nanos = static_cast<int32_t>((values.Value(i) - moment.seconds * ticks) *
                                          (1'000'000'000 / ticks));
      pattern.Format(moment, &out);
      MARBLE_RETURN_NOT_OK(builder.Append(out));
    }
    MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Array> result, builder.Finish());
    return Datum(result);
  });
}

enum class Unit { kYear, kQuarter, kMonth, kDay, kHour, kMinute, kSecond };

Result<Unit> ParseUnit(const Expression& call, const std::string& name) {
  if (name == "YEAR") return Unit::kYear;
  if (name == "QUARTER") return Unit::kQuarter;
  if (name == "MONTH") return Unit::kMonth;
  if (name == "DAY") return Unit::kDay;
  if (name == "HOUR") return Unit::kHour;
  if (name == "MINUTE") return Unit::kMinute;
  if (name == "SECOND") return Unit::kSecond;
  return MakeError(ErrorCode::kPlan, "Function '" + call.function + "': unit '" + name +
                                         "' is not known; use YEAR, QUARTER, MONTH, DAY, HOUR, "
                                         "MINUTE or SECOND");
}

int64_t ExtractUnit(Unit unit, int64_t seconds) {
  const int64_t days = FloorDiv(seconds, 86400);
  const int64_t of_day = seconds - days * 86400;
  switch (unit) {
    case Unit::kHour:
      return of_day / 3600;
    case Unit::kMinute:
      return of_day / 60 % 60;
    case Unit::kSecond:
      return of_day % 60;
    default:
      break;
  }
  const Civil civil = CivilFromDays(days);
  switch (unit) {
    case Unit::kYear:
      return civil.year;
    case Unit::kQuarter:
      return (civil.month - 1) / 3 + 1;
    case Unit::kMonth:
      return civil.month;
    default:
      return civil.day;
  }
}

int64_t FloorSeconds(Unit unit, int64_t seconds) {
  switch (unit) {
    case Unit::kSecond:
      return seconds;
    case Unit::kMinute:
      return FloorDiv(seconds, 60) * 60;
    case Unit::kHour:
      return FloorDiv(seconds, 3600) * 3600;
    default:
      break;
  }
  const int64_t days = FloorDiv(seconds, 86400);
  if (unit == Unit::kDay) return days * 86400;
  Civil civil = CivilFromDays(days);
  if (unit == Unit::kYear) civil.month = 1;
  if (unit == Unit::kQuarter) civil.month = (civil.month - 1) / 3 * 3 + 1;
  return DaysFromCivil(civil.year, civil.month, 1) * 86400;
}

Result<Kernel> MakeExtract(const Expression& call, const Clock*) {
  MARBLE_ASSIGN_OR_RETURN(auto name, LiteralText(call, 0));
  MARBLE_ASSIGN_OR_RETURN(const Unit unit, ParseUnit(call, name));
  MARBLE_ASSIGN_OR_RETURN(const int64_t ticks, TimestampTicks(call, *call.args[1]->type));
  return Kernel([=](const std::vector<Datum>& args, int64_t rows) -> Result<Datum> {
    MARBLE_ASSIGN_OR_RETURN(auto array, AsArray(args[1], rows));
    const auto& values = static_cast<const arrow::TimestampArray&>(*array);
    return BuildFixed<int64_t>(arrow::int64(), rows, [&](int64_t i, int64_t* out) {
      if (values.IsNull(i)) return false;
      *out = ExtractUnit(unit, FloorDiv(values.Value(i), ticks));
      return true;
    });
  });
}

Result<Kernel> MakeFloorTime(const Expression& call, const Clock*) {
  MARBLE_ASSIGN_OR_RETURN(const int64_t ticks, TimestampTicks(call, *call.args[0]->type));
  MARBLE_ASSIGN_OR_RETURN(auto name, LiteralText(call, 1));
  MARBLE_ASSIGN_OR_RETURN(const Unit unit, ParseUnit(call, name));
  const auto type = call.args[0]->type;
  return Kernel([=](const std::vector<Datum>& args, int64_t rows) -> Result<Datum> {
    MARBLE_ASSIGN_OR_RETURN(auto array, AsArray(args[0], rows));
    const auto& values = static_cast<const arrow::TimestampArray&>(*array);
    return BuildFixed<int64_t>(type, rows, [&](int64_t i, int64_t* out) {
      if (values.IsNull(i)) return false;
      *out = FloorSeconds(unit, FloorDiv(values.Value(i), ticks)) * ticks;
      return true;
    });
  });
}

Result<Kernel> MakeProcTime(const Expression& call, const Clock* clock) {
  const auto type = call.type;
  MARBLE_ASSIGN_OR_RETURN(const int64_t ticks, TimestampTicks(call, *type));
  return Kernel([type, ticks, clock](const std::vector<Datum>&, int64_t) -> Result<Datum> {
    const int64_t now = clock->NowMs();
    const int64_t value = ticks >= 1000 ? now * (ticks / 1000) : FloorDiv(now, 1000);
    return Datum(std::make_shared<arrow::TimestampScalar>(value, type));
  });
}

}  // namespace

const std::vector<Function>& TimeFunctions() {
  static const std::vector<Function> kFunctions = {
      {"toTimestamp", 2, 2, MakeToTimestamp}, {"dateFormat", 2, 2, MakeDateFormat},
      {"extract", 2, 2, MakeExtract},         {"floorTime", 2, 2, MakeFloorTime},
      {"procTime", 0, 0, MakeProcTime},
  };
  return kFunctions;
}

}  // namespace marble::expr
