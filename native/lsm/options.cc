#include "lsm/options.h"

#include "base/limits.h"
#include "base/status.h"

namespace marble::lsm {

Result<TableOptions> PresetTableOptions(std::string_view preset) {
  TableOptions options;
  if (preset == "timeSeries" || preset == "appendLog") {
    // Read in ranges: large batches, and nothing that only a get of one key would use.
    options.bloom_bits_per_key = 0;
    options.point_index = false;
    options.batch_rows = limits::kTableBatchRows;
    options.batch_bytes = limits::kTableBatchBytes;
  } else if (preset == "dimension") {
    // Read by key: a cold get touches one window of the system's readahead.
    options.zone_maps = false;
    options.batch_bytes = limits::kStateBatchBytes;
  } else {
    return MakeError(ErrorCode::kInvalidArgument,
                     "there is no preset '" + std::string(preset) +
                         "'; there are 'timeSeries', 'dimension' and 'appendLog'");
  }
  return options;
}

}  // namespace marble::lsm
