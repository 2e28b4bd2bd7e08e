// Writes: back-pressure, the log, and the application of records to memtables.
#include <arrow/api.h>

#include <chrono>
#include <thread>

#include "lsm/db_impl.h"
#include "lsm/write/write_batch_rep.h"

namespace marble::lsm {
namespace {

/// While flushes are behind, a writer sleeps kSleep for every so many bytes: about 64 MB/s.
constexpr size_t kBytesPerSleep = 64 * 1024;
constexpr auto kSleep = std::chrono::milliseconds(1);

}  // namespace

Status DbImpl::CheckWritable() const {
  if (!failed_.load(std::memory_order_acquire)) return Status::OK();
  std::lock_guard lock(mutex_);
  return MakeError(ErrorCode::kReadOnly, "database " + path_ +
                                             " is read-only until it is reopened, because of: " +
                                             MessageOf(background_error_));
}

Result<SequenceNumber> DbImpl::Write(WriteBatch&& batch, const WriteOptions& options) {
  CallGuard guard(&calls_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  const WriteBatch::Rep* rep = batch.rep();
  if (rep->operations == 0) return last_sequence();
  if (rep->mixed_owners || rep->owner != this) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "a write batch holds tables of another database than " + path_);
  }
  MARBLE_RETURN_NOT_OK(CheckWritable());
  const size_t bytes = rep->PayloadBytes();
  if (bytes > limits::kMaxWriteBatchBytes) {
    return MakeError(ErrorCode::kTooLarge,
                     "a write batch of " + std::to_string(bytes) + " bytes exceeds the limit of " +
                         std::to_string(limits::kMaxWriteBatchBytes) + "; split it");
  }
  MARBLE_RETURN_NOT_OK(WaitForRoom(bytes));
  MARBLE_ASSIGN_OR_RETURN(
      const PublishedRecord record,
      log_->Append(bytes, [rep](uint8_t* to) { return rep->WritePayload(to); }, apply_));
  if (options.durability == Durability::kPower || options_.durability == Durability::kPower) {
    MARBLE_RETURN_NOT_OK(log_->Sync(record.end));
  }
  batch.Clear();
  return record.sequence;
}

Status DbImpl::WaitForRoom(size_t bytes) {
  const int limit = std::max(1, options_.max_immutable_generations);
  const int sealed = num_sealed_.load(std::memory_order_relaxed);
  if (sealed < limit) {
    if (limit == 1 || sealed < limit - 1) return Status::OK();
    // One more and writers have to wait: give the flush some of the machine.
    if (unslept_bytes_.fetch_add(bytes) + bytes < kBytesPerSleep) return Status::OK();
    unslept_bytes_.store(0);
    DbCounters::Add(counters_->stalls);
    std::this_thread::sleep_for(kSleep);
    return Status::OK();
  }
  DbCounters::Add(counters_->stalls);
  std::unique_lock lock(mutex_);
  const bool room = done_cv_.wait_for(lock, std::chrono::milliseconds(options_.max_block_ms),
                                      [&] { return num_sealed_.load() < limit || failed_.load(); });
  lock.unlock();
  MARBLE_RETURN_NOT_OK(CheckWritable());
  if (room) return Status::OK();
  Emit({DbEvent::Kind::kStall, "a write gave up waiting for flushes"});
  return MakeError(ErrorCode::kBusy,
                   "max_immutable_generations (" + std::to_string(limit) +
                       "): that many memtables of " + path_ +
                       " wait for their flush, and none was flushed within max_block_ms (" +
                       std::to_string(options_.max_block_ms) + "); try again");
}

Status DbImpl::Apply(const PublishedRecord& record) {
  // active_ is replaced only in the log's turn, that is here: reading it needs no lock.
  if (active_ == nullptr || active_->last_segment != record.segment_id) {
    // During recovery (no log yet) all segments make one generation.
    if (active_ != nullptr && log_ != nullptr) Seal();
    std::lock_guard lock(mutex_);
    if (active_ == nullptr) {
      active_ = std::make_shared<Generation>();
      active_->id = next_generation_++;
    }
    active_->last_segment = record.segment_id;
    active_->segments.push_back(record.segment);
    active_->log_paths.push_back(record.segment->path());
    for (const auto& memtable : active_->memtables) {
      if (memtable != nullptr) memtable->Pin(record.segment);
    }
  }
  MARBLE_ASSIGN_OR_RETURN(auto reader,
                          BatchPayloadReader::Make(record.payload, record.payload_bytes));
  DecodedOp op;
  while (true) {
    MARBLE_ASSIGN_OR_RETURN(const bool more, reader.Next(&op));
    if (!more) break;
    MARBLE_RETURN_NOT_OK(ApplyOp(op, record));
  }
  active_->end = record.end;
  active_->last_sequence = record.sequence;
  active_->log_bytes += record.payload_bytes;
  visible_sequence_.store(record.sequence, std::memory_order_release);
  return Status::OK();
}

Status DbImpl::ApplyOp(const DecodedOp& op, const PublishedRecord& record) {
  Memtable* memtable =
      op.table < active_->memtables.size() ? active_->memtables[op.table].get() : nullptr;
  if (memtable == nullptr) {
    MARBLE_ASSIGN_OR_RETURN(memtable, MemtableFor(op.table));
    if (memtable == nullptr) return Status::OK();  // the table has been dropped
  }
  switch (op.op) {
    case BatchOp::kPut:
      memtable->Put(record.sequence, op.a, op.b);
      break;
    case BatchOp::kDelete:
      memtable->Delete(record.sequence, op.a);
      break;
    case BatchOp::kDeleteRange:
      memtable->DeleteRange(record.sequence, op.a, op.b);
      break;
    case BatchOp::kInsert: {
      MARBLE_ASSIGN_OR_RETURN(
          auto rows, ReadMessage(op.message, memtable->info().descriptor.schema, record.segment));
      memtable->Insert(record.sequence, std::move(rows));
      break;
    }
    case BatchOp::kDeleteRows: {
      MARBLE_ASSIGN_OR_RETURN(auto keys,
                              ReadMessage(op.message, memtable->info().key_schema, record.segment));
      memtable->DeleteRows(record.sequence, std::move(keys));
      break;
    }
  }
  return Status::OK();
}

Result<Memtable*> DbImpl::MemtableFor(TableId id) {
  std::lock_guard lock(mutex_);
  const auto it = tables_.find(id);
  if (it == tables_.end()) return nullptr;
  const TableHandle& table = it->second;
  const size_t hint = table->memtable_size_hint.load(std::memory_order_relaxed);
  auto memtable = std::make_shared<Memtable>(table->info_ref(), active_->id, hint);
  for (const auto& segment : active_->segments) memtable->Pin(segment);
  if (active_->memtables.size() <= id) active_->memtables.resize(id + 1);
  active_->memtables[id] = memtable;
  const SuperVersionRef old = table->super_version();
  auto next = std::make_shared<SuperVersion>();
  next->memtables.reserve(old->memtables.size() + 1);
  next->memtables.push_back(memtable);
  next->memtables.insert(next->memtables.end(), old->memtables.begin(), old->memtables.end());
  next->files = old->files;
  table->InstallSuperVersion(std::move(next));
  return memtable.get();
}

void DbImpl::Seal() {
  std::lock_guard lock(mutex_);
  if (active_ == nullptr) return;
  sealed_.push_back(std::move(active_));
  active_ = nullptr;
  num_sealed_.store(static_cast<int>(sealed_.size()));
  work_cv_.notify_one();
}

}  // namespace marble::lsm
