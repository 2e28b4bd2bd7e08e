// Which files the connector 'filesystem' reads, in which order, and where it goes on.
#include "stream/connectors/file_source.h"

#include <arrow/api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/compressed_file.h"

namespace marble::stream {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

/// Files in memory, under a name of the test's own.
class FileSourceTest : public testing::Test {
 protected:
  FileSourceTest() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    url_ = std::string("mem://file-source-") + info->name();
    const auto resolved = io::ResolvePath(url_).ValueOrDie();
    fs_ = resolved.file_system;
    dir_ = resolved.path;
    EXPECT_TRUE(fs_->CreateDirs(dir_).ok());
  }

  /// Lines {"n": first} ... of as many rows.
  void WriteRows(const std::string& name, int64_t first, int64_t rows) {
    const std::string path = dir_ + "/" + name;
    EXPECT_TRUE(fs_->CreateDirs(io::ParentOf(path)).ok());
    auto file = io::CreateOutput(fs_.get(), path).ValueOrDie();
    std::string lines;
    for (int64_t i = 0; i < rows; ++i) lines += "{\"n\":" + std::to_string(first + i) + "}\n";
    EXPECT_TRUE(file->Append(lines).ok());
    EXPECT_TRUE(file->Close().ok());
  }
  std::unique_ptr<Source> Make(const std::string& path) {
    SourceSpec spec;
    spec.table = "rows";
    spec.connector = "filesystem";
    spec.options = {{"path", url_ + "/" + path}};
    spec.format = "json";
    SourceColumn column;
    column.name = "n";
    column.field = arrow::field("n", arrow::int64());
    spec.columns = {column};
    spec.bounded = true;
    return MakeFileSource(spec).ValueOrDie();
  }
  struct Read {
    std::vector<int64_t> values;
    std::vector<std::pair<std::string, size_t>> offsets;  // behind each batch; values until then
    Status status;
  };
  Read ReadAll(const std::string& path, const Offsets& start = {}) {
    Read out;
    auto source = Make(path);
    out.status = source->Open(start);
    while (out.status.ok() && !source->finished()) {
      auto batch = source->Next(milliseconds(0));
      out.status = batch.status();
      if (!batch.ok() || !*batch) continue;
      const auto& column = static_cast<const arrow::Int64Array&>(*(*batch)->rows->column(0));
      for (int64_t i = 0; i < column.length(); ++i) out.values.push_back(column.Value(i));
      out.offsets.emplace_back((*batch)->next_offset, out.values.size());
    }
    return out;
  }
  static std::vector<int64_t> Range(int64_t first, int64_t end) {
    std::vector<int64_t> out;
    for (int64_t i = first; i < end; ++i) out.push_back(i);
    return out;
  }

  std::string url_;
  std::string dir_;
  std::shared_ptr<io::FileSystem> fs_;
};

TEST_F(FileSourceTest, AFoldersFilesAreReadInTheOrderOfTheirNamesAndDecompressed) {
  WriteRows("in/d.json.lz4", 30, 10);
  WriteRows("in/a.json", 0, 10);
  WriteRows("in/c.json.zst", 20, 10);
  WriteRows("in/b.json.gz", 10, 10);
  WriteRows("in/.hidden.json", 1000, 10);
  WriteRows("in/deeper/e.json", 2000, 10);
  const Read read = ReadAll("in");
  EXPECT_TRUE(read.status.ok()) << read.status;
  EXPECT_EQ(read.values, Range(0, 40));
}

TEST_F(FileSourceTest, APatternNamesFilesOfSeveralFolders) {
  WriteRows("2024/02/x.json.gz", 10, 10);
  WriteRows("2024/01/y.json", 0, 10);
  WriteRows("2025/01/z.json", 20, 10);
  WriteRows("2024/01/y.csv", 1000, 10);
  EXPECT_EQ(ReadAll("**/*.json{,.gz}").values, Range(0, 30));
  EXPECT_EQ(ReadAll("2024/*/*.json*").values, Range(0, 20));
  // What is there as it is written is meant, even if it could be a pattern.
  WriteRows("odd[1].json", 5, 1);
  EXPECT_EQ(ReadAll("odd[1].json").values, Range(5, 6));
}

TEST_F(FileSourceTest, GoesOnBehindEveryBatch) {
  for (const char* suffix : {"", ".gz", ".lz4", ".zst"}) {
    const std::string folder = std::string("in") + suffix;
    WriteRows(folder + "/a.json" + suffix, 0, 25'000);
    WriteRows(folder + "/b.json" + suffix, 25'000, 5'000);
    for (const std::string& path : {folder, folder + "/*"}) {
      const Read whole = ReadAll(path);
      ASSERT_TRUE(whole.status.ok()) << whole.status;
      ASSERT_EQ(whole.values, Range(0, 30'000));
      ASSERT_GE(whole.offsets.size(), 3u);
      for (const auto& [offset, values] : whole.offsets) {
        const Read rest = ReadAll(path, {{0, offset}});
        ASSERT_TRUE(rest.status.ok()) << offset << ": " << rest.status;
        ASSERT_EQ(rest.values, Range(static_cast<int64_t>(values), 30'000)) << offset;
      }
    }
  }
}

TEST_F(FileSourceTest, AFileThatHasBecomeShorterIsAnErrorWhenAJobResumes) {
  for (const char* suffix : {"", ".gz"}) {
    const std::string name = std::string("a.json") + suffix;
    WriteRows(name, 0, 10'000);
    const std::string offset = ReadAll(name).offsets.back().first;
    ASSERT_TRUE(fs_->Remove(dir_ + "/" + name).ok());
    WriteRows(name, 0, 100);
    const Status status = ReadAll(name, {{0, offset}}).status;
    EXPECT_EQ(CodeOf(status), ErrorCode::kIncompatibleState) << status;
    EXPECT_THAT(status.message(), AllOf(HasSubstr("'rows'"), HasSubstr("'" + name + "'"),
                                        HasSubstr("no longer there")));
  }
}

TEST_F(FileSourceTest, DamageIsAnErrorWithThePositionBehindTheRowsBeforeIt) {
  WriteRows("a.json.gz", 0, 100'000);
  std::string bytes = *fs_->ReadFile(dir_ + "/a.json.gz");
  bytes.resize(bytes.size() / 2);
  ASSERT_TRUE(fs_->WriteFileAtomically(dir_ + "/a.json.gz", bytes).ok());
  const Read read = ReadAll("a.json.gz");
  EXPECT_EQ(CodeOf(read.status), ErrorCode::kCorruption);
  EXPECT_THAT(read.status.message(),
              AllOf(HasSubstr("'rows'"), HasSubstr("a.json.gz"), HasSubstr("end in the middle"),
                    HasSubstr("offset " + std::to_string(bytes.size()))));
  EXPECT_GE(read.values.size(), 10'000u);
  EXPECT_EQ(read.values, Range(0, static_cast<int64_t>(read.values.size())));
}

TEST_F(FileSourceTest, ABadLineOfACompressedFileIsNamedByItsDecompressedByte) {
  auto file = io::CreateOutput(fs_.get(), dir_ + "/a.json.gz").ValueOrDie();
  ASSERT_TRUE(file->Append("{\"n\":1}\n{broken\n").ok());
  ASSERT_TRUE(file->Close().ok());
  const Status status = ReadAll("a.json.gz").status;
  EXPECT_EQ(CodeOf(status), ErrorCode::kBadRecord);
  EXPECT_THAT(status.message(), HasSubstr("a.json.gz at decompressed byte 8"));
}

TEST_F(FileSourceTest, WhatNamesNoFileIsAnError) {
  Status status = ReadAll("*.json").status;
  EXPECT_EQ(CodeOf(status), ErrorCode::kNotFound);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("no file matches"), HasSubstr("*.json'")));
  status = ReadAll("a.json").status;
  EXPECT_THAT(status.message(), HasSubstr("does not exist"));
  status = ReadAll("[a").status;
  EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("'rows'"), HasSubstr("not closed")));
}

}  // namespace
}  // namespace marble::stream
