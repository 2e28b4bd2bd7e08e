// CAST and TRY_CAST with Flink's rules: numbers narrow by wrapping, fractions are cut off,
// decimals that do not fit are NULL, text that is no value of the type fails CAST (the error has
// the text) and is NULL for TRY_CAST.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <string>

#include "base/status.h"

namespace marble::expr {

/// Check that a cast between two types exists: kNotSupported naming both when not.
Status CheckCast(const arrow::DataType& from, const arrow::DataType& to);

/// Cast a column. kInvalidArgument when a row cannot be cast and `try_cast` is false.
Result<std::shared_ptr<arrow::Array>> CastArray(const std::shared_ptr<arrow::Array>& array,
                                                const std::shared_ptr<arrow::DataType>& to,
                                                bool try_cast);

/// Nanoseconds, microseconds … of one second, by unit.
int64_t TicksPerSecond(arrow::TimeUnit::type unit);

/// Write a double as Java does ("1.0", "1.0E10").
void AppendJavaDouble(double value, std::string* out);
void AppendJavaFloat(float value, std::string* out);

}  // namespace marble::expr
