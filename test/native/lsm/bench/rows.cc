#include "rows.h"

#include <numeric>
#include <utility>

namespace marble::lsm::bench {
namespace {
constexpr uint64_t kPoolSeed = 20261121;
}

Rows::Rows(uint64_t count, KeyShape shape) : count_(count), shape_(shape) {
  Random random(kPoolSeed);
  pool_.resize((size_t{1} << kPoolBits) + kValueBytes);
  for (size_t i = 0; i < pool_.size(); ++i) pool_[i] = static_cast<char>(random.Next() >> 32);
}

uint64_t Rows::NumberOf(std::string_view key) const {
  uint64_t number = 0;
  if (shape_ == KeyShape::kNumber) {
    std::memcpy(&number, key.data(), 8);
    return __builtin_bswap64(number);
  }
  for (const char digit : key) number = number * 10 + static_cast<uint64_t>(digit - '0');
  return number;
}

std::vector<uint32_t> Rows::Shuffled(uint64_t seed) const {
  std::vector<uint32_t> order(count_);
  std::iota(order.begin(), order.end(), 0);
  Random random(seed);
  for (uint64_t i = count_; i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  return order;
}

}  // namespace marble::lsm::bench
