// Where the databases of a run lie: a directory of its own on a disk, removed with everything in it
// at the end of the run, also when the run ends by SIGINT, SIGTERM or SIGHUP.
//
// Make it before any thread is started: it blocks those signals in the calling thread, and so in
// all later ones, and waits for them in a thread of its own.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"

namespace marble::lsm::bench {

/// Bytes on disk (blocks, not lengths), by kind of file.
struct DiskUse {
  uint64_t tables = 0;  // .sst; .arrow and .idx
  uint64_t logs = 0;    // .log, preallocated space included
  uint64_t other = 0;
  uint64_t total() const { return tables + logs + other; }
};

class WorkDirectory {
 public:
  /// Make a directory below `parent`; empty: $TMPDIR, else where this program lies.
  /// kInvalidArgument when that is in memory, kNoSpace when less than `bytes` are free.
  static Result<std::unique_ptr<WorkDirectory>> Make(const std::string& parent, uint64_t bytes);
  ~WorkDirectory();
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;

  const std::string& path() const { return path_; }
  const std::string& file_system() const { return file_system_; }

  /// An empty directory `name` in here, whatever was there.
  Result<std::string> Fresh(const std::string& name) const;
  void Remove(const std::string& name) const;
  /// Have all dirty pages of this file system written, so that no line pays for the one before.
  void SyncFileSystem() const;
  static DiskUse UseOf(const std::string& dir);
  /// Drop a directory's files from the page cache (after a sync).
  static void DropFromPageCache(const std::string& dir);

  /// A child process and a cgroup directory that go with this one on a signal; 0 and "": none.
  static void AlsoEnd(pid_t child, const std::string& cgroup);

 private:
  WorkDirectory(std::string path, std::string file_system);

  const std::string path_;
  const std::string file_system_;
};

}  // namespace marble::lsm::bench
