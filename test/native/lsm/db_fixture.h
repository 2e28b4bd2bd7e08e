// What the database tests share: a directory that goes away, tables and batches in one line.
#pragma once

#include <arrow/api.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lsm/db.h"

namespace marble::lsm::testing {

#define ASSERT_OK(expr)                              \
  do {                                               \
    const ::marble::Status _status = (expr);         \
    ASSERT_TRUE(_status.ok()) << _status.ToString(); \
  } while (false)

template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.status().ToString();
    std::abort();
  }
  return std::move(result).ValueUnsafe();
}
inline void Must(const Status& status) {
  if (!status.ok()) {
    ADD_FAILURE() << status.ToString();
    std::abort();
  }
}

/// A directory under TMPDIR, removed at the end. kMemory: where an fsync costs nothing.
class TempDir {
 public:
  enum class Place { kDisk, kMemory };
  explicit TempDir(Place place = Place::kDisk) {
    const char* root = getenv("TMPDIR");
    std::string pattern = std::string(root != nullptr && *root ? root : "/tmp");
    if (place == Place::kMemory && std::filesystem::is_directory("/dev/shm")) pattern = "/dev/shm";
    pattern += "/marble-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline TableDescriptor StateFamily(const std::string& name, TableOptions options = {}) {
  TableDescriptor d;
  d.name = name;
  d.schema = arrow::schema(
      {arrow::field("key", arrow::binary(), false), arrow::field("value", arrow::binary(), false)});
  d.key_columns = {0};
  d.is_state_family = true;
  d.options = options;
  return d;
}

/// Typed table: (id int64 not null, name utf8 not null) → (score double, note utf8, flag bool).
inline TableDescriptor TypedTable(const std::string& name, TableOptions options = {}) {
  TableDescriptor d;
  d.name = name;
  d.schema = arrow::schema(
      {arrow::field("score", arrow::float64()), arrow::field("id", arrow::int64(), false),
       arrow::field("note", arrow::utf8()), arrow::field("name", arrow::utf8(), false),
       arrow::field("flag", arrow::boolean())});
  d.key_columns = {1, 3};
  d.options = options;
  return d;
}

inline TableDescriptor AppendTable(const std::string& name) {
  TableDescriptor d;
  d.name = name;
  d.schema = arrow::schema({arrow::field("n", arrow::int64()), arrow::field("s", arrow::utf8())});
  return d;
}

struct TypedRow {
  int64_t id;
  std::string name;
  std::optional<double> score;
  std::optional<std::string> note;
  std::optional<bool> flag;
  bool operator==(const TypedRow&) const = default;
};

inline std::shared_ptr<arrow::RecordBatch> TypedBatch(const std::vector<TypedRow>& rows) {
  arrow::DoubleBuilder score;
  arrow::Int64Builder id;
  arrow::StringBuilder note, name;
  arrow::BooleanBuilder flag;
  for (const TypedRow& row : rows) {
    Must(row.score ? score.Append(*row.score) : score.AppendNull());
    Must(id.Append(row.id));
    Must(row.note ? note.Append(*row.note) : note.AppendNull());
    Must(name.Append(row.name));
    Must(row.flag ? flag.Append(*row.flag) : flag.AppendNull());
  }
  return arrow::RecordBatch::Make(TypedTable("").schema, static_cast<int64_t>(rows.size()),
                                  {Must(score.Finish()), Must(id.Finish()), Must(note.Finish()),
                                   Must(name.Finish()), Must(flag.Finish())});
}

inline std::shared_ptr<arrow::RecordBatch> KeyBatch(
    const std::vector<std::pair<int64_t, std::string>>& keys) {
  arrow::Int64Builder id;
  arrow::StringBuilder name;
  for (const auto& [i, n] : keys) {
    Must(id.Append(i));
    Must(name.Append(n));
  }
  return arrow::RecordBatch::Make(arrow::schema({arrow::field("id", arrow::int64(), false),
                                                 arrow::field("name", arrow::utf8(), false)}),
                                  static_cast<int64_t>(keys.size()),
                                  {Must(id.Finish()), Must(name.Finish())});
}

inline std::string TypedKey(const TableHandle& table, int64_t id, const std::string& name) {
  return Must(CodecOf(table)->EncodeScalars(
      {arrow::MakeScalar(id), std::make_shared<arrow::StringScalar>(name)}));
}

inline TypedRow TypedRowAt(const arrow::RecordBatch& batch, int64_t row) {
  TypedRow out;
  const auto& score = static_cast<const arrow::DoubleArray&>(*batch.column(0));
  const auto& note = static_cast<const arrow::StringArray&>(*batch.column(2));
  const auto& flag = static_cast<const arrow::BooleanArray&>(*batch.column(4));
  if (score.IsValid(row)) out.score = score.Value(row);
  out.id = static_cast<const arrow::Int64Array&>(*batch.column(1)).Value(row);
  if (note.IsValid(row)) out.note = note.GetString(row);
  out.name = static_cast<const arrow::StringArray&>(*batch.column(3)).GetString(row);
  if (flag.IsValid(row)) out.flag = flag.Value(row);
  return out;
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

inline Result<std::vector<std::shared_ptr<arrow::RecordBatch>>> ScanBatches(
    DB* db, const TableHandle& table, const ScanOptions& options) {
  MARBLE_ASSIGN_OR_RETURN(auto it, db->NewIterator(table, options));
  std::vector<std::shared_ptr<arrow::RecordBatch>> out;
  while (true) {
    MARBLE_ASSIGN_OR_RETURN(auto step, it->Next());
    if (step.batch == nullptr) break;
    EXPECT_GT(step.batch->num_rows(), 0);
    MARBLE_RETURN_NOT_OK(step.batch->ValidateFull());
    if (step.sst != nullptr) {
      // A slice says truly where it lies.
      MARBLE_ASSIGN_OR_RETURN(auto whole, step.sst->ReadBatch(step.sst_batch));
      std::vector<int> columns(step.batch->num_columns());
      for (size_t i = 0; i < columns.size(); ++i) columns[i] = static_cast<int>(i);
      if (options.columns != nullptr) columns = *options.columns;
      MARBLE_ASSIGN_OR_RETURN(whole, whole->SelectColumns(columns));
      const auto slice = whole->Slice(step.first_row, step.batch->num_rows());
      for (int c = 0; c < slice->num_columns(); ++c) {
        EXPECT_TRUE(slice->column(c)->Equals(step.batch->column(c)));
      }
    }
    out.push_back(std::move(step.batch));
  }
  return out;
}

inline Pairs ScanState(DB* db, const TableHandle& table, const ScanOptions& options = {}) {
  Pairs out;
  for (const auto& batch : Must(ScanBatches(db, table, options))) {
    const auto& keys = static_cast<const arrow::BinaryArray&>(*batch->column(0));
    const auto& values = static_cast<const arrow::BinaryArray&>(*batch->column(1));
    for (int64_t i = 0; i < batch->num_rows(); ++i) {
      out.emplace_back(keys.GetString(i), values.GetString(i));
    }
  }
  return out;
}

inline std::optional<std::string> GetState(DB* db, const TableHandle& table, std::string_view key,
                                           const ReadOptions& options = {}) {
  const auto value = Must(db->Get(table, key, options));
  if (!value) return std::nullopt;
  return std::string(value->bytes);
}

inline void PutOne(DB* db, const TableHandle& table, std::string_view key, std::string_view value) {
  WriteBatch batch;
  Must(batch.Put(table, key, value));
  Must(db->Write(std::move(batch), {}));
}

}  // namespace marble::lsm::testing
