#include "kafka/kafka_source.h"

#include <arrow/record_batch.h>

#include <algorithm>
#include <charconv>

namespace marble::kafka {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Messages taken from librdkafka at once: its rate is flat from 10,000 on.
constexpr size_t kConsumeBatch = 10'000;
/// How long an idle fetch thread sleeps before it looks at stop and errors again.
constexpr milliseconds kIdleWait{50};
/// A partition that was silent this long has its leader asked whether it is still there; a shorter
/// time than any sensible idle time-out, because only a partition in reach may count as idle.
constexpr milliseconds kSilence{3000};
/// A wait for room after which what is known of the ends of the partitions is too old to call one
/// idle.
constexpr milliseconds kStaleAfterWait{100};
constexpr milliseconds kProbeEvery{500};
constexpr milliseconds kProbeTimeout{300};

Result<int64_t> ParseOffset(int32_t partition, const std::string& text) {
  int64_t offset = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), offset);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || offset < 0) {
    return MakeError(ErrorCode::kInvalidArgument, "the offset of partition " +
                                                      std::to_string(partition) + " is '" + text +
                                                      "'; a kafka offset is a whole number");
  }
  return offset;
}

}  // namespace

Result<std::unique_ptr<KafkaSource>> KafkaSource::Make(const stream::SourceSpec& spec,
                                                       const KafkaSourceLimits& limits) {
  MARBLE_ASSIGN_OR_RETURN(KafkaOptions options, KafkaOptions::Parse(spec.options));
  if (spec.bounded) options.bounded = true;
  MARBLE_ASSIGN_OR_RETURN(auto layout, BatchLayout::Make(spec));
  return std::unique_ptr<KafkaSource>(
      new KafkaSource(std::move(options), std::move(layout), limits));
}

KafkaSource::~KafkaSource() { Close(); }

std::string KafkaSource::Place(int32_t partition, int64_t offset) const {
  return "topic '" + options_.topic + "', partition " + std::to_string(partition) + ", offset " +
         std::to_string(offset);
}

Status KafkaSource::OutOfRange(int32_t partition, int64_t offset,
                               const PartitionRange& range) const {
  return MakeError(
      ErrorCode::kKafka,
      Place(partition, offset) + ": the topic does not have this offset; it has " +
          std::to_string(range.low) + " to " + std::to_string(range.high) +
          (offset < range.low ? " (records were deleted by retention before they were read)"
                              : " (the topic was created anew or truncated)") +
          "; to begin anew, SET 'execution.restart' = 'fresh'");
}

Result<int64_t> KafkaSource::FirstOffset(const PartitionRange& range, const stream::Offsets& start,
                                         const std::map<int32_t, int64_t>& by_time) const {
  const auto resumed = start.find(range.partition);
  if (resumed != start.end()) {
    MARBLE_ASSIGN_OR_RETURN(int64_t offset, ParseOffset(range.partition, resumed->second));
    if (offset < range.low || offset > range.high) {
      return OutOfRange(range.partition, offset, range);
    }
    return offset;
  }
  switch (options_.startup) {
    case KafkaOptions::Startup::kEarliest:
      return range.low;
    case KafkaOptions::Startup::kLatest:
      return range.high;
    case KafkaOptions::Startup::kTimestamp:
      return by_time.at(range.partition);
  }
  return range.low;
}

Status KafkaSource::Open(const stream::Offsets& start) {
  std::lock_guard lock(lifecycle_);
  if (stop_) return MakeError(ErrorCode::kClosed, "the kafka source is closed");
  if (opened_) return MakeError(ErrorCode::kInvalidArgument, "the kafka source is open already");
  fetches_.clear();  // of an Open that failed
  undone_ = 0;
  MARBLE_ASSIGN_OR_RETURN(auto consumer, Consumer::Make(options_));
  MARBLE_ASSIGN_OR_RETURN(auto ranges, consumer->Describe(limits_.open_timeout, stop_));
  for (const auto& [partition, offset] : start) {
    const bool known =
        std::any_of(ranges.begin(), ranges.end(),
                    [p = partition](const auto& range) { return range.partition == p; });
    if (!known) {
      return MakeError(ErrorCode::kIncompatibleState,
                       "partition " + std::to_string(partition) + " of topic '" + options_.topic +
                           "' was read before, up to offset " + offset +
                           ", but is not among "
                           "those to be read now; keep 'scan.partitions', or begin anew");
    }
  }
  std::map<int32_t, int64_t> by_time;
  if (options_.startup == KafkaOptions::Startup::kTimestamp) {
    MARBLE_ASSIGN_OR_RETURN(by_time, consumer->OffsetsForTime(ranges, options_.startup_timestamp_ms,
                                                              limits_.open_timeout));
  }
  const auto now = steady_clock::now();
  for (const PartitionRange& range : ranges) {
    MARBLE_ASSIGN_OR_RETURN(int64_t first, FirstOffset(range, start, by_time));
    Fetch fetch;
    fetch.partition = range.partition;
    fetch.position = fetch.cut_at = first;
    fetch.bound = options_.bounded ? range.high : -1;
    fetch.alive = now;
    fetch.done = options_.bounded && first >= fetch.bound;
    MARBLE_ASSIGN_OR_RETURN(fetch.builder, BatchBuilder::Make(layout_));
    if (!fetch.done) {
      MARBLE_RETURN_NOT_OK(consumer->Start(range.partition, first));
      ++undone_;
    }
    fetches_.emplace(range.partition, std::move(fetch));
    std::lock_guard state_lock(state_mutex_);
    shared_[range.partition] = {options_.bounded ? range.high : -1, first, range.high, false};
  }
  consumer_ = std::move(consumer);
  opened_ = true;
  if (options_.bounded && undone_ == 0) {
    finished_ = true;
    queue_.End(Status::OK());
    return Status::OK();
  }
  thread_ = std::thread([this] { FetchLoop(); });
  return Status::OK();
}

void KafkaSource::FetchLoop() {
  pthread_setname_np(pthread_self(), "marble-kafka");
  Status status = FetchUntilDone();
  if (!stop_) queue_.End(std::move(status));
}

Status KafkaSource::FetchUntilDone() {
  std::vector<rd_kafka_message_t*> messages(kConsumeBatch);
  now_ = next_probe_ = steady_clock::now();
  bool pending = false;  // some builder has rows
  while (!stop_) {
    // With nothing pending wait for the first record, then a little for more.
    size_t count = 0;
    if (!pending) count = consumer_->ConsumeBatch(kIdleWait, messages.data(), 1);
    const size_t room = messages.size() - count;
    if (pending || count > 0) {
      count += consumer_->ConsumeBatch(limits_.batch_wait, messages.data() + count, room);
    }
    now_ = steady_clock::now();
    Status status;
    for (size_t i = 0; i < count; ++i) {
      if (status.ok() && !stop_) status = OnMessage(*messages[i]);
      rd_kafka_message_destroy(messages[i]);
    }
    if (!status.ok()) {
      // What was read before is good: it comes first.
      MARBLE_RETURN_NOT_OK(CutAll());
      return status;
    }
    const bool drained = count < messages.size();
    pending = false;
    for (auto& [partition, fetch] : fetches_) {
      if (fetch.cut_at == fetch.position) continue;
      if (drained || now_ - fetch.first_row >= limits_.batch_wait) {
        MARBLE_RETURN_NOT_OK(Cut(&fetch));
      } else {
        pending = true;
      }
    }
    MARBLE_RETURN_NOT_OK(consumer_->Poll());
    CheckSuspects();
    if (options_.bounded && undone_ == 0) return Status::OK();
  }
  return Status::OK();
}

Status KafkaSource::OnMessage(const rd_kafka_message_t& message) {
  if (last_fetch_ == nullptr || last_fetch_->partition != message.partition) {
    const auto found = fetches_.find(message.partition);
    if (found == fetches_.end()) return OnError(nullptr, message);
    last_fetch_ = &found->second;
  }
  Fetch* fetch = last_fetch_;
  fetch->alive = now_;
  if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR) return OnRecord(fetch, message);
  if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    // Control records and aborted transactions take offsets but never come as records: the end
    // says how far the partition was really read.
    // Records behind the bound are not ours: the position stays there.
    if (fetch->done) return Status::OK();
    fetch->position = std::max(fetch->position, message.offset);
    if (fetch->bound >= 0) fetch->position = std::min(fetch->position, fetch->bound);
    RefreshHigh(fetch);
    return fetch->bound >= 0 && fetch->position >= fetch->bound ? Finish(fetch) : Status::OK();
  }
  return OnError(fetch, message);
}

Status KafkaSource::OnRecord(Fetch* fetch, const rd_kafka_message_t& message) {
  if (fetch->done || message.offset < fetch->position) return Status::OK();
  if (fetch->bound >= 0 && message.offset >= fetch->bound) return Finish(fetch);
  if (fetch->cut_at == fetch->position) fetch->first_row = now_;
  Result<bool> appended = fetch->builder->Append(message);
  if (!appended.ok()) {
    const Status& status = appended.status();
    if (CodeOf(status) != ErrorCode::kBadRecord || !layout_->skip_bad) {
      return MakeError(CodeOf(status),
                       Place(message.partition, message.offset) + ": " + MessageOf(status));
    }
  }
  if (!appended.ok() || !*appended) ++fetch->bad;
  fetch->position = message.offset + 1;
  if (fetch->bound >= 0 && fetch->position >= fetch->bound) return Finish(fetch);
  // Counting bytes walks the columns: often enough for a bound that is soft by one such step.
  const int64_t rows = fetch->builder->rows();
  const bool full = rows >= limits_.batch_rows || (((rows & 63) == 0 || message.len > 4096) &&
                                                   fetch->builder->bytes() >= limits_.batch_bytes);
  return full ? Cut(fetch) : Status::OK();
}

Status KafkaSource::OnError(Fetch* fetch, const rd_kafka_message_t& message) {
  const char* detail = rd_kafka_message_errstr(&message);
  const std::string text = std::string(rd_kafka_err2str(message.err)) +
                           (detail == nullptr ? "" : std::string(": ") + detail);
  const std::string place = fetch == nullptr ? "topic '" + options_.topic + "'"
                                             : Place(fetch->partition, fetch->position);
  switch (message.err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: {
      PartitionRange range;
      if (fetch != nullptr && consumer_->Probe(fetch->partition, kProbeTimeout * 10, &range)) {
        return OutOfRange(fetch->partition, fetch->position, range);
      }
      return MakeError(ErrorCode::kKafka, place + ": " + text);
    }
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
      return MakeError(ErrorCode::kKafka, place + ": the topic or the partition is gone: " + text);
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR__FATAL:
      return MakeError(ErrorCode::kKafka, place + ": " + text);
    default:
      // Connections, elections, time-outs: librdkafka goes on by itself.
      consumer_->CountError(text);
      return Status::OK();
  }
}

Status KafkaSource::Finish(Fetch* fetch) {
  if (fetch->done) return Status::OK();
  fetch->done = true;
  --undone_;
  // Offsets between the last record and the bound hold nothing to read.
  fetch->position = fetch->bound;
  consumer_->Stop(fetch->partition);
  return Cut(fetch);
}

Status KafkaSource::Cut(Fetch* fetch) {
  if (fetch->cut_at == fetch->position && fetch->bad == 0 && fetch->builder->rows() == 0) {
    return Status::OK();
  }
  BatchQueue::Item item;
  item.bytes = std::max<int64_t>(fetch->builder->bytes(), 256);
  item.next_offset = fetch->position;
  const int64_t rows = fetch->builder->rows();
  MARBLE_ASSIGN_OR_RETURN(item.batch.rows, fetch->builder->Finish());
  item.batch.partition = fetch->partition;
  item.batch.next_offset = std::to_string(fetch->position);
  item.batch.bad_records = fetch->bad;
  RefreshHigh(fetch);
  records_.fetch_add(static_cast<uint64_t>(rows), std::memory_order_relaxed);
  bad_records_.fetch_add(static_cast<uint64_t>(fetch->bad), std::memory_order_relaxed);
  fetch->bad = 0;
  fetch->cut_at = fetch->position;
  const auto before_push = steady_clock::now();
  queue_.Push(std::move(item));  // false: closed, and stop_ ends the loop
  // Waiting for room is not the leader's silence.
  fetch->alive = now_ = steady_clock::now();
  if (now_ - before_push > kStaleAfterWait) SuspectAll();
  return Status::OK();
}

Status KafkaSource::CutAll() {
  for (auto& [partition, fetch] : fetches_) MARBLE_RETURN_NOT_OK(Cut(&fetch));
  return Status::OK();
}

void KafkaSource::RefreshHigh(Fetch* fetch) {
  const int64_t high = consumer_->CachedRange(fetch->partition).high;
  std::lock_guard lock(state_mutex_);
  Shared& shared = shared_[fetch->partition];
  shared.high = std::max({shared.high, high, fetch->position});
  shared.suspect = false;
}

void KafkaSource::SuspectAll() {
  std::lock_guard lock(state_mutex_);
  for (auto& [partition, shared] : shared_) shared.suspect = true;
  next_probe_ = now_;
}

void KafkaSource::CheckSuspects() {
  const uint64_t errors = consumer_->connection_errors();
  if (errors != seen_errors_) {
    // An error names a broker, not its partitions: all are suspect until their leaders answer.
    seen_errors_ = errors;
    SuspectAll();
  }
  if (now_ < next_probe_) return;
  next_probe_ = now_ + kProbeEvery;
  for (auto& [partition, fetch] : fetches_) {
    if (fetch.done || stop_) continue;
    bool suspect;
    {
      std::lock_guard lock(state_mutex_);
      suspect = shared_[partition].suspect;
    }
    if (!suspect && now_ - fetch.alive < kSilence) continue;
    PartitionRange range;
    const bool answered = consumer_->Probe(partition, kProbeTimeout, &range);
    std::lock_guard lock(state_mutex_);
    Shared& shared = shared_[partition];
    shared.suspect = !answered;
    if (!answered) break;  // the others can wait for the next time: reading goes first
    fetch.alive = now_;
    shared.high = std::max(shared.high, range.high);
  }
}

Result<std::optional<stream::SourceBatch>> KafkaSource::Next(milliseconds timeout) {
  MARBLE_ASSIGN_OR_RETURN(auto item, queue_.Pop(timeout));
  if (!item) return std::nullopt;
  std::lock_guard lock(state_mutex_);
  shared_[item->batch.partition].delivered = item->next_offset;
  if (options_.bounded) {
    finished_ = std::all_of(shared_.begin(), shared_.end(), [](const auto& entry) {
      return entry.second.delivered >= entry.second.bound;
    });
  }
  return std::move(item->batch);
}

std::vector<stream::PartitionStatus> KafkaSource::Partitions() const {
  std::lock_guard lock(state_mutex_);
  std::vector<stream::PartitionStatus> all;
  for (const auto& [partition, shared] : shared_) {
    stream::PartitionStatus status;
    status.partition = partition;
    status.high_watermark = shared.high;
    const int64_t end = shared.bound >= 0 ? std::min(shared.bound, shared.high) : shared.high;
    status.lag = std::max<int64_t>(0, end - shared.delivered);
    status.finished = shared.bound >= 0 && shared.delivered >= shared.bound;
    status.caught_up = status.lag == 0 && !shared.suspect;
    all.push_back(status);
  }
  return all;
}

Status KafkaSource::Commit(const stream::Offsets& offsets) {
  if (!options_.has_group) return Status::OK();
  std::map<int32_t, int64_t> numbers;
  for (const auto& [partition, text] : offsets) {
    MARBLE_ASSIGN_OR_RETURN(numbers[partition], ParseOffset(partition, text));
  }
  std::lock_guard lock(lifecycle_);
  if (consumer_ == nullptr) return MakeError(ErrorCode::kClosed, "the kafka source is not open");
  return consumer_->Commit(numbers);
}

void KafkaSource::Close() {
  stop_ = true;
  queue_.Close();
  std::lock_guard lock(lifecycle_);
  if (thread_.joinable()) thread_.join();
  consumer_.reset();
}

KafkaSourceMetrics KafkaSource::metrics() const {
  KafkaSourceMetrics metrics;
  metrics.records = records_.load(std::memory_order_relaxed);
  metrics.bad_records = bad_records_.load(std::memory_order_relaxed);
  metrics.queued_bytes = queue_.bytes();
  std::unique_lock lock(lifecycle_, std::try_to_lock);
  if (lock && consumer_ != nullptr) {
    metrics.connection_errors = consumer_->connection_errors();
    metrics.last_error = consumer_->last_error();
  }
  return metrics;
}

}  // namespace marble::kafka
