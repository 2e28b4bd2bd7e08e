// Where the buffers of every record batch lie in an .arrow file: taken from the file by Arrow's
// own reader when it is written, kept in the .idx, and turned back into arrays without looking
// at a flatbuffer.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "lsm/sst/sst_format.h"

namespace marble::lsm {

/// Nodes and buffers that a column of this type takes in a layout.
LayoutSize LayoutSizeOf(const arrow::DataType& type);
LayoutSize LayoutSizeOf(const arrow::Schema& schema);

/// Take the layout of all batches from a whole .arrow file in memory.
Result<std::vector<BatchLayout>> ReadLayouts(std::string_view arrow_file,
                                             const arrow::Schema& schema);
/// The schema that an .arrow file says it has. The error is a bare sentence.
Result<std::shared_ptr<arrow::Schema>> ReadFileSchema(std::string_view arrow_file);

std::string EncodeLayouts(const std::vector<BatchLayout>& layouts);
/// Whether a section of so many bytes can hold that many layouts.
bool IsLayoutOf(uint64_t section_bytes, uint64_t batches, const LayoutSize& of_batch);
/// Decode and validate: every buffer lies inside the file and is as long as its column's length
/// asks for, so that arrays built from it never reach beyond the mapping. (What offsets inside
/// the buffers say is the page checksums' business.) The error is a bare sentence.
Result<std::vector<BatchLayout>> DecodeLayouts(std::string_view section,
                                               const arrow::Schema& schema, uint64_t arrow_bytes);

/// Makes a buffer over a span of the file.
using BufferFactory = std::function<std::shared_ptr<arrow::Buffer>(const BufferSpan&)>;

/// One column's array; its nodes and buffers begin at `first`.
std::shared_ptr<arrow::ArrayData> BuildArray(const BatchLayout& layout,
                                             const std::shared_ptr<arrow::DataType>& type,
                                             const LayoutSize& first, const BufferFactory& factory);

/// The batch's arrays, in the schema's order.
std::vector<std::shared_ptr<arrow::ArrayData>> BuildArrays(const BatchLayout& layout,
                                                           const arrow::Schema& schema,
                                                           const BufferFactory& factory);

}  // namespace marble::lsm
