// Torn tails against corruption: what recovery takes, cuts and refuses.
#include <chrono>
#include <thread>

#include "wal_fixture.h"

namespace marble::lsm {
namespace {

/// Where a record lies in its file.
struct Extent {
  size_t begin;
  size_t end;
};

}  // namespace

class WalRecoveryTest : public WalTest {
 protected:
  WalRecoveryTest() : WalTest(Place::kMemory) {}

  /// Write `payloads` into segment 1 (base 0) and stop as a crash would.
  std::vector<Extent> WriteAndCrash(const std::vector<std::string>& payloads,
                                    size_t sync_after = SIZE_MAX) {
    auto writer = OpenWriter(Options());
    std::vector<Extent> places;
    size_t begin = log_format::kSegmentHeaderBytes;
    for (size_t i = 0; i < payloads.size(); ++i) {
      const PublishedRecord record = MustAppend(writer.get(), payloads[i]);
      places.push_back({begin, record.end});
      begin = record.end;
      if (i == sync_after) {
        EXPECT_TRUE(writer->Sync(record.end).ok());
      }
    }
    return places;
  }
  std::vector<Extent> WriteFive(size_t sync_after = SIZE_MAX) {
    std::vector<std::string> payloads;
    for (uint64_t i = 1; i <= 5; ++i) payloads.push_back(PayloadFor(i, 100 * i));
    return WriteAndCrash(payloads, sync_after);
  }
  void FlipByte(const std::string& path, size_t offset) {
    std::string bytes = ReadAll(path);
    bytes[offset] = static_cast<char>(bytes[offset] ^ 0x20);
    WriteAll(path, bytes);
  }
  RecoveryOptions AfterReboot() {
    RecoveryOptions options = RecoveryOf(dir_);
    options.boot_id = kOtherBoot;
    return options;
  }
};

namespace {

INSTANTIATE_TEST_SUITE_P(Kinds, WalRecoveryTest,
                         testing::Values(io::LogFileKind::kMapped, io::LogFileKind::kWritten),
                         KindName);

TEST_P(WalRecoveryTest, ATailTornAtAnyByteRecoversThePrefix) {
  const auto places = WriteFive();
  const Extent last = places.back();
  const std::string whole = ReadAll(dir_.File(1));
  for (size_t cut = last.begin; cut < last.end; ++cut) {
    // Zero: pages that never reached the disk. Flip: a sector half written.
    for (const bool flip : {false, true}) {
      std::string torn = whole;
      if (flip) {
        torn[cut] = static_cast<char>(torn[cut] ^ 0x80);
      } else {
        std::fill(torn.begin() + static_cast<ptrdiff_t>(cut), torn.end(), '\0');
      }
      if (torn == whole) continue;  // padding is zero anyway
      WriteAll(dir_.File(1), torn);
      auto recovered = Recover(RecoveryOf(dir_));
      ASSERT_TRUE(recovered.ok()) << "cut at " << cut << ": " << recovered.status();
      ASSERT_EQ(recovered->records.size(), 4u) << "cut at " << cut;
      ASSERT_EQ(recovered->result.end, last.begin);
      ASSERT_EQ(recovered->result.ends.size(), 1u);
      ASSERT_EQ(recovered->result.ends[0].end_offset, last.begin);
      const bool nothing_left = torn.find_first_not_of('\0', last.begin) == std::string::npos;
      ASSERT_EQ(recovered->result.truncated_bytes == 0, nothing_left) << "cut at " << cut;
      ASSERT_EQ(recovered->result.truncation_reason.empty(), nothing_left);
    }
  }
}

TEST_P(WalRecoveryTest, AFileCutShortAtAnyByteOfTheLastRecordRecoversThePrefix) {
  const auto places = WriteFive();
  const std::string whole = ReadAll(dir_.File(1));
  for (size_t size = places.back().begin; size < places.back().end; ++size) {
    WriteAll(dir_.File(1), whole.substr(0, size));
    auto recovered = Recover(RecoveryOf(dir_));
    ASSERT_TRUE(recovered.ok()) << size << ": " << recovered.status();
    ASSERT_EQ(recovered->records.size(), 4u);
  }
}

TEST_P(WalRecoveryTest, DamageThatACrashCannotExplainIsCorruptionWithFileAndOffset) {
  const auto places = WriteFive();
  const std::string whole = ReadAll(dir_.File(1));
  // Every byte of the third record, header and padding included, from outside and inside.
  for (size_t at = places[2].begin; at < places[2].end; ++at) {
    WriteAll(dir_.File(1), whole);
    FlipByte(dir_.File(1), at);
    auto recovered = Recover(RecoveryOf(dir_));
    ASSERT_FALSE(recovered.ok()) << "byte " << at;
    ASSERT_EQ(CodeOf(recovered.status()), ErrorCode::kCorruption);
    ASSERT_THAT(recovered.status().message(),
                testing::AllOf(testing::HasSubstr(dir_.File(1)),
                               testing::HasSubstr("offset " + std::to_string(places[2].begin)),
                               testing::HasSubstr("truncate")));
  }
}

TEST_P(WalRecoveryTest, UnsyncedDamageAfterARebootIsATail) {
  const auto places = WriteFive();
  FlipByte(dir_.File(1), places[2].begin + 60);
  auto recovered = Recover(AfterReboot());
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->records.size(), 2u);
  EXPECT_EQ(recovered->result.end, places[2].begin);
  EXPECT_EQ(recovered->result.truncated_bytes, places[4].end - places[2].begin);
  EXPECT_THAT(recovered->result.truncation_reason, testing::HasSubstr(dir_.File(1)));
}

TEST_P(WalRecoveryTest, ALostHeaderOfTheFirstSegmentIsATailWhenOnlyWhatIsBeforeItWasDurable) {
  LogPosition base = 0;
  {
    auto writer = OpenWriter(Options());
    MustAppend(writer.get(), PayloadFor(0, 10'000));
    ASSERT_TRUE(writer->Roll({}).ok());
    ASSERT_EQ(writer->current_segment(), 2u);
    // Segment 1 is synced as it is sealed. What is written then says that all before was durable.
    for (int i = 0; writer->synced() == 0; ++i) {
      ASSERT_LT(i, 10'000);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    base = writer->synced();
    MustAppend(writer.get(), PayloadFor(1, 100));
    ASSERT_EQ(writer->synced(), base);
  }
  std::string bytes = ReadAll(dir_.File(2));
  ASSERT_EQ(log_format::DecodeSegmentHeader(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            bytes.size(), nullptr)
                .ValueOrDie()
                ->base,
            base);
  std::fill_n(bytes.begin(), log_format::kSegmentHeaderBytes, '\0');
  WriteAll(dir_.File(2), bytes);
  // Segment 1 has been flushed.
  ASSERT_TRUE(io::FileSystem::Local()->Remove(dir_.File(1)).ok());
  auto options = AfterReboot();
  options.first_segment = 2;
  options.first_position = base;
  auto recovered = Recover(options);
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->records.size(), 0u);
  // It begins earlier: then it was durable, and is damaged.
  options.first_position = base - 8;
  EXPECT_EQ(CodeOf(Recover(options).status()), ErrorCode::kCorruption);
}

TEST_P(WalRecoveryTest, AZeroSegmentStaysWhileUsedOnesLieBehindIt) {
  {
    auto writer = OpenWriter(Options());
    MustAppend(writer.get(), PayloadFor(1, 100));
    ASSERT_TRUE(writer->Roll({}).ok());
  }
  // The power was lost before anything but the header of segment 2 was durable.
  WriteAll(dir_.File(1), std::string(ReadAll(dir_.File(1)).size(), '\0'));
  std::string second = ReadAll(dir_.File(2));
  std::fill(second.begin() + log_format::kSegmentHeaderBytes, second.end(), '\0');
  WriteAll(dir_.File(2), second);
  // It is lost again before the manifest knows of the first recovery.
  for (int i = 0; i < 2; ++i) {
    auto recovered = Recover(AfterReboot());
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    EXPECT_EQ(recovered->records.size(), 0u);
    EXPECT_EQ(CountFiles(dir_), 2u);
  }
}

TEST_P(WalRecoveryTest, AnUnknownBootCountsAsAReboot) {
  const auto places = WriteFive();
  FlipByte(dir_.File(1), places[2].begin + 60);
  auto options = RecoveryOf(dir_);
  options.boot_id = "";
  auto recovered = Recover(options);
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->records.size(), 2u);
}

TEST_P(WalRecoveryTest, SyncedDamageIsCorruptionEvenAfterAReboot) {
  const auto places = WriteFive(/*sync_after=*/2);
  const std::string whole = ReadAll(dir_.File(1));
  FlipByte(dir_.File(1), places[2].begin + 60);  // the last synced record
  auto recovered = Recover(AfterReboot());
  ASSERT_FALSE(recovered.ok());
  EXPECT_EQ(CodeOf(recovered.status()), ErrorCode::kCorruption) << recovered.status();
  EXPECT_THAT(recovered.status().message(), testing::HasSubstr("durable"));

  WriteAll(dir_.File(1), whole);
  FlipByte(dir_.File(1), places[3].begin + 60);  // the first one that was not
  recovered = Recover(AfterReboot());
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->records.size(), 3u);
}

TEST_P(WalRecoveryTest, TruncateTakesWhatIsBeforeTheDamageAndGoesOn) {
  const auto places = WriteFive(/*sync_after=*/3);
  FlipByte(dir_.File(1), places[1].begin + 60);
  ASSERT_FALSE(Recover(RecoveryOf(dir_)).ok());
  auto options = RecoveryOf(dir_);
  options.truncate_corruption = true;
  auto recovered = Recover(options);
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->records.size(), 1u);
  EXPECT_EQ(recovered->result.truncated_bytes, places[4].end - places[1].begin);
  EXPECT_THAT(recovered->result.truncation_reason, testing::HasSubstr("a later record"));

  auto writer = Continue(*recovered);
  MustAppend(writer.get(), "after");
  writer.reset();
  options = RecoveryOf(dir_);  // strict again: what was cut is cut
  options.fixed_ends = recovered->result.ends;
  recovered = Recover(options);
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  ASSERT_EQ(recovered->records.size(), 2u);
  EXPECT_EQ(recovered->records[1].second, "after");
}

TEST_P(WalRecoveryTest, AFixedEndRevivesNothingHoweverOftenItCrashes) {
  const auto places = WriteFive();
  const std::string whole = ReadAll(dir_.File(1));
  FlipByte(dir_.File(1), places[2].begin + 60);
  auto recovered = Recover(AfterReboot());
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  std::vector<std::string> expected;
  for (const auto& record : recovered->records) expected.push_back(record.second);
  // The worst case: the torn bytes turn out to be there after all.
  WriteAll(dir_.File(1), whole);

  for (int crash = 0; crash < 5; ++crash) {
    auto writer = Continue(*recovered);
    expected.push_back(PayloadFor(static_cast<uint64_t>(crash), 500));
    MustAppend(writer.get(), expected.back());
    writer.reset();
    auto options = RecoveryOf(dir_);
    options.fixed_ends = recovered->result.ends;
    recovered = Recover(options);
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    ASSERT_EQ(recovered->records.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(recovered->records[i].second, expected[i]);
    }
  }
  EXPECT_EQ(recovered->result.ends[0].end_offset, places[2].begin);
}

TEST_P(WalRecoveryTest, DamageBeforeAFixedEndIsCorruption) {
  const auto places = WriteFive();
  auto options = AfterReboot();
  options.fixed_ends = {{1, places[4].end}};
  FlipByte(dir_.File(1), places[4].begin + 60);  // no later record says anything about it
  auto recovered = Recover(options);
  ASSERT_FALSE(recovered.ok());
  EXPECT_EQ(CodeOf(recovered.status()), ErrorCode::kCorruption) << recovered.status();
}

TEST_P(WalRecoveryTest, AMissingSegmentIsCorruption) {
  auto writer = OpenWriter(Options());
  for (uint64_t i = 1; i <= 3; ++i) {
    MustAppend(writer.get(), PayloadFor(i, 100));
    if (i < 3) {
      ASSERT_TRUE(writer->Roll({}).ok());
    }
  }
  writer.reset();
  ASSERT_EQ(Recover(RecoveryOf(dir_))->records.size(), 3u);
  for (const uint64_t missing : {1u, 2u}) {
    const std::string bytes = ReadAll(dir_.File(missing));
    ASSERT_TRUE(io::FileSystem::Local()->Remove(dir_.File(missing)).ok());
    auto recovered = Recover(AfterReboot());
    ASSERT_FALSE(recovered.ok()) << "segment " << missing;
    EXPECT_EQ(CodeOf(recovered.status()), ErrorCode::kCorruption) << recovered.status();
    EXPECT_THAT(recovered.status().message(), testing::HasSubstr("missing"));
    WriteAll(dir_.File(missing), bytes);
  }
}

TEST_P(WalRecoveryTest, ADamagedHeaderOfAMiddleSegmentIsCorruption) {
  auto writer = OpenWriter(Options());
  for (uint64_t i = 1; i <= 3; ++i) {
    MustAppend(writer.get(), PayloadFor(i, 100));
    if (i < 3) {
      ASSERT_TRUE(writer->Roll({}).ok());
    }
  }
  writer.reset();
  FlipByte(dir_.File(2), 30);
  auto recovered = Recover(RecoveryOf(dir_));
  ASSERT_FALSE(recovered.ok());
  EXPECT_EQ(CodeOf(recovered.status()), ErrorCode::kCorruption) << recovered.status();
  EXPECT_THAT(recovered.status().message(), testing::HasSubstr(dir_.File(2)));
}

TEST_P(WalRecoveryTest, PreallocatedSegmentsThatWereNeverUsedAreRemoved) {
  WriteFive();
  for (const std::string& bytes : {std::string(64 * 1024, '\0'), std::string()}) {
    WriteAll(dir_.File(2), bytes);
    auto recovered = Recover(RecoveryOf(dir_));
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    EXPECT_EQ(recovered->records.size(), 5u);
    EXPECT_EQ(recovered->result.last_segment, 2u);  // its id is not used again
    EXPECT_EQ(recovered->result.truncated_bytes, 0u);
    EXPECT_EQ(recovered->result.ends.size(), 1u);
    EXPECT_EQ(CountFiles(dir_), 1u);
  }
}

TEST_P(WalRecoveryTest, ASegmentOfAnotherDatabaseIsRefused) {
  WriteFive();
  auto options = RecoveryOf(dir_);
  options.database_id = "fedcba9876543210";
  auto recovered = Recover(options);
  ASSERT_FALSE(recovered.ok());
  EXPECT_EQ(CodeOf(recovered.status()), ErrorCode::kCorruption);
  EXPECT_THAT(recovered.status().message(), testing::HasSubstr("another database"));
}

TEST_P(WalRecoveryTest, ANewerFormatIsIncompatibleAndNotCut) {
  WriteFive();
  std::string bytes = ReadAll(dir_.File(1));
  bytes[7] = 2;
  StoreFixed(bytes.data() + 60, MaskCrc(Crc32c(bytes.data(), 60)));
  WriteAll(dir_.File(1), bytes);
  auto options = RecoveryOf(dir_);
  options.truncate_corruption = true;
  auto recovered = Recover(options);
  ASSERT_FALSE(recovered.ok());
  EXPECT_EQ(CodeOf(recovered.status()), ErrorCode::kIncompatible) << recovered.status();
}

TEST_P(WalRecoveryTest, ACopyOfARecordInsideAPayloadIsNotARecord) {
  // A payload that holds the bytes of a real record of this very segment, which says that much
  // more was complete than there is now.
  std::vector<std::string> payloads;
  for (uint64_t i = 1; i <= 5; ++i) payloads.push_back(PayloadFor(i, 1000 * i));
  const Extent last = WriteAndCrash(payloads).back();
  const std::string stolen = ReadAll(dir_.File(1)).substr(last.begin, last.end - last.begin);
  ASSERT_TRUE(io::FileSystem::Local()->Remove(dir_.File(1)).ok());
  for (std::string& payload : payloads) payload.resize(100);
  payloads.push_back(stolen);
  const auto again = WriteAndCrash(payloads);
  FlipByte(dir_.File(1), again[5].begin + 20);
  auto recovered = Recover(RecoveryOf(dir_));
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->records.size(), 5u);
}

TEST_P(WalRecoveryTest, AnErrorOfApplyIsTheErrorOfRecovery) {
  WriteFive();
  int seen = 0;
  const Status status = RecoverLog(RecoveryOf(dir_), [&](const PublishedRecord&) {
                          return ++seen == 3 ? Status::Invalid("no") : Status::OK();
                        }).status();
  EXPECT_EQ(status.message(), "no");
  EXPECT_EQ(seen, 3);
}

}  // namespace
}  // namespace marble::lsm
