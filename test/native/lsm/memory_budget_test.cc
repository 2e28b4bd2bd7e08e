// The memory budget: kept under load, divided as memory_budget.h says, reported part by part.
#include "lsm/memory_budget.h"

#include <gmock/gmock.h>

#include <atomic>
#include <random>
#include <thread>

#include "db_fixture.h"

namespace marble::lsm {
namespace {

using namespace testing;
using ::testing::HasSubstr;

TEST(MemoryBudget, IsKeptToATenthWhileManyTablesAreWrittenAndRead) {
  constexpr uint64_t kBudget = 16 << 20;
  TempDir dir;
  DbOptions options;
  options.memory_budget_bytes = kBudget;
  options.max_block_ms = 60'000;
  auto db = Must(DB::Open(dir.path(), options));
  std::vector<TableHandle> states;
  for (int i = 0; i < 5; ++i) {
    TableDescriptor descriptor = StateFamily("s" + std::to_string(i));
    descriptor.options.logged = i != 4;
    states.push_back(Must(db->CreateTable(std::move(descriptor), false)));
  }
  std::atomic<bool> done{false};
  std::atomic<uint64_t> most{0};
  MemoryMetrics worst;
  std::thread watcher([&] {
    while (!done) {
      const MemoryMetrics now = db->metrics().memory;
      if (now.total() > most) {
        most = now.total();
        worst = now;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  });
  // Small rows, whose index takes more than they do, and large ones; ten times the budget.
  std::mt19937_64 random(3);
  uint64_t written = 0;
  while (written < 10 * kBudget) {
    WriteBatch batch;
    for (int i = 0; i < 100; ++i) {
      const std::string key = std::to_string(random() % 1'000'000);
      const std::string value(random() % 4 == 0 ? random() % 4000 : random() % 16, 'v');
      written += key.size() + value.size() + 32;
      ASSERT_OK(batch.Put(states[random() % states.size()], key, value));
    }
    Must(db->Write(std::move(batch), {}));
    if (random() % 50 == 0) (void)ScanState(db.get(), states[random() % 4]).size();
  }
  done = true;
  watcher.join();
  EXPECT_LE(most, kBudget + kBudget / 10)
      << worst.memtable_rows << " rows, " << worst.memtable_indexes << " indexes, "
      << worst.file_chunks << " chunks, " << worst.file_arrays << " arrays";
  EXPECT_GE(most, kBudget / 4) << "it is used";
  EXPECT_GT(worst.memtable_rows, 0u);
  EXPECT_GT(worst.memtable_indexes, 0u);
  EXPECT_GT(db->metrics().flushes, 10u);
}

TEST(MemoryBudget, ArraysOverFilesAreKeptOnlyWithinTheirShare) {
  MemoryBudget budget(16 << 20, 4, 2);
  EXPECT_TRUE(budget.KeepArrays(1 << 20));
  EXPECT_FALSE(budget.KeepArrays(1));
  EXPECT_EQ(budget.arrays(), 1u << 20);
  budget.ReleaseArrays(1 << 20);
  EXPECT_TRUE(budget.KeepArrays(1));
  MemoryBudget none(0, 4, 2);
  EXPECT_TRUE(none.KeepArrays(1ull << 40));
}

TEST(MemoryBudget, ChunksCountWhileTheyLive) {
  MemoryBudget budget(16 << 20, 4, 2);
  {
    ChunkCharge charge(&budget, 100);
    EXPECT_EQ(budget.chunks(), 100u);
    ChunkCharge moved = std::move(charge);
    EXPECT_EQ(budget.chunks(), 100u);
  }
  EXPECT_EQ(budget.chunks(), 0u);
  EXPECT_LE(budget.chunk_bytes() * 10, budget.bytes() / 16 * 3);
}

TEST(MemoryBudget, TooSmallAOneIsRefused) {
  TempDir dir;
  DbOptions options;
  options.memory_budget_bytes = 1 << 20;
  const Status status = DB::Open(dir.path(), options).status();
  EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr("memoryBudgetBytes is 1048576, not at least 8388608"));
}

}  // namespace
}  // namespace marble::lsm
