#include "io/handle_pool.h"

#include <algorithm>

namespace marble::io {

/// An open file, or one that a thread is opening.
struct HandlePool::Entry {
  std::string path;
  std::shared_ptr<const ReadableFile> file;  // null: being opened
  size_t pins = 0;
  bool forgotten = false;
  std::list<std::shared_ptr<Entry>>::iterator position;  // in unpinned_, while pins is 0
};

HandlePool::HandlePool(std::shared_ptr<FileSystem> files, size_t max_open,
                       std::chrono::milliseconds max_wait)
    : files_(std::move(files)), max_open_(std::max<size_t>(1, max_open)), max_wait_(max_wait) {}

HandlePool::~HandlePool() = default;

const ReadableFile* HandlePool::Handle::operator->() const { return entry_->file.get(); }

void HandlePool::Handle::Release() {
  if (pool_ != nullptr) pool_->Unpin(entry_);
  pool_ = nullptr;
  entry_.reset();
}

bool HandlePool::Evict(std::shared_ptr<const ReadableFile>* closed) {
  if (unpinned_.empty()) return false;
  const std::shared_ptr<Entry> oldest = unpinned_.front();
  unpinned_.pop_front();
  *closed = std::move(oldest->file);
  by_path_.erase(oldest->path);
  ++counters_.evictions;
  --counters_.open;
  return true;
}

Result<HandlePool::Handle> HandlePool::Get(const std::string& path) {
  const auto deadline = std::chrono::steady_clock::now() + max_wait_;
  // Closed without the mutex, and before another file is opened.
  std::shared_ptr<const ReadableFile> evicted;
  std::shared_ptr<Entry> entry;
  {
    std::unique_lock lock(mutex_);
    bool waited = false;
    while (true) {
      const auto it = by_path_.find(path);
      if (it != by_path_.end() && it->second->file != nullptr) {
        entry = it->second;
        if (entry->pins++ == 0) {
          unpinned_.erase(entry->position);
          ++counters_.pinned;
        }
        ++counters_.hits;
        return Handle(this, std::move(entry));
      }
      const bool being_opened = it != by_path_.end();
      if (!being_opened && (counters_.open < max_open_ || Evict(&evicted))) break;
      if (!waited) ++counters_.waits;
      waited = true;
      if (changed_.wait_until(lock, deadline) == std::cv_status::timeout) {
        return MakeError(ErrorCode::kBusy, "open " + path + ": all " + std::to_string(max_open_) +
                                               " file handles of the pool are in use; try again");
      }
    }
    entry = std::make_shared<Entry>();
    entry->path = path;
    entry->pins = 1;
    by_path_[path] = entry;
    ++counters_.misses;
    ++counters_.open;
    ++counters_.pinned;
    counters_.most_open = std::max(counters_.most_open, counters_.open);
  }
  evicted.reset();
  auto opened = files_->Open(path);
  {
    std::lock_guard lock(mutex_);
    if (opened.ok()) {
      entry->file = *opened;
    } else {
      const auto it = by_path_.find(path);
      if (it != by_path_.end() && it->second == entry) by_path_.erase(it);
      --counters_.open;
      --counters_.pinned;
    }
  }
  changed_.notify_all();
  MARBLE_RETURN_NOT_OK(opened.status());
  return Handle(this, std::move(entry));
}

void HandlePool::Unpin(const std::shared_ptr<Entry>& entry) {
  std::shared_ptr<const ReadableFile> closed;
  {
    std::lock_guard lock(mutex_);
    if (--entry->pins > 0) return;
    --counters_.pinned;
    if (entry->forgotten) {
      closed = std::move(entry->file);
    } else {
      entry->position = unpinned_.insert(unpinned_.end(), entry);
    }
  }
  if (closed != nullptr) return CloseAndMakeRoom(std::move(closed));
  changed_.notify_all();
}

void HandlePool::CloseAndMakeRoom(std::shared_ptr<const ReadableFile> file) {
  file.reset();
  {
    std::lock_guard lock(mutex_);
    --counters_.open;  // only now, or one file more than max_open_ may be open for a moment
  }
  changed_.notify_all();
}

void HandlePool::Forget(const std::string& path) {
  std::shared_ptr<const ReadableFile> closed;
  {
    std::lock_guard lock(mutex_);
    const auto it = by_path_.find(path);
    if (it == by_path_.end()) return;
    const std::shared_ptr<Entry> entry = it->second;
    by_path_.erase(it);
    if (entry->pins > 0) {
      entry->forgotten = true;
      return;
    }
    unpinned_.erase(entry->position);
    closed = std::move(entry->file);
  }
  CloseAndMakeRoom(std::move(closed));
}

HandlePool::Counters HandlePool::counters() const {
  std::lock_guard lock(mutex_);
  return counters_;
}

}  // namespace marble::io
