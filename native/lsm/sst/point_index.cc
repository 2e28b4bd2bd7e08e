#include "lsm/sst/point_index.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"

namespace marble::lsm {
namespace {

constexpr size_t kHeaderBytes = PointIndex::kHeaderBytes;
constexpr size_t kPrefetchDistance = 16;

}  // namespace

std::string BuildPointIndex(const std::vector<uint64_t>& hashes,
                            const std::vector<uint32_t>& rows) {
  MARBLE_CHECK(rows.empty() || rows.size() == hashes.size());
  const uint64_t slots = std::max<uint64_t>(8, hashes.size() * 10 / 7 + 1);
  std::string out(kHeaderBytes + slots * PointIndex::kSlotBytes, '\xff');
  std::memset(out.data(), 0, kHeaderBytes);
  StoreFixed<uint64_t>(&out[0], slots);
  StoreFixed<uint64_t>(&out[8], hashes.size());
  auto* base = reinterpret_cast<uint8_t*>(&out[kHeaderBytes]);
  const auto home_of = [slots](uint64_t hash) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(hash) * slots) >> 64);
  };
  for (size_t i = 0; i < hashes.size(); ++i) {
    if (i + kPrefetchDistance < hashes.size()) {
      __builtin_prefetch(base + home_of(hashes[i + kPrefetchDistance]) * 8, 1);
    }
    uint64_t at = home_of(hashes[i]);
    while (LoadFixed<uint32_t>(base + at * 8 + 4) != PointIndex::kNone) {
      if (++at == slots) at = 0;
    }
    const uint32_t row = rows.empty() ? static_cast<uint32_t>(i) : rows[i];
    StoreFixed<uint32_t>(base + at * 8, static_cast<uint32_t>(hashes[i]));
    StoreFixed<uint32_t>(base + at * 8 + 4, row);
  }
  return out;
}

std::optional<PointIndex> PointIndex::Parse(std::string_view section) {
  if (section.size() < kHeaderBytes + kSlotBytes) return std::nullopt;
  const auto slots = LoadFixed<uint64_t>(section.data());
  const auto entries = LoadFixed<uint64_t>(section.data() + 8);
  if (slots != (section.size() - kHeaderBytes) / kSlotBytes ||
      (section.size() - kHeaderBytes) % kSlotBytes != 0 || entries >= slots) {
    return std::nullopt;
  }
  PointIndex index;
  index.slots_ = reinterpret_cast<const uint8_t*>(section.data()) + kHeaderBytes;
  index.num_slots_ = slots;
  index.entries_ = entries;
  return index;
}

}  // namespace marble::lsm
