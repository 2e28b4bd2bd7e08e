#include "io/mapped_file.h"

#include <arrow/buffer.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/dictionary.h>
#include <arrow/ipc/options.h>
#include <arrow/ipc/reader.h>
#include <arrow/record_batch.h>

namespace marble::io {
namespace {

/// A piece of the mapping that keeps it.
class MappedBuffer : public arrow::Buffer {
 public:
  MappedBuffer(std::string_view bytes, std::shared_ptr<const MappedFile> file)
      : arrow::Buffer(reinterpret_cast<const uint8_t*>(bytes.data()),
                      static_cast<int64_t>(bytes.size())),
        file_(std::move(file)) {}

 private:
  std::shared_ptr<const MappedFile> file_;
};

}  // namespace

Result<std::string_view> MappedFile::Range(uint64_t offset, uint64_t length) const {
  if (offset > size_ || length > size_ - offset) {
    return MakeError(ErrorCode::kCorruption, path_ + ": " + std::to_string(length) +
                                                 " bytes at offset " + std::to_string(offset) +
                                                 " are not inside the file of " +
                                                 std::to_string(size_) + " bytes");
  }
  return bytes().substr(offset, length);
}

Result<std::shared_ptr<arrow::Buffer>> MappedFile::Buffer(uint64_t offset, uint64_t length) const {
  MARBLE_ASSIGN_OR_RETURN(const std::string_view range, Range(offset, length));
  return std::make_shared<MappedBuffer>(range, shared_from_this());
}

Result<std::shared_ptr<arrow::RecordBatch>> MappedFile::ReadBatch(
    uint64_t offset, const std::shared_ptr<arrow::Schema>& schema) const {
  MARBLE_ASSIGN_OR_RETURN(auto buffer, Buffer(offset, offset <= size_ ? size_ - offset : 1));
  arrow::io::BufferReader stream(std::move(buffer));
  const arrow::ipc::DictionaryMemo no_dictionaries;
  auto options = arrow::ipc::IpcReadOptions::Defaults();
  options.use_threads = false;
  auto batch = arrow::ipc::ReadRecordBatch(schema, &no_dictionaries, options, &stream);
  if (batch.ok()) return batch;
  return MakeError(ErrorCode::kCorruption, path_ + ": no record batch at offset " +
                                               std::to_string(offset) + ": " +
                                               batch.status().message());
}

}  // namespace marble::io
