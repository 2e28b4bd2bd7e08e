// Open files, a bounded number of them: for readers by position (ReadableFile) of more files than
// there may be descriptors.
//
// Get gives a handle that pins its file: it stays open as long as a handle lives. Files that nobody
// pins stay open too, until room is needed: then the one that was used longest ago is closed. If
// all are pinned, Get waits for one, at most max_wait; then it is kBusy. A file is known by its
// path: who replaces or removes one calls Forget.
//
// Thread-safe. The pool must outlive its handles.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "io/file_system.h"

namespace marble::io {

class HandlePool {
 private:
  struct Entry;

 public:
  struct Counters {
    uint64_t hits = 0;       // the file was open
    uint64_t misses = 0;     // it had to be opened
    uint64_t evictions = 0;  // an open file was closed to make room
    uint64_t waits = 0;      // all were pinned
    size_t open = 0;         // now
    size_t pinned = 0;       // now
    size_t most_open = 0;    // ever
  };

  class Handle {
   public:
    Handle() = default;
    ~Handle() { Release(); }
    Handle(Handle&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), entry_(std::move(other.entry_)) {}
    Handle& operator=(Handle&& other) noexcept {
      if (this != &other) {
        Release();
        pool_ = std::exchange(other.pool_, nullptr);
        entry_ = std::move(other.entry_);
      }
      return *this;
    }
    const ReadableFile* operator->() const;
    const ReadableFile& operator*() const { return *operator->(); }

   private:
    friend class HandlePool;
    Handle(HandlePool* pool, std::shared_ptr<Entry> entry)
        : pool_(pool), entry_(std::move(entry)) {}
    void Release();
    HandlePool* pool_ = nullptr;
    std::shared_ptr<Entry> entry_;
  };

  /// `max_open` at least 1.
  HandlePool(std::shared_ptr<FileSystem> files, size_t max_open,
             std::chrono::milliseconds max_wait = std::chrono::seconds(10));
  ~HandlePool();

  /// The file, open. An error of opening is not remembered.
  Result<Handle> Get(const std::string& path);
  /// Open the path anew the next time; handles that are out keep what they have.
  void Forget(const std::string& path);
  Counters counters() const;

 private:
  void Unpin(const std::shared_ptr<Entry>& entry);
  /// Not under mutex_: close a file that is no longer in the pool, then count it out.
  void CloseAndMakeRoom(std::shared_ptr<const ReadableFile> file);
  /// Under mutex_: close the file that was used longest ago. False: all are pinned.
  bool Evict(std::shared_ptr<const ReadableFile>* closed);

  const std::shared_ptr<FileSystem> files_;
  const size_t max_open_;
  const std::chrono::milliseconds max_wait_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::string, std::shared_ptr<Entry>> by_path_;
  std::list<std::shared_ptr<Entry>> unpinned_;  // used longest ago first
  Counters counters_;                           // open counts those being opened, too
};

}  // namespace marble::io
