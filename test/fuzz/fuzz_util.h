// What the fuzz targets share.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "io/memory_file_system.h"

namespace marble::lsm::fuzz {

inline void Must(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "the target itself failed: %s\n", status.ToString().c_str());
  std::abort();
}
template <typename T>
T Must(Result<T> result) {
  Must(result.status());
  return std::move(result).ValueUnsafe();
}

/// What is refused is refused as damage (or as a newer format), never as something else.
inline void ExpectRefusal(const Status& status) {
  if (status.ok() || CodeOf(status) == ErrorCode::kCorruption ||
      CodeOf(status) == ErrorCode::kIncompatible) {
    return;
  }
  std::fprintf(stderr, "refused with another code: %s\n", status.ToString().c_str());
  std::abort();
}

inline void WriteFile(io::FileSystem* files, const std::string& path, std::string_view bytes) {
  auto file = Must(files->Create(path));
  Must(file->Append(bytes));
  Must(file->Close());
}

/// Whether the target is to put the checksums right.
inline bool FixChecksums(size_t size) { return size % 2 == 0; }

}  // namespace marble::lsm::fuzz
