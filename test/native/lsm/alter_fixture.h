// What the tests of changing columns share: rows as text by column name, in and out of tables of
// any schema. int64, double, utf8, bool and lists of int64 are what the tests' columns are of.
#pragma once

#include <arrow/api.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "db_fixture.h"

namespace marble::lsm::testing {

/// A row by column name; a column that is not there is null.
using Cells = std::map<std::string, std::string>;

inline std::shared_ptr<arrow::DataType> Numbers() { return arrow::list(arrow::int64()); }

inline void AppendText(arrow::ArrayBuilder* builder, const std::string& text) {
  switch (builder->type()->id()) {
    case arrow::Type::INT64:
      return Must(static_cast<arrow::Int64Builder*>(builder)->Append(std::stoll(text)));
    case arrow::Type::DOUBLE:
      return Must(static_cast<arrow::DoubleBuilder*>(builder)->Append(std::stod(text)));
    case arrow::Type::BOOL:
      return Must(static_cast<arrow::BooleanBuilder*>(builder)->Append(text == "true"));
    case arrow::Type::STRING:
      return Must(static_cast<arrow::StringBuilder*>(builder)->Append(text));
    case arrow::Type::LIST: {
      auto* list = static_cast<arrow::ListBuilder*>(builder);
      Must(list->Append());
      size_t at = 0;
      while (at < text.size()) {
        const size_t end = std::min(text.find(' ', at), text.size());
        Must(static_cast<arrow::Int64Builder*>(list->value_builder())
                 ->Append(std::stoll(text.substr(at, end - at))));
        at = end + 1;
      }
      return;
    }
    default:
      std::abort();
  }
}

inline std::string TextAt(const arrow::Array& column, int64_t row) {
  switch (column.type_id()) {
    case arrow::Type::INT64:
      return std::to_string(static_cast<const arrow::Int64Array&>(column).Value(row));
    case arrow::Type::DOUBLE: {
      // Values of the tests are whole.
      return std::to_string(
          static_cast<int64_t>(static_cast<const arrow::DoubleArray&>(column).Value(row)));
    }
    case arrow::Type::BOOL:
      return static_cast<const arrow::BooleanArray&>(column).Value(row) ? "true" : "false";
    case arrow::Type::STRING:
      return static_cast<const arrow::StringArray&>(column).GetString(row);
    case arrow::Type::LIST: {
      const auto values = static_cast<const arrow::ListArray&>(column).value_slice(row);
      std::string text;
      for (int64_t i = 0; i < values->length(); ++i) {
        text += (i > 0 ? " " : "") + TextAt(*values, i);
      }
      return text;
    }
    default:
      std::abort();
  }
}

inline std::shared_ptr<arrow::RecordBatch> BatchOf(const std::shared_ptr<arrow::Schema>& schema,
                                                   const std::vector<Cells>& rows) {
  arrow::ArrayVector columns;
  for (const auto& field : schema->fields()) {
    auto builder = Must(arrow::MakeBuilder(field->type()));
    for (const Cells& row : rows) {
      const auto cell = row.find(field->name());
      if (cell == row.end()) {
        Must(builder->AppendNull());
      } else {
        AppendText(builder.get(), cell->second);
      }
    }
    columns.push_back(Must(builder->Finish()));
  }
  return arrow::RecordBatch::Make(schema, static_cast<int64_t>(rows.size()), std::move(columns));
}
inline std::shared_ptr<arrow::RecordBatch> BatchOf(const TableHandle& table,
                                                   const std::vector<Cells>& rows) {
  return BatchOf(DescriptorOf(table).schema, rows);
}

inline Cells CellsAt(const arrow::RecordBatch& batch, int64_t row, int columns) {
  Cells cells;
  for (int c = 0; c < columns; ++c) {
    if (batch.column(c)->IsValid(row)) {
      cells[batch.schema()->field(c)->name()] = TextAt(*batch.column(c), row);
    }
  }
  return cells;
}

inline Status InsertRows(DB* db, const TableHandle& table, const std::vector<Cells>& rows,
                         const WriteOptions& options = {}) {
  WriteBatch batch;
  MARBLE_RETURN_NOT_OK(batch.Insert(table, BatchOf(table, rows)));
  return db->Write(std::move(batch), options).status();
}

/// All rows that a scan gives; every batch is valid and has the columns of the handle.
inline Result<std::vector<Cells>> ReadRows(DB* db, const TableHandle& table,
                                           const ScanOptions& options = {}) {
  MARBLE_ASSIGN_OR_RETURN(const auto batches, ScanBatches(db, table, options));
  const auto& schema = *DescriptorOf(table).schema;
  std::vector<Cells> rows;
  for (const auto& batch : batches) {
    if (options.columns == nullptr) {
      EXPECT_TRUE(batch->schema()->Equals(schema, /*check_metadata=*/true))
          << batch->schema()->ToString();
    }
    for (int64_t i = 0; i < batch->num_rows(); ++i) {
      rows.push_back(CellsAt(*batch, i, batch->num_columns()));
    }
  }
  return rows;
}

inline std::string TextOf(const std::vector<Cells>& rows) {
  std::string text;
  for (const Cells& row : rows) {
    text += "{";
    for (const auto& [name, value] : row) text += " " + name + "=" + value;
    text += " } ";
  }
  return text;
}

}  // namespace marble::lsm::testing
