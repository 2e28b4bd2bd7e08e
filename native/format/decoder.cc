#include "format/decoder.h"

#include "format/json_decoder.h"

namespace marble::format {

Result<std::unique_ptr<Decoder>> Decoder::Make(
    const std::string& format, const std::map<std::string, std::string>& options,
    const std::vector<std::shared_ptr<arrow::Field>>& fields) {
  if (format == "json") {
    MARBLE_ASSIGN_OR_RETURN(JsonOptions json, JsonOptions::Parse(options));
    return MakeJsonDecoder(json, fields);
  }
  static constexpr std::string_view kLater[] = {
      "csv", "avro", "protobuf", "raw", "debezium-json", "canal-json", "avro-confluent"};
  for (std::string_view name : kLater) {
    if (format == name) {
      return MakeError(ErrorCode::kNotSupported,
                       "format '" + format + "' is not supported yet; there is 'json'");
    }
  }
  return MakeError(ErrorCode::kPlan, "unknown format '" + format + "'; there is 'json'");
}

}  // namespace marble::format
