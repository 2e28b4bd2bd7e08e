// Operators in memory, against a naive row-by-row reference: how rows fall into batches must
// never change a result.
#include <arrow/api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "plan_text.h"
#include "stream/graph.h"
#include "stream/plan.h"

namespace marble::stream {
namespace {

using testing::HasSubstr;

struct Row {
  int32_t partition;
  std::string key;  // "": NULL
  int32_t value;    // -1: NULL
  int64_t ts;
};

struct Outcome {
  int64_t n = 0;
  int64_t sum = 0, values = 0;
  int32_t min = INT32_MAX, max = INT32_MIN;
  bool operator==(const Outcome&) const = default;
};
using Results = std::map<std::pair<int64_t, std::string>, Outcome>;

int64_t Start(int64_t ts, int64_t size) {
  int64_t start = ts - ts % size;
  return start > ts ? start - size : start;
}

/// Row by row: the watermark before a row is the minimum over partitions of what their earlier
/// rows imply, and never goes back.
Results Reference(const std::vector<Row>& rows, int partitions, int64_t size, int64_t delay,
                  uint64_t* late) {
  Results results;
  std::vector<int64_t> highest(static_cast<size_t>(partitions), INT64_MIN);
  int64_t watermark = INT64_MIN;
  *late = 0;
  for (const auto& row : rows) {
    const int64_t start = Start(row.ts, size);
    if (start + size - 1 <= watermark) {
      ++*late;
    } else {
      Outcome& result = results[{start, row.key}];
      ++result.n;
      if (row.value >= 0) {
        result.sum += row.value;
        ++result.values;
        result.min = std::min(result.min, row.value);
        result.max = std::max(result.max, row.value);
      }
    }
    auto& own = highest[static_cast<size_t>(row.partition)];
    own = std::max(own, row.ts - delay);
    watermark = std::max(watermark, *std::min_element(highest.begin(), highest.end()));
  }
  return results;
}

std::shared_ptr<arrow::RecordBatch> Batch(const PlanNode& source, const std::vector<Row>& rows,
                                          size_t from, size_t to) {
  arrow::StringBuilder keys;
  arrow::Int32Builder values;
  arrow::TimestampBuilder times(arrow::timestamp(arrow::TimeUnit::MILLI),
                                arrow::default_memory_pool());
  for (size_t i = from; i < to; ++i) {
    EXPECT_TRUE((rows[i].key.empty() ? keys.AppendNull() : keys.Append(rows[i].key)).ok());
    EXPECT_TRUE((rows[i].value < 0 ? values.AppendNull() : values.Append(rows[i].value)).ok());
    EXPECT_TRUE(times.Append(rows[i].ts).ok());
  }
  return arrow::RecordBatch::Make(source.schema, static_cast<int64_t>(to - from),
                                  {*keys.Finish(), *values.Finish(), *times.Finish()});
}

void Read(ResultQueue* queue, Results* results) {
  while (true) {
    auto popped = *queue->Pop(std::chrono::milliseconds(0));
    if (!popped || *popped == nullptr) return;
    const auto& batch = **popped;
    ASSERT_TRUE(batch.ValidateFull().ok());
    for (int64_t i = 0; i < batch.num_rows(); ++i) {
      auto i32 = [&](int c) {
        return static_cast<const arrow::Int32Array&>(*batch.column(c)).Value(i);
      };
      const auto& keys = static_cast<const arrow::StringArray&>(*batch.column(0));
      const auto start = static_cast<const arrow::TimestampArray&>(*batch.column(6)).Value(i);
      Outcome result;
      result.n = static_cast<const arrow::Int64Array&>(*batch.column(1)).Value(i);
      if (batch.column(2)->IsValid(i)) {
        result.sum = i32(2);
        result.min = i32(3);
        result.max = i32(4);
        // AVG cuts off: recover the count of values only where it is exact.
        result.values = i32(5);
      }
      const bool fresh =
          results->emplace(std::pair(start, keys.IsNull(i) ? "" : keys.GetString(i)), result)
              .second;
      ASSERT_TRUE(fresh) << "a window left twice";
    }
  }
}

/// Replace the count of values by the average, as the operator gives it.
Results WithAverages(Results results) {
  for (auto& [key, result] : results) {
    if (result.values > 0) result.values = result.sum / result.values;
  }
  return results;
}

TEST(WindowAggregate, EqualsTheReferenceForAnySplitIntoBatches) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    std::mt19937 random(seed);
    const int partitions = 1 + static_cast<int>(random() % 3);
    PlanText text;
    text.delay_ms = static_cast<int64_t>(random() % 150);
    text.size_ms = 1 + static_cast<int64_t>(random() % 200);
    std::vector<Row> rows;
    std::vector<int64_t> clock(static_cast<size_t>(partitions), -500);
    while (rows.size() < 1500) {
      const auto partition = static_cast<int32_t>(random() % static_cast<uint32_t>(partitions));
      for (size_t run = 1 + random() % 60; run > 0; --run) {
        auto& now = clock[static_cast<size_t>(partition)];
        now += static_cast<int64_t>(random() % 5);
        const auto number = random() % 6;
        rows.push_back({partition, number == 0 ? "" : "k" + std::to_string(number),
                        static_cast<int32_t>(random() % 50) - 1,
                        now - static_cast<int64_t>(random() % 200)});
      }
    }
    uint64_t late;
    const Results expected =
        WithAverages(Reference(rows, partitions, text.size_ms, text.delay_ms, &late));
    for (int split = 0; split < 4; ++split) {
      const auto plan = *ReadPlan(text.Text());
      GraphOptions options;
      options.results = std::make_shared<ResultQueue>();
      auto graph = *Graph::Make(plan, options);
      auto& source = graph->sources()[0];
      std::vector<PartitionStatus> statuses(static_cast<size_t>(partitions));
      for (int p = 0; p < partitions; ++p) statuses[static_cast<size_t>(p)].partition = p;
      ASSERT_TRUE(source.watermark->UpdatePartitions(statuses).ok());
      Results results;
      for (size_t at = 0; at < rows.size();) {
        const size_t most = split == 0 ? 1 : split == 1 ? 10'000 : 1 + random() % 40;
        size_t end = at + 1;
        while (end < rows.size() && end - at < most && rows[end].partition == rows[at].partition) {
          ++end;
        }
        Morsel morsel;
        morsel.partition = rows[at].partition;
        morsel.rows = Batch(*source.node, rows, at, end);
        ASSERT_TRUE(source.entry->Process(morsel).ok());
        Read(options.results.get(), &results);
        at = end;
      }
      ASSERT_TRUE(source.entry->AdvanceWatermark(state::kMaxWatermark).ok());
      Read(options.results.get(), &results);
      ASSERT_EQ(results, expected) << "seed " << seed << " split " << split;
      ASSERT_EQ(graph->operators()[2]->late_rows(), late) << "seed " << seed;
      ASSERT_EQ(graph->operators()[2]->state_rows(), 0u);
    }
  }
}

class ManualClock : public Clock {
 public:
  int64_t NowMs() const override { return micros / 1000; }
  int64_t MonotonicMicros() const override { return micros; }
  int64_t micros = 0;
};

TEST(Watermark, WaitsForASilentPartitionUntilItIsIdleAndCaughtUp) {
  ManualClock clock;
  PlanText text;
  text.idle = "1000";
  const auto plan = *ReadPlan(text.Text());
  GraphOptions options;
  options.clock = &clock;
  options.results = std::make_shared<ResultQueue>();
  auto graph = *Graph::Make(plan, options);
  auto& source = graph->sources()[0];
  std::vector<PartitionStatus> statuses(2);
  statuses[1].partition = 1;
  ASSERT_TRUE(source.watermark->UpdatePartitions(statuses).ok());
  auto push = [&](int32_t partition, int64_t ts) {
    const std::vector<Row> rows = {{partition, "a", 1, ts}};
    Morsel morsel;
    morsel.partition = partition;
    morsel.rows = Batch(*source.node, rows, 0, 1);
    ASSERT_TRUE(source.entry->Process(morsel).ok());
  };
  push(0, 1000);
  EXPECT_EQ(source.watermark->watermark(), state::kMinWatermark);
  // Behind, however long it is silent: not idle.
  clock.micros += 5'000'000;
  ASSERT_TRUE(source.watermark->UpdatePartitions(statuses).ok());
  EXPECT_EQ(source.watermark->watermark(), state::kMinWatermark);
  statuses[1].caught_up = true;
  clock.micros += 900'000;
  ASSERT_TRUE(source.watermark->UpdatePartitions(statuses).ok());
  EXPECT_EQ(source.watermark->watermark(), state::kMinWatermark);
  clock.micros += 100'000;
  ASSERT_TRUE(source.watermark->UpdatePartitions(statuses).ok());
  EXPECT_EQ(source.watermark->watermark(), 990);
  // It comes back with older rows: active again, and time does not go back.
  push(1, 500);
  EXPECT_FALSE(source.watermark->partitions().at(1).idle);
  EXPECT_EQ(source.watermark->watermark(), 990);
  push(0, 3000);
  EXPECT_EQ(source.watermark->watermark(), 990);
  push(1, 2000);
  EXPECT_EQ(source.watermark->watermark(), 1990);
  // A finished partition holds nothing back; all finished is the end.
  statuses[1].finished = true;
  ASSERT_TRUE(source.watermark->UpdatePartitions(statuses).ok());
  EXPECT_EQ(source.watermark->watermark(), 2990);
  statuses[0].finished = true;
  ASSERT_TRUE(source.watermark->UpdatePartitions(statuses).ok());
  EXPECT_EQ(source.watermark->watermark(), state::kMaxWatermark);
}

TEST(Watermark, ANullTimeFailsAndNamesTheColumn) {
  const auto plan = *ReadPlan(PlanText().Text());
  GraphOptions options;
  options.results = std::make_shared<ResultQueue>();
  auto graph = *Graph::Make(plan, options);
  auto batch = *arrow::RecordBatch::MakeEmpty(plan.nodes[0].schema);
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (const auto& field : plan.nodes[0].schema->fields()) {
    columns.push_back(*arrow::MakeArrayOfNull(field->type(), 1));
  }
  Morsel morsel;
  morsel.rows = arrow::RecordBatch::Make(plan.nodes[0].schema, 1, columns);
  auto status = graph->sources()[0].entry->Process(morsel);
  EXPECT_EQ(CodeOf(status), ErrorCode::kBadRecord);
  EXPECT_THAT(MessageOf(status), HasSubstr("'ts'"));
}

TEST(PlanReader, RefusesWhatItDoesNotKnow) {
  const std::string good = PlanText().Text();
  ASSERT_TRUE(ReadPlan(good).ok()) << ReadPlan(good).status().ToString();
  auto refused = [&](const std::string& from, const std::string& to, const std::string& why) {
    std::string text = good;
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    auto plan = ReadPlan(text);
    ASSERT_FALSE(plan.ok()) << to;
    EXPECT_THAT(MessageOf(plan.status()), HasSubstr(why));
  };
  refused(R"("version":1)", R"("version":2)", "version 2");
  refused(R"("type":"watermark")", R"("type":"interval")", "'interval'");
  refused(R"("idleTimeoutMs")", R"("idleTimeout")", "idleTimeoutMs");
  refused(R"("bounded":true)", R"("bounded":true,"parallel":2)", "'parallel'");
  refused(R"("settings":{)", R"("settings":{"x":1,)", "'x'");
  refused(R"("input":"wm")", R"("input":"nowhere")", "'nowhere'");
  refused(R"("kind":"tumble")", R"("kind":"hop")", "'hop'");
  refused(R"("distinct":false)", R"("distinct":true)", "DISTINCT");
  refused(R"("sizeMs":100)", R"("sizeMs":0)", "sizeMs");
  refused(R"("connector":"collect")", R"("connector":"kafka")", "'kafka'");
}

TEST(Plan, ChangedStateIsIncompatibleAndNamesTheOperator) {
  PlanText text;
  const auto before = *ReadPlan(text.Text());
  EXPECT_TRUE(CheckCompatible(before, *ReadPlan(text.Text())).ok());
  text.options = R"({"path":"elsewhere"})";
  text.delay_ms = 77;
  EXPECT_TRUE(CheckCompatible(before, *ReadPlan(text.Text())).ok());
  // Offsets of one topic mean nothing in another.
  text.options = R"({"topic":"t1"})";
  const auto reads_t1 = *ReadPlan(text.Text());
  text.options = R"({"topic":"t2"})";
  const auto topic = CheckCompatible(reads_t1, *ReadPlan(text.Text()));
  EXPECT_EQ(CodeOf(topic), ErrorCode::kIncompatibleState);
  EXPECT_THAT(MessageOf(topic), HasSubstr("t2"));
  text.options = R"({"path":"elsewhere"})";
  text.size_ms = 200;
  const auto status = CheckCompatible(before, *ReadPlan(text.Text()));
  EXPECT_EQ(CodeOf(status), ErrorCode::kIncompatibleState);
  EXPECT_THAT(MessageOf(status), HasSubstr("'agg'"));
  EXPECT_THAT(MessageOf(status), HasSubstr("size 200 ms"));
}

}  // namespace
}  // namespace marble::stream
