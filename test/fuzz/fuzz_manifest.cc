// Bytes as a manifest.
#include "base/coding.h"
#include "base/crc32c.h"
#include "fuzz_util.h"
#include "lsm/version/manifest_log.h"

using namespace marble;
using namespace marble::lsm;

namespace {

/// A sound header, then the bytes as records: a length of two bytes and so many of payload.
std::string Framed(std::string_view bytes) {
  std::string out = "MRBLMANI";
  out.push_back(static_cast<char>(kManifestVersion));
  out.append(16, 'd');
  PutLengthPrefixed(&out, "");
  PutFixed<uint32_t>(&out, MaskCrc(Crc32c(out)));
  while (bytes.size() >= 2) {
    const auto length = std::min<size_t>(LoadFixed<uint16_t>(bytes.data()), bytes.size() - 2);
    std::string body;
    PutFixed<uint32_t>(&body, static_cast<uint32_t>(length));
    body.append(bytes.substr(2, length));
    PutFixed<uint32_t>(&out, MaskCrc(Crc32c(body)));
    out.append(body);
    bytes.remove_prefix(2 + length);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  io::MemoryFileSystem files;
  fuzz::Must(files.CreateDirs("/db"));
  fuzz::WriteFile(&files, "/db/MANIFEST-000001",
                  fuzz::FixChecksums(size) ? Framed(bytes) : std::string(bytes));
  fuzz::WriteFile(&files, "/db/CURRENT", "MANIFEST-000001\n");
  fuzz::ExpectRefusal(ManifestLog::Load(&files, "/db").status());
  return 0;
}
