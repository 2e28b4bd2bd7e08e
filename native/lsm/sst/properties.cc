#include "lsm/sst/properties.h"

#include "base/coding.h"

namespace marble::lsm {
namespace {

enum Tag : uint64_t {
  kRows = 1,
  kBatches = 2,
  kArrowBytes = 3,
  kTypeFingerprint = 4,
  kMinSequence = 5,
  kMaxSequence = 6,
  kTombstones = 7,
  kDistinctKeys = 8,
  kMinKey = 9,
  kMaxKey = 10,
  kHidden = 11,
  kKeyColumns = 12,
  kClean = 13,
  kMinExpires = 14,
  kMaxExpires = 15,
  kExpiring = 16,
  kMergeOperands = 17,
  kFieldIds = 18,
};
constexpr uint64_t kSeqFlag = 1;
constexpr uint64_t kKindFlag = 2;
constexpr uint64_t kExpiresFlag = 4;
constexpr uint64_t kMaxColumn = 1u << 20;

void PutNumber(std::string* out, Tag tag, uint64_t value) {
  std::string bytes;
  PutFixed<uint64_t>(&bytes, value);
  PutVarint(out, tag);
  PutLengthPrefixed(out, bytes);
}
void PutBytes(std::string* out, Tag tag, std::string_view bytes) {
  PutVarint(out, tag);
  PutLengthPrefixed(out, bytes);
}

}  // namespace

std::string EncodeProperties(const SstProperties& p) {
  std::string out;
  PutNumber(&out, kRows, p.rows);
  PutNumber(&out, kBatches, p.batches);
  PutNumber(&out, kArrowBytes, p.arrow_bytes);
  PutNumber(&out, kTypeFingerprint, p.type_fingerprint);
  PutNumber(&out, kMinSequence, p.min_sequence);
  PutNumber(&out, kMaxSequence, p.max_sequence);
  PutNumber(&out, kTombstones, p.tombstones);
  PutNumber(&out, kDistinctKeys, p.distinct_keys);
  PutBytes(&out, kMinKey, p.min_key);
  PutBytes(&out, kMaxKey, p.max_key);
  PutNumber(&out, kHidden,
            (p.hidden.seq ? kSeqFlag : 0) | (p.hidden.kind ? kKindFlag : 0) |
                (p.hidden.expires ? kExpiresFlag : 0));
  std::string columns;
  for (const int column : p.key_columns) PutVarint(&columns, static_cast<uint64_t>(column));
  PutBytes(&out, kKeyColumns, columns);
  PutNumber(&out, kClean, p.clean ? 1 : 0);
  if (p.hidden.expires) {
    PutNumber(&out, kMinExpires, static_cast<uint64_t>(p.min_expires));
    PutNumber(&out, kMaxExpires, static_cast<uint64_t>(p.max_expires));
    PutNumber(&out, kExpiring, p.expiring);
  }
  if (!p.field_ids.empty()) {
    std::string ids;
    for (const uint32_t id : p.field_ids) PutVarint(&ids, id);
    PutBytes(&out, kFieldIds, ids);
  }
  if (p.merge_operands > 0) PutNumber(&out, kMergeOperands, p.merge_operands);
  return out;
}

Result<SstProperties> DecodeProperties(std::string_view section) {
  SstProperties p;
  uint64_t seen = 0;
  const auto damaged = [] {
    return MakeError(ErrorCode::kCorruption, "the properties section is malformed");
  };
  Decoder in(section);
  while (in.remaining() > 0) {
    uint64_t tag = 0;
    std::string_view bytes;
    if (!in.Varint(&tag) || !in.LengthPrefixed(&bytes)) return damaged();
    if (tag == kMinKey) {
      p.min_key = bytes;
    } else if (tag == kMaxKey) {
      p.max_key = bytes;
    } else if (tag == kKeyColumns) {
      Decoder columns(bytes);
      while (columns.remaining() > 0) {
        uint64_t column = 0;
        if (!columns.Varint(&column) || column > kMaxColumn) return damaged();
        p.key_columns.push_back(static_cast<int>(column));
      }
    } else if (tag == kFieldIds) {
      Decoder ids(bytes);
      while (ids.remaining() > 0) {
        uint64_t id = 0;
        if (!ids.Varint(&id) || id == 0 || id > UINT32_MAX) return damaged();
        p.field_ids.push_back(static_cast<uint32_t>(id));
      }
    } else if (tag >= kRows && tag <= kMergeOperands) {
      if (bytes.size() != sizeof(uint64_t)) return damaged();
      const auto value = LoadFixed<uint64_t>(bytes.data());
      switch (static_cast<Tag>(tag)) {
        case kRows:
          p.rows = value;
          break;
        case kBatches:
          p.batches = value;
          break;
        case kArrowBytes:
          p.arrow_bytes = value;
          break;
        case kTypeFingerprint:
          p.type_fingerprint = value;
          break;
        case kMinSequence:
          p.min_sequence = value;
          break;
        case kMaxSequence:
          p.max_sequence = value;
          break;
        case kTombstones:
          p.tombstones = value;
          break;
        case kDistinctKeys:
          p.distinct_keys = value;
          break;
        case kHidden:
          p.hidden = {(value & kSeqFlag) != 0, (value & kKindFlag) != 0,
                      (value & kExpiresFlag) != 0};
          break;
        case kClean:
          p.clean = value != 0;
          break;
        case kMinExpires:
          p.min_expires = static_cast<int64_t>(value);
          break;
        case kMaxExpires:
          p.max_expires = static_cast<int64_t>(value);
          break;
        case kExpiring:
          p.expiring = value;
          break;
        case kMergeOperands:
          if (value > p.tombstones) return damaged();
          p.merge_operands = value;
          break;
        default:
          break;
      }
    } else {
      continue;
    }
    seen |= uint64_t{1} << tag;
  }
  uint64_t all = ((uint64_t{1} << (kClean + 1)) - 1) & ~uint64_t{1};
  if (p.hidden.expires) {
    for (const Tag tag : {kMinExpires, kMaxExpires, kExpiring}) all |= uint64_t{1} << tag;
  }
  const uint64_t optional = uint64_t{1} << kMergeOperands | uint64_t{1} << kFieldIds;
  if ((seen & ~optional) != all) return damaged();
  return p;
}

}  // namespace marble::lsm
