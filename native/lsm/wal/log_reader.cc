#include "lsm/wal/log_reader.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "lsm/wal/log_format.h"

namespace marble::lsm {
namespace {

using log_format::kRecordAlignment;
using log_format::kRecordHeaderBytes;
using log_format::kSegmentHeaderBytes;
using log_format::RecordHeader;
using log_format::RecordLayout;
using log_format::SegmentHeader;

/// One segment file that may hold records.
struct SegmentFile {
  uint64_t id;
  std::shared_ptr<io::LogFile> file;
  std::optional<SegmentHeader> header;
  std::string header_error;   // why there is no header
  bool header_blank = false;  // never written: all zero, or the file is too short
  std::optional<uint64_t> fixed_end;
  uint32_t seed;

  /// Nothing at or behind it is looked at.
  size_t limit() const {
    return fixed_end ? std::min<size_t>(file->size(), *fixed_end) : file->size();
  }
};

/// The first place where the log is not what a writer would have left.
struct BadSpot {
  size_t segment;  // index
  size_t offset;
  std::optional<LogPosition> position;  // unknown if no header says where the log begins
  std::string why;
  bool always_corruption = false;  // no crash leaves this behind
};

/// What lies behind a bad spot.
struct Remains {
  uint64_t bytes = 0;    // up to the last byte that is not zero
  std::string evidence;  // not empty: a later record proves that the bad spot was once good
};

class Recovery {
 public:
  Recovery(const RecoveryOptions& options, const LogWriter::Publish& apply)
      : options_(options), apply_(apply) {}

  Result<RecoveryResult> Run() {
    MARBLE_ASSIGN_OR_RETURN(database_id_, log_format::ParseId("database id", options_.database_id));
    MARBLE_ASSIGN_OR_RETURN(boot_id_, log_format::ParseId("boot id", options_.boot_id));
    boot_known_ = boot_id_ != std::string(log_format::kIdBytes, '\0');
    MARBLE_RETURN_NOT_OK(FindSegments());
    MARBLE_ASSIGN_OR_RETURN(auto bad, Replay());
    if (bad) MARBLE_RETURN_NOT_OK(Judge(*bad));
    MARBLE_RETURN_NOT_OK(MakeDurable());
    return std::move(result_);
  }

 private:
  Status FindSegments() {
    MARBLE_ASSIGN_OR_RETURN(auto names, options_.file_system->List(options_.dir));
    std::vector<uint64_t> ids;
    for (const std::string& name : names) {
      const auto id = log_format::ParseSegmentName(name);
      if (id && *id >= options_.first_segment) ids.push_back(*id);
    }
    std::sort(ids.begin(), ids.end());
    if (!ids.empty()) result_.last_segment = ids.back();
    for (const uint64_t id : ids) {
      const auto fixed_end = FixedEndOf(id);
      if (fixed_end && *fixed_end == 0) {
        result_.ends.push_back({id, 0});  // cut away as a whole by an earlier recovery
        continue;
      }
      MARBLE_ASSIGN_OR_RETURN(auto segment, OpenSegment(id, fixed_end));
      segments_.push_back(std::move(segment));
    }
    return Status::OK();
  }

  std::optional<uint64_t> FixedEndOf(uint64_t id) const {
    std::optional<uint64_t> lowest;  // of several, the one that cuts most was the last
    for (const FixedEnd& end : options_.fixed_ends) {
      if (end.segment_id != id) continue;
      lowest = lowest ? std::min(*lowest, end.end_offset) : end.end_offset;
    }
    return lowest;
  }

  Result<SegmentFile> OpenSegment(uint64_t id, std::optional<uint64_t> fixed_end) const {
    SegmentFile segment;
    segment.id = id;
    segment.fixed_end = fixed_end;
    segment.seed = log_format::CrcSeed(reinterpret_cast<const uint8_t*>(database_id_.data()), id);
    MARBLE_ASSIGN_OR_RETURN(segment.file, options_.file_system->OpenLog(
                                              options_.dir + "/" + log_format::SegmentName(id)));
    const uint8_t* data = segment.file->data();
    auto header =
        log_format::DecodeSegmentHeader(data, segment.file->size(), &segment.header_error);
    if (!header.ok()) {
      return MakeError(CodeOf(header.status()),
                       segment.file->path() + ": " + MessageOf(header.status()));
    }
    segment.header = *header;
    const size_t begin = std::min(segment.file->size(), kSegmentHeaderBytes);
    segment.header_blank = std::all_of(data, data + begin, [](uint8_t byte) { return byte == 0; });
    return segment;
  }

  /// Apply records in order up to the end or the first bad spot.
  Result<std::optional<BadSpot>> Replay() {
    std::optional<LogPosition> expected;
    for (size_t i = 0; i < segments_.size(); ++i) {
      const SegmentFile& segment = segments_[i];
      if (i == 0 && segment.id != options_.first_segment && !FixedEndOf(options_.first_segment)) {
        if (auto bad = MissingFirst()) return bad;
      }
      if (!segment.header) {
        if (segment.id == options_.first_segment) expected = options_.first_position;
        return std::optional<BadSpot>({i, 0, expected, segment.header_error});
      }
      if (std::string why = HeaderMismatch(segment, expected); !why.empty()) {
        return std::optional<BadSpot>({i, 0, expected, std::move(why), true});
      }
      result_.end = segment.header->base + kSegmentHeaderBytes;
      MARBLE_ASSIGN_OR_RETURN(auto bad, ReplaySegment(i));
      if (bad) return bad;
      expected = result_.end;
    }
    return std::nullopt;
  }

  /// The manifest says where the log begins; only files that were never used may come instead.
  std::optional<BadSpot> MissingFirst() const {
    for (size_t i = 0; i < segments_.size(); ++i) {
      if (segments_[i].header_blank) continue;
      const std::string first = log_format::SegmentName(options_.first_segment);
      return BadSpot{i, 0, std::nullopt,
                     "the log should begin with " + first + ", which is missing", true};
    }
    return std::nullopt;
  }

  std::string HeaderMismatch(const SegmentFile& segment,
                             std::optional<LogPosition> expected) const {
    const SegmentHeader& header = *segment.header;
    if (std::memcmp(header.database_id, database_id_.data(), log_format::kIdBytes) != 0) {
      return "the segment belongs to another database";
    }
    if (header.segment_id != segment.id) {
      return "the segment's header says that it is segment " + std::to_string(header.segment_id);
    }
    if (expected && header.base != *expected) {
      return "the segment begins at log position " + std::to_string(header.base) +
             ", the one before it ended at " + std::to_string(*expected) +
             " (is a segment missing?)";
    }
    return {};
  }

  Result<std::optional<BadSpot>> ReplaySegment(size_t index) {
    const SegmentFile& segment = segments_[index];
    const LogPosition base = segment.header->base;
    const size_t limit = segment.limit();
    size_t offset = kSegmentHeaderBytes;
    for (;;) {
      if (segment.fixed_end && offset == *segment.fixed_end) break;
      RecordHeader header;
      RecordLayout layout;
      const char* why = "";
      const bool good = log_format::DecodeRecord(segment.file->data(), limit, offset, segment.id,
                                                 segment.seed, &header, &layout, &why);
      if (!good) return std::optional<BadSpot>({index, offset, base + offset, why});
      if (header.type == static_cast<uint8_t>(RecordType::kCleanClose)) {
        result_.close_position = base + offset;
      }
      offset = layout.end;
      result_.end = base + offset;
      MARBLE_ASSIGN_OR_RETURN(const bool last, Apply(segment, header, layout));
      if (last) break;
    }
    result_.ends.push_back({segment.id, offset});
    return std::nullopt;
  }

  /// True when no record follows in this segment.
  Result<bool> Apply(const SegmentFile& segment, const RecordHeader& header,
                     const RecordLayout& layout) {
    result_.clean_close = false;
    switch (static_cast<RecordType>(header.type)) {
      case RecordType::kSegmentEnd:
        return true;
      case RecordType::kCleanClose:
        result_.clean_close = true;
        result_.close_segment = segment.id;
        return true;
      case RecordType::kVoid:
        result_.last_sequence = header.sequence;
        return false;
      case RecordType::kWriteBatch:
        break;
    }
    if (header.sequence <= result_.last_sequence) {
      return MakeError(ErrorCode::kCorruption,
                       "log segment " + segment.file->path() + ": the record that ends at " +
                           "offset " + std::to_string(layout.end) + " has sequence " +
                           std::to_string(header.sequence) + " behind sequence " +
                           std::to_string(result_.last_sequence));
    }
    MARBLE_RETURN_NOT_OK(
        apply_({header.sequence, segment.id, segment.header->base + layout.end,
                segment.file->data() + layout.payload, header.payload_bytes, segment.file}));
    result_.last_sequence = header.sequence;
    ++result_.records;
    return false;
  }

  /// The tail of a crash, or corruption? FORMAT.md, "Recovery".
  Status Judge(const BadSpot& bad) {
    const SegmentFile& segment = segments_[bad.segment];
    const Remains remains = LookBehind(bad);
    std::string proof = remains.evidence;
    if (bad.always_corruption) {
      proof = "no crash can cause this";
    } else if (segment.fixed_end) {
      proof = "an earlier recovery read the segment up to offset " +
              std::to_string(*segment.fixed_end) + " and made it durable";
    }
    std::string where =
        "log segment " + segment.file->path() + ", offset " + std::to_string(bad.offset) +
        (bad.position ? " (log position " + std::to_string(*bad.position) + ")" : "") + ": " +
        bad.why;
    if (!proof.empty() && !options_.truncate_corruption) {
      return MakeError(ErrorCode::kCorruption,
                       where + "; " + proof +
                           ". Restore a backup, or open with recovery: 'truncate' to drop "
                           "everything in the log from there on");
    }
    if (!proof.empty() || remains.bytes > 0) {
      result_.truncated_bytes = remains.bytes;
      result_.truncation_reason = proof.empty() ? where : where + "; " + proof;
      result_.clean_close = false;
    }
    result_.ends.push_back({segment.id, segment.header && !bad.always_corruption
                                            ? static_cast<uint64_t>(bad.offset)
                                            : 0});
    for (size_t i = bad.segment + 1; i < segments_.size(); ++i) {
      result_.ends.push_back({segments_[i].id, 0});
    }
    RemoveUnused(bad);
    return Status::OK();
  }

  /// Look for valid records behind the bad spot, at every place where one may begin.
  Remains LookBehind(const BadSpot& bad) const {
    Remains remains;
    std::optional<LogPosition> position = bad.position;
    for (size_t i = bad.segment; i < segments_.size(); ++i) {
      const SegmentFile& segment = segments_[i];
      const uint8_t* data = segment.file->data();
      const size_t limit = segment.limit();
      const size_t first = i == bad.segment ? bad.offset : 0;
      size_t used = first;  // behind the last byte that is not zero
      size_t offset = first;
      while (offset + kRecordAlignment <= limit) {
        if (LoadFixed<uint64_t>(data + offset) != 0) used = offset + kRecordAlignment;
        RecordHeader header;
        RecordLayout layout;
        if (!MayBeRecord(segment, offset, limit) ||
            !log_format::DecodeRecord(data, limit, offset, segment.id, segment.seed, &header,
                                      &layout, nullptr)) {
          offset += kRecordAlignment;
          continue;
        }
        // Without a header the first record tells about where the segment began.
        if (!position) position = header.published;
        if (remains.evidence.empty()) {
          remains.evidence = Evidence(segment, offset, header, *position);
        }
        used = layout.end;
        offset = layout.end;
      }
      remains.bytes += used - first;
    }
    return remains;
  }

  /// Cheap, and wrong for nearly every place that is not a record.
  static bool MayBeRecord(const SegmentFile& segment, size_t offset, size_t limit) {
    if (offset < kSegmentHeaderBytes || offset + kRecordHeaderBytes > limit) return false;
    return LoadFixed<uint64_t>(segment.file->data() + offset +
                               offsetof(RecordHeader, segment_id)) == segment.id;
  }

  std::string Evidence(const SegmentFile& segment, size_t offset, const RecordHeader& header,
                       LogPosition bad) const {
    const std::string record = "a later record (" + segment.file->path() + ", offset " +
                               std::to_string(offset) +
                               ") was written when everything before "
                               "log position ";
    if (header.synced > bad) {
      return record + std::to_string(header.synced) + " was durable";
    }
    if (header.published > bad && SameBoot(segment)) {
      return record + std::to_string(header.published) +
             " was complete, and the machine has not been restarted since";
    }
    return {};
  }

  bool SameBoot(const SegmentFile& segment) const {
    // A header is written before the first record. If it is damaged and not blank, power loss is
    // no explanation.
    if (!segment.header) return !segment.header_blank;
    return boot_known_ &&
           std::memcmp(segment.header->boot_id, boot_id_.data(), log_format::kIdBytes) == 0;
  }

  /// Remove segments that were preallocated and never used, from the last one on. They do no harm,
  /// so an error (a read-only file system, say) is no reason to fail. One that a used segment lies
  /// behind stays until the manifest has forgotten it: if the power fails before, the log must not
  /// look as if somebody had taken a segment away.
  void RemoveUnused(const BadSpot& bad) {
    for (size_t i = segments_.size(); i-- > bad.segment;) {
      const SegmentFile& segment = segments_[i];
      const uint8_t* data = segment.file->data();
      const size_t size = segment.file->size();
      const bool zero = size == 0 || (data[0] == 0 && std::memcmp(data, data + 1, size - 1) == 0);
      if (!zero || !options_.file_system->Remove(segment.file->path()).ok()) return;
      std::erase_if(result_.ends,
                    [&](const FixedEnd& end) { return end.segment_id == segment.id; });
    }
  }

  /// The next segment will state that everything before it is durable: make that true.
  Status MakeDurable() const {
    // Of a log that was closed with nothing in it to replay no segment will be needed any more. If
    // the record of the close was not durable, its loss says nothing else than that it is there.
    if (result_.clean_close && result_.records == 0 && result_.truncation_reason.empty() &&
        options_.durable >= result_.close_position) {
      return Status::OK();
    }
    bool any = false;
    for (const SegmentFile& segment : segments_) {
      if (segment.fixed_end || !segment.header) continue;
      MARBLE_RETURN_NOT_OK(segment.file->Sync());
      any = true;
    }
    return any ? options_.file_system->SyncDir(options_.dir) : Status::OK();
  }

  const RecoveryOptions& options_;
  const LogWriter::Publish& apply_;
  std::string database_id_;
  std::string boot_id_;
  bool boot_known_ = false;
  std::vector<SegmentFile> segments_;
  RecoveryResult result_;
};

}  // namespace

Result<RecoveryResult> RecoverLog(const RecoveryOptions& options, const LogWriter::Publish& apply) {
  return Recovery(options, apply).Run();
}

}  // namespace marble::lsm
