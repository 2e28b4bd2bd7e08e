#include <thread>

#include "wal_fixture.h"

namespace marble::lsm {
namespace {

INSTANTIATE_TEST_SUITE_P(Kinds, WalTest,
                         testing::Values(io::LogFileKind::kMapped, io::LogFileKind::kWritten),
                         KindName);

TEST_P(WalTest, RecordsOfAllSizesComeBackAfterACrash) {
  constexpr size_t kSegment = 64 * 1024;
  std::vector<std::string> written;
  auto writer = OpenWriter(Options(kSegment));
  std::mt19937 random(7);
  LogPosition last_end = 0;
  for (uint64_t i = 1; i <= 1500; ++i) {
    size_t bytes = random() % 300;
    if (i % 50 == 0) bytes = random() % 20'000;
    if (i % 400 == 0) bytes = kSegment + random() % (3 * kSegment);  // a segment of its own
    written.push_back(PayloadFor(i, bytes));
    const PublishedRecord record = MustAppend(writer.get(), written.back());
    EXPECT_EQ(record.sequence, i);
    EXPECT_GT(record.end, last_end);
    EXPECT_EQ(record.segment_id, writer->current_segment());
    if (bytes > 0) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(record.payload) % 64, 0u);
    }
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(record.payload), bytes), written.back());
    last_end = record.end;
    EXPECT_EQ(writer->published(), last_end);
    EXPECT_EQ(writer->last_published_sequence(), i);
  }
  EXPECT_GT(writer->current_segment(), 10u);
  writer.reset();  // no Close

  auto recovered = Recover(RecoveryOf(dir_));
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  ASSERT_EQ(recovered->records.size(), written.size());
  for (size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(recovered->records[i].first, i + 1);
    ASSERT_EQ(recovered->records[i].second, written[i]);
  }
  EXPECT_EQ(recovered->result.end, last_end);
  EXPECT_EQ(recovered->result.last_sequence, written.size());
  EXPECT_EQ(recovered->result.records, written.size());
  EXPECT_EQ(recovered->result.truncated_bytes, 0u);
  EXPECT_EQ(recovered->result.truncation_reason, "");
  EXPECT_FALSE(recovered->result.clean_close);
}

TEST_P(WalTest, ACleanCloseIsSeenAndLeavesNoUnusedSegment) {
  auto writer = OpenWriter(Options());
  // More than half of a segment: the next one gets made in the background.
  MustAppend(writer.get(), PayloadFor(1, 40'000));
  for (int i = 0; i < 2000 && CountFiles(dir_) < 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(CountFiles(dir_), 2u);
  ASSERT_TRUE(writer->Close().ok());
  EXPECT_TRUE(writer->Close().ok());
  EXPECT_EQ(CountFiles(dir_), 1u);
  EXPECT_EQ(writer->synced(), writer->published());
  const Status late = writer->Append(1, FillWith("x"), Ignore).status();
  EXPECT_EQ(CodeOf(late), ErrorCode::kClosed) << late;

  auto recovered = Recover(RecoveryOf(dir_));
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_TRUE(recovered->result.clean_close);
  EXPECT_EQ(recovered->records.size(), 1u);
  EXPECT_EQ(recovered->result.end, writer->published());

  // The log goes on behind a clean close, and is then no longer cleanly closed.
  writer = Continue(*recovered);
  MustAppend(writer.get(), "more");
  writer.reset();
  recovered = Recover(RecoveryOf(dir_));
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_FALSE(recovered->result.clean_close);
  EXPECT_EQ(recovered->records.size(), 2u);
}

TEST_P(WalTest, ManyAppendersPublishInLogOrderAndEveryAcknowledgedRecordComesBack) {
  constexpr int kThreads = 8;
  constexpr uint64_t kEach = 1500;
  auto writer = OpenWriter(Options());
  SequenceNumber last_sequence = 0;  // written by publish only: exclusively
  LogPosition last_end = 0;
  std::atomic<int> inside{0};
  std::atomic<int> violations{0};
  std::atomic<uint64_t> voids{0};
  std::vector<std::vector<SequenceNumber>> acknowledged(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (uint64_t i = 0; i < kEach; ++i) {
        const std::string payload =
            PayloadFor(static_cast<uint64_t>(t) << 32 | i, 16 + random() % 400);
        const bool fails = random() % 50 == 0;
        auto record = writer->Append(
            payload.size(),
            [&](uint8_t* to) {
              std::memcpy(to, payload.data(), payload.size() / 2);
              if (fails) return Status::Invalid("the caller's own error");
              std::memcpy(to, payload.data(), payload.size());
              return Status::OK();
            },
            [&](const PublishedRecord& published) {
              if (inside.fetch_add(1) != 0) ++violations;
              if (published.sequence <= last_sequence || published.end <= last_end) {
                ++violations;
              }
              last_sequence = published.sequence;
              last_end = published.end;
              inside.fetch_sub(1);
              return Status::OK();
            });
        if (fails) {
          ++voids;
          if (record.status().message() != "the caller's own error") ++violations;
        } else {
          acknowledged[t].push_back(record.ValueOrDie().sequence);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(violations.load(), 0);
  EXPECT_GT(voids.load(), 0u);
  EXPECT_EQ(writer->last_published_sequence(), kThreads * kEach);
  writer.reset();

  auto recovered = Recover(RecoveryOf(dir_));
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->records.size(), kThreads * kEach - voids.load());
  std::vector<SequenceNumber> all, found;
  for (const auto& each : acknowledged) all.insert(all.end(), each.begin(), each.end());
  for (const auto& record : recovered->records) found.push_back(record.first);
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, found);
}

TEST_P(WalTest, RollSwitchesExactlyBetweenTwoSegments) {
  auto writer = OpenWriter(Options());
  uint64_t generation = 1;  // written by on_switch, read by publish: both exclusive
  std::atomic<int> violations{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const std::string payload(100, 'x');
      while (!stop.load()) {
        // Segments are large enough not to roll by themselves here.
        (void)writer->Append(payload.size(), FillWith(payload), [&](const PublishedRecord& record) {
          if (record.segment_id != generation) ++violations;
          return Status::OK();
        });
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    });
  }
  for (uint64_t i = 2; i < 40; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    auto id = writer->Roll([&] { ++generation; });
    ASSERT_TRUE(id.ok()) << id.status();
    EXPECT_EQ(*id, i);
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(violations.load(), 0);
  const SequenceNumber last = writer->last_published_sequence();
  writer.reset();
  auto recovered = Recover(RecoveryOf(dir_));
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->records.size(), last);
}

TEST_P(WalTest, DroppedSegmentsAreNotReadAndTheRestIs) {
  auto writer = OpenWriter(Options());
  MustAppend(writer.get(), "old");
  ASSERT_EQ(writer->Roll({}).ValueOrDie(), 2u);
  MustAppend(writer.get(), "new");
  writer.reset();
  ASSERT_TRUE(io::FileSystem::Local()->Remove(dir_.File(1)).ok());
  auto options = RecoveryOf(dir_);
  options.first_segment = 2;
  auto recovered = Recover(options);
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  ASSERT_EQ(recovered->records.size(), 1u);
  EXPECT_EQ(recovered->records[0], std::make_pair(SequenceNumber{2}, std::string("new")));
}

TEST_P(WalTest, AnEmptyFolderIsAnEmptyLog) {
  auto recovered = Recover(RecoveryOf(dir_));
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->result.last_segment, 0u);
  EXPECT_EQ(recovered->result.last_sequence, 0u);
  EXPECT_TRUE(recovered->result.ends.empty());
}

TEST_P(WalTest, AnExistingSegmentIsNeverOverwritten) {
  auto writer = OpenWriter(Options());
  MustAppend(writer.get(), "kept");
  writer.reset();
  const Status again = LogWriter::Open(Options(), 1, 0, 1).status();
  EXPECT_FALSE(again.ok());
  EXPECT_THAT(again.message(), testing::HasSubstr(dir_.File(1)));
  EXPECT_EQ(Recover(RecoveryOf(dir_))->records.size(), 1u);
}

TEST_P(WalTest, ABatchAboveTheLimitIsRefused) {
  auto writer = OpenWriter(Options());
  const Status status =
      writer->Append(limits::kMaxWriteBatchBytes + 1, FillWith(""), Ignore).status();
  EXPECT_EQ(CodeOf(status), ErrorCode::kTooLarge) << status;
  MustAppend(writer.get(), "still works");
}

}  // namespace
}  // namespace marble::lsm
