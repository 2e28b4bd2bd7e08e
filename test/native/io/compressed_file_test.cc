// Files compressed as their names say. What other tools wrote is given as bytes, made by gzip 1.12,
// lz4 1.9.4 and zstd 1.5.4.
#include "io/compressed_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <random>

#include "io/fault_injection_file_system.h"
#include "io/memory_file_system.h"

namespace marble::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string Unhex(std::string_view hex) {
  std::string out;
  int digits = 0, value = 0;
  for (const char c : hex) {
    if (c == ' ') continue;
    value = value * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
    if (++digits % 2 == 0) {
      out.push_back(static_cast<char>(value));
      value = 0;
    }
  }
  return out;
}

/// Text that compresses, with parts that do not.
std::string SampleText(size_t bytes, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::string out;
  while (out.size() < bytes) {
    if (random() % 4 == 0) {
      for (int i = 0; i < 500; ++i) out.push_back(static_cast<char>(random()));
    } else {
      out += "{\"number\":" + std::to_string(random() % 1000) + ",\"text\":\"the same again\"}\n";
    }
  }
  out.resize(bytes);
  return out;
}

class CompressedFileTest : public testing::TestWithParam<std::string> {
 protected:
  std::string path() const { return "f" + GetParam(); }
  bool compressed() const { return CompressionOf(path()) != Compression::kNone; }

  std::string Write(const std::string& bytes, size_t piece = 100'000) {
    auto file = CreateOutput(&fs_, path()).ValueOrDie();
    for (size_t at = 0; at < bytes.size(); at += piece) {
      EXPECT_TRUE(file->Append(std::string_view(bytes).substr(at, piece)).ok());
    }
    EXPECT_EQ(file->size(), bytes.size());
    EXPECT_TRUE(file->Close().ok());
    return *fs_.ReadFile(path());
  }
  void Replace(const std::string& bytes) {
    ASSERT_TRUE(fs_.WriteFileAtomically(path(), bytes).ok());
  }
  /// All that can be read, and how it ended.
  std::pair<std::string, Status> Read(size_t piece = 65'536) {
    auto stream = OpenInput(&fs_, path()).ValueOrDie();
    std::string all, buffer(piece, '\0');
    while (true) {
      auto n = stream->Read(piece, buffer.data());
      if (!n.ok()) return {all, n.status()};
      EXPECT_LE(*n, piece);
      if (*n == 0) break;
      all.append(buffer, 0, *n);
      EXPECT_EQ(stream->position(), all.size());
    }
    EXPECT_EQ(stream->Read(piece, buffer.data()).ValueOrDie(), 0u) << "the end stays the end";
    return {all, Status::OK()};
  }

  MemoryFileSystem fs_;
};
INSTANTIATE_TEST_SUITE_P(Formats, CompressedFileTest,
                         testing::Values(".jsonl", ".gz", ".lz4", ".zst"),
                         [](const auto& info) { return info.param.substr(1); });

TEST_P(CompressedFileTest, WhatIsWrittenIsRead) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{4096}, size_t{3'000'000}}) {
    const std::string text = SampleText(bytes);
    const std::string file = Write(text, bytes > 100'000 ? 100'000 : 7);
    if (compressed() && bytes > 100'000) {
      EXPECT_LT(file.size(), text.size() * 9 / 10);
    }
    for (const size_t piece : {size_t{1} << 20, size_t{1000}}) {
      const auto [read, status] = Read(piece);
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_TRUE(read == text) << bytes;
    }
    ASSERT_TRUE(fs_.Remove(path()).ok());
  }
}

TEST_P(CompressedFileTest, SkipsToAPositionAndStopsAtTheEnd) {
  const std::string text = SampleText(1'000'000);
  Write(text);
  auto stream = OpenInput(&fs_, path()).ValueOrDie();
  EXPECT_EQ(stream->Skip(777'777).ValueOrDie(), 777'777u);
  std::string bytes(100, '\0');
  EXPECT_EQ(stream->Read(100, bytes.data()).ValueOrDie(), 100u);
  EXPECT_EQ(bytes, text.substr(777'777, 100));
  EXPECT_EQ(stream->position(), 777'877u);
  EXPECT_EQ(stream->Skip(10'000'000).ValueOrDie(), text.size() - 777'877);
  EXPECT_EQ(stream->Skip(1).ValueOrDie(), 0u);
}

TEST_P(CompressedFileTest, FilesOneBehindTheOtherAreOne) {
  const std::string first = Write("first,");
  ASSERT_TRUE(fs_.Remove(path()).ok());
  const std::string second = Write("second");
  Replace(first + second);
  EXPECT_EQ(Read(), std::pair(std::string("first,second"), Status::OK()));
  EXPECT_EQ(Read(1), std::pair(std::string("first,second"), Status::OK()));
}

TEST_P(CompressedFileTest, AFileThatIsCutOffAnywhereIsAnErrorWithItsPosition) {
  if (!compressed()) return;
  const std::string text = SampleText(50'000);
  const std::string file = Write(text);
  std::mt19937_64 random(3);
  for (int i = 0; i < 300; ++i) {
    const size_t keep = i < 40   ? static_cast<size_t>(i)
                        : i < 80 ? file.size() - (i - 39)
                                 : random() % file.size();
    Replace(file.substr(0, keep));
    const auto [read, status] = Read();
    ASSERT_EQ(CodeOf(status), ErrorCode::kCorruption) << keep << " of " << file.size();
    EXPECT_THAT(
        status.message(),
        AllOf(HasSubstr(path()), HasSubstr("end in the middle at offset " + std::to_string(keep)),
              HasSubstr("behind " + std::to_string(read.size()) + " decompressed bytes")));
    ASSERT_EQ(read, text.substr(0, read.size()));
  }
}

TEST_P(CompressedFileTest, AFlippedBitIsAnErrorWithAPosition) {
  // libarrow's LZ4 writer leaves out checksums; those of other tools are checked, below.
  if (!compressed() || GetParam() == ".lz4") return;
  const std::string text = SampleText(30'000);
  const std::string file = Write(text);
  std::mt19937_64 random(4);
  int harmless = 0;
  for (int i = 0; i < 400; ++i) {
    std::string damaged = file;
    const size_t at = i < 30 ? static_cast<size_t>(i) % file.size() : random() % file.size();
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (random() % 8)));
    Replace(damaged);
    const auto [read, status] = Read();
    if (status.ok()) {
      // A field that says nothing about the content (gzip: time, system).
      ASSERT_LT(at, 10u);
      ASSERT_EQ(read, text);
      ++harmless;
      continue;
    }
    ASSERT_EQ(CodeOf(status), ErrorCode::kCorruption);
    EXPECT_THAT(status.message(), AllOf(HasSubstr(path()), HasSubstr("at offset ")));
  }
  EXPECT_LT(harmless, 30);
}

TEST_P(CompressedFileTest, GarbageBehindTheEndIsAnError) {
  if (!compressed()) return;
  const std::string file = Write("content");
  Replace(file + "garbage, and enough of it to be more than any header takes");
  const auto [read, status] = Read();
  EXPECT_EQ(read, "content");
  EXPECT_EQ(CodeOf(status), ErrorCode::kCorruption);
  EXPECT_THAT(status.message(), HasSubstr("at offset "));
}

TEST_P(CompressedFileTest, SyncedBytesCanBeReadBeforeTheEndIsWritten) {
  const std::string text = SampleText(100'000);
  auto file = CreateOutput(&fs_, path()).ValueOrDie();
  ASSERT_TRUE(file->Append(text).ok());
  ASSERT_TRUE(file->Sync().ok());
  auto stream = OpenInput(&fs_, path()).ValueOrDie();
  std::string read(text.size(), '\0');
  EXPECT_EQ(stream->Read(text.size(), read.data()).ValueOrDie(), text.size());
  EXPECT_EQ(read, text);
  ASSERT_TRUE(file->Append("more").ok());
  ASSERT_TRUE(file->Close().ok());
  EXPECT_TRUE(file->Close().ok());
  EXPECT_FALSE(file->Append("x").ok());
  EXPECT_EQ(Read().first, text + "more");
}

TEST_P(CompressedFileTest, TheEndOfASyncedFileIsSyncedAndErrorsStay) {
  const auto base = std::make_shared<MemoryFileSystem>();
  auto faulty = *FaultInjectionFileSystem::Make(base, "/");
  auto file = CreateOutput(faulty.get(), "/" + path()).ValueOrDie();
  ASSERT_TRUE(faulty->SyncDir("/").ok());
  ASSERT_TRUE(file->Append(SampleText(10'000)).ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Close().ok());
  const std::string whole = *base->ReadFile("/" + path());
  faulty->LosePower(5);
  MemoryFileSystem disk;
  ASSERT_TRUE(faulty->Restore(&disk, "/").ok());
  EXPECT_EQ(*disk.ReadFile("/" + path()), whole);

  faulty = *FaultInjectionFileSystem::Make(base, "/");
  ASSERT_TRUE(faulty->Remove("/" + path()).ok());
  file = CreateOutput(faulty.get(), "/" + path()).ValueOrDie();
  faulty->Inject({.op = FileOp::kAppend, .error = ENOSPC});
  Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) status = file->Append(SampleText(100'000, i));
  EXPECT_EQ(CodeOf(status), ErrorCode::kNoSpace);
  if (compressed()) {
    EXPECT_EQ(file->Append("x").message(), status.message()) << "the stream has a hole";
    EXPECT_EQ(file->Close().message(), status.message());
  }
}

TEST(CompressionTest, IsNamedByTheSuffix) {
  EXPECT_EQ(CompressionOf("/a/b.json.gz"), Compression::kGzip);
  EXPECT_EQ(CompressionOf("b.lz4"), Compression::kLz4);
  EXPECT_EQ(CompressionOf("b.zst"), Compression::kZstd);
  EXPECT_EQ(CompressionOf("/a.gz/b"), Compression::kNone);
  EXPECT_EQ(CompressionName(Compression::kZstd), "zstd");
}

/// What the usual tools write, with their checksums.
class OtherToolsTest : public testing::Test {
 protected:
  std::pair<std::string, Status> Read(const std::string& path, const std::string& bytes) {
    EXPECT_TRUE(fs_.WriteFileAtomically(path, bytes).ok());
    auto stream = OpenInput(&fs_, path).ValueOrDie();
    std::string out(1000, '\0');
    auto n = stream->Read(out.size(), out.data());
    if (!n.ok()) return {"", n.status()};
    out.resize(*n);
    return {out, Status::OK()};
  }
  MemoryFileSystem fs_;
};

// printf 'hello hello hello hello\n' | <tool>
constexpr char kHello[] = "hello hello hello hello\n";
const std::pair<const char*, const char*> kTools[] = {
    {"f.gz", "1f8b0800000000000003 cb48cdc9c957c84027b900 0088590b 18000000"},
    {"f.lz4",
     "04224d18 6c401800000000000000 35 0f0000006968656c6c6f20060050656c6c6f0a 00000000 e2ff0342"},
    {"f.zst", "28b52ffd 24186d00003868656c6c6f200a0100994b11 a87c2ea8"},
};

TEST_F(OtherToolsTest, CanBeRead) {
  for (const auto& [path, hex] : kTools) {
    EXPECT_EQ(Read(path, Unhex(hex)), std::pair(std::string(kHello), Status::OK())) << path;
  }
}

TEST_F(OtherToolsTest, TheirChecksumsAreChecked) {
  for (const auto& [path, hex] : kTools) {
    std::string bytes = Unhex(hex);
    // The last four bytes hold the checksum; gzip's stands before the length.
    const size_t at = bytes.size() - (CompressionOf(path) == Compression::kGzip ? 8 : 4);
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    const auto [read, status] = Read(path, bytes);
    EXPECT_EQ(CodeOf(status), ErrorCode::kCorruption) << path << ": " << read;
  }
}

TEST_F(OtherToolsTest, ZerosBehindAGzipFileAreIgnoredAsGzipDoes) {
  const std::string bytes = Unhex(kTools[0].second) + std::string(500, '\0');
  EXPECT_EQ(Read("f.gz", bytes), std::pair(std::string(kHello), Status::OK()));
}

}  // namespace
}  // namespace marble::io
