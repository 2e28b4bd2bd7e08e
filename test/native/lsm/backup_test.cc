// Backups: incremental, each restorable, whole or not at all; what is the same file and what is
// not.
#include <gtest/gtest.h>

#include "copies_fixture.h"
#include "io/fault_injection_file_system.h"
#include "io/memory_file_system.h"
#include "lsm/backup/backup.h"
#include "lsm/backup/backup_format.h"

namespace marble::lsm {
namespace {

using namespace testing;

io::FileSystem* Local() { return io::FileSystem::Local().get(); }

std::set<std::string> NamesIn(io::FileSystem* files, const std::string& dir) {
  const auto names = Must(files->List(dir));
  return {names.begin(), names.end()};
}

void FlipByte(const std::string& path, long offset) {
  FILE* file = std::fopen(path.c_str(), "r+b");
  ASSERT_NE(file, nullptr) << path;
  std::fseek(file, offset, SEEK_SET);
  const int byte = std::fgetc(file);
  std::fseek(file, offset, SEEK_SET);
  std::fputc(byte ^ 0x20, file);
  std::fclose(file);
}

TEST(BackupTest, EveryKeptBackupRestoresTheWritesUpToItsSequence) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    const TempDir dir;
    const std::string backups = dir.path() + "/backups";
    const auto db = Must(DB::Open(dir.path() + "/db", SmallOptions()));
    RandomWriter writer(db.get(), 2, seed);
    std::vector<BackupInfo> made;
    for (int i = 0; i < 6; ++i) {
      writer.WaitFor(writer.count() + 250);
      const SequenceNumber acknowledged = writer.acknowledged();
      made.push_back(Must(db->Backup(backups, {})));
      EXPECT_EQ(made.back().id, static_cast<uint64_t>(i + 1));
      EXPECT_GE(made.back().sequence, acknowledged);
    }
    writer.Stop();
    EXPECT_GT(db->metrics().compactions, 0u);
    EXPECT_EQ(Must(PruneBackups(Local(), backups, 4)), 2u);
    const auto listed = Must(ListBackups(Local(), backups));
    ASSERT_EQ(listed.size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
      const BackupInfo& info = made[i + 2];
      SCOPED_TRACE(info.id);
      EXPECT_EQ(listed[i].id, info.id);
      EXPECT_EQ(listed[i].sequence, info.sequence);
      EXPECT_EQ(listed[i].bytes, info.bytes);
      const auto report = Must(VerifyBackup(Local(), backups, info.id, {}));
      EXPECT_TRUE(report.ok());
      EXPECT_EQ(report.files, info.files);
      EXPECT_EQ(report.bytes, info.bytes);
      const std::string target = dir.path() + "/restored" + std::to_string(info.id);
      ASSERT_OK(RestoreBackup(Local(), backups, info.id, io::FileSystem::Local(), target, {}));
      const auto restored = Must(DB::Open(target, SmallOptions()));
      EXPECT_EQ(restored->last_sequence(), info.sequence);
      EXPECT_EQ(ContentsOf(restored.get()), writer.ModelAt(info.sequence));
    }
    // Files of what was pruned are gone: nothing is there that nobody needs.
    std::set<std::string> needed;
    for (const BackupInfo& info : listed) {
      const auto d = Must(backup_format::Decode(Must(
          Local()->ReadFile(backups + "/backups/" + backup_format::DescriptionName(info.id)))));
      for (const auto& file : d.files) needed.insert(file.stored_name);
    }
    EXPECT_EQ(NamesIn(Local(), backups + "/files"), needed);
    EXPECT_EQ(CodeOf(RestoreBackup(Local(), backups, 1, io::FileSystem::Local(),
                                   dir.path() + "/pruned", {})),
              ErrorCode::kNotFound);
  }
}

/// A database with some flushed files.
std::shared_ptr<DB> Filled(const std::string& path, int files) {
  auto db = Must(DB::Open(path, {}));
  const auto a = Must(db->CreateTable(StateFamily("a"), true));
  for (int i = 0; i < files; ++i) {
    PutOne(db.get(), a, "key" + std::to_string(i), std::string(10'000, static_cast<char>('a' + i)));
    Must(db->Flush());
  }
  return db;
}

TEST(BackupTest, CopiesOnlyWhatTheFolderLacks) {
  const TempDir dir;
  const auto db = Filled(dir.path() + "/db", 3);
  const std::string backups = dir.path() + "/b";
  const auto first = Must(db->Backup(backups, {}));
  EXPECT_GT(first.bytes_copied, 30'000u);
  EXPECT_EQ(first.bytes_copied, first.bytes);
  EXPECT_EQ(Must(db->Backup(backups, {})).bytes_copied, 0u);
  PutOne(db.get(), Must(db->GetTable("a")), "new", "1");
  const auto third = Must(db->Backup(backups, {}));
  EXPECT_GT(third.bytes_copied, 0u);  // the log's tail
  EXPECT_LT(third.bytes_copied, 1'000u);
  EXPECT_EQ(third.bytes, first.bytes + third.bytes_copied);
}

TEST(BackupTest, AFileNumberThatIsUsedAgainForOtherContentIsAnotherFile) {
  const TempDir dir;
  const std::string backups = dir.path() + "/b";
  Filled(dir.path() + "/db", 1).reset();
  {
    ASSERT_OK(Must(DB::Open(dir.path() + "/db", {}))->Backup(backups, {}).status());
  }
  // Two lives of one database: the same id, the same numbers, sizes as well, other content.
  std::vector<std::string> values{std::string(5'000, 'x'), std::string(5'000, 'y')};
  for (size_t i = 0; i < 2; ++i) {
    const std::string life = dir.path() + "/life" + std::to_string(i);
    ASSERT_OK(RestoreBackup(Local(), backups, 1, io::FileSystem::Local(), life, {}));
    const auto db = Must(DB::Open(life, {}));
    PutOne(db.get(), Must(db->GetTable("a")), "life", values[i]);
    ASSERT_OK(db->Flush());
    EXPECT_EQ(Must(db->Backup(backups, {})).id, i + 2);
  }
  for (size_t i = 0; i < 2; ++i) {
    const std::string target = dir.path() + "/again" + std::to_string(i);
    ASSERT_OK(RestoreBackup(Local(), backups, i + 2, io::FileSystem::Local(), target, {}));
    const auto db = Must(DB::Open(target, {}));
    EXPECT_EQ(GetState(db.get(), Must(db->GetTable("a")), "life"), values[i]);
  }
}

TEST(BackupTest, TwoAtOnceIntoOneFolderAreRefused) {
  const TempDir dir;
  const auto db = Filled(dir.path() + "/db", 1);
  const std::string backups = dir.path() + "/b";
  CopyControl control;
  Status inner = Status::OK();
  Status pruned = Status::OK();
  control.progress = [&](uint64_t, uint64_t) {
    inner = db->Backup(backups, {}).status();
    pruned = PruneBackups(Local(), backups, 1).status();
  };
  EXPECT_EQ(Must(db->Backup(backups, control)).id, 1u);
  EXPECT_EQ(CodeOf(inner), ErrorCode::kLocked) << inner.ToString();
  EXPECT_EQ(CodeOf(pruned), ErrorCode::kLocked) << pruned.ToString();
  EXPECT_EQ(Must(db->Backup(backups, {})).id, 2u);
}

TEST(BackupTest, ARestoreNeedsAFreeTargetAndDamageLeavesNoHalfDatabase) {
  const TempDir dir;
  const auto db = Filled(dir.path() + "/db", 2);
  const std::string backups = dir.path() + "/b";
  ASSERT_OK(db->Backup(backups, {}).status());
  const auto restore = [&](const std::string& target) {
    return RestoreBackup(Local(), backups, 0, io::FileSystem::Local(), target, {});
  };
  EXPECT_EQ(CodeOf(restore(dir.path() + "/db")), ErrorCode::kInvalidArgument);
  ASSERT_OK(Local()->CreateDirs(dir.path() + "/empty"));
  ASSERT_OK(restore(dir.path() + "/empty"));
  const auto restored = Must(DB::Open(dir.path() + "/empty", {}));
  EXPECT_EQ(ScanState(restored.get(), Must(restored->GetTable("a"))).size(), 2u);
}

TEST(BackupTest, VerifyFindsEveryFlippedByteAndRestoreRefusesIt) {
  const TempDir dir;
  const std::string backups = dir.path() + "/b";
  {
    const auto db = Filled(dir.path() + "/db", 2);
    PutOne(db.get(), Must(db->GetTable("a")), "tail", "1");
    ASSERT_OK(db->Backup(backups, {}).status());
  }
  const auto stored = NamesIn(Local(), backups + "/files");
  ASSERT_EQ(stored.size(), 5u);
  for (const std::string& name : stored) {
    SCOPED_TRACE(name);
    const std::string path = backups + "/files/" + name;
    const auto size = static_cast<long>(Must(Local()->Size(path)));
    for (const long offset : {0L, size / 2, size - 1}) {
      FlipByte(path, offset);
      const auto report = Must(VerifyBackup(Local(), backups, 1, {}));
      ASSERT_EQ(report.findings.size(), 1u);
      EXPECT_EQ(report.findings[0].file, name);
      const Status restored =
          RestoreBackup(Local(), backups, 1, io::FileSystem::Local(), dir.path() + "/r", {});
      EXPECT_EQ(CodeOf(restored), ErrorCode::kCorruption) << restored.ToString();
      EXPECT_FALSE(Must(Local()->Exists(dir.path() + "/r")));
      EXPECT_FALSE(Must(Local()->Exists(dir.path() + "/r.incomplete")));
      FlipByte(path, offset);
    }
  }
  EXPECT_TRUE(Must(VerifyBackup(Local(), backups, 1, {})).ok());
}

TEST(BackupTest, ADamagedDescriptionIsListedAndKeepsAllFiles) {
  const TempDir dir;
  const std::string backups = dir.path() + "/b";
  const auto db = Filled(dir.path() + "/db", 2);
  ASSERT_OK(db->Backup(backups, {}).status());
  ASSERT_OK(db->Compact(""));  // other files from now on
  ASSERT_OK(db->Backup(backups, {}).status());
  const std::string first = backups + "/backups/000001.backup";
  const auto before = NamesIn(Local(), backups + "/files");
  FlipByte(first, 40);
  auto listed = Must(ListBackups(Local(), backups));
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_NE(listed[0].damage, "");
  EXPECT_EQ(listed[1].damage, "");
  EXPECT_FALSE(Must(VerifyBackup(Local(), backups, 1, {})).ok());
  EXPECT_EQ(CodeOf(PruneBackups(Local(), backups, 1).status()), ErrorCode::kCorruption);
  EXPECT_EQ(Must(db->Backup(backups, {})).id, 3u);
  EXPECT_EQ(NamesIn(Local(), backups + "/files"), before);
  FlipByte(first, 40);
  EXPECT_EQ(Must(PruneBackups(Local(), backups, 3)), 0u);
  EXPECT_TRUE(Must(VerifyBackup(Local(), backups, 1, {})).ok());
}

TEST(BackupTest, ADamagedTableIsNotBackedUp) {
  const TempDir dir;
  const std::string backups = dir.path() + "/b";
  const auto db = Filled(dir.path() + "/db", 1);
  std::string arrow;
  for (const std::string& name : NamesIn(Local(), dir.path() + "/db")) {
    if (name.ends_with(".arrow")) arrow = dir.path() + "/db/" + name;
  }
  FlipByte(arrow, 5'000);
  const Status status = db->Backup(backups, {}).status();
  EXPECT_EQ(CodeOf(status), ErrorCode::kCorruption);
  EXPECT_NE(MessageOf(status).find(arrow), std::string::npos) << status.ToString();
  EXPECT_TRUE(Must(ListBackups(Local(), backups)).empty());
  FlipByte(arrow, 5'000);
  ASSERT_OK(db->Backup(backups, {}).status());
}

TEST(BackupTest, AFolderWithOtherThingsInItIsNoFolderOfBackups) {
  const TempDir dir;
  const auto db = Filled(dir.path() + "/db", 1);
  const Status status = db->Backup(dir.path() + "/db", {}).status();
  EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument) << status.ToString();
  EXPECT_EQ(CodeOf(ListBackups(Local(), dir.path() + "/db").status()), ErrorCode::kNotFound);
}

TEST(BackupTest, CanBeCancelledAndTheNextOneCleansUp) {
  const TempDir dir;
  const std::string backups = dir.path() + "/b";
  const auto db = Filled(dir.path() + "/db", 3);
  CopyControl control;
  uint64_t seen = 0;
  control.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_GE(done, seen);
    EXPECT_LE(done, total);
    seen = done;
  };
  control.cancelled = [&] { return seen > 12'000; };
  EXPECT_EQ(CodeOf(db->Backup(backups, control).status()), ErrorCode::kAborted);
  EXPECT_TRUE(Must(ListBackups(Local(), backups)).empty());
  EXPECT_FALSE(NamesIn(Local(), backups + "/files").empty());
  ASSERT_OK(db->Compact(""));  // what was copied is not needed any more
  EXPECT_EQ(Must(db->Backup(backups, {})).id, 1u);
  EXPECT_EQ(NamesIn(Local(), backups + "/files").size(), 2u);
}

/// A database and a folder with one backup over faults; then more writes.
struct Faulty {
  std::shared_ptr<io::FaultInjectionFileSystem> files;
  std::shared_ptr<DB> db;
  Contents first;
  Contents second;
};
constexpr char kBackups[] = "/disk/b";

Faulty MakeFaulty(bool track_power) {
  Faulty out;
  auto memory = std::make_shared<io::MemoryFileSystem>();
  Must(memory->CreateDirs("/disk"));
  out.files = Must(
      io::FaultInjectionFileSystem::Make(memory, "/disk", {io::LogFileKind::kAny, track_power}));
  DbOptions options = SmallOptions();
  options.file_system = out.files;
  out.db = Must(DB::Open("/disk/db", options));
  const auto a = Must(out.db->CreateTable(StateFamily("a"), true));
  (void)CopiedTables(out.db.get());
  for (int i = 0; i < 3; ++i) {
    PutOne(out.db.get(), a, "k" + std::to_string(i), std::string(5'000, 'v'));
    out.first.a["k" + std::to_string(i)] = std::string(5'000, 'v');
    if (i == 0) Must(out.db->Flush());
  }
  Must(out.db->Backup(kBackups, {}).status());
  out.second = out.first;
  Must(out.db->Flush());
  PutOne(out.db.get(), a, "later", "1");
  out.second.a["later"] = "1";
  // So that no sync of the log's own, in the background, meets a fault that is meant for others.
  Must(out.db->SyncLog());
  return out;
}

Contents Restored(const std::shared_ptr<io::FileSystem>& files, uint64_t id,
                  const std::string& target) {
  Must(RestoreBackup(files.get(), kBackups, id, files, target, {}));
  DbOptions options = SmallOptions();
  options.file_system = files;
  return ContentsOf(Must(DB::Open(target, options)).get());
}

/// Run `step` with each of its calls failing once; `check` after each.
void FailEachCall(const std::function<Status(const Faulty&)>& step,
                  const std::function<void(const Faulty&, const Status&)>& check) {
  const Faulty counted = MakeFaulty(false);
  const auto before = counted.files->calls();
  Must(step(counted));
  const auto after = counted.files->calls();
  int failed = 0;
  for (const auto& [call, count] : after) {
    const auto it = before.find(call);
    const uint64_t times = count - (it == before.end() ? 0 : it->second);
    for (uint64_t nth = 1; nth <= times; ++nth) {
      SCOPED_TRACE(std::string(io::FileOpName(call.op)) + " " + call.place + " " +
                   std::to_string(nth));
      const Faulty faulty = MakeFaulty(false);
      io::Fault fault;
      fault.op = call.op;
      fault.place = call.place;
      fault.nth = nth;
      faulty.files->Inject(fault);
      const Status status = step(faulty);
      faulty.files->Heal();
      failed += status.ok() ? 0 : 1;
      check(faulty, status);
    }
  }
  EXPECT_GT(failed, 8);
}

TEST(BackupFaultTest, AnErrorOfAnyCallLeavesTheOlderBackupsAndTheNextTrySucceeds) {
  FailEachCall([](const Faulty& f) { return f.db->Backup(kBackups, {}).status(); },
               [](const Faulty& f, const Status& status) {
                 EXPECT_EQ(Restored(f.files, 1, "/disk/r1"), f.first);
                 if (status.ok()) {
                   EXPECT_EQ(Restored(f.files, 2, "/disk/r2"), f.second);
                 }
                 const auto next = Must(f.db->Backup(kBackups, {}));
                 EXPECT_EQ(Restored(f.files, next.id, "/disk/r3"), f.second);
                 for (const BackupInfo& info : Must(ListBackups(f.files.get(), kBackups))) {
                   EXPECT_TRUE(Must(VerifyBackup(f.files.get(), kBackups, info.id, {})).ok());
                 }
                 for (const std::string& name : NamesIn(f.files.get(), "/disk/b/files")) {
                   EXPECT_FALSE(name.ends_with(".tmp")) << name;
                 }
               });
}

TEST(BackupFaultTest, AnErrorOfAnyCallOfPruneLeavesTheKeptBackupsWhole) {
  FailEachCall(
      [](const Faulty& f) {
        MARBLE_RETURN_NOT_OK(f.db->Compact(""));
        MARBLE_RETURN_NOT_OK(f.db->Backup(kBackups, {}).status());
        return PruneBackups(f.files.get(), kBackups, 1).status();
      },
      [](const Faulty& f, const Status&) {
        // Whatever is listed is whole.
        for (const BackupInfo& info : Must(ListBackups(f.files.get(), kBackups))) {
          EXPECT_TRUE(Must(VerifyBackup(f.files.get(), kBackups, info.id, {})).ok());
        }
        EXPECT_FALSE(Must(ListBackups(f.files.get(), kBackups)).empty());
      });
}

TEST(BackupFaultTest, AnErrorOfAnyCallOfRestoreLeavesNothingUnderTheName) {
  FailEachCall(
      [](const Faulty& f) {
        return RestoreBackup(f.files.get(), kBackups, 1, f.files, "/disk/r", {});
      },
      [](const Faulty& f, const Status& status) {
        const bool there = Must(f.files->Exists("/disk/r"));
        EXPECT_TRUE(there || !status.ok());
        if (!there) {
          EXPECT_EQ(Restored(f.files, 1, "/disk/r"), f.first);
        }
        DbOptions options = SmallOptions();
        options.file_system = f.files;
        EXPECT_EQ(ContentsOf(Must(DB::Open("/disk/r", options)).get()), f.first);
      });
}

/// Lose the power at each call of `step`; `check` gets the disk and whether it was acknowledged.
void LosePowerAtEachCall(const std::function<Status(const Faulty&)>& step,
                         const std::function<void(const std::shared_ptr<io::MemoryFileSystem>&,
                                                  const Faulty&, bool)>& check) {
  uint64_t calls;
  {
    const Faulty counted = MakeFaulty(true);
    const uint64_t before = counted.files->total_calls();
    Must(step(counted));
    calls = counted.files->total_calls() - before;
  }
  int acknowledged_rounds = 0;
  for (uint64_t at = 1; at <= calls + 3; ++at) {
    SCOPED_TRACE(at);
    Faulty faulty = MakeFaulty(true);
    if (at <= calls) faulty.files->LosePowerAt(at, at * 7919);
    const bool acknowledged = step(faulty).ok();
    if (!faulty.files->power_lost()) faulty.files->LosePower(at);
    auto disk = std::make_shared<io::MemoryFileSystem>();
    Must(faulty.files->Restore(disk.get(), "/disk"));
    faulty.db.reset();
    acknowledged_rounds += acknowledged;
    check(disk, faulty, acknowledged);
  }
  EXPECT_GE(acknowledged_rounds, 3);
}

TEST(BackupFaultTest, AfterAPowerLossEveryListedBackupIsWholeAndTheAcknowledgedOneIsListed) {
  LosePowerAtEachCall(
      [](const Faulty& f) { return f.db->Backup(kBackups, {}).status(); },
      [](const std::shared_ptr<io::MemoryFileSystem>& disk, const Faulty& f, bool acknowledged) {
        const auto listed = Must(ListBackups(disk.get(), kBackups));
        ASSERT_GE(listed.size(), acknowledged ? 2u : 1u);
        EXPECT_EQ(Restored(disk, 1, "/r1"), f.first);
        if (listed.size() > 1) {
          EXPECT_EQ(Restored(disk, 2, "/r2"), f.second);
        }
        for (const BackupInfo& info : listed) {
          EXPECT_TRUE(Must(VerifyBackup(disk.get(), kBackups, info.id, {})).ok());
        }
        DbOptions options = SmallOptions();
        options.file_system = disk;
        const auto next = Must(Must(DB::Open("/disk/db", options))->Backup(kBackups, {}));
        EXPECT_EQ(next.id, listed.size() + 1);
        EXPECT_TRUE(Must(VerifyBackup(disk.get(), kBackups, 0, {})).ok());
      });
}

TEST(BackupFaultTest, AfterAPowerLossInPruneEveryListedBackupIsWhole) {
  LosePowerAtEachCall(
      [](const Faulty& f) {
        MARBLE_RETURN_NOT_OK(f.db->Backup(kBackups, {}).status());
        return PruneBackups(f.files.get(), kBackups, 1).status();
      },
      [](const std::shared_ptr<io::MemoryFileSystem>& disk, const Faulty&, bool acknowledged) {
        const auto listed = Must(ListBackups(disk.get(), kBackups));
        EXPECT_GE(listed.size(), 1u);
        EXPECT_TRUE(!acknowledged || listed.size() == 1);
        for (const BackupInfo& info : listed) {
          EXPECT_TRUE(Must(VerifyBackup(disk.get(), kBackups, info.id, {})).ok());
        }
      });
}

TEST(BackupFaultTest, AfterAPowerLossARestoredDatabaseIsThereWholeOrNotAtAll) {
  LosePowerAtEachCall(
      [](const Faulty& f) {
        return RestoreBackup(f.files.get(), kBackups, 0, f.files, "/disk/new/r", {});
      },
      [](const std::shared_ptr<io::MemoryFileSystem>& disk, const Faulty& f, bool acknowledged) {
        if (!Must(disk->Exists("/disk/new/r"))) {
          EXPECT_FALSE(acknowledged);
          return;
        }
        DbOptions options = SmallOptions();
        options.file_system = disk;
        EXPECT_EQ(ContentsOf(Must(DB::Open("/disk/new/r", options)).get()), f.first);
      });
}

}  // namespace
}  // namespace marble::lsm
