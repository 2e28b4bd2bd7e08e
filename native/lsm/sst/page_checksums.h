// CRC-32C per 4 KiB page of a file: computed while it is written, checked when it is read.
//
// PageChecksummer belongs to one writer. PageVerifier is shared by all readers of a mapping: it
// remembers in a bitmap which pages were good ('first'). Two threads that race to a page both
// check it, which is harmless. It refers to the mapping and to the stored checksums: both must
// outlive it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/status.h"
#include "io/mapped_file.h"

namespace marble::lsm {

class PageChecksummer {
 public:
  void Update(const void* data, size_t size);
  /// The checksums so far, with that of the last, partial page.
  std::vector<uint32_t> Finish() const;

 private:
  std::vector<uint32_t> full_;
  uint32_t crc_ = 0;
  size_t filled_ = 0;
};

inline constexpr uint64_t PageCount(uint64_t bytes) {
  return (bytes + limits::kChecksumPageBytes - 1) / limits::kChecksumPageBytes;
}

/// Check pages [first, last] of `bytes` against `crcs` (4 bytes each, little-endian).
Status CheckPages(std::string_view bytes, std::string_view crcs, uint64_t first, uint64_t last,
                  const std::string& path);

class PageVerifier {
 public:
  enum class Mode { kFirst, kAlways, kNever };

  /// Of the first `covered` bytes of a file, of which `crcs` holds PageCount(covered) checksums.
  PageVerifier(const io::MappedFile& file, std::string_view crcs, Mode mode, uint64_t covered);
  /// Of a whole file.
  PageVerifier(const io::MappedFile& file, std::string_view crcs, Mode mode)
      : PageVerifier(file, crcs, mode, file.size()) {}

  /// Whether Touch checks anything.
  bool checks() const { return mode_ != Mode::kNever; }
  /// Check the pages under [offset, offset + length), which lies inside of what is covered.
  /// kCorruption names the file and the page's offset.
  Status Touch(uint64_t offset, uint64_t length) const {
    if (mode_ == Mode::kNever || length == 0) return Status::OK();
    const uint64_t first = offset / limits::kChecksumPageBytes;
    const uint64_t last = (offset + length - 1) / limits::kChecksumPageBytes;
    if (mode_ == Mode::kFirst && first == last &&
        (seen_[first / 64].load(std::memory_order_relaxed) >> (first % 64) & 1) != 0) {
      return Status::OK();
    }
    return TouchPages(first, last);
  }

 private:
  Status TouchPages(uint64_t first, uint64_t last) const;

  const io::MappedFile& file_;
  std::string_view bytes_;
  std::string_view crcs_;
  Mode mode_;
  std::unique_ptr<std::atomic<uint64_t>[]> seen_;
};

}  // namespace marble::lsm
