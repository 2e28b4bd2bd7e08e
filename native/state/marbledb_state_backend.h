// StateBackend over a state family of the engine. Several backends of one path share its database.
#pragma once

#include <memory>

#include "lsm/db.h"
#include "state/state_backend.h"

namespace marble::state {

class MarbledbStateBackend : public StateBackend {
 public:
  Status Open(const StorageConfig& config) override;
  Status Close() override;
  bool persistent() const override { return true; }
  Result<std::optional<std::string>> Get(std::string_view key) const override;
  Status Put(std::string_view key, std::string_view value) override;
  Status Delete(std::string_view key) override;
  Status Scan(std::string_view start, std::string_view end, const Visit& visit) const override;

 private:
  Status CheckOpen() const;
  std::shared_ptr<lsm::DB> db_;
  lsm::TableHandle table_;
};

}  // namespace marble::state
