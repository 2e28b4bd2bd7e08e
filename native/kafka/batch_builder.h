// Kafka messages of one partition → record batches with the columns a source's spec asks for:
// fields decoded from the value by the format, and the message's own data (metadata columns, or
// without a format the raw columns key, value, timestamp, partition, offset).
//
// A BatchLayout is made once per source and shared; a BatchBuilder is one partition's, fetch
// thread only.
#pragma once

#include <arrow/type_fwd.h>
#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <vector>

#include "format/column_buffer.h"
#include "format/decoder.h"
#include "stream/source.h"

namespace marble::kafka {

/// Where the columns come from, checked: kPlan for an unknown column or a type it cannot have.
struct BatchLayout {
  enum class Part {
    kKey,
    kValue,
    kTimestamp,
    kPartition,
    kOffset,
    kTopic,
    kTimestampType,
    kHeaders,
    kLeaderEpoch,
  };
  struct MessageColumn {
    int index = 0;  // in the schema
    Part part = Part::kKey;
    bool check_utf8 = false;
    bool narrow = false;           // INT rather than BIGINT
    int64_t units_per_second = 0;  // timestamps
    bool nullable = true;
  };

  static Result<std::shared_ptr<const BatchLayout>> Make(const stream::SourceSpec& spec);

  std::string topic;
  std::shared_ptr<arrow::Schema> schema;
  std::string format;  // empty: raw
  std::map<std::string, std::string> format_options;
  std::vector<std::shared_ptr<arrow::Field>> format_fields;  // as the records name them
  std::vector<int> format_indices;                           // in the schema
  std::vector<MessageColumn> message_columns;
  bool skip_bad = false;  // 'ignore-parse-errors'
};

class BatchBuilder {
 public:
  static Result<std::unique_ptr<BatchBuilder>> Make(std::shared_ptr<const BatchLayout> layout);

  /// Append one message as a row. False: it has no value, so there is no row (a format cannot read
  /// nothing; Flink drops it too). kBadRecord without place: no row was appended.
  Result<bool> Append(const rd_kafka_message_t& message);
  int64_t rows() const { return rows_; }
  int64_t bytes() const;
  Result<std::shared_ptr<arrow::RecordBatch>> Finish();

 private:
  BatchBuilder() = default;
  Status AppendPart(const BatchLayout::MessageColumn& column, const rd_kafka_message_t& message,
                    format::ColumnBuffer* buffer);

  std::shared_ptr<const BatchLayout> layout_;
  std::unique_ptr<format::Decoder> decoder_;                  // null: raw, or no field is wanted
  std::vector<std::unique_ptr<format::ColumnBuffer>> parts_;  // as layout's message_columns
  int64_t rows_ = 0;
};

}  // namespace marble::kafka
