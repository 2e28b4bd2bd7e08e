// What an SSTable consists of, as types that writer and reader share. See FORMAT.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/types.h"
#include "lsm/sst/compression.h"

namespace marble::lsm {

/// Hidden columns, appended behind the table's own, each only where it is needed.
inline constexpr char kSeqColumn[] = "__seq";          // uint64: where versions matter
inline constexpr char kKindColumn[] = "__kind";        // uint8: where not every row is a put
inline constexpr char kExpiresColumn[] = "__expires";  // int64 ms: where rows expire

enum class RowKind : uint8_t { kPut = 0, kDelete = 1, kMerge = 2 };

struct BufferSpan {
  uint64_t offset;  // in the .arrow file, or in the decoded batch
  uint64_t length;
};
/// One record batch: everything that is needed to build its arrays without flatbuffers.
/// `nodes` and `buffers` are depth-first over the file's columns, as in Arrow IPC. Of a compressed
/// file, buffers lie in the decoded batch (stored_buffers.h says where they are in the file).
struct BatchLayout {
  struct Node {
    int64_t length;
    int64_t null_count;
  };
  int64_t rows;
  std::vector<Node> nodes;
  std::vector<BufferSpan> buffers;  // length 0 and offset 0: absent
};

/// Nodes and buffers of a layout: of a column, or before it.
struct LayoutSize {
  size_t nodes = 0;
  size_t buffers = 0;
};

/// What the manifest keeps of a file.
struct FileMeta {
  FileNumber number = 0;
  TableId table = 0;
  int level = 0;
  uint64_t arrow_bytes = 0;
  uint64_t idx_bytes = 0;
  uint64_t rows = 0;
  uint64_t tombstones = 0;  // and merge operands: rows that are no puts
  SequenceNumber min_sequence = 0;
  SequenceNumber max_sequence = 0;
  std::string min_key;  // encoded
  std::string max_key;
  /// Puts alone, one version per key: alone in its range it is scanned with no copy, as long as
  /// no row has expired.
  bool clean = false;
  uint32_t idx_crc = 0;  // CRC-32C of the whole .idx file, checked at open
  Compression compression = Compression::kNone;
  /// Compressed: what .arrow would take if it were not.
  uint64_t plain_bytes = 0;

  /// Of .arrow, as if it were not compressed.
  uint64_t uncompressed_bytes() const {
    return compression == Compression::kNone ? arrow_bytes : plain_bytes;
  }
};

std::string SstArrowName(FileNumber number);  // 000012.arrow
std::string SstIdxName(FileNumber number);    // 000012.idx

}  // namespace marble::lsm
