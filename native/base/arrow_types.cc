#include "base/arrow_types.h"

#include <arrow/api.h>
#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <utility>
#include <vector>

namespace marble {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

/// A plan is written by a program: deeper nesting than this is a mistake or an attack.
constexpr int kMaxDepth = 64;

Status Bad(const std::string& where, const std::string& what) {
  return MakeError(ErrorCode::kSchema, "schema JSON, " + where + ": " + what);
}

Result<std::string_view> GetString(const object& in, const char* key, const std::string& where) {
  std::string_view value;
  if (in[key].get_string().get(value) != simdjson::SUCCESS) {
    return Bad(where, "\"" + std::string(key) + "\" must be a string");
  }
  return value;
}

Result<int32_t> GetInt(const object& in, const char* key, const std::string& where) {
  int64_t value;
  if (in[key].get_int64().get(value) != simdjson::SUCCESS ||
      value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) {
    return Bad(where, "\"" + std::string(key) + "\" must be a 32-bit integer");
  }
  return static_cast<int32_t>(value);
}

/// `fallback` when the key is absent.
Result<bool> GetBool(const object& in, const char* key, bool fallback, const std::string& where) {
  element value;
  if (in[key].get(value) != simdjson::SUCCESS) return fallback;
  bool result;
  if (value.get_bool().get(result) != simdjson::SUCCESS) {
    return Bad(where, "\"" + std::string(key) + "\" must be true or false");
  }
  return result;
}

Result<arrow::TimeUnit::type> GetTimeUnit(const object& type, const std::string& where) {
  MARBLE_ASSIGN_OR_RETURN(const auto unit, GetString(type, "unit", where));
  if (unit == "SECOND") return arrow::TimeUnit::SECOND;
  if (unit == "MILLISECOND") return arrow::TimeUnit::MILLI;
  if (unit == "MICROSECOND") return arrow::TimeUnit::MICRO;
  if (unit == "NANOSECOND") return arrow::TimeUnit::NANO;
  return Bad(where, "unknown time unit \"" + std::string(unit) + "\"");
}

const char* TimeUnitName(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return "SECOND";
    case arrow::TimeUnit::MILLI:
      return "MILLISECOND";
    case arrow::TimeUnit::MICRO:
      return "MICROSECOND";
    case arrow::TimeUnit::NANO:
      break;
  }
  return "NANOSECOND";
}

using TypeRef = std::shared_ptr<arrow::DataType>;
using FieldRef = std::shared_ptr<arrow::Field>;

Result<TypeRef> ReadInt(const object& type, const std::string& where) {
  MARBLE_ASSIGN_OR_RETURN(const int32_t width, GetInt(type, "bitWidth", where));
  MARBLE_ASSIGN_OR_RETURN(const bool is_signed, GetBool(type, "isSigned", true, where));
  switch (width) {
    case 8:
      return is_signed ? arrow::int8() : arrow::uint8();
    case 16:
      return is_signed ? arrow::int16() : arrow::uint16();
    case 32:
      return is_signed ? arrow::int32() : arrow::uint32();
    case 64:
      return is_signed ? arrow::int64() : arrow::uint64();
    default:
      return Bad(where, "an int has 8, 16, 32 or 64 bits, not " + std::to_string(width));
  }
}

Result<TypeRef> ReadFloat(const object& type, const std::string& where) {
  MARBLE_ASSIGN_OR_RETURN(const auto precision, GetString(type, "precision", where));
  if (precision == "HALF") return arrow::float16();
  if (precision == "SINGLE") return arrow::float32();
  if (precision == "DOUBLE") return arrow::float64();
  return Bad(where, "unknown precision \"" + std::string(precision) + "\"");
}

Result<TypeRef> ReadDecimal(const object& type, const std::string& where) {
  MARBLE_ASSIGN_OR_RETURN(const int32_t precision, GetInt(type, "precision", where));
  MARBLE_ASSIGN_OR_RETURN(const int32_t scale, GetInt(type, "scale", where));
  int32_t width = 128;
  if (element value; type["bitWidth"].get(value) == simdjson::SUCCESS) {
    MARBLE_ASSIGN_OR_RETURN(width, GetInt(type, "bitWidth", where));
  }
  Result<TypeRef> made = Status::Invalid("no such width");
  if (width == 32) made = arrow::Decimal32Type::Make(precision, scale);
  if (width == 64) made = arrow::Decimal64Type::Make(precision, scale);
  if (width == 128) made = arrow::Decimal128Type::Make(precision, scale);
  if (width == 256) made = arrow::Decimal256Type::Make(precision, scale);
  if (!made.ok()) {
    return Bad(where, "no decimal of " + std::to_string(width) + " bits has precision " +
                          std::to_string(precision) + " and scale " + std::to_string(scale));
  }
  return made;
}

Result<TypeRef> ReadTime(const object& type, const std::string& where) {
  MARBLE_ASSIGN_OR_RETURN(const auto unit, GetTimeUnit(type, where));
  MARBLE_ASSIGN_OR_RETURN(const int32_t width, GetInt(type, "bitWidth", where));
  const bool coarse = unit == arrow::TimeUnit::SECOND || unit == arrow::TimeUnit::MILLI;
  if (width != (coarse ? 32 : 64)) {
    return Bad(where, "a time in " + std::string(TimeUnitName(unit)) + " has " +
                          (coarse ? "32" : "64") + " bits, not " + std::to_string(width));
  }
  return coarse ? arrow::time32(unit) : arrow::time64(unit);
}

Result<TypeRef> ReadInterval(const object& type, const std::string& where) {
  MARBLE_ASSIGN_OR_RETURN(const auto unit, GetString(type, "unit", where));
  if (unit == "YEAR_MONTH") return arrow::month_interval();
  if (unit == "DAY_TIME") return arrow::day_time_interval();
  if (unit == "MONTH_DAY_NANO") return arrow::month_day_nano_interval();
  return Bad(where, "unknown interval unit \"" + std::string(unit) + "\"");
}

Result<TypeRef> ReadDate(const object& type, const std::string& where) {
  MARBLE_ASSIGN_OR_RETURN(const auto unit, GetString(type, "unit", where));
  if (unit == "DAY") return arrow::date32();
  if (unit == "MILLISECOND") return arrow::date64();
  return Bad(where, "unknown date unit \"" + std::string(unit) + "\"");
}

Result<TypeRef> ReadMap(const object& type, const FieldRef& entries, const std::string& where) {
  if (entries->type()->id() != arrow::Type::STRUCT || entries->type()->num_fields() != 2) {
    return Bad(where, "the child of a map must be a struct of key and value");
  }
  MARBLE_ASSIGN_OR_RETURN(const bool keys_sorted, GetBool(type, "keysSorted", false, where));
  auto map = arrow::MapType::Make(entries, keys_sorted);
  if (!map.ok()) return Bad(where, map.status().message());
  return map;
}

Result<TypeRef> ReadUnion(const object& type, const std::vector<FieldRef>& children,
                          const std::string& where) {
  MARBLE_ASSIGN_OR_RETURN(const auto mode, GetString(type, "mode", where));
  if (mode != "DENSE" && mode != "SPARSE") {
    return Bad(where, "unknown union mode \"" + std::string(mode) + "\"");
  }
  array ids;
  if (type["typeIds"].get_array().get(ids) != simdjson::SUCCESS) {
    return Bad(where, "\"typeIds\" must be a list of numbers");
  }
  std::vector<int8_t> codes;
  for (const element id : ids) {
    int64_t code;
    if (id.get_int64().get(code) != simdjson::SUCCESS || code < 0 ||
        code > arrow::UnionType::kMaxTypeCode) {
      return Bad(where, "\"typeIds\" must be numbers from 0 to 127");
    }
    if (std::find(codes.begin(), codes.end(), code) != codes.end()) {
      return Bad(where, "type id " + std::to_string(code) + " of the union is there twice");
    }
    codes.push_back(static_cast<int8_t>(code));
  }
  if (children.empty() || codes.size() != children.size()) {
    return Bad(where, "a union has at least one child and a type id for each, not " +
                          std::to_string(children.size()) + " children and " +
                          std::to_string(codes.size()) + " type ids");
  }
  return mode == "DENSE" ? arrow::dense_union(children, codes)
                         : arrow::sparse_union(children, codes);
}

Result<TypeRef> ReadNested(std::string_view name, const object& type,
                           const std::vector<FieldRef>& children, const std::string& where) {
  if (name == "struct") return arrow::struct_(children);
  if (name == "union") return ReadUnion(type, children, where);
  if (children.size() != 1) {
    return Bad(where,
               "a " + std::string(name) + " has one child, not " + std::to_string(children.size()));
  }
  if (name == "list") return arrow::list(children[0]);
  if (name == "largelist") return arrow::large_list(children[0]);
  if (name == "map") return ReadMap(type, children[0], where);
  MARBLE_ASSIGN_OR_RETURN(const int32_t size, GetInt(type, "listSize", where));
  if (size < 0) return Bad(where, "\"listSize\" must not be negative");
  return arrow::fixed_size_list(children[0], size);
}

bool IsNested(std::string_view name) {
  return name == "list" || name == "largelist" || name == "fixedsizelist" || name == "struct" ||
         name == "map" || name == "union";
}

Result<TypeRef> ReadType(const object& type, const std::vector<FieldRef>& children,
                         const std::string& where) {
  MARBLE_ASSIGN_OR_RETURN(const auto name, GetString(type, "name", where));
  if (IsNested(name)) return ReadNested(name, type, children, where);
  if (!children.empty()) {
    return Bad(where, "type \"" + std::string(name) + "\" has no children");
  }
  if (name == "null") return arrow::null();
  if (name == "bool") return arrow::boolean();
  if (name == "int") return ReadInt(type, where);
  if (name == "floatingpoint") return ReadFloat(type, where);
  if (name == "decimal") return ReadDecimal(type, where);
  if (name == "date") return ReadDate(type, where);
  if (name == "time") return ReadTime(type, where);
  if (name == "interval") return ReadInterval(type, where);
  if (name == "duration") {
    MARBLE_ASSIGN_OR_RETURN(const auto unit, GetTimeUnit(type, where));
    return arrow::duration(unit);
  }
  if (name == "timestamp") {
    MARBLE_ASSIGN_OR_RETURN(const auto unit, GetTimeUnit(type, where));
    element zone;
    if (type["timezone"].get(zone) != simdjson::SUCCESS || zone.is_null()) {
      return arrow::timestamp(unit);
    }
    MARBLE_ASSIGN_OR_RETURN(const auto text, GetString(type, "timezone", where));
    return arrow::timestamp(unit, std::string(text));
  }
  if (name == "utf8") return arrow::utf8();
  if (name == "largeutf8") return arrow::large_utf8();
  if (name == "binary") return arrow::binary();
  if (name == "largebinary") return arrow::large_binary();
  if (name == "fixedsizebinary") {
    MARBLE_ASSIGN_OR_RETURN(const int32_t width, GetInt(type, "byteWidth", where));
    if (width < 0) return Bad(where, "\"byteWidth\" must not be negative");
    return arrow::fixed_size_binary(width);
  }
  return MakeError(ErrorCode::kNotSupported,
                   "schema JSON, " + where + ": type \"" + std::string(name) + "\"");
}

/// Null when there is none. A list of {"key", "value"}, as in Arrow's integration format.
Result<std::shared_ptr<arrow::KeyValueMetadata>> ReadMetadata(const object& in,
                                                              const std::string& where) {
  element value;
  if (in["metadata"].get(value) != simdjson::SUCCESS || value.is_null()) return nullptr;
  array pairs;
  if (value.get_array().get(pairs) != simdjson::SUCCESS) {
    return Bad(where, "\"metadata\" must be a list of {\"key\", \"value\"}");
  }
  auto metadata = std::make_shared<arrow::KeyValueMetadata>();
  for (const element pair : pairs) {
    object entry;
    if (pair.get_object().get(entry) != simdjson::SUCCESS) {
      return Bad(where, "\"metadata\" must be a list of {\"key\", \"value\"}");
    }
    MARBLE_ASSIGN_OR_RETURN(const auto key, GetString(entry, "key", where));
    MARBLE_ASSIGN_OR_RETURN(const auto text, GetString(entry, "value", where));
    metadata->Append(std::string(key), std::string(text));
  }
  if (metadata->size() == 0) return nullptr;
  return metadata;
}

/// Note a field's dictionary in its metadata, in place of what may stand there.
Status ReadDictionary(const object& field, const std::string& where,
                      std::shared_ptr<arrow::KeyValueMetadata>* metadata) {
  if (*metadata != nullptr && (*metadata)->Contains(kDictionaryKey)) {
    MARBLE_RETURN_NOT_OK((*metadata)->Delete(kDictionaryKey));
  }
  object dictionary, index;
  if (element value; field["dictionary"].get(value) != simdjson::SUCCESS || value.is_null()) {
    return Status::OK();
  } else if (value.get_object().get(dictionary) != simdjson::SUCCESS ||
             dictionary["indexType"].get_object().get(index) != simdjson::SUCCESS) {
    return Bad(where, "\"dictionary\" must be an object with an \"indexType\"");
  }
  MARBLE_ASSIGN_OR_RETURN(const auto name, GetString(index, "name", where));
  if (name != "int") return Bad(where, "a dictionary's \"indexType\" must be an int");
  MARBLE_ASSIGN_OR_RETURN(const auto type, ReadInt(index, where));
  MARBLE_ASSIGN_OR_RETURN(const bool ordered, GetBool(dictionary, "isOrdered", false, where));
  if (*metadata == nullptr) *metadata = std::make_shared<arrow::KeyValueMetadata>();
  (*metadata)->Append(kDictionaryKey, type->ToString() + (ordered ? " ordered" : ""));
  return Status::OK();
}

/// The same for views.
Status ReadView(const object& field, const arrow::DataType& type, const std::string& where,
                std::shared_ptr<arrow::KeyValueMetadata>* metadata) {
  if (*metadata != nullptr && (*metadata)->Contains(kViewKey)) {
    MARBLE_RETURN_NOT_OK((*metadata)->Delete(kViewKey));
  }
  MARBLE_ASSIGN_OR_RETURN(const bool view, GetBool(field, "view", false, where));
  if (!view) return Status::OK();
  if (type.id() != arrow::Type::STRING && type.id() != arrow::Type::BINARY) {
    return Bad(where, "only a utf8 or a binary may be a \"view\", not " + type.ToString());
  }
  if (*metadata == nullptr) *metadata = std::make_shared<arrow::KeyValueMetadata>();
  (*metadata)->Append(kViewKey, "true");
  return Status::OK();
}

/// A type in a plan may come without a name; a column may not.
enum class Name { kRequired, kOptional };

Result<FieldRef> ReadField(const element& in, const std::string& where, int depth,
                           Name naming = Name::kRequired);

Result<std::vector<FieldRef>> ReadFields(const object& in, const char* key, bool required,
                                         const std::string& where, int depth) {
  std::vector<FieldRef> fields;
  element value;
  if (in[key].get(value) != simdjson::SUCCESS) {
    if (required) return Bad(where, "\"" + std::string(key) + "\" is missing");
    return fields;
  }
  array list;
  if (value.get_array().get(list) != simdjson::SUCCESS) {
    return Bad(where, "\"" + std::string(key) + "\" must be a list of fields");
  }
  for (const element child : list) {
    const std::string place = where + ", field " + std::to_string(fields.size());
    MARBLE_ASSIGN_OR_RETURN(auto field, ReadField(child, place, depth));
    fields.push_back(std::move(field));
  }
  return fields;
}

Result<FieldRef> ReadField(const element& in, const std::string& where, int depth, Name naming) {
  object field;
  if (in.get_object().get(field) != simdjson::SUCCESS) {
    return Bad(where, "a field must be an object");
  }
  if (depth > kMaxDepth) return Bad(where, "types are nested too deeply");
  std::string_view name;
  element unused;
  if (naming == Name::kRequired || field["name"].get(unused) == simdjson::SUCCESS) {
    MARBLE_ASSIGN_OR_RETURN(name, GetString(field, "name", where));
  }
  const std::string place = where + " '" + std::string(name) + "'";
  MARBLE_ASSIGN_OR_RETURN(const bool nullable, GetBool(field, "nullable", true, place));
  object type;
  if (field["type"].get_object().get(type) != simdjson::SUCCESS) {
    return Bad(place, "\"type\" must be an object");
  }
  MARBLE_ASSIGN_OR_RETURN(auto children, ReadFields(field, "children", false, place, depth + 1));
  MARBLE_ASSIGN_OR_RETURN(auto data_type, ReadType(type, children, place));
  MARBLE_ASSIGN_OR_RETURN(auto metadata, ReadMetadata(field, place));
  MARBLE_RETURN_NOT_OK(ReadDictionary(field, place, &metadata));
  MARBLE_RETURN_NOT_OK(ReadView(field, *data_type, place, &metadata));
  return arrow::field(std::string(name), std::move(data_type), nullable, std::move(metadata));
}

Status ParseObject(simdjson::dom::parser* parser, std::string_view json, element* root) {
  const auto error = parser->parse(simdjson::padded_string(json)).get(*root);
  if (error != simdjson::SUCCESS) {
    return MakeError(ErrorCode::kSchema,
                     std::string("schema JSON: ") + simdjson::error_message(error));
  }
  return Status::OK();
}

// --- Writing ------------------------------------------------------------------------------

Status WriteString(std::string_view text, std::string* out) {
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    return MakeError(ErrorCode::kSchema,
                     "a name or metadata value of the schema is not valid UTF-8, which JSON "
                     "cannot carry");
  }
  out->push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        out->append("\\\"");
        break;
      case '\\':
        out->append("\\\\");
        break;
      case '\n':
        out->append("\\n");
        break;
      case '\r':
        out->append("\\r");
        break;
      case '\t':
        out->append("\\t");
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          char escaped[8];
          std::snprintf(escaped, sizeof(escaped), "\\u%04x", c);
          out->append(escaped);
        } else {
          out->push_back(c);
        }
    }
  }
  out->push_back('"');
  return Status::OK();
}

std::string IntJson(int bits, bool is_signed) {
  return "{\"name\":\"int\",\"bitWidth\":" + std::to_string(bits) +
         ",\"isSigned\":" + (is_signed ? "true" : "false") + "}";
}
std::string UnitJson(const char* name, const char* unit, const std::string& more = {}) {
  return std::string("{\"name\":\"") + name + "\",\"unit\":\"" + unit + "\"" + more + "}";
}
std::string NameJson(const char* name, const std::string& more = {}) {
  return std::string("{\"name\":\"") + name + "\"" + more + "}";
}

Result<std::string> TypeJson(const arrow::DataType& type, const std::string& column) {
  using arrow::Type;
  switch (type.id()) {
    case Type::NA:
      return NameJson("null");
    case Type::BOOL:
      return NameJson("bool");
    case Type::INT8:
      return IntJson(8, true);
    case Type::INT16:
      return IntJson(16, true);
    case Type::INT32:
      return IntJson(32, true);
    case Type::INT64:
      return IntJson(64, true);
    case Type::UINT8:
      return IntJson(8, false);
    case Type::UINT16:
      return IntJson(16, false);
    case Type::UINT32:
      return IntJson(32, false);
    case Type::UINT64:
      return IntJson(64, false);
    case Type::HALF_FLOAT:
      return NameJson("floatingpoint", ",\"precision\":\"HALF\"");
    case Type::FLOAT:
      return NameJson("floatingpoint", ",\"precision\":\"SINGLE\"");
    case Type::DOUBLE:
      return NameJson("floatingpoint", ",\"precision\":\"DOUBLE\"");
    case Type::DECIMAL32:
    case Type::DECIMAL64:
    case Type::DECIMAL128:
    case Type::DECIMAL256: {
      const auto& decimal = static_cast<const arrow::DecimalType&>(type);
      return NameJson("decimal", ",\"precision\":" + std::to_string(decimal.precision()) +
                                     ",\"scale\":" + std::to_string(decimal.scale()) +
                                     ",\"bitWidth\":" + std::to_string(decimal.bit_width()));
    }
    case Type::DATE32:
      return UnitJson("date", "DAY");
    case Type::DATE64:
      return UnitJson("date", "MILLISECOND");
    case Type::TIME32:
    case Type::TIME64: {
      const auto& time = static_cast<const arrow::TimeType&>(type);
      return UnitJson("time", TimeUnitName(time.unit()),
                      ",\"bitWidth\":" + std::to_string(time.bit_width()));
    }
    case Type::TIMESTAMP: {
      const auto& timestamp = static_cast<const arrow::TimestampType&>(type);
      std::string zone;
      if (!timestamp.timezone().empty()) {
        zone = ",\"timezone\":";
        MARBLE_RETURN_NOT_OK(WriteString(timestamp.timezone(), &zone));
      }
      return UnitJson("timestamp", TimeUnitName(timestamp.unit()), zone);
    }
    case Type::DURATION:
      return UnitJson("duration",
                      TimeUnitName(static_cast<const arrow::DurationType&>(type).unit()));
    case Type::INTERVAL_MONTHS:
      return UnitJson("interval", "YEAR_MONTH");
    case Type::INTERVAL_DAY_TIME:
      return UnitJson("interval", "DAY_TIME");
    case Type::INTERVAL_MONTH_DAY_NANO:
      return UnitJson("interval", "MONTH_DAY_NANO");
    case Type::STRING:
      return NameJson("utf8");
    case Type::LARGE_STRING:
      return NameJson("largeutf8");
    case Type::BINARY:
      return NameJson("binary");
    case Type::LARGE_BINARY:
      return NameJson("largebinary");
    case Type::FIXED_SIZE_BINARY:
      return NameJson(
          "fixedsizebinary",
          ",\"byteWidth\":" +
              std::to_string(static_cast<const arrow::FixedSizeBinaryType&>(type).byte_width()));
    case Type::LIST:
      return NameJson("list");
    case Type::LARGE_LIST:
      return NameJson("largelist");
    case Type::FIXED_SIZE_LIST:
      return NameJson(
          "fixedsizelist",
          ",\"listSize\":" +
              std::to_string(static_cast<const arrow::FixedSizeListType&>(type).list_size()));
    case Type::STRUCT:
      return NameJson("struct");
    case Type::SPARSE_UNION:
    case Type::DENSE_UNION: {
      std::string codes;
      for (const int8_t code : static_cast<const arrow::UnionType&>(type).type_codes()) {
        codes += (codes.empty() ? "" : ",") + std::to_string(code);
      }
      return NameJson("union", std::string(",\"mode\":\"") +
                                   (type.id() == Type::DENSE_UNION ? "DENSE" : "SPARSE") +
                                   "\",\"typeIds\":[" + codes + "]");
    }
    case Type::MAP:
      return NameJson(
          "map", std::string(",\"keysSorted\":") +
                     (static_cast<const arrow::MapType&>(type).keys_sorted() ? "true" : "false"));
    default:
      return MakeError(
          ErrorCode::kNotSupported,
          "column '" + column + "' has type " + type.ToString() + ", which has no schema JSON");
  }
}

Status WriteMetadata(const std::shared_ptr<const arrow::KeyValueMetadata>& metadata,
                     std::string* out) {
  if (metadata == nullptr) return Status::OK();
  bool any = false;
  for (int64_t i = 0; i < metadata->size(); ++i) {
    if (metadata->key(i) == kDictionaryKey || metadata->key(i) == kViewKey) continue;
    out->append(any ? "," : ",\"metadata\":[");
    any = true;
    out->append("{\"key\":");
    MARBLE_RETURN_NOT_OK(WriteString(metadata->key(i), out));
    out->append(",\"value\":");
    MARBLE_RETURN_NOT_OK(WriteString(metadata->value(i), out));
    out->push_back('}');
  }
  if (any) out->push_back(']');
  return Status::OK();
}

Status WriteField(const arrow::Field& field, std::string* out) {
  out->append("{\"name\":");
  MARBLE_RETURN_NOT_OK(WriteString(field.name(), out));
  out->append(field.nullable() ? ",\"nullable\":true" : ",\"nullable\":false");
  MARBLE_ASSIGN_OR_RETURN(const std::string type, TypeJson(*field.type(), field.name()));
  out->append(",\"type\":").append(type).append(",\"children\":[");
  bool first = true;
  for (const auto& child : field.type()->fields()) {
    if (!std::exchange(first, false)) out->push_back(',');
    MARBLE_RETURN_NOT_OK(WriteField(*child, out));
  }
  out->push_back(']');
  if (const auto dictionary = DictionaryOf(field)) {
    MARBLE_ASSIGN_OR_RETURN(const std::string index,
                            TypeJson(*dictionary->index_type, field.name()));
    out->append(",\"dictionary\":{\"indexType\":").append(index);
    out->append(dictionary->ordered ? ",\"isOrdered\":true}" : ",\"isOrdered\":false}");
  }
  if (IsDeclaredView(field)) out->append(",\"view\":true");
  MARBLE_RETURN_NOT_OK(WriteMetadata(field.metadata(), out));
  out->push_back('}');
  return Status::OK();
}

}  // namespace

bool IsDeclaredView(const arrow::Field& field) {
  return field.metadata() != nullptr && field.metadata()->Contains(kViewKey) &&
         (field.type()->id() == arrow::Type::STRING || field.type()->id() == arrow::Type::BINARY);
}

std::optional<DeclaredDictionary> DictionaryOf(const arrow::Field& field) {
  const int at = field.metadata() == nullptr ? -1 : field.metadata()->FindKey(kDictionaryKey);
  if (at < 0) return std::nullopt;
  std::string text = field.metadata()->value(at);
  constexpr std::string_view kOrdered = " ordered";
  DeclaredDictionary dictionary;
  dictionary.ordered = text.ends_with(kOrdered);
  if (dictionary.ordered) text.resize(text.size() - kOrdered.size());
  for (const auto& type : {arrow::int8(), arrow::int16(), arrow::int32(), arrow::int64(),
                           arrow::uint8(), arrow::uint16(), arrow::uint32(), arrow::uint64()}) {
    if (type->ToString() == text) dictionary.index_type = type;
  }
  // Metadata that somebody else wrote says nothing.
  if (dictionary.index_type == nullptr) return std::nullopt;
  return dictionary;
}

Result<std::shared_ptr<arrow::Schema>> SchemaFromJson(std::string_view json) {
  simdjson::dom::parser parser;
  element root;
  MARBLE_RETURN_NOT_OK(ParseObject(&parser, json, &root));
  object schema;
  if (root.get_object().get(schema) != simdjson::SUCCESS) {
    return Bad("top level", "a schema must be an object");
  }
  MARBLE_ASSIGN_OR_RETURN(auto fields, ReadFields(schema, "fields", true, "top level", 0));
  MARBLE_ASSIGN_OR_RETURN(auto metadata, ReadMetadata(schema, "top level"));
  return arrow::schema(std::move(fields), std::move(metadata));
}

Result<std::string> SchemaToJson(const arrow::Schema& schema) {
  std::string out = "{\"fields\":[";
  bool first = true;
  for (const auto& field : schema.fields()) {
    if (!std::exchange(first, false)) out.push_back(',');
    MARBLE_RETURN_NOT_OK(WriteField(*field, &out));
  }
  out.push_back(']');
  MARBLE_RETURN_NOT_OK(WriteMetadata(schema.metadata(), &out));
  out.push_back('}');
  return out;
}

Result<std::shared_ptr<arrow::Field>> FieldFromJson(std::string_view json) {
  simdjson::dom::parser parser;
  element root;
  MARBLE_RETURN_NOT_OK(ParseObject(&parser, json, &root));
  return ReadField(root, "type", 0, Name::kOptional);
}

}  // namespace marble
