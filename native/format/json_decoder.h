// JSON records → Arrow columns, by Flink's rules for 'format' = 'json', with simdjson on demand:
// one pass over a record's fields, converting only those that are wanted.
//
// How a field finds its column: records of a topic nearly always have their fields in the same
// order, so the k-th key is compared first with the k-th key of the record before; only when it
// differs is it looked up. Fields that nobody wants are skipped, checked for structure and UTF-8
// only.
//
// Rules: a missing field is null (bad record with 'fail-on-missing-field'); of a key given twice
// the last counts; numbers may be given as text; text columns take any scalar's text, and objects
// and arrays as they are written; a fraction in an integer column, a value out of range, a null in
// a NOT NULL column make a bad record. A decimal's further digits are rounded half up.
//
// One thread. A record is copied into one padded buffer, reused for all.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "format/decoder.h"

namespace marble::format {

/// Options of 'format' = 'json', with or without the prefix 'json.'.
struct JsonOptions {
  bool fail_on_missing_field = false;
  bool ignore_parse_errors = false;  // the source skips and counts; the decoder still reports
  bool iso_timestamps = false;       // 'timestamp-format.standard' = 'ISO-8601'; else 'SQL'

  static Result<JsonOptions> Parse(const std::map<std::string, std::string>& options);
};

Result<std::unique_ptr<Decoder>> MakeJsonDecoder(
    const JsonOptions& options, const std::vector<std::shared_ptr<arrow::Field>>& fields);

}  // namespace marble::format
