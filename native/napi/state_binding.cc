// The StateBackend class: bytes by key. These calls are the hot path (see README.md): the key is a
// string argument, the value lands in a slab that JavaScript sees through views.
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "napi/bindings.h"
#include "napi/database_handle.h"
#include "napi/environment.h"
#include "napi/node_value.h"
#include "napi/promise_task.h"

namespace marble::napi {

namespace {

constexpr double kMissing = -1;  // there is no such key
constexpr double kNoRoom = -2;   // a fresh slab is needed
constexpr double kTooBig = -3;   // use stateGetBuffer

StateHandle* OpenState(napi_env env, napi_value value) {
  auto* state = HandleOf<StateHandle>(env, value);
  if (state == nullptr) return nullptr;
  if (state->database->closed()) {
    ThrowStatus(env, state->database->CheckOpen());
    return nullptr;
  }
  return state;
}

using Found = std::optional<lsm::PinnedValue>;

// Look a key up. False: an exception is pending.
bool Lookup(napi_env env, const StateHandle* state, napi_value key, napi_value snapshot,
            Found* found) {
  BytesArgument bytes;
  lsm::ReadOptions options;
  if (!bytes.Read(env, key, "key") ||
      !ReadSnapshot(env, snapshot, state->database.get(), &options)) {
    return false;
  }
  Result<Found> result = state->database->db()->Get(state->table, bytes.view(), options);
  if (!result.ok()) {
    ThrowStatus(env, result.status());
    return false;
  }
  *found = std::move(*result);
  return true;
}

napi_value MakeBytes(napi_env env, std::string_view bytes) {
  uint8_t* data = nullptr;
  napi_value buffer = MakeArrayBuffer(env, bytes.size(), &data);
  if (buffer != nullptr && !bytes.empty()) std::memcpy(data, bytes.data(), bytes.size());
  return buffer;
}

// function stateGet(state: StateHandle, key: string | Uint8Array, offset: number, snapshot?:
// SnapshotHandle): number
napi_value StateGet(napi_env env, napi_callback_info info) {
  Arguments<4> args(env, info);
  StateHandle* state = OpenState(env, args[0]);
  uint32_t offset = 0;
  Found found;
  if (state == nullptr || !Lookup(env, state, args[1], args[3], &found)) return nullptr;
  napi_get_value_uint32(env, args[2], &offset);
  if (!found.has_value()) return MakeNumber(env, kMissing);
  const Environment* environment = Environment::Get(env);
  std::string_view bytes = found->bytes;
  if (bytes.size() > environment->slab_size() / 8) return MakeNumber(env, kTooBig);
  if (offset + bytes.size() > environment->slab_size()) return MakeNumber(env, kNoRoom);
  std::memcpy(environment->slab() + offset, bytes.data(), bytes.size());
  napi_value length = nullptr;
  napi_create_int32(env, static_cast<int32_t>(bytes.size()), &length);
  return length;
}

// function stateGetBuffer(state: StateHandle, key: string | Uint8Array, snapshot?: SnapshotHandle):
// ArrayBuffer | undefined
napi_value StateGetBuffer(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  StateHandle* state = OpenState(env, args[0]);
  Found found;
  if (state == nullptr || !Lookup(env, state, args[1], args[2], &found)) return nullptr;
  return found.has_value() ? MakeBytes(env, found->bytes) : nullptr;
}

// function stateGetString(state: StateHandle, key: string | Uint8Array, snapshot?: SnapshotHandle):
// string | undefined
napi_value StateGetString(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  StateHandle* state = OpenState(env, args[0]);
  Found found;
  if (state == nullptr || !Lookup(env, state, args[1], args[2], &found)) return nullptr;
  return found.has_value() ? MakeString(env, found->bytes) : nullptr;
}

// function stateExists(state: StateHandle, key: string | Uint8Array, snapshot?: SnapshotHandle):
// boolean
napi_value StateExists(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  StateHandle* state = OpenState(env, args[0]);
  BytesArgument key;
  lsm::ReadOptions options;
  if (state == nullptr || !key.Read(env, args[1], "key") ||
      !ReadSnapshot(env, args[2], state->database.get(), &options)) {
    return nullptr;
  }
  const Result<bool> found = state->database->db()->Exists(state->table, key.view(), options);
  if (!found.ok()) {
    ThrowStatus(env, found.status());
    return nullptr;
  }
  return MakeBool(env, *found);
}

// function stateGetAsync(state: StateHandle, key: string | Uint8Array, snapshot?: SnapshotHandle):
// Promise<ArrayBuffer | undefined>
napi_value StateGetAsync(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  auto state = SharedHandleOf<StateHandle>(env, args[0]);
  BytesArgument bytes;
  lsm::ReadOptions options;
  if (state == nullptr || !bytes.Read(env, args[1], "key") ||
      !ReadSnapshot(env, args[2], state->database.get(), &options)) {
    return nullptr;
  }
  auto found = std::make_shared<Found>();
  return StartTask(env, {.strand = nullptr,
                         .work =
                             [state, key = std::string(bytes.view()), options, found] {
                               MARBLE_RETURN_NOT_OK(state->database->CheckOpen());
                               MARBLE_ASSIGN_OR_RETURN(
                                   *found, state->database->db()->Get(state->table, key, options));
                               // Touch every page here, not on the event loop.
                               if (found->has_value()) {
                                 auto copy = std::make_shared<std::string>((*found)->bytes);
                                 *found = lsm::PinnedValue{*copy, copy};
                               }
                               return Status::OK();
                             },
                         .result = [found](napi_env env) -> napi_value {
                           return found->has_value() ? MakeBytes(env, (*found)->bytes)
                                                     : Undefined(env);
                         }});
}

// function stateMultiGet(state: StateHandle, keys: (string | Uint8Array)[], snapshot?:
// SnapshotHandle): { bytes: ArrayBuffer, ends: Float64Array }
napi_value StateMultiGet(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  StateHandle* state = OpenState(env, args[0]);
  lsm::ReadOptions options;
  if (state == nullptr || !ReadSnapshot(env, args[2], state->database.get(), &options)) {
    return nullptr;
  }
  uint32_t count = 0;
  if (napi_get_array_length(env, args[1], &count) != napi_ok) {
    ThrowTypeError(env, "keys must be an array");
    return nullptr;
  }
  std::string key_bytes;
  std::vector<size_t> key_ends(count);
  for (uint32_t i = 0; i < count; ++i) {
    napi_handle_scope scope = nullptr;
    napi_open_handle_scope(env, &scope);
    napi_value key = nullptr;
    napi_get_element(env, args[1], i, &key);
    BytesArgument bytes;
    const bool ok = bytes.Read(env, key, "key");
    if (ok) key_bytes.append(bytes.view());
    key_ends[i] = key_bytes.size();
    napi_close_handle_scope(env, scope);
    if (!ok) return nullptr;
  }
  std::vector<std::string_view> keys(count);
  for (uint32_t i = 0; i < count; ++i) {
    const size_t begin = i == 0 ? 0 : key_ends[i - 1];
    keys[i] = std::string_view(key_bytes).substr(begin, key_ends[i] - begin);
  }
  std::vector<Found> found(count);
  const Status status =
      state->database->db()->MultiGet(state->table, keys.data(), count, options, found.data());
  if (!status.ok()) {
    ThrowStatus(env, status);
    return nullptr;
  }
  std::string packed;
  std::vector<double> ends(count);  // end of each value in `packed`; -1: missing
  for (uint32_t i = 0; i < count; ++i) {
    if (found[i].has_value()) packed.append(found[i]->bytes);
    ends[i] = found[i].has_value() ? static_cast<double>(packed.size()) : kMissing;
  }
  napi_value result = MakeObject(env);
  SetProperty(env, result, "bytes", MakeBytes(env, packed));
  SetProperty(env, result, "ends", MakeFloat64Array(env, ends));
  return result;
}

napi_value Commit(napi_env env, const DatabaseHandle* database, lsm::WriteBatch&& batch) {
  Result<SequenceNumber> written = database->db()->Write(std::move(batch), {});
  if (!written.ok()) ThrowStatus(env, written.status());
  return nullptr;
}

// function statePut(state: StateHandle, key: string | Uint8Array, value: string | Uint8Array): void
napi_value StatePut(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  StateHandle* state = OpenState(env, args[0]);
  BytesArgument key;
  BytesArgument value;
  if (state == nullptr || !key.Read(env, args[1], "key") || !value.Read(env, args[2], "value")) {
    return nullptr;
  }
  lsm::WriteBatch batch;
  if (Status status = batch.Put(state->table, key.view(), value.view()); !status.ok()) {
    ThrowStatus(env, status);
    return nullptr;
  }
  return Commit(env, state->database.get(), std::move(batch));
}

// function stateMerge(state: StateHandle, key: string | Uint8Array, operand: string | Uint8Array):
// void
napi_value StateMerge(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  StateHandle* state = OpenState(env, args[0]);
  BytesArgument key;
  BytesArgument operand;
  if (state == nullptr || !key.Read(env, args[1], "key") ||
      !operand.Read(env, args[2], "operand")) {
    return nullptr;
  }
  lsm::WriteBatch batch;
  if (Status status = batch.Merge(state->table, key.view(), operand.view()); !status.ok()) {
    ThrowStatus(env, status);
    return nullptr;
  }
  return Commit(env, state->database.get(), std::move(batch));
}

// function statePutIfAbsent(state: StateHandle, key: string | Uint8Array, value: string |
// Uint8Array): boolean
napi_value StatePutIfAbsent(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  StateHandle* state = OpenState(env, args[0]);
  BytesArgument key;
  BytesArgument value;
  if (state == nullptr || !key.Read(env, args[1], "key") || !value.Read(env, args[2], "value")) {
    return nullptr;
  }
  const Result<bool> put =
      state->database->db()->PutIfAbsent(state->table, key.view(), value.view(), {});
  if (!put.ok()) {
    ThrowStatus(env, put.status());
    return nullptr;
  }
  return MakeBool(env, *put);
}

// function statePutMany(state: StateHandle, entries: (string | Uint8Array)[]): void
napi_value StatePutMany(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  StateHandle* state = OpenState(env, args[0]);
  uint32_t count = 0;
  if (state == nullptr) return nullptr;
  napi_get_array_length(env, args[1], &count);
  lsm::WriteBatch batch;
  for (uint32_t i = 0; i + 1 < count; i += 2) {
    napi_handle_scope scope = nullptr;
    napi_open_handle_scope(env, &scope);
    napi_value key_value = nullptr;
    napi_value value_value = nullptr;
    napi_get_element(env, args[1], i, &key_value);
    napi_get_element(env, args[1], i + 1, &value_value);
    BytesArgument key;
    BytesArgument value;
    bool ok = key.Read(env, key_value, "key") && value.Read(env, value_value, "value");
    if (ok) {
      if (Status status = batch.Put(state->table, key.view(), value.view()); !status.ok()) {
        ThrowStatus(env, status);
        ok = false;
      }
    }
    napi_close_handle_scope(env, scope);
    if (!ok) return nullptr;
  }
  return batch.empty() ? nullptr : Commit(env, state->database.get(), std::move(batch));
}

// function stateDelete(state: StateHandle, key: string | Uint8Array): void
napi_value StateDelete(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  StateHandle* state = OpenState(env, args[0]);
  BytesArgument key;
  if (state == nullptr || !key.Read(env, args[1], "key")) return nullptr;
  lsm::WriteBatch batch;
  if (Status status = batch.Delete(state->table, key.view()); !status.ok()) {
    ThrowStatus(env, status);
    return nullptr;
  }
  return Commit(env, state->database.get(), std::move(batch));
}

// function stateDeleteRange(state: StateHandle, from: string | Uint8Array, to: string |
// Uint8Array): void
napi_value StateDeleteRange(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  StateHandle* state = OpenState(env, args[0]);
  BytesArgument from;
  BytesArgument to;
  if (state == nullptr || !from.Read(env, args[1], "key") || !to.Read(env, args[2], "key")) {
    return nullptr;
  }
  lsm::WriteBatch batch;
  if (Status status = batch.DeleteRange(state->table, from.view(), to.view()); !status.ok()) {
    ThrowStatus(env, status);
    return nullptr;
  }
  return Commit(env, state->database.get(), std::move(batch));
}

}  // namespace

void RegisterState(napi_env env, napi_value exports) {
  Export(env, exports, "stateGet", StateGet);
  Export(env, exports, "stateGetBuffer", StateGetBuffer);
  Export(env, exports, "stateGetString", StateGetString);
  Export(env, exports, "stateExists", StateExists);
  Export(env, exports, "stateGetAsync", StateGetAsync);
  Export(env, exports, "stateMultiGet", StateMultiGet);
  Export(env, exports, "statePut", StatePut);
  Export(env, exports, "stateMerge", StateMerge);
  Export(env, exports, "statePutIfAbsent", StatePutIfAbsent);
  Export(env, exports, "statePutMany", StatePutMany);
  Export(env, exports, "stateDelete", StateDelete);
  Export(env, exports, "stateDeleteRange", StateDeleteRange);
}

}  // namespace marble::napi
