// Lookups in an SSTable against a std::map: raw and composite keys, with and without point index
// and Bloom filter, several versions of a key, tombstones.
#include "sst_test_util.h"

#include <atomic>
#include <map>
#include <thread>

namespace marble::lsm {
namespace {

struct Variant {
  bool raw;
  bool point_index;
  double bloom_bits;
  bool versions;
  VerifyReads verify;
};

std::string NameOf(const testing::TestParamInfo<Variant>& info) {
  const Variant& v = info.param;
  const char* const verify[] = {"First", "Always", "Never"};
  return std::string(v.raw ? "Raw" : "Composite") + (v.point_index ? "Point" : "Sparse") +
         (v.bloom_bits > 0 ? "Bloom" : "") + (v.versions ? "Versions" : "") +
         verify[static_cast<int>(v.verify)];
}

class SstFind : public testing::TestWithParam<Variant> {};

TEST_P(SstFind, AgreesWithAMapOnEveryKeyAndManyAbsentOnes) {
  const Variant& variant = GetParam();
  for (uint64_t seed = 0; seed < 6; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const auto schema =
        variant.raw ? arrow::schema({arrow::field("key", arrow::binary(), false),
                                     arrow::field("value", arrow::binary(), false)})
                    : arrow::schema({arrow::field("v", arrow::list(arrow::int32())),
                                     arrow::field("ts", arrow::timestamp(arrow::TimeUnit::MILLI)),
                                     arrow::field("sym", arrow::utf8()),
                                     arrow::field("flag", arrow::boolean(), false)});
    const std::vector<int> key_columns =
        variant.raw ? std::vector<int>{0} : std::vector<int>{2, 3, 1};
    const auto codec = Must(KeyCodec::Make(schema, key_columns));
    ASSERT_EQ(codec->raw(), variant.raw);
    const int64_t rows = seed == 0 ? 1 : 1 + Below(&random, 5000);
    // Short texts collide often: many versions of the same key.
    const auto make = [&] { return RandomRows(schema, rows, &random, variant.raw ? 5 : 4); };
    Keyed sorted = SortByKey(make(), *codec, /*duplicates=*/variant.versions);
    const auto n = static_cast<size_t>(sorted.rows->num_rows());
    std::vector<SequenceNumber> sequences(n);
    std::vector<uint8_t> kinds(n);
    for (size_t i = 0; i < n; ++i) {
      const bool same = i > 0 && sorted.keys[i] == sorted.keys[i - 1];
      sequences[i] = same ? sequences[i - 1] - 1 : 1000000 + random() % 1000;
      kinds[i] = Below(&random, 10) == 0;
    }
    TempDir dir;
    SstWriterOptions options{.dir = dir.path(), .number = 1, .schema = schema, .codec = codec};
    options.key_columns = key_columns;
    options.point_index = variant.point_index;
    options.bloom_bits_per_key = variant.bloom_bits;
    options.write_seq = variant.versions;
    options.write_kind = variant.versions;
    options.batch_rows = 1 + Below(&random, 400);
    const FileMeta meta = WriteFile(options, *sorted.rows, &random, sequences.data(),
                                    variant.versions ? kinds.data() : nullptr);
    const auto reader = Must(SstReader::Open(ReaderOptions(options, variant.verify), meta));
    ASSERT_OK(reader->Verify());
    ExpectSameRows(*ReadAll(*reader), *sorted.rows);

    std::map<std::string, int64_t> model;  // key to its first row
    for (size_t i = 0; i < n; ++i) model.emplace(sorted.keys[i], i);
    EXPECT_EQ(meta.min_key, sorted.keys.front());
    EXPECT_EQ(meta.max_key, sorted.keys.back());
    EXPECT_EQ(meta.clean, !variant.versions || (model.size() == n && meta.tombstones == 0));
    if (variant.versions) {
      EXPECT_EQ(meta.tombstones, static_cast<uint64_t>(std::count(kinds.begin(), kinds.end(), 1)));
    }
    std::string scratch;
    for (size_t i = 0; i < n; ++i) {
      EXPECT_EQ(Must(reader->KeyAt(i, &scratch)), sorted.keys[i]);
    }
    if (variant.versions) {
      int64_t row = 0;
      for (int64_t b = 0; b < reader->num_batches(); ++b) {
        const auto batch = Must(reader->ReadBatch(b));
        for (int64_t i = 0; i < batch->num_rows(); ++i, ++row) {
          ASSERT_EQ(batch->column_data(reader->kind_column())->GetValues<uint8_t>(1)[i],
                    kinds[row]);
          ASSERT_EQ(batch->column_data(reader->seq_column())->GetValues<uint64_t>(1)[i],
                    sequences[row]);
        }
      }
    }
    // Present keys, absent neighbours of present keys, and keys of other rows.
    std::vector<std::string> wanted = {"", std::string(1, '\xff'), std::string(40, '\xff')};
    for (const auto& [key, row] : model) {
      wanted.push_back(key);
      wanted.push_back(key + '\0');
      if (!key.empty()) wanted.push_back(key.substr(0, key.size() - 1));
    }
    for (const auto& key : SortByKey(make(), *codec).keys) wanted.push_back(key);
    for (const std::string& key : wanted) {
      const uint64_t hash = HashKey(key);
      reader->Prefetch(hash);
      const auto at = model.find(key);
      const auto found = Must(reader->Find(key, hash));
      ASSERT_EQ(found.has_value(), at != model.end());
      if (found) {
        EXPECT_TRUE(reader->MayContain(key, hash));
        EXPECT_EQ(reader->batch_start(found->batch) + found->row, at->second);
      }
      const auto bound = model.lower_bound(key);
      EXPECT_EQ(Must(reader->LowerBound(key)),
                bound == model.end() ? static_cast<int64_t>(n) : bound->second);
    }
    EXPECT_FALSE(reader->MayContain(sorted.keys.back() + '\0', 0));
  }
}

INSTANTIATE_TEST_SUITE_P(All, SstFind,
                         testing::Values(Variant{true, true, 10, false, VerifyReads::kFirst},
                                         Variant{true, true, 10, true, VerifyReads::kAlways},
                                         Variant{true, false, 10, true, VerifyReads::kFirst},
                                         Variant{true, false, 0, false, VerifyReads::kNever},
                                         Variant{true, true, 0, true, VerifyReads::kNever},
                                         Variant{false, true, 10, false, VerifyReads::kFirst},
                                         Variant{false, true, 10, true, VerifyReads::kAlways},
                                         Variant{false, false, 10, true, VerifyReads::kFirst},
                                         Variant{false, false, 0, false, VerifyReads::kNever},
                                         Variant{false, true, 0, true, VerifyReads::kFirst}),
                         NameOf);

TEST(SstThreads, ReadersOnManyThreadsSeeTheSameRows) {
  Random random(8);
  const auto schema =
      arrow::schema({arrow::field("a", arrow::int64(), false),
                     arrow::field("b", arrow::utf8(), false), arrow::field("v", arrow::utf8())});
  const auto codec = Must(KeyCodec::Make(schema, {1, 0}));
  const Keyed sorted = SortByKey(RandomRows(schema, 20000, &random), *codec);
  TempDir dir;
  SstWriterOptions options{.dir = dir.path(), .number = 1, .schema = schema, .codec = codec};
  options.key_columns = {1, 0};
  options.batch_rows = 100;
  const FileMeta meta = WriteFile(options, *sorted.rows, &random);
  for (int round = 0; round < 5; ++round) {
    // A fresh reader each time: the threads race to verify pages and to build views.
    const auto reader = Must(SstReader::Open(ReaderOptions(options), meta));
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::string scratch;
        for (size_t k = 0; k < sorted.keys.size(); k += 3) {
          const size_t i = t % 2 == 0 ? k : sorted.keys.size() - 1 - k;
          const auto found = reader->Find(sorted.keys[i], HashKey(sorted.keys[i]));
          const auto key = reader->KeyAt(static_cast<int64_t>(i), &scratch);
          const RowLocation want = reader->Locate(static_cast<int64_t>(i));
          if (!found.ok() || !found->has_value() || (**found).batch != want.batch ||
              (**found).row != want.row || !key.ok() || *key != sorted.keys[i] ||
              !reader->ReadBatch(want.batch).ok()) {
            ++wrong;
          }
        }
      });
    }
    for (auto& thread : threads) thread.join();
    ASSERT_EQ(wrong, 0);
  }
}

TEST(SstTombstones, MayLackTheValuesOfRequiredColumns) {
  Random random(2);
  const auto schema = arrow::schema(
      {arrow::field("k", arrow::utf8(), false), arrow::field("v", arrow::int64(), false)});
  const auto codec = Must(KeyCodec::Make(schema, {0}));
  arrow::StringBuilder k;
  arrow::Int64Builder v;
  std::vector<uint8_t> kinds;
  for (int i = 0; i < 300; ++i) {
    char key[16];
    std::snprintf(key, sizeof(key), "%04d", i);
    ASSERT_OK(k.Append(key));
    kinds.push_back(i % 3 == 0);
    ASSERT_OK(i % 3 == 0 ? v.AppendNull() : v.Append(i));
  }
  const auto rows =
      arrow::RecordBatch::Make(schema, 300, arrow::ArrayVector{Must(k.Finish()), Must(v.Finish())});
  TempDir dir;
  SstWriterOptions options{.dir = dir.path(), .number = 1, .schema = schema, .codec = codec};
  options.key_columns = {0};
  options.write_kind = true;
  options.batch_rows = 100;
  const Opened file = WriteAndOpen(options, *rows, &random, nullptr, kinds.data());
  ExpectSameRows(*ReadAll(*file.reader), *rows);
  ASSERT_OK(file.reader->Verify());
  const auto stored = Must(file.reader->ReadBatch(0))->schema();
  EXPECT_FALSE(stored->field(0)->nullable());
  EXPECT_TRUE(stored->field(1)->nullable());
  EXPECT_EQ(file.meta.tombstones, 100u);
  EXPECT_FALSE(file.meta.clean);
}

}  // namespace
}  // namespace marble::lsm
