#include "napi/file_mappings.h"

#include <sys/mman.h>

#include <map>
#include <utility>

namespace marble::napi {

namespace {

struct MappedRegion {
  void* address = nullptr;
  size_t size = 0;
  std::string path;
  std::weak_ptr<const lsm::SstReader> file;
};

}  // namespace

struct FileMappings::Live {
  std::map<const void*, std::unique_ptr<MappedRegion>> regions;
};

namespace {
// What an ArrayBuffer's finalizer needs: the region's key, and the table that owns it.
template <class Live>
struct Release {
  std::shared_ptr<Live> live;
  const void* address;
};
}  // namespace

FileMappings::FileMappings() : live_(std::make_shared<Live>()) {}
FileMappings::~FileMappings() = default;

void FileMappings::Prune(napi_env env) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (it->second.file.expired()) {
      napi_delete_reference(env, it->second.buffer);
      it = entries_.erase(it);
    } else {
      ++it;
    }
  }
}

napi_value FileMappings::Get(napi_env env, const std::shared_ptr<const lsm::SstReader>& file) {
  auto it = entries_.find(file.get());
  if (it != entries_.end() && it->second.file.lock() == file) {
    napi_value buffer = nullptr;
    bool detached = true;
    if (napi_get_reference_value(env, it->second.buffer, &buffer) == napi_ok && buffer != nullptr &&
        napi_is_detached_arraybuffer(env, buffer, &detached) == napi_ok && !detached) {
      return buffer;
    }
    napi_delete_reference(env, it->second.buffer);
    entries_.erase(it);
  }
  Prune(env);
  if (file->file()->size() == 0) return nullptr;
  void* address = file->file()->MapPrivately();  // null: the caller copies instead
  if (address == nullptr) return nullptr;
  const size_t size = file->file()->size();
  auto region = std::make_unique<MappedRegion>();
  *region = {address, size, file->file()->path(), file};
  live_->regions.emplace(address, std::move(region));
  auto* release = new Release<Live>{live_, address};
  auto finalize = [](napi_env env, void* data, void* hint) {
    auto* release = static_cast<Release<Live>*>(hint);
    auto region = release->live->regions.find(release->address);
    munmap(region->second->address, region->second->size);
    int64_t now = 0;
    napi_adjust_external_memory(env, static_cast<int64_t>(region->second->size), &now);
    release->live->regions.erase(region);
    delete release;
  };
  // Page cache, not heap: without this V8 would collect garbage for it. Before, not after: V8
  // looks at its counter when the buffer is made.
  int64_t now = 0;
  napi_adjust_external_memory(env, -static_cast<int64_t>(size), &now);
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, address, size, finalize, release, &buffer) != napi_ok) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    napi_value ignored = nullptr;
    if (pending) napi_get_and_clear_last_exception(env, &ignored);
    // The finalizer has run already if V8 refused the size; when the embedder refuses external
    // buffers it has not, and the region is still there.
    if (!pending && live_->regions.contains(address)) finalize(env, address, release);
    return nullptr;
  }
  napi_ref weak = nullptr;
  napi_create_reference(env, buffer, 0, &weak);
  entries_[file.get()] = {file, weak};
  return buffer;
}

bool FileMappings::IsMapped(const void* data) const { return live_->regions.contains(data); }

FileMappings::Usage FileMappings::usage() const {
  Usage usage;
  for (const auto& [address, region] : live_->regions) {
    ++usage.files;
    usage.bytes += region->size;
    if (region->file.expired()) usage.obsolete_bytes += region->size;
  }
  return usage;
}

std::vector<FileMappings::Mapping> FileMappings::list() const {
  std::vector<Mapping> mappings;
  for (const auto& [address, region] : live_->regions) {
    mappings.push_back({region->path, reinterpret_cast<uintptr_t>(region->address), region->size});
  }
  return mappings;
}

}  // namespace marble::napi
