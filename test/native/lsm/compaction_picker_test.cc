// What to compact next, with made-up files; at the end a simulated table that runs for long.
#include "lsm/compaction/compaction_picker.h"

#include <gmock/gmock.h>

#include <deque>
#include <map>
#include <random>
#include <set>

namespace marble::lsm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr int kLast = limits::kNumLevels - 1;
constexpr uint64_t kMb = 1 << 20;

LevelOptions SmallOptions() {
  LevelOptions options;
  options.level0_files = 4;
  options.base_bytes = 100 * kMb;
  options.multiplier = 10;
  options.file_bytes = 10 * kMb;
  return options;
}

/// Files by level. Numbers are given in the order of adding; sequences grow with them.
class Table {
 public:
  PickerFile* Add(int level, const std::string& min, const std::string& max, uint64_t bytes) {
    FileMeta meta;
    meta.number = ++number_;
    meta.min_key = min;
    meta.max_key = max;
    meta.arrow_bytes = bytes;
    meta.rows = std::max<uint64_t>(1, bytes / 100);
    meta.min_sequence = meta.max_sequence = number_ * 10;
    meta.clean = true;
    metas_.push_back(meta);
    auto& files = view.levels[level];
    if (level == 0) {
      files.insert(files.begin(), {&metas_.back()});
      return &files.front();
    }
    files.push_back({&metas_.back()});
    return &files.back();
  }
  FileMeta& meta(FileNumber number) { return metas_[number - 1]; }
  PickerFile& file(FileNumber number) {
    for (auto& level : view.levels) {
      for (auto& file : level) {
        if (file.meta->number == number) return file;
      }
    }
    std::abort();
  }
  /// Files of `level` side by side: keys "a00".."a09", "a10".."a19", ...
  void Fill(int level, int files, uint64_t bytes_each) {
    for (int i = 0; i < files; ++i) {
      char min[16], max[16];
      std::snprintf(min, sizeof min, "a%03d0", i);
      std::snprintf(max, sizeof max, "a%03d9", i);
      Add(level, min, max, bytes_each);
    }
  }

  PickerTable view;

 private:
  std::deque<FileMeta> metas_;
  FileNumber number_ = 0;
};

CompactionPicker Picker() { return CompactionPicker(SmallOptions()); }

TEST(CompactionPicker, NothingIsDueInAnEmptyTableOrBelowTheTrigger) {
  Table t;
  EXPECT_FALSE(Picker().Pick(t.view));
  EXPECT_EQ(Picker().Shape(t.view).base_level, kLast);
  for (int i = 0; i < 3; ++i) t.Add(0, "a", "z", 5 * kMb);
  EXPECT_FALSE(Picker().Pick(t.view));
}

TEST(CompactionPicker, LevelZeroGoesDownTogetherWithWhatItOverlaps) {
  Table t;
  t.Add(kLast, "a", "c", 10 * kMb);
  t.Add(kLast, "d", "f", 10 * kMb);
  t.Add(kLast, "x", "z", 10 * kMb);
  for (int i = 0; i < 4; ++i) t.Add(0, "b", "e", 9 * kMb);
  const auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->reason, CompactionReason::kLevel0);
  EXPECT_EQ(plan->input_level, 0);
  EXPECT_EQ(plan->output_level, kLast);
  EXPECT_THAT(plan->inputs, ElementsAre(7, 6, 5, 4));
  EXPECT_THAT(plan->overlapped, ElementsAre(1, 2));
  EXPECT_EQ(plan->min_key, "a");
  EXPECT_EQ(plan->max_key, "f");
  EXPECT_FALSE(plan->move);
}

TEST(CompactionPicker, LevelZeroIsDueByItsBytesToo) {
  Table t;
  t.Add(0, "a", "z", 60 * kMb);
  EXPECT_FALSE(Picker().Pick(t.view));
  t.Add(0, "a", "z", 60 * kMb);
  EXPECT_TRUE(Picker().Pick(t.view));
}

TEST(CompactionPicker, TargetsFollowTheLastLevelSoThatLittleLiesAboveIt) {
  for (uint64_t last_mb : {50u, 99u, 101u, 500u, 5'000u, 50'000u, 3'000'000u}) {
    Table t;
    t.Add(kLast, "a", "z", last_mb * kMb);
    const LevelShape shape = Picker().Shape(t.view);
    uint64_t above = 0;
    for (int level = 1; level < kLast; ++level) {
      EXPECT_EQ(shape.target[level] > 0, level >= shape.base_level) << level;
      above += shape.target[level];
    }
    if (last_mb <= 100) {
      EXPECT_EQ(shape.base_level, kLast) << last_mb;
    } else {
      EXPECT_LE(shape.target[shape.base_level], 100 * kMb);
      EXPECT_GE(shape.target[shape.base_level], 25 * kMb);
    }
    // A ninth, and what the smallest level gets at least.
    EXPECT_LE(above, last_mb * kMb / 9 + 25 * kMb) << last_mb;
  }
}

TEST(CompactionPicker, TheBaseLevelIsNotMadeAndGivenUpAtTheSameSize) {
  Table t;
  t.Add(kLast, "a", "z", 90 * kMb);
  EXPECT_EQ(Picker().Shape(t.view).base_level, kLast);
  t.Add(kLast - 1, "a", "b", 5 * kMb);
  const LevelShape shape = Picker().Shape(t.view);
  EXPECT_EQ(shape.base_level, kLast - 1);
  EXPECT_EQ(shape.drain_above, 0);
  EXPECT_FALSE(Picker().Pick(t.view));
  t.meta(1).arrow_bytes = 45 * kMb;
  const auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->reason, CompactionReason::kDrain);
  EXPECT_THAT(plan->inputs, ElementsAre(2));
}

/// Level 5 over its target, above a last level of 1000 MB.
void OverTarget(Table* t) {
  t->Fill(kLast, 100, 10 * kMb);
  ASSERT_EQ(Picker().Shape(t->view).base_level, kLast - 1);
}

TEST(CompactionPicker, TheFileThatRewritesLeastForItsSizeGoesFirst) {
  Table t;
  OverTarget(&t);
  t.Add(kLast - 1, "a0000", "a0055", 50 * kMb);  // over six files
  t.Add(kLast - 1, "a0105", "a0125", 50 * kMb);  // over three
  t.Add(kLast - 1, "a0205", "a0215", 10 * kMb);  // over two, but small
  const auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->reason, CompactionReason::kLevelBytes);
  EXPECT_THAT(plan->inputs, ElementsAre(102));
  EXPECT_THAT(plan->overlapped, ElementsAre(11, 12, 13));
  EXPECT_DOUBLE_EQ(plan->score, 110.0 / 100);
}

TEST(CompactionPicker, AFileFullOfTombstonesGoesBeforeOthers) {
  Table t;
  OverTarget(&t);
  t.Add(kLast - 1, "a0000", "a0015", 60 * kMb);
  t.Add(kLast - 1, "a0105", "a0125", 60 * kMb);
  t.meta(102).tombstones = t.meta(102).rows;
  EXPECT_THAT(Picker().Pick(t.view)->inputs, ElementsAre(102));
  t.meta(102).tombstones = 0;
  EXPECT_THAT(Picker().Pick(t.view)->inputs, ElementsAre(101));
}

TEST(CompactionPicker, InputsWidenWhereThatRewritesNothingMore) {
  Table t;
  OverTarget(&t);
  t.Add(kLast - 1, "a0001", "a0002", 40 * kMb);
  t.Add(kLast - 1, "a0003", "a0004", 50 * kMb);  // within the same file of the last level
  t.Add(kLast - 1, "a0005", "a0015", 40 * kMb);  // reaches into the next one
  const auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->inputs, ElementsAre(101, 102));
  EXPECT_THAT(plan->overlapped, ElementsAre(1));
}

TEST(CompactionPicker, AFileThatOverlapsNothingBelowMoves) {
  Table t;
  OverTarget(&t);
  t.Add(kLast - 1, "a0000", "a0009", 60 * kMb);
  t.Add(kLast - 1, "b", "c", 60 * kMb);
  const auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->move);
  EXPECT_THAT(plan->inputs, ElementsAre(102));
  EXPECT_THAT(plan->overlapped, IsEmpty());
}

TEST(CompactionPicker, AFileWithTooMuchBelowTheNextLevelIsRewrittenInsteadOfMoved) {
  Table t;
  t.Fill(kLast, 100, 100 * kMb);
  t.Add(kLast - 2, "a0100", "a0400", 200 * kMb);  // 31 files of 100 MB; a step is 250 MB
  const auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_FALSE(plan->move);
  EXPECT_THAT(plan->inputs, ElementsAre(101));
  EXPECT_EQ(plan->output_level, kLast - 1);
}

TEST(CompactionPicker, FilesOfLevelZeroThatOverlapNothingMoveAndSmallOnesAreMerged) {
  Table t;
  t.Add(kLast, "a", "b", 10 * kMb);
  t.Add(0, "c", "d", 9 * kMb);
  t.Add(0, "e", "f", 9 * kMb);
  t.Add(0, "d5", "e5", 9 * kMb);  // over the second
  t.Add(0, "x", "y", 9 * kMb);
  auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->move);
  EXPECT_THAT(plan->inputs, UnorderedElementsAre(2, 5));
  EXPECT_EQ(plan->output_level, kLast);
  for (FileNumber n = 2; n <= 5; ++n) t.meta(n).arrow_bytes = kMb / 10;
  plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_FALSE(plan->move);
  EXPECT_THAT(plan->inputs, UnorderedElementsAre(2, 3, 4, 5));
  EXPECT_THAT(plan->overlapped, IsEmpty());
}

TEST(CompactionPicker, SmallNeighboursInTheNextLevelAreMergedWithSmallFiles) {
  Table t;
  t.Add(kLast, "a", "b", 9 * kMb);
  t.Add(kLast, "c", "d", kMb);
  for (int i = 0; i < 4; ++i) t.Add(0, "e", "f", kMb / 2);
  const auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->overlapped, ElementsAre(2));
}

TEST(CompactionPicker, ALittleDataAboveAMuchLargerBaseIsMergedWithinLevelZeroFirst) {
  Table t;
  t.Add(kLast, "a", "z", 90 * kMb);
  for (int i = 0; i < 4; ++i) t.Add(0, "b", "y", kMb);
  auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->reason, CompactionReason::kLevel0Merge);
  EXPECT_EQ(plan->output_level, 0);
  EXPECT_THAT(plan->inputs, ElementsAre(5, 4, 3, 2));
  EXPECT_THAT(plan->overlapped, IsEmpty());
  // One that is larger than the newer ones together stays out.
  t.meta(2).arrow_bytes = 4 * kMb;
  plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->inputs, ElementsAre(5, 4, 3));
  // Too few of one size: more are waited for, up to twice the trigger.
  t.meta(4).arrow_bytes = 2 * kMb;
  EXPECT_FALSE(Picker().Pick(t.view));
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(Picker().Pick(t.view));
    t.Add(0, "b", "y", kMb / (2 << i));
  }
  plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->reason, CompactionReason::kLevel0);
  EXPECT_EQ(plan->inputs.size(), 8u);
}

TEST(CompactionPicker, NothingIsPickedTwice) {
  Table t;
  OverTarget(&t);
  t.Add(kLast - 1, "a0000", "a0009", 60 * kMb);
  t.Add(kLast - 1, "a0100", "a0109", 70 * kMb);
  for (int i = 0; i < 4; ++i) t.Add(0, "a", "b", 9 * kMb);
  auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->input_level, kLast - 1);  // its score is higher
  ASSERT_THAT(plan->inputs, ElementsAre(102));
  t.file(102).busy = t.file(11).busy = true;
  // Level 0 overlaps what is busy: it waits. So does the other file of level 5: it is not due.
  EXPECT_FALSE(Picker().Pick(t.view));
  // An overlapped file that is busy blocks as well.
  t.file(102).busy = false;
  t.meta(101).arrow_bytes = 60 * kMb;
  plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->inputs, ElementsAre(101));
  // While files of level 0 are on their way down, newer ones wait.
  t.file(102).busy = t.file(11).busy = t.file(101).busy = t.file(1).busy = false;
  t.meta(101).arrow_bytes = t.meta(102).arrow_bytes = kMb;
  ASSERT_TRUE(Picker().Pick(t.view));
  t.file(103).busy = true;
  EXPECT_FALSE(Picker().Pick(t.view));
}

TEST(CompactionPicker, NoFileMovesIntoTheGapThatARunningCompactionWillFill) {
  Table t;
  OverTarget(&t);
  t.Add(kLast - 1, "b", "c", 60 * kMb);
  t.Add(kLast - 1, "m", "n", 60 * kMb);
  t.file(101).busy = true;
  t.meta(102).arrow_bytes = 130 * kMb;
  ASSERT_TRUE(Picker().Pick(t.view));
  t.view.running.push_back({kLast, "b", "z"});
  EXPECT_FALSE(Picker().Pick(t.view));
  t.view.running[0].output_level = kLast - 1;
  EXPECT_TRUE(Picker().Pick(t.view));
}

TEST(CompactionPicker, FilesOfAHighLevelThatIsNotNeededSlideDownAtOnce) {
  Table t;  // as a database has it that knew levels 0 and 1 only
  t.Add(1, "a", "c", 10 * kMb);
  t.Add(1, "d", "f", 10 * kMb);
  t.Add(1, "g", "i", 10 * kMb);
  const auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->reason, CompactionReason::kDrain);
  EXPECT_TRUE(plan->move);
  EXPECT_EQ(plan->output_level, kLast);
  EXPECT_THAT(plan->inputs, ElementsAre(1, 2, 3));
}

TEST(CompactionPicker, TombstonesGoDownWhenTheyFreeMuchOfWhatTheyRewrite) {
  Table t;
  t.Add(kLast, "a", "m", 20 * kMb);
  t.Add(kLast, "n", "z", 20 * kMb);
  t.Add(0, "b", "c", kMb);
  t.meta(3).rows = t.meta(3).tombstones = t.meta(1).rows / 10;
  EXPECT_FALSE(Picker().Pick(t.view));
  t.meta(3).rows = t.meta(3).tombstones = t.meta(1).rows / 2;
  const auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->reason, CompactionReason::kTombstones);
  EXPECT_THAT(plan->inputs, ElementsAre(3));
  EXPECT_THAT(plan->overlapped, ElementsAre(1));
}

TEST(CompactionPicker, BottommostFilesAreRewrittenOnceNoSnapshotNeedsTheirVersions) {
  Table t;
  t.Add(kLast, "a", "m", 20 * kMb);  // sequence 10
  t.Add(kLast, "n", "z", 20 * kMb);  // sequence 20
  EXPECT_FALSE(Picker().Pick(t.view));
  t.file(2).has_seq = true;
  EXPECT_FALSE(Picker().Pick(t.view)) << "clean, and sequences are a small part of it";
  t.meta(2).clean = false;
  t.view.oldest_snapshot = 19;
  EXPECT_FALSE(Picker().Pick(t.view));
  t.view.oldest_snapshot = 20;
  auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->reason, CompactionReason::kBottommost);
  EXPECT_EQ(plan->input_level, kLast);
  EXPECT_EQ(plan->output_level, kLast);
  EXPECT_THAT(plan->inputs, ElementsAre(2));
  t.meta(2).clean = true;
  t.meta(2).rows = 20 * kMb / 30;  // sequences are a quarter of it
  EXPECT_TRUE(Picker().Pick(t.view));
  t.file(2).has_seq = false;
  t.meta(1).tombstones = 1;
  t.meta(1).clean = false;
  plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->inputs, ElementsAre(1));
}

TEST(CompactionPicker, SmallFilesOfATableWithoutKeyAreJoinedInOrder) {
  Table t;
  t.view.keyed = false;
  t.Add(0, "", "", 8 * kMb);
  for (int i = 0; i < 3; ++i) t.Add(0, "", "", kMb);
  EXPECT_FALSE(Picker().Pick(t.view));
  t.Add(0, "", "", kMb);
  const auto plan = Picker().Pick(t.view);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->reason, CompactionReason::kConcatenate);
  EXPECT_EQ(plan->output_level, 0);
  EXPECT_THAT(plan->inputs, ElementsAre(5, 4, 3, 2));
  // Pieces of one write are not torn apart: what is joined must end between two writes.
  t.meta(2).max_sequence = t.meta(3).max_sequence;
  EXPECT_TRUE(Picker().Pick(t.view));
  t.meta(1).max_sequence = t.meta(2).max_sequence;
  EXPECT_FALSE(Picker().Pick(t.view));
}

TEST(CompactionPicker, AManualCompactionWalksItsRangeLevelByLevel) {
  Table t;
  t.Fill(kLast, 60, 10 * kMb);
  for (int i = 0; i < 3; ++i)
    t.Add(kLast - 1, "b" + std::to_string(i), "b" + std::to_string(i) + "x", kMb);
  t.Add(kLast - 1, "c", "d", kMb);
  t.Add(0, "a0105", "a0115", 3 * kMb);
  t.Add(0, "x", "z", kMb);
  RangeWalk walk;
  walk.from = "a0100";
  walk.to = "b2";
  walk.first_new = 1000;
  auto plan = Picker().PickRange(t.view, &walk);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->move);
  EXPECT_EQ(plan->output_level, kLast - 1);
  EXPECT_THAT(plan->inputs, ElementsAre(65));
  t.view.levels[0].erase(t.view.levels[0].begin() + 1);
  t.view.levels[kLast - 1].insert(t.view.levels[kLast - 1].begin(), {&t.meta(65)});
  t.file(65).busy = true;
  EXPECT_FALSE(Picker().PickRange(t.view, &walk));
  EXPECT_EQ(walk.state, RangeWalk::State::kBlocked);
  t.file(65).busy = false;
  plan = Picker().PickRange(t.view, &walk);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->inputs, ElementsAre(65));
  EXPECT_THAT(plan->overlapped, ElementsAre(11, 12));
  for (FileNumber file : {61, 62}) {  // the third begins at the end of the range
    plan = Picker().PickRange(t.view, &walk);
    ASSERT_TRUE(plan);
    EXPECT_TRUE(plan->move);
    EXPECT_THAT(plan->inputs, ElementsAre(file));
  }
  EXPECT_FALSE(Picker().PickRange(t.view, &walk));
  EXPECT_EQ(walk.state, RangeWalk::State::kFinished);
}

TEST(CompactionPicker, AManualCompactionRewritesBottommostFilesAsAsked) {
  Table t;
  t.Fill(kLast, 60, 10 * kMb);
  t.meta(30).tombstones = 1;
  t.meta(30).clean = false;
  const auto walk_all = [&](BottommostFiles bottommost, FileNumber first_new) {
    RangeWalk walk;
    walk.bottommost = bottommost;
    walk.first_new = first_new;
    std::vector<std::vector<FileNumber>> steps;
    while (auto plan = Picker().PickRange(t.view, &walk)) {
      EXPECT_EQ(plan->output_level, kLast);
      EXPECT_LE(plan->input_bytes, SmallOptions().max_job_bytes());
      steps.push_back(plan->inputs);
    }
    EXPECT_EQ(walk.state, RangeWalk::State::kFinished);
    return steps;
  };
  EXPECT_THAT(walk_all(BottommostFiles::kKeep, 1000), IsEmpty());
  EXPECT_THAT(walk_all(BottommostFiles::kIfUseful, 1000), ElementsAre(ElementsAre(30)));
  EXPECT_THAT(walk_all(BottommostFiles::kIfUseful, 30), IsEmpty());
  size_t files = 0;
  for (const auto& step : walk_all(BottommostFiles::kRewrite, 1000)) files += step.size();
  EXPECT_EQ(files, 60u);
}

// --- A simulated table ---------------------------------------------------------------------------

/// Files are sets of keys; a key is one byte of size, so that WA and space are exact.
class Simulation {
 public:
  Simulation(const LevelOptions& options, uint64_t seed) : picker_(options), random_(seed) {}

  void Flush(const std::set<int>& keys) {
    written_ += keys.size();
    flushed_ += keys.size();
    AddFile(0, keys, ++sequence_);
  }
  /// One compaction; false when none is due.
  bool Step() {
    PickerTable view;
    for (auto& [number, file] : files_) view.levels[file.level].push_back({&file.meta});
    std::sort(view.levels[0].begin(), view.levels[0].end(), [](const auto& a, const auto& b) {
      return std::pair(a.meta->max_sequence, a.meta->number) >
             std::pair(b.meta->max_sequence, b.meta->number);
    });
    for (int level = 1; level <= kLast; ++level) {
      auto& files = view.levels[level];
      std::sort(files.begin(), files.end(),
                [](const auto& a, const auto& b) { return a.meta->min_key < b.meta->min_key; });
      for (size_t i = 1; i < files.size(); ++i) {
        EXPECT_LT(files[i - 1].meta->max_key, files[i].meta->min_key) << "level " << level;
      }
    }
    level0_ = std::max(level0_, view.levels[0].size());
    const auto plan = picker_.Pick(view);
    if (!plan) return false;
    std::set<int> keys;
    SequenceNumber sequence = 0;
    std::vector<FileNumber> all = plan->inputs;
    all.insert(all.end(), plan->overlapped.begin(), plan->overlapped.end());
    if (plan->move) {
      for (FileNumber number : all) files_.at(number).level = plan->output_level;
      return true;
    }
    for (FileNumber number : all) {
      const File& file = files_.at(number);
      keys.insert(file.keys.begin(), file.keys.end());
      sequence = std::max(sequence, file.meta.max_sequence);
      files_.erase(number);
    }
    std::set<int> part;
    for (int key : keys) {
      part.insert(key);
      if (part.size() == picker_.options().file_bytes && plan->output_level > 0) {
        AddFile(plan->output_level, std::exchange(part, {}), sequence);
      }
    }
    if (!part.empty()) AddFile(plan->output_level, part, sequence);
    written_ += keys.size();
    return true;
  }

  double write_amplification() const {
    return static_cast<double>(written_) / static_cast<double>(flushed_);
  }
  uint64_t size() const {
    uint64_t bytes = 0;
    for (const auto& [number, file] : files_) bytes += file.keys.size();
    return bytes;
  }
  size_t most_level0() const { return level0_; }
  size_t num_files() const { return files_.size(); }

 private:
  struct File {
    int level;
    std::set<int> keys;
    FileMeta meta;
  };
  static std::string Key(int key) {
    char text[16];
    std::snprintf(text, sizeof text, "%08d", key);
    return text;
  }
  void AddFile(int level, const std::set<int>& keys, SequenceNumber sequence) {
    File file{level, keys, {}};
    file.meta.number = ++number_;
    file.meta.arrow_bytes = file.meta.rows = keys.size();
    file.meta.min_key = Key(*keys.begin());
    file.meta.max_key = Key(*keys.rbegin());
    file.meta.min_sequence = file.meta.max_sequence = sequence;
    file.meta.clean = true;
    files_.emplace(number_, std::move(file));
  }

  const CompactionPicker picker_;
  std::mt19937_64 random_;
  std::map<FileNumber, File> files_;
  FileNumber number_ = 0;
  SequenceNumber sequence_ = 0;
  uint64_t written_ = 0;
  uint64_t flushed_ = 0;
  size_t level0_ = 0;
};

TEST(CompactionPicker, RandomOverwritesCostWhatLevelsShouldAndLeaveLittleGarbage) {
  LevelOptions options;
  options.level0_files = 4;
  options.base_bytes = 2000;
  options.file_bytes = 250;
  constexpr int kKeys = 60'000;  // 30 times the base: three levels
  Simulation table(options, 1);
  std::mt19937_64 random(7);
  const auto flush = [&] {
    std::set<int> keys;
    while (keys.size() < 250) keys.insert(static_cast<int>(random() % kKeys));
    table.Flush(keys);
    // As fast as the compactions are: two for each flush, until all is in order.
    while (table.Step()) {
    }
  };
  for (int i = 0; i < 1500; ++i) flush();
  std::printf("write amplification %.2f, space %.3f, at most %zu files in level 0, %zu files\n",
              table.write_amplification(), static_cast<double>(table.size()) / kKeys,
              table.most_level0(), table.num_files());
  // Level 0, two levels with a factor of ten at most.
  EXPECT_LT(table.write_amplification(), 14);
  EXPECT_LT(static_cast<double>(table.size()), 1.25 * kKeys);
  EXPECT_LE(table.most_level0(), 4u);
  EXPECT_LT(table.num_files(), 2u * kKeys / 250);
}

TEST(CompactionPicker, AscendingKeysAreHardlyRewritten) {
  LevelOptions options;
  options.base_bytes = 2000;
  options.file_bytes = 250;
  Simulation table(options, 1);
  int next = 0;
  for (int i = 0; i < 400; ++i) {
    std::set<int> keys;
    while (keys.size() < 250) keys.insert(next++);
    table.Flush(keys);
    while (table.Step()) {
    }
  }
  EXPECT_DOUBLE_EQ(table.write_amplification(), 1);
  // In small portions, too, they end as files of a decent size.
  Simulation little(options, 1);
  for (int i = 0; i < 4000; ++i) {
    std::set<int> keys;
    while (keys.size() < 10) keys.insert(next++);
    little.Flush(keys);
    while (little.Step()) {
    }
  }
  EXPECT_LT(little.write_amplification(), 6);
  EXPECT_LT(little.num_files(), 600u);  // of 4000 flushes
}

TEST(CompactionPicker, ATableWithASmallShareOfTheMemtablesIsNotRewrittenForEachLittleFlush) {
  LevelOptions options;
  options.base_bytes = 4000;
  options.file_bytes = 500;
  Simulation table(options, 1);
  std::mt19937_64 random(7);
  constexpr int kKeys = 3500;
  std::set<int> all;
  for (int i = 0; i < kKeys; ++i) all.insert(i);
  table.Flush(all);
  for (int i = 0; i < 2000; ++i) {
    std::set<int> keys;
    while (keys.size() < 10) keys.insert(static_cast<int>(random() % kKeys));
    table.Flush(keys);
    while (table.Step()) {
    }
  }
  // Merging four flushes of 10 into 3500 each time would cost 88.
  EXPECT_LT(table.write_amplification(), 12);
  EXPECT_LE(table.most_level0(), 8u);
}

}  // namespace
}  // namespace marble::lsm
