#include "lsm/read/run_set.h"

#include <algorithm>

#include "lsm/read/level_cursor.h"

namespace marble::lsm {

RunSet::RunSet(const std::shared_ptr<const TableInfo>& info, const SuperVersion& version,
               const ReadView& view, const ScanRange& range, const ColumnsRef& columns)
    : info_(*info), view_(view) {
  cursors_.reserve(version.memtables.size() + version.files->level0.size() + limits::kNumLevels);
  for (const auto& memtable : version.memtables) {
    memtable->Prepare(/*ordered=*/true);
    for (const RangeTombstone* t = memtable->range_tombstones(); t != nullptr; t = t->next) {
      if (t->sequence <= view_.sequence) tombstones_.push_back({cursors_.size(), t});
    }
    cursors_.push_back(NewMemtableCursor(memtable, view_));
  }
  for (const auto& file : version.files->level0) {
    if ((!range.upper.empty() && file->meta.min_key >= range.upper) ||
        (!range.lower.empty() && file->meta.max_key < range.lower)) {
      ++files_out_of_range_;
      continue;
    }
    cursors_.push_back(NewSstCursor(file, info, view_, columns));
  }
  for (const auto& level : version.files->levels) {
    if (level == nullptr) continue;
    auto cursor = NewLevelCursor(level, info, view_, range, columns, &files_out_of_range_);
    if (cursor != nullptr) cursors_.push_back(std::move(cursor));
  }
}

bool RunSet::Covered(size_t run, const RunRow& row) const {
  for (const auto& [memtable, tombstone] : tombstones_) {
    if (memtable > run) continue;
    if (memtable == run && tombstone->sequence <= row.sequence) continue;
    if (tombstone->Covers(row.key())) return true;
  }
  return false;
}

SequenceNumber RunSet::HiddenBelow(size_t run, std::string_view key) const {
  SequenceNumber hidden = 0;
  for (const auto& [memtable, tombstone] : tombstones_) {
    if (memtable > run || !tombstone->Covers(key)) continue;
    if (memtable < run) return kMaxSequence;
    hidden = std::max(hidden, tombstone->sequence);
  }
  return hidden;
}

Result<bool> RunSet::MergedValue(size_t run, std::string* value) {
  MergeChain chain(info_);
  merge_key_.assign(cursors_[run]->key());
  for (size_t i = run; i < cursors_.size() && !chain.complete(); ++i) {
    RunCursor& cursor = *cursors_[i];
    if (!cursor.valid() || cursor.key() != merge_key_) continue;
    const SequenceNumber hidden = HiddenBelow(i, merge_key_);
    MARBLE_RETURN_NOT_OK(cursor.CollectChain(hidden, &chain));
    if (hidden > 0) chain.AddNothing();
  }
  if (chain.empty() || view_.Expired(chain.expires())) return false;
  *value = chain.Fold(merge_key_);
  return true;
}

}  // namespace marble::lsm
