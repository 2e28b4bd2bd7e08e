#include <string_view>

#include "format/json_decoder.h"

namespace marble::format {
namespace {

Result<bool> ParseBool(const std::string& name, const std::string& value) {
  if (value == "true") return true;
  if (value == "false") return false;
  return MakeError(ErrorCode::kPlan,
                   "json option '" + name + "' is '" + value + "'; it must be 'true' or 'false'");
}

}  // namespace

Result<JsonOptions> JsonOptions::Parse(const std::map<std::string, std::string>& options) {
  JsonOptions parsed;
  for (const auto& [given, value] : options) {
    const std::string name = given.starts_with("json.") ? given.substr(5) : given;
    if (name == "fail-on-missing-field") {
      MARBLE_ASSIGN_OR_RETURN(parsed.fail_on_missing_field, ParseBool(name, value));
    } else if (name == "ignore-parse-errors") {
      MARBLE_ASSIGN_OR_RETURN(parsed.ignore_parse_errors, ParseBool(name, value));
    } else if (name == "timestamp-format.standard") {
      if (value != "SQL" && value != "ISO-8601") {
        return MakeError(ErrorCode::kPlan, "json option 'timestamp-format.standard' is '" + value +
                                               "'; it must be 'SQL' or 'ISO-8601'");
      }
      parsed.iso_timestamps = value == "ISO-8601";
    } else if (name == "map-null-key.mode" || name == "map-null-key.literal" ||
               name == "encode.decimal-as-plain-number" || name == "encode.ignore-null-fields" ||
               name == "decode.json-parser.enabled") {
      // Flink's options for writing, or for how it parses: no effect on what is read.
    } else {
      return MakeError(ErrorCode::kPlan,
                       "unknown option '" + given +
                           "' of format 'json'; there are 'fail-on-missing-field', "
                           "'ignore-parse-errors' and 'timestamp-format.standard'");
    }
  }
  if (parsed.fail_on_missing_field && parsed.ignore_parse_errors) {
    return MakeError(ErrorCode::kPlan,
                     "json options 'fail-on-missing-field' and 'ignore-parse-errors' exclude "
                     "each other: both are 'true'");
  }
  return parsed;
}

}  // namespace marble::format
