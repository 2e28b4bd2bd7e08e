#include "lsm/db_impl.h"

#include <arrow/api.h>

#include "base/hash.h"
#include "lsm/read/point_reader.h"
#include "lsm/read/scan_iterator.h"
#include "lsm/read/state_iterator.h"

namespace marble::lsm {

const TableDescriptor& DescriptorOf(const TableHandle& table) { return table->info().descriptor; }
const std::shared_ptr<const KeyCodec>& CodecOf(const TableHandle& table) {
  return table->info().codec;
}

bool IsCurrent(const TableHandle& table) { return table->current(); }

Status DbImpl::CheckOpen() const {
  if (!closed_.load(std::memory_order_acquire)) return Status::OK();
  return MakeError(ErrorCode::kClosed, "database " + path_ + " is closed");
}

Status DbImpl::CheckTable(const TableHandle& table) const {
  MARBLE_RETURN_NOT_OK(CheckOpen());
  if (table->owner() != this) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "table '" + table->info().name() + "' belongs to another database");
  }
  if (table->dropped()) {
    return MakeError(ErrorCode::kTableNotFound,
                     "table '" + table->info().name() + "' has been dropped");
  }
  return Status::OK();
}

Status SchemaChanged(const TableInfo& table) {
  return MakeError(ErrorCode::kSchemaChanged,
                   "the columns of table '" + table.name() +
                       "' have changed: open the table again, and build batches for it anew");
}

Status DbImpl::HandlesVersion(const TableHandle& table, const ReadOptions& options,
                              SuperVersionRef* version) {
  if ((*version)->info == table->info_ref()) return Status::OK();
  if (options.snapshot != nullptr) {
    auto kept = SnapshotList::Kept(*options.snapshot, table->info());
    if (kept != nullptr) {
      *version = std::move(kept);
      return Status::OK();
    }
  }
  return SchemaChanged(table->info());
}

Status DbImpl::CheckKeyed(const TableHandle& table) {
  if (table->info().keyed()) return Status::OK();
  return MakeError(ErrorCode::kInvalidArgument,
                   "table '" + table->info().name() + "' has no primary key: scan it");
}

// --- Catalog --------------------------------------------------------------------------------

Result<TableHandle> DbImpl::CreateTable(TableDescriptor descriptor, bool if_not_exists) {
  const CallGuard guard(&calls_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  MARBLE_RETURN_NOT_OK(CheckWritable());
  // A descriptor may be that of another table.
  descriptor.field_ids.clear();
  descriptor.next_field_id = 0;
  // Validate before taking an id.
  MARBLE_RETURN_NOT_OK(TableInfo::Make(descriptor).status());
  std::lock_guard manifest_lock(manifest_mutex_);
  {
    std::lock_guard lock(mutex_);
    const auto it = tables_by_name_.find(descriptor.name);
    if (it != tables_by_name_.end()) {
      if (!if_not_exists) {
        return MakeError(ErrorCode::kTableExists, "table '" + descriptor.name + "' exists already");
      }
      const std::string difference = DescribeDifference(it->second->info().descriptor, descriptor);
      if (difference.empty()) return it->second;
      return MakeError(ErrorCode::kIncompatible, "table '" + descriptor.name +
                                                     "' exists and differs: " + difference +
                                                     "; drop it or use another name");
    }
  }
  MARBLE_RETURN_NOT_OK(BeginLocked());
  descriptor.id = manifest_->state().next_table_id;
  MARBLE_ASSIGN_OR_RETURN(auto info, TableInfo::Make(std::move(descriptor)));
  VersionEdit edit;
  edit.created_tables.push_back(info->descriptor);
  edit.next_table_id = info->id() + 1;
  const Status logged = manifest_->Append(edit);
  if (!logged.ok()) {
    if (CodeOf(logged) != ErrorCode::kNoSpace || !manifest_->usable()) SetBackgroundError(logged);
    return logged;
  }
  auto table = std::make_shared<TableState>(std::move(info), this, options_.clock);
  std::lock_guard lock(mutex_);
  tables_[table->id()] = table;
  tables_by_name_[table->info().name()] = table;
  return table;
}

Status DbImpl::SetCompactionFilter(const TableHandle& table,
                                   std::shared_ptr<const CompactionFilter> filter) {
  MARBLE_RETURN_NOT_OK(CheckTable(table));
  MARBLE_RETURN_NOT_OK(CheckKeyed(table));
  table->SetCompactionFilter(std::move(filter));
  return Status::OK();
}

Result<TableHandle> DbImpl::GetTable(const std::string& name) const {
  MARBLE_RETURN_NOT_OK(CheckOpen());
  std::lock_guard lock(mutex_);
  const auto it = tables_by_name_.find(name);
  if (it == tables_by_name_.end()) {
    return MakeError(ErrorCode::kTableNotFound, "there is no table '" + name + "'");
  }
  return it->second;
}

Status DbImpl::DropTable(const std::string& name, bool if_exists) {
  const CallGuard guard(&calls_);
  MARBLE_RETURN_NOT_OK(CheckOpen());
  MARBLE_RETURN_NOT_OK(CheckWritable());
  std::lock_guard manifest_lock(manifest_mutex_);
  TableHandle table;
  {
    std::lock_guard lock(mutex_);
    const auto it = tables_by_name_.find(name);
    if (it == tables_by_name_.end()) {
      if (if_exists) return Status::OK();
      return MakeError(ErrorCode::kTableNotFound, "there is no table '" + name + "'");
    }
    table = it->second;
  }
  MARBLE_RETURN_NOT_OK(BeginLocked());
  VersionEdit edit;
  edit.dropped_tables.push_back(table->id());
  const Status logged = manifest_->Append(edit);
  if (!logged.ok()) {
    if (CodeOf(logged) != ErrorCode::kNoSpace || !manifest_->usable()) SetBackgroundError(logged);
    return logged;
  }
  std::lock_guard lock(mutex_);
  table->MarkDropped();
  tables_.erase(table->id());
  tables_by_name_.erase(name);
  const auto version = table->super_version();
  version->files->ForEachFile(
      [](int, const SstFileRef& file) { file->pair->obsolete.store(true); });
  table->InstallEmptyVersion();
  UpdateStall();
  ScheduleWork();  // a manual compaction of it ends
  return Status::OK();
}

Result<TableHandle> DbImpl::CurrentTable(const TableHandle& table) const {
  MARBLE_RETURN_NOT_OK(CheckTable(table));
  std::lock_guard lock(mutex_);
  const auto it = tables_.find(table->id());
  if (it != tables_.end()) return it->second;
  return MakeError(ErrorCode::kTableNotFound,
                   "table '" + table->info().name() + "' has been dropped");
}

Status DbImpl::CheckColumns(const TableHandle& table, const ReadOptions& options) const {
  MARBLE_RETURN_NOT_OK(CheckTable(table));
  SuperVersionRef version = table->super_version();
  MARBLE_RETURN_NOT_OK(CheckTable(table));  // as in Get
  return HandlesVersion(table, options, &version);
}

std::vector<TableDescriptor> DbImpl::ListTables() const {
  std::lock_guard lock(mutex_);
  std::vector<TableDescriptor> out;
  for (const auto& [name, table] : tables_by_name_) out.push_back(table->info().descriptor);
  return out;
}

// --- Reads ------------------------------------------------------------------------------------

namespace {

Status CheckStateFamily(const TableHandle& state) {
  if (state->info().descriptor.is_state_family) return Status::OK();
  return MakeError(ErrorCode::kInvalidArgument,
                   "table '" + state->info().name() + "' is not a state family: use GetRow");
}

/// The value of a row that was found; `version` keeps memtables and mapped files alive.
PinnedValue ValueOf(const FoundRow& row, const SuperVersionRef& version) {
  if (row.bytes) return {*row.bytes, version};
  if (row.merged != nullptr) return {*row.merged, row.merged};
  // A batch keeps what it refers to; of a compressed file the version would not.
  if (row.version == nullptr) return {ValueAt(*row.batch, row.row), row.batch};
  if (row.version->kind() == VersionKind::kBytes) return {row.version->bytes(), version};
  return {ValueAt(*row.version->batch().batch, row.version->row()), version};
}

}  // namespace

Result<std::optional<PinnedValue>> DbImpl::Get(const TableHandle& state, std::string_view key,
                                               const ReadOptions& options) {
  MARBLE_RETURN_NOT_OK(CheckTable(state));
  MARBLE_RETURN_NOT_OK(CheckStateFamily(state));
  // First the version, then the sequence: all that the sequence sees is in the version or was
  // written meanwhile.
  SuperVersionRef version = state->super_version();
  const ReadView view = ViewOf(state->info(), options);
  // Close and drop set their flags before they install an empty version: it is never read.
  MARBLE_RETURN_NOT_OK(CheckTable(state));
  FoundRow row;
  MARBLE_RETURN_NOT_OK(
      FindRow(state->info(), *version, key, HashKey(key), view, counters_.get(), &row));
  if (!row.found()) return std::optional<PinnedValue>();
  return std::optional<PinnedValue>(ValueOf(row, version));
}

Status DbImpl::MultiGet(const TableHandle& state, const std::string_view* keys, size_t count,
                        const ReadOptions& options, std::optional<PinnedValue>* values) {
  MARBLE_RETURN_NOT_OK(CheckTable(state));
  MARBLE_RETURN_NOT_OK(CheckStateFamily(state));
  const SuperVersionRef version = state->super_version();
  const ReadView view = ViewOf(state->info(), options);
  MARBLE_RETURN_NOT_OK(CheckTable(state));  // as in Get
  // So many lookups are under way at once: their first cache misses overlap.
  constexpr size_t kAhead = 16;
  uint64_t hashes[kAhead];
  RowPrefetch prefetches[kAhead];
  for (size_t begin = 0; begin < count; begin += kAhead) {
    const size_t end = std::min(count, begin + kAhead);
    for (size_t i = begin; i < end; ++i) {
      hashes[i - begin] = HashKey(keys[i]);
      prefetches[i - begin].Begin(*version, keys[i], hashes[i - begin]);
    }
    for (size_t i = 0; i < end - begin; ++i) prefetches[i].Locate(state->info(), *version);
    for (size_t i = 0; i < end - begin; ++i) prefetches[i].Fetch();
    for (size_t i = begin; i < end; ++i) {
      FoundRow row;
      MARBLE_RETURN_NOT_OK(FindRow(state->info(), *version, keys[i], hashes[i - begin], view,
                                   counters_.get(), &row));
      if (row.found()) {
        values[i] = ValueOf(row, version);
      } else {
        values[i].reset();
      }
    }
  }
  return Status::OK();
}

Result<bool> DbImpl::Exists(const TableHandle& table, std::string_view key,
                            const ReadOptions& options) {
  MARBLE_RETURN_NOT_OK(CheckTable(table));
  MARBLE_RETURN_NOT_OK(CheckKeyed(table));
  SuperVersionRef version = table->super_version();
  const ReadView view = ViewOf(table->info(), options);
  MARBLE_RETURN_NOT_OK(CheckTable(table));  // as in Get
  MARBLE_RETURN_NOT_OK(HandlesVersion(table, options, &version));
  FoundRow row;
  MARBLE_RETURN_NOT_OK(
      FindRow(table->info(), *version, key, HashKey(key), view, counters_.get(), &row));
  return row.found();
}

Result<std::optional<RowRef>> DbImpl::GetRow(const TableHandle& table, std::string_view key,
                                             const ReadOptions& options) {
  MARBLE_RETURN_NOT_OK(CheckTable(table));
  MARBLE_RETURN_NOT_OK(CheckKeyed(table));
  SuperVersionRef version = table->super_version();
  const ReadView view = ViewOf(table->info(), options);
  MARBLE_RETURN_NOT_OK(CheckTable(table));  // as in Get
  MARBLE_RETURN_NOT_OK(HandlesVersion(table, options, &version));
  FoundRow row;
  MARBLE_RETURN_NOT_OK(
      FindRow(table->info(), *version, key, HashKey(key), view, counters_.get(), &row));
  if (!row.found()) return std::optional<RowRef>();
  if (row.batch != nullptr) return std::optional<RowRef>({std::move(row.batch), row.row});
  if (row.version != nullptr && row.version->kind() == VersionKind::kRow) {
    return std::optional<RowRef>({row.version->batch().batch, row.version->row()});
  }
  RowCollector collector(table->info_ref());
  collector.AddBytes(key, ValueOf(row, version).bytes);
  MARBLE_ASSIGN_OR_RETURN(auto batches, collector.Finish());
  return std::optional<RowRef>({std::move(batches[0]), 0});
}

Result<std::unique_ptr<Iterator>> DbImpl::NewIterator(const TableHandle& table,
                                                      const ScanOptions& options) {
  MARBLE_RETURN_NOT_OK(CheckTable(table));
  if (options.columns != nullptr) {
    const int fields = table->info().descriptor.schema->num_fields();
    for (const int column : *options.columns) {
      if (column >= 0 && column < fields) continue;
      return MakeError(ErrorCode::kColumnNotFound,
                       "table '" + table->info().name() + "' has " + std::to_string(fields) +
                           " columns, no column " + std::to_string(column));
    }
  }
  SuperVersionRef version = table->super_version();
  const ReadView view = ViewOf(table->info(), options.read);
  MARBLE_RETURN_NOT_OK(CheckTable(table));  // as in Get
  MARBLE_RETURN_NOT_OK(HandlesVersion(table, options.read, &version));
  return NewScanIterator(table, std::move(version), view, options, counters_);
}

Result<std::unique_ptr<StateIterator>> DbImpl::NewStateIterator(const TableHandle& state,
                                                                const ReadOptions& options,
                                                                const ScanRange& range) {
  MARBLE_RETURN_NOT_OK(CheckTable(state));
  MARBLE_RETURN_NOT_OK(CheckStateFamily(state));
  SuperVersionRef version = state->super_version();
  const ReadView view = ViewOf(state->info(), options);
  MARBLE_RETURN_NOT_OK(CheckTable(state));  // as in Get
  return lsm::NewStateIterator(state, std::move(version), view, options.snapshot, range);
}

ScanRange PrefixRange(std::string_view prefix) {
  ScanRange range;
  range.lower = prefix;
  range.upper = prefix;
  // The first key behind all of them; a prefix of 0xff alone has none.
  while (!range.upper.empty() && range.upper.back() == '\xff') range.upper.pop_back();
  if (!range.upper.empty()) ++range.upper.back();
  return range;
}

SnapshotRef DbImpl::GetSnapshot() {
  return snapshots_->Take([this] { return options_.clock->NowMs(); },
                          [this] { return last_sequence(); });
}

// --- Metrics ----------------------------------------------------------------------------------

namespace {

void AddLevelMetrics(const TableState& table, const TableVersion& files, TableMetrics* out) {
  const LevelShape& shape = table.shape;
  out->flushed_bytes = table.flushed_bytes.load();
  out->base_level = shape.base_level;
  out->pending_compaction_bytes = shape.pending_bytes;
  std::array<uint64_t, limits::kNumLevels> uncompressed{};
  files.ForEachFile([&uncompressed](int level, const SstFileRef& file) {
    uncompressed[level] += file->meta.uncompressed_bytes() + file->meta.idx_bytes;
  });
  for (int level = 0; level < limits::kNumLevels; ++level) {
    const LevelCounters& counters = table.level_counters[level];
    LevelMetrics m;
    m.level = level;
    m.files = level == 0                       ? files.level0.size()
              : files.levels[level] == nullptr ? 0
                                               : files.levels[level]->size();
    m.bytes = shape.bytes[level];
    m.uncompressed_bytes = uncompressed[level];
    m.target_bytes = shape.target[level];
    m.score = shape.score[level];
    m.compactions = counters.compactions.load();
    m.moved_files = counters.moved_files.load();
    m.bytes_read = counters.bytes_read.load();
    m.bytes_written = counters.bytes_written.load();
    const uint64_t in = counters.bytes_in.load();
    if (in > 0)
      m.write_amplification = static_cast<double>(m.bytes_written) / static_cast<double>(in);
    out->compacted_bytes += m.bytes_written;
    if (m.files > 0 || m.compactions > 0 || m.moved_files > 0) out->levels.push_back(m);
  }
  if (out->flushed_bytes > 0) {
    out->write_amplification = static_cast<double>(out->flushed_bytes + out->compacted_bytes) /
                               static_cast<double>(out->flushed_bytes);
  }
}

}  // namespace

DbMetrics DbImpl::metrics() const {
  DbMetrics m;
  m.last_sequence = last_sequence();
  m.flushes = counters_->flushes.load();
  m.compactions = counters_->compactions.load();
  m.expired_files = counters_->expired_files.load();
  m.expired_bytes = counters_->expired_bytes.load();
  m.stalls = counters_->stalls.load();
  m.delayed_writes = counters_->delayed_writes.load();
  m.stopped_writes = counters_->stopped_writes.load();
  m.stall_micros = counters_->stall_micros.load();
  m.gets = counters_->lookups.gets();
  m.bloom_negatives = counters_->lookups.negatives();
  m.clean_batches = counters_->clean_batches.load();
  m.merged_batches = counters_->merged_batches.load();
  m.files_out_of_range = counters_->files_out_of_range.load();
  m.batches_out_of_range = counters_->batches_out_of_range.load();
  m.batches_pruned = counters_->batches_pruned.load();
  m.rows_filtered = counters_->rows_filtered.load();
  m.rows_from_metadata = counters_->rows_from_metadata.load();
  m.decoded_hits = decoded_->hits();
  m.decoded_misses = decoded_->misses();
  std::lock_guard lock(mutex_);
  m.stall_reason = StallReasonName(stall_.reason());
  m.stall_stopped = stall_.stopped();
  m.running_compactions = running_.size();
  m.memory.budget = budget_->bytes();
  m.memory.file_chunks = budget_->chunks();
  m.memory.file_arrays = budget_->arrays();
  m.memory.decoded_batches = budget_->decoded();
  const auto weigh = [&m](const Generation& generation) {
    m.log_bytes += generation.log_bytes;
    m.memory.memtable_rows += generation.log_bytes + generation.unlogged->memory_usage();
    for (const auto& memtable : generation.memtables) {
      if (memtable != nullptr) m.memory.memtable_indexes += memtable->memory_usage();
    }
  };
  for (const auto& generation : sealed_) weigh(*generation);
  if (active_ != nullptr) weigh(*active_);
  for (const auto& [name, table] : tables_by_name_) {
    TableMetrics t;
    t.name = name;
    const SuperVersionRef version = table->super_version();
    for (const auto& memtable : version->memtables) {
      t.memtable_rows += memtable->num_rows();
      m.memtable_bytes += memtable->memory_usage();
    }
    version->files->ForEachFile([&t](int, const SstFileRef& file) {
      ++t.sst_files;
      t.sst_rows += file->meta.rows;
      t.sst_bytes += file->bytes();
      t.sst_uncompressed_bytes += file->meta.uncompressed_bytes() + file->meta.idx_bytes;
    });
    AddLevelMetrics(*table, *version->files, &t);
    m.pending_compaction_bytes += t.pending_compaction_bytes;
    m.tables.push_back(std::move(t));
  }
  return m;
}

bool DbImpl::writable() const {
  return !closed_.load() && !failed_.load() && stall_.reason() == StallReason::kNone;
}

void DbImpl::Emit(DbEvent event) const {
  if (options_.listener) options_.listener(event);
}

}  // namespace marble::lsm
