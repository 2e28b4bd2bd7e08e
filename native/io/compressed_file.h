// Files that are compressed as their names say: .gz (gzip), .lz4 (LZ4 frames), .zst (Zstandard).
// Read and written as streams through the codecs that libarrow carries; other names are plain
// files, so that callers need not know.
//
// Reading. A file may consist of several members or frames one behind the other, as the usual tools
// allow. A file that ends within one, and one that its format's checks refuse, is kCorruption with
// the position in the file; what was decompressed before that has been handed out. Positions of the
// stream are those of the decompressed bytes: there is no way to begin in the middle but to
// decompress all before (Skip does).
//
// Writing. gzip and Zstandard files carry a checksum of their content. libarrow's LZ4 writer leaves
// it out; readers check it where another tool has put it in.
//
// Threads: a stream belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "io/file_system.h"

namespace marble::io {

enum class Compression { kNone, kGzip, kLz4, kZstd };

/// What the suffix of a path says.
Compression CompressionOf(std::string_view path);
/// "gzip", for messages.
std::string_view CompressionName(Compression compression);

/// The bytes of a file from its beginning to its end, decompressed.
class InputStream {
 public:
  virtual ~InputStream() = default;
  /// Read up to `size` bytes to `to`; fewer at the end and before damage, which is the error of the
  /// next call and of all later ones; 0 behind the end.
  virtual Result<size_t> Read(size_t size, void* to) = 0;
  /// Read `bytes` and forget them. The number that there were: fewer at the end.
  virtual Result<uint64_t> Skip(uint64_t bytes);
  /// Bytes handed out so far.
  uint64_t position() const { return position_; }
  const std::string& path() const { return path_; }

 protected:
  explicit InputStream(std::string path) : path_(std::move(path)) {}
  const std::string path_;
  uint64_t position_ = 0;
};

/// Open a file as a stream, decompressed if its suffix says so.
Result<std::unique_ptr<InputStream>> OpenInput(FileSystem* files, const std::string& path);

/// Create a file, which must not exist yet, that is compressed if its suffix says so. size() counts
/// the bytes given to Append. Sync makes all of them readable and durable; Close writes the end of
/// the stream, and syncs it if the file was ever synced. After an error the stream is broken: every
/// later call fails with the same one.
Result<std::unique_ptr<WritableFile>> CreateOutput(FileSystem* files, const std::string& path);

}  // namespace marble::io
