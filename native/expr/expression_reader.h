// Expressions out of a plan's JSON (lib/sql/plan/PLAN.md, "Expressions"). Strict: an unknown
// kind, key or malformed literal is kPlan with its path.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "base/status.h"
#include "expr/expression.h"
#include "expr/json_object.h"

namespace marble::expr {

/// Read an expression over `input`; checks that columns exist and have the type they claim.
Result<ExpressionPtr> ReadExpression(simdjson::dom::element json, const arrow::Schema& input,
                                     const std::string& where);
/// The same from text, for tests and tools.
Result<ExpressionPtr> ReadExpression(std::string_view json, const arrow::Schema& input);

/// The type under "type" (and "children") of an expression.
Result<std::shared_ptr<arrow::DataType>> ReadType(JsonObject* object);

}  // namespace marble::expr
