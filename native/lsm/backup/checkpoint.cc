#include "lsm/backup/checkpoint.h"

#include <map>

#include "base/coding.h"
#include "base/crc32c.h"
#include "lsm/sst/idx_file.h"
#include "lsm/sst/page_checksums.h"
#include "lsm/version/manifest_log.h"
#include "lsm/wal/log_format.h"

namespace marble::lsm {

Result<SstCrcs> CopySst(io::FileSystem* from_files, const std::string& from_dir,
                        const FileMeta& meta, io::FileSystem* to_files,
                        const std::string& arrow_path, const std::string& idx_path,
                        CopyProgress* progress) {
  SstCrcs crcs;
  const std::string idx = from_dir + "/" + SstIdxName(meta.number);
  uint64_t bytes = 0;
  MARBLE_RETURN_NOT_OK(
      CopyAndSync(from_files, idx, to_files, idx_path, progress, [&](std::string_view piece) {
        crcs.idx = ExtendCrc32c(crcs.idx, piece.data(), piece.size());
        bytes += piece.size();
      }));
  if (bytes != meta.idx_bytes || crcs.idx != meta.idx_crc) {
    return IdxCorruption(idx, "it is not the file that the manifest names");
  }
  // The .idx is whole: so are the checksums that it has of the .arrow file.
  MARBLE_ASSIGN_OR_RETURN(const auto index, IdxFile::Open(to_files, idx_path));
  const std::string_view want = index->section(IdxSection::kArrowPageCrcs).value_or("");
  const std::string arrow = from_dir + "/" + SstArrowName(meta.number);
  PageChecksummer pages;
  bytes = 0;
  MARBLE_RETURN_NOT_OK(
      CopyAndSync(from_files, arrow, to_files, arrow_path, progress, [&](std::string_view piece) {
        crcs.arrow = ExtendCrc32c(crcs.arrow, piece.data(), piece.size());
        pages.Update(piece.data(), piece.size());
        bytes += piece.size();
      }));
  if (bytes != meta.arrow_bytes) {
    return IdxCorruption(arrow, "it has " + std::to_string(bytes) + " bytes, not " +
                                    std::to_string(meta.arrow_bytes));
  }
  const std::vector<uint32_t> got = pages.Finish();
  if (got.size() * 4 != want.size()) return IdxCorruption(idx, "page checksums are missing");
  for (size_t page = 0; page < got.size(); ++page) {
    if (LoadFixed<uint32_t>(want.data() + page * 4) != got[page]) {
      return IdxCorruption(arrow, "the checksum of the page at offset " +
                                      std::to_string(page * limits::kChecksumPageBytes) +
                                      " does not match");
    }
  }
  return crcs;
}

Result<CheckpointInfo> WriteCheckpoint(const DatabaseCut& cut,
                                       const std::shared_ptr<io::FileSystem>& files,
                                       const std::string& dir, const CopyControl& control) {
  CheckpointInfo info;
  MARBLE_ASSIGN_OR_RETURN(auto folder, FolderBuilder::Begin(files, dir, false));
  MARBLE_ASSIGN_OR_RETURN(CutLog log, ReadCutLog(cut));
  CopyProgress progress(control, "the checkpoint " + dir);
  for (const CutSegment& segment : log.segments) progress.AddTotal(segment.bytes);
  for (const auto& [number, meta] : cut.manifest.files) {
    progress.AddTotal(meta.arrow_bytes + meta.idx_bytes);
  }
  const auto link = [&](const std::string& name) {
    return files == cut.file_system ? files->Link(cut.dir + "/" + name, folder->dir() + "/" + name)
                                    : MakeError(ErrorCode::kNotSupported, "another file system");
  };
  bool links = true;
  for (const auto& [number, meta] : cut.manifest.files) {
    const std::string arrow = SstArrowName(number), idx = SstIdxName(number);
    // One refusal is enough: the folder lies on another device, or there are no links.
    if (links) links = link(arrow).ok();
    if (links) {
      links = link(idx).ok();
      if (!links) MARBLE_RETURN_NOT_OK(files->Remove(folder->dir() + "/" + arrow));
    }
    if (links) {
      info.linked_files += 2;
      MARBLE_RETURN_NOT_OK(progress.Advance(meta.arrow_bytes + meta.idx_bytes));
      continue;
    }
    MARBLE_RETURN_NOT_OK(CopySst(cut.file_system.get(), cut.dir, meta, files.get(),
                                 folder->dir() + "/" + arrow, folder->dir() + "/" + idx, &progress)
                             .status());
    info.copied_files += 2;
    info.copied_bytes += meta.arrow_bytes + meta.idx_bytes;
  }
  for (const CutSegment& segment : log.segments) {
    const std::string_view bytes(reinterpret_cast<const char*>(segment.file->data()),
                                 segment.bytes);
    MARBLE_RETURN_NOT_OK(WriteAndSync(
        files.get(), folder->dir() + "/" + log_format::SegmentName(segment.id), bytes, &progress));
    ++info.copied_files;
    info.copied_bytes += segment.bytes;
  }
  info.sequence = log.last_sequence;
  MARBLE_RETURN_NOT_OK(
      ManifestLog::Create(files.get(), folder->dir(), 1, std::move(log.manifest)).status());
  ++info.copied_files;
  MARBLE_RETURN_NOT_OK(progress.Poll());
  MARBLE_RETURN_NOT_OK(folder->Publish());
  return info;
}

}  // namespace marble::lsm
