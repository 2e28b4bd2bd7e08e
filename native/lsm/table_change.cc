#include "lsm/table_change.h"

#include <arrow/api.h>

#include <algorithm>

#include "base/suggest.h"

namespace marble::lsm {
namespace {

std::string Quoted(const std::string& name) { return "'" + name + "'"; }

std::string ColumnNames(const arrow::Schema& schema) {
  std::string names;
  for (const auto& field : schema.fields()) names += (names.empty() ? "" : ", ") + field->name();
  return names;
}

Result<int> Find(const TableDescriptor& table, const std::string& name) {
  const int index = table.schema->GetFieldIndex(name);
  if (index >= 0) return index;
  return MakeError(ErrorCode::kColumnNotFound, "table " + Quoted(table.name) + " has no column " +
                                                   Quoted(name) +
                                                   DidYouMean(name, table.schema->field_names()) +
                                                   "; it has " + ColumnNames(*table.schema));
}

Status CheckFree(const TableDescriptor& table, const std::string& name) {
  if (name.empty()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "table " + Quoted(table.name) + ": a column needs a name");
  }
  if (table.schema->GetFieldIndex(name) < 0) return Status::OK();
  return MakeError(ErrorCode::kSchema,
                   "table " + Quoted(table.name) + " has a column " + Quoted(name) + " already");
}

}  // namespace

TableChange TableChange::AddColumn(std::shared_ptr<arrow::Field> field) {
  return {Kind::kAddColumn, std::move(field), {}, {}};
}
TableChange TableChange::DropColumn(std::string name) {
  return {Kind::kDropColumn, nullptr, std::move(name), {}};
}
TableChange TableChange::RenameColumn(std::string from, std::string to) {
  return {Kind::kRenameColumn, nullptr, std::move(from), std::move(to)};
}

Result<TableDescriptor> Changed(const TableDescriptor& table, const TableChange& change) {
  TableDescriptor out = table;
  arrow::FieldVector fields = table.schema->fields();
  switch (change.kind) {
    case TableChange::Kind::kAddColumn: {
      if (change.field == nullptr) {
        return MakeError(ErrorCode::kInvalidArgument,
                         "table " + Quoted(table.name) + ": a column to add needs a field");
      }
      const std::string& name = change.field->name();
      MARBLE_RETURN_NOT_OK(CheckFree(table, name));
      if (!change.field->nullable()) {
        return MakeError(ErrorCode::kSchema,
                         "table " + Quoted(table.name) + ": column " + Quoted(name) +
                             " cannot be added as not nullable: the rows that there are have no "
                             "value in it; let it be nullable");
      }
      fields.push_back(change.field);
      out.field_ids.push_back(out.next_field_id++);
      break;
    }
    case TableChange::Kind::kDropColumn: {
      MARBLE_ASSIGN_OR_RETURN(const int index, Find(table, change.name));
      if (std::find(table.key_columns.begin(), table.key_columns.end(), index) !=
          table.key_columns.end()) {
        return MakeError(ErrorCode::kSchema, "column " + Quoted(change.name) +
                                                 " is part of the primary key of table " +
                                                 Quoted(table.name) + ": it cannot be dropped");
      }
      if (fields.size() == 1) {
        return MakeError(ErrorCode::kSchema, "column " + Quoted(change.name) +
                                                 " is the only one of table " + Quoted(table.name) +
                                                 ": it cannot be dropped; drop the table");
      }
      fields.erase(fields.begin() + index);
      out.field_ids.erase(out.field_ids.begin() + index);
      for (int& key : out.key_columns) key -= key > index;
      break;
    }
    case TableChange::Kind::kRenameColumn: {
      MARBLE_ASSIGN_OR_RETURN(const int index, Find(table, change.name));
      MARBLE_RETURN_NOT_OK(CheckFree(table, change.new_name));
      fields[index] = fields[index]->WithName(change.new_name);
      break;
    }
  }
  out.schema = arrow::schema(std::move(fields), table.schema->metadata());
  return out;
}

}  // namespace marble::lsm
