// One change of a table's columns: add, drop or rename one by name. What becomes of the table's
// descriptor, without a look at any data; DB::AlterTable makes it true.
#pragma once

#include <arrow/type_fwd.h>

#include <memory>
#include <string>

#include "base/status.h"
#include "lsm/options.h"

namespace marble::lsm {

struct TableChange {
  enum class Kind { kAddColumn, kDropColumn, kRenameColumn };

  /// A column behind the others. Nullable, because the rows that there are have no value in it.
  static TableChange AddColumn(std::shared_ptr<arrow::Field> field);
  /// Its values are never read again; compactions leave them out.
  static TableChange DropColumn(std::string name);
  /// Also of the primary key: the encoded keys do not change.
  static TableChange RenameColumn(std::string from, std::string to);

  Kind kind = Kind::kAddColumn;
  std::shared_ptr<arrow::Field> field;  // added
  std::string name;                     // dropped or renamed
  std::string new_name;                 // renamed
};

/// The descriptor after a change: the other columns keep their order and their ids, a new one gets
/// an id that no column of the table ever had. kColumnNotFound names the nearest column that there
/// is, kSchema a name that is taken or a column that cannot be dropped or added.
Result<TableDescriptor> Changed(const TableDescriptor& table, const TableChange& change);

}  // namespace marble::lsm
