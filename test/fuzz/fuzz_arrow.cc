// Bytes as an .arrow file: beside a sound .idx, and to the parser of its layout alone.
#include "lsm/sst/batch_layout.h"
#include "lsm/sst/file_schema.h"
#include "lsm/sst/stored_buffers.h"
#include "sst_sample.h"

using namespace marble;
using namespace marble::lsm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Aligned, as a mapping is.
  auto buffer = fuzz::Must(arrow::AllocateBuffer(static_cast<int64_t>(size)));
  if (size > 0) std::memcpy(buffer->mutable_data(), data, size);
  const std::string_view bytes(reinterpret_cast<const char*>(buffer->data()), size);
  for (const auto& sample : fuzz::Samples()) {
    FileMeta meta = sample.meta;
    meta.arrow_bytes = size;
    fuzz::ExpectRefusal(sample.ReadAll(bytes, sample.idx_bytes, meta));
    if (sample.meta.compression == Compression::kNone) {
      (void)ReadLayouts(bytes, *sample.schema);
    } else {
      (void)ReadCompressedLayouts(bytes, *sample.schema, sample.meta.compression);
      // And what is behind the pages' checksums: frames and the lengths in front of them.
      fuzz::ExpectRefusal(sample.ReadAll(bytes, sample.idx_bytes, meta, VerifyReads::kNever));
    }
  }
  return 0;
}
