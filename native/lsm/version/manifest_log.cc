#include "lsm/version/manifest_log.h"

#include <cstdio>

#include "base/coding.h"
#include "base/crc32c.h"
#include "lsm/mutation.h"

namespace marble::lsm {
namespace {

constexpr std::string_view kMagic = "MRBLMANI";
constexpr size_t kHeaderFixedBytes = 8 + 1 + 16;  // magic, version, database id
constexpr size_t kRecordHeaderBytes = 8;          // masked CRC, length
/// An optional tag: readers that do not know it see an edit without effect.
constexpr uint64_t kClosedTag = 33;

std::string EncodeHeader(const ManifestState& state) {
  std::string out(kMagic);
  out.push_back(static_cast<char>(kManifestVersion));
  out.append(state.database_id);
  PutLengthPrefixed(&out, state.integration_id);
  PutFixed<uint32_t>(&out, MaskCrc(Crc32c(out)));
  return out;
}

std::string Frame(std::string_view payload) {
  std::string body;
  PutFixed<uint32_t>(&body, static_cast<uint32_t>(payload.size()));
  body.append(payload);
  std::string out;
  PutFixed<uint32_t>(&out, MaskCrc(Crc32c(body)));
  return out + body;
}

/// The payload of the record of a close.
std::string EncodeClosed(LogPosition end) {
  std::string position;
  PutVarint(&position, end);
  std::string out;
  PutVarint(&out, kClosedTag);
  PutLengthPrefixed(&out, position);
  return out;
}

std::optional<LogPosition> DecodeClosed(std::string_view payload) {
  Decoder in(payload);
  uint64_t tag, end;
  std::string_view position;
  if (!in.Varint(&tag) || tag != kClosedTag || !in.LengthPrefixed(&position)) return std::nullopt;
  Decoder value(position);
  if (!value.Varint(&end)) return std::nullopt;
  return end;
}

/// The payload of the record at `offset`; false when there is no valid one.
bool ReadRecord(std::string_view file, size_t offset, std::string_view* payload) {
  if (file.size() - offset < kRecordHeaderBytes) return false;
  const uint32_t crc = LoadFixed<uint32_t>(file.data() + offset);
  const uint32_t length = LoadFixed<uint32_t>(file.data() + offset + 4);
  if (length > file.size() - offset - kRecordHeaderBytes) return false;
  if (MaskCrc(Crc32c(file.data() + offset + 4, 4 + length)) != crc &&
      !Mutated(Mutant::kIgnoreManifestCrc)) {
    return false;
  }
  *payload = file.substr(offset + kRecordHeaderBytes, length);
  return true;
}

}  // namespace

std::string ManifestName(uint64_t number) {
  char name[40];
  std::snprintf(name, sizeof name, "MANIFEST-%06llu", static_cast<unsigned long long>(number));
  return name;
}

std::string LogName(uint64_t segment) {
  char name[40];
  std::snprintf(name, sizeof name, "%06llu.log", static_cast<unsigned long long>(segment));
  return name;
}

bool ParseNumberedName(std::string_view name, std::string_view prefix, std::string_view suffix,
                       uint64_t* number) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return false;
  if (name.size() <= prefix.size() + suffix.size()) return false;
  name = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  if (name.size() > 19) return false;
  *number = 0;
  for (char c : name) {
    if (c < '0' || c > '9') return false;
    *number = *number * 10 + static_cast<uint64_t>(c - '0');
  }
  return true;
}

Result<std::optional<ManifestLog::Loaded>> ManifestLog::Load(io::FileSystem* files,
                                                             const std::string& dir) {
  const std::string current_path = dir + "/" + kCurrentName;
  MARBLE_ASSIGN_OR_RETURN(const bool exists, files->Exists(current_path));
  if (!exists) return std::optional<Loaded>();
  MARBLE_ASSIGN_OR_RETURN(std::string current, files->ReadFile(current_path));
  while (!current.empty() && current.back() == '\n') current.pop_back();
  Loaded loaded;
  if (!ParseNumberedName(current, "MANIFEST-", "", &loaded.manifest_number)) {
    return MakeError(ErrorCode::kCorruption, current_path + " does not name a manifest");
  }
  const std::string path = dir + "/" + current;
  MARBLE_ASSIGN_OR_RETURN(const bool there, files->Exists(path));
  if (!there) {
    return MakeError(ErrorCode::kCorruption,
                     current_path + " names " + current + ", which is missing");
  }
  MARBLE_ASSIGN_OR_RETURN(const std::string bytes, files->ReadFile(path));
  const std::string_view file = bytes;
  const auto corrupt = [&](size_t offset, const std::string& what) {
    return MakeError(ErrorCode::kCorruption,
                     path + ": " + what + " at offset " + std::to_string(offset));
  };
  if (file.size() < kHeaderFixedBytes || file.substr(0, kMagic.size()) != kMagic) {
    return corrupt(0, "not a manifest");
  }
  const uint8_t version = static_cast<uint8_t>(file[kMagic.size()]);
  if (version < kOldestManifestVersion || version > kManifestVersion) {
    return MakeError(ErrorCode::kIncompatible,
                     path + " has format version " + std::to_string(version) +
                         "; this build reads versions " + std::to_string(kOldestManifestVersion) +
                         " to " + std::to_string(kManifestVersion));
  }
  Decoder in(file.substr(kHeaderFixedBytes));
  std::string_view integration_id;
  uint32_t crc;
  if (!in.LengthPrefixed(&integration_id)) return corrupt(0, "bad header");
  const size_t crc_at = file.size() - in.remaining();
  if (!in.Fixed(&crc) || MaskCrc(Crc32c(file.substr(0, crc_at))) != crc) {
    return corrupt(0, "bad header");
  }
  loaded.state.database_id = file.substr(kMagic.size() + 1, 16);
  loaded.state.integration_id = integration_id;

  size_t offset = crc_at + 4;
  bool any = false;
  size_t records = 0;
  loaded.bytes = file.size();
  while (offset < file.size()) {
    std::string_view payload;
    if (!ReadRecord(file, offset, &payload)) {
      // Torn in a crash only if nothing valid follows: edits are appended one by one, each
      // synced before the next.
      for (size_t later = offset + 1; later + kRecordHeaderBytes <= file.size(); ++later) {
        std::string_view ignored;
        if (ReadRecord(file, later, &ignored)) return corrupt(offset, "bad record");
      }
      if (!any) return corrupt(offset, "bad snapshot");
      loaded.torn_tail = true;
      break;
    }
    if (payload.empty()) {
      if (++records == 2) loaded.has_marks = true;  // behind the snapshot
    } else {
      ++records;
      loaded.closed_at = DecodeClosed(payload);
      const auto edit = VersionEdit::Decode(payload);
      const Status applied = edit.ok() ? loaded.state.Apply(*edit) : edit.status();
      if (CodeOf(applied) == ErrorCode::kIncompatible) {
        return MakeError(ErrorCode::kIncompatible, path + ": " + MessageOf(applied));
      }
      if (!applied.ok()) return corrupt(offset, "bad edit (" + MessageOf(applied) + ")");
    }
    offset += kRecordHeaderBytes + payload.size();
    any = true;
  }
  if (!any) return corrupt(offset, "no snapshot");
  const Status sound = loaded.state.CheckInvariants();
  if (!sound.ok()) return MakeError(ErrorCode::kCorruption, path + ": " + MessageOf(sound));
  return std::optional<Loaded>(std::move(loaded));
}

Result<std::unique_ptr<ManifestLog>> ManifestLog::Create(io::FileSystem* files,
                                                         const std::string& dir, uint64_t number,
                                                         ManifestState state) {
  MARBLE_RETURN_NOT_OK(state.CheckInvariants());
  MARBLE_ASSIGN_OR_RETURN(const std::string snapshot, state.Snapshot().Encode());
  const std::string path = dir + "/" + ManifestName(number);
  MARBLE_ASSIGN_OR_RETURN(const bool left_over, files->Exists(path));
  if (left_over) MARBLE_RETURN_NOT_OK(files->Remove(path));  // of a crash before the switch
  std::unique_ptr<ManifestLog> log(new ManifestLog(number, std::move(state)));
  MARBLE_ASSIGN_OR_RETURN(log->file_, files->Create(path));
  MARBLE_RETURN_NOT_OK(log->file_->Append(EncodeHeader(log->state_) + Frame(snapshot) + Frame({})));
  MARBLE_RETURN_NOT_OK(log->file_->Sync());
  MARBLE_RETURN_NOT_OK(files->SyncDir(dir));
  MARBLE_RETURN_NOT_OK(
      files->WriteFileAtomically(dir + "/" + kCurrentName, ManifestName(number) + "\n"));
  return log;
}

Status ManifestLog::Append(const VersionEdit& edit) {
  MARBLE_RETURN_NOT_OK(failed_);
  ManifestState next = state_;
  MARBLE_RETURN_NOT_OK(next.Apply(edit));
  MARBLE_RETURN_NOT_OK(next.CheckInvariants());
  MARBLE_ASSIGN_OR_RETURN(const std::string payload, edit.Encode());
  MARBLE_RETURN_NOT_OK(AppendRecord(payload));
  state_ = std::move(next);
  return Status::OK();
}

Status ManifestLog::Close(LogPosition end) {
  MARBLE_RETURN_NOT_OK(failed_);
  return AppendRecord(EncodeClosed(end));
}

Status ManifestLog::AppendRecord(std::string_view payload) {
  const Status appended = file_->Append(Frame(payload));
  // What did not fit counts for nothing, and the next record is written over it.
  if (CodeOf(appended) == ErrorCode::kNoSpace) return appended;
  failed_ = appended;
  if (failed_.ok() && !Mutated(Mutant::kDropManifestFsync)) failed_ = file_->Sync();
  MARBLE_RETURN_NOT_OK(failed_);
  // The mark says that the record was durable: if it is bad later, that was not a crash. It need
  // not be durable itself, and if there is no room for it the record stands all the same.
  const Status marked = file_->Append(Frame({}));
  if (CodeOf(marked) != ErrorCode::kNoSpace) failed_ = marked;
  return failed_;
}

}  // namespace marble::lsm
