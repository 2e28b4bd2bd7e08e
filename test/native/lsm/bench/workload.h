// What is measured: each workload is a loop of calls on one side, made from numbers that depend on
// the rows, the line and the round alone, so that all sides do the same in the same order.
// Making keys and values is inside of the measurement, equal for all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rows.h"
#include "statistics.h"
#include "store_side.h"

namespace marble::lsm::bench {

enum class Work {
  kFillSequential,
  kFillRandom,
  kFillBatches,
  kOverwrite,
  kReadRandom,
  kReadHot,
  kReadMissing,
  kReadBatched,
  kSeek,
  kScan,
  kMix,
  kReadWhileWriting,
  kLatency,
};

inline constexpr int kBatch = 100;          // puts or gets in a batch
inline constexpr int kSeekRows = 10;        // read after a seek
inline constexpr uint64_t kHotKeys = 1000;  // of "read hot"

/// What one run of a workload is given.
struct Assignment {
  const Rows* rows = nullptr;
  uint64_t operations = 0;      // of lines that do not go over all rows
  uint64_t seed = 0;            // equal for all sides
  uint8_t version = 0;          // of the values that a line writes
  std::vector<uint32_t> order;  // of the rows, where a line goes over all in random order
};

/// What it did. Two sides agree when `touched` and `misses` are equal.
struct Outcome {
  Touched touched;
  uint64_t misses = 0;
  uint64_t operations = 0;
  uint64_t writes = 0;  // of "read while writing", whose operations are the reads
  uint64_t wrong = 0;   // answers that no moment of the line allows
  Latencies nanoseconds;

  bool Agrees(const Outcome& other) const {
    return wrong == 0 && other.wrong == 0 && touched == other.touched && misses == other.misses;
  }
};

Outcome RunWork(Work work, const Assignment& assignment, StoreSide* side);

/// A writer beside a reader: the writer puts `operations` rows, the reader reads until it is done.
/// On the model only the writes take place.
Outcome RunReadWhileWriting(const Assignment& assignment, StoreSide* side, bool with_reader);

}  // namespace marble::lsm::bench
