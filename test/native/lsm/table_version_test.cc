// Files by level: where a key is looked for, and what a change shares with the version before.
#include "lsm/version/table_version.h"

#include <arrow/api.h>
#include <gmock/gmock.h>

#include <random>
#include <set>

namespace marble::lsm {
namespace {

using ::testing::ElementsAre;

/// A reader that knows its file's description only.
class DescribedFile : public SstReader {
 public:
  explicit DescribedFile(FileMeta meta) : meta_(std::move(meta)) {
    min_key_ = meta_.min_key;
    max_key_ = meta_.max_key;
  }
  const FileMeta& meta() const override { return meta_; }
  int64_t num_batches() const override { return 0; }
  int64_t num_rows() const override { return 0; }
  int64_t batch_start(int64_t) const override { return 0; }
  std::optional<LayoutSize> column_layout(int) const override { return std::nullopt; }
  const BatchLayout& layout(int64_t) const override { std::abort(); }
  const std::shared_ptr<io::MappedFile>& file() const override { std::abort(); }
  Result<std::shared_ptr<arrow::RecordBatch>> ReadBatch(int64_t) const override { return nullptr; }
  int seq_column() const override { return -1; }
  int kind_column() const override { return -1; }
  int expires_column() const override { return -1; }
  int64_t min_expires() const override { return 0; }
  int64_t max_expires() const override { return 0; }
  uint64_t merge_operands() const override { return 0; }
  Result<std::optional<std::string_view>> FindBytes(std::string_view, uint64_t) const override {
    return std::nullopt;
  }
  const BytesRows* bytes() const override { return nullptr; }
  Status VerifyBytes(size_t) const override { return Status::OK(); }
  void PrefetchBytes(uint64_t) const override {}
  void PrefetchValue(uint64_t) const override {}
  Result<std::optional<RowLocation>> Find(std::string_view, uint64_t) const override {
    return std::optional<RowLocation>();
  }
  Result<int64_t> LowerBound(std::string_view) const override { return 0; }
  RowLocation Locate(int64_t) const override { return {0, 0}; }
  Result<std::string_view> KeyAt(int64_t, std::string*) const override { return ""; }
  ZoneMap zone_map(int64_t, int) const override { return {}; }
  Status Verify() const override { return Status::OK(); }

 private:
  const FileMeta meta_;
};

SstFileRef File(FileNumber number, const std::string& min, const std::string& max,
                SequenceNumber last = 1) {
  FileMeta meta;
  meta.number = number;
  meta.min_key = min;
  meta.max_key = max;
  meta.max_sequence = last;
  meta.arrow_bytes = 10;
  return std::make_shared<SstFile>(io::FileSystem::Local(), "",
                                   std::make_shared<DescribedFile>(meta), false);
}

std::vector<FileNumber> Numbers(const TableVersion& version) {
  std::vector<FileNumber> out;
  version.ForEachFile([&out](int level, const SstFileRef& file) {
    out.push_back(static_cast<FileNumber>(level) * 100 + file->meta.number);
  });
  return out;
}

TEST(TableVersion, LevelZeroIsNewestFirstAndLevelsAreInKeyOrder) {
  const auto a = File(1, "a", "b", 10), b = File(2, "a", "z", 20), c = File(3, "n", "z", 20);
  const auto merged = File(9, "a", "z", 15);  // of older files than b, though numbered later
  const auto x = File(4, "m", "p"), y = File(5, "a", "c");
  auto version = ChangeTableVersion({}, {}, {{0, a}, {0, c}, {0, b}, {0, merged}, {2, x}, {2, y}});
  EXPECT_THAT(Numbers(*version), ElementsAre(3, 2, 9, 1, 205, 204));
  EXPECT_EQ(version->num_files(), 6u);
  EXPECT_EQ(version->levels[1], nullptr);
  EXPECT_EQ(version->levels[2]->bytes(), 20u);
  // y moves down; level 2 changes, level 0 too, the rest is shared.
  const auto next = ChangeTableVersion(*version, {y, a}, {{6, y}});
  EXPECT_THAT(Numbers(*next), ElementsAre(3, 2, 9, 204, 605));
  const auto last = ChangeTableVersion(*next, {b}, {});
  EXPECT_EQ(last->levels[6], next->levels[6]);
  EXPECT_EQ(last->levels[2], next->levels[2]);
  EXPECT_TRUE(ChangeTableVersion(*last, {c, merged, x, y}, {})->empty());
}

TEST(SortedLevel, FindsTheFileOfAKeyWhateverKeysHaveInCommon) {
  std::mt19937_64 random(3);
  for (const std::string& prefix :
       {std::string(), std::string("user:"), std::string("a-rather-long-prefix/of-all-keys/")}) {
    for (int round = 0; round < 50; ++round) {
      // Keys of random length over three letters: many share more than eight bytes.
      std::set<std::string> keys;
      const auto random_key = [&] {
        std::string key = prefix;
        const int same = round % 3 == 0 ? 12 : 0;
        key.append(random() % 2 ? same : 0, 'm');
        for (auto n = random() % 14; n > 0; --n) key.push_back("\0m\xff"[random() % 3]);
        return key;
      };
      for (int i = 0; i < 41; ++i) keys.insert(random_key());
      std::vector<std::string> sorted(keys.begin(), keys.end());
      std::vector<SstFileRef> files;
      for (size_t i = 0; i + 1 < sorted.size(); i += 2) {
        files.push_back(File(i + 1, sorted[i], sorted[i + 1]));
      }
      std::shuffle(files.begin(), files.end(), random);
      const SortedLevel level(files);
      sorted.push_back("");
      sorted.push_back(prefix.substr(0, prefix.size() / 2));
      sorted.push_back("zzz");
      for (int i = 0; i < 100; ++i) sorted.push_back(random_key());
      for (const std::string& key : sorted) {
        size_t expect = 0;
        while (expect < level.size() && level[expect]->meta.max_key < key) ++expect;
        ASSERT_EQ(level.LowerBound(key), expect);
        const bool inside = expect < level.size() && level[expect]->meta.min_key <= key;
        ASSERT_EQ(level.Find(key), inside ? level[expect].get() : nullptr);
      }
    }
  }
}

}  // namespace
}  // namespace marble::lsm
