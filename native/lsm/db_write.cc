// Writes: back-pressure, the log, and the application of records to memtables.
#include <arrow/api.h>

#include <bit>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/hash.h"
#include "lsm/db_impl.h"
#include "lsm/mutation.h"
#include "lsm/read/point_reader.h"
#include "lsm/write/write_batch_rep.h"

namespace marble::lsm {
namespace {

/// Merge operands on one key from which, at each power of two, their sum is put on top.
constexpr uint32_t kFoldFrom = 8;

}  // namespace

/// The tables that a batch is being written to: nobody alters them meanwhile.
class WriterPasses {
 public:
  WriterPasses() = default;
  ~WriterPasses() {
    for (const TableHandle& table : tables_) table->gate().Leave();
  }
  WriterPasses(const WriterPasses&) = delete;
  WriterPasses& operator=(const WriterPasses&) = delete;
  void Add(const TableHandle& table) { tables_.push_back(table); }

 private:
  std::vector<TableHandle> tables_;
};

Status DbImpl::EnterTables(const std::vector<TableHandle>& tables, WriterPasses* passes) {
  // Before the first is entered: of two handles of one table only one is current, and so nobody
  // waits for a gate while he is behind it.
  for (const TableHandle& table : tables) {
    if (!table->current()) return SchemaChanged(table->info());
  }
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.max_block_ms);
  for (const TableHandle& table : tables) {
    while (!table->gate().Enter()) {
      MARBLE_RETURN_NOT_OK(CheckOpen());
      if (std::chrono::steady_clock::now() >= deadline) {
        return MakeError(ErrorCode::kBusy, "the columns of table '" + table->info().name() +
                                               "' are being changed, and that has taken longer "
                                               "than maxBlockMs (" +
                                               std::to_string(options_.max_block_ms) +
                                               " ms); try again");
      }
      std::this_thread::sleep_for(WriterGate::kPoll);
    }
    passes->Add(table);
    if (!table->current()) return SchemaChanged(table->info());
  }
  return Status::OK();
}

Status DbImpl::CheckWritable() const {
  if (!failed_.load(std::memory_order_acquire)) return Status::OK();
  std::lock_guard lock(mutex_);
  return MakeError(ErrorCode::kReadOnly, "database " + path_ +
                                             " is read-only until it is reopened, because of: " +
                                             MessageOf(background_error_));
}

Result<SequenceNumber> DbImpl::Write(WriteBatch&& batch, const WriteOptions& options) {
  MARBLE_ASSIGN_OR_RETURN(const auto sequence, WriteIf(std::move(batch), options, nullptr));
  return *sequence;
}

Result<bool> DbImpl::PutIfAbsent(const TableHandle& state, std::string_view key,
                                 std::string_view value, const WriteOptions& options) {
  MARBLE_RETURN_NOT_OK(CheckTable(state));
  WriteBatch batch;
  MARBLE_RETURN_NOT_OK(batch.Put(state, key, value));
  // A look ahead: usually it is there, and then nothing need be written.
  MARBLE_ASSIGN_OR_RETURN(bool exists, Exists(state, key, {}));
  if (exists) return false;
  Status looked;
  const auto decide = [&] {
    const Result<bool> found = Exists(state, key, {});
    looked = found.status();
    return looked.ok() && !*found;
  };
  MARBLE_ASSIGN_OR_RETURN(const auto sequence, WriteIf(std::move(batch), options, decide));
  MARBLE_RETURN_NOT_OK(looked);
  return sequence.has_value();
}

Result<std::optional<SequenceNumber>> DbImpl::WriteIf(WriteBatch&& batch,
                                                      const WriteOptions& options,
                                                      const LogWriter::Decide& decide) {
  CallGuard guard(&calls_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  const WriteBatch::Rep* rep = batch.rep();
  if (batch.empty()) return last_sequence();
  if (rep->mixed_owners || rep->owner != this) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "a write batch holds tables of another database than " + path_);
  }
  MARBLE_RETURN_NOT_OK(CheckWritable());
  const size_t bytes = rep->logged.PayloadBytes();
  const size_t unlogged_bytes = rep->unlogged.count == 0 ? 0 : rep->unlogged.PayloadBytes();
  if (bytes + unlogged_bytes > limits::kMaxWriteBatchBytes) {
    return MakeError(ErrorCode::kTooLarge,
                     "a write batch of " + std::to_string(bytes + unlogged_bytes) +
                         " bytes exceeds the limit of " +
                         std::to_string(limits::kMaxWriteBatchBytes) + "; split it");
  }
  MARBLE_RETURN_NOT_OK(Begin());
  MARBLE_RETURN_NOT_OK(WaitForRoom(bytes + unlogged_bytes));
  const auto fill = [rep](uint8_t* to) { return rep->logged.WritePayload(to); };
  std::optional<PublishedRecord> record;
  std::optional<WriterPasses> passes;
  if (!rep->tables.empty()) {
    passes.emplace();
    MARBLE_RETURN_NOT_OK(EnterTables(rep->tables, &*passes));
  }
  if (unlogged_bytes == 0) {
    MARBLE_ASSIGN_OR_RETURN(record, log_->AppendIf(bytes, fill, decide, apply_));
  } else {
    // Serialised before the log's turn: nothing may fail there.
    MARBLE_ASSIGN_OR_RETURN(const std::shared_ptr<arrow::Buffer> memory,
                            arrow::AllocateBuffer(static_cast<int64_t>(unlogged_bytes)));
    MARBLE_RETURN_NOT_OK(rep->unlogged.WritePayload(memory->mutable_data()));
    UnloggedPayload payload;
    payload.bytes = {reinterpret_cast<const char*>(memory->data()), unlogged_bytes};
    // Arrow arrays stay where they are aligned; a few bytes are cheaper copied than kept apart.
    if (!rep->unlogged.arrow_ops.empty()) payload.owner = memory;
    MARBLE_ASSIGN_OR_RETURN(
        record, log_->AppendIf(bytes, fill, decide, [&](const PublishedRecord& published) {
          return Apply(published, payload);
        }));
  }
  passes.reset();
  if (roll_due_.load(std::memory_order_relaxed) && roll_due_.exchange(false)) {
    MARBLE_RETURN_NOT_OK(log_->Roll([this] { Seal(); }).status());
  }
  if (!record) return std::nullopt;
  if (options.durability == Durability::kPower || options_.durability == Durability::kPower) {
    MARBLE_RETURN_NOT_OK(log_->Sync(record->end));
  }
  batch.Clear();
  return record->sequence;
}

Status DbImpl::WaitForRoom(size_t bytes) {
  if (stall_.reason() == StallReason::kNone) return Status::OK();
  using SteadyClock = std::chrono::steady_clock;
  const auto start = SteadyClock::now();
  const auto held_up = [&](std::atomic<uint64_t>& writes) {
    DbCounters::Add(writes);
    DbCounters::Add(counters_->stall_micros,
                    static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                              SteadyClock::now() - start)
                                              .count()));
  };
  const auto announce = [&] {
    if (stall_announced_.load(std::memory_order_relaxed)) return;
    DbEvent event{DbEvent::Kind::kStall};
    event.phase = DbEvent::Phase::kBegin;
    {
      std::lock_guard lock(mutex_);
      if (stall_.reason() == StallReason::kNone || stall_announced_.exchange(true)) return;
      stall_since_ = start;
      event.message = std::string(stall_.stopped() ? "writes wait: " : "writes are slowed down: ") +
                      stall_.Describe();
    }
    DbCounters::Add(counters_->stalls);
    Emit(std::move(event));
  };
  if (!stall_.stopped()) {
    const auto delay = stall_.DelayFor(bytes, start);
    if (delay.count() == 0) return Status::OK();
    announce();
    std::this_thread::sleep_for(delay);
    held_up(counters_->delayed_writes);
    return Status::OK();
  }
  announce();
  std::unique_lock lock(mutex_);
  const bool room = done_cv_.wait_for(lock, std::chrono::milliseconds(options_.max_block_ms), [&] {
    return !stall_.stopped() || failed_.load() || closed_.load();
  });
  held_up(counters_->stopped_writes);
  const std::string limit = stall_.Describe();
  const Status full = flush_error_;
  lock.unlock();
  MARBLE_RETURN_NOT_OK(CheckOpen());
  MARBLE_RETURN_NOT_OK(CheckWritable());
  if (room) return Status::OK();
  return MakeError(ErrorCode::kBusy,
                   "database " + path_ + " does not keep up with its writes: " + limit +
                       ", and that has not changed within maxBlockMs (" +
                       std::to_string(options_.max_block_ms) + " ms); try again" +
                       (full.ok() ? "" : ". The last flush failed: " + MessageOf(full)));
}

Status DbImpl::Apply(const PublishedRecord& record, const UnloggedPayload& unlogged) {
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
  if (Mutated(Mutant::kVisibleEarly)) visible_sequence_.store(record.sequence);
  const Status applied =
      ApplyPayload({reinterpret_cast<const char*>(record.payload), record.payload_bytes},
                   record.segment, record.sequence);
  if (!applied.ok()) {
    return MakeError(CodeOf(applied), "log segment " + record.segment->path() +
                                          ", the record that ends at log offset " +
                                          std::to_string(record.end) + ": " + MessageOf(applied));
  }
  if (!unlogged.bytes.empty()) {
    std::string_view bytes = unlogged.bytes;
    std::shared_ptr<const void> owner = unlogged.owner;
    if (owner == nullptr) {
      void* copy = active_->unlogged->Allocate(bytes.size());
      std::memcpy(copy, bytes.data(), bytes.size());
      bytes = {static_cast<const char*>(copy), bytes.size()};
      owner = active_->unlogged;
    }
    MARBLE_RETURN_NOT_OK(ApplyPayload(bytes, owner, record.sequence));
    active_->unlogged_bytes += bytes.size();
    if (active_->unlogged_bytes >= options_.log_segment_bytes) roll_due_.store(true);
  }
  active_->end = record.end;
  active_->last_sequence = record.sequence;
  active_->log_bytes += record.payload_bytes;
  stall_.SetActiveBytes(active_->log_bytes);
  if (budget_->bytes() > 0 && HasHadItsShare()) roll_due_.store(true);
  visible_sequence_.store(record.sequence, std::memory_order_release);
  changes_->applied_end.store(record.end, std::memory_order_release);
  if (changes_->waiters.load(std::memory_order_relaxed) > 0) changes_->moved.notify_all();
  return Status::OK();
}

bool DbImpl::HasHadItsShare() {
  Generation& active = *active_;
  // Looked at now and then: to add it up goes over all tables.
  const uint64_t rows = active.log_bytes + active.unlogged_bytes;
  if (rows - active.weighed_at < budget_->generation_bytes() / 64) return false;
  active.weighed_at = rows;
  uint64_t bytes = rows;
  for (const auto& memtable : active.memtables) {
    if (memtable != nullptr) bytes += memtable->memory_usage();
  }
  return bytes >= budget_->generation_bytes();
}

Status DbImpl::ApplyPayload(std::string_view payload, const std::shared_ptr<const void>& owner,
                            SequenceNumber sequence) {
  MARBLE_ASSIGN_OR_RETURN(
      auto reader,
      BatchPayloadReader::Make(reinterpret_cast<const uint8_t*>(payload.data()), payload.size()));
  DecodedOp op;
  while (true) {
    MARBLE_ASSIGN_OR_RETURN(const bool more, reader.Next(&op));
    if (!more) return Status::OK();
    MARBLE_RETURN_NOT_OK(ApplyOp(op, owner, sequence));
  }
}

Status DbImpl::ApplyOp(const DecodedOp& op, const std::shared_ptr<const void>& owner,
                       SequenceNumber sequence) {
  Memtable* memtable =
      op.table < active_->memtables.size() ? active_->memtables[op.table].get() : nullptr;
  if (memtable == nullptr) {
    MARBLE_ASSIGN_OR_RETURN(memtable, MemtableFor(op.table));
    if (memtable == nullptr) {
      // The table has been dropped; or it was created by an edit that the manifest has lost.
      if (log_ != nullptr || op.table < next_table_id_) return Status::OK();
      if (options_.recovery == Recovery::kTruncate) {
        next_table_id_ = op.table + 1;  // no later table must get what was written to this one
        return Status::OK();
      }
      return MakeError(ErrorCode::kCorruption,
                       "it writes to table " + std::to_string(op.table) +
                           ", which the manifest does not know yet: the manifest was cut off. "
                           "Restore a backup, or open with recovery: 'truncate' to go on without "
                           "that table");
    }
  }
  // Log segments are pinned where they are begun.
  if (!memtable->info().descriptor.options.logged) memtable->Pin(owner);
  switch (WithoutExpiry(op.op)) {
    case BatchOp::kPut:
      memtable->Put(sequence, op.a, op.b, op.expires != 0);
      break;
    case BatchOp::kMerge: {
      const uint32_t operands = memtable->Merge(sequence, op.a, op.b, op.expires != 0);
      if (operands >= kFoldFrom && std::has_single_bit(operands)) {
        FoldMerges(memtable, active_->tables[op.table], op, sequence, operands);
      }
      break;
    }
    case BatchOp::kDelete:
      memtable->Delete(sequence, op.a);
      break;
    case BatchOp::kDeleteRange:
      memtable->DeleteRange(sequence, op.a, op.b);
      break;
    case BatchOp::kInsert: {
      MARBLE_ASSIGN_OR_RETURN(auto rows,
                              ReadMessage(op.message, memtable->info().descriptor.schema, owner));
      memtable->Insert(sequence, std::move(rows), op.expires);
      break;
    }
    case BatchOp::kDeleteRows: {
      MARBLE_ASSIGN_OR_RETURN(auto keys,
                              ReadMessage(op.message, memtable->info().key_schema, owner));
      memtable->DeleteRows(sequence, std::move(keys));
      break;
    }
    default:
      return MakeError(ErrorCode::kInternal, "an operation of a write batch is not known");
  }
  return Status::OK();
}

void DbImpl::FoldMerges(Memtable* memtable, const TableHandle& table, const DecodedOp& op,
                        SequenceNumber sequence, uint32_t operands) {
  // Whether the newest operand has expired by now does not matter to what it adds up to.
  FoundRow found;
  const Status status = FindRow(table->info(), *table->super_version(), op.a, HashKey(op.a),
                                {sequence, 0}, nullptr, &found);
  // An unreadable file is reported to readers; the operands stay what they are.
  if (!status.ok() || found.merged == nullptr) return;
  // A value that grows with its operands is copied again only when it has grown by a quarter.
  if (op.b.size() * operands < found.merged->size() / 4) return;
  memtable->PutMerged(sequence, op.a, *found.merged, op.expires);
}

Result<Memtable*> DbImpl::MemtableFor(TableId id) {
  std::lock_guard lock(mutex_);
  const auto it = tables_.find(id);
  if (it == tables_.end()) return nullptr;
  const TableHandle& table = it->second;
  const size_t hint = table->memtable_size_hint.load(std::memory_order_relaxed);
  auto memtable = std::make_shared<Memtable>(table->info_ref(), active_->id, hint);
  for (const auto& segment : active_->segments) memtable->Pin(segment);
  if (active_->memtables.size() <= id) {
    active_->memtables.resize(id + 1);
    active_->tables.resize(id + 1);
  }
  active_->memtables[id] = memtable;
  active_->tables[id] = table;
  const SuperVersionRef old = table->super_version();
  auto next = std::make_shared<SuperVersion>();
  next->info = old->info;
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
  UpdateStall();
  ScheduleWork();
}

}  // namespace marble::lsm
