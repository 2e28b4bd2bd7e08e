// The parts of an .idx file: container, Bloom filter, point index, zone maps.
#include "sst_test_util.h"

#include <cmath>
#include <limits>
#include <map>

#include "io/file_system.h"
#include "lsm/sst/bloom_filter.h"
#include "lsm/sst/idx_file.h"
#include "lsm/sst/point_index.h"
#include "lsm/sst/zone_map.h"

namespace marble::lsm {
namespace {

TEST(BloomFilter, HoldsEveryKeyAndAboutOnePercentOfTheOthersAtTenBits) {
  Random random(1);
  for (const size_t n : {1, 10, 1000, 200000}) {
    std::vector<uint64_t> hashes;
    for (size_t i = 0; i < n; ++i) {
      hashes.push_back(HashKey("key" + std::to_string(i)));
    }
    const std::string section = BuildBloomFilter(hashes, 10);
    const auto filter = BloomFilter::Parse(section);
    ASSERT_TRUE(filter.has_value());
    for (const uint64_t hash : hashes) ASSERT_TRUE(filter->MayContain(hash));
    int wrong = 0;
    for (int i = 0; i < 100000; ++i) {
      wrong += filter->MayContain(HashKey("other" + std::to_string(i)));
    }
    if (n == 200000) {
      EXPECT_LT(wrong, 1500) << "1.5 %";
    }
    EXPECT_LT(section.size(), n * 10 / 8 + 64 + 64);
  }
  EXPECT_FALSE(BloomFilter::Parse("").has_value());
  EXPECT_FALSE(BloomFilter::Parse(std::string(200, '\xff')).has_value());
}

TEST(PointIndex, FindsTheRowOfEveryKeyAndIsAtMostSeventyPercentFull) {
  for (const size_t n : {1, 2, 7, 100, 100000}) {
    std::vector<uint64_t> hashes;
    std::vector<uint32_t> rows;
    for (size_t i = 0; i < n; ++i) {
      hashes.push_back(HashKey("key" + std::to_string(i)));
      rows.push_back(static_cast<uint32_t>(3 * i));
    }
    const std::string section = BuildPointIndex(hashes, rows);
    const auto index = PointIndex::Parse(section);
    ASSERT_TRUE(index.has_value());
    EXPECT_EQ(index->entries(), n);
    EXPECT_LE(static_cast<double>(n), 0.7 * static_cast<double>((section.size() - 64) / 8));
    for (size_t i = 0; i < n; ++i) {
      auto probe = index->Lookup(hashes[i]);
      uint32_t row = probe.Next();
      while (row != rows[i] && row != PointIndex::kNone) row = probe.Next();
      ASSERT_EQ(row, rows[i]);
    }
  }
}

TEST(PointIndex, ATableWithoutAnEmptySlotDoesNotLoop) {
  std::string section(64 + 8 * 16, '\0');
  section[0] = 16;
  const auto index = PointIndex::Parse(section);
  ASSERT_TRUE(index.has_value());
  auto probe = index->Lookup(HashKey("x"));
  EXPECT_EQ(probe.Next(), PointIndex::kNone);
  auto zero = index->Lookup(0);
  int candidates = 0;
  while (zero.Next() != PointIndex::kNone) ++candidates;
  EXPECT_EQ(candidates, 16);
}

TEST(IdxFile, UnknownSectionsAreSkippedOnlyWhenOptional) {
  for (const bool optional : {true, false}) {
    TempDir dir;
    const std::string path = dir.path() + "/1.idx";
    auto writer = Must(IdxWriter::Create(io::FileSystem::Local().get(), path));
    ASSERT_OK(writer->AddSection(IdxSection::kProperties, "props"));
    ASSERT_OK(writer->AddSection(99, optional, "from the future"));
    ASSERT_OK(writer->AddSection(IdxSection::kLayout, ""));
    ASSERT_OK(writer->Finish());
    const auto idx = IdxFile::Open(io::FileSystem::Local().get(), path);
    if (!optional) {
      EXPECT_EQ(CodeOf(idx.status()), ErrorCode::kIncompatible);
      continue;
    }
    ASSERT_OK(idx.status());
    EXPECT_EQ((*idx)->section(IdxSection::kProperties), "props");
    EXPECT_EQ((*idx)->section(IdxSection::kLayout), "");
    EXPECT_FALSE((*idx)->section(IdxSection::kBloomFilter).has_value());
    ASSERT_OK((*idx)->Verify());
    EXPECT_EQ((*idx)->file().size(), writer->file_bytes());
  }
}

TEST(IdxFile, AnotherVersionIsRefused) {
  TempDir dir;
  const std::string path = dir.path() + "/1.idx";
  auto writer = Must(IdxWriter::Create(io::FileSystem::Local().get(), path));
  ASSERT_OK(writer->Finish());
  std::string bytes = Must(io::FileSystem::Local()->ReadFile(path));
  bytes[8] = 2;
  ASSERT_OK(io::FileSystem::Local()->WriteFileAtomically(path, bytes));
  EXPECT_EQ(CodeOf(IdxFile::Open(io::FileSystem::Local().get(), path).status()),
            ErrorCode::kIncompatible);
}

SstReader::ZoneMap ZoneOf(const std::shared_ptr<arrow::Array>& array) {
  return DecodeZone(array->type(), EncodeZone(*array->data()));
}

template <typename BuilderType, typename Value>
std::shared_ptr<arrow::Array> ArrayOf(BuilderType builder, const std::vector<Value>& values) {
  for (const auto& value : values) EXPECT_TRUE(builder.Append(value).ok());
  return Must(builder.Finish());
}

TEST(ZoneMap, BoundsEveryValueOfEveryOrderedType) {
  Random random(9);
  int bounded = 0;
  for (const auto& type : AllTypes()) {
    SCOPED_TRACE(type->ToString());
    const auto schema = arrow::schema({arrow::field("a", type)});
    for (int round = 0; round < 20; ++round) {
      const auto whole = RandomRows(schema, 100, &random, 60)->column(0);
      const auto array = whole->Slice(Below(&random, 50), 1 + Below(&random, 50));
      const auto zone = ZoneOf(array);
      EXPECT_EQ(zone.null_count, array->ComputeLogicalNullCount());
      if (zone.min == nullptr) continue;
      ++bounded;
      // The order of values is that of encoded keys, which other tests prove.
      const auto key_schema = arrow::schema({arrow::field("a", type)});
      const auto codec = KeyCodec::Make(key_schema, {0});
      if (!codec.ok()) continue;
      const std::string min = Must((*codec)->EncodeScalars({zone.min}));
      const std::string max =
          zone.max == nullptr ? std::string(10, '\xff') : Must((*codec)->EncodeScalars({zone.max}));
      for (int64_t i = 0; i < array->length(); ++i) {
        if (array->IsNull(i)) continue;
        const std::string key = Must((*codec)->EncodeScalars({Must(array->GetScalar(i))}));
        ASSERT_LE(min, key);
        ASSERT_GE(max, key);
      }
    }
  }
  EXPECT_GT(bounded, 300);
}

TEST(ZoneMap, IsExactForNumbers) {
  const auto zone = ZoneOf(ArrayOf(arrow::Int32Builder(), std::vector<int32_t>{3, -7, 12}));
  EXPECT_TRUE(zone.min->Equals(arrow::Int32Scalar(-7)));
  EXPECT_TRUE(zone.max->Equals(arrow::Int32Scalar(12)));
  const auto flags = ZoneOf(ArrayOf(arrow::BooleanBuilder(), std::vector<bool>{true, true}));
  EXPECT_TRUE(flags.min->Equals(arrow::BooleanScalar(true)));
}

TEST(ZoneMap, IsUnknownWithANaN) {
  const auto zone =
      ZoneOf(ArrayOf(arrow::DoubleBuilder(),
                     std::vector<double>{1.5, std::numeric_limits<double>::quiet_NaN(), 2.5}));
  EXPECT_EQ(zone.min, nullptr);
  EXPECT_EQ(zone.max, nullptr);
  EXPECT_EQ(zone.null_count, 0);
}

TEST(ZoneMap, LongTextIsCutOutwardsAndStaysText) {
  const auto bounds = [](const std::string& text) {
    return ZoneOf(ArrayOf(arrow::StringBuilder(), std::vector<std::string>{text}));
  };
  const auto text_of = [](const std::shared_ptr<arrow::Scalar>& scalar) {
    return std::string(static_cast<const arrow::BaseBinaryScalar&>(*scalar).value->ToString());
  };
  const std::string a64(64, 'a');
  auto zone = bounds(a64 + "zzz");
  EXPECT_EQ(text_of(zone.min), a64);
  EXPECT_EQ(text_of(zone.max), std::string(63, 'a') + "b");
  // A character that straddles the cut goes whole; the one before it is raised.
  zone = bounds(std::string(63, 'a') + "\xe2\x82\xac" + "tail");
  EXPECT_EQ(text_of(zone.min), std::string(63, 'a'));
  EXPECT_EQ(text_of(zone.max), std::string(62, 'a') + "b");
  // 0x7f becomes two bytes, U+D7FF skips the surrogates, U+10FFFF cannot be raised.
  zone = bounds(std::string(63, 'a') + "\x7f" + "tail");
  EXPECT_EQ(text_of(zone.max), std::string(63, 'a') + "\xc2\x80");
  zone = bounds(std::string(61, 'a') + "\xed\x9f\xbf" + "tail");
  EXPECT_EQ(text_of(zone.max), std::string(61, 'a') + "\xee\x80\x80");
  std::string highest;
  for (int i = 0; i < 20; ++i) highest += "\xf4\x8f\xbf\xbf";
  zone = bounds(highest);
  EXPECT_EQ(zone.max, nullptr);
  EXPECT_NE(zone.min, nullptr);
  const auto binary =
      ZoneOf(ArrayOf(arrow::BinaryBuilder(), std::vector<std::string>{std::string(70, '\xff')}));
  EXPECT_EQ(binary.max, nullptr);
}

}  // namespace
}  // namespace marble::lsm
