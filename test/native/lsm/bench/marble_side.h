// MarbleDB behind db.h, with its defaults: durability 'process', one state family, Bloom filter
// of 10 bits a key. Threads: as StoreSide.
#pragma once

#include <memory>
#include <string>

#include "store_side.h"

namespace marble::lsm::bench {

struct MarbleSettings {
  std::string revision;          // of the sources, for the report
  size_t log_segment_bytes = 0;  // 0: the default
};

std::unique_ptr<StoreSide> NewMarbleSide(MarbleSettings settings);

}  // namespace marble::lsm::bench
