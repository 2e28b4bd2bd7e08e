// Arrow schemas as JSON, in the form of Arrow's integration-test format:
//   {"fields":[{"name":"a","nullable":true,"type":{"name":"int","bitWidth":32,"isSigned":true},"children":[]}],
//    "metadata":[{"key":"k","value":"v"}]}
// This is how schemas cross to TypeScript and how plans carry types. Types covered: null, bool,
// int, floatingpoint, decimal, date, time, timestamp, duration, interval, utf8, largeutf8, binary,
// largebinary, fixedsizebinary, list, largelist, fixedsizelist, struct, map, union. Others:
// kNotSupported.
//
// A field of utf8 or binary with "view": true is a field of that type whose metadata says so
// (kViewKey): it is stored plainly, and readers get views. An arrow::StringViewType or
// BinaryViewType itself has no JSON.
//
// A field with "dictionary": {"indexType":{...int},"isOrdered":false} is a field of its values'
// type whose metadata says so (kDictionaryKey): that is how such columns are stored, and how
// SchemaToJson finds what it was. An arrow::DictionaryType itself has no JSON.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace marble {

/// Of a field's metadata: readers get its values with a dictionary. "int32", "uint8 ordered" …
inline constexpr char kDictionaryKey[] = "marble.dictionary";
/// Of a field's metadata, on utf8 and binary: readers get it as utf8_view, binary_view. "true".
inline constexpr char kViewKey[] = "marble.view";
struct DeclaredDictionary {
  std::shared_ptr<arrow::DataType> index_type;
  bool ordered = false;
};
/// What a field's metadata says; nullopt: nothing.
std::optional<DeclaredDictionary> DictionaryOf(const arrow::Field& field);
/// Whether a field's metadata says that its values are views for those who read them.
bool IsDeclaredView(const arrow::Field& field);

Result<std::shared_ptr<arrow::Schema>> SchemaFromJson(std::string_view json);
Result<std::string> SchemaToJson(const arrow::Schema& schema);
/// One field object; the form that plans use for types: {"name","nullable","type","children"}.
Result<std::shared_ptr<arrow::Field>> FieldFromJson(std::string_view json);

}  // namespace marble
