// The manifest on disk: MANIFEST-NNNNNN, a log of edits, and CURRENT, which names it (FORMAT.md).
//
// At every open a new manifest with a full snapshot is written and CURRENT is switched to it by
// an atomic rename; so a torn tail is never appended to. Not thread-safe: the database's
// manifest mutex guards it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "io/file_system.h"
#include "lsm/version/closed_together.h"
#include "lsm/version/version_edit.h"

namespace marble::lsm {

inline constexpr char kCurrentName[] = "CURRENT";
inline constexpr uint8_t kManifestVersion = 2;
inline constexpr uint8_t kOldestManifestVersion = 1;  // that is still read
std::string ManifestName(uint64_t number);            // MANIFEST-000001
std::string LogName(uint64_t segment);                // 000001.log
/// The number in a name of the form <prefix>NNNNNN<suffix>; false when it is another name.
bool ParseNumberedName(std::string_view name, std::string_view prefix, std::string_view suffix,
                       uint64_t* number);

class ManifestLog {
 public:
  struct Loaded {
    ManifestState state;
    uint64_t manifest_number = 0;
    bool torn_tail = false;  // the last edit was cut off in a crash
    /// The manifest ends as Close left it: the log reaches this position at least.
    std::optional<LogPosition> closed_at;
    /// The manifest is of a release that marks edits and closes: one that was closed says so.
    bool has_marks = false;
    uint64_t bytes = 0;
    ManifestEnd end() const { return {manifest_number, bytes, has_marks, closed_at}; }
  };
  /// Read what CURRENT names. nullopt: there is no database. kCorruption names file and offset.
  static Result<std::optional<Loaded>> Load(io::FileSystem* files, const std::string& dir);

  /// Write a new manifest with a snapshot of `state` and make it current. Durable on return.
  static Result<std::unique_ptr<ManifestLog>> Create(io::FileSystem* files, const std::string& dir,
                                                     uint64_t number, ManifestState state);

  /// Check that the state stays sound, append the edit and fsync. After an I/O error the file's
  /// end is unknown: every later Append fails with the same error. kNoSpace while appending leaves
  /// everything as it was.
  Status Append(const VersionEdit& edit);

  /// Say, durably, that the database was closed and that its log, which is durable, reaches `end`.
  Status Close(LogPosition end);
  /// No Append has left the file's end unknown.
  bool usable() const { return failed_.ok(); }

  const ManifestState& state() const { return state_; }
  uint64_t number() const { return number_; }

 private:
  ManifestLog(uint64_t number, ManifestState state) : number_(number), state_(std::move(state)) {}
  /// Append a record and make it durable, then the mark behind it.
  Status AppendRecord(std::string_view payload);
  const uint64_t number_;
  ManifestState state_;
  std::unique_ptr<io::WritableFile> file_;
  Status failed_;
};

}  // namespace marble::lsm
