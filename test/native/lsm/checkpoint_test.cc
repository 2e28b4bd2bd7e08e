// Checkpoints: a consistent cut under writers, flushes and compactions; whole or not at all.
#include <gtest/gtest.h>

#include "copies_fixture.h"
#include "io/fault_injection_file_system.h"
#include "io/memory_file_system.h"
#include "lsm/backup/checkpoint.h"

namespace marble::lsm {
namespace {

using namespace testing;

std::set<std::string> NamesIn(io::FileSystem* files, const std::string& dir) {
  const auto names = Must(files->List(dir));
  return {names.begin(), names.end()};
}

TEST(CheckpointTest, HoldsExactlyTheWritesUpToItsSequenceWhileWritersFlushesAndCompactionsRun) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    const TempDir dir;
    const auto db = Must(DB::Open(dir.path() + "/db", SmallOptions()));
    RandomWriter writer(db.get(), 2, seed);
    struct Copy {
      std::string path;
      SequenceNumber acknowledged;
      CheckpointInfo info;
    };
    std::vector<Copy> copies;
    for (int i = 0; i < 6; ++i) {
      writer.WaitFor(writer.count() + 300);
      Copy copy{dir.path() + "/copy" + std::to_string(i), writer.acknowledged(), {}};
      copy.info = Must(db->Checkpoint(copy.path, {}));
      copies.push_back(copy);
    }
    writer.Stop();
    EXPECT_GT(db->metrics().compactions, 0u);
    ASSERT_OK(db->Close());
    for (const Copy& copy : copies) {
      SCOPED_TRACE(copy.path);
      EXPECT_GE(copy.info.sequence, copy.acknowledged);
      const auto copied = Must(DB::Open(copy.path, SmallOptions()));
      EXPECT_EQ(copied->last_sequence(), copy.info.sequence);
      const Contents model = writer.ModelAt(copy.info.sequence);
      EXPECT_EQ(ContentsOf(copied.get()), model);
      // It lives on by itself.
      PutOne(copied.get(), Must(copied->GetTable("a")), "mine", "1");
      ASSERT_OK(copied->Flush());
      ASSERT_OK(copied->Close());
      const auto again = Must(DB::Open(copy.path, SmallOptions()));
      Contents later = model;
      later.a["mine"] = "1";
      EXPECT_EQ(ContentsOf(again.get()), later);
    }
    // What happens to the copies does not reach the original.
    const auto original = Must(DB::Open(dir.path() + "/db", SmallOptions()));
    EXPECT_EQ(ContentsOf(original.get()), writer.ModelAt(kMaxSequence));
  }
}

TEST(CheckpointTest, LinksTablesAndOutlivesTheOriginal) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path() + "/db", {}));
  const auto a = Must(db->CreateTable(StateFamily("a"), true));
  PutOne(db.get(), a, "k", "flushed");
  ASSERT_OK(db->Flush());
  PutOne(db.get(), a, "l", "logged");
  const CheckpointInfo info = Must(db->Checkpoint(dir.path() + "/copy/", {}));
  EXPECT_EQ(info.linked_files, 2u);
  EXPECT_EQ(info.sequence, 2u);
  const auto inode = [](const std::string& path) {
    return Must(io::FileSystem::Local()->Stat(path))->inode;
  };
  for (const std::string& name : NamesIn(io::FileSystem::Local().get(), dir.path() + "/copy")) {
    if (!name.ends_with(".arrow") && !name.ends_with(".idx")) continue;
    EXPECT_EQ(inode(dir.path() + "/copy/" + name), inode(dir.path() + "/db/" + name)) << name;
  }
  // The original rewrites and removes its files.
  WriteBatch all;
  ASSERT_OK(all.DeleteRange(a, "", ""));
  ASSERT_OK(db->Write(std::move(all), {}).status());
  ASSERT_OK(db->Compact(""));
  ASSERT_OK(db->Close());
  const auto copied = Must(DB::Open(dir.path() + "/copy", {}));
  EXPECT_EQ(ScanState(copied.get(), Must(copied->GetTable("a"))),
            (Pairs{{"k", "flushed"}, {"l", "logged"}}));
}

TEST(CheckpointTest, WritesNothingOverWhatIsThere) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path() + "/db", {}));
  ASSERT_OK(db->Checkpoint(dir.path() + "/copy", {}).status());
  const auto before = NamesIn(io::FileSystem::Local().get(), dir.path() + "/copy");
  for (const char* target : {"/copy", "/db"}) {
    const Status again = db->Checkpoint(dir.path() + target, {}).status();
    EXPECT_EQ(CodeOf(again), ErrorCode::kInvalidArgument) << again.ToString();
  }
  EXPECT_EQ(NamesIn(io::FileSystem::Local().get(), dir.path() + "/copy"), before);
  EXPECT_EQ(NamesIn(io::FileSystem::Local().get(), dir.path()),
            (std::set<std::string>{"db", "copy"}));
}

TEST(CheckpointTest, AnEmptyDatabaseAndOneThatWasJustOpenedAgainCanBeCopied) {
  const TempDir dir;
  {
    const auto db = Must(DB::Open(dir.path() + "/db", {}));
    ASSERT_OK(db->Checkpoint(dir.path() + "/empty", {}).status());
    EXPECT_TRUE(Must(DB::Open(dir.path() + "/empty", {}))->ListTables().empty());
    PutOne(db.get(), Must(db->CreateTable(StateFamily("a"), true)), "k", "v");
  }
  // The first copy of each round is taken while what was replayed may not be flushed yet.
  for (int i = 0; i < 3; ++i) {
    const auto db = Must(DB::Open(dir.path() + "/db", {}));
    const auto a = Must(db->GetTable("a"));
    Pairs want{{"k", i == 0 ? "v" : std::to_string(i - 1)}};
    for (const char* when : {"first", "flushed"}) {
      const std::string path = dir.path() + "/" + when + std::to_string(i);
      ASSERT_OK(db->Checkpoint(path, {}).status());
      const auto copied = Must(DB::Open(path, {}));
      EXPECT_EQ(ScanState(copied.get(), Must(copied->GetTable("a"))), want);
      ASSERT_OK(db->Flush());
    }
    PutOne(db.get(), a, "k", std::to_string(i));
  }
}

TEST(CheckpointTest, UnloggedTablesAreAsOfTheirLastFlush) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path() + "/db", {}));
  TableOptions unlogged;
  unlogged.logged = false;
  const auto u = Must(db->CreateTable(StateFamily("u", unlogged), true));
  const auto a = Must(db->CreateTable(StateFamily("a"), true));
  PutOne(db.get(), u, "k", "1");
  PutOne(db.get(), a, "k", "1");
  ASSERT_OK(db->Flush());
  PutOne(db.get(), u, "k", "2");
  PutOne(db.get(), a, "k", "2");
  ASSERT_OK(db->Checkpoint(dir.path() + "/copy", {}).status());
  const auto copied = Must(DB::Open(dir.path() + "/copy", {}));
  EXPECT_EQ(GetState(copied.get(), Must(copied->GetTable("u")), "k"), "1");
  EXPECT_EQ(GetState(copied.get(), Must(copied->GetTable("a")), "k"), "2");
}

TEST(CheckpointTest, ADatabaseInMemoryIsCopiedToTheDisk) {
  const TempDir dir;
  const auto db = Must(DB::Open(":memory:", {}));
  const auto a = Must(db->CreateTable(StateFamily("a"), true));
  PutOne(db.get(), a, "k", "1");
  ASSERT_OK(db->Flush());
  PutOne(db.get(), a, "l", "2");
  const CheckpointInfo info = Must(db->Checkpoint(dir.path() + "/copy", {}));
  EXPECT_EQ(info.linked_files, 0u);
  const auto copied = Must(DB::Open(dir.path() + "/copy", {}));
  EXPECT_EQ(ScanState(copied.get(), Must(copied->GetTable("a"))), (Pairs{{"k", "1"}, {"l", "2"}}));
}

TEST(CheckpointTest, CanBeCancelledAndLeavesNothing) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path() + "/db", {}));
  const auto a = Must(db->CreateTable(StateFamily("a"), true));
  PutOne(db.get(), a, "k", "1");
  ASSERT_OK(db->Flush());
  CopyControl control;
  uint64_t last = 0;
  control.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_GE(done, last);
    EXPECT_LE(done, total);
    last = done;
  };
  control.cancelled = [&] { return last > 0; };
  const Status cancelled = db->Checkpoint(dir.path() + "/copy", control).status();
  EXPECT_EQ(CodeOf(cancelled), ErrorCode::kAborted) << cancelled.ToString();
  EXPECT_EQ(NamesIn(io::FileSystem::Local().get(), dir.path()), (std::set<std::string>{"db"}));
  control.cancelled = nullptr;
  last = 0;
  ASSERT_OK(db->Checkpoint(dir.path() + "/copy", control).status());
}

TEST(CheckpointTest, ADamagedLogIsNotCopied) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path() + "/db", {}));
  const auto a = Must(db->CreateTable(StateFamily("a"), true));
  PutOne(db.get(), a, "key", std::string(100, 'x'));
  PutOne(db.get(), a, "other", "1");
  for (const std::string& name : NamesIn(io::FileSystem::Local().get(), dir.path() + "/db")) {
    if (!name.ends_with(".log")) continue;
    FILE* file = std::fopen((dir.path() + "/db/" + name).c_str(), "r+b");
    std::fseek(file, 64 + 100, SEEK_SET);  // in the first record
    std::fputc('!', file);
    std::fclose(file);
  }
  const Status copied = db->Checkpoint(dir.path() + "/copy", {}).status();
  EXPECT_EQ(CodeOf(copied), ErrorCode::kCorruption) << copied.ToString();
  EXPECT_EQ(NamesIn(io::FileSystem::Local().get(), dir.path()), (std::set<std::string>{"db"}));
}

/// A database over faults: some of it flushed, some in the log.
struct Faulty {
  std::shared_ptr<io::FaultInjectionFileSystem> files;
  std::shared_ptr<DB> db;
  Contents model;
};
Faulty MakeFaulty(bool track_power) {
  Faulty out;
  auto memory = std::make_shared<io::MemoryFileSystem>();
  Must(memory->CreateDirs("/disk"));
  out.files = Must(
      io::FaultInjectionFileSystem::Make(memory, "/disk", {io::LogFileKind::kAny, track_power}));
  DbOptions options = SmallOptions();
  options.file_system = out.files;
  out.db = Must(DB::Open("/disk/db", options));
  {
    RandomWriter writer(out.db.get(), 1, 7);
    writer.WaitFor(150);
    writer.Stop();
    out.model = writer.ModelAt(kMaxSequence);
  }
  Must(out.db->Compact(""));
  PutOne(out.db.get(), Must(out.db->GetTable("a")), "last", "1");
  out.model.a["last"] = "1";
  // So that nothing in the background, a compaction or a sync of the log's own, meets a fault that
  // is meant for others.
  Must(out.db->SyncLog());
  return out;
}

TEST(CheckpointTest, WhatItsCutNeedsStaysUntilItIsMadeAndGoesThen) {
  Faulty faulty = MakeFaulty(false);
  DB* db = faulty.db.get();
  const auto a = Must(db->GetTable("a"));
  // Behind the cut, before the first file is linked: everything in it becomes obsolete.
  std::atomic<bool> done{false};
  const std::thread::id caller = std::this_thread::get_id();
  faulty.files->SetObserver([&](const io::FileCall& call) {
    if (call.op != io::FileOp::kLock || std::this_thread::get_id() != caller) return;
    if (done.exchange(true)) return;
    PutOne(db, a, "key1", "behind the cut");  // into the range of the others
    Must(db->Flush());
    Must(db->Compact(""));
  });
  ASSERT_OK(db->Checkpoint("/disk/copy", {}).status());
  EXPECT_TRUE(done.load());
  faulty.files->SetObserver(nullptr);
  DbOptions options = SmallOptions();
  options.file_system = faulty.files;
  EXPECT_EQ(ContentsOf(Must(DB::Open("/disk/copy", options)).get()), faulty.model);
  // What was kept for it alone is gone with it.
  faulty.model.a["key1"] = "behind the cut";
  EXPECT_EQ(ContentsOf(db), faulty.model);
  size_t logs = 0;
  for (const std::string& name : NamesIn(faulty.files.get(), "/disk/db")) {
    logs += name.ends_with(".log");
  }
  EXPECT_LE(logs, 2u);
}

TEST(CheckpointTest, AnErrorOfAnyCallLeavesNothingUnderTheNameAndTheNextTrySucceeds) {
  Faulty faulty = MakeFaulty(false);
  DbOptions options = SmallOptions();
  options.file_system = faulty.files;
  const auto before = faulty.files->calls();
  ASSERT_OK(faulty.db->Checkpoint("/disk/copy0", {}).status());
  auto classes = faulty.files->calls();
  int failed = 0, round = 0;
  for (const auto& [call, count] : classes) {
    const auto it = before.find(call);
    const uint64_t times = count - (it == before.end() ? 0 : it->second);
    for (uint64_t nth = 1; nth <= std::min<uint64_t>(times, 4); ++nth) {
      SCOPED_TRACE(std::string(io::FileOpName(call.op)) + " " + call.place + " " +
                   std::to_string(nth));
      const std::string path = "/disk/copy" + std::to_string(++round);
      io::Fault fault;
      fault.op = call.op;
      fault.place = call.place;
      fault.nth = nth;
      faulty.files->Inject(fault);
      const Status status = faulty.db->Checkpoint(path, {}).status();
      faulty.files->Heal();
      // A link that fails is a copy.
      EXPECT_TRUE(!status.ok() || call.op == io::FileOp::kLink || call.op == io::FileOp::kClose);
      const bool named = Must(faulty.files->Exists(path));
      if (!status.ok()) {
        ++failed;
        // Only the last sync comes behind the rename, and then the copy is whole.
        EXPECT_TRUE(!named || call.op == io::FileOp::kSyncDir);
        if (!named) ASSERT_OK(faulty.db->Checkpoint(path, {}).status());
      }
      EXPECT_FALSE(Must(faulty.files->Exists(path + ".incomplete")));
      const auto copied = Must(DB::Open(path, options));
      EXPECT_EQ(ContentsOf(copied.get()), faulty.model);
    }
  }
  EXPECT_GT(failed, 10);
}

TEST(CheckpointTest, AfterAPowerLossItIsThereWholeOrNotAtAllAndAlwaysOnceAcknowledged) {
  Faulty counted = MakeFaulty(true);
  const uint64_t before = counted.files->total_calls();
  ASSERT_OK(counted.db->Checkpoint("/disk/copy", {}).status());
  const uint64_t calls = counted.files->total_calls() - before;
  ASSERT_GT(calls, 20u);
  int whole = 0, absent = 0;
  for (uint64_t at = 1; at <= calls + 1; ++at) {
    SCOPED_TRACE(at);
    Faulty faulty = MakeFaulty(true);
    if (at <= calls) faulty.files->LosePowerAt(at, at);
    const bool acknowledged = faulty.db->Checkpoint("/disk/copy", {}).ok();
    if (!faulty.files->power_lost()) faulty.files->LosePower(at);
    auto disk = std::make_shared<io::MemoryFileSystem>();
    ASSERT_OK(faulty.files->Restore(disk.get(), "/disk"));
    faulty.db.reset();
    const bool there = Must(disk->Exists("/disk/copy"));
    EXPECT_TRUE(there || !acknowledged);
    ++(there ? whole : absent);
    DbOptions options = SmallOptions();
    options.file_system = disk;
    if (!there) {
      const auto db = Must(DB::Open("/disk/db", options));
      ASSERT_OK(db->Checkpoint("/disk/copy", {}).status());
      continue;
    }
    const auto copied = Must(DB::Open("/disk/copy", options));
    EXPECT_EQ(ContentsOf(copied.get()), faulty.model);
  }
  EXPECT_GT(whole, 0);
  EXPECT_GT(absent, 0);
}

}  // namespace
}  // namespace marble::lsm
