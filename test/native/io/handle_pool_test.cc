#include "io/handle_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "io/fault_injection_file_system.h"
#include "io/memory_file_system.h"

namespace marble::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Counts the files that are open.
class CountingFileSystem final : public ForwardingFileSystem {
 public:
  explicit CountingFileSystem(std::shared_ptr<FileSystem> base)
      : ForwardingFileSystem(std::move(base)) {}
  Result<std::shared_ptr<ReadableFile>> Open(const std::string& path) override {
    MARBLE_ASSIGN_OR_RETURN(auto file, base()->Open(path));
    const int now = ++open_;
    int most = most_;
    while (now > most && !most_.compare_exchange_weak(most, now)) {
    }
    return std::shared_ptr<ReadableFile>(file.get(), [this, file](ReadableFile*) { --open_; });
  }
  int open() const { return open_; }
  int most() const { return most_; }

 private:
  std::atomic<int> open_{0}, most_{0};
};

class HandlePoolTest : public testing::Test {
 protected:
  HandlePoolTest() {
    auto memory = std::make_shared<MemoryFileSystem>();
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(memory->WriteFileAtomically(Path(i), "content " + std::to_string(i)).ok());
    }
    files_ = std::make_shared<CountingFileSystem>(memory);
  }
  static std::string Path(int i) { return "/f" + std::to_string(i); }
  static std::string Content(const HandlePool::Handle& handle) {
    std::string out(100, '\0');
    out.resize(handle->ReadAt(0, out.size(), out.data()).ValueOrDie());
    return out;
  }
  std::shared_ptr<CountingFileSystem> files_;
};

TEST_F(HandlePoolTest, KeepsFilesOpenAndClosesTheOneUsedLongestAgo) {
  HandlePool pool(files_, 3);
  for (int i : {0, 1, 2, 0}) EXPECT_EQ(Content(*pool.Get(Path(i))), "content " + std::to_string(i));
  EXPECT_EQ(pool.counters().hits, 1u);
  EXPECT_EQ(pool.counters().misses, 3u);
  EXPECT_EQ(Content(*pool.Get(Path(3))), "content 3");  // 1 was used longest ago
  EXPECT_EQ(pool.counters().evictions, 1u);
  for (int i : {0, 2, 3}) (void)*pool.Get(Path(i));
  EXPECT_EQ(pool.counters().misses, 4u) << "one of the three was closed";
  (void)*pool.Get(Path(1));
  EXPECT_EQ(pool.counters().misses, 5u);
  EXPECT_EQ(files_->most(), 3);
  EXPECT_EQ(pool.counters().most_open, 3u);
  EXPECT_EQ(pool.counters().pinned, 0u);
}

TEST_F(HandlePoolTest, APinnedFileStaysOpen) {
  HandlePool pool(files_, 2);
  auto pinned = *pool.Get(Path(0));
  for (int i = 1; i < 10; ++i)
    EXPECT_EQ(Content(*pool.Get(Path(i))), "content " + std::to_string(i));
  EXPECT_EQ(Content(pinned), "content 0");
  EXPECT_EQ(Content(*pool.Get(Path(0))), "content 0");
  EXPECT_EQ(pool.counters().hits, 1u);
  EXPECT_EQ(files_->most(), 2);
  EXPECT_EQ(pool.counters().pinned, 1u);
}

TEST_F(HandlePoolTest, WaitsWhenAllArePinnedAndThenSaysSo) {
  HandlePool pool(files_, 1, std::chrono::milliseconds(30));
  auto pinned = *pool.Get(Path(0));
  const Status busy = pool.Get(Path(1)).status();
  EXPECT_EQ(CodeOf(busy), ErrorCode::kBusy);
  EXPECT_THAT(busy.message(), AllOf(HasSubstr(Path(1)), HasSubstr("all 1 file handles")));
  EXPECT_EQ(pool.counters().waits, 1u);

  HandlePool patient(files_, 1);
  auto held = *patient.Get(Path(0));
  std::thread other([&] { EXPECT_EQ(Content(*patient.Get(Path(1))), "content 1"); });
  while (patient.counters().waits == 0) std::this_thread::yield();
  held = {};
  other.join();
}

TEST_F(HandlePoolTest, AForgottenFileIsOpenedAnewAndHandlesKeepTheOldOne) {
  HandlePool pool(files_, 4);
  auto old = *pool.Get(Path(0));
  (void)*pool.Get(Path(1));
  ASSERT_TRUE(files_->WriteFileAtomically(Path(0), "new").ok());
  ASSERT_TRUE(files_->WriteFileAtomically(Path(1), "new too").ok());
  EXPECT_EQ(Content(*pool.Get(Path(1))), "content 1") << "known by its path";
  pool.Forget(Path(0));
  pool.Forget(Path(1));
  pool.Forget("/unknown");
  EXPECT_EQ(Content(*pool.Get(Path(0))), "new");
  EXPECT_EQ(Content(*pool.Get(Path(1))), "new too");
  EXPECT_EQ(Content(old), "content 0");
  EXPECT_EQ(pool.counters().open, 3u);
  old = {};
  EXPECT_EQ(pool.counters().open, 2u);
  EXPECT_EQ(files_->open(), 2);
}

TEST_F(HandlePoolTest, AnErrorOfOpeningIsReportedAndTakesNoRoom) {
  HandlePool pool(files_, 1);
  for (int i = 0; i < 3; ++i) {
    const Status status = pool.Get("/missing").status();
    EXPECT_THAT(status.message(), AllOf(HasSubstr("/missing"), HasSubstr("No such file")));
  }
  EXPECT_EQ(pool.counters().open, 0u);
  EXPECT_TRUE(pool.Get(Path(0)).ok());
}

TEST_F(HandlePoolTest, ManyThreadsShareFewHandles) {
  HandlePool pool(files_, 4);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 2000; ++i) {
        const int which = static_cast<int>(random() % 20);
        auto handle = pool.Get(Path(which));
        if (!handle.ok() || Content(*handle) != "content " + std::to_string(which)) ++wrong;
        if (random() % 50 == 0) pool.Forget(Path(which));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(files_->most(), 4);
  EXPECT_LE(pool.counters().most_open, 4u);
  EXPECT_EQ(pool.counters().pinned, 0u);
  EXPECT_EQ(pool.counters().open, static_cast<size_t>(files_->open()));
}

}  // namespace
}  // namespace marble::io
