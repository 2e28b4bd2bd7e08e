// Every call of the file system that the engine makes is made to fail, one at a time, at every
// point of a standard life of a database: open, create, write, flush, compact, read, drop, close,
// reopen.
//
//   - The call of the engine that needed it fails with an error that names the operation and the
//     path (of what fails in the background an event tells, too); or nobody fails, if what failed
//     was not needed (MayPass says what, and why).
//   - Afterwards the database opens without faults, and every acknowledged write is there, whole;
//   of
//     those that were refused each is there whole or not at all.
//   - No crash, no hang (a watchdog ends the process and says where), no descriptor left open.
#include <dirent.h>
#include <gmock/gmock.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>

#include "fault_workload.h"

namespace marble::lsm {
namespace {

using namespace testing;
using io::Fault;
using io::FaultInjectionFileSystem;
using io::FileCall;
using io::FileOp;

/// Ends the process when a run takes too long, naming it.
class Watchdog {
 public:
  explicit Watchdog(std::string what) : what_(std::move(what)), thread_([this] { Watch(); }) {}
  ~Watchdog() {
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

 private:
  void Watch() {
    std::unique_lock lock(mutex_);
    if (wake_.wait_for(lock, std::chrono::minutes(4), [this] { return done_; })) return;
    std::fprintf(stderr, "it hangs: %s\n", what_.c_str());
    std::abort();
  }

  const std::string what_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::thread thread_;
};

size_t OpenDescriptors() {
  DIR* dir = ::opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  size_t n = 0;
  while (::readdir(dir) != nullptr) ++n;
  ::closedir(dir);
  return n;
}

/// What a call belonged to. Background threads are told by their events.
enum class During { kOpen, kCatalog, kAppend, kFlush, kCompaction, kInstall, kClose, kCount };
constexpr const char* kDuringNames[] = {"open",       "catalog",          "append", "flush",
                                        "compaction", "manifest install", "close"};
/// Of a background thread: kFlush or kCompaction; of the one that calls the database: unset.
thread_local std::optional<During> working_on;

/// A life of a database. Each write has keys of its own, so that what became of it can be told.
class Life {
 public:
  explicit Life(std::shared_ptr<io::FileSystem> files) {
    options_.file_system = std::move(files);
    options_.log_segment_bytes = 16 << 10;
    options_.compaction_trigger = 10'000;  // only when asked for: the same calls each time
    options_.max_compactions = 1;
    // Levels of a few kB, so that there are several, and moves.
    options_.level_base_bytes = 16 << 10;
    options_.level_multiplier = 4;
    options_.target_file_bytes = 8 << 10;
    options_.listener = [this](const DbEvent& event) { Listen(event); };
    options_.max_block_ms = 100;
  }

  /// Errors by what was called. Behind them what failed in the background, of which events tell.
  std::vector<std::pair<std::string, Status>> errors;

  /// What a call belongs to that is made now, on this thread.
  During Now(const FileCall& call) const {
    const bool manifest = call.place.starts_with("MANIFEST") || call.place.starts_with("CURRENT");
    if (working_on) return manifest ? During::kInstall : *working_on;
    return during_.load();
  }

  void Run() {
    if (!Open("open")) return;
    if (Create(StateFamily("s")) && Create(StateFamily("r")) && Create(TypedTable("t")) &&
        Create(AppendTable("log")) && Create(StateFamily("dropped"))) {
      Work();
    }
    Close();
    if (!Open("open again")) return;
    for (const char* name : {"s", "r", "t", "log"}) {
      auto table = db_->GetTable(name);
      if (table.ok()) tables_[name] = *table;
    }
    if (tables_.contains("s") && tables_.contains("r")) Write("after", 3, Durability::kPower);
    Note("read again", ReadDatabase(db_.get()).status());
    Close();
    std::lock_guard lock(mutex_);
    errors.insert(errors.end(), told_.begin(), told_.end());
  }

  /// Without faults: all that was acknowledged is there, and nothing by half.
  void CheckAfterwards(std::shared_ptr<io::FileSystem> files) {
    options_.file_system = std::move(files);
    auto opened = DB::Open("/db", options_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    db_ = std::move(opened).ValueUnsafe();
    Content content = Must(ReadDatabase(db_.get(), true));
    for (const auto& [name, acknowledged] : created_) {
      EXPECT_TRUE(content.contains(name) || !acknowledged || (name == "dropped" && drop_ > 0))
          << "table " << name << " is lost";
    }
    if (drop_ == 2) {
      EXPECT_FALSE(content.contains("dropped"));
    }
    for (const WrittenBatch& batch : batches_) {
      size_t present = 0;
      for (const auto& [table, key, value] : batch.rows) {
        const auto it = content[table].find(key);
        if (it == content[table].end()) continue;
        ++present;
        EXPECT_EQ(it->second, value) << table << " " << key;
      }
      EXPECT_TRUE(present == batch.rows.size() || (present == 0 && !batch.acknowledged))
          << "batch " << batch.name << (batch.acknowledged ? ", acknowledged" : ", refused") << ": "
          << present << " of " << batch.rows.size() << " rows are there";
    }
    // It works on.
    if (Create(StateFamily("later"))) {
      WriteBatch batch;
      Must(batch.Put(tables_["later"], "k", "v"));
      EXPECT_TRUE(db_->Write(std::move(batch), {Durability::kPower}).ok());
    }
    EXPECT_TRUE(db_->Flush().ok());
    EXPECT_TRUE(db_->Compact("").ok());
    EXPECT_TRUE(db_->Close().ok());
    db_.reset();
    tables_.clear();
  }

 private:
  struct WrittenBatch {
    std::string name;
    bool acknowledged = false;
    std::vector<std::tuple<std::string, std::string, std::string>> rows;  // table, key, value
  };

  void Listen(const DbEvent& event) {
    if (event.kind == DbEvent::Kind::kNoSpace || event.kind == DbEvent::Kind::kBackgroundError) {
      std::lock_guard lock(mutex_);
      told_.emplace_back("event", MakeError(ErrorCode::kIo, event.message));
    }
    if (event.phase != DbEvent::Phase::kBegin) return;
    if (event.kind == DbEvent::Kind::kFlush) working_on = During::kFlush;
    if (event.kind == DbEvent::Kind::kCompaction) working_on = During::kCompaction;
  }

  void Note(const std::string& what, const Status& status) {
    if (!status.ok()) errors.emplace_back(what, status);
  }

  bool Open(const std::string& what) {
    during_ = During::kOpen;
    auto opened = DB::Open("/db", options_);
    Note(what, opened.status());
    if (opened.ok()) db_ = std::move(opened).ValueUnsafe();
    return opened.ok();
  }

  void Close() {
    during_ = During::kClose;
    tables_.clear();
    Note("close", db_->Close());
    db_.reset();
  }

  bool Create(TableDescriptor descriptor) {
    during_ = During::kCatalog;
    const std::string name = descriptor.name;
    auto table = db_->CreateTable(std::move(descriptor), true);
    Note("create table", table.status());
    created_[name] |= table.ok();
    if (table.ok()) tables_[name] = *table;
    return table.ok();
  }

  void Work() {
    Write("puts", 3, Durability::kProcess);
    Write("power", 2, Durability::kPower);
    for (int i = 0; i < 12; ++i) Write("many" + std::to_string(i), 20, Durability::kProcess);
    Insert("rows", 300);
    Append("texts");
    Note("flush", db_->Flush());
    Write("second", 30, Durability::kProcess);
    Insert("more rows", 200);
    Note("sync", db_->SyncLog());
    Note("flush", db_->Flush());
    Note("compact", db_->Compact("s"));
    Note("compact", db_->Compact(""));
    during_ = During::kCatalog;
    drop_ = 1;
    const Status dropped = db_->DropTable("dropped", false);
    Note("drop table", dropped);
    if (dropped.ok()) drop_ = 2;
    Write("last", 5, Durability::kProcess);
    Note("read", ReadDatabase(db_.get()).status());
  }

  void Submit(WrittenBatch written, WriteBatch batch, Durability durability) {
    during_ = During::kAppend;
    const Status status = db_->Write(std::move(batch), {durability}).status();
    Note("write", status);
    written.acknowledged = status.ok();
    batches_.push_back(std::move(written));
  }

  void Write(const std::string& name, int keys, Durability durability) {
    WrittenBatch written{name, false, {}};
    WriteBatch batch;
    for (int i = 0; i < keys; ++i) {
      const std::string key = name + "/" + std::to_string(i);
      const std::string value(static_cast<size_t>(i * 7 % 120), 'v');
      for (const char* table : {"s", "r"}) {
        Must(batch.Put(tables_[table], key, value));
        written.rows.emplace_back(table, key, value);
      }
    }
    Submit(std::move(written), std::move(batch), durability);
  }

  void Insert(const std::string& name, int rows) {
    WrittenBatch written{name, false, {}};
    std::vector<TypedRow> typed;
    for (int i = 0; i < rows; ++i) {
      typed.push_back({i, name, i / 2.0, "note", i % 2 == 0});
      written.rows.emplace_back("t", KeyTextOf(typed.back()), TextOf(typed.back()));
    }
    WriteBatch batch;
    Must(batch.Insert(tables_["t"], TypedBatch(typed)));
    Must(batch.Put(tables_["s"], name, "beside"));
    written.rows.emplace_back("s", name, "beside");
    Submit(std::move(written), std::move(batch), Durability::kProcess);
  }

  void Append(const std::string& name) {
    WrittenBatch written{name, false, {}};
    written.rows.emplace_back("log", RowNumber(0), "3:one");
    written.rows.emplace_back("log", RowNumber(1), "3:two");
    WriteBatch batch;
    Must(batch.Insert(tables_["log"], AppendBatch({"one", "two"})));
    Submit(std::move(written), std::move(batch), Durability::kProcess);
  }

  std::mutex mutex_;
  std::vector<std::pair<std::string, Status>> told_;
  std::atomic<During> during_{During::kOpen};
  DbOptions options_;
  std::shared_ptr<DB> db_;
  std::map<std::string, TableHandle> tables_;
  std::map<std::string, bool> created_;
  int drop_ = 0;  // 1: tried, 2: done
  std::vector<WrittenBatch> batches_;
};

/// Calls whose failure nobody has to hear of.
bool MayPass(const FileCall& call, int error) {
  // The mark behind an edit, which is durable without it.
  if (call.op == FileOp::kAppend && call.place == "MANIFEST-N" && error == ENOSPC) return true;
  // What cannot be removed is removed at the next open, or is no obstacle.
  if (call.op == FileOp::kRemove) return true;
  // The next segment is made ahead; the append that needs it tries again itself and reports.
  // Whether there is a file of that name is asked at the same place.
  if (call.op == FileOp::kCreateLog) return true;
  if (call.op == FileOp::kStat && call.place == "N.log") return true;
  return false;
}

int ErrorFor(FileOp op, uint64_t n) {
  switch (op) {
    case FileOp::kCreate:
    case FileOp::kOpen:
    case FileOp::kOpenLog:
    case FileOp::kMap:
      return n % 2 ? EMFILE : EIO;
    case FileOp::kAppend:
    case FileOp::kCreateLog:
    case FileOp::kPublish:
      return n / 2 % 2 ? ENOSPC : EIO;  // the manifest's edits are followed by their marks
    default:
      return EIO;
  }
}

class CallFailureTest : public ::testing::TestWithParam<io::LogFileKind> {
 protected:
  std::shared_ptr<FaultInjectionFileSystem> NewFileSystem() {
    base_ = std::make_shared<io::MemoryFileSystem>();
    io::FaultInjectionOptions options;
    options.log_kind = GetParam();
    options.track_power = false;
    return Must(FaultInjectionFileSystem::Make(base_, "/", options));
  }
  std::shared_ptr<io::MemoryFileSystem> base_;
};
INSTANTIATE_TEST_SUITE_P(Logs, CallFailureTest,
                         ::testing::Values(io::LogFileKind::kMapped, io::LogFileKind::kWritten),
                         [](const auto& info) {
                           return info.param == io::LogFileKind::kMapped ? "Mapped" : "Written";
                         });

TEST_P(CallFailureTest, EachFailureIsReportedAndLosesNothingThatWasAcknowledged) {
  std::map<FileCall, uint64_t> classes;
  {
    auto files = NewFileSystem();
    Life life(files);
    life.Run();
    ASSERT_TRUE(life.errors.empty()) << life.errors[0].first << ": " << life.errors[0].second;
    life.CheckAfterwards(base_);
    classes = files->calls();
  }
  base_.reset();
  uint64_t runs = 0, reported = 0, passed = 0, missed = 0;
  std::atomic<int> failures[static_cast<int>(During::kCount)] = {};
  std::set<std::string> silent;
  for (const auto& [call, count] : classes) {
    // Of very frequent calls some are enough, if they are spread over the run.
    const uint64_t most = getenv("MARBLE_LONG") != nullptr ? 1000 : 12;
    const uint64_t step = std::max<uint64_t>(1, count / most);
    for (uint64_t nth = 1; nth <= count; nth += step) {
      for (const bool permanent : {false, true}) {
        const std::string what = std::string(io::FileOpName(call.op)) + " at " + call.place + ", " +
                                 std::to_string(nth) + (permanent ? " and later" : "");
        SCOPED_TRACE(what);
        const Watchdog watchdog(what);
        const size_t descriptors = OpenDescriptors();
        {
          auto files = NewFileSystem();
          files->Inject({call.op, call.place, nth, ErrorFor(call.op, nth), permanent});
          Life life(files);
          std::atomic<uint64_t> seen{0};
          files->SetObserver([&](const FileCall& made) {
            if (made == call && ++seen == nth) ++failures[static_cast<int>(life.Now(made))];
          });
          life.Run();
          files->SetObserver({});
          const uint64_t injected = files->injected();
          files->Heal();
          ++runs;
          if (injected == 0) {
            ++missed;  // the background thread made fewer of them this time
          } else if (life.errors.empty()) {
            ++passed;
            silent.insert(std::string(io::FileOpName(call.op)) + " " + call.place);
            EXPECT_TRUE(MayPass(call, ErrorFor(call.op, nth))) << "nobody was told";
          } else {
            ++reported;
            const auto& [where, status] = life.errors.front();
            const std::string message = status.ToString();
            EXPECT_THAT(message,
                        ::testing::ContainsRegex(std::string(io::FileOpName(call.op)) + " /"))
                << where;
            EXPECT_THAT(message, ::testing::HasSubstr("/db")) << where;
            EXPECT_THAT(message, ::testing::HasSubstr(strerror(ErrorFor(call.op, nth)))) << where;
          }
          files.reset();
          life.CheckAfterwards(base_);
        }
        base_.reset();
        EXPECT_EQ(OpenDescriptors(), descriptors) << "a descriptor was left open";
        if (HasFailure()) return;
      }
    }
  }
  std::string names;
  for (const std::string& name : silent) names += (names.empty() ? "" : ", ") + name;
  std::printf(
      "%zu classes of calls, %llu runs: %llu reported, %llu without an effect (%s), %llu "
      "not reached\n",
      classes.size(), static_cast<unsigned long long>(runs),
      static_cast<unsigned long long>(reported), static_cast<unsigned long long>(passed),
      names.c_str(), static_cast<unsigned long long>(missed));
  EXPECT_LT(missed * 10, runs) << "too many faults were never reached";
  std::string report;
  for (int i = 0; i < static_cast<int>(During::kCount); ++i) {
    report += (i == 0 ? "" : ", ") + std::to_string(failures[i]) + " " + kDuringNames[i];
    EXPECT_GT(failures[i], 0) << "no failure fell into: " << kDuringNames[i];
  }
  std::printf("failures: %s\n", report.c_str());
}

// --- Full disks ---------------------------------------------------------------------------------

/// Write 1 KiB values until the disk is full, then give it room.
void FillAndGrow(const std::string& dir, std::shared_ptr<io::FileSystem> files,
                 const std::function<void()>& grow) {
  DbOptions options;
  options.file_system = files;
  options.log_segment_bytes = 1 << 20;
  options.max_block_ms = 200;
  auto db = Must(DB::Open(dir, options));
  auto table = Must(db->CreateTable(StateFamily("s"), false));
  std::mt19937_64 random(1);
  std::map<std::string, std::string> model;
  const auto write = [&](uint64_t i) {
    std::string value(1024, '\0');
    for (char& c : value) c = static_cast<char>(random());
    WriteBatch batch;
    const std::string key = std::to_string(i);
    Must(batch.Put(table, key, value));
    const Status status = db->Write(std::move(batch), {}).status();
    if (status.ok()) model[key] = value;
    return status;
  };
  const auto check = [&](const std::string& when) {
    for (const auto& [key, value] : model) {
      const auto got = db->Get(table, key, {});
      ASSERT_TRUE(got.ok()) << when << ": " << got.status();
      ASSERT_TRUE(got->has_value()) << when << ": key " << key << " is lost";
      ASSERT_EQ((*got)->bytes, value) << when;
    }
    ASSERT_EQ(ScanState(db.get(), table).size(), model.size()) << when;
  };

  uint64_t i = 0;
  Status full;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(3);
  while (std::chrono::steady_clock::now() < deadline) {
    const Status status = write(i++);
    if (status.ok() || CodeOf(status) == ErrorCode::kBusy) continue;
    full = status;
    break;
  }
  ASSERT_EQ(CodeOf(full), ErrorCode::kNoSpace) << full;
  EXPECT_THAT(full.message(), ::testing::HasSubstr(dir));
  EXPECT_THAT(full.message(), ::testing::HasSubstr("No space left on device"));
  check("with a full disk");
  // It stays so, and says so, as long as there is no room.
  for (int n = 0; n < 3; ++n) {
    const Status again = write(i++);
    EXPECT_TRUE(again.ok() || CodeOf(again) == ErrorCode::kNoSpace) << again;
  }
  check("with a full disk, later");

  grow();
  // Without reopening; a flush may first have to find out.
  Status after;
  do {
    after = write(i++);
    if (after.ok()) break;
    ASSERT_TRUE(CodeOf(after) == ErrorCode::kNoSpace || CodeOf(after) == ErrorCode::kBusy) << after;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  } while (std::chrono::steady_clock::now() < deadline);
  ASSERT_TRUE(after.ok()) << "there is room again: " << after;
  for (int n = 0; n < 3000; ++n) {
    Status status = write(i++);
    while (CodeOf(status) == ErrorCode::kBusy && std::chrono::steady_clock::now() < deadline) {
      status = write(i++);
    }
    ASSERT_TRUE(status.ok()) << status;
  }
  check("with room again");
  ASSERT_OK(db->Flush());
  check("flushed");
  ASSERT_OK(db->Close());
  db = Must(DB::Open(dir, options));
  table = Must(db->GetTable("s"));
  check("reopened");
}

TEST(FullDisk, FailsWritesAndNothingElseUntilThereIsRoom) {
  const auto files = std::make_shared<io::MemoryFileSystem>(24 << 20);
  FillAndGrow("/db", files, [&] { files->SetCapacity(512 << 20); });
}

}  // namespace
}  // namespace marble::lsm
