// Copying files from one file system to another, which may be the same, with a checksum of every
// byte, progress and cancelling; and building a folder that appears under its name all at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "io/file_system.h"

namespace marble::lsm {

/// What a user waits for. Both functions may be empty; they are called on the calling thread.
struct CopyControl {
  /// Bytes dealt with of those that are to be dealt with; neither goes back, done <= total.
  std::function<void(uint64_t done, uint64_t total)> progress;
  /// Asked before every piece of 1 MiB; true: stop, kAborted.
  std::function<bool()> cancelled;
};

/// Counts bytes for a CopyControl.
class CopyProgress {
 public:
  CopyProgress(const CopyControl& control, std::string what)
      : control_(control), what_(std::move(what)) {}
  void AddTotal(uint64_t bytes) { total_ += bytes; }
  /// kAborted when the user has had enough.
  Status Advance(uint64_t bytes);
  Status Poll() { return Advance(0); }

 private:
  const CopyControl& control_;
  const std::string what_;
  uint64_t done_ = 0;
  uint64_t total_ = 0;
};

/// Called with each piece of a file that is read; pieces are multiples of 4 KiB but the last.
using PieceVisitor = std::function<void(std::string_view)>;

/// Read a whole file in order. Returns its size.
Result<uint64_t> ReadPieces(io::FileSystem* files, const std::string& path, CopyProgress* progress,
                            const PieceVisitor& visit);
/// Copy a file to a new one and sync it (not the folder). What fails leaves nothing behind, if the
/// file system lets it be removed.
Status CopyAndSync(io::FileSystem* from_files, const std::string& from, io::FileSystem* to_files,
                   const std::string& to, CopyProgress* progress, const PieceVisitor& visit);
/// Write bytes to a new file and sync it.
Status WriteAndSync(io::FileSystem* files, const std::string& path, std::string_view bytes,
                    CopyProgress* progress);

/// A folder under construction: `<path>.incomplete`, locked, emptied of what a crash left. Removed
/// by the destructor unless it was published.
class FolderBuilder {
 public:
  /// The final path must be free, or, with `empty_is_free`, an empty folder: kInvalidArgument.
  /// kLocked when somebody builds there.
  static Result<std::unique_ptr<FolderBuilder>> Begin(std::shared_ptr<io::FileSystem> files,
                                                      const std::string& path, bool empty_is_free);
  ~FolderBuilder();
  const std::string& dir() const { return dir_; }
  /// Sync the folder, rename it to its name, sync the parent.
  Status Publish();

 private:
  FolderBuilder(std::shared_ptr<io::FileSystem> files, std::string path)
      : files_(std::move(files)), path_(std::move(path)), dir_(path_ + ".incomplete") {}
  Status Empty();
  const std::shared_ptr<io::FileSystem> files_;
  const std::string path_;
  const std::string dir_;
  std::vector<std::string> to_sync_;  // folders
  std::unique_ptr<io::FileLock> lock_;
  bool published_ = false;
};

/// Without slashes at its end.
std::string WithoutSlash(std::string path);

}  // namespace marble::lsm
