#include "lsm/sst/decoded_cache.h"

#include <arrow/record_batch.h>

#include <algorithm>
#include <utility>

namespace marble::lsm {
namespace {

/// A shard holds several batches, or least recently used would mean little.
constexpr uint64_t kShardBytes = 1 << 20;
constexpr uint64_t kMaxShards = 16;

}  // namespace

DecodedCache::DecodedCache(uint64_t capacity, std::shared_ptr<MemoryBudget> budget)
    : capacity_(capacity),
      budget_(std::move(budget)),
      shards_(std::clamp<uint64_t>(capacity / kShardBytes, 1, kMaxShards)) {}

DecodedCache::~DecodedCache() {
  if (budget_ != nullptr) budget_->ReleaseDecoded(bytes_.load());
}

uint64_t DecodedCache::NewFile() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

DecodedBatchRef DecodedCache::Find(uint64_t file, int64_t batch) {
  const Key key{file, batch};
  Shard& shard = ShardOf(key);
  {
    std::lock_guard lock(shard.mutex);
    const auto it = shard.by_key.find(key);
    if (it != shard.by_key.end()) {
      shard.entries.splice(shard.entries.begin(), shard.entries, it->second);
      hits_.fetch_add(1, std::memory_order_relaxed);
      return it->second->decoded;
    }
  }
  misses_.fetch_add(1, std::memory_order_relaxed);
  return nullptr;
}

void DecodedCache::TakeOut(Shard* shard, std::list<Entry>::iterator entry, std::list<Entry>* out) {
  const uint64_t memory = entry->decoded->memory;
  shard->bytes -= memory;
  bytes_.fetch_sub(memory, std::memory_order_relaxed);
  if (budget_ != nullptr) budget_->ReleaseDecoded(memory);
  shard->by_key.erase(entry->key);
  out->splice(out->begin(), shard->entries, entry);
}

void DecodedCache::Insert(uint64_t file, int64_t batch, const DecodedBatchRef& decoded) {
  const uint64_t most = capacity_ / shards_.size();
  if (decoded->memory > most) return;
  const Key key{file, batch};
  Shard& shard = ShardOf(key);
  std::list<Entry> out;  // dies without the lock
  std::lock_guard lock(shard.mutex);
  if (shard.by_key.contains(key)) return;  // another thread was faster
  while (shard.bytes + decoded->memory > most) {
    TakeOut(&shard, std::prev(shard.entries.end()), &out);
  }
  shard.entries.push_front({key, decoded});
  shard.by_key.emplace(key, shard.entries.begin());
  shard.bytes += decoded->memory;
  bytes_.fetch_add(decoded->memory, std::memory_order_relaxed);
  if (budget_ != nullptr) budget_->ChargeDecoded(decoded->memory);
}

void DecodedCache::Forget(uint64_t file, int64_t batches) {
  for (int64_t batch = 0; batch < batches; ++batch) {
    const Key key{file, batch};
    Shard& shard = ShardOf(key);
    std::list<Entry> out;
    std::lock_guard lock(shard.mutex);
    const auto it = shard.by_key.find(key);
    if (it != shard.by_key.end()) TakeOut(&shard, it->second, &out);
  }
}

}  // namespace marble::lsm
