#include "lsm/backup/verify.h"

#include <arrow/api.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "base/coding.h"
#include "base/crc32c.h"
#include "io/forwarding_file_system.h"
#include "lsm/backup/json_writer.h"
#include "lsm/sst/idx_file.h"
#include "lsm/sst/page_checksums.h"
#include "lsm/sst/sst_reader.h"
#include "lsm/table_info.h"
#include "lsm/version/manifest_log.h"
#include "lsm/wal/log_format.h"
#include "lsm/wal/log_reader.h"
#include "lsm/write/batch_payload.h"

namespace marble::lsm {
namespace {

/// Of one file; what is behind it is as damaged as it is.
constexpr size_t kMaxFindingsPerFile = 100;

/// Lets recovery read, and nothing else.
class ReadOnlyFiles final : public io::ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;
  Status Remove(const std::string&) override { return Refuse(); }
  Status Rename(const std::string&, const std::string&) override { return Refuse(); }
  Status SyncDir(const std::string&) override { return Status::OK(); }
  Result<std::unique_ptr<io::WritableFile>> Create(const std::string&) override { return Refuse(); }

 private:
  static Status Refuse() { return MakeError(ErrorCode::kReadOnly, "a check changes nothing"); }
};

/// The number behind "offset " in one of our messages.
std::optional<uint64_t> OffsetIn(const std::string& message) {
  constexpr std::string_view kWord = "offset ";
  const size_t at = message.find(kWord);
  if (at == message.npos) return std::nullopt;
  size_t i = at + kWord.size();
  if (i >= message.size() || !std::isdigit(static_cast<unsigned char>(message[i]))) {
    return std::nullopt;
  }
  uint64_t value = 0;
  for (; i < message.size() && std::isdigit(static_cast<unsigned char>(message[i])); ++i) {
    value = value * 10 + static_cast<uint64_t>(message[i] - '0');
  }
  return value;
}

class DatabaseCheck {
 public:
  DatabaseCheck(const std::shared_ptr<io::FileSystem>& files, const std::string& dir,
                const CopyControl& control)
      : files_(files), dir_(WithoutSlash(dir)), progress_(control, "the check of " + dir) {}

  Result<VerifyReport> Run() {
    MARBLE_ASSIGN_OR_RETURN(const auto there, files_->Stat(dir_));
    if (!there || !there->is_directory) {
      return MakeError(ErrorCode::kNotFound, "there is no folder " + dir_);
    }
    MARBLE_ASSIGN_OR_RETURN(names_, files_->List(dir_));
    MARBLE_RETURN_NOT_OK(LockIfPossible());
    MARBLE_ASSIGN_OR_RETURN(const bool loaded, CheckManifest());
    if (!loaded) return std::move(report_);
    for (const auto& [number, meta] : state_.files) {
      progress_.AddTotal(meta.arrow_bytes + meta.idx_bytes);
    }
    MARBLE_RETURN_NOT_OK(CheckTables());
    MARBLE_RETURN_NOT_OK(CheckLog());
    NoteOrphans();
    return std::move(report_);
  }

 private:
  void Add(const std::string& file, std::string message, std::optional<uint64_t> offset,
           Finding::Severity severity = Finding::Severity::kError) {
    if (!offset) offset = OffsetIn(message);
    report_.findings.push_back({severity, file, offset, std::move(message)});
  }
  void Add(const std::string& file, const Status& status) {
    Add(file, MessageOf(status), std::nullopt);
  }
  std::string PathOf(const std::string& name) const { return dir_ + "/" + name; }
  bool Named(const std::string& name) const {
    return std::find(names_.begin(), names_.end(), name) != names_.end();
  }

  /// What a running database has half done would look like damage.
  Status LockIfPossible() {
    if (!Named("LOCK")) return Status::OK();
    auto lock = files_->Lock(PathOf("LOCK"));
    if (lock.ok()) {
      lock_ = std::move(*lock);
    } else if (CodeOf(lock.status()) == ErrorCode::kLocked) {
      return MakeError(ErrorCode::kLocked, MessageOf(lock.status()) +
                                               "; only a closed database can be checked, or a "
                                               "checkpoint of it");
    }  // else nobody can write here, we neither
    return Status::OK();
  }

  /// False: there is no more that can be checked.
  Result<bool> CheckManifest() {
    if (!Named(kCurrentName)) {
      for (const std::string& name : names_) {
        uint64_t number;
        if (ParseNumberedName(name, "", ".arrow", &number) ||
            ParseNumberedName(name, "", ".log", &number) ||
            ParseNumberedName(name, "MANIFEST-", "", &number)) {
          Add(kCurrentName, "is missing, but there is " + name, std::nullopt);
          return false;
        }
      }
      return MakeError(ErrorCode::kNotFound, "there is no database in " + dir_);
    }
    auto loaded = ManifestLog::Load(files_.get(), dir_);
    std::string manifest = kCurrentName;
    if (const auto current = files_->ReadFile(PathOf(kCurrentName)); current.ok()) {
      const std::string name = current->substr(0, current->find('\n'));
      if (Named(name)) manifest = name;
    }
    ++report_.files;
    if (!loaded.ok() || !*loaded) {
      Add(manifest,
          loaded.ok() ? MakeError(ErrorCode::kCorruption, "names no manifest") : loaded.status());
      return false;
    }
    state_ = std::move((*loaded)->state);
    manifest_ = ManifestName((*loaded)->manifest_number);
    manifest_end_ = (*loaded)->end();
    report_.bytes += files_->Size(PathOf(manifest_)).ValueOr(0);
    if ((*loaded)->torn_tail) {
      Add(manifest_, "the last edit was cut off by a crash; it counts for nothing", std::nullopt,
          Finding::Severity::kNotice);
    }
    return true;
  }

  Status CheckTables() {
    for (const auto& [id, descriptor] : state_.tables) {
      const auto info = TableInfo::Make(descriptor);
      if (!info.ok()) {
        Add(manifest_, "table '" + descriptor.name + "': " + MessageOf(info.status()),
            std::nullopt);
        continue;
      }
      tables_[id] = *info;
    }
    for (const auto& [number, meta] : state_.files) {
      const auto table = tables_.find(meta.table);
      if (table == tables_.end()) continue;  // said above
      MARBLE_RETURN_NOT_OK(CheckSst(*table->second, meta));
    }
    return Status::OK();
  }

  Status CheckSst(const TableInfo& info, const FileMeta& meta) {
    const std::string arrow = SstArrowName(meta.number), idx = SstIdxName(meta.number);
    const size_t before = report_.findings.size();
    MARBLE_RETURN_NOT_OK(CheckPagesOf(arrow, idx, meta));
    report_.files += 2;
    report_.rows += meta.rows;
    if (report_.findings.size() > before) return Status::OK();
    // Every byte is what was written. Is it what should have been written?
    SstReaderOptions options;
    options.dir = dir_;
    options.schema = info.descriptor.schema;
    options.codec = info.codec;
    options.field_ids = info.descriptor.field_ids;
    options.file_system = files_;
    const auto reader = SstReader::Open(options, meta);
    if (!reader.ok()) {
      Add(idx, reader.status());
      return Status::OK();
    }
    const Status sound = (*reader)->Verify();
    if (!sound.ok()) {
      Add(MessageOf(sound).find(arrow) != std::string::npos ? arrow : idx, sound);
      return Status::OK();
    }
    const Status sequences = CheckSequences(**reader, meta);
    if (!sequences.ok()) Add(arrow, sequences);
    return Status::OK();
  }

  /// The checksum of every page of both files, against the .idx, and that against the manifest.
  Status CheckPagesOf(const std::string& arrow, const std::string& idx, const FileMeta& meta) {
    uint32_t idx_crc = 0;
    MARBLE_ASSIGN_OR_RETURN(const auto idx_pages, PagesOf(idx, meta.idx_bytes, &idx_crc));
    MARBLE_ASSIGN_OR_RETURN(const auto arrow_pages, PagesOf(arrow, meta.arrow_bytes, nullptr));
    if (!idx_pages) return Status::OK();
    const auto index = IdxFile::Open(files_.get(), PathOf(idx));
    if (!index.ok()) {
      Add(idx, index.status());
      return Status::OK();
    }
    if (idx_crc != meta.idx_crc) {
      const size_t before = report_.findings.size();
      const auto own = (*index)->section(IdxSection::kIdxPageCrcs);
      if (own) ComparePages(idx, *idx_pages, *own);
      const Status sections = (*index)->Verify();
      if (report_.findings.size() == before && !sections.ok()) Add(idx, sections);
      if (report_.findings.size() == before) {
        Add(idx, "it is not the file that the manifest names", std::nullopt);
      }
      return Status::OK();
    }
    if (!arrow_pages) return Status::OK();
    const auto crcs = (*index)->section(IdxSection::kArrowPageCrcs);
    if (!crcs || crcs->size() != arrow_pages->size() * 4) {
      Add(idx, "page checksums of the .arrow file are missing", std::nullopt);
      return Status::OK();
    }
    ComparePages(arrow, *arrow_pages, *crcs);
    return Status::OK();
  }

  /// The checksums of a file's pages; nullopt, with a finding, when it is not there in full.
  Result<std::optional<std::vector<uint32_t>>> PagesOf(const std::string& name, uint64_t want_bytes,
                                                       uint32_t* crc) {
    PageChecksummer pages;
    const auto read =
        ReadPieces(files_.get(), PathOf(name), &progress_, [&](std::string_view piece) {
          pages.Update(piece.data(), piece.size());
          if (crc == nullptr) return;
          *crc = ExtendCrc32c(*crc, piece.data(), piece.size());
        });
    if (CodeOf(read.status()) == ErrorCode::kAborted) return read.status();
    if (!read.ok()) {
      Add(name, Named(name) ? MessageOf(read.status()) : "is missing, but the manifest names it",
          std::nullopt);
      return std::nullopt;
    }
    report_.bytes += *read;
    if (*read != want_bytes) {
      Add(name,
          "has " + std::to_string(*read) + " bytes, the manifest says " +
              std::to_string(want_bytes),
          std::min(*read, want_bytes));
      return std::nullopt;
    }
    return pages.Finish();
  }

  void ComparePages(const std::string& name, const std::vector<uint32_t>& pages,
                    std::string_view want) {
    size_t bad = 0;
    // The pages of an .idx file end before the section that has their checksums.
    const size_t count = std::min(pages.size(), want.size() / 4);
    for (size_t page = 0; page < count; ++page) {
      const bool partial = name.ends_with(".idx") && page + 1 == want.size() / 4;
      if (partial || LoadFixed<uint32_t>(want.data() + page * 4) == pages[page]) continue;
      if (++bad > kMaxFindingsPerFile) continue;
      Add(name, "the checksum of the page does not match", page * limits::kChecksumPageBytes);
    }
    if (bad > kMaxFindingsPerFile) {
      Add(name, std::to_string(bad - kMaxFindingsPerFile) + " more pages are damaged",
          std::nullopt);
    }
  }

  static Status CheckSequences(const SstReader& reader, const FileMeta& meta) {
    if (reader.seq_column() < 0) return Status::OK();
    for (int64_t b = 0; b < reader.num_batches(); ++b) {
      MARBLE_ASSIGN_OR_RETURN(const auto batch, reader.ReadBatch(b));
      const auto* sequences = batch->column_data(reader.seq_column())->GetValues<uint64_t>(1);
      for (int64_t i = 0; i < batch->num_rows(); ++i) {
        if (sequences[i] >= meta.min_sequence && sequences[i] <= meta.max_sequence) continue;
        return MakeError(ErrorCode::kCorruption,
                         "row " + std::to_string(reader.batch_start(b) + i) + " has sequence " +
                             std::to_string(sequences[i]) + ", the manifest says " +
                             std::to_string(meta.min_sequence) + " to " +
                             std::to_string(meta.max_sequence));
      }
    }
    return Status::OK();
  }

  /// What an open would make of the log, and that every batch in it can be applied.
  Status CheckLog() {
    RecoveryOptions options;
    options.file_system = std::make_shared<ReadOnlyFiles>(files_);
    options.dir = dir_;
    options.database_id = state_.database_id;
    options.boot_id = files_->BootId();
    options.first_segment = state_.log_first_segment;
    options.fixed_ends = state_.fixed_ends;
    Status cancelled;
    const auto recovered = RecoverLog(options, [&](const PublishedRecord& record) -> Status {
      cancelled = progress_.Poll();
      MARBLE_RETURN_NOT_OK(cancelled);
      ++report_.log_records;
      const Status sound = CheckRecord(record);
      if (!sound.ok()) {
        Add(log_format::SegmentName(record.segment_id), MessageOf(sound),
            static_cast<uint64_t>(record.payload - record.segment->data()));
      }
      return Status::OK();
    });
    MARBLE_RETURN_NOT_OK(cancelled);
    for (const std::string& name : names_) {
      const auto id = log_format::ParseSegmentName(name);
      if (!id || *id < state_.log_first_segment) continue;
      ++report_.files;
      report_.bytes += files_->Size(PathOf(name)).ValueOr(0);
    }
    if (!recovered.ok()) {
      Add(SegmentIn(MessageOf(recovered.status())), recovered.status());
    } else if (!recovered->truncation_reason.empty()) {
      Add(SegmentIn(recovered->truncation_reason),
          "the next open cuts " + std::to_string(recovered->truncated_bytes) +
              " bytes off the log, which a crash left: " + recovered->truncation_reason,
          std::nullopt, Finding::Severity::kNotice);
    }
    if (recovered.ok()) {
      const Status together = CheckClosedTogether(dir_, manifest_end_, *recovered,
                                                  state_.fixed_ends, state_.log_first_segment);
      if (!together.ok()) {
        const std::string segment = SegmentIn(MessageOf(together));
        Add(manifest_end_.closed_at ? segment : manifest_, together);
      }
    }
    // A fixed end says that the segment was there.
    for (const FixedEnd& end : state_.fixed_ends) {
      const std::string name = log_format::SegmentName(end.segment_id);
      if (end.end_offset > 0 && !Named(name)) {
        Add(name, "is missing, but the manifest names it", std::nullopt);
      }
    }
    return Status::OK();
  }

  Status CheckRecord(const PublishedRecord& record) const {
    MARBLE_ASSIGN_OR_RETURN(auto reader,
                            BatchPayloadReader::Make(record.payload, record.payload_bytes));
    DecodedOp op;
    while (true) {
      MARBLE_ASSIGN_OR_RETURN(const bool more, reader.Next(&op));
      if (!more) return Status::OK();
      const auto table = tables_.find(op.table);
      if (op.message.empty() || table == tables_.end()) continue;
      const auto& schema = WithoutExpiry(op.op) == BatchOp::kDeleteRows
                               ? table->second->key_schema
                               : table->second->descriptor.schema;
      MARBLE_ASSIGN_OR_RETURN(const auto rows, ReadMessage(op.message, schema, record.segment));
      MARBLE_RETURN_NOT_OK(rows->ValidateFull());
    }
  }

  /// The log segment that a message is about.
  std::string SegmentIn(const std::string& message) const {
    for (const std::string& name : names_) {
      if (log_format::ParseSegmentName(name) && message.find("/" + name) != message.npos) {
        return name;
      }
    }
    return log_format::SegmentName(state_.log_first_segment);
  }

  void NoteOrphans() {
    for (const std::string& name : names_) {
      uint64_t number;
      bool orphan = false;
      if (ParseNumberedName(name, "", ".arrow", &number) ||
          ParseNumberedName(name, "", ".idx", &number)) {
        orphan = !state_.files.contains(number);
      } else if (ParseNumberedName(name, "", ".log", &number)) {
        orphan = number < state_.log_first_segment;
      } else if (ParseNumberedName(name, "MANIFEST-", "", &number)) {
        orphan = name != manifest_;
      }
      if (!orphan) continue;
      Add(name, "the manifest does not name it: left over from a crash, removed at the next open",
          std::nullopt, Finding::Severity::kNotice);
    }
  }

  const std::shared_ptr<io::FileSystem> files_;
  const std::string dir_;
  CopyProgress progress_;
  VerifyReport report_;
  std::vector<std::string> names_;
  std::unique_ptr<io::FileLock> lock_;
  ManifestState state_;
  std::string manifest_;
  ManifestEnd manifest_end_;
  std::map<TableId, std::shared_ptr<const TableInfo>> tables_;
};

}  // namespace

Result<VerifyReport> VerifyDatabase(const std::shared_ptr<io::FileSystem>& files,
                                    const std::string& dir, const CopyControl& control) {
  return DatabaseCheck(files, dir, control).Run();
}

std::string ReportToJson(const VerifyReport& report) {
  JsonWriter json;
  json.Open('{').Name("ok").Bool(report.ok());
  json.Name("files").Number(report.files).Name("bytes").Number(report.bytes);
  json.Name("rows").Number(report.rows).Name("logRecords").Number(report.log_records);
  json.Name("findings").Open('[');
  for (const Finding& finding : report.findings) {
    json.Open('{').Name("severity");
    json.String(finding.severity == Finding::Severity::kError ? "error" : "notice");
    json.Name("file").String(finding.file);
    if (finding.offset) json.Name("offset").Number(*finding.offset);
    json.Name("message").String(finding.message).Close('}');
  }
  return json.Close(']').Close('}').Take();
}

}  // namespace marble::lsm
