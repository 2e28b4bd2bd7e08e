// The rules of versions (README.md) at flush and compaction: of all versions of one key, from the
// newest to the oldest, what somebody may still see goes on to a RunBuilder.
//
//   1. Between two neighbouring snapshots only the newest version counts.
//   2. What has expired for everybody, or what the compaction filter removes, is a tombstone.
//   3. Merge operands fold with each other and into the value they apply to, between two
//      neighbouring snapshots only. In tables whose rows expire, operands that do not reach a
//      value yet stay apart: when each was written decides what expires.
//   4. Tombstones with nothing below them vanish.
//
// One thread, one run.
#pragma once

#include <arrow/type_fwd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lsm/compaction/compaction_filter.h"
#include "lsm/compaction/run_builder.h"
#include "lsm/read/merge_chain.h"

namespace marble::lsm {

/// One version: bytes of a state family, or a row of a batch, or a tombstone.
struct RowVersion {
  SequenceNumber sequence = 0;
  RowKind kind = RowKind::kPut;
  int64_t expires = 0;
  std::shared_ptr<arrow::RecordBatch> batch;  // null: bytes
  int64_t row = 0;
  std::string_view bytes;
};

/// What a flush or compaction may forget.
struct FoldRules {
  std::vector<SequenceNumber> snapshots;  // ascending
  /// Versions that expire up to then have expired for every reader and snapshot; 0: none has.
  int64_t expired_ms = 0;
  std::shared_ptr<const CompactionFilter> filter;  // may be null

  /// With merges, a value that has expired by now may still count for a newer operand that was
  /// written in time, and that operand may be in a newer run. So only what had expired when the
  /// newest row of this run was written (`max_expires` tells when) is forgotten.
  void LimitExpiry(const TableInfo& info, int64_t max_expires) {
    if (info.merge_operator == nullptr || !info.expires()) return;
    expired_ms = std::min(expired_ms, max_expires - info.descriptor.options.ttl_ms);
  }
};

/// Whether a table's files keep every row's sequence: operands of one key that must stay apart
/// are told apart by it.
inline bool NeedsSequences(const TableInfo& info) {
  return info.merge_operator != nullptr && info.expires();
}

class VersionFolder {
 public:
  /// All must outlive the folder.
  VersionFolder(const TableInfo* info, const FoldRules* rules, RunBuilder* out)
      : info_(*info), rules_(*rules), out_(out) {}

  void Add(RowVersion version) { versions_.push_back(std::move(version)); }

  /// Write what is kept of the key's versions added since the last call. `nothing_below` (bool())
  /// is asked at most once, and only if it matters. `key` and bytes stay valid until the writer
  /// has written them.
  template <typename NothingBelow>
  Status FinishKey(std::string_view key, const NothingBelow& nothing_below) {
    bool asked = false;
    bool bottom = false;
    const auto ask = [&] {
      if (!asked) bottom = nothing_below();
      asked = true;
      return bottom;
    };
    kept_.clear();
    size_t last_stripe = SIZE_MAX;
    for (size_t i = 0; i < versions_.size();) {
      const size_t stripe = StripeOf(versions_[i].sequence);
      RowVersion& version = versions_[i];
      if (stripe == last_stripe) {
        ++i;
        continue;
      }
      last_stripe = stripe;
      if (version.expires != 0 && version.expires <= rules_.expired_ms) MakeTombstone(&version);
      if (version.kind == RowKind::kMerge) {
        i = FoldMerges(key, i, ask);
      } else {
        kept_.push_back({std::move(version), std::nullopt});
        ++i;
      }
    }
    versions_.clear();
    if (rules_.filter != nullptr) Filter(key);
    if (!kept_.empty() && kept_.back().version.kind == RowKind::kDelete && ask()) {
      while (!kept_.empty() && kept_.back().version.kind == RowKind::kDelete) kept_.pop_back();
    }
    return Write(key);
  }

 private:
  struct Kept {
    RowVersion version;
    std::optional<std::string> value;  // made here, in place of the version's
  };

  /// The index of the oldest snapshot that sees a sequence; all versions of one index look the
  /// same to every snapshot but for the newest.
  size_t StripeOf(SequenceNumber sequence) const {
    return static_cast<size_t>(
        std::lower_bound(rules_.snapshots.begin(), rules_.snapshots.end(), sequence) -
        rules_.snapshots.begin());
  }
  static void MakeTombstone(RowVersion* version) {
    const SequenceNumber sequence = version->sequence;
    *version = RowVersion();
    version->sequence = sequence;
    version->kind = RowKind::kDelete;
  }
  /// Fold the operands of a stripe from `begin` on; the index of the first version not used.
  template <typename Ask>
  size_t FoldMerges(std::string_view key, size_t begin, const Ask& nothing_below) {
    const size_t stripe = StripeOf(versions_[begin].sequence);
    MergeChain chain(info_);
    size_t end = begin;
    while (end < versions_.size() && StripeOf(versions_[end].sequence) == stripe &&
           AddToChain(versions_[end], &chain)) {
      ++end;
    }
    if (!chain.complete() && end == versions_.size() && nothing_below()) chain.AddNothing();
    KeepChain(key, begin, end, chain);
    return end;
  }
  /// False: the chain was complete before.
  static bool AddToChain(const RowVersion& version, MergeChain* chain);
  void KeepChain(std::string_view key, size_t begin, size_t end, const MergeChain& chain);
  void KeepFolded(std::string_view key, const RowVersion& newest, RowKind kind,
                  const MergeChain& chain);
  void Filter(std::string_view key);
  Status Write(std::string_view key);

  const TableInfo& info_;
  const FoldRules& rules_;
  RunBuilder* const out_;
  std::vector<RowVersion> versions_;  // newest first
  std::vector<Kept> kept_;
};

}  // namespace marble::lsm
