// The contract of state backends (state/state_backend.h), on each one that is registered.
#include "state/state_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

namespace marble::state {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Pairs = std::vector<std::pair<std::string, std::string>>;

template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.status().ToString();
    std::abort();
  }
  return std::move(result).ValueUnsafe();
}
#define ASSERT_OK(expression)                        \
  do {                                               \
    const Status status_ = (expression);             \
    ASSERT_TRUE(status_.ok()) << status_.ToString(); \
  } while (false)

class StateBackendTest : public ::testing::TestWithParam<std::string> {
 protected:
  StateBackendTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "marble-XXXXXX").string();
    config_.path = ::mkdtemp(pattern.data());
    backend_ = Must(MakeStateBackend(GetParam()));
  }
  ~StateBackendTest() override {
    backend_ = nullptr;
    std::filesystem::remove_all(config_.path);
  }
  Pairs Scan(std::string_view start = {}, std::string_view end = {}) {
    Pairs pairs;
    const Status status = backend_->Scan(start, end, [&](std::string_view k, std::string_view v) {
      pairs.emplace_back(k, v);
      return true;
    });
    EXPECT_TRUE(status.ok()) << status;
    return pairs;
  }

  StorageConfig config_;
  std::unique_ptr<StateBackend> backend_;
};

TEST_P(StateBackendTest, GivesBackWhatWasPutUntilItIsDeleted) {
  ASSERT_OK(backend_->Open(config_));
  EXPECT_EQ(Must(backend_->Get("k")), std::nullopt);
  const std::string bytes("\0\xff\x80", 3);
  for (const std::string& key : {std::string("k"), std::string(), bytes}) {
    for (const std::string& value : {std::string("v"), std::string(), bytes}) {
      ASSERT_OK(backend_->Put(key, value));
      EXPECT_EQ(Must(backend_->Get(key)), value);
    }
    ASSERT_OK(backend_->Delete(key));
    EXPECT_EQ(Must(backend_->Get(key)), std::nullopt);
    ASSERT_OK(backend_->Delete(key));
  }
}

TEST_P(StateBackendTest, ScansHalfOpenRangesInTheOrderOfUnsignedBytes) {
  ASSERT_OK(backend_->Open(config_));
  for (const char* key : {"b", "a", "ab", "\xc3\xa4", "c"}) ASSERT_OK(backend_->Put(key, key));
  EXPECT_THAT(Scan(), ElementsAre(std::pair("a", "a"), std::pair("ab", "ab"), std::pair("b", "b"),
                                  std::pair("c", "c"), std::pair("\xc3\xa4", "\xc3\xa4")));
  EXPECT_THAT(Scan("ab", "c"), ElementsAre(std::pair("ab", "ab"), std::pair("b", "b")));
  EXPECT_THAT(Scan("c"), ElementsAre(std::pair("c", "c"), std::pair("\xc3\xa4", "\xc3\xa4")));
  EXPECT_TRUE(Scan("d", "e").empty());
  int visited = 0;
  ASSERT_OK(backend_->Scan({}, {}, [&](auto, auto) { return ++visited < 2; }));
  EXPECT_EQ(visited, 2);
}

TEST_P(StateBackendTest, AScanSeesTheStateAsItWasAtTheCall) {
  ASSERT_OK(backend_->Open(config_));
  for (int i = 0; i < 100; ++i) ASSERT_OK(backend_->Put("k" + std::to_string(i), "old"));
  int seen = 0;
  ASSERT_OK(backend_->Scan({}, {}, [&](std::string_view key, std::string_view value) {
    EXPECT_EQ(value, "old") << key;
    if (seen++ == 0) {
      for (int i = 0; i < 100; ++i) {
        EXPECT_TRUE(backend_->Put("k" + std::to_string(i), "new").ok());
        EXPECT_TRUE(backend_->Put("l" + std::to_string(i), "new").ok());
      }
      EXPECT_TRUE(backend_->Delete("k50").ok());
    }
    return true;
  }));
  EXPECT_EQ(seen, 100);
  EXPECT_EQ(Scan().size(), 199u);
}

TEST_P(StateBackendTest, IsClosedUntilOpenAndAgainAfterClose) {
  const auto refused = [&] {
    EXPECT_EQ(CodeOf(backend_->Get("k").status()), ErrorCode::kClosed);
    EXPECT_EQ(CodeOf(backend_->Put("k", "v")), ErrorCode::kClosed);
    EXPECT_EQ(CodeOf(backend_->Delete("k")), ErrorCode::kClosed);
    EXPECT_EQ(CodeOf(backend_->Scan({}, {}, [](auto, auto) { return true; })), ErrorCode::kClosed);
  };
  refused();
  ASSERT_OK(backend_->Open(config_));
  EXPECT_EQ(CodeOf(backend_->Open(config_)), ErrorCode::kInvalidArgument);
  ASSERT_OK(backend_->Put("k", "v"));
  ASSERT_OK(backend_->Close());
  ASSERT_OK(backend_->Close());
  refused();
}

TEST_P(StateBackendTest, KeepsWhatItAcknowledgedExactlyIfItIsPersistent) {
  ASSERT_OK(backend_->Open(config_));
  StorageConfig other = config_;
  other.name = "other";
  auto second = Must(MakeStateBackend(GetParam()));
  ASSERT_OK(second->Open(other));
  ASSERT_OK(backend_->Put("k", "v"));
  ASSERT_OK(second->Put("k", "w"));
  EXPECT_EQ(Must(backend_->Get("k")), "v") << "states are told apart by their names";
  ASSERT_OK(second->Close());
  ASSERT_OK(backend_->Close());
  ASSERT_OK(backend_->Open(config_));
  EXPECT_EQ(Must(backend_->Get("k")).has_value(), backend_->persistent());
}

TEST_P(StateBackendTest, BehavesAsAMapUnderRandomOperations) {
  ASSERT_OK(backend_->Open(config_));
  std::mt19937_64 random(11);
  std::map<std::string, std::string> model;
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = std::to_string(random() % 300);
    switch (random() % 8) {
      case 0:
        ASSERT_OK(backend_->Delete(key));
        model.erase(key);
        break;
      case 1:
        if (i % 50 == 1) {
          const std::string end = std::to_string(random() % 300);
          Pairs expected;
          for (auto it = model.lower_bound(key); it != model.end() && it->first < end; ++it) {
            expected.emplace_back(*it);
          }
          ASSERT_EQ(Scan(key, end), expected);
        }
        break;
      case 2:
      case 3: {
        const auto found = model.find(key);
        const auto value = Must(backend_->Get(key));
        ASSERT_EQ(value, found == model.end() ? std::nullopt : std::optional(found->second));
        break;
      }
      default:
        ASSERT_OK(backend_->Put(key, std::to_string(i)));
        model[key] = std::to_string(i);
    }
  }
  EXPECT_EQ(Scan(), Pairs(model.begin(), model.end()));
}

TEST_P(StateBackendTest, ManyThreadsMayUseItAtOnce) {
  ASSERT_OK(backend_->Open(config_));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const std::string key = std::to_string(t) + "/" + std::to_string(i);
        EXPECT_TRUE(backend_->Put(key, key).ok());
        EXPECT_EQ(Must(backend_->Get(key)), key);
        if (i % 100 == 0) {
          EXPECT_GE(Scan().size(), static_cast<size_t>(i));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(Scan().size(), 2000u);
}

INSTANTIATE_TEST_SUITE_P(Contract, StateBackendTest, ::testing::ValuesIn(StateBackendNames()),
                         [](const auto& info) { return info.param; });

TEST(StateBackendRegistry, TellsTheNamesThereAreAndTakesEachOnce) {
  EXPECT_THAT(StateBackendNames(), ElementsAre("marbledb", "memory"));
  const Status unknown = MakeStateBackend("rocksdb").status();
  EXPECT_EQ(CodeOf(unknown), ErrorCode::kNotFound);
  EXPECT_THAT(MessageOf(unknown), AllOf(HasSubstr("'rocksdb'"), HasSubstr("'marbledb', 'memory'")));
  EXPECT_EQ(CodeOf(RegisterStateBackend("memory", [] { return nullptr; })),
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace marble::state
