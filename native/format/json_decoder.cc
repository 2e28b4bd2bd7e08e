#include "format/json_decoder.h"

#include <arrow/array.h>
#include <arrow/type.h>
#include <simdjson.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <string_view>
#include <unordered_map>

#include "format/column_buffer.h"
#include "format/text_values.h"

namespace marble::format {
namespace {

namespace od = simdjson::ondemand;

/// How a column's values are converted.
enum class Convert {
  kBool,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kFloat,
  kDouble,
  kDecimal,
  kString,
  kBinary,
  kDate,
  kTime,
  kTimestamp,
  kStruct,
  kList,
  kMap,
};

struct Column;

/// The wanted fields of one object (the record, or a struct in it) and the order of the last one.
struct Fields {
  std::vector<Column> columns;
  std::unordered_map<std::string_view, int> by_name;  // views of the columns' names
  /// Per position in the object before: key as written, column or -1. Bounded: see Find.
  struct Expected {
    std::string key;
    int column = -1;
  };
  std::vector<Expected> order;
};

struct Column {
  std::string name;
  Convert convert = Convert::kString;
  bool nullable = true;
  std::string type_name;  // for messages
  ColumnBuffer* buffer = nullptr;
  int32_t precision = 0, scale = 0;
  int64_t nanos_per_unit = 1;
  bool time32 = false;
  TimestampText timestamp;
  std::unique_ptr<Fields> fields;  // struct
  std::unique_ptr<Column> item;    // list; map's values
};

/// Objects with more fields than this are read without prediction beyond it.
constexpr size_t kMaxPredictedFields = 256;
/// Deeper than any sane schema; records' own nesting is bounded by simdjson (1024).
constexpr int kMaxSchemaDepth = 64;

std::string TypeName(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::BOOL:
      return "BOOLEAN";
    case arrow::Type::INT8:
      return "TINYINT";
    case arrow::Type::INT16:
      return "SMALLINT";
    case arrow::Type::INT32:
      return "INT";
    case arrow::Type::INT64:
      return "BIGINT";
    case arrow::Type::FLOAT:
      return "FLOAT";
    case arrow::Type::DOUBLE:
      return "DOUBLE";
    case arrow::Type::STRING:
      return "STRING";
    case arrow::Type::BINARY:
      return "BYTES";
    case arrow::Type::DATE32:
      return "DATE";
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      return "TIME";
    case arrow::Type::STRUCT:
      return "ROW";
    case arrow::Type::LIST:
      return "ARRAY";
    case arrow::Type::MAP:
      return "MAP";
    case arrow::Type::TIMESTAMP:
      return static_cast<const arrow::TimestampType&>(type).timezone().empty() ? "TIMESTAMP"
                                                                               : "TIMESTAMP_LTZ";
    case arrow::Type::DECIMAL128: {
      const auto& decimal = static_cast<const arrow::Decimal128Type&>(type);
      return "DECIMAL(" + std::to_string(decimal.precision()) + ", " +
             std::to_string(decimal.scale()) + ")";
    }
    default:
      return type.ToString();
  }
}

Status MakeFields(const std::vector<std::shared_ptr<arrow::Field>>& fields, bool iso, int depth,
                  const std::function<ColumnBuffer*(size_t)>& buffer_of, Fields* out);

Status MakeColumn(const arrow::Field& field, bool iso, int depth, ColumnBuffer* buffer,
                  Column* column) {
  const arrow::DataType& type = *field.type();
  if (depth > kMaxSchemaDepth) {
    return MakeError(ErrorCode::kNotSupported, "column '" + field.name() +
                                                   "' is nested deeper than " +
                                                   std::to_string(kMaxSchemaDepth) + " levels");
  }
  column->name = field.name();
  column->nullable = field.nullable();
  column->type_name = TypeName(type);
  column->buffer = buffer;
  switch (type.id()) {
    case arrow::Type::BOOL:
      column->convert = Convert::kBool;
      break;
    case arrow::Type::INT8:
      column->convert = Convert::kInt8;
      break;
    case arrow::Type::INT16:
      column->convert = Convert::kInt16;
      break;
    case arrow::Type::INT32:
      column->convert = Convert::kInt32;
      break;
    case arrow::Type::INT64:
      column->convert = Convert::kInt64;
      break;
    case arrow::Type::FLOAT:
      column->convert = Convert::kFloat;
      break;
    case arrow::Type::DOUBLE:
      column->convert = Convert::kDouble;
      break;
    case arrow::Type::STRING:
      column->convert = Convert::kString;
      break;
    case arrow::Type::BINARY:
      column->convert = Convert::kBinary;
      break;
    case arrow::Type::DATE32:
      column->convert = Convert::kDate;
      break;
    case arrow::Type::DECIMAL128: {
      const auto& decimal = static_cast<const arrow::Decimal128Type&>(type);
      column->convert = Convert::kDecimal;
      column->precision = decimal.precision();
      column->scale = decimal.scale();
      break;
    }
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      column->convert = Convert::kTime;
      column->time32 = type.id() == arrow::Type::TIME32;
      column->nanos_per_unit =
          1'000'000'000 / UnitsPerSecond(static_cast<const arrow::TimeType&>(type).unit());
      break;
    case arrow::Type::TIMESTAMP: {
      const auto& timestamp = static_cast<const arrow::TimestampType&>(type);
      column->convert = Convert::kTimestamp;
      column->timestamp.unit = timestamp.unit();
      column->timestamp.zoned = !timestamp.timezone().empty();
      column->timestamp.separator = iso ? 'T' : ' ';
      break;
    }
    case arrow::Type::STRUCT:
      column->convert = Convert::kStruct;
      column->fields = std::make_unique<Fields>();
      return MakeFields(
          type.fields(), iso, depth + 1, [buffer](size_t i) { return buffer->child(i); },
          column->fields.get());
    case arrow::Type::LIST:
      column->convert = Convert::kList;
      column->item = std::make_unique<Column>();
      return MakeColumn(*static_cast<const arrow::ListType&>(type).value_field(), iso, depth + 1,
                        buffer->child(0), column->item.get());
    case arrow::Type::MAP: {
      const auto& map = static_cast<const arrow::MapType&>(type);
      if (map.key_type()->id() != arrow::Type::STRING) {
        return MakeError(ErrorCode::kNotSupported,
                         "column '" + field.name() + "': the keys of a MAP in JSON are text, not " +
                             TypeName(*map.key_type()));
      }
      column->convert = Convert::kMap;
      column->item = std::make_unique<Column>();
      return MakeColumn(*map.item_field(), iso, depth + 1, buffer->child(1), column->item.get());
    }
    default:
      return MakeError(ErrorCode::kNotSupported,
                       "column '" + field.name() + "': format 'json' has no " + type.ToString());
  }
  return Status::OK();
}

Status MakeFields(const std::vector<std::shared_ptr<arrow::Field>>& fields, bool iso, int depth,
                  const std::function<ColumnBuffer*(size_t)>& buffer_of, Fields* out) {
  out->columns.resize(fields.size());
  for (size_t i = 0; i < fields.size(); ++i) {
    MARBLE_RETURN_NOT_OK(MakeColumn(*fields[i], iso, depth, buffer_of(i), &out->columns[i]));
    if (!out->by_name.emplace(out->columns[i].name, static_cast<int>(i)).second) {
      return MakeError(ErrorCode::kPlan, "column '" + fields[i]->name() + "' is declared twice");
    }
  }
  return Status::OK();
}

class JsonDecoder : public Decoder {
 public:
  static Result<std::unique_ptr<Decoder>> Make(
      const JsonOptions& options, const std::vector<std::shared_ptr<arrow::Field>>& fields) {
    std::unique_ptr<JsonDecoder> decoder(new JsonDecoder());
    decoder->fail_on_missing_ = options.fail_on_missing_field;
    for (const auto& field : fields) {
      auto buffer = ColumnBuffer::Make(field->type());
      if (!buffer.ok()) {
        return MakeError(CodeOf(buffer.status()),
                         "column '" + field->name() + "': " + MessageOf(buffer.status()));
      }
      decoder->buffers_.push_back(buffer.MoveValueUnsafe());
    }
    auto& buffers = decoder->buffers_;
    MARBLE_RETURN_NOT_OK(MakeFields(
        fields, options.iso_timestamps, 0, [&](size_t i) { return buffers[i].get(); },
        &decoder->root_));
    return std::unique_ptr<Decoder>(std::move(decoder));
  }

  Status Append(std::string_view record) override {
    if (record.size() + kPadding > scratch_.size()) {
      if (record.size() > static_cast<size_t>(INT32_MAX)) {
        return MakeError(ErrorCode::kBadRecord, "the record is longer than 2 GiB");
      }
      scratch_.resize(std::max<size_t>(4096, (record.size() + kPadding) * 2));
    }
    std::memcpy(scratch_.data(), record.data(), record.size());
    std::memset(scratch_.data() + record.size(), 0, kPadding);
    failed_.clear();
    internal_ = Status::OK();
    if (Read(record.size())) {
      ++rows_;
      return Status::OK();
    }
    for (auto& buffer : buffers_) buffer->Truncate(rows_);
    MARBLE_RETURN_NOT_OK(internal_);
    return MakeError(ErrorCode::kBadRecord, failed_ + ": " + Excerpt(record));
  }

  int64_t rows() const override { return rows_; }
  int64_t bytes() const override {
    int64_t total = 0;
    for (const auto& buffer : buffers_) total += buffer->bytes();
    return total;
  }

  Result<std::vector<std::shared_ptr<arrow::Array>>> Finish() override {
    std::vector<std::shared_ptr<arrow::Array>> arrays;
    for (auto& buffer : buffers_) {
      MARBLE_ASSIGN_OR_RETURN(auto array, buffer->Finish());
      arrays.push_back(std::move(array));
    }
    rows_ = 0;
    return arrays;
  }

 private:
  /// simdjson reads up to SIMDJSON_PADDING behind the record.
  static constexpr size_t kPadding = simdjson::SIMDJSON_PADDING;

  bool Read(size_t size) {
    od::document document;
    auto error = parser_.iterate(scratch_.data(), size, scratch_.size()).get(document);
    if (error == simdjson::EMPTY) return Fail("the record is empty");
    if (error) return Malformed(error);
    od::object object;
    error = document.get_object().get(object);
    if (error == simdjson::INCORRECT_TYPE) return Fail("the record is not a JSON object");
    if (error) return Malformed(error);
    if (!ReadFields(object, &root_, rows_)) return false;
    if (!document.at_end()) return Fail("malformed JSON: something follows the object");
    return true;
  }

  /// The column of the object's `position`-th field, -1 when nobody wants it; -2: malformed.
  int Find(od::field& field, size_t position, Fields* fields) {
    const char* raw = field.key().raw();
    if (position < fields->order.size()) {
      const Fields::Expected& expected = fields->order[position];
      const size_t length = expected.key.size();
      const size_t room = static_cast<size_t>(scratch_.data() + scratch_.size() - raw);
      if (length < room && std::memcmp(raw, expected.key.data(), length) == 0 &&
          raw[length] == '"') {
        return expected.column;
      }
    }
    std::string_view key = field.escaped_key();
    const std::string_view written = key;
    if (key.find('\\') != std::string_view::npos) {
      if (field.unescaped_key().get(key)) return -2;
    }
    const auto found = fields->by_name.find(key);
    const int column = found == fields->by_name.end() ? -1 : found->second;
    if (position < kMaxPredictedFields) {
      if (position >= fields->order.size()) fields->order.resize(position + 1);
      fields->order[position].key.assign(written);
      fields->order[position].column = column;
    }
    return column;
  }

  /// Read an object into columns that all have `length` rows; afterwards all have one more.
  bool ReadFields(od::object& object, Fields* fields, int64_t length) {
    size_t position = 0;
    size_t filled = 0;
    for (auto entry : object) {
      if (entry.error()) return Malformed(entry.error());
      // By reference: copies of these structs, written by halves and read whole, stall the CPU
      // for longer than a value takes to parse.
      od::field&& field = std::move(entry).value_unsafe();
      const int found = Find(field, position++, fields);
      od::value& value = field.value();
      if (found < 0) {
        if (found == -2) return Fail("malformed JSON: a key with a bad escape");
        if (!CheckSkipped(value)) return false;
        continue;
      }
      Column& column = fields->columns[static_cast<size_t>(found)];
      if (column.buffer->length() > length) {
        column.buffer->Truncate(length);  // the key came before: the last one counts
        --filled;
      }
      if (!ReadValue(value, &column)) return InField(column);
      ++filled;
    }
    if (filled == fields->columns.size()) return true;
    for (Column& column : fields->columns) {
      if (column.buffer->length() > length) continue;
      if (fail_on_missing_) {
        Fail("the field is missing");
        return InField(column);
      }
      if (!AppendNull(&column)) return InField(column);
    }
    return true;
  }

  /// A value that nobody wants: its beginning is checked, the rest is skipped by structure.
  bool CheckSkipped(od::value& value) {
    od::json_type type;
    if (auto error = value.type().get(type)) return Malformed(error);
    simdjson::error_code error = simdjson::SUCCESS;
    if (type == od::json_type::boolean) {
      bool ignored;
      error = value.get_bool().get(ignored);
    } else if (type == od::json_type::null) {
      bool null = false;
      error = value.is_null().get(null);
    }
    return error ? Malformed(error) : true;
  }

  bool ReadValue(od::value& value, Column* column) {
    switch (column->convert) {
      case Convert::kInt8:
        return ReadInt<int8_t>(value, column);
      case Convert::kInt16:
        return ReadInt<int16_t>(value, column);
      case Convert::kInt32:
        return ReadInt<int32_t>(value, column);
      case Convert::kInt64:
        return ReadInt<int64_t>(value, column);
      case Convert::kDouble:
      case Convert::kFloat:
        return ReadDouble(value, column);
      case Convert::kString:
        return ReadString(value, column);
      case Convert::kStruct:
      case Convert::kList:
      case Convert::kMap:
        return ReadNested(value, column);
      default:
        return ReadFromText(value, column);
    }
  }

  template <typename T>
  bool ReadInt(od::value& value, Column* column) {
    int64_t number;
    if (value.get_int64().get(number) != simdjson::SUCCESS) {
      std::string_view text;
      if (!TextOf(value, column, &text)) return done_;
      if (!Check(ParseInt64(text, &number), column, text)) return false;
    }
    if (number < std::numeric_limits<T>::min() || number > std::numeric_limits<T>::max()) {
      return Fail(std::to_string(number) + " is out of the range of " + column->type_name);
    }
    return Ok(column->buffer->AppendFixed(static_cast<T>(number)));
  }

  bool ReadDouble(od::value& value, Column* column) {
    double number;
    if (value.get_double().get(number) != simdjson::SUCCESS) {
      std::string_view text;
      if (!TextOf(value, column, &text)) return done_;
      if (!Check(ParseDouble(text, &number), column, text)) return false;
    }
    if (column->convert == Convert::kDouble) return Ok(column->buffer->AppendFixed(number));
    if (std::abs(number) > std::numeric_limits<float>::max() &&
        std::abs(number) <= std::numeric_limits<double>::max()) {
      return Fail(std::to_string(number) + " is out of the range of FLOAT");
    }
    return Ok(column->buffer->AppendFixed(static_cast<float>(number)));
  }

  bool ReadString(od::value& value, Column* column) {
    // The token is the value's text up to the next structural character.
    const std::string_view token = value.raw_json_token();
    if (token.front() == '"') {
      if (std::memchr(token.data(), '\\', token.size()) == nullptr) {
        const size_t end = token.rfind('"');
        if (end == 0) return Fail("malformed JSON: an unfinished string");
        return Ok(column->buffer->AppendBytes(token.substr(1, end - 1)));
      }
      std::string_view text;
      if (auto error = value.get_string().get(text)) return Malformed(error);
      return Ok(column->buffer->AppendBytes(text));
    }
    if (token.front() == '{' || token.front() == '[') {
      std::string_view text;
      if (auto error = value.raw_json().get(text)) return Malformed(error);
      return Ok(column->buffer->AppendBytes(text));
    }
    std::string_view text;
    if (!TextOf(value, column, &text)) return done_;
    return Ok(column->buffer->AppendBytes(text));
  }

  bool ReadFromText(od::value& value, Column* column) {
    std::string_view text;
    if (!TextOf(value, column, &text)) return done_;
    switch (column->convert) {
      case Convert::kBool: {
        if (text == "true" || text == "false") {
          return Ok(column->buffer->AppendFixed(static_cast<uint8_t>(text == "true")));
        }
        return Check(TextError::kMalformed, column, text);
      }
      case Convert::kDecimal: {
        arrow::Decimal128 decimal;
        return Check(ParseDecimal(text, column->precision, column->scale, &decimal), column,
                     text) &&
               Ok(column->buffer->AppendFixed(decimal.ToBytes()));
      }
      case Convert::kDate: {
        int32_t days;
        return Check(ParseDate(text, &days), column, text) && Ok(column->buffer->AppendFixed(days));
      }
      case Convert::kTime: {
        int64_t nanos;
        if (!Check(ParseTime(text, &nanos), column, text)) return false;
        const int64_t units = nanos / column->nanos_per_unit;
        return Ok(column->time32 ? column->buffer->AppendFixed(static_cast<int32_t>(units))
                                 : column->buffer->AppendFixed(units));
      }
      case Convert::kTimestamp: {
        int64_t units;
        return Check(ParseTimestamp(text, column->timestamp, &units), column, text) &&
               Ok(column->buffer->AppendFixed(units));
      }
      default: {
        MARBLE_DCHECK(column->convert == Convert::kBinary);
        return Check(DecodeBase64(text, &binary_), column, text) &&
               Ok(column->buffer->AppendBytes(binary_));
      }
    }
  }

  bool ReadNested(od::value& value, Column* column) {
    od::json_type type;
    if (auto error = value.type().get(type)) return Malformed(error);
    if (type == od::json_type::null) {
      std::string_view text;
      return TextOf(value, column, &text) ? Check(TextError::kMalformed, column, text) : done_;
    }
    const od::json_type wanted =
        column->convert == Convert::kList ? od::json_type::array : od::json_type::object;
    if (type != wanted) {
      const std::string_view token = Trim(value.raw_json_token());
      return Check(TextError::kMalformed, column, token);
    }
    if (column->convert == Convert::kStruct) {
      od::object object;
      if (auto error = value.get_object().get(object)) return Malformed(error);
      return ReadFields(object, column->fields.get(), column->buffer->length()) &&
             Ok(column->buffer->AppendNested());
    }
    if (column->convert == Convert::kList) {
      od::array array;
      if (auto error = value.get_array().get(array)) return Malformed(error);
      for (auto entry : array) {
        od::value item;
        if (auto error = entry.get(item)) return Malformed(error);
        if (!ReadValue(item, column->item.get())) return InField(*column->item);
      }
      return Ok(column->buffer->AppendNested());
    }
    od::object object;
    if (auto error = value.get_object().get(object)) return Malformed(error);
    std::vector<std::string> keys;
    for (auto entry : object) {
      if (entry.error()) return Malformed(entry.error());
      od::field&& field = std::move(entry).value_unsafe();
      std::string_view key;
      if (auto error = field.unescaped_key().get(key)) return Malformed(error);
      keys.emplace_back(key);
      if (!Ok(column->buffer->child(0)->AppendBytes(key))) return false;
      od::value& item = field.value();
      if (!ReadValue(item, column->item.get())) return InField(*column->item);
    }
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) return Fail("a MAP with the key '" + Excerpt(*twice) + "' twice");
    return Ok(column->buffer->AppendNested());
  }

  /// The text of a scalar: of a string its content, else the token. A null is appended here: then,
  /// and on an error, false is returned and `done_` says which it was.
  bool TextOf(od::value& value, Column* column, std::string_view* text) {
    done_ = false;
    const std::string_view token = Trim(value.raw_json_token());
    if (token.empty()) return Fail("malformed JSON: a value is missing");
    switch (token.front()) {
      case '"':
        if (auto error = value.get_string().get(*text)) return Malformed(error);
        if (column->convert != Convert::kString) *text = Trim(*text);
        return true;
      case 'n':
        if (token != "null") return MalformedToken(token);
        done_ = AppendNull(column);
        return false;
      case 't':
      case 'f':
        if (token != "true" && token != "false") return MalformedToken(token);
        *text = token;
        return true;
      case '{':
      case '[':
        return Check(TextError::kMalformed, column,
                     token.front() == '{' ? "an object" : "an array");
      default:
        if (!IsJsonNumber(token)) return MalformedToken(token);
        *text = token;
        if (column->convert == Convert::kDate || column->convert == Convert::kTime ||
            column->convert == Convert::kTimestamp || column->convert == Convert::kBinary) {
          return Check(TextError::kMalformed, column, token);
        }
        return true;
    }
  }

  bool AppendNull(Column* column) {
    if (!column->nullable) return Fail("null in a column that is NOT NULL");
    return Ok(column->buffer->AppendNull());
  }

  bool Check(TextError error, const Column* column, std::string_view text) {
    if (error == TextError::kNone) return true;
    const std::string shown = "'" + Excerpt(text, 40) + "'";
    if (error == TextError::kOutOfRange) {
      return Fail(shown + " is out of the range of " + column->type_name);
    }
    std::string hint;
    if (column->convert == Convert::kTimestamp) {
      hint = std::string(" of the form 'yyyy-MM-dd") + column->timestamp.separator +
             "HH:mm:ss[.fraction]" + (column->timestamp.zoned ? "Z'" : "'");
      if (column->timestamp.separator == ' ' && text.size() > 10 && text[10] == 'T') {
        hint += " (set 'json.timestamp-format.standard' = 'ISO-8601')";
      }
    } else if (column->convert == Convert::kDate) {
      hint = " of the form 'yyyy-MM-dd'";
    } else if (column->convert == Convert::kTime) {
      hint = " of the form 'HH:mm:ss[.fraction]'";
    } else if (column->convert == Convert::kBinary) {
      hint = " (base64 text)";
    }
    return Fail(shown + " is not a " + column->type_name + hint);
  }

  bool Ok(const Status& status) {
    if (status.ok()) return true;
    internal_ = status;
    return false;
  }
  bool Fail(std::string reason) {
    failed_ = std::move(reason);
    return false;
  }
  bool Malformed(simdjson::error_code error) {
    return Fail(std::string("malformed JSON: ") + simdjson::error_message(error));
  }
  bool MalformedToken(std::string_view token) {
    return Fail("malformed JSON: '" + Excerpt(token, 40) + "'");
  }
  /// Prefix the reason with the field's name; outer names come before inner ones.
  bool InField(const Column& column) {
    if (internal_.ok()) {
      const bool nested = failed_.starts_with("field '");
      failed_ = nested ? "field '" + column.name + "." + failed_.substr(7)
                       : "field '" + column.name + "': " + failed_;
    }
    return false;
  }

  std::vector<std::unique_ptr<ColumnBuffer>> buffers_;
  Fields root_;
  od::parser parser_;
  std::vector<char> scratch_;
  std::string binary_;
  std::string failed_;  // why the record is bad
  Status internal_;     // out of memory, or a batch too large: not the record's fault
  bool done_ = false;   // see TextOf
  bool fail_on_missing_ = false;
  int64_t rows_ = 0;
};

}  // namespace

Result<std::unique_ptr<Decoder>> MakeJsonDecoder(
    const JsonOptions& options, const std::vector<std::shared_ptr<arrow::Field>>& fields) {
  return JsonDecoder::Make(options, fields);
}

}  // namespace marble::format
