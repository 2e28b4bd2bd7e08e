// The bytes of a log segment: FORMAT.md in code, shared by the writer and by recovery.
// Stateless; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "base/types.h"
#include "lsm/wal/log_writer.h"

namespace marble::lsm::log_format {

inline constexpr uint8_t kVersion = 1;
inline constexpr char kMagic[7] = {'M', 'A', 'R', 'B', 'L', 'O', 'G'};
inline constexpr size_t kSegmentHeaderBytes = 64;
inline constexpr size_t kRecordHeaderBytes = 48;
inline constexpr size_t kRecordAlignment = 8;
inline constexpr size_t kPayloadAlignment = 64;
inline constexpr size_t kIdBytes = 16;

/// Room that is always kept free: a segment must be able to take its own end.
inline constexpr size_t kEndRecordBytes = kRecordHeaderBytes;

struct SegmentHeader {
  uint8_t database_id[kIdBytes];
  uint8_t boot_id[kIdBytes];
  uint64_t segment_id;
  LogPosition base;  // log position of the segment's first byte
};

struct RecordHeader {
  uint32_t crc;  // masked, over all bytes behind it
  uint32_t payload_bytes;
  uint8_t type;
  uint8_t pad_bytes;    // between header and payload
  uint16_t reserved16;  // 0
  uint32_t reserved32;  // 0
  uint64_t segment_id;
  uint64_t sequence;   // of the batch; for other types the next one
  uint64_t published;  // log positions as of reservation
  uint64_t synced;
};
static_assert(sizeof(RecordHeader) == kRecordHeaderBytes);

/// Where a record that begins at `offset` puts its parts.
struct RecordLayout {
  size_t payload;  // offset in the segment
  size_t end;      // of the record, aligned
};
inline RecordLayout LayoutOf(size_t offset, size_t payload_bytes) {
  const size_t behind = offset + kRecordHeaderBytes;
  const size_t payload = payload_bytes == 0 ? behind : AlignUp(behind, kPayloadAlignment);
  return {payload, AlignUp(payload + payload_bytes, kRecordAlignment)};
}

/// The bytes a segment needs for one record of this payload and nothing else.
inline size_t SegmentBytesFor(size_t payload_bytes) {
  return LayoutOf(kSegmentHeaderBytes, payload_bytes).end + kEndRecordBytes;
}

/// What every record's CRC starts from: so a record is valid only in its database and segment.
uint32_t CrcSeed(const uint8_t* database_id, uint64_t segment_id);

/// The masked CRC of the record at `record`, whose place is `offset` (which it covers too: a
/// copy of a record elsewhere, in a payload for example, is not a record).
inline uint32_t RecordCrc(uint32_t seed, uint64_t offset, const uint8_t* record,
                          size_t record_bytes) {
  uint32_t crc = ExtendCrc32c(seed, &offset, sizeof(offset));
  return MaskCrc(ExtendCrc32c(crc, record + sizeof(uint32_t), record_bytes - sizeof(uint32_t)));
}

void EncodeSegmentHeader(const SegmentHeader& header, uint8_t* to);

/// nullopt, with the reason, when the bytes are not a segment header. kIncompatible is not a
/// torn header: the file was written by a newer version.
Result<std::optional<SegmentHeader>> DecodeSegmentHeader(const uint8_t* bytes, size_t size,
                                                         std::string* why);

/// Read and check the record at `offset` of a segment that ends at `limit`. False: not a valid
/// record; `why` (may be null) says what is wrong.
bool DecodeRecord(const uint8_t* segment, size_t limit, size_t offset, uint64_t segment_id,
                  uint32_t seed, RecordHeader* header, RecordLayout* layout, const char** why);

/// 16 raw bytes, or the 32 hex digits of a uuid's text. Empty gives zeros.
Result<std::string> ParseId(std::string_view what, std::string_view id);

/// NNNNNN.log
std::string SegmentName(uint64_t segment_id);
std::optional<uint64_t> ParseSegmentName(std::string_view name);

}  // namespace marble::lsm::log_format
