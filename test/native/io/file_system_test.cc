// What every file system promises, run over each of them.
#include "io/file_system.h"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/writer.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "io/fault_injection_file_system.h"
#include "io/memory_file_system.h"

namespace marble::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

enum class Which { kLocal, kMemory, kFaulty };

class FileSystemTest : public testing::TestWithParam<Which> {
 protected:
  FileSystemTest() {
    if (GetParam() != Which::kLocal) {
      fs_ = std::make_shared<MemoryFileSystem>();
      dir_ = "/dir";
      EXPECT_TRUE(fs_->CreateDirs(dir_).ok());
      // Without a fault it is the base, whatever it remembers.
      if (GetParam() == Which::kFaulty) fs_ = *FaultInjectionFileSystem::Make(fs_, dir_);
    } else {
      fs_ = FileSystem::Local();
      std::string pattern = std::filesystem::temp_directory_path() / "marble-io-XXXXXX";
      dir_ = ::mkdtemp(pattern.data());
    }
  }
  ~FileSystemTest() override {
    if (GetParam() == Which::kLocal) std::filesystem::remove_all(dir_);
  }
  std::string At(const std::string& name) const { return dir_ + "/" + name; }

  std::shared_ptr<FileSystem> fs_;
  std::string dir_;
};
INSTANTIATE_TEST_SUITE_P(All, FileSystemTest,
                         testing::Values(Which::kLocal, Which::kMemory, Which::kFaulty),
                         [](const auto& info) {
                           return info.param == Which::kLocal    ? "Local"
                                  : info.param == Which::kMemory ? "Memory"
                                                                 : "Faulty";
                         });

TEST_P(FileSystemTest, EveryErrorNamesThePathAndTheCause) {
  const std::string missing = At("no/such/file");
  const auto names_it = AllOf(HasSubstr(missing), HasSubstr("No such file"));
  EXPECT_THAT(fs_->Size(missing).status().message(), names_it);
  EXPECT_THAT(fs_->List(missing).status().message(), names_it);
  EXPECT_THAT(fs_->Remove(missing).message(), names_it);
  EXPECT_THAT(fs_->RemoveDir(missing).message(), names_it);
  EXPECT_THAT(fs_->Rename(missing, At("x")).message(), names_it);
  EXPECT_THAT(fs_->Link(missing, At("x")).message(), names_it);
  EXPECT_THAT(fs_->Copy(missing, At("x")).message(), names_it);
  EXPECT_THAT(fs_->SyncDir(missing).message(), names_it);
  EXPECT_THAT(fs_->SyncFile(missing).message(), names_it);
  EXPECT_THAT(fs_->ReadFile(missing).status().message(), names_it);
  EXPECT_THAT(fs_->WriteFileAtomically(missing, "x").message(), names_it);
  EXPECT_THAT(fs_->Create(missing).status().message(), names_it);
  EXPECT_THAT(fs_->Open(missing).status().message(), names_it);
  EXPECT_THAT(fs_->Map(missing).status().message(), names_it);
  EXPECT_THAT(fs_->OpenLog(missing).status().message(), names_it);
  EXPECT_THAT(fs_->CreateLog(missing, 4096, LogFileKind::kAny).status().message(), names_it);
  EXPECT_THAT(fs_->Lock(missing).status().message(), names_it);
  EXPECT_THAT(fs_->DiskSpace(missing).status().message(), names_it);
  EXPECT_EQ(CodeOf(fs_->Remove(missing)), ErrorCode::kIo);
  EXPECT_FALSE(fs_->Exists(missing).ValueOrDie());
}

TEST_P(FileSystemTest, FoldersAreCreatedWithTheirParentsAndMayExist) {
  ASSERT_TRUE(fs_->CreateDirs(At("a/b//c")).ok());
  ASSERT_TRUE(fs_->CreateDirs(At("a/b/c/")).ok());
  EXPECT_TRUE(fs_->Exists(At("a/b/c")).ValueOrDie());
  EXPECT_TRUE(fs_->Stat(At("a/b/c")).ValueOrDie()->is_directory);
  ASSERT_TRUE(fs_->WriteFileAtomically(At("file"), "x").ok());
  EXPECT_FALSE(fs_->Stat(At("file")).ValueOrDie()->is_directory);
  EXPECT_THAT(fs_->CreateDirs(At("file/below")).message(), HasSubstr("file"));
  EXPECT_THAT(fs_->List(dir_).ValueOrDie(), UnorderedElementsAre("a", "file"));
  EXPECT_THAT(fs_->RemoveDir(At("a")).message(), HasSubstr("not empty"));
  ASSERT_TRUE(fs_->RemoveDir(At("a/b/c")).ok());
  ASSERT_TRUE(fs_->RemoveDir(At("a/b")).ok());
  ASSERT_TRUE(fs_->RemoveDir(At("a")).ok());
  EXPECT_FALSE(fs_->RemoveDir(At("file")).ok());
  EXPECT_THAT(fs_->List(dir_).ValueOrDie(), UnorderedElementsAre("file"));
}

TEST_P(FileSystemTest, AnAtomicWriteReplacesAllAndLeavesNoTemporaryFile) {
  ASSERT_TRUE(fs_->WriteFileAtomically(At("f"), std::string(100'000, 'a')).ok());
  ASSERT_TRUE(fs_->WriteFileAtomically(At("f"), "short").ok());
  EXPECT_EQ(fs_->ReadFile(At("f")).ValueOrDie(), "short");
  EXPECT_EQ(fs_->Size(At("f")).ValueOrDie(), 5u);
  // What a crash left behind is no obstacle.
  ASSERT_TRUE(fs_->Create(At("f.tmp")).ValueOrDie()->Append("half").ok());
  ASSERT_TRUE(fs_->WriteFileAtomically(At("f"), "whole").ok());
  EXPECT_EQ(fs_->ReadFile(At("f")).ValueOrDie(), "whole");
  // A folder in the way: the rename fails, the temporary file goes.
  ASSERT_TRUE(fs_->CreateDirs(At("taken")).ok());
  EXPECT_FALSE(fs_->WriteFileAtomically(At("taken"), "x").ok());
  EXPECT_THAT(fs_->List(dir_).ValueOrDie(), UnorderedElementsAre("f", "taken"));
}

TEST_P(FileSystemTest, FilesAreRenamedLinkedCopiedAndRemoved) {
  ASSERT_TRUE(fs_->WriteFileAtomically(At("a"), "1").ok());
  ASSERT_TRUE(fs_->Link(At("a"), At("b")).ok());
  EXPECT_FALSE(fs_->Link(At("a"), At("b")).ok());
  const auto identity = [&](const std::string& name) {
    const FileInfo info = *fs_->Stat(At(name)).ValueOrDie();
    return std::make_pair(info.device, info.inode);
  };
  EXPECT_EQ(identity("a"), identity("b"));
  ASSERT_TRUE(fs_->Rename(At("a"), At("c")).ok());
  ASSERT_TRUE(fs_->SyncDir(dir_).ok());
  ASSERT_TRUE(fs_->SyncFile(At("b")).ok());
  EXPECT_THAT(fs_->List(dir_).ValueOrDie(), UnorderedElementsAre("b", "c"));
  ASSERT_TRUE(fs_->Remove(At("b")).ok());
  EXPECT_EQ(fs_->ReadFile(At("c")).ValueOrDie(), "1");

  const std::string large = std::string(3'000'000, 'x') + "end";
  ASSERT_TRUE(fs_->WriteFileAtomically(At("large"), large).ok());
  ASSERT_TRUE(fs_->Copy(At("large"), At("copy")).ok());
  EXPECT_EQ(fs_->ReadFile(At("copy")).ValueOrDie(), large);
  EXPECT_NE(identity("large"), identity("copy"));
  EXPECT_THAT(fs_->Copy(At("c"), At("copy")).message(),
              AllOf(HasSubstr(At("copy")), HasSubstr("File exists")));
  EXPECT_EQ(fs_->ReadFile(At("copy")).ValueOrDie(), large);
  ASSERT_TRUE(fs_->Rename(At("c"), At("copy")).ok()) << "a rename replaces";
  EXPECT_EQ(fs_->ReadFile(At("copy")).ValueOrDie(), "1");
}

TEST_P(FileSystemTest, AFolderIsRenamedWithWhatLiesBelow) {
  ASSERT_TRUE(fs_->CreateDirs(At("a/b")).ok());
  ASSERT_TRUE(fs_->WriteFileAtomically(At("a/b/f"), "1").ok());
  ASSERT_TRUE(fs_->WriteFileAtomically(At("a.other"), "2").ok());
  ASSERT_TRUE(fs_->Rename(At("a"), At("z")).ok());
  EXPECT_EQ(fs_->ReadFile(At("z/b/f")).ValueOrDie(), "1");
  EXPECT_THAT(fs_->List(dir_).ValueOrDie(), UnorderedElementsAre("z", "a.other"));
  EXPECT_FALSE(fs_->Rename(At("z"), At("z/b/inside")).ok());
}

TEST_P(FileSystemTest, AWritableFileGrowsAndNeverOverwritesAnotherFile) {
  auto file = fs_->Create(At("log")).ValueOrDie();
  ASSERT_TRUE(file->Append("one,").ok());
  ASSERT_TRUE(file->Append("two").ok());
  EXPECT_EQ(file->size(), 7u);
  EXPECT_EQ(file->path(), At("log"));
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Close().ok());
  EXPECT_TRUE(file->Close().ok());
  EXPECT_FALSE(file->Append("more").ok());
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_EQ(fs_->ReadFile(At("log")).ValueOrDie(), "one,two");
  EXPECT_THAT(fs_->Create(At("log")).status().message(), HasSubstr("File exists"));
}

TEST_P(FileSystemTest, AFileIsReadByPositionWhileItGrows) {
  auto file = fs_->Create(At("f")).ValueOrDie();
  ASSERT_TRUE(file->Append("0123456789").ok());
  auto reader = fs_->Open(At("f")).ValueOrDie();
  char bytes[8] = {};
  EXPECT_EQ(reader->ReadAt(3, 4, bytes).ValueOrDie(), 4u);
  EXPECT_EQ(std::string(bytes, 4), "3456");
  EXPECT_EQ(reader->ReadAt(7, 8, bytes).ValueOrDie(), 3u);
  EXPECT_EQ(reader->ReadAt(100, 8, bytes).ValueOrDie(), 0u);
  ASSERT_TRUE(file->Append("ab").ok());
  EXPECT_EQ(reader->Size().ValueOrDie(), 12u);
  EXPECT_EQ(reader->ReadAt(9, 8, bytes).ValueOrDie(), 3u);
  EXPECT_EQ(std::string(bytes, 3), "9ab");
  ASSERT_TRUE(fs_->Remove(At("f")).ok());
  EXPECT_EQ(reader->ReadAt(0, 1, bytes).ValueOrDie(), 1u) << "an open file outlives its name";
  EXPECT_FALSE(fs_->Open(dir_).ok());
}

TEST_P(FileSystemTest, AMappingOutlivesItsNameAndMayBeEmpty) {
  ASSERT_TRUE(fs_->WriteFileAtomically(At("f"), "hello").ok());
  auto mapped = fs_->Map(At("f")).ValueOrDie();
  EXPECT_EQ(mapped->path(), At("f"));
  auto* copy = static_cast<char*>(mapped->MapPrivately());
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(std::string(copy, 5), "hello");
  copy[0] = 'J';
  EXPECT_EQ(mapped->bytes(), "hello") << "a private mapping is written to, the file is not";
  EXPECT_EQ(fs_->ReadFile(At("f")).ValueOrDie(), "hello");
  ASSERT_TRUE(fs_->Remove(At("f")).ok());
  EXPECT_EQ(mapped->bytes(), "hello");
  EXPECT_EQ(std::string(copy, 5), "Jello");
  ::munmap(copy, mapped->size());
  ASSERT_TRUE(fs_->WriteFileAtomically(At("empty"), "").ok());
  EXPECT_EQ(fs_->Map(At("empty")).ValueOrDie()->bytes(), "");
  EXPECT_FALSE(fs_->Map(dir_).ok());
}

TEST_P(FileSystemTest, AMappingGivesRangesAndBatchesThatKeepIt) {
  auto schema = arrow::schema({arrow::field("n", arrow::int64())});
  arrow::Int64Builder builder;
  ASSERT_TRUE(builder.AppendValues({7, 8, 9}).ok());
  const auto batch = arrow::RecordBatch::Make(schema, 3, {builder.Finish().ValueOrDie()});
  const auto message =
      arrow::ipc::SerializeRecordBatch(*batch, arrow::ipc::IpcWriteOptions::Defaults())
          .ValueOrDie();
  ASSERT_TRUE(fs_->WriteFileAtomically(At("f"), std::string(64, '-') + message->ToString()).ok());
  auto mapped = fs_->Map(At("f")).ValueOrDie();
  EXPECT_EQ(mapped->Range(60, 4).ValueOrDie(), "----");
  for (const auto& [offset, length] : {std::pair<uint64_t, uint64_t>{0, mapped->size() + 1},
                                       {mapped->size() + 1, 0},
                                       {5, ~0ull}}) {
    const Status outside = mapped->Range(offset, length).status();
    EXPECT_EQ(CodeOf(outside), ErrorCode::kCorruption);
    EXPECT_THAT(outside.message(), AllOf(HasSubstr(At("f")), HasSubstr(std::to_string(offset))));
  }
  const uint8_t* memory = mapped->data();
  auto buffer = mapped->Buffer(0, 64).ValueOrDie();
  auto read = mapped->ReadBatch(64, schema).ValueOrDie();
  EXPECT_EQ(CodeOf(mapped->ReadBatch(0, schema).status()), ErrorCode::kCorruption);
  EXPECT_EQ(CodeOf(mapped->ReadBatch(1'000'000, schema).status()), ErrorCode::kCorruption);
  mapped.reset();
  EXPECT_EQ(buffer->data(), memory);
  EXPECT_EQ(buffer->ToString(), std::string(64, '-'));
  EXPECT_TRUE(read->Equals(*batch));
  const uint8_t* values = read->column_data(0)->buffers[1]->data();
  EXPECT_TRUE(values >= memory && values < memory + 1000) << "the batch was copied";
}

TEST_P(FileSystemTest, LogFilesOfBothKindsAreReadBack) {
  for (const LogFileKind kind : {LogFileKind::kMapped, LogFileKind::kWritten}) {
    const std::string path = At(kind == LogFileKind::kMapped ? "m.log" : "w.log");
    auto file = fs_->CreateLog(path, 10'000, kind).ValueOrDie();
    EXPECT_EQ(file->kind(), kind);
    EXPECT_EQ(fs_->Size(path).ValueOrDie(), 10'000u);
    EXPECT_TRUE(std::all_of(file->data(), file->data() + file->size(),
                            [](uint8_t byte) { return byte == 0; }));
    file->Prefault(0, 100'000);
    std::memcpy(file->data() + 5000, "record", 6);
    ASSERT_TRUE(file->Publish(5000, 5006).ok());
    ASSERT_TRUE(file->Sync().ok());
    auto read = fs_->OpenLog(path).ValueOrDie();
    EXPECT_EQ(read->size(), 10'000u);
    EXPECT_EQ(std::memcmp(read->data() + 5000, "record", 6), 0);
    EXPECT_TRUE(read->Sync().ok());
    ASSERT_TRUE(fs_->Remove(path).ok());
    EXPECT_EQ(std::memcmp(read->data() + 5000, "record", 6), 0);
  }
  EXPECT_EQ(CodeOf(fs_->CreateLog(At("none"), 0, LogFileKind::kAny).status()),
            ErrorCode::kInvalidArgument);
  EXPECT_FALSE(fs_->Exists(At("none")).ValueOrDie());
}

TEST_P(FileSystemTest, ALockIsHeldOnceEvenWithinAProcessAndNamesItsOwner) {
  auto lock = fs_->Lock(At("LOCK"));
  ASSERT_TRUE(lock.ok()) << lock.status();
  const Status second = fs_->Lock(At("LOCK")).status();
  EXPECT_EQ(CodeOf(second), ErrorCode::kLocked);
  EXPECT_THAT(second.message(),
              AllOf(HasSubstr("database " + dir_ + " is in use by"),
                    HasSubstr(std::to_string(::getpid())), HasSubstr("close it there")));
  EXPECT_TRUE(fs_->Lock(At("OTHER")).ok());
  EXPECT_TRUE(fs_->Exists(At("LOCK")).ValueOrDie());
  lock->reset();
  EXPECT_TRUE(fs_->Lock(At("LOCK")).ok());
}

TEST_P(FileSystemTest, TheRoomOnTheDiskIsKnown) {
  const SpaceInfo space = fs_->DiskSpace(dir_).ValueOrDie();
  EXPECT_GT(space.total_bytes, 0u);
  EXPECT_LE(space.free_bytes, space.total_bytes);
}

TEST(MemoryFileSystemTest, AFullDiskIsAnErrorAndHasRoomAgainLater) {
  MemoryFileSystem fs(10'000);
  auto file = fs.Create("f").ValueOrDie();
  ASSERT_TRUE(file->Append(std::string(6000, 'a')).ok());
  const Status full = file->Append(std::string(6000, 'b'));
  EXPECT_EQ(CodeOf(full), ErrorCode::kNoSpace);
  EXPECT_THAT(full.message(), HasSubstr("write f"));
  EXPECT_EQ(file->size(), 6000u);
  EXPECT_EQ(CodeOf(fs.CreateLog("log", 5000, LogFileKind::kAny).status()), ErrorCode::kNoSpace);
  EXPECT_FALSE(fs.Exists("log").ValueOrDie());
  EXPECT_EQ(CodeOf(fs.Copy("f", "copy")), ErrorCode::kNoSpace);
  EXPECT_FALSE(fs.Exists("copy").ValueOrDie());
  EXPECT_EQ(fs.DiskSpace("/").ValueOrDie().free_bytes, 4000u);
  auto log = fs.CreateLog("log", 4000, LogFileKind::kAny).ValueOrDie();
  EXPECT_EQ(fs.used_bytes(), 10'000u);
  ASSERT_TRUE(fs.Remove("log").ok());
  EXPECT_EQ(fs.used_bytes(), 10'000u) << "a log in use takes its room without a name, too";
  log.reset();
  EXPECT_EQ(fs.used_bytes(), 6000u);
  fs.SetCapacity(20'000);
  ASSERT_TRUE(file->Append(std::string(6000, 'b')).ok());
  EXPECT_EQ(fs.ReadFile("f").ValueOrDie(), std::string(6000, 'a') + std::string(6000, 'b'));
}

TEST(MemoryFileSystemTest, SpellingsOfOnePathAreOneFile) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.CreateDirs("a/b").ok());
  ASSERT_TRUE(fs.WriteFileAtomically("/a/b/f", "1").ok());
  for (const char* path : {"a/b/f", "//a///b/f", "/a/./b/f", "/a/b/../b/f", "/../a/b/f"}) {
    EXPECT_EQ(fs.ReadFile(path).ValueOrDie(), "1") << path;
  }
}

TEST(ResolvePathTest, PlainPathsAndFileUrlsAreLocal) {
  for (const char* path : {"/data/x", "relative/x", "./odd://name", "/with%20percent"}) {
    const auto resolved = ResolvePath(path).ValueOrDie();
    EXPECT_EQ(resolved.file_system, FileSystem::Local());
    EXPECT_EQ(resolved.path, path);
  }
  EXPECT_EQ(ResolvePath("file:///data/a%20b%C5%81").ValueOrDie().path, "/data/a b\xC5\x81");
  EXPECT_EQ(ResolvePath("file://localhost/data").ValueOrDie().path, "/data");
  EXPECT_EQ(ResolvePath("file:///data").ValueOrDie().file_system, FileSystem::Local());
  for (const char* bad :
       {"file://host/x", "file://", "file:///a%2", "file:///a%zz", "file:///a%00"}) {
    const Status status = ResolvePath(bad).status();
    EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument) << bad;
    EXPECT_THAT(status.message(), HasSubstr(bad));
  }
}

TEST(ResolvePathTest, APrefixIsRegisteredByNameAtRunTime) {
  const Status unknown = ResolvePath("test-registry://bucket/x").status();
  EXPECT_EQ(CodeOf(unknown), ErrorCode::kInvalidArgument);
  EXPECT_THAT(unknown.message(), AllOf(HasSubstr("test-registry://bucket/x"), HasSubstr("file://"),
                                       HasSubstr("mem://"), HasSubstr("plain paths")));
  const auto own = std::make_shared<MemoryFileSystem>();
  ASSERT_TRUE(RegisterFileSystem("test-registry", own).ok());
  const auto resolved = ResolvePath("test-registry://bucket/x").ValueOrDie();
  EXPECT_EQ(resolved.file_system, own);
  EXPECT_EQ(resolved.path, "bucket/x");
  EXPECT_THAT(RegisterFileSystem("test-registry", own).message(), HasSubstr("taken"));
  EXPECT_FALSE(RegisterFileSystem("file", own).ok());
  for (const char* bad : {"", "UP", "1st", "a/b", "a:b"}) {
    EXPECT_EQ(CodeOf(RegisterFileSystem(bad, own)), ErrorCode::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(RegisterFileSystem("null", nullptr).ok());
  EXPECT_EQ(ResolvePath("mem://a").ValueOrDie().file_system,
            ResolvePath("mem://b").ValueOrDie().file_system);
  EXPECT_FALSE(ResolvePath("mem://").ok());
}

}  // namespace
}  // namespace marble::io
