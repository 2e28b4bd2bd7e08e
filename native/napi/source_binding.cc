// Connectors without SQL: any stream::Source as batches. A source has one user at a time, so all of
// its steps run on one strand.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "napi/arrow_export.h"
#include "napi/arrow_import.h"
#include "napi/bindings.h"
#include "napi/environment.h"
#include "napi/handle.h"
#include "napi/node_value.h"
#include "napi/promise_task.h"
#include "stream/source.h"

namespace marble::napi {

namespace {

class SourceHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kSource;
  SourceHandle(std::unique_ptr<stream::Source> source, int columns)
      : Handle(kKind), source(std::move(source)), strand(std::make_shared<Strand>()) {
    for (int i = 0; i < columns; ++i) this->columns.push_back(i);
  }
  ~SourceHandle() override { source->Close(); }
  void Close() override { source->Close(); }
  const std::unique_ptr<stream::Source> source;
  const std::shared_ptr<Strand> strand;
  std::vector<int> columns;
};

// { name: value } of strings.
bool ReadStrings(napi_env env, napi_value object, const char* what,
                 std::map<std::string, std::string>* out) {
  if (IsNullish(env, object)) return true;
  napi_value names = nullptr;
  uint32_t count = 0;
  napi_get_property_names(env, object, &names);
  napi_get_array_length(env, names, &count);
  for (uint32_t i = 0; i < count; ++i) {
    napi_value name = nullptr;
    napi_value value = nullptr;
    std::string key;
    std::string text;
    napi_get_element(env, names, i, &name);
    napi_get_property(env, object, name, &value);
    if (!ReadString(env, name, what, &key) || !ReadString(env, value, what, &text)) return false;
    out->emplace(std::move(key), std::move(text));
  }
  return true;
}

bool ReadOffsets(napi_env env, napi_value object, stream::Offsets* offsets) {
  std::map<std::string, std::string> strings;
  if (!ReadStrings(env, object, "an offset", &strings)) return false;
  for (auto& [partition, offset] : strings) {
    char* end = nullptr;
    long number = std::strtol(partition.c_str(), &end, 10);
    if (partition.empty() || *end != '\0' || number < 0 || number > INT32_MAX) {
      ThrowTypeError(env, "'" + partition + "' is no partition number");
      return false;
    }
    offsets->emplace(static_cast<int32_t>(number), std::move(offset));
  }
  return true;
}

// function sourceOpen(spec: SourceSpec, offsets: Record<string, string>): Promise<SourceHandle>
napi_value SourceOpen(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto get = [&](const char* name) {
    napi_value value = nullptr;
    napi_get_named_property(env, args[0], name, &value);
    return value;
  };
  stream::SourceSpec spec;
  stream::Offsets offsets;
  std::string schema_json;
  if (!ReadString(env, get("id"), "id", &spec.id) ||
      !ReadString(env, get("connector"), "connector", &spec.connector) ||
      !ReadString(env, get("format"), "format", &spec.format) ||
      !ReadString(env, get("schema"), "schema", &schema_json) ||
      !ReadStrings(env, get("options"), "an option", &spec.options) ||
      !ReadStrings(env, get("formatOptions"), "a format option", &spec.format_options) ||
      !ReadBool(env, get("bounded"), &spec.bounded) || !ReadOffsets(env, args[1], &offsets)) {
    return nullptr;
  }
  auto schema = CachedSchema(Environment::Get(env), schema_json);
  if (!schema.ok()) return RejectedPromise(env, schema.status());
  spec.table = spec.id;
  for (const auto& field : (*schema)->fields()) {
    spec.columns.push_back({stream::SourceColumn::Kind::kPhysical, field->name(), field});
  }
  auto opened = std::make_shared<std::shared_ptr<SourceHandle>>();
  return StartTask(
      env, {.strand = nullptr,
            .work =
                [spec, offsets, opened] {
                  MARBLE_ASSIGN_OR_RETURN(auto source, stream::MakeSource(spec));
                  MARBLE_RETURN_NOT_OK(source->Open(offsets));
                  *opened = std::make_shared<SourceHandle>(std::move(source),
                                                           static_cast<int>(spec.columns.size()));
                  return Status::OK();
                },
            .result = [opened](napi_env env) { return WrapHandle(env, std::move(*opened)); }});
}

// function sourceNext(source: SourceHandle, timeoutMs: number): Promise<SourceRows | undefined>
napi_value SourceNext(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto source = SharedHandleOf<SourceHandle>(env, args[0]);
  int64_t timeout = 0;
  if (source == nullptr || !ReadInt64(env, args[1], "timeoutMs", &timeout)) return nullptr;
  struct Step {
    std::optional<stream::SourceBatch> batch;
    std::vector<ExportedBatch> exported;
  };
  auto step = std::make_shared<Step>();
  return StartTask(
      env, {.strand = source->strand,
            .work =
                [source, step, timeout] {
                  MARBLE_ASSIGN_OR_RETURN(step->batch,
                                          source->source->Next(std::chrono::milliseconds(timeout)));
                  if (step->batch.has_value() && step->batch->rows != nullptr) {
                    MARBLE_ASSIGN_OR_RETURN(auto exported,
                                            CopyBatch(*step->batch->rows, source->columns));
                    step->exported.push_back(std::move(exported));
                  }
                  return Status::OK();
                },
            .result = [source, step](napi_env env) -> napi_value {
              if (!step->batch.has_value()) return Undefined(env);
              napi_value result = MakeObject(env);
              SetProperty(env, result, "partition", MakeNumber(env, step->batch->partition));
              SetProperty(env, result, "nextOffset", MakeString(env, step->batch->next_offset));
              SetProperty(env, result, "badRecords",
                          MakeNumber(env, static_cast<double>(step->batch->bad_records)));
              napi_value chunk = DeliverBatches(env, std::move(step->exported), source->columns);
              if (chunk == nullptr) return nullptr;
              SetProperty(env, result, "chunk", chunk);
              return result;
            }});
}

// function sourceFinished(source: SourceHandle): boolean
napi_value SourceFinished(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* source = HandleOf<SourceHandle>(env, args[0]);
  return source == nullptr ? nullptr : MakeBool(env, source->source->finished());
}

// function sourcePartitions(source: SourceHandle): PartitionStatus[]
napi_value SourcePartitions(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* source = HandleOf<SourceHandle>(env, args[0]);
  if (source == nullptr) return nullptr;
  std::vector<stream::PartitionStatus> partitions = source->source->Partitions();
  napi_value array = MakeArray(env, partitions.size());
  for (size_t i = 0; i < partitions.size(); ++i) {
    napi_value object = MakeObject(env);
    const stream::PartitionStatus& status = partitions[i];
    SetProperty(env, object, "partition", MakeNumber(env, status.partition));
    SetProperty(env, object, "highWatermark",
                MakeNumber(env, static_cast<double>(status.high_watermark)));
    SetProperty(env, object, "lag", MakeNumber(env, static_cast<double>(status.lag)));
    SetProperty(env, object, "finished", MakeBool(env, status.finished));
    SetProperty(env, object, "caughtUp", MakeBool(env, status.caught_up));
    napi_set_element(env, array, static_cast<uint32_t>(i), object);
  }
  return array;
}

// function sourceCommit(source: SourceHandle, offsets: Record<string, string>): Promise<void>
napi_value SourceCommit(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto source = SharedHandleOf<SourceHandle>(env, args[0]);
  stream::Offsets offsets;
  if (source == nullptr || !ReadOffsets(env, args[1], &offsets)) return nullptr;
  return StartTask(env, {.strand = source->strand,
                         .work = [source, offsets] { return source->source->Commit(offsets); },
                         .result = nullptr});
}

// function sourceClose(source: SourceHandle): Promise<void>
napi_value SourceClose(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto source = SharedHandleOf<SourceHandle>(env, args[0]);
  if (source == nullptr) return nullptr;
  // Not on the strand: it is what ends a step that waits.
  return StartTask(env, {.strand = nullptr,
                         .work =
                             [source] {
                               source->source->Close();
                               return Status::OK();
                             },
                         .result = nullptr});
}

}  // namespace

void RegisterSource(napi_env env, napi_value exports) {
  Export(env, exports, "sourceOpen", SourceOpen);
  Export(env, exports, "sourceNext", SourceNext);
  Export(env, exports, "sourceFinished", SourceFinished);
  Export(env, exports, "sourcePartitions", SourcePartitions);
  Export(env, exports, "sourceCommit", SourceCommit);
  Export(env, exports, "sourceClose", SourceClose);
}

}  // namespace marble::napi
