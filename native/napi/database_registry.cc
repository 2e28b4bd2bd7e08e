#include "napi/database_registry.h"

#include <algorithm>
#include <map>
#include <utility>

namespace marble::napi {

namespace {
struct Entry {
  OpenDatabase open;
  int uses = 0;
};
std::mutex registry_mutex;
// Leaked on purpose: worker environments may end while static destructors run.
std::map<lsm::DB*, Entry>& Registry() {
  static auto* registry = new std::map<lsm::DB*, Entry>();
  return *registry;
}
}  // namespace

void EventHub::Add(const void* owner, Listener listener) {
  std::lock_guard<std::mutex> lock(mutex_);
  listeners_.emplace_back(owner, std::move(listener));
}

void EventHub::Remove(const void* owner) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::erase_if(listeners_, [owner](const auto& entry) { return entry.first == owner; });
}

void EventHub::Publish(const lsm::DbEvent& event) const {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [owner, listener] : listeners_) listener(event);
}

Result<OpenDatabase> AcquireDatabase(const std::string& path, lsm::DbOptions options) {
  std::lock_guard<std::mutex> lock(registry_mutex);
  auto events = std::make_shared<EventHub>();
  options.listener = [events](const lsm::DbEvent& event) { events->Publish(event); };
  std::shared_ptr<lsm::DB> db;
  if (path == ":memory:") {
    MARBLE_ASSIGN_OR_RETURN(db, lsm::DB::Open(path, options));
  } else {
    MARBLE_ASSIGN_OR_RETURN(db, lsm::DB::OpenShared(path, options));
  }
  Entry& entry = Registry()[db.get()];
  if (entry.uses++ == 0) entry.open = {db, events};
  return entry.open;
}

Status ReleaseDatabase(const OpenDatabase& database) {
  std::lock_guard<std::mutex> lock(registry_mutex);
  auto it = Registry().find(database.db.get());
  if (it == Registry().end() || --it->second.uses > 0) return Status::OK();
  Entry last = std::move(it->second);
  Registry().erase(it);
  return last.open.db->Close();
}

void StopDatabaseThreads() {
  std::lock_guard<std::mutex> lock(registry_mutex);
  for (auto& [db, entry] : Registry()) db->StopBackground();
}

}  // namespace marble::napi
