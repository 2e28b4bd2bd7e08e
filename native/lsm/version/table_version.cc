#include "lsm/version/table_version.h"

#include <arrow/api.h>
#include <unistd.h>

#include <algorithm>

namespace marble::lsm {

SstFile::SstFile(std::string directory, std::shared_ptr<SstReader> opened, bool cache_batches)
    : dir(std::move(directory)),
      reader(std::move(opened)),
      meta(reader->meta()),
      batches_(cache_batches ? std::make_unique<std::atomic<const CachedBatch*>[]>(
                                   static_cast<size_t>(reader->num_batches()))
                             : nullptr) {}

Result<std::shared_ptr<arrow::RecordBatch>> SstFile::ReadBatch(int64_t batch) const {
  if (batches_ == nullptr) return reader->ReadBatch(batch);
  const CachedBatch* cached = batches_[batch].load(std::memory_order_acquire);
  if (cached != nullptr) return *cached;
  MARBLE_ASSIGN_OR_RETURN(auto read, reader->ReadBatch(batch));
  auto mine = std::make_unique<const CachedBatch>(read);
  if (batches_[batch].compare_exchange_strong(cached, mine.get(), std::memory_order_acq_rel)) {
    (void)mine.release();
  }
  return read;
}

SstFile::~SstFile() {
  if (batches_ != nullptr) {
    for (int64_t i = 0; i < reader->num_batches(); ++i) {
      delete batches_[i].load(std::memory_order_acquire);
    }
  }
  if (!obsolete.load(std::memory_order_acquire)) return;
  // A failure leaves an orphan that the next open removes.
  ::unlink((dir + "/" + SstArrowName(meta.number)).c_str());
  ::unlink((dir + "/" + SstIdxName(meta.number)).c_str());
}

const SstFile* TableVersion::InRun(std::string_view key) const {
  const auto it = std::lower_bound(
      run.begin(), run.end(), key,
      [](const SstFileRef& file, std::string_view k) { return file->meta.max_key < k; });
  return it != run.end() && (*it)->meta.min_key <= key ? it->get() : nullptr;
}

bool TableVersion::MayContain(std::string_view key, uint64_t hash) const {
  for (const auto& file : level0) {
    if (file->reader->MayContain(key, hash)) return true;
  }
  const SstFile* file = InRun(key);
  return file != nullptr && file->reader->MayContain(key, hash);
}

std::shared_ptr<const TableVersion> MakeTableVersion(std::vector<SstFileRef> files) {
  auto version = std::make_shared<TableVersion>();
  for (auto& file : files) {
    (file->meta.level == 0 ? version->level0 : version->run).push_back(std::move(file));
  }
  std::sort(
      version->level0.begin(), version->level0.end(),
      [](const SstFileRef& a, const SstFileRef& b) { return a->meta.number > b->meta.number; });
  std::sort(version->run.begin(), version->run.end(), [](const SstFileRef& a, const SstFileRef& b) {
    return a->meta.min_key < b->meta.min_key;
  });
  return version;
}

}  // namespace marble::lsm
