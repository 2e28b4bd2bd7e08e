// DB::Open and the process's registry of shared databases, by device and inode of the directory:
// two spellings of one path find one database.
#include <arrow/api.h>

#include <map>
#include <mutex>

#include "lsm/db_impl.h"

namespace marble::lsm {
namespace {

struct Registered {
  std::weak_ptr<DB> db;
  DbOptions options;
  /// To be compared with, as long as `db` lives: it keeps it.
  const io::FileSystem* file_system;
};

struct Registry {
  std::mutex mutex;
  std::map<std::pair<uint64_t, uint64_t>, Registered> entries;
};

Registry& TheRegistry() {
  static auto* registry = new Registry;  // outlives every static destructor
  return *registry;
}

std::string Conflicts(const DbOptions& a, const DbOptions& b) {
  std::string names;
  const auto check = [&names](bool same, const char* name) {
    if (same) return;
    if (!names.empty()) names += ", ";
    names += name;
  };
  check(b.id.empty() || a.id == b.id, "id");
  check(a.durability == b.durability, "durability");
  check(a.verify_reads == b.verify_reads, "verifyReads");
  check(a.log_segment_bytes == b.log_segment_bytes, "logSegmentBytes");
  check(a.max_immutable_generations == b.max_immutable_generations, "maxImmutableGenerations");
  check(a.max_block_ms == b.max_block_ms, "maxBlockMs");
  check(a.max_pinned_log_bytes == b.max_pinned_log_bytes, "maxPinnedLogBytes");
  check(a.compaction_trigger == b.compaction_trigger, "compactionTrigger");
  check(a.level0_slowdown_files == b.level0_slowdown_files, "level0SlowdownFiles");
  check(a.level0_stop_files == b.level0_stop_files, "level0StopFiles");
  check(a.level_base_bytes == b.level_base_bytes, "levelBaseBytes");
  check(a.level_multiplier == b.level_multiplier, "levelMultiplier");
  check(a.target_file_bytes == b.target_file_bytes, "targetFileBytes");
  check(a.pending_compaction_slowdown_bytes == b.pending_compaction_slowdown_bytes,
        "pendingCompactionSlowdownBytes");
  check(a.pending_compaction_stop_bytes == b.pending_compaction_stop_bytes,
        "pendingCompactionStopBytes");
  check(a.memory_budget_bytes == b.memory_budget_bytes, "memoryBudgetBytes");
  check(a.threads == b.threads, "threads");
  check(a.max_compactions == b.max_compactions, "maxCompactions");
  check(a.max_subcompactions == b.max_subcompactions, "maxSubcompactions");
  check(a.compaction_bytes_per_second == b.compaction_bytes_per_second, "compactionBytesPerSecond");
  return names;
}

}  // namespace

Result<std::shared_ptr<DB>> DB::Open(const std::string& path, const DbOptions& options) {
  return DbImpl::Open(path, options);
}

Result<std::shared_ptr<DB>> DB::OpenShared(const std::string& path, const DbOptions& options) {
  // A database in memory has no path that a second caller could mean.
  if (path == ":memory:") return Open(path, options);
  Registry& registry = TheRegistry();
  std::lock_guard lock(registry.mutex);
  io::ResolvedPath where{options.file_system, path};
  if (where.file_system == nullptr) {
    MARBLE_ASSIGN_OR_RETURN(where, io::ResolvePath(path));
  }
  const auto stat = [&] { return where.file_system->Stat(where.path); };
  const auto key = [](const io::FileInfo& info) { return std::make_pair(info.device, info.inode); };
  MARBLE_ASSIGN_OR_RETURN(auto info, stat());
  if (info) {
    const auto it = registry.entries.find(key(*info));
    if (it != registry.entries.end()) {
      std::shared_ptr<DB> db = it->second.db.lock();
      // A closed one stays in the hands of those who have it; the path is free again.
      if (db != nullptr && CodeOf(db->GetTable("").status()) != ErrorCode::kClosed) {
        std::string conflicts = Conflicts(it->second.options, options);
        if (it->second.file_system != where.file_system.get()) {
          conflicts += conflicts.empty() ? "file_system" : ", file_system";
        }
        if (conflicts.empty()) return db;
        return MakeError(
            ErrorCode::kIncompatible,
            "database " + path + " is open in this process with other options: " + conflicts);
      }
      registry.entries.erase(it);
    }
  }
  MARBLE_ASSIGN_OR_RETURN(auto db, Open(path, options));
  MARBLE_ASSIGN_OR_RETURN(info, stat());
  if (!info) {
    return MakeError(ErrorCode::kIo, "the folder of database " + path + " was removed while open");
  }
  DbOptions effective = options;
  effective.id = db->id();
  effective.file_system.reset();  // a file system in memory must end with its database
  registry.entries[key(*info)] = {db, effective, where.file_system.get()};
  return db;
}

}  // namespace marble::lsm
