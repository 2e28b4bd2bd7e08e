// Verification and inspection of closed databases: what is whole gives no finding, what is damaged
// always does, and nothing crashes on it.
#include <gtest/gtest.h>

#include "copies_fixture.h"
#include "io/memory_file_system.h"
#include "lsm/backup/inspect.h"
#include "lsm/backup/verify.h"
#include "lsm/wal/log_format.h"

namespace marble::lsm {
namespace {

using namespace testing;

/// A closed database in memory: files in several levels, and a log that is not flushed.
struct Closed {
  std::shared_ptr<io::MemoryFileSystem> files = std::make_shared<io::MemoryFileSystem>();
  Contents model;
  SequenceNumber last = 0;
};

Closed MakeClosed(uint64_t seed) {
  Closed out;
  DbOptions options = SmallOptions();
  options.file_system = out.files;
  const auto db = Must(DB::Open("/db", options));
  RandomWriter writer(db.get(), 1, seed);
  writer.WaitFor(600);
  writer.Stop();
  Must(db->Compact("a"));
  PutOne(db.get(), Must(db->GetTable("a")), "tail", "1");
  out.model = writer.ModelAt(kMaxSequence);
  out.last = db->last_sequence();
  Must(db->Close());
  return out;
}

/// The same files with one changed; nullopt: removed.
std::shared_ptr<io::MemoryFileSystem> Changed(const Closed& closed, const std::string& changed,
                                              const std::optional<std::string>& content) {
  auto copy = std::make_shared<io::MemoryFileSystem>();
  Must(copy->CreateDirs("/db"));
  for (const std::string& name : Must(closed.files->List("/db"))) {
    if (name == changed && !content) continue;
    auto file = Must(copy->Create("/db/" + name));
    Must(file->Append(name == changed ? *content : Must(closed.files->ReadFile("/db/" + name))));
    Must(file->Close());
  }
  return copy;
}

bool Mentions(const VerifyReport& report, const std::string& file) {
  for (const Finding& finding : report.findings) {
    if (finding.severity == Finding::Severity::kError && finding.file == file) return true;
  }
  return false;
}

TEST(VerifyTest, AWholeDatabaseHasNoFindingAndIsNotChanged) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const Closed closed = MakeClosed(seed);
    std::map<std::string, std::string> before;
    for (const std::string& name : Must(closed.files->List("/db"))) {
      before[name] = Must(closed.files->ReadFile("/db/" + name));
    }
    const auto report = Must(VerifyDatabase(closed.files, "/db", {}));
    for (const Finding& finding : report.findings) {
      ADD_FAILURE() << finding.file << ": " << finding.message;
    }
    EXPECT_GT(report.rows, 300u);
    EXPECT_GT(report.log_records, 0u);
    EXPECT_GT(report.files, 6u);
    std::map<std::string, std::string> after;
    for (const std::string& name : Must(closed.files->List("/db"))) {
      after[name] = Must(closed.files->ReadFile("/db/" + name));
    }
    EXPECT_EQ(before, after);
  }
}

TEST(VerifyTest, EveryFlippedByteOfEveryFileIsFoundWhereItIs) {
  const Closed closed = MakeClosed(5);
  std::mt19937_64 random(1);
  std::map<std::string, uint64_t> used;
  for (const auto& segment : Must(InspectDatabase(closed.files, "/db", {})).segments) {
    used[log_format::SegmentName(segment.id)] = segment.used_bytes;
  }
  for (const std::string& name : Must(closed.files->List("/db"))) {
    if (name == "LOCK") continue;
    const std::string content = Must(closed.files->ReadFile("/db/" + name));
    const bool log = name.ends_with(".log");
    const bool sst = name.ends_with(".arrow") || name.ends_with(".idx");
    const size_t bytes = log ? used.at(name) : content.size();
    ASSERT_GT(bytes, 1u);
    for (int i = 0; i < (sst ? 6 : 12); ++i) {
      const size_t at = i == 0 ? 0 : i == 1 ? bytes - 1 : random() % bytes;
      std::string damaged = content;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
      SCOPED_TRACE(name + " at " + std::to_string(at));
      const auto report = Must(VerifyDatabase(Changed(closed, name, damaged), "/db", {}));
      // A damaged CURRENT may name another manifest, or none.
      const bool manifest = name == "CURRENT" || name.starts_with("MANIFEST-");
      if (log || (manifest && at == bytes - 1)) {
        // Of the last record it may be a notice: a crash leaves one half written. A manifest's last
        // record is a mark, which says nothing.
        EXPECT_FALSE(report.findings.empty());
      } else {
        EXPECT_FALSE(report.ok());
        EXPECT_TRUE(manifest || Mentions(report, name));
      }
      if (!sst || report.findings.empty()) continue;
      ASSERT_TRUE(report.findings[0].offset.has_value() || name.ends_with(".idx"));
      if (name.ends_with(".arrow")) {
        EXPECT_EQ(report.findings.size(), 1u);
        EXPECT_EQ(*report.findings[0].offset, at / 4096 * 4096);
      }
    }
  }
}

TEST(VerifyTest, MissingAndCutFilesAreFound) {
  const Closed closed = MakeClosed(6);
  std::mt19937_64 random(2);
  const auto inspection = Must(InspectDatabase(closed.files, "/db", {}));
  for (const InspectedTable& table : inspection.tables) {
    for (const InspectedFile& file : table.files) {
      for (const std::string& name :
           {SstArrowName(file.meta.number), SstIdxName(file.meta.number)}) {
        SCOPED_TRACE(name);
        EXPECT_TRUE(
            Mentions(Must(VerifyDatabase(Changed(closed, name, std::nullopt), "/db", {})), name));
        const std::string content = Must(closed.files->ReadFile("/db/" + name));
        const std::string cut = content.substr(0, random() % content.size());
        EXPECT_TRUE(Mentions(Must(VerifyDatabase(Changed(closed, name, cut), "/db", {})), name));
      }
    }
  }
  EXPECT_TRUE(Mentions(Must(VerifyDatabase(Changed(closed, "CURRENT", std::nullopt), "/db", {})),
                       "CURRENT"));
  EXPECT_FALSE(
      Must(VerifyDatabase(Changed(closed, inspection.manifest, std::nullopt), "/db", {})).ok());
}

TEST(VerifyTest, RandomGarbageNeverCrashesIt) {
  const Closed closed = MakeClosed(7);
  std::mt19937_64 random(3);
  const auto names = Must(closed.files->List("/db"));
  for (int round = 0; round < 150; ++round) {
    const std::string& name = names[random() % names.size()];
    if (name == "LOCK") continue;
    std::string content = Must(closed.files->ReadFile("/db/" + name));
    if (content.empty()) continue;
    const size_t at = random() % content.size();
    const size_t length = std::min<size_t>(content.size() - at, 1 + random() % 5000);
    switch (random() % 3) {
      case 0:
        for (size_t i = 0; i < length; ++i) content[at + i] = static_cast<char>(random());
        break;
      case 1:
        content.erase(at, length);
        break;
      default:
        content.insert(at, length, static_cast<char>(random()));
        break;
    }
    SCOPED_TRACE(name + ", round " + std::to_string(round));
    const auto files = Changed(closed, name, content);
    const auto report = VerifyDatabase(files, "/db", {});
    EXPECT_TRUE(report.ok()) << report.status().ToString();
    const auto inspection = InspectDatabase(files, "/db", {.zone_maps = true});
    if (inspection.ok()) {
      ASSERT_OK(InspectionToJson(*inspection).status());
    }
  }
}

TEST(VerifyTest, AnOpenDatabaseIsRefusedAndNoneIsNotFound) {
  const auto files = std::make_shared<io::MemoryFileSystem>();
  DbOptions options;
  options.file_system = files;
  const auto db = Must(DB::Open("/db", options));
  EXPECT_EQ(CodeOf(VerifyDatabase(files, "/db", {}).status()), ErrorCode::kLocked);
  EXPECT_EQ(CodeOf(VerifyDatabase(files, "/none", {}).status()), ErrorCode::kNotFound);
  Must(files->CreateDirs("/empty"));
  EXPECT_EQ(CodeOf(VerifyDatabase(files, "/empty", {}).status()), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf(InspectDatabase(files, "/empty", {}).status()), ErrorCode::kNotFound);
}

TEST(InspectTest, TellsWhatTheDatabaseHolds) {
  const Closed closed = MakeClosed(8);
  const auto found = Must(InspectDatabase(closed.files, "/db", {.zone_maps = true}));
  EXPECT_EQ(found.last_sequence, closed.last);
  EXPECT_LT(found.flushed_sequence, closed.last);
  ASSERT_EQ(found.tables.size(), 4u);
  const InspectedTable& a = found.tables[0];
  EXPECT_EQ(a.descriptor.name, "a");
  EXPECT_TRUE(a.descriptor.is_state_family);
  ASSERT_FALSE(a.files.empty());
  // Compacted: as many rows as keys, and those are the model's bounds.
  EXPECT_EQ(a.rows, closed.model.a.size());
  EXPECT_EQ(a.files.front().meta.min_key, closed.model.a.begin()->first);
  EXPECT_EQ(a.files.back().meta.max_key, closed.model.a.rbegin()->first);
  uint64_t zones = 0;
  for (const InspectedFile& file : a.files) {
    EXPECT_TRUE(file.present);
    EXPECT_EQ(file.error, "");
    zones += file.zones.size();
  }
  EXPECT_GE(zones, 2u);
  bool needed = false;
  for (const InspectedSegment& segment : found.segments) {
    if (!segment.needed) continue;
    needed = true;
    EXPECT_TRUE(segment.end == "sealed" || segment.end == "closed") << segment.end;
    EXPECT_LE(segment.used_bytes, segment.file_bytes);
    EXPECT_GT(segment.records, 0u);
  }
  EXPECT_TRUE(needed);
  EXPECT_TRUE(found.other_files.empty());
  const std::string json = Must(InspectionToJson(found));
  EXPECT_NE(json.find("\"name\":\"a\",\"isState\":true"), std::string::npos) << json.substr(0, 600);
}

}  // namespace
}  // namespace marble::lsm
