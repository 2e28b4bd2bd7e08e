#include "lsm/version/table_version.h"

#include <arrow/api.h>

#include <algorithm>
#include <unordered_map>

#include "lsm/memtable/key_node.h"

namespace marble::lsm {
namespace {

/// The sequence of all rows, where there is one; else 0.
SequenceNumber OneSequence(const FileMeta& meta) {
  return meta.min_sequence == meta.max_sequence ? meta.max_sequence : 0;
}

FileMeta WithoutLevel(FileMeta meta, SequenceNumber sequence) {
  meta.level = -1;
  if (sequence != 0) meta.min_sequence = meta.max_sequence = sequence;
  return meta;
}

bool IsNewer(const SstFileRef& a, const SstFileRef& b) {
  if (a->meta.max_sequence != b->meta.max_sequence) {
    return a->meta.max_sequence > b->meta.max_sequence;
  }
  return a->meta.number > b->meta.number;
}

}  // namespace

namespace {

/// Arrays over one batch: what an array object, its data and its buffers take, measured.
uint64_t CachedBytes(const arrow::RecordBatch& batch) {
  constexpr uint64_t kBatch = 200, kColumn = 400;
  return kBatch + kColumn * static_cast<uint64_t>(batch.num_columns());
}

}  // namespace

FilePair::~FilePair() {
  if (!obsolete.load(std::memory_order_acquire)) return;
  // A failure leaves an orphan that the next open removes.
  (void)files->Remove(dir + "/" + SstArrowName(number));
  (void)files->Remove(dir + "/" + SstIdxName(number));
}

SstFile::SstFile(std::shared_ptr<io::FileSystem> file_system, std::string directory,
                 std::shared_ptr<SstReader> opened, bool cache_batches,
                 std::shared_ptr<MemoryBudget> budget)
    : SstFile(std::move(file_system), std::move(directory), opened, cache_batches,
              std::move(budget), OneSequence(opened->meta())) {}

SstFile::SstFile(std::shared_ptr<io::FileSystem> file_system, std::string directory,
                 std::shared_ptr<SstReader> opened, bool cache_batches,
                 std::shared_ptr<MemoryBudget> budget, SequenceNumber sequence)
    : SstFile(std::make_shared<FilePair>(std::move(file_system), std::move(directory),
                                         opened->meta().number),
              opened, cache_batches, std::move(budget), sequence) {}

SstFile::SstFile(const SstFile& same, std::shared_ptr<SstReader> opened)
    : SstFile(same.pair, std::move(opened), same.batches_ != nullptr, same.budget_,
              OneSequence(same.meta)) {}

SstFile::SstFile(std::shared_ptr<FilePair> files, std::shared_ptr<SstReader> opened,
                 bool cache_batches, std::shared_ptr<MemoryBudget> budget, SequenceNumber sequence)
    : reader(std::move(opened)),
      meta(WithoutLevel(reader->meta(), sequence)),
      flat_sequence(reader->seq_column() < 0 ? sequence : 0),
      pair(std::move(files)),
      batches_(cache_batches && !reader->compressed()
                   ? std::make_unique<std::atomic<const CachedBatch*>[]>(
                         static_cast<size_t>(reader->num_batches()))
                   : nullptr),
      budget_(std::move(budget)) {}

Result<std::shared_ptr<arrow::RecordBatch>> SstFile::ReadBatch(int64_t batch,
                                                               const std::vector<int>* columns,
                                                               bool once) const {
  if (batches_ == nullptr) {
    if (once) return reader->ReadOnce(batch, columns);
    return columns == nullptr ? reader->ReadBatch(batch) : reader->ReadColumns(batch, *columns);
  }
  const CachedBatch* cached = batches_[batch].load(std::memory_order_acquire);
  if (cached != nullptr) return *cached;
  if (columns != nullptr) return reader->ReadColumns(batch, *columns);
  MARBLE_ASSIGN_OR_RETURN(auto read, reader->ReadBatch(batch));
  if (budget_ != nullptr && !budget_->KeepArrays(CachedBytes(*read))) return read;
  auto mine = std::make_unique<const CachedBatch>(read);
  if (batches_[batch].compare_exchange_strong(cached, mine.get(), std::memory_order_acq_rel)) {
    (void)mine.release();
  } else if (budget_ != nullptr) {
    budget_->ReleaseArrays(CachedBytes(*read));
  }
  return read;
}

SstFile::~SstFile() {
  if (batches_ == nullptr) return;
  for (int64_t i = 0; i < reader->num_batches(); ++i) {
    const CachedBatch* cached = batches_[i].load(std::memory_order_acquire);
    if (cached == nullptr) continue;
    if (budget_ != nullptr) budget_->ReleaseArrays(CachedBytes(**cached));
    delete cached;
  }
}

SortedLevel::SortedLevel(std::vector<SstFileRef> files)
    : files_([&files] {
        std::sort(files.begin(), files.end(), [](const SstFileRef& a, const SstFileRef& b) {
          return a->meta.min_key < b->meta.min_key;
        });
        return std::move(files);
      }()) {
  if (files_.empty()) return;
  const std::string_view first = files_.front()->meta.min_key;
  fences_ =
      KeyFences(first.substr(0, SharedPrefix(first, files_.back()->meta.max_key)), files_.size());
  for (const auto& file : files_) {
    fences_.Add(file->meta.max_key);
    begins_.push_back(fences_.PrefixOf(file->meta.min_key));
    bytes_ += file->bytes();
  }
}

size_t SortedLevel::LowerBound(std::string_view key) const {
  const auto [begin, end] = fences_.Find(key);
  // Eight bytes may not tell keys apart.
  const auto first_tie = files_.begin() + begin;
  const auto last_tie = files_.begin() + end;
  const auto it = std::lower_bound(
      first_tie, last_tie, key,
      [](const SstFileRef& file, std::string_view k) { return file->meta.max_key < k; });
  return static_cast<size_t>(it - files_.begin());
}

const SstFile* SortedLevel::Find(std::string_view key) const {
  // What all keys of the level begin with: others lie before or behind all of them.
  if (files_.empty() || fences_.CompareShared(key) != 0) return nullptr;
  const uint64_t prefix = fences_.PrefixOf(key);
  auto [i, end] = fences_.FindPrefix(prefix);
  // Mostly numbers tell: only where a file ends or begins with the same eight bytes keys must.
  while (i < end && files_[i]->meta.max_key < key) ++i;
  if (i == files_.size() || prefix < begins_[i]) return nullptr;
  const SstFile& file = *files_[i];
  return prefix > begins_[i] || file.meta.min_key <= key ? &file : nullptr;
}

size_t TableVersion::num_files() const {
  size_t count = level0.size();
  for (const auto& level : levels) {
    if (level != nullptr) count += level->size();
  }
  return count;
}

bool TableVersion::MayContain(std::string_view key, uint64_t hash) const {
  for (const auto& file : level0) {
    if (file->reader->MayContain(key, hash)) return true;
  }
  for (const auto& level : levels) {
    const SstFile* file = level == nullptr ? nullptr : level->Find(key);
    if (file != nullptr && file->reader->MayContain(key, hash)) return true;
  }
  return false;
}

std::shared_ptr<const TableVersion> ChangeTableVersion(const TableVersion& old,
                                                       const std::vector<SstFileRef>& removed,
                                                       std::vector<LevelFile> added) {
  std::unordered_map<FileNumber, SstFileRef> gone;  // as the old version has them
  for (const auto& file : removed) gone.emplace(file->meta.number, file);
  old.ForEachFile([&gone](int, const SstFileRef& file) {
    const auto it = gone.find(file->meta.number);
    if (it != gone.end()) it->second = file;
  });
  auto next = std::make_shared<TableVersion>();
  std::array<std::vector<SstFileRef>, limits::kNumLevels> more;
  for (auto& [level, file] : added) {
    const auto moved = gone.find(file->meta.number);
    more[level].push_back(moved == gone.end() ? std::move(file) : moved->second);
  }
  const auto take = [&gone](const auto& files, std::vector<SstFileRef>* to) {
    bool changed = !to->empty();
    for (const auto& file : files) {
      if (gone.contains(file->meta.number)) {
        changed = true;
      } else {
        to->push_back(file);
      }
    }
    return changed;
  };
  take(old.level0, &more[0]);
  std::sort(more[0].begin(), more[0].end(), IsNewer);
  next->level0 = std::move(more[0]);
  for (int level = 1; level < limits::kNumLevels; ++level) {
    const auto& before = old.levels[level];
    static const std::vector<SstFileRef> kNone;
    const bool changed =
        before == nullptr ? take(kNone, &more[level]) : take(*before, &more[level]);
    if (!changed) {
      next->levels[level] = before;
    } else if (!more[level].empty()) {
      next->levels[level] = std::make_shared<SortedLevel>(std::move(more[level]));
    }
  }
  return next;
}

}  // namespace marble::lsm
