#include "table/predicate.h"

#include <arrow/api.h>
#include <arrow/compute/api.h>

#include <algorithm>

#include "expr/cast.h"
#include "table/table.h"

namespace marble::table {
namespace {

using expr::Expression;
using expr::ExpressionPtr;
using Kind = expr::Expression::Kind;
using ScalarPtr = std::shared_ptr<arrow::Scalar>;

/// `value` as the same value of another type; null when that type has none.
ScalarPtr Convert(const ScalarPtr& value, const std::shared_ptr<arrow::DataType>& to) {
  if (value->type->Equals(*to)) return value;
  if (!value->is_valid) return arrow::MakeNullScalar(to);
  auto array = arrow::MakeArrayFromScalar(*value, 1);
  if (!array.ok()) return nullptr;
  const auto cast = arrow::compute::Cast(*array, arrow::compute::CastOptions::Safe(to));
  if (!cast.ok()) return nullptr;
  // Not every kernel checks what it loses: the way back must give the same.
  const auto back = arrow::compute::Cast(*cast, arrow::compute::CastOptions::Safe(value->type));
  if (!back.ok() || back->null_count() > 0 || cast->null_count() > 0) return nullptr;
  const auto returned = back->make_array()->GetScalar(0);
  if (!returned.ok() || CompareScalars(**returned, *value) != 0) return nullptr;
  const auto out = cast->make_array()->GetScalar(0);
  return out.ok() ? *out : nullptr;
}

bool IsComparison(const std::string& f) {
  return f == "equals" || f == "notEquals" || f == "lessThan" || f == "lessThanOrEqual" ||
         f == "greaterThan" || f == "greaterThanOrEqual";
}

/// What stands below casts that keep order and lose nothing; the expression itself without them.
ExpressionPtr BelowExactCasts(ExpressionPtr e) {
  while (e->kind == Kind::kCast && IsExactCast(*e->args[0]->type, *e->type)) e = e->args[0];
  return e;
}

/// Take casts off columns that are compared with literals: the literals are cast instead, once.
ExpressionPtr Simplify(const ExpressionPtr& e) {
  if (e->args.empty()) return e;
  auto out = std::make_shared<Expression>(*e);
  for (auto& arg : out->args) arg = Simplify(arg);
  if (out->kind != Kind::kCall) return out;
  if (IsComparison(out->function) && out->args.size() == 2) {
    for (int side = 0; side < 2; ++side) {
      const ExpressionPtr& literal = out->args[1 - side];
      const ExpressionPtr column = BelowExactCasts(out->args[side]);
      if (column == out->args[side] || column->kind != Kind::kColumn ||
          literal->kind != Kind::kLiteral) {
        continue;
      }
      if (auto value = Convert(literal->literal, column->type)) {
        out->args[1 - side] = expr::MakeLiteral(std::move(value));
        out->args[side] = column;
      }
      break;
    }
  } else if (out->function == "in") {
    const ExpressionPtr column = BelowExactCasts(out->args[0]);
    if (column == out->args[0] || column->kind != Kind::kColumn) return out;
    std::vector<ExpressionPtr> args = {column};
    for (size_t i = 1; i < out->args.size(); ++i) {
      if (out->args[i]->kind != Kind::kLiteral) return out;
      // What the column's type cannot hold, no row equals.
      if (auto value = Convert(out->args[i]->literal, column->type)) {
        args.push_back(expr::MakeLiteral(std::move(value)));
      }
    }
    if (args.size() > 1) out->args = std::move(args);
  } else if (out->function == "or") {
    // column = 1 OR column = 2 OR …: one lookup.
    std::vector<ExpressionPtr> flat;
    const auto flatten = [&flat](const auto& self, const ExpressionPtr& x) -> void {
      if (x->kind == Kind::kCall && x->function == "or") {
        for (const auto& arg : x->args) self(self, arg);
      } else {
        flat.push_back(x);
      }
    };
    flatten(flatten, out);
    int column = -1;
    std::vector<ExpressionPtr> items;
    for (const auto& x : flat) {
      const bool lookup =
          x->kind == Kind::kCall && (x->function == "equals" || x->function == "in") &&
          x->args[0]->kind == Kind::kColumn &&
          std::all_of(x->args.begin() + 1, x->args.end(),
                      [](const auto& item) { return item->kind == Kind::kLiteral; });
      if (!lookup || (column >= 0 && x->args[0]->column != column)) return out;
      column = x->args[0]->column;
      if (items.empty()) items.push_back(x->args[0]);
      items.insert(items.end(), x->args.begin() + 1, x->args.end());
    }
    return expr::MakeCall("in", std::move(items), arrow::boolean());
  }
  return out;
}

void CollectColumns(const Expression& e, std::vector<int>* out) {
  if (e.kind == Kind::kColumn) out->push_back(e.column);
  for (const auto& arg : e.args) CollectColumns(*arg, out);
}

/// The same over a batch that has the columns `kept` alone.
ExpressionPtr Renumber(const ExpressionPtr& e, const std::vector<int>& kept) {
  auto out = std::make_shared<Expression>(*e);
  if (e->kind == Kind::kColumn) {
    out->column =
        static_cast<int>(std::lower_bound(kept.begin(), kept.end(), e->column) - kept.begin());
  }
  for (auto& arg : out->args) arg = Renumber(arg, kept);
  return out;
}

/// Columns are there and of the type that the expression says.
Status CheckColumns(const Expression& e, const lsm::TableDescriptor& table) {
  if (e.kind == Kind::kColumn) {
    if (e.column < 0 || e.column >= table.schema->num_fields()) {
      return MakeError(ErrorCode::kColumnNotFound, "the condition reads column " +
                                                       std::to_string(e.column) + " of table '" +
                                                       table.name + "', which has " +
                                                       std::to_string(table.schema->num_fields()));
    }
    const auto& field = *table.schema->field(e.column);
    if (!field.type()->Equals(*e.type)) {
      return MakeError(ErrorCode::kSchema,
                       "the condition reads column '" + field.name() + "' of '" + table.name +
                           "' as " + e.type->ToString() + "; it is " + field.type()->ToString());
    }
  }
  for (const auto& arg : e.args) MARBLE_RETURN_NOT_OK(CheckColumns(*arg, table));
  return Status::OK();
}

const char* FunctionOf(Conditions::Op op) {
  switch (op) {
    case Conditions::Op::kEqual:
      return "equals";
    case Conditions::Op::kNotEqual:
      return "notEquals";
    case Conditions::Op::kLess:
      return "lessThan";
    case Conditions::Op::kLessEqual:
      return "lessThanOrEqual";
    case Conditions::Op::kGreater:
      return "greaterThan";
    default:
      return "greaterThanOrEqual";
  }
}

}  // namespace

Result<std::shared_ptr<const Predicate>> Predicate::Make(const lsm::TableHandle& table,
                                                         const ExpressionPtr& condition) {
  MARBLE_RETURN_NOT_OK(expr::InitializeKernels());
  const auto& descriptor = lsm::DescriptorOf(table);
  if (condition->type->id() != arrow::Type::BOOL) {
    return MakeError(ErrorCode::kSchema, "the condition on table '" + descriptor.name +
                                             "' is a value of type " + condition->type->ToString() +
                                             ", not true or false");
  }
  MARBLE_RETURN_NOT_OK(CheckColumns(*condition, descriptor));
  auto out = std::shared_ptr<Predicate>(new Predicate());
  out->condition_ = Simplify(condition);
  CollectColumns(*out->condition_, &out->columns_);
  std::sort(out->columns_.begin(), out->columns_.end());
  out->columns_.erase(std::unique(out->columns_.begin(), out->columns_.end()), out->columns_.end());
  arrow::FieldVector fields;
  for (int column : out->columns_) fields.push_back(descriptor.schema->field(column));
  out->input_ = arrow::schema(std::move(fields));
  MARBLE_ASSIGN_OR_RETURN(out->evaluator_,
                          expr::Evaluator::Make(Renumber(out->condition_, out->columns_)));
  MARBLE_ASSIGN_OR_RETURN(out->key_bounds_, KeyBounds(table, *out->condition_));
  return out;
}

Result<std::shared_ptr<arrow::BooleanArray>> Predicate::Evaluate(const arrow::RecordBatch& batch,
                                                                 const std::vector<int>& at) const {
  std::vector<std::shared_ptr<arrow::ArrayData>> columns;
  columns.reserve(columns_.size());
  for (int column : at) columns.push_back(batch.column_data(column));
  const auto input = arrow::RecordBatch::Make(input_, batch.num_rows(), std::move(columns));
  MARBLE_ASSIGN_OR_RETURN(auto values, evaluator_->Evaluate(*input));
  return std::static_pointer_cast<arrow::BooleanArray>(values);
}

Result<ExpressionPtr> Conditions::Column(const std::string& name) const {
  MARBLE_ASSIGN_OR_RETURN(const int index, ColumnIndex(table_, name));
  const auto& field = *lsm::DescriptorOf(table_).schema->field(index);
  return expr::MakeColumn(index, field.type(), field.nullable());
}

Result<ExpressionPtr> Conditions::Literal(const std::string& column, const Expression& of,
                                          const Value& value) const {
  MARBLE_RETURN_NOT_OK(expr::InitializeKernels());
  if (value->type->id() == arrow::Type::NA)
    return expr::MakeLiteral(arrow::MakeNullScalar(of.type));
  // Text is not read as a number, a number not as a time: who means that says so.
  const auto kind = [](const arrow::DataType& type) {
    if (arrow::is_integer(type.id()) || arrow::is_floating(type.id()) ||
        arrow::is_decimal(type.id())) {
      return 1;
    }
    if (arrow::is_string(type.id())) return 2;
    if (arrow::is_binary(type.id()) || arrow::is_large_binary_like(type.id())) return 3;
    return 100 + static_cast<int>(type.id());
  };
  const auto text_of = [](const arrow::DataType& type) {
    return type.id() == arrow::Type::LARGE_STRING ? 2 : 0;
  };
  const int a = text_of(*value->type) != 0 ? 2 : kind(*value->type);
  const int b = text_of(*of.type) != 0 ? 2 : kind(*of.type);
  const ScalarPtr converted = a == b ? Convert(value, of.type) : nullptr;
  if (converted == nullptr) {
    return MakeError(ErrorCode::kSchema, "column '" + column + "' of table '" +
                                             lsm::DescriptorOf(table_).name + "' is " +
                                             of.type->ToString() + ": it cannot be compared with " +
                                             value->ToString() + " (" + value->type->ToString() +
                                             "), which is no value of that type");
  }
  return expr::MakeLiteral(converted);
}

Result<ExpressionPtr> Conditions::Compare(const std::string& column, Op op,
                                          const Value& value) const {
  MARBLE_ASSIGN_OR_RETURN(auto left, Column(column));
  MARBLE_ASSIGN_OR_RETURN(auto right, Literal(column, *left, value));
  return expr::MakeCall(FunctionOf(op), {std::move(left), std::move(right)}, arrow::boolean());
}

Result<ExpressionPtr> Conditions::Between(const std::string& column, const Value& low,
                                          const Value& high) const {
  MARBLE_ASSIGN_OR_RETURN(auto from, Compare(column, Op::kGreaterEqual, low));
  MARBLE_ASSIGN_OR_RETURN(auto to, Compare(column, Op::kLessEqual, high));
  return And({std::move(from), std::move(to)});
}

Result<ExpressionPtr> Conditions::In(const std::string& column,
                                     const std::vector<Value>& values) const {
  MARBLE_ASSIGN_OR_RETURN(auto left, Column(column));
  std::vector<ExpressionPtr> args = {left};
  for (const Value& value : values) {
    MARBLE_ASSIGN_OR_RETURN(auto item, Literal(column, *left, value));
    args.push_back(std::move(item));
  }
  if (args.size() == 1) {
    return MakeError(ErrorCode::kInvalidArgument, "IN on column '" + column + "' has no values");
  }
  return expr::MakeCall("in", std::move(args), arrow::boolean());
}

Result<ExpressionPtr> Conditions::IsNull(const std::string& column) const {
  MARBLE_ASSIGN_OR_RETURN(auto left, Column(column));
  return expr::MakeCall("isNull", {std::move(left)}, arrow::boolean());
}

Result<ExpressionPtr> Conditions::Like(const std::string& column,
                                       const std::string& pattern) const {
  MARBLE_ASSIGN_OR_RETURN(auto left, Column(column));
  if (left->type->id() == arrow::Type::LARGE_STRING) {
    left = expr::MakeCast(std::move(left), arrow::utf8());
  }
  if (left->type->id() != arrow::Type::STRING) {
    return MakeError(ErrorCode::kSchema, "LIKE takes text; column '" + column + "' of table '" +
                                             lsm::DescriptorOf(table_).name + "' is " +
                                             left->type->ToString());
  }
  return expr::MakeCall(
      "like", {std::move(left), expr::MakeLiteral(std::make_shared<arrow::StringScalar>(pattern))},
      arrow::boolean());
}

ExpressionPtr Conditions::And(std::vector<ExpressionPtr> conditions) {
  return expr::MakeCall("and", std::move(conditions), arrow::boolean());
}
ExpressionPtr Conditions::Or(std::vector<ExpressionPtr> conditions) {
  return expr::MakeCall("or", std::move(conditions), arrow::boolean());
}
ExpressionPtr Conditions::Not(ExpressionPtr condition) {
  return expr::MakeCall("not", {std::move(condition)}, arrow::boolean());
}

}  // namespace marble::table
