// Helpers of typed tables: keys, ranges, projection, conforming.
#include "table/table.h"

#include <arrow/api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "table/scan.h"

namespace marble::table {
namespace {

using ::testing::HasSubstr;

template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.status().ToString();
    std::abort();
  }
  return std::move(result).ValueUnsafe();
}
void Must(const Status& status) { ASSERT_TRUE(status.ok()) << status.ToString(); }

std::shared_ptr<arrow::Schema> TradesSchema() {
  return arrow::schema({arrow::field("px", arrow::float64()),
                        arrow::field("symbol", arrow::utf8(), false),
                        arrow::field("ts", arrow::int64(), false)});
}

KeyValues Key(const std::string& symbol) { return {std::make_shared<arrow::StringScalar>(symbol)}; }
KeyValues Key(const std::string& symbol, int64_t ts) {
  return {std::make_shared<arrow::StringScalar>(symbol), arrow::MakeScalar(ts)};
}

class TableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    db_ = Must(lsm::DB::Open(":memory:", {}));
    trades_ = Must(db_->CreateTable(
        Must(MakeTableDescriptor("trades", TradesSchema(), {"symbol", "ts"})), false));
    arrow::DoubleBuilder px;
    arrow::StringBuilder symbol;
    arrow::Int64Builder ts;
    std::mt19937_64 random(7);
    for (int i = 0; i < 500; ++i) {
      const std::string s(1 + random() % 3, static_cast<char>('a' + random() % 3));
      const int64_t t = static_cast<int64_t>(random() % 21) - 10;
      Must(px.Append(i));
      Must(symbol.Append(s));
      Must(ts.Append(t));
      keys_.insert({s, t});
    }
    lsm::WriteBatch batch;
    Must(batch.Insert(trades_, arrow::RecordBatch::Make(
                                   TradesSchema(), 500,
                                   {Must(px.Finish()), Must(symbol.Finish()), Must(ts.Finish())})));
    Must(db_->Write(std::move(batch), {}).status());
  }

  using Keys = std::vector<std::pair<std::string, int64_t>>;
  Keys Scan(const KeyRange& range) {
    const auto encoded = Must(EncodeRange(trades_, range));
    if (!encoded) return {};
    lsm::ScanOptions options;
    options.range = *encoded;
    auto it = Must(db_->NewIterator(trades_, options));
    Keys out;
    for (auto step = Must(it->Next()); step.batch != nullptr; step = Must(it->Next())) {
      const auto& symbol = static_cast<const arrow::StringArray&>(*step.batch->column(1));
      const auto& ts = static_cast<const arrow::Int64Array&>(*step.batch->column(2));
      for (int64_t i = 0; i < step.batch->num_rows(); ++i) {
        out.emplace_back(symbol.GetString(i), ts.Value(i));
      }
    }
    return out;
  }

  std::shared_ptr<lsm::DB> db_;
  lsm::TableHandle trades_;
  std::set<std::pair<std::string, int64_t>> keys_;
};

TEST_F(TableTest, RangesOverKeysAndPrefixesSelectWhatComparisonSelects) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 500; ++round) {
    struct Bound {
      std::string symbol;
      std::optional<int64_t> ts;
      KeyValues values() const { return ts ? Key(symbol, *ts) : Key(symbol); }
      /// As a prefix: -1, 0 (begins with it), 1 for a key before, within, behind.
      int Compare(const std::pair<std::string, int64_t>& key) const {
        if (key.first != symbol) return key.first < symbol ? -1 : 1;
        if (!ts || key.second == *ts) return 0;
        return key.second < *ts ? -1 : 1;
      }
    };
    const auto bound = [&] {
      Bound b{std::string(1 + random() % 3, static_cast<char>('a' + random() % 3)), {}};
      if (random() % 2) b.ts = static_cast<int64_t>(random() % 21) - 10;
      return b;
    };
    const Bound low = bound(), high = bound();
    const int low_kind = random() % 3, high_kind = random() % 3;
    KeyRange range;
    if (low_kind == 1) range.gte = low.values();
    if (low_kind == 2) range.gt = low.values();
    if (high_kind == 1) range.lte = high.values();
    if (high_kind == 2) range.lt = high.values();
    Keys expected;
    for (const auto& key : keys_) {
      if (low_kind == 1 && low.Compare(key) < 0) continue;
      if (low_kind == 2 && low.Compare(key) <= 0) continue;
      if (high_kind == 1 && high.Compare(key) > 0) continue;
      if (high_kind == 2 && high.Compare(key) >= 0) continue;
      expected.push_back(key);
    }
    ASSERT_EQ(Scan(range), expected);
  }
}

TEST_F(TableTest, PrefixAndKeyFindTheirRows) {
  ScanOptions options;
  options.range = Must(EncodePrefix(trades_, Key("b")));
  int64_t expected = 0;
  for (const auto& key : keys_) expected += key.first == "b";
  EXPECT_EQ(Must(Count(db_.get(), trades_, options)), expected);
  EXPECT_EQ(Must(Count(db_.get(), trades_, {})), static_cast<int64_t>(keys_.size()));
  const auto& [symbol, ts] = *keys_.begin();
  EXPECT_TRUE(Must(db_->GetRow(trades_, Must(EncodeKey(trades_, Key(symbol, ts))), {})));
  const Status few = EncodeKey(trades_, Key("a")).status();
  EXPECT_EQ(CodeOf(few), ErrorCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(few), HasSubstr("(symbol, ts)"));
  const Status type = EncodeKey(trades_, {arrow::MakeScalar(1.5), arrow::MakeScalar(2.5)}).status();
  EXPECT_EQ(CodeOf(type), ErrorCode::kSchema);
}

TEST_F(TableTest, FullKeyThatEndsInTextIsNoPrefix) {
  auto t = Must(db_->CreateTable(
      Must(MakeTableDescriptor("by_time", TradesSchema(), {"ts", "symbol"})), false));
  arrow::DoubleBuilder px;
  arrow::StringBuilder symbol;
  arrow::Int64Builder ts;
  for (const char* name : {"", "a", "ab", "b"}) {
    for (int64_t at : {1, 2}) {
      Must(px.Append(0));
      Must(symbol.Append(name));
      Must(ts.Append(at));
    }
  }
  lsm::WriteBatch batch;
  Must(batch.Insert(
      t, arrow::RecordBatch::Make(TradesSchema(), 8,
                                  {Must(px.Finish()), Must(symbol.Finish()), Must(ts.Finish())})));
  Must(db_->Write(std::move(batch), {}).status());
  const auto key = [](int64_t at, const char* name) {
    return KeyValues{arrow::MakeScalar(at), std::make_shared<arrow::StringScalar>(name)};
  };
  const auto count = [&](const lsm::ScanRange& range) {
    ScanOptions options;
    options.range = range;
    return Must(Count(db_.get(), t, options));
  };
  EXPECT_EQ(count(*Must(EncodeRange(t, {.gte = key(1, "a"), .lte = key(1, "a")}))), 1);
  EXPECT_EQ(count(*Must(EncodeRange(t, {.gt = key(1, "a"), .lt = key(2, "")}))), 2);
  EXPECT_EQ(count(Must(EncodePrefix(t, {arrow::MakeScalar(int64_t{2})}))), 4);
  EXPECT_EQ(count(Must(EncodePrefix(t, key(2, "a")))), 1);
}

TEST_F(TableTest, RawKeysHaveExactBounds) {
  auto s = Must(db_->CreateTable(MakeStateDescriptor("s"), false));
  lsm::WriteBatch batch;
  for (const char* key : {"", "a", "ab", "b"}) Must(batch.Put(s, key, "v"));
  Must(db_->Write(std::move(batch), {}).status());
  const auto count = [&](const KeyRange& range) {
    const auto encoded = Must(EncodeRange(s, range));
    if (!encoded) return int64_t{0};
    ScanOptions options;
    options.range = *encoded;
    return Must(Count(db_.get(), s, options));
  };
  const auto raw = [](std::string key) {
    return KeyValues{std::make_shared<arrow::BinaryScalar>(std::move(key))};
  };
  EXPECT_EQ(count({.gte = raw("a")}), 3);
  EXPECT_EQ(count({.gt = raw("a")}), 2);
  EXPECT_EQ(count({.lte = raw("a")}), 2);
  EXPECT_EQ(count({.lt = raw("a")}), 1);
  EXPECT_EQ(count({.lt = raw("")}), 0);
  EXPECT_EQ(count({.lte = raw("")}), 1);
  EXPECT_EQ(count({.gt = raw("b"), .lt = raw("a")}), 0);
}

TEST_F(TableTest, DescriptorNamesTheWrongKeyColumn) {
  const Status missing = MakeTableDescriptor("t", TradesSchema(), {"sym"}).status();
  EXPECT_EQ(CodeOf(missing), ErrorCode::kColumnNotFound);
  EXPECT_THAT(MessageOf(missing), HasSubstr("'sym'"));
  EXPECT_EQ(CodeOf(MakeTableDescriptor("t", TradesSchema(), {"ts", "ts"}).status()),
            ErrorCode::kSchema);
}

TEST_F(TableTest, ProjectionKeepsOrderOfNamesAndRefusesUnknownOnes) {
  const Projection projection = Must(Projection::Make(trades_, {"ts", "px"}));
  auto it = Must(db_->NewIterator(trades_, {}));
  const auto step = projection.Apply(Must(it->Next()));
  EXPECT_EQ(step.batch->schema()->field_names(), (std::vector<std::string>{"ts", "px"}));
  EXPECT_TRUE(step.batch->ValidateFull().ok());
  EXPECT_EQ(CodeOf(Projection::Make(trades_, {"volume"}).status()), ErrorCode::kColumnNotFound);
}

TEST_F(TableTest, ConformReordersFillsAndNeverCasts) {
  const auto symbol = Must(arrow::MakeArrayFromScalar(arrow::StringScalar("a"), 2));
  const auto ts = Must(arrow::MakeArrayFromScalar(arrow::Int64Scalar(5), 2));
  const auto given = arrow::RecordBatch::Make(
      arrow::schema({arrow::field("ts", arrow::int64()), arrow::field("symbol", arrow::utf8())}), 2,
      {ts, symbol});
  const auto conformed = Must(Conform(given, TradesSchema()));
  EXPECT_TRUE(conformed->schema()->Equals(*TradesSchema()));
  EXPECT_EQ(conformed->column(0)->null_count(), 2);
  EXPECT_EQ(conformed->column(2)->data()->buffers[1], ts->data()->buffers[1]);
  const auto narrow = arrow::RecordBatch::Make(
      arrow::schema({arrow::field("ts", arrow::int32()), arrow::field("symbol", arrow::utf8())}), 2,
      {Must(arrow::MakeArrayFromScalar(arrow::Int32Scalar(5), 2)), symbol});
  const Status type = Conform(narrow, TradesSchema()).status();
  EXPECT_EQ(CodeOf(type), ErrorCode::kSchema);
  EXPECT_THAT(MessageOf(type), HasSubstr("'ts' is int32, the table has int64"));
  const auto lacking =
      arrow::RecordBatch::Make(arrow::schema({arrow::field("symbol", arrow::utf8())}), 2, {symbol});
  EXPECT_THAT(MessageOf(Conform(lacking, TradesSchema()).status()), HasSubstr("'ts' is missing"));
  const auto nulls = arrow::RecordBatch::Make(given->schema(), 2,
                                              {ts, Must(arrow::MakeArrayOfNull(arrow::utf8(), 2))});
  EXPECT_EQ(CodeOf(Conform(nulls, TradesSchema()).status()), ErrorCode::kSchema);
}

}  // namespace
}  // namespace marble::table
