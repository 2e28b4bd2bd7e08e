// Presets of tables: what they change in the files, and that they are remembered.
#include <arrow/api.h>
#include <gmock/gmock.h>

#include "db_fixture.h"
#include "lsm/table_state.h"
#include "lsm/version/manifest_log.h"

namespace marble::lsm {
namespace {

using namespace testing;
using ::testing::HasSubstr;

class PresetTest : public ::testing::Test {
 protected:
  /// The one file of 50,000 rows that a table with these options gets.
  FileMeta FileOf(const std::string& name, const TableOptions& options) {
    TableDescriptor descriptor = StateFamily(name);
    descriptor.options = options;
    const auto table = Must(db_->CreateTable(std::move(descriptor), false));
    WriteBatch batch;
    for (int i = 0; i < 50'000; ++i) {
      Must(batch.Put(table, std::to_string(100'000 + i), std::string(20, 'v')));
    }
    Must(db_->Write(std::move(batch), {}));
    Must(db_->Flush());
    const auto state = Must(ManifestLog::Load(io::FileSystem::Local().get(), dir_.path()))->state;
    for (const auto& [number, file] : state.files) {
      if (state.tables.at(file.table).name == name) {
        SstReaderOptions reader;
        reader.dir = dir_.path();
        reader.schema = table->info().descriptor.schema;
        reader.codec = table->info().codec;
        batches_ = Must(SstReader::Open(reader, file))->num_batches();
        return file;
      }
    }
    std::abort();
  }

  TempDir dir_;
  std::shared_ptr<DB> db_ = Must(DB::Open(dir_.path(), {}));
  int64_t batches_ = 0;  // of the last file
};

TEST_F(PresetTest, TablesReadInRangesHaveLargeBatchesAndNoAidsForSingleKeys) {
  const FileMeta by_key = FileOf("dimension", Must(PresetTableOptions("dimension")));
  EXPECT_GT(batches_, 40) << "of 32 KiB each";
  for (const char* preset : {"timeSeries", "appendLog"}) {
    const FileMeta by_range = FileOf(preset, Must(PresetTableOptions(preset)));
    EXPECT_EQ(batches_, 1) << preset;
    // 1.25 bytes a key of the filter and 8 / 0.7 of the point index.
    EXPECT_LT(by_range.idx_bytes + 50'000 * 12, by_key.idx_bytes) << preset;
  }
}

TEST_F(PresetTest, AnUnknownOneNamesThoseThereAre) {
  const Status status = PresetTableOptions("timeseries").status();
  EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr("'timeSeries', 'dimension' and 'appendLog'"));
}

TEST(DbThreads, ADatabaseMayHaveASchedulerOfItsOwn) {
  TempDir dir;
  DbOptions options;
  options.threads = 1;
  auto db = Must(DB::Open(dir.path(), options));
  const auto state = Must(db->CreateTable(StateFamily("s"), false));
  PutOne(db.get(), state, "k", "v");
  ASSERT_OK(db->Flush());
  ASSERT_OK(db->Compact("s"));
  EXPECT_EQ(GetState(db.get(), state, "k"), "v");
  ASSERT_OK(db->Close());
  options.threads = 1'000'000;
  EXPECT_EQ(CodeOf(DB::Open(dir.path(), options).status()), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace marble::lsm
