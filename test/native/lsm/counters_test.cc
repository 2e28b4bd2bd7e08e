// Lookups are counted exactly by any number of threads.
#include "lsm/read/counters.h"

#include <gtest/gtest.h>

#include <latch>
#include <thread>
#include <vector>

namespace marble::lsm {
namespace {

TEST(LookupCounters, CountForAnyNumberOfThreadsAtOnce) {
  constexpr int kThreads = 40;
  LookupCounters counters;
  std::latch begun(kThreads);
  std::atomic<int> own{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      own += LookupCounters::has_own_line();
      begun.arrive_and_wait();  // all of them live now
      for (int n = 0; n < 10'000; ++n) counters.Add(1, 2);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counters.gets(), kThreads * 10'000u);
  EXPECT_EQ(counters.negatives(), kThreads * 20'000u);
  EXPECT_GT(own.load(), 0);
  EXPECT_LT(own.load(), kThreads);
}

TEST(LookupCounters, AThreadThatEndsGivesItsLineBack) {
  LookupCounters counters;
  for (int i = 0; i < 100; ++i) {
    std::thread([&] {
      EXPECT_TRUE(LookupCounters::has_own_line()) << i;
      counters.Add(1, 0);
    }).join();
  }
  EXPECT_EQ(counters.gets(), 100u);
}

}  // namespace
}  // namespace marble::lsm
