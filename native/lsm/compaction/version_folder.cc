#include "lsm/compaction/version_folder.h"

#include <arrow/api.h>

#include "lsm/read/point_reader.h"

namespace marble::lsm {
namespace {

std::string_view BytesOf(const RowVersion& version) {
  return version.batch == nullptr ? version.bytes : ValueAt(*version.batch, version.row);
}

}  // namespace

bool VersionFolder::AddToChain(const RowVersion& version, MergeChain* chain) {
  if (chain->complete()) return false;
  switch (version.kind) {
    case RowKind::kMerge:
      chain->AddOperand(BytesOf(version), version.expires, version.batch);
      break;
    case RowKind::kPut:
      chain->AddBase(BytesOf(version), version.expires, version.batch);
      break;
    case RowKind::kDelete:
      chain->AddNothing();
      break;
  }
  return true;
}

void VersionFolder::KeepChain(std::string_view key, size_t begin, size_t end,
                              const MergeChain& chain) {
  if (chain.complete()) {
    KeepFolded(key, versions_[begin], RowKind::kPut, chain);
  } else if (!info_.expires()) {
    KeepFolded(key, versions_[begin], RowKind::kMerge, chain);
  } else {
    // Apart, but those of one write batch share a sequence, and with it the time of writing.
    for (size_t i = begin; i < end;) {
      MergeChain same(info_);
      size_t next = i;
      while (next < end && versions_[next].sequence == versions_[i].sequence) {
        AddToChain(versions_[next++], &same);
      }
      KeepFolded(key, versions_[i], RowKind::kMerge, same);
      i = next;
    }
  }
}

void VersionFolder::KeepFolded(std::string_view key, const RowVersion& newest, RowKind kind,
                               const MergeChain& chain) {
  RowVersion version;
  version.sequence = newest.sequence;
  version.kind = kind;
  version.expires = chain.expires();
  kept_.push_back({std::move(version), chain.Fold(key)});
}

void VersionFolder::Filter(std::string_view key) {
  if (kept_.empty() || kept_[0].version.kind != RowKind::kPut) return;
  Kept& newest = kept_[0];
  // Not while a snapshot sees it.
  if (!rules_.snapshots.empty() && newest.version.sequence <= rules_.snapshots.back()) return;
  if (!info_.descriptor.is_state_family) {
    if (rules_.filter->RemoveRow(key, *newest.version.batch, newest.version.row)) {
      MakeTombstone(&newest.version);
    }
    return;
  }
  std::string changed;
  switch (rules_.filter->FilterValue(key, newest.value ? *newest.value : BytesOf(newest.version),
                                     &changed)) {
    case CompactionFilter::Decision::kKeep:
      break;
    case CompactionFilter::Decision::kRemove:
      MakeTombstone(&newest.version);
      newest.value.reset();
      break;
    case CompactionFilter::Decision::kChange:
      newest.value = std::move(changed);
      break;
  }
}

Status VersionFolder::Write(std::string_view key) {
  for (Kept& kept : kept_) {
    const RowVersion& v = kept.version;
    if (v.kind == RowKind::kDelete) {
      MARBLE_RETURN_NOT_OK(out_->AddTombstone(key, v.sequence));
    } else if (kept.value) {
      MARBLE_RETURN_NOT_OK(
          out_->AddOwnedBytes(key, std::move(*kept.value), v.sequence, v.kind, v.expires));
    } else if (v.batch == nullptr) {
      MARBLE_RETURN_NOT_OK(out_->AddBytes(key, v.bytes, v.sequence, v.kind, v.expires));
    } else {
      MARBLE_RETURN_NOT_OK(out_->AddRow(v.batch, v.row, v.sequence, v.kind, v.expires));
    }
  }
  out_->EndOfKey();
  return Status::OK();
}

}  // namespace marble::lsm
