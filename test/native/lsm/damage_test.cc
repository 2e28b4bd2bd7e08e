// Flipped bits and cut-off ends in every file of a whole database. What is opened and read then is
// either right or an error that names the file (and the offset, where a file has more than one
// place): never another answer, never a crash.
//
// A database that was closed, and one whose process was killed. Of the latter, damage at the end of
// the log cannot be told from what a power loss leaves: there a prefix of the writes is right, too.
// MARBLE_DAMAGE_SEED: another sample.
#include <gmock/gmock.h>

#include <cstdlib>

#include "fault_workload.h"

namespace marble::lsm {
namespace {

using namespace testing;

/// A database with files of every kind, and what it held after each write.
struct Sample {
  Files files;
  std::vector<Content> states;
};

Sample MakeSample(bool closed, Compression compression = Compression::kNone) {
  Sample sample;
  auto disk = std::make_shared<io::MemoryFileSystem>();
  DbOptions options;
  options.file_system = disk;
  options.log_segment_bytes = 32 << 10;
  options.compaction_trigger = 10'000;
  auto db = Must(DB::Open("/db", options));
  std::vector<TableDescriptor> tables = {StateFamily("s"), TypedTable("t"), AppendTable("log"),
                                         StateFamily("empty")};
  for (auto& table : tables) table.options.compression = compression;
  for (const auto& table : tables) Must(db->CreateTable(table, false));
  Content content;
  for (const auto& table : tables) content[table.name];
  std::mt19937_64 random(7);
  const auto write = [&](Operation operation) {
    WriteBatch batch;
    for (const Step& step : operation) {
      Must(AddStep(step, Must(db->GetTable(step.table)), &batch));
      ApplyStep(step, &content[step.table]);
    }
    Must(db->Write(std::move(batch), {}));
    sample.states.push_back(content);
  };
  const auto some = [&](int n) {
    for (int i = 0; i < n; ++i) {
      const std::string key = "k" + std::to_string(random() % 200);
      const std::string value(random() % 90, static_cast<char>('a' + random() % 26));
      Operation operation = {{Step::kPut, "s", key, value, {}, {}}};
      if (i % 5 == 0)
        operation.push_back({Step::kDelete, "s", "k" + std::to_string(i), "", {}, {}});
      if (i % 3 == 0) {
        Step step{Step::kInsert, "t", "", "", {}, {}};
        for (int r = 0; r < 6; ++r) {
          step.rows.push_back(
              {static_cast<int64_t>(random() % 100), "n", r / 4.0, value, r % 2 == 0});
        }
        operation.push_back(step);
      }
      if (i % 7 == 0) operation.push_back({Step::kAppend, "log", "", "", {}, {value, key}});
      write(operation);
    }
  };
  some(150);
  Must(db->Flush());
  some(150);
  Must(db->Compact("s"));
  some(100);
  Must(db->Flush());
  some(60);  // stays in the log
  // The last edit of the manifest is one that nothing else would miss.
  Must(db->DropTable("empty", false));
  content.erase("empty");
  Must(db->CreateTable(StateFamily("last"), false));
  content["last"];
  sample.states.push_back(content);
  if (closed) Must(db->Close());
  sample.files = ReadFiles(disk.get());
  return sample;
}

/// A name without its number: "N.arrow".
std::string KindOf(const std::string& name) { return io::PlaceOf("/" + name); }

struct Outcome {
  bool right = false;
  bool prefix = false;  // right up to some write
  Status status;
};

Outcome Try(const Sample& sample, const Files& files) {
  Outcome outcome;
  std::string events;
  DbOptions options;
  options.file_system = WriteFiles(files);
  options.compaction_trigger = 10'000;
  auto opened = DB::Open("/db", options);
  if (!opened.ok()) {
    outcome.status = opened.status();
    return outcome;
  }
  auto db = std::move(opened).ValueUnsafe();
  auto content = ReadDatabase(db.get(), /*verify=*/true);
  outcome.status = content.status();
  if (content.ok()) {
    outcome.right = *content == sample.states.back();
    // The catalog is not part of the log: tables of a prefix are those of the end.
    for (size_t k = 0; k < sample.states.size() && !outcome.prefix; ++k) {
      Content expected;
      for (const auto& [name, rows] : sample.states.back()) {
        const auto it = sample.states[k].find(name);
        expected[name] = it == sample.states[k].end() ? Rows() : it->second;
      }
      outcome.prefix = *content == expected;
    }
    if (!outcome.prefix && !outcome.right) {
      outcome.status =
          Status::Invalid("a wrong answer: " + DifferenceOf(sample.states.back(), *content));
    }
    EXPECT_TRUE(db->Flush().ok());  // what was recovered can be written
  }
  return outcome;
}

/// The error says what is damaged.
void ExpectNames(const Status& status, const std::string& name, bool with_offset) {
  const ErrorCode code = CodeOf(status);
  EXPECT_TRUE(code == ErrorCode::kCorruption || code == ErrorCode::kIncompatible) << status;
  EXPECT_THAT(MessageOf(status), ::testing::HasSubstr(name));
  if (with_offset && code == ErrorCode::kCorruption) {
    EXPECT_THAT(MessageOf(status), ::testing::HasSubstr("offset"));
  }
}

class DamageTest : public ::testing::TestWithParam<std::tuple<bool, Compression>> {
 protected:
  bool closed() const { return std::get<0>(GetParam()); }
  Sample MakeSample(bool closed) const { return lsm::MakeSample(closed, std::get<1>(GetParam())); }
  static uint64_t Seed() {
    const char* text = getenv("MARBLE_DAMAGE_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
  }
  /// How often each file is damaged: less if there are many of its kind.
  static int PerFile(const Sample& sample, const std::string& kind) {
    int files = 0;
    for (const auto& [name, bytes] : sample.files) files += KindOf(name) == kind;
    return getenv("MARBLE_LONG") != nullptr ? 2000 : std::max(4, 60 / std::max(1, files));
  }
};
INSTANTIATE_TEST_SUITE_P(Databases, DamageTest,
                         ::testing::Combine(::testing::Bool(),
                                            ::testing::Values(Compression::kNone, Compression::kLz4,
                                                              Compression::kZstd)),
                         [](const auto& info) {
                           const std::string name(CompressionName(std::get<1>(info.param)));
                           return (std::get<0>(info.param) ? "Closed_" : "Killed_") + name;
                         });

TEST_P(DamageTest, WithoutDamageEverythingIsThere) {
  const Sample sample = MakeSample(closed());
  std::map<std::string, int> kinds;
  for (const auto& [name, bytes] : sample.files) ++kinds[KindOf(name)];
  for (const char* kind : {"N.arrow", "N.idx", "N.log", "MANIFEST-N", "CURRENT", "LOCK"}) {
    EXPECT_GT(kinds[kind], 0) << kind;
  }
  const Outcome outcome = Try(sample, sample.files);
  EXPECT_TRUE(outcome.right) << outcome.status;
}

TEST_P(DamageTest, AFlippedBitInAnyFileGivesTheRightDataOrAnErrorThatNamesIt) {
  const Sample sample = MakeSample(closed());
  std::mt19937_64 random(Seed());
  std::map<std::string, std::map<std::string, int>> outcomes;
  for (const auto& [name, bytes] : sample.files) {
    if (bytes.empty()) continue;
    const std::string kind = KindOf(name);
    for (int i = 0; i < PerFile(sample, kind); ++i) {
      // Half of them in the first bytes and in the last that are not zero.
      const size_t used = bytes.find_last_not_of('\0') == std::string::npos
                              ? bytes.size()
                              : bytes.find_last_not_of('\0') + 1;
      size_t at = random() % bytes.size();
      if (i % 4 == 1) at = random() % std::min<size_t>(bytes.size(), 64);
      if (i % 4 == 2) at = used - 1 - random() % std::min<size_t>(used, 128);
      const int bit = static_cast<int>(random() % 8);
      SCOPED_TRACE(name + ", bit " + std::to_string(bit) + " at " + std::to_string(at));
      Files damaged = sample.files;
      damaged[name][at] = static_cast<char>(damaged[name][at] ^ (1 << bit));
      const Outcome outcome = Try(sample, damaged);
      if (outcome.status.ok()) {
        // A killed process leaves no proof of its last records.
        const bool tail = !closed() && kind == "N.log" && outcome.prefix;
        EXPECT_TRUE(outcome.right || tail) << "some writes are missing";
        ++outcomes[kind][outcome.right ? "right" : "prefix"];
      } else {
        ExpectNames(outcome.status, name, kind != "CURRENT");
        ++outcomes[kind]["refused"];
      }
      if (HasFailure()) return;
    }
  }
  for (const auto& [kind, counts] : outcomes) {
    std::printf("%-12s", kind.c_str());
    for (const auto& [what, n] : counts) std::printf(" %s %d", what.c_str(), n);
    std::printf("\n");
  }
  for (const char* kind : {"N.arrow", "N.idx", "N.log", "MANIFEST-N", "CURRENT"}) {
    EXPECT_GT(outcomes[kind]["refused"], 0) << "no flip was noticed in " << kind;
  }
}

TEST_P(DamageTest, AFileThatIsCutOffGivesTheRightDataOrAnErrorThatNamesIt) {
  const Sample sample = MakeSample(closed());
  std::mt19937_64 random(Seed());
  for (const auto& [name, bytes] : sample.files) {
    const std::string kind = KindOf(name);
    // What a killed process wrote last to manifest and log can be cut off without a trace.
    if (!closed() && kind == "MANIFEST-N") continue;
    const size_t used = bytes.find_last_not_of('\0') + 1;
    for (int i = 0; i < PerFile(sample, kind); ++i) {
      const size_t keep = i < 2 || bytes.empty() ? 0
                          : i % 2                ? random() % bytes.size()
                                                 : used - std::min(used, random() % 200);
      SCOPED_TRACE(name + ", " + std::to_string(keep) + " of " + std::to_string(bytes.size()) +
                   " bytes kept");
      Files damaged = sample.files;
      if (i == 0) {
        damaged.erase(name);
      } else {
        damaged[name].resize(keep);
      }
      const Outcome outcome = Try(sample, damaged);
      if (outcome.status.ok()) {
        const bool tail = !closed() && kind == "N.log" && outcome.prefix;
        EXPECT_TRUE(outcome.right || tail) << "some writes are missing";
      } else {
        ExpectNames(outcome.status, name, false);
      }
      if (HasFailure()) return;
    }
  }
}

TEST(Damage, RecoveryTruncateOpensWhatAClosedDatabaseHasLeft) {
  const Sample sample = MakeSample(true);
  for (const char* kind : {"N.log", "MANIFEST-N"}) {
    Files damaged = sample.files;
    for (auto& [name, bytes] : damaged) {
      if (KindOf(name) != kind) continue;
      // The last records: of the log the close and some writes, of the manifest the close.
      bytes.resize(bytes.find_last_not_of('\0') + 1 - (kind[0] == 'N' ? 500 : 12));
    }
    DbOptions options;
    options.file_system = WriteFiles(damaged);
    EXPECT_EQ(CodeOf(DB::Open("/db", options).status()), ErrorCode::kCorruption) << kind;
    options.file_system = WriteFiles(damaged);
    options.recovery = Recovery::kTruncate;
    auto db = DB::Open("/db", options);
    ASSERT_TRUE(db.ok()) << db.status();
    EXPECT_TRUE(ReadDatabase(db->get()).ok());
  }
}

}  // namespace
}  // namespace marble::lsm
