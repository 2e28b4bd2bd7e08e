// Promises of the Kafka source and producer, on librdkafka's mock brokers.
#include "kafka/kafka_source.h"

#include <arrow/api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <fstream>
#include <set>
#include <thread>

#include "kafka/mock_cluster.h"
#include "kafka/producer.h"

namespace marble::kafka {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = stream::SourceColumn::Kind;

constexpr milliseconds kPatience{20'000};

double SecondsSince(steady_clock::time_point begin) {
  return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

stream::SourceColumn Column(Kind kind, const std::string& name,
                            std::shared_ptr<arrow::DataType> type, const std::string& as = "") {
  return {kind, name, arrow::field(as.empty() ? name : as, std::move(type))};
}

class KafkaTest : public ::testing::Test {
 protected:
  void SetUp() override { mock_ = MockCluster::Make().ValueOrDie(); }

  stream::SourceSpec Spec(const std::string& topic,
                          const std::map<std::string, std::string>& options = {}) {
    stream::SourceSpec spec;
    spec.id = spec.table = topic;
    spec.connector = "kafka";
    spec.options = {{"topic", topic}, {"properties.bootstrap.servers", mock_->bootstrap_servers()}};
    for (const auto& [name, value] : options) spec.options[name] = value;
    spec.format = "json";
    spec.columns = {Column(Kind::kPhysical, "n", arrow::int64())};
    return spec;
  }
  stream::SourceSpec Bounded(const std::string& topic,
                             std::map<std::string, std::string> options = {}) {
    options["scan.bounded.mode"] = "latest-offset";
    return Spec(topic, options);
  }

  /// Records {"n": first} … {"n": first + count - 1}, record n in partition n mod `partitions`.
  void Fill(const std::string& topic, int64_t first, int64_t count, int32_t partitions) {
    std::deque<std::string> values;
    std::vector<ProducerRecord> records;
    for (int64_t n = first; n < first + count; ++n) {
      values.push_back("{\"n\": " + std::to_string(n) + "}");
      ProducerRecord record;
      record.value = values.back();
      record.partition = static_cast<int32_t>(n % partitions);
      record.timestamp_ms = 1'000'000 + n;
      records.push_back(record);
    }
    const Status status = mock_->Produce(topic, records);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }

  static std::vector<int64_t> Numbers(const stream::SourceBatch& batch) {
    const auto& column = static_cast<const arrow::Int64Array&>(*batch.rows->column(0));
    return {column.raw_values(), column.raw_values() + column.length()};
  }
  /// Read until `count` rows came or the source is finished; fails on errors and on time-out.
  static std::multiset<int64_t> Read(KafkaSource* source, size_t count,
                                     stream::Offsets* offsets = nullptr) {
    std::multiset<int64_t> all;
    const auto begin = steady_clock::now();
    while (all.size() < count && !source->finished()) {
      auto next = source->Next(milliseconds(100));
      EXPECT_TRUE(next.ok()) << next.status().ToString();
      if (!next.ok()) return all;
      if (*next) {
        for (int64_t n : Numbers(**next)) all.insert(n);
        if (offsets != nullptr) (*offsets)[(*next)->partition] = (*next)->next_offset;
      }
      if (SecondsSince(begin) > 20) {
        ADD_FAILURE() << "only " << all.size() << " rows came";
        return all;
      }
    }
    return all;
  }
  static std::multiset<int64_t> Range(int64_t first, int64_t end) {
    std::multiset<int64_t> all;
    for (int64_t n = first; n < end; ++n) all.insert(n);
    return all;
  }
  static Status OpenError(const stream::SourceSpec& spec,
                          milliseconds timeout = milliseconds(2000)) {
    KafkaSourceLimits limits;
    limits.open_timeout = timeout;
    auto source = KafkaSource::Make(spec, limits);
    if (!source.ok()) return source.status();
    return (*source)->Open({});
  }

  std::unique_ptr<MockCluster> mock_;
};

TEST_F(KafkaTest, ABoundedSourceReadsEveryPartitionToItsEndAndFinishes) {
  ASSERT_TRUE(mock_->CreateTopic("t", 4).ok());
  Fill("t", 0, 10'000, 4);
  auto source = KafkaSource::Make(Bounded("t")).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  EXPECT_FALSE(source->finished());
  stream::Offsets offsets;
  EXPECT_EQ(Read(source.get(), SIZE_MAX, &offsets), Range(0, 10'000));
  EXPECT_TRUE(source->finished());
  EXPECT_THAT(offsets, ElementsAre(std::pair(0, "2500"), std::pair(1, "2500"), std::pair(2, "2500"),
                                   std::pair(3, "2500")));
  for (const auto& partition : source->Partitions()) {
    EXPECT_TRUE(partition.finished);
    EXPECT_TRUE(partition.caught_up);
    EXPECT_EQ(partition.lag, 0);
    EXPECT_EQ(partition.high_watermark, 2500);
  }
  // What comes later is not read, and Next says at once that nothing comes.
  Fill("t", 10'000, 8, 4);
  const auto begin = steady_clock::now();
  auto next = source->Next(kPatience);
  ASSERT_TRUE(next.ok());
  EXPECT_FALSE(next->has_value());
  EXPECT_LT(SecondsSince(begin), 5);
}

TEST_F(KafkaTest, RowsOfAPartitionKeepTheirOrderAndItsOffsets) {
  ASSERT_TRUE(mock_->CreateTopic("t", 3).ok());
  Fill("t", 0, 9'000, 3);
  KafkaSourceLimits limits;
  limits.batch_rows = 700;
  auto source = KafkaSource::Make(Bounded("t"), limits).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  std::map<int32_t, int64_t> expected{{0, 0}, {1, 1}, {2, 2}};
  while (!source->finished()) {
    auto next = source->Next(milliseconds(1000)).ValueOrDie();
    if (!next) continue;
    EXPECT_LE(next->rows->num_rows(), 700);
    for (int64_t n : Numbers(*next)) {
      ASSERT_EQ(n, expected[next->partition]);
      expected[next->partition] += 3;
    }
    EXPECT_EQ(next->next_offset, std::to_string(expected[next->partition] / 3));
  }
  EXPECT_EQ(expected[2], 9'002);
}

TEST_F(KafkaTest, WithoutAFormatTheRawColumnsComeAsTheyAre) {
  ASSERT_TRUE(mock_->CreateTopic("raw", 2).ok());
  std::vector<ProducerRecord> records(3);
  records[0] = {"k\xc5\x82", "value 0", 1, 1234, {}};
  records[1] = {std::nullopt, "", 1, 5678, {}};
  records[2] = {"", std::nullopt, 1, 9, {}};
  ASSERT_TRUE(mock_->Produce("raw", records).ok());
  auto spec = Bounded("raw");
  spec.format = "";
  spec.columns = {Column(Kind::kPhysical, "key", arrow::utf8()),
                  Column(Kind::kPhysical, "value", arrow::utf8()),
                  Column(Kind::kPhysical, "timestamp", arrow::timestamp(arrow::TimeUnit::MILLI)),
                  Column(Kind::kPhysical, "partition", arrow::int32()),
                  Column(Kind::kPhysical, "offset", arrow::int64())};
  auto source = KafkaSource::Make(spec).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  std::vector<std::string> rows;
  while (!source->finished()) {
    auto next = source->Next(milliseconds(1000)).ValueOrDie();
    if (!next) continue;
    ASSERT_TRUE(next->rows->ValidateFull().ok());
    for (int64_t i = 0; i < next->rows->num_rows(); ++i) {
      std::string row;
      for (const auto& column : next->rows->columns()) {
        row += (column->IsNull(i) ? "NULL" : column->GetScalar(i).ValueOrDie()->ToString()) + "|";
      }
      rows.push_back(row);
    }
  }
  EXPECT_THAT(rows, ElementsAre("k\xc5\x82|value 0|1970-01-01 00:00:01.234|1|0|",
                                "NULL||1970-01-01 00:00:05.678|1|1|",
                                "|NULL|1970-01-01 00:00:00.009|1|2|"));
}

TEST_F(KafkaTest, MetadataColumnsStandBesideTheFormatsFields) {
  ASSERT_TRUE(mock_->CreateTopic("m", 1).ok());
  ProducerRecord record;
  record.key = "the key";
  record.value = R"({"n": 7, "s": "x"})";
  record.timestamp_ms = 86'400'000;
  record.headers = {{"h", "1"}, {"h", "2"}};
  ASSERT_TRUE(mock_->Produce("m", {record}).ok());
  auto spec = Bounded("m");
  spec.columns = {
      Column(Kind::kPhysical, "n", arrow::int64(), "renamed"),
      Column(Kind::kMetadata, "partition", arrow::int64(), "p"),
      Column(Kind::kMetadata, "offset", arrow::int64()),
      Column(Kind::kPhysical, "s", arrow::utf8()),
      Column(Kind::kMetadata, "timestamp", arrow::timestamp(arrow::TimeUnit::MICRO, "UTC"), "at"),
      Column(Kind::kMetadata, "timestamp-type", arrow::utf8()),
      Column(Kind::kMetadata, "topic", arrow::utf8()),
      Column(Kind::kMetadata, "key", arrow::binary()),
      Column(Kind::kMetadata, "headers", arrow::map(arrow::utf8(), arrow::binary()))};
  auto source = KafkaSource::Make(spec).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  auto batch = source->Next(kPatience).ValueOrDie();
  ASSERT_TRUE(batch.has_value());
  ASSERT_TRUE(batch->rows->ValidateFull().ok());
  ASSERT_EQ(batch->rows->num_rows(), 1);
  EXPECT_EQ(batch->rows->schema()->field(0)->name(), "renamed");
  const auto value = [&](int column) {
    return batch->rows->column(column)->GetScalar(0).ValueOrDie()->ToString();
  };
  EXPECT_EQ(value(0), "7");
  EXPECT_EQ(value(1), "0");
  EXPECT_EQ(value(2), "0");
  EXPECT_EQ(value(3), "x");
  EXPECT_EQ(value(4), "1970-01-02 00:00:00.000000Z");
  EXPECT_EQ(value(5), "CreateTime");
  EXPECT_EQ(value(6), "m");
  EXPECT_EQ(static_cast<const arrow::BinaryArray&>(*batch->rows->column(7)).GetView(0), "the key");
  const auto& headers = static_cast<const arrow::MapArray&>(*batch->rows->column(8));
  EXPECT_EQ(headers.value_length(0), 2);
}

TEST_F(KafkaTest, ResumingFromOffsetsReadsExactlyTheRest) {
  ASSERT_TRUE(mock_->CreateTopic("t", 4).ok());
  Fill("t", 0, 8'000, 4);
  KafkaSourceLimits limits;
  limits.batch_rows = 100;
  stream::Offsets offsets;
  std::multiset<int64_t> all;
  // Some batches at a time, each time with a new source from where the last one's rows ended.
  for (int round = 0; round < 200; ++round) {
    auto source = KafkaSource::Make(Bounded("t"), limits).ValueOrDie();
    const Status opened = source->Open(offsets);
    ASSERT_TRUE(opened.ok()) << opened.ToString();
    for (int64_t n : Read(source.get(), 1'500, &offsets)) all.insert(n);
    if (source->finished()) break;
  }
  EXPECT_EQ(all, Range(0, 8'000));
}

TEST_F(KafkaTest, AFinishedJobOpenedAgainIsFinishedAtOnce) {
  ASSERT_TRUE(mock_->CreateTopic("t", 1).ok());
  Fill("t", 0, 10, 1);
  auto source = KafkaSource::Make(Bounded("t")).ValueOrDie();
  ASSERT_TRUE(source->Open({{0, "10"}}).ok());
  EXPECT_TRUE(source->finished());
  EXPECT_FALSE(source->Next(kPatience).ValueOrDie().has_value());
}

TEST_F(KafkaTest, AnEmptyTopicIsFinishedAtOnceWhenBounded) {
  ASSERT_TRUE(mock_->CreateTopic("empty", 2).ok());
  auto source = KafkaSource::Make(Bounded("empty")).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  EXPECT_TRUE(source->finished());
}

TEST_F(KafkaTest, LatestBeginsBehindWhatIsThere) {
  ASSERT_TRUE(mock_->CreateTopic("t", 2).ok());
  Fill("t", 0, 100, 2);
  auto source = KafkaSource::Make(Spec("t", {{"scan.startup.mode", "latest-offset"}})).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  Fill("t", 100, 50, 2);
  EXPECT_EQ(Read(source.get(), 50), Range(100, 150));
  EXPECT_FALSE(source->finished());
}

// The mock knows no offsets for times; what a real broker answers is tested in test/e2e.
TEST_F(KafkaTest, ATimestampThatNoRecordReachesBeginsAtTheEnd) {
  ASSERT_TRUE(mock_->CreateTopic("t", 1).ok());
  Fill("t", 0, 5, 1);
  const std::map<std::string, std::string> options{{"scan.startup.mode", "timestamp"},
                                                   {"scan.startup.timestamp-millis", "9000000"}};
  auto source = KafkaSource::Make(Spec("t", options)).ValueOrDie();
  const Status opened = source->Open({});
  ASSERT_TRUE(opened.ok()) << opened.ToString();
  Fill("t", 5, 5, 1);
  EXPECT_EQ(Read(source.get(), 5), Range(5, 10));
}

TEST_F(KafkaTest, PartitionsMayBeChosen) {
  ASSERT_TRUE(mock_->CreateTopic("t", 4).ok());
  Fill("t", 0, 400, 4);
  auto source = KafkaSource::Make(Bounded("t", {{"scan.partitions", "1,3"}})).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  const auto rows = Read(source.get(), SIZE_MAX);
  EXPECT_EQ(rows.size(), 200u);
  for (int64_t n : rows) EXPECT_EQ(n % 2, 1);
  const Status none = OpenError(Bounded("t", {{"scan.partitions", "2-5"}}));
  EXPECT_EQ(CodeOf(none), ErrorCode::kPlan);
  EXPECT_THAT(MessageOf(none), HasSubstr("has no partition 4; it has 0-3"));
}

TEST_F(KafkaTest, LagAndCaughtUpTellWhereAPartitionStands) {
  ASSERT_TRUE(mock_->CreateTopic("t", 1).ok());
  Fill("t", 0, 100, 1);
  KafkaSourceLimits limits;
  limits.batch_rows = 10;
  auto source = KafkaSource::Make(Spec("t"), limits).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  EXPECT_EQ(source->Partitions()[0].lag, 100);
  EXPECT_FALSE(source->Partitions()[0].caught_up);
  EXPECT_EQ(Read(source.get(), 30).size(), 30u);
  EXPECT_EQ(source->Partitions()[0].lag, 70);  // read ahead, but not returned by Next
  Read(source.get(), 70);
  EXPECT_EQ(source->Partitions()[0].lag, 0);
  EXPECT_TRUE(source->Partitions()[0].caught_up);
  EXPECT_FALSE(source->Partitions()[0].finished);
}

TEST_F(KafkaTest, ABrokerThatIsDownIsAnErrorWithinTheTime) {
  auto spec = Spec("t", {{"properties.bootstrap.servers", "127.0.0.1:1"}});
  const auto begin = steady_clock::now();
  const Status status = OpenError(spec, milliseconds(1500));
  EXPECT_EQ(CodeOf(status), ErrorCode::kKafka);
  EXPECT_THAT(MessageOf(status), HasSubstr("no broker reachable at 127.0.0.1:1 within 1500 ms"));
  EXPECT_THAT(MessageOf(status), HasSubstr("Connection refused"));
  EXPECT_LT(SecondsSince(begin), 5);
}

TEST_F(KafkaTest, AMissingTopicIsAnErrorThatNamesIt) {
  const Status status = OpenError(Spec("nowhere"), milliseconds(10'000));
  EXPECT_EQ(CodeOf(status), ErrorCode::kKafka);
  EXPECT_THAT(MessageOf(status), HasSubstr("topic 'nowhere' does not exist on 127.0.0.1"));
  // And looking for it has not created it.
  EXPECT_EQ(CodeOf(OpenError(Spec("nowhere"), milliseconds(10'000))), ErrorCode::kKafka);
}

TEST_F(KafkaTest, WrongOptionsAreRefusedBeforeAnyConnection) {
  const auto error = [&](const std::string& name, const std::string& value) {
    const auto made = KafkaSource::Make(Spec("t", {{name, value}}));
    return made.ok() ? "no error" : MessageOf(made.status());
  };
  EXPECT_THAT(error("properties.no.such.thing", "1"), HasSubstr("'properties.no.such.thing'"));
  EXPECT_THAT(error("properties.fetch.wait.max.ms", "soon"), HasSubstr("fetch.wait.max.ms"));
  EXPECT_THAT(error("properties.ssl.truststore.location", "/x"), HasSubstr("ssl.ca.location"));
  EXPECT_THAT(error("properties.ssl.keystore.location", "/x.jks"),
              HasSubstr("ssl.certificate.location"));
  EXPECT_EQ(error("properties.ssl.keystore.location", "/x.PKCS12"), "no error");
  EXPECT_THAT(error("properties.metadata.broker.list", "b"), HasSubstr("bootstrap.servers"));
  EXPECT_THAT(error("properties.auto.commit.interval.ms", "5"), HasSubstr("store"));
  EXPECT_EQ(error("properties.enable.auto.commit", "False"), "no error");
  EXPECT_THAT(error("properties.sasl.jaas.config", "…"), HasSubstr("sasl.username"));
  EXPECT_THAT(error("properties.key.deserializer", "…"), HasSubstr("format"));
  EXPECT_THAT(error("properties.enable.auto.commit", "true"), HasSubstr("store"));
  EXPECT_THAT(error("scan.startup.mode", "earliest"), HasSubstr("'earliest-offset'"));
  EXPECT_THAT(error("scan.partitions", "3-1"), HasSubstr("'0-3'"));
  EXPECT_THAT(error("scan.startup.timestamp-millis", "1"), HasSubstr("'timestamp'"));
  EXPECT_THAT(error("fetch.wait.max.ms", "1"), HasSubstr("did you mean 'properties."));
  EXPECT_THAT(error("topic", ""), HasSubstr("'topic': it is missing"));
  EXPECT_EQ(error("properties.fetch.wait.max.ms", "10"), "no error");
  auto spec = Spec("t");
  spec.columns[0].kind = Kind::kMetadata;
  EXPECT_THAT(MessageOf(KafkaSource::Make(spec).status()), HasSubstr("no metadata 'n'"));
  spec = Spec("t");
  spec.format = "";
  EXPECT_THAT(MessageOf(KafkaSource::Make(spec).status()), HasSubstr("'format' = 'json'"));
}

TEST_F(KafkaTest, OffsetsThatTheTopicDoesNotHaveAreNeverResetInSilence) {
  ASSERT_TRUE(mock_->CreateTopic("t", 1).ok());
  Fill("t", 0, 10, 1);
  auto source = KafkaSource::Make(Spec("t")).ValueOrDie();
  const Status status = source->Open({{0, "11"}});
  EXPECT_EQ(CodeOf(status), ErrorCode::kKafka);
  EXPECT_THAT(MessageOf(status), HasSubstr("topic 't', partition 0, offset 11"));
  EXPECT_THAT(MessageOf(status), HasSubstr("0 to 10"));
  EXPECT_EQ(CodeOf(source->Open({{0, "x"}})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(source->Open({{7, "0"}})), ErrorCode::kIncompatibleState);
  EXPECT_TRUE(source->Open({{0, "9"}}).ok());
  EXPECT_EQ(Read(source.get(), 1), Range(9, 10));
}

TEST_F(KafkaTest, ABadRecordFailsWithItsPlaceAfterTheRowsBeforeIt) {
  ASSERT_TRUE(mock_->CreateTopic("t", 1).ok());
  Fill("t", 0, 3, 1);
  ProducerRecord bad;
  bad.value = R"({"n": "many"})";
  bad.partition = 0;
  ASSERT_TRUE(mock_->Produce("t", {bad}).ok());
  Fill("t", 3, 3, 1);
  auto source = KafkaSource::Make(Bounded("t")).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  EXPECT_EQ(Read(source.get(), 3), Range(0, 3));
  Status error;
  while (error.ok()) error = source->Next(kPatience).status();
  EXPECT_EQ(CodeOf(error), ErrorCode::kBadRecord);
  EXPECT_THAT(MessageOf(error), HasSubstr("topic 't', partition 0, offset 3: field 'n'"));
  EXPECT_EQ(source->Next(milliseconds(1)).status().ToString(), error.ToString());
}

TEST_F(KafkaTest, BadRecordsAreSkippedAndCountedWhenAsked) {
  ASSERT_TRUE(mock_->CreateTopic("t", 1).ok());
  Fill("t", 0, 3, 1);
  ProducerRecord bad;
  bad.value = "not JSON";
  bad.partition = 0;
  ProducerRecord tombstone;
  tombstone.partition = 0;
  ASSERT_TRUE(mock_->Produce("t", {bad, tombstone}).ok());
  auto spec = Bounded("t");
  spec.format_options = {{"ignore-parse-errors", "true"}};
  auto source = KafkaSource::Make(spec).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  int64_t rows = 0, skipped = 0;
  std::string last;
  while (!source->finished()) {
    auto next = source->Next(milliseconds(1000)).ValueOrDie();
    if (!next) continue;
    rows += next->rows->num_rows();
    skipped += next->bad_records;
    last = next->next_offset;
  }
  EXPECT_EQ(rows, 3);
  EXPECT_EQ(skipped, 2);
  EXPECT_EQ(last, "5");
  EXPECT_EQ(source->metrics().bad_records, 2u);
}

TEST_F(KafkaTest, CloseWakesANextThatWaits) {
  ASSERT_TRUE(mock_->CreateTopic("t", 1).ok());
  auto source = KafkaSource::Make(Spec("t")).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  const auto begin = steady_clock::now();
  std::thread closer([&] {
    std::this_thread::sleep_for(milliseconds(200));
    source->Close();
  });
  EXPECT_EQ(CodeOf(source->Next(kPatience).status()), ErrorCode::kClosed);
  closer.join();
  source->Close();
  EXPECT_LT(SecondsSince(begin), 5);
  EXPECT_EQ(CodeOf(source->Open({})), ErrorCode::kClosed);
}

TEST_F(KafkaTest, CloseEndsAnOpenThatWaits) {
  auto source =
      KafkaSource::Make(Spec("t", {{"properties.bootstrap.servers", "127.0.0.1:1"}})).ValueOrDie();
  const auto begin = steady_clock::now();
  std::thread closer([&] {
    std::this_thread::sleep_for(milliseconds(300));
    source->Close();
  });
  EXPECT_EQ(CodeOf(source->Open({})), ErrorCode::kClosed);
  closer.join();
  EXPECT_LT(SecondsSince(begin), 5);
}

TEST_F(KafkaTest, ReadingGoesOnAfterABrokerWentAwayAndCameBack) {
  ASSERT_TRUE(mock_->CreateTopic("t", 2).ok());
  Fill("t", 0, 100, 2);
  auto source = KafkaSource::Make(Spec("t")).ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  EXPECT_EQ(Read(source.get(), 100), Range(0, 100));
  ASSERT_TRUE(mock_->SetBrokerDown(1).ok());
  // Out of reach is not caught up: such a partition must not count as idle.
  const auto begin = steady_clock::now();
  bool suspect = false;
  while (!suspect && SecondsSince(begin) < 15) {
    EXPECT_TRUE(source->Next(milliseconds(50)).ok());
    suspect = !source->Partitions()[0].caught_up;
  }
  EXPECT_TRUE(suspect);
  EXPECT_GT(source->metrics().connection_errors, 0u);
  EXPECT_NE(source->metrics().last_error, "");
  ASSERT_TRUE(mock_->SetBrokerUp(1).ok());
  Fill("t", 100, 100, 2);
  EXPECT_EQ(Read(source.get(), 100), Range(100, 200));
  bool caught_up = false;
  while (!caught_up && SecondsSince(begin) < 30) {
    EXPECT_TRUE(source->Next(milliseconds(50)).ok());
    caught_up = source->Partitions()[0].caught_up && source->Partitions()[1].caught_up;
  }
  EXPECT_TRUE(caught_up);
}

TEST_F(KafkaTest, ASlowReaderBoundsWhatIsQueued) {
  ASSERT_TRUE(mock_->CreateTopic("t", 4).ok());
  Fill("t", 0, 60'000, 4);
  KafkaSourceLimits limits;
  limits.batch_rows = 1000;
  limits.queue_bytes = 64 * 1024;
  auto source =
      KafkaSource::Make(Bounded("t", {{"properties.queued.max.messages.kbytes", "64"}}), limits)
          .ValueOrDie();
  ASSERT_TRUE(source->Open({}).ok());
  std::this_thread::sleep_for(milliseconds(500));
  const KafkaSourceMetrics before = source->metrics();
  EXPECT_GT(before.records, 0u);
  EXPECT_LT(before.records, 20'000u);
  EXPECT_LE(before.queued_bytes, limits.queue_bytes);
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_EQ(source->metrics().records, before.records);  // it stands still until someone reads
  EXPECT_EQ(Read(source.get(), SIZE_MAX), Range(0, 60'000));
}

TEST_F(KafkaTest, TheMockSaysWhenItDroppedData) {
  ASSERT_TRUE(mock_->CreateTopic("big", 1).ok());
  const std::string value(60'000, 'x');
  std::vector<ProducerRecord> records(40);
  for (ProducerRecord& record : records) record.value = value;
  EXPECT_TRUE(mock_->Produce("big", records).ok());
  Status status;
  for (int i = 0; i < 5 && status.ok(); ++i) status = mock_->Produce("big", records);
  EXPECT_EQ(CodeOf(status), ErrorCode::kKafka);
  EXPECT_THAT(MessageOf(status), HasSubstr("a partition holds at most 5 MB"));
}

TEST_F(KafkaTest, TheProducerReportsWhatItCouldNotDeliver) {
  ProducerOptions options;
  options.bootstrap_servers = "127.0.0.1:1";
  auto producer = Producer::Make(options).ValueOrDie();
  ProducerRecord record;
  record.value = "x";
  ASSERT_TRUE(producer->Produce("t", record).ok());
  const Status status = producer->Flush(milliseconds(500));
  EXPECT_EQ(CodeOf(status), ErrorCode::kTimedOut);
  EXPECT_THAT(MessageOf(status), HasSubstr("1 messages to 127.0.0.1:1"));
  options.properties = {{"acks", "some"}};
  EXPECT_THAT(MessageOf(Producer::Make(options).status()), HasSubstr("'acks'"));
}

TEST_F(KafkaTest, GroupOffsetsAreCommittedOnlyWhereAGroupIsNamed) {
  ASSERT_TRUE(mock_->CreateTopic("t", 1).ok());
  Fill("t", 0, 10, 1);
  auto without = KafkaSource::Make(Spec("t")).ValueOrDie();
  ASSERT_TRUE(without->Open({}).ok());
  EXPECT_TRUE(without->Commit({{0, "5"}}).ok());
  auto with = KafkaSource::Make(Spec("t", {{"properties.group.id", "g"}})).ValueOrDie();
  EXPECT_EQ(CodeOf(with->Commit({{0, "5"}})), ErrorCode::kClosed);
  ASSERT_TRUE(with->Open({}).ok());
  ASSERT_TRUE(with->Commit({{0, "5"}}).ok());
  EXPECT_EQ(Read(with.get(), 10), Range(0, 10));
}

TEST(KafkaOptions, PartitionListsAreReadAndBounded) {
  EXPECT_THAT(ParsePartitions("0-3").ValueOrDie(), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(ParsePartitions("2, 0,1-2").ValueOrDie(), ElementsAre(0, 1, 2));
  for (const char* wrong : {"", "a", "1-", "-1", "1,,2", "0-99999999", "1 2"}) {
    EXPECT_FALSE(ParsePartitions(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace marble::kafka
