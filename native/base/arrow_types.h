// Arrow schemas as JSON, in the form of Arrow's integration-test format:
//   {"fields":[{"name":"a","nullable":true,"type":{"name":"int","bitWidth":32,"isSigned":true},"children":[]}],
//    "metadata":[{"key":"k","value":"v"}]}
// This is how schemas cross to TypeScript and how plans carry types. Types covered: null, bool,
// int, floatingpoint, decimal, date, time, timestamp, duration, interval, utf8, largeutf8, binary,
// largebinary, fixedsizebinary, list, largelist, fixedsizelist, struct, map. Others: kNotSupported.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace marble {

Result<std::shared_ptr<arrow::Schema>> SchemaFromJson(std::string_view json);
Result<std::string> SchemaToJson(const arrow::Schema& schema);
/// One field object; the form that plans use for types: {"name","nullable","type","children"}.
Result<std::shared_ptr<arrow::Field>> FieldFromJson(std::string_view json);

}  // namespace marble
