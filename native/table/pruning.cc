#include "table/pruning.h"

#include <arrow/api.h>
#include <arrow/util/decimal.h>

#include <algorithm>
#include <cmath>

#include "expr/cast.h"
#include "expr/like_prefix.h"
#include "table/table.h"

namespace marble::table {
namespace {

using arrow::Type;
using expr::Expression;
using Kind = expr::Expression::Kind;
using ScalarPtr = std::shared_ptr<arrow::Scalar>;

// --- Order ------------------------------------------------------------------------------------

template <typename T>
std::optional<int> Order(const T& a, const T& b) {
  return a < b ? -1 : (b < a ? 1 : 0);
}

template <typename ScalarType>
std::optional<int> OrderValues(const arrow::Scalar& a, const arrow::Scalar& b) {
  return Order(static_cast<const ScalarType&>(a).value, static_cast<const ScalarType&>(b).value);
}

template <typename ScalarType>
std::optional<int> OrderFloats(const arrow::Scalar& a, const arrow::Scalar& b) {
  const auto x = static_cast<const ScalarType&>(a).value;
  const auto y = static_cast<const ScalarType&>(b).value;
  if (std::isnan(x) || std::isnan(y)) return std::nullopt;
  return Order(x, y);
}

// --- Casts --------------------------------------------------------------------------------------

int SignedBits(const arrow::DataType& type) {
  return arrow::is_signed_integer(type.id())
             ? static_cast<const arrow::FixedWidthType&>(type).bit_width()
             : 0;
}
int UnsignedBits(const arrow::DataType& type) {
  return arrow::is_unsigned_integer(type.id())
             ? static_cast<const arrow::FixedWidthType&>(type).bit_width()
             : 0;
}
/// Decimal digits that hold every value of an integer type.
int DigitsOf(const arrow::DataType& type) {
  switch (static_cast<const arrow::FixedWidthType&>(type).bit_width()) {
    case 8:
      return 3;
    case 16:
      return 5;
    case 32:
      return 10;
    default:
      return arrow::is_unsigned_integer(type.id()) ? 20 : 19;
  }
}

/// Whether a cast keeps the order: a smaller value never becomes a greater one, and none becomes
/// NULL or wraps around unless a bound does.
bool IsMonotone(const arrow::DataType& from, const arrow::DataType& to) {
  if (IsExactCast(from, to)) return true;
  return arrow::is_signed_integer(from.id()) && arrow::is_floating(to.id());
}

ScalarPtr CastScalar(const ScalarPtr& value, const std::shared_ptr<arrow::DataType>& to) {
  if (value == nullptr || !value->is_valid) return nullptr;
  auto array = arrow::MakeArrayFromScalar(*value, 1);
  if (!array.ok()) return nullptr;
  auto cast = expr::CastArray(*array, to, /*try_cast=*/true);
  if (!cast.ok() || (*cast)->IsNull(0)) return nullptr;
  auto out = (*cast)->GetScalar(0);
  return out.ok() ? *out : nullptr;
}

bool IsNaN(const arrow::Scalar& value) {
  if (value.type->id() == Type::FLOAT) {
    return std::isnan(static_cast<const arrow::FloatScalar&>(value).value);
  }
  return value.type->id() == Type::DOUBLE &&
         std::isnan(static_cast<const arrow::DoubleScalar&>(value).value);
}

// --- Zones --------------------------------------------------------------------------------------

Zone ZoneOfLiteral(const Expression& e) {
  Zone zone;
  zone.may_be_null = !e.literal->is_valid;
  zone.may_be_value = e.literal->is_valid;
  if (e.literal->is_valid && !IsNaN(*e.literal)) zone.min = zone.max = e.literal;
  return zone;
}

Zone ZoneOfExpression(const Expression& e, const ZoneOf& zone_of) {
  switch (e.kind) {
    case Kind::kColumn:
      return zone_of(e.column);
    case Kind::kLiteral:
      return ZoneOfLiteral(e);
    case Kind::kCast: {
      if (!IsMonotone(*e.args[0]->type, *e.type)) return {};
      Zone zone = ZoneOfExpression(*e.args[0], zone_of);
      const bool bounded = zone.min != nullptr && zone.max != nullptr;
      zone.min = CastScalar(zone.min, e.type);
      zone.max = CastScalar(zone.max, e.type);
      // A value that does not fit becomes NULL; then so does a bound.
      if (!bounded || zone.min == nullptr || zone.max == nullptr) {
        zone.min = zone.max = nullptr;
        zone.may_be_null = true;
      }
      return zone;
    }
    case Kind::kCall:
      return {};
  }
  return {};
}

std::optional<int> CompareBounds(const ScalarPtr& a, const ScalarPtr& b) {
  if (a == nullptr || b == nullptr) return std::nullopt;
  return CompareScalars(*a, *b);
}

Verdict Swap(Verdict v) {
  std::swap(v.may_be_true, v.may_be_false);
  return v;
}

Verdict JudgeEquals(const Zone& a, const Zone& b) {
  Verdict v;
  const auto below = CompareBounds(a.max, b.min);
  const auto above = CompareBounds(a.min, b.max);
  if ((below && *below < 0) || (above && *above > 0)) v.may_be_true = false;
  if (below == 0 && above == 0 && CompareBounds(a.min, a.max) == 0) v.may_be_false = false;
  return v;
}

/// a < b, or a <= b.
Verdict JudgeLess(const Zone& a, const Zone& b, bool or_equal) {
  Verdict v;
  const auto least = CompareBounds(a.min, b.max);     // the best that can happen
  const auto greatest = CompareBounds(a.max, b.min);  // the worst
  if (least && (or_equal ? *least > 0 : *least >= 0)) v.may_be_true = false;
  if (greatest && (or_equal ? *greatest <= 0 : *greatest < 0)) v.may_be_false = false;
  return v;
}

/// NULL when an argument is; nothing else when one always is.
Verdict Strict(Verdict v, const Zone& a, const Zone& b) {
  v.may_be_null = a.may_be_null || b.may_be_null;
  if (!a.may_be_value || !b.may_be_value) v.may_be_true = v.may_be_false = false;
  return v;
}

Verdict JudgeComparison(const Expression& e, const ZoneOf& zone_of) {
  const Zone a = ZoneOfExpression(*e.args[0], zone_of);
  const Zone b = ZoneOfExpression(*e.args[1], zone_of);
  // Zones of floating values without NaN are known to have none, so NOT (a < b) is a >= b there;
  // where a bound is unknown nothing is concluded.
  Verdict v;
  if (e.function == "equals") {
    v = JudgeEquals(a, b);
  } else if (e.function == "notEquals") {
    v = Swap(JudgeEquals(a, b));
  } else if (e.function == "lessThan" || e.function == "lessThanOrEqual") {
    v = JudgeLess(a, b, e.function == "lessThanOrEqual");
  } else {
    v = JudgeLess(b, a, e.function == "greaterThanOrEqual");
  }
  return Strict(v, a, b);
}

Verdict JudgeIn(const Expression& e, const ZoneOf& zone_of) {
  const Zone value = ZoneOfExpression(*e.args[0], zone_of);
  Verdict v;
  v.may_be_true = false;
  bool null_in_list = false;
  for (size_t i = 1; i < e.args.size(); ++i) {
    if (e.args[i]->kind != Kind::kLiteral) return {};
    const Zone item = ZoneOfLiteral(*e.args[i]);
    null_in_list |= item.may_be_null;
    const Verdict equal = Strict(JudgeEquals(value, item), value, item);
    v.may_be_true |= equal.may_be_true;
    v.may_be_false &= equal.may_be_false || item.may_be_null;
  }
  v.may_be_null = value.may_be_null || null_in_list;
  if (!value.may_be_value) v.may_be_true = v.may_be_false = false;
  return v;
}

Verdict JudgeLike(const Expression& e, const ZoneOf& zone_of) {
  const auto prefix = expr::LikePrefix(e);
  const Zone value = ZoneOfExpression(*e.args[0], zone_of);
  Verdict v;
  v.may_be_null = value.may_be_null;
  if (!value.may_be_value) v.may_be_true = v.may_be_false = false;
  if (!prefix) return v;
  const auto text = [](const ScalarPtr& s) {
    return std::string_view(*static_cast<const arrow::BaseBinaryScalar&>(*s).value);
  };
  // Whatever begins with the prefix is not less than it, and less than its successor.
  if (value.max != nullptr && text(value.max) < *prefix) v.may_be_true = false;
  const std::string behind = PrefixSuccessor(*prefix);
  if (value.min != nullptr && !behind.empty() && text(value.min) >= behind) v.may_be_true = false;
  return v;
}

Verdict JudgeBooleanValue(const Expression& e, const ZoneOf& zone_of) {
  const Zone zone = ZoneOfExpression(e, zone_of);
  const auto value = [](const ScalarPtr& s) {
    return static_cast<const arrow::BooleanScalar&>(*s).value;
  };
  Verdict v;
  v.may_be_null = zone.may_be_null;
  v.may_be_true = zone.may_be_value && (zone.max == nullptr || value(zone.max));
  v.may_be_false = zone.may_be_value && (zone.min == nullptr || !value(zone.min));
  return v;
}

Verdict JudgeIsNull(const Expression& e, const ZoneOf& zone_of) {
  Zone zone;
  if (e.args[0]->type->id() == Type::BOOL && e.args[0]->kind == Kind::kCall) {
    const Verdict inner = Judge(*e.args[0], zone_of);
    zone.may_be_null = inner.may_be_null;
    zone.may_be_value = inner.may_be_true || inner.may_be_false;
  } else {
    zone = ZoneOfExpression(*e.args[0], zone_of);
  }
  const Verdict v{
      .may_be_true = zone.may_be_null, .may_be_false = zone.may_be_value, .may_be_null = false};
  return e.function == "isNull" ? v : Swap(v);
}

Verdict JudgeTruth(const Expression& e, const ZoneOf& zone_of) {
  const Verdict inner = Judge(*e.args[0], zone_of);
  const bool of_true = e.function == "isTrue" || e.function == "isNotTrue";
  Verdict v{.may_be_true = of_true ? inner.may_be_true : inner.may_be_false,
            .may_be_false = (of_true ? inner.may_be_false : inner.may_be_true) || inner.may_be_null,
            .may_be_null = false};
  return e.function == "isTrue" || e.function == "isFalse" ? v : Swap(v);
}

Verdict JudgeLogic(const Expression& e, const ZoneOf& zone_of) {
  const bool conjunction = e.function == "and";
  Verdict v{.may_be_true = conjunction, .may_be_false = !conjunction, .may_be_null = false};
  for (const auto& arg : e.args) {
    const Verdict inner = Judge(*arg, zone_of);
    if (conjunction) {
      v.may_be_true &= inner.may_be_true;
      v.may_be_false |= inner.may_be_false;
    } else {
      v.may_be_true |= inner.may_be_true;
      v.may_be_false &= inner.may_be_false;
    }
    v.may_be_null |= inner.may_be_null;
  }
  return v;
}

// --- Keys
// -----------------------------------------------------------------------------------------

/// What conjuncts say about one key column.
struct Bounds {
  ScalarPtr low;
  ScalarPtr high;
  bool low_inclusive = true;
  bool high_inclusive = true;
  bool nothing = false;

  void AtLeast(const ScalarPtr& value, bool inclusive) {
    const auto order = low == nullptr ? 1 : CompareScalars(*value, *low);
    if (!order || *order < 0 || (*order == 0 && inclusive)) return;
    low = value;
    low_inclusive = inclusive;
  }
  void AtMost(const ScalarPtr& value, bool inclusive) {
    const auto order = high == nullptr ? -1 : CompareScalars(*value, *high);
    if (!order || *order > 0 || (*order == 0 && inclusive)) return;
    high = value;
    high_inclusive = inclusive;
  }
  bool exact() const {
    return low != nullptr && high != nullptr && low_inclusive && high_inclusive &&
           CompareScalars(*low, *high) == 0;
  }
};

std::string_view Mirrored(std::string_view function) {
  if (function == "lessThan") return "greaterThan";
  if (function == "lessThanOrEqual") return "greaterThanOrEqual";
  if (function == "greaterThan") return "lessThan";
  if (function == "greaterThanOrEqual") return "lessThanOrEqual";
  return function;
}

ScalarPtr TextScalar(const std::shared_ptr<arrow::DataType>& type, std::string_view text) {
  auto scalar = arrow::MakeScalar(type, arrow::Buffer::FromString(std::string(text)));
  return scalar.ok() ? *scalar : nullptr;
}

/// Narrow the bounds of `column` by one conjunct, if it says something about it.
void Narrow(const Expression& e, int column, Bounds* bounds) {
  const auto is_column = [column](const Expression& x) {
    return x.kind == Kind::kColumn && x.column == column;
  };
  if (e.kind == Kind::kColumn && e.column == column) {  // a boolean
    bounds->AtLeast(std::make_shared<arrow::BooleanScalar>(true), true);
    return;
  }
  if (e.kind != Kind::kCall) return;
  if (e.function == "and") {
    for (const auto& arg : e.args) Narrow(*arg, column, bounds);
    return;
  }
  if (e.function == "like" && is_column(*e.args[0])) {
    const auto prefix = expr::LikePrefix(e);
    if (!prefix || prefix->empty()) return;
    bounds->AtLeast(TextScalar(e.args[0]->type, *prefix), true);
    const std::string behind = PrefixSuccessor(*prefix);
    // A text or not: it is bytes that are compared.
    if (!behind.empty()) bounds->AtMost(TextScalar(e.args[0]->type, behind), false);
    return;
  }
  if (e.function == "in" && is_column(*e.args[0])) {
    ScalarPtr least, greatest;
    for (size_t i = 1; i < e.args.size(); ++i) {
      if (e.args[i]->kind != Kind::kLiteral) return;
      const ScalarPtr& item = e.args[i]->literal;
      if (!item->is_valid || IsNaN(*item)) continue;
      if (least == nullptr) {
        least = greatest = item;
        continue;
      }
      const auto low = CompareScalars(*item, *least);
      const auto high = CompareScalars(*item, *greatest);
      if (!low || !high) return;
      if (*low < 0) least = item;
      if (*high > 0) greatest = item;
    }
    if (least == nullptr) {
      bounds->nothing = true;
      return;
    }
    bounds->AtLeast(least, true);
    bounds->AtMost(greatest, true);
    return;
  }
  if (e.args.size() != 2) return;
  std::string_view function = e.function;
  const Expression* literal = e.args[1].get();
  if (!is_column(*e.args[0])) {
    if (!is_column(*e.args[1])) return;
    function = Mirrored(function);
    literal = e.args[0].get();
  }
  if (literal->kind != Kind::kLiteral) return;
  const bool comparison = function == "equals" || function == "notEquals" ||
                          function == "lessThan" || function == "lessThanOrEqual" ||
                          function == "greaterThan" || function == "greaterThanOrEqual";
  if (!comparison) return;
  if (!literal->literal->is_valid) {
    bounds->nothing = true;  // always NULL
    return;
  }
  if (function == "notEquals" || IsNaN(*literal->literal)) return;
  const bool equals = function == "equals";
  if (equals || function == "greaterThan" || function == "greaterThanOrEqual") {
    bounds->AtLeast(literal->literal, function != "greaterThan");
  }
  if (equals || function == "lessThan" || function == "lessThanOrEqual") {
    bounds->AtMost(literal->literal, function != "lessThan");
  }
}

}  // namespace

std::optional<int> CompareScalars(const arrow::Scalar& a, const arrow::Scalar& b) {
  if (!a.is_valid || !b.is_valid || !a.type->Equals(*b.type)) return std::nullopt;
  switch (a.type->id()) {
    case Type::BOOL:
      return OrderValues<arrow::BooleanScalar>(a, b);
    case Type::INT8:
      return OrderValues<arrow::Int8Scalar>(a, b);
    case Type::INT16:
      return OrderValues<arrow::Int16Scalar>(a, b);
    case Type::INT32:
      return OrderValues<arrow::Int32Scalar>(a, b);
    case Type::DATE32:
      return OrderValues<arrow::Date32Scalar>(a, b);
    case Type::TIME32:
      return OrderValues<arrow::Time32Scalar>(a, b);
    case Type::INT64:
      return OrderValues<arrow::Int64Scalar>(a, b);
    case Type::DATE64:
      return OrderValues<arrow::Date64Scalar>(a, b);
    case Type::TIME64:
      return OrderValues<arrow::Time64Scalar>(a, b);
    case Type::TIMESTAMP:
      return OrderValues<arrow::TimestampScalar>(a, b);
    case Type::DURATION:
      return OrderValues<arrow::DurationScalar>(a, b);
    case Type::UINT8:
      return OrderValues<arrow::UInt8Scalar>(a, b);
    case Type::UINT16:
      return OrderValues<arrow::UInt16Scalar>(a, b);
    case Type::UINT32:
      return OrderValues<arrow::UInt32Scalar>(a, b);
    case Type::UINT64:
      return OrderValues<arrow::UInt64Scalar>(a, b);
    case Type::FLOAT:
      return OrderFloats<arrow::FloatScalar>(a, b);
    case Type::DOUBLE:
      return OrderFloats<arrow::DoubleScalar>(a, b);
    case Type::DECIMAL32:
      return OrderValues<arrow::Decimal32Scalar>(a, b);
    case Type::DECIMAL64:
      return OrderValues<arrow::Decimal64Scalar>(a, b);
    case Type::DECIMAL128:
      return OrderValues<arrow::Decimal128Scalar>(a, b);
    case Type::DECIMAL256:
      return OrderValues<arrow::Decimal256Scalar>(a, b);
    case Type::STRING:
    case Type::BINARY:
    case Type::LARGE_STRING:
    case Type::LARGE_BINARY: {
      const std::string_view x(*static_cast<const arrow::BaseBinaryScalar&>(a).value);
      const std::string_view y(*static_cast<const arrow::BaseBinaryScalar&>(b).value);
      return Order(x, y);
    }
    default:
      return std::nullopt;
  }
}

bool IsExactCast(const arrow::DataType& from, const arrow::DataType& to) {
  if (from.Equals(to)) return true;
  const int from_signed = SignedBits(from);
  const int from_unsigned = UnsignedBits(from);
  const int bits = std::max(from_signed, from_unsigned);
  if (bits > 0) {
    if (SignedBits(to) > 0) {
      return from_signed > 0 ? SignedBits(to) >= bits : SignedBits(to) > bits;
    }
    if (to.id() == Type::FLOAT) return bits <= 16;
    if (to.id() == Type::DOUBLE) return bits <= 32;
    if (to.id() == Type::DECIMAL128) {
      const auto& decimal = static_cast<const arrow::Decimal128Type&>(to);
      return decimal.scale() >= 0 && decimal.precision() - decimal.scale() >= DigitsOf(from);
    }
    return false;
  }
  if (from.id() == Type::FLOAT) return to.id() == Type::DOUBLE;
  if (from.id() == Type::DECIMAL128 && to.id() == Type::DECIMAL128) {
    const auto& a = static_cast<const arrow::Decimal128Type&>(from);
    const auto& b = static_cast<const arrow::Decimal128Type&>(to);
    return b.scale() >= a.scale() && b.precision() - b.scale() >= a.precision() - a.scale();
  }
  if (to.id() == Type::TIMESTAMP) {
    if (from.id() == Type::DATE32) return true;
    if (from.id() == Type::TIMESTAMP) {
      return static_cast<const arrow::TimestampType&>(from).unit() <=
             static_cast<const arrow::TimestampType&>(to).unit();
    }
  }
  if (from.id() == Type::LARGE_STRING) return to.id() == Type::STRING;
  if (from.id() == Type::LARGE_BINARY) return to.id() == Type::BINARY;
  return false;
}

Verdict Judge(const Expression& e, const ZoneOf& zone_of) {
  if (e.kind != Kind::kCall) {
    return e.type->id() == Type::BOOL && e.kind != Kind::kCast ? JudgeBooleanValue(e, zone_of)
                                                               : Verdict{};
  }
  const std::string& f = e.function;
  if (f == "and" || f == "or") return JudgeLogic(e, zone_of);
  if (f == "not") return Swap(Judge(*e.args[0], zone_of));
  if (f == "isNull" || f == "isNotNull") return JudgeIsNull(e, zone_of);
  if (f == "isTrue" || f == "isFalse" || f == "isNotTrue" || f == "isNotFalse") {
    return JudgeTruth(e, zone_of);
  }
  if (f == "in") return JudgeIn(e, zone_of);
  if (f == "like") return JudgeLike(e, zone_of);
  if (f == "equals" || f == "notEquals" || f == "lessThan" || f == "lessThanOrEqual" ||
      f == "greaterThan" || f == "greaterThanOrEqual") {
    return JudgeComparison(e, zone_of);
  }
  return {};
}

Zone ZoneInFile(const lsm::SstReader& sst, int64_t batch, int column) {
  const lsm::SstReader::ZoneMap map = sst.zone_map(batch, column);
  Zone zone{.min = map.min, .max = map.max};
  if (map.null_count >= 0) {
    zone.may_be_null = map.null_count > 0;
    zone.may_be_value = map.null_count < sst.layout(batch).rows;
  }
  return zone;
}

Result<std::optional<lsm::ScanRange>> KeyBounds(const lsm::TableHandle& table,
                                                const Expression& condition) {
  const auto& descriptor = lsm::DescriptorOf(table);
  KeyRange range;
  KeyValues prefix;
  for (int column : descriptor.key_columns) {
    Bounds bounds;
    Narrow(condition, column, &bounds);
    if (bounds.low != nullptr && bounds.high != nullptr) {
      const auto order = CompareScalars(*bounds.low, *bounds.high);
      if (order && (*order > 0 || (*order == 0 && !bounds.exact()))) bounds.nothing = true;
    }
    if (bounds.nothing) return std::optional<lsm::ScanRange>();
    if (bounds.exact()) {
      prefix.push_back(bounds.low);
      continue;
    }
    const auto with = [&prefix](const ScalarPtr& value) {
      KeyValues key = prefix;
      if (value != nullptr) key.push_back(value);
      return key;
    };
    (bounds.low == nullptr || bounds.low_inclusive ? range.gte : range.gt) = with(bounds.low);
    (bounds.high == nullptr || bounds.high_inclusive ? range.lte : range.lt) = with(bounds.high);
    break;
  }
  if (!range.gte && !range.gt) range.gte = prefix;
  if (!range.lte && !range.lt) range.lte = prefix;
  if (descriptor.key_columns.empty()) return std::optional<lsm::ScanRange>(lsm::ScanRange());
  return EncodeRange(table, range);
}

std::optional<lsm::ScanRange> Intersect(const lsm::ScanRange& a, const lsm::ScanRange& b) {
  lsm::ScanRange out;
  out.lower = std::max(a.lower, b.lower);
  out.upper = a.upper.empty() || (!b.upper.empty() && b.upper < a.upper) ? b.upper : a.upper;
  if (!out.upper.empty() && out.lower >= out.upper) return std::nullopt;
  return out;
}

}  // namespace marble::table
