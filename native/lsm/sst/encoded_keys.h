// The keys of some rows on their way into a file's index: encoded and hashed, which needs no state
// of the file and so may be done ahead of its writer, by any thread.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/key_codec.h"

namespace marble::lsm {

struct EncodedKeys {
  std::string bytes;  // one behind the other
  std::vector<uint32_t> offsets;
  /// Of each key; empty in a file that keeps none (neither Bloom filter nor point index).
  std::vector<uint64_t> hashes;

  static EncodedKeys Of(const KeyCodec& codec, const arrow::RecordBatch& rows, bool with_hashes) {
    EncodedKeys keys;
    codec.EncodeAll(rows, &keys.bytes, &keys.offsets);
    if (!with_hashes) return keys;
    keys.hashes.reserve(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) keys.hashes.push_back(HashKey(keys.key(i)));
    return keys;
  }

  size_t size() const { return offsets.empty() ? 0 : offsets.size() - 1; }
  std::string_view key(size_t i) const {
    return {bytes.data() + offsets[i], offsets[i + 1] - offsets[i]};
  }
  uint64_t memory() const {
    return bytes.capacity() + offsets.capacity() * sizeof(uint32_t) +
           hashes.capacity() * sizeof(uint64_t);
  }
};

}  // namespace marble::lsm
