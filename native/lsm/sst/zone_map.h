// Zone maps: per batch and column the smallest and largest value and the number of nulls, from
// which a scan decides that a batch cannot match. A bound is unknown where there is none (all
// null), where the type has no order of ours (nested, interval, half float), for a column with a
// NaN, and where a long string's bound cannot be shortened upwards. Strings are cut to
// kZoneStringBytes: the minimum downwards, the maximum upwards, so a bound may lie outside of
// the values but never inside.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "lsm/sst/sst_reader.h"

namespace marble::lsm {

inline constexpr size_t kZoneStringBytes = 64;

/// Collects the maps of a file, batch by batch; each batch with the table's columns.
class ZoneMapBuilder {
 public:
  explicit ZoneMapBuilder(int num_columns) : num_columns_(num_columns) {}
  void AddBatch(const std::vector<std::shared_ptr<arrow::ArrayData>>& columns);
  /// The section's bytes; kTooLarge beyond 4 GiB.
  Result<std::string> Finish() const;

 private:
  int num_columns_;
  std::vector<uint64_t> offsets_{0};
  std::string entries_;
};

/// The encoded entry of one column.
std::string EncodeZone(const arrow::ArrayData& column);
/// Unknown where the bytes are malformed.
SstReader::ZoneMap DecodeZone(const std::shared_ptr<arrow::DataType>& type, std::string_view entry);

/// The maps where they lie, in a mapping that outlives them. Immutable.
class ZoneMaps {
 public:
  /// Nothing when the section does not hold `batches` times `columns` entries.
  static std::optional<ZoneMaps> Parse(std::string_view section, uint64_t batches, int columns);
  std::string_view entry(int64_t batch, int column) const;

 private:
  std::string_view offsets_;
  std::string_view entries_;
  int columns_ = 0;
};

}  // namespace marble::lsm
