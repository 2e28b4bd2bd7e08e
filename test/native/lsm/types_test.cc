// A column of every type that can be stored goes through a database: memory, merges of runs,
// tombstones, files with and without compression, compaction, a reopening, an added column, point
// reads. What must come out is taken from the arrays that went in by Arrow's own kernels.
#include <arrow/array/concatenate.h>

#include <map>

#include "io/memory_file_system.h"
#include "lsm/backup/verify.h"
#include "lsm/db.h"
#include "sst_test_util.h"

namespace marble::lsm {
namespace {

void Good(const Status& status) { ASSERT_OK(status); }

std::vector<std::shared_ptr<arrow::RecordBatch>> Scan(DB* db, const TableHandle& table,
                                                      const ScanOptions& options) {
  const auto it = Must(db->NewIterator(table, options));
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
  while (true) {
    auto step = Must(it->Next());
    if (step.batch == nullptr) return batches;
    Good(step.batch->ValidateFull());
    batches.push_back(std::move(step.batch));
  }
}

/// Rows that are there, by id: where their value lies in `values`.
struct Expected {
  std::map<int64_t, int64_t> rows;
  std::shared_ptr<arrow::Array> values;

  std::shared_ptr<arrow::Array> Between(int64_t from, int64_t to, bool reverse) const {
    std::vector<int64_t> places;
    for (auto it = rows.lower_bound(from); it != rows.end() && it->first < to; ++it) {
      places.push_back(it->second);
    }
    if (reverse) std::reverse(places.begin(), places.end());
    arrow::Int64Builder indices;
    Good(indices.AppendValues(places));
    return Must(arrow::compute::Take(*values, *Must(indices.Finish())));
  }
};

class TypesTest : public ::testing::TestWithParam<Compression> {
 protected:
  void Run(const std::shared_ptr<arrow::DataType>& type) {
    SCOPED_TRACE(type->ToString());
    const auto files = std::make_shared<io::MemoryFileSystem>();
    Good(files->CreateDirs("/disk"));
    const std::string dir = "/disk/db";
    DbOptions database;
    database.file_system = files;
    database.log_segment_bytes = 1 << 20;
    auto db = Must(DB::Open(dir, database));
    TableDescriptor descriptor;
    descriptor.name = "t";
    descriptor.schema =
        arrow::schema({arrow::field("v", type), arrow::field("id", arrow::int64(), false)});
    descriptor.key_columns = {1};
    descriptor.options.compression = GetParam();
    descriptor.options.batch_rows = 70;
    TableHandle table = Must(db->CreateTable(descriptor, false));
    const auto only_v = arrow::schema({arrow::field("v", type)});

    Expected expected;
    expected.values = Must(arrow::MakeEmptyArray(type));
    const auto insert = [&](const std::vector<int64_t>& ids) {
      arrow::Int64Builder id;
      Good(id.AppendValues(ids));
      // A slice: offsets in every buffer.
      const auto rows = static_cast<int64_t>(ids.size());
      const auto values = RandomRows(only_v, rows + 9, &random_)->column(0)->Slice(5, rows);
      for (int64_t i = 0; i < rows; ++i) expected.rows[ids[i]] = expected.values->length() + i;
      expected.values = Must(arrow::Concatenate({expected.values, values}));
      WriteBatch batch;
      Good(batch.Insert(
          table, arrow::RecordBatch::Make(descriptor.schema, rows, {values, Must(id.Finish())})));
      Must(db->Write(std::move(batch), {}));
    };
    const auto key = [&](int64_t id) {
      return Must(CodecOf(table)->EncodeScalars({arrow::MakeScalar(id)}));
    };
    const auto check = [&](const std::string& when) {
      SCOPED_TRACE(when);
      const auto same = arrow::EqualOptions::Defaults().nans_equal(true);
      for (const bool reverse : {false, true}) {
        for (const auto& [from, to] : {std::pair{-1, 2000}, std::pair{95, 161}}) {
          ScanOptions options;
          options.reverse = reverse;
          options.range = {key(from), key(to)};
          options.columns = std::make_shared<const std::vector<int>>(std::vector<int>{0});
          arrow::ArrayVector got{Must(arrow::MakeEmptyArray(type))};
          for (const auto& batch : Scan(db.get(), table, options)) {
            got.push_back(batch->column(0));
          }
          const auto want = expected.Between(from, to, reverse);
          const auto all = Must(arrow::Concatenate(got));
          Good(all->ValidateFull());
          ASSERT_TRUE(all->Equals(*want, same)) << all->ToString() << want->ToString();
        }
      }
      for (const int64_t id : {0, 77, 100, 133, 155, 299, 1000}) {
        const auto found = Must(db->GetRow(table, key(id), {}));
        const auto want = expected.rows.find(id);
        ASSERT_EQ(found.has_value(), want != expected.rows.end()) << id;
        if (!found) continue;
        const auto got = found->batch->column(0)->Slice(found->row, 1);
        ASSERT_TRUE(got->Equals(*expected.values->Slice(want->second, 1), same)) << id;
      }
    };

    insert(Range(0, 300, 1));
    check("in memory");
    insert(Range(100, 200, 1));
    insert(Range(0, 300, 7));
    WriteBatch batch;
    Good(batch.DeleteRange(table, key(150), key(160)));
    for (const int64_t id : {77, 133}) Good(batch.Delete(table, key(id)));
    Must(db->Write(std::move(batch), {}));
    expected.rows.erase(expected.rows.lower_bound(150), expected.rows.lower_bound(160));
    for (const int64_t id : {77, 133}) expected.rows.erase(id);
    check("merged in memory");
    {
      const SnapshotRef snapshot = db->GetSnapshot();
      Good(db->Flush());
      check("flushed");
      insert(Range(3, 300, 5));
      Good(db->Flush());
      insert(Range(2, 300, 11));
      check("in two files and in memory");
    }
    Good(db->Compact("t"));
    check("compacted");
    insert(Range(1000, 1003, 1));
    Good(db->Close());
    db = Must(DB::Open(dir, database));
    table = Must(db->GetTable("t"));
    check("reopened");
    Good(db->Flush());

    // Another column of the type: null in the rows that there are.
    table = Must(db->AlterTable("t", TableChange::AddColumn(arrow::field("w", type))));
    ScanOptions added;
    added.columns = std::make_shared<const std::vector<int>>(std::vector<int>{2, 1});
    for (const char* when : {"at once", "compacted"}) {
      int64_t rows = 0;
      for (const auto& part : Scan(db.get(), table, added)) {
        EXPECT_EQ(part->column(0)->ComputeLogicalNullCount(), part->num_rows()) << when;
        rows += part->num_rows();
      }
      EXPECT_EQ(rows, static_cast<int64_t>(expected.rows.size())) << when;
      CompactOptions rewrite;
      rewrite.bottommost = BottommostFiles::kRewrite;
      Good(db->CompactRange("t", {}, {}, rewrite));
    }
    check("with another column");
    Good(db->Close());
    const auto report = Must(VerifyDatabase(files, dir, {}));
    EXPECT_TRUE(report.ok()) << ReportToJson(report);
  }

  static std::vector<int64_t> Range(int64_t from, int64_t to, int64_t step) {
    std::vector<int64_t> ids;
    for (int64_t id = from; id < to; id += step) ids.push_back(id);
    return ids;
  }

  Random random_{7};
};

TEST_P(TypesTest, AColumnOfEveryTypeGoesThroughADatabase) {
  for (const auto& type : AllTypes()) {
    Run(type);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Codecs, TypesTest,
                         ::testing::Values(Compression::kNone, Compression::kLz4,
                                           Compression::kZstd));

}  // namespace
}  // namespace marble::lsm
