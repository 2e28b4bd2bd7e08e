// RocksDB behind its public C++ API, as one who knows it would set it up for this machine and
// this data. Threads: as StoreSide.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "store_side.h"

namespace marble::lsm::bench {

struct RocksdbSettings {
  std::string name;
  bool mapped_reads = false;
  uint64_t cache_bytes = 256 << 20;
  uint64_t write_buffer_bytes = 64 << 20;
};

/// Whether the library was built with assertions, so that it is slower than RocksDB is.
bool RocksdbHasAssertions();

std::unique_ptr<StoreSide> NewRocksdbSide(RocksdbSettings settings);

}  // namespace marble::lsm::bench
