#include "lsm/wal/log_format.h"

#include <algorithm>
#include <cstdio>

#include "lsm/mutation.h"

namespace marble::lsm::log_format {
namespace {

// Offsets in the segment header.
constexpr size_t kVersionAt = 7;
constexpr size_t kDatabaseIdAt = 8;
constexpr size_t kBootIdAt = 24;
constexpr size_t kSegmentIdAt = 40;
constexpr size_t kBaseAt = 48;
constexpr size_t kCrcAt = 60;
static_assert(kCrcAt + sizeof(uint32_t) == kSegmentHeaderBytes);

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

uint32_t CrcSeed(const uint8_t* database_id, uint64_t segment_id) {
  return ExtendCrc32c(Crc32c(database_id, kIdBytes), &segment_id, sizeof(segment_id));
}

void EncodeSegmentHeader(const SegmentHeader& header, uint8_t* to) {
  std::memset(to, 0, kSegmentHeaderBytes);
  std::memcpy(to, kMagic, sizeof(kMagic));
  to[kVersionAt] = kVersion;
  std::memcpy(to + kDatabaseIdAt, header.database_id, kIdBytes);
  std::memcpy(to + kBootIdAt, header.boot_id, kIdBytes);
  StoreFixed(to + kSegmentIdAt, header.segment_id);
  StoreFixed(to + kBaseAt, header.base);
  StoreFixed(to + kCrcAt, MaskCrc(Crc32c(to, kCrcAt)));
}

Result<std::optional<SegmentHeader>> DecodeSegmentHeader(const uint8_t* bytes, size_t size,
                                                         std::string* why) {
  if (size < kSegmentHeaderBytes) {
    *why = "the file is shorter than a segment header";
    return std::nullopt;
  }
  if (std::all_of(bytes, bytes + kSegmentHeaderBytes, [](uint8_t b) { return b == 0; })) {
    *why = "the segment header was never written";
    return std::nullopt;
  }
  if (std::memcmp(bytes, kMagic, sizeof(kMagic)) != 0) {
    *why = "the file does not begin as a log segment";
    return std::nullopt;
  }
  if (LoadFixed<uint32_t>(bytes + kCrcAt) != MaskCrc(Crc32c(bytes, kCrcAt))) {
    *why = "the segment header's checksum does not match";
    return std::nullopt;
  }
  if (bytes[kVersionAt] != kVersion) {
    return MakeError(ErrorCode::kIncompatible,
                     "log format version " + std::to_string(bytes[kVersionAt]) +
                         ", this release reads version " + std::to_string(kVersion) +
                         "; open the database with the release that wrote it");
  }
  SegmentHeader header;
  std::memcpy(header.database_id, bytes + kDatabaseIdAt, kIdBytes);
  std::memcpy(header.boot_id, bytes + kBootIdAt, kIdBytes);
  header.segment_id = LoadFixed<uint64_t>(bytes + kSegmentIdAt);
  header.base = LoadFixed<uint64_t>(bytes + kBaseAt);
  return header;
}

bool DecodeRecord(const uint8_t* segment, size_t limit, size_t offset, uint64_t segment_id,
                  uint32_t seed, RecordHeader* header, RecordLayout* layout, const char** why) {
  const auto bad = [why](const char* reason) {
    if (why != nullptr) *why = reason;
    return false;
  };
  if (offset + kRecordHeaderBytes > limit) return bad("the segment ends inside a header");
  std::memcpy(header, segment + offset, sizeof(*header));
  if (header->type < static_cast<uint8_t>(RecordType::kWriteBatch) ||
      header->type > static_cast<uint8_t>(RecordType::kVoid)) {
    return bad(header->type == 0 ? "no record was completed here" : "unknown record type");
  }
  if (header->segment_id != segment_id) return bad("a record of another segment");
  if (header->reserved16 != 0 || header->reserved32 != 0) return bad("a damaged header");
  *layout = LayoutOf(offset, header->payload_bytes);
  if (layout->end > limit) return bad("the record reaches behind the segment's end");
  if (layout->payload - offset - kRecordHeaderBytes != header->pad_bytes) {
    return bad("a damaged header");
  }
  if (RecordCrc(seed, offset, segment + offset, layout->end - offset) != header->crc &&
      !Mutated(Mutant::kIgnoreLogCrc)) {
    return bad("the record's checksum does not match");
  }
  return true;
}

Result<std::string> ParseId(std::string_view what, std::string_view id) {
  if (id.size() == kIdBytes) return std::string(id);
  std::string bytes(kIdBytes, '\0');
  if (id.empty()) return bytes;
  size_t digits = 0;
  for (const char c : id) {
    if (c == '-') continue;
    const int digit = HexDigit(c);
    if (digit < 0 || digits == 2 * kIdBytes) {
      digits = 0;
      break;
    }
    char& byte = bytes[digits++ / 2];
    byte = static_cast<char>(byte << 4 | digit);
  }
  if (digits != 2 * kIdBytes) {
    return MakeError(ErrorCode::kInvalidArgument, std::string(what) + " '" + std::string(id) +
                                                      "' is neither 16 bytes nor a uuid");
  }
  return bytes;
}

std::string SegmentName(uint64_t segment_id) {
  char name[32];
  std::snprintf(name, sizeof(name), "%06llu.log", static_cast<unsigned long long>(segment_id));
  return name;
}

std::optional<uint64_t> ParseSegmentName(std::string_view name) {
  constexpr std::string_view kSuffix = ".log";
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  if (name.size() < 6 || name.size() > 19) return std::nullopt;
  uint64_t id = 0;
  for (const char c : name) {
    if (c < '0' || c > '9') return std::nullopt;
    id = id * 10 + static_cast<uint64_t>(c - '0');
  }
  return SegmentName(id) == std::string(name) + std::string(kSuffix) ? std::optional<uint64_t>(id)
                                                                     : std::nullopt;
}

}  // namespace marble::lsm::log_format
