#include "expr/evaluator.h"

#include <arrow/api.h>
#include <arrow/compute/api.h>
#include <arrow/compute/initialize.h>

#include "expr/cast.h"
#include "expr/functions/function.h"

namespace marble::expr {

using arrow::Datum;

class Evaluator::Node {
 public:
  virtual ~Node() = default;
  virtual Result<Datum> Eval(const arrow::RecordBatch& batch) const = 0;
};

namespace {

using NodePtr = std::unique_ptr<Evaluator::Node>;

class ColumnNode : public Evaluator::Node {
 public:
  explicit ColumnNode(int index) : index_(index) {}
  Result<Datum> Eval(const arrow::RecordBatch& batch) const override {
    return Datum(batch.column_data(index_));
  }

 private:
  int index_;
};

class LiteralNode : public Evaluator::Node {
 public:
  explicit LiteralNode(std::shared_ptr<arrow::Scalar> value) : value_(std::move(value)) {}
  Result<Datum> Eval(const arrow::RecordBatch&) const override { return Datum(value_); }

 private:
  std::shared_ptr<arrow::Scalar> value_;
};

/// A datum with another type than declared: decimals of another precision, timestamps of
/// another unit.
Result<Datum> EnsureType(Datum datum, const std::shared_ptr<arrow::DataType>& type) {
  if (datum.type()->Equals(*type)) return datum;
  const bool scalar = datum.is_scalar();
  MARBLE_ASSIGN_OR_RETURN(auto array, AsArray(datum, 1));
  MARBLE_ASSIGN_OR_RETURN(auto cast, CastArray(array, type, true));
  if (!scalar) return Datum(cast);
  MARBLE_ASSIGN_OR_RETURN(auto value, cast->GetScalar(0));
  return Datum(value);
}

class CastNode : public Evaluator::Node {
 public:
  CastNode(NodePtr arg, std::shared_ptr<arrow::DataType> type, bool try_cast)
      : arg_(std::move(arg)), type_(std::move(type)), try_cast_(try_cast) {}
  Result<Datum> Eval(const arrow::RecordBatch& batch) const override {
    MARBLE_ASSIGN_OR_RETURN(auto datum, arg_->Eval(batch));
    const bool scalar = datum.is_scalar();
    MARBLE_ASSIGN_OR_RETURN(auto array, AsArray(datum, 1));
    MARBLE_ASSIGN_OR_RETURN(auto cast, CastArray(array, type_, try_cast_));
    if (!scalar) return Datum(cast);
    MARBLE_ASSIGN_OR_RETURN(auto value, cast->GetScalar(0));
    return Datum(value);
  }

 private:
  NodePtr arg_;
  std::shared_ptr<arrow::DataType> type_;
  bool try_cast_;
};

class CallNode : public Evaluator::Node {
 public:
  CallNode(Kernel kernel, std::vector<NodePtr> args, std::shared_ptr<arrow::DataType> type)
      : kernel_(std::move(kernel)), args_(std::move(args)), type_(std::move(type)) {}
  Result<Datum> Eval(const arrow::RecordBatch& batch) const override {
    std::vector<Datum> values;
    values.reserve(args_.size());
    for (const auto& arg : args_) {
      MARBLE_ASSIGN_OR_RETURN(auto value, arg->Eval(batch));
      values.push_back(std::move(value));
    }
    MARBLE_ASSIGN_OR_RETURN(auto result, kernel_(values, batch.num_rows()));
    return EnsureType(std::move(result), type_);
  }

 private:
  Kernel kernel_;
  std::vector<NodePtr> args_;
  std::shared_ptr<arrow::DataType> type_;
};

/// Evaluate a node for some rows of a batch only.
Result<std::shared_ptr<arrow::Array>> EvalRows(const Evaluator::Node& node,
                                               const arrow::RecordBatch& batch,
                                               const std::vector<int64_t>& rows) {
  if (static_cast<int64_t>(rows.size()) == batch.num_rows()) {
    MARBLE_ASSIGN_OR_RETURN(auto datum, node.Eval(batch));
    return AsArray(datum, batch.num_rows());
  }
  arrow::Int64Builder builder;
  MARBLE_RETURN_NOT_OK(builder.AppendValues(rows));
  MARBLE_ASSIGN_OR_RETURN(auto indices, builder.Finish());
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (const auto& column : batch.columns()) {
    MARBLE_ASSIGN_OR_RETURN(
        auto taken,
        arrow::compute::Take(*column, *indices, arrow::compute::TakeOptions::NoBoundsCheck()));
    columns.push_back(std::move(taken));
  }
  auto selected = arrow::RecordBatch::Make(batch.schema(), static_cast<int64_t>(rows.size()),
                                           std::move(columns));
  MARBLE_ASSIGN_OR_RETURN(auto datum, node.Eval(*selected));
  return AsArray(datum, selected->num_rows());
}

/// The parts of a lazy result: each row comes from one part.
class Assembly {
 public:
  Assembly(std::shared_ptr<arrow::DataType> type, int64_t rows)
      : type_(std::move(type)), positions_(static_cast<size_t>(rows), -1) {}

  void Add(const std::shared_ptr<arrow::Array>& values, const std::vector<int64_t>& rows) {
    for (size_t i = 0; i < rows.size(); ++i) {
      positions_[static_cast<size_t>(rows[i])] = next_ + static_cast<int64_t>(i);
    }
    next_ += values->length();
    parts_.push_back(values);
  }

  /// Rows that no part covers are NULL.
  Result<Datum> Finish() const {
    const auto rows = static_cast<int64_t>(positions_.size());
    if (parts_.empty()) {
      MARBLE_ASSIGN_OR_RETURN(auto nulls, arrow::MakeArrayOfNull(type_, rows));
      return Datum(nulls);
    }
    MARBLE_ASSIGN_OR_RETURN(auto all, arrow::Concatenate(parts_));
    arrow::Int64Builder builder;
    MARBLE_RETURN_NOT_OK(builder.Reserve(rows));
    for (int64_t position : positions_) {
      if (position < 0) {
        builder.UnsafeAppendNull();
      } else {
        builder.UnsafeAppend(position);
      }
    }
    MARBLE_ASSIGN_OR_RETURN(auto indices, builder.Finish());
    MARBLE_ASSIGN_OR_RETURN(
        auto taken,
        arrow::compute::Take(*all, *indices, arrow::compute::TakeOptions::NoBoundsCheck()));
    return Datum(taken);
  }

 private:
  std::shared_ptr<arrow::DataType> type_;
  std::vector<int64_t> positions_;
  std::vector<std::shared_ptr<arrow::Array>> parts_;
  int64_t next_ = 0;
};

std::vector<int64_t> AllRows(int64_t rows) {
  std::vector<int64_t> all(static_cast<size_t>(rows));
  for (int64_t i = 0; i < rows; ++i) all[static_cast<size_t>(i)] = i;
  return all;
}

class CaseNode : public Evaluator::Node {
 public:
  CaseNode(std::vector<NodePtr> args, std::shared_ptr<arrow::DataType> type)
      : args_(std::move(args)), type_(std::move(type)) {}
  Result<Datum> Eval(const arrow::RecordBatch& batch) const override {
    std::vector<int64_t> rest = AllRows(batch.num_rows());
    Assembly assembly(type_, batch.num_rows());
    size_t i = 0;
    for (; i + 1 < args_.size() && !rest.empty(); i += 2) {
      MARBLE_ASSIGN_OR_RETURN(auto condition, EvalRows(*args_[i], batch, rest));
      const auto& flags = static_cast<const arrow::BooleanArray&>(*condition);
      std::vector<int64_t> hits, misses;
      for (size_t row = 0; row < rest.size(); ++row) {
        const auto at = static_cast<int64_t>(row);
        (flags.IsValid(at) && flags.Value(at) ? hits : misses).push_back(rest[row]);
      }
      if (!hits.empty()) {
        MARBLE_ASSIGN_OR_RETURN(auto values, EvalRows(*args_[i + 1], batch, hits));
        assembly.Add(values, hits);
      }
      rest = std::move(misses);
    }
    if (!rest.empty()) {
      MARBLE_ASSIGN_OR_RETURN(auto values, EvalRows(*args_.back(), batch, rest));
      assembly.Add(values, rest);
    }
    return assembly.Finish();
  }

 private:
  std::vector<NodePtr> args_;
  std::shared_ptr<arrow::DataType> type_;
};

class CoalesceNode : public Evaluator::Node {
 public:
  CoalesceNode(std::vector<NodePtr> args, std::shared_ptr<arrow::DataType> type, bool lazy)
      : args_(std::move(args)), type_(std::move(type)), lazy_(lazy) {}
  Result<Datum> Eval(const arrow::RecordBatch& batch) const override {
    if (!lazy_) {
      std::vector<Datum> values;
      for (const auto& arg : args_) {
        MARBLE_ASSIGN_OR_RETURN(auto value, arg->Eval(batch));
        values.push_back(std::move(value));
      }
      return arrow::compute::CallFunction("coalesce", values);
    }
    std::vector<int64_t> rest = AllRows(batch.num_rows());
    Assembly assembly(type_, batch.num_rows());
    for (size_t i = 0; i < args_.size() && !rest.empty(); ++i) {
      MARBLE_ASSIGN_OR_RETURN(auto values, EvalRows(*args_[i], batch, rest));
      assembly.Add(values, rest);  // a later part overrides where this one is NULL
      std::vector<int64_t> misses;
      for (size_t row = 0; row < rest.size(); ++row) {
        if (values->IsNull(static_cast<int64_t>(row))) misses.push_back(rest[row]);
      }
      rest = std::move(misses);
    }
    return assembly.Finish();
  }

 private:
  std::vector<NodePtr> args_;
  std::shared_ptr<arrow::DataType> type_;
  bool lazy_;
};

/// AND and OR of two or more. The first argument that decides a row keeps the others, if they
/// can fail, from being evaluated for it.
class LogicNode : public Evaluator::Node {
 public:
  LogicNode(std::vector<NodePtr> args, std::vector<bool> can_fail, bool conjunction)
      : args_(std::move(args)), can_fail_(std::move(can_fail)), conjunction_(conjunction) {}
  Result<Datum> Eval(const arrow::RecordBatch& batch) const override {
    MARBLE_ASSIGN_OR_RETURN(Datum result, args_[0]->Eval(batch));
    for (size_t i = 1; i < args_.size(); ++i) {
      Datum right;
      if (can_fail_[i]) {
        MARBLE_ASSIGN_OR_RETURN(auto left, AsArray(result, batch.num_rows()));
        const auto& flags = static_cast<const arrow::BooleanArray&>(*left);
        std::vector<int64_t> undecided;
        for (int64_t row = 0; row < batch.num_rows(); ++row) {
          if (flags.IsNull(row) || flags.Value(row) == conjunction_) undecided.push_back(row);
        }
        Assembly assembly(arrow::boolean(), batch.num_rows());
        if (!undecided.empty()) {
          MARBLE_ASSIGN_OR_RETURN(auto values, EvalRows(*args_[i], batch, undecided));
          assembly.Add(values, undecided);
        }
        MARBLE_ASSIGN_OR_RETURN(right, assembly.Finish());
      } else {
        MARBLE_ASSIGN_OR_RETURN(right, args_[i]->Eval(batch));
      }
      MARBLE_ASSIGN_OR_RETURN(
          result,
          arrow::compute::CallFunction(conjunction_ ? "and_kleene" : "or_kleene", {result, right}));
    }
    return result;
  }

 private:
  std::vector<NodePtr> args_;
  std::vector<bool> can_fail_;
  bool conjunction_;
};

Status WrongArguments(const Expression& call) {
  return MakeError(ErrorCode::kPlan, "Function '" + call.function + "' does not take " +
                                         std::to_string(call.args.size()) + " arguments");
}

Result<NodePtr> Compile(const Expression& expression, const Clock* clock) {
  switch (expression.kind) {
    case Expression::Kind::kColumn:
      return std::make_unique<ColumnNode>(expression.column);
    case Expression::Kind::kLiteral:
      return std::make_unique<LiteralNode>(expression.literal);
    default:
      break;
  }
  std::vector<NodePtr> args;
  std::vector<bool> can_fail;
  bool lazy = false;
  for (const auto& arg : expression.args) {
    MARBLE_ASSIGN_OR_RETURN(auto node, Compile(*arg, clock));
    args.push_back(std::move(node));
    can_fail.push_back(arg->CanFail());
    lazy = lazy || can_fail.back();
  }
  if (expression.kind == Expression::Kind::kCast) {
    MARBLE_RETURN_NOT_OK(CheckCast(*expression.args[0]->type, *expression.type));
    return std::make_unique<CastNode>(std::move(args[0]), expression.type, expression.try_cast);
  }
  const auto& name = expression.function;
  if (name == "and" || name == "or") {
    if (args.empty()) return WrongArguments(expression);
    for (const auto& arg : expression.args) {
      if (arg->type->id() != arrow::Type::BOOL) return TypeNotSupported(expression);
    }
    return std::make_unique<LogicNode>(std::move(args), std::move(can_fail), name == "and");
  }
  if (name == "case") {
    if (args.size() < 3 || args.size() % 2 == 0) return WrongArguments(expression);
    for (size_t i = 0; i < expression.args.size(); ++i) {
      const bool condition = i % 2 == 0 && i + 1 < expression.args.size();
      const auto& type = *expression.args[i]->type;
      if (condition ? type.id() != arrow::Type::BOOL : !type.Equals(*expression.type)) {
        return TypeNotSupported(expression);
      }
    }
    return std::make_unique<CaseNode>(std::move(args), expression.type);
  }
  if (name == "coalesce") {
    if (args.empty()) return WrongArguments(expression);
    for (const auto& arg : expression.args) {
      if (!arg->type->Equals(*expression.type)) return TypeNotSupported(expression);
    }
    return std::make_unique<CoalesceNode>(std::move(args), expression.type, lazy);
  }
  const Function* function = FindFunction(name);
  if (function == nullptr) {
    return MakeError(ErrorCode::kPlan, "Function '" + name + "' is not known to this runtime");
  }
  const auto count = static_cast<int>(args.size());
  if (count < function->min_args || count > function->max_args) {
    return WrongArguments(expression);
  }
  MARBLE_ASSIGN_OR_RETURN(auto kernel, function->make(expression, clock));
  return std::make_unique<CallNode>(std::move(kernel), std::move(args), expression.type);
}

}  // namespace

Status InitializeKernels() {
  static const Status kStatus = arrow::compute::Initialize();
  return kStatus;
}

Evaluator::Evaluator(ExpressionPtr expression, std::unique_ptr<Node> root)
    : expression_(std::move(expression)), root_(std::move(root)) {}
Evaluator::~Evaluator() = default;

Result<std::unique_ptr<Evaluator>> Evaluator::Make(ExpressionPtr expression, const Clock* clock) {
  MARBLE_RETURN_NOT_OK(InitializeKernels());
  MARBLE_ASSIGN_OR_RETURN(auto root, Compile(*expression, clock));
  return std::unique_ptr<Evaluator>(new Evaluator(std::move(expression), std::move(root)));
}

Result<std::shared_ptr<arrow::Array>> Evaluator::Evaluate(const arrow::RecordBatch& batch) const {
  MARBLE_ASSIGN_OR_RETURN(auto datum, root_->Eval(batch));
  MARBLE_ASSIGN_OR_RETURN(datum, EnsureType(std::move(datum), expression_->type));
  return AsArray(datum, batch.num_rows());
}

Result<std::shared_ptr<arrow::Array>> FilterColumn(const std::shared_ptr<arrow::Array>& array,
                                                   const arrow::BooleanArray& mask) {
  MARBLE_ASSIGN_OR_RETURN(auto result, arrow::compute::Filter(array, Datum(mask.data())));
  return result.make_array();
}

Result<std::shared_ptr<arrow::RecordBatch>> FilterBatch(
    const std::shared_ptr<arrow::RecordBatch>& batch, const arrow::BooleanArray& mask) {
  MARBLE_ASSIGN_OR_RETURN(auto result, arrow::compute::Filter(batch, Datum(mask.data())));
  return result.record_batch();
}

}  // namespace marble::expr
