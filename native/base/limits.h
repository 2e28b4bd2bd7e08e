// Every bound of the engine in one place, each with its reason. Exceeding one is a clear error.
#pragma once

#include <cstddef>
#include <cstdint>

namespace marble::limits {

/// Keys are copied on the stack in hot paths and stored every 64 rows in index files.
inline constexpr size_t kMaxKeyBytes = 64 * 1024;
/// Arrow binary columns have 32-bit offsets; a value must leave room for others in its batch.
inline constexpr size_t kMaxValueBytes = 512u << 20;
/// One write batch lies in one log segment, which is mapped whole.
inline constexpr size_t kMaxWriteBatchBytes = 1u << 30;
/// A memtable generation is one log segment: this bounds both memory and recovery time.
inline constexpr size_t kLogSegmentBytes = 64u << 20;
/// Pages of the log faulted in ahead of the append position, so that an append never faults.
inline constexpr size_t kLogPrefaultBytes = 1u << 20;
/// V8 refuses array buffers above 4 GiB; files stay far below.
inline constexpr uint64_t kMaxSstBytes = 1ull << 30;
/// Levels of SSTables: level 0 (overlapping, from flushes) and six sorted runs. With a factor of 10
/// between them that is a million times the first level's size: more than a disk holds.
inline constexpr int kNumLevels = 7;
/// Rows and bytes of one record batch in an SSTable of a table.
inline constexpr int64_t kTableBatchRows = 64 * 1024;
inline constexpr int64_t kTableBatchBytes = 8 << 20;
/// The same for state families: a cold get touches one readahead window.
inline constexpr int64_t kStateBatchBytes = 32 * 1024;
/// A compressed record batch of several rows, decoded: a get of one of them decodes all of it.
inline constexpr int64_t kCompressedBatchBytes = 64 * 1024;
/// How much larger than what is stored a decoded buffer may claim to be (zstd: blocks of 128 KiB of
/// one byte in 4 bytes each), so that a damaged length is refused before memory is taken for it.
inline constexpr uint64_t kMaxCompressionRatio = 64 * 1024;
/// Decoded batches that are kept for the next read, where no memory budget says how much.
inline constexpr uint64_t kDecodedCacheBytes = 64u << 20;
/// Rows between two full keys of the sparse index.
inline constexpr int64_t kSparseKeyInterval = 64;
/// Checksums are kept per page of this size.
inline constexpr size_t kChecksumPageBytes = 4096;

/// Streaming: rows, bytes and wait of one source batch.
inline constexpr int64_t kSourceBatchRows = 10'000;
inline constexpr int64_t kSourceBatchBytes = 4 << 20;
inline constexpr int64_t kSourceBatchWaitMs = 5;
/// A longer epoch would delay readers more than the design allows.
inline constexpr int64_t kMaxEpochMs = 2'000;

/// Scheduler: time and rows of one slice of a long task; others wait no longer for a thread.
inline constexpr int64_t kTaskSliceMicros = 2'000;
inline constexpr int64_t kTaskSliceRows = 64 * 1024;
/// At least every so many tasks a worker takes a flush, or a compaction, if there is one.
inline constexpr uint32_t kFlushTurn = 16;
inline constexpr uint32_t kCompactionTurn = 64;
/// Threads beyond those asked for, which stand in for blocked ones: each has a stack.
inline constexpr int kMaxStandInThreads = 16;
/// A stand-in without work for so long ends.
inline constexpr int64_t kStandInLingerMs = 1'000;
/// Chunks of 64 tasks (2 KiB) that an idle scheduler keeps for the next burst.
inline constexpr size_t kTaskChunksKept = 2'048;
/// Workers look into every producer's queue.
inline constexpr int kMaxProducers = 64;
/// A guard against nonsense: no machine has more CPUs than this.
inline constexpr int kMaxSchedulerThreads = 4'096;

}  // namespace marble::limits
