// Streaming jobs: the manager over a database, its jobs, and sources that JavaScript feeds.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "napi/arrow_export.h"
#include "napi/arrow_import.h"
#include "napi/bindings.h"
#include "napi/database_handle.h"
#include "napi/environment.h"
#include "napi/node_value.h"
#include "napi/promise_task.h"
#include "napi/thread_callback.h"
#include "stream/job.h"

namespace marble::napi {

namespace {

class JobManagerHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kJobManager;
  JobManagerHandle(std::shared_ptr<DatabaseHandle> database,
                   std::shared_ptr<stream::JobManager> manager)
      : Handle(kKind), database(std::move(database)), manager(std::move(manager)) {}
  ~JobManagerHandle() override { manager->Close(); }
  void Close() override { manager->Close(); }
  const std::shared_ptr<DatabaseHandle> database;
  const std::shared_ptr<stream::JobManager> manager;
};

class JobHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kJob;
  JobHandle(std::shared_ptr<JobManagerHandle> manager, std::shared_ptr<stream::Job> job)
      : Handle(kKind),
        manager(std::move(manager)),
        job(std::move(job)),
        strand(std::make_shared<Strand>()) {}
  ~JobHandle() override { SetListener(nullptr); }
  void Close() override { SetListener(nullptr); }
  void SetListener(std::shared_ptr<ThreadCallback> callback);
  const std::shared_ptr<JobManagerHandle> manager;
  const std::shared_ptr<stream::Job> job;
  const std::shared_ptr<Strand> strand;

 private:
  std::shared_ptr<ThreadCallback> callback_;
};

constexpr const char* kEventNames[] = {"epoch",   "checkpoint", "late",     "badRecord",
                                       "stalled", "failed",     "finished", "status"};

void JobHandle::SetListener(std::shared_ptr<ThreadCallback> callback) {
  if (callback_ == nullptr && callback == nullptr) return;
  if (callback == nullptr) {
    job->SetListener(nullptr);
  } else {
    job->SetListener([callback](const stream::JobEvent& event) {
      callback->Call([event](napi_env env) {
        return std::vector<napi_value>{MakeString(env, kEventNames[static_cast<int>(event.kind)]),
                                       MakeBigUint(env, event.epoch),
                                       MakeString(env, event.message)};
      });
    });
  }
  if (callback_ != nullptr) callback_->Close();
  callback_ = std::move(callback);
}

class PushSourceHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kPushSource;
  PushSourceHandle(std::shared_ptr<arrow::Schema> schema, std::shared_ptr<ThreadCallback> demand)
      : Handle(kKind),
        schema(std::move(schema)),
        demand(std::move(demand)),
        source(stream::PushSource::Make(this->schema,
                                        [callback = this->demand] { callback->Call(nullptr); })) {}
  ~PushSourceHandle() override { demand->Close(); }
  void Close() override { demand->Close(); }
  const std::shared_ptr<arrow::Schema> schema;
  const std::shared_ptr<ThreadCallback> demand;
  const std::shared_ptr<stream::PushSource> source;
};

// function jobManagerOpen(database: DatabaseHandle, options: JobManagerOptions):
// Promise<JobManagerHandle>
napi_value JobManagerOpen(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  if (database == nullptr) return nullptr;
  if (Status open = database->CheckOpen(); !open.ok()) return RejectedPromise(env, open);
  auto number = [&](const char* name, int64_t fallback) {
    napi_value value = nullptr;
    int64_t result = fallback;
    napi_get_named_property(env, args[1], name, &value);
    if (!IsNullish(env, value)) napi_get_value_int64(env, value, &result);
    return result;
  };
  stream::JobManagerOptions options;
  options.epoch_ms = number("epochMs", options.epoch_ms);
  options.checkpoint_interval_ms = number("checkpointIntervalMs", options.checkpoint_interval_ms);
  options.max_parallelism =
      static_cast<uint16_t>(number("maxParallelism", options.max_parallelism));
  auto opened = std::make_shared<std::shared_ptr<JobManagerHandle>>();
  return StartTask(
      env, {.strand = nullptr,
            .work =
                [database, options, opened] {
                  MARBLE_ASSIGN_OR_RETURN(auto manager,
                                          stream::JobManager::Open(database->shared_db(), options));
                  *opened = std::make_shared<JobManagerHandle>(database, std::move(manager));
                  return Status::OK();
                },
            .result = [opened](napi_env env) { return WrapHandle(env, std::move(*opened)); }});
}

// function jobManagerClose(manager: JobManagerHandle): Promise<void>
napi_value JobManagerClose(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto manager = SharedHandleOf<JobManagerHandle>(env, args[0]);
  if (manager == nullptr) return nullptr;
  return StartTask(env, {.strand = nullptr,
                         .work =
                             [manager] {
                               manager->manager->Close();
                               return Status::OK();
                             },
                         .result = nullptr});
}

// function jobStart(manager: JobManagerHandle, plan: string, fresh: boolean, sourceIds: string[],
// sources: PushSourceHandle[]): Promise<JobHandle>
napi_value JobStart(napi_env env, napi_callback_info info) {
  Arguments<5> args(env, info);
  auto manager = SharedHandleOf<JobManagerHandle>(env, args[0]);
  std::string plan;
  stream::StartOptions options;
  uint32_t count = 0;
  if (manager == nullptr || !ReadString(env, args[1], "plan", &plan) ||
      !ReadBool(env, args[2], &options.fresh)) {
    return nullptr;
  }
  napi_get_array_length(env, args[3], &count);
  for (uint32_t i = 0; i < count; ++i) {
    napi_value id_value = nullptr;
    napi_value source_value = nullptr;
    std::string id;
    napi_get_element(env, args[3], i, &id_value);
    napi_get_element(env, args[4], i, &source_value);
    auto* source = HandleOf<PushSourceHandle>(env, source_value);
    if (source == nullptr || !ReadString(env, id_value, "id", &id)) return nullptr;
    options.push_sources.emplace(std::move(id), source->source);
  }
  auto started = std::make_shared<std::shared_ptr<JobHandle>>();
  return StartTask(
      env, {.strand = nullptr,
            .work =
                [manager, plan, options, started] {
                  MARBLE_ASSIGN_OR_RETURN(auto job, manager->manager->Start(plan, options));
                  *started = std::make_shared<JobHandle>(manager, std::move(job));
                  return Status::OK();
                },
            .result = [started](napi_env env) { return WrapHandle(env, std::move(*started)); }});
}

// function jobInfo(job: JobHandle): { id: string, name: string }
napi_value JobInfo(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* job = HandleOf<JobHandle>(env, args[0]);
  if (job == nullptr) return nullptr;
  napi_value object = MakeObject(env);
  SetProperty(env, object, "id", MakeString(env, job->job->id()));
  SetProperty(env, object, "name", MakeString(env, job->job->name()));
  return object;
}

// function jobStatus(job: JobHandle): string
napi_value JobStatus(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* job = HandleOf<JobHandle>(env, args[0]);
  if (job == nullptr) return nullptr;
  return MakeString(env, stream::JobStatusName(job->job->status()));
}

// function jobError(job: JobHandle): Error | undefined
napi_value JobError(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* job = HandleOf<JobHandle>(env, args[0]);
  if (job == nullptr) return nullptr;
  Status error = job->job->error();
  return error.ok() ? Undefined(env) : StatusToError(env, error);
}

napi_value MakeSourceMetrics(napi_env env, const stream::SourceMetrics& source) {
  napi_value object = MakeObject(env);
  SetProperty(env, object, "name", MakeString(env, source.name));
  SetProperty(env, object, "partition", MakeNumber(env, source.partition));
  SetProperty(env, object, "offset", MakeString(env, source.offset));
  SetProperty(env, object, "lag", MakeNumber(env, static_cast<double>(source.lag)));
  SetProperty(env, object, "watermark",
              source.watermark_ms.has_value()
                  ? MakeNumber(env, static_cast<double>(*source.watermark_ms))
                  : Null(env));
  SetProperty(env, object, "idle", MakeBool(env, source.idle));
  return object;
}

napi_value MakeOperatorMetrics(napi_env env, const stream::OperatorMetrics& op) {
  napi_value object = MakeObject(env);
  SetProperty(env, object, "id", MakeString(env, op.id));
  SetProperty(env, object, "type", MakeString(env, op.type));
  auto number = [&](const char* name, uint64_t value) {
    SetProperty(env, object, name, MakeNumber(env, static_cast<double>(value)));
  };
  number("rowsIn", op.rows_in);
  number("rowsOut", op.rows_out);
  number("lateRows", op.late_rows);
  number("stateRows", op.state_rows);
  number("stateBytes", op.state_bytes);
  SetProperty(env, object, "busyMs", MakeNumber(env, static_cast<double>(op.busy_micros) / 1000));
  return object;
}

// function jobMetrics(job: JobHandle): NativeJobMetrics
napi_value JobMetrics(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* job = HandleOf<JobHandle>(env, args[0]);
  if (job == nullptr) return nullptr;
  stream::JobMetrics metrics = job->job->metrics();
  napi_value object = MakeObject(env);
  auto big = [&](const char* name, uint64_t value) {
    SetProperty(env, object, name, MakeBigUint(env, value));
  };
  big("recordsIn", metrics.records_in);
  big("recordsOut", metrics.records_out);
  SetProperty(env, object, "recordsPerSecond", MakeNumber(env, metrics.records_per_second));
  big("lateRecords", metrics.late_records);
  big("badRecords", metrics.bad_records);
  SetProperty(env, object, "watermark",
              metrics.watermark_ms.has_value()
                  ? MakeNumber(env, static_cast<double>(*metrics.watermark_ms))
                  : Null(env));
  big("epoch", metrics.epoch);
  big("resumedFromEpoch", metrics.resumed_from_epoch);
  SetProperty(env, object, "lastCheckpoint",
              metrics.last_checkpoint_ms < 0
                  ? Null(env)
                  : MakeNumber(env, static_cast<double>(metrics.last_checkpoint_ms)));
  big("commits", metrics.commits);
  SetProperty(env, object, "commitMs",
              MakeNumber(env, static_cast<double>(metrics.commit_micros) / 1000));
  big("stateRowsCommitted", metrics.state_rows_committed);
  napi_value sources = MakeArray(env, metrics.sources.size());
  for (size_t i = 0; i < metrics.sources.size(); ++i) {
    napi_set_element(env, sources, static_cast<uint32_t>(i),
                     MakeSourceMetrics(env, metrics.sources[i]));
  }
  SetProperty(env, object, "sources", sources);
  napi_value operators = MakeArray(env, metrics.operators.size());
  for (size_t i = 0; i < metrics.operators.size(); ++i) {
    napi_set_element(env, operators, static_cast<uint32_t>(i),
                     MakeOperatorMetrics(env, metrics.operators[i]));
  }
  SetProperty(env, object, "operators", operators);
  return object;
}

// Run a call of a job on its strand: pause, resume, cancel and stop happen in the order of the
// calls.
napi_value OnJob(napi_env env, napi_callback_info info, Status (*call)(stream::Job*)) {
  Arguments<1> args(env, info);
  auto job = SharedHandleOf<JobHandle>(env, args[0]);
  if (job == nullptr) return nullptr;
  return StartTask(env, {.strand = job->strand,
                         .work = [job, call] { return call(job->job.get()); },
                         .result = nullptr});
}

// function jobPause(job: JobHandle): Promise<void>
napi_value JobPause(napi_env env, napi_callback_info info) {
  return OnJob(env, info, [](stream::Job* job) {
    job->Pause();
    return Status::OK();
  });
}

// function jobResume(job: JobHandle): Promise<void>
napi_value JobResume(napi_env env, napi_callback_info info) {
  return OnJob(env, info, [](stream::Job* job) {
    job->Resume();
    return Status::OK();
  });
}

// function jobCancel(job: JobHandle): Promise<void>
napi_value JobCancel(napi_env env, napi_callback_info info) {
  return OnJob(env, info, [](stream::Job* job) {
    job->Cancel();
    return Status::OK();
  });
}

// function jobStop(job: JobHandle): Promise<void>
napi_value JobStop(napi_env env, napi_callback_info info) {
  return OnJob(env, info, [](stream::Job* job) { return job->Stop(); });
}

// function jobDrain(job: JobHandle): Promise<void>
napi_value JobDrain(napi_env env, napi_callback_info info) {
  return OnJob(env, info, [](stream::Job* job) { return job->Drain(); });
}

// function jobOn(job: JobHandle, listener: (event: string, epoch: bigint, message: string) =>
// void): void
napi_value JobOn(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto* job = HandleOf<JobHandle>(env, args[0]);
  if (job == nullptr) return nullptr;
  auto callback = ThreadCallback::Make(env, args[1], "the listener");
  if (callback != nullptr) job->SetListener(std::move(callback));
  return nullptr;
}

// function jobNextResult(job: JobHandle, timeoutMs: number): Promise<BatchChunk | null | undefined>
napi_value JobNextResult(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto job = SharedHandleOf<JobHandle>(env, args[0]);
  int64_t timeout = 0;
  if (job == nullptr || !ReadInt64(env, args[1], "timeoutMs", &timeout)) return nullptr;
  struct Step {
    bool end = false;
    std::vector<ExportedBatch> exported;
    std::vector<int> columns;
  };
  auto step = std::make_shared<Step>();
  return StartTask(
      env, {.strand = nullptr,
            .work =
                [job, step, timeout] {
                  MARBLE_ASSIGN_OR_RETURN(auto result,
                                          job->job->NextResult(std::chrono::milliseconds(timeout)));
                  if (!result.has_value()) return Status::OK();
                  if (*result == nullptr) {
                    step->end = true;
                    return Status::OK();
                  }
                  for (int i = 0; i < (*result)->num_columns(); ++i) step->columns.push_back(i);
                  MARBLE_ASSIGN_OR_RETURN(auto exported, CopyBatch(**result, step->columns));
                  step->exported.push_back(std::move(exported));
                  return Status::OK();
                },
            .result = [step](napi_env env) -> napi_value {
              if (step->end) return Null(env);
              if (step->exported.empty()) return Undefined(env);
              return DeliverBatches(env, std::move(step->exported), step->columns);
            }});
}

// function pushSourceNew(schema: string, onDemand: () => void): PushSourceHandle
napi_value PushSourceNew(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  std::string json;
  if (!ReadString(env, args[0], "schema", &json)) return nullptr;
  auto schema = CachedSchema(Environment::Get(env), json);
  if (!schema.ok()) {
    ThrowStatus(env, schema.status());
    return nullptr;
  }
  auto demand = ThreadCallback::Make(env, args[1], "onDemand");
  if (demand == nullptr) return nullptr;
  return WrapHandle(env, std::make_shared<PushSourceHandle>(*schema, std::move(demand)));
}

// function pushSourcePush(source: PushSourceHandle, batch: ImportedBatch): boolean
napi_value PushSourcePush(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto* source = HandleOf<PushSourceHandle>(env, args[0]);
  if (source == nullptr) return nullptr;
  auto push = [&]() -> Result<bool> {
    MARBLE_ASSIGN_OR_RETURN(auto batch, ImportBatch(env, args[1], source->schema));
    MARBLE_ASSIGN_OR_RETURN(auto conformed, ConformBatch(batch, source->schema));
    return source->source->Push(std::move(conformed));
  };
  Result<bool> room = push();
  if (!room.ok()) {
    ThrowStatus(env, room.status());
    return nullptr;
  }
  return MakeBool(env, *room);
}

// function pushSourceFinish(source: PushSourceHandle): void
napi_value PushSourceFinish(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  if (auto* source = HandleOf<PushSourceHandle>(env, args[0])) source->source->Finish();
  return nullptr;
}

// function pushSourceFail(source: PushSourceHandle, message: string): void
napi_value PushSourceFail(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto* source = HandleOf<PushSourceHandle>(env, args[0]);
  std::string message;
  if (source == nullptr || !ReadString(env, args[1], "message", &message)) return nullptr;
  source->source->Fail(MakeError(ErrorCode::kBadRecord, message));
  return nullptr;
}

}  // namespace

void RegisterJob(napi_env env, napi_value exports) {
  Export(env, exports, "jobManagerOpen", JobManagerOpen);
  Export(env, exports, "jobManagerClose", JobManagerClose);
  Export(env, exports, "jobStart", JobStart);
  Export(env, exports, "jobInfo", JobInfo);
  Export(env, exports, "jobStatus", JobStatus);
  Export(env, exports, "jobError", JobError);
  Export(env, exports, "jobMetrics", JobMetrics);
  Export(env, exports, "jobPause", JobPause);
  Export(env, exports, "jobResume", JobResume);
  Export(env, exports, "jobCancel", JobCancel);
  Export(env, exports, "jobStop", JobStop);
  Export(env, exports, "jobDrain", JobDrain);
  Export(env, exports, "jobOn", JobOn);
  Export(env, exports, "jobNextResult", JobNextResult);
  Export(env, exports, "pushSourceNew", PushSourceNew);
  Export(env, exports, "pushSourcePush", PushSourcePush);
  Export(env, exports, "pushSourceFinish", PushSourceFinish);
  Export(env, exports, "pushSourceFail", PushSourceFail);
}

}  // namespace marble::napi
