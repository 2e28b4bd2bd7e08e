#include "state/memory_state_backend.h"

namespace marble::state {

Status MemoryStateBackend::Open(const StorageConfig&) {
  std::lock_guard lock(mutex_);
  if (map_ != nullptr) {
    return MakeError(ErrorCode::kInvalidArgument, "the state backend in memory is open already");
  }
  map_ = std::make_shared<Map>();
  return Status::OK();
}

Status MemoryStateBackend::Close() {
  std::lock_guard lock(mutex_);
  map_ = nullptr;
  return Status::OK();
}

Status MemoryStateBackend::CheckOpen() const {
  return map_ != nullptr ? Status::OK()
                         : MakeError(ErrorCode::kClosed, "the state backend is not open");
}

MemoryStateBackend::Map& MemoryStateBackend::Writable() {
  if (map_.use_count() > 1) map_ = std::make_shared<Map>(*map_);
  return *map_;
}

Result<std::optional<std::string>> MemoryStateBackend::Get(std::string_view key) const {
  std::lock_guard lock(mutex_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  const auto found = map_->find(key);
  if (found == map_->end()) return std::nullopt;
  return found->second;
}

Status MemoryStateBackend::Put(std::string_view key, std::string_view value) {
  std::lock_guard lock(mutex_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  Writable().insert_or_assign(std::string(key), std::string(value));
  return Status::OK();
}

Status MemoryStateBackend::Delete(std::string_view key) {
  std::lock_guard lock(mutex_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  if (map_->contains(key)) Writable().erase(std::string(key));
  return Status::OK();
}

Status MemoryStateBackend::Scan(std::string_view start, std::string_view end,
                                const Visit& visit) const {
  std::shared_ptr<const Map> map;
  {
    std::lock_guard lock(mutex_);
    MARBLE_RETURN_NOT_OK(CheckOpen());
    map = map_;
  }
  for (auto it = map->lower_bound(start); it != map->end(); ++it) {
    if (!end.empty() && it->first >= end) break;
    if (!visit(it->first, it->second)) break;
  }
  // Under the lock, so that whoever finds the map unshared comes after this scan.
  std::lock_guard lock(mutex_);
  map = nullptr;
  return Status::OK();
}

}  // namespace marble::state
