#include "io/fault_injection_file_system.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

namespace marble::io {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kSectorBytes = 512;

constexpr std::array<std::string_view, 24> kNames = {
    "stat",          "create folder", "list folder", "remove",
    "remove folder", "rename",        "link",        "copy",
    "fsync folder",  "fsync file",    "read file",   "create",
    "write",         "fsync",         "close",       "open",
    "read",          "map",           "preallocate", "open log",
    "write log",     "fdatasync",     "lock",        "read the free space of"};
static_assert(kNames.size() == static_cast<size_t>(FileOp::kDiskSpace) + 1);

std::string NewBootId() {
  static std::atomic<uint64_t> next{1};
  char text[40];
  std::snprintf(text, sizeof text, "fa017000-0000-4000-8000-%012llx",
                static_cast<unsigned long long>(next.fetch_add(1)));
  return text;
}

/// Of memory that other threads may be writing: a page can come out half old and half new, as it
/// can from a disk.
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread")))
#endif
std::string
CopyShared(const uint8_t* from, size_t size) {
  std::string out(size, '\0');
  const volatile uint8_t* source = from;
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(source[i]);
  return out;
}

std::string_view PageOf(std::string_view bytes, uint64_t page) {
  return page * kPageBytes < bytes.size() ? bytes.substr(page * kPageBytes, kPageBytes)
                                          : std::string_view();
}

uint64_t PagesOf(uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes; }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::string_view FileOpName(FileOp op) { return kNames[static_cast<size_t>(op)]; }

std::string PlaceOf(std::string_view path) {
  path = path.substr(path.find_last_of('/') + 1);
  std::string place;
  for (size_t i = 0; i < path.size(); ++i) {
    if (!IsDigit(path[i])) {
      place.push_back(path[i]);
    } else if (i == 0 || !IsDigit(path[i - 1])) {
      place.push_back('N');
    }
  }
  return place;
}

/// A file or folder below the root.
struct FaultInjectionFileSystem::Node {
  explicit Node(bool directory) : is_directory(directory) {}
  const bool is_directory;

  // Of a file.
  std::string durable;              // as of the last sync
  std::string written;              // now, unless it is mapped memory
  std::shared_ptr<LogFile> memory;  // a mapped log file: its bytes are the file's
  /// Pages that were dirty when a sync failed: clean now as far as the kernel is concerned.
  std::map<uint64_t, std::string> doomed;

  // Of a folder.
  std::map<std::string, NodeRef> names;
  std::map<std::string, NodeRef> durable_names;

  std::string Current() const {
    return memory != nullptr ? CopyShared(memory->data(), memory->size()) : written;
  }
};

// --- Files ------------------------------------------------------------------------------------

class FaultInjectionFileSystem::Writable final : public WritableFile {
 public:
  Writable(std::shared_ptr<FaultInjectionFileSystem> fs, std::unique_ptr<WritableFile> file,
           NodeRef node)
      : WritableFile(file->path()),
        fs_(std::move(fs)),
        file_(std::move(file)),
        node_(std::move(node)) {}

  Status Append(std::string_view bytes) override {
    MARBLE_RETURN_NOT_OK(fs_->Enter(FileOp::kAppend, path_));
    MARBLE_RETURN_NOT_OK(file_->Append(bytes));
    size_ = file_->size();
    std::lock_guard lock(fs_->mutex_);
    if (node_ != nullptr) node_->written.append(bytes);
    return Status::OK();
  }
  Status Sync() override {
    return fs_->SyncNode(FileOp::kSync, node_, path_, [this] { return file_->Sync(); });
  }
  Status Close() override {
    // The descriptor is gone whatever close says.
    const Status entered = fs_->Enter(FileOp::kClose, path_);
    const Status closed = file_->Close();
    return entered.ok() ? closed : entered;
  }

 private:
  const std::shared_ptr<FaultInjectionFileSystem> fs_;
  const std::unique_ptr<WritableFile> file_;
  const NodeRef node_;
};

class FaultInjectionFileSystem::Readable final : public ReadableFile {
 public:
  Readable(std::shared_ptr<FaultInjectionFileSystem> fs, std::shared_ptr<ReadableFile> file)
      : ReadableFile(file->path()), fs_(std::move(fs)), file_(std::move(file)) {}
  Result<size_t> ReadAt(uint64_t offset, size_t size, void* to) const override {
    MARBLE_RETURN_NOT_OK(fs_->Enter(FileOp::kReadAt, path_));
    return file_->ReadAt(offset, size, to);
  }
  Result<uint64_t> Size() const override {
    MARBLE_RETURN_NOT_OK(fs_->Enter(FileOp::kStat, path_));
    return file_->Size();
  }

 private:
  const std::shared_ptr<FaultInjectionFileSystem> fs_;
  const std::shared_ptr<ReadableFile> file_;
};

class FaultInjectionFileSystem::Log final : public LogFile {
 public:
  Log(std::shared_ptr<FaultInjectionFileSystem> fs, std::shared_ptr<LogFile> file, NodeRef node)
      : fs_(std::move(fs)), file_(std::move(file)), node_(std::move(node)) {
    data_ = file_->data();
    size_ = file_->size();
    path_ = file_->path();
  }
  Status Publish(size_t from, size_t to) override {
    if (file_->kind() == LogFileKind::kMapped) return file_->Publish(from, to);
    MARBLE_RETURN_NOT_OK(fs_->Enter(FileOp::kPublish, path_));
    MARBLE_RETURN_NOT_OK(file_->Publish(from, to));
    std::lock_guard lock(fs_->mutex_);
    if (node_ != nullptr) {
      node_->written.replace(from, to - from, CopyShared(data_ + from, to - from));
    }
    return Status::OK();
  }
  Status Sync() override {
    return fs_->SyncNode(FileOp::kSyncLog, node_, path_, [this] { return file_->Sync(); });
  }
  void Prefault(size_t from, size_t to) override { file_->Prefault(from, to); }
  LogFileKind kind() const override { return file_->kind(); }

 private:
  const std::shared_ptr<FaultInjectionFileSystem> fs_;
  const std::shared_ptr<LogFile> file_;
  const NodeRef node_;
};

// --- Calls and faults -------------------------------------------------------------------------

FaultInjectionFileSystem::FaultInjectionFileSystem(std::shared_ptr<FileSystem> base,
                                                   std::string root,
                                                   const FaultInjectionOptions& options)
    : ForwardingFileSystem(std::move(base)),
      root_(std::move(root)),
      options_(options),
      boot_id_(NewBootId()),
      tree_(std::make_shared<Node>(true)) {}

Result<std::shared_ptr<FaultInjectionFileSystem>> FaultInjectionFileSystem::Make(
    std::shared_ptr<FileSystem> base, const std::string& root,
    const FaultInjectionOptions& options) {
  std::string trimmed = root;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  std::shared_ptr<FaultInjectionFileSystem> fs(
      new FaultInjectionFileSystem(std::move(base), std::move(trimmed), options));
  if (options.track_power) MARBLE_RETURN_NOT_OK(fs->LoadTree(fs->tree_, fs->root_));
  return fs;
}

Status FaultInjectionFileSystem::LoadTree(const NodeRef& directory, const std::string& path) {
  MARBLE_ASSIGN_OR_RETURN(const auto names, base()->List(path));
  for (const std::string& name : names) {
    const std::string child_path = path + "/" + name;
    MARBLE_ASSIGN_OR_RETURN(const auto info, base()->Stat(child_path));
    if (!info) continue;
    auto child = std::make_shared<Node>(info->is_directory);
    if (info->is_directory) {
      MARBLE_RETURN_NOT_OK(LoadTree(child, child_path));
    } else {
      MARBLE_ASSIGN_OR_RETURN(child->durable, base()->ReadFile(child_path));
      child->written = child->durable;
    }
    directory->names[name] = directory->durable_names[name] = std::move(child);
  }
  return Status::OK();
}

Status FaultInjectionFileSystem::Enter(FileOp op, const std::string& path, bool folder) {
  return Enter(op, path, path, folder);
}

Status FaultInjectionFileSystem::Enter(FileOp op, const std::string& path, const std::string& shown,
                                       bool folder) {
  FileCall call{op, folder ? "folder" : PlaceOf(path)};
  std::shared_ptr<const std::function<void(const FileCall&)>> observe;
  {
    std::lock_guard lock(mutex_);
    observe = observe_;
  }
  if (observe != nullptr) (*observe)(call);
  std::lock_guard lock(mutex_);
  ++total_calls_;
  if (!power_lost_ && lose_power_at_ != 0 && total_calls_ >= lose_power_at_) {
    LosePowerLocked(lose_power_seed_, call);
  }
  if (power_lost_) {
    return MakeError(ErrorCode::kIo,
                     std::string(FileOpName(op)) + " " + shown + ": the power is off");
  }
  const bool fits = fault_ && (!fault_->op || *fault_->op == op) &&
                    (fault_->place.empty() || fault_->place == call.place);
  ++calls_[std::move(call)];
  if (!fits) return Status::OK();
  ++fitting_calls_;
  if (fitting_calls_ < fault_->nth || (fitting_calls_ > fault_->nth && !fault_->permanent)) {
    return Status::OK();
  }
  ++injected_;
  return IoError(FileOpName(op), shown, fault_->error);
}

void FaultInjectionFileSystem::Inject(Fault fault) {
  std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
  fitting_calls_ = 0;
}

void FaultInjectionFileSystem::Heal() {
  std::lock_guard lock(mutex_);
  fault_.reset();
}

uint64_t FaultInjectionFileSystem::injected() const {
  std::lock_guard lock(mutex_);
  return injected_;
}

std::map<FileCall, uint64_t> FaultInjectionFileSystem::calls() const {
  std::lock_guard lock(mutex_);
  return calls_;
}

uint64_t FaultInjectionFileSystem::total_calls() const {
  std::lock_guard lock(mutex_);
  return total_calls_;
}

void FaultInjectionFileSystem::SetObserver(std::function<void(const FileCall&)> observe) {
  auto made = observe
                  ? std::make_shared<const std::function<void(const FileCall&)>>(std::move(observe))
                  : nullptr;
  std::lock_guard lock(mutex_);
  observe_ = std::move(made);
}

// --- Names ------------------------------------------------------------------------------------

FaultInjectionFileSystem::Place FaultInjectionFileSystem::Locate(const std::string& path) const {
  if (!options_.track_power || !path.starts_with(root_)) return {};
  std::string_view rest = std::string_view(path).substr(root_.size());
  if (!rest.empty() && rest.front() != '/' && root_ != "/") return {};
  Place place{nullptr, "", tree_};
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (part.empty() || part == ".") continue;
    if (place.node == nullptr || !place.node->is_directory) return {};
    const auto it = place.node->names.find(std::string(part));
    NodeRef child = it == place.node->names.end() ? nullptr : it->second;
    place = {std::move(place.node), std::string(part), std::move(child)};
  }
  return place;
}

void FaultInjectionFileSystem::ChangeNames(NameChange change) {
  for (const NameEdit& edit : change) {
    if (edit.directory == nullptr) return;  // outside the root
  }
  for (const NameEdit& edit : change) {
    if (edit.node == nullptr) {
      edit.directory->names.erase(edit.name);
    } else {
      edit.directory->names[edit.name] = edit.node;
    }
  }
  pending_.push_back(std::move(change));
}

void FaultInjectionFileSystem::CommitNames(const NodeRef& directory) {
  // A change that touches the folder is durable, and so is every earlier one of the same names.
  std::set<std::pair<const Node*, std::string>> touched;
  std::vector<NameChange> committed, rest;
  for (auto change = pending_.rbegin(); change != pending_.rend(); ++change) {
    const bool commits = std::any_of(change->begin(), change->end(), [&](const NameEdit& edit) {
      return edit.directory == directory || touched.contains({edit.directory.get(), edit.name});
    });
    if (commits) {
      for (const NameEdit& edit : *change) touched.insert({edit.directory.get(), edit.name});
    }
    (commits ? committed : rest).push_back(std::move(*change));
  }
  std::reverse(rest.begin(), rest.end());
  pending_ = std::move(rest);
  for (auto change = committed.rbegin(); change != committed.rend(); ++change) {
    for (const NameEdit& edit : *change) {
      if (edit.node == nullptr) {
        edit.directory->durable_names.erase(edit.name);
      } else {
        edit.directory->durable_names[edit.name] = edit.node;
      }
    }
  }
}

Result<std::optional<FileInfo>> FaultInjectionFileSystem::Stat(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kStat, path));
  return base()->Stat(path);
}

Status FaultInjectionFileSystem::CreateDirs(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kCreateDirs, path, true));
  std::lock_guard lock(mutex_);
  MARBLE_RETURN_NOT_OK(base()->CreateDirs(path));
  for (size_t end = 1; end <= path.size(); ++end) {
    if (end != path.size() && path[end] != '/') continue;
    const Place place = Locate(path.substr(0, end));
    if (place.directory == nullptr || place.node != nullptr) continue;
    ChangeNames({{place.directory, place.name, std::make_shared<Node>(true)}});
  }
  return Status::OK();
}

Result<std::vector<std::string>> FaultInjectionFileSystem::List(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kList, path, true));
  return base()->List(path);
}

Status FaultInjectionFileSystem::Remove(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kRemove, path));
  std::lock_guard lock(mutex_);
  MARBLE_RETURN_NOT_OK(base()->Remove(path));
  const Place place = Locate(path);
  ChangeNames({{place.directory, place.name, nullptr}});
  return Status::OK();
}

Status FaultInjectionFileSystem::RemoveDir(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kRemoveDir, path, true));
  std::lock_guard lock(mutex_);
  MARBLE_RETURN_NOT_OK(base()->RemoveDir(path));
  const Place place = Locate(path);
  ChangeNames({{place.directory, place.name, nullptr}});
  return Status::OK();
}

Status FaultInjectionFileSystem::Rename(const std::string& from, const std::string& to) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kRename, to, from + " to " + to, false));
  std::lock_guard lock(mutex_);
  MARBLE_RETURN_NOT_OK(base()->Rename(from, to));
  const Place old_place = Locate(from);
  const Place new_place = Locate(to);
  ChangeNames({{old_place.directory, old_place.name, nullptr},
               {new_place.directory, new_place.name, old_place.node}});
  return Status::OK();
}

Status FaultInjectionFileSystem::Link(const std::string& from, const std::string& to) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kLink, to, from + " to " + to, false));
  std::lock_guard lock(mutex_);
  MARBLE_RETURN_NOT_OK(base()->Link(from, to));
  const Place place = Locate(to);
  ChangeNames({{place.directory, place.name, Locate(from).node}});
  return Status::OK();
}

Status FaultInjectionFileSystem::Copy(const std::string& from, const std::string& to) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kCopy, to, from + " to " + to, false));
  std::lock_guard lock(mutex_);
  MARBLE_RETURN_NOT_OK(base()->Copy(from, to));
  const Place place = Locate(to);
  if (place.directory == nullptr) return Status::OK();
  auto node = std::make_shared<Node>(false);
  MARBLE_ASSIGN_OR_RETURN(node->written, base()->ReadFile(to));
  ChangeNames({{place.directory, place.name, std::move(node)}});
  return Status::OK();
}

Status FaultInjectionFileSystem::SyncDir(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kSyncDir, path, true));
  std::lock_guard lock(mutex_);
  MARBLE_RETURN_NOT_OK(base()->SyncDir(path));
  const Place place = Locate(path);
  if (place.node != nullptr) CommitNames(place.node);
  return Status::OK();
}

// --- Content ----------------------------------------------------------------------------------

FaultInjectionFileSystem::Unsynced FaultInjectionFileSystem::Collect(const Node& node) {
  const std::string current = node.Current();
  Unsynced unsynced{current.size(), {}};
  for (uint64_t page = 0; page < PagesOf(current.size()); ++page) {
    const std::string_view bytes = PageOf(current, page);
    if (bytes != PageOf(node.durable, page)) unsynced.pages.emplace_back(page, bytes);
  }
  return unsynced;
}

void FaultInjectionFileSystem::Commit(Node* node, const Unsynced& unsynced) {
  node->durable.resize(unsynced.size);
  for (const auto& [page, bytes] : unsynced.pages) {
    const auto doomed = node->doomed.find(page);
    if (doomed != node->doomed.end() && doomed->second == bytes) continue;
    node->durable.replace(page * kPageBytes, bytes.size(), bytes);
    if (doomed != node->doomed.end()) node->doomed.erase(doomed);
  }
}

void FaultInjectionFileSystem::Doom(Node* node) {
  for (auto& [page, bytes] : Collect(*node).pages) node->doomed[page] = std::move(bytes);
}

Status FaultInjectionFileSystem::SyncNode(FileOp op, const NodeRef& node, const std::string& path,
                                          const std::function<Status()>& sync) {
  const Status entered = Enter(op, path);
  Unsynced unsynced;
  {
    std::lock_guard lock(mutex_);
    if (node != nullptr && !power_lost_) {
      if (!entered.ok()) Doom(node.get());
      // What is written while the sync runs may miss it.
      if (entered.ok()) unsynced = Collect(*node);
    }
  }
  MARBLE_RETURN_NOT_OK(entered);
  const Status synced = sync();
  std::lock_guard lock(mutex_);
  if (power_lost_) {
    return MakeError(ErrorCode::kIo,
                     std::string(FileOpName(op)) + " " + path + ": the power went off");
  }
  if (node != nullptr && synced.ok()) Commit(node.get(), unsynced);
  if (node != nullptr && !synced.ok()) Doom(node.get());
  return synced;
}

Status FaultInjectionFileSystem::SyncFile(const std::string& path) {
  NodeRef node;
  {
    std::lock_guard lock(mutex_);
    node = Locate(path).node;
  }
  if (node != nullptr && node->is_directory) return SyncDir(path);
  return SyncNode(FileOp::kSyncFile, node, path, [&] { return base()->SyncFile(path); });
}

Result<std::string> FaultInjectionFileSystem::ReadFile(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kReadFile, path));
  return base()->ReadFile(path);
}

Result<std::unique_ptr<WritableFile>> FaultInjectionFileSystem::Create(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kCreate, path));
  std::lock_guard lock(mutex_);
  MARBLE_ASSIGN_OR_RETURN(auto file, base()->Create(path));
  const Place place = Locate(path);
  NodeRef node = place.directory != nullptr ? std::make_shared<Node>(false) : nullptr;
  ChangeNames({{place.directory, place.name, node}});
  return std::make_unique<Writable>(shared_from_this(), std::move(file), std::move(node));
}

Result<std::shared_ptr<ReadableFile>> FaultInjectionFileSystem::Open(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kOpen, path));
  MARBLE_ASSIGN_OR_RETURN(auto file, base()->Open(path));
  return std::make_shared<Readable>(shared_from_this(), std::move(file));
}

Result<std::shared_ptr<MappedFile>> FaultInjectionFileSystem::Map(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kMap, path));
  return base()->Map(path);
}

Result<std::shared_ptr<LogFile>> FaultInjectionFileSystem::CreateLog(const std::string& path,
                                                                     size_t size,
                                                                     LogFileKind kind) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kCreateLog, path));
  if (kind == LogFileKind::kAny) kind = options_.log_kind;
  std::lock_guard lock(mutex_);
  MARBLE_ASSIGN_OR_RETURN(auto file, base()->CreateLog(path, size, kind));
  const Place place = Locate(path);
  NodeRef node;
  if (place.directory != nullptr) {
    node = std::make_shared<Node>(false);
    if (file->kind() == LogFileKind::kMapped) {
      node->memory = file;
    } else {
      node->written.resize(size);
    }
    ChangeNames({{place.directory, place.name, node}});
  }
  return std::make_shared<Log>(shared_from_this(), std::move(file), std::move(node));
}

Result<std::shared_ptr<LogFile>> FaultInjectionFileSystem::OpenLog(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kOpenLog, path));
  std::lock_guard lock(mutex_);
  MARBLE_ASSIGN_OR_RETURN(auto file, base()->OpenLog(path));
  return std::make_shared<Log>(shared_from_this(), std::move(file), Locate(path).node);
}

Result<std::unique_ptr<FileLock>> FaultInjectionFileSystem::Lock(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kLock, path));
  std::lock_guard lock(mutex_);
  MARBLE_ASSIGN_OR_RETURN(auto held, base()->Lock(path));
  const Place place = Locate(path);
  if (place.directory != nullptr && place.node == nullptr) {
    ChangeNames({{place.directory, place.name, std::make_shared<Node>(false)}});
  }
  return held;
}

Result<SpaceInfo> FaultInjectionFileSystem::DiskSpace(const std::string& path) {
  MARBLE_RETURN_NOT_OK(Enter(FileOp::kDiskSpace, path, true));
  return base()->DiskSpace(path);
}

// --- Power loss -------------------------------------------------------------------------------

void FaultInjectionFileSystem::LosePowerAt(uint64_t nth, uint64_t seed) {
  std::lock_guard lock(mutex_);
  lose_power_at_ = total_calls_ + nth;
  lose_power_seed_ = seed;
}

void FaultInjectionFileSystem::LosePower(uint64_t seed) {
  std::lock_guard lock(mutex_);
  if (!power_lost_) LosePowerLocked(seed, std::nullopt);
}

bool FaultInjectionFileSystem::power_lost() const {
  std::lock_guard lock(mutex_);
  return power_lost_;
}

PowerLossReport FaultInjectionFileSystem::report() const {
  std::lock_guard lock(mutex_);
  return report_;
}

void FaultInjectionFileSystem::LosePowerLocked(uint64_t seed, std::optional<FileCall> at) {
  power_lost_ = true;
  report_.at = std::move(at);
  if (!options_.track_power) return;
  std::mt19937_64 random(seed);
  // Which changes of names have reached the disk: the first ones, as in one journal, or any, but
  // those of one name in order.
  const bool in_order = random() % 2 == 0;
  const size_t first_n = pending_.empty() ? 0 : random() % (pending_.size() + 1);
  const uint64_t keep_of_four = random() % 5;
  std::set<std::pair<const Node*, std::string>> lost;
  for (size_t i = 0; i < pending_.size(); ++i) {
    const NameChange& change = pending_[i];
    bool keep = in_order ? i < first_n : random() % 4 < keep_of_four;
    for (const NameEdit& edit : change) {
      if (lost.contains({edit.directory.get(), edit.name})) keep = false;
    }
    ++(keep ? report_.names_kept : report_.names_dropped);
    for (const NameEdit& edit : change) {
      if (!keep) {
        lost.insert({edit.directory.get(), edit.name});
      } else if (edit.node == nullptr) {
        edit.directory->durable_names.erase(edit.name);
      } else {
        edit.directory->durable_names[edit.name] = edit.node;
      }
    }
  }
  CollectImage(*tree_, "", &random);
}

void FaultInjectionFileSystem::CollectImage(const Node& directory, const std::string& path,
                                            std::mt19937_64* random) {
  for (const auto& [name, node] : directory.durable_names) {
    const std::string child = path.empty() ? name : path + "/" + name;
    if (node->is_directory) {
      image_[child] = std::nullopt;
      CollectImage(*node, child, random);
    } else {
      auto& bytes = surviving_[node.get()];  // one file may have two names
      if (!bytes) bytes = SurvivingBytes(*node, random);
      image_[child] = *bytes;
    }
  }
}

std::string FaultInjectionFileSystem::SurvivingBytes(const Node& node, std::mt19937_64* random) {
  const std::string current = node.Current();
  const std::string& durable = node.durable;
  size_t size = durable.size();
  if (current.size() > size) {
    switch ((*random)() % 3) {
      case 0:
        break;
      case 1:
        size = current.size();
        break;
      default: {
        // Allocation goes page by page.
        const uint64_t pages = PagesOf(current.size()) - size / kPageBytes;
        const size_t between = (size / kPageBytes + (*random)() % (pages + 1)) * kPageBytes;
        size = std::clamp(between, size, current.size());
      }
    }
  }
  // Of the pages that were dirty: how many of eight are kept, and of the others how many torn.
  const uint64_t keep_of_eight = (*random)() % 9;
  const uint64_t torn_of_four = (*random)() % 5;
  std::string out(size, '\0');
  for (uint64_t page = 0; page < PagesOf(size); ++page) {
    const size_t offset = page * kPageBytes;
    const size_t length = std::min(kPageBytes, size - offset);
    const auto content = [&](std::string_view from) {
      std::string bytes(PageOf(from, page).substr(0, length));
      bytes.resize(length);
      return bytes;
    };
    const std::string old_bytes = content(durable);
    const std::string new_bytes = content(current);
    std::string bytes = old_bytes;
    const auto doomed = node.doomed.find(page);
    const bool clean = doomed != node.doomed.end() && doomed->second == PageOf(current, page);
    if (old_bytes != new_bytes && !clean) {
      if ((*random)() % 8 < keep_of_eight) {
        bytes = new_bytes;
        ++report_.pages_kept;
      } else if ((*random)() % 4 < torn_of_four) {
        // The first sectors, or any.
        const bool prefix = (*random)() % 2 == 0;
        const size_t first = (*random)() % (kPageBytes / kSectorBytes);
        for (size_t at = 0; at < length; at += kSectorBytes) {
          const bool fresh = prefix ? at / kSectorBytes < first : (*random)() % 2 == 0;
          if (fresh) bytes.replace(at, kSectorBytes, new_bytes, at, kSectorBytes);
        }
        ++report_.pages_torn;
      } else {
        ++report_.pages_dropped;
      }
    }
    out.replace(offset, length, bytes);
  }
  return out;
}

Status FaultInjectionFileSystem::Restore(FileSystem* to, const std::string& path) const {
  std::lock_guard lock(mutex_);
  if (!power_lost_ || !options_.track_power) {
    return MakeError(ErrorCode::kInvalidArgument, "there was no power loss that was tracked");
  }
  MARBLE_RETURN_NOT_OK(to->CreateDirs(path));
  for (const auto& [name, bytes] : image_) {
    const std::string target = path + "/" + name;
    if (!bytes) {
      MARBLE_RETURN_NOT_OK(to->CreateDirs(target));
      continue;
    }
    MARBLE_ASSIGN_OR_RETURN(auto file, to->Create(target));
    MARBLE_RETURN_NOT_OK(file->Append(*bytes));
    MARBLE_RETURN_NOT_OK(file->Close());
  }
  return Status::OK();
}

}  // namespace marble::io
