#include "lsm/read/level_cursor.h"

#include <algorithm>
#include <utility>

namespace marble::lsm {
namespace {

class LevelCursor : public RunCursor {
 public:
  /// Files [begin, end) of the level.
  LevelCursor(std::shared_ptr<const SortedLevel> level, size_t begin, size_t end,
              std::shared_ptr<const TableInfo> info, const ReadView& view, ColumnsRef columns)
      : level_(std::move(level)),
        begin_(begin),
        end_(end),
        info_(std::move(info)),
        view_(view),
        columns_(std::move(columns)) {}

  void PrepareSeek(std::string_view key, int step) override {
    if (step == 0) {
      Open(std::max(begin_, level_->LowerBound(key)));
      prepared_ = true;
    }
    if (file_ != nullptr) file_->PrepareSeek(key, step);
  }
  Status SeekGE(std::string_view key) override {
    if (!std::exchange(prepared_, false)) {
      Open(key.empty() ? begin_ : std::max(begin_, level_->LowerBound(key)));
    }
    if (file_ != nullptr) MARBLE_RETURN_NOT_OK(file_->SeekGE(key));
    return Forward();
  }
  Status SeekLT(std::string_view key) override {
    size_t at = end_;
    if (!key.empty()) {
      // The last file that begins below the key: the one that ends behind it, or its neighbour.
      at = level_->LowerBound(key);
      at = std::min(end_, at + (at < level_->size() && (*level_)[at]->meta.min_key < key));
    }
    Open(at > begin_ ? at - 1 : end_);
    if (file_ != nullptr) MARBLE_RETURN_NOT_OK(file_->SeekLT(key));
    return Backward();
  }
  Status Next() override {
    MARBLE_RETURN_NOT_OK(file_->Next());
    return Forward();
  }
  Status Prev() override {
    MARBLE_RETURN_NOT_OK(file_->Prev());
    return Backward();
  }
  Result<size_t> Read(bool forward, RunRow* rows, size_t most) override {
    return file_->Read(forward, rows, most);
  }
  Status CollectChain(SequenceNumber hidden, MergeChain* chain) override {
    MARBLE_RETURN_NOT_OK(file_->CollectChain(hidden, chain));
    key_ = file_->key();
    return Status::OK();
  }
  Result<SstRows*> PlainRows(size_t i) override { return file_->PlainRows(i); }
  Status SkipTo(bool forward, int64_t row) override {
    MARBLE_RETURN_NOT_OK(file_->SkipTo(forward, row));
    return forward ? Forward() : Backward();
  }

 private:
  void Open(size_t at) {
    at_ = at;
    file_ =
        at >= begin_ && at < end_ ? NewSstCursor((*level_)[at], info_, view_, columns_) : nullptr;
  }
  /// Where the file has no more row to show, on to the next one that has.
  Status Forward() {
    while (file_ != nullptr && !file_->valid()) {
      Open(at_ + 1);
      if (file_ != nullptr) MARBLE_RETURN_NOT_OK(file_->SeekGE({}));
    }
    Show();
    return Status::OK();
  }
  Status Backward() {
    while (file_ != nullptr && !file_->valid()) {
      Open(at_ > begin_ ? at_ - 1 : end_);
      if (file_ != nullptr) MARBLE_RETURN_NOT_OK(file_->SeekLT({}));
    }
    Show();
    return Status::OK();
  }
  void Show() {
    valid_ = file_ != nullptr;
    if (valid_) key_ = file_->key();
  }

  const std::shared_ptr<const SortedLevel> level_;
  const size_t begin_;
  const size_t end_;
  const std::shared_ptr<const TableInfo> info_;
  const ReadView view_;
  const ColumnsRef columns_;
  size_t at_ = 0;
  bool prepared_ = false;            // the file is the one of the seek that comes
  std::unique_ptr<RunCursor> file_;  // null: before the first or behind the last
};

}  // namespace

std::unique_ptr<RunCursor> NewLevelCursor(std::shared_ptr<const SortedLevel> level,
                                          std::shared_ptr<const TableInfo> info,
                                          const ReadView& view, const ScanRange& range,
                                          const ColumnsRef& columns, size_t* out_of_range) {
  const size_t begin = range.lower.empty() ? 0 : level->LowerBound(range.lower);
  size_t end = level->size();
  if (!range.upper.empty()) {
    end = level->LowerBound(range.upper);
    if (end < level->size() && (*level)[end]->meta.min_key < range.upper) ++end;
  }
  *out_of_range += level->size() - (begin < end ? end - begin : 0);
  if (begin >= end) return nullptr;
  if (end - begin == 1) return NewSstCursor((*level)[begin], std::move(info), view, columns);
  return std::make_unique<LevelCursor>(std::move(level), begin, end, std::move(info), view,
                                       columns);
}

}  // namespace marble::lsm
