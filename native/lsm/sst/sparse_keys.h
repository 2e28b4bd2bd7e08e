// Every 64th key of a file, whole: a binary search here and then among 64 rows finds any bound,
// and touches few pages of the .arrow file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/coding.h"
#include "base/limits.h"
#include "base/status.h"

namespace marble::lsm {

class SparseKeysBuilder {
 public:
  /// The key of row 0, 64, 128, ...
  void Add(std::string_view key) {
    bytes_.append(key);
    offsets_.push_back(bytes_.size());
  }
  /// The section's bytes; kTooLarge beyond 4 GiB.
  Result<std::string> Finish() const;

 private:
  std::vector<uint64_t> offsets_{0};
  std::string bytes_;
};

/// The keys where they lie, in a mapping that outlives them. Immutable.
class SparseKeys {
 public:
  /// Nothing when the section is malformed or does not hold the keys of so many rows.
  static std::optional<SparseKeys> Parse(std::string_view section, uint64_t rows);

  int64_t size() const { return size_; }
  std::string_view key(int64_t i) const {
    const auto from = LoadFixed<uint32_t>(offsets_ + i * 4);
    const auto to = LoadFixed<uint32_t>(offsets_ + i * 4 + 4);
    return {bytes_ + from, to - from};
  }

 private:
  const char* offsets_ = nullptr;
  const char* bytes_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace marble::lsm
