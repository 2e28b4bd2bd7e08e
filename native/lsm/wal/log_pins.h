// Which log segments stay although everything in them is flushed: those that somebody still reads
// (a checkpoint, a backup, a subscriber of the change feed). A flush hands over the segments that
// the manifest no longer needs; they are unlinked when no pin is at or below them.
//
// Pins that may be lost are taken away, oldest segment first, when what is kept for pins alone
// exceeds a limit: a slow subscriber must not fill the disk. Thread-safe; takes no other lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/types.h"
#include "io/file_system.h"

namespace marble::lsm {

class LogPins : public std::enable_shared_from_this<LogPins> {
 public:
  LogPins(std::shared_ptr<io::FileSystem> file_system, std::string dir, uint64_t limit_bytes)
      : file_system_(std::move(file_system)), dir_(std::move(dir)), limit_bytes_(limit_bytes) {}

  class Pin {
   public:
    ~Pin();
    /// The first segment that is kept; nothing is when the pin was lost.
    uint64_t segment() const { return segment_.load(std::memory_order_acquire); }
    bool lost() const { return lost_.load(std::memory_order_acquire); }
    /// Segments below `segment` are no longer needed.
    void Advance(uint64_t segment);

   private:
    friend class LogPins;
    std::shared_ptr<LogPins> pins_;
    std::atomic<uint64_t> segment_{0};
    std::atomic<bool> lost_{false};
    bool may_be_lost_ = false;
  };

  /// From segment `first` on the log holds all records behind `sequence`: at open.
  void Start(uint64_t first, SequenceNumber sequence);
  /// Keep all segments that are there.
  std::shared_ptr<Pin> PinAll();
  /// Keep all segments that are there, as long as the limit allows, if they hold every record
  /// behind `sequence`; null if they do not.
  std::shared_ptr<Pin> PinBehind(SequenceNumber sequence);
  /// Everything up to `last_segment`, and up to `last_sequence`, is flushed: unlink all segments up
  /// to there, and `recovered`, which came before the first, when nobody needs them. Errors are
  /// left to the next open, which removes what the manifest does not name.
  void Drop(const std::vector<std::string>& recovered, uint64_t last_segment,
            SequenceNumber last_sequence);

  /// No record up to this sequence is sure to be in the log.
  SequenceNumber dropped_sequence() const;
  /// Bytes of segments that are kept for pins alone.
  uint64_t kept_bytes() const;

 private:
  struct Kept {
    std::vector<std::string> paths;
    uint64_t last_segment;
    SequenceNumber last_sequence;
    uint64_t bytes;
  };
  std::shared_ptr<Pin> Take(uint64_t segment, bool may_be_lost);
  void Release(Pin* pin);
  /// Under mutex_: unlink what no pin needs.
  void Collect();

  const std::shared_ptr<io::FileSystem> file_system_;
  const std::string dir_;
  const uint64_t limit_bytes_;
  mutable std::mutex mutex_;
  std::set<Pin*> pins_;
  std::deque<Kept> kept_;  // oldest first
  uint64_t kept_bytes_ = 0;
  uint64_t next_ = 1;  // the first segment that was not handed over
  uint64_t first_segment_ = 1;
  SequenceNumber dropped_sequence_ = 0;
};

}  // namespace marble::lsm
