// Kafka for tests and demos: a producer, and librdkafka's mock cluster. Reading topics goes through
// source_binding.cc and jobs.
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kafka/kafka_source.h"
#include "kafka/mock_cluster.h"
#include "kafka/producer.h"
#include "napi/bindings.h"
#include "napi/environment.h"
#include "napi/handle.h"
#include "napi/node_value.h"
#include "napi/promise_task.h"

namespace marble::napi {

namespace {

using std::chrono::milliseconds;
constexpr milliseconds kMetadataTimeout{10'000};

class ProducerHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kProducer;
  explicit ProducerHandle(std::unique_ptr<kafka::Producer> producer)
      : Handle(kKind), producer(std::move(producer)), strand(std::make_shared<Strand>()) {}
  std::unique_ptr<kafka::Producer> producer;  // null once closed; strand only
  const std::shared_ptr<Strand> strand;
};

class MockClusterHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kMockCluster;
  explicit MockClusterHandle(std::unique_ptr<kafka::MockCluster> cluster)
      : Handle(kKind), cluster(std::move(cluster)), strand(std::make_shared<Strand>()) {}
  const std::unique_ptr<kafka::MockCluster> cluster;
  const std::shared_ptr<Strand> strand;
  bool closed = false;  // strand only
};

struct OwnedRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;
  int32_t partition = -1;
  int64_t timestamp_ms = 0;
};

// [{ key, value, partition, timestamp }]
bool ReadRecords(napi_env env, napi_value array, std::vector<OwnedRecord>* records) {
  uint32_t count = 0;
  if (napi_get_array_length(env, array, &count) != napi_ok) {
    ThrowTypeError(env, "records must be an array");
    return false;
  }
  records->resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    napi_handle_scope scope = nullptr;
    napi_open_handle_scope(env, &scope);
    napi_value object = nullptr;
    napi_get_element(env, array, i, &object);
    auto get = [&](const char* name) {
      napi_value value = nullptr;
      napi_get_named_property(env, object, name, &value);
      return value;
    };
    OwnedRecord& record = (*records)[i];
    bool ok = true;
    auto read_bytes = [&](const char* name, std::optional<std::string>* out) {
      napi_value value = get(name);
      if (!ok || IsNullish(env, value)) return;
      BytesArgument bytes;
      ok = bytes.Read(env, value, name);
      if (ok) *out = std::string(bytes.view());
    };
    read_bytes("key", &record.key);
    read_bytes("value", &record.value);
    int64_t number = 0;
    if (napi_value partition = get("partition"); ok && !IsNullish(env, partition)) {
      ok = ReadInt64(env, partition, "partition", &number);
      record.partition = static_cast<int32_t>(number);
    }
    if (napi_value timestamp = get("timestamp"); ok && !IsNullish(env, timestamp)) {
      ok = ReadInt64(env, timestamp, "timestamp", &record.timestamp_ms);
    }
    napi_close_handle_scope(env, scope);
    if (!ok) return false;
  }
  return true;
}

kafka::ProducerRecord View(const OwnedRecord& record) {
  kafka::ProducerRecord view;
  if (record.key.has_value()) view.key = *record.key;
  if (record.value.has_value()) view.value = *record.value;
  view.partition = record.partition;
  view.timestamp_ms = record.timestamp_ms;
  return view;
}

// function producerConnect(bootstrapServers: string, properties: [string, string][]):
// Promise<ProducerHandle>
napi_value ProducerConnect(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  kafka::ProducerOptions options;
  uint32_t count = 0;
  if (!ReadString(env, args[0], "bootstrapServers", &options.bootstrap_servers)) return nullptr;
  napi_get_array_length(env, args[1], &count);
  for (uint32_t i = 0; i < count; ++i) {
    napi_value pair = nullptr;
    napi_value name_value = nullptr;
    napi_value text_value = nullptr;
    std::string name;
    std::string text;
    napi_get_element(env, args[1], i, &pair);
    napi_get_element(env, pair, 0, &name_value);
    napi_get_element(env, pair, 1, &text_value);
    if (!ReadString(env, name_value, "property", &name) ||
        !ReadString(env, text_value, "value", &text)) {
      return nullptr;
    }
    options.properties.emplace(std::move(name), std::move(text));
  }
  auto made = std::make_shared<std::shared_ptr<ProducerHandle>>();
  return StartTask(env,
                   {.strand = nullptr,
                    .work =
                        [options, made] {
                          MARBLE_ASSIGN_OR_RETURN(auto producer, kafka::Producer::Make(options));
                          *made = std::make_shared<ProducerHandle>(std::move(producer));
                          return Status::OK();
                        },
                    .result = [made](napi_env env) { return WrapHandle(env, std::move(*made)); }});
}

using ProducerCall = std::function<Status(kafka::Producer*)>;
napi_value OnProducer(napi_env env, const std::shared_ptr<ProducerHandle>& handle,
                      ProducerCall call) {
  return StartTask(env, {.strand = handle->strand,
                         .work =
                             [handle, call = std::move(call)] {
                               if (handle->producer == nullptr) {
                                 return MakeError(ErrorCode::kClosed, "the producer is closed");
                               }
                               return call(handle->producer.get());
                             },
                         .result = nullptr});
}

// function producerProduce(producer: ProducerHandle, topic: string, records: object[]):
// Promise<void>
napi_value ProducerProduce(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto producer = SharedHandleOf<ProducerHandle>(env, args[0]);
  std::string topic;
  auto records = std::make_shared<std::vector<OwnedRecord>>();
  if (producer == nullptr || !ReadString(env, args[1], "topic", &topic) ||
      !ReadRecords(env, args[2], records.get())) {
    return nullptr;
  }
  return OnProducer(env, producer, [topic, records](kafka::Producer* producer) {
    for (const OwnedRecord& record : *records) {
      MARBLE_RETURN_NOT_OK(producer->Produce(topic, View(record)));
    }
    return Status::OK();
  });
}

// function producerFlush(producer: ProducerHandle, timeoutMs: number): Promise<void>
napi_value ProducerFlush(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto producer = SharedHandleOf<ProducerHandle>(env, args[0]);
  int64_t timeout = 0;
  if (producer == nullptr || !ReadInt64(env, args[1], "timeoutMs", &timeout)) return nullptr;
  return OnProducer(env, producer, [timeout](kafka::Producer* producer) {
    return producer->Flush(milliseconds(timeout));
  });
}

// function producerCreateTopic(producer: ProducerHandle, topic: string, partitions: number):
// Promise<void>
napi_value ProducerCreateTopic(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto producer = SharedHandleOf<ProducerHandle>(env, args[0]);
  std::string topic;
  int64_t partitions = 0;
  if (producer == nullptr || !ReadString(env, args[1], "topic", &topic) ||
      !ReadInt64(env, args[2], "partitions", &partitions)) {
    return nullptr;
  }
  return OnProducer(env, producer, [topic, partitions](kafka::Producer* producer) {
    return producer->CreateTopic(topic, static_cast<int32_t>(partitions), kMetadataTimeout);
  });
}

// function producerWatermarks(producer: ProducerHandle, topic: string): Promise<{ low: bigint,
// high: bigint }[]>
napi_value ProducerWatermarks(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto handle = SharedHandleOf<ProducerHandle>(env, args[0]);
  std::string topic;
  if (handle == nullptr || !ReadString(env, args[1], "topic", &topic)) return nullptr;
  auto ranges = std::make_shared<std::vector<std::pair<int64_t, int64_t>>>();
  return StartTask(
      env, {.strand = handle->strand,
            .work =
                [handle, topic, ranges] {
                  if (handle->producer == nullptr) {
                    return MakeError(ErrorCode::kClosed, "the producer is closed");
                  }
                  MARBLE_ASSIGN_OR_RETURN(
                      int32_t count, handle->producer->PartitionCount(topic, kMetadataTimeout));
                  for (int32_t i = 0; i < count; ++i) {
                    MARBLE_ASSIGN_OR_RETURN(
                        auto range, handle->producer->Watermarks(topic, i, kMetadataTimeout));
                    ranges->push_back(range);
                  }
                  return Status::OK();
                },
            .result =
                [ranges](napi_env env) {
                  napi_value array = MakeArray(env, ranges->size());
                  for (size_t i = 0; i < ranges->size(); ++i) {
                    napi_value object = MakeObject(env);
                    SetProperty(env, object, "low", MakeBigInt(env, (*ranges)[i].first));
                    SetProperty(env, object, "high", MakeBigInt(env, (*ranges)[i].second));
                    napi_set_element(env, array, static_cast<uint32_t>(i), object);
                  }
                  return array;
                }});
}

// function producerClose(producer: ProducerHandle): Promise<void>
napi_value ProducerClose(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto producer = SharedHandleOf<ProducerHandle>(env, args[0]);
  if (producer == nullptr) return nullptr;
  return StartTask(env, {.strand = producer->strand,
                         .work =
                             [producer] {
                               producer->producer = nullptr;
                               return Status::OK();
                             },
                         .result = nullptr});
}

// function mockClusterStart(brokers: number, partitions: number): Promise<MockClusterHandle>
napi_value MockClusterStart(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  int64_t brokers = 0;
  int64_t partitions = 0;
  if (!ReadInt64(env, args[0], "brokers", &brokers) ||
      !ReadInt64(env, args[1], "partitions", &partitions)) {
    return nullptr;
  }
  kafka::MockClusterOptions options;
  options.brokers = static_cast<int>(brokers);
  options.partitions = static_cast<int32_t>(partitions);
  auto made = std::make_shared<std::shared_ptr<MockClusterHandle>>();
  return StartTask(env,
                   {.strand = nullptr,
                    .work =
                        [options, made] {
                          MARBLE_ASSIGN_OR_RETURN(auto cluster, kafka::MockCluster::Make(options));
                          *made = std::make_shared<MockClusterHandle>(std::move(cluster));
                          return Status::OK();
                        },
                    .result = [made](napi_env env) { return WrapHandle(env, std::move(*made)); }});
}

// function mockClusterBootstrap(cluster: MockClusterHandle): string
napi_value MockClusterBootstrap(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* cluster = HandleOf<MockClusterHandle>(env, args[0]);
  return cluster == nullptr ? nullptr : MakeString(env, cluster->cluster->bootstrap_servers());
}

using ClusterCall = std::function<Status(kafka::MockCluster*)>;
napi_value OnCluster(napi_env env, const std::shared_ptr<MockClusterHandle>& handle,
                     ClusterCall call) {
  return StartTask(env, {.strand = handle->strand,
                         .work =
                             [handle, call = std::move(call)] {
                               if (handle->closed) {
                                 return MakeError(ErrorCode::kClosed, "the mock cluster is closed");
                               }
                               return call(handle->cluster.get());
                             },
                         .result = nullptr});
}

// function mockClusterCreateTopic(cluster: MockClusterHandle, topic: string, partitions: number):
// Promise<void>
napi_value MockClusterCreateTopic(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto cluster = SharedHandleOf<MockClusterHandle>(env, args[0]);
  std::string topic;
  int64_t partitions = 0;
  if (cluster == nullptr || !ReadString(env, args[1], "topic", &topic) ||
      !ReadInt64(env, args[2], "partitions", &partitions)) {
    return nullptr;
  }
  return OnCluster(env, cluster, [topic, partitions](kafka::MockCluster* mock) {
    return mock->CreateTopic(topic, static_cast<int32_t>(partitions));
  });
}

// function mockClusterProduce(cluster: MockClusterHandle, topic: string, records: object[]):
// Promise<void>
napi_value MockClusterProduce(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto cluster = SharedHandleOf<MockClusterHandle>(env, args[0]);
  std::string topic;
  auto records = std::make_shared<std::vector<OwnedRecord>>();
  if (cluster == nullptr || !ReadString(env, args[1], "topic", &topic) ||
      !ReadRecords(env, args[2], records.get())) {
    return nullptr;
  }
  return OnCluster(env, cluster, [topic, records](kafka::MockCluster* mock) {
    std::vector<kafka::ProducerRecord> views;
    views.reserve(records->size());
    for (const OwnedRecord& record : *records) views.push_back(View(record));
    return mock->Produce(topic, views);
  });
}

// function mockClusterSetBroker(cluster: MockClusterHandle, broker: number, up: boolean):
// Promise<void>
napi_value MockClusterSetBroker(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto cluster = SharedHandleOf<MockClusterHandle>(env, args[0]);
  int64_t broker = 0;
  bool up = false;
  if (cluster == nullptr || !ReadInt64(env, args[1], "broker", &broker) ||
      !ReadBool(env, args[2], &up)) {
    return nullptr;
  }
  return OnCluster(env, cluster, [broker, up](kafka::MockCluster* mock) {
    auto id = static_cast<int32_t>(broker);
    return up ? mock->SetBrokerUp(id) : mock->SetBrokerDown(id);
  });
}

// function mockClusterClose(cluster: MockClusterHandle): Promise<void>
napi_value MockClusterClose(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto cluster = SharedHandleOf<MockClusterHandle>(env, args[0]);
  if (cluster == nullptr) return nullptr;
  return StartTask(env, {.strand = cluster->strand,
                         .work =
                             [cluster] {
                               cluster->closed = true;
                               cluster->cluster->Close();
                               return Status::OK();
                             },
                         .result = nullptr});
}

}  // namespace

void RegisterKafka(napi_env env, napi_value exports) {
  kafka::RegisterKafka();  // the connector of sources and jobs
  Export(env, exports, "producerConnect", ProducerConnect);
  Export(env, exports, "producerProduce", ProducerProduce);
  Export(env, exports, "producerFlush", ProducerFlush);
  Export(env, exports, "producerCreateTopic", ProducerCreateTopic);
  Export(env, exports, "producerWatermarks", ProducerWatermarks);
  Export(env, exports, "producerClose", ProducerClose);
  Export(env, exports, "mockClusterStart", MockClusterStart);
  Export(env, exports, "mockClusterBootstrap", MockClusterBootstrap);
  Export(env, exports, "mockClusterCreateTopic", MockClusterCreateTopic);
  Export(env, exports, "mockClusterProduce", MockClusterProduce);
  Export(env, exports, "mockClusterSetBroker", MockClusterSetBroker);
  Export(env, exports, "mockClusterClose", MockClusterClose);
}

}  // namespace marble::napi
