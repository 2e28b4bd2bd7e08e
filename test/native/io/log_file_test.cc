#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "io/file_system.h"

namespace marble::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class LogFileTest : public testing::TestWithParam<LogFileKind> {
 protected:
  LogFileTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "marble-log-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    path_ = dir_ + "/000001.log";
  }
  ~LogFileTest() override { std::filesystem::remove_all(dir_); }

  const std::shared_ptr<FileSystem> fs_ = FileSystem::Local();
  std::string dir_;
  std::string path_;
};
INSTANTIATE_TEST_SUITE_P(Kinds, LogFileTest,
                         testing::Values(LogFileKind::kMapped, LogFileKind::kWritten),
                         [](const auto& info) {
                           return info.param == LogFileKind::kMapped ? "Mapped" : "Written";
                         });

TEST_P(LogFileTest, IsPreallocatedAndZero) {
  auto file = fs_->CreateLog(path_, 100'000, GetParam()).ValueOrDie();
  EXPECT_EQ(file->kind(), GetParam());
  EXPECT_EQ(file->size(), 100'000u);
  EXPECT_EQ(file->path(), path_);
  EXPECT_TRUE(std::all_of(file->data(), file->data() + file->size(),
                          [](uint8_t byte) { return byte == 0; }));
  struct stat info;
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 100'000);
  EXPECT_GE(info.st_blocks * 512, 100'000) << "the file has holes: a store could hit a full disk";
}

TEST_P(LogFileTest, PublishedBytesAreInTheFile) {
  auto file = fs_->CreateLog(path_, 64 * 1024, GetParam()).ValueOrDie();
  file->Prefault(0, 10'000'000);  // beyond the end is cut off
  std::memcpy(file->data() + 1000, "published", 9);
  ASSERT_TRUE(file->Publish(1000, 1009).ok());
  std::memcpy(file->data() + 50'000, "too", 3);
  ASSERT_TRUE(file->Publish(50'000, 50'003).ok());
  ASSERT_TRUE(file->Sync().ok());
  auto read = fs_->OpenLog(path_).ValueOrDie();
  EXPECT_EQ(read->size(), file->size());
  EXPECT_EQ(std::memcmp(read->data() + 1000, "published", 9), 0);
  EXPECT_EQ(std::memcmp(read->data() + 50'000, "too", 3), 0);
  EXPECT_TRUE(read->Sync().ok());
}

TEST_P(LogFileTest, MemoryStaysWhenTheFileIsUnlinked) {
  auto file = fs_->CreateLog(path_, 4096, GetParam()).ValueOrDie();
  const uint8_t* data = file->data();
  std::memcpy(file->data(), "kept", 4);
  ASSERT_TRUE(fs_->Remove(path_).ok());
  EXPECT_EQ(std::memcmp(file->data(), "kept", 4), 0);
  EXPECT_EQ(file->data(), data);
  EXPECT_TRUE(file->Publish(0, 4).ok());
  EXPECT_TRUE(file->Sync().ok());
}

TEST_P(LogFileTest, AnExistingFileIsNotTouched) {
  ASSERT_TRUE(fs_->WriteFileAtomically(path_, "precious").ok());
  const Status status = fs_->CreateLog(path_, 4096, GetParam()).status();
  EXPECT_THAT(status.message(), AllOf(HasSubstr(path_), HasSubstr("File exists")));
  EXPECT_EQ(fs_->ReadFile(path_).ValueOrDie(), "precious");
}

TEST_P(LogFileTest, AFileThatCannotGetItsBytesIsAnErrorAtOnceAndIsRemoved) {
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  rlimit limit = old_limit;
  limit.rlim_cur = 4096;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const Status status = fs_->CreateLog(path_, 1 << 20, GetParam()).status();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr(path_));
  EXPECT_FALSE(fs_->Exists(path_).ValueOrDie());
}

TEST_P(LogFileTest, AnEmptyFileCanBeOpenedForRecovery) {
  ASSERT_TRUE(fs_->WriteFileAtomically(path_, "").ok());
  EXPECT_EQ(fs_->OpenLog(path_).ValueOrDie()->size(), 0u);
  EXPECT_THAT(fs_->OpenLog(path_ + "x").status().message(), HasSubstr(path_ + "x"));
}

}  // namespace
}  // namespace marble::io
