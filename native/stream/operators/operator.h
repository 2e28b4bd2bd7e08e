// An operator of a job's graph. Rows, watermarks and barriers pass through it in order, on the
// job's thread alone.
//
// An epoch's end has two steps, each over all operators in topological order: Flush, in which
// an operator may emit what it held back, and Snapshot, in which it hands over what it wants
// stored. After a failed call the job is over: nothing of the epoch is stored.
#pragma once

#include <arrow/type_fwd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "lsm/db.h"
#include "stream/epoch.h"

namespace marble::stream {

/// Rows on their way through the graph.
struct Morsel {
  std::shared_ptr<arrow::RecordBatch> rows;
  /// The watermark implied by the rows before each row, where it changes within the morsel.
  /// Null: it is the operator's current watermark for all of them.
  std::shared_ptr<arrow::Int64Array> watermarks;
  /// In an updating stream: these keys are gone.
  bool deletes = false;
  int32_t partition = 0;  // of the source
};

class Operator {
 public:
  virtual ~Operator() = default;

  Status Process(const Morsel& morsel);
  /// Time has reached `watermark`; it never goes back. INT64_MAX is the end of the input.
  virtual Status AdvanceWatermark(int64_t watermark) { return EmitWatermark(watermark); }
  /// Emit what is held back until the epoch's end. `last`: no epoch follows.
  virtual Status Flush(bool last) { return Status::OK(); }
  virtual Status Snapshot(EpochWrites* writes) { return Status::OK(); }

  /// The schema of the state table and its key; null without state.
  virtual std::shared_ptr<arrow::Schema> state_schema() const { return nullptr; }
  virtual std::vector<int> state_key_columns() const { return {}; }
  /// Where changed state goes; a job that keeps nothing sets none.
  virtual void SetStateTable(lsm::TableHandle table) {}
  /// Take rows of the state table, before the first row is processed.
  virtual Status Restore(const arrow::RecordBatch& rows) { return Status::OK(); }
  virtual uint64_t state_rows() const { return 0; }
  virtual uint64_t state_bytes() const { return 0; }

  void AddOutput(Operator* output) { outputs_.push_back(output); }

  uint64_t rows_in() const { return rows_in_; }
  uint64_t rows_out() const { return rows_out_; }
  uint64_t late_rows() const { return late_rows_; }
  int64_t busy_micros() const { return busy_nanos_ / 1000; }

 protected:
  virtual Status ProcessRows(const Morsel& morsel) = 0;
  Status Emit(const Morsel& morsel);
  Status EmitWatermark(int64_t watermark);

  uint64_t rows_in_ = 0;
  uint64_t rows_out_ = 0;
  uint64_t late_rows_ = 0;

 private:
  std::vector<Operator*> outputs_;
  int64_t busy_nanos_ = 0;
  int64_t downstream_nanos_ = 0;
};

/// The values of a timestamp column in milliseconds, rounded down.
Result<std::shared_ptr<arrow::Int64Array>> ToMillis(const std::shared_ptr<arrow::Array>& column);

}  // namespace marble::stream
