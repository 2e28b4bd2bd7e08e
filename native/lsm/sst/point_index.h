// A flat open-addressing hash table from key to row, mapped in place: 8-byte slots
// {fingerprint: the hash's low 32 bits, row}, linear probing, at most 70 % full. A key's home is
// its hash's position in [0, slots) by multiplication. Of equal keys it holds the first row,
// which is the newest version. The layout is part of the .idx format (FORMAT.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/coding.h"
#include "base/status.h"

namespace marble::lsm {

/// The section's bytes. `hashes[i]` is that of the key first seen in row `rows[i]`; `rows` may be
/// empty when hash i belongs to row i.
std::string BuildPointIndex(const std::vector<uint64_t>& hashes, const std::vector<uint32_t>& rows);

/// An index where it lies, in a mapping that outlives it. Immutable.
class PointIndex {
 public:
  /// Nothing when the bytes are malformed. Only the header is looked at.
  static std::optional<PointIndex> Parse(std::string_view section);

  /// Walks the candidates of a hash: rows whose key has the same fingerprint.
  class Probe {
   public:
    /// The next candidate's row; kNone when there is none. Row numbers come from the file: check
    /// them against the number of rows.
    uint32_t Next() {
      for (; left_ > 0; --left_) {
        const uint8_t* slot = index_->slots_ + at_ * kSlotBytes;
        const auto row = LoadFixed<uint32_t>(slot + 4);
        if (row == kNone) return kNone;
        if (++at_ == index_->num_slots_) at_ = 0;
        if (LoadFixed<uint32_t>(slot) == fingerprint_) {
          --left_;
          return row;
        }
      }
      return kNone;
    }

   private:
    friend class PointIndex;
    Probe(const PointIndex* index, uint64_t hash)
        : index_(index),
          at_(index->HomeOf(hash)),
          left_(index->num_slots_),
          fingerprint_(static_cast<uint32_t>(hash)) {}
    const PointIndex* index_;
    uint64_t at_;
    uint64_t left_;  // slots: a damaged table without an empty slot must not loop
    uint32_t fingerprint_;
  };

  Probe Lookup(uint64_t hash) const { return Probe(this, hash); }
  void Prefetch(uint64_t hash) const { __builtin_prefetch(slots_ + HomeOf(hash) * kSlotBytes); }
  uint64_t entries() const { return entries_; }
  /// Call `check` (Status(const uint8_t* slot)) for each slot that a lookup looks at, before it is
  /// read.
  template <typename Check>
  Status Walk(uint64_t hash, const Check& check) const {
    uint64_t at = HomeOf(hash);
    for (uint64_t left = num_slots_; left > 0; --left) {
      const uint8_t* slot = slots_ + at * kSlotBytes;
      MARBLE_RETURN_NOT_OK(check(slot));
      if (LoadFixed<uint32_t>(slot + 4) == kNone) break;
      if (++at == num_slots_) at = 0;
    }
    return Status::OK();
  }

  static constexpr uint32_t kNone = 0xffffffff;
  static constexpr size_t kSlotBytes = 8;
  static constexpr size_t kHeaderBytes = 64;  // keeps the slots aligned

 private:
  uint64_t HomeOf(uint64_t hash) const {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(hash) * num_slots_) >> 64);
  }

  const uint8_t* slots_ = nullptr;
  uint64_t num_slots_ = 0;
  uint64_t entries_ = 0;
};

}  // namespace marble::lsm
