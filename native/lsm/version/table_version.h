// The SSTables of one table at one moment. Immutable; a super version holds one.
#pragma once

#include <arrow/type_fwd.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "lsm/read/read_view.h"
#include "lsm/sst/sst_format.h"
#include "lsm/sst/sst_reader.h"

namespace marble::lsm {

/// One live SSTable. When it has become obsolete, its files are unlinked with the last version
/// that names it; a reader that scans or exports it keeps the mapping.
struct SstFile {
  SstFile(std::string directory, std::shared_ptr<SstReader> opened, bool cache_batches);
  ~SstFile();
  SstFile(const SstFile&) = delete;
  SstFile& operator=(const SstFile&) = delete;

  /// Every row is a put that the view sees, and there is one per key.
  bool PlainAt(const ReadView& view) const {
    return meta.clean && (reader->seq_column() < 0 || meta.max_sequence <= view.sequence) &&
           !view.Expired(reader->min_expires());
  }

  /// reader->ReadBatch, built once and kept (unless every read is to be verified again): a get
  /// then costs a reference instead of making arrays. About 1 KiB a batch that was read.
  Result<std::shared_ptr<arrow::RecordBatch>> ReadBatch(int64_t batch) const;

  const std::string dir;
  const std::shared_ptr<SstReader> reader;
  const FileMeta meta;
  std::atomic<bool> obsolete{false};

 private:
  using CachedBatch = std::shared_ptr<arrow::RecordBatch>;
  /// One per batch, null until read; empty: no cache. Batches refer to the reader, not to this.
  const std::unique_ptr<std::atomic<const CachedBatch*>[]> batches_;
};
using SstFileRef = std::shared_ptr<SstFile>;

struct TableVersion {
  /// Level 0: from flushes, newest first; their key ranges may overlap.
  std::vector<SstFileRef> level0;
  /// Level 1: one sorted run, older than all of level 0; ranges are disjoint and ascending.
  std::vector<SstFileRef> run;

  size_t num_files() const { return level0.size() + run.size(); }
  bool empty() const { return level0.empty() && run.empty(); }
  /// The file of the run that may hold `key`; null when none does.
  const SstFile* InRun(std::string_view key) const;
  /// Whether some file may hold a version of `key`.
  bool MayContain(std::string_view key, uint64_t hash) const;
  /// Call `visit` (Status(const SstFile&)) for each file that may hold `key`, newest first.
  template <typename Visit>
  Status ForEachCandidate(std::string_view key, uint64_t hash, const Visit& visit) const {
    for (const auto& file : level0) {
      if (file->reader->MayContain(key, hash)) MARBLE_RETURN_NOT_OK(visit(*file));
    }
    const SstFile* file = InRun(key);
    if (file != nullptr && file->reader->MayContain(key, hash)) MARBLE_RETURN_NOT_OK(visit(*file));
    return Status::OK();
  }
};

/// Put files in their places: level 0 by number, descending; the run by key.
std::shared_ptr<const TableVersion> MakeTableVersion(std::vector<SstFileRef> files);

}  // namespace marble::lsm
