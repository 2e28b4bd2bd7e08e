// The tool of the fault and power-loss tests is a promise too: what was synced is never lost, what
// was not is lost in every way that a disk may lose it, and the n-th call fails.
#include "io/fault_injection_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <thread>

#include "io/memory_file_system.h"

namespace marble::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr int kSeeds = 200;

class FaultTest : public testing::Test {
 protected:
  FaultTest() { Reset(); }
  void Reset(FaultInjectionOptions options = {}) {
    base_ = std::make_shared<MemoryFileSystem>();
    EXPECT_TRUE(base_->CreateDirs("/disk/old").ok());
    EXPECT_TRUE(base_->WriteFileAtomically("/disk/before", "was there").ok());
    EXPECT_TRUE(base_->WriteFileAtomically("/disk/old/file", "old").ok());
    fs_ = *FaultInjectionFileSystem::Make(base_, "/disk", options);
  }
  std::unique_ptr<WritableFile> Create(const std::string& path, const std::string& bytes) {
    auto file = *fs_->Create(path);
    EXPECT_TRUE(file->Append(bytes).ok());
    return file;
  }
  /// The disk after a power loss: content by path, below /disk.
  std::map<std::string, std::string> After(uint64_t seed) {
    fs_->LosePower(seed);
    auto disk = std::make_shared<MemoryFileSystem>();
    EXPECT_TRUE(fs_->Restore(disk.get(), "/disk").ok());
    std::map<std::string, std::string> files;
    Walk(disk.get(), "/disk", "", &files);
    return files;
  }

  std::shared_ptr<MemoryFileSystem> base_;
  std::shared_ptr<FaultInjectionFileSystem> fs_;

 private:
  void Walk(FileSystem* disk, const std::string& path, const std::string& name,
            std::map<std::string, std::string>* files) {
    for (const std::string& child : *disk->List(path)) {
      const std::string child_path = path + "/" + child;
      const std::string child_name = name.empty() ? child : name + "/" + child;
      if ((*disk->Stat(child_path))->is_directory) {
        (*files)[child_name + "/"] = "";
        Walk(disk, child_path, child_name, files);
      } else {
        (*files)[child_name] = *disk->ReadFile(child_path);
      }
    }
  }
};

TEST(PlaceOfTest, IsTheKindOfAFile) {
  EXPECT_EQ(PlaceOf("/db/7/000012.arrow"), "N.arrow");
  EXPECT_EQ(PlaceOf("/db/MANIFEST-000001"), "MANIFEST-N");
  EXPECT_EQ(PlaceOf("CURRENT.tmp"), "CURRENT.tmp");
  EXPECT_EQ(PlaceOf("/db/12-34"), "N-N");
}

// --- Faults -----------------------------------------------------------------------------------

TEST_F(FaultTest, TheNthCallOfAClassFailsOnce) {
  fs_->Inject({.op = FileOp::kCreate, .place = "N.arrow", .nth = 2, .error = EMFILE});
  EXPECT_TRUE(fs_->Create("/disk/1.idx").ok());
  EXPECT_TRUE(fs_->Create("/disk/1.arrow").ok());
  EXPECT_TRUE(fs_->Map("/disk/1.arrow").ok());
  const Status failed = fs_->Create("/disk/22.arrow").status();
  EXPECT_THAT(failed.message(),
              AllOf(HasSubstr("create /disk/22.arrow"), HasSubstr("Too many open files")));
  EXPECT_FALSE(*base_->Exists("/disk/22.arrow")) << "a failed call does nothing";
  EXPECT_TRUE(fs_->Create("/disk/22.arrow").ok());
  EXPECT_EQ(fs_->injected(), 1u);
  const auto calls = fs_->calls();
  EXPECT_EQ(calls.at({FileOp::kCreate, "N.arrow"}), 3u);
  EXPECT_EQ(calls.at({FileOp::kCreate, "N.idx"}), 1u);
  EXPECT_EQ(calls.at({FileOp::kMap, "N.arrow"}), 1u);
}

TEST_F(FaultTest, AFaultMayStayUntilItIsHealed) {
  auto file = Create("/disk/f", "1");
  fs_->Inject({.op = FileOp::kAppend, .error = ENOSPC, .permanent = true});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(CodeOf(file->Append("2")), ErrorCode::kNoSpace);
  EXPECT_TRUE(file->Sync().ok()) << "other classes are left alone";
  fs_->Heal();
  EXPECT_TRUE(file->Append("3").ok());
  EXPECT_EQ(*base_->ReadFile("/disk/f"), "13");
  EXPECT_EQ(fs_->injected(), 3u);
}

TEST_F(FaultTest, EveryOperationCanFailAndNamesItselfAndThePath) {
  const std::string path = "/disk/before";
  const std::map<FileOp, std::function<Status()>> calls = {
      {FileOp::kStat, [&] { return fs_->Stat(path).status(); }},
      {FileOp::kCreateDirs, [&] { return fs_->CreateDirs("/disk/a"); }},
      {FileOp::kList, [&] { return fs_->List("/disk").status(); }},
      {FileOp::kRemove, [&] { return fs_->Remove(path); }},
      {FileOp::kRemoveDir, [&] { return fs_->RemoveDir("/disk/old"); }},
      {FileOp::kRename, [&] { return fs_->Rename(path, "/disk/b"); }},
      {FileOp::kLink, [&] { return fs_->Link(path, "/disk/b"); }},
      {FileOp::kCopy, [&] { return fs_->Copy(path, "/disk/b"); }},
      {FileOp::kSyncDir, [&] { return fs_->SyncDir("/disk"); }},
      {FileOp::kSyncFile, [&] { return fs_->SyncFile(path); }},
      {FileOp::kReadFile, [&] { return fs_->ReadFile(path).status(); }},
      {FileOp::kCreate, [&] { return fs_->Create("/disk/b").status(); }},
      {FileOp::kOpen, [&] { return fs_->Open(path).status(); }},
      {FileOp::kMap, [&] { return fs_->Map(path).status(); }},
      {FileOp::kCreateLog,
       [&] { return fs_->CreateLog("/disk/b", 4096, LogFileKind::kAny).status(); }},
      {FileOp::kOpenLog, [&] { return fs_->OpenLog(path).status(); }},
      {FileOp::kLock, [&] { return fs_->Lock("/disk/LOCK").status(); }},
      {FileOp::kDiskSpace, [&] { return fs_->DiskSpace("/disk").status(); }},
  };
  for (const auto& [op, call] : calls) {
    fs_->Inject({.op = op});
    const Status status = call();
    EXPECT_EQ(CodeOf(status), ErrorCode::kIo) << FileOpName(op);
    EXPECT_THAT(status.message(), AllOf(HasSubstr(std::string(FileOpName(op)) + " /disk"),
                                        HasSubstr("Input/output error")));
  }
  auto file = *fs_->Create("/disk/new");
  auto reader = *fs_->Open(path);
  auto log = *fs_->CreateLog("/disk/1.log", 4096, LogFileKind::kWritten);
  char byte;
  const std::map<FileOp, std::function<Status()>> of_files = {
      {FileOp::kAppend, [&] { return file->Append("x"); }},
      {FileOp::kSync, [&] { return file->Sync(); }},
      {FileOp::kClose, [&] { return file->Close(); }},
      {FileOp::kReadAt, [&] { return reader->ReadAt(0, 1, &byte).status(); }},
      {FileOp::kPublish, [&] { return log->Publish(0, 1); }},
      {FileOp::kSyncLog, [&] { return log->Sync(); }},
  };
  for (const auto& [op, call] : of_files) {
    fs_->Inject({.op = op});
    EXPECT_EQ(CodeOf(call()), ErrorCode::kIo) << FileOpName(op);
  }
  EXPECT_EQ(calls.size() + of_files.size(), static_cast<size_t>(FileOp::kDiskSpace) + 1)
      << "an operation is not tested";
  EXPECT_EQ(fs_->injected(), calls.size() + of_files.size());
  EXPECT_THAT(*base_->List("/disk"), UnorderedElementsAre("before", "old", "new", "1.log"));
}

TEST_F(FaultTest, APublishOfAMappedLogIsNoCall) {
  auto log = *fs_->CreateLog("/disk/1.log", 4096, LogFileKind::kAny);
  ASSERT_EQ(log->kind(), LogFileKind::kMapped);
  const uint64_t before = fs_->total_calls();
  EXPECT_TRUE(log->Publish(0, 100).ok());
  EXPECT_EQ(fs_->total_calls(), before);
  Reset({.log_kind = LogFileKind::kWritten});
  log = *fs_->CreateLog("/disk/1.log", 4096, LogFileKind::kAny);
  EXPECT_EQ(log->kind(), LogFileKind::kWritten);
}

// --- Power loss: content ----------------------------------------------------------------------

TEST_F(FaultTest, WhatWasThereBeforeIsDurable) {
  for (int seed = 0; seed < 20; ++seed) {
    Reset();
    const auto disk = After(seed);
    EXPECT_EQ(disk, (std::map<std::string, std::string>{
                        {"before", "was there"}, {"old/", ""}, {"old/file", "old"}}));
  }
}

TEST_F(FaultTest, EveryCallFailsAfterThePowerLoss) {
  auto file = Create("/disk/f", "1");
  fs_->LosePower(1);
  for (const Status& status : {file->Append("2"), file->Sync(), fs_->Remove("/disk/before"),
                               fs_->Stat("/disk/f").status(), fs_->SyncDir("/disk")}) {
    EXPECT_EQ(CodeOf(status), ErrorCode::kIo);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("/disk"), HasSubstr("the power is off")));
  }
  EXPECT_EQ(*base_->ReadFile("/disk/f"), "1") << "the base is not written to any more";
  EXPECT_EQ(
      CodeOf(
          FaultInjectionFileSystem::Make(base_, "/disk").ValueOrDie()->Restore(base_.get(), "/x")),
      ErrorCode::kInvalidArgument);
}

TEST_F(FaultTest, ThePowerFailsJustBeforeTheNthCall) {
  fs_->LosePowerAt(3, 7);
  EXPECT_TRUE(fs_->Exists("/disk/before").ok());
  EXPECT_TRUE(fs_->CreateDirs("/disk/new").ok());
  EXPECT_FALSE(fs_->power_lost());
  EXPECT_FALSE(fs_->Create("/disk/N1").ok());
  EXPECT_TRUE(fs_->power_lost());
  EXPECT_EQ(fs_->report().at, (FileCall{FileOp::kCreate, "NN"}));
  EXPECT_FALSE(*base_->Exists("/disk/N1"));
}

TEST_F(FaultTest, SyncedBytesUnderASyncedNameAreNeverLost) {
  const std::string first(10'000, 'a'), second(9'000, 'b');
  for (int seed = 0; seed < kSeeds; ++seed) {
    Reset();
    auto file = Create("/disk/f", first);
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(fs_->SyncDir("/disk").ok());
    ASSERT_TRUE(file->Append(second).ok());
    auto disk = After(seed);
    ASSERT_TRUE(disk.contains("f")) << seed;
    ASSERT_EQ(disk["f"].substr(0, first.size()), first) << seed;
  }
}

TEST_F(FaultTest, UnsyncedPagesAreKeptDroppedAndTornAndLengthsVary) {
  PowerLossReport total;
  std::set<size_t> sizes;
  bool torn_inside = false;
  const std::string old_bytes(3 * 4096 + 100, 'a');
  for (int seed = 0; seed < kSeeds; ++seed) {
    Reset();
    auto file = Create("/disk/f", old_bytes);
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(fs_->SyncDir("/disk").ok());
    ASSERT_TRUE(file->Append(std::string(5 * 4096, 'b')).ok());
    const std::string bytes = After(seed)["f"];
    sizes.insert(bytes.size());
    ASSERT_GE(bytes.size(), old_bytes.size());
    ASSERT_LE(bytes.size(), old_bytes.size() + 5 * 4096);
    // Each sector is old or new as a whole: new ones are 'b', or 'a' up to the old end.
    for (size_t at = 0; at < bytes.size(); ++at) {
      const char expected = at < old_bytes.size() ? 'a' : 'b';
      ASSERT_TRUE(bytes[at] == expected || (bytes[at] == 0 && at >= old_bytes.size())) << at;
      if (at % 512 != 0 && at > old_bytes.size() && bytes[at] != bytes[at - 1]) {
        FAIL() << "torn inside a sector, at " << at;
      }
      torn_inside |= at % 4096 != 0 && at > old_bytes.size() && bytes[at] != bytes[at - 1];
    }
    const PowerLossReport report = fs_->report();
    total.pages_kept += report.pages_kept;
    total.pages_dropped += report.pages_dropped;
    total.pages_torn += report.pages_torn;
  }
  EXPECT_GT(total.pages_kept, 100u);
  EXPECT_GT(total.pages_dropped, 100u);
  EXPECT_GT(total.pages_torn, 100u);
  EXPECT_TRUE(torn_inside);
  EXPECT_TRUE(sizes.contains(old_bytes.size()));
  EXPECT_TRUE(sizes.contains(old_bytes.size() + 5 * 4096));
  EXPECT_GE(sizes.size(), 4u);
}

TEST_F(FaultTest, StoresIntoAMappedLogAreSeenAndSyncedAsOfTheSync) {
  int kept = 0, lost = 0, short_file = 0;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Reset();
    auto log = *fs_->CreateLog("/disk/1.log", 64 * 1024, LogFileKind::kMapped);
    ASSERT_TRUE(fs_->SyncDir("/disk").ok());
    if (seed % 4 == 3) {  // nothing synced: not even the length
      std::memset(log->data(), 'x', 4096);
      short_file += After(seed)["1.log"].size() < log->size();
      continue;
    }
    std::memset(log->data(), 'x', 10'000);
    ASSERT_TRUE(log->Sync().ok());
    std::memset(log->data() + 4096, 'y', 4096);      // a page that was synced
    std::memset(log->data() + 5 * 4096, 'z', 4096);  // one that was not
    const std::string bytes = After(seed)["1.log"];
    ASSERT_EQ(bytes.size(), log->size()) << "the length was synced";
    ASSERT_EQ(bytes.substr(0, 4096), std::string(4096, 'x'));
    ASSERT_EQ(bytes.substr(2 * 4096, 10'000 - 2 * 4096), std::string(10'000 - 2 * 4096, 'x'));
    const char y = bytes[2 * 4096 - 1], z = bytes[6 * 4096 - 1];
    ASSERT_TRUE(y == 'x' || y == 'y');
    ASSERT_TRUE(z == 0 || z == 'z');
    kept += y == 'y';
    lost += y == 'x';
  }
  EXPECT_GT(kept, 20);
  EXPECT_GT(lost, 20);
  EXPECT_GT(short_file, 10);
}

TEST_F(FaultTest, PublishedBytesOfAWrittenLogAreOnTheDiskOnlyWhenSynced) {
  int lost = 0;
  for (int seed = 0; seed < 50; ++seed) {
    Reset();
    auto log = *fs_->CreateLog("/disk/1.log", 64 * 1024, LogFileKind::kWritten);
    ASSERT_TRUE(fs_->SyncDir("/disk").ok());
    std::memset(log->data(), 'x', 3 * 4096);
    ASSERT_TRUE(log->Publish(0, 4096).ok());
    ASSERT_TRUE(log->Sync().ok());
    ASSERT_TRUE(log->Publish(4096, 8192).ok());
    const std::string bytes = After(seed)["1.log"];
    ASSERT_EQ(bytes.substr(0, 4096), std::string(4096, 'x'));
    ASSERT_EQ(bytes[3 * 4096 - 1], 0) << "never published";
    lost += bytes[2 * 4096 - 1] == 0;
  }
  EXPECT_GT(lost, 5);
}

TEST_F(FaultTest, AfterAFailedSyncLaterOnesSucceedAndDoNotWriteTheLostPages) {
  for (int seed = 0; seed < 50; ++seed) {
    Reset();
    auto file = Create("/disk/f", std::string(4096, 'a'));
    auto log = *fs_->CreateLog("/disk/1.log", 3 * 4096, LogFileKind::kAny);
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(log->Sync().ok());
    ASSERT_TRUE(fs_->SyncDir("/disk").ok());
    ASSERT_TRUE(file->Append(std::string(4096, 'b')).ok());
    log->data()[0] = 'l';
    log->data()[4096] = 'm';
    fs_->Inject({.op = FileOp::kSync});
    EXPECT_FALSE(file->Sync().ok());
    fs_->Inject({.op = FileOp::kSyncLog});
    EXPECT_FALSE(log->Sync().ok());
    log->data()[4097] = 'n';  // dirty again: the whole page is written now
    EXPECT_TRUE(file->Append(std::string(4096, 'c')).ok());
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_TRUE(log->Sync().ok());
    auto disk = After(seed);
    ASSERT_EQ(disk["f"], std::string(4096, 'a') + std::string(4096, '\0') + std::string(4096, 'c'));
    ASSERT_EQ(disk["1.log"][0], 0);
    ASSERT_EQ(disk["1.log"].substr(4096, 2), "mn");
  }
}

// --- Power loss: names ------------------------------------------------------------------------

TEST_F(FaultTest, AnUnsyncedNameMayBeLostWhateverBecameOfTheContent) {
  int there = 0, lost = 0;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Reset();
    auto file = Create("/disk/f", "content");
    ASSERT_TRUE(file->Sync().ok());
    const auto disk = After(seed);
    if (disk.contains("f")) {
      ++there;
      ASSERT_EQ(disk.at("f"), "content");
    } else {
      ++lost;
    }
  }
  EXPECT_GT(there, 20);
  EXPECT_GT(lost, 20);
}

TEST_F(FaultTest, ARenameIsAtomic) {
  std::map<std::string, int> seen;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Reset();
    auto file = Create("/disk/before.tmp", "new");
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(fs_->Rename("/disk/before.tmp", "/disk/before").ok());
    auto disk = After(seed);
    ASSERT_TRUE(disk.contains("before"));
    ++seen[disk["before"] + (disk.contains("before.tmp") ? "+tmp" : "")];
  }
  EXPECT_EQ(seen.size(), 3u) << "old, old with the temporary file, new";
  EXPECT_GT(seen["new"], 20);
  EXPECT_GT(seen["was there"] + seen["was there+tmp"], 20);
}

TEST_F(FaultTest, ARemovedFileMayComeBackWithItsContentAndALinkKeepsIt) {
  int back = 0;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Reset();
    ASSERT_TRUE(fs_->Link("/disk/old/file", "/disk/old/link").ok());
    ASSERT_TRUE(fs_->SyncDir("/disk/old").ok());
    ASSERT_TRUE(fs_->Remove("/disk/before").ok());
    ASSERT_TRUE(fs_->Remove("/disk/old/file").ok());
    ASSERT_TRUE(fs_->SyncDir("/disk/old").ok());
    auto disk = After(seed);
    ASSERT_FALSE(disk.contains("old/file")) << "the removal was synced";
    ASSERT_EQ(disk.at("old/link"), "old");
    if (disk.contains("before")) {
      ++back;
      ASSERT_EQ(disk["before"], "was there");
    }
  }
  EXPECT_GT(back, 20);
  EXPECT_LT(back, kSeeds - 20);
}

TEST_F(FaultTest, ChangesOfOneNameAreKeptInOrder) {
  std::set<std::string> seen;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Reset();
    for (const char* content : {"1", "2", "3"}) {
      auto file = Create("/disk/tmp", content);
      ASSERT_TRUE(file->Sync().ok());
      ASSERT_TRUE(fs_->Rename("/disk/tmp", "/disk/f").ok());
    }
    ASSERT_TRUE(fs_->Remove("/disk/f").ok());
    auto disk = After(seed);
    const std::string state = (disk.contains("tmp") ? "tmp=" + disk["tmp"] : "") +
                              (disk.contains("f") ? " f=" + disk["f"] : "");
    seen.insert(state);
  }
  const std::set<std::string> possible = {"",     "tmp=1",     " f=1", "tmp=2 f=1",
                                          " f=2", "tmp=3 f=2", " f=3"};
  for (const std::string& state : seen) EXPECT_TRUE(possible.contains(state)) << state;
  EXPECT_GE(seen.size(), 6u);
}

TEST_F(FaultTest, AFolderThatWasNotSyncedInItsParentIsLostWithAllThatIsInIt) {
  int lost = 0;
  for (int seed = 0; seed < 100; ++seed) {
    Reset();
    ASSERT_TRUE(fs_->CreateDirs("/disk/a/b").ok());
    auto file = Create("/disk/a/b/f", "1");
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(fs_->SyncDir("/disk/a/b").ok());
    ASSERT_TRUE(fs_->SyncDir("/disk/a").ok());
    auto disk = After(seed);
    ASSERT_EQ(disk.contains("a/"), disk.contains("a/b/f"));
    lost += !disk.contains("a/");
  }
  EXPECT_GT(lost, 10);
  Reset();
  ASSERT_TRUE(fs_->CreateDirs("/disk/a/b").ok());
  for (const char* path : {"/disk", "/disk/a"}) ASSERT_TRUE(fs_->SyncDir(path).ok());
  EXPECT_TRUE(After(1).contains("a/b/"));
}

TEST_F(FaultTest, NamesMoveBetweenFoldersAsOneStep) {
  std::set<std::string> seen;
  for (int seed = 0; seed < 100; ++seed) {
    Reset();
    ASSERT_TRUE(fs_->Rename("/disk/before", "/disk/old/moved").ok());
    if (seed % 2) {
      ASSERT_TRUE(fs_->SyncDir("/disk").ok());
    }
    auto disk = After(seed);
    ASSERT_NE(disk.contains("before"), disk.contains("old/moved"));
    if (seed % 2) {
      ASSERT_TRUE(disk.contains("old/moved"));
    }
    seen.insert(disk.contains("before") ? "old" : "new");
  }
  EXPECT_EQ(seen.size(), 2u);
}

TEST_F(FaultTest, OneSeedGivesOneDisk) {
  for (uint64_t seed : {1, 2, 3, 4, 5}) {
    std::map<std::string, std::string> first;
    for (int round = 0; round < 2; ++round) {
      Reset();
      auto file = Create("/disk/a", std::string(50'000, 'a'));
      auto other = Create("/disk/b", std::string(50'000, 'b'));
      ASSERT_TRUE(other->Sync().ok());
      ASSERT_TRUE(fs_->Remove("/disk/before").ok());
      if (round == 0) {
        first = After(seed);
      } else {
        EXPECT_EQ(After(seed), first);
      }
    }
  }
}

TEST_F(FaultTest, EachObjectIsABootOfItsOwn) {
  const std::string boot = fs_->BootId();
  EXPECT_EQ(boot.size(), 36u);
  Reset();
  EXPECT_NE(fs_->BootId(), boot);
}

TEST_F(FaultTest, ManyThreadsWriteWhileThePowerFails) {
  std::vector<std::thread> threads;
  auto log = *fs_->CreateLog("/disk/1.log", 1 << 20, LogFileKind::kMapped);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !fs_->power_lost(); ++i) {
        std::memset(log->data() + t * 4096, i, 4096);
        (void)log->Sync();
        const std::string path = "/disk/" + std::to_string(t) + "-" + std::to_string(i);
        auto file = fs_->Create(path);
        if (!file.ok()) break;
        (void)(*file)->Append("x");
        (void)fs_->SyncDir("/disk");
        (void)fs_->Remove(path);
      }
    });
  }
  fs_->LosePowerAt(500, 3);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(After(0).at("before"), "was there");
}

}  // namespace
}  // namespace marble::io
