// SIGKILL at random moments: a child process writes with four threads and acknowledges through
// shared memory; the parent kills it, reopens the database and checks that every acknowledged
// write is there, that at most the one write under way is there besides, and that no write is
// there by half. The rounds follow each other on one database, whose levels are so small that
// compactions run nearly all the time; how many kills fell into one is counted.
// MARBLE_CRASH_ROUNDS: how many (default 25).
#include <gtest/gtest.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "db_fixture.h"

extern char** environ;

namespace marble::lsm {
namespace {

using namespace testing;

constexpr int kThreads = 4;
constexpr const char* kDirVariable = "MARBLE_CRASH_CHILD_DIR";
constexpr const char* kSharedVariable = "MARBLE_CRASH_CHILD_SHARED";

enum Phase { kStarting = 0, kOpening = 1, kWriting = 2 };

struct Shared {
  std::atomic<int> phase;
  std::atomic<int> flushing, compacting, installing;  // under way at this moment
  std::atomic<uint64_t> done[kThreads];               // operations acknowledged, over all rounds
};

Shared* MapShared(const std::string& path, bool create) {
  const int fd = open(path.c_str(), O_RDWR | (create ? O_CREAT : 0), 0600);
  if (fd < 0 || (create && ftruncate(fd, sizeof(Shared)) != 0)) std::abort();
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<Shared*>(memory);
}

DbOptions Options() {
  DbOptions options;
  options.log_segment_bytes = 128 << 10;  // many rolls, flushes and compactions
  options.compaction_trigger = 3;
  options.max_block_ms = 60'000;
  options.target_file_bytes = 32 << 10;
  options.level_base_bytes = 64 << 10;
  options.level_multiplier = 3;
  options.max_compactions = 2;
  return options;
}

struct Tables {
  TableHandle a, b, t;
};
Tables OpenTables(DB* db) {
  return {Must(db->CreateTable(StateFamily("a"), true)),
          Must(db->CreateTable(StateFamily("b"), true)),
          Must(db->CreateTable(TypedTable("t"), true))};
}

/// What one thread has written: its own keys in all tables.
struct Written {
  std::map<std::string, std::string> a, b;
  std::map<std::pair<int64_t, std::string>, TypedRow> t;
  bool operator==(const Written&) const = default;
};

/// Operation `i` of a thread: the same in child and parent.
void Operation(int thread, uint64_t i, const Tables& tables, WriteBatch* batch, Written* model) {
  std::mt19937_64 random(i * kThreads + static_cast<uint64_t>(thread) + 1);
  const std::string prefix = std::string(1, static_cast<char>('A' + thread)) + "/";
  const auto key = [&] { return prefix + std::to_string(random() % 300); };
  const std::string value = std::to_string(i) + std::string(random() % 200, 'v');
  const auto put = [&](const TableHandle& table, std::map<std::string, std::string>* map,
                       const std::string& k) {
    if (batch != nullptr) Must(batch->Put(table, k, value));
    if (map != nullptr) (*map)[k] = value;
  };
  const auto both = [&](const std::string& k) {
    put(tables.a, model ? &model->a : nullptr, k);
    put(tables.b, model ? &model->b : nullptr, k);
  };
  switch (random() % 8) {
    case 0:
    case 1:
    case 2:
      put(tables.a, model ? &model->a : nullptr, key());
      break;
    case 3: {
      const std::string k = key();
      if (batch != nullptr) Must(batch->Delete(tables.a, k));
      if (model != nullptr) model->a.erase(k);
      break;
    }
    case 4: {
      std::string from = key(), to = key();
      if (to < from) std::swap(from, to);
      if (random() % 8 != 0) to = from + "\x01";
      if (batch != nullptr) Must(batch->DeleteRange(tables.b, from, to));
      if (model != nullptr) {
        model->b.erase(model->b.lower_bound(from), model->b.lower_bound(to));
      }
      break;
    }
    case 5:
    case 6:
      both(prefix + "pair");
      both(key());
      break;
    default: {
      std::vector<TypedRow> rows;
      for (int r = 0; r < 20; ++r) {
        rows.push_back({static_cast<int64_t>(random() % 200), prefix, double(i), value, true});
      }
      if (batch != nullptr) Must(batch->Insert(tables.t, TypedBatch(rows)));
      if (model != nullptr) {
        for (const TypedRow& row : rows) model->t[{row.id, row.name}] = row;
      }
      both(prefix + "pair");
    }
  }
}

/// The child: not a test, started by the parent.
TEST(CrashChild, DISABLED_Writes) {
  const char* dir = getenv(kDirVariable);
  const char* shared_path = getenv(kSharedVariable);
  if (dir == nullptr || shared_path == nullptr) GTEST_SKIP() << "started by the Crash test only";
  Shared* shared = MapShared(shared_path, false);
  shared->phase = kOpening;
  DbOptions options = Options();
  options.listener = [shared](const DbEvent& event) {
    auto& under_way = event.kind == DbEvent::Kind::kFlush ? shared->flushing : shared->compacting;
    if (event.kind != DbEvent::Kind::kFlush && event.kind != DbEvent::Kind::kCompaction) return;
    switch (event.phase) {
      case DbEvent::Phase::kBegin:
        ++under_way;
        break;
      case DbEvent::Phase::kInstall:
        ++shared->installing;
        break;
      case DbEvent::Phase::kEnd:
        --under_way;
        if (event.inputs != event.outputs || event.inputs.empty()) --shared->installing;
    }
  };
  auto db = Must(DB::Open(dir, options));
  const Tables tables = OpenTables(db.get());
  shared->phase = kWriting;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = shared->done[t];; ++i) {
        WriteBatch batch;
        Operation(t, i, tables, &batch, nullptr);
        Must(db->Write(std::move(batch), {}));
        shared->done[t].store(i + 1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

std::vector<Written> ReadAll(DB* db, const Tables& tables) {
  std::vector<Written> out(kThreads);
  for (const auto& [key, value] : ScanState(db, tables.a)) out[key[0] - 'A'].a[key] = value;
  for (const auto& [key, value] : ScanState(db, tables.b)) out[key[0] - 'A'].b[key] = value;
  for (const auto& batch : Must(ScanBatches(db, tables.t, {}))) {
    for (int64_t i = 0; i < batch->num_rows(); ++i) {
      TypedRow row = TypedRowAt(*batch, i);
      out[row.name[0] - 'A'].t[{row.id, row.name}] = row;
    }
  }
  return out;
}

pid_t StartChild(const std::string& dir, const std::string& shared) {
  std::vector<std::string> environment;
  for (char** e = environ; *e != nullptr; ++e) environment.emplace_back(*e);
  environment.push_back(std::string(kDirVariable) + "=" + dir);
  environment.push_back(std::string(kSharedVariable) + "=" + shared);
  std::vector<std::string> arguments = {"lsm_test", "--gtest_filter=CrashChild.DISABLED_Writes",
                                        "--gtest_also_run_disabled_tests", "--gtest_brief=1"};
  std::vector<char*> argv, envp;
  for (auto& s : arguments) argv.push_back(s.data());
  for (auto& s : environment) envp.push_back(s.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  pid_t pid = 0;
  if (posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, argv.data(), envp.data()) != 0) {
    std::abort();
  }
  return pid;
}

TEST(Crash, EveryAcknowledgedWriteSurvivesSigkillAndNoneIsThereByHalf) {
  const char* text = getenv("MARBLE_CRASH_ROUNDS");
  const int rounds = text != nullptr ? atoi(text) : 25;
  TempDir dir, shared_dir;
  const std::string shared_path = shared_dir.path() + "/shared";
  Shared* shared = MapShared(shared_path, true);
  std::mt19937_64 random(std::random_device{}());
  std::vector<Written> models(kThreads);
  uint64_t applied[kThreads] = {};
  int by_phase[3] = {};
  int inside = 0, unacknowledged = 0;
  int in_flush = 0, in_compaction = 0, in_install = 0;
  for (int round = 0; round < rounds; ++round) {
    shared->phase = kStarting;
    shared->flushing = shared->compacting = shared->installing = 0;
    const pid_t pid = StartChild(dir.path(), shared_path);
    // Most kills while it writes, from the first write on; some while it starts or recovers.
    if (round % 8 != 0) {
      while (shared->phase != kWriting) {
        int status;
        ASSERT_EQ(waitpid(pid, &status, WNOHANG), 0) << "the child ended by itself";
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 200'000));
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 60'000));
    }
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    int status;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the child ended by itself";
    ++by_phase[shared->phase];
    in_flush += shared->flushing > 0;
    in_compaction += shared->compacting > 0;
    in_install += shared->installing > 0;
    uint64_t progress = 0;

    auto db = Must(DB::Open(dir.path(), Options()));
    const Tables tables = OpenTables(db.get());
    const std::vector<Written> found = ReadAll(db.get(), tables);
    for (int t = 0; t < kThreads; ++t) {
      const uint64_t done = shared->done[t];
      progress += done - applied[t];
      for (; applied[t] < done; ++applied[t]) {
        Operation(t, applied[t], tables, nullptr, &models[t]);
      }
      if (!(found[t] == models[t])) {
        // The one write under way may have been published before its acknowledgement.
        Operation(t, applied[t], tables, nullptr, &models[t]);
        ++applied[t];
        ++unacknowledged;
        ASSERT_TRUE(found[t] == models[t])
            << "round " << round << ", thread " << t << ": not the state after " << done << " or "
            << done + 1 << " operations";
      }
      shared->done[t] = applied[t];
      // A point read sees what the scan sees.
      const std::string pair = std::string(1, static_cast<char>('A' + t)) + "/pair";
      const auto it = models[t].a.find(pair);
      EXPECT_EQ(GetState(db.get(), tables.a, pair),
                it == models[t].a.end() ? std::nullopt : std::optional(it->second));
    }
    inside += shared->phase == kWriting && progress > 0;
    if (round % 5 == 2) Must(db->Compact(""));
  }
  uint64_t total = 0;
  for (uint64_t n : applied) total += n;
  std::printf(
      "%d kills: %d before opening, %d while opening, %d while writing (%d strictly "
      "inside the run); %d inside a flush, %d inside a compaction, %d between writing files and "
      "having them installed; %llu writes kept, %d of them not yet acknowledged\n",
      rounds, by_phase[kStarting], by_phase[kOpening], by_phase[kWriting], inside, in_flush,
      in_compaction, in_install, static_cast<unsigned long long>(total), unacknowledged);
  EXPECT_GT(inside * 2, rounds) << "too few kills fell inside the run";
  EXPECT_GT(in_compaction * 5, rounds) << "too few kills fell inside a compaction";
}

}  // namespace
}  // namespace marble::lsm
