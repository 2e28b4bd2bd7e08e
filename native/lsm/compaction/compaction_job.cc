#include "lsm/compaction/compaction_job.h"

#include <arrow/api.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/hash.h"
#include "lsm/memtable/key_node.h"
#include "lsm/read/sst_rows.h"

namespace marble::lsm {
namespace {

/// Consecutive keys of one input after which a whole stretch is looked for.
constexpr int kStreak = 8;
constexpr int64_t kMaxStretch = 8 * 1024;
constexpr int64_t kMinStretch = 16;
/// Keys between two questions whether to go on.
constexpr int kPollKeys = 1024;
/// Samples of keys for each part that a job is split into, over all inputs.
constexpr uint64_t kSamplesPerPart = 16;

/// A run's rows, file by file; a file is opened when the walk comes to it. Stands where SstRows of
/// one file would.
class RunRows {
 public:
  /// Keys in [lower, upper); empty: open. Both outlive this.
  RunRows(const SstRun& run, std::shared_ptr<const TableInfo> info, std::string_view lower,
          std::string_view upper)
      : run_(run), info_(std::move(info)), lower_(lower), upper_(upper) {}

  Status MoveToFirst() {
    while (next_ < run_.size() && !lower_.empty() && run_[next_]->meta.max_key < lower_) ++next_;
    MARBLE_RETURN_NOT_OK(OpenNext());
    if (rows_ == nullptr || lower_.empty()) return Status::OK();
    MARBLE_ASSIGN_OR_RETURN(const int64_t first, rows_->LowerBound(lower_));
    return MoveTo(first);
  }
  /// A row of the current file; behind its last, the first one of the next file.
  Status MoveTo(int64_t row) {
    if (row < end_) return rows_->MoveTo(row);
    return OpenNext();
  }
  bool valid() const { return rows_ != nullptr; }

  int64_t row() const { return rows_->row(); }
  std::string_view key() const { return rows_->key(); }
  SequenceNumber sequence() const { return rows_->sequence(); }
  RowKind kind() const { return rows_->kind(); }
  int64_t expires() const { return rows_->expires(); }
  const std::shared_ptr<arrow::RecordBatch>& batch() const { return rows_->batch(); }
  int64_t row_in_batch() const { return rows_->row_in_batch(); }
  /// Of the current batch, and within the bounds.
  int64_t batch_end() const { return std::min(rows_->batch_end(), end_); }
  Result<int64_t> LowerBound(std::string_view key) const { return rows_->LowerBound(key); }
  const SstFileRef& file() const { return rows_->file(); }

 private:
  Status OpenNext() {
    rows_ = nullptr;
    while (rows_ == nullptr && next_ < run_.size()) {
      const SstFileRef& file = run_[next_++];
      if (!upper_.empty() && file->meta.min_key >= upper_) break;
      rows_ = std::make_unique<SstRows>(file, info_);
      end_ = rows_->total();
      if (!upper_.empty() && file->meta.max_key >= upper_) {
        MARBLE_ASSIGN_OR_RETURN(end_, rows_->LowerBound(upper_));
      }
      if (end_ == 0) {
        rows_ = nullptr;
        continue;
      }
      MARBLE_RETURN_NOT_OK(rows_->MoveTo(0));
    }
    return Status::OK();
  }

  const SstRun& run_;
  const std::shared_ptr<const TableInfo> info_;
  const std::string_view lower_;
  const std::string_view upper_;
  size_t next_ = 0;
  std::unique_ptr<SstRows> rows_;  // null: at the end
  int64_t end_ = 0;                // rows of the current file within the bounds
};

/// All rows of one sorted input, newest version first among equal keys.
struct Input {
  /// `look`: every row has to be looked at, because it may expire or be filtered.
  Input(const SstRun& run, const std::shared_ptr<const TableInfo>& info, std::string_view lower,
        std::string_view upper, bool look)
      : rows(run, info, lower, upper), look(look) {}
  Status MoveToFirst() {
    MARBLE_RETURN_NOT_OK(rows.MoveToFirst());
    return Arrive();
  }
  Status MoveTo(int64_t row) {
    MARBLE_RETURN_NOT_OK(rows.MoveTo(row));
    return Arrive();
  }
  Status Next() { return MoveTo(rows.row() + 1); }
  Status Arrive() {
    valid = rows.valid();
    if (!valid) return Status::OK();
    prefix = KeyPrefix(rows.key());
    plain = !look && rows.file()->meta.clean;
    return Status::OK();
  }

  RunRows rows;
  const bool look;
  bool plain = false;  // the current file has one version per key and no tombstone
  bool valid = false;
  uint64_t prefix = 0;
};

int Compare(const Input& a, const Input& b) {
  if (a.prefix != b.prefix) return a.prefix < b.prefix ? -1 : 1;
  return a.rows.key().compare(b.rows.key());
}

/// Whether some older file may hold a key; keys are asked for in order, so that a position in each
/// run is all that is needed.
class OlderKeys {
 public:
  explicit OlderKeys(const std::vector<SstRun>& runs) {
    for (const SstRun& run : runs) runs_.push_back({&run, 0});
  }
  bool MayContain(std::string_view key) {
    std::optional<uint64_t> hash;
    for (auto& [run, at] : runs_) {
      while (at < run->size() && (*run)[at]->meta.max_key < key) ++at;
      if (at == run->size() || (*run)[at]->meta.min_key > key) continue;
      if (!hash) hash = HashKey(key);
      if ((*run)[at]->reader->MayContain(key, *hash)) return true;
    }
    return false;
  }

 private:
  struct Position {
    const SstRun* run;
    size_t at;
  };
  std::vector<Position> runs_;
};

/// Where files have to be cut, or should be: the table's cut points, and the beginnings of files in
/// the level below.
class CutPlan {
 public:
  CutPlan(const CompactionJob& job, RunBuilder* out)
      : points_(job.info->descriptor.options.cut_points),
        grandparents_(job.grandparents),
        file_bytes_(job.file_bytes),
        max_overlap_(job.max_grandparent_bytes),
        out_(out) {
    Advance();
  }

  /// Nothing is to be decided for keys below this; empty: for none.
  std::string_view next() const { return next_; }
  /// Before the first row of `key` is added.
  void Before(std::string_view key) {
    if (next_.empty() || key < next_) return;
    bool cut = false, crossed = false;
    for (; point_ < points_.size() && points_[point_] <= key; ++point_) cut = true;
    if (out_->num_files() != files_) {  // cut by size meanwhile
      files_ = out_->num_files();
      overlap_ = last_;
    }
    for (; grandparent_ < grandparents_.size() && grandparents_[grandparent_]->meta.min_key <= key;
         ++grandparent_) {
      overlap_ += last_ = grandparents_[grandparent_]->bytes();
      crossed = true;
    }
    // A file that is half full ends best where one of the level below does.
    if (crossed && (overlap_ > max_overlap_ || out_->file_bytes() * 2 >= file_bytes_)) cut = true;
    Advance();
    const bool empty = out_->file_bytes() == 0;
    if (cut || empty) overlap_ = last_;
    if (!cut || empty) return;
    out_->Cut();
    files_ = out_->num_files();
  }

 private:
  void Advance() {
    next_ = {};
    if (point_ < points_.size()) next_ = points_[point_];
    if (grandparent_ < grandparents_.size()) {
      const std::string_view begin = grandparents_[grandparent_]->meta.min_key;
      if (next_.empty() || begin < next_) next_ = begin;
    }
  }

  const std::vector<std::string>& points_;
  const SstRun& grandparents_;
  const uint64_t file_bytes_;
  const uint64_t max_overlap_;
  RunBuilder* const out_;
  size_t point_ = 0;
  size_t grandparent_ = 0;
  uint64_t overlap_ = 0;  // of the level below, by the current file
  uint64_t last_ = 0;     // of which the last file
  size_t files_ = 0;
  std::string_view next_;
};

/// Whether rows of clean files have to be looked at one by one.
bool MustLook(const CompactionJob& job) {
  return job.info->expires() || job.rules.filter != nullptr;
}

class Merge : public RowProducer {
 public:
  Merge(const CompactionJob& job, std::string_view lower, std::string_view upper, RunBuilder* out)
      : poll_(job.poll),
        folder_(job.info.get(), &job.rules, out),
        older_(job.older),
        out_(out),
        cuts_(job, out),
        max_stretch_(MaxStretch(job)) {
    for (const SstRun& run : job.runs) {
      inputs_.push_back(std::make_unique<Input>(run, job.info, lower, upper, MustLook(job)));
    }
  }

  Result<bool> Step(RunBuilder*) override {
    if (keys_++ % kPollKeys == 0) {
      MARBLE_RETURN_NOT_OK(poll_());
      if (keys_ == 1) {
        for (auto& input : inputs_) MARBLE_RETURN_NOT_OK(input->MoveToFirst());
      }
    }
    Input* winner = nullptr;
    Input* second = nullptr;
    size_t winner_index = 0;
    bool tie = false;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      Input* input = inputs_[i].get();
      if (!input->valid) continue;
      const int order = winner == nullptr ? -1 : Compare(*input, *winner);
      if (order < 0) {
        second = winner;
        winner = input;
        winner_index = i;
        tie = false;
      } else if (order == 0) {
        tie = true;
      } else if (second == nullptr || Compare(*input, *second) < 0) {
        second = input;
      }
    }
    if (winner == nullptr) return false;
    cuts_.Before(winner->rows.key());
    streak_ = winner_index == last_ && !tie ? streak_ + 1 : 0;
    last_ = winner_index;
    if (!tie && winner->plain && (second == nullptr || streak_ > kStreak)) {
      MARBLE_ASSIGN_OR_RETURN(const bool short_one, TakeStretch(winner, second));
      if (short_one) streak_ = 0;
    } else {
      MARBLE_RETURN_NOT_OK(TakeKey(winner_index));
    }
    return true;
  }

 private:
  /// So many rows at once that a file's size is still kept.
  static int64_t MaxStretch(const CompactionJob& job) {
    uint64_t bytes = 0, rows = 1;
    for (const SstRun& run : job.runs) {
      for (const auto& file : run) {
        bytes += file->meta.uncompressed_bytes();
        rows += file->meta.rows;
      }
    }
    const uint64_t row_bytes = std::max<uint64_t>(1, bytes / rows);
    const uint64_t fit = std::min<uint64_t>(job.file_bytes / 8 / row_bytes, kMaxStretch);
    return std::max(kMinStretch, static_cast<int64_t>(fit));
  }

  /// Rows of `input` that come before any other's, within its batch. True: there were few.
  Result<bool> TakeStretch(Input* input, const Input* other) {
    RunRows& rows = input->rows;
    int64_t stop = std::min(rows.batch_end(), rows.row() + max_stretch_);
    std::string_view bound = cuts_.next();
    if (other != nullptr && (bound.empty() || other->rows.key() < bound)) {
      bound = other->rows.key();
    }
    if (!bound.empty()) {
      MARBLE_ASSIGN_OR_RETURN(const int64_t first, rows.LowerBound(bound));
      stop = std::min(stop, first);
    }
    const int64_t count = stop - rows.row();
    if (rows.file()->reader->seq_column() < 0) {
      MARBLE_RETURN_NOT_OK(
          out_->AddRows(rows.batch(), rows.row_in_batch(), count, rows.file()->flat_sequence));
    } else {
      const auto& sequences = static_cast<const arrow::UInt64Array&>(
          *rows.batch()->column(rows.file()->reader->seq_column()));
      for (int64_t i = 0; i < count; ++i) {
        MARBLE_RETURN_NOT_OK(out_->AddRows(rows.batch(), rows.row_in_batch() + i, 1,
                                           sequences.Value(rows.row_in_batch() + i)));
      }
    }
    MARBLE_RETURN_NOT_OK(input->MoveTo(stop));
    out_->EndOfKey();
    return count < kStreak;
  }

  /// All versions of the least key, from the newest input on.
  Status TakeKey(size_t first) {
    key_.assign(inputs_[first]->rows.key());
    const uint64_t prefix = inputs_[first]->prefix;
    for (size_t i = first; i < inputs_.size(); ++i) {
      Input& input = *inputs_[i];
      while (input.valid && input.prefix == prefix && input.rows.key() == key_) {
        const RowKind kind = input.rows.kind();
        folder_.Add({input.rows.sequence(),
                     kind,
                     input.rows.expires(),
                     kind == RowKind::kDelete ? nullptr : input.rows.batch(),
                     input.rows.row_in_batch(),
                     {}});
        MARBLE_RETURN_NOT_OK(input.Next());
      }
    }
    return folder_.FinishKey(key_, [this] { return !older_.MayContain(key_); });
  }

  std::vector<std::unique_ptr<Input>> inputs_;  // newest first
  const std::function<Status()>& poll_;
  VersionFolder folder_;
  OlderKeys older_;
  RunBuilder* const out_;
  CutPlan cuts_;
  const int64_t max_stretch_;
  uint64_t keys_ = 0;
  size_t last_ = SIZE_MAX;  // the input of the last key
  int streak_ = 0;
  std::string key_;
};

/// Tables without a key: the rows of all inputs, oldest file first, batch by batch.
class Concatenation : public RowProducer {
 public:
  explicit Concatenation(const CompactionJob& job) : job_(job) {
    for (auto run = job.runs.rbegin(); run != job.runs.rend(); ++run) {
      files_.insert(files_.end(), run->begin(), run->end());
    }
  }

  Result<bool> Step(RunBuilder* out) override {
    while (file_ < files_.size() && batch_ == files_[file_]->reader->num_batches()) {
      ++file_;
      batch_ = 0;
    }
    if (file_ == files_.size()) return false;
    MARBLE_RETURN_NOT_OK(job_.poll());
    const SstReader& reader = *files_[file_]->reader;
    MARBLE_ASSIGN_OR_RETURN(const auto batch,
                            files_[file_]->ReadBatch(batch_++, nullptr, /*once=*/true));
    const uint64_t* sequences =
        reader.seq_column() < 0 ? nullptr
                                : batch->column_data(reader.seq_column())->GetValues<uint64_t>(1);
    const int64_t* expires =
        reader.expires_column() < 0
            ? nullptr
            : batch->column_data(reader.expires_column())->GetValues<int64_t>(1);
    const SequenceNumber flat = files_[file_]->flat_sequence;
    const auto sequence_of = [&](int64_t row) {
      return sequences == nullptr ? flat : sequences[row];
    };
    const auto expires_of = [&](int64_t row) { return expires == nullptr ? 0 : expires[row]; };
    for (int64_t row = 0, end; row < batch->num_rows(); row = end) {
      end = row + 1;
      if (expires_of(row) != 0) {
        if (expires_of(row) <= job_.rules.expired_ms) continue;
        MARBLE_RETURN_NOT_OK(
            out->AddRow(batch, row, sequence_of(row), RowKind::kPut, expires_of(row)));
        continue;
      }
      while (end < batch->num_rows() && sequence_of(end) == sequence_of(row) &&
             expires_of(end) == 0) {
        ++end;
      }
      MARBLE_RETURN_NOT_OK(out->AddRows(batch, row, end - row, sequence_of(row)));
    }
    out->EndOfKey();
    return true;
  }

 private:
  const CompactionJob& job_;
  std::vector<SstFileRef> files_;
  size_t file_ = 0;
  int64_t batch_ = 0;
};

/// Keys that split the inputs into up to `parts` pieces of about one size, by samples of their
/// keys.
Result<std::vector<std::string>> SplitKeys(const CompactionJob& job, uint64_t bytes, int parts) {
  struct Sample {
    std::string key;
    uint64_t bytes;
  };
  std::vector<Sample> samples;
  const uint64_t step = std::max<uint64_t>(1, bytes / (kSamplesPerPart * parts));
  for (const SstRun& run : job.runs) {
    for (const auto& file : run) {
      const int64_t rows = file->reader->num_rows();
      const auto count = static_cast<int64_t>(std::clamp<uint64_t>(file->bytes() / step, 1, rows));
      std::string scratch;
      for (int64_t i = 0; i < count; ++i) {
        MARBLE_ASSIGN_OR_RETURN(const std::string_view key,
                                file->reader->KeyAt(rows / count * i, &scratch));
        samples.push_back({std::string(key), file->bytes() / static_cast<uint64_t>(count)});
      }
    }
  }
  std::sort(samples.begin(), samples.end(),
            [](const Sample& a, const Sample& b) { return a.key < b.key; });
  std::vector<std::string> keys;
  uint64_t before = 0;
  for (const Sample& sample : samples) {
    const uint64_t wanted = bytes / static_cast<uint64_t>(parts) * (keys.size() + 1);
    if (before >= wanted && keys.size() + 1 < static_cast<size_t>(parts) &&
        sample.key > samples.front().key && (keys.empty() || sample.key > keys.back())) {
      keys.push_back(sample.key);
    }
    before += sample.bytes;
  }
  return keys;
}

/// Files of parts that were finished before the job failed.
class Outputs {
 public:
  Outputs(const CompactionJob& job, size_t parts)
      : file_system_(job.file_system), dir_(job.dir), files_(parts) {}
  ~Outputs() {
    for (const auto& part : files_) {
      for (const FileMeta& file : part) {
        // What fails here is an orphan that the next open removes.
        (void)file_system_->Remove(dir_ + "/" + SstArrowName(file.number));
        (void)file_system_->Remove(dir_ + "/" + SstIdxName(file.number));
      }
    }
  }
  std::vector<FileMeta>& part(size_t i) { return files_[i]; }
  std::vector<FileMeta> Release() {
    std::vector<FileMeta> all;
    for (auto& part : files_) {
      all.insert(all.end(), std::make_move_iterator(part.begin()),
                 std::make_move_iterator(part.end()));
    }
    files_.clear();
    return all;
  }

 private:
  const std::shared_ptr<io::FileSystem> file_system_;
  const std::string dir_;
  std::vector<std::vector<FileMeta>> files_;
};

}  // namespace

Result<std::vector<FileMeta>> RunCompactionJob(const CompactionJob& job,
                                               task::TaskScheduler* scheduler) {
  RunPipelineOptions options;
  options.priority = task::Priority::kCompaction;
  options.max_file_bytes = std::min(job.file_bytes, limits::kMaxSstBytes);
  options.wrote = job.wrote;
  options.budget = job.budget;
  RunWriterOptions& files = options.writer;
  files.file_system = job.file_system;
  files.dir = job.dir;
  files.level = job.output_level;
  files.next_number = job.next_number;
  if (job.budget != nullptr)
    files.max_batch_bytes = static_cast<int64_t>(job.budget->chunk_bytes());
  files.min_sequence = kMaxSequence;
  uint64_t bytes = 0;
  bool tombstones = false;
  for (const SstRun& run : job.runs) {
    for (const auto& file : run) {
      files.min_sequence = std::min(files.min_sequence, file->meta.min_sequence);
      files.max_sequence = std::max(files.max_sequence, file->meta.max_sequence);
      tombstones = tombstones || file->meta.tombstones > 0;
      bytes += file->bytes();
    }
  }
  // Sequences while some snapshot may not see every row; kinds while some tombstone may survive.
  const auto& snapshots = job.rules.snapshots;
  files.hidden.seq =
      NeedsSequences(*job.info) || (!snapshots.empty() && snapshots.front() < files.max_sequence);
  const bool not_only_puts = job.info->keyed() && (tombstones || MustLook(job));
  files.hidden.kind = not_only_puts && (files.hidden.seq || !job.older.empty());
  files.hidden.expires = job.info->expires();

  if (!job.info->keyed()) {
    RunPipeline run(scheduler, job.info, options,
                    [&job](RunBuilder*) { return std::make_unique<Concatenation>(job); });
    MARBLE_RETURN_NOT_OK(run.Start());
    return run.Finish();
  }
  std::vector<std::string> keys;
  // A part of less than a file or two is not worth its thread.
  const uint64_t most_parts = bytes / (2 * std::max<uint64_t>(1, job.file_bytes));
  const int parts = static_cast<int>(std::min<uint64_t>(most_parts, job.max_parts));
  if (parts > 1) {
    MARBLE_ASSIGN_OR_RETURN(keys, SplitKeys(job, bytes, parts));
  }
  std::mutex mutex;
  Status first_error;  // not that of a part which ended because of it
  std::atomic<bool> failed{false};
  const auto check = [&](const Status& status) {
    if (status.ok()) return status;
    std::lock_guard lock(mutex);
    if (first_error.ok()) first_error = status;
    failed.store(true, std::memory_order_relaxed);
    return status;
  };
  const auto others_failed = [&] {
    if (!failed.load(std::memory_order_relaxed)) return Status::OK();
    return MakeError(ErrorCode::kAborted, "another part of the compaction failed");
  };
  CompactionJob part = job;
  part.poll = [&]() -> Status {
    MARBLE_RETURN_NOT_OK(others_failed());
    return check(job.poll());
  };
  options.wrote = [&](uint64_t written) -> Status {
    MARBLE_RETURN_NOT_OK(others_failed());
    return check(job.wrote(written));
  };
  Outputs outputs(job, keys.size() + 1);
  std::vector<std::unique_ptr<RunPipeline>> runs;
  for (size_t i = 0; i <= keys.size(); ++i) {
    const std::string_view lower = i == 0 ? std::string_view() : keys[i - 1];
    const std::string_view upper = i == keys.size() ? std::string_view() : keys[i];
    runs.push_back(std::make_unique<RunPipeline>(
        scheduler, job.info, options,
        [&](RunBuilder* out) { return std::make_unique<Merge>(part, lower, upper, out); }));
  }
  for (auto& run : runs) (void)check(run->Start());
  for (size_t i = 0; i < runs.size(); ++i) {
    Result<std::vector<FileMeta>> written = runs[i]->Finish();
    if (check(written.status()).ok()) outputs.part(i) = *std::move(written);
  }
  if (failed.load()) return first_error;
  return outputs.Release();
}

}  // namespace marble::lsm
