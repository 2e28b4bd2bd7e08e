// What the fault and power-loss tests share: a database's whole content as text, and histories of
// writes that can be replayed against it.
#pragma once

#include <algorithm>
#include <random>

#include "db_fixture.h"
#include "io/fault_injection_file_system.h"
#include "io/memory_file_system.h"

namespace marble::lsm::testing {

/// The files of the database /db, by name.
using Files = std::map<std::string, std::string>;

inline Files ReadFiles(io::FileSystem* files) {
  Files out;
  for (const std::string& name : Must(files->List("/db"))) {
    out[name] = Must(files->ReadFile("/db/" + name));
  }
  return out;
}

inline std::shared_ptr<io::MemoryFileSystem> WriteFiles(const Files& files) {
  auto disk = std::make_shared<io::MemoryFileSystem>();
  Must(disk->CreateDirs("/db"));
  for (const auto& [name, bytes] : files) {
    auto file = Must(disk->Create("/db/" + name));
    Must(file->Append(bytes));
  }
  return disk;
}

/// A table's rows by key, as text. A table without a key: by number, in order.
using Rows = std::map<std::string, std::string>;
/// All tables by name.
using Content = std::map<std::string, Rows>;

inline std::string TextOf(const TypedRow& row) {
  return (row.score ? std::to_string(*row.score) : "-") + "|" + row.note.value_or("-") + "|" +
         (row.flag ? std::to_string(*row.flag) : "-");
}
inline std::string KeyTextOf(const TypedRow& row) {
  return std::to_string(row.id) + "/" + row.name;
}

inline std::string RowNumber(size_t n) {
  std::string digits = std::to_string(n);
  return std::string(8 - std::min<size_t>(8, digits.size()), '0') + digits;
}

inline std::shared_ptr<arrow::RecordBatch> AppendBatch(const std::vector<std::string>& texts) {
  arrow::Int64Builder n;
  arrow::StringBuilder s;
  for (const std::string& text : texts) {
    Must(n.Append(static_cast<int64_t>(text.size())));
    Must(s.Append(text));
  }
  return arrow::RecordBatch::Make(AppendTable("").schema, static_cast<int64_t>(texts.size()),
                                  {Must(n.Finish()), Must(s.Finish())});
}

/// Read a table by scan, and its state families by key as well: both have to agree. Every file that
/// the scan meets is verified with `verify`.
inline Result<Rows> ReadTable(DB* db, const TableHandle& table, bool verify = false) {
  const TableDescriptor& descriptor = DescriptorOf(table);
  Rows rows;
  size_t number = 0;
  MARBLE_ASSIGN_OR_RETURN(auto it, db->NewIterator(table, {}));
  while (true) {
    MARBLE_ASSIGN_OR_RETURN(const ScanBatch step, it->Next());
    if (step.batch == nullptr) break;
    if (verify && step.sst != nullptr) MARBLE_RETURN_NOT_OK(step.sst->Verify());
    for (int64_t i = 0; i < step.batch->num_rows(); ++i) {
      if (descriptor.is_state_family) {
        const auto& keys = static_cast<const arrow::BinaryArray&>(*step.batch->column(0));
        const auto& values = static_cast<const arrow::BinaryArray&>(*step.batch->column(1));
        rows[keys.GetString(i)] = values.GetString(i);
      } else if (descriptor.key_columns.empty()) {
        const auto& n = static_cast<const arrow::Int64Array&>(*step.batch->column(0));
        const auto& s = static_cast<const arrow::StringArray&>(*step.batch->column(1));
        rows[RowNumber(number++)] = std::to_string(n.Value(i)) + ":" + s.GetString(i);
      } else {
        const TypedRow row = TypedRowAt(*step.batch, i);
        rows[KeyTextOf(row)] = TextOf(row);
      }
    }
  }
  if (!descriptor.is_state_family) return rows;
  for (const auto& [key, value] : rows) {
    MARBLE_ASSIGN_OR_RETURN(const auto got, db->Get(table, key, {}));
    EXPECT_TRUE(got.has_value()) << "a scan finds '" << key << "', a get does not";
    if (got) {
      EXPECT_EQ(got->bytes, value) << "key '" << key << "'";
    }
    MARBLE_ASSIGN_OR_RETURN(const auto beside, db->Get(table, key + "!", {}));
    EXPECT_EQ(beside.has_value(), rows.contains(key + "!"));
  }
  return rows;
}

inline Result<Content> ReadDatabase(DB* db, bool verify = false) {
  Content content;
  for (const TableDescriptor& descriptor : db->ListTables()) {
    MARBLE_ASSIGN_OR_RETURN(const TableHandle table, db->GetTable(descriptor.name));
    MARBLE_ASSIGN_OR_RETURN(content[descriptor.name], ReadTable(db, table, verify));
  }
  return content;
}

/// One step of a write batch, and what it does to the content.
struct Step {
  enum Kind { kPut, kMerge, kDelete, kDeleteRange, kInsert, kDeleteRows, kAppend } kind;
  std::string table;
  std::string key;  // kDeleteRange: from
  std::string to;   // kPut: the value; kMerge: what is appended to it
  std::vector<TypedRow> rows;
  std::vector<std::string> texts;  // kAppend
  int64_t expires = 0;             // kPut: when it counts no longer; 0: never
};
using Operation = std::vector<Step>;

/// `expires`, if given, gets what Rows cannot say: until when a key's value counts.
inline void ApplyStep(const Step& step, Rows* rows,
                      std::map<std::string, int64_t>* expires = nullptr) {
  switch (step.kind) {
    case Step::kPut:
      (*rows)[step.key] = step.to;
      if (expires != nullptr && step.expires != 0) (*expires)[step.key] = step.expires;
      break;
    case Step::kMerge:
      (*rows)[step.key] += step.to;
      break;
    case Step::kDelete:
      rows->erase(step.key);
      break;
    case Step::kDeleteRange:
      rows->erase(rows->lower_bound(step.key), rows->lower_bound(step.to));
      break;
    case Step::kInsert:
      for (const TypedRow& row : step.rows) (*rows)[KeyTextOf(row)] = TextOf(row);
      break;
    case Step::kDeleteRows:
      for (const TypedRow& row : step.rows) rows->erase(KeyTextOf(row));
      break;
    case Step::kAppend:
      for (const std::string& text : step.texts) {
        (*rows)[RowNumber(rows->size())] = std::to_string(text.size()) + ":" + text;
      }
      break;
  }
}

inline Status AddStep(const Step& step, const TableHandle& table, WriteBatch* batch) {
  switch (step.kind) {
    case Step::kPut:
      return batch->Put(table, step.key, step.to);
    case Step::kMerge:
      return batch->Merge(table, step.key, step.to);
    case Step::kDelete:
      return batch->Delete(table, step.key);
    case Step::kDeleteRange:
      return batch->DeleteRange(table, step.key, step.to);
    case Step::kInsert:
      return batch->Insert(table, TypedBatch(step.rows));
    case Step::kDeleteRows: {
      std::vector<std::pair<int64_t, std::string>> keys;
      for (const TypedRow& row : step.rows) keys.emplace_back(row.id, row.name);
      return batch->DeleteRows(table, KeyBatch(keys));
    }
    case Step::kAppend:
      return batch->Insert(table, AppendBatch(step.texts));
  }
  return Status::OK();
}

/// The first difference of two contents, for messages.
inline std::string DifferenceOf(const Content& expected, const Content& found) {
  for (const auto& [name, rows] : expected) {
    const auto it = found.find(name);
    if (it == found.end()) return "table '" + name + "' is missing";
    for (const auto& [key, value] : rows) {
      const auto row = it->second.find(key);
      const std::string where = "'" + name + "' at '" + key + "'";
      if (row == it->second.end()) return where + ": '" + value.substr(0, 40) + "' is missing";
      if (row->second != value) {
        return where + ": '" + row->second.substr(0, 40) + "' instead of '" + value.substr(0, 40) +
               "'";
      }
    }
    for (const auto& [key, value] : it->second) {
      if (!rows.contains(key)) {
        return "'" + name + "' at '" + key + "': '" + value.substr(0, 40) + "' should not be there";
      }
    }
  }
  for (const auto& [name, rows] : found) {
    if (!expected.contains(name)) return "table '" + name + "' should not be there";
  }
  return "none";
}

}  // namespace marble::lsm::testing
