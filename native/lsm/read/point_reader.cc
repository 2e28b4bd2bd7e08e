#include "lsm/read/point_reader.h"

#include <arrow/api.h>

#include <array>

#include "base/hash.h"

namespace marble::lsm {
namespace {

enum class Outcome { kAbsent, kDeleted, kFound };

/// The visible version of `key` in one file.
Result<Outcome> FindInFile(const SstFile& file, std::string_view key, uint64_t hash,
                           SequenceNumber sequence, FoundRow* out) {
  const SstReader& reader = *file.reader;
  MARBLE_ASSIGN_OR_RETURN(const auto at, reader.Find(key, hash));
  if (!at) return Outcome::kAbsent;
  MARBLE_ASSIGN_OR_RETURN(auto batch, file.ReadBatch(at->batch));
  int64_t row = at->row;
  if (!file.PlainAt(sequence)) {
    const int seq_column = reader.seq_column();
    if (seq_column >= 0) {
      // Older versions follow; they may cross into the next batch.
      int64_t number = reader.batch_start(at->batch) + at->row;
      int64_t index = at->batch;
      std::string scratch;
      while (static_cast<const arrow::UInt64Array&>(*batch->column(seq_column)).Value(row) >
             sequence) {
        if (++number >= reader.num_rows()) return Outcome::kAbsent;
        MARBLE_ASSIGN_OR_RETURN(const auto next_key, reader.KeyAt(number, &scratch));
        if (next_key != key) return Outcome::kAbsent;
        const RowLocation next = reader.Locate(number);
        if (next.batch != index) {
          index = next.batch;
          MARBLE_ASSIGN_OR_RETURN(batch, file.ReadBatch(index));
        }
        row = next.row;
      }
    }
    const int kind_column = reader.kind_column();
    if (kind_column >= 0 &&
        static_cast<const arrow::UInt8Array&>(*batch->column(kind_column)).Value(row) ==
            static_cast<uint8_t>(RowKind::kDelete)) {
      return Outcome::kDeleted;
    }
  }
  out->batch = std::move(batch);
  out->row = row;
  return Outcome::kFound;
}

}  // namespace

Result<FoundRow> FindRow(const SuperVersion& version, std::string_view key, SequenceNumber sequence,
                         DbCounters* counters) {
  FoundRow out;
  const uint64_t hash = HashKey(key);
  for (const auto& memtable : version.memtables) memtable->Prefetch(hash);
  for (const auto& memtable : version.memtables) {
    memtable->Prepare(/*ordered=*/false);
    const KeyVersion* found = memtable->Find(key, hash, sequence);
    if (memtable->range_tombstones() != nullptr) {
      const SequenceNumber hidden = memtable->RangeTombstoneOver(key, sequence);
      // It hides everything older, in here and below.
      if (hidden > 0 && (found == nullptr || hidden > found->sequence())) return out;
    }
    if (found != nullptr) {
      if (found->kind() != VersionKind::kDelete) out.version = found;
      return out;
    }
  }
  const TableVersion& files = *version.files;
  if (files.empty()) return out;
  // Touch the filters' cache lines of all candidates before testing the first.
  constexpr size_t kMaxPrefetch = 16;
  for (size_t i = 0; i < files.level0.size() && i < kMaxPrefetch; ++i) {
    files.level0[i]->reader->Prefetch(hash);
  }
  const SstFile* in_run = files.InRun(key);
  if (in_run != nullptr) in_run->reader->Prefetch(hash);
  uint64_t negatives = 0;
  const auto look = [&](const SstFile& file) -> Result<bool> {
    if (!file.reader->MayContain(key, hash)) {
      ++negatives;
      return false;
    }
    MARBLE_ASSIGN_OR_RETURN(const Outcome outcome, FindInFile(file, key, hash, sequence, &out));
    return outcome != Outcome::kAbsent;
  };
  bool done = false;
  for (size_t i = 0; i < files.level0.size() && !done; ++i) {
    MARBLE_ASSIGN_OR_RETURN(done, look(*files.level0[i]));
  }
  if (!done && in_run != nullptr) {
    MARBLE_ASSIGN_OR_RETURN(done, look(*in_run));
  }
  if (negatives > 0) DbCounters::Add(counters->bloom_negatives, negatives);
  return out;
}

}  // namespace marble::lsm
