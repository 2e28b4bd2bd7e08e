// Turns records (bytes) into Arrow columns, one row a record. Made once per source with the
// columns it needs: only those are decoded. One thread.
#pragma once

#include <arrow/type_fwd.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace marble::format {

class Decoder {
 public:
  virtual ~Decoder() = default;
  /// `fields`: the columns wanted, by the names they have in the records. kPlan when the format
  /// or an option of it is unknown; kNotSupported for a type the format cannot give.
  static Result<std::unique_ptr<Decoder>> Make(
      const std::string& format, const std::map<std::string, std::string>& options,
      const std::vector<std::shared_ptr<arrow::Field>>& fields);

  /// Append one record as a row. kBadRecord says why it cannot be; then no row was appended.
  virtual Status Append(std::string_view record) = 0;
  virtual int64_t rows() const = 0;
  /// Bytes of column data gathered so far, about.
  virtual int64_t bytes() const = 0;
  /// The columns of all rows since the last Finish, in `fields` order.
  virtual Result<std::vector<std::shared_ptr<arrow::Array>>> Finish() = 0;
};

}  // namespace marble::format
