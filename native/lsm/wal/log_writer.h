// The log: one for the whole database, in segments. Appenders copy in parallel; a record is
// published (and its Append returns) only when every earlier byte of the log is complete.
//
//   1. Reserve, under a mutex: position, sequence number; roll to a new segment when full.
//   2. Fill the payload and the header in the mapping, without the mutex; CRC-32C over all.
//   3. Wait for one's turn (all earlier records published), then call `publish` exclusively:
//      the memtable has one writer at a time, in log order. Then published_ moves on.
//
// An error of fallocate fails the append that needed the segment and nothing else. An error of
// a sync, or in step 3, makes the log read-only until it is reopened: what the kernel did
// with the pages is unknown. Format: FORMAT.md. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/limits.h"
#include "base/status.h"
#include "base/types.h"
#include "io/file_system.h"

namespace marble::lsm {

/// kVoid is what an append leaves whose `fill` failed: it has a sequence number and no effect.
enum class RecordType : uint8_t { kWriteBatch = 1, kSegmentEnd = 2, kCleanClose = 3, kVoid = 4 };

struct LogOptions {
  std::string dir;  // where NNNNNN.log files live
  size_t segment_bytes = limits::kLogSegmentBytes;
  std::string boot_id;      // uuid text, written into segment headers
  std::string database_id;  // 16 bytes, or a uuid's text
  std::shared_ptr<io::FileSystem> file_system = io::FileSystem::Local();
};

/// Where a published record lies. The segment keeps its memory alive.
struct PublishedRecord {
  SequenceNumber sequence;
  uint64_t segment_id;
  LogPosition end;         // position just behind the record
  const uint8_t* payload;  // 64-byte aligned
  size_t payload_bytes;
  std::shared_ptr<io::LogFile> segment;
};

class LogWriter {
 public:
  using Fill = std::function<Status(uint8_t* to)>;
  using Publish = std::function<Status(const PublishedRecord&)>;
  using Decide = std::function<bool()>;

  virtual ~LogWriter() = default;

  /// Start a new segment `first_segment` at log position `start`, with the next batch getting
  /// sequence `next_sequence`. Never writes into an existing segment.
  static Result<std::unique_ptr<LogWriter>> Open(const LogOptions& options, uint64_t first_segment,
                                                 LogPosition start, SequenceNumber next_sequence);

  /// Append one write batch of exactly `payload_bytes`, which `fill` writes to 64-byte aligned
  /// memory. Returns when published (durability 'process'). kNoSpace, kReadOnly, kTooLarge.
  /// If `fill` fails, the space is filled with a void record and its error is returned.
  /// `decide` (may be null) is called in publication order, exclusively, before the record
  /// becomes valid: if it says no, a void record takes its place, nothing is published and the
  /// result is nullopt. So what was decided against cannot come back in a recovery.
  virtual Result<std::optional<PublishedRecord>> AppendIf(size_t payload_bytes, const Fill& fill,
                                                          const Decide& decide,
                                                          const Publish& publish) = 0;
  Result<PublishedRecord> Append(size_t payload_bytes, const Fill& fill, const Publish& publish) {
    MARBLE_ASSIGN_OR_RETURN(auto record, AppendIf(payload_bytes, fill, nullptr, publish));
    return std::move(*record);
  }

  /// Make everything up to `position` durable against power loss; callers share fdatasyncs.
  virtual Status Sync(LogPosition position) = 0;

  /// End the current segment and start the next, so that a flush can drop all before.
  /// Returns the new segment's id. `on_switch` runs in publication order, exclusively, between
  /// the last record of the old segment and the first of the new one.
  virtual Result<uint64_t> Roll(const std::function<void()>& on_switch) = 0;

  /// Roll, and take a sequence number that lies between those of the old segment and those of the
  /// new one, for rows that do not go through the log. `in_turn` runs like `on_switch`; it gets the
  /// new segment's id, too.
  virtual Result<SequenceNumber> TakeSequence(
      const std::function<void(SequenceNumber, uint64_t new_segment)>& in_turn) = 0;

  /// Write the clean-close record (not if `clean` is false) and sync. No appends may be under way
  /// or follow.
  virtual Status Close(bool clean) = 0;
  Status Close() { return Close(true); }

  virtual LogPosition published() const = 0;
  virtual LogPosition synced() const = 0;
  virtual SequenceNumber last_published_sequence() const = 0;
  virtual uint64_t current_segment() const = 0;
  /// The error that made the log read-only, or OK.
  virtual Status background_error() const = 0;
};

}  // namespace marble::lsm
