// Columns that were declared with a dictionary are stored plainly (lsm/sst/FORMAT.md says why) and
// get one on their way out: of a scan, each batch's dictionary is the one before it and what is new
// behind it, so that only the new values cross. Where an index type is exhausted a dictionary
// begins anew, and a batch may come out in parts.
//
// One thread at a time.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/arrow_types.h"
#include "base/status.h"

namespace marble::napi {

class DictionaryColumns {
 public:
  /// Of batches with these fields.
  explicit DictionaryColumns(const arrow::Schema& schema);
  explicit DictionaryColumns(const arrow::FieldVector& fields);

  /// Whether any column, at whatever depth, has a dictionary; else there is nothing to do.
  bool any() const { return !dictionaries_.empty(); }

  /// The batch in one or more parts, whose columns with a dictionary are of arrow::DictionaryType:
  /// the dictionary of each is what is new in this part. kTooLarge names a column of which one row
  /// alone has more values than its index type has numbers.
  Result<arrow::RecordBatchVector> Encode(const std::shared_ptr<arrow::RecordBatch>& batch);

  /// Of the data of a DictionaryType that Encode has made: whether its dictionary begins anew.
  static bool BeginsAnew(const arrow::ArrayData& data);

 private:
  struct Dictionary {
    std::string column;
    DeclaredDictionary declared;
    uint64_t most = 0;  // values that its indices can tell apart
    std::unordered_map<std::string, int64_t> known;
    bool fresh = true;  // nothing of it has been given
  };
  /// Dictionaries in the order of a walk through the types, depth first.
  void Collect(const arrow::Field& field);
  Status EncodeParts(const std::shared_ptr<arrow::RecordBatch>& batch,
                     arrow::RecordBatchVector* out);
  /// Null: an index type is exhausted.
  Result<std::shared_ptr<arrow::RecordBatch>> TryEncode(const arrow::RecordBatch& batch);
  Result<std::shared_ptr<arrow::ArrayData>> EncodeField(
      const arrow::Field& field, const std::shared_ptr<arrow::ArrayData>& data, size_t* next);
  Result<std::shared_ptr<arrow::ArrayData>> EncodeValues(
      Dictionary* dictionary, const std::shared_ptr<arrow::ArrayData>& data);
  void Reset();

  arrow::FieldVector fields_;
  std::vector<bool> has_inner_;  // which of them have a dictionary deeper inside
  std::vector<Dictionary> dictionaries_;
};

}  // namespace marble::napi
