// Compression per table and level in whole databases: the same reads whatever it is, which codec a
// file gets, what is remembered, counted and bounded, and that everything else (copies, damage
// reports, other readers of the files) works as it does without.
#include <gmock/gmock.h>

#include <cstdlib>
#include <random>

#include "copies_fixture.h"
#include "io/memory_file_system.h"
#include "lsm/backup/backup.h"
#include "lsm/backup/checkpoint.h"
#include "lsm/backup/inspect.h"
#include "lsm/backup/verify.h"

namespace marble::lsm {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TableOptions With(Compression compression) {
  TableOptions options;
  options.compression = compression;
  return options;
}
TableOptions PerLevel(std::vector<Compression> levels) {
  TableOptions options;
  options.compression_per_level = std::move(levels);
  return options;
}

/// Text that compresses about as well as JSON does.
std::string Record(int i) {
  return "{\"id\":" + std::to_string(i) + ",\"name\":\"customer " + std::to_string(i % 97) +
         "\",\"status\":\"" + (i % 3 ? "active" : "suspended") + "\",\"city\":\"Springfield\"}";
}
std::string Key(int i) {
  char text[16];
  std::snprintf(text, sizeof text, "k%06d", i);
  return text;
}

void Fill(DB* db, const TableHandle& state, int from, int to) {
  for (int i = from; i < to;) {
    WriteBatch batch;
    for (const int end = std::min(to, i + 500); i < end; ++i)
      Must(batch.Put(state, Key(i), Record(i)));
    Must(db->Write(std::move(batch), {}));
  }
}

const TableMetrics& MetricsOf(const DbMetrics& metrics, const std::string& table) {
  for (const TableMetrics& one : metrics.tables) {
    if (one.name == table) return one;
  }
  ADD_FAILURE() << "no table " << table;
  std::abort();
}

/// Level and codec of a table's files, by level and number, as the manifest says.
std::vector<std::pair<int, Compression>> FilesOf(const std::string& dir, const std::string& table) {
  std::vector<std::pair<int, Compression>> out;
  const auto inspection = Must(InspectDatabase(io::FileSystem::Local(), dir, {}));
  for (const InspectedTable& one : inspection.tables) {
    if (one.descriptor.name != table) continue;
    for (const InspectedFile& file : one.files) {
      EXPECT_TRUE(file.present);
      out.emplace_back(file.meta.level, file.meta.compression);
    }
  }
  return out;
}

// --- The same reads ---------------------------------------------------------------------------

/// One database of each kind, written to in lockstep.
class Lockstep {
 public:
  explicit Lockstep(uint64_t seed) : random_(seed) {
    const std::vector<TableOptions> kinds = {TableOptions(), With(Compression::kLz4),
                                             With(Compression::kZstd),
                                             PerLevel({Compression::kNone, Compression::kZstd}),
                                             PerLevel({Compression::kLz4, Compression::kNone})};
    options_.log_segment_bytes = 64 << 10;
    options_.max_block_ms = 60'000;
    options_.target_file_bytes = 32 << 10;
    options_.level_base_bytes = 64 << 10;
    options_.level_multiplier = 3;
    options_.verify_reads = seed % 3 == 0 ? VerifyReads::kAlways : VerifyReads::kFirst;
    options_.decoded_cache_bytes = seed % 2 ? 96 << 10 : 0;
    for (const TableOptions& kind : kinds) {
      auto one = std::make_unique<One>();
      one->options = kind;
      ones_.push_back(std::move(one));
      Open(ones_.back().get());
    }
  }

  void Run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      const uint64_t what = Below(100);
      if (what < 60) {
        Write();
      } else if (what < 90) {
        Compare();
      } else if (what < 94) {
        for (auto& one : ones_) Must(one->db->Flush());
      } else if (what < 97) {
        const std::string table = Below(2) ? "s" : "t";
        for (auto& one : ones_) Must(one->db->Compact(table));
      } else if (what < 98) {
        for (auto& one : ones_) one->snapshot = one->db->GetSnapshot();
      } else {
        for (auto& one : ones_) {
          one->snapshot.reset();
          Must(one->db->Close());
          Open(one.get());
        }
      }
    }
    for (auto& one : ones_) Must(one->db->Compact(""));
    Compare();
  }
  /// Bytes of all files of each.
  std::vector<uint64_t> Sizes() const {
    std::vector<uint64_t> out;
    for (const auto& one : ones_) {
      uint64_t bytes = 0;
      for (const auto& table : one->db->metrics().tables) bytes += table.sst_bytes;
      out.push_back(bytes);
    }
    return out;
  }

 private:
  struct One {
    TempDir dir{TempDir::Place::kMemory};
    TableOptions options;
    std::shared_ptr<DB> db;
    TableHandle s, t, log;
    SnapshotRef snapshot;
  };

  uint64_t Below(uint64_t n) { return random_() % n; }

  void Open(One* one) {
    one->db.reset();
    one->db = Must(DB::Open(one->dir.path(), options_));
    one->s = Must(one->db->CreateTable(StateFamily("s", one->options), true));
    one->t = Must(one->db->CreateTable(TypedTable("t", one->options), true));
    TableDescriptor log = AppendTable("log");
    log.options.compression = one->options.CompressionAt(0);
    one->log = Must(one->db->CreateTable(std::move(log), true));
  }

  void Write() {
    std::vector<std::string> puts, deletes;
    for (uint64_t n = Below(60); n > 0; --n) puts.push_back(Key(static_cast<int>(Below(3000))));
    for (uint64_t n = Below(10); n > 0; --n) deletes.push_back(Key(static_cast<int>(Below(3000))));
    const int salt = static_cast<int>(Below(1'000'000));
    const bool large = Below(20) == 0;
    std::vector<TypedRow> rows;
    for (uint64_t n = Below(200); n > 0; --n) {
      const auto id = static_cast<int64_t>(Below(2000));
      rows.push_back({id, "n", static_cast<double>(salt), Record(salt), id % 2 == 0});
    }
    const bool range = Below(15) == 0;
    const std::string from = Key(static_cast<int>(Below(3000)));
    for (auto& one : ones_) {
      WriteBatch batch;
      for (const auto& key : puts) Must(batch.Put(one->s, key, Record(salt) + key));
      for (const auto& key : deletes) Must(batch.Delete(one->s, key));
      if (range) Must(batch.DeleteRange(one->s, from, from + "9"));
      if (large)
        Must(batch.Put(one->s, "large", std::string(200'000, static_cast<char>('a' + salt % 26))));
      if (!rows.empty()) Must(batch.Insert(one->t, TypedBatch(rows)));
      Must(batch.Insert(one->log, LogRow(salt, Record(salt))));
      Must(one->db->Write(std::move(batch), {}));
    }
  }

  void Compare() {
    ScanOptions scan;
    scan.reverse = Below(3) == 0;
    if (Below(2)) scan.limit = static_cast<int64_t>(Below(500));
    if (Below(2)) scan.range.lower = Key(static_cast<int>(Below(3000)));
    if (Below(2)) scan.range.upper = Key(static_cast<int>(Below(3000)));
    const bool old = Below(2) == 0;
    std::vector<std::string> keys = {"large"};
    for (int i = 0; i < 40; ++i) keys.push_back(Key(static_cast<int>(Below(3100))));
    const std::vector<std::string_view> views(keys.begin(), keys.end());
    std::vector<std::string> first;
    for (auto& one : ones_) {
      std::vector<std::string> got;
      const ReadOptions read{old ? one->snapshot : nullptr};
      scan.read = read;
      for (const auto& key : keys) {
        got.push_back(GetState(one->db.get(), one->s, key, read).value_or("(none)"));
        got.push_back(Must(one->db->Exists(one->s, key, read)) ? "yes" : "no");
      }
      std::vector<std::optional<PinnedValue>> values(keys.size());
      Must(one->db->MultiGet(one->s, views.data(), views.size(), read, values.data()));
      for (const auto& value : values)
        got.emplace_back(value ? std::string(value->bytes) : "(none)");
      for (const auto& [key, value] : ScanState(one->db.get(), one->s, scan))
        got.push_back(key + value);
      ScanOptions typed;
      typed.read = read;
      typed.reverse = scan.reverse;
      typed.limit = scan.limit;
      for (const auto& batch : Must(ScanBatches(one->db.get(), one->t, typed))) {
        for (int64_t i = 0; i < batch->num_rows(); ++i) {
          const TypedRow row = TypedRowAt(*batch, i);
          got.push_back(std::to_string(row.id) + row.name + std::to_string(*row.score) + *row.note);
        }
      }
      typed.columns = std::make_shared<const std::vector<int>>(std::vector<int>{2});
      for (const auto& batch : Must(ScanBatches(one->db.get(), one->t, typed))) {
        const auto& notes = static_cast<const arrow::StringArray&>(*batch->column(0));
        for (int64_t i = 0; i < batch->num_rows(); ++i) got.push_back(notes.GetString(i));
      }
      typed.columns = nullptr;
      for (const auto& batch : Must(ScanBatches(one->db.get(), one->log, typed))) {
        for (int64_t i = 0; i < batch->num_rows(); ++i) {
          got.push_back(
              std::to_string(static_cast<const arrow::Int64Array&>(*batch->column(0)).Value(i)));
        }
      }
      const auto it = Must(one->db->NewStateIterator(one->s, read, {}));
      it->Seek(keys[1]);
      for (int i = 0; i < 20 && it->Valid(); ++i, it->Next()) got.emplace_back(it->key());
      it->SeekForPrev(keys[2]);
      for (int i = 0; i < 20 && it->Valid(); ++i, it->Prev()) got.emplace_back(it->value());
      Must(it->status());
      if (first.empty()) {
        first = std::move(got);
      } else {
        ASSERT_EQ(got, first);
      }
    }
  }

  std::mt19937_64 random_;
  DbOptions options_;
  std::vector<std::unique_ptr<One>> ones_;
};

TEST(CompressionTest, ReadsAreTheSameWithEveryCompression) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    Lockstep run(seed);
    run.Run(120);
    if (HasFailure()) return;
    const auto sizes = run.Sizes();
    EXPECT_LT(sizes[1], sizes[0]);
    EXPECT_LT(sizes[2], sizes[1]) << "zstd makes less of it than lz4";
  }
}

// --- Which file gets which --------------------------------------------------------------------

TEST(CompressionTest, AFileHasTheCodecOfItsLevelAndKeepsItWhenItMoves) {
  const TempDir dir;
  DbOptions options;
  options.compaction_trigger = 1000;
  auto db = Must(DB::Open(dir.path(), options));
  const auto s = Must(db->CreateTable(
      StateFamily("s", PerLevel({Compression::kLz4, Compression::kNone, Compression::kZstd})),
      true));
  Fill(db.get(), s, 0, 2000);
  Must(db->Flush());
  EXPECT_THAT(FilesOf(dir.path(), "s"), ElementsAre(std::pair(0, Compression::kLz4)));
  // One file with nothing below: it moves, and is what it was.
  CompactOptions keep;
  keep.bottommost = BottommostFiles::kKeep;
  Must(db->CompactRange("s", "", "", keep));
  const int last = limits::kNumLevels - 1;
  EXPECT_THAT(FilesOf(dir.path(), "s"), ElementsAre(std::pair(last, Compression::kLz4)));
  EXPECT_EQ(GetState(db.get(), s, Key(77)), Record(77));
  // Merged into that level it gets that level's.
  Fill(db.get(), s, 1000, 3000);
  Must(db->Compact("s"));
  EXPECT_THAT(FilesOf(dir.path(), "s"), ElementsAre(std::pair(last, Compression::kZstd)));
  Fill(db.get(), s, 0, 10);
  Must(db->Flush());
  EXPECT_THAT(FilesOf(dir.path(), "s"),
              ElementsAre(std::pair(0, Compression::kLz4), std::pair(last, Compression::kZstd)));
  // What was written is opened again, and remembered.
  Must(db->Close());
  db = Must(DB::Open(dir.path(), options));
  EXPECT_THAT(DescriptorOf(Must(db->GetTable("s"))).options.compression_per_level,
              ElementsAre(Compression::kLz4, Compression::kNone, Compression::kZstd));
  EXPECT_EQ(ScanState(db.get(), Must(db->GetTable("s"))).size(), 3000u);
  EXPECT_EQ(FilesOf(dir.path(), "s").size(), 2u);
}

TEST(CompressionTest, ABulkLoadWritesWhatTheLevelHasThatItGoesTo) {
  const TempDir dir;
  DbOptions options;  // so small that levels 5 and 6 are worth having, and nothing is due
  options.compaction_trigger = 1000;
  options.level_base_bytes = 16 << 10;
  options.level_multiplier = 2;
  const auto db = Must(DB::Open(dir.path(), options));
  const auto s = Must(db->CreateTable(
      StateFamily("s", PerLevel({Compression::kNone, Compression::kLz4, Compression::kLz4,
                                 Compression::kLz4, Compression::kLz4, Compression::kLz4,
                                 Compression::kZstd})),
      true));
  const auto load = [&](int from, int to) {
    arrow::BinaryBuilder keys, values;
    for (int i = from; i < to; ++i) {
      Must(keys.Append(Key(i)));
      Must(values.Append(Record(i)));
    }
    const auto batch = arrow::RecordBatch::Make(StateFamily("").schema, to - from,
                                                {Must(keys.Finish()), Must(values.Finish())});
    auto given = std::make_shared<bool>(false);
    return Must(db->BulkLoad(s,
                             [batch, given]() -> Result<std::shared_ptr<arrow::RecordBatch>> {
                               return std::exchange(*given, true) ? nullptr : batch;
                             },
                             {}));
  };
  EXPECT_EQ(load(0, 1000).level, 6);
  EXPECT_EQ(load(500, 600).level, 5);
  PutOne(db.get(), s, Key(550), "put");
  Must(db->Flush());
  EXPECT_EQ(load(550, 560).level, 0);
  EXPECT_THAT(FilesOf(dir.path(), "s"),
              ElementsAre(std::pair(0, Compression::kNone), std::pair(0, Compression::kNone),
                          std::pair(5, Compression::kLz4), std::pair(6, Compression::kZstd)));
  EXPECT_EQ(GetState(db.get(), s, Key(550)), Record(550));
  EXPECT_EQ(ScanState(db.get(), s).size(), 1000u);
}

TEST(CompressionTest, WhatMeansNothingIsRefused) {
  const TempDir dir;
  const auto db = Must(DB::Open(dir.path(), {}));
  const auto refused = [&](TableDescriptor table, const std::string& why) {
    const Status status = db->CreateTable(std::move(table), false).status();
    EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument) << status;
    EXPECT_THAT(MessageOf(status), HasSubstr(why));
  };
  TableOptions both = PerLevel({Compression::kLz4});
  both.compression = Compression::kZstd;
  refused(StateFamily("s", both), "leave one of them out");
  refused(StateFamily("s", PerLevel(std::vector<Compression>(8, Compression::kLz4))),
          "compressionPerLevel has 8 entries; there are levels 0 to 6");
  TableDescriptor log = AppendTable("log");
  log.options = PerLevel({Compression::kNone, Compression::kZstd});
  refused(log, "without a primary key all files are in level 0");
  log.options = PerLevel({Compression::kZstd});
  Must(db->CreateTable(log, false));

  Must(db->CreateTable(StateFamily("s", With(Compression::kLz4)), false));
  const auto differs = [&](const TableOptions& options, const std::string& how) {
    const Status status = db->CreateTable(StateFamily("s", options), true).status();
    EXPECT_EQ(CodeOf(status), ErrorCode::kIncompatible) << status;
    EXPECT_THAT(MessageOf(status), HasSubstr(how));
  };
  differs(With(Compression::kZstd), "option compression is lz4, not zstd");
  differs(TableOptions(), "option compression is lz4, not none");
  differs(PerLevel({Compression::kLz4}), "option compression is lz4, not none");
  Must(db->CreateTable(StateFamily("s", With(Compression::kLz4)), true));

  DbOptions options;
  options.memory_budget_bytes = 32 << 20;
  options.decoded_cache_bytes = 4 << 20;
  EXPECT_THAT(MessageOf(DB::Open(dir.path() + "/x", options).status()),
              HasSubstr("decodedCacheBytes is 4194304, more than its share of 2097152"));
}

// --- What is counted, and bounded --------------------------------------------------------------

TEST(CompressionTest, MetricsTellWhatWasSavedAndWhatWasDecoded) {
  const TempDir dir;
  DbOptions options;
  options.decoded_cache_bytes = 256 << 10;
  auto db = Must(DB::Open(dir.path(), options));
  const auto s = Must(db->CreateTable(StateFamily("s", With(Compression::kZstd)), true));
  const auto plain = Must(db->CreateTable(StateFamily("plain"), true));
  Fill(db.get(), s, 0, 20'000);
  Fill(db.get(), plain, 0, 20'000);
  Must(db->Flush());
  DbMetrics metrics = db->metrics();
  const TableMetrics small = MetricsOf(metrics, "s");
  const TableMetrics large = MetricsOf(metrics, "plain");
  EXPECT_EQ(large.sst_uncompressed_bytes, large.sst_bytes);
  EXPECT_LT(small.sst_bytes * 2, small.sst_uncompressed_bytes);
  // Batches are framed alike, but for the room between buffers.
  EXPECT_NEAR(static_cast<double>(small.sst_uncompressed_bytes),
              static_cast<double>(large.sst_bytes), static_cast<double>(large.sst_bytes) / 20);
  uint64_t of_levels = 0;
  for (const LevelMetrics& level : small.levels) of_levels += level.uncompressed_bytes;
  EXPECT_EQ(of_levels, small.sst_uncompressed_bytes);

  EXPECT_EQ(metrics.decoded_hits + metrics.decoded_misses, 0u);
  EXPECT_EQ(GetState(db.get(), s, Key(5)), Record(5));
  metrics = db->metrics();
  EXPECT_EQ(metrics.decoded_misses, 1u);
  EXPECT_GT(metrics.memory.decoded_batches, 16u << 10);
  const uint64_t hits = metrics.decoded_hits;
  EXPECT_EQ(GetState(db.get(), s, Key(6)), Record(6));
  metrics = db->metrics();
  EXPECT_EQ(metrics.decoded_misses, 1u);
  EXPECT_GT(metrics.decoded_hits, hits);
  for (int i = 0; i < 20'000; i += 50) EXPECT_EQ(GetState(db.get(), s, Key(i)), Record(i));
  metrics = db->metrics();
  EXPECT_GT(metrics.decoded_misses, 10u);
  EXPECT_LE(metrics.memory.decoded_batches, 256u << 10);
  EXPECT_GT(metrics.memory.decoded_batches, 128u << 10);
  EXPECT_EQ(metrics.memory.total(), metrics.memory.memtable_rows + metrics.memory.memtable_indexes +
                                        metrics.memory.file_chunks + metrics.memory.file_arrays +
                                        metrics.memory.decoded_batches);
  Must(db->DropTable("s", false));
  EXPECT_EQ(db->metrics().memory.decoded_batches, 0u) << "what belonged to dropped files is free";
}

TEST(CompressionTest, DecodedBatchesKeepToTheirShareOfTheMemoryBudget) {
  const TempDir dir;
  DbOptions options;
  options.memory_budget_bytes = 16 << 20;
  options.max_block_ms = 60'000;
  const auto db = Must(DB::Open(dir.path(), options));
  const auto s = Must(db->CreateTable(StateFamily("s", With(Compression::kLz4)), true));
  Fill(db.get(), s, 0, 60'000);
  Must(db->Flush());
  std::mt19937_64 random(1);
  uint64_t most = 0;
  for (int i = 0; i < 20'000; ++i) {
    const int n = static_cast<int>(random() % 60'000);
    EXPECT_EQ(GetState(db.get(), s, Key(n)), Record(n));
    if (i % 100 == 0) most = std::max(most, db->metrics().memory.decoded_batches);
  }
  EXPECT_LE(most, 1u << 20);
  EXPECT_GT(most, 512u << 10);
}

TEST(CompressionTest, ValuesOutliveTheCacheTheFileAndTheDatabase) {
  const TempDir dir;
  DbOptions options;
  options.decoded_cache_bytes = 64 << 10;  // one batch, at most
  auto db = Must(DB::Open(dir.path(), options));
  auto s = Must(db->CreateTable(StateFamily("s", With(Compression::kZstd)), true));
  auto t = Must(db->CreateTable(TypedTable("t", With(Compression::kLz4)), true));
  Fill(db.get(), s, 0, 10'000);
  std::vector<TypedRow> rows;
  for (int i = 0; i < 5000; ++i) rows.push_back({i, "n", i / 4.0, Record(i), i % 2 == 0});
  WriteBatch batch;
  Must(batch.Insert(t, TypedBatch(rows)));
  Must(db->Write(std::move(batch), {}));
  Must(db->Flush());
  std::vector<PinnedValue> values;
  std::vector<RowRef> refs;
  for (int i = 0; i < 5000; i += 10) {
    values.push_back(*Must(db->Get(s, Key(i), {})));
    refs.push_back(*Must(db->GetRow(t, TypedKey(t, i, "n"), {})));
  }
  const auto batches = Must(ScanBatches(db.get(), t, {}));
  ScanOptions scan;
  auto open_scan = Must(db->NewIterator(s, scan));
  const ScanBatch first = Must(open_scan->Next());
  ASSERT_NE(first.sst, nullptr);
  EXPECT_TRUE(first.sst->compressed());
  auto iterator = Must(db->NewStateIterator(s, {}, {}));
  iterator->Seek(Key(9000));
  Fill(db.get(), s, 0, 10'000);
  Must(db->Compact(""));
  Must(db->DropTable("t", false));
  for (int i = 9000; i < 9500; ++i, iterator->Next()) {
    ASSERT_TRUE(iterator->Valid());
    ASSERT_EQ(iterator->key(), Key(i));
    ASSERT_EQ(iterator->value(), Record(i));
  }
  int64_t scanned = first.batch->num_rows();
  while (true) {
    const ScanBatch next = Must(open_scan->Next());
    if (next.batch == nullptr) break;
    scanned += next.batch->num_rows();
  }
  EXPECT_EQ(scanned, 10'000);
  open_scan.reset();
  iterator.reset();
  Must(db->Close());
  s.reset();
  t.reset();
  db.reset();
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(values[i].bytes, Record(static_cast<int>(i) * 10));
    ASSERT_EQ(TypedRowAt(*refs[i].batch, refs[i].row), rows[i * 10]);
  }
  int64_t row = 0;
  for (const auto& one : batches) {
    for (int64_t i = 0; i < one->num_rows(); ++i) {
      ASSERT_EQ(TypedRowAt(*one, i), rows[static_cast<size_t>(row++)]);
    }
  }
  EXPECT_EQ(row, 5000);
}

TEST(CompressionTest, AnIteratorSeeksTheKeyThatItStandsOn) {
  const TempDir dir;
  DbOptions options;
  options.decoded_cache_bytes = 1;  // keeps nothing
  options.compaction_trigger = 1000;
  options.target_file_bytes = 64 << 10;  // several files in a level
  const auto db = Must(DB::Open(dir.path(), options));
  const auto s = Must(db->CreateTable(StateFamily("s", With(Compression::kZstd)), true));
  for (int run = 0; run < 3; ++run) {
    for (int i = run; i < 6000; i += 3) PutOne(db.get(), s, Key(i), Record(i));
    Must(db->Flush());
    if (run == 1) Must(db->Compact("s"));
  }
  ASSERT_GT(FilesOf(dir.path(), "s").size(), 3u);
  const auto it = Must(db->NewStateIterator(s, {}, {}));
  it->SeekToFirst();
  for (int i = 0; i < 6000; ++i) {
    ASSERT_TRUE(it->Valid());
    ASSERT_EQ(it->key(), Key(i));
    it->Seek(it->key());
    ASSERT_EQ(it->key(), Key(i));
    ASSERT_EQ(it->value(), Record(i));
    if (i % 2) it->SeekForPrev(it->key());
    ASSERT_EQ(it->key(), Key(i));
    it->Next();
  }
  EXPECT_FALSE(it->Valid());
}

// --- Copies, reports, other readers ------------------------------------------------------------

TEST(CompressionTest, BackupsCheckpointsVerifyAndInspectTakeCompressedFilesAsTheyAre) {
  const TempDir dir;
  const std::string path = dir.path() + "/db";
  auto db = Must(DB::Open(path, {}));
  const auto s = Must(db->CreateTable(StateFamily("s", With(Compression::kZstd)), true));
  const auto t = Must(db->CreateTable(TypedTable("t", With(Compression::kLz4)), true));
  Fill(db.get(), s, 0, 5000);
  std::vector<TypedRow> rows;
  for (int i = 0; i < 3000; ++i) rows.push_back({i, "n", i / 4.0, Record(i), i % 2 == 0});
  WriteBatch batch;
  Must(batch.Insert(t, TypedBatch(rows)));
  Must(db->Write(std::move(batch), {}));
  Must(db->Compact(""));
  Fill(db.get(), s, 4000, 6000);
  Must(db->Flush());
  const Pairs want = ScanState(db.get(), s);
  ASSERT_EQ(want.size(), 6000u);
  Must(db->Checkpoint(dir.path() + "/checkpoint", {}));
  const BackupInfo backup = Must(db->Backup(dir.path() + "/backups", {}));
  const BackupInfo again = Must(db->Backup(dir.path() + "/backups", {}));
  EXPECT_LT(again.bytes_copied, backup.bytes_copied / 4) << "files are told apart by content";
  Must(db->Close());
  db.reset();
  auto local = io::FileSystem::Local();
  Must(RestoreBackup(local.get(), dir.path() + "/backups", backup.id, local,
                     dir.path() + "/restored", {}));
  for (const char* name : {"/db", "/checkpoint", "/restored"}) {
    SCOPED_TRACE(name);
    const auto report = Must(VerifyDatabase(local, dir.path() + name, {}));
    EXPECT_TRUE(report.ok()) << ReportToJson(report);
    const auto copy = Must(DB::Open(dir.path() + name, {}));
    EXPECT_EQ(ScanState(copy.get(), Must(copy->GetTable("s"))), want);
    int64_t count = 0;
    for (const auto& one : Must(ScanBatches(copy.get(), Must(copy->GetTable("t")), {}))) {
      count += one->num_rows();
    }
    EXPECT_EQ(count, 3000);
    Must(copy->Close());
  }
  InspectOptions options;
  options.zone_maps = true;
  const auto inspection = Must(InspectDatabase(local, path, options));
  for (const InspectedTable& table : inspection.tables) {
    const bool is_s = table.descriptor.name == "s";
    EXPECT_EQ(table.descriptor.options.compression, is_s ? Compression::kZstd : Compression::kLz4);
    EXPECT_LT(table.bytes, table.uncompressed_bytes);
    for (const InspectedFile& file : table.files) {
      EXPECT_EQ(file.error, "");
      EXPECT_EQ(file.meta.compression, table.descriptor.options.compression);
      EXPECT_GT(file.meta.uncompressed_bytes(), file.meta.arrow_bytes);
    }
  }
  const std::string json = Must(InspectionToJson(inspection));
  EXPECT_THAT(json, HasSubstr("\"compression\":\"zstd\""));
  EXPECT_THAT(json, HasSubstr("\"uncompressedBytes\":"));
}

TEST(CompressionTest, PyarrowOpensTheFilesAndItsRowsAreTheModels) {
  const char* python = std::getenv("MARBLE_PYARROW_PYTHON");
  ASSERT_NE(python, nullptr)
      << "MARBLE_PYARROW_PYTHON must name a python that has pyarrow: scripts/test sets it";
  for (const Compression compression : {Compression::kLz4, Compression::kZstd}) {
    SCOPED_TRACE(CompressionName(compression));
    const TempDir dir;
    const auto db = Must(DB::Open(dir.path(), {}));
    const auto t = Must(db->CreateTable(TypedTable("t", With(compression)), true));
    std::vector<TypedRow> rows;
    std::string want =
        R"({"schema": [["score", "double", true], ["id", "int64", false], )"
        R"(["note", "string", true], ["name", "string", false], ["flag", "bool", true]], )"
        R"("rows": 5000})"
        "\n";
    for (int i = 0; i < 5000; ++i) {
      const std::string note = "note " + std::to_string(i % 100);
      TypedRow row{i, "n" + std::to_string(i), i * 0.5, note, i % 2 == 0};
      if (i % 7 == 0) row.note.reset();
      rows.push_back(row);
      want += "{\"score\": " + std::to_string(i / 2) + (i % 2 ? ".5" : ".0") +
              ", \"id\": " + std::to_string(i) +
              ", \"note\": " + (row.note ? "\"" + note + "\"" : "null") + ", \"name\": \"n" +
              std::to_string(i) + "\", \"flag\": " + (i % 2 == 0 ? "true" : "false") + "}\n";
    }
    WriteBatch batch;
    Must(batch.Insert(t, TypedBatch(rows)));
    Must(db->Write(std::move(batch), {}));
    Must(db->Compact("t"));
    CompactOptions rewrite;  // without sequences, whatever the flush kept
    rewrite.bottommost = BottommostFiles::kRewrite;
    Must(db->CompactRange("t", "", "", rewrite));
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
      if (entry.path().extension() == ".arrow") files.push_back(entry.path().string());
    }
    ASSERT_EQ(files.size(), 1u);
    const auto script = std::filesystem::path(__FILE__).parent_path() / "read_with_pyarrow.py";
    const std::string command =
        "'" + std::string(python) + "' '" + script.string() + "' '" + files[0] + "'";
    std::FILE* pipe = ::popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::string output;
    char chunk[4096];
    for (size_t n = 0; (n = std::fread(chunk, 1, sizeof chunk, pipe)) > 0;) output.append(chunk, n);
    EXPECT_EQ(::pclose(pipe), 0);
    EXPECT_EQ(output, want);
    const auto inspection = Must(InspectDatabase(io::FileSystem::Local(), dir.path(), {}));
    const FileMeta& meta = inspection.tables[0].files[0].meta;
    EXPECT_LT(meta.arrow_bytes * 3, meta.plain_bytes * 2) << "it is compressed";
  }
}

}  // namespace
}  // namespace marble::lsm
