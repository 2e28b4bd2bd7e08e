#include "lsm/sst/sparse_keys.h"

#include <limits>

namespace marble::lsm {

Result<std::string> SparseKeysBuilder::Finish() const {
  if (bytes_.size() > std::numeric_limits<uint32_t>::max()) {
    return MakeError(ErrorCode::kTooLarge, "the sparse keys of one file exceed 4 GiB");
  }
  std::string out;
  out.reserve(8 + offsets_.size() * 4 + bytes_.size());
  PutFixed<uint32_t>(&out, static_cast<uint32_t>(limits::kSparseKeyInterval));
  PutFixed<uint32_t>(&out, static_cast<uint32_t>(offsets_.size() - 1));
  for (const uint64_t offset : offsets_) PutFixed<uint32_t>(&out, static_cast<uint32_t>(offset));
  out += bytes_;
  return out;
}

std::optional<SparseKeys> SparseKeys::Parse(std::string_view section, uint64_t rows) {
  constexpr uint64_t kInterval = limits::kSparseKeyInterval;
  Decoder in(section);
  uint32_t interval = 0;
  uint32_t count = 0;
  std::string_view offsets;
  if (!in.Fixed(&interval) || !in.Fixed(&count) || interval != kInterval ||
      count != (rows + kInterval - 1) / kInterval || !in.Bytes((size_t{count} + 1) * 4, &offsets)) {
    return std::nullopt;
  }
  uint32_t last = 0;
  for (size_t i = 0; i <= count; ++i) {
    const auto offset = LoadFixed<uint32_t>(offsets.data() + i * 4);
    if (offset < last || offset > in.remaining()) return std::nullopt;
    last = offset;
  }
  SparseKeys keys;
  keys.offsets_ = offsets.data();
  keys.bytes_ = reinterpret_cast<const char*>(in.position());
  keys.size_ = count;
  return keys;
}

}  // namespace marble::lsm
