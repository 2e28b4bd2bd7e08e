// How many JavaScript Database objects, in any environment, share a native database: the last
// close closes it. The only mutable state of the addon that is global; guarded by its mutex.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "lsm/db.h"

namespace marble::napi {

/// Passes the events of one native database to everybody who listens. Thread-safe.
class EventHub {
 public:
  using Listener = std::function<void(const lsm::DbEvent&)>;
  void Add(const void* owner, Listener listener);
  void Remove(const void* owner);
  void Publish(const lsm::DbEvent& event) const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<const void*, Listener>> listeners_;
};

struct OpenDatabase {
  std::shared_ptr<lsm::DB> db;
  std::shared_ptr<EventHub> events;
};

/// Open, or join, the database at `path`. Serialised with other opens and closes.
Result<OpenDatabase> AcquireDatabase(const std::string& path, lsm::DbOptions options);
/// Give one use back; the last one closes the database.
Status ReleaseDatabase(const OpenDatabase& database);

/// Stop the background threads of all databases of the process: it is about to exit.
void StopDatabaseThreads();

}  // namespace marble::napi
