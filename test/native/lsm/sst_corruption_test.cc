// Damaged SSTables: a flipped bit is found, and nothing that an .idx file may say makes the
// reader reach outside of its files.
#include "sst_test_util.h"

#include <fstream>

#include "base/coding.h"
#include "base/crc32c.h"
#include "io/file_system.h"
#include "lsm/sst/stored_buffers.h"

namespace marble::lsm {
namespace {

/// A file with a composite key, every kind of section and several versions of keys.
struct Sample {
  TempDir dir;
  SstWriterOptions options;
  FileMeta meta;
  std::vector<std::string> keys;
  std::string arrow_bytes;
  std::string idx_bytes;

  explicit Sample(bool raw, int64_t rows = 3000, Compression compression = Compression::kNone) {
    Random random(11);
    options.compression = compression;
    options.dir = dir.path();
    options.number = 1;
    options.schema = raw ? arrow::schema({arrow::field("key", arrow::binary(), false),
                                          arrow::field("value", arrow::binary(), false)})
                         : arrow::schema({arrow::field("sym", arrow::utf8()),
                                          arrow::field("v", arrow::list(arrow::utf8())),
                                          arrow::field("ts", arrow::int64()),
                                          arrow::field("px", arrow::float64())});
    options.key_columns = raw ? std::vector<int>{0} : std::vector<int>{0, 2};
    options.codec = Must(KeyCodec::Make(options.schema, options.key_columns));
    options.batch_rows = 500;
    Keyed sorted = SortByKey(RandomRows(options.schema, rows, &random), *options.codec);
    keys = sorted.keys;
    meta = WriteFile(options, *sorted.rows, &random);
    arrow_bytes = Must(io::FileSystem::Local()->ReadFile(arrow_path()));
    idx_bytes = Must(io::FileSystem::Local()->ReadFile(idx_path()));
  }
  std::string arrow_path() const { return dir.path() + "/000001.arrow"; }
  std::string idx_path() const { return dir.path() + "/000001.idx"; }

  void Replace(const std::string& path, const std::string& bytes) const {
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << bytes;
  }
  Result<std::shared_ptr<SstReader>> Open(VerifyReads verify) const {
    return SstReader::Open(ReaderOptions(options, verify), meta);
  }
};

Status ReadEverything(const SstReader& reader) {
  for (int64_t b = 0; b < reader.num_batches(); ++b) {
    MARBLE_RETURN_NOT_OK(reader.ReadBatch(b).status());
  }
  return Status::OK();
}

class SstCorruption : public ::testing::TestWithParam<Compression> {};
INSTANTIATE_TEST_SUITE_P(Codecs, SstCorruption,
                         ::testing::Values(Compression::kNone, Compression::kLz4,
                                           Compression::kZstd),
                         [](const auto& info) { return std::string(CompressionName(info.param)); });

/// Of compressed files alone.
class SstDecoding : public ::testing::TestWithParam<Compression> {};
INSTANTIATE_TEST_SUITE_P(Codecs, SstDecoding,
                         ::testing::Values(Compression::kLz4, Compression::kZstd),
                         [](const auto& info) { return std::string(CompressionName(info.param)); });

TEST_P(SstCorruption, AFlippedByteAnywhereInTheArrowFileIsFoundByAFullRead) {
  const Sample sample(false, 3000, GetParam());
  Random random(1);
  const auto size = static_cast<int64_t>(sample.arrow_bytes.size());
  for (int i = 0; i < 300; ++i) {
    // The ends are always among the sample.
    const int64_t at = i < 16 ? i : i < 32 ? size - (i - 15) : Below(&random, size);
    SCOPED_TRACE(at);
    std::string bytes = sample.arrow_bytes;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(&random, 8)));
    sample.Replace(sample.arrow_path(), bytes);
    for (const auto verify : {VerifyReads::kFirst, VerifyReads::kAlways}) {
      const auto reader = sample.Open(verify);
      const Status status = reader.ok() ? ReadEverything(**reader) : reader.status();
      ASSERT_EQ(CodeOf(status), ErrorCode::kCorruption);
      EXPECT_NE(status.ToString().find("000001.arrow"), std::string::npos);
      EXPECT_NE(status.ToString().find("offset " + std::to_string(at / 4096 * 4096)),
                std::string::npos)
          << status.ToString();
      if (reader.ok()) {
        EXPECT_EQ(CodeOf((*reader)->Verify()), ErrorCode::kCorruption);
      }
    }
  }
  sample.Replace(sample.arrow_path(), sample.arrow_bytes);
  ASSERT_OK(Must(sample.Open(VerifyReads::kFirst))->Verify());
}

TEST_P(SstCorruption, FindNeverReturnsAKeyFromADamagedPage) {
  for (const bool raw : {true, false}) {
    const Sample sample(raw, 3000, GetParam());
    Random random(2);
    for (int i = 0; i < 60; ++i) {
      std::string bytes = sample.arrow_bytes;
      const int64_t at = Below(&random, static_cast<int64_t>(bytes.size()));
      bytes[at] = static_cast<char>(bytes[at] ^ 0x40);
      sample.Replace(sample.arrow_path(), bytes);
      const auto reader = sample.Open(VerifyReads::kFirst);
      if (!reader.ok()) continue;  // the damage is at an end of the file
      for (size_t k = 0; k < sample.keys.size(); k += 7) {
        const auto found = (*reader)->Find(sample.keys[k], HashKey(sample.keys[k]));
        if (!found.ok()) {
          ASSERT_EQ(CodeOf(found.status()), ErrorCode::kCorruption);
          continue;
        }
        ASSERT_TRUE(found->has_value());
        ASSERT_EQ((*reader)->batch_start((**found).batch) + (**found).row, static_cast<int64_t>(k));
      }
    }
  }
}

TEST_P(SstCorruption, AFlippedByteAnywhereInTheIdxFileIsFoundAtOpen) {
  const Sample sample(false, 3000, GetParam());
  Random random(3);
  const auto size = static_cast<int64_t>(sample.idx_bytes.size());
  for (int i = 0; i < 1500; ++i) {
    const int64_t at = i < 64 ? i : i < 400 ? size - (i - 63) : Below(&random, size);
    SCOPED_TRACE(at);
    std::string bytes = sample.idx_bytes;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(&random, 8)));
    sample.Replace(sample.idx_path(), bytes);
    const Status status = sample.Open(VerifyReads::kFirst).status();
    ASSERT_FALSE(status.ok());
    ASSERT_TRUE(CodeOf(status) == ErrorCode::kCorruption ||
                CodeOf(status) == ErrorCode::kIncompatible)
        << status.ToString();
    EXPECT_NE(status.ToString().find("000001.idx"), std::string::npos);
  }
}

/// The same of a file that is loaded when it is first read: whoever reads is right or is told where
/// the damage is, and a whole verification always finds it.
TEST_P(SstCorruption, AFlippedByteThatAnOpenDoesNotSeeGivesRightAnswersOrAnErrorThatSaysWhere) {
  for (const bool raw : {true, false}) {
    const Sample sample(raw, 6000, GetParam());
    SstReaderOptions options = ReaderOptions(sample.options);
    options.load = LoadIndex::kAtFirstRead;
    Random random(13);
    const auto size = static_cast<int64_t>(sample.idx_bytes.size());
    int opened = 0, told = 0;
    for (int i = 0; i < 250; ++i) {
      const int64_t at = i < 20 ? i * 7 : i < 60 ? size - 1 - (i - 20) * 9 : Below(&random, size);
      SCOPED_TRACE(at);
      std::string bytes = sample.idx_bytes;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(&random, 8)));
      sample.Replace(sample.idx_path(), bytes);
      const auto expect_told = [&](const Status& status) {
        ASSERT_TRUE(CodeOf(status) == ErrorCode::kCorruption ||
                    CodeOf(status) == ErrorCode::kIncompatible)
            << status;
        EXPECT_NE(status.ToString().find("000001.idx"), std::string::npos) << status;
      };
      const auto reader = SstReader::Open(options, sample.meta);
      if (!reader.ok()) {
        expect_told(reader.status());
        continue;
      }
      ++opened;
      bool any = false;
      const auto note = [&](const Status& status) {
        if (status.ok()) return true;
        any = true;
        expect_told(status);
        EXPECT_NE(status.ToString().find("offset"), std::string::npos) << status;
        return false;
      };
      for (size_t k = static_cast<size_t>(i) % 5; k < sample.keys.size(); k += 5) {
        const auto found = (*reader)->Find(sample.keys[k], HashKey(sample.keys[k]));
        if (!note(found.status())) continue;
        ASSERT_TRUE(found->has_value());
        ASSERT_EQ((*reader)->batch_start((**found).batch) + (**found).row, static_cast<int64_t>(k));
        const std::string absent = sample.keys[k] + "x";
        const auto none = (*reader)->Find(absent, HashKey(absent));
        if (note(none.status())) {
          ASSERT_FALSE(none->has_value());
        }
      }
      const auto row = (*reader)->LowerBound(sample.keys[77]);
      if (note(row.status())) {
        ASSERT_EQ(*row, 77);
      }
      note(ReadEverything(**reader));
      told += any;
      EXPECT_EQ(CodeOf((*reader)->Verify()), ErrorCode::kCorruption);
      if (HasFailure()) return;
    }
    EXPECT_GT(opened, 150) << "an open reads the ends of an .idx alone";
    EXPECT_GT(told, 100);
  }
}

TEST_P(SstCorruption, FilesCutOffOrSwappedAreRefusedAtOpen) {
  const Sample sample(true, 3000, GetParam());
  for (const size_t keep : {size_t{0}, size_t{10}, sample.idx_bytes.size() - 1}) {
    sample.Replace(sample.idx_path(), sample.idx_bytes.substr(0, keep));
    EXPECT_EQ(CodeOf(sample.Open(VerifyReads::kNever).status()), ErrorCode::kCorruption);
  }
  sample.Replace(sample.idx_path(), sample.idx_bytes);
  for (const size_t keep : {size_t{0}, size_t{10}, sample.arrow_bytes.size() - 1}) {
    sample.Replace(sample.arrow_path(), sample.arrow_bytes.substr(0, keep));
    EXPECT_EQ(CodeOf(sample.Open(VerifyReads::kNever).status()), ErrorCode::kCorruption);
  }
  std::filesystem::remove(sample.arrow_path());
  EXPECT_FALSE(sample.Open(VerifyReads::kNever).ok());
  sample.Replace(sample.arrow_path(), sample.arrow_bytes);
  ASSERT_OK(sample.Open(VerifyReads::kFirst).status());

  FileMeta other = sample.meta;
  other.rows += 1;
  EXPECT_EQ(CodeOf(SstReader::Open(ReaderOptions(sample.options), other).status()),
            ErrorCode::kCorruption);
  SstReaderOptions options = ReaderOptions(sample.options);
  options.schema = arrow::schema(
      {arrow::field("key", arrow::binary(), false), arrow::field("value", arrow::int64(), false)});
  EXPECT_EQ(CodeOf(SstReader::Open(options, sample.meta).status()), ErrorCode::kIncompatible);
}

/// Offer the bytes as the file's .idx with checksums that fit, and use all that opens. The number
/// of times that it did.
int Exercise(const Sample& sample, std::string bytes, bool fix_directory) {
  if (fix_directory && bytes.size() >= 96) {
    // Footer: directory offset, count, version, zero, CRC, magic.
    char* footer = bytes.data() + bytes.size() - 32;
    const auto directory = LoadFixed<uint64_t>(footer);
    if (directory <= bytes.size() - 32) {
      StoreFixed<uint32_t>(footer + 20, MaskCrc(Crc32c(std::string_view(bytes).substr(
                                            directory, bytes.size() - 12 - directory))));
    }
  }
  sample.Replace(sample.idx_path(), bytes);
  FileMeta meta = sample.meta;
  meta.idx_bytes = bytes.size();
  meta.idx_crc = Crc32c(bytes);
  int used = 0;
  for (const auto verify : {VerifyReads::kNever, VerifyReads::kFirst}) {
    const auto opened = SstReader::Open(ReaderOptions(sample.options, verify), meta);
    if (!opened.ok()) continue;
    ++used;
    const SstReader& reader = **opened;
    std::string scratch;
    for (size_t k = 0; k < sample.keys.size(); k += 97) {
      const std::string& key = sample.keys[k];
      const uint64_t hash = HashKey(key);
      reader.Prefetch(hash);
      (void)reader.Find(key, hash);
      (void)reader.LowerBound(key);
      const auto row = static_cast<int64_t>(k) % reader.num_rows();
      (void)reader.KeyAt(row, &scratch);
    }
    for (int64_t b = 0; b < reader.num_batches(); ++b) {
      for (int c = 0; c < sample.options.schema->num_fields(); ++c) reader.zone_map(b, c);
      const auto batch = reader.ReadBatch(b);
      if (batch.ok()) (void)(*batch)->ValidateFull();
    }
    (void)reader.Verify();
  }
  return used;
}

TEST_P(SstCorruption, NoIdxFileWithFittingChecksumsMakesTheReaderCrash) {
  for (const bool raw : {true, false}) {
    const Sample sample(raw, 1200, GetParam());
    Random random(raw ? 5 : 6);
    const auto size = static_cast<int64_t>(sample.idx_bytes.size());
    int used = 0;
    for (int i = 0; i < 700; ++i) {
      std::string bytes = sample.idx_bytes;
      switch (i % 5) {
        case 0:  // a few random bytes
          for (int64_t n = 1 + Below(&random, 8); n > 0; --n) {
            bytes[Below(&random, size)] = static_cast<char>(random());
          }
          break;
        case 1: {  // a number somewhere becomes an extreme one
          const uint64_t extremes[] = {
              0, 1, ~uint64_t{0}, ~uint64_t{0} >> 1, uint64_t{1} << 63, bytes.size(), 0xffffffff};
          const int64_t at = Below(&random, size - 8) & ~int64_t{7};
          StoreFixed<uint64_t>(&bytes[at], extremes[Below(&random, 7)]);
          break;
        }
        case 2: {  // the same in the head, where properties and layout are
          const int64_t at = 64 + Below(&random, 1500);
          bytes[at] = static_cast<char>(bytes[at] + 1 + Below(&random, 255));
          break;
        }
        case 3: {  // in the directory
          const int64_t at = size - 1 - Below(&random, 32 * 9);
          bytes[at] = static_cast<char>(random());
          break;
        }
        case 4: {  // a piece is copied over another
          const int64_t n = 1 + Below(&random, 300);
          const int64_t from = Below(&random, size - n);
          const int64_t to = Below(&random, size - n);
          bytes.replace(to, n, sample.idx_bytes, from, n);
          break;
        }
      }
      used += Exercise(sample, std::move(bytes), /*fix_directory=*/true);
    }
    for (int i = 0; i < 50; ++i) {
      std::string garbage(Below(&random, 5000), '\0');
      for (char& byte : garbage) byte = static_cast<char>(random());
      Exercise(sample, std::move(garbage), i % 2 == 0);
    }
    EXPECT_GT(used, 400) << "most damage must get past the checks at open, or nothing is tried";
    EXPECT_EQ(Exercise(sample, sample.idx_bytes, true), 2);
  }
}

/// With no page checked, what a codec says is all there is: a length or a frame that does not fit
/// is an error that says where, and no length is believed.
TEST_P(SstDecoding, UncheckedPagesGiveErrorsThatSayWhere) {
  const Sample sample(true, 3000, GetParam());
  const auto stored =
      Must(ReadCompressedLayouts(sample.arrow_bytes, *sample.options.schema, GetParam())).stored;
  Random random(9);
  int refused = 0;
  for (int i = 0; i < 600; ++i) {
    std::string bytes = sample.arrow_bytes;
    const auto& batch = stored[Below(&random, static_cast<int64_t>(stored.size()))];
    const BufferSpan& buffer = batch[Below(&random, static_cast<int64_t>(batch.size()))];
    if (buffer.length == 0) continue;
    bool length = false;
    if (i % 2 == 0) {  // the length in front of a buffer
      const uint64_t extremes[] = {
          0, 1, ~uint64_t{0}, ~uint64_t{0} >> 1, uint64_t{1} << 62, uint64_t{1} << 33, 65'537};
      const uint64_t claimed = extremes[Below(&random, 7)];
      length = claimed != LoadFixed<uint64_t>(&bytes[buffer.offset]);
      StoreFixed<uint64_t>(&bytes[buffer.offset], claimed);
    } else {
      const auto at = buffer.offset +
                      static_cast<uint64_t>(Below(&random, static_cast<int64_t>(buffer.length)));
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(&random, 8)));
    }
    sample.Replace(sample.arrow_path(), bytes);
    const auto reader = Must(sample.Open(VerifyReads::kNever));
    const Status status = ReadEverything(*reader);
    EXPECT_TRUE(!length || !status.ok());
    std::string scratch;
    for (size_t k = 0; k < sample.keys.size(); k += 211) {
      const auto found = reader->Find(sample.keys[k], HashKey(sample.keys[k]));
      EXPECT_TRUE(found.ok() || CodeOf(found.status()) == ErrorCode::kCorruption);
      (void)reader->LowerBound(sample.keys[k]);
      (void)reader->KeyAt(static_cast<int64_t>(k), &scratch);
    }
    if (status.ok()) continue;  // the codec has not noticed: that is what pages are checked for
    ++refused;
    ASSERT_EQ(CodeOf(status), ErrorCode::kCorruption) << status;
    EXPECT_NE(status.ToString().find("000001.arrow"), std::string::npos);
    EXPECT_NE(status.ToString().find("offset " + std::to_string(buffer.offset)), std::string::npos)
        << status;
    EXPECT_EQ(CodeOf(reader->Verify()), ErrorCode::kCorruption);
  }
  EXPECT_GT(refused, 200);
}

}  // namespace
}  // namespace marble::lsm
