#include <map>
#include <mutex>

#include "stream/connectors/file_source.h"
#include "stream/source.h"

namespace marble::stream {

namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, SourceFactory> factories{{"filesystem", MakeFileSource}};
};

Registry& TheRegistry() {
  static auto* registry = new Registry();
  return *registry;
}

}  // namespace

void RegisterSource(const std::string& connector, SourceFactory factory) {
  auto& registry = TheRegistry();
  std::lock_guard lock(registry.mutex);
  registry.factories[connector] = std::move(factory);
}

Result<std::unique_ptr<Source>> MakeSource(const SourceSpec& spec) {
  SourceFactory factory;
  std::string known;
  {
    auto& registry = TheRegistry();
    std::lock_guard lock(registry.mutex);
    for (const auto& [name, made] : registry.factories) {
      known += (known.empty() ? "" : ", ") + name;
      if (name == spec.connector) factory = made;
    }
  }
  if (factory == nullptr) {
    return MakeError(ErrorCode::kPlan, "Table '" + spec.table + "': connector '" + spec.connector +
                                           "' is not known; there are " + known);
  }
  return factory(spec);
}

}  // namespace marble::stream
