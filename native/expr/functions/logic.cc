// Comparison, three-valued logic, tests for NULL, IN. CASE, COALESCE, AND and OR are the
// evaluator's own, because they are lazy.
#include <arrow/api.h>
#include <arrow/compute/api.h>

#include "expr/functions/function.h"

namespace marble::expr {

using arrow::Datum;

namespace {

template <const char* kName>
Result<Kernel> MakeCompare(const Expression& call, const Clock*) {
  if (!call.args[0]->type->Equals(*call.args[1]->type)) return TypeNotSupported(call);
  if (arrow::is_nested(call.args[0]->type->id())) return TypeNotSupported(call);
  return Kernel([](const std::vector<Datum>& args, int64_t) {
    return arrow::compute::CallFunction(kName, args);
  });
}

constexpr char kEqual[] = "equal";
constexpr char kNotEqual[] = "not_equal";
constexpr char kLess[] = "less";
constexpr char kLessEqual[] = "less_equal";
constexpr char kGreater[] = "greater";
constexpr char kGreaterEqual[] = "greater_equal";

Status CheckBoolean(const Expression& call) {
  for (const auto& arg : call.args) {
    if (arg->type->id() != arrow::Type::BOOL) return TypeNotSupported(call);
  }
  return Status::OK();
}

Result<Kernel> MakeNot(const Expression& call, const Clock*) {
  MARBLE_RETURN_NOT_OK(CheckBoolean(call));
  return Kernel([](const std::vector<Datum>& args, int64_t) {
    return arrow::compute::CallFunction("invert", args);
  });
}

template <bool kNull>
Result<Kernel> MakeIsNull(const Expression&, const Clock*) {
  return Kernel([](const std::vector<Datum>& args, int64_t) {
    return arrow::compute::CallFunction(kNull ? "is_null" : "is_valid", args);
  });
}

/// IS [NOT] TRUE and IS [NOT] FALSE: the value, maybe inverted, and what NULL becomes.
template <bool kInvert, bool kOfNull>
Result<Kernel> MakeIsTruth(const Expression& call, const Clock*) {
  MARBLE_RETURN_NOT_OK(CheckBoolean(call));
  return Kernel([](const std::vector<Datum>& args, int64_t) -> Result<Datum> {
    Datum value = args[0];
    if (kInvert) {
      MARBLE_ASSIGN_OR_RETURN(value, arrow::compute::CallFunction("invert", {value}));
    }
    return arrow::compute::CallFunction(
        "coalesce", {value, Datum(std::make_shared<arrow::BooleanScalar>(kOfNull))});
  });
}

/// A floating item of IN: a zero in both its forms, and nothing for NaN, which equals nothing.
template <typename Type>
Status AppendItem(const arrow::Scalar& item, arrow::ArrayBuilder* builder) {
  using Value = typename Type::c_type;
  auto* values = static_cast<arrow::NumericBuilder<Type>*>(builder);
  const Value value = static_cast<const typename arrow::TypeTraits<Type>::ScalarType&>(item).value;
  if (value != value) return Status::OK();
  if (value != 0) return values->Append(value);
  MARBLE_RETURN_NOT_OK(values->Append(Value{0}));
  return values->Append(-Value{0});
}

Result<Kernel> MakeIn(const Expression& call, const Clock*) {
  const auto type = call.args[0]->type;
  MARBLE_ASSIGN_OR_RETURN(auto builder, arrow::MakeBuilder(type));
  bool has_null = false;
  for (size_t i = 1; i < call.args.size(); ++i) {
    const auto& arg = *call.args[i];
    if (arg.kind != Expression::Kind::kLiteral) {
      return MakeError(ErrorCode::kNotSupported, "Function 'in' takes literals only");
    }
    if (!arg.literal->is_valid) {
      has_null = true;
      continue;
    }
    if (!arg.type->Equals(*type)) return TypeNotSupported(call);
    // The kernel looks bits up: NaN equals NaN there, and 0 does not equal -0.
    if (type->id() == arrow::Type::DOUBLE) {
      MARBLE_RETURN_NOT_OK(AppendItem<arrow::DoubleType>(*arg.literal, builder.get()));
    } else if (type->id() == arrow::Type::FLOAT) {
      MARBLE_RETURN_NOT_OK(AppendItem<arrow::FloatType>(*arg.literal, builder.get()));
    } else {
      MARBLE_RETURN_NOT_OK(builder->AppendScalar(*arg.literal));
    }
  }
  MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Array> values, builder->Finish());
  return Kernel([values, has_null](const std::vector<Datum>& args, int64_t) -> Result<Datum> {
    const arrow::compute::SetLookupOptions options(values,
                                                   arrow::compute::SetLookupOptions::INCONCLUSIVE);
    MARBLE_ASSIGN_OR_RETURN(auto found, arrow::compute::CallFunction("is_in", {args[0]}, &options));
    if (!has_null) return found;
    // Not among the values, but maybe equal to the NULL: NULL.
    const Datum null(arrow::MakeNullScalar(arrow::boolean()));
    return arrow::compute::CallFunction("if_else", {found, found, null});
  });
}

}  // namespace

const std::vector<Function>& LogicFunctions() {
  static const std::vector<Function> kFunctions = {
      {"equals", 2, 2, MakeCompare<kEqual>},
      {"notEquals", 2, 2, MakeCompare<kNotEqual>},
      {"lessThan", 2, 2, MakeCompare<kLess>},
      {"lessThanOrEqual", 2, 2, MakeCompare<kLessEqual>},
      {"greaterThan", 2, 2, MakeCompare<kGreater>},
      {"greaterThanOrEqual", 2, 2, MakeCompare<kGreaterEqual>},
      {"not", 1, 1, MakeNot},
      {"isNull", 1, 1, MakeIsNull<true>},
      {"isNotNull", 1, 1, MakeIsNull<false>},
      {"isTrue", 1, 1, MakeIsTruth<false, false>},
      {"isFalse", 1, 1, MakeIsTruth<true, false>},
      {"isNotTrue", 1, 1, MakeIsTruth<true, true>},
      {"isNotFalse", 1, 1, MakeIsTruth<false, true>},
      {"in", 2, 1 << 20, MakeIn},
  };
  return kFunctions;
}

}  // namespace marble::expr
