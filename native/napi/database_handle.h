// The handles of a database and of what hangs on it. Every operation of a child asks its database
// first: after close() all of them fail with MARBLE_CLOSED, whatever other environments do.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lsm/db.h"
#include "napi/database_registry.h"
#include "napi/handle.h"
#include "napi/thread_callback.h"
#include "napi/worker_pool.h"

namespace marble::napi {

class DatabaseHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kDatabase;
  explicit DatabaseHandle(OpenDatabase open)
      : Handle(kKind), open_(std::move(open)), writes_(std::make_shared<Strand>()) {}
  ~DatabaseHandle() override { Close(); }

  lsm::DB* db() const { return open_.db.get(); }
  const std::shared_ptr<lsm::DB>& shared_db() const { return open_.db; }
  EventHub* events() const { return open_.events.get(); }
  /// Asynchronous writes of this handle happen in the order of their calls.
  const std::shared_ptr<Strand>& writes() const { return writes_; }

  bool closed() const { return closed_.load(std::memory_order_acquire); }
  Status CheckOpen() const {
    return closed() ? MakeError(ErrorCode::kClosed, "the database is closed") : Status::OK();
  }
  /// From now on every operation fails; JS thread.
  void MarkClosed();
  void Close() override;
  /// The part of Close that may take long: any thread, once.
  Status Release();
  void SetListener(std::shared_ptr<ThreadCallback> listener);

 private:
  const OpenDatabase open_;
  const std::shared_ptr<Strand> writes_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> released_{false};
  std::shared_ptr<ThreadCallback> listener_;
};

class StateHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kState;
  StateHandle(std::shared_ptr<DatabaseHandle> database, lsm::TableHandle table)
      : Handle(kKind), database(std::move(database)), table(std::move(table)) {}
  const std::shared_ptr<DatabaseHandle> database;
  const lsm::TableHandle table;
};

class TableBinding : public Handle {
 public:
  static constexpr Kind kKind = Kind::kTable;
  TableBinding(std::shared_ptr<DatabaseHandle> database, lsm::TableHandle table)
      : Handle(kKind), database(std::move(database)), table(std::move(table)) {}
  const std::shared_ptr<DatabaseHandle> database;
  const lsm::TableHandle table;
};

class SnapshotHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kSnapshot;
  SnapshotHandle(std::shared_ptr<DatabaseHandle> database, lsm::SnapshotRef snapshot)
      : Handle(kKind), database(std::move(database)), snapshot(std::move(snapshot)) {}
  void Close() override { snapshot = nullptr; }
  const std::shared_ptr<DatabaseHandle> database;
  lsm::SnapshotRef snapshot;
};

class WriteBatchHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kWriteBatch;
  explicit WriteBatchHandle(std::shared_ptr<DatabaseHandle> database)
      : Handle(kKind), database(std::move(database)) {}
  const std::shared_ptr<DatabaseHandle> database;
  lsm::WriteBatch batch;
};

/// Read the optional snapshot argument of a read. False: an exception is pending.
bool ReadSnapshot(napi_env env, napi_value value, const DatabaseHandle* database,
                  lsm::ReadOptions* options);

/// A range of keys from its two bounds, each { key, inclusive } or undefined: open. `nothing`: no
/// key can lie in it. False: an exception is pending.
bool ReadKeyRange(napi_env env, napi_value lower, napi_value upper, const lsm::TableHandle& table,
                  lsm::ScanRange* range, bool* nothing);

/// { handle, schema, primaryKey } of a table; nullptr with an exception pending.
napi_value OpenedTable(napi_env env, std::shared_ptr<DatabaseHandle> database,
                       lsm::TableHandle table);

/// A key as an array of values, one for each key column (fewer: a prefix, where allowed).
bool ReadKey(napi_env env, napi_value array, const lsm::TableHandle& table, bool allow_prefix,
             std::string* encoded);

}  // namespace marble::napi
