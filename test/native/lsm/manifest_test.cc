// The manifest: round trips, torn and damaged files, invariants.
#include <gmock/gmock.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "db_fixture.h"
#include "io/file_system.h"
#include "lsm/table_info.h"
#include "lsm/version/manifest_log.h"

namespace marble::lsm {
namespace {

using namespace testing;
using ::testing::HasSubstr;

FileMeta File(FileNumber number, TableId table, int level, const std::string& min,
              const std::string& max) {
  FileMeta f;
  f.number = number;
  f.table = table;
  f.level = level;
  f.arrow_bytes = 1000 + number;
  f.idx_bytes = 77;
  f.rows = 10;
  f.min_sequence = 1;
  f.max_sequence = 9;
  f.min_key = min;
  f.max_key = max;
  f.clean = true;
  f.idx_crc = 0xdeadbeef;
  return f;
}

ManifestState TwoTables() {
  ManifestState state;
  state.database_id = "0123456789abcdef";
  state.integration_id = "my-id";
  TableOptions options;
  options.batch_rows = 99;
  options.bloom_bits_per_key = 7.5;
  options.lazy_index = true;
  TableDescriptor s = StateFamily("s", options);
  s.id = 1;
  TableDescriptor t = TypedTable("t");
  t.id = 2;
  t.schema = t.schema->WithMetadata(arrow::key_value_metadata({"field.id"}, {"3"}));
  state.tables = {{1, s}, {2, t}};
  state.next_table_id = 3;
  state.next_file_number = 20;
  state.last_sequence = 9;
  state.log_first_segment = 4;
  state.log_position = 12345;
  state.fixed_ends = {{4, 100}, {5, 0}};
  return state;
}

VersionEdit AddFiles() {
  VersionEdit edit;
  edit.added_files = {File(7, 1, 0, std::string("\0a", 2), "z"), File(8, 2, 1, "a", "m")};
  return edit;
}

void ExpectSame(const ManifestState& a, const ManifestState& b) {
  EXPECT_EQ(a.database_id, b.database_id);
  EXPECT_EQ(a.integration_id, b.integration_id);
  ASSERT_EQ(a.tables.size(), b.tables.size());
  for (const auto& [id, table] : a.tables) {
    EXPECT_EQ(DescribeDifference(table, b.tables.at(id)), "");
    EXPECT_TRUE(table.schema->Equals(*b.tables.at(id).schema, /*check_metadata=*/true));
  }
  ASSERT_EQ(a.files.size(), b.files.size());
  for (const auto& [number, f] : a.files) {
    const FileMeta& g = b.files.at(number);
    EXPECT_EQ(std::tie(f.table, f.level, f.arrow_bytes, f.idx_bytes, f.rows, f.tombstones,
                       f.min_sequence, f.max_sequence, f.min_key, f.max_key, f.clean, f.idx_crc),
              std::tie(g.table, g.level, g.arrow_bytes, g.idx_bytes, g.rows, g.tombstones,
                       g.min_sequence, g.max_sequence, g.min_key, g.max_key, g.clean, g.idx_crc));
  }
  EXPECT_EQ(a.next_file_number, b.next_file_number);
  EXPECT_EQ(a.next_table_id, b.next_table_id);
  EXPECT_EQ(a.log_first_segment, b.log_first_segment);
  EXPECT_EQ(a.log_position, b.log_position);
  EXPECT_EQ(a.last_sequence, b.last_sequence);
  ASSERT_EQ(a.fixed_ends.size(), b.fixed_ends.size());
}

TEST(Manifest, GivesBackSnapshotAndEdits) {
  TempDir dir;
  EXPECT_FALSE(Must(ManifestLog::Load(io::FileSystem::Local().get(), dir.path())));
  auto log = Must(ManifestLog::Create(io::FileSystem::Local().get(), dir.path(), 3, TwoTables()));
  ASSERT_OK(log->Append(AddFiles()));
  VersionEdit drop;
  drop.dropped_tables = {2};
  drop.removed_files = {{1, 7}};
  drop.log_first_segment = 5;
  ASSERT_OK(log->Append(drop));
  const auto loaded = Must(ManifestLog::Load(io::FileSystem::Local().get(), dir.path()));
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->manifest_number, 3u);
  EXPECT_FALSE(loaded->torn_tail);
  ExpectSame(loaded->state, log->state());
  EXPECT_TRUE(loaded->state.files.empty());
  ASSERT_EQ(loaded->state.fixed_ends.size(), 1u);
}

TEST(Manifest, EveryCutOfTheLastEditIsATornTailAndEveryFlippedByteIsFound) {
  TempDir dir(TempDir::Place::kMemory);
  const auto& disk = io::FileSystem::Local();
  auto log = Must(ManifestLog::Create(disk.get(), dir.path(), 1, TwoTables()));
  const std::string path = dir.path() + "/" + ManifestName(1);
  ASSERT_OK(log->Append(AddFiles()));
  const ManifestState before = log->state();
  const std::string shorter = Must(disk->ReadFile(path));
  VersionEdit last;
  last.next_file_number = 30;
  ASSERT_OK(log->Append(last));
  const ManifestState after = log->state();
  const std::string whole = Must(disk->ReadFile(path));
  // Behind the last edit there is its mark, a record without content.
  const size_t edit_end = whole.size() - 8;
  ASSERT_GT(edit_end, shorter.size());
  for (size_t size = shorter.size(); size <= whole.size(); ++size) {
    SCOPED_TRACE(std::to_string(size) + " of " + std::to_string(whole.size()));
    ASSERT_OK(disk->WriteFileAtomically(path, std::string_view(whole).substr(0, size)));
    const auto loaded = Must(ManifestLog::Load(disk.get(), dir.path()));
    EXPECT_EQ(loaded->torn_tail,
              size != shorter.size() && size != edit_end && size != whole.size());
    ExpectSame(loaded->state, size < edit_end ? before : after);
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    SCOPED_TRACE("byte " + std::to_string(at));
    std::string damaged = whole;
    damaged[at] ^= 0x10;
    ASSERT_OK(disk->WriteFileAtomically(path, damaged));
    const auto loaded = ManifestLog::Load(disk.get(), dir.path());
    if (at >= edit_end) {  // the mark itself says nothing
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      ExpectSame((*loaded)->state, after);
      continue;
    }
    ASSERT_FALSE(loaded.ok());
    EXPECT_TRUE(CodeOf(loaded.status()) == ErrorCode::kCorruption ||
                CodeOf(loaded.status()) == ErrorCode::kIncompatible);
    EXPECT_THAT(MessageOf(loaded.status()), HasSubstr("MANIFEST-000001"));
  }
}

TEST(Manifest, TheCloseIsTheLastRecordAndIsForgottenByTheNextEdit) {
  TempDir dir;
  const auto& disk = io::FileSystem::Local();
  auto log = Must(ManifestLog::Create(disk.get(), dir.path(), 1, TwoTables()));
  const auto load = [&] { return *Must(ManifestLog::Load(disk.get(), dir.path())); };
  EXPECT_TRUE(load().has_marks);
  EXPECT_EQ(load().closed_at, std::nullopt);
  ASSERT_OK(log->Append(AddFiles()));
  ASSERT_OK(log->Close(4711));
  EXPECT_EQ(load().closed_at, 4711u);
  EXPECT_FALSE(load().torn_tail);
  ExpectSame(load().state, log->state());
  VersionEdit edit;
  edit.next_file_number = 30;
  ASSERT_OK(log->Append(edit));
  EXPECT_EQ(load().closed_at, std::nullopt);
}

TEST(Manifest, AnEditThatMakesNoSenseIsCorruptionWithFileAndOffset) {
  // Its checksum is right, and the schema of the table that it creates is no schema.
  TempDir dir(TempDir::Place::kMemory);
  const auto& disk = io::FileSystem::Local();
  auto log = Must(ManifestLog::Create(disk.get(), dir.path(), 1, TwoTables()));
  const std::string path = dir.path() + "/" + ManifestName(1);
  std::string bytes = Must(disk->ReadFile(path));
  std::string table;
  PutVarint(&table, 3);
  PutLengthPrefixed(&table, "name");
  PutLengthPrefixed(&table, "no schema message");
  std::string payload;
  PutVarint(&payload, 2);  // create table
  PutLengthPrefixed(&payload, table);
  std::string body;
  PutFixed<uint32_t>(&body, static_cast<uint32_t>(payload.size()));
  body += payload;
  const size_t at = bytes.size();
  PutFixed<uint32_t>(&bytes, MaskCrc(Crc32c(body)));
  ASSERT_OK(disk->WriteFileAtomically(path, bytes + body));
  const Status status = ManifestLog::Load(disk.get(), dir.path()).status();
  EXPECT_EQ(CodeOf(status), ErrorCode::kCorruption) << status;
  EXPECT_THAT(MessageOf(status), HasSubstr(path));
  EXPECT_THAT(MessageOf(status), HasSubstr("offset " + std::to_string(at)));
}

TEST(Manifest, UnknownMandatoryFieldIsRefusedAndOptionalOneSkipped) {
  const auto edit_with = [](uint64_t tag) {
    VersionEdit edit;
    edit.next_file_number = 5;
    std::string bytes = Must(edit.Encode());
    PutVarint(&bytes, tag);
    PutLengthPrefixed(&bytes, "news");
    return bytes;
  };
  EXPECT_EQ(Must(VersionEdit::Decode(edit_with(1001))).next_file_number, 5u);
  EXPECT_EQ(CodeOf(VersionEdit::Decode(edit_with(1002)).status()), ErrorCode::kIncompatible);
}

TEST(Manifest, VersionOneIsReadAndWrittenAsTheNewestVersion) {
  // Written by a database that knew levels 0 and 1 only: four flushes, the first two merged.
  TempDir dir;
  std::filesystem::copy(std::filesystem::path(MARBLE_SOURCE_DIR) / "test/fixtures/manifest-v1",
                        dir.path(), std::filesystem::copy_options::recursive);
  EXPECT_EQ(Must(io::FileSystem::Local()->ReadFile(dir.path() + "/MANIFEST-000001"))[8], 1);
  const auto old = Must(ManifestLog::Load(io::FileSystem::Local().get(), dir.path()));
  ASSERT_TRUE(old);
  std::map<std::pair<std::string, int>, int> files;  // by table and level
  for (const auto& [number, file] : old->state.files) {
    ++files[{old->state.tables.at(file.table).name, file.level}];
  }
  EXPECT_EQ(files,
            (std::map<std::pair<std::string, int>, int>{
                {{"s", 0}, 2}, {{"s", 1}, 1}, {{"t", 0}, 2}, {{"t", 1}, 1}, {{"log", 0}, 4}}));
  auto log = Must(ManifestLog::Create(io::FileSystem::Local().get(), dir.path(), 2, old->state));
  EXPECT_EQ(Must(io::FileSystem::Local()->ReadFile(dir.path() + "/MANIFEST-000002"))[8],
            kManifestVersion);
  ExpectSame(Must(ManifestLog::Load(io::FileSystem::Local().get(), dir.path()))->state, old->state);
  // A file moves to another level by one edit.
  for (const auto& [number, file] : old->state.files) {
    if (file.level != 1) continue;
    VersionEdit move;
    move.removed_files = {{file.table, number}};
    move.added_files = {file};
    move.added_files[0].level = 6;
    ASSERT_OK(log->Append(move));
    EXPECT_EQ(Must(ManifestLog::Load(io::FileSystem::Local().get(), dir.path()))
                  ->state.files.at(number)
                  .level,
              6);
  }
}

TEST(Manifest, InvariantsRefuseAnUnsoundEditAndKeepTheOldState) {
  TempDir dir;
  auto log = Must(ManifestLog::Create(io::FileSystem::Local().get(), dir.path(), 1, TwoTables()));
  ASSERT_OK(log->Append(AddFiles()));
  const auto refused = [&](const VersionEdit& edit, const char* why) {
    const Status status = log->Append(edit);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(MessageOf(status), HasSubstr(why));
  };
  VersionEdit edit;
  edit.added_files = {File(9, 2, 1, "m", "q")};
  refused(edit, "overlap");
  edit.added_files = {File(20, 2, 0, "a", "b")};
  refused(edit, "not yet given");
  edit.added_files = {File(9, 5, 0, "a", "b")};
  refused(edit, "belongs to no table");
  edit.added_files = {File(7, 1, 0, "a", "b")};
  refused(edit, "added twice");
  edit.added_files = {File(9, 1, 0, "b", "a")};
  refused(edit, "reversed");
  edit.added_files = {File(9, 2, 7, "x", "y")};
  refused(edit, "lies in level 7");
  edit = {};
  edit.removed_files = {{1, 8}};
  refused(edit, "not live");
  EXPECT_EQ(log->state().files.size(), 2u);
  // Levels may overlap each other, not themselves; a moved file counts where it goes.
  edit = {};
  edit.added_files = {File(9, 2, 2, "a", "m"), File(10, 2, 6, "c", "x"), File(11, 2, 2, "n", "z")};
  ASSERT_OK(log->Append(edit));
  edit.added_files = {File(12, 2, 6, "x", "y")};
  refused(edit, "10 and 12 of level 6 overlap");
  edit.removed_files = {{2, 8}};
  edit.added_files = {File(8, 2, 2, "a", "m")};
  refused(edit, "of level 2 overlap");
  ExpectSame(Must(ManifestLog::Load(io::FileSystem::Local().get(), dir.path()))->state,
             log->state());
}

TEST(Manifest, FilesWithoutAKeyKeepTheirOrder) {
  TempDir dir;
  ManifestState state = TwoTables();
  state.tables.at(2) = AppendTable("log");
  state.tables.at(2).id = 2;
  auto log = Must(ManifestLog::Create(io::FileSystem::Local().get(), dir.path(), 1, state));
  const auto file = [](FileNumber number, SequenceNumber first, SequenceNumber last) {
    FileMeta f = File(number, 2, 0, "", "");
    f.min_sequence = first;
    f.max_sequence = last;
    return f;
  };
  VersionEdit edit;
  edit.added_files = {file(3, 1, 2), file(4, 3, 5), file(5, 3, 5), file(6, 6, 7)};
  ASSERT_OK(log->Append(edit));
  edit = {};  // 5 and 6 become one
  edit.removed_files = {{2, 5}, {2, 6}};
  edit.added_files = {file(7, 3, 7)};
  ASSERT_OK(log->Append(edit));
  edit = {};  // 3 and 7 must not, around 4
  edit.removed_files = {{2, 3}, {2, 7}};
  edit.added_files = {file(8, 1, 7)};
  EXPECT_THAT(MessageOf(log->Append(edit)), HasSubstr("reaches back behind file 4"));
  edit = {};
  edit.added_files = {file(9, 8, 9)};
  edit.added_files[0].level = 1;
  EXPECT_THAT(MessageOf(log->Append(edit)), HasSubstr("without a key lies in level 1"));
}

}  // namespace
}  // namespace marble::lsm
