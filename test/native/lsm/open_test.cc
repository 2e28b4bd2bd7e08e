// What opening a database costs, and that what it leaves for later is done when it is needed.
//
// Costs are counted, not timed: calls that write, and pages that are touched. Damage that an open
// does not see is reported by whoever needs what is damaged, with file and offset; nobody gets
// another answer.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <set>
#include <thread>

#include "fault_workload.h"
#include "io/forwarding_file_system.h"
#include "lsm/backup/checkpoint.h"
#include "lsm/backup/verify.h"
#include "lsm/sst/idx_file.h"

namespace marble::lsm {
namespace {

using namespace testing;
using io::FileCall;
using io::FileOp;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string KeyOf(int64_t i) {
  std::string digits = std::to_string(i);
  return "key" + std::string(9 - digits.size(), '0') + digits;
}

/// A state family whose rows are all in files, closed.
std::shared_ptr<io::MemoryFileSystem> ClosedDatabase(int64_t keys) {
  auto disk = std::make_shared<io::MemoryFileSystem>();
  DbOptions options;
  options.file_system = disk;
  auto db = Must(DB::Open("/db", options));
  auto table = Must(db->CreateTable(StateFamily("s"), false));
  WriteBatch batch;
  for (int64_t i = 0; i < keys; ++i) Must(batch.Put(table, KeyOf(i), "value" + std::to_string(i)));
  Must(db->Write(std::move(batch), {}));
  Must(db->Flush());
  Must(db->Close());
  return disk;
}

DbOptions Over(std::shared_ptr<io::FileSystem> files) {
  DbOptions options;
  options.file_system = std::move(files);
  options.compaction_trigger = 10'000;
  return options;
}

// --- Pages ------------------------------------------------------------------------------------

/// A mapping whose touched pages are counted.
struct TouchedRange {
  std::atomic<uint8_t*> begin{nullptr};
  std::atomic<size_t> bytes{0};
  std::atomic<size_t> touched{0};
};

/// Mappings whose pages cannot be touched without being counted: each is protected until a first
/// touch, which the handler of its signal notes.
class TouchCounter {
 public:
  static constexpr size_t kPage = 4096;
  using Range = TouchedRange;

  static void Install() {
    struct sigaction action = {};
    action.sa_sigaction = OnFault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &before_);
  }
  static void Uninstall() { sigaction(SIGSEGV, &before_, nullptr); }
  static Range* Add(uint8_t* begin, size_t bytes) {
    Range* range = &ranges_[used_.fetch_add(1)];
    range->touched = 0;
    range->bytes = bytes;
    range->begin = begin;
    return range;
  }

 private:
  static void OnFault(int, siginfo_t* info, void*) {
    auto* at = static_cast<uint8_t*>(info->si_addr);
    for (size_t i = 0; i < used_.load(); ++i) {
      Range& range = ranges_[i];
      uint8_t* begin = range.begin.load();
      if (begin == nullptr || at < begin || at >= begin + range.bytes.load()) continue;
      mprotect(begin + static_cast<size_t>(at - begin) / kPage * kPage, kPage, PROT_READ);
      ++range.touched;
      return;
    }
    sigaction(SIGSEGV, &before_, nullptr);  // somebody else's: it comes again
  }

  static inline Range ranges_[64];
  static inline std::atomic<size_t> used_{0};
  static inline struct sigaction before_;
};

class CountedFile : public io::MappedFile {
 public:
  CountedFile(std::string path, std::string_view bytes) {
    path_ = std::move(path);
    size_ = bytes.size();
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memcpy(memory, bytes.data(), size_);
    mprotect(memory, size_, PROT_NONE);
    data_ = static_cast<const uint8_t*>(memory);
    range_ = TouchCounter::Add(static_cast<uint8_t*>(memory), size_);
  }
  ~CountedFile() override {
    range_->begin = nullptr;
    munmap(const_cast<uint8_t*>(data_), size_);
  }
  void* MapPrivately() const override { return nullptr; }
  TouchCounter::Range* range() const { return range_; }

 private:
  TouchCounter::Range* range_;
};

class CountingFileSystem : public io::ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;
  Result<std::shared_ptr<io::MappedFile>> Map(const std::string& path) override {
    MARBLE_ASSIGN_OR_RETURN(const std::string bytes, base()->ReadFile(path));
    auto file = std::make_shared<CountedFile>(path, bytes);
    pages_[path] = file->range();
    return file;
  }
  /// Of all files whose name ends so.
  size_t Touched(std::string_view suffix) const {
    size_t n = 0;
    for (const auto& [path, range] : pages_) {
      if (path.ends_with(suffix)) n += range->touched.load();
    }
    return n;
  }
  size_t Pages(std::string_view suffix) const {
    size_t n = 0;
    for (const auto& [path, range] : pages_) {
      if (path.ends_with(suffix)) n += (range->bytes.load() + 4095) / 4096;
    }
    return n;
  }

 private:
  std::map<std::string, TouchCounter::Range*> pages_;
};

TEST(Open, ReadsTheEndsOfAnIndexAndNoRowsHoweverLargeTheFilesAre) {
  TouchCounter::Install();
  for (const int64_t keys : {3'000, 60'000}) {
    SCOPED_TRACE(keys);
    auto files = std::make_shared<CountingFileSystem>(ClosedDatabase(keys));
    auto db = Must(DB::Open("/db", Over(files)));
    EXPECT_GT(files->Pages(".idx"), keys == 3'000 ? 8u : 150u);
    EXPECT_LE(files->Touched(".idx"), 3u) << "header and properties; directory and footer";
    EXPECT_EQ(files->Touched(".arrow"), 0u);
    // A lookup checks what it needs, and a few pages more.
    auto table = Must(db->GetTable("s"));
    EXPECT_EQ(GetState(db.get(), table, KeyOf(keys / 2)), "value" + std::to_string(keys / 2));
    if (keys > 10'000) {
      EXPECT_LT(files->Touched(".idx"), files->Pages(".idx") / 2);
    }
    EXPECT_LT(files->Touched(".arrow"), files->Pages(".arrow") / (keys > 10'000 ? 10 : 1));
    // Many of them check all.
    for (int64_t i = 0; i < keys; i += 50) {
      EXPECT_EQ(GetState(db.get(), table, KeyOf(i)), "value" + std::to_string(i));
      EXPECT_EQ(GetState(db.get(), table, KeyOf(i) + "!"), std::nullopt);
    }
    EXPECT_GT(files->Touched(".idx"), files->Pages(".idx") * 9 / 10);
    Must(db->Close());
  }
  TouchCounter::Uninstall();
}

// --- Calls ------------------------------------------------------------------------------------

/// Calls that change what is on the disk, or wait for it.
bool Writes(const FileCall& call) {
  if (call.place == "LOCK") return false;
  switch (call.op) {
    case FileOp::kStat:
    case FileOp::kList:
    case FileOp::kReadFile:
    case FileOp::kOpen:
    case FileOp::kReadAt:
    case FileOp::kMap:
    case FileOp::kOpenLog:
    case FileOp::kLock:
    case FileOp::kDiskSpace:
    case FileOp::kClose:
      return false;
    default:
      return true;
  }
}

/// Collects the calls that write.
class Observed {
 public:
  explicit Observed(std::shared_ptr<io::FileSystem> disk) {
    io::FaultInjectionOptions options;
    options.track_power = false;
    files = Must(io::FaultInjectionFileSystem::Make(std::move(disk), "/", options));
    files->SetObserver([this](const FileCall& call) {
      if (!Writes(call)) return;
      std::lock_guard lock(mutex_);
      writes_.push_back(std::string(io::FileOpName(call.op)) + " " + call.place);
    });
  }
  ~Observed() { files->SetObserver({}); }
  std::vector<std::string> TakeWrites() {
    std::lock_guard lock(mutex_);
    return std::exchange(writes_, {});
  }
  std::shared_ptr<io::FaultInjectionFileSystem> files;

 private:
  std::mutex mutex_;
  std::vector<std::string> writes_;
};

TEST(Open, OfAClosedDatabaseWritesNothingAndNeitherDoesReadingIt) {
  auto disk = ClosedDatabase(2'000);
  const Files before = ReadFiles(disk.get());
  for (int session = 0; session < 3; ++session) {
    Observed observed(disk);
    auto db = Must(DB::Open("/db", Over(observed.files)));
    auto table = Must(db->CreateTable(StateFamily("s"), /*if_not_exists=*/true));
    EXPECT_EQ(ScanState(db.get(), table).size(), 2'000u);
    EXPECT_EQ(GetState(db.get(), table, KeyOf(7)), "value7");
    Must(db->SyncLog());
    Must(db->Flush());
    EXPECT_EQ(CodeOf(db->DropTable("none", false)), ErrorCode::kTableNotFound);
    Must(db->Close());
    EXPECT_THAT(observed.TakeWrites(), IsEmpty());
  }
  Files after = ReadFiles(disk.get());
  after["LOCK"] = before.at("LOCK");
  EXPECT_EQ(after, before);
}

TEST(Open, TheFirstWriteOfASessionMakesItsManifestAndItsLog) {
  using Change = std::function<void(DB*)>;
  const std::map<std::string, Change> changes = {
      {"put", [](DB* db) { PutOne(db, Must(db->GetTable("s")), "new", "row"); }},
      {"create table", [](DB* db) { Must(db->CreateTable(StateFamily("t"), false)); }},
      {"drop table", [](DB* db) { Must(db->DropTable("s", false)); }},
      {"alter table",
       [](DB* db) {
         Must(
             db->AlterTable("typed", TableChange::AddColumn(arrow::field("more", arrow::int64()))));
       }},
      {"compact", [](DB* db) { Must(db->Compact("s")); }},
      {"checkpoint", [](DB* db) { Must(db->Checkpoint("/copy", {})); }},
      {"changes", [](DB* db) { Must(db->Changes(Must(db->GetTable("s")), db->last_sequence())); }},
  };
  for (const auto& [name, change] : changes) {
    SCOPED_TRACE(name);
    auto disk = ClosedDatabase(500);
    {
      auto db = Must(DB::Open("/db", Over(disk)));
      Must(db->CreateTable(TypedTable("typed"), false));
      auto table = Must(db->GetTable("s"));
      PutOne(db.get(), table, KeyOf(3), "newer");
      Must(db->Flush());
      Must(db->Close());
    }
    const Files closed = ReadFiles(disk.get());
    Observed observed(disk);
    auto db = Must(DB::Open("/db", Over(observed.files)));
    EXPECT_THAT(observed.TakeWrites(), IsEmpty());
    change(db.get());
    const auto writes = observed.TakeWrites();
    if (name != "compact" || !writes.empty()) {
      EXPECT_THAT(writes, ::testing::Contains("create MANIFEST-N"));
      // What the last session has left goes when the new manifest is in force.
      for (const auto& [file, bytes] : ReadFiles(disk.get())) {
        const std::string place = io::PlaceOf("/" + file);
        if (place != "MANIFEST-N" && place != "N.log") continue;
        EXPECT_FALSE(closed.contains(file)) << file;
      }
    }
    const Content content = Must(ReadDatabase(db.get(), true));
    Must(db->Close());
    db = Must(DB::Open("/db", Over(disk)));
    EXPECT_EQ(Must(ReadDatabase(db.get(), true)), content);
  }
}

TEST(Open, ManyThreadsMayWriteFirst) {
  auto disk = ClosedDatabase(100);
  Observed observed(disk);
  auto db = Must(DB::Open("/db", Over(observed.files)));
  auto table = Must(db->GetTable("s"));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        PutOne(db.get(), table, "t" + std::to_string(t) + "/" + std::to_string(i), "v");
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto writes = observed.TakeWrites();
  EXPECT_EQ(std::count(writes.begin(), writes.end(), "create MANIFEST-N"), 1);
  EXPECT_EQ(std::count(writes.begin(), writes.end(), "preallocate N.log"), 1);
  Must(db->Close());
  db = Must(DB::Open("/db", Over(disk)));
  EXPECT_EQ(ScanState(db.get(), Must(db->GetTable("s"))).size(), 300u);
}

/// What fails when the session begins is told to the write that needed it. Of a full disk the next
/// write tries again; after another error the database is read-only, as it lay there.
TEST(Open, AFailureToBeginIsToldToTheFirstWrite) {
  const std::vector<std::pair<FileOp, std::string>> calls = {
      {FileOp::kCreate, "MANIFEST-N"},  {FileOp::kAppend, "MANIFEST-N"},
      {FileOp::kSync, "MANIFEST-N"},    {FileOp::kSyncDir, "folder"},
      {FileOp::kCreate, "CURRENT.tmp"}, {FileOp::kAppend, "CURRENT.tmp"},
      {FileOp::kSync, "CURRENT.tmp"},   {FileOp::kRename, "CURRENT"},
      {FileOp::kCreateLog, "N.log"},
  };
  for (const auto& [op, place] : calls) {
    for (const int error : {EIO, ENOSPC}) {
      SCOPED_TRACE(std::string(io::FileOpName(op)) + " " + place + ", " + strerror(error));
      auto disk = ClosedDatabase(100);
      Observed observed(disk);
      auto db = Must(DB::Open("/db", Over(observed.files)));
      auto table = Must(db->GetTable("s"));
      observed.files->Inject({op, place, 1, error, false});
      WriteBatch batch;
      Must(batch.Put(table, "new", "row"));
      const Status status = db->Write(std::move(batch), {}).status();
      ASSERT_EQ(observed.files->injected(), 1u) << "this call is not made any more";
      EXPECT_THAT(status.ToString(), HasSubstr(strerror(error)));
      EXPECT_EQ(GetState(db.get(), table, KeyOf(5)), "value5");
      WriteBatch again;
      Must(again.Put(table, "again", "row"));
      const Status second = db->Write(std::move(again), {}).status();
      if (error == ENOSPC) {
        EXPECT_EQ(CodeOf(status), ErrorCode::kNoSpace);
        EXPECT_TRUE(second.ok()) << second;
      } else {
        EXPECT_EQ(CodeOf(second), ErrorCode::kReadOnly);
        EXPECT_THAT(second.ToString(), HasSubstr(strerror(error)));
      }
      Must(db->Close());
      db = Must(DB::Open("/db", Over(disk)));
      table = Must(db->GetTable("s"));
      EXPECT_EQ(ScanState(db.get(), table).size(), second.ok() ? 101u : 100u);
      PutOne(db.get(), table, "later", "row");
      Must(db->Close());
    }
  }
}

// --- Damage -----------------------------------------------------------------------------------

/// Who reads, and whether it got what is right.
struct Reading {
  Status status;
  bool right = true;
};

const std::map<std::string, std::function<Reading(DB*, const TableHandle&, int64_t)>>& Readers() {
  static const std::map<std::string, std::function<Reading(DB*, const TableHandle&, int64_t)>>
      kReaders = {
          {"get",
           [](DB* db, const TableHandle& table, int64_t keys) -> Reading {
             Reading reading;
             for (int64_t i = 0; i < keys; i += 17) {
               const auto value = db->Get(table, KeyOf(i), {});
               if (!value.ok()) {
                 reading.status = value.status();
                 continue;
               }
               reading.right &=
                   value->has_value() && (*value)->bytes == "value" + std::to_string(i);
             }
             return reading;
           }},
          {"get absent",
           [](DB* db, const TableHandle& table, int64_t keys) -> Reading {
             Reading reading;
             for (int64_t i = 0; i < keys; i += 17) {
               const auto value = db->Get(table, KeyOf(i) + "!", {});
               if (!value.ok()) {
                 reading.status = value.status();
                 continue;
               }
               reading.right &= !value->has_value();
             }
             return reading;
           }},
          {"multi get",
           [](DB* db, const TableHandle& table, int64_t keys) -> Reading {
             std::vector<std::string> texts;
             for (int64_t i = 0; i < keys; i += 11) texts.push_back(KeyOf(i));
             std::vector<std::string_view> views(texts.begin(), texts.end());
             std::vector<std::optional<PinnedValue>> values(views.size());
             const Status status =
                 db->MultiGet(table, views.data(), views.size(), {}, values.data());
             Reading reading{status, true};
             if (!status.ok()) return reading;
             for (size_t i = 0; i < values.size(); ++i) {
               reading.right &=
                   values[i].has_value() && values[i]->bytes == "value" + std::to_string(i * 11);
             }
             return reading;
           }},
          {"scan",
           [](DB* db, const TableHandle& table, int64_t keys) -> Reading {
             auto iterator = Must(db->NewIterator(table, {}));
             int64_t row = 0;
             Reading reading;
             while (true) {
               const auto step = iterator->Next();
               if (!step.ok()) return {step.status(), true};
               if (step->batch == nullptr) break;
               const auto& at = static_cast<const arrow::BinaryArray&>(*step->batch->column(0));
               for (int64_t i = 0; i < at.length(); ++i) {
                 reading.right &= at.GetView(i) == KeyOf(row++);
               }
             }
             reading.right &= row == keys;
             return reading;
           }},
          {"state iterator",
           [](DB* db, const TableHandle& table, int64_t keys) -> Reading {
             auto iterator = Must(db->NewStateIterator(table, {}, {}));
             Reading reading;
             for (int64_t i = 0; i < keys; i += keys / 9) {
               iterator->Seek(KeyOf(i));
               if (!iterator->Valid()) break;
               reading.right &= iterator->key() == KeyOf(i);
             }
             reading.status = iterator->status();
             return reading;
           }},
          {"compaction",
           [](DB* db, const TableHandle& table, int64_t keys) -> Reading {
             // Something to merge with.
             PutOne(db, table, KeyOf(1), "value1");
             const Status flushed = db->Flush();
             if (!flushed.ok()) return {flushed, true};
             const Status compacted = db->Compact("s");
             if (!compacted.ok()) return {compacted, true};
             return {Status::OK(), ScanState(db, table).size() == static_cast<size_t>(keys)};
           }},
      };
  return kReaders;
}

struct Damaged {
  IdxSection section;
  const char* name;
  std::set<std::string> told;  // who needs it, wherever the damage is
};

const std::set<std::string> kAll = {"get",  "get absent",     "multi get",
                                    "scan", "state iterator", "compaction"};

TEST(Open, DamageOfAnIndexThatItDoesNotSeeIsToldToWhoNeedsIt) {
  constexpr int64_t kKeys = 20'000;
  const Files files = ReadFiles(ClosedDatabase(kKeys).get());
  std::string idx_name;
  for (const auto& [name, bytes] : files) {
    if (name.ends_with(".idx")) idx_name = name;
  }
  const auto disk = WriteFiles(files);
  const auto idx = Must(IdxFile::Open(disk.get(), "/db/" + idx_name));
  const std::vector<Damaged> damaged = {
      {IdxSection::kLayout, "layout", kAll},
      {IdxSection::kSparseKeys, "sparse keys", kAll},
      {IdxSection::kZoneMaps, "zone maps", kAll},
      {IdxSection::kArrowPageCrcs, "page checksums of .arrow", kAll},
      {IdxSection::kIdxPageCrcs, "page checksums of .idx", kAll},
      {IdxSection::kBloomFilter, "Bloom filter", {"get", "get absent", "multi get"}},
      {IdxSection::kPointIndex, "point index", {"get", "multi get"}},
  };
  for (const Damaged& what : damaged) {
    const auto section = idx->section(what.section);
    ASSERT_TRUE(section) << what.name;
    Files broken = files;
    // A bit in each page, so that whoever reads any of it meets one.
    const uint64_t begin = idx->OffsetOf(*section);
    for (uint64_t at = begin + section->size() / 2 % 4096; at < begin + section->size();
         at += 4096) {
      broken[idx_name][at] = static_cast<char>(broken[idx_name][at] ^ 0x10);
    }
    for (const auto& [name, read] : Readers()) {
      SCOPED_TRACE(std::string(what.name) + " damaged, " + name);
      auto db = Must(DB::Open("/db", Over(WriteFiles(broken))));
      auto table = Must(db->GetTable("s"));
      for (int time = 0; time < 2; ++time) {  // the second one gets it again
        const Reading reading = read(db.get(), table, kKeys);
        EXPECT_TRUE(reading.right) << "a wrong answer";
        if (reading.status.ok()) {
          EXPECT_FALSE(what.told.contains(name)) << "nobody was told";
          continue;
        }
        const std::string message = reading.status.ToString();
        EXPECT_THAT(CodeOf(reading.status), AnyOf(ErrorCode::kCorruption, ErrorCode::kReadOnly))
            << message;
        EXPECT_THAT(message, HasSubstr(idx_name));
        EXPECT_THAT(message, HasSubstr("offset "));
        if (name == "compaction") break;  // read-only from then on
      }
      (void)db->Close();
    }
    const auto report = Must(VerifyDatabase(WriteFiles(broken), "/db", {}));
    EXPECT_FALSE(report.ok()) << what.name;
    ASSERT_FALSE(report.findings.empty());
    EXPECT_EQ(report.findings[0].file, idx_name);
  }
}

TEST(Open, FilesThatAreMissingOrCutOffAreFoundAtOnce) {
  const Files files = ReadFiles(ClosedDatabase(2'000).get());
  for (const auto& [name, bytes] : files) {
    if (!name.ends_with(".idx") && !name.ends_with(".arrow")) continue;
    for (const bool missing : {true, false}) {
      SCOPED_TRACE(name + (missing ? " missing" : " cut off"));
      Files broken = files;
      if (missing) {
        broken.erase(name);
      } else {
        broken[name].pop_back();
      }
      const Status status = DB::Open("/db", Over(WriteFiles(broken))).status();
      EXPECT_EQ(CodeOf(status), ErrorCode::kCorruption);
      EXPECT_THAT(status.ToString(), HasSubstr(name));
    }
  }
}

}  // namespace
}  // namespace marble::lsm
