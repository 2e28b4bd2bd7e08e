#include "lsm/read/merged_runs.h"

#include <algorithm>

namespace marble::lsm {

MergedRuns::MergedRuns(const std::shared_ptr<const TableInfo>& info, const SuperVersion& version,
                       const ReadView& view, const ScanRange& range, const ColumnsRef& columns,
                       size_t first_rows)
    : runs_(info, version, view, range, columns),
      // Operands are collected by the runs that stand on the key (RunSet::MergedValue): none may
      // be ahead.
      first_rows_(info->merge_operator == nullptr ? first_rows : 1),
      most_rows_(info->merge_operator == nullptr ? kMostRows : 1),
      lanes_(runs_.size()),
      orders_(runs_.size()) {}

Status MergedRuns::SeekGE(std::string_view key) {
  first_ = kNone;
  if (runs_.size() > 1) {
    for (int step = 0; step < RunCursor::kSeekSteps; ++step) {
      for (size_t i = 0; i < runs_.size(); ++i) runs_[i].PrepareSeek(key, step);
    }
  }
  for (size_t i = 0; i < runs_.size(); ++i) MARBLE_RETURN_NOT_OK(runs_[i].SeekGE(key));
  return Start(/*forward=*/true);
}

Status MergedRuns::SeekLT(std::string_view key) {
  first_ = kNone;
  for (size_t i = 0; i < runs_.size(); ++i) MARBLE_RETURN_NOT_OK(runs_[i].SeekLT(key));
  return Start(/*forward=*/false);
}

Status MergedRuns::Start(bool forward) {
  forward_ = forward;
  live_ = runs_.size();
  for (size_t i = 0; i < runs_.size(); ++i) {
    lanes_[i].next_rows = first_rows_;
    MARBLE_RETURN_NOT_OK(Fill(i));
  }
  Choose();
  return Status::OK();
}

Status MergedRuns::Fill(size_t run) {
  Lane& lane = lanes_[run];
  if (!runs_[run].valid()) {
    lane.at = nullptr;
    orders_[run] = UINT64_MAX;
    --live_;
    return Status::OK();
  }
  lane.rows = lane.few.data();
  if (lane.next_rows > kFewRows) {
    if (lane.many == nullptr) lane.many = std::make_unique_for_overwrite<RunRow[]>(kMostRows);
    lane.rows = lane.many.get();
  }
  MARBLE_ASSIGN_OR_RETURN(const size_t rows, runs_[run].Read(forward_, lane.rows, lane.next_rows));
  lane.at = lane.rows;
  lane.end = lane.at + rows;
  lane.next_rows = std::min(most_rows_, lane.next_rows * 2);
  orders_[run] = OrderOf(*lane.at);
  return Status::OK();
}

Status MergedRuns::Advance(size_t run) {
  Lane& lane = lanes_[run];
  if (++lane.at != lane.end) {
    orders_[run] = OrderOf(*lane.at);
    return Status::OK();
  }
  RunCursor& cursor = runs_[run];
  if (cursor.valid()) MARBLE_RETURN_NOT_OK(forward_ ? cursor.Next() : cursor.Prev());
  return Fill(run);
}

void MergedRuns::Choose() {
  uint64_t least = UINT64_MAX;
  for (const uint64_t order : orders_) least = std::min(least, order);
  // No branches: which run is first is what cannot be predicted.
  const size_t n = orders_.size();
  size_t first = kNone, last = 0;
  for (size_t i = 0; i < n; ++i) {
    last = orders_[i] == least ? i : last;
    first = orders_[n - 1 - i] == least ? n - 1 - i : first;
  }
  tied_ = false;
  if (first == last && lanes_[first].at != nullptr) {
    first_ = first;
    return;
  }
  first_ = kNone;
  if (first == kNone) return;  // no runs
  for (size_t i = first; i <= last; ++i) {
    if (orders_[i] != least || lanes_[i].at == nullptr) continue;
    const int order = first_ == kNone ? -1 : Compare(*lanes_[i].at, *lanes_[first_].at);
    if (order < 0) {
      first_ = i;
      tied_ = false;
    } else if (order == 0) {
      tied_ = true;
    }
  }
}

Result<bool> MergedRuns::MergedValue(std::string* value) {
  MARBLE_ASSIGN_OR_RETURN(const bool found, runs_.MergedValue(first_, value));
  // To collect older versions a run may have read other batches: its row lies elsewhere now.
  for (size_t i = first_; i < lanes_.size(); ++i) {
    if (lanes_[i].at == nullptr) continue;
    MARBLE_RETURN_NOT_OK(runs_[i].Read(forward_, lanes_[i].rows, 1).status());
  }
  return found;
}

Status MergedRuns::Next() {
  const size_t run = first_;
  first_ = kNone;  // if it fails
  if (tied_) {
    const RunRow& row = *lanes_[run].at;
    for (size_t i = run + 1; i < lanes_.size(); ++i) {
      const RunRow* const other = lanes_[i].at;
      if (other == nullptr || other->prefix != row.prefix || other->key() != row.key()) continue;
      MARBLE_RETURN_NOT_OK(Advance(i));
    }
  }
  MARBLE_RETURN_NOT_OK(Advance(run));
  Choose();
  return Status::OK();
}

const RunRow* MergedRuns::Second() const {
  const RunRow* second = nullptr;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const RunRow* const row = lanes_[i].at;
    if (i == first_ || row == nullptr) continue;
    if (second == nullptr || Compare(*row, *second) < 0) second = row;
  }
  return second;
}

Status MergedRuns::SkipTo(size_t run, int64_t row) {
  first_ = kNone;
  MARBLE_RETURN_NOT_OK(runs_[run].SkipTo(forward_, row));
  lanes_[run].next_rows = 1;  // another stretch may follow
  MARBLE_RETURN_NOT_OK(Fill(run));
  Choose();
  return Status::OK();
}

}  // namespace marble::lsm
