// Full disks, failing fdatasyncs and SIGKILL.
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <new>
#include <thread>

#include "wal_fixture.h"

namespace marble::lsm {
namespace {

using WalFaultTest = WalTest;
INSTANTIATE_TEST_SUITE_P(Kinds, WalFaultTest,
                         testing::Values(io::LogFileKind::kMapped, io::LogFileKind::kWritten),
                         KindName);

/// A file system of a given size; only root can have one.
class SmallDisk {
 public:
  explicit SmallDisk(std::string at) : at_(std::move(at)) {
    mounted_ = ::mount("tmpfs", at_.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  bool Grow() { return ::mount("tmpfs", at_.c_str(), "tmpfs", MS_REMOUNT, "size=16m") == 0; }

 private:
  std::string at_;
  bool mounted_;
};

/// No file of this process may grow beyond a size: EFBIG, without SIGXFSZ.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    old_handler_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_);
    Set(bytes);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, old_handler_);
  }
  void Set(rlim_t bytes) {
    rlimit limit = old_;
    limit.rlim_cur = std::min(bytes, old_.rlim_max);
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }

 private:
  rlimit old_;
  sighandler_t old_handler_;
};

TEST_P(WalFaultTest, AFullDiskFailsTheAppendThatNeedsRoomAndNothingElse) {
  SmallDisk disk(dir_.path());
  if (!disk.mounted()) GTEST_SKIP() << "cannot mount a tmpfs: not root";
  auto writer = OpenWriter(Options(256 * 1024));
  uint64_t acknowledged = 0;
  Status full;
  for (uint64_t i = 1; i <= 100; ++i) {
    const std::string payload = PayloadFor(i, 60'000);
    auto record = writer->Append(payload.size(), FillWith(payload), Ignore);
    if (!record.ok()) {
      full = record.status();
      break;
    }
    ++acknowledged;
  }
  EXPECT_EQ(CodeOf(full), ErrorCode::kNoSpace) << full;
  EXPECT_THAT(full.message(), testing::HasSubstr(dir_.path()));
  EXPECT_GE(acknowledged, 12u);
  // Smaller records still fit into the segment that is there.
  MustAppend(writer.get(), PayloadFor(++acknowledged, 50));
  EXPECT_TRUE(writer->background_error().ok());

  ASSERT_TRUE(disk.Grow());
  for (int i = 0; i < 20; ++i) MustAppend(writer.get(), PayloadFor(++acknowledged, 60'000));
  EXPECT_TRUE(writer->Sync(writer->published()).ok());
  writer.reset();

  auto recovered = Recover(RecoveryOf(dir_));
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  ASSERT_EQ(recovered->records.size(), acknowledged);
  for (uint64_t i = 0; i < acknowledged; ++i) {
    EXPECT_EQ(recovered->records[i].first, i + 1);  // a failed append takes no sequence
    EXPECT_EQ(recovered->records[i].second, PayloadFor(i + 1, recovered->records[i].second.size()));
  }
  recovered = Recovered();
}

TEST_P(WalFaultTest, AFileThatMayNotGrowFailsTheAppendThatNeedsItAndNothingElse) {
  auto writer = OpenWriter(Options());
  MustAppend(writer.get(), PayloadFor(1, 100));
  {
    FileSizeLimit limit(32 * 1024);
    const std::string payload = PayloadFor(2, 64 * 1024);
    const Status status = writer->Append(payload.size(), FillWith(payload), Ignore).status();
    EXPECT_EQ(CodeOf(status), ErrorCode::kIo) << status;
    EXPECT_THAT(status.message(), testing::HasSubstr(dir_.File(2)));
    EXPECT_EQ(CountFiles(dir_), 1u) << "the file that could not be made is still there";
  }
  MustAppend(writer.get(), PayloadFor(2, 64 * 1024));
  writer.reset();
  auto recovered = Recover(RecoveryOf(dir_));
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->records.size(), 2u);
}

/// Options whose segment files count their syncs and fail when told to.
class WalSyncTest : public WalTest {
 protected:
  LogOptions Watched(WatchedLogFile::SyncHook on_sync) {
    LogOptions options = Options();
    options.file_system = std::make_shared<LogKindFileSystem>(GetParam(), std::move(on_sync));
    return options;
  }
};
INSTANTIATE_TEST_SUITE_P(Kinds, WalSyncTest,
                         testing::Values(io::LogFileKind::kMapped, io::LogFileKind::kWritten),
                         KindName);

TEST_P(WalSyncTest, AFailedSyncMakesTheLogReadOnlyForEver) {
  std::atomic<bool> broken{false};
  auto writer = OpenWriter(Watched([&](io::LogFile& file) {
    return broken ? IoError("fdatasync", file.path(), EIO) : file.Sync();
  }));
  const LogPosition durable = MustAppend(writer.get(), "durable").end;
  ASSERT_TRUE(writer->Sync(durable).ok());
  EXPECT_EQ(writer->synced(), durable);
  const LogPosition lost = MustAppend(writer.get(), "maybe lost").end;
  broken = true;
  const Status failed = writer->Sync(lost);
  EXPECT_EQ(CodeOf(failed), ErrorCode::kReadOnly) << failed;
  EXPECT_THAT(failed.message(), testing::AllOf(testing::HasSubstr(dir_.File(1)),
                                               testing::HasSubstr("Input/output error")));
  broken = false;  // a second fdatasync that says OK proves nothing
  EXPECT_EQ(CodeOf(writer->Sync(lost)), ErrorCode::kReadOnly);
  EXPECT_EQ(writer->synced(), durable);
  EXPECT_TRUE(writer->Sync(durable).ok());
  EXPECT_EQ(CodeOf(writer->Append(1, FillWith("x"), Ignore).status()), ErrorCode::kReadOnly);
  EXPECT_EQ(CodeOf(writer->Roll({}).status()), ErrorCode::kReadOnly);
  EXPECT_EQ(writer->background_error().message(), failed.message());
  EXPECT_EQ(CodeOf(writer->Close()), ErrorCode::kReadOnly);
}

TEST_P(WalSyncTest, AFailedSyncOfASealedSegmentMakesTheLogReadOnly) {
  auto writer = OpenWriter(
      Watched([&](io::LogFile& file) { return IoError("fdatasync", file.path(), EIO); }));
  MustAppend(writer.get(), "x");
  ASSERT_TRUE(writer->Roll({}).ok());
  for (int i = 0; i < 5000 && writer->background_error().ok(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(CodeOf(writer->background_error()), ErrorCode::kReadOnly);
}

TEST_P(WalSyncTest, AFailedPublishMakesTheLogReadOnly) {
  auto writer = OpenWriter(Options());
  const Status failed =
      writer
          ->Append(1, FillWith("x"),
                   [](const PublishedRecord&) { return Status::Invalid("the index is full"); })
          .status();
  EXPECT_EQ(CodeOf(failed), ErrorCode::kReadOnly) << failed;
  EXPECT_THAT(failed.message(), testing::HasSubstr("the index is full"));
  EXPECT_EQ(CodeOf(writer->Append(1, FillWith("x"), Ignore).status()), ErrorCode::kReadOnly);
}

TEST_P(WalSyncTest, SyncersShareOneFdatasync) {
  std::atomic<int> syncs{0};
  auto writer = OpenWriter(Watched([&](io::LogFile& file) {
    ++syncs;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return file.Sync();
  }));
  constexpr int kThreads = 8;
  constexpr int kEach = 20;
  std::atomic<int> violations{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        const LogPosition end = MustAppend(writer.get(), "payload").end;
        if (!writer->Sync(end).ok() || writer->synced() < end) ++violations;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(violations.load(), 0);
  EXPECT_LT(syncs.load(), kThreads * kEach / 2);
}

TEST_P(WalSyncTest, NothingIsSyncedBeforeEverySegmentBelowItIs) {
  // What each file had published when it was last synced, by path.
  std::mutex mutex;
  std::map<std::string, int> syncs;
  auto writer = OpenWriter(Watched([&](io::LogFile& file) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    MARBLE_RETURN_NOT_OK(file.Sync());
    std::lock_guard lock(mutex);
    ++syncs[file.path()];
    return Status::OK();
  }));
  for (uint64_t i = 1; i <= 8; ++i) {
    const LogPosition end = MustAppend(writer.get(), PayloadFor(i, 50'000)).end;
    ASSERT_EQ(writer->current_segment(), i);
    if (i % 3 != 0) continue;
    ASSERT_TRUE(writer->Sync(end).ok());
    EXPECT_GE(writer->synced(), end);
    std::lock_guard lock(mutex);
    for (uint64_t segment = 1; segment <= i; ++segment) {
      EXPECT_GE(syncs[dir_.File(segment)], 1) << "segment " << segment;
    }
  }
  const Status ahead = writer->Sync(writer->published() + 1);
  EXPECT_EQ(CodeOf(ahead), ErrorCode::kInvalidArgument) << ahead;
}

// --- SIGKILL --------------------------------------------------------------------------------

constexpr int kKillThreads = 4;

/// Shared with the child: how many appends of each thread have been acknowledged.
struct Acknowledged {
  std::atomic<uint64_t> count[kKillThreads];
};

/// In the child: append for ever. Payload: thread, number within the thread, bytes.
[[noreturn]] void AppendUntilKilled(LogWriter* writer, Acknowledged* acknowledged) {
  std::vector<std::thread> threads;
  for (int t = 0; t < kKillThreads; ++t) {
    threads.emplace_back([=] {
      for (uint64_t i = acknowledged->count[t].load();; ++i) {
        std::string payload = PayloadFor(i * kKillThreads + static_cast<uint64_t>(t),
                                         16 + (i * 37 + static_cast<uint64_t>(t)) % 700);
        StoreFixed<uint64_t>(payload.data(), static_cast<uint64_t>(t));
        StoreFixed<uint64_t>(payload.data() + 8, i);
        if (!writer->Append(payload.size(), FillWith(payload), Ignore).ok()) ::_exit(3);
        acknowledged->count[t].store(i + 1);
      }
    });
  }
  for (;;) ::pause();
}

TEST_P(WalFaultTest, SigkillAtAnyMomentLosesNoAcknowledgedRecord) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer refuses threads in a forked process";
#endif
  void* shared = ::mmap(nullptr, sizeof(Acknowledged), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto* acknowledged = new (shared) Acknowledged();
  std::mt19937 random(testing::UnitTest::GetInstance()->random_seed());
  // Every round goes on in the log that the one before left behind.
  Recovered recovered;
  std::vector<FixedEnd> ends;
  uint64_t first_segment = 1;
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto writer = LogWriter::Open(Options(), recovered.result.last_segment + 1,
                                    recovered.result.end, recovered.result.last_sequence + 1);
      if (!writer.ok()) ::_exit(2);
      AppendUntilKilled(writer->get(), acknowledged);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(500 + random() % 15'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << status;

    auto options = RecoveryOf(dir_);
    options.fixed_ends = ends;
    options.first_segment = first_segment;
    auto again = Recover(options);
    ASSERT_TRUE(again.ok()) << "round " << round << ": " << again.status();
    recovered = std::move(*again);
    ends = recovered.result.ends;
    // Killed before it wrote anything: its segment is gone, and the log begins with the next one.
    if (ends.empty()) first_segment = recovered.result.last_segment + 1;
    uint64_t next[kKillThreads] = {};
    SequenceNumber last = 0;
    for (const auto& [sequence, payload] : recovered.records) {
      ASSERT_EQ(sequence, last + 1);
      last = sequence;
      const auto t = LoadFixed<uint64_t>(payload.data());
      const auto i = LoadFixed<uint64_t>(payload.data() + 8);
      ASSERT_LT(t, static_cast<uint64_t>(kKillThreads));
      ASSERT_EQ(i, next[t]++);
      ASSERT_EQ(payload.substr(16), PayloadFor(i * kKillThreads + t, payload.size()).substr(16));
    }
    for (int t = 0; t < kKillThreads; ++t) {
      ASSERT_GE(next[t], acknowledged->count[t].load()) << "thread " << t << ", round " << round;
      // A record may have been complete without having been acknowledged: go on behind it.
      acknowledged->count[t].store(next[t]);
    }
  }
  EXPECT_GT(recovered.records.size(), 100u);
  ::munmap(shared, sizeof(Acknowledged));
}

}  // namespace
}  // namespace marble::lsm
