#include "lsm/sst/page_checksums.h"

#include <algorithm>
#include <string>

#include "base/coding.h"
#include "base/crc32c.h"
#include "lsm/mutation.h"

namespace marble::lsm {

using limits::kChecksumPageBytes;

void PageChecksummer::Update(const void* data, size_t size) {
  const auto* at = static_cast<const uint8_t*>(data);
  while (size > 0) {
    const size_t n = std::min(size, kChecksumPageBytes - filled_);
    crc_ = ExtendCrc32c(crc_, at, n);
    at += n;
    size -= n;
    filled_ += n;
    if (filled_ == kChecksumPageBytes) {
      full_.push_back(crc_);
      crc_ = 0;
      filled_ = 0;
    }
  }
}

std::vector<uint32_t> PageChecksummer::Finish() const {
  std::vector<uint32_t> all = full_;
  if (filled_ > 0) all.push_back(crc_);
  return all;
}

Status CheckPages(std::string_view bytes, std::string_view crcs, uint64_t first, uint64_t last,
                  const std::string& path) {
  for (uint64_t page = first; page <= last; ++page) {
    const std::string_view data = bytes.substr(page * kChecksumPageBytes, kChecksumPageBytes);
    const auto want = LoadFixed<uint32_t>(crcs.data() + page * 4);
    const uint32_t got = Crc32c(data);
    if (got != want && !Mutated(Mutant::kIgnorePageCrc)) {
      return MakeError(ErrorCode::kCorruption,
                       path + ": the checksum of the page at offset " +
                           std::to_string(page * kChecksumPageBytes) + " is " +
                           std::to_string(got) + ", expected " + std::to_string(want) +
                           ": the file was damaged; restore it from a backup");
    }
  }
  return Status::OK();
}

PageVerifier::PageVerifier(const io::MappedFile& file, std::string_view crcs, Mode mode,
                           uint64_t covered)
    : file_(file), bytes_(file.bytes().substr(0, covered)), crcs_(crcs), mode_(mode) {
  if (mode_ == Mode::kFirst) {
    const size_t words = PageCount(covered) / 64 + 1;
    seen_ = std::make_unique<std::atomic<uint64_t>[]>(words);
  }
}

Status PageVerifier::TouchPages(uint64_t first, uint64_t last) const {
  if (mode_ == Mode::kAlways) {
    return CheckPages(bytes_, crcs_, first, last, file_.path());
  }
  // Word by word: a whole word of good pages is one comparison.
  for (uint64_t word = first / 64; word <= last / 64; ++word) {
    const uint64_t low = std::max(first, word * 64) - word * 64;
    const uint64_t high = std::min(last, word * 64 + 63) - word * 64;
    const uint64_t mask = (~uint64_t{0} >> (63 - high)) & (~uint64_t{0} << low);
    uint64_t missing = mask & ~seen_[word].load(std::memory_order_relaxed);
    while (missing != 0) {
      const int bit = __builtin_ctzll(missing);
      const uint64_t page = word * 64 + bit;
      MARBLE_RETURN_NOT_OK(CheckPages(bytes_, crcs_, page, page, file_.path()));
      seen_[word].fetch_or(uint64_t{1} << bit, std::memory_order_relaxed);
      missing &= missing - 1;
    }
  }
  return Status::OK();
}

}  // namespace marble::lsm
