#include "lsm/wal/log_writer.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "lsm/mutation.h"
#include "lsm/wal/log_format.h"

namespace marble::lsm {
namespace {

using log_format::kEndRecordBytes;
using log_format::kSegmentHeaderBytes;
using log_format::LayoutOf;
using log_format::RecordHeader;
using log_format::RecordLayout;

constexpr LogPosition kOpenEnd = std::numeric_limits<LogPosition>::max();
constexpr size_t kFileAlignment = 4096;
/// A turn is usually a fraction of a microsecond away; longer waits sleep.
constexpr int kTurnSpins = 64;

inline void CpuPause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// One thread with a queue of jobs. Jobs not begun when it stops are dropped.
class Worker {
 public:
  Worker() : thread_([this] { Run(); }) {}
  ~Worker() { Stop(); }

  void Post(std::function<void()> job) {
    {
      std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
  }
  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
      if (stop_) return;
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      job = nullptr;  // what it holds is released before the next wait
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool stop_ = false;
  std::thread thread_;  // last: it runs as soon as it exists
};

/// A segment that takes records. Immutable, so that appenders may hold it without the mutex.
struct Segment {
  std::shared_ptr<io::LogFile> file;
  uint64_t id;
  LogPosition base;
  uint32_t seed;
};
using SegmentRef = std::shared_ptr<const Segment>;

/// Space in the log that one thread fills.
struct Reservation {
  SegmentRef segment;
  size_t offset;
  RecordLayout layout;
  RecordHeader header;

  LogPosition start() const { return segment->base + offset; }
  LogPosition end() const { return segment->base + layout.end; }
  uint8_t* record() const { return segment->file->data() + offset; }
};

class LogWriterImpl final : public LogWriter {
 public:
  LogWriterImpl(LogOptions options, std::string database_id, std::string boot_id, LogPosition start,
                SequenceNumber next_sequence)
      : options_(std::move(options)),
        database_id_(std::move(database_id)),
        boot_id_(std::move(boot_id)),
        next_sequence_(next_sequence),
        published_(start),
        last_sequence_(next_sequence - 1),
        synced_(start) {}

  ~LogWriterImpl() override {
    StopWorkers();
    RemoveUnusedNext();
  }

  Status Start(uint64_t first_segment, LogPosition start) {
    MARBLE_ASSIGN_OR_RETURN(auto file, CreateSegmentFile(first_segment, segment_bytes()));
    MARBLE_RETURN_NOT_OK(WriteSegmentHeader(file.get(), first_segment, start));
    ahead_worker_ = std::make_unique<Worker>();
    seal_worker_ = std::make_unique<Worker>();
    std::lock_guard lock(mutex_);
    UseSegment(std::move(file), first_segment, start);
    PrepareAhead();
    published_.store(start + kSegmentHeaderBytes);
    return Status::OK();
  }

  Result<std::optional<PublishedRecord>> AppendIf(size_t payload_bytes, const Fill& fill,
                                                  const Decide& decide,
                                                  const Publish& publish) override {
    if (payload_bytes > limits::kMaxWriteBatchBytes) {
      return MakeError(ErrorCode::kTooLarge, "a write batch of " + std::to_string(payload_bytes) +
                                                 " bytes is larger than " +
                                                 std::to_string(limits::kMaxWriteBatchBytes) +
                                                 "; split it");
    }
    Reservation own;
    std::optional<Reservation> rolled;
    {
      std::lock_guard lock(mutex_);
      MARBLE_RETURN_NOT_OK(CheckOpen());
      if (LayoutOf(used_, payload_bytes).end + kEndRecordBytes > segment_->file->size()) {
        rolled.emplace();
        MARBLE_RETURN_NOT_OK(RollLocked(log_format::SegmentBytesFor(payload_bytes), &*rolled));
      }
      own = Reserve(RecordType::kWriteBatch, payload_bytes);
      PrepareAhead();
    }
    // An error there makes the log read-only, which this append finds out in its own turn.
    if (rolled) (void)FinishRoll(*rolled, nullptr);

    Status filled = fill(own.segment->file->data() + own.layout.payload);
    if (!filled.ok()) own.header.type = static_cast<uint8_t>(RecordType::kVoid);
    // Without its header the record is not valid: it gets it when the decision is made.
    if (decide == nullptr) Complete(&own);

    WaitForTurn(own.start());
    bool decided = true;
    if (decide != nullptr) {
      decided = !filled.ok() || decide();
      if (!decided) own.header.type = static_cast<uint8_t>(RecordType::kVoid);
      Complete(&own);
    }
    PublishedRecord record{own.header.sequence, own.segment->id,
                           own.end(),           own.segment->file->data() + own.layout.payload,
                           payload_bytes,       own.segment->file};
    Status published = PublishBytes(own);
    if (published.ok() && filled.ok() && decided) {
      published = publish(record);
      if (!published.ok()) published = Fail(published);
    }
    last_sequence_.store(own.header.sequence, std::memory_order_release);
    EndTurn(own.end());
    MARBLE_RETURN_NOT_OK(filled);
    MARBLE_RETURN_NOT_OK(published);
    if (!decided) return std::nullopt;
    return record;
  }

  Status Sync(LogPosition position) override {
    if (position > published()) {
      return MakeError(ErrorCode::kInvalidArgument, "log position " + std::to_string(position) +
                                                        " is not published yet, the log ends at " +
                                                        std::to_string(published()));
    }
    return SyncUpTo(position, kOpenEnd);
  }

  Result<uint64_t> Roll(const std::function<void()>& on_switch) override {
    Reservation rolled;
    uint64_t id;
    {
      std::lock_guard lock(mutex_);
      MARBLE_RETURN_NOT_OK(CheckOpen());
      MARBLE_RETURN_NOT_OK(RollLocked(segment_bytes(), &rolled));
      PrepareAhead();
      id = segment_->id;
    }
    // What goes wrong from here on, a background sync for example, does not undo the switch.
    MARBLE_RETURN_NOT_OK(FinishRoll(rolled, &on_switch));
    return id;
  }

  Result<SequenceNumber> TakeSequence(
      const std::function<void(SequenceNumber, uint64_t)>& in_turn) override {
    Reservation rolled;
    SequenceNumber sequence;
    uint64_t id;
    {
      std::lock_guard lock(mutex_);
      MARBLE_RETURN_NOT_OK(CheckOpen());
      MARBLE_RETURN_NOT_OK(RollLocked(segment_bytes(), &rolled));
      sequence = next_sequence_++;
      id = segment_->id;
      PrepareAhead();
    }
    const std::function<void()> on_switch = [&] {
      in_turn(sequence, id);
      last_sequence_.store(sequence, std::memory_order_release);
    };
    MARBLE_RETURN_NOT_OK(FinishRoll(rolled, &on_switch));
    return sequence;
  }

  Status Close(bool clean) override {
    Reservation end;
    {
      std::lock_guard lock(mutex_);
      if (closed_) return Status::OK();
      closed_ = true;
      if (clean && !failed_.load()) end = Reserve(RecordType::kCleanClose, 0);
    }
    if (end.segment != nullptr) {
      Complete(&end);
      WaitForTurn(end.start());
      (void)PublishBytes(end);  // an error is kept as the background error
      EndTurn(end.end());
    }
    StopWorkers();
    RemoveUnusedNext();
    MARBLE_RETURN_NOT_OK(background_error());
    return SyncUpTo(published(), kOpenEnd);
  }

  LogPosition published() const override { return published_.load(std::memory_order_acquire); }
  LogPosition synced() const override { return synced_.load(std::memory_order_acquire); }
  SequenceNumber last_published_sequence() const override {
    return last_sequence_.load(std::memory_order_acquire);
  }
  uint64_t current_segment() const override { return current_id_.load(std::memory_order_acquire); }
  Status background_error() const override {
    if (!failed_.load(std::memory_order_acquire)) return Status::OK();
    std::lock_guard lock(error_mutex_);
    return error_;
  }

 private:
  size_t segment_bytes() const {
    return AlignUp(std::max(options_.segment_bytes, kFileAlignment), kFileAlignment);
  }
  io::FileSystem& fs() const { return *options_.file_system; }
  std::string PathOf(uint64_t id) const { return options_.dir + "/" + log_format::SegmentName(id); }

  // --- Segments -------------------------------------------------------------------------

  Result<std::shared_ptr<io::LogFile>> CreateSegmentFile(uint64_t id, size_t size) {
    const std::string path = PathOf(id);
    MARBLE_ASSIGN_OR_RETURN(const bool exists, fs().Exists(path));
    if (exists) MARBLE_RETURN_NOT_OK(RemoveLeftover(path));
    MARBLE_ASSIGN_OR_RETURN(auto file, fs().CreateLog(path, size, io::LogFileKind::kAny));
    // Names become durable in the order of the log: so a missing segment is never a crash's doing.
    const Status synced = fs().SyncDir(options_.dir);
    if (!synced.ok()) return Fail(synced);
    return file;
  }

  /// Remove a file that an earlier process preallocated and never used. Others are not ours.
  Status RemoveLeftover(const std::string& path) const {
    {
      MARBLE_ASSIGN_OR_RETURN(auto file, fs().OpenLog(path));
      const size_t size = std::min(file->size(), kSegmentHeaderBytes);
      if (!std::all_of(file->data(), file->data() + size, [](uint8_t b) { return b == 0; })) {
        return MakeError(ErrorCode::kInternal,
                         "log segment " + path + " exists already; it is not overwritten");
      }
    }
    return fs().Remove(path);
  }

  Status WriteSegmentHeader(io::LogFile* file, uint64_t id, LogPosition base) const {
    log_format::SegmentHeader header;
    std::memcpy(header.database_id, database_id_.data(), log_format::kIdBytes);
    std::memcpy(header.boot_id, boot_id_.data(), log_format::kIdBytes);
    header.segment_id = id;
    header.base = base;
    log_format::EncodeSegmentHeader(header, file->data());
    return file->Publish(0, kSegmentHeaderBytes);
  }

  /// Under mutex_. Make `file` the segment that takes records.
  void UseSegment(std::shared_ptr<io::LogFile> file, uint64_t id, LogPosition base) {
    {
      std::lock_guard lock(sync_mutex_);
      if (!unsynced_.empty()) unsynced_.back().end = base;
      unsynced_.push_back({file, base, kOpenEnd});
    }
    const auto* database_id = reinterpret_cast<const uint8_t*>(database_id_.data());
    segment_ = std::make_shared<const Segment>(
        Segment{std::move(file), id, base, log_format::CrcSeed(database_id, id)});
    used_ = kSegmentHeaderBytes;
    prefault_end_ = 0;
    next_requested_ = false;
    current_id_.store(id, std::memory_order_release);
  }

  /// Under mutex_. Get the next segment ready, end the current one, switch. On an error nothing
  /// has happened, and later appends try again.
  Status RollLocked(size_t needed, Reservation* end) {
    const uint64_t next_id = segment_->id + 1;
    MARBLE_ASSIGN_OR_RETURN(auto file, TakeNext(next_id, needed));
    const LogPosition base = segment_->base + LayoutOf(used_, 0).end;
    Status written = WriteSegmentHeader(file.get(), next_id, base);
    if (!written.ok()) {
      file.reset();
      (void)fs().Remove(PathOf(next_id));
      return written;
    }
    *end = Reserve(RecordType::kSegmentEnd, 0);
    UseSegment(std::move(file), next_id, base);
    return Status::OK();
  }

  /// Publish the end record of the old segment, in its turn, and have the segment synced.
  Status FinishRoll(Reservation& end, const std::function<void()>* on_switch) {
    Complete(&end);
    WaitForTurn(end.start());
    Status published = PublishBytes(end);
    if (published.ok() && on_switch != nullptr && *on_switch) (*on_switch)();
    const LogPosition sealed = end.end();
    EndTurn(sealed + kSegmentHeaderBytes);  // where the next segment's first record begins
    seal_worker_->Post([this, sealed] { (void)SyncUpTo(sealed, sealed); });
    return published;
  }

  /// Under mutex_. The preallocated segment, or one made now.
  Result<std::shared_ptr<io::LogFile>> TakeNext(uint64_t id, size_t needed) {
    std::shared_ptr<io::LogFile> file;
    {
      std::unique_lock lock(next_mutex_);
      next_done_.wait(lock, [this] { return next_state_ != NextState::kCreating; });
      next_state_ = NextState::kNone;
      file = std::move(next_file_);
    }
    if (file != nullptr) {
      if (file->size() >= needed) return file;
      const std::string path = file->path();
      file.reset();
      MARBLE_RETURN_NOT_OK(fs().Remove(path));
    }
    return CreateSegmentFile(id, std::max(segment_bytes(), AlignUp(needed, kFileAlignment)));
  }

  /// On the ahead worker.
  void CreateNext(uint64_t id) {
    {
      std::lock_guard lock(next_mutex_);
      // An appender may have been faster, and may even have asked for the one after it.
      if (next_state_ != NextState::kRequested || next_id_ != id) return;
      next_state_ = NextState::kCreating;
    }
    auto file = CreateSegmentFile(id, segment_bytes());
    std::shared_ptr<io::LogFile> created;
    {
      std::lock_guard lock(next_mutex_);
      // An error is not reported here: the append that needs the segment tries again itself.
      next_state_ = file.ok() ? NextState::kReady : NextState::kNone;
      if (file.ok()) created = next_file_ = *file;
    }
    next_done_.notify_all();
    if (created) created->Prefault(0, limits::kLogPrefaultBytes);
  }

  void RemoveUnusedNext() {
    std::lock_guard lock(next_mutex_);
    if (next_file_ == nullptr) return;
    const std::string path = next_file_->path();
    next_file_.reset();
    next_state_ = NextState::kNone;
    (void)fs().Remove(path);  // recovery takes no notice of it either
  }

  void StopWorkers() {
    if (ahead_worker_) ahead_worker_->Stop();
    if (seal_worker_) seal_worker_->Stop();
  }

  // --- Records --------------------------------------------------------------------------

  Status CheckOpen() const {
    if (closed_) return MakeError(ErrorCode::kClosed, "the log is closed");
    return background_error();
  }

  /// Under mutex_; there is room.
  Reservation Reserve(RecordType type, size_t payload_bytes) {
    Reservation own;
    own.segment = segment_;
    own.offset = used_;
    own.layout = LayoutOf(used_, payload_bytes);
    used_ = own.layout.end;
    RecordHeader& header = own.header;
    header = {};
    header.payload_bytes = static_cast<uint32_t>(payload_bytes);
    header.type = static_cast<uint8_t>(type);
    header.pad_bytes =
        static_cast<uint8_t>(own.layout.payload - own.offset - log_format::kRecordHeaderBytes);
    header.segment_id = segment_->id;
    header.sequence = type == RecordType::kWriteBatch ? next_sequence_++ : next_sequence_;
    header.published = published_.load(std::memory_order_acquire);
    header.synced = synced_.load(std::memory_order_acquire);
    if (Mutated(Mutant::kSyncedEarly)) header.synced = header.published;
    return own;
  }

  /// Write the header. The payload is there; padding is zero, since segments are new files.
  void Complete(Reservation* own) {
    uint8_t* record = own->record();
    std::memcpy(record, &own->header, sizeof(own->header));
    own->header.crc = log_format::RecordCrc(own->segment->seed, own->offset, record,
                                            own->layout.end - own->offset);
    StoreFixed(record, own->header.crc);
  }

  /// In one's turn. kReadOnly when the log has failed meanwhile.
  Status PublishBytes(const Reservation& own) {
    if (failed_.load(std::memory_order_acquire)) return background_error();
    Status status = own.segment->file->Publish(own.offset, own.layout.end);
    return status.ok() ? status : Fail(status);
  }

  void WaitForTurn(LogPosition start) {
    for (int i = 0; i < kTurnSpins; ++i) {
      if (published_.load(std::memory_order_acquire) == start) return;
      CpuPause();
    }
    std::unique_lock lock(turn_mutex_);
    turn_waiters_.fetch_add(1);
    turn_.wait(lock, [&] { return published_.load() == start; });
    turn_waiters_.fetch_sub(1, std::memory_order_relaxed);
  }

  void EndTurn(LogPosition end) {
    // Sequentially consistent with the waiter's increment: either it sees the new position or
    // this thread sees the waiter.
    published_.store(end);
    if (turn_waiters_.load() == 0) return;
    {
      std::lock_guard lock(turn_mutex_);
    }
    turn_.notify_all();
  }

  /// Make the log read-only for ever; the first cause stays.
  Status Fail(const Status& cause) {
    std::lock_guard lock(error_mutex_);
    if (!failed_.load()) {
      error_ = MakeError(
          ErrorCode::kReadOnly,
          "the log is read-only until the database is reopened, because of: " + MessageOf(cause));
      failed_.store(true);
    }
    return error_;
  }

  /// Under mutex_. Have pages faulted in and the next segment made before they are needed.
  void PrepareAhead() {
    const size_t size = segment_->file->size();
    if (prefault_end_ < size && used_ + limits::kLogPrefaultBytes / 2 >= prefault_end_) {
      const size_t from = std::max(prefault_end_, used_);
      prefault_end_ = std::min(size, used_ + limits::kLogPrefaultBytes);
      if (from < prefault_end_) {
        ahead_worker_->Post(
            [file = segment_->file, from, to = prefault_end_] { file->Prefault(from, to); });
      }
    }
    if (!next_requested_ && used_ > size / 2) {
      next_requested_ = true;
      {
        std::lock_guard lock(next_mutex_);
        next_state_ = NextState::kRequested;
        next_id_ = segment_->id + 1;
      }
      ahead_worker_->Post([this, id = segment_->id + 1] { CreateNext(id); });
    }
  }

  // --- Durability -----------------------------------------------------------------------

  /// Group commit: one leader at a time syncs what is published, at most up to `limit` (so that
  /// sealing does not sync the segment in use); the others wait for it.
  Status SyncUpTo(LogPosition position, LogPosition limit) {
    std::unique_lock lock(sync_mutex_);
    while (synced_.load(std::memory_order_relaxed) < position) {
      MARBLE_RETURN_NOT_OK(background_error());
      if (syncing_) {
        sync_done_.wait(lock);
        continue;
      }
      syncing_ = true;
      const LogPosition target = std::min(published(), limit);
      std::vector<Unsynced> files;
      for (const Unsynced& file : unsynced_) {
        if (file.base < target) files.push_back(file);
      }
      lock.unlock();
      Status status = SyncFiles(files);
      if (!status.ok()) status = Fail(status);
      lock.lock();
      syncing_ = false;
      if (status.ok()) FilesSynced(target);
      sync_done_.notify_all();
      MARBLE_RETURN_NOT_OK(status);
    }
    return Status::OK();
  }

  struct Unsynced {
    std::shared_ptr<io::LogFile> file;
    LogPosition base;
    LogPosition end;  // kOpenEnd while it takes records
  };

  Status SyncFiles(const std::vector<Unsynced>& files) const {
    if (Mutated(Mutant::kDropLogFsync)) return Status::OK();
    for (const Unsynced& file : files) MARBLE_RETURN_NOT_OK(file.file->Sync());
    return Status::OK();
  }

  /// Under sync_mutex_.
  void FilesSynced(LogPosition target) {
    while (!unsynced_.empty() && unsynced_.front().end <= target) unsynced_.pop_front();
    if (target > synced_.load()) synced_.store(target, std::memory_order_release);
  }

  const LogOptions options_;
  const std::string database_id_;
  const std::string boot_id_;

  // Reservation: protected by mutex_. Order: mutex_ before next_mutex_ and sync_mutex_.
  std::mutex mutex_;
  SegmentRef segment_;
  size_t used_ = 0;          // of segment_
  size_t prefault_end_ = 0;  // asked for so far, in segment_
  bool next_requested_ = false;
  bool closed_ = false;
  SequenceNumber next_sequence_;
  std::atomic<uint64_t> current_id_{0};

  // Publication: moved on by the thread whose turn it is.
  alignas(64) std::atomic<LogPosition> published_;
  std::atomic<SequenceNumber> last_sequence_;
  std::atomic<int> turn_waiters_{0};
  std::mutex turn_mutex_;
  std::condition_variable turn_;

  alignas(64) std::atomic<LogPosition> synced_;
  std::mutex sync_mutex_;
  std::condition_variable sync_done_;
  bool syncing_ = false;           // protected by sync_mutex_, like unsynced_
  std::deque<Unsynced> unsynced_;  // in log order; the last one takes records

  enum class NextState { kNone, kRequested, kCreating, kReady };
  std::mutex next_mutex_;
  std::condition_variable next_done_;
  NextState next_state_ = NextState::kNone;
  uint64_t next_id_ = 0;
  std::shared_ptr<io::LogFile> next_file_;

  std::atomic<bool> failed_{false};
  mutable std::mutex error_mutex_;
  Status error_;

  // Last: their jobs use all of the above.
  std::unique_ptr<Worker> ahead_worker_;
  std::unique_ptr<Worker> seal_worker_;
};

}  // namespace

Result<std::unique_ptr<LogWriter>> LogWriter::Open(const LogOptions& options,
                                                   uint64_t first_segment, LogPosition start,
                                                   SequenceNumber next_sequence) {
  if (first_segment == 0 || next_sequence == 0) {
    return MakeError(ErrorCode::kInvalidArgument, "log segments and sequence numbers begin with 1");
  }
  MARBLE_ASSIGN_OR_RETURN(auto database_id,
                          log_format::ParseId("database id", options.database_id));
  MARBLE_ASSIGN_OR_RETURN(auto boot_id, log_format::ParseId("boot id", options.boot_id));
  auto writer = std::make_unique<LogWriterImpl>(options, std::move(database_id), std::move(boot_id),
                                                start, next_sequence);
  MARBLE_RETURN_NOT_OK(writer->Start(first_segment, start));
  return writer;
}

}  // namespace marble::lsm
