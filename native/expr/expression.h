// A typed expression tree, as a plan carries it. Immutable once read; shared freely.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace marble::expr {

struct Expression;
using ExpressionPtr = std::shared_ptr<const Expression>;

struct Expression {
  enum class Kind { kColumn, kLiteral, kCall, kCast };

  Kind kind = Kind::kColumn;
  std::shared_ptr<arrow::DataType> type;
  bool nullable = true;

  int column = -1;                         // kColumn: index into the input
  std::shared_ptr<arrow::Scalar> literal;  // kLiteral: of `type`, may be null
  std::string function;                    // kCall
  std::vector<ExpressionPtr> args;         // kCall; kCast: one
  bool try_cast = false;                   // kCast: NULL instead of an error

  /// Write as text with column names taken from `input` (its indices where null): what operator
  /// fingerprints and messages are made of.
  std::string ToString(const arrow::Schema* input = nullptr) const;
  /// True when evaluation can end in an error for some values: such a branch of CASE, AND, OR
  /// and COALESCE is evaluated only for the rows that need it.
  bool CanFail() const;
};

ExpressionPtr MakeColumn(int index, std::shared_ptr<arrow::DataType> type, bool nullable = true);
ExpressionPtr MakeLiteral(std::shared_ptr<arrow::Scalar> value);
ExpressionPtr MakeCall(std::string function, std::vector<ExpressionPtr> args,
                       std::shared_ptr<arrow::DataType> type);
ExpressionPtr MakeCast(ExpressionPtr arg, std::shared_ptr<arrow::DataType> type,
                       bool try_cast = false);

}  // namespace marble::expr
