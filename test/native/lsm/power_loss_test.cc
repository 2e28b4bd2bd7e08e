// Power loss. A random workload runs over a file system that knows what has been synced; the power
// fails at a call of a chosen class or between calls; what a disk may hold then is opened again.
//
//   - Every write that was acknowledged with durability 'power', or before a flush or an open that
//     returned, is there.
//   - What is there is the state after some first k writes: no gap, no torn batch. Tables that were
//     created or dropped are: CreateTable and DropTable are durable when they return.
//   - An unlogged table is as it was after some first j <= k writes, not before the last flush that
//     returned.
//   - A second and a third power loss, while recovering too, change nothing of that.
//
// MARBLE_POWER_SEEDS: how many seeds; MARBLE_POWER_SEED: one seed alone. A seed gives one workload
// and one class of power loss; in which call exactly it falls also depends on the background
// thread, so a replay may take some repetitions (--gtest_repeat). The disk of a failure is kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>

#include "fault_workload.h"
#include "manual_clock.h"

namespace marble::lsm {
namespace {

using namespace testing;
using io::FaultInjectionFileSystem;
using io::FileCall;
using io::FileOp;

/// Where the power fails.
enum class At {
  kBetweenCalls,
  kOpen,
  kLogSegment,  // creating one
  kLogSync,
  kFlush,
  kCompaction,
  kInstall,  // the manifest edit of a flush or a compaction that merged
  kMove,     // that of a compaction that only moves files to another level
  kCatalog,  // that of a table's creation or removal
  kRemove,   // of a file that is no longer needed
  kClose,
  kCount
};
constexpr const char* kAtNames[] = {
    "between calls",    "open", "log segment", "log sync", "flush", "compaction",
    "manifest install", "move", "catalog",     "removal",  "close"};

std::atomic<int> losses[static_cast<int>(At::kCount)];

/// What compactions did before the power failed.
std::atomic<int> merges_to_level[limits::kNumLevels];
std::atomic<int> moves;

/// What this thread of a database is at, by its events.
enum class Doing { kNothing, kFlush, kMerge, kMove };
thread_local Doing doing = Doing::kNothing;

void Listen(const DbEvent& event) {
  const bool flush = event.kind == DbEvent::Kind::kFlush;
  if (!flush && event.kind != DbEvent::Kind::kCompaction) return;
  const bool move = !flush && event.message.starts_with("move");
  if (event.phase == DbEvent::Phase::kBegin) {
    doing = flush ? Doing::kFlush : move ? Doing::kMove : Doing::kMerge;
  } else if (event.phase == DbEvent::Phase::kEnd && !flush) {
    ++(move ? moves : merges_to_level[event.output_level]);
  }
}

uint64_t EnvOr(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text != nullptr && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}
bool Long() { return getenv("MARBLE_LONG") != nullptr; }

class PowerLossRun {
 public:
  explicit PowerLossRun(uint64_t seed) : seed_(seed), random_(seed) {
    local_ = seed % 8 == 0;
    if (local_) {
      dir_ = std::make_unique<TempDir>(TempDir::Place::kMemory);
      disk_ = io::FileSystem::Local();
      where_ = dir_->path();
    } else {
      disk_ = std::make_shared<io::MemoryFileSystem>();
      where_ = "/disk";
    }
    Must(disk_->CreateDirs(RoundDir(0)));
    constexpr size_t kSegments[] = {12 << 10, 32 << 10, 128 << 10};
    options_.log_segment_bytes = kSegments[Pick(3)];
    // Compactions by themselves, or only when asked for: then it is known what the calls belong to.
    own_compactions_ = Pick(3) > 0;
    options_.compaction_trigger = own_compactions_ ? 2 + Pick(2) : 10'000;
    // Levels of a few kB, so that there are several.
    options_.level_base_bytes = 4096u << Pick(3);
    options_.level_multiplier = 2 + Pick(3);
    options_.target_file_bytes = 2048u << Pick(3);
    options_.max_compactions = 1 + Pick(2);
    options_.max_subcompactions = 1;
    options_.clock = &clock_;
    options_.listener = Listen;
    options_.durability = Pick(6) == 0 ? Durability::kPower : Durability::kProcess;
    options_.max_block_ms = 60'000;
    fault_options_.log_kind = Pick(3) == 0 ? io::LogFileKind::kWritten : io::LogFileKind::kMapped;
  }

  void Run() {
    const int rounds = 1 + Pick(3);
    for (int round = 0; round < rounds; ++round) {
      // The first round of neighbouring seeds has another class each, so that all get their turn.
      At at = static_cast<At>(round == 0 ? seed_ % static_cast<uint64_t>(At::kCount)
                                         : Pick(static_cast<size_t>(At::kCount)));
      if (round > 0 && Pick(3) == 0) at = At::kOpen;
      Round(round, at);
      if (::testing::Test::HasFailure()) {
        Keep(round);
        return;
      }
    }
    CheckAtTheEnd(rounds);
    if (::testing::Test::HasFailure()) Keep(rounds);
  }

 private:
  int Pick(size_t below) { return static_cast<int>(random_() % below); }
  std::string RoundDir(int round) const { return where_ + "/" + std::to_string(round); }

  // --- The power loss -------------------------------------------------------------------------

  /// Which class a call belongs to, if one is being waited for.
  bool IsAt(At at, const FileCall& call) const {
    const bool background = std::this_thread::get_id() != main_;
    const bool manifest = call.place.starts_with("MANIFEST") || call.place.starts_with("CURRENT");
    const bool table = call.place == "N.arrow" || call.place == "N.idx";
    switch (at) {
      case At::kOpen:
        return phase_ == Phase::kOpen;
      case At::kLogSegment:
        return phase_ == Phase::kWrite && call.op == FileOp::kCreateLog;
      case At::kLogSync:
        return phase_ != Phase::kOpen && call.op == FileOp::kSyncLog;
      case At::kFlush:
        return background && doing == Doing::kFlush && call.op != FileOp::kRemove &&
               (table || call.op == FileOp::kSyncDir);
      case At::kCompaction:
        return background && doing == Doing::kMerge && call.op != FileOp::kRemove &&
               (table || call.op == FileOp::kSyncDir);
      case At::kInstall:
        return background && (doing == Doing::kFlush || doing == Doing::kMerge) && manifest;
      case At::kMove:
        return background && doing == Doing::kMove && manifest;
      case At::kCatalog:
        return phase_ == Phase::kCatalog && !background && manifest;
      case At::kRemove:
        return phase_ != Phase::kOpen && call.op == FileOp::kRemove &&
               (table || call.place == "N.log");
      case At::kClose:
        return phase_ == Phase::kClose;
      default:
        return false;
    }
  }

  void Arm(At at) {
    // Within the first calls of the class; later ones are as good for the classes that have many.
    constexpr int kUsual = 12;
    const uint64_t nth = 1 + static_cast<uint64_t>(Pick(at == At::kOpen   ? 30
                                                        : at == At::kMove ? 4
                                                                          : kUsual));
    const uint64_t loss_seed = random_();
    auto seen = std::make_shared<std::atomic<uint64_t>>(0);
    lost_at_ = At::kBetweenCalls;
    fs_->SetObserver([this, at, nth, loss_seed, seen](const FileCall& call) {
      if (!IsAt(at, call) || seen->fetch_add(1) + 1 != nth) return;
      lost_at_ = at;
      fs_->LosePowerAt(1, loss_seed);
    });
  }

  // --- One round: open, check, work, lose power -------------------------------------------------

  void Round(int round, At at) {
    const std::string dir = RoundDir(round);
    fs_ = Must(FaultInjectionFileSystem::Make(disk_, dir, fault_options_));
    Arm(at);
    options_.file_system = fs_;
    main_ = std::this_thread::get_id();
    phase_ = Phase::kOpen;
    auto opened = DB::Open(dir + "/db", options_);
    if (opened.ok()) {
      db_ = std::move(opened).ValueUnsafe();
      Check("round " + std::to_string(round) + ", after opening");
      // What was read was made durable: a later loss must not take it back.
      if (!fs_->power_lost()) Work(at);
    } else if (!fs_->power_lost()) {
      ADD_FAILURE() << "round " << round << ": " << opened.status();
    }
    if (!fs_->power_lost() && at == At::kClose && db_ != nullptr) {
      phase_ = Phase::kClose;
      const Status closed = db_->Close();
      if (closed.ok()) floor_ = history_.size();
    }
    if (!fs_->power_lost()) lost_at_ = At::kBetweenCalls;
    fs_->LosePower(random_());
    phase_ = Phase::kDead;
    if (db_ != nullptr) (void)db_->Close();
    db_.reset();
    tables_.clear();
    ++losses[static_cast<int>(lost_at_.load())];
    options_.file_system.reset();
    Must(fs_->Restore(disk_.get(), RoundDir(round + 1)));
    Must(fs_->Restore(disk_.get(), RoundDir(round + 1) + ".kept"));  // as it was, for Keep
    fs_->SetObserver({});
    fs_.reset();
  }

  /// The last disk is opened without faults: it works on, and its next clean close and open give
  /// exactly what it holds.
  void CheckAtTheEnd(int round) {
    options_.file_system = disk_;
    const std::string dir = RoundDir(round) + "/db";
    db_ = Must(DB::Open(dir, options_));
    Check("at the end");
    if (::testing::Test::HasFailure()) return;
    phase_ = Phase::kDead;
    while (catalog_.empty()) ChangeCatalog();
    for (int i = 0; i < 10; ++i) WriteOne(Durability::kProcess);
    Must(db_->Compact(""));
    unlogged_floor_ = floor_ = history_.size();
    Check("at the end, compacted");
    Must(db_->Close());
    db_ = Must(DB::Open(dir, options_));
    Check("at the end, reopened");
    Must(db_->Close());
    db_.reset();
    tables_.clear();
  }

  /// Random work until the power fails.
  void Work(At at) {
    phase_ = Phase::kWrite;
    const int operations = at == At::kBetweenCalls ? Pick(150) : 150;
    for (int i = 0; i < operations && !fs_->power_lost(); ++i) {
      if (::testing::Test::HasFailure()) return;
      phase_ = Phase::kWrite;
      const int what = Pick(100);
      if (catalog_.empty() || what < 6) {
        phase_ = Phase::kCatalog;
        ChangeCatalog();
      } else if (what < 84) {
        WriteOne(Pick(6) == 0 ? Durability::kPower : Durability::kProcess);
      } else if (what < 88) {
        if (db_->SyncLog().ok()) floor_ = history_.size();
      } else if (what < 95) {
        if (db_->Flush().ok()) unlogged_floor_ = floor_ = history_.size();
      } else if (CompactByHand().ok()) {
        unlogged_floor_ = floor_ = history_.size();  // it flushes first
      }
      if (Pick(5) == 0) clock_.Advance(Pick(kTtlMs / 2));
    }
  }

  // --- Operations -----------------------------------------------------------------------------

  std::string RandomTable() {
    auto it = catalog_.begin();
    std::advance(it, Pick(catalog_.size()));
    return it->first;
  }

  Status CompactByHand() {
    const std::string table = RandomTable();
    CompactOptions options;
    options.bottommost = static_cast<BottommostFiles>(Pick(3));
    if (Pick(2)) return db_->CompactRange("", {}, {}, options);
    if (Pick(2) || !IsFamily(table)) return db_->CompactRange(table, {}, {}, options);
    return db_->CompactRange(table, "k2", "k4", options);
  }

  /// Names say what a table is: "m" merges, "x" expires, "z" is not logged.
  static bool IsFamily(const std::string& name) {
    return name != "t" && name != "u" && name != "log";
  }
  static bool IsLogged(const std::string& name) { return !name.starts_with("z"); }

  void ChangeCatalog() {
    static constexpr const char* kTables[] = {"a", "b", "t", "u", "log", "m", "x", "z"};
    const std::string name = kTables[Pick(8)];
    if (catalog_.contains(name)) {
      if (catalog_.size() < 3 || Pick(2)) return;
      uncertain_ = name;
      if (!db_->DropTable(name, false).ok()) return;
      uncertain_.clear();
      catalog_.erase(name);
      tables_.erase(name);
      return;
    }
    TableOptions table_options;
    if (name == "m") table_options.merge_operator = "append";
    if (name == "x") table_options.ttl_ms = kTtlMs;
    table_options.logged = IsLogged(name);
    TableDescriptor descriptor = name == "log"                ? AppendTable(name)
                                 : name == "t" || name == "u" ? TypedTable(name)
                                                              : StateFamily(name, table_options);
    uncertain_ = name;
    uncertain_instance_ = ++instances_;
    auto table = db_->CreateTable(std::move(descriptor), false);
    if (!table.ok()) return;
    uncertain_.clear();
    catalog_[name] = instances_;
    tables_[name] = *table;
  }

  Step RandomStep() {
    Step step;
    step.table = RandomTable();
    const std::string value =
        std::to_string(history_.size()) + "." + std::string(Pick(Pick(8) ? 60 : 6000), 'v');
    const auto key = [&] { return "k" + std::to_string(Pick(60)); };
    if (step.table == "log") {
      step.kind = Step::kAppend;
      for (int i = 1 + Pick(5); i > 0; --i) step.texts.push_back(value.substr(0, 300));
    } else if (step.table == "t" || step.table == "u") {
      step.kind = Pick(4) == 0 ? Step::kDeleteRows : Step::kInsert;
      const int rows = Pick(10) == 0 ? 200 : 1 + Pick(20);
      for (int i = 0; i < rows; ++i) {
        step.rows.push_back({Pick(100), std::string(1, 'a' + Pick(2)), Pick(1000) / 8.0,
                             value.substr(0, 100), Pick(2) == 1});
      }
    } else {
      const int what = Pick(12);
      step.kind = what < 8 ? Step::kPut : what < 11 ? Step::kDelete : Step::kDeleteRange;
      step.key = key();
      step.to = value;
      if (step.kind == Step::kPut && step.table == "m" && what < 6) step.kind = Step::kMerge;
      if (step.table == "x") step.expires = clock_.NowMs() + kTtlMs;
      if (step.kind == Step::kDeleteRange) {
        step.to = key();
        if (step.to < step.key) std::swap(step.to, step.key);
      }
    }
    return step;
  }

  void WriteOne(Durability durability) {
    WriteBatch batch;
    Operation operation;
    for (int steps = Pick(4) ? 1 : 1 + Pick(6); steps > 0; --steps) {
      operation.push_back(RandomStep());
      Step& step = operation.back();
      Must(AddStep(step, tables_[step.table], &batch));
      step.table += "#" + std::to_string(catalog_[step.table]);
    }
    // It may be there whatever Write says, unless it never got to the log.
    history_.push_back(std::move(operation));
    const auto written = db_->Write(std::move(batch), {durability});
    if (!written.ok()) {
      EXPECT_TRUE(fs_ != nullptr && fs_->power_lost()) << written.status();
      return;
    }
    if (durability == Durability::kPower || options_.durability == Durability::kPower) {
      floor_ = history_.size();
    }
  }

  // --- Checks ---------------------------------------------------------------------------------

  struct Instance {
    Rows rows;
    std::map<std::string, int64_t> expires;
  };
  using Instances = std::map<std::string, Instance>;

  static void ApplyOperation(const Operation& operation, Instances* instances) {
    for (const Step& step : operation) {
      Instance& instance = (*instances)[step.table];
      ApplyStep(step, &instance.rows, &instance.expires);
    }
  }

  /// What the tables of the catalog hold now: those that are logged, or the others.
  Content Visible(const Instances& instances, bool logged) const {
    Content out;
    for (const auto& [name, number] : catalog_) {
      if (IsLogged(name) != logged) continue;
      Rows& rows = out[name];
      const auto it = instances.find(name + "#" + std::to_string(number));
      if (it == instances.end()) continue;
      rows = it->second.rows;
      for (const auto& [key, expires] : it->second.expires) {
        if (expires <= clock_.NowMs()) rows.erase(key);
      }
    }
    return out;
  }

  /// What is in the database is the state after k writes, floor_ <= k, and of unlogged tables that
  /// after j <= k of them; the writes behind are forgotten.
  void Check(const std::string& when) {
    auto read = ReadDatabase(db_.get());
    if (!read.ok()) {
      ADD_FAILURE() << when << ": " << read.status();
      return;
    }
    // The catalog: as acknowledged, but for the one change that was under way.
    if (!uncertain_.empty()) {
      if (!read->contains(uncertain_)) {
        catalog_.erase(uncertain_);
      } else if (!catalog_.contains(uncertain_)) {
        catalog_[uncertain_] = uncertain_instance_;
      }
      uncertain_.clear();
    }
    Content found, found_unlogged;
    for (const auto& [name, rows] : *read) (IsLogged(name) ? found : found_unlogged)[name] = rows;
    Instances instances;
    std::optional<size_t> match, cut;
    std::string difference, unlogged_difference;
    bool logged_matched = false;
    for (size_t k = 0;; ++k) {
      if (k >= unlogged_floor_ && !cut) {
        const Content expected = Visible(instances, false);
        if (expected == found_unlogged) cut = k;
        if (unlogged_difference.empty())
          unlogged_difference = DifferenceOf(expected, found_unlogged);
      }
      if (k >= floor_) {
        const Content expected = Visible(instances, true);
        const bool same = expected == found;
        logged_matched |= same;
        // A later state may look the same: what is there is at least this one.
        if (same && cut) {
          match = k;
          break;
        }
        if (difference.empty()) difference = DifferenceOf(expected, found);
      }
      if (k == history_.size()) break;
      ApplyOperation(history_[k], &instances);
    }
    if (!match && !logged_matched) {
      ADD_FAILURE() << when << ": the content is not the state after any k writes, " << floor_
                    << " <= k <= " << history_.size() << " (compared with the state after "
                    << floor_ << ": " << difference << ")";
      return;
    }
    if (!match) {
      ADD_FAILURE() << when
                    << ": the unlogged tables are not as after any j writes that are there, "
                    << unlogged_floor_ << " <= j <= " << history_.size()
                    << " (compared with the state after " << unlogged_floor_ << ": "
                    << unlogged_difference << ")";
      return;
    }
    // The state after a larger k may be equal, and then its writes may be there: they change
    // nothing that could be seen, but a table made later would show the difference. None is:
    // instances are numbered.
    history_.resize(*match);
    for (size_t k = *cut; k < *match; ++k) {
      std::erase_if(history_[k], [](const Step& step) { return !IsLogged(step.table); });
    }
    unlogged_floor_ = floor_ = *match;
    for (const auto& [name, instance] : catalog_) tables_[name] = Must(db_->GetTable(name));
  }

  void Keep(int round) {
    const std::string kept = "/tmp/marble-power-loss-" + std::to_string(seed_);
    std::error_code ignored;
    std::filesystem::remove_all(kept, ignored);
    for (const char* sub : {"", "/db"}) {
      const std::string from = RoundDir(round) + ".kept" + sub, to = kept + sub;
      auto names = disk_->List(from);
      if (!names.ok()) continue;
      Must(io::FileSystem::Local()->CreateDirs(to));
      for (const std::string& name : *names) {
        auto bytes = disk_->ReadFile(from + "/" + name);
        if (bytes.ok()) Must(io::FileSystem::Local()->WriteFileAtomically(to + "/" + name, *bytes));
      }
    }
    std::printf(
        "The disk is in %s. Replay: MARBLE_POWER_SEED=%llu lsm_test "
        "--gtest_filter='PowerLoss.*Prefix*'\n",
        kept.c_str(), static_cast<unsigned long long>(seed_));
  }

  enum class Phase { kOpen, kWrite, kCatalog, kClose, kDead };
  static constexpr int kTtlMs = 1000;

  const uint64_t seed_;
  std::mt19937_64 random_;
  bool local_ = false;
  std::unique_ptr<TempDir> dir_;
  std::shared_ptr<io::FileSystem> disk_;
  std::string where_;
  ManualClock clock_;
  DbOptions options_;
  io::FaultInjectionOptions fault_options_;
  bool own_compactions_ = false;
  std::shared_ptr<FaultInjectionFileSystem> fs_;
  std::shared_ptr<DB> db_;
  std::map<std::string, TableHandle> tables_;

  std::thread::id main_;
  std::atomic<Phase> phase_{Phase::kOpen};
  std::atomic<At> lost_at_{At::kBetweenCalls};

  /// Operations whose tables are "name#instance".
  std::vector<Operation> history_;
  size_t floor_ = 0;                    // so many of them must be there
  size_t unlogged_floor_ = 0;           // of unlogged tables
  std::map<std::string, int> catalog_;  // name to instance
  int instances_ = 0;
  std::string uncertain_;  // a table that was being created or dropped
  int uncertain_instance_ = 0;
};

TEST(PowerLoss, LeavesAPrefixOfTheWritesWithAllThatWasAcknowledgedAsDurable) {
  const uint64_t one = EnvOr("MARBLE_POWER_SEED", 0);
  const uint64_t seeds = EnvOr("MARBLE_POWER_SEEDS", Long() ? 5000 : 120);
  if (one != 0) {
    PowerLossRun(one).Run();
    return;
  }
  for (auto& n : losses) n = 0;
  for (uint64_t seed = 1; seed <= seeds && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    PowerLossRun(seed).Run();
  }
  std::string report;
  for (int at = 0; at < static_cast<int>(At::kCount); ++at) {
    report += std::string(at == 0 ? "" : ", ") + std::to_string(losses[at]) + " " + kAtNames[at];
  }
  std::printf("power losses: %s\n", report.c_str());
  std::string levels;
  for (int level = 0; level < limits::kNumLevels; ++level) {
    levels += (level == 0 ? "" : " ") + std::to_string(merges_to_level[level]);
  }
  std::printf("merges into levels: %s; moves: %d\n", levels.c_str(), moves.load());
  EXPECT_GT(merges_to_level[limits::kNumLevels - 1] + merges_to_level[limits::kNumLevels - 2], 0);
  EXPECT_GT(moves, 0);
  for (int at = 0; at < static_cast<int>(At::kCount) && seeds >= 100 && !HasFailure(); ++at) {
    EXPECT_GT(losses[at].load(), 0) << "no power loss fell into: " << kAtNames[at];
  }
}

// --- Many writers -------------------------------------------------------------------------------

/// Threads that write to their own keys, some writes with durability 'power'. After a loss, what
/// each has is a prefix of its own writes, with all its durable ones; and no write is there while
/// one with a lower sequence number is not.
TEST(PowerLoss, WithManyWritersLeavesNoGapInTheOrderOfTheLog) {
  constexpr int kThreads = 4;
  const uint64_t one = EnvOr("MARBLE_POWER_SEED", 0);
  const uint64_t seeds = one != 0 ? one : EnvOr("MARBLE_POWER_SEEDS", Long() ? 2000 : 40);
  uint64_t lost_writes = 0, kept_writes = 0;
  for (uint64_t seed = one != 0 ? one : 1; seed <= seeds && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    auto disk = std::make_shared<io::MemoryFileSystem>();
    Must(disk->CreateDirs("/before"));
    io::FaultInjectionOptions fault_options;
    fault_options.log_kind =
        random() % 3 == 0 ? io::LogFileKind::kWritten : io::LogFileKind::kMapped;
    auto fs = Must(FaultInjectionFileSystem::Make(disk, "/before", fault_options));
    DbOptions options;
    options.file_system = fs;
    options.log_segment_bytes = 24 << 10;
    options.max_block_ms = 60'000;
    auto db = Must(DB::Open("/before/db", options));
    auto table = Must(db->CreateTable(StateFamily("s"), false));
    fs->LosePowerAt(20 + random() % 400, random());

    struct Written {
      SequenceNumber sequence;  // 0: not acknowledged
      bool durable;
    };
    std::vector<std::vector<Written>> written(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 own(seed * kThreads + static_cast<uint64_t>(t));
        for (int i = 0; i < 3000; ++i) {
          WriteBatch batch;
          const std::string key = std::to_string(t) + "/" + std::to_string(i);
          Must(batch.Put(table, key, std::string(own() % 400, 'x')));
          Must(batch.Put(table, key + "/twin", std::to_string(i)));
          const bool durable = own() % 16 == 0;
          const auto result =
              db->Write(std::move(batch), {durable ? Durability::kPower : Durability::kProcess});
          written[t].push_back({result.ok() ? *result : 0, result.ok() && durable});
          if (!result.ok()) return;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    fs->LosePower(seed);
    (void)db->Close();
    db.reset();
    Must(fs->Restore(disk.get(), "/after"));
    options.file_system = disk;
    auto again = Must(DB::Open("/after/db", options));
    auto found = Must(again->GetTable("s"));
    SequenceNumber newest = 0, oldest_missing = ~SequenceNumber{0};
    for (int t = 0; t < kThreads; ++t) {
      bool gone = false;
      for (size_t i = 0; i < written[t].size(); ++i) {
        const std::string key = std::to_string(t) + "/" + std::to_string(i);
        const bool there = GetState(again.get(), found, key).has_value();
        EXPECT_EQ(there, GetState(again.get(), found, key + "/twin").has_value())
            << "a batch was torn: " << key;
        EXPECT_FALSE(gone && there) << "a gap in thread " << t << " before " << key;
        gone |= !there;
        EXPECT_TRUE(there || !written[t][i].durable) << "a durable write was lost: " << key;
        ++(there ? kept_writes : lost_writes);
        const SequenceNumber sequence = written[t][i].sequence;
        if (sequence == 0) continue;
        if (there) newest = std::max(newest, sequence);
        if (!there) oldest_missing = std::min(oldest_missing, sequence);
      }
    }
    EXPECT_LT(newest, oldest_missing) << "a later write is there, an earlier one is not";
  }
  std::printf("%llu writes were kept, %llu lost\n", static_cast<unsigned long long>(kept_writes),
              static_cast<unsigned long long>(lost_writes));
  EXPECT_TRUE(one != 0 || lost_writes > 0) << "the power was never lost before the end";
}

}  // namespace
}  // namespace marble::lsm
