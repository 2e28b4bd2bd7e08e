// Searches among sorted keys find what the standard library's do, wherever they begin.
#include "lsm/key_fences.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace marble::lsm {
namespace {

TEST(SearchNear, FindsWhatABinarySearchFindsFromAnyGuess) {
  for (int64_t size = 0; size <= 70; ++size) {
    for (int64_t answer = 0; answer <= size; ++answer) {
      for (int64_t guess = -3; guess <= size + 3; ++guess) {
        int calls = 0;
        const int64_t found = SearchNear(int64_t{10}, 10 + size, 10 + guess, [&](int64_t i) {
          EXPECT_GE(i, 10);
          EXPECT_LT(i, 10 + size);
          ++calls;
          return i < 10 + answer;
        });
        ASSERT_EQ(found, 10 + answer) << size << " " << guess;
        ASSERT_LE(calls, 10) << size << " " << guess;
        if (guess == answer && size == 70) {
          ASSERT_LE(calls, 4);
        }
      }
    }
  }
}

TEST(KeyFences, FindTheRangeOfEqualsAndGuessWithinTheInterval) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 2'000; ++round) {
    const uint64_t spread = round % 3 == 0 ? 10 : round % 3 == 1 ? 1000 : UINT64_MAX;
    std::vector<uint64_t> prefixes(random() % 60);
    for (uint64_t& prefix : prefixes) prefix = random() % spread;
    std::sort(prefixes.begin(), prefixes.end());
    KeyFences fences("", prefixes.size());
    for (const uint64_t prefix : prefixes) fences.AddPrefix(prefix);
    for (int i = 0; i < 20; ++i) {
      const uint64_t sought = i == 0 ? 0 : i == 1 ? UINT64_MAX : random() % spread;
      const auto [low, high] = fences.FindPrefix(sought);
      const auto expected = std::equal_range(prefixes.begin(), prefixes.end(), sought);
      ASSERT_EQ(low, static_cast<size_t>(expected.first - prefixes.begin()));
      ASSERT_EQ(high, static_cast<size_t>(expected.second - prefixes.begin()));
      ASSERT_LE(fences.Guess(low, sought, 64), 64u);
    }
  }
}

TEST(KeyFences, GuessWhereEvenlySpreadKeysLie) {
  KeyFences fences("", 100);
  for (uint64_t key = 0; key < 6400; key += 64) fences.AddPrefix(key * 1000);
  for (uint64_t key = 1; key < 6336; ++key) {
    const size_t low = fences.FindPrefix(key * 1000).first;
    EXPECT_EQ((low - 1) * 64 + fences.Guess(low, key * 1000, 64), key);
  }
}

}  // namespace
}  // namespace marble::lsm
