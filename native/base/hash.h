// The one hash of a key: XXH3-64, seed 0, over the encoded key bytes. It serves the memtable,
// the Bloom filter, the point index and the key group, and is part of the file formats:
// it must never change (native/base/FORMAT.md).
#pragma once

#include <cstdint>
#include <string_view>

#include <xxhash.h>

#include "base/types.h"

namespace marble {

inline uint64_t HashKey(std::string_view encoded_key) {
  return XXH3_64bits(encoded_key.data(), encoded_key.size());
}

/// The unit by which state is partitioned: hash mod max_parallelism.
inline KeyGroup KeyGroupOf(uint64_t hash, uint16_t max_parallelism) {
  return static_cast<KeyGroup>(hash % max_parallelism);
}

}  // namespace marble
