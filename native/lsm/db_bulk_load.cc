// Bulk load: sorted rows straight into files.
//
//   1. Write the files, checking the order of the rows. They have no sequence yet. Compressed as in
//      the level that each would go to now; if it goes elsewhere, it keeps that.
//   2. Flush what memtables hold: there older rows would lie above the files.
//   3. In the log's turn, while no write is applied: take a sequence; if no memtable has rows in
//   the
//      files' ranges, find their level, append the manifest edit, install them, make the sequence
//      visible. Else go back to 2.
//
// The rows have no column of sequences: theirs is the one that the manifest says of the file
// (SstFile::flat_sequence), so that it can be given at the end. A snapshot that is older does not
// see them, nor does any that is taken while the files are being written.
#include <arrow/api.h>

#include <algorithm>

#include "lsm/db_impl.h"

namespace marble::lsm {
namespace {

/// How often memtables are flushed because of new writes to the same rows.
constexpr int kMaxFlushes = 20;

bool Overlap(const FileMeta& a, std::string_view min_key, std::string_view max_key) {
  return a.min_key <= max_key && a.max_key >= min_key;
}

/// Whether a memtable has an operation on a key in some file's range.
bool Touches(Memtable* memtable, const std::vector<FileMeta>& metas) {
  if (!memtable->info().keyed()) return memtable->num_rows() > 0;
  for (const RangeTombstone* t = memtable->range_tombstones(); t != nullptr; t = t->next) {
    for (const FileMeta& meta : metas) {
      if (meta.max_key >= t->from && (t->to.empty() || meta.min_key < t->to)) return true;
    }
  }
  if (memtable->num_keys() == 0) return false;
  memtable->Prepare(/*ordered=*/true);
  OrderedIndex::Cursor cursor = memtable->NewCursor();
  for (const FileMeta& meta : metas) {
    cursor.SeekGE(meta.min_key);
    if (cursor.Valid() && cursor.node().key() <= meta.max_key) return true;
  }
  return false;
}

}  // namespace

struct DbImpl::BulkFiles {
  std::vector<FileMeta> metas;
  std::vector<std::shared_ptr<SstReader>> readers;
  BulkLoadInfo info;
  Status status;  // of the installing
};

namespace {

/// The rows of sorted batches, one batch a step.
class SortedBatches : public RowProducer {
 public:
  SortedBatches(const TableHandle& table, const DB::BatchSource& next, const CopyControl& control)
      : table_(table),
        info_(table->info()),
        next_(next),
        control_(control),
        cut_(info_.descriptor.options.cut_points.begin()),
        expires_(table->ExpiryOfWrite()) {}

  uint64_t rows() const { return rows_; }

  Result<bool> Step(RunBuilder* out) override {
    MARBLE_ASSIGN_OR_RETURN(const std::shared_ptr<arrow::RecordBatch> rows, NextBatch());
    if (rows == nullptr) return false;
    // What a write batch would say of the rows.
    WriteBatch check;
    MARBLE_RETURN_NOT_OK(check.Insert(table_, rows));
    std::string keys;
    std::vector<uint32_t> offsets;
    if (info_.keyed()) info_.codec->EncodeAll(*rows, &keys, &offsets);
    for (int64_t row = 0; row < rows->num_rows(); ++row) {
      if (info_.keyed()) {
        const auto i = static_cast<size_t>(row);
        MARBLE_RETURN_NOT_OK(TakeKey({keys.data() + offsets[i], offsets[i + 1] - offsets[i]}, out));
      }
      MARBLE_RETURN_NOT_OK(expires_ == 0 ? out->AddRows(rows, row, 1, 0)
                                         : out->AddRow(rows, row, 0, RowKind::kPut, expires_));
      ++rows_;
      out->EndOfKey();
    }
    if (control_.progress) control_.progress(rows_, rows_);
    return true;
  }

 private:
  Result<std::shared_ptr<arrow::RecordBatch>> NextBatch() {
    const task::BlockingScope blocking;  // it may wait for a disk or another thread
    return next_();
  }
  Status TakeKey(std::string_view key, RunBuilder* out) {
    const int order = rows_ == 0 ? -1 : last_.compare(key);
    if (order >= 0) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "bulk load of '" + info_.name() + "': row " + std::to_string(rows_) +
                           (order == 0 ? " has the same key as the row before it"
                                       : " comes before the row before it in key order") +
                           "; sort the rows by the primary key and leave out duplicates; "
                           "nothing was loaded");
    }
    last_ = key;
    const auto& cuts = info_.descriptor.options.cut_points;
    const auto before = cut_;
    while (cut_ != cuts.end() && *cut_ <= key) ++cut_;
    if (cut_ != before) out->Cut();
    return Status::OK();
  }

  const TableHandle& table_;
  const TableInfo& info_;
  const DB::BatchSource& next_;
  const CopyControl& control_;
  std::vector<std::string>::const_iterator cut_;
  const int64_t expires_;
  uint64_t rows_ = 0;
  std::string last_;
};

}  // namespace

Status DbImpl::WriteBulkFiles(const TableHandle& table, const BatchSource& next,
                              const CopyControl& control, BulkFiles* out) {
  const TableInfo& info = table->info();
  const auto poll = [&]() -> Status {
    if (closed_.load()) return MakeError(ErrorCode::kClosed, "database " + path_ + " is closed");
    if (stopping_.load() || (control.cancelled && control.cancelled())) {
      return MakeError(ErrorCode::kAborted, "the bulk load of '" + info.name() + "' was cancelled");
    }
    return Status::OK();
  };
  RunPipelineOptions options;
  options.writer = NewRunOptions();
  options.writer.hidden.expires = info.expires();
  // Where a file will lie is known when it is written; most likely where it would lie now.
  options.writer.codec_level = [this, &table](std::string_view first_key) {
    FileMeta probe;
    probe.min_key = probe.max_key = first_key;
    std::lock_guard lock(mutex_);
    return LevelForBulkFiles(*table, {probe});
  };
  options.max_file_bytes = options_.target_file_bytes;
  options.priority = task::Priority::kUser;
  options.budget = budget_.get();
  options.wrote = [&poll](uint64_t) { return poll(); };
  const BatchSource polled = [&]() -> Result<std::shared_ptr<arrow::RecordBatch>> {
    MARBLE_RETURN_NOT_OK(poll());
    return next();
  };
  SortedBatches* rows = nullptr;
  RunPipeline run(executor_->scheduler(), table->info_ref(), std::move(options), [&](RunBuilder*) {
    auto producer = std::make_unique<SortedBatches>(table, polled, control);
    rows = producer.get();
    return producer;
  });
  MARBLE_RETURN_NOT_OK(run.Start());
  MARBLE_ASSIGN_OR_RETURN(out->metas, run.Finish());
  out->info.rows = rows->rows();
  if (out->metas.empty()) return Status::OK();
  const auto open = [&]() -> Status {
    MARBLE_RETURN_NOT_OK(options_.file_system->SyncDir(dir_));
    for (const FileMeta& meta : out->metas) out->info.bytes += meta.arrow_bytes + meta.idx_bytes;
    return OpenBulkFiles(info, out);
  };
  const Status opened = open();
  if (!opened.ok()) {
    out->readers.clear();
    RemoveFiles(out->metas);
  }
  out->info.files = out->metas.size();
  return opened;
}

Status DbImpl::OpenBulkFiles(const TableInfo& info, BulkFiles* files) {
  files->readers.clear();
  for (const FileMeta& meta : files->metas) {
    MARBLE_ASSIGN_OR_RETURN(auto reader, SstReader::Open(ReaderOptionsOf(info), meta));
    files->readers.push_back(std::move(reader));
  }
  return Status::OK();
}

int DbImpl::LevelForBulkFiles(const TableState& table, const std::vector<FileMeta>& metas) const {
  if (!table.info().keyed()) return 0;
  for (const auto& task : running_) {
    // Its outputs may lie anywhere between its first and its last key.
    if (!task->table->SameTable(table)) continue;
    for (const FileMeta& meta : metas) {
      if (Overlap(meta, task->plan.min_key, task->plan.max_key)) return 0;
    }
  }
  const SuperVersionRef version = table.super_version();
  const auto free = [&metas](const auto& files) {
    for (const SstFileRef& file : files) {
      for (const FileMeta& meta : metas) {
        if (Overlap(meta, file->meta.min_key, file->meta.max_key)) return false;
      }
    }
    return true;
  };
  if (!free(version->files->level0)) return 0;
  int deepest = 0;
  for (int level = 1; level < limits::kNumLevels; ++level) {
    const auto& files = version->files->levels[level];
    if (files != nullptr && !free(*files)) break;
    deepest = level;
  }
  return deepest;
}

Result<bool> DbImpl::InstallBulkFiles(const TableHandle& table, BulkFiles* files,
                                      SequenceNumber sequence, uint64_t new_segment) {
  Seal();  // what is older is apart from what will be newer
  const SuperVersionRef version = table->super_version();
  for (const auto& memtable : version->memtables) {
    if (Touches(memtable.get(), files->metas)) return false;
  }
  bool dropped = false;
  bool log_flushed = false;  // all of it: loads alone would leave a segment each
  {
    std::lock_guard lock(mutex_);
    ++compactions_held_;
  }
  const Status installed = LogAndInstall(
      [&]() -> Result<std::optional<VersionEdit>> {
        dropped = table->dropped();
        if (dropped) return std::nullopt;
        if (const SuperVersionRef now = table->super_version(); now->info != table->info_ref()) {
          // Altered since the load began: the files are read like others of before.
          MARBLE_RETURN_NOT_OK(OpenBulkFiles(*now->info, files));
        }
        {
          std::lock_guard lock(mutex_);
          files->info.level = LevelForBulkFiles(*table, files->metas);
          log_flushed = sealed_.empty();
        }
        VersionEdit edit;
        for (FileMeta& meta : files->metas) {
          meta.level = files->info.level;
          meta.min_sequence = meta.max_sequence = sequence;
          edit.added_files.push_back(meta);
        }
        if (log_flushed) edit.log_first_segment = new_segment;
        edit.next_file_number = next_file_.load();
        edit.last_sequence = std::max(manifest_->state().last_sequence, sequence);
        return edit;
      },
      [&] {
        std::vector<LevelFile> added;
        for (auto& reader : files->readers) {
          added.push_back({files->info.level,
                           std::make_shared<SstFile>(options_.file_system, dir_, std::move(reader),
                                                     options_.verify_reads != VerifyReads::kAlways,
                                                     budget_, sequence)});
        }
        files->readers.clear();
        table->bulk_loaded.store(sequence);
        Reinstall(table.get(), nullptr, std::move(added), {});
        visible_sequence_.store(sequence, std::memory_order_release);
      });
  {
    std::lock_guard lock(mutex_);
    --compactions_held_;
    ScheduleWork();
  }
  MARBLE_RETURN_NOT_OK(installed);
  if (dropped) {
    return MakeError(ErrorCode::kTableNotFound,
                     "table '" + table->info().name() + "' was dropped during the bulk load");
  }
  if (log_flushed) log_pins_->Drop({}, new_segment - 1, sequence);
  files->info.sequence = sequence;
  return true;
}

Result<BulkLoadInfo> DbImpl::BulkLoad(const TableHandle& table, const BatchSource& next,
                                      const CopyControl& control) {
  const CallGuard guard(&calls_);
  MARBLE_RETURN_NOT_OK(CheckTable(table));
  if (!table->current()) return SchemaChanged(table->info());
  MARBLE_RETURN_NOT_OK(CheckWritable());
  if (!table->info().descriptor.options.logged) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "table '" + table->info().name() +
                         "' is not logged: its rows come back as of the last flush, a bulk load "
                         "would not; insert the rows");
  }
  MARBLE_RETURN_NOT_OK(Begin());
  BulkFiles files;
  MARBLE_RETURN_NOT_OK(WriteBulkFiles(table, next, control, &files));
  if (files.metas.empty()) {
    files.info.sequence = last_sequence();
    return files.info;
  }
  const auto install = [&]() -> Status {
    for (int i = 0; i < kMaxFlushes; ++i) {
      MARBLE_RETURN_NOT_OK(CheckOpen());
      MARBLE_RETURN_NOT_OK(Flush());
      Result<bool> done = false;
      MARBLE_RETURN_NOT_OK(log_->TakeSequence([&](SequenceNumber sequence, uint64_t segment) {
                                 done = InstallBulkFiles(table, &files, sequence, segment);
                               })
                               .status());
      MARBLE_RETURN_NOT_OK(done.status());
      if (*done) return Status::OK();
    }
    return MakeError(ErrorCode::kBusy, "bulk load of '" + table->info().name() +
                                           "': rows between its keys are written all the time; "
                                           "stop those writes and try again. Nothing was loaded");
  };
  const Status installed = install();
  if (!installed.ok()) {
    files.readers.clear();  // unmapped before they are removed
    RemoveFiles(files.metas);
    return installed;
  }
  return files.info;
}

}  // namespace marble::lsm
