// 'connector' = 'kafka' as a source: fixed partitions of one topic, read from numeric offsets.
//
// 1. Open asks the cluster for partitions and ranges, decides each partition's first offset
// (resumed,
//    else by 'scan.startup.mode') and, when bounded, its end: the high watermark at this Open.
// 2. A fetch thread takes records from librdkafka's queue, decodes them into one builder per
//    partition, and hands over batches of at most kSourceBatchRows, kSourceBatchBytes or
//    kSourceBatchWaitMs through a queue bounded by bytes.
// 3. Next takes from that queue. Offsets move on with what Next returned, never with what was read.
//
// A connection that is lost is waited for; a partition that may be out of reach is not caught up
// until its leader answers again. An offset that the topic no longer has is an error, never a
// reset.
//
// Threads: see stream/source.h; Close and metrics from any thread.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/limits.h"
#include "kafka/batch_builder.h"
#include "kafka/batch_queue.h"
#include "kafka/consumer.h"
#include "kafka/kafka_options.h"
#include "stream/source.h"

namespace marble::kafka {

/// Bounds of one source; tests make them small.
struct KafkaSourceLimits {
  std::chrono::milliseconds open_timeout{10'000};
  /// Decoded batches waiting for Next: some 5 batches of full size.
  int64_t queue_bytes = 5 * limits::kSourceBatchBytes;
  int64_t batch_rows = limits::kSourceBatchRows;
  int64_t batch_bytes = limits::kSourceBatchBytes;
  std::chrono::milliseconds batch_wait{limits::kSourceBatchWaitMs};
};

struct KafkaSourceMetrics {
  uint64_t records = 0;            // rows handed to the queue
  uint64_t bad_records = 0;        // skipped
  uint64_t connection_errors = 0;  // met and survived
  std::string last_error;          // the text of the last of them
  int64_t queued_bytes = 0;        // decoded, not yet taken by Next
};

class KafkaSource : public stream::Source {
 public:
  /// Check the spec: kPlan or kNotSupported names what is wrong. Nothing is connected yet.
  static Result<std::unique_ptr<KafkaSource>> Make(const stream::SourceSpec& spec,
                                                   const KafkaSourceLimits& limits = {});
  ~KafkaSource() override;

  Status Open(const stream::Offsets& start) override;
  Result<std::optional<stream::SourceBatch>> Next(std::chrono::milliseconds timeout) override;
  bool finished() const override { return finished_.load(std::memory_order_acquire); }
  std::vector<stream::PartitionStatus> Partitions() const override;
  Status Commit(const stream::Offsets& offsets) override;
  void Close() override;

  KafkaSourceMetrics metrics() const;
  const std::shared_ptr<arrow::Schema>& schema() const { return layout_->schema; }

 private:
  /// What both threads see of a partition; guarded by state_mutex_.
  struct Shared {
    int64_t bound = -1;     // -1: unbounded
    int64_t delivered = 0;  // next offset behind what Next returned
    int64_t high = -1;
    bool suspect = false;  // its leader may be out of reach
  };
  /// The fetch thread's own.
  struct Fetch {
    int32_t partition = 0;
    std::unique_ptr<BatchBuilder> builder;
    int64_t position = 0;  // next offset to decode
    int64_t bound = -1;
    int64_t bad = 0;     // skipped since the last cut
    int64_t cut_at = 0;  // position of the last cut
    bool done = false;
    std::chrono::steady_clock::time_point first_row;
    std::chrono::steady_clock::time_point alive;  // last sign of its leader
  };

  KafkaSource(KafkaOptions options, std::shared_ptr<const BatchLayout> layout,
              const KafkaSourceLimits& limits)
      : options_(std::move(options)),
        layout_(std::move(layout)),
        limits_(limits),
        queue_(limits.queue_bytes) {}

  Result<int64_t> FirstOffset(const PartitionRange& range, const stream::Offsets& start,
                              const std::map<int32_t, int64_t>& by_time) const;
  void FetchLoop();
  /// Read until closed or at the end. OK: all partitions are done (or closed).
  Status FetchUntilDone();
  Status OnMessage(const rd_kafka_message_t& message);
  Status OnRecord(Fetch* fetch, const rd_kafka_message_t& message);
  Status OnError(Fetch* fetch, const rd_kafka_message_t& message);
  Status Finish(Fetch* fetch);
  Status Cut(Fetch* fetch);
  Status CutAll();
  void CheckSuspects();
  /// None counts as caught up until its leader has answered again.
  void SuspectAll();
  void RefreshHigh(Fetch* fetch);
  Status OutOfRange(int32_t partition, int64_t offset, const PartitionRange& range) const;
  std::string Place(int32_t partition, int64_t offset) const;

  const KafkaOptions options_;
  const std::shared_ptr<const BatchLayout> layout_;
  const KafkaSourceLimits limits_;
  BatchQueue queue_;

  mutable std::mutex lifecycle_;        // Open, Commit and Close exclude each other
  std::unique_ptr<Consumer> consumer_;  // guarded by lifecycle_; constant while the thread runs
  std::thread thread_;
  bool opened_ = false;

  std::atomic<bool> stop_{false};
  std::atomic<bool> finished_{false};
  std::atomic<uint64_t> records_{0};
  std::atomic<uint64_t> bad_records_{0};

  mutable std::mutex state_mutex_;
  std::map<int32_t, Shared> shared_;  // guarded by state_mutex_

  // Fetch thread only, once it runs.
  std::map<int32_t, Fetch> fetches_;
  Fetch* last_fetch_ = nullptr;  // messages come in runs of one partition
  size_t undone_ = 0;
  uint64_t seen_errors_ = 0;
  std::chrono::steady_clock::time_point now_;
  std::chrono::steady_clock::time_point next_probe_;
};

/// Register 'connector' = 'kafka' with the streaming layer. Idempotent; any thread.
void RegisterKafka();

}  // namespace marble::kafka
