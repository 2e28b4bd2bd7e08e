// What the log's tests share: a temporary folder, payloads that can be checked, recovery into a
// list, and a log file whose Sync can be watched and made to fail.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "io/forwarding_file_system.h"
#include "lsm/wal/log_format.h"
#include "lsm/wal/log_reader.h"
#include "lsm/wal/log_writer.h"

namespace marble::lsm {

inline constexpr char kDatabaseId[] = "0123456789abcdef";
inline constexpr char kBoot[] = "6f1e9e9c-6a3b-4c58-9b0b-3a1c5f2d7e11";
inline constexpr char kOtherBoot[] = "00000000-6a3b-4c58-9b0b-3a1c5f2d7e22";

/// kMemory: where an fsync costs nothing, for tests that recover a thousand times.
enum class Place { kDisk, kMemory };

class TempDir {
 public:
  explicit TempDir(Place place = Place::kDisk) {
    std::filesystem::path parent = std::filesystem::temp_directory_path();
    if (place == Place::kMemory && std::filesystem::is_directory("/dev/shm")) {
      parent = "/dev/shm";
    }
    std::string pattern = parent / "marble-wal-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string File(uint64_t segment) const {
    return path_ + "/" + log_format::SegmentName(segment);
  }

 private:
  std::string path_;
};

/// Bytes that follow from `tag`, so that a recovered payload can be checked.
inline std::string PayloadFor(uint64_t tag, size_t bytes) {
  std::string payload(bytes, '\0');
  std::mt19937_64 random(tag);
  for (char& c : payload) c = static_cast<char>(random());
  return payload;
}

inline LogWriter::Fill FillWith(const std::string& payload) {
  return [&payload](uint8_t* to) {
    std::memcpy(to, payload.data(), payload.size());
    return Status::OK();
  };
}

inline Status Ignore(const PublishedRecord&) { return Status::OK(); }

struct Recovered {
  RecoveryResult result;
  std::vector<std::pair<SequenceNumber, std::string>> records;
};

inline Result<Recovered> Recover(RecoveryOptions options) {
  Recovered all;
  MARBLE_ASSIGN_OR_RETURN(
      all.result, RecoverLog(options, [&](const PublishedRecord& record) {
        all.records.emplace_back(
            record.sequence,
            std::string(reinterpret_cast<const char*>(record.payload), record.payload_bytes));
        return Status::OK();
      }));
  return all;
}

inline RecoveryOptions RecoveryOf(const TempDir& dir) {
  RecoveryOptions options;
  options.dir = dir.path();
  options.database_id = kDatabaseId;
  options.boot_id = kBoot;
  options.first_segment = 1;
  return options;
}

inline std::string ReadAll(const std::string& path) {
  return io::FileSystem::Local()->ReadFile(path).ValueOrDie();
}

inline void WriteAll(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline size_t CountFiles(const TempDir& dir) {
  return io::FileSystem::Local()->List(dir.path()).ValueOrDie().size();
}

/// Hands everything on to a real file, and Sync through a hook.
class WatchedLogFile final : public io::LogFile {
 public:
  using SyncHook = std::function<Status(io::LogFile& file)>;
  WatchedLogFile(std::shared_ptr<io::LogFile> file, SyncHook on_sync)
      : file_(std::move(file)), on_sync_(std::move(on_sync)) {
    data_ = file_->data();
    size_ = file_->size();
    path_ = file_->path();
  }
  Status Publish(size_t from, size_t to) override { return file_->Publish(from, to); }
  Status Sync() override { return on_sync_(*file_); }
  void Prefault(size_t from, size_t to) override { file_->Prefault(from, to); }
  io::LogFileKind kind() const override { return file_->kind(); }

 private:
  std::shared_ptr<io::LogFile> file_;
  SyncHook on_sync_;
};

/// The local file system with log files of one kind, whose Sync goes through a hook if there is
/// one.
class LogKindFileSystem final : public io::ForwardingFileSystem {
 public:
  explicit LogKindFileSystem(io::LogFileKind kind, WatchedLogFile::SyncHook on_sync = {})
      : ForwardingFileSystem(Local()), kind_(kind), on_sync_(std::move(on_sync)) {}
  Result<std::shared_ptr<io::LogFile>> CreateLog(const std::string& path, size_t size,
                                                 io::LogFileKind) override {
    MARBLE_ASSIGN_OR_RETURN(auto file, base()->CreateLog(path, size, kind_));
    if (!on_sync_) return file;
    return std::make_shared<WatchedLogFile>(std::move(file), on_sync_);
  }

 private:
  const io::LogFileKind kind_;
  const WatchedLogFile::SyncHook on_sync_;
};

/// Every test runs over both kinds of files.
class WalTest : public testing::TestWithParam<io::LogFileKind> {
 protected:
  explicit WalTest(Place place = Place::kDisk) : dir_(place) {}

  LogOptions Options(size_t segment_bytes = 64 * 1024) {
    LogOptions options;
    options.dir = dir_.path();
    options.segment_bytes = segment_bytes;
    options.boot_id = kBoot;
    options.database_id = kDatabaseId;
    options.file_system = std::make_shared<LogKindFileSystem>(GetParam());
    return options;
  }
  std::unique_ptr<LogWriter> OpenWriter(const LogOptions& options, uint64_t segment = 1,
                                        LogPosition start = 0, SequenceNumber next = 1) {
    return LogWriter::Open(options, segment, start, next).ValueOrDie();
  }
  /// Continue a recovered log as a database does.
  std::unique_ptr<LogWriter> Continue(const Recovered& recovered) {
    return OpenWriter(Options(), recovered.result.last_segment + 1, recovered.result.end,
                      recovered.result.last_sequence + 1);
  }
  PublishedRecord MustAppend(LogWriter* writer, const std::string& payload) {
    return writer->Append(payload.size(), FillWith(payload), Ignore).ValueOrDie();
  }

  TempDir dir_;
};

inline std::string KindName(const testing::TestParamInfo<io::LogFileKind>& info) {
  return info.param == io::LogFileKind::kMapped ? "Mapped" : "Written";
}

}  // namespace marble::lsm
