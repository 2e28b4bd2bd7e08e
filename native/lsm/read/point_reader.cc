#include "lsm/read/point_reader.h"

#include <arrow/api.h>

#include "base/hash.h"
#include "lsm/read/merge_chain.h"

namespace marble::lsm {
namespace {

enum class Outcome { kAbsent, kDeleted, kFound, kMerge };

template <typename T>
T HiddenValue(const arrow::RecordBatch& batch, int column, int64_t row) {
  return batch.column_data(column)->GetValues<T>(1)[row];
}

/// The versions of one key in one file, newest first. Starts at the newest one.
class VersionsInFile {
 public:
  VersionsInFile(const SstFile& file, std::string_view key, RowLocation at)
      : file_(file), key_(key), at_(at), number_(file.reader->batch_start(at.batch) + at.row) {}

  Status Load() {
    MARBLE_ASSIGN_OR_RETURN(batch_, file_.ReadBatch(at_.batch));
    return Status::OK();
  }
  /// To the next older version; false: there is none.
  Result<bool> Next() {
    const SstReader& reader = *file_.reader;
    // Without sequences a file has one version of a key.
    if (reader.seq_column() < 0 || ++number_ >= reader.num_rows()) return false;
    MARBLE_ASSIGN_OR_RETURN(const auto next_key, reader.KeyAt(number_, &scratch_));
    if (next_key != key_) return false;
    const RowLocation next = reader.Locate(number_);
    const bool same_batch = next.batch == at_.batch;
    at_ = next;
    if (!same_batch) MARBLE_RETURN_NOT_OK(Load());
    return true;
  }
  /// To the newest version that a sequence sees; false: it sees none.
  Result<bool> SkipTo(SequenceNumber sequence) {
    while (this->sequence() > sequence) {
      MARBLE_ASSIGN_OR_RETURN(const bool more, Next());
      if (!more) return false;
    }
    return true;
  }

  SequenceNumber sequence() const {
    const int column = file_.reader->seq_column();
    return column < 0 ? file_.flat_sequence : HiddenValue<uint64_t>(*batch_, column, at_.row);
  }
  RowKind kind() const {
    const int column = file_.reader->kind_column();
    return column < 0 ? RowKind::kPut
                      : static_cast<RowKind>(HiddenValue<uint8_t>(*batch_, column, at_.row));
  }
  int64_t expires() const {
    const int column = file_.reader->expires_column();
    return column < 0 ? 0 : HiddenValue<int64_t>(*batch_, column, at_.row);
  }
  const std::shared_ptr<arrow::RecordBatch>& batch() const { return batch_; }
  int64_t row() const { return at_.row; }

 private:
  const SstFile& file_;
  const std::string_view key_;
  RowLocation at_;
  int64_t number_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  std::string scratch_;
};

/// The visible version of `key` in one file.
Result<Outcome> FindInFile(const TableInfo& info, const SstFile& file, std::string_view key,
                           uint64_t hash, const ReadView& view, FoundRow* out) {
  const bool plain = file.PlainAt(view);
  if (plain && info.descriptor.is_state_family && file.reader->bytes() != nullptr) {
    MARBLE_ASSIGN_OR_RETURN(out->bytes, file.reader->FindBytes(key, hash));
    return out->bytes ? Outcome::kFound : Outcome::kAbsent;
  }
  MARBLE_ASSIGN_OR_RETURN(const auto at, file.reader->Find(key, hash));
  if (!at) return Outcome::kAbsent;
  if (plain) {
    MARBLE_ASSIGN_OR_RETURN(out->batch, file.ReadBatch(at->batch));
    out->row = at->row;
    return Outcome::kFound;
  }
  VersionsInFile versions(file, key, *at);
  MARBLE_RETURN_NOT_OK(versions.Load());
  MARBLE_ASSIGN_OR_RETURN(const bool visible, versions.SkipTo(view.sequence));
  if (!visible) return Outcome::kAbsent;
  if (versions.kind() == RowKind::kDelete || view.Expired(versions.expires())) {
    return Outcome::kDeleted;
  }
  if (versions.kind() == RowKind::kMerge) return Outcome::kMerge;
  out->batch = versions.batch();
  out->row = versions.row();
  return Outcome::kFound;
}

/// Touch the filters' cache lines of all candidates before the first is tested.
void PrefetchFiles(const TableVersion& files, std::string_view key, uint64_t hash) {
  constexpr size_t kMaxPrefetch = 16;
  for (size_t i = 0; i < files.level0.size() && i < kMaxPrefetch; ++i) {
    files.level0[i]->reader->Prefetch(hash);
  }
  for (const auto& level : files.levels) {
    const SstFile* file = level == nullptr ? nullptr : level->Find(key);
    if (file != nullptr) file->reader->Prefetch(hash);
  }
}

// --- Merges: the same walk again, from the newest operand to what it applies to ----------------

Status CollectFromMemtable(const Memtable& memtable, std::string_view key, uint64_t hash,
                           SequenceNumber sequence, MergeChain* chain) {
  const SequenceNumber hidden =
      memtable.range_tombstones() == nullptr ? 0 : memtable.RangeTombstoneOver(key, sequence);
  for (const KeyVersion* v = memtable.Find(key, hash, sequence);
       v != nullptr && v->sequence() >= hidden && !chain->complete(); v = v->older) {
    switch (v->kind()) {
      case VersionKind::kMerge:
        chain->AddOperand(v->bytes(), v->expires(), nullptr);
        break;
      case VersionKind::kBytes:
        chain->AddBase(v->bytes(), v->expires(), nullptr);
        break;
      case VersionKind::kRow:
        chain->AddBase(ValueAt(*v->batch().batch, v->row()), v->expires(), nullptr);
        break;
      case VersionKind::kDelete:
        chain->AddNothing();
        break;
    }
  }
  if (hidden > 0) chain->AddNothing();
  return Status::OK();
}

Status CollectFromFile(const SstFile& file, std::string_view key, uint64_t hash,
                       SequenceNumber sequence, MergeChain* chain) {
  MARBLE_ASSIGN_OR_RETURN(const auto at, file.reader->Find(key, hash));
  if (!at) return Status::OK();
  VersionsInFile versions(file, key, *at);
  MARBLE_RETURN_NOT_OK(versions.Load());
  MARBLE_ASSIGN_OR_RETURN(bool more, versions.SkipTo(sequence));
  while (more && !chain->complete()) {
    const std::string_view value = ValueAt(*versions.batch(), versions.row());
    if (versions.kind() == RowKind::kMerge) {
      chain->AddOperand(value, versions.expires(), versions.batch());
    } else if (versions.kind() == RowKind::kPut) {
      chain->AddBase(value, versions.expires(), versions.batch());
    } else {
      chain->AddNothing();
    }
    MARBLE_ASSIGN_OR_RETURN(more, versions.Next());
  }
  return Status::OK();
}

Status FindMerged(const TableInfo& info, const SuperVersion& version, std::string_view key,
                  uint64_t hash, const ReadView& view, FoundRow* out) {
  MergeChain chain(info);
  for (const auto& memtable : version.memtables) {
    if (chain.complete()) break;
    MARBLE_RETURN_NOT_OK(CollectFromMemtable(*memtable, key, hash, view.sequence, &chain));
  }
  MARBLE_RETURN_NOT_OK(version.files->ForEachCandidate(key, hash, [&](const SstFile& file) {
    return chain.complete() ? Status::OK()
                            : CollectFromFile(file, key, hash, view.sequence, &chain);
  }));
  if (chain.empty() || view.Expired(chain.expires())) return Status::OK();
  out->merged = std::make_shared<const std::string>(chain.Fold(key));
  return Status::OK();
}

// --- The newest version that counts -----------------------------------------------------------

/// kDeleted also when a range tombstone or an expiry hides whatever is older.
Outcome FindInMemtables(const SuperVersion& version, std::string_view key, uint64_t hash,
                        const ReadView& view, FoundRow* out) {
  for (const auto& memtable : version.memtables) memtable->Prefetch(hash);
  for (const auto& memtable : version.memtables) {
    memtable->Prepare(/*ordered=*/false);
    const KeyVersion* found = memtable->Find(key, hash, view.sequence);
    if (memtable->range_tombstones() != nullptr) {
      const SequenceNumber hidden = memtable->RangeTombstoneOver(key, view.sequence);
      // It hides everything older, in here and below.
      if (hidden > 0 && (found == nullptr || hidden > found->sequence())) return Outcome::kDeleted;
    }
    if (found == nullptr) continue;
    if (found->kind() == VersionKind::kMerge) return Outcome::kMerge;
    if (found->kind() == VersionKind::kDelete || view.Expired(found->expires())) {
      return Outcome::kDeleted;
    }
    out->version = found;
    return Outcome::kFound;
  }
  return Outcome::kAbsent;
}

/// `negatives`: files that bounds or filters left out.
Status FindInFiles(const TableInfo& info, const TableVersion& files, std::string_view key,
                   uint64_t hash, const ReadView& view, uint64_t* negatives, Outcome* outcome,
                   FoundRow* out) {
  constexpr size_t kMaxPrefetch = 16;
  for (size_t i = 0; i < files.level0.size() && i < kMaxPrefetch; ++i) {
    files.level0[i]->reader->Prefetch(hash);
  }
  std::array<const SstFile*, limits::kNumLevels> in_levels;
  size_t num_in_levels = 0;
  for (const auto& level : files.levels) {
    const SstFile* file = level == nullptr ? nullptr : level->Find(key);
    if (file == nullptr) continue;
    file->reader->Prefetch(hash);
    in_levels[num_in_levels++] = file;
  }
  for (const auto& file : files.level0) {
    if (!file->reader->MayContain(key, hash)) {
      ++*negatives;
      continue;
    }
    MARBLE_ASSIGN_OR_RETURN(*outcome, FindInFile(info, *file, key, hash, view, out));
    if (*outcome != Outcome::kAbsent) return Status::OK();
  }
  for (size_t i = 0; i < num_in_levels; ++i) {
    const SstFile& file = *in_levels[i];
    if (!file.reader->FilterMayContain(hash)) {
      ++*negatives;
      continue;
    }
    MARBLE_ASSIGN_OR_RETURN(*outcome, FindInFile(info, file, key, hash, view, out));
    if (*outcome != Outcome::kAbsent) return Status::OK();
  }
  return Status::OK();
}

}  // namespace

std::string_view ValueAt(const arrow::RecordBatch& batch, int64_t row) {
  // The array's data directly: boxing a column takes a lock.
  const arrow::ArrayData& values = *batch.column_data(1);
  const int32_t* offsets = values.GetValues<int32_t>(1) + row;
  const auto size = static_cast<size_t>(offsets[1] - offsets[0]);
  if (size == 0) return {};
  return {reinterpret_cast<const char*>(values.buffers[2]->data()) + offsets[0], size};
}

void RowPrefetch::Begin(const SuperVersion& version, std::string_view key, uint64_t hash) {
  key_ = key;
  hash_ = hash;
  node_ = nullptr;
  reader_ = nullptr;
  for (const auto& memtable : version.memtables) memtable->Prefetch(hash);
  PrefetchFiles(*version.files, key, hash);
}

void RowPrefetch::Locate(const TableInfo& info, const SuperVersion& version) {
  for (const auto& memtable : version.memtables) {
    node_ = memtable->Guess(hash_);
    if (node_ != nullptr) return;
  }
  if (!info.descriptor.is_state_family) return;
  const auto take = [&](const SstFile& file) {
    if (!file.reader->MayContain(key_, hash_)) return false;
    if (file.reader->bytes() != nullptr) {
      reader_ = file.reader.get();
      reader_->PrefetchBytes(hash_);
    }
    return true;
  };
  for (const auto& file : version.files->level0) {
    if (take(*file)) return;
  }
  for (const auto& level : version.files->levels) {
    const SstFile* file = level == nullptr ? nullptr : level->Find(key_);
    if (file != nullptr && take(*file)) return;
  }
}

void RowPrefetch::Fetch() const {
  if (node_ != nullptr) {
    const KeyVersion* newest = node_->newest.load(std::memory_order_acquire);
    __builtin_prefetch(node_->key_data);
    __builtin_prefetch(newest->data);
  } else if (reader_ != nullptr) {
    reader_->PrefetchValue(hash_);
  }
}

Status FindRow(const TableInfo& info, const SuperVersion& version, std::string_view key,
               uint64_t hash, const ReadView& view, DbCounters* counters, FoundRow* out) {
  uint64_t negatives = 0;
  Outcome outcome = FindInMemtables(version, key, hash, view, out);
  Status found;
  if (outcome == Outcome::kAbsent) {
    found = FindInFiles(info, *version.files, key, hash, view, &negatives, &outcome, out);
  }
  if (counters != nullptr) counters->lookups.Add(1, negatives);
  MARBLE_RETURN_NOT_OK(found);
  return outcome == Outcome::kMerge ? FindMerged(info, version, key, hash, view, out)
                                    : Status::OK();
}

}  // namespace marble::lsm
