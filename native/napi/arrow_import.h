// Arrow batches in from JavaScript: typed arrays are passed by pointer and copied once, checked so
// that nothing later can read out of bounds.
//
// A batch crosses as { rows, schema, nodes, buffers }. `schema` is the JSON form, undefined for the
// table's own columns in order. `nodes` holds five numbers per node, depth-first: length, bit
// offset (of bitmaps: other buffers are sliced already), width in bytes of dictionary indices (0:
// plain; negative: signed), number of dictionary chunks, 0. A dictionary's node is followed by its
// chunks. `buffers` holds the typed arrays (or undefined) of each node in the order of
// arrow_layout.h.
#pragma once

#include <node_api.h>

#include <memory>

#include <arrow/type_fwd.h>

#include "base/status.h"

namespace marble::napi {

class Environment;

/// Import a batch with its own columns. JS thread. A TypeError or MARBLE_SCHEMA in the status.
Result<std::shared_ptr<arrow::RecordBatch>> ImportBatch(
    napi_env env, napi_value batch, const std::shared_ptr<arrow::Schema>& default_schema);

/// The batch with the values of its dictionaries, at whatever depth, in place of indices: how they
/// are stored.
Result<std::shared_ptr<arrow::RecordBatch>> DecodeDictionaries(
    const std::shared_ptr<arrow::RecordBatch>& batch);

/// Bring a batch into a table's shape: columns by name, missing nullable ones null. kSchema names
/// the column that does not fit.
Result<std::shared_ptr<arrow::RecordBatch>> ConformBatch(
    const std::shared_ptr<arrow::RecordBatch>& batch, const std::shared_ptr<arrow::Schema>& schema);

/// Parse a schema, or take it from the environment's cache.
Result<std::shared_ptr<arrow::Schema>> CachedSchema(Environment* environment,
                                                    const std::string& json);

}  // namespace marble::napi
