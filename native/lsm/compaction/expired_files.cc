#include "lsm/compaction/expired_files.h"

#include <algorithm>
#include <unordered_set>

namespace marble::lsm {
namespace {

bool Overlap(const FileMeta& a, const FileMeta& b) {
  return a.min_key <= b.max_key && a.max_key >= b.min_key;
}

/// Whether some file of the levels [from, to] overlaps `file` and fulfils a condition.
template <typename Condition>
bool AnyInLevels(const TableVersion& files, int from, int to, const FileMeta& file,
                 const Condition& condition) {
  for (int level = std::max(from, 1); level <= to; ++level) {
    const SortedLevel* run = files.levels[level].get();
    if (run == nullptr) continue;
    for (size_t i = run->LowerBound(file.min_key);
         i < run->size() && (*run)[i]->meta.min_key <= file.max_key; ++i) {
      if (condition(*(*run)[i])) return true;
    }
  }
  return false;
}

class Search {
 public:
  explicit Search(const ExpiryView& view) : view_(view), files_(*view.files) {}

  std::vector<LevelFile> Run() {
    std::vector<LevelFile> found;
    files_.ForEachFile([&](int level, const SstFileRef& file) {
      if (file->pair->busy || !file->reader->all_expire()) return;
      if (file->reader->max_expires() > view_.expired_ms) return;
      found.push_back({level, file});
      going_.insert(file.get());
    });
    // One that stays may keep others: until all that are left allow each other to go.
    const auto stays = [&](const LevelFile& one) {
      if (!HasOlder(one) && !CountsForNewer(one)) return false;
      going_.erase(one.file.get());
      return true;
    };
    while (view_.info->keyed() && std::erase_if(found, stays) > 0) {
    }
    return found;
  }

 private:
  size_t PositionInLevel0(const LevelFile& one) const {
    return static_cast<size_t>(std::find(files_.level0.begin(), files_.level0.end(), one.file) -
                               files_.level0.begin());
  }
  /// An older file that stays overlaps it.
  bool HasOlder(const LevelFile& one) const {
    const FileMeta& meta = one.file->meta;
    const auto keeps = [&](const SstFile& other) { return !going_.contains(&other); };
    if (one.level == 0) {
      for (size_t i = PositionInLevel0(one) + 1; i < files_.level0.size(); ++i) {
        if (Overlap(files_.level0[i]->meta, meta) && keeps(*files_.level0[i])) return true;
      }
    }
    return AnyInLevels(files_, one.level + 1, limits::kNumLevels - 1, meta, keeps);
  }
  /// An operand in a newer run that stays may have been written before all of it had expired.
  bool CountsForNewer(const LevelFile& one) const {
    if (view_.info->merge_operator == nullptr) return false;
    const FileMeta& meta = one.file->meta;
    const auto in_time = [&](int64_t min_expires) {
      const int64_t written = min_expires - view_.info->descriptor.options.ttl_ms;
      return min_expires != 0 && written < one.file->reader->max_expires();
    };
    if (std::any_of(view_.memtable_expiries.begin(), view_.memtable_expiries.end(), in_time)) {
      return true;
    }
    const auto counts = [&](const SstFile& other) {
      return !going_.contains(&other) && in_time(other.reader->min_expires());
    };
    const size_t newer = one.level == 0 ? PositionInLevel0(one) : files_.level0.size();
    for (size_t i = 0; i < newer; ++i) {
      if (Overlap(files_.level0[i]->meta, meta) && counts(*files_.level0[i])) return true;
    }
    return AnyInLevels(files_, 1, one.level - 1, meta, counts);
  }

  const ExpiryView& view_;
  const TableVersion& files_;
  std::unordered_set<const SstFile*> going_;
};

}  // namespace

std::vector<LevelFile> FindExpiredFiles(const ExpiryView& view) { return Search(view).Run(); }

int64_t NextFileExpiry(const TableVersion& files) {
  int64_t next = INT64_MAX;
  files.ForEachFile([&](int, const SstFileRef& file) {
    if (file->reader->all_expire()) next = std::min(next, file->reader->max_expires());
  });
  return next;
}

}  // namespace marble::lsm
