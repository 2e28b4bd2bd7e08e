#include "table/store_backend.h"

#include "base/registry.h"
#include "table/marbledb_store_backend.h"
#include "table/memory_store_backend.h"

namespace marble::table {
namespace {

Registry<StoreBackendFactory>& Backends() {
  // Never destroyed: backends may be made while static objects go.
  static auto* registry = new Registry<StoreBackendFactory>(
      "store backend", {{"marbledb", [] { return std::make_unique<MarbledbStoreBackend>(); }},
                        {"memory", [] { return std::make_unique<MemoryStoreBackend>(); }}});
  return *registry;
}

}  // namespace

Status RegisterStoreBackend(const std::string& name, StoreBackendFactory factory) {
  return Backends().Register(name, std::move(factory));
}

Result<std::unique_ptr<StoreBackend>> MakeStoreBackend(const std::string& name) {
  MARBLE_ASSIGN_OR_RETURN(const StoreBackendFactory factory, Backends().Find(name));
  return factory();
}

std::vector<std::string> StoreBackendNames() { return Backends().Names(); }

}  // namespace marble::table
