// A file system over another one that fails calls on demand and loses power on demand. Everything
// else is the real thing: the calls go to the base, and mappings and log memory are the base's own.
//
// Faults. Each call belongs to a class: an operation (FileOp) at a place, which is the kind of file
// (PlaceOf). Calls are counted by class; the n-th one of a class can be made to fail, once or from
// then on. A failed call does nothing, except that a failed sync is what it is in Linux: the pages
// that were dirty then count as clean, so that later syncs succeed and do not write them.
//
// Power loss. For every file below a root the content as of the last sync is kept beside the
// current one (for mapped log files, which are written behind this object's back, the two are
// compared when it matters), and every change of a folder until the folder is synced. When the
// power fails, each 4 KiB page that was not synced holds its new content, its last synced content
// or a mix of their 512-byte sectors; a length that was not synced is the old one, the new one or
// one between; and of the unsynced changes of names either the first n in order are kept, or some,
// but never a change of a name without those before it of the same name. Nothing that was synced is
// touched: neither is the name of a synced file in a folder that was not. That is what POSIX
// promises; real file systems promise a little more. After it every call fails; Restore writes what
// the disk held.
//
//   1. Enter: count the call; is it the one at which the power fails? Does a fault fit?
//   2. The base does it.
//   3. Under the mutex: what has changed, what has become durable.
//
// Thread-safe. Keeps a copy of every file below the root in memory: for tests.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/forwarding_file_system.h"

namespace marble::io {

enum class FileOp {
  kStat,
  kCreateDirs,
  kList,
  kRemove,
  kRemoveDir,
  kRename,
  kLink,
  kCopy,
  kSyncDir,
  kSyncFile,
  kReadFile,
  kCreate,
  kAppend,
  kSync,
  kClose,
  kOpen,
  kReadAt,
  kMap,
  kCreateLog,
  kOpenLog,
  kPublish,  // of a written log file; that of a mapped one is no call
  kSyncLog,
  kLock,
  kDiskSpace,
};
std::string_view FileOpName(FileOp op);

/// The kind of file that a path names: its last part with N for each number. "CURRENT",
/// "N.arrow", "MANIFEST-N".
std::string PlaceOf(std::string_view path);

/// A class of calls. The place of operations on folders is "folder".
struct FileCall {
  FileOp op;
  std::string place;
  auto operator<=>(const FileCall&) const = default;
};

struct Fault {
  std::optional<FileOp> op = {};  // nullopt: any
  std::string place = {};         // empty: any
  uint64_t nth = 1;               // of the calls that fit, from now on
  int error = 5;                  // an errno: EIO
  bool permanent = false;         // all later ones as well
};

struct FaultInjectionOptions {
  /// Of log files that are asked for as kAny.
  LogFileKind log_kind = LogFileKind::kAny;
  /// Off: no power can be lost, and no copy of anything is kept.
  bool track_power = true;
};

/// What became of what was not durable.
struct PowerLossReport {
  std::optional<FileCall> at;  // the call that was about to be made; nullopt: between calls
  uint64_t pages_kept = 0;
  uint64_t pages_dropped = 0;
  uint64_t pages_torn = 0;
  uint64_t names_kept = 0;
  uint64_t names_dropped = 0;
};

class FaultInjectionFileSystem final
    : public ForwardingFileSystem,
      public std::enable_shared_from_this<FaultInjectionFileSystem> {
 public:
  /// `root` is a folder of the base. What lies in it now is durable; what lies elsewhere is not
  /// looked at. Each object is a boot of its own (BootId).
  static Result<std::shared_ptr<FaultInjectionFileSystem>> Make(
      std::shared_ptr<FileSystem> base, const std::string& root,
      const FaultInjectionOptions& options = {});

  void Inject(Fault fault);
  /// No more faults.
  void Heal();
  /// How many calls have been made to fail.
  uint64_t injected() const;

  std::map<FileCall, uint64_t> calls() const;
  uint64_t total_calls() const;
  /// `observe` runs at every call, on its thread, before it takes effect; without any lock.
  void SetObserver(std::function<void(const FileCall&)> observe);

  /// Lose power just before the `nth` call from now.
  void LosePowerAt(uint64_t nth, uint64_t seed);
  void LosePower(uint64_t seed);
  bool power_lost() const;
  PowerLossReport report() const;
  /// After a power loss: write what the disk holds into the folder `path` of `to`, which may be
  /// there if it is empty.
  Status Restore(FileSystem* to, const std::string& path) const;

  Result<std::optional<FileInfo>> Stat(const std::string& path) override;
  Status CreateDirs(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& path) override;
  Status Remove(const std::string& path) override;
  Status RemoveDir(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Link(const std::string& from, const std::string& to) override;
  Status Copy(const std::string& from, const std::string& to) override;
  Status SyncDir(const std::string& path) override;
  Status SyncFile(const std::string& path) override;
  Result<std::string> ReadFile(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> Create(const std::string& path) override;
  Result<std::shared_ptr<ReadableFile>> Open(const std::string& path) override;
  Result<std::shared_ptr<MappedFile>> Map(const std::string& path) override;
  Result<std::shared_ptr<LogFile>> CreateLog(const std::string& path, size_t size,
                                             LogFileKind kind) override;
  Result<std::shared_ptr<LogFile>> OpenLog(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;
  Result<SpaceInfo> DiskSpace(const std::string& path) override;
  std::string BootId() override { return boot_id_; }

 private:
  struct Node;
  using NodeRef = std::shared_ptr<Node>;
  class Writable;
  class Readable;
  class Log;
  /// One name of one folder gets another meaning (null: none).
  struct NameEdit {
    NodeRef directory;
    std::string name;
    NodeRef node;
  };
  /// What happens to names as one step.
  using NameChange = std::vector<NameEdit>;
  using Pages = std::vector<std::pair<uint64_t, std::string>>;
  struct Unsynced {
    uint64_t size;
    Pages pages;
  };
  struct Place {
    NodeRef directory;  // null: outside the root
    std::string name;
    NodeRef node;  // null: nothing there
  };

  FaultInjectionFileSystem(std::shared_ptr<FileSystem> base, std::string root,
                           const FaultInjectionOptions& options);

  Status LoadTree(const NodeRef& directory, const std::string& path);
  /// Count the call, fail it if it is to fail. `folder`: the path is that of a folder.
  Status Enter(FileOp op, const std::string& path, bool folder = false);
  Status Enter(FileOp op, const std::string& path, const std::string& shown, bool folder);
  /// Under mutex_.
  Place Locate(const std::string& path) const;
  void ChangeNames(NameChange change);
  void CommitNames(const NodeRef& directory);
  /// Under mutex_: what would have to be written to make the file durable.
  static Unsynced Collect(const Node& node);
  static void Commit(Node* node, const Unsynced& unsynced);
  /// Under mutex_: a sync has failed.
  static void Doom(Node* node);
  /// A sync of a file, whose bytes the base syncs by `sync`.
  Status SyncNode(FileOp op, const NodeRef& node, const std::string& path,
                  const std::function<Status()>& sync);
  /// Under mutex_.
  void LosePowerLocked(uint64_t seed, std::optional<FileCall> at);
  std::string SurvivingBytes(const Node& node, std::mt19937_64* random);
  void CollectImage(const Node& directory, const std::string& path, std::mt19937_64* random);

  const std::string root_;
  const FaultInjectionOptions options_;
  const std::string boot_id_;

  mutable std::mutex mutex_;
  NodeRef tree_;
  std::vector<NameChange> pending_;  // in order
  std::map<FileCall, uint64_t> calls_;
  uint64_t total_calls_ = 0;
  std::optional<Fault> fault_;
  uint64_t fitting_calls_ = 0;
  uint64_t injected_ = 0;
  std::shared_ptr<const std::function<void(const FileCall&)>> observe_;
  uint64_t lose_power_at_ = 0;  // counting total_calls_; 0: never
  uint64_t lose_power_seed_ = 0;
  bool power_lost_ = false;
  PowerLossReport report_;
  std::map<const Node*, std::optional<std::string>> surviving_;
  /// After a power loss, by path relative to the root; nullopt: a folder.
  std::map<std::string, std::optional<std::string>> image_;
};

}  // namespace marble::io
