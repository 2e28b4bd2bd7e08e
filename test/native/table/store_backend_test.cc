// The contract of store backends (table/store_backend.h), on each one that is registered.
#include "table/store_backend.h"

#include <arrow/api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>

namespace marble::table {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.status().ToString();
    std::abort();
  }
  return std::move(result).ValueUnsafe();
}
#define ASSERT_OK(expression)                        \
  do {                                               \
    const Status status_ = (expression);             \
    ASSERT_TRUE(status_.ok()) << status_.ToString(); \
  } while (false)

struct Trade {
  std::string symbol;
  int64_t ts;
  std::optional<double> px;
  bool operator==(const Trade&) const = default;
};
void PrintTo(const Trade& t, std::ostream* out) {
  *out << t.symbol << "@" << t.ts << "=" << (t.px ? std::to_string(*t.px) : "null");
}

std::shared_ptr<arrow::Schema> TradesSchema() {
  return arrow::schema({arrow::field("symbol", arrow::utf8(), false),
                        arrow::field("ts", arrow::int64(), false),
                        arrow::field("px", arrow::float64())});
}

std::shared_ptr<arrow::RecordBatch> BatchOf(const std::vector<Trade>& trades) {
  arrow::StringBuilder symbol;
  arrow::Int64Builder ts;
  arrow::DoubleBuilder px;
  for (const Trade& t : trades) {
    EXPECT_TRUE(symbol.Append(t.symbol).ok());
    EXPECT_TRUE(ts.Append(t.ts).ok());
    EXPECT_TRUE((t.px ? px.Append(*t.px) : px.AppendNull()).ok());
  }
  return arrow::RecordBatch::Make(TradesSchema(), static_cast<int64_t>(trades.size()),
                                  {Must(symbol.Finish()), Must(ts.Finish()), Must(px.Finish())});
}

KeyValues Key(const std::string& symbol) { return {std::make_shared<arrow::StringScalar>(symbol)}; }
KeyValues Key(const std::string& symbol, int64_t ts) {
  return {std::make_shared<arrow::StringScalar>(symbol), arrow::MakeScalar(ts)};
}

class StoreBackendTest : public ::testing::TestWithParam<std::string> {
 protected:
  StoreBackendTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "marble-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
    backend_ = Must(MakeStoreBackend(GetParam()));
  }
  ~StoreBackendTest() override {
    backend_ = nullptr;
    std::filesystem::remove_all(path_);
  }
  void OpenTrades(const std::vector<std::string>& key = {"symbol", "ts"}) {
    ASSERT_OK(backend_->Open(path_));
    ASSERT_OK(backend_->CreateTable("trades", TradesSchema(), key));
  }
  std::vector<Trade> Scan(const StoreScan& scan = {}) {
    std::vector<Trade> trades;
    const Status status = backend_->ScanTable("trades", scan, [&](const auto& batch) {
      EXPECT_GT(batch->num_rows(), 0);
      EXPECT_TRUE(batch->schema()->Equals(*TradesSchema()));
      EXPECT_TRUE(batch->ValidateFull().ok());
      const auto& symbol = static_cast<const arrow::StringArray&>(*batch->column(0));
      const auto& ts = static_cast<const arrow::Int64Array&>(*batch->column(1));
      const auto& px = static_cast<const arrow::DoubleArray&>(*batch->column(2));
      for (int64_t i = 0; i < batch->num_rows(); ++i) {
        trades.push_back({symbol.GetString(i), ts.Value(i),
                          px.IsNull(i) ? std::nullopt : std::optional(px.Value(i))});
      }
      return true;
    });
    EXPECT_TRUE(status.ok()) << status;
    return trades;
  }

  std::string path_;
  std::unique_ptr<StoreBackend> backend_;
};

TEST_P(StoreBackendTest, UpsertsByKeyAndGivesRowsInKeyOrder) {
  OpenTrades();
  ASSERT_OK(backend_->InsertBatch(
      "trades", BatchOf({{"b", 1, 1.5}, {"a", 2, 2.5}, {"a", -1, 3.5}, {"a", 2, std::nullopt}})));
  ASSERT_OK(backend_->InsertBatch("trades", BatchOf({{"b", 1, 9.0}, {"", 0, 0.0}})));
  EXPECT_THAT(Scan(), ElementsAre(Trade{"", 0, 0.0}, Trade{"a", -1, 3.5},
                                  Trade{"a", 2, std::nullopt}, Trade{"b", 1, 9.0}));
}

TEST_P(StoreBackendTest, KeepsTheOrderOfInsertionWithoutAKey) {
  OpenTrades({});
  ASSERT_OK(backend_->InsertBatch("trades", BatchOf({{"b", 1, 1.5}, {"a", 2, 2.5}})));
  ASSERT_OK(backend_->InsertBatch("trades", BatchOf({{"b", 1, 1.5}})));
  EXPECT_THAT(Scan(), ElementsAre(Trade{"b", 1, 1.5}, Trade{"a", 2, 2.5}, Trade{"b", 1, 1.5}));
  StoreScan range;
  range.range.gte = Key("a");
  EXPECT_EQ(CodeOf(backend_->ScanTable("trades", range, [](const auto&) { return true; })),
            ErrorCode::kInvalidArgument);
}

TEST_P(StoreBackendTest, ScansByRangeBackwardsWithALimitAndColumns) {
  OpenTrades();
  std::vector<Trade> all;
  for (const char* symbol : {"a", "b", "c"}) {
    for (int64_t ts = 0; ts < 10; ++ts) all.push_back({symbol, ts, static_cast<double>(ts)});
  }
  ASSERT_OK(backend_->InsertBatch("trades", BatchOf(all)));
  StoreScan scan;
  scan.range.gt = Key("a", 7);
  scan.range.lt = Key("b", 2);
  EXPECT_THAT(Scan(scan), ElementsAre(all[8], all[9], all[10], all[11]));
  scan.reverse = true;
  scan.limit = 3;
  EXPECT_THAT(Scan(scan), ElementsAre(all[11], all[10], all[9]));
  StoreScan prefix;
  prefix.range.gte = Key("b");
  prefix.range.lte = Key("b");
  EXPECT_EQ(Scan(prefix), std::vector<Trade>(all.begin() + 10, all.begin() + 20));
  StoreScan columns;
  columns.columns = {"px", "symbol"};
  ASSERT_OK(backend_->ScanTable("trades", columns, [&](const auto& batch) {
    EXPECT_EQ(batch->schema()->ToString(), "px: double\nsymbol: string not null");
    return false;
  }));
  columns.columns = {"price"};
  EXPECT_EQ(CodeOf(backend_->ScanTable("trades", columns, [](const auto&) { return true; })),
            ErrorCode::kColumnNotFound);
}

TEST_P(StoreBackendTest, AScanSeesTheTableAsItWasAtTheCall) {
  OpenTrades();
  ASSERT_OK(backend_->InsertBatch("trades", BatchOf({{"a", 1, 1.0}, {"b", 1, 1.0}})));
  int64_t rows = 0;
  std::vector<std::shared_ptr<arrow::RecordBatch>> kept;
  ASSERT_OK(backend_->ScanTable("trades", {}, [&](const auto& batch) {
    EXPECT_TRUE(backend_->InsertBatch("trades", BatchOf({{"b", 1, 7.0}, {"c", 1, 7.0}})).ok());
    rows += batch->num_rows();
    kept.push_back(batch);
    return true;
  }));
  EXPECT_EQ(rows, 2);
  EXPECT_THAT(Scan(), ElementsAre(Trade{"a", 1, 1.0}, Trade{"b", 1, 7.0}, Trade{"c", 1, 7.0}));
  ASSERT_OK(backend_->Close());
  for (const auto& batch : kept) EXPECT_TRUE(batch->ValidateFull().ok()) << "batches stay valid";
}

TEST_P(StoreBackendTest, CreatesATableOnceAndRefusesAnotherOfTheName) {
  OpenTrades();
  ASSERT_OK(backend_->InsertBatch("trades", BatchOf({{"a", 1, 1.0}})));
  ASSERT_OK(backend_->CreateTable("trades", TradesSchema(), {"symbol", "ts"}));
  EXPECT_EQ(Scan().size(), 1u);
  EXPECT_EQ(CodeOf(backend_->CreateTable("trades", TradesSchema(), {"symbol"})),
            ErrorCode::kIncompatible);
  EXPECT_EQ(CodeOf(backend_->CreateTable("other", TradesSchema(), {"simbol"})),
            ErrorCode::kColumnNotFound);
}

TEST_P(StoreBackendTest, RefusesRowsOfAnotherShapeAndUnknownTables) {
  OpenTrades();
  const auto schema = arrow::schema(
      {arrow::field("symbol", arrow::utf8(), false), arrow::field("ts", arrow::utf8(), false)});
  const auto text = BatchOf({{"a", 1, 1.0}})->column(0);
  const auto wrong = arrow::RecordBatch::Make(schema, 1, {text, text});
  EXPECT_EQ(CodeOf(backend_->InsertBatch("trades", wrong)), ErrorCode::kSchema);
  EXPECT_EQ(CodeOf(backend_->InsertBatch("quotes", wrong)), ErrorCode::kTableNotFound);
  EXPECT_EQ(CodeOf(backend_->ScanTable("quotes", {}, [](const auto&) { return true; })),
            ErrorCode::kTableNotFound);
  EXPECT_TRUE(Scan().empty());
}

TEST_P(StoreBackendTest, IsClosedUntilOpenAndAgainAfterClose) {
  const auto refused = [&] {
    EXPECT_EQ(CodeOf(backend_->CreateTable("trades", TradesSchema(), {})), ErrorCode::kClosed);
    EXPECT_EQ(CodeOf(backend_->InsertBatch("trades", BatchOf({}))), ErrorCode::kClosed);
    EXPECT_EQ(CodeOf(backend_->ScanTable("trades", {}, [](const auto&) { return true; })),
              ErrorCode::kClosed);
  };
  refused();
  OpenTrades();
  EXPECT_EQ(CodeOf(backend_->Open(path_)), ErrorCode::kInvalidArgument);
  ASSERT_OK(backend_->InsertBatch("trades", BatchOf({{"a", 1, 1.0}})));
  ASSERT_OK(backend_->Close());
  ASSERT_OK(backend_->Close());
  refused();
  OpenTrades();
  EXPECT_EQ(Scan().size(), backend_->persistent() ? 1u : 0u);
}

TEST_P(StoreBackendTest, BehavesAsAMapUnderRandomBatches) {
  OpenTrades();
  std::mt19937_64 random(5);
  std::map<std::pair<std::string, int64_t>, std::optional<double>> model;
  for (int round = 0; round < 60; ++round) {
    std::vector<Trade> trades(random() % 200);
    for (Trade& t : trades) {
      t.symbol = std::string(random() % 3, static_cast<char>('a' + random() % 3));
      t.ts = static_cast<int64_t>(random() % 50) - 25;
      if (random() % 5 != 0) t.px = static_cast<double>(random() % 1000);
      model[{t.symbol, t.ts}] = t.px;
    }
    ASSERT_OK(backend_->InsertBatch("trades", BatchOf(trades)));
    std::vector<Trade> expected;
    for (const auto& [key, px] : model) expected.push_back({key.first, key.second, px});
    ASSERT_EQ(Scan(), expected) << "round " << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Contract, StoreBackendTest, ::testing::ValuesIn(StoreBackendNames()),
                         [](const auto& info) { return info.param; });

TEST(StoreBackendRegistry, TellsTheNamesThereAreAndTakesEachOnce) {
  EXPECT_THAT(StoreBackendNames(), ElementsAre("marbledb", "memory"));
  const Status unknown = MakeStoreBackend("lmdb").status();
  EXPECT_EQ(CodeOf(unknown), ErrorCode::kNotFound);
  EXPECT_THAT(MessageOf(unknown), AllOf(HasSubstr("'lmdb'"), HasSubstr("'marbledb', 'memory'")));
  EXPECT_EQ(CodeOf(RegisterStoreBackend("memory", [] { return nullptr; })),
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace marble::table
