#include "lsm/backup/backup_format.h"

#include <cstdio>

#include "base/coding.h"
#include "base/crc32c.h"
#include "lsm/version/manifest_log.h"

namespace marble::lsm::backup_format {
namespace {

constexpr std::string_view kMagic = "MRBLBACK";
constexpr size_t kIdBytes = 16;

std::string StoredName(uint64_t number, uint32_t crc, uint64_t bytes, const char* suffix) {
  char name[80];
  std::snprintf(name, sizeof name, "%06llu-%08x-%llu%s", static_cast<unsigned long long>(number),
                crc, static_cast<unsigned long long>(bytes), suffix);
  return name;
}

Status Malformed(const char* what) {
  return MakeError(ErrorCode::kCorruption, std::string("the description is damaged: ") + what);
}

}  // namespace

Result<std::string> Encode(const Description& d) {
  std::string out(kMagic);
  out.push_back(static_cast<char>(kBackupVersion));
  PutVarint(&out, d.id);
  PutVarint(&out, static_cast<uint64_t>(d.time_ms));
  out.append(d.manifest.database_id);
  PutLengthPrefixed(&out, d.manifest.integration_id);
  PutVarint(&out, d.sequence);
  PutVarint(&out, d.bytes_copied);
  PutVarint(&out, d.files.size());
  for (const StoredFile& file : d.files) {
    PutLengthPrefixed(&out, file.name);
    PutLengthPrefixed(&out, file.stored_name);
    PutVarint(&out, file.bytes);
    PutFixed<uint32_t>(&out, file.crc);
  }
  MARBLE_ASSIGN_OR_RETURN(const std::string edit, d.manifest.Snapshot().Encode());
  out.push_back(static_cast<char>(kManifestVersion));
  PutLengthPrefixed(&out, edit);
  PutFixed<uint32_t>(&out, MaskCrc(Crc32c(out)));
  return out;
}

Result<Description> Decode(std::string_view bytes) {
  if (bytes.size() < kMagic.size() + 1 + sizeof(uint32_t) || !bytes.starts_with(kMagic)) {
    return Malformed("it does not begin as one");
  }
  const std::string_view covered = bytes.substr(0, bytes.size() - sizeof(uint32_t));
  if (MaskCrc(Crc32c(covered)) != LoadFixed<uint32_t>(bytes.data() + covered.size())) {
    return Malformed("its checksum does not match");
  }
  const auto version = static_cast<uint8_t>(bytes[kMagic.size()]);
  if (version != kBackupVersion) {
    return MakeError(ErrorCode::kIncompatible, "backup format version " + std::to_string(version) +
                                                   ", this release reads version " +
                                                   std::to_string(kBackupVersion));
  }
  Decoder in(covered.substr(kMagic.size() + 1));
  Description d;
  uint64_t time_ms, count;
  std::string_view database_id, integration_id, edit;
  if (!in.Varint(&d.id) || !in.Varint(&time_ms) || !in.Bytes(kIdBytes, &database_id) ||
      !in.LengthPrefixed(&integration_id) || !in.Varint(&d.sequence) ||
      !in.Varint(&d.bytes_copied) || !in.Varint(&count) || count > bytes.size()) {
    return Malformed("its head is cut off");
  }
  d.time_ms = static_cast<int64_t>(time_ms);
  d.manifest.database_id = database_id;
  d.manifest.integration_id = integration_id;
  for (uint64_t i = 0; i < count; ++i) {
    StoredFile file;
    std::string_view name, stored;
    if (!in.LengthPrefixed(&name) || !in.LengthPrefixed(&stored) || !in.Varint(&file.bytes) ||
        !in.Fixed(&file.crc)) {
      return Malformed("its list of files is cut off");
    }
    // They become paths.
    for (const std::string_view part : {name, stored}) {
      if (part.empty() || part.find('/') != part.npos || part.starts_with('.')) {
        return Malformed("it names a file that cannot be");
      }
    }
    file.name = name;
    file.stored_name = stored;
    d.files.push_back(std::move(file));
  }
  uint8_t manifest_version;
  if (!in.Fixed(&manifest_version) || !in.LengthPrefixed(&edit) || in.remaining() != 0) {
    return Malformed("its manifest is cut off");
  }
  if (manifest_version < kOldestManifestVersion || manifest_version > kManifestVersion) {
    return MakeError(ErrorCode::kIncompatible,
                     "its manifest has format version " + std::to_string(manifest_version) +
                         ", this release reads up to " + std::to_string(kManifestVersion));
  }
  MARBLE_ASSIGN_OR_RETURN(const VersionEdit decoded, VersionEdit::Decode(edit));
  MARBLE_RETURN_NOT_OK(d.manifest.Apply(decoded));
  const Status sound = d.manifest.CheckInvariants();
  if (!sound.ok()) return MakeError(ErrorCode::kCorruption, MessageOf(sound));
  return d;
}

std::string DescriptionName(uint64_t id) {
  char name[40];
  std::snprintf(name, sizeof name, "%06llu.backup", static_cast<unsigned long long>(id));
  return name;
}

std::optional<uint64_t> ParseDescriptionName(std::string_view name) {
  uint64_t id;
  if (!ParseNumberedName(name, "", ".backup", &id)) return std::nullopt;
  return id;
}

std::string StoredArrowName(const FileMeta& meta) {
  return StoredName(meta.number, meta.idx_crc, meta.arrow_bytes, ".arrow");
}
std::string StoredIdxName(const FileMeta& meta) {
  return StoredName(meta.number, meta.idx_crc, meta.arrow_bytes, ".idx");
}
std::string StoredLogName(uint64_t segment, uint32_t crc, uint64_t bytes) {
  return StoredName(segment, crc, bytes, ".log");
}

}  // namespace marble::lsm::backup_format
