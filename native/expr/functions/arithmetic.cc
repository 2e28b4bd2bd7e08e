// Numbers: integers wrap, dividing integers or decimals by zero is an error.
#include <arrow/api.h>
#include <arrow/compute/api.h>

#include <cmath>

#include "expr/column_builder.h"
#include "expr/functions/function.h"

namespace marble::expr {

using arrow::Datum;
using arrow::Type;

namespace {

Status DivisionByZero() {
  return MakeError(ErrorCode::kInvalidArgument,
                   "Division by zero; NULLIF(divisor, 0) gives NULL instead");
}

Result<Kernel> ByArrow(std::string name) {
  return Kernel([name = std::move(name)](const std::vector<Datum>& args, int64_t) {
    return arrow::compute::CallFunction(name, args);
  });
}

bool IsDecimal(const Expression& call) { return call.args[0]->type->id() == Type::DECIMAL128; }

/// Decimals in __int128 arithmetic of their scales; NULL when the result does not fit.
template <typename F>
Result<Kernel> DecimalKernel(const Expression& call, F operation) {
  if (call.args[1]->type->id() != Type::DECIMAL128 || call.type->id() != Type::DECIMAL128) {
    return TypeNotSupported(call);
  }
  auto scale_of = [](const std::shared_ptr<arrow::DataType>& type) {
    return static_cast<const arrow::Decimal128Type&>(*type).scale();
  };
  const int32_t a_scale = scale_of(call.args[0]->type), b_scale = scale_of(call.args[1]->type);
  const auto type = call.type;
  const int32_t scale = scale_of(type);
  const int32_t precision = static_cast<const arrow::Decimal128Type&>(*type).precision();
  return Kernel([=](const std::vector<Datum>& args, int64_t rows) -> Result<Datum> {
    MARBLE_ASSIGN_OR_RETURN(auto left, AsArray(args[0], rows));
    MARBLE_ASSIGN_OR_RETURN(auto right, AsArray(args[1], rows));
    const auto& a = static_cast<const arrow::Decimal128Array&>(*left);
    const auto& b = static_cast<const arrow::Decimal128Array&>(*right);
    bool zero = false;
    MARBLE_ASSIGN_OR_RETURN(
        auto result,
        BuildFixed<arrow::Decimal128>(type, rows, [&](int64_t i, arrow::Decimal128* out) {
          if (a.IsNull(i) || b.IsNull(i)) return false;
          // In 256 bits nothing overflows before the check of the precision.
          const arrow::Decimal256 x{arrow::Decimal128(a.Value(i))};
          const arrow::Decimal256 y{arrow::Decimal128(b.Value(i))};
          arrow::Decimal256 value;
          if (!operation(x, a_scale, y, b_scale, scale, &value)) {
            zero = true;
            return false;
          }
          if (!value.FitsInPrecision(precision)) return false;
          const auto words = value.little_endian_array();
          *out = arrow::Decimal128(static_cast<int64_t>(words[1]), words[0]);
          return true;
        }));
    if (zero) return DivisionByZero();
    return Datum(result);
  });
}

arrow::Decimal256 Scale(const arrow::Decimal256& value, int32_t from, int32_t to) {
  if (to >= from) return arrow::Decimal256(value.IncreaseScaleBy(to - from));
  return arrow::Decimal256(value.ReduceScaleBy(from - to, true));
}

template <bool kSubtract>
Result<Kernel> MakeAdd(const Expression& call, const Clock*) {
  const auto left = call.args[0]->type->id(), right = call.args[1]->type->id();
  if (IsDecimal(call)) {
    return DecimalKernel(
        call, [](const arrow::Decimal256& a, int32_t as, const arrow::Decimal256& b, int32_t bs,
                 int32_t scale, arrow::Decimal256* out) {
          const int32_t wide = std::max(as, bs);
          const auto x = Scale(a, as, wide);
          auto y = Scale(b, bs, wide);
          if (kSubtract) y.Negate();
          *out = Scale(arrow::Decimal256(x + y), wide, scale);
          return true;
        });
  }
  const bool numbers = left == right && arrow::is_numeric(left);
  const bool temporal = (left == Type::TIMESTAMP && right == Type::DURATION) ||
                        (left == Type::DURATION && right == Type::DURATION) ||
                        (!kSubtract && left == Type::DURATION && right == Type::TIMESTAMP) ||
                        (kSubtract && left == Type::TIMESTAMP && right == Type::TIMESTAMP);
  if (!numbers && !temporal) return TypeNotSupported(call);
  return ByArrow(kSubtract ? "subtract" : "add");
}

Result<Kernel> MakeTimes(const Expression& call, const Clock*) {
  if (IsDecimal(call)) {
    return DecimalKernel(
        call, [](const arrow::Decimal256& a, int32_t as, const arrow::Decimal256& b, int32_t bs,
                 int32_t scale, arrow::Decimal256* out) {
          *out = Scale(arrow::Decimal256(a * b), as + bs, scale);
          return true;
        });
  }
  if (!arrow::is_numeric(call.args[0]->type->id()) ||
      !call.args[0]->type->Equals(*call.args[1]->type)) {
    return TypeNotSupported(call);
  }
  return ByArrow("multiply");
}

template <typename C, bool kMod>
Result<Datum> DivideIntegers(const std::shared_ptr<arrow::DataType>& type,
                             const std::vector<Datum>& args, int64_t rows) {
  using ArrayType = arrow::NumericArray<typename arrow::CTypeTraits<C>::ArrowType>;
  MARBLE_ASSIGN_OR_RETURN(auto left, AsArray(args[0], rows));
  MARBLE_ASSIGN_OR_RETURN(auto right, AsArray(args[1], rows));
  const auto& a = static_cast<const ArrayType&>(*left);
  const auto& b = static_cast<const ArrayType&>(*right);
  bool zero = false;
  MARBLE_ASSIGN_OR_RETURN(
      auto result, BuildFixed<C>(type, rows, [&](int64_t i, C* out) {
        if (a.IsNull(i) || b.IsNull(i)) return false;
        const C divisor = b.Value(i);
        if (divisor == 0) {
          zero = true;
          return false;
        }
        if (divisor == -1) {  // the smallest number wraps instead of trapping
          *out = kMod ? 0 : static_cast<C>(0 - static_cast<std::make_unsigned_t<C>>(a.Value(i)));
        } else {
          *out = static_cast<C>(kMod ? a.Value(i) % divisor : a.Value(i) / divisor);
        }
        return true;
      }));
  if (zero) return DivisionByZero();
  return Datum(result);
}

template <bool kMod>
Result<Kernel> MakeDivide(const Expression& call, const Clock*) {
  if (IsDecimal(call)) {
    return DecimalKernel(
        call, [](const arrow::Decimal256& a, int32_t as, const arrow::Decimal256& b, int32_t bs,
                 int32_t scale, arrow::Decimal256* out) {
          if (b == arrow::Decimal256(0)) return false;
          if constexpr (kMod) {
            const int32_t wide = std::max(as, bs);
            const auto x = Scale(a, as, wide), y = Scale(b, bs, wide);
            auto division = x.Divide(y);
            if (!division.ok()) return false;
            *out = Scale(division->second, wide, scale);
          } else {
            // One digit more than asked for, then HALF_UP.
            const int32_t shift = scale + 1 + bs - as;
            const auto x = shift >= 0 ? arrow::Decimal256(a.IncreaseScaleBy(shift)) : a;
            const auto y = shift >= 0 ? b : arrow::Decimal256(b.IncreaseScaleBy(-shift));
            auto division = x.Divide(y);
            if (!division.ok()) return false;
            *out = arrow::Decimal256(division->first.ReduceScaleBy(1, true));
          }
          return true;
        });
  }
  const auto type = call.args[0]->type;
  if (!type->Equals(*call.args[1]->type)) return TypeNotSupported(call);
  switch (type->id()) {
#define MARBLE_DIVIDE(ID, C)                                             \
  case Type::ID:                                                         \
    return Kernel([type](const std::vector<Datum>& args, int64_t rows) { \
      return DivideIntegers<C, kMod>(type, args, rows);                  \
    });
    MARBLE_DIVIDE(INT8, int8_t)
    MARBLE_DIVIDE(INT16, int16_t)
    MARBLE_DIVIDE(INT32, int32_t)
    MARBLE_DIVIDE(INT64, int64_t)
#undef MARBLE_DIVIDE
    case Type::FLOAT:
    case Type::DOUBLE:
      if constexpr (!kMod) {
        return ByArrow("divide");
      } else {
        const bool single = type->id() == Type::FLOAT;
        return Kernel(
            [type, single](const std::vector<Datum>& args, int64_t rows) -> Result<Datum> {
              MARBLE_ASSIGN_OR_RETURN(auto left, AsArray(args[0], rows));
              MARBLE_ASSIGN_OR_RETURN(auto right, AsArray(args[1], rows));
              auto run = [&]<typename C>(C, const auto& a, const auto& b) {
                return BuildFixed<C>(type, rows, [&](int64_t i, C* out) {
                  if (a.IsNull(i) || b.IsNull(i)) return false;
                  *out = std::fmod(a.Value(i), b.Value(i));
                  return true;
                });
              };
              if (single) {
                return run(float{}, static_cast<const arrow::FloatArray&>(*left),
                           static_cast<const arrow::FloatArray&>(*right));
              }
              return run(double{}, static_cast<const arrow::DoubleArray&>(*left),
                         static_cast<const arrow::DoubleArray&>(*right));
            });
      }
    default:
      return TypeNotSupported(call);
  }
}

Result<Kernel> MakeNegate(const Expression& call, const Clock*) {
  const auto id = call.args[0]->type->id();
  if (id == Type::DURATION) {
    const auto type = call.args[0]->type;
    return Kernel([type](const std::vector<Datum>& args, int64_t rows) -> Result<Datum> {
      MARBLE_ASSIGN_OR_RETURN(auto array, AsArray(args[0], rows));
      const auto& values = static_cast<const arrow::DurationArray&>(*array);
      return BuildFixed<int64_t>(type, rows, [&](int64_t i, int64_t* out) {
        if (values.IsNull(i)) return false;
        *out = static_cast<int64_t>(0 - static_cast<uint64_t>(values.Value(i)));
        return true;
      });
    });
  }
  if (!arrow::is_numeric(id) && id != Type::DECIMAL128) return TypeNotSupported(call);
  return ByArrow("negate");
}

Result<Kernel> MakeAbs(const Expression& call, const Clock*) {
  const auto id = call.args[0]->type->id();
  if (!arrow::is_numeric(id) && id != Type::DECIMAL128) return TypeNotSupported(call);
  return ByArrow("abs");
}

template <bool kCeil>
Result<Kernel> MakeRound(const Expression& call, const Clock*) {
  const auto id = call.args[0]->type->id();
  if (arrow::is_integer(id)) {
    return Kernel([](const std::vector<Datum>& args, int64_t) -> Result<Datum> { return args[0]; });
  }
  if (!arrow::is_floating(id) && id != Type::DECIMAL128) return TypeNotSupported(call);
  return ByArrow(kCeil ? "ceil" : "floor");
}

}  // namespace

const std::vector<Function>& ArithmeticFunctions() {
  static const std::vector<Function> kFunctions = {
      {"plus", 2, 2, MakeAdd<false>},  {"minus", 2, 2, MakeAdd<true>},
      {"times", 2, 2, MakeTimes},      {"divide", 2, 2, MakeDivide<false>},
      {"mod", 2, 2, MakeDivide<true>}, {"negate", 1, 1, MakeNegate},
      {"abs", 1, 1, MakeAbs},          {"floor", 1, 1, MakeRound<false>},
      {"ceil", 1, 1, MakeRound<true>},
  };
  return kFunctions;
}

}  // namespace marble::expr
