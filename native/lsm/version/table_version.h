// The SSTables of one table at one moment, by levels. Immutable; a super version holds one.
//
// Level 0 holds what flushes wrote: newest first, key ranges may overlap. Levels 1 to 6 are
// sorted runs: disjoint files in key order. For any key, what lies in a lower-numbered level (and
// nearer to the front of level 0) is newer. Tables without a key have level 0 only.
#pragma once

#include <arrow/type_fwd.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "io/file_system.h"
#include "lsm/key_fences.h"
#include "lsm/memory_budget.h"
#include "lsm/read/read_view.h"
#include "lsm/sst/sst_format.h"
#include "lsm/sst/sst_reader.h"

namespace marble::lsm {

/// The two files of an SSTable, shared by all that read it, whatever schema they read it with. When
/// it has become obsolete, the files are unlinked with the last of them.
struct FilePair {
  FilePair(std::shared_ptr<io::FileSystem> file_system, std::string directory, FileNumber file)
      : files(std::move(file_system)), dir(std::move(directory)), number(file) {}
  ~FilePair();
  FilePair(const FilePair&) = delete;
  FilePair& operator=(const FilePair&) = delete;

  const std::shared_ptr<io::FileSystem> files;
  const std::string dir;
  const FileNumber number;
  std::atomic<bool> obsolete{false};
  bool busy = false;  // an input of a running compaction; under the database's mutex
};

/// One live SSTable, read with one schema of its table. A reader that scans or exports it keeps the
/// mapping when the files are gone.
struct SstFile {
  SstFile(std::shared_ptr<io::FileSystem> file_system, std::string directory,
          std::shared_ptr<SstReader> opened, bool cache_batches,
          std::shared_ptr<MemoryBudget> budget = nullptr);
  /// Of rows that got one sequence after the file had been written (a bulk load).
  SstFile(std::shared_ptr<io::FileSystem> file_system, std::string directory,
          std::shared_ptr<SstReader> opened, bool cache_batches,
          std::shared_ptr<MemoryBudget> budget, SequenceNumber sequence);
  /// The same file, opened with another schema.
  SstFile(const SstFile& same, std::shared_ptr<SstReader> opened);
  ~SstFile();
  SstFile(const SstFile&) = delete;
  SstFile& operator=(const SstFile&) = delete;

  /// Every row is a put that the view sees, and there is one per key.
  bool PlainAt(const ReadView& view) const {
    const SequenceNumber newest = reader->seq_column() < 0 ? flat_sequence : meta.max_sequence;
    return meta.clean && newest <= view.sequence && !view.Expired(reader->min_expires());
  }

  /// reader->ReadBatch, built once and kept (unless every read is to be verified again): a get
  /// then costs a reference instead of making arrays. About 1 KiB a batch that was read.
  /// With `columns`, no other table columns will be looked at: of a batch that nobody has read,
  /// only theirs are verified, and it is not kept. Batches of compressed files are not kept here:
  /// the reader keeps those within a bound, but for `once`, which walks over many.
  Result<std::shared_ptr<arrow::RecordBatch>> ReadBatch(int64_t batch,
                                                        const std::vector<int>* columns = nullptr,
                                                        bool once = false) const;

  uint64_t bytes() const { return meta.arrow_bytes + meta.idx_bytes; }

  const std::shared_ptr<SstReader> reader;
  /// Without its level (-1): a file moves down without being rewritten, and the version that
  /// holds it says where.
  const FileMeta meta;
  /// Of every row, when the file has no column of sequences: the one that the manifest says, or 0
  /// when it says a range: then every snapshot sees every row.
  const SequenceNumber flat_sequence;
  const std::shared_ptr<FilePair> pair;

 private:
  SstFile(std::shared_ptr<FilePair> files, std::shared_ptr<SstReader> opened, bool cache_batches,
          std::shared_ptr<MemoryBudget> budget, SequenceNumber sequence);

  using CachedBatch = std::shared_ptr<arrow::RecordBatch>;
  /// One per batch, null until read; empty: no cache. Batches refer to the reader, not to this.
  const std::unique_ptr<std::atomic<const CachedBatch*>[]> batches_;
  const std::shared_ptr<MemoryBudget> budget_;  // may be null
};
using SstFileRef = std::shared_ptr<SstFile>;

/// Disjoint files in key order, found by key without touching them. Immutable.
class SortedLevel {
 public:
  explicit SortedLevel(std::vector<SstFileRef> files);

  size_t size() const { return files_.size(); }
  const SstFileRef& operator[](size_t i) const { return files_[i]; }
  auto begin() const { return files_.begin(); }
  auto end() const { return files_.end(); }
  /// The first file that ends at or behind `key`; size() when there is none.
  size_t LowerBound(std::string_view key) const;
  /// The file whose range holds `key`; null when none does.
  const SstFile* Find(std::string_view key) const;
  uint64_t bytes() const { return bytes_; }

 private:
  const std::vector<SstFileRef> files_;
  KeyFences fences_;              // of the files' last keys
  std::vector<uint64_t> begins_;  // their first keys, as numbers like those of the fences
  uint64_t bytes_ = 0;
};

/// A file and its level.
struct LevelFile {
  int level;
  SstFileRef file;
};

struct TableVersion {
  /// Newest first: by the last sequence, then by number (one flush may write several files).
  std::vector<SstFileRef> level0;
  /// levels[1] to levels[6]; null where a level is empty, and at 0.
  std::array<std::shared_ptr<const SortedLevel>, limits::kNumLevels> levels;

  size_t num_files() const;
  bool empty() const { return num_files() == 0; }
  /// Whether some file may hold a version of `key`.
  bool MayContain(std::string_view key, uint64_t hash) const;
  /// Call `visit` (Status(const SstFile&)) for each file that may hold `key`, newest first.
  template <typename Visit>
  Status ForEachCandidate(std::string_view key, uint64_t hash, const Visit& visit) const {
    for (const auto& file : level0) {
      if (file->reader->MayContain(key, hash)) MARBLE_RETURN_NOT_OK(visit(*file));
    }
    for (const auto& level : levels) {
      const SstFile* file = level == nullptr ? nullptr : level->Find(key);
      if (file != nullptr && file->reader->MayContain(key, hash)) {
        MARBLE_RETURN_NOT_OK(visit(*file));
      }
    }
    return Status::OK();
  }
  /// From the newest to the oldest: level 0 as it is, then each level in key order.
  template <typename Visit>  // void(int level, const SstFileRef&)
  void ForEachFile(const Visit& visit) const {
    for (const auto& file : level0) visit(0, file);
    for (int level = 1; level < limits::kNumLevels; ++level) {
      if (levels[level] == nullptr) continue;
      for (const auto& file : *levels[level]) visit(level, file);
    }
  }
};

/// `old` without `removed` and with `added`; a file that moves to another level is in both. Files
/// are told apart by number: what `old` reads with another schema is still the same file, and of
/// one that moves `old`'s object is taken. Levels that do not change are shared with `old`.
std::shared_ptr<const TableVersion> ChangeTableVersion(const TableVersion& old,
                                                       const std::vector<SstFileRef>& removed,
                                                       std::vector<LevelFile> added);

}  // namespace marble::lsm
