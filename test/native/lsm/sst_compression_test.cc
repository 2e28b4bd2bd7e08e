// Compressed SSTables: the same rows and answers as without compression, batches of a bounded size,
// and a cache of decoded batches that keeps to its bound and lets nothing dangle.
#include "sst_test_util.h"

#include <fstream>
#include <set>
#include <thread>

#include "base/coding.h"
#include "base/limits.h"
#include "io/file_system.h"
#include "lsm/sst/decoded_cache.h"
#include "lsm/sst/stored_buffers.h"

namespace marble::lsm {
namespace {

std::shared_ptr<arrow::Schema> StateSchema() {
  return arrow::schema(
      {arrow::field("key", arrow::binary(), false), arrow::field("value", arrow::binary(), false)});
}

std::shared_ptr<arrow::Schema> TradeSchema() {
  return arrow::schema({arrow::field("sym", arrow::utf8()),
                        arrow::field("v", arrow::list(arrow::utf8())),
                        arrow::field("ts", arrow::int64()), arrow::field("px", arrow::float64())});
}

uint64_t BytesOf(const BatchLayout& layout) { return BufferBytes(layout.buffers); }

class SstCompressionTest : public ::testing::TestWithParam<Compression> {
 protected:
  SstWriterOptions Options(std::shared_ptr<arrow::Schema> schema, std::vector<int> key,
                           FileNumber number = 1) const {
    SstWriterOptions options;
    options.dir = dir_.path();
    options.number = number;
    options.schema = std::move(schema);
    options.key_columns = std::move(key);
    if (!options.key_columns.empty()) {
      options.codec = Must(KeyCodec::Make(options.schema, options.key_columns));
    }
    options.compression = GetParam();
    return options;
  }
  TempDir dir_;
};
INSTANTIATE_TEST_SUITE_P(Codecs, SstCompressionTest,
                         ::testing::Values(Compression::kLz4, Compression::kZstd),
                         [](const auto& info) { return std::string(CompressionName(info.param)); });

TEST_P(SstCompressionTest, EveryTypeComesBackAsItWas) {
  Random random(1);
  arrow::FieldVector fields;
  for (const auto& type : AllTypes()) {
    fields.push_back(arrow::field("c" + std::to_string(fields.size()), type));
  }
  for (const int64_t rows : {1, 2, 700, 5000}) {
    SCOPED_TRACE(rows);
    const auto schema = arrow::schema(fields);
    const auto batch = RandomRows(schema, rows, &random);
    const auto options = Options(schema, {}, static_cast<FileNumber>(rows));
    const Opened file = WriteAndOpen(options, *batch, &random);
    EXPECT_TRUE(file.reader->compressed());
    EXPECT_EQ(file.meta.compression, GetParam());
    ExpectSameRows(*ReadAll(*file.reader), *batch);
    ASSERT_OK(file.reader->Verify());
    for (int64_t b = 0; b < file.reader->num_batches(); ++b) {
      const BatchLayout& layout = file.reader->layout(b);
      EXPECT_TRUE(layout.rows == 1 || BytesOf(layout) <= limits::kCompressedBatchBytes);
    }
  }
}

TEST_P(SstCompressionTest, ABatchOfSeveralRowsIsAtMost64KiBHoweverDifferentTheyAre) {
  Random random(2);
  // Two columns over the same memory, and values that an average tells nothing about.
  const auto schema =
      arrow::schema({arrow::field("n", arrow::int64(), false), arrow::field("a", arrow::binary()),
                     arrow::field("b", arrow::binary())});
  arrow::Int64Builder n;
  arrow::BinaryBuilder values;
  uint64_t large = 0;  // rows that are more than a batch may be
  for (int i = 0; i < 4000; ++i) {
    ASSERT_OK(n.Append(i));
    const int64_t size = i % 500 == 77 ? 300'000 : i % 40 == 3 ? Below(&random, 40'000) : 8;
    large += 2 * size + 32 > limits::kCompressedBatchBytes;
    ASSERT_OK(
        values.Append(std::string(static_cast<size_t>(size), static_cast<char>('a' + i % 7))));
  }
  const auto shared = Must(values.Finish());
  const auto rows = arrow::RecordBatch::Make(schema, 4000, {Must(n.Finish()), shared, shared});
  auto options = Options(schema, {0});
  options.write_seq = true;
  const std::vector<SequenceNumber> sequences(4000, 5);
  const Opened file = WriteAndOpen(options, *rows, &random, sequences.data());
  uint64_t largest = 0, alone = 0, total = 0;
  for (int64_t b = 0; b < file.reader->num_batches(); ++b) {
    const BatchLayout& layout = file.reader->layout(b);
    total += BytesOf(layout);
    if (layout.rows > 1) {
      largest = std::max(largest, BytesOf(layout));
    } else {
      alone += BytesOf(layout) > limits::kCompressedBatchBytes;
    }
  }
  EXPECT_LE(largest, static_cast<uint64_t>(limits::kCompressedBatchBytes));
  EXPECT_EQ(alone, large) << "rows that are larger by themselves";
  EXPECT_GT(large, 8u);
  EXPECT_GT(total / static_cast<uint64_t>(file.reader->num_batches()), 16u << 10)
      << "batches are not tiny";
  EXPECT_EQ(file.meta.plain_bytes > 4 * file.meta.arrow_bytes, true)
      << file.meta.plain_bytes << " " << file.meta.arrow_bytes;
  ExpectSameRows(*ReadAll(*file.reader), *rows);
  ASSERT_OK(file.reader->Verify());
}

TEST_P(SstCompressionTest, AnswersAsTheFileWithoutCompressionDoes) {
  Random random(3);
  for (const bool state : {true, false}) {
    for (const bool index : {true, false}) {
      SCOPED_TRACE(std::string(state ? "state" : "table") + (index ? ", index" : ", no index"));
      const auto schema = state ? StateSchema() : TradeSchema();
      auto options = Options(schema, state ? std::vector<int>{0} : std::vector<int>{0, 2},
                             static_cast<FileNumber>(10 + 2 * state + index));
      options.point_index = index;
      const Keyed sorted = SortByKey(RandomRows(schema, 20'000, &random), *options.codec);
      const Opened file = WriteAndOpen(options, *sorted.rows, &random);
      options.number += 100;
      options.compression = Compression::kNone;
      const Opened plain = WriteAndOpen(options, *sorted.rows, &random);
      ASSERT_GT(file.reader->num_batches(), 3);
      ASSERT_EQ(file.reader->bytes(), nullptr);
      std::string scratch, plain_scratch;
      for (int i = 0; i < 3000; ++i) {
        std::string key = sorted.keys[Below(&random, static_cast<int64_t>(sorted.keys.size()))];
        if (i % 3 == 1 && !key.empty()) key.back() = static_cast<char>(key.back() + 1);
        if (i % 3 == 2) key += "x";
        const uint64_t hash = HashKey(key);
        const auto found = Must(file.reader->Find(key, hash));
        const auto want = Must(plain.reader->Find(key, hash));
        ASSERT_EQ(found.has_value(), want.has_value());
        if (found) {
          ASSERT_EQ(file.reader->batch_start(found->batch) + found->row,
                    plain.reader->batch_start(want->batch) + want->row);
        }
        const int64_t row = Must(file.reader->LowerBound(key));
        ASSERT_EQ(row, Must(plain.reader->LowerBound(key)));
        if (row < file.reader->num_rows()) {
          ASSERT_EQ(Must(file.reader->KeyAt(row, &scratch)),
                    Must(plain.reader->KeyAt(row, &plain_scratch)));
        }
      }
      for (int64_t b = 0; b < file.reader->num_batches(); ++b) {
        const auto rows = Must(file.reader->ReadOnce(b, nullptr));
        const auto want = sorted.rows->Slice(file.reader->batch_start(b), rows->num_rows());
        ASSERT_TRUE(rows->Equals(*want));
        if (state) continue;
        const std::vector<int> columns = {3};
        const auto few = Must(file.reader->ReadColumns(b, columns));
        for (const int column : {0, 2, 3}) {  // the key and what was asked for
          ASSERT_TRUE(few->column(column)->Equals(want->column(column)));
        }
        ASSERT_OK(few->ValidateFull());
      }
    }
  }
}

TEST_P(SstCompressionTest, BytesThatDoNotShrinkAreStoredAsTheyAre) {
  Random random(4);
  const auto schema = StateSchema();
  arrow::BinaryBuilder keys, values;
  for (int i = 0; i < 1000; ++i) {
    char key[16];
    std::snprintf(key, sizeof key, "k%05d", i);
    std::string value(200, '\0');
    for (char& c : value) c = static_cast<char>(random());
    ASSERT_OK(keys.Append(key));
    ASSERT_OK(values.Append(value));
  }
  const auto rows =
      arrow::RecordBatch::Make(schema, 1000, {Must(keys.Finish()), Must(values.Finish())});
  const auto options = Options(schema, {0});
  const Opened file = WriteAndOpen(options, *rows, &random);
  const auto bytes = Must(io::FileSystem::Local()->ReadFile(dir_.path() + "/000001.arrow"));
  const auto layouts = Must(ReadCompressedLayouts(bytes, *schema, GetParam()));
  ASSERT_EQ(layouts.stored.size(), static_cast<size_t>(file.reader->num_batches()));
  for (const auto& batch : layouts.stored) {
    // Of each column: validity, offsets, data.
    EXPECT_EQ(LoadFixed<int64_t>(bytes.data() + batch[5].offset), -1);
    EXPECT_GT(LoadFixed<int64_t>(bytes.data() + batch[2].offset), 0) << "keys shrink";
  }
  EXPECT_LT(file.meta.arrow_bytes, file.meta.plain_bytes + 4096);
  ExpectSameRows(*ReadAll(*file.reader), *rows);
  ASSERT_OK(file.reader->Verify());
}

TEST_P(SstCompressionTest, AReleaseThatDoesNotKnowTheSectionRefusesTheFile) {
  Random random(5);
  const auto options = Options(StateSchema(), {0});
  const Keyed sorted = SortByKey(RandomRows(options.schema, 500, &random), *options.codec);
  WriteFile(options, *sorted.rows, &random);
  const auto idx = Must(io::FileSystem::Local()->ReadFile(dir_.path() + "/000001.idx"));
  const auto directory = LoadFixed<uint64_t>(idx.data() + idx.size() - 32);
  const auto sections = LoadFixed<uint32_t>(idx.data() + idx.size() - 24);
  std::set<uint32_t> required;
  for (uint32_t i = 0; i < sections; ++i) {
    const char* entry = idx.data() + directory + uint64_t{i} * 32;
    if (LoadFixed<uint32_t>(entry + 4) == 0) required.insert(LoadFixed<uint32_t>(entry));
  }
  EXPECT_EQ(required.count(9), 1u) << "an optional section would be ignored by an older release";
}

TEST_P(SstCompressionTest, WhatIsReadOutlivesTheCacheAndTheReader) {
  Random random(6);
  const auto options = Options(StateSchema(), {0});
  const Keyed sorted = SortByKey(RandomRows(options.schema, 30'000, &random), *options.codec);
  const FileMeta meta = WriteFile(options, *sorted.rows, &random);
  SstReaderOptions reading = ReaderOptions(options);
  const auto cache = std::make_shared<DecodedCache>(200 << 10);
  reading.decoded = cache;
  auto reader = Must(SstReader::Open(reading, meta));
  ASSERT_GT(reader->num_batches(), 8);
  std::vector<std::shared_ptr<arrow::RecordBatch>> held;
  for (int64_t b = 0; b < reader->num_batches(); ++b) {
    held.push_back(Must(reader->ReadBatch(b))->Slice(1));
    EXPECT_LE(cache->bytes(), cache->capacity());
  }
  EXPECT_GT(cache->bytes(), 100u << 10) << "it is used";
  const std::vector<int64_t> starts = [&] {
    std::vector<int64_t> out;
    for (int64_t b = 0; b < reader->num_batches(); ++b) out.push_back(reader->batch_start(b));
    return out;
  }();
  reader.reset();
  EXPECT_EQ(cache->bytes(), 0u) << "of files that are gone nothing is kept";
  for (size_t b = 0; b < held.size(); ++b) {
    EXPECT_TRUE(held[b]->Equals(*sorted.rows->Slice(starts[b] + 1, held[b]->num_rows())));
  }
}

TEST_P(SstCompressionTest, AWalkTakesFromTheCacheAndPutsNothingIn) {
  Random random(7);
  const auto options = Options(StateSchema(), {0});
  const Keyed sorted = SortByKey(RandomRows(options.schema, 30'000, &random), *options.codec);
  const FileMeta meta = WriteFile(options, *sorted.rows, &random);
  SstReaderOptions reading = ReaderOptions(options);
  const auto cache = std::make_shared<DecodedCache>(8 << 20);
  reading.decoded = cache;
  const auto reader = Must(SstReader::Open(reading, meta));
  for (int64_t b = 0; b < reader->num_batches(); ++b) Must(reader->ReadOnce(b, nullptr));
  EXPECT_EQ(cache->bytes(), 0u);
  EXPECT_EQ(cache->hits(), 0u);
  EXPECT_EQ(cache->misses(), static_cast<uint64_t>(reader->num_batches()));
  Must(reader->Find(sorted.keys[7], HashKey(sorted.keys[7])));
  EXPECT_GT(cache->bytes(), 0u);
  Must(reader->Find(sorted.keys[8], HashKey(sorted.keys[8])));
  Must(reader->ReadOnce(0, nullptr));
  EXPECT_EQ(cache->hits(), 2u);
}

TEST_P(SstCompressionTest, ManyThreadsReadOneFileThroughASmallCache) {
  Random random(8);
  const auto options = Options(TradeSchema(), {0, 2});
  const Keyed sorted = SortByKey(RandomRows(options.schema, 20'000, &random), *options.codec);
  const FileMeta meta = WriteFile(options, *sorted.rows, &random);
  SstReaderOptions reading = ReaderOptions(options);
  reading.decoded = std::make_shared<DecodedCache>(150 << 10);
  const auto reader = Must(SstReader::Open(reading, meta));
  std::vector<std::thread> threads;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&, seed] {
      Random mine(seed);
      for (int i = 0; i < 1500; ++i) {
        const auto row = Below(&mine, static_cast<int64_t>(sorted.keys.size()));
        const std::string& key = sorted.keys[row];
        const auto found = reader->Find(key, HashKey(key));
        ASSERT_TRUE(found.ok() && found->has_value());
        ASSERT_EQ(reader->batch_start((**found).batch) + (**found).row, row);
        if (i % 10 == 0) {
          const auto batch = Must(reader->ReadBatch((**found).batch));
          ASSERT_TRUE(batch->Slice((**found).row, 1)->Equals(*sorted.rows->Slice(row, 1)));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LE(reading.decoded->bytes(), reading.decoded->capacity());
}

TEST(DecodedCacheTest, TheLastUsedStayAndABudgetCountsThem) {
  auto budget = std::make_shared<MemoryBudget>(64 << 20, 4, 2);
  const auto batch = [](uint64_t memory) {
    auto decoded = std::make_shared<DecodedBatch>();
    decoded->memory = memory;
    return decoded;
  };
  {
    DecodedCache cache(1000, budget);
    const uint64_t file = DecodedCache::NewFile();
    for (int64_t b = 0; b < 10; ++b) cache.Insert(file, b, batch(100));
    EXPECT_EQ(budget->decoded(), 1000u);
    EXPECT_NE(cache.Find(file, 0), nullptr);  // used again
    cache.Insert(file, 10, batch(150));
    EXPECT_NE(cache.Find(file, 0), nullptr);
    EXPECT_EQ(cache.Find(file, 1), nullptr);
    EXPECT_EQ(cache.Find(file, 2), nullptr);
    EXPECT_NE(cache.Find(file, 3), nullptr);
    EXPECT_EQ(cache.bytes(), 950u);
    cache.Insert(file, 99, batch(1001));  // larger than all of it
    EXPECT_EQ(cache.Find(file, 99), nullptr);
    EXPECT_EQ(cache.Find(DecodedCache::NewFile(), 0), nullptr);
    EXPECT_EQ(cache.hits(), 3u);
    EXPECT_EQ(cache.misses(), 4u);
    cache.Forget(file, 5);
    EXPECT_EQ(cache.Find(file, 3), nullptr);
    EXPECT_NE(cache.Find(file, 10), nullptr);
    EXPECT_EQ(budget->decoded(), cache.bytes());
  }
  EXPECT_EQ(budget->decoded(), 0u);
}

}  // namespace
}  // namespace marble::lsm
