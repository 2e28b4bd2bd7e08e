// Scans of tables and states, pulled chunk by chunk. A chunk is many batches (or many entries) in
// one crossing; nothing is read ahead of the call that asks for it.
//
// An iterator is used by one thread at a time: asynchronous steps run on its strand, and a
// synchronous step while one is running is refused.
#include <arrow/array.h>
#include <arrow/record_batch.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "expr/expression_reader.h"
#include "napi/arrow_export.h"
#include "napi/bindings.h"
#include "napi/database_handle.h"
#include "napi/dictionary_columns.h"
#include "napi/environment.h"
#include "napi/node_value.h"
#include "napi/promise_task.h"
#include "table/scan.h"

namespace marble::napi {

namespace {

// A chunk ends when it holds this much copied memory, or this many batches.
constexpr size_t kChunkBytes = 4u << 20;
constexpr size_t kChunkBatches = 512;

class IteratorHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kIterator;
  IteratorHandle(std::shared_ptr<DatabaseHandle> database, lsm::TableHandle table, bool is_state)
      : Handle(kKind),
        database(std::move(database)),
        table(std::move(table)),
        is_state(is_state),
        strand(std::make_shared<Strand>()) {}
  // What it holds is freed by whoever uses it last.
  void Close() override { closed.store(true, std::memory_order_release); }

  Status Check() const {
    if (closed.load(std::memory_order_acquire)) {
      return MakeError(ErrorCode::kClosed, "the iterator is closed");
    }
    return database->CheckOpen();
  }
  /// Of a table's scan. What it refers to, this holds.
  table::ScanOptions TableOptions() const {
    table::ScanOptions scan;
    scan.read = options.read;
    scan.range = options.range;
    scan.where = where;
    scan.columns = columns;
    scan.reverse = options.reverse;
    scan.limit = options.limit;
    scan.batch_rows = options.batch_rows;
    scan.check = [this] { return Check(); };
    return scan;
  }
  /// The next batch; the iterator is made at the first.
  Status Next(lsm::ScanBatch* out) {
    MARBLE_RETURN_NOT_OK(Check());
    if (iterator == nullptr) {
      if (is_state) {
        MARBLE_ASSIGN_OR_RETURN(iterator, database->db()->NewIterator(table, options));
      } else {
        MARBLE_ASSIGN_OR_RETURN(iterator, table::NewScan(database->db(), table, TableOptions()));
      }
    }
    MARBLE_ASSIGN_OR_RETURN(*out, iterator->Next());
    return Status::OK();
  }

  /// Make a batch ready to cross; `copied` grows by what was copied of it.
  Status Export(const lsm::ScanBatch& step, std::vector<ExportedBatch>* out, size_t* copied) {
    const arrow::Schema& schema = *lsm::DescriptorOf(table).schema;
    if (dictionaries == nullptr) {
      arrow::FieldVector fields;
      for (const int column : columns) fields.push_back(schema.field(column));
      dictionaries = std::make_unique<DictionaryColumns>(fields);
    }
    if (!dictionaries->any()) {
      MARBLE_ASSIGN_OR_RETURN(ExportedBatch batch, DescribeBatch(step, schema, columns));
      *copied += batch.bytes.size();
      out->push_back(std::move(batch));
      return Status::OK();
    }
    MARBLE_ASSIGN_OR_RETURN(const auto parts, dictionaries->Encode(step.batch));
    for (const auto& part : parts) {
      MARBLE_ASSIGN_OR_RETURN(ExportedBatch batch, CopyBatch(*part, AllColumns(columns.size())));
      *copied += batch.bytes.size();
      out->push_back(std::move(batch));
    }
    return Status::OK();
  }

  const std::shared_ptr<DatabaseHandle> database;
  const lsm::TableHandle table;
  const bool is_state;
  const std::shared_ptr<Strand> strand;
  lsm::ScanOptions options;
  std::shared_ptr<const table::Predicate> where;  // of a table
  std::vector<int> columns;
  std::atomic<bool> closed{false};
  std::atomic<bool> busy{false};
  bool finished = false;
  std::unique_ptr<lsm::Iterator> iterator;
  std::unique_ptr<DictionaryColumns> dictionaries;  // null: not asked for yet
  // Of state scans: entries of this batch from `position` on were not yet delivered.
  lsm::ScanBatch current;
  int64_t position = 0;
};

// A bound is { bytes, inclusive } for states, { key, inclusive } for tables; undefined: open.
// `lower` and `upper` become the half-open range of ScanRange. False: an exception is pending.
// `encode` says whether the key is a whole one: nothing begins with it but itself, and what it
// begins, if its last column is a text.
template <class Encode>
bool ReadBound(napi_env env, napi_value bound, bool is_lower, const Encode& encode,
               std::string* out, bool* nothing) {
  if (IsNullish(env, bound)) return true;
  napi_value key = nullptr;
  napi_value inclusive_value = nullptr;
  bool inclusive = false;
  napi_get_named_property(env, bound, "key", &key);
  napi_get_named_property(env, bound, "inclusive", &inclusive_value);
  napi_get_value_bool(env, inclusive_value, &inclusive);
  std::string encoded;
  bool whole = false;
  if (!encode(key, &encoded, &whole)) return false;
  // Everything that begins with a prefix lies behind an exclusive lower, before an inclusive upper.
  const bool behind = is_lower != inclusive;
  if (behind) {
    if (whole) {
      encoded.push_back('\0');
    } else {
      encoded = PrefixSuccessor(encoded);
      if (encoded.empty()) {
        // No key is greater: nothing is above it as a lower bound, no limit as an upper one.
        if (is_lower) *nothing = true;
        return true;
      }
    }
  } else if (encoded.empty() && !is_lower) {
    *nothing = true;  // nothing is less than the empty key
  }
  *out = std::move(encoded);
  return true;
}

// The condition of a table's scan, in the form of a plan's expressions. False: an exception is
// pending.
bool ReadCondition(napi_env env, napi_value value, IteratorHandle* iterator) {
  if (IsNullish(env, value)) return true;
  std::string json;
  if (!ReadString(env, value, "where", &json)) return false;
  auto condition = expr::ReadExpression(json, *lsm::DescriptorOf(iterator->table).schema);
  if (!condition.ok()) {
    ThrowStatus(env, condition.status());
    return false;
  }
  auto where = table::Predicate::Make(iterator->table, *condition);
  if (!where.ok()) {
    ThrowStatus(env, where.status());
    return false;
  }
  iterator->where = *std::move(where);
  return true;
}

bool ReadScanOptions(napi_env env, napi_value object, IteratorHandle* iterator) {
  const bool is_state = iterator->is_state;
  auto get = [&](const char* name) {
    napi_value value = nullptr;
    napi_get_named_property(env, object, name, &value);
    return value;
  };
  lsm::ScanOptions& options = iterator->options;
  bool nothing = false;
  if (!ReadKeyRange(env, get("lower"), get("upper"), iterator->table, &options.range, &nothing) ||
      !ReadBool(env, get("reverse"), &options.reverse) ||
      !ReadSnapshot(env, get("snapshot"), iterator->database.get(), &options.read)) {
    return false;
  }
  if (napi_value limit = get("limit"); !IsNullish(env, limit)) {
    if (!ReadInt64(env, limit, "limit", &options.limit)) return false;
  }
  if (napi_value rows = get("batchRows"); !IsNullish(env, rows)) {
    if (!ReadInt64(env, rows, "batchRows", &options.batch_rows)) return false;
  }
  iterator->finished = nothing || options.limit == 0;
  if (napi_value columns = get("columns"); !IsNullish(env, columns)) {
    uint32_t count = 0;
    napi_get_array_length(env, columns, &count);
    for (uint32_t i = 0; i < count; ++i) {
      napi_value element = nullptr;
      int64_t column = 0;
      napi_get_element(env, columns, i, &element);
      if (!ReadInt64(env, element, "columns", &column)) return false;
      iterator->columns.push_back(static_cast<int>(column));
    }
  }
  if (!is_state && !ReadCondition(env, get("where"), iterator)) return false;
  // The snapshot is taken now, not at the first step.
  if (options.read.snapshot == nullptr) {
    options.read.snapshot = iterator->database->db()->GetSnapshot();
  }
  // With the snapshot taken, the columns are those that the scan will see, whoever changes them.
  const Status columns =
      is_state ? Status::OK()
               : iterator->database->db()->CheckColumns(iterator->table, options.read);
  if (!columns.ok()) ThrowStatus(env, columns);
  return columns.ok();
}

// function tableScan(table: TableHandle, options: NativeScanOptions): IteratorHandle
napi_value TableScan(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto* table = HandleOf<TableBinding>(env, args[0]);
  if (table == nullptr) return nullptr;
  if (Status open = table->database->CheckOpen(); !open.ok()) {
    ThrowStatus(env, open);
    return nullptr;
  }
  auto iterator = std::make_shared<IteratorHandle>(table->database, table->table, false);
  if (!ReadScanOptions(env, args[1], iterator.get())) return nullptr;
  return WrapHandle(env, std::move(iterator));
}

// function stateScan(state: StateHandle, options: NativeScanOptions): IteratorHandle
napi_value StateScan(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto* state = HandleOf<StateHandle>(env, args[0]);
  if (state == nullptr) return nullptr;
  if (Status open = state->database->CheckOpen(); !open.ok()) {
    ThrowStatus(env, open);
    return nullptr;
  }
  auto iterator = std::make_shared<IteratorHandle>(state->database, state->table, true);
  if (!ReadScanOptions(env, args[1], iterator.get())) return nullptr;
  return WrapHandle(env, std::move(iterator));
}

// function iteratorNextBatches(iterator: IteratorHandle, maxBatches: number): Promise<BatchChunk |
// undefined>
napi_value IteratorNextBatches(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto iterator = SharedHandleOf<IteratorHandle>(env, args[0]);
  int64_t wanted = 0;
  if (iterator == nullptr || !ReadInt64(env, args[1], "maxBatches", &wanted)) return nullptr;
  const size_t max_batches = std::clamp<int64_t>(wanted, 1, kChunkBatches);
  auto batches = std::make_shared<std::vector<ExportedBatch>>();
  return StartTask(
      env,
      {.strand = iterator->strand,
       .work =
           [iterator, batches, max_batches] {
             size_t copied = 0;
             while (!iterator->finished && batches->size() < max_batches && copied < kChunkBytes) {
               lsm::ScanBatch next;
               MARBLE_RETURN_NOT_OK(iterator->Next(&next));
               if (next.batch == nullptr) {
                 iterator->finished = true;
                 iterator->iterator = nullptr;
                 break;
               }
               if (next.batch->num_rows() == 0) continue;
               MARBLE_RETURN_NOT_OK(iterator->Export(next, batches.get(), &copied));
             }
             return Status::OK();
           },
       .result =
           [iterator, batches](napi_env env) {
             return batches->empty() ? Undefined(env)
                                     : DeliverBatches(env, std::move(*batches),
                                                      AllColumns(iterator->columns.size()));
           }});
}

// function iteratorCount(iterator: IteratorHandle): Promise<bigint>
napi_value IteratorCount(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto iterator = SharedHandleOf<IteratorHandle>(env, args[0]);
  if (iterator == nullptr) return nullptr;
  auto rows = std::make_shared<uint64_t>(0);
  return StartTask(env, {.strand = iterator->strand,
                         .work =
                             [iterator, rows] {
                               MARBLE_RETURN_NOT_OK(iterator->Check());
                               if (!iterator->finished) {
                                 MARBLE_ASSIGN_OR_RETURN(
                                     const int64_t counted,
                                     table::Count(iterator->database->db(), iterator->table,
                                                  iterator->TableOptions()));
                                 *rows = static_cast<uint64_t>(counted);
                               }
                               iterator->finished = true;
                               return Status::OK();
                             },
                         .result = [rows](napi_env env) { return MakeBigUint(env, *rows); }});
}

// Entries of a state, packed: keys and values behind one another, and where each ends.
struct Entries {
  std::string bytes;
  std::vector<double> ends;  // key end, value end, key end …
};

Status ReadEntries(IteratorHandle* iterator, size_t max_entries, size_t max_bytes, Entries* out) {
  while (out->ends.size() < 2 * max_entries && out->bytes.size() < max_bytes) {
    if (iterator->current.batch == nullptr ||
        iterator->position >= iterator->current.batch->num_rows()) {
      if (iterator->finished) break;
      MARBLE_RETURN_NOT_OK(iterator->Next(&iterator->current));
      iterator->position = 0;
      if (iterator->current.batch == nullptr) {
        iterator->finished = true;
        iterator->iterator = nullptr;
        break;
      }
      continue;
    }
    const auto& keys = static_cast<const arrow::BinaryArray&>(*iterator->current.batch->column(0));
    const auto& values =
        static_cast<const arrow::BinaryArray&>(*iterator->current.batch->column(1));
    out->bytes.append(keys.GetView(iterator->position));
    out->ends.push_back(static_cast<double>(out->bytes.size()));
    out->bytes.append(values.GetView(iterator->position));
    out->ends.push_back(static_cast<double>(out->bytes.size()));
    ++iterator->position;
  }
  return Status::OK();
}

napi_value DeliverEntries(napi_env env, const Entries& entries) {
  if (entries.ends.empty()) return Undefined(env);
  uint8_t* data = nullptr;
  napi_value bytes = MakeArrayBuffer(env, entries.bytes.size(), &data);
  if (bytes == nullptr) return nullptr;
  std::memcpy(data, entries.bytes.data(), entries.bytes.size());
  napi_value result = MakeObject(env);
  SetProperty(env, result, "bytes", bytes);
  SetProperty(env, result, "ends", MakeFloat64Array(env, entries.ends));
  return result;
}

constexpr size_t kEntryBytes = 256 * 1024;

// function iteratorNextEntriesSync(iterator: IteratorHandle, maxEntries: number): EntryChunk |
// undefined
napi_value IteratorNextEntriesSync(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto* iterator = HandleOf<IteratorHandle>(env, args[0]);
  int64_t wanted = 0;
  if (iterator == nullptr || !ReadInt64(env, args[1], "maxEntries", &wanted)) return nullptr;
  if (iterator->busy.exchange(true)) {
    ThrowStatus(env,
                MakeError(ErrorCode::kBusy, "an asynchronous step of this scan is still running"));
    return nullptr;
  }
  Entries entries;
  Status status = ReadEntries(iterator, static_cast<size_t>(wanted), kEntryBytes, &entries);
  iterator->busy.store(false);
  if (!status.ok()) {
    ThrowStatus(env, status);
    return nullptr;
  }
  return DeliverEntries(env, entries);
}

// function iteratorNextEntries(iterator: IteratorHandle, maxEntries: number): Promise<EntryChunk |
// undefined>
napi_value IteratorNextEntries(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  auto iterator = SharedHandleOf<IteratorHandle>(env, args[0]);
  int64_t wanted = 0;
  if (iterator == nullptr || !ReadInt64(env, args[1], "maxEntries", &wanted)) return nullptr;
  auto entries = std::make_shared<Entries>();
  return StartTask(env,
                   {.strand = iterator->strand,
                    .work =
                        [iterator, entries, wanted] {
                          iterator->busy.store(true);
                          Status status = ReadEntries(iterator.get(), static_cast<size_t>(wanted),
                                                      kEntryBytes, entries.get());
                          iterator->busy.store(false);
                          return status;
                        },
                    .result = [entries](napi_env env) { return DeliverEntries(env, *entries); }});
}

// function iteratorClose(iterator: IteratorHandle): void
napi_value IteratorClose(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  auto iterator = SharedHandleOf<IteratorHandle>(env, args[0]);
  if (iterator == nullptr) return nullptr;
  iterator->Close();
  // Its snapshot and files are let go behind a step that may be running.
  iterator->strand->Post(Environment::Get(env)->pool(), [iterator] {
    iterator->iterator = nullptr;
    iterator->current = {};
    iterator->options.read.snapshot = nullptr;
  });
  return nullptr;
}

}  // namespace

bool ReadKeyRange(napi_env env, napi_value lower, napi_value upper, const lsm::TableHandle& table,
                  lsm::ScanRange* range, bool* nothing) {
  const lsm::TableDescriptor& descriptor = lsm::DescriptorOf(table);
  const auto encode = [&](napi_value key, std::string* encoded, bool* whole) {
    if (descriptor.is_state_family) {
      *whole = true;
      BytesArgument bytes;
      if (!bytes.Read(env, key, "key")) return false;
      *encoded = bytes.view();
      return true;
    }
    uint32_t values = 0;
    napi_get_array_length(env, key, &values);
    *whole = values == descriptor.key_columns.size() && values > 0;
    return ReadKey(env, key, table, true, encoded);
  };
  if (!ReadBound(env, lower, true, encode, &range->lower, nothing) ||
      !ReadBound(env, upper, false, encode, &range->upper, nothing)) {
    return false;
  }
  if (!range->lower.empty() && !range->upper.empty() && range->lower >= range->upper) {
    *nothing = true;
  }
  return true;
}

void RegisterIterator(napi_env env, napi_value exports) {
  Export(env, exports, "tableScan", TableScan);
  Export(env, exports, "stateScan", StateScan);
  Export(env, exports, "iteratorNextBatches", IteratorNextBatches);
  Export(env, exports, "iteratorCount", IteratorCount);
  Export(env, exports, "iteratorNextEntriesSync", IteratorNextEntriesSync);
  Export(env, exports, "iteratorNextEntries", IteratorNextEntries);
  Export(env, exports, "iteratorClose", IteratorClose);
}

}  // namespace marble::napi
