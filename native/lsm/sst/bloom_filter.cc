#include "lsm/sst/bloom_filter.h"

#include <algorithm>
#include <cmath>

#include "base/coding.h"

namespace marble::lsm {
namespace {

constexpr size_t kHeaderBytes = BloomFilter::kHeaderBytes;
constexpr int kMaxProbes = BloomFilter::kMaxProbes;
constexpr size_t kPrefetchDistance = 16;

/// ln 2 * bits per key is the optimum of a plain filter; a blocked one wants slightly fewer.
int ProbesFor(double bits_per_key) {
  return std::clamp(static_cast<int>(bits_per_key * 0.6), 1, kMaxProbes);
}

}  // namespace

std::string BuildBloomFilter(const std::vector<uint64_t>& hashes, double bits_per_key) {
  const double bits = std::max(1.0, bits_per_key * static_cast<double>(hashes.size()));
  const auto num_lines = static_cast<uint64_t>(std::ceil(bits / 512));
  const int probes = ProbesFor(bits_per_key);
  std::string out(kHeaderBytes + num_lines * BloomFilter::kLineBytes, '\0');
  StoreFixed<uint64_t>(&out[0], num_lines);
  StoreFixed<uint32_t>(&out[8], static_cast<uint32_t>(probes));
  auto* lines = reinterpret_cast<uint8_t*>(&out[kHeaderBytes]);
  const auto line_of = [&](uint64_t hash) {
    return lines + static_cast<uint64_t>((static_cast<unsigned __int128>(hash) * num_lines) >> 64) *
                       BloomFilter::kLineBytes;
  };
  for (size_t i = 0; i < hashes.size(); ++i) {
    if (i + kPrefetchDistance < hashes.size()) {
      __builtin_prefetch(line_of(hashes[i + kPrefetchDistance]), 1);
    }
    uint8_t* line = line_of(hashes[i]);
    auto probe = static_cast<uint32_t>(hashes[i]);
    for (int p = 0; p < probes; ++p) {
      const uint32_t bit = probe >> 23;
      line[bit / 8] |= static_cast<uint8_t>(1u << (bit % 8));
      probe *= BloomFilter::kMultiplier;
    }
  }
  return out;
}

std::optional<BloomFilter> BloomFilter::Parse(std::string_view section) {
  if (section.size() < kHeaderBytes + kLineBytes) return std::nullopt;
  const auto num_lines = LoadFixed<uint64_t>(section.data());
  const auto probes = LoadFixed<uint32_t>(section.data() + 8);
  if (num_lines != (section.size() - kHeaderBytes) / kLineBytes ||
      (section.size() - kHeaderBytes) % kLineBytes != 0 || probes < 1 || probes > kMaxProbes) {
    return std::nullopt;
  }
  BloomFilter filter;
  filter.lines_ = reinterpret_cast<const uint8_t*>(section.data()) + kHeaderBytes;
  filter.num_lines_ = num_lines;
  filter.probes_ = static_cast<int>(probes);
  return filter;
}

}  // namespace marble::lsm
