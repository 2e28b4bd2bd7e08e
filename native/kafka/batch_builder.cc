#include "kafka/batch_builder.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/utf8.h>

#include <optional>
#include <string_view>

#include "format/json_decoder.h"
#include "format/text_values.h"

namespace marble::kafka {
namespace {

using Part = BatchLayout::Part;

std::optional<Part> PartNamed(std::string_view name) {
  if (name == "key") return Part::kKey;
  if (name == "value") return Part::kValue;
  if (name == "timestamp") return Part::kTimestamp;
  if (name == "partition") return Part::kPartition;
  if (name == "offset") return Part::kOffset;
  if (name == "topic") return Part::kTopic;
  if (name == "timestamp-type") return Part::kTimestampType;
  if (name == "headers") return Part::kHeaders;
  if (name == "leader-epoch") return Part::kLeaderEpoch;
  return std::nullopt;
}

Result<BatchLayout::MessageColumn> MakeMessageColumn(Part part, const arrow::Field& field) {
  BatchLayout::MessageColumn column;
  column.part = part;
  column.nullable = field.nullable();
  const arrow::DataType& type = *field.type();
  const auto wrong = [&](std::string_view wanted) {
    return MakeError(ErrorCode::kPlan, "kafka column '" + field.name() + "' is declared as " +
                                           type.ToString() + "; it must be " + std::string(wanted));
  };
  switch (part) {
    case Part::kKey:
    case Part::kValue:
      if (type.id() != arrow::Type::STRING && type.id() != arrow::Type::BINARY) {
        return wrong("STRING or BYTES");
      }
      column.check_utf8 = type.id() == arrow::Type::STRING;
      break;
    case Part::kTopic:
    case Part::kTimestampType:
      if (type.id() != arrow::Type::STRING) return wrong("STRING");
      break;
    case Part::kPartition:
    case Part::kLeaderEpoch:
      if (type.id() != arrow::Type::INT32 && type.id() != arrow::Type::INT64) {
        return wrong("INT or BIGINT");
      }
      column.narrow = type.id() == arrow::Type::INT32;
      break;
    case Part::kOffset:
      if (type.id() != arrow::Type::INT64) return wrong("BIGINT");
      break;
    case Part::kTimestamp:
      if (type.id() != arrow::Type::TIMESTAMP) return wrong("TIMESTAMP(3) or TIMESTAMP_LTZ(3)");
      column.units_per_second =
          format::UnitsPerSecond(static_cast<const arrow::TimestampType&>(type).unit());
      break;
    case Part::kHeaders: {
      const bool map =
          type.id() == arrow::Type::MAP &&
          static_cast<const arrow::MapType&>(type).key_type()->id() == arrow::Type::STRING &&
          static_cast<const arrow::MapType&>(type).item_type()->id() == arrow::Type::BINARY;
      if (!map) return wrong("MAP<STRING, BYTES>");
      break;
    }
  }
  return column;
}

bool ValidUtf8(std::string_view bytes) {
  return arrow::util::ValidateUTF8(reinterpret_cast<const uint8_t*>(bytes.data()),
                                   static_cast<int64_t>(bytes.size()));
}

Status Bad(const std::string& what) { return MakeError(ErrorCode::kBadRecord, what); }

/// Without a copy of message->len when the pointer is null.
std::string_view View(const void* data, size_t length) {
  return data == nullptr ? std::string_view()
                         : std::string_view(static_cast<const char*>(data), length);
}

}  // namespace

Result<std::shared_ptr<const BatchLayout>> BatchLayout::Make(const stream::SourceSpec& spec) {
  arrow::util::InitializeUTF8();
  auto layout = std::make_shared<BatchLayout>();
  if (const auto topic = spec.options.find("topic"); topic != spec.options.end()) {
    layout->topic = topic->second;
  }
  layout->format = spec.format == "raw" ? "" : spec.format;
  layout->format_options = spec.format_options;
  arrow::FieldVector fields;
  for (const stream::SourceColumn& column : spec.columns) {
    const int index = static_cast<int>(fields.size());
    fields.push_back(column.field);
    const bool metadata = column.kind == stream::SourceColumn::Kind::kMetadata;
    if (!metadata && !layout->format.empty()) {
      layout->format_fields.push_back(column.field->WithName(column.name));
      layout->format_indices.push_back(index);
      continue;
    }
    const std::optional<Part> part = PartNamed(column.name);
    if (!part) {
      return MakeError(
          ErrorCode::kPlan,
          metadata ? "kafka has no metadata '" + column.name +
                         "'; there are topic, partition, offset, timestamp, timestamp-type, "
                         "headers, leader-epoch, key and value"
                   : "kafka column '" + column.name +
                         "': without a format the columns are key, value, timestamp, partition "
                         "and offset; set 'format' = 'json' to read fields of the value");
    }
    MARBLE_ASSIGN_OR_RETURN(MessageColumn made, MakeMessageColumn(*part, *column.field));
    made.index = index;
    layout->message_columns.push_back(made);
  }
  layout->schema = arrow::schema(std::move(fields));
  if (layout->format.empty()) {
    for (const auto& [name, value] : spec.format_options) {
      if (name != "ignore-parse-errors") {
        return MakeError(ErrorCode::kPlan, "option '" + name + "' without a format");
      }
      layout->skip_bad = value == "true";
    }
  } else {
    // Also the check of types and options, before any connection is made.
    MARBLE_RETURN_NOT_OK(
        format::Decoder::Make(layout->format, layout->format_options, layout->format_fields)
            .status());
    MARBLE_ASSIGN_OR_RETURN(auto json, format::JsonOptions::Parse(layout->format_options));
    layout->skip_bad = json.ignore_parse_errors;
  }
  return std::shared_ptr<const BatchLayout>(std::move(layout));
}

Result<std::unique_ptr<BatchBuilder>> BatchBuilder::Make(
    std::shared_ptr<const BatchLayout> layout) {
  std::unique_ptr<BatchBuilder> builder(new BatchBuilder());
  if (!layout->format.empty()) {
    // Also when no field is wanted (COUNT(*)): a bad record stays a bad record.
    MARBLE_ASSIGN_OR_RETURN(
        builder->decoder_,
        format::Decoder::Make(layout->format, layout->format_options, layout->format_fields));
  }
  for (const auto& column : layout->message_columns) {
    MARBLE_ASSIGN_OR_RETURN(
        auto buffer, format::ColumnBuffer::Make(layout->schema->field(column.index)->type()));
    builder->parts_.push_back(std::move(buffer));
  }
  builder->layout_ = std::move(layout);
  return builder;
}

Status BatchBuilder::AppendPart(const BatchLayout::MessageColumn& column,
                                const rd_kafka_message_t& message, format::ColumnBuffer* buffer) {
  switch (column.part) {
    case Part::kKey:
    case Part::kValue: {
      const bool key = column.part == Part::kKey;
      const void* data = key ? message.key : message.payload;
      if (data == nullptr) {
        if (!column.nullable) return Bad(key ? "the key is null" : "the value is null");
        return buffer->AppendNull();
      }
      const std::string_view bytes = View(data, key ? message.key_len : message.len);
      if (column.check_utf8 && !ValidUtf8(bytes)) {
        return Bad(std::string(key ? "the key" : "the value") +
                   " is not UTF-8 (declare it as BYTES): " + format::Excerpt(bytes));
      }
      return buffer->AppendBytes(bytes);
    }
    case Part::kPartition:
      return column.narrow ? buffer->AppendFixed<int32_t>(message.partition)
                           : buffer->AppendFixed<int64_t>(message.partition);
    case Part::kOffset:
      return buffer->AppendFixed<int64_t>(message.offset);
    case Part::kTopic:
      return buffer->AppendBytes(layout_->topic);
    case Part::kTimestamp: {
      rd_kafka_timestamp_type_t type;
      const int64_t ms = rd_kafka_message_timestamp(&message, &type);
      if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ms < 0) {
        if (!column.nullable) return Bad("the message has no timestamp");
        return buffer->AppendNull();
      }
      int64_t value = ms / 1000;
      if (column.units_per_second > 1 &&
          __builtin_mul_overflow(ms, column.units_per_second / 1000, &value)) {
        return Bad("the message's timestamp is out of range");
      }
      return buffer->AppendFixed(value);
    }
    case Part::kTimestampType: {
      rd_kafka_timestamp_type_t type;
      rd_kafka_message_timestamp(&message, &type);
      return buffer->AppendBytes(type == RD_KAFKA_TIMESTAMP_CREATE_TIME       ? "CreateTime"
                                 : type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? "LogAppendTime"
                                                                              : "NoTimestampType");
    }
    case Part::kLeaderEpoch: {
      const int32_t epoch = rd_kafka_message_leader_epoch(&message);
      if (epoch < 0 && column.nullable) return buffer->AppendNull();
      return column.narrow ? buffer->AppendFixed<int32_t>(epoch)
                           : buffer->AppendFixed<int64_t>(epoch);
    }
    case Part::kHeaders: {
      rd_kafka_headers_t* headers = nullptr;
      if (rd_kafka_message_headers(&message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const char* name;
        const void* value;
        size_t size;
        for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) ==
                           RD_KAFKA_RESP_ERR_NO_ERROR;
             ++i) {
          if (!ValidUtf8(name)) return Bad("the name of a header is not UTF-8");
          MARBLE_RETURN_NOT_OK(buffer->child(0)->AppendBytes(name));
          MARBLE_RETURN_NOT_OK(value == nullptr ? buffer->child(1)->AppendNull()
                                                : buffer->child(1)->AppendBytes(View(value, size)));
        }
      }
      return buffer->AppendNested();
    }
  }
  return Status::OK();
}

Result<bool> BatchBuilder::Append(const rd_kafka_message_t& message) {
  if (decoder_ != nullptr) {
    if (message.payload == nullptr) return false;
    // A row that the decoder took cannot be taken back: the message's own parts come first.
  }
  Status status;
  for (size_t i = 0; i < parts_.size() && status.ok(); ++i) {
    status = AppendPart(layout_->message_columns[i], message, parts_[i].get());
  }
  if (status.ok() && decoder_ != nullptr) {
    status = decoder_->Append(View(message.payload, message.len));
  }
  if (!status.ok()) {
    for (auto& part : parts_) part->Truncate(rows_);
    return status;
  }
  ++rows_;
  return true;
}

int64_t BatchBuilder::bytes() const {
  int64_t total = decoder_ != nullptr ? decoder_->bytes() : 0;
  for (const auto& part : parts_) total += part->bytes();
  return total;
}

Result<std::shared_ptr<arrow::RecordBatch>> BatchBuilder::Finish() {
  std::vector<std::shared_ptr<arrow::Array>> columns(
      static_cast<size_t>(layout_->schema->num_fields()));
  if (decoder_ != nullptr) {
    MARBLE_ASSIGN_OR_RETURN(auto decoded, decoder_->Finish());
    for (size_t i = 0; i < decoded.size(); ++i) {
      columns[static_cast<size_t>(layout_->format_indices[i])] = std::move(decoded[i]);
    }
  }
  for (size_t i = 0; i < parts_.size(); ++i) {
    MARBLE_ASSIGN_OR_RETURN(auto array, parts_[i]->Finish());
    columns[static_cast<size_t>(layout_->message_columns[i].index)] = std::move(array);
  }
  auto batch = arrow::RecordBatch::Make(layout_->schema, rows_, std::move(columns));
  rows_ = 0;
  return batch;
}

}  // namespace marble::kafka
