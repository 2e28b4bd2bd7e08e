// StateBackend in an ordered map, for tests and for state that need not survive its process.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "state/state_backend.h"

namespace marble::state {

class MemoryStateBackend : public StateBackend {
 public:
  Status Open(const StorageConfig& config) override;
  Status Close() override;
  bool persistent() const override { return false; }
  Result<std::optional<std::string>> Get(std::string_view key) const override;
  Status Put(std::string_view key, std::string_view value) override;
  Status Delete(std::string_view key) override;
  Status Scan(std::string_view start, std::string_view end, const Visit& visit) const override;

 private:
  using Map = std::map<std::string, std::string, std::less<>>;
  Status CheckOpen() const;
  /// The map to change: a copy if a scan reads this one. mutex_ is held.
  Map& Writable();

  mutable std::mutex mutex_;
  std::shared_ptr<Map> map_;  // null: closed. Scans share it; who changes it then copies it first.
};

}  // namespace marble::state
