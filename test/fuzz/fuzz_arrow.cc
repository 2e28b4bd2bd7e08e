// Bytes as an .arrow file: beside a sound .idx, and to the parser of its layout alone.
#include "lsm/sst/batch_layout.h"
#include "lsm/sst/file_schema.h"
#include "sst_sample.h"

using namespace marble;
using namespace marble::lsm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto& sample = fuzz::Sample();
  // Aligned, as a mapping is.
  auto buffer = fuzz::Must(arrow::AllocateBuffer(static_cast<int64_t>(size)));
  if (size > 0) std::memcpy(buffer->mutable_data(), data, size);
  const std::string_view bytes(reinterpret_cast<const char*>(buffer->data()), size);
  FileMeta meta = sample.meta;
  meta.arrow_bytes = size;
  fuzz::ExpectRefusal(sample.ReadAll(bytes, sample.idx_bytes, meta));
  (void)ReadLayouts(bytes, *sample.schema);
  return 0;
}
