#include "lsm/sst/checksummed_stream.h"

#include "lsm/mutation.h"

namespace marble::lsm {
namespace {

constexpr size_t kPendingBytes = 256 * 1024;  // fits the second-level cache

}  // namespace

ChecksummedStream::ChecksummedStream(std::unique_ptr<io::WritableFile> file)
    : file_(std::move(file)) {
  pending_.reserve(kPendingBytes);
}

Status ChecksummedStream::Write(const void* data, int64_t size) {
  if (closed_) return MakeError(ErrorCode::kClosed, "write to a closed stream");
  const std::string_view bytes(static_cast<const char*>(data), static_cast<size_t>(size));
  pages_.Update(bytes.data(), bytes.size());
  size_ += bytes.size();
  if (pending_.size() + bytes.size() > kPendingBytes) MARBLE_RETURN_NOT_OK(Flush());
  if (bytes.size() >= kPendingBytes) return file_->Append(bytes);
  pending_.append(bytes);
  return Status::OK();
}

Status ChecksummedStream::Flush() {
  if (pending_.empty()) return Status::OK();
  MARBLE_RETURN_NOT_OK(file_->Append(pending_));
  pending_.clear();
  return Status::OK();
}

Status ChecksummedStream::Close() {
  if (closed_) return Status::OK();
  MARBLE_RETURN_NOT_OK(Flush());
  closed_ = true;
  return Status::OK();
}

Status ChecksummedStream::SyncAndCloseFile() {
  if (!Mutated(Mutant::kDropTableFsync)) MARBLE_RETURN_NOT_OK(file_->Sync());
  return file_->Close();
}

}  // namespace marble::lsm
