#include "lsm/backup/cut.h"

#include <algorithm>
#include <optional>

#include "lsm/wal/log_format.h"

namespace marble::lsm {
namespace {

using log_format::kSegmentHeaderBytes;

Status Damaged(const CutSegment& segment, uint64_t offset, const std::string& why) {
  return MakeError(ErrorCode::kCorruption, "log segment " + segment.file->path() + ", offset " +
                                               std::to_string(offset) + ": " + why +
                                               " while it was copied; nothing was copied");
}

/// Where the cut ends in a segment, whose records are checked up to there.
Status WalkSegment(const DatabaseCut& cut, LogPosition base, std::optional<uint64_t> fixed_end,
                   CutSegment* segment, SequenceNumber* last_sequence) {
  const uint8_t* data = segment->file->data();
  const uint32_t seed = log_format::CrcSeed(
      reinterpret_cast<const uint8_t*>(cut.manifest.database_id.data()), segment->id);
  uint64_t offset = kSegmentHeaderBytes;
  while (base + offset < cut.log_end && !(fixed_end && offset == *fixed_end)) {
    log_format::RecordHeader header;
    log_format::RecordLayout layout;
    const char* why = "";
    const uint64_t limit =
        fixed_end ? std::min<uint64_t>(segment->file->size(), *fixed_end) : segment->file->size();
    if (!log_format::DecodeRecord(data, limit, offset, segment->id, seed, &header, &layout, &why)) {
      return Damaged(*segment, offset, why);
    }
    offset = layout.end;
    const auto type = static_cast<RecordType>(header.type);
    if (type == RecordType::kSegmentEnd || type == RecordType::kCleanClose) break;
    *last_sequence = std::max(*last_sequence, header.sequence);
  }
  segment->bytes = offset;
  return Status::OK();
}

}  // namespace

Result<CutLog> ReadCutLog(const DatabaseCut& cut) {
  CutLog log;
  log.manifest = cut.manifest;
  log.last_sequence = cut.manifest.last_sequence;
  const std::vector<FixedEnd> fixed = std::move(log.manifest.fixed_ends);
  log.manifest.fixed_ends.clear();
  MARBLE_ASSIGN_OR_RETURN(const auto names, cut.file_system->List(cut.dir));
  std::vector<uint64_t> ids;
  for (const std::string& name : names) {
    const auto id = log_format::ParseSegmentName(name);
    if (id && *id >= cut.manifest.log_first_segment && *id <= cut.last_segment) ids.push_back(*id);
  }
  std::sort(ids.begin(), ids.end());
  LogPosition reached = 0;
  for (const uint64_t id : ids) {
    CutSegment segment;
    segment.id = id;
    std::optional<uint64_t> fixed_end;
    for (const FixedEnd& end : fixed) {
      if (end.segment_id == id) fixed_end = end.end_offset;
    }
    if (fixed_end && *fixed_end == 0) {
      log.manifest.fixed_ends.push_back({id, 0});
      continue;
    }
    const std::string path = cut.dir + "/" + log_format::SegmentName(id);
    MARBLE_ASSIGN_OR_RETURN(segment.file, cut.file_system->OpenLog(path));
    std::string why;
    MARBLE_ASSIGN_OR_RETURN(
        const auto header,
        log_format::DecodeSegmentHeader(segment.file->data(), segment.file->size(), &why));
    if (!header) return Damaged(segment, 0, why);
    if (header->base + kSegmentHeaderBytes >= cut.log_end) break;  // begun behind the cut
    MARBLE_RETURN_NOT_OK(WalkSegment(cut, header->base, fixed_end, &segment, &log.last_sequence));
    reached = header->base + segment.bytes;
    log.manifest.fixed_ends.push_back({id, segment.bytes});
    log.segments.push_back(std::move(segment));
  }
  // The cut may lie behind the next segment's header.
  if (!log.segments.empty() && reached != cut.log_end &&
      reached + kSegmentHeaderBytes != cut.log_end) {
    return Damaged(log.segments.back(), log.segments.back().bytes,
                   "the log ends before position " + std::to_string(cut.log_end));
  }
  return log;
}

}  // namespace marble::lsm
