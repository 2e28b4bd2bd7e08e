#include "state/keyed_table.h"

#include <arrow/api.h>

#include <algorithm>
#include <cstring>

#include "base/hash.h"

namespace marble::state {

namespace {

constexpr size_t kFirstSlots = 1024;
constexpr size_t kArenaChunk = 256 * 1024;
constexpr size_t kPrefetchDistance = 12;

}  // namespace

KeyedTable::KeyedTable(KeyedTableOptions options) : options_(std::move(options)) {
  slots_.assign(kFirstSlots, Slot{0, kNoGroup});
}
KeyedTable::~KeyedTable() = default;

Result<std::unique_ptr<KeyedTable>> KeyedTable::Make(KeyedTableOptions options) {
  MARBLE_CHECK(options.max_parallelism > 0);
  std::unique_ptr<KeyedTable> table(new KeyedTable(std::move(options)));
  const auto& given = table->options_;
  // Fields get names of their own: two keys may have one name, and a state table's columns
  // must not clash with its first two.
  std::vector<std::shared_ptr<arrow::Field>> state_fields = {
      arrow::field("key_group", arrow::uint16(), false)};
  if (given.windowed) {
    state_fields.push_back(
        arrow::field("window_end", arrow::timestamp(arrow::TimeUnit::MILLI), false));
  }
  std::vector<std::shared_ptr<arrow::Field>> key_fields;
  std::vector<int> key_indices;
  for (size_t i = 0; i < given.keys.size(); ++i) {
    const auto& key = given.keys[i];
    key_fields.push_back(
        arrow::field("k" + std::to_string(i) + "_" + key->name(), key->type(), key->nullable()));
    key_indices.push_back(static_cast<int>(i));
    state_fields.push_back(key_fields.back());
    MARBLE_ASSIGN_OR_RETURN(auto column, GroupColumn::Make(key_fields.back()));
    table->keys_.push_back(std::move(column));
  }
  for (const auto& accumulator : given.accumulators) {
    state_fields.push_back(accumulator);
    MARBLE_ASSIGN_OR_RETURN(auto column, GroupColumn::Make(accumulator));
    table->accumulators_.push_back(std::move(column));
  }
  table->key_schema_ = arrow::schema(key_fields);
  table->state_schema_ = arrow::schema(state_fields);
  if (!key_fields.empty()) {
    MARBLE_ASSIGN_OR_RETURN(table->codec_, KeyCodec::Make(table->key_schema_, key_indices));
  }
  return table;
}

std::vector<int> KeyedTable::state_key_columns() const {
  const int count = 1 + (options_.windowed ? 1 : 0) + static_cast<int>(options_.keys.size());
  std::vector<int> columns;
  for (int i = 0; i < count; ++i) columns.push_back(i);
  return columns;
}

uint64_t KeyedTable::SlotHash(uint64_t key_hash, int64_t window_end) {
  uint64_t mixed = key_hash ^ (static_cast<uint64_t>(window_end) * 0x9e3779b97f4a7c15ull);
  mixed ^= mixed >> 32;
  mixed *= 0xd6e8feb86659fd93ull;
  return mixed ^ (mixed >> 29);
}

Status KeyedTable::EncodeKeys(const arrow::RecordBatch& keys) {
  const auto rows = static_cast<size_t>(keys.num_rows());
  encoded_.clear();
  offsets_.clear();
  if (codec_ == nullptr) {
    offsets_.assign(rows + 1, 0);
  } else {
    codec_->EncodeAll(keys, &encoded_, &offsets_);
  }
  MARBLE_CHECK(offsets_.size() == rows + 1);
  hashes_.resize(rows);
  for (size_t i = 0; i < rows; ++i) {
    hashes_[i] = HashKey({encoded_.data() + offsets_[i], offsets_[i + 1] - offsets_[i]});
  }
  return Status::OK();
}

const char* KeyedTable::Store(std::string_view key) {
  if (key.empty()) return "";
  if (chunk_used_ + key.size() > chunk_size_) {
    chunk_size_ = std::max(kArenaChunk, key.size());
    chunks_.push_back(std::make_unique<char[]>(chunk_size_));
    chunk_used_ = 0;
  }
  char* to = chunks_.back().get() + chunk_used_;
  std::memcpy(to, key.data(), key.size());
  chunk_used_ += key.size();
  arena_bytes_ += key.size();
  return to;
}

void KeyedTable::Rehash(size_t slots) {
  slots_.assign(slots, Slot{0, kNoGroup});
  used_slots_ = 0;
  const size_t mask = slots - 1;
  std::vector<bool> is_free(metas_.size(), false);
  for (GroupId group : free_) is_free[group] = true;
  for (GroupId group = 0; group < metas_.size(); ++group) {
    if (is_free[group]) continue;
    const uint64_t hash = SlotHash(metas_[group].key_hash, metas_[group].window_end);
    size_t at = hash & mask;
    while (slots_[at].group != kNoGroup) at = (at + 1) & mask;
    slots_[at] = {static_cast<uint32_t>(hash >> 32), group};
    ++used_slots_;
  }
}

GroupId KeyedTable::FindOrInsert(uint64_t key_hash, int64_t window_end, std::string_view key,
                                 const arrow::RecordBatch& rows, int64_t row, int first_key_column,
                                 bool* inserted) {
  const uint64_t hash = SlotHash(key_hash, window_end);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  for (; slots_[at].group != kNoGroup; at = (at + 1) & mask) {
    if (slots_[at].tag != tag || slots_[at].group == kErased) continue;
    const Meta& meta = metas_[slots_[at].group];
    if (meta.key_hash == key_hash && meta.window_end == window_end && meta.key_size == key.size() &&
        std::memcmp(meta.key, key.data(), key.size()) == 0) {
      *inserted = false;
      return slots_[at].group;
    }
  }
  GroupId group;
  if (!free_.empty()) {
    group = free_.back();
    free_.pop_back();
  } else {
    group = static_cast<GroupId>(metas_.size());
    metas_.emplace_back();
    if (metas_.size() > capacity_) {
      const size_t grown = std::max<size_t>(256, metas_.size() * 2);
      for (auto& column : keys_) column.Resize(grown);
      for (auto& column : accumulators_) column.Resize(grown);
      capacity_ = grown;
    }
  }
  metas_[group] = Meta{key_hash,
                       window_end,
                       Store(key),
                       static_cast<uint32_t>(key.size()),
                       KeyGroupOf(key_hash, options_.max_parallelism),
                       false,
                       false};
  for (size_t i = 0; i < keys_.size(); ++i) {
    keys_[i].Set(group, *rows.column(first_key_column + static_cast<int>(i)), row);
  }
  for (auto& column : accumulators_) column.Reset(group);
  slots_[at] = {tag, group};
  ++used_slots_;
  ++size_;
  if (used_slots_ * 10 > slots_.size() * 6) {
    size_t slots = kFirstSlots;
    while (size_ * 10 > slots * 4) slots *= 2;
    Rehash(slots);
  }
  *inserted = true;
  return group;
}

Status KeyedTable::Lookup(const arrow::RecordBatch& keys, const int64_t* window_ends,
                          std::vector<GroupId>* groups, std::vector<GroupId>* created) {
  MARBLE_RETURN_NOT_OK(EncodeKeys(keys));
  const auto rows = static_cast<size_t>(keys.num_rows());
  groups->resize(rows);
  auto window = [&](size_t row) { return window_ends == nullptr ? 0 : window_ends[row]; };
  for (size_t i = 0; i < rows; ++i) {
    if (i + 2 * kPrefetchDistance < rows) {
      const size_t ahead = i + 2 * kPrefetchDistance;
      __builtin_prefetch(&slots_[SlotHash(hashes_[ahead], window(ahead)) & (slots_.size() - 1)]);
    }
    if (i + kPrefetchDistance < rows) {
      const size_t ahead = i + kPrefetchDistance;
      const GroupId group =
          slots_[SlotHash(hashes_[ahead], window(ahead)) & (slots_.size() - 1)].group;
      if (group < kErased) __builtin_prefetch(&metas_[group]);
    }
    bool inserted;
    const GroupId group = FindOrInsert(
        hashes_[i], window(i), {encoded_.data() + offsets_[i], offsets_[i + 1] - offsets_[i]}, keys,
        static_cast<int64_t>(i), 0, &inserted);
    if (inserted) created->push_back(group);
    (*groups)[i] = group;
    Meta& meta = metas_[group];
    if (!meta.dirty) {
      meta.dirty = true;
      dirty_list_.push_back(group);
    }
  }
  return Status::OK();
}

void KeyedTable::Erase(const std::vector<GroupId>& groups) {
  std::vector<GroupId> stored;
  bool any_dirty = false;
  for (GroupId group : groups) {
    if (metas_[group].stored) stored.push_back(group);
    any_dirty = any_dirty || metas_[group].dirty;
  }
  if (!stored.empty()) {
    auto gathered = GatherStateKeys(stored);
    MARBLE_CHECK(gathered.ok());
    deleted_.push_back(std::move(*gathered));
  }
  const size_t mask = slots_.size() - 1;
  for (GroupId group : groups) {
    Meta& meta = metas_[group];
    size_t at = SlotHash(meta.key_hash, meta.window_end) & mask;
    while (slots_[at].group != group) at = (at + 1) & mask;
    slots_[at].group = kErased;
    meta.dirty = false;
    arena_garbage_ += meta.key_size;
    for (auto& column : keys_) column.Reset(group);
    for (auto& column : accumulators_) column.Reset(group);
    free_.push_back(group);
    --size_;
  }
  if (any_dirty) {
    std::erase_if(dirty_list_, [&](GroupId group) { return !metas_[group].dirty; });
  }
  if (arena_garbage_ > (1 << 20) && arena_garbage_ * 2 > arena_bytes_) CompactArena();
}

void KeyedTable::CompactArena() {
  std::vector<std::unique_ptr<char[]>> old;
  old.swap(chunks_);
  chunk_used_ = chunk_size_ = 0;
  arena_bytes_ = arena_garbage_ = 0;
  for (const Slot& slot : slots_) {
    if (slot.group >= kErased) continue;
    Meta& meta = metas_[slot.group];
    meta.key = Store({meta.key, meta.key_size});
  }
}

Result<std::vector<std::shared_ptr<arrow::Array>>> KeyedTable::GatherKeys(
    const std::vector<GroupId>& groups) const {
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (const auto& column : keys_) {
    MARBLE_ASSIGN_OR_RETURN(auto gathered, column.Gather(groups));
    columns.push_back(std::move(gathered));
  }
  return columns;
}

Result<std::vector<std::shared_ptr<arrow::Array>>> KeyedTable::GatherStateKeys(
    const std::vector<GroupId>& groups) const {
  const auto rows = static_cast<int64_t>(groups.size());
  std::vector<std::shared_ptr<arrow::Array>> columns;
  MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> key_groups,
                          arrow::AllocateBuffer(rows * 2));
  auto* out = reinterpret_cast<uint16_t*>(key_groups->mutable_data());
  for (size_t i = 0; i < groups.size(); ++i) out[i] = metas_[groups[i]].key_group;
  columns.push_back(arrow::MakeArray(
      arrow::ArrayData::Make(arrow::uint16(), rows, {nullptr, std::move(key_groups)}, 0)));
  if (options_.windowed) {
    MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> ends, arrow::AllocateBuffer(rows * 8));
    auto* values = reinterpret_cast<int64_t*>(ends->mutable_data());
    for (size_t i = 0; i < groups.size(); ++i) values[i] = metas_[groups[i]].window_end;
    columns.push_back(arrow::MakeArray(arrow::ArrayData::Make(
        arrow::timestamp(arrow::TimeUnit::MILLI), rows, {nullptr, std::move(ends)}, 0)));
  }
  MARBLE_ASSIGN_OR_RETURN(auto keys, GatherKeys(groups));
  for (auto& key : keys) columns.push_back(std::move(key));
  return columns;
}

Result<std::shared_ptr<arrow::RecordBatch>> KeyedTable::CollectDirty() {
  MARBLE_ASSIGN_OR_RETURN(auto columns, GatherStateKeys(dirty_list_));
  for (const auto& column : accumulators_) {
    MARBLE_ASSIGN_OR_RETURN(auto gathered, column.Gather(dirty_list_));
    columns.push_back(std::move(gathered));
  }
  const auto rows = static_cast<int64_t>(dirty_list_.size());
  for (GroupId group : dirty_list_) {
    metas_[group].dirty = false;
    metas_[group].stored = true;
  }
  dirty_list_.clear();
  return arrow::RecordBatch::Make(state_schema_, rows, std::move(columns));
}

Result<std::shared_ptr<arrow::RecordBatch>> KeyedTable::CollectDeleted() {
  const auto key_columns = state_key_columns();
  std::vector<std::shared_ptr<arrow::Field>> fields(
      state_schema_->fields().begin(),
      state_schema_->fields().begin() + static_cast<int64_t>(key_columns.size()));
  const auto schema = arrow::schema(fields);
  if (deleted_.empty()) return arrow::RecordBatch::MakeEmpty(schema);
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (deleted_.size() == 1) {
      columns.push_back(deleted_[0][i]);
      continue;
    }
    std::vector<std::shared_ptr<arrow::Array>> parts;
    for (const auto& part : deleted_) parts.push_back(part[i]);
    MARBLE_ASSIGN_OR_RETURN(auto joined, arrow::Concatenate(parts));
    columns.push_back(std::move(joined));
  }
  deleted_.clear();
  const int64_t rows = columns[0]->length();
  return arrow::RecordBatch::Make(schema, rows, std::move(columns));
}

void KeyedTable::DiscardChanges() {
  for (GroupId group : dirty_list_) metas_[group].dirty = false;
  dirty_list_.clear();
  deleted_.clear();
}

Status KeyedTable::Restore(const arrow::RecordBatch& rows, std::vector<GroupId>* created) {
  if (!rows.schema()->Equals(*state_schema_, /*check_metadata=*/false)) {
    return MakeError(ErrorCode::kCorruption, "State has the columns " + rows.schema()->ToString() +
                                                 ", not " + state_schema_->ToString());
  }
  const int first_key = options_.windowed ? 2 : 1;
  const int num_keys = static_cast<int>(keys_.size());
  std::vector<std::shared_ptr<arrow::Array>> key_columns;
  for (int i = 0; i < num_keys; ++i) key_columns.push_back(rows.column(first_key + i));
  const auto keys = arrow::RecordBatch::Make(key_schema_, rows.num_rows(), key_columns);
  MARBLE_RETURN_NOT_OK(EncodeKeys(*keys));
  const auto& key_groups = static_cast<const arrow::UInt16Array&>(*rows.column(0));
  for (int64_t i = 0; i < rows.num_rows(); ++i) {
    const int64_t end =
        options_.windowed ? static_cast<const arrow::TimestampArray&>(*rows.column(1)).Value(i) : 0;
    const auto row = static_cast<size_t>(i);
    bool inserted;
    const GroupId group = FindOrInsert(
        hashes_[row], end, {encoded_.data() + offsets_[row], offsets_[row + 1] - offsets_[row]},
        rows, i, first_key, &inserted);
    if (!inserted || metas_[group].key_group != key_groups.Value(i)) {
      return MakeError(ErrorCode::kCorruption,
                       inserted ? "State row in the wrong key group" : "State row stored twice");
    }
    metas_[group].stored = true;
    for (size_t a = 0; a < accumulators_.size(); ++a) {
      accumulators_[a].Set(group, *rows.column(first_key + num_keys + static_cast<int>(a)), i);
    }
    created->push_back(group);
  }
  return Status::OK();
}

size_t KeyedTable::memory_bytes() const {
  size_t bytes = slots_.capacity() * sizeof(Slot) + metas_.capacity() * sizeof(Meta) + arena_bytes_;
  for (const auto& column : keys_) bytes += column.memory_bytes();
  for (const auto& column : accumulators_) bytes += column.memory_bytes();
  return bytes;
}

}  // namespace marble::state
