// The strong names of the engine's numbers. See native/README.md for the vocabulary.
#pragma once

#include <cstdint>
#include <limits>

namespace marble {

/// One counter per database; every write batch takes one. 0 is "before all writes".
using SequenceNumber = uint64_t;
inline constexpr SequenceNumber kMaxSequence = std::numeric_limits<uint64_t>::max() >> 1;

using TableId = uint32_t;
using FileNumber = uint64_t;
/// A byte position in the log as a whole: grows over all segments, never reused.
using LogPosition = uint64_t;
using KeyGroup = uint16_t;
using Epoch = uint64_t;

}  // namespace marble
