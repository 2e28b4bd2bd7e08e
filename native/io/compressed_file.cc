#include "io/compressed_file.h"

#include <arrow/util/compression.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace marble::io {
namespace {

constexpr size_t kInputBytes = 256 * 1024;
constexpr size_t kOutputBytes = 256 * 1024;
/// ZSTD_c_checksumFlag of zstd.h, whose values are a stable part of its interface.
constexpr int kZstdChecksumFlag = 201;

Result<std::unique_ptr<arrow::util::Codec>> CodecOf(Compression compression) {
  switch (compression) {
    case Compression::kGzip: {
      arrow::util::GZipCodecOptions options;
      options.gzip_format = arrow::util::GZipFormat::GZIP;
      return arrow::util::Codec::Create(arrow::Compression::GZIP, options);
    }
    case Compression::kLz4:
      return arrow::util::Codec::Create(arrow::Compression::LZ4_FRAME);
    case Compression::kZstd: {
      arrow::util::ZstdCodecOptions options;
      options.compression_context_params = {{kZstdChecksumFlag, 1}};
      return arrow::util::Codec::Create(arrow::Compression::ZSTD, options);
    }
    case Compression::kNone:
      break;
  }
  return MakeError(ErrorCode::kInternal, "no codec of a plain file");
}

class PlainInput final : public InputStream {
 public:
  explicit PlainInput(std::shared_ptr<ReadableFile> file)
      : InputStream(file->path()), file_(std::move(file)) {}
  Result<size_t> Read(size_t size, void* to) override {
    MARBLE_ASSIGN_OR_RETURN(const size_t n, file_->ReadAt(position_, size, to));
    position_ += n;
    return n;
  }
  Result<uint64_t> Skip(uint64_t bytes) override {
    MARBLE_ASSIGN_OR_RETURN(const uint64_t size, file_->Size());
    const uint64_t skipped = std::min(bytes, size - std::min(size, position_));
    position_ += skipped;
    return skipped;
  }

 private:
  const std::shared_ptr<ReadableFile> file_;
};

class CompressedInput final : public InputStream {
 public:
  CompressedInput(std::shared_ptr<ReadableFile> file, Compression compression,
                  std::unique_ptr<arrow::util::Codec> codec,
                  std::shared_ptr<arrow::util::Decompressor> decompressor)
      : InputStream(file->path()),
        file_(std::move(file)),
        compression_(compression),
        codec_(std::move(codec)),
        decompressor_(std::move(decompressor)) {}

  Result<size_t> Read(size_t size, void* to) override {
    MARBLE_RETURN_NOT_OK(broken_);
    size_t done = 0;
    broken_ = Decompress(size, static_cast<uint8_t*>(to), &done);
    // What stands before the damage is handed out first.
    if (done == 0) MARBLE_RETURN_NOT_OK(broken_);
    return done;
  }

 private:
  /// Add to *out_size as many bytes as there are at `out`, up to `size`.
  Status Decompress(size_t size, uint8_t* out, size_t* out_size) {
    size_t& done = *out_size;
    while (done < size) {
      if (between_members_) {
        MARBLE_ASSIGN_OR_RETURN(const bool more, NextMember());
        if (!more) break;
      }
      if (input_at_ == input_.size() && !at_end_) MARBLE_RETURN_NOT_OK(Fill());
      const auto left = static_cast<int64_t>(input_.size() - input_at_);
      auto step = decompressor_->Decompress(
          left, reinterpret_cast<const uint8_t*>(input_.data()) + input_at_,
          static_cast<int64_t>(size - done), out + done);
      if (!step.ok()) return Broken("are damaged (" + step.status().message() + ")");
      input_at_ += static_cast<size_t>(step->bytes_read);
      done += static_cast<size_t>(step->bytes_written);
      position_ += static_cast<uint64_t>(step->bytes_written);
      if (decompressor_->IsFinished()) {
        between_members_ = true;
      } else if (step->bytes_read == 0 && step->bytes_written == 0) {
        // Nothing moves: it wants input. All that there is has been offered to it at least once.
        if (input_at_ == input_.size() && at_end_) return Broken("end in the middle");
        if (left > 0) return Broken("are damaged (no progress)");
      }
    }
    return Status::OK();
  }

  uint64_t file_position() const { return read_to_ - (input_.size() - input_at_); }

  Status Broken(const std::string& what) const {
    return MakeError(ErrorCode::kCorruption,
                     path_ + ": the " + std::string(CompressionName(compression_)) + " data " +
                         what + " at offset " + std::to_string(file_position()) +
                         " of the file, behind " + std::to_string(position_) +
                         " decompressed bytes");
  }

  Status Fill() {
    input_.resize(kInputBytes);
    input_at_ = 0;
    auto n = file_->ReadAt(read_to_, input_.size(), input_.data());
    input_.resize(n.ok() ? *n : 0);
    MARBLE_RETURN_NOT_OK(n.status());
    read_to_ += *n;
    at_end_ = *n == 0;
    return Status::OK();
  }

  /// False: the file ends behind the last member. A file without any member has been cut off.
  Result<bool> NextMember() {
    if (input_at_ == input_.size() && !at_end_) MARBLE_RETURN_NOT_OK(Fill());
    if (!first_) {
      // gzip files are padded with zeros by some (tapes, block devices).
      while (compression_ == Compression::kGzip && input_at_ < input_.size() &&
             input_[input_at_] == 0) {
        ++input_at_;
        if (input_at_ == input_.size() && !at_end_) MARBLE_RETURN_NOT_OK(Fill());
      }
      if (input_at_ == input_.size()) return false;
      const Status reset = decompressor_->Reset();
      if (!reset.ok()) return Broken("cannot be read on (" + reset.message() + ")");
    } else if (input_at_ == input_.size()) {
      return Broken("end in the middle");
    }
    first_ = false;
    between_members_ = false;
    return true;
  }

  const std::shared_ptr<ReadableFile> file_;
  const Compression compression_;
  const std::unique_ptr<arrow::util::Codec> codec_;
  const std::shared_ptr<arrow::util::Decompressor> decompressor_;
  std::string input_;
  size_t input_at_ = 0;
  uint64_t read_to_ = 0;  // in the file
  bool at_end_ = false;   // the file has no more
  bool first_ = true;
  bool between_members_ = true;
  Status broken_;
};

class CompressedOutput final : public WritableFile {
 public:
  CompressedOutput(std::unique_ptr<WritableFile> file, std::unique_ptr<arrow::util::Codec> codec,
                   std::shared_ptr<arrow::util::Compressor> compressor)
      : WritableFile(file->path()),
        file_(std::move(file)),
        codec_(std::move(codec)),
        compressor_(std::move(compressor)),
        output_(kOutputBytes, '\0') {}

  Status Append(std::string_view bytes) override {
    MARBLE_RETURN_NOT_OK(CheckOpen());
    broken_ = Compress(bytes);
    if (broken_.ok()) size_ += bytes.size();
    return broken_;
  }

  Status Sync() override {
    MARBLE_RETURN_NOT_OK(CheckOpen());
    synced_ = true;
    broken_ = Drain([this](int64_t room, uint8_t* to) { return compressor_->Flush(room, to); });
    if (broken_.ok()) broken_ = WriteOut();
    if (broken_.ok()) broken_ = file_->Sync();
    return broken_;
  }

  Status Close() override {
    if (closed_) return Status::OK();
    closed_ = true;
    if (broken_.ok()) {
      broken_ = Drain([this](int64_t room, uint8_t* to) { return compressor_->End(room, to); });
    }
    if (broken_.ok()) broken_ = WriteOut();
    if (broken_.ok() && synced_) broken_ = file_->Sync();
    const Status closed = file_->Close();
    return broken_.ok() ? closed : broken_;
  }

 private:
  Status CheckOpen() const {
    if (closed_) return MakeError(ErrorCode::kClosed, "write " + path_ + ": the file is closed");
    return broken_;
  }

  Status Failed(const Status& status) const {
    return MakeError(ErrorCode::kInternal, "compress " + path_ + ": " + status.message());
  }

  Status Compress(std::string_view bytes) {
    while (!bytes.empty()) {
      auto step =
          compressor_->Compress(static_cast<int64_t>(bytes.size()),
                                reinterpret_cast<const uint8_t*>(bytes.data()), room(), to());
      if (!step.ok()) return Failed(step.status());
      filled_ += static_cast<size_t>(step->bytes_written);
      bytes.remove_prefix(static_cast<size_t>(step->bytes_read));
      if (filled_ >= kOutputBytes) MARBLE_RETURN_NOT_OK(WriteOut());
      if (step->bytes_read == 0) MARBLE_RETURN_NOT_OK(MoreRoom());
    }
    return Status::OK();
  }

  /// Flush or End until it has given all.
  template <typename Step>
  Status Drain(Step step) {
    for (;;) {
      auto result = step(room(), to());
      if (!result.ok()) return Failed(result.status());
      filled_ += static_cast<size_t>(result->bytes_written);
      if (!result->should_retry) return Status::OK();
      MARBLE_RETURN_NOT_OK(MoreRoom());
    }
  }

  int64_t room() const { return static_cast<int64_t>(output_.size() - filled_); }
  uint8_t* to() { return reinterpret_cast<uint8_t*>(output_.data()) + filled_; }

  /// The codec wants a larger buffer.
  Status MoreRoom() {
    if (filled_ > 0) return WriteOut();
    output_.resize(output_.size() * 2);
    return Status::OK();
  }

  Status WriteOut() {
    if (filled_ == 0) return Status::OK();
    const size_t bytes = std::exchange(filled_, 0);
    return file_->Append(std::string_view(output_).substr(0, bytes));
  }

  const std::unique_ptr<WritableFile> file_;
  const std::unique_ptr<arrow::util::Codec> codec_;
  const std::shared_ptr<arrow::util::Compressor> compressor_;
  std::string output_;
  size_t filled_ = 0;
  bool synced_ = false;
  bool closed_ = false;
  Status broken_;
};

}  // namespace

Compression CompressionOf(std::string_view path) {
  if (path.ends_with(".gz")) return Compression::kGzip;
  if (path.ends_with(".lz4")) return Compression::kLz4;
  if (path.ends_with(".zst")) return Compression::kZstd;
  return Compression::kNone;
}

std::string_view CompressionName(Compression compression) {
  switch (compression) {
    case Compression::kGzip:
      return "gzip";
    case Compression::kLz4:
      return "lz4";
    case Compression::kZstd:
      return "zstd";
    case Compression::kNone:
      break;
  }
  return "plain";
}

Result<uint64_t> InputStream::Skip(uint64_t bytes) {
  std::string buffer(std::min<uint64_t>(bytes, kOutputBytes), '\0');
  uint64_t skipped = 0;
  while (skipped < bytes) {
    MARBLE_ASSIGN_OR_RETURN(
        const size_t n, Read(std::min<uint64_t>(buffer.size(), bytes - skipped), buffer.data()));
    if (n == 0) break;
    skipped += n;
  }
  return skipped;
}

Result<std::unique_ptr<InputStream>> OpenInput(FileSystem* files, const std::string& path) {
  MARBLE_ASSIGN_OR_RETURN(auto file, files->Open(path));
  const Compression compression = CompressionOf(path);
  if (compression == Compression::kNone) return std::make_unique<PlainInput>(std::move(file));
  MARBLE_ASSIGN_OR_RETURN(auto codec, CodecOf(compression));
  MARBLE_ASSIGN_OR_RETURN(auto decompressor, codec->MakeDecompressor());
  return std::make_unique<CompressedInput>(std::move(file), compression, std::move(codec),
                                           std::move(decompressor));
}

Result<std::unique_ptr<WritableFile>> CreateOutput(FileSystem* files, const std::string& path) {
  const Compression compression = CompressionOf(path);
  if (compression == Compression::kNone) return files->Create(path);
  MARBLE_ASSIGN_OR_RETURN(auto codec, CodecOf(compression));
  MARBLE_ASSIGN_OR_RETURN(auto compressor, codec->MakeCompressor());
  MARBLE_ASSIGN_OR_RETURN(auto file, files->Create(path));
  return std::make_unique<CompressedOutput>(std::move(file), std::move(codec),
                                            std::move(compressor));
}

}  // namespace marble::io
