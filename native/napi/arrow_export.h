// Arrow batches out to JavaScript: which bytes of which ArrayBuffer make up which column.
//
// A batch that is a slice of one SSTable crosses as positions in the file's mapping; one that lies
// in memory is copied once, compact, into one buffer of its own (on a worker thread). A chunk of
// many batches crosses in one call, as one Float64Array:
//   per batch: index of its buffer, rows, first row, rows of the whole batch in the buffer,
//   zeroCopy
//     per node, depth-first: length, null count, then (offset, length) of each of its buffers.
//     Nulls alone without a validity bitmap: a column that the file does not have
//     Of a column with a dictionary: its indices, then 1 if the dictionary begins anew, else 0,
//     then a node of the values that are new in it
// lib/arrow/export.ts reads it in the same order.
#pragma once

#include <node_api.h>

#include <memory>
#include <vector>

#include "lsm/db.h"

namespace marble::napi {

/// Bytes of one in-memory batch, 64-byte aligned. Handed over to an ArrayBuffer, or freed.
class OwnedBytes {
 public:
  OwnedBytes() = default;
  ~OwnedBytes();
  OwnedBytes(OwnedBytes&& other) noexcept;
  OwnedBytes& operator=(OwnedBytes&& other) noexcept;
  static Result<OwnedBytes> Allocate(size_t size);
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  /// Make the ArrayBuffer; copies where external buffers are refused or do not pay.
  napi_value ToArrayBuffer(napi_env env) &&;

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

/// One batch on its way out. Built on any thread, delivered on the JS thread.
struct ExportedBatch {
  std::shared_ptr<const lsm::SstReader> file;  // or:
  OwnedBytes bytes;
  std::vector<double> meta;                   // rows … as above, without the buffer's index
  std::shared_ptr<arrow::RecordBatch> batch;  // of `file`: for copying when mapping is refused
};

/// Copy an in-memory batch's columns (indices) into one buffer.
Result<ExportedBatch> CopyBatch(const arrow::RecordBatch& batch, const std::vector<int>& columns);
/// Describe a batch of a scan, which has these columns of a table of this schema: mapped where it
/// can be.
Result<ExportedBatch> DescribeBatch(const lsm::ScanBatch& batch, const arrow::Schema& table,
                                    const std::vector<int>& columns);
/// All columns of a batch with so many.
std::vector<int> AllColumns(size_t count);

/// { meta: Float64Array, buffers: ArrayBuffer[] }; nullptr with an exception pending. `columns` of
/// the batches are copied where mapping is refused.
napi_value DeliverBatches(napi_env env, std::vector<ExportedBatch> batches,
                          const std::vector<int>& columns);

}  // namespace marble::napi
