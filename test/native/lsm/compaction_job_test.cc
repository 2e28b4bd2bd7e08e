// One compaction of made files: what it keeps, where it cuts, what it leaves when it fails.
#include "lsm/compaction/compaction_job.h"

#include <gmock/gmock.h>

#include <condition_variable>
#include <latch>
#include <mutex>
#include <set>
#include <thread>

#include "base/hash.h"
#include "db_fixture.h"
#include "io/forwarding_file_system.h"
#include "lsm/compaction/executor.h"
#include "lsm/compaction/rate_limiter.h"
#include "lsm/table_state.h"

namespace marble::lsm {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Row {
  std::string key;
  SequenceNumber sequence;
  std::optional<std::string> value;  // none: a tombstone
  bool operator==(const Row&) const = default;
};
void PrintTo(const Row& row, std::ostream* out) {
  *out << row.key << "@" << row.sequence << "=" << row.value.value_or("(deleted)");
}
Row Put(const std::string& key, SequenceNumber sequence, const std::string& value = "v") {
  return {key, sequence, value};
}
Row Del(const std::string& key, SequenceNumber sequence) { return {key, sequence, std::nullopt}; }

std::shared_ptr<task::TaskScheduler> Threads(int threads) {
  task::SchedulerOptions options;
  options.threads = threads;
  options.cpus = task::CpuLimit{8, "test"};
  return Must(task::TaskScheduler::Make(options));
}

class CompactionJobTest : public ::testing::Test {
 protected:
  CompactionJobTest() { UseTable(StateFamily("s")); }

  void UseTable(TableDescriptor descriptor) {
    descriptor.id = 1;
    info_ = Must(TableInfo::Make(std::move(descriptor)));
  }
  CompactionJob NewJob() {
    CompactionJob job;
    job.info = info_;
    job.output_level = 3;
    job.dir = dir_.path();
    job.next_number = [this] { return next_.fetch_add(1); };
    job.poll = [] { return Status::OK(); };
    job.wrote = [](uint64_t) { return Status::OK(); };
    return job;
  }
  SstFileRef Open(const FileMeta& meta) {
    SstReaderOptions options;
    options.dir = dir_.path();
    options.schema = info_->descriptor.schema;
    options.codec = info_->codec;
    return std::make_shared<SstFile>(io::FileSystem::Local(), dir_.path(),
                                     Must(SstReader::Open(options, meta)), false);
  }
  /// What was built, as one file.
  SstFileRef Write(RunBuilder* builder, const RunWriterOptions& options) {
    builder->Finish();
    RunWriter writer(info_, options);
    RunFiles files(options);
    while (builder->has_chunks()) {
      Must(writer.Write(Must(GatherChunk(*info_, builder->TakeChunk()))));
      if (const auto full = writer.TakeFull()) Must(files.Add(full.get()));
    }
    return Open(files.Take().at(0));
  }
  /// A file of these rows, in order. With `seq`, they keep their sequences.
  SstFileRef File(const std::vector<Row>& rows, bool seq = false) {
    RunWriterOptions options;
    options.dir = dir_.path();
    options.next_number = [this] { return next_.fetch_add(1); };
    options.hidden.seq = seq;
    options.min_sequence = kMaxSequence;
    for (const Row& row : rows) {
      options.min_sequence = std::min(options.min_sequence, row.sequence);
      options.max_sequence = std::max(options.max_sequence, row.sequence);
      options.hidden.kind = options.hidden.kind || !row.value;
    }
    RunBuilder builder(info_, options.hidden);
    for (const Row& row : rows) {
      if (row.value) {
        Must(builder.AddBytes(row.key, *row.value, row.sequence, RowKind::kPut, 0));
      } else {
        Must(builder.AddTombstone(row.key, row.sequence));
      }
    }
    return Write(&builder, options);
  }
  std::vector<Row> RowsOf(const SstFile& file) {
    std::vector<Row> rows;
    const SstReader& reader = *file.reader;
    for (int64_t b = 0; b < reader.num_batches(); ++b) {
      const auto batch = Must(reader.ReadBatch(b));
      for (int64_t i = 0; i < batch->num_rows(); ++i) {
        Row row;
        row.key = static_cast<const arrow::BinaryArray&>(*batch->column(0)).GetString(i);
        const bool deleted =
            reader.kind_column() >= 0 &&
            static_cast<const arrow::UInt8Array&>(*batch->column(reader.kind_column())).Value(i);
        if (!deleted)
          row.value = static_cast<const arrow::BinaryArray&>(*batch->column(1)).GetString(i);
        row.sequence =
            reader.seq_column() < 0
                ? 0
                : static_cast<const arrow::UInt64Array&>(*batch->column(reader.seq_column()))
                      .Value(i);
        rows.push_back(std::move(row));
      }
    }
    return rows;
  }
  std::vector<Row> Run(const CompactionJob& job) {
    metas_ = Must(RunCompactionJob(job, scheduler_.get()));
    std::vector<Row> rows;
    for (const FileMeta& meta : metas_) {
      EXPECT_EQ(meta.level, job.output_level);
      const SstFileRef file = Open(meta);
      EXPECT_TRUE(file->reader->Verify().ok());
      const auto more = RowsOf(*file);
      rows.insert(rows.end(), more.begin(), more.end());
    }
    return rows;
  }
  std::set<std::string> Listing() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }

  TempDir dir_;
  std::shared_ptr<const TableInfo> info_;
  std::atomic<FileNumber> next_{1};
  const std::shared_ptr<task::TaskScheduler> scheduler_ = Threads(3);
  std::vector<FileMeta> metas_;  // of the last run
};

TEST_F(CompactionJobTest, ATombstoneGoesAsSoonAsNothingOlderMayHoldItsKey) {
  CompactionJob job = NewJob();
  job.runs = {{File({Del("a", 20), Del("c", 20), Del("d", 20), Del("x", 20), Del("z", 20)})},
              {File({Put("a", 10), Put("b", 10)}), File({Put("x", 10)})}};
  ASSERT_FALSE(File({Put("c", 1), Put("m", 1)})->reader->MayContain("d", HashKey("d")))
      << "choose another key: this one is in the filter by chance";
  // Two levels below; one file each reaches over a part of the keys.
  job.older = {{File({Put("c", 1), Put("m", 1)})}, {File({Put("w", 1), Put("z", 1)})}};
  EXPECT_THAT(Run(job), ElementsAre(Put("b", 0), Del("c", 0), Del("z", 0)));
  EXPECT_EQ(metas_[0].tombstones, 2u);
  // With nothing below, none is left, and the file is clean.
  job.older.clear();
  EXPECT_THAT(Run(job), ElementsAre(Put("b", 0)));
  EXPECT_TRUE(metas_[0].clean);
  EXPECT_LT(Open(metas_[0])->reader->kind_column(), 0);
}

TEST_F(CompactionJobTest, NothingIsWrittenWhereAllIsDeleted) {
  CompactionJob job = NewJob();
  job.runs = {{File({Del("a", 20), Del("b", 20)})}, {File({Put("a", 10), Put("b", 10)})}};
  const auto before = Listing();
  EXPECT_THAT(Run(job), IsEmpty());
  EXPECT_EQ(Listing(), before);
}

TEST_F(CompactionJobTest, VersionsThatSnapshotsSeeAreKeptAndOthersGo) {
  CompactionJob job = NewJob();
  job.runs = {
      {File({Put("a", 50, "5"), Put("a", 40, "4"), Del("b", 45)}, true)},
      {File({Put("a", 30, "3"), Put("a", 20, "2"), Put("b", 20, "2"), Put("c", 20, "2")}, true)}};
  job.rules.snapshots = {25, 42};
  EXPECT_THAT(Run(job), ElementsAre(Put("a", 50, "5"), Put("a", 40, "4"), Put("a", 20, "2"),
                                    Del("b", 45), Put("b", 20, "2"), Put("c", 20, "2")));
  // A tombstone that is the oldest version left hides nothing, whoever still sees it.
  job.rules.snapshots = {47};
  EXPECT_THAT(Run(job), ElementsAre(Put("a", 50, "5"), Put("a", 40, "4"), Put("c", 20, "2")));
  job.older = {{File({Put("b", 1), Put("bb", 1)})}};
  EXPECT_THAT(Run(job),
              ElementsAre(Put("a", 50, "5"), Put("a", 40, "4"), Del("b", 45), Put("c", 20, "2")));
}

TEST_F(CompactionJobTest, SequencesAreWrittenOnlyWhereASnapshotNeedsThem) {
  CompactionJob job = NewJob();
  job.runs = {{File({Put("a", 50), Put("a", 40), Put("b", 50)}, true)}};
  job.rules.snapshots = {50};
  EXPECT_THAT(Run(job), ElementsAre(Put("a", 0), Put("b", 0)));
  EXPECT_LT(Open(metas_[0])->reader->seq_column(), 0);
  EXPECT_EQ(metas_[0].max_sequence, 50u);
  job.rules.snapshots = {49};
  EXPECT_THAT(Run(job), ElementsAre(Put("a", 50), Put("a", 40), Put("b", 50)));
  // A file without sequences is one whose rows every snapshot sees: 0 says that.
  job.runs = {{File({Put("a", 60)}, true)}, {File({Put("a", 30), Put("c", 20)})}};
  EXPECT_THAT(Run(job), ElementsAre(Put("a", 60), Put("a", 0), Put("c", 0)));
  // Where the manifest says one sequence for the whole file, it is every row's.
  job.runs = {{File({Put("a", 60)}, true)}, {File({Put("a", 30), Put("c", 30)})}};
  EXPECT_THAT(Run(job), ElementsAre(Put("a", 60), Put("a", 30), Put("c", 30)));
}

std::vector<Row> ManyRows(int from, int to, int step, SequenceNumber sequence) {
  std::vector<Row> rows;
  for (int i = from; i < to; i += step) {
    char key[16];
    std::snprintf(key, sizeof key, "k%06d", i);
    rows.push_back(Put(key, sequence, std::string(90, static_cast<char>('a' + sequence % 26))));
  }
  return rows;
}

TEST_F(CompactionJobTest, FilesAreCutAtTheTargetSizeAndAtCutPoints) {
  CompactionJob job = NewJob();
  job.runs = {{File(ManyRows(1, 20'000, 2, 9))}, {File(ManyRows(0, 20'000, 2, 5))}};
  job.file_bytes = 200'000;  // of 2 MB
  EXPECT_EQ(Run(job).size(), 20'000u);
  ASSERT_GE(metas_.size(), 8u);
  for (size_t i = 0; i < metas_.size(); ++i) {
    EXPECT_LT(metas_[i].arrow_bytes, 300'000u);
    if (i + 1 < metas_.size()) {
      EXPECT_GT(metas_[i].arrow_bytes, 150'000u);
    }
    if (i > 0) {
      EXPECT_LT(metas_[i - 1].max_key, metas_[i].min_key);
    }
  }
  TableOptions options;
  options.cut_points = {"a", "k001000", "k001000x", "k001001", "k015555", "z"};
  UseTable(StateFamily("s", options));
  job.info = info_;
  job.file_bytes = 1 << 30;
  EXPECT_EQ(Run(job).size(), 20'000u);
  std::vector<std::string> begins;
  for (const FileMeta& meta : metas_) begins.push_back(meta.min_key);
  EXPECT_THAT(begins, ElementsAre("k000000", "k001000", "k001001", "k015555"));
  EXPECT_EQ(metas_[0].max_key, "k000999");
  EXPECT_EQ(metas_[1].max_key, "k001000");
  EXPECT_EQ(metas_[2].max_key, "k015554");
  // The same where whole stretches of one input are taken at once.
  job.runs = {{File(ManyRows(0, 20'000, 1, 9))}};
  EXPECT_EQ(Run(job).size(), 20'000u);
  EXPECT_EQ(metas_.size(), 4u);
  EXPECT_EQ(metas_[2].min_key, "k001001");
}

TEST_F(CompactionJobTest, AFileEndsWhereItWouldOverlapTooMuchOfTheLevelBelow) {
  CompactionJob job = NewJob();
  job.runs = {{File(ManyRows(0, 20'000, 1, 9))}};
  for (int i = 0; i < 20; ++i) {
    job.grandparents.push_back(File(ManyRows(i * 1000, i * 1000 + 1000, 1, 1)));
  }
  job.file_bytes = 100 << 20;
  job.max_grandparent_bytes = job.grandparents[0]->bytes() * 5 + 10;
  EXPECT_EQ(Run(job).size(), 20'000u);
  ASSERT_EQ(metas_.size(), 4u);
  for (const FileMeta& meta : metas_) {
    size_t overlapped = 0;
    for (const auto& below : job.grandparents) {
      overlapped += below->meta.min_key <= meta.max_key && below->meta.max_key >= meta.min_key;
    }
    EXPECT_EQ(overlapped, 5u);
  }
  // A file that is half full ends with one of the level below, not in the midst of one.
  job.max_grandparent_bytes = UINT64_MAX;
  job.file_bytes = job.grandparents[0]->meta.arrow_bytes * 5 / 4;
  EXPECT_EQ(Run(job).size(), 20'000u);
  EXPECT_EQ(metas_.size(), 20u);
  for (size_t i = 0; i < metas_.size(); ++i) {
    EXPECT_EQ(metas_[i].min_key, job.grandparents[i]->meta.min_key);
  }
}

TEST_F(CompactionJobTest, PartsInParallelGiveTheIdenticalContent) {
  CompactionJob job = NewJob();
  std::vector<Row> newest = ManyRows(0, 40'000, 7, 30);
  for (size_t i = 0; i < newest.size(); i += 3) newest[i].value.reset();
  job.runs = {{File(newest)}, {File(ManyRows(3, 40'000, 5, 20))}};
  job.runs.emplace_back();
  for (int i = 0; i < 8; ++i) {
    job.runs.back().push_back(File(ManyRows(i * 5000, i * 5000 + 5000, 1, 10)));
  }
  job.older = {{File(ManyRows(100, 39'900, 11, 1))}};
  job.file_bytes = 200'000;
  const std::vector<Row> whole = Run(job);
  for (int parts : {2, 3, 8, 100}) {
    job.max_parts = parts;
    std::mutex mutex;
    std::condition_variable came;
    std::set<std::thread::id> threads;
    job.wrote = [&](uint64_t) {  // no part goes on before another one has begun
      std::unique_lock lock(mutex);
      threads.insert(std::this_thread::get_id());
      came.notify_all();
      came.wait_for(lock, std::chrono::minutes(1), [&] { return threads.size() > 1; });
      return Status::OK();
    };
    EXPECT_TRUE(Run(job) == whole) << parts;
    for (size_t i = 1; i < metas_.size(); ++i) {
      EXPECT_LT(metas_[i - 1].max_key, metas_[i].min_key);
    }
    EXPECT_GT(threads.size(), 1u) << parts;
  }
}

/// Holds up the index of the first file (for which the file is mapped) until a second was begun.
class HoldsUpFirstIndex : public io::ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;

  Result<std::unique_ptr<io::WritableFile>> Create(const std::string& path) override {
    if (path.ends_with(".arrow")) {
      const std::lock_guard lock(mutex_);
      ++begun_;
      came_.notify_all();
    }
    return ForwardingFileSystem::Create(path);
  }
  Result<std::shared_ptr<io::MappedFile>> Map(const std::string& path) override {
    if (path.ends_with(".arrow")) {
      std::unique_lock lock(mutex_);
      if (!waited_) {
        overlapped_ = came_.wait_for(lock, std::chrono::minutes(1), [&] { return begun_ > 1; });
      }
      waited_ = true;
    }
    return ForwardingFileSystem::Map(path);
  }
  bool overlapped() const { return overlapped_; }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  int begun_ = 0;
  bool waited_ = false;
  bool overlapped_ = false;
};

TEST_F(CompactionJobTest, AFileIsIndexedWhileTheNextIsWritten) {
  CompactionJob job = NewJob();
  job.runs = {{File(ManyRows(0, 40'000, 1, 9))}, {File(ManyRows(0, 40'000, 3, 5))}};
  job.file_bytes = 200'000;
  job.max_parts = 1;
  const std::vector<Row> rows = Run(job);
  const auto file_system = std::make_shared<HoldsUpFirstIndex>(io::FileSystem::Local());
  job.file_system = file_system;
  EXPECT_TRUE(Run(job) == rows);
  EXPECT_GT(metas_.size(), 2u);
  EXPECT_TRUE(file_system->overlapped());
}

TEST_F(CompactionJobTest, WhatWasWrittenIsNeverLessThanNothing) {
  TableOptions compressed;
  compressed.compression = Compression::kZstd;
  UseTable(StateFamily("s", compressed));
  CompactionJob job = NewJob();
  job.max_parts = 1;
  uint64_t most = 0;
  job.wrote = [&](uint64_t bytes) {
    most = std::max(most, bytes);
    return Status::OK();
  };
  // A second chunk of a file that fills a batch: it takes less, compressed, than what waited for
  // it.
  for (int rows = 16'400; rows < 17'400; rows += 50) {
    job.runs = {{File(ManyRows(0, rows, 1, 9))}};
    EXPECT_EQ(Run(job).size(), static_cast<size_t>(rows));
  }
  EXPECT_GT(most, 0u);
  EXPECT_LT(most, uint64_t{8} << 20);
}

/// A file whose sync, or whose mapping for its index, fails while the next one is written.
class FailsFirstIndex : public HoldsUpFirstIndex {
 public:
  using HoldsUpFirstIndex::HoldsUpFirstIndex;
  Result<std::shared_ptr<io::MappedFile>> Map(const std::string& path) override {
    MARBLE_ASSIGN_OR_RETURN(auto mapped, HoldsUpFirstIndex::Map(path));
    if (path.ends_with(".arrow")) return MakeError(ErrorCode::kIo, path + ": no memory to map it");
    return mapped;
  }
};

TEST_F(CompactionJobTest, AnIndexThatFailsWhileTheNextFileIsWrittenLeavesNoFile) {
  CompactionJob job = NewJob();
  job.runs = {{File(ManyRows(0, 40'000, 1, 9))}, {File(ManyRows(0, 40'000, 3, 5))}};
  job.file_bytes = 200'000;
  job.max_parts = 1;
  const auto before = Listing();
  const auto file_system = std::make_shared<FailsFirstIndex>(io::FileSystem::Local());
  job.file_system = file_system;
  EXPECT_EQ(CodeOf(RunCompactionJob(job, scheduler_.get()).status()), ErrorCode::kIo);
  EXPECT_TRUE(file_system->overlapped());
  EXPECT_EQ(Listing(), before);
}

TEST_F(CompactionJobTest, AFailedOrCancelledJobLeavesNoFile) {
  CompactionJob job = NewJob();
  job.runs = {{File(ManyRows(0, 40'000, 1, 9))}, {File(ManyRows(0, 40'000, 3, 5))}};
  job.file_bytes = 200'000;
  const auto before = Listing();
  for (int parts : {1, 4}) {
    job.max_parts = parts;
    std::atomic<int> chunks{0};
    job.wrote = [&](uint64_t) {
      return ++chunks < 15 ? Status::OK() : MakeError(ErrorCode::kNoSpace, "the disk is full");
    };
    const Status failed = RunCompactionJob(job, scheduler_.get()).status();
    EXPECT_EQ(CodeOf(failed), ErrorCode::kNoSpace) << "not that of a part which ended with it";
    EXPECT_EQ(Listing(), before);
  }
  // Also where nothing is written: a merge of deleted keys asks as well.
  std::vector<Row> dead = ManyRows(0, 40'000, 1, 9);
  for (Row& row : dead) row.value.reset();
  job.runs = {{File(dead)}};
  const auto with_dead = Listing();
  std::atomic<int> polls{0};
  job.wrote = [](uint64_t) { return Status::OK(); };
  job.poll = [&] { return ++polls < 5 ? Status::OK() : MakeError(ErrorCode::kAborted, "enough"); };
  job.max_parts = 1;
  EXPECT_EQ(CodeOf(RunCompactionJob(job, scheduler_.get()).status()), ErrorCode::kAborted);
  EXPECT_EQ(polls.load(), 5);
  EXPECT_EQ(Listing(), with_dead);
}

TEST_F(CompactionJobTest, FilesWithoutAKeyAreJoinedInTheOrderOfWriting) {
  UseTable(AppendTable("log"));
  const auto file = [&](int64_t from, int64_t to, SequenceNumber sequence, bool seq) {
    RunWriterOptions options;
    options.dir = dir_.path();
    options.next_number = [this] { return next_.fetch_add(1); };
    options.hidden.seq = seq;
    options.min_sequence = options.max_sequence = sequence;
    RunBuilder builder(info_, options.hidden);
    arrow::Int64Builder n;
    arrow::StringBuilder s;
    for (int64_t i = from; i < to; ++i) {
      Must(n.Append(i));
      Must(s.Append(std::to_string(i)));
    }
    Must(builder.AddRows(arrow::RecordBatch::Make(AppendTable("").schema, to - from,
                                                  {Must(n.Finish()), Must(s.Finish())}),
                         0, to - from, sequence));
    return Write(&builder, options);
  };
  CompactionJob job = NewJob();
  job.output_level = 0;
  job.runs = {{file(300, 450, 30, true)}, {file(100, 300, 20, true)}, {file(0, 100, 10, false)}};
  job.rules.snapshots = {25};
  const auto metas = Must(RunCompactionJob(job, scheduler_.get()));
  ASSERT_EQ(metas.size(), 1u);
  EXPECT_EQ(metas[0].min_sequence, 10u);
  EXPECT_EQ(metas[0].max_sequence, 30u);
  const SstFileRef joined = Open(metas[0]);
  int64_t next = 0;
  for (int64_t b = 0; b < joined->reader->num_batches(); ++b) {
    const auto batch = Must(joined->reader->ReadBatch(b));
    const auto& n = static_cast<const arrow::Int64Array&>(*batch->column(0));
    const auto& seq =
        static_cast<const arrow::UInt64Array&>(*batch->column(joined->reader->seq_column()));
    for (int64_t i = 0; i < batch->num_rows(); ++i, ++next) {
      ASSERT_EQ(n.Value(i), next);
      ASSERT_EQ(seq.Value(i), next < 100 ? 10u : next < 300 ? 20u : 30u);
    }
  }
  EXPECT_EQ(next, 450);
}

TEST(RateLimiter, LetsNoMoreThroughThanItsRateAndCanBeChangedMeanwhile) {
  using Clock = std::chrono::steady_clock;
  const auto go_on = [] { return Status::OK(); };
  RateLimiter limiter(1'000'000);
  const auto start = Clock::now();
  for (int i = 0; i < 20; ++i) ASSERT_OK(limiter.Pay(10'000, go_on));
  // 200 kB at 1 MB/s, and a tenth of a second saved up at most.
  EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(95));
  // Who waits for a very long time is let go by a higher rate, by none, or by the one who asks.
  limiter.SetRate(1);
  EXPECT_EQ(limiter.rate(), 1u);
  std::thread changer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    limiter.SetRate(0);
  });
  ASSERT_OK(limiter.Pay(1 << 30, go_on));
  changer.join();
  limiter.SetRate(1);
  int polls = 0;
  const Status ended = limiter.Pay(1 << 30, [&] {
    return ++polls < 3 ? Status::OK() : MakeError(ErrorCode::kAborted, "enough");
  });
  EXPECT_EQ(CodeOf(ended), ErrorCode::kAborted);
}

TEST(Executor, FlushesGoFirstAndWhatIsDueLaterComesLater) {
  Executor executor(Threads(1));
  std::latch begun(1), go(1), ended(4);
  std::mutex mutex;
  std::vector<std::string> order;
  const auto note = [&](const char* what) {
    return [&, what] {
      std::lock_guard lock(mutex);
      order.push_back(what);
      ended.count_down();
    };
  };
  executor.Submit(Executor::Kind::kFlush, [&] {
    begun.count_down();
    go.wait();
  });
  begun.wait();
  executor.Submit(Executor::Kind::kFlush, note("late flush"), std::chrono::milliseconds(300));
  executor.Submit(Executor::Kind::kCompaction, note("compaction"));
  executor.Submit(Executor::Kind::kFlush, note("flush"));
  executor.Submit(Executor::Kind::kCompaction, note("another compaction"));
  go.count_down();
  ended.wait();
  std::lock_guard lock(mutex);
  ASSERT_EQ(order.size(), 4u);
  EXPECT_EQ(order.front(), "flush");
  EXPECT_EQ(order.back(), "late flush");
}

TEST(Executor, StopsWhileItsTimerWaitsForWorkThatIsDueLater) {
  // The timer must not look at what Stop throws away (AddressSanitizer would tell).
  const auto scheduler = Threads(1);
  for (int round = 0; round < 50; ++round) {
    Executor executor(scheduler);
    const auto never = [] { ADD_FAILURE() << "it was not due"; };
    executor.Submit(Executor::Kind::kCompaction, never, std::chrono::hours(1));
    executor.Submit(Executor::Kind::kFlush, never, std::chrono::hours(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    executor.Stop();
  }
}

TEST(Executor, StopWaitsForWhatRunsAndDropsTheRest) {
  Executor executor(Threads(1));
  std::latch begun(1);
  std::atomic<bool> through{false};
  executor.Submit(Executor::Kind::kFlush, [&] {
    begun.count_down();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    through = true;
  });
  executor.Submit(Executor::Kind::kCompaction, [] { ADD_FAILURE() << "was dropped"; });
  executor.Submit(
      Executor::Kind::kFlush, [] { ADD_FAILURE() << "was dropped"; }, std::chrono::hours(1));
  begun.wait();
  executor.Stop();
  EXPECT_TRUE(through);
  executor.Submit(Executor::Kind::kFlush, [] { ADD_FAILURE() << "after Stop"; });
  executor.Stop();
}

}  // namespace
}  // namespace marble::lsm
