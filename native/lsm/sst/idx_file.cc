#include "lsm/sst/idx_file.h"

#include <algorithm>
#include <cstring>

#include "base/coding.h"
#include "base/crc32c.h"

namespace marble::lsm {
namespace {

constexpr std::string_view kMagic = "MARBLIDX";
constexpr size_t kHeaderBytes = 64;
constexpr size_t kFooterBytes = 32;
constexpr size_t kEntryBytes = 32;
constexpr size_t kAlignment = 64;
constexpr uint32_t kOptionalFlag = 1;
constexpr uint32_t kMaxSections = 1024;
constexpr uint32_t kLastKnownSection = static_cast<uint32_t>(IdxSection::kStoredBuffers);

std::string CrcBytes(const std::vector<uint32_t>& crcs) {
  return {reinterpret_cast<const char*>(crcs.data()), crcs.size() * sizeof(uint32_t)};
}

}  // namespace

Status IdxCorruption(const std::string& path, const std::string& what) {
  return MakeError(ErrorCode::kCorruption,
                   path + ": " + what + ": the file was damaged; restore it from a backup");
}

Result<std::unique_ptr<IdxWriter>> IdxWriter::Create(io::FileSystem* files,
                                                     const std::string& path) {
  MARBLE_ASSIGN_OR_RETURN(auto file, files->Create(path));
  std::unique_ptr<IdxWriter> writer(new IdxWriter(std::move(file)));
  std::string header(kHeaderBytes, '\0');
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  header[kMagic.size()] = static_cast<char>(kIdxVersion);
  MARBLE_RETURN_NOT_OK(writer->Write(header));
  return writer;
}

Status IdxWriter::Write(std::string_view bytes) {
  MARBLE_RETURN_NOT_OK(file_->Append(bytes));
  pages_.Update(bytes.data(), bytes.size());
  crc_ = ExtendCrc32c(crc_, bytes.data(), bytes.size());
  size_ += bytes.size();
  return Status::OK();
}

Status IdxWriter::Pad() {
  const std::string zeros(AlignUp(size_, kAlignment) - size_, '\0');
  return zeros.empty() ? Status::OK() : Write(zeros);
}

Status IdxWriter::AddSection(uint32_t type, bool optional, std::string_view bytes) {
  entries_.push_back({type, optional ? kOptionalFlag : 0, size_, bytes.size(), Crc32c(bytes)});
  MARBLE_RETURN_NOT_OK(Write(bytes));
  return Pad();
}

Status IdxWriter::Finish() {
  const std::string crcs = CrcBytes(pages_.Finish());
  MARBLE_RETURN_NOT_OK(AddSection(IdxSection::kIdxPageCrcs, crcs));
  const uint64_t directory_offset = size_;
  std::string tail;
  for (const Entry& entry : entries_) {
    PutFixed<uint32_t>(&tail, entry.type);
    PutFixed<uint32_t>(&tail, entry.flags);
    PutFixed<uint64_t>(&tail, entry.offset);
    PutFixed<uint64_t>(&tail, entry.length);
    PutFixed<uint32_t>(&tail, MaskCrc(entry.crc));
    PutFixed<uint32_t>(&tail, 0);
  }
  PutFixed<uint64_t>(&tail, directory_offset);
  PutFixed<uint32_t>(&tail, static_cast<uint32_t>(entries_.size()));
  PutFixed<uint32_t>(&tail, kIdxVersion);
  PutFixed<uint32_t>(&tail, 0);
  PutFixed<uint32_t>(&tail, MaskCrc(Crc32c(tail)));
  tail.append(kMagic);
  MARBLE_RETURN_NOT_OK(Write(tail));
  MARBLE_RETURN_NOT_OK(file_->Sync());
  return file_->Close();
}

Result<std::unique_ptr<IdxFile>> IdxFile::Open(io::FileSystem* files, const std::string& path) {
  MARBLE_ASSIGN_OR_RETURN(auto file, files->Map(path));
  const std::string_view all = file->bytes();
  if (all.size() < kHeaderBytes + kFooterBytes) {
    return IdxCorruption(path, "the file is cut off: " + std::to_string(all.size()) +
                                   " bytes are too few for an index file");
  }
  if (all.substr(0, kMagic.size()) != kMagic || all.substr(all.size() - kMagic.size()) != kMagic) {
    return IdxCorruption(
        path, "this is no index file (the magic bytes at offset 0 or at the end are wrong)");
  }
  const auto version = static_cast<uint8_t>(all[kMagic.size()]);
  if (version != kIdxVersion) {
    return MakeError(ErrorCode::kIncompatible,
                     path + ": format version " + std::to_string(version) +
                         ", this release reads version " + std::to_string(kIdxVersion));
  }
  const char* footer = all.data() + all.size() - kFooterBytes;
  const auto directory_offset = LoadFixed<uint64_t>(footer);
  const auto count = LoadFixed<uint32_t>(footer + 8);
  const uint64_t directory_end = all.size() - kFooterBytes;
  if (count > kMaxSections || directory_offset > directory_end ||
      directory_end - directory_offset != uint64_t{count} * kEntryBytes) {
    return IdxCorruption(path, "the footer at offset " + std::to_string(directory_end) +
                                   " names an impossible directory");
  }
  // The CRC covers the directory and the footer up to the CRC itself.
  const std::string_view covered =
      all.substr(directory_offset, directory_end - directory_offset + kFooterBytes - 12);
  if (MaskCrc(Crc32c(covered)) != LoadFixed<uint32_t>(footer + 20)) {
    return IdxCorruption(path, "the checksum of the directory at offset " +
                                   std::to_string(directory_offset) + " does not match");
  }
  std::unique_ptr<IdxFile> idx(new IdxFile());
  for (uint32_t i = 0; i < count; ++i) {
    const char* at = all.data() + directory_offset + uint64_t{i} * kEntryBytes;
    const auto type = LoadFixed<uint32_t>(at);
    const auto flags = LoadFixed<uint32_t>(at + 4);
    const auto offset = LoadFixed<uint64_t>(at + 8);
    const auto length = LoadFixed<uint64_t>(at + 16);
    if (offset % kAlignment != 0 || offset > directory_offset ||
        length > directory_offset - offset) {
      return IdxCorruption(path, "section " + std::to_string(type) + " at offset " +
                                     std::to_string(offset) + " does not lie inside the file");
    }
    if ((type == 0 || type > kLastKnownSection) && (flags & kOptionalFlag) == 0) {
      return MakeError(ErrorCode::kIncompatible,
                       path + ": written by a newer release (section type " + std::to_string(type) +
                           " is unknown); upgrade to open it");
    }
    idx->entries_.push_back(
        {type, LoadFixed<uint32_t>(at + 24), offset, all.substr(offset, length)});
  }
  idx->file_ = std::move(file);
  return idx;
}

const IdxFile::Entry* IdxFile::Find(IdxSection type) const {
  for (const Entry& entry : entries_) {
    if (entry.type == static_cast<uint32_t>(type)) return &entry;
  }
  return nullptr;
}

std::optional<std::string_view> IdxFile::section(IdxSection type) const {
  const Entry* entry = Find(type);
  return entry == nullptr ? std::nullopt : std::optional<std::string_view>(entry->bytes);
}

Status IdxFile::Check(const Entry& entry) const {
  if (MaskCrc(Crc32c(entry.bytes)) == entry.crc) return Status::OK();
  return IdxCorruption(file_->path(), "the checksum of section " + std::to_string(entry.type) +
                                          " at offset " + std::to_string(entry.offset) +
                                          " does not match");
}

Status IdxFile::CheckSection(IdxSection type) const {
  const Entry* entry = Find(type);
  return entry == nullptr ? Status::OK() : Check(*entry);
}

Result<IdxFile::PageCrcs> IdxFile::page_crcs() const {
  const Entry* pages = Find(IdxSection::kIdxPageCrcs);
  if (pages == nullptr) return IdxCorruption(file_->path(), "no page checksums");
  if (pages->bytes.size() != PageCount(pages->offset) * sizeof(uint32_t)) {
    return IdxCorruption(file_->path(), "the number of page checksums at offset " +
                                            std::to_string(pages->offset) + " is wrong");
  }
  return PageCrcs{pages->bytes, pages->offset};
}

Result<uint32_t> IdxFile::FileCrcByPages() const {
  static const Crc32cJoiner kPages(limits::kChecksumPageBytes);
  MARBLE_ASSIGN_OR_RETURN(const PageCrcs pages, page_crcs());
  const uint64_t full = pages.covered / limits::kChecksumPageBytes;
  uint32_t crc = 0;
  for (uint64_t page = 0; page < full; ++page) {
    crc = kPages.Append(crc, LoadFixed<uint32_t>(pages.crcs.data() + page * 4));
  }
  const std::string_view behind = file_->bytes().substr(full * limits::kChecksumPageBytes);
  return ExtendCrc32c(crc, behind.data(), behind.size());
}

Status IdxFile::Verify() const {
  MARBLE_ASSIGN_OR_RETURN(const PageCrcs pages, page_crcs());
  // First what the pages are compared with, then the pages: they say where the damage is.
  MARBLE_RETURN_NOT_OK(CheckSection(IdxSection::kIdxPageCrcs));
  if (pages.covered > 0) {
    MARBLE_RETURN_NOT_OK(CheckPages(file_->bytes().substr(0, pages.covered), pages.crcs, 0,
                                    PageCount(pages.covered) - 1, file_->path()));
  }
  for (const Entry& entry : entries_) MARBLE_RETURN_NOT_OK(Check(entry));
  return Status::OK();
}

}  // namespace marble::lsm
