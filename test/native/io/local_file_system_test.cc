// What only the machine's own file system does; the rest is in file_system_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "io/file_system.h"

namespace marble::io {
namespace {

using testing::HasSubstr;

class LocalFileSystemTest : public testing::Test {
 protected:
  LocalFileSystemTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "marble-io-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
  }
  ~LocalFileSystemTest() override { std::filesystem::remove_all(dir_); }
  std::string At(const std::string& name) const { return dir_ + "/" + name; }

  const std::shared_ptr<FileSystem> fs_ = FileSystem::Local();
  std::string dir_;
};

TEST_F(LocalFileSystemTest, AFailedAppendLeavesNoBytesBehind) {
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  auto file = fs_->Create(At("log")).ValueOrDie();
  ASSERT_TRUE(file->Append("kept").ok());
  rlimit limit = old_limit;
  limit.rlim_cur = 100;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const Status status = file->Append(std::string(1000, 'x'));  // 96 of them fit
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(CodeOf(status), ErrorCode::kIo);
  EXPECT_THAT(status.message(), HasSubstr(At("log")));
  EXPECT_EQ(fs_->ReadFile(At("log")).ValueOrDie(), "kept");
  ASSERT_TRUE(file->Append(", more").ok());
  EXPECT_EQ(fs_->ReadFile(At("log")).ValueOrDie(), "kept, more");
}

TEST_F(LocalFileSystemTest, FilesThatSayTheyAreEmptyAreReadToTheirEnd) {
  EXPECT_GT(fs_->ReadFile("/proc/self/status").ValueOrDie().size(), 100u);
  const std::string boot = fs_->BootId();
  EXPECT_EQ(boot.size(), 36u);
  EXPECT_EQ(std::count(boot.begin(), boot.end(), '-'), 4);
}

TEST_F(LocalFileSystemTest, ALockOfAnotherProcessNamesItAndEndsWithIt) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto lock = fs_->Lock(At("LOCK"));
    (void)!::write(ready[1], lock.ok() ? "y" : "n", 1);
    for (;;) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  const Status status = fs_->Lock(At("LOCK")).status();
  EXPECT_EQ(CodeOf(status), ErrorCode::kLocked);
  EXPECT_THAT(status.message(), HasSubstr("process " + std::to_string(child) + ";"));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(fs_->Lock(At("LOCK")).ok());
}

}  // namespace
}  // namespace marble::io
