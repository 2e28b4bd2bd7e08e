#include "stream/operators/aggregator.h"

#include <arrow/api.h>

#include <cmath>
#include <type_traits>

#include "expr/cast.h"
#include "expr/column_builder.h"

namespace marble::stream {

using arrow::Type;
using state::GroupId;

namespace {

/// Call `add(group, value)` for every row that counts.
template <typename C, typename F>
void ForEach(const C* values, const uint8_t* selected, const std::vector<GroupId>& groups, F add) {
  const size_t rows = groups.size();
  if (selected == nullptr) {
    for (size_t i = 0; i < rows; ++i) add(groups[i], values[i]);
  } else {
    for (size_t i = 0; i < rows; ++i) {
      if (selected[i]) add(groups[i], values[i]);
    }
  }
}

/// The values of integers, dates and times by their physical type.
template <typename F>
void DispatchIntegral(const arrow::Array& array, const uint8_t* selected,
                      const std::vector<GroupId>& groups, F add) {
  const auto& data = *array.data();
  switch (array.type_id()) {
    case Type::BOOL: {
      const auto& flags = static_cast<const arrow::BooleanArray&>(array);
      for (size_t i = 0; i < groups.size(); ++i) {
        if (selected == nullptr || selected[i]) {
          add(groups[i], static_cast<int64_t>(flags.Value(static_cast<int64_t>(i))));
        }
      }
      return;
    }
    case Type::INT8:
      return ForEach(data.GetValues<int8_t>(1), selected, groups, add);
    case Type::INT16:
      return ForEach(data.GetValues<int16_t>(1), selected, groups, add);
    case Type::INT32:
    case Type::DATE32:
    case Type::TIME32:
    case Type::INTERVAL_MONTHS:
      return ForEach(data.GetValues<int32_t>(1), selected, groups, add);
    default:
      return ForEach(data.GetValues<int64_t>(1), selected, groups, add);
  }
}

bool IsIntegral(const arrow::DataType& type) {
  switch (type.id()) {
    case Type::BOOL:
    case Type::INT8:
    case Type::INT16:
    case Type::INT32:
    case Type::INT64:
    case Type::DATE32:
    case Type::TIME32:
    case Type::TIMESTAMP:
    case Type::DURATION:
    case Type::INTERVAL_MONTHS:
      return true;
    default:
      return false;
  }
}

/// int64 accumulators as the output's type; integers wrap at their own width.
Result<std::shared_ptr<arrow::Array>> FromInt64(const std::shared_ptr<arrow::Array>& values,
                                                const std::shared_ptr<arrow::DataType>& type) {
  if (type->id() == Type::BOOL || arrow::is_integer(type->id())) {
    return expr::CastArray(values, type, false);
  }
  if (static_cast<const arrow::FixedWidthType&>(*type).bit_width() == 64) {
    return values->View(type);
  }
  MARBLE_ASSIGN_OR_RETURN(auto narrow, expr::CastArray(values, arrow::int32(), false));
  return narrow->View(type);
}

class Count : public Aggregator {
 public:
  explicit Count(const std::string& prefix) {
    fields_ = {arrow::field(prefix + "count", arrow::int64(), false)};
  }
  Status Add(const arrow::Array*, const uint8_t* selected,
             const std::vector<GroupId>& groups) override {
    int64_t* counts = column(0).int64s();
    if (selected == nullptr) {
      for (GroupId group : groups) ++counts[group];
    } else {
      for (size_t i = 0; i < groups.size(); ++i) counts[groups[i]] += selected[i];
    }
    return Status::OK();
  }
  Result<std::shared_ptr<arrow::Array>> Finish(const std::vector<GroupId>& groups) override {
    return column(0).Gather(groups);
  }
};

/// Sum of integers (wrapping) or floating-point numbers; NULL of no values.
template <typename Acc>
class Sum : public Aggregator {
 public:
  explicit Sum(const std::string& prefix) {
    fields_ = {arrow::field(prefix + "sum", arrow::CTypeTraits<Acc>::type_singleton())};
  }
  Status Add(const arrow::Array* argument, const uint8_t* selected,
             const std::vector<GroupId>& groups) override {
    uint8_t* valid = column(0).valid();
    if constexpr (std::is_same_v<Acc, double>) {
      double* sums = column(0).doubles();
      auto add = [sums, valid](GroupId group, auto value) {
        sums[group] += static_cast<double>(value);
        valid[group] = 1;
      };
      if (argument->type_id() == Type::FLOAT) {
        ForEach(argument->data()->GetValues<float>(1), selected, groups, add);
      } else {
        ForEach(argument->data()->GetValues<double>(1), selected, groups, add);
      }
    } else {
      int64_t* sums = column(0).int64s();
      DispatchIntegral(*argument, selected, groups, [sums, valid](GroupId group, int64_t value) {
        sums[group] =
            static_cast<int64_t>(static_cast<uint64_t>(sums[group]) + static_cast<uint64_t>(value));
        valid[group] = 1;
      });
    }
    return Status::OK();
  }
  Result<std::shared_ptr<arrow::Array>> Finish(const std::vector<GroupId>& groups) override {
    MARBLE_ASSIGN_OR_RETURN(auto sums, column(0).Gather(groups));
    return expr::CastArray(sums, output_->type(), false);
  }
};

/// Average: sum and count. That of integers is cut off towards zero.
template <typename Acc>
class Average : public Aggregator {
 public:
  explicit Average(const std::string& prefix) {
    fields_ = {arrow::field(prefix + "sum", arrow::CTypeTraits<Acc>::type_singleton(), false),
               arrow::field(prefix + "count", arrow::int64(), false)};
  }
  Status Add(const arrow::Array* argument, const uint8_t* selected,
             const std::vector<GroupId>& groups) override {
    int64_t* counts = column(1).int64s();
    if constexpr (std::is_same_v<Acc, double>) {
      double* sums = column(0).doubles();
      auto add = [sums, counts](GroupId group, auto value) {
        sums[group] += static_cast<double>(value);
        ++counts[group];
      };
      if (argument->type_id() == Type::FLOAT) {
        ForEach(argument->data()->GetValues<float>(1), selected, groups, add);
      } else {
        ForEach(argument->data()->GetValues<double>(1), selected, groups, add);
      }
    } else {
      int64_t* sums = column(0).int64s();
      DispatchIntegral(*argument, selected, groups, [sums, counts](GroupId group, int64_t value) {
        sums[group] =
            static_cast<int64_t>(static_cast<uint64_t>(sums[group]) + static_cast<uint64_t>(value));
        ++counts[group];
      });
    }
    return Status::OK();
  }
  Result<std::shared_ptr<arrow::Array>> Finish(const std::vector<GroupId>& groups) override {
    const int64_t* counts = column(1).int64s();
    const auto rows = static_cast<int64_t>(groups.size());
    const Acc* sums;
    if constexpr (std::is_same_v<Acc, double>) {
      sums = column(0).doubles();
    } else {
      sums = column(0).int64s();
    }
    MARBLE_ASSIGN_OR_RETURN(
        auto averages, expr::BuildFixed<Acc>(arrow::CTypeTraits<Acc>::type_singleton(), rows,
                                             [&](int64_t i, Acc* out) {
                                               const GroupId group = groups[static_cast<size_t>(i)];
                                               if (counts[group] == 0) return false;
                                               if constexpr (std::is_same_v<Acc, double>) {
                                                 *out = sums[group] /
                                                        static_cast<double>(counts[group]);
                                               } else {
                                                 *out = sums[group] / counts[group];
                                               }
                                               return true;
                                             }));
    return expr::CastArray(averages, output_->type(), false);
  }
};

/// Order of floating-point numbers: NaN above all, as in Java's Double.compare, so that the
/// result does not depend on the order of rows.
inline bool Less(double a, double b) {
  if (std::isnan(a)) return false;
  return std::isnan(b) || a < b;
}
inline bool Less(int64_t a, int64_t b) { return a < b; }

template <typename Acc, bool kMax>
class Extreme : public Aggregator {
 public:
  explicit Extreme(const std::string& prefix) {
    fields_ = {
        arrow::field(prefix + (kMax ? "max" : "min"), arrow::CTypeTraits<Acc>::type_singleton())};
  }
  Status Add(const arrow::Array* argument, const uint8_t* selected,
             const std::vector<GroupId>& groups) override {
    uint8_t* valid = column(0).valid();
    Acc* best;
    if constexpr (std::is_same_v<Acc, double>) {
      best = column(0).doubles();
    } else {
      best = column(0).int64s();
    }
    auto add = [best, valid](GroupId group, auto raw) {
      const auto value = static_cast<Acc>(raw);
      if (!valid[group] || (kMax ? Less(best[group], value) : Less(value, best[group]))) {
        best[group] = value;
        valid[group] = 1;
      }
    };
    if constexpr (std::is_same_v<Acc, double>) {
      if (argument->type_id() == Type::FLOAT) {
        ForEach(argument->data()->GetValues<float>(1), selected, groups, add);
      } else {
        ForEach(argument->data()->GetValues<double>(1), selected, groups, add);
      }
    } else {
      DispatchIntegral(*argument, selected, groups, add);
    }
    return Status::OK();
  }
  Result<std::shared_ptr<arrow::Array>> Finish(const std::vector<GroupId>& groups) override {
    MARBLE_ASSIGN_OR_RETURN(auto values, column(0).Gather(groups));
    if constexpr (std::is_same_v<Acc, double>) {
      return expr::CastArray(values, output_->type(), false);
    } else {
      return FromInt64(values, output_->type());
    }
  }
};

template <bool kMax>
class ExtremeText : public Aggregator {
 public:
  ExtremeText(const std::string& prefix, const std::shared_ptr<arrow::DataType>& type) {
    fields_ = {arrow::field(prefix + (kMax ? "max" : "min"), type)};
  }
  Status Add(const arrow::Array* argument, const uint8_t* selected,
             const std::vector<GroupId>& groups) override {
    const auto& values = static_cast<const arrow::BinaryArray&>(*argument);
    uint8_t* valid = column(0).valid();
    std::string* best = column(0).strings();
    for (size_t i = 0; i < groups.size(); ++i) {
      if (selected != nullptr && !selected[i]) continue;
      const std::string_view value = values.GetView(static_cast<int64_t>(i));
      const GroupId group = groups[i];
      if (!valid[group] || (kMax ? std::string_view(best[group]) < value : value < best[group])) {
        best[group] = value;
        valid[group] = 1;
      }
    }
    return Status::OK();
  }
  Result<std::shared_ptr<arrow::Array>> Finish(const std::vector<GroupId>& groups) override {
    return column(0).Gather(groups);
  }
};

template <template <typename> typename Kind>
std::unique_ptr<Aggregator> MakeNumeric(const arrow::DataType& type, const std::string& prefix) {
  if (arrow::is_integer(type.id())) return std::make_unique<Kind<int64_t>>(prefix);
  if (arrow::is_floating(type.id())) return std::make_unique<Kind<double>>(prefix);
  return nullptr;
}

template <bool kMax>
std::unique_ptr<Aggregator> MakeExtreme(const std::shared_ptr<arrow::DataType>& type,
                                        const std::string& prefix) {
  if (IsIntegral(*type)) return std::make_unique<Extreme<int64_t, kMax>>(prefix);
  if (arrow::is_floating(type->id())) return std::make_unique<Extreme<double, kMax>>(prefix);
  if (type->id() == Type::STRING || type->id() == Type::BINARY) {
    return std::make_unique<ExtremeText<kMax>>(prefix, type);
  }
  return nullptr;
}

}  // namespace

Result<std::unique_ptr<Aggregator>> Aggregator::Make(const AggregateCall& call, size_t index,
                                                     const std::shared_ptr<arrow::Field>& output,
                                                     const Clock* clock) {
  const std::string prefix = "a" + std::to_string(index) + "_";
  const bool count = call.function == "count";
  if (!count && call.function != "sum" && call.function != "avg" && call.function != "min" &&
      call.function != "max") {
    return MakeError(ErrorCode::kPlan,
                     "Aggregate function '" + call.function + "' is not known to this runtime");
  }
  if (count ? call.args.size() > 1 : call.args.size() != 1) {
    return MakeError(ErrorCode::kPlan, "Aggregate function '" + call.function + "' does not take " +
                                           std::to_string(call.args.size()) + " arguments");
  }
  std::unique_ptr<Aggregator> made;
  if (count) {
    made = std::make_unique<Count>(prefix);
    if (!output->type()->Equals(arrow::int64())) {
      return MakeError(ErrorCode::kPlan, "COUNT fills a BIGINT, not " + output->type()->ToString());
    }
  } else {
    const auto& type = call.args[0]->type;
    if (!output->type()->Equals(*type)) {
      return MakeError(ErrorCode::kPlan, "Aggregate '" + output->name() + "' is " +
                                             output->type()->ToString() + ", its argument " +
                                             type->ToString());
    }
    if (call.function == "sum") made = MakeNumeric<Sum>(*type, prefix);
    if (call.function == "avg") made = MakeNumeric<Average>(*type, prefix);
    if (call.function == "min") made = MakeExtreme<false>(type, prefix);
    if (call.function == "max") made = MakeExtreme<true>(type, prefix);
    if (made == nullptr) {
      return MakeError(ErrorCode::kNotSupported,
                       call.function + " of " + type->ToString() +
                           " is not supported; CAST the argument to DOUBLE or BIGINT");
    }
  }
  made->output_ = output;
  if (!call.args.empty()) {
    MARBLE_ASSIGN_OR_RETURN(made->argument_, expr::Evaluator::Make(call.args[0], clock));
  }
  if (call.filter != nullptr) {
    MARBLE_ASSIGN_OR_RETURN(made->filter_, expr::Evaluator::Make(call.filter, clock));
  }
  return made;
}

Status Aggregator::Update(const arrow::RecordBatch& rows, const std::vector<GroupId>& groups) {
  std::shared_ptr<arrow::RecordBatch> kept;
  const arrow::RecordBatch* input = &rows;
  const std::vector<GroupId>* kept_groups = &groups;
  std::vector<GroupId> filtered_groups;
  if (filter_ != nullptr) {
    // The argument is evaluated only for rows that pass: it may fail for others.
    MARBLE_ASSIGN_OR_RETURN(auto mask, filter_->Evaluate(rows));
    const auto& flags = static_cast<const arrow::BooleanArray&>(*mask);
    for (size_t i = 0; i < groups.size(); ++i) {
      const auto row = static_cast<int64_t>(i);
      if (flags.IsValid(row) && flags.Value(row)) filtered_groups.push_back(groups[i]);
    }
    if (filtered_groups.empty()) return Status::OK();
    auto all = arrow::RecordBatch::Make(rows.schema(), rows.num_rows(), rows.columns());
    MARBLE_ASSIGN_OR_RETURN(kept, expr::FilterBatch(all, flags));
    input = kept.get();
    kept_groups = &filtered_groups;
  }
  if (argument_ == nullptr) return Add(nullptr, nullptr, *kept_groups);
  MARBLE_ASSIGN_OR_RETURN(auto values, argument_->Evaluate(*input));
  if (values->null_count() == 0) return Add(values.get(), nullptr, *kept_groups);
  selected_.resize(kept_groups->size());
  for (size_t i = 0; i < selected_.size(); ++i) {
    selected_[i] = values->IsValid(static_cast<int64_t>(i));
  }
  return Add(values.get(), selected_.data(), *kept_groups);
}

}  // namespace marble::stream
