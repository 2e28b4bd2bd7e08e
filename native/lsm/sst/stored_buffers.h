// Where the buffers of a compressed .arrow file lie in it: section 9 of the .idx (FORMAT.md). In
// such a file the layout (batch_layout.h) says how a batch lies in memory once it is decoded.
//
// Taken from the file itself when it is written, by the framing of its messages: nothing is
// decoded, and no length that the file claims is believed before it has been compared.
#pragma once

#include <arrow/type_fwd.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "lsm/sst/compression.h"
#include "lsm/sst/sst_format.h"

namespace marble::lsm {

/// In front of each stored buffer: i64 decoded length, or -1: stored as it is.
inline constexpr uint64_t kDecodedLengthBytes = 8;

/// Per batch its buffers, depth-first as in the layout; with their decoded lengths in front.
using StoredBatches = std::vector<std::vector<BufferSpan>>;

/// Sum of the buffers' lengths.
uint64_t BufferBytes(const std::vector<BufferSpan>& buffers);
/// What a decoded batch takes in memory: up to the end of its last buffer, aligned.
uint64_t DecodedBytes(const BatchLayout& layout);

/// What a compressed .arrow file would take with its buffers as they are.
uint64_t PlainBytes(uint64_t arrow_bytes, const std::vector<BatchLayout>& decoded,
                    const StoredBatches& stored);

std::string EncodeStoredBuffers(Compression compression, const StoredBatches& batches);

struct StoredBuffers {
  Compression compression = Compression::kNone;
  StoredBatches batches;
};
/// Decode and validate against the decoded layouts: what is stored lies inside the .arrow file, and
/// no batch claims more memory than it may. The error is a bare sentence.
Result<StoredBuffers> DecodeStoredBuffers(std::string_view section,
                                          const std::vector<BatchLayout>& layouts,
                                          uint64_t arrow_bytes);

struct CompressedLayouts {
  std::vector<BatchLayout> decoded;
  StoredBatches stored;
};
/// Both from a whole compressed .arrow file in memory. kCorruption when it is not one, or is
/// compressed otherwise.
Result<CompressedLayouts> ReadCompressedLayouts(std::string_view arrow_file,
                                                const arrow::Schema& schema,
                                                Compression compression);

}  // namespace marble::lsm
