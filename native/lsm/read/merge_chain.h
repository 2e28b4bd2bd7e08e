// The versions of one key from the newest merge operand down to what it applies to, collected
// from run to run and then folded into one value. One thread.
//
// With expiry the chain is cut where an older version had expired when the next newer one was
// written: the value then began anew. So the result does not depend on when space is reclaimed.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lsm/table_info.h"

namespace marble::lsm {

class MergeChain {
 public:
  explicit MergeChain(const TableInfo& info) : info_(info) {}

  /// The next older version. `owner` (may be null) keeps the bytes alive. Nothing may be added
  /// once `complete`.
  void AddOperand(std::string_view bytes, int64_t expires, std::shared_ptr<const void> owner) {
    Add(bytes, expires, std::move(owner), /*base=*/false);
  }
  /// A put: what the operands apply to.
  void AddBase(std::string_view bytes, int64_t expires, std::shared_ptr<const void> owner) {
    Add(bytes, expires, std::move(owner), /*base=*/true);
  }
  /// A tombstone, or nothing older can exist.
  void AddNothing() { complete_ = true; }

  /// What lies below does not count any more.
  bool complete() const { return complete_; }
  bool empty() const { return versions_.empty(); }
  size_t size() const { return versions_.size(); }
  /// Of the newest version, hence of the value.
  int64_t expires() const { return versions_.front().expires; }
  /// The value; as long as the chain is not complete: one operand that stands for all.
  std::string Fold(std::string_view key) const;

 private:
  struct Version {
    std::string_view bytes;
    int64_t expires;
    std::shared_ptr<const void> owner;
  };
  void Add(std::string_view bytes, int64_t expires, std::shared_ptr<const void> owner, bool base);

  const TableInfo& info_;
  std::vector<Version> versions_;  // newest first
  bool complete_ = false;
};

}  // namespace marble::lsm
