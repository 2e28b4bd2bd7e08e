// Bytes as the .idx of a sound .arrow file.
#include "base/coding.h"
#include "base/crc32c.h"
#include "sst_sample.h"

using namespace marble;
using namespace marble::lsm;

namespace {

constexpr size_t kFooterBytes = 32;  // FORMAT.md: directory offset, count, 8 bytes, CRC, magic

/// The directory's checksum.
void Fix(std::string* bytes) {
  if (bytes->size() < kFooterBytes) return;
  char* footer = bytes->data() + bytes->size() - kFooterBytes;
  const auto directory = LoadFixed<uint64_t>(footer);
  if (directory > bytes->size() - kFooterBytes) return;
  const std::string_view covered =
      std::string_view(*bytes).substr(directory, bytes->size() - directory - 12);
  StoreFixed<uint32_t>(footer + 20, MaskCrc(Crc32c(covered)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (fuzz::FixChecksums(size)) Fix(&bytes);
  for (const auto& sample : fuzz::Samples()) {
    FileMeta meta = sample.meta;
    meta.idx_bytes = size;
    meta.idx_crc = Crc32c(bytes);
    fuzz::ExpectRefusal(sample.ReadAll(sample.arrow_bytes, bytes, meta));
  }
  return 0;
}
