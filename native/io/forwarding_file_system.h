// A file system that hands everything on to another one: the base of those that change a part.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/file_system.h"

namespace marble::io {

class ForwardingFileSystem : public FileSystem {
 public:
  explicit ForwardingFileSystem(std::shared_ptr<FileSystem> base) : base_(std::move(base)) {}

  Result<std::optional<FileInfo>> Stat(const std::string& path) override {
    return base_->Stat(path);
  }
  Status CreateDirs(const std::string& path) override { return base_->CreateDirs(path); }
  Result<std::vector<std::string>> List(const std::string& path) override {
    return base_->List(path);
  }
  Status Remove(const std::string& path) override { return base_->Remove(path); }
  Status RemoveDir(const std::string& path) override { return base_->RemoveDir(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    return base_->Rename(from, to);
  }
  Status Link(const std::string& from, const std::string& to) override {
    return base_->Link(from, to);
  }
  Status Copy(const std::string& from, const std::string& to) override {
    return base_->Copy(from, to);
  }
  Status SyncDir(const std::string& path) override { return base_->SyncDir(path); }
  Status SyncFile(const std::string& path) override { return base_->SyncFile(path); }
  Result<std::string> ReadFile(const std::string& path) override { return base_->ReadFile(path); }
  Result<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    return base_->Create(path);
  }
  Result<std::shared_ptr<ReadableFile>> Open(const std::string& path) override {
    return base_->Open(path);
  }
  Result<std::shared_ptr<MappedFile>> Map(const std::string& path) override {
    return base_->Map(path);
  }
  Result<std::shared_ptr<LogFile>> CreateLog(const std::string& path, size_t size,
                                             LogFileKind kind) override {
    return base_->CreateLog(path, size, kind);
  }
  Result<std::shared_ptr<LogFile>> OpenLog(const std::string& path) override {
    return base_->OpenLog(path);
  }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    return base_->Lock(path);
  }
  Result<SpaceInfo> DiskSpace(const std::string& path) override { return base_->DiskSpace(path); }
  std::string BootId() override { return base_->BootId(); }

 protected:
  FileSystem* base() const { return base_.get(); }

 private:
  const std::shared_ptr<FileSystem> base_;
};

}  // namespace marble::io
