// The container of .idx files: a header, sections aligned to 64 bytes so that they can be used
// where they are mapped, a directory and a footer. What a section holds is its own class's
// business; FORMAT.md has the bytes.
//
// Compatibility: a reader refuses a file with a section type that it does not know, unless the
// section is flagged optional. IdxWriter belongs to one thread; IdxFile is immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "io/file_system.h"
#include "lsm/sst/page_checksums.h"

namespace marble::lsm {

inline constexpr uint8_t kIdxVersion = 1;

enum class IdxSection : uint32_t {
  kProperties = 1,
  kLayout = 2,
  kSparseKeys = 3,
  kBloomFilter = 4,
  kPointIndex = 5,
  kZoneMaps = 6,
  kArrowPageCrcs = 7,
  kIdxPageCrcs = 8,  // of the bytes before this section; always the last one
  kStoredBuffers = 9,
};

class IdxWriter {
 public:
  static Result<std::unique_ptr<IdxWriter>> Create(io::FileSystem* files, const std::string& path);
  /// `optional`: a reader that does not know the type may ignore the section.
  Status AddSection(uint32_t type, bool optional, std::string_view bytes);
  Status AddSection(IdxSection type, std::string_view bytes) {
    return AddSection(static_cast<uint32_t>(type), false, bytes);
  }
  /// Write the page checksums, directory and footer; fsync; close.
  Status Finish();
  /// After Finish.
  uint32_t file_crc() const { return crc_; }
  uint64_t file_bytes() const { return size_; }

 private:
  struct Entry {
    uint32_t type;
    uint32_t flags;
    uint64_t offset;
    uint64_t length;
    uint32_t crc;
  };
  explicit IdxWriter(std::unique_ptr<io::WritableFile> file) : file_(std::move(file)) {}
  Status Write(std::string_view bytes);
  Status Pad();

  std::unique_ptr<io::WritableFile> file_;
  PageChecksummer pages_;
  std::vector<Entry> entries_;
  uint32_t crc_ = 0;
  uint64_t size_ = 0;
};

/// A mapped .idx whose container is sound; sections are views into the mapping. To open it reads
/// its two ends: what sections hold is checked by who uses them.
class IdxFile {
 public:
  static Result<std::unique_ptr<IdxFile>> Open(io::FileSystem* files, const std::string& path);

  /// Nothing when the file has no such section.
  std::optional<std::string_view> section(IdxSection type) const;
  /// Where what a section holds lies in the file.
  uint64_t OffsetOf(std::string_view bytes) const {
    return static_cast<uint64_t>(bytes.data() - file_->bytes().data());
  }
  const io::MappedFile& file() const { return *file_; }
  /// Check the checksum of one section, if the file has it.
  Status CheckSection(IdxSection type) const;
  /// The page checksums and how many bytes they cover: all before their section. kCorruption when
  /// they are not there or too few.
  struct PageCrcs {
    std::string_view crcs;
    uint64_t covered;
  };
  Result<PageCrcs> page_crcs() const;
  /// The CRC that the whole file has if every page is what its checksum says: whole pages before
  /// those checksums are not read.
  Result<uint32_t> FileCrcByPages() const;
  /// Check the checksums of every page and section.
  Status Verify() const;

 private:
  struct Entry {
    uint32_t type;
    uint32_t crc;
    uint64_t offset;
    std::string_view bytes;
  };
  const Entry* Find(IdxSection type) const;
  Status Check(const Entry& entry) const;

  std::shared_ptr<io::MappedFile> file_;
  std::vector<Entry> entries_;
};

/// kCorruption: "<path>: <what>".
Status IdxCorruption(const std::string& path, const std::string& what);

}  // namespace marble::lsm
