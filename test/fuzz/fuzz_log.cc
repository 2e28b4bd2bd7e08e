// Bytes as a log segment: recovery and the decoder of write batches.
#include <cstring>

#include "fuzz_util.h"
#include "lsm/wal/log_format.h"
#include "lsm/wal/log_reader.h"
#include "lsm/write/batch_payload.h"

using namespace marble;
using namespace marble::lsm;

namespace {

const std::string kId(16, 'd');

/// Make a segment header of database kId, and valid checksums of records as far as they follow.
void Fix(std::string* bytes) {
  auto* data = reinterpret_cast<uint8_t*>(bytes->data());
  log_format::SegmentHeader header{};
  std::memcpy(header.database_id, kId.data(), kId.size());
  header.segment_id = 1;
  log_format::EncodeSegmentHeader(header, data);
  const uint32_t seed = log_format::CrcSeed(header.database_id, 1);
  size_t offset = log_format::kSegmentHeaderBytes;
  while (offset + log_format::kRecordHeaderBytes <= bytes->size()) {
    log_format::RecordHeader record;
    std::memcpy(&record, data + offset, sizeof record);
    record.type = static_cast<uint8_t>(1 + record.type % 4);
    record.segment_id = 1;
    record.reserved16 = 0;
    record.reserved32 = 0;
    record.payload_bytes %= 4096;
    const auto layout = log_format::LayoutOf(offset, record.payload_bytes);
    if (layout.end > bytes->size()) return;
    record.pad_bytes =
        static_cast<uint8_t>(layout.payload - offset - log_format::kRecordHeaderBytes);
    std::memcpy(data + offset, &record, sizeof record);
    const uint32_t crc = log_format::RecordCrc(seed, offset, data + offset, layout.end - offset);
    std::memcpy(data + offset, &crc, sizeof crc);
    offset = layout.end;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (fuzz::FixChecksums(size) && size > log_format::kSegmentHeaderBytes) Fix(&bytes);
  auto files = std::make_shared<io::MemoryFileSystem>();
  fuzz::Must(files->CreateDirs("/db"));
  fuzz::WriteFile(files.get(), "/db/000001.log", bytes);
  RecoveryOptions options;
  options.dir = "/db";
  options.database_id = kId;
  options.boot_id = std::string(16, 'b');
  options.first_segment = 1;
  options.file_system = files;
  const auto apply = [](const PublishedRecord& record) -> Status {
    MARBLE_ASSIGN_OR_RETURN(auto reader,
                            BatchPayloadReader::Make(record.payload, record.payload_bytes));
    DecodedOp op;
    size_t total = 0;
    while (true) {
      MARBLE_ASSIGN_OR_RETURN(const bool more, reader.Next(&op));
      if (!more) return Status::OK();
      for (const char c : op.a) total += static_cast<uint8_t>(c);
      for (const char c : op.b) total += static_cast<uint8_t>(c);
      volatile size_t read = total;
      (void)read;
    }
  };
  fuzz::ExpectRefusal(RecoverLog(options, apply).status());
  return 0;
}
