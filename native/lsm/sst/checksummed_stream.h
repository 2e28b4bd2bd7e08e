// The stream under Arrow's file writer: appends to a file in large pieces and keeps a checksum
// per page. One thread.
#pragma once

#include <arrow/io/interfaces.h>

#include <memory>
#include <string>
#include <vector>

#include "io/file_system.h"
#include "lsm/sst/page_checksums.h"

namespace marble::lsm {

class ChecksummedStream : public arrow::io::OutputStream {
 public:
  explicit ChecksummedStream(std::unique_ptr<io::WritableFile> file);
  ~ChecksummedStream() override = default;

  using arrow::io::Writable::Write;
  Status Write(const void* data, int64_t size) override;
  Status Flush() override;
  /// Write what is buffered; the file stays open for Sync.
  Status Close() override;
  bool closed() const override { return closed_; }
  Result<int64_t> Tell() const override { return static_cast<int64_t>(size_); }

  /// After Close: fsync and close the file.
  Status SyncAndCloseFile();
  void CloseFile() { file_.reset(); }
  uint64_t size() const { return size_; }
  std::vector<uint32_t> page_crcs() const { return pages_.Finish(); }

 private:
  std::unique_ptr<io::WritableFile> file_;
  PageChecksummer pages_;
  std::string pending_;
  uint64_t size_ = 0;
  bool closed_ = false;
};

}  // namespace marble::lsm
