#include "state/state_backend.h"

#include "base/registry.h"
#include "state/marbledb_state_backend.h"
#include "state/memory_state_backend.h"

namespace marble::state {
namespace {

Registry<StateBackendFactory>& Backends() {
  // Never destroyed: backends may be made while static objects go.
  static auto* registry = new Registry<StateBackendFactory>(
      "state backend", {{"marbledb", [] { return std::make_unique<MarbledbStateBackend>(); }},
                        {"memory", [] { return std::make_unique<MemoryStateBackend>(); }}});
  return *registry;
}

}  // namespace

Status RegisterStateBackend(const std::string& name, StateBackendFactory factory) {
  return Backends().Register(name, std::move(factory));
}

Result<std::unique_ptr<StateBackend>> MakeStateBackend(const std::string& name) {
  MARBLE_ASSIGN_OR_RETURN(const StateBackendFactory factory, Backends().Find(name));
  return factory();
}

std::vector<std::string> StateBackendNames() { return Backends().Names(); }

}  // namespace marble::state
