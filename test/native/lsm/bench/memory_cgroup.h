// A memory cgroup below this process's own, removed at the end. Version 1 or 2, whichever has the
// memory controller. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"

namespace marble::lsm::bench {

class MemoryCgroup {
 public:
  /// kNotSupported, saying what refused, when this process may not make one.
  static Result<std::unique_ptr<MemoryCgroup>> Make(const std::string& name, uint64_t bytes);
  ~MemoryCgroup();
  MemoryCgroup(const MemoryCgroup&) = delete;
  MemoryCgroup& operator=(const MemoryCgroup&) = delete;

  const std::string& path() const { return path_; }
  /// Move the calling process into it.
  Status Join() const;
  /// The most that was ever charged; 0: the kernel does not say.
  uint64_t MostUsed() const;

 private:
  explicit MemoryCgroup(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

}  // namespace marble::lsm::bench
