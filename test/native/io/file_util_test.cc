#include "io/file_util.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace marble::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class FileUtilTest : public testing::Test {
 protected:
  FileUtilTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "marble-io-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
  }
  ~FileUtilTest() override { std::filesystem::remove_all(dir_); }
  std::string At(const std::string& name) const { return dir_ + "/" + name; }

  std::string dir_;
};

TEST_F(FileUtilTest, EveryErrorNamesThePathAndTheCause) {
  const std::string missing = At("no/such/file");
  const auto names_it = AllOf(HasSubstr(missing), HasSubstr("No such file"));
  EXPECT_THAT(FileSize(missing).status().message(), names_it);
  EXPECT_THAT(ListDir(missing).status().message(), names_it);
  EXPECT_THAT(RemoveFile(missing).message(), names_it);
  EXPECT_THAT(RenameFile(missing, At("x")).message(), names_it);
  EXPECT_THAT(LinkFile(missing, At("x")).message(), names_it);
  EXPECT_THAT(SyncDir(missing).message(), names_it);
  EXPECT_THAT(SyncFile(missing).message(), names_it);
  EXPECT_THAT(ReadFile(missing).status().message(), names_it);
  EXPECT_THAT(WriteFileAtomically(missing, "x").message(), names_it);
  EXPECT_THAT(AppendFile::Create(missing).status().message(), names_it);
  EXPECT_THAT(MappedFile::Open(missing).status().message(), names_it);
  EXPECT_THAT(FileLock::Acquire(missing).status().message(), names_it);
  EXPECT_EQ(CodeOf(RemoveFile(missing)), ErrorCode::kIo);
  EXPECT_FALSE(FileExists(missing).ValueOrDie());
}

TEST_F(FileUtilTest, FoldersAreCreatedWithTheirParentsAndMayExist) {
  ASSERT_TRUE(CreateDirs(At("a/b//c")).ok());
  ASSERT_TRUE(CreateDirs(At("a/b/c/")).ok());
  EXPECT_TRUE(FileExists(At("a/b/c")).ValueOrDie());
  ASSERT_TRUE(WriteFileAtomically(At("file"), "x").ok());
  EXPECT_THAT(CreateDirs(At("file/below")).message(), HasSubstr(At("file")));
}

TEST_F(FileUtilTest, AnAtomicWriteReplacesAllAndLeavesNoTemporaryFile) {
  ASSERT_TRUE(WriteFileAtomically(At("f"), std::string(100'000, 'a')).ok());
  ASSERT_TRUE(WriteFileAtomically(At("f"), "short").ok());
  EXPECT_EQ(ReadFile(At("f")).ValueOrDie(), "short");
  EXPECT_EQ(FileSize(At("f")).ValueOrDie(), 5u);
  // A folder in the way: the rename fails, the temporary file goes.
  ASSERT_TRUE(CreateDirs(At("taken")).ok());
  EXPECT_FALSE(WriteFileAtomically(At("taken"), "x").ok());
  EXPECT_THAT(ListDir(dir_).ValueOrDie(), UnorderedElementsAre("f", "taken"));
}

TEST_F(FileUtilTest, FilesAreRenamedLinkedAndRemoved) {
  ASSERT_TRUE(WriteFileAtomically(At("a"), "1").ok());
  ASSERT_TRUE(LinkFile(At("a"), At("b")).ok());
  EXPECT_FALSE(LinkFile(At("a"), At("b")).ok());
  ASSERT_TRUE(RenameFile(At("a"), At("c")).ok());
  ASSERT_TRUE(SyncDir(dir_).ok());
  ASSERT_TRUE(SyncFile(At("b")).ok());
  EXPECT_THAT(ListDir(dir_).ValueOrDie(), UnorderedElementsAre("b", "c"));
  ASSERT_TRUE(RemoveFile(At("b")).ok());
  EXPECT_EQ(ReadFile(At("c")).ValueOrDie(), "1");
}

TEST_F(FileUtilTest, AnAppendFileGrowsAndNeverOverwritesAnotherFile) {
  auto file = AppendFile::Create(At("log")).ValueOrDie();
  ASSERT_TRUE(file->Append("one,").ok());
  ASSERT_TRUE(file->Append("two").ok());
  EXPECT_EQ(file->size(), 7u);
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Close().ok());
  EXPECT_TRUE(file->Close().ok());
  EXPECT_FALSE(file->Append("more").ok());
  EXPECT_EQ(ReadFile(At("log")).ValueOrDie(), "one,two");
  EXPECT_THAT(AppendFile::Create(At("log")).status().message(), HasSubstr("File exists"));
}

TEST_F(FileUtilTest, AFailedAppendLeavesNoBytesBehind) {
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  auto file = AppendFile::Create(At("log")).ValueOrDie();
  ASSERT_TRUE(file->Append("kept").ok());
  rlimit limit = old_limit;
  limit.rlim_cur = 100;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const Status status = file->Append(std::string(1000, 'x'));  // 96 of them fit
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(CodeOf(status), ErrorCode::kIo);
  EXPECT_THAT(status.message(), HasSubstr(At("log")));
  EXPECT_EQ(ReadFile(At("log")).ValueOrDie(), "kept");
  ASSERT_TRUE(file->Append(", more").ok());
  EXPECT_EQ(ReadFile(At("log")).ValueOrDie(), "kept, more");
}

TEST_F(FileUtilTest, AMappingOutlivesItsNameAndMayBeEmpty) {
  ASSERT_TRUE(WriteFileAtomically(At("f"), "hello").ok());
  auto mapped = MappedFile::Open(At("f")).ValueOrDie();
  ASSERT_TRUE(RemoveFile(At("f")).ok());
  EXPECT_EQ(mapped->bytes(), "hello");
  EXPECT_EQ(mapped->path(), At("f"));
  ASSERT_TRUE(WriteFileAtomically(At("empty"), "").ok());
  EXPECT_EQ(MappedFile::Open(At("empty")).ValueOrDie()->bytes(), "");
  EXPECT_FALSE(MappedFile::Open(dir_).ok());
}

TEST_F(FileUtilTest, FilesThatSayTheyAreEmptyAreReadToTheirEnd) {
  EXPECT_GT(ReadFile("/proc/self/status").ValueOrDie().size(), 100u);
  const std::string boot = BootId();
  EXPECT_EQ(boot.size(), 36u);
  EXPECT_EQ(std::count(boot.begin(), boot.end(), '-'), 4);
}

TEST_F(FileUtilTest, ALockIsHeldOnceEvenWithinAProcessAndNamesItsOwner) {
  auto lock = FileLock::Acquire(At("LOCK"));
  ASSERT_TRUE(lock.ok()) << lock.status();
  const Status second = FileLock::Acquire(At("LOCK")).status();
  EXPECT_EQ(CodeOf(second), ErrorCode::kLocked);
  EXPECT_THAT(second.message(),
              AllOf(HasSubstr("database " + dir_ + " is in use by"),
                    HasSubstr(std::to_string(::getpid())), HasSubstr("close it there")));
  lock->reset();
  EXPECT_TRUE(FileLock::Acquire(At("LOCK")).ok());
}

TEST_F(FileUtilTest, ALockOfAnotherProcessNamesItAndEndsWithIt) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto lock = FileLock::Acquire(At("LOCK"));
    (void)!::write(ready[1], lock.ok() ? "y" : "n", 1);
    for (;;) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  const Status status = FileLock::Acquire(At("LOCK")).status();
  EXPECT_EQ(CodeOf(status), ErrorCode::kLocked);
  EXPECT_THAT(status.message(), HasSubstr("process " + std::to_string(child) + ";"));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(FileLock::Acquire(At("LOCK")).ok());
}

}  // namespace
}  // namespace marble::io
