// The bytes of a .backup file, and the names in a backup folder: FORMAT.md in code. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "lsm/sst/sst_format.h"
#include "lsm/version/version_edit.h"

namespace marble::lsm::backup_format {

inline constexpr uint8_t kBackupVersion = 1;
inline constexpr char kBackupsDir[] = "backups";
inline constexpr char kFilesDir[] = "files";

struct StoredFile {
  std::string name;         // in a database
  std::string stored_name;  // in the backup folder
  uint64_t bytes = 0;
  uint32_t crc = 0;
};

struct Description {
  uint64_t id = 0;
  int64_t time_ms = 0;
  SequenceNumber sequence = 0;
  uint64_t bytes_copied = 0;
  std::vector<StoredFile> files;
  ManifestState manifest;
};

Result<std::string> Encode(const Description& description);
/// The error is a bare sentence; kIncompatible for a newer version.
Result<Description> Decode(std::string_view bytes);

std::string DescriptionName(uint64_t id);                        // 000001.backup
std::optional<uint64_t> ParseDescriptionName(std::string_view);  // nullopt: another name
std::string StoredArrowName(const FileMeta& meta);
std::string StoredIdxName(const FileMeta& meta);
std::string StoredLogName(uint64_t segment, uint32_t crc, uint64_t bytes);

}  // namespace marble::lsm::backup_format
