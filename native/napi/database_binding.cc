// The Database class: open, close, tables by name, maintenance, metrics.
#include <algorithm>
#include <climits>
#include <memory>
#include <string>
#include <utility>

#include "base/arrow_types.h"
#include "napi/bindings.h"
#include "napi/database_handle.h"
#include "napi/environment.h"
#include "napi/file_mappings.h"
#include "napi/node_value.h"
#include "napi/operation_handle.h"
#include "napi/promise_task.h"

namespace marble::napi {

namespace {

bool ReadDbOptions(napi_env env, napi_value object, lsm::DbOptions* options) {
  auto get = [&](const char* name) {
    napi_value value = nullptr;
    napi_get_named_property(env, object, name, &value);
    return value;
  };
  if (napi_value id = get("id"); !IsNullish(env, id) && !ReadString(env, id, "id", &options->id)) {
    return false;
  }
  if (napi_value create = get("create"); !IsNullish(env, create)) {
    if (!ReadBool(env, create, &options->create_if_missing)) return false;
  }
  std::string text;
  if (napi_value durability = get("durability"); !IsNullish(env, durability)) {
    if (!ReadString(env, durability, "durability", &text)) return false;
    options->durability = text == "power" ? lsm::Durability::kPower : lsm::Durability::kProcess;
  }
  if (napi_value verify = get("verifyReads"); !IsNullish(env, verify)) {
    if (!ReadString(env, verify, "verifyReads", &text)) return false;
    options->verify_reads = text == "always"  ? lsm::VerifyReads::kAlways
                            : text == "never" ? lsm::VerifyReads::kNever
                                              : lsm::VerifyReads::kFirst;
  }
  if (napi_value recovery = get("recovery"); !IsNullish(env, recovery)) {
    if (!ReadString(env, recovery, "recovery", &text)) return false;
    options->recovery = text == "truncate" ? lsm::Recovery::kTruncate : lsm::Recovery::kStrict;
  }
  if (napi_value threads = get("threads"); !IsNullish(env, threads)) {
    int64_t count = 0;
    if (!ReadInt64(env, threads, "threads", &count)) return false;
    options->threads = static_cast<int>(std::min<int64_t>(count, INT_MAX));
  }
  if (napi_value budget = get("memoryBudgetBytes"); !IsNullish(env, budget)) {
    int64_t bytes = 0;
    if (!ReadInt64(env, budget, "memoryBudgetBytes", &bytes)) return false;
    options->memory_budget_bytes = static_cast<uint64_t>(bytes);
  }
  if (napi_value block = get("maxBlockMs"); !IsNullish(env, block)) {
    if (!ReadInt64(env, block, "maxBlockMs", &options->max_block_ms)) return false;
  }
  return true;
}

// function databaseOpen(path: string, options: DatabaseOptions): Promise<DatabaseHandle>
napi_value DatabaseOpen(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  std::string path;
  lsm::DbOptions options;
  if (!ReadString(env, args[0], "path", &path) || !ReadDbOptions(env, args[1], &options)) {
    return nullptr;
  }
  auto opened = std::make_shared<std::shared_ptr<DatabaseHandle>>();
  return StartTask(
      env, {.strand = nullptr,
            .work =
                [path, options, opened] {
                  MARBLE_ASSIGN_OR_RETURN(OpenDatabase open, AcquireDatabase(path, options));
                  *opened = std::make_shared<DatabaseHandle>(std::move(open));
                  return Status::OK();
                },
            .result = [opened](napi_env env) { return WrapHandle(env, std::move(*opened)); }});
}

// function databaseClose(database: DatabaseHandle): Promise<void>
napi_value DatabaseClose(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  if (database == nullptr) return nullptr;
  database->MarkClosed();
  // Behind the writes that were called before.
  return StartTask(env, {.strand = database->writes(),
                         .work = [database] { return database->Release(); },
                         .result = nullptr});
}

// function databaseInfo(database: DatabaseHandle): { path: string, id: string }
napi_value DatabaseInfo(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* database = HandleOf<DatabaseHandle>(env, args[0]);
  if (database == nullptr) return nullptr;
  napi_value object = MakeObject(env);
  SetProperty(env, object, "path", MakeString(env, database->db()->path()));
  SetProperty(env, object, "id", MakeString(env, database->db()->id()));
  return object;
}

// Run a call of the database as a task.
napi_value StartOnDatabase(napi_env env, const std::shared_ptr<DatabaseHandle>& database,
                           bool after_writes, std::function<Status(lsm::DB*)> call) {
  if (Status open = database->CheckOpen(); !open.ok()) return RejectedPromise(env, open);
  return StartTask(env,
                   {.strand = after_writes ? database->writes() : nullptr,
                    .work = [database, call = std::move(call)] { return call(database->db()); },
                    .result = nullptr});
}

// function databaseFlush(database: DatabaseHandle): Promise<void>
napi_value DatabaseFlush(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  if (database == nullptr) return nullptr;
  return StartOnDatabase(env, database, true, [](lsm::DB* db) { return db->Flush(); });
}

// function databaseCompact(database: DatabaseHandle, table: string, lower: Bound | undefined,
// upper: Bound | undefined, operation: OperationHandle): Promise<void>
napi_value DatabaseCompact(napi_env env, napi_callback_info info) {
  Arguments<5> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  std::string table;
  if (database == nullptr || !ReadString(env, args[1], "table", &table)) return nullptr;
  auto operation = SharedHandleOf<OperationHandle>(env, args[4]);
  if (operation == nullptr) return nullptr;
  if (Status open = database->CheckOpen(); !open.ok()) return RejectedPromise(env, open);
  lsm::ScanRange range;
  bool nothing = false;
  if (!table.empty()) {
    Result<lsm::TableHandle> handle = database->db()->GetTable(table);
    if (!handle.ok()) return RejectedPromise(env, handle.status());
    if (!ReadKeyRange(env, args[2], args[3], *handle, &range, &nothing)) return nullptr;
  }
  // Not on the strand of writes, which go on meanwhile.
  return StartTask(
      env, {.strand = nullptr,
            .work =
                [database, table, range, nothing, operation] {
                  if (nothing) return Status::OK();
                  const lsm::CopyControl control = OperationHandle::ControlOf(operation);
                  lsm::CompactOptions options;
                  options.progress = control.progress;
                  options.cancelled = control.cancelled;
                  return database->db()->CompactRange(table, range.lower, range.upper, options);
                },
            .result = nullptr});
}

// function databaseSync(database: DatabaseHandle): Promise<void>
napi_value DatabaseSync(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  if (database == nullptr) return nullptr;
  return StartOnDatabase(env, database, true, [](lsm::DB* db) { return db->SyncLog(); });
}

// function databaseDropTable(database: DatabaseHandle, name: string, ifExists: boolean):
// Promise<void>
napi_value DatabaseDropTable(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  std::string name;
  bool if_exists = false;
  if (database == nullptr || !ReadString(env, args[1], "name", &name) ||
      !ReadBool(env, args[2], &if_exists)) {
    return nullptr;
  }
  return StartOnDatabase(env, database, true,
                         [name, if_exists](lsm::DB* db) { return db->DropTable(name, if_exists); });
}

bool ReadCompression(napi_env env, napi_value value, const char* option, lsm::Compression* out) {
  std::string name;
  if (!ReadString(env, value, option, &name)) return false;
  const Result<lsm::Compression> named = lsm::CompressionNamed(name, option);
  if (!named.ok()) {
    ThrowStatus(env, named.status());
    return false;
  }
  *out = *named;
  return true;
}

bool ReadTableOptions(napi_env env, napi_value object, lsm::TableOptions* options) {
  auto get = [&](const char* name) {
    napi_value value = nullptr;
    napi_get_named_property(env, object, name, &value);
    return value;
  };
  if (napi_value preset = get("preset"); !IsNullish(env, preset)) {
    std::string name;
    if (!ReadString(env, preset, "preset", &name)) return false;
    Result<lsm::TableOptions> made = lsm::PresetTableOptions(name);
    if (!made.ok()) {
      ThrowStatus(env, made.status());
      return false;
    }
    *options = *std::move(made);
  }
  if (napi_value bits = get("bloomBitsPerKey"); !IsNullish(env, bits)) {
    if (napi_get_value_double(env, bits, &options->bloom_bits_per_key) != napi_ok) {
      ThrowTypeError(env, "bloomBitsPerKey must be a number");
      return false;
    }
  }
  if (napi_value index = get("pointIndex"); !IsNullish(env, index)) {
    if (!ReadBool(env, index, &options->point_index)) return false;
  }
  if (napi_value maps = get("zoneMaps"); !IsNullish(env, maps)) {
    if (!ReadBool(env, maps, &options->zone_maps)) return false;
  }
  if (napi_value ttl = get("ttlMs"); !IsNullish(env, ttl)) {
    if (!ReadInt64(env, ttl, "ttlMs", &options->ttl_ms)) return false;
  }
  if (napi_value logged = get("logged"); !IsNullish(env, logged)) {
    if (!ReadBool(env, logged, &options->logged)) return false;
  }
  if (napi_value compression = get("compression"); !IsNullish(env, compression)) {
    if (!ReadCompression(env, compression, "compression", &options->compression)) return false;
  }
  if (napi_value levels = get("compressionPerLevel"); !IsNullish(env, levels)) {
    uint32_t count = 0;
    if (napi_get_array_length(env, levels, &count) != napi_ok) {
      ThrowTypeError(env, "compressionPerLevel must be an array");
      return false;
    }
    for (uint32_t i = 0; i < count; ++i) {
      napi_value element = nullptr;
      napi_get_element(env, levels, i, &element);
      lsm::Compression one;
      if (!ReadCompression(env, element, "compressionPerLevel", &one)) return false;
      options->compression_per_level.push_back(one);
    }
  }
  if (napi_value merge = get("mergeOperator"); !IsNullish(env, merge)) {
    if (!ReadString(env, merge, "mergeOperator", &options->merge_operator)) return false;
  }
  return true;
}

// function databaseCreateTable(database: DatabaseHandle, name: string, schema: string, primaryKey:
// number[], ifNotExists: boolean, isState: boolean, isSystem: boolean, options:
// NativeTableOptions): Promise<void>
napi_value DatabaseCreateTable(napi_env env, napi_callback_info info) {
  Arguments<8> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  lsm::TableDescriptor descriptor;
  std::string schema;
  bool if_not_exists = false;
  if (database == nullptr || !ReadString(env, args[1], "name", &descriptor.name) ||
      !ReadString(env, args[2], "schema", &schema) || !ReadBool(env, args[4], &if_not_exists) ||
      !ReadBool(env, args[5], &descriptor.is_state_family) ||
      !ReadBool(env, args[6], &descriptor.is_system) ||
      !ReadTableOptions(env, args[7], &descriptor.options)) {
    return nullptr;
  }
  uint32_t keys = 0;
  napi_get_array_length(env, args[3], &keys);
  for (uint32_t i = 0; i < keys; ++i) {
    napi_value element = nullptr;
    int64_t column = 0;
    napi_get_element(env, args[3], i, &element);
    if (!ReadInt64(env, element, "primaryKey", &column)) return nullptr;
    descriptor.key_columns.push_back(static_cast<int>(column));
  }
  return StartOnDatabase(env, database, true,
                         [descriptor, schema, if_not_exists](lsm::DB* db) mutable {
                           MARBLE_ASSIGN_OR_RETURN(descriptor.schema, SchemaFromJson(schema));
                           return db->CreateTable(std::move(descriptor), if_not_exists).status();
                         });
}

/// Which options of a state were named: the others may be what they are.
struct GivenStateOptions {
  bool ttl;
  bool merge;
  bool logged;
};

// The value encoding is kept in the schema's metadata, so that it is the same at the next open.
constexpr char kEncodingKey[] = "marble.valueEncoding";

std::string EncodingOf(const lsm::TableHandle& table) {
  const auto& metadata = lsm::DescriptorOf(table).schema->metadata();
  if (metadata == nullptr) return "buffer";
  int at = metadata->FindKey(kEncodingKey);
  return at < 0 ? "buffer" : metadata->value(at);
}

// How a state's options differ from those that were given; empty: they do not.
std::string OptionsDifference(const lsm::TableOptions& stored, const lsm::TableOptions& given,
                              const GivenStateOptions& which) {
  const auto ms = [](int64_t ttl) {
    return ttl == 0 ? std::string("no ttlMs") : "ttlMs " + std::to_string(ttl);
  };
  const auto merge = [](const std::string& name) {
    return name.empty() ? std::string("no mergeOperator") : "mergeOperator '" + name + "'";
  };
  if (which.ttl && stored.ttl_ms != given.ttl_ms) {
    return ms(stored.ttl_ms) + ", not " + ms(given.ttl_ms);
  }
  if (which.merge && stored.merge_operator != given.merge_operator) {
    return merge(stored.merge_operator) + ", not " + merge(given.merge_operator);
  }
  if (which.logged && stored.logged != given.logged) {
    return std::string("logged: ") + (stored.logged ? "true" : "false");
  }
  return "";
}

Result<lsm::TableHandle> OpenState(const DatabaseHandle& database, const std::string& name,
                                   const std::string& encoding, const lsm::TableOptions& options,
                                   const GivenStateOptions& which) {
  MARBLE_RETURN_NOT_OK(database.CheckOpen());
  Result<lsm::TableHandle> table = database.db()->GetTable(name);
  if (!table.ok() && CodeOf(table.status()) == ErrorCode::kTableNotFound) {
    lsm::TableDescriptor descriptor;
    descriptor.name = name;
    descriptor.schema = arrow::schema({arrow::field("key", arrow::binary(), false),
                                       arrow::field("value", arrow::binary(), false)});
    if (!encoding.empty() && encoding != "buffer") {
      descriptor.schema = descriptor.schema->WithMetadata(
          arrow::KeyValueMetadata::Make({kEncodingKey}, {encoding}));
    }
    descriptor.key_columns = {0};
    descriptor.is_state_family = true;
    descriptor.options = options;
    table = database.db()->CreateTable(std::move(descriptor), true);
  }
  MARBLE_RETURN_NOT_OK(table.status());
  if (!lsm::DescriptorOf(*table).is_state_family) {
    return MakeError(ErrorCode::kIncompatible,
                     "'" + name + "' is a table, not a state: use table('" + name + "')");
  }
  if (std::string stored = EncodingOf(*table); !encoding.empty() && stored != encoding) {
    return MakeError(ErrorCode::kIncompatible, "state '" + name +
                                                   "' was created with valueEncoding '" + stored +
                                                   "', not '" + encoding + "'");
  }
  const lsm::TableOptions& stored = lsm::DescriptorOf(*table).options;
  if (std::string difference = OptionsDifference(stored, options, which); !difference.empty()) {
    return MakeError(ErrorCode::kIncompatible,
                     "state '" + name + "' was created with " + difference);
  }
  return table;
}

// function databaseOpenState(database: DatabaseHandle, name: string, encoding: string, options:
// NativeStateOptions): { handle: StateHandle, encoding: string, mergeOperator: string }
napi_value DatabaseOpenState(napi_env env, napi_callback_info info) {
  Arguments<4> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  std::string name;
  std::string encoding;
  lsm::TableOptions options;
  if (database == nullptr || !ReadString(env, args[1], "name", &name) ||
      !ReadString(env, args[2], "encoding", &encoding) ||
      !ReadTableOptions(env, args[3], &options)) {
    return nullptr;
  }
  const auto given = [&](const char* option) {
    napi_value value = nullptr;
    napi_get_named_property(env, args[3], option, &value);
    return !IsNullish(env, value);
  };
  const GivenStateOptions which{given("ttlMs"), given("mergeOperator"), given("logged")};
  Result<lsm::TableHandle> table = OpenState(*database, name, encoding, options, which);
  if (!table.ok()) {
    ThrowStatus(env, table.status());
    return nullptr;
  }
  napi_value object = MakeObject(env);
  SetProperty(env, object, "handle",
              WrapHandle(env, std::make_shared<StateHandle>(database, *table)));
  SetProperty(env, object, "encoding", MakeString(env, EncodingOf(*table)));
  SetProperty(env, object, "mergeOperator",
              MakeString(env, lsm::DescriptorOf(*table).options.merge_operator));
  return object;
}

// function databaseOpenTable(database: DatabaseHandle, name: string): { handle: TableHandle,
// schema: string, primaryKey: number[], isState: boolean }
napi_value DatabaseOpenTable(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto database = SharedHandleOf<DatabaseHandle>(env, args[0]);
  std::string name;
  if (database == nullptr || !ReadString(env, args[1], "name", &name)) return nullptr;
  auto open = [&]() -> Result<lsm::TableHandle> {
    MARBLE_RETURN_NOT_OK(database->CheckOpen());
    return database->db()->GetTable(name);
  };
  auto opened = open();
  if (!opened.ok()) {
    ThrowStatus(env, opened.status());
    return nullptr;
  }
  napi_value object = OpenedTable(env, database, *opened);
  if (object == nullptr) return nullptr;
  const lsm::TableDescriptor& descriptor = lsm::DescriptorOf(*opened);
  SetProperty(env, object, "isState", MakeBool(env, descriptor.is_state_family));
  return object;
}

// function databaseListTables(database: DatabaseHandle): { name: string, isState: boolean,
// isSystem: boolean }[]
napi_value DatabaseListTables(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* database = HandleOf<DatabaseHandle>(env, args[0]);
  if (database == nullptr) return nullptr;
  if (Status open = database->CheckOpen(); !open.ok()) {
    ThrowStatus(env, open);
    return nullptr;
  }
  std::vector<lsm::TableDescriptor> tables = database->db()->ListTables();
  napi_value array = MakeArray(env, tables.size());
  for (size_t i = 0; i < tables.size(); ++i) {
    napi_value object = MakeObject(env);
    SetProperty(env, object, "name", MakeString(env, tables[i].name));
    SetProperty(env, object, "isState", MakeBool(env, tables[i].is_state_family));
    SetProperty(env, object, "isSystem", MakeBool(env, tables[i].is_system));
    napi_set_element(env, array, static_cast<uint32_t>(i), object);
  }
  return array;
}

// function databaseWritable(database: DatabaseHandle): boolean
napi_value DatabaseWritable(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* database = HandleOf<DatabaseHandle>(env, args[0]);
  if (database == nullptr) return nullptr;
  return MakeBool(env, !database->closed() && database->db()->writable());
}

// function databaseMetrics(database: DatabaseHandle): Record<string, unknown>
napi_value DatabaseMetrics(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto* database = HandleOf<DatabaseHandle>(env, args[0]);
  if (database == nullptr) return nullptr;
  if (Status open = database->CheckOpen(); !open.ok()) {
    ThrowStatus(env, open);
    return nullptr;
  }
  lsm::DbMetrics metrics = database->db()->metrics();
  FileMappings::Usage usage = Environment::Get(env)->mappings()->usage();
  napi_value object = MakeObject(env);
  auto number = [&](napi_value target, const char* name, uint64_t value) {
    SetProperty(env, target, name, MakeNumber(env, static_cast<double>(value)));
  };
  SetProperty(env, object, "lastSequence", MakeBigUint(env, metrics.last_sequence));
  number(object, "logBytes", metrics.log_bytes);
  number(object, "memtableBytes", metrics.memtable_bytes);
  napi_value memory = MakeObject(env);
  number(memory, "budget", metrics.memory.budget);
  number(memory, "memtableRows", metrics.memory.memtable_rows);
  number(memory, "memtableIndexes", metrics.memory.memtable_indexes);
  number(memory, "fileChunks", metrics.memory.file_chunks);
  number(memory, "fileArrays", metrics.memory.file_arrays);
  number(memory, "decodedBatches", metrics.memory.decoded_batches);
  number(memory, "total", metrics.memory.total());
  SetProperty(env, object, "memory", memory);
  number(object, "flushes", metrics.flushes);
  number(object, "compactions", metrics.compactions);
  number(object, "expiredFiles", metrics.expired_files);
  number(object, "expiredBytes", metrics.expired_bytes);
  number(object, "runningCompactions", metrics.running_compactions);
  number(object, "pendingCompactionBytes", metrics.pending_compaction_bytes);
  number(object, "stalls", metrics.stalls);
  SetProperty(env, object, "stallReason",
              metrics.stall_reason.empty() ? Null(env) : MakeString(env, metrics.stall_reason));
  SetProperty(env, object, "stallStopped", MakeBool(env, metrics.stall_stopped));
  number(object, "delayedWrites", metrics.delayed_writes);
  number(object, "stoppedWrites", metrics.stopped_writes);
  SetProperty(env, object, "stallMs",
              MakeNumber(env, static_cast<double>(metrics.stall_micros) / 1000));
  number(object, "gets", metrics.gets);
  number(object, "bloomNegatives", metrics.bloom_negatives);
  number(object, "cleanBatches", metrics.clean_batches);
  number(object, "mergedBatches", metrics.merged_batches);
  number(object, "filesOutOfRange", metrics.files_out_of_range);
  number(object, "batchesOutOfRange", metrics.batches_out_of_range);
  number(object, "batchesPruned", metrics.batches_pruned);
  number(object, "rowsFiltered", metrics.rows_filtered);
  number(object, "rowsFromMetadata", metrics.rows_from_metadata);
  number(object, "decodedHits", metrics.decoded_hits);
  number(object, "decodedMisses", metrics.decoded_misses);
  number(object, "exportedFiles", usage.files);
  number(object, "exportedBytes", usage.bytes);
  number(object, "pinnedObsoleteBytes", usage.obsolete_bytes);
  napi_value tables = MakeObject(env);
  for (const lsm::TableMetrics& table : metrics.tables) {
    napi_value entry = MakeObject(env);
    number(entry, "memtableRows", table.memtable_rows);
    number(entry, "sstFiles", table.sst_files);
    number(entry, "sstRows", table.sst_rows);
    number(entry, "sstBytes", table.sst_bytes);
    number(entry, "sstUncompressedBytes", table.sst_uncompressed_bytes);
    number(entry, "flushedBytes", table.flushed_bytes);
    number(entry, "compactedBytes", table.compacted_bytes);
    number(entry, "pendingCompactionBytes", table.pending_compaction_bytes);
    SetProperty(env, entry, "writeAmplification", MakeNumber(env, table.write_amplification));
    napi_value levels = MakeArray(env, table.levels.size());
    for (size_t i = 0; i < table.levels.size(); ++i) {
      const lsm::LevelMetrics& level = table.levels[i];
      napi_value item = MakeObject(env);
      number(item, "level", static_cast<uint64_t>(level.level));
      number(item, "files", level.files);
      number(item, "bytes", level.bytes);
      number(item, "uncompressedBytes", level.uncompressed_bytes);
      number(item, "targetBytes", level.target_bytes);
      SetProperty(env, item, "score", MakeNumber(env, level.score));
      number(item, "compactions", level.compactions);
      number(item, "movedFiles", level.moved_files);
      number(item, "bytesRead", level.bytes_read);
      number(item, "bytesWritten", level.bytes_written);
      SetProperty(env, item, "writeAmplification", MakeNumber(env, level.write_amplification));
      napi_set_element(env, levels, static_cast<uint32_t>(i), item);
    }
    SetProperty(env, entry, "levels", levels);
    SetProperty(env, tables, table.name.c_str(), entry);
  }
  SetProperty(env, object, "tables", tables);
  return object;
}

// function databaseOn(database: DatabaseHandle, listener: (event: string, info: object) => void):
// void
napi_value DatabaseOn(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto* database = HandleOf<DatabaseHandle>(env, args[0]);
  if (database == nullptr) return nullptr;
  auto listener = ThreadCallback::Make(env, args[1], "the listener");
  if (listener != nullptr) database->SetListener(std::move(listener));
  return nullptr;
}

}  // namespace

napi_value OpenedTable(napi_env env, std::shared_ptr<DatabaseHandle> database,
                       lsm::TableHandle table) {
  const lsm::TableDescriptor& descriptor = lsm::DescriptorOf(table);
  Result<std::string> schema = SchemaToJson(*descriptor.schema);
  if (!schema.ok()) {
    ThrowStatus(env, schema.status());
    return nullptr;
  }
  napi_value object = MakeObject(env);
  napi_value keys = MakeArray(env, descriptor.key_columns.size());
  for (size_t i = 0; i < descriptor.key_columns.size(); ++i) {
    napi_set_element(env, keys, static_cast<uint32_t>(i),
                     MakeNumber(env, descriptor.key_columns[i]));
  }
  SetProperty(
      env, object, "handle",
      WrapHandle(env, std::make_shared<TableBinding>(std::move(database), std::move(table))));
  SetProperty(env, object, "schema", MakeString(env, *schema));
  SetProperty(env, object, "primaryKey", keys);
  return object;
}

void RegisterDatabase(napi_env env, napi_value exports) {
  Export(env, exports, "databaseOpen", DatabaseOpen);
  Export(env, exports, "databaseClose", DatabaseClose);
  Export(env, exports, "databaseInfo", DatabaseInfo);
  Export(env, exports, "databaseFlush", DatabaseFlush);
  Export(env, exports, "databaseCompact", DatabaseCompact);
  Export(env, exports, "databaseSync", DatabaseSync);
  Export(env, exports, "databaseDropTable", DatabaseDropTable);
  Export(env, exports, "databaseCreateTable", DatabaseCreateTable);
  Export(env, exports, "databaseOpenState", DatabaseOpenState);
  Export(env, exports, "databaseOpenTable", DatabaseOpenTable);
  Export(env, exports, "databaseListTables", DatabaseListTables);
  Export(env, exports, "databaseWritable", DatabaseWritable);
  Export(env, exports, "databaseMetrics", DatabaseMetrics);
  Export(env, exports, "databaseOn", DatabaseOn);
}

}  // namespace marble::napi
