#include "table/table.h"

#include <arrow/api.h>

#include "base/suggest.h"

namespace marble::table {
namespace {

std::string ColumnNames(const arrow::Schema& schema) {
  std::string names;
  for (const auto& field : schema.fields()) {
    if (!names.empty()) names += ", ";
    names += field->name();
  }
  return names;
}

Status NoSuchColumn(const std::string& table, const std::string& column,
                    const arrow::Schema& schema) {
  return MakeError(ErrorCode::kColumnNotFound, "table '" + table + "' has no column '" + column +
                                                   "'" + DidYouMean(column, schema.field_names()) +
                                                   "; it has " + ColumnNames(schema));
}

Result<std::string> EncodeValues(const lsm::TableHandle& table, const KeyValues& values) {
  const auto& descriptor = lsm::DescriptorOf(table);
  const auto& codec = lsm::CodecOf(table);
  if (codec == nullptr) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "table '" + descriptor.name + "' has no primary key");
  }
  if (static_cast<int>(values.size()) > codec->num_columns()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "table '" + descriptor.name + "' has " + std::to_string(codec->num_columns()) +
                         " key columns, got " + std::to_string(values.size()) + " values");
  }
  auto encoded = codec->EncodeScalars(values);
  if (encoded.ok()) return encoded;
  return MakeError(CodeOf(encoded.status()),
                   "table '" + descriptor.name + "': " + MessageOf(encoded.status()));
}

}  // namespace

Result<lsm::TableDescriptor> MakeTableDescriptor(std::string name,
                                                 std::shared_ptr<arrow::Schema> schema,
                                                 const std::vector<std::string>& primary_key,
                                                 lsm::TableOptions options) {
  lsm::TableDescriptor descriptor;
  descriptor.name = std::move(name);
  descriptor.schema = std::move(schema);
  descriptor.options = options;
  for (const std::string& column : primary_key) {
    const std::vector<int> indices = descriptor.schema->GetAllFieldIndices(column);
    if (indices.empty()) {
      return MakeError(ErrorCode::kColumnNotFound, "primary key of table '" + descriptor.name +
                                                       "': no column '" + column + "'; there are " +
                                                       ColumnNames(*descriptor.schema));
    }
    if (indices.size() > 1) {
      return MakeError(ErrorCode::kSchema, "primary key of table '" + descriptor.name +
                                               "': two columns are named '" + column + "'");
    }
    for (int earlier : descriptor.key_columns) {
      if (earlier == indices[0]) {
        return MakeError(ErrorCode::kSchema, "primary key of table '" + descriptor.name +
                                                 "': column '" + column + "' is named twice");
      }
    }
    descriptor.key_columns.push_back(indices[0]);
  }
  if (!descriptor.key_columns.empty()) {
    const auto codec = KeyCodec::Make(descriptor.schema, descriptor.key_columns);
    if (!codec.ok()) {
      return MakeError(CodeOf(codec.status()), "primary key of table '" + descriptor.name +
                                                   "': " + MessageOf(codec.status()));
    }
  }
  return descriptor;
}

lsm::TableDescriptor MakeStateDescriptor(std::string name, lsm::TableOptions options) {
  lsm::TableDescriptor descriptor;
  descriptor.name = std::move(name);
  descriptor.schema = arrow::schema(
      {arrow::field("key", arrow::binary(), false), arrow::field("value", arrow::binary(), false)});
  descriptor.key_columns = {0};
  descriptor.options = options;
  descriptor.is_state_family = true;
  return descriptor;
}

Result<std::string> EncodeKey(const lsm::TableHandle& table, const KeyValues& values) {
  const auto& codec = lsm::CodecOf(table);
  if (codec != nullptr && static_cast<int>(values.size()) != codec->num_columns()) {
    std::string names;
    const auto& descriptor = lsm::DescriptorOf(table);
    for (int column : descriptor.key_columns) {
      if (!names.empty()) names += ", ";
      names += descriptor.schema->field(column)->name();
    }
    return MakeError(ErrorCode::kInvalidArgument, "the key of table '" + descriptor.name +
                                                      "' is (" + names + "), got " +
                                                      std::to_string(values.size()) + " values");
  }
  return EncodeValues(table, values);
}

Result<std::optional<lsm::ScanRange>> EncodeRange(const lsm::TableHandle& table,
                                                  const KeyRange& range) {
  if ((range.gte && range.gt) || (range.lte && range.lt)) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "a range has both an inclusive and an exclusive bound on one side");
  }
  lsm::ScanRange out;
  // The least key behind every key that begins with `prefix`. The last key column is not
  // terminated, so behind a full key comes the same with a zero byte.
  const auto behind = [&](std::string prefix, bool full) -> std::optional<std::string> {
    if (full) return prefix + '\0';
    prefix = PrefixSuccessor(prefix);
    if (prefix.empty()) return std::nullopt;  // nothing lies behind
    return prefix;
  };
  const auto is_full = [&](const KeyValues& values) {
    return static_cast<int>(values.size()) == lsm::CodecOf(table)->num_columns();
  };
  if (range.gte) {
    MARBLE_ASSIGN_OR_RETURN(out.lower, EncodeValues(table, *range.gte));
  } else if (range.gt) {
    MARBLE_ASSIGN_OR_RETURN(auto key, EncodeValues(table, *range.gt));
    auto lower = behind(std::move(key), is_full(*range.gt));
    if (!lower) return std::optional<lsm::ScanRange>();
    out.lower = std::move(*lower);
  }
  if (range.lt) {
    MARBLE_ASSIGN_OR_RETURN(out.upper, EncodeValues(table, *range.lt));
    // An empty bound would mean "open"; no key is less than the empty one.
    if (out.upper.empty()) return std::optional<lsm::ScanRange>();
  } else if (range.lte) {
    MARBLE_ASSIGN_OR_RETURN(auto key, EncodeValues(table, *range.lte));
    if (auto upper = behind(std::move(key), is_full(*range.lte))) out.upper = std::move(*upper);
  }
  if (!out.upper.empty() && out.lower >= out.upper) return std::optional<lsm::ScanRange>();
  return std::optional<lsm::ScanRange>(std::move(out));
}

Result<lsm::ScanRange> EncodePrefix(const lsm::TableHandle& table, const KeyValues& prefix) {
  lsm::ScanRange out;
  MARBLE_ASSIGN_OR_RETURN(out.lower, EncodeValues(table, prefix));
  const auto& codec = lsm::CodecOf(table);
  if (static_cast<int>(prefix.size()) == codec->num_columns()) {
    out.upper = out.lower + '\0';
  } else {
    out.upper = PrefixSuccessor(out.lower);
  }
  return out;
}

Result<int> ColumnIndex(const lsm::TableHandle& table, const std::string& name) {
  const auto& descriptor = lsm::DescriptorOf(table);
  const int index = descriptor.schema->GetFieldIndex(name);
  if (index < 0) return NoSuchColumn(descriptor.name, name, *descriptor.schema);
  return index;
}

Result<Projection> Projection::OfColumns(const lsm::TableHandle& table,
                                         const std::optional<std::vector<int>>& columns) {
  const auto& descriptor = lsm::DescriptorOf(table);
  if (!columns) return Make(table, {});
  Projection out;
  arrow::FieldVector fields;
  for (int column : *columns) {
    if (column < 0 || column >= descriptor.schema->num_fields()) {
      return NoSuchColumn(descriptor.name, std::to_string(column), *descriptor.schema);
    }
    out.columns_.push_back(column);
    fields.push_back(descriptor.schema->field(column));
  }
  out.schema_ = arrow::schema(std::move(fields), descriptor.schema->metadata());
  return out;
}

Result<Projection> Projection::Make(const lsm::TableHandle& table,
                                    const std::vector<std::string>& columns) {
  const auto& descriptor = lsm::DescriptorOf(table);
  Projection out;
  if (columns.empty()) {
    out.schema_ = descriptor.schema;
    for (int i = 0; i < descriptor.schema->num_fields(); ++i) out.columns_.push_back(i);
    return out;
  }
  std::vector<std::shared_ptr<arrow::Field>> fields;
  for (const std::string& column : columns) {
    MARBLE_ASSIGN_OR_RETURN(const int index, ColumnIndex(table, column));
    out.columns_.push_back(index);
    fields.push_back(descriptor.schema->field(index));
  }
  out.schema_ = arrow::schema(std::move(fields), descriptor.schema->metadata());
  return out;
}

lsm::ScanBatch Projection::Apply(lsm::ScanBatch step) const {
  if (step.batch == nullptr) return step;
  std::vector<std::shared_ptr<arrow::ArrayData>> columns;
  columns.reserve(columns_.size());
  for (int column : columns_) columns.push_back(step.batch->column_data(column));
  step.batch = arrow::RecordBatch::Make(schema_, step.batch->num_rows(), std::move(columns));
  return step;
}

Result<std::shared_ptr<arrow::RecordBatch>> Conform(
    const std::shared_ptr<arrow::RecordBatch>& batch,
    const std::shared_ptr<arrow::Schema>& schema) {
  std::vector<std::shared_ptr<arrow::Array>> columns;
  const arrow::Schema& given = *batch->schema();
  for (const auto& field : given.fields()) {
    if (schema->GetFieldIndex(field->name()) < 0) {
      return MakeError(
          ErrorCode::kSchema,
          "column '" + field->name() + "' is not in the table; it has " + ColumnNames(*schema));
    }
  }
  for (const auto& field : schema->fields()) {
    const std::vector<int> indices = given.GetAllFieldIndices(field->name());
    if (indices.size() > 1) {
      return MakeError(ErrorCode::kSchema, "column '" + field->name() + "' is given twice");
    }
    if (indices.empty()) {
      if (!field->nullable()) {
        return MakeError(ErrorCode::kSchema,
                         "column '" + field->name() + "' is missing and does not allow nulls");
      }
      MARBLE_ASSIGN_OR_RETURN(auto nulls, arrow::MakeArrayOfNull(field->type(), batch->num_rows()));
      columns.push_back(std::move(nulls));
      continue;
    }
    const auto& column = batch->column(indices[0]);
    if (!column->type()->Equals(*field->type())) {
      return MakeError(ErrorCode::kSchema, "column '" + field->name() + "' is " +
                                               column->type()->ToString() + ", the table has " +
                                               field->type()->ToString());
    }
    if (!field->nullable() && column->null_count() > 0) {
      return MakeError(ErrorCode::kSchema, "column '" + field->name() +
                                               "' does not allow nulls, the batch has " +
                                               std::to_string(column->null_count()));
    }
    columns.push_back(column);
  }
  return arrow::RecordBatch::Make(schema, batch->num_rows(), std::move(columns));
}

}  // namespace marble::table
