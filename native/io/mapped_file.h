// A read-only mapping of a whole file. Unmapped with the last reference; what is read out of it as
// an Arrow buffer or batch holds one. Immutable, thread-safe. Nobody truncates a mapped file.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace marble::io {

class MappedFile : public std::enable_shared_from_this<MappedFile> {
 public:
  virtual ~MappedFile() = default;
  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  std::string_view bytes() const { return {reinterpret_cast<const char*>(data_), size_}; }

  /// The bytes of a range. kCorruption, naming the file and the range, when it is not inside the
  /// file.
  Result<std::string_view> Range(uint64_t offset, uint64_t length) const;
  /// The same as an Arrow buffer that keeps the mapping.
  Result<std::shared_ptr<arrow::Buffer>> Buffer(uint64_t offset, uint64_t length) const;
  /// The record batch whose IPC message begins at `offset`, without a copy.
  Result<std::shared_ptr<arrow::RecordBatch>> ReadBatch(
      uint64_t offset, const std::shared_ptr<arrow::Schema>& schema) const;

  /// A second mapping of the same bytes, writable and copy-on-write: a store into it harms
  /// neither the file nor other mappings. The caller unmaps size() bytes. Null where the file or
  /// the system does not allow it (the file's name is gone, for example): copy then.
  virtual void* MapPrivately() const = 0;

 protected:
  const uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
  std::string path_;
};

}  // namespace marble::io
