#include "lsm/read/scan_iterator.h"

#include <arrow/api.h>

#include <algorithm>
#include <deque>
#include <string>
#include <utility>

#include "lsm/read/merged_runs.h"
#include "lsm/read/row_collector.h"

namespace marble::lsm {
namespace {

/// Rows from which a stretch of a file is worth a batch of its own among gathered ones.
constexpr int64_t kSliceRows = 1024;
/// Consecutive rows of one run after which a stretch is looked for (a binary search).
constexpr int kStreak = 8;
/// Rows read at once of a run at first.
constexpr size_t kFirstRows = 16;
/// Rows of one run after which a scan backwards asks its filter again.
constexpr int kAskRows = 64;
/// Bytes of a gathered batch: what a core's cache holds, so that rows are copied while their keys
/// are in it, and into memory that was used just before.
constexpr int64_t kGatherBytes = 512 << 10;

/// What both kinds of scan share: limit, counters, the collector of gathered rows.
class ScanBase : public Iterator {
 public:
  ScanBase(TableHandle table, SuperVersionRef version, const ReadView& view,
           const ScanOptions& options, std::shared_ptr<DbCounters> counters)
      : table_(std::move(table)),
        info_(table_->info()),
        version_(std::move(version)),
        view_(view),
        options_(options),
        batch_rows_(options.batch_rows > 0 ? options.batch_rows : limits::kTableBatchRows),
        left_(options.limit < 0 ? INT64_MAX : options.limit),
        counters_(std::move(counters)),
        schema_(SchemaOf(info_, options_.columns)),
        collector_(table_->info_ref(), options_.columns) {}

 protected:
  /// A slice of a file's batch, unmerged.
  ScanBatch FileSlice(const SstFile& file, const arrow::RecordBatch& batch, int64_t index,
                      int64_t start, int64_t count) {
    ScanBatch out;
    out.batch = SliceOfTable(schema_, options_.columns, batch, start, count);
    out.sst = file.reader;
    out.sst_batch = index;
    out.first_row = start;
    left_ -= count;
    DbCounters::Add(counters_->clean_batches);
    return out;
  }
  /// Leave out what the filter knows without reading of rows [row, end) of a file that nothing
  /// else has a say in; the row to go on at.
  int64_t LeaveOutFrom(const SstReader& reader, int64_t row, int64_t end) {
    while (row < end) {
      const RowLocation at = reader.Locate(row);
      const int64_t stop = std::min(end, row - at.row + reader.layout(at.batch).rows);
      if (!options_.stretches->LeaveOut(reader, at.batch, at.row, stop - row)) break;
      row = stop;
    }
    return row;
  }
  /// The same of rows [first, row], backwards.
  int64_t LeaveOutBackFrom(const SstReader& reader, int64_t row, int64_t first) {
    while (row >= first) {
      const RowLocation at = reader.Locate(row);
      const int64_t from = std::max(first, row - at.row);
      if (!options_.stretches->LeaveOut(reader, at.batch, from - (row - at.row), row + 1 - from)) {
        break;
      }
      row = from - 1;
    }
    return row;
  }
  bool CollectorFull() const {
    return collector_.rows() >= batch_rows_ || collector_.bytes() >= kGatherBytes;
  }
  /// What was gathered; a null batch when there is nothing.
  Result<ScanBatch> Gathered() {
    if (ready_.empty() && !collector_.empty()) {
      MARBLE_ASSIGN_OR_RETURN(ready_, collector_.Finish());
      std::reverse(ready_.begin(), ready_.end());
    }
    ScanBatch out;
    if (ready_.empty()) return out;
    out.batch = std::move(ready_.back());
    ready_.pop_back();
    DbCounters::Add(counters_->merged_batches);
    return out;
  }

  const TableHandle table_;
  const TableInfo& info_;
  const SuperVersionRef version_;
  const ReadView view_;
  const ScanOptions options_;  // its snapshot stays registered
  const int64_t batch_rows_;
  int64_t left_;
  const std::shared_ptr<DbCounters> counters_;
  const std::shared_ptr<arrow::Schema> schema_;  // of the batches
  RowCollector collector_;
  std::vector<std::shared_ptr<arrow::RecordBatch>> ready_;  // reversed
};

class KeyedScan : public ScanBase {
 public:
  KeyedScan(TableHandle table, SuperVersionRef version, const ReadView& view,
            const ScanOptions& options, std::shared_ptr<DbCounters> counters)
      : ScanBase(std::move(table), std::move(version), view, options, std::move(counters)),
        runs_(table_->info_ref(), *version_, view_, options_.range, options_.columns, kFirstRows) {
    DbCounters::Add(counters_->files_out_of_range, runs_.files_out_of_range());
  }

  Result<ScanBatch> Next() override {
    if (!ready_.empty()) return Gathered();
    merged_.clear();
    if (!started_) {
      started_ = true;
      MARBLE_RETURN_NOT_OK(options_.reverse ? runs_.SeekLT(options_.range.upper)
                                            : runs_.SeekGE(options_.range.lower));
      MARBLE_RETURN_NOT_OK(
          CountOutOfRange(/*behind=*/options_.reverse, options_.range.upper, options_.range.lower));
    }
    while (runs_.valid() && left_ > 0 && !CollectorFull()) {
      if (BehindRange(runs_.row().key())) {
        MARBLE_RETURN_NOT_OK(Finish());
        break;
      }
      ScanBatch slice;
      MARBLE_ASSIGN_OR_RETURN(const Stretch stretch,
                              options_.reverse ? LeaveOutBack() : TakeStretch(&slice));
      if (stretch == Stretch::kSlice) return slice;
      if (stretch == Stretch::kBehindGathered) break;
      if (stretch == Stretch::kTaken) continue;
      MARBLE_RETURN_NOT_OK(CollectRow());
      MARBLE_RETURN_NOT_OK(runs_.Next());
    }
    return Gathered();
  }

 private:
  /// What became of the rows that the merge has come to, as a stretch of one file.
  enum class Stretch {
    kNone,            // nothing: it is for the next row alone
    kTaken,           // gathered, or left out
    kSlice,           // a slice
    kBehindGathered,  // a slice it will be, once what was gathered before it is handed out
  };

  bool BehindRange(std::string_view key) const {
    const ScanRange& range = options_.range;
    return options_.reverse ? key < range.lower : !range.upper.empty() && key >= range.upper;
  }

  /// Count the batches before (or behind) those that the runs have come to: the scan goes the
  /// other way, and the bound kept it from reading them.
  Status CountOutOfRange(bool behind, const std::string& upper, const std::string& lower) {
    if ((behind ? upper : lower).empty()) return Status::OK();
    for (size_t i = 0; i < runs_.size(); ++i) {
      if (!runs_.has_rows(i)) continue;
      MARBLE_ASSIGN_OR_RETURN(const SstRows* rows, runs_.PlainRows(i));
      if (rows == nullptr) continue;
      const int64_t batches = rows->file()->reader->num_batches();
      DbCounters::Add(counters_->batches_out_of_range,
                      behind ? batches - 1 - rows->batch_index() : rows->batch_index());
    }
    return Status::OK();
  }
  /// The scan has come to its other bound.
  Status Finish() {
    if (finished_) return Status::OK();
    finished_ = true;
    return CountOutOfRange(/*behind=*/!options_.reverse, options_.range.upper,
                           options_.range.lower);
  }

  /// The next row, if it lives.
  Status CollectRow() {
    if (runs_.dead()) return Status::OK();
    const RunRow& row = runs_.row();
    if (row.merge) return CollectMerged();
    if (row.batch == nullptr) {
      collector_.AddBytes(row.key(), row.Value());
    } else {
      collector_.AddRows(*row.batch, row.size_or_row, 1);
    }
    --left_;
    return Status::OK();
  }
  Status CollectMerged() {
    std::string value;
    MARBLE_ASSIGN_OR_RETURN(const bool found, runs_.MergedValue(&value));
    if (!found) return Status::OK();
    merged_.push_back({std::string(runs_.row().key()), std::move(value)});
    collector_.AddBytes(merged_.back().first, merged_.back().second);
    --left_;
    return Status::OK();
  }

  /// Rows of one file up to the next key of any other run, at once.
  Result<Stretch> TakeStretch(ScanBatch* slice) {
    const size_t run = runs_.run();
    if (run != last_run_ || runs_.tied()) {
      last_run_ = run;
      streak_ = 0;
    }
    if (runs_.tied() || runs_.has_tombstones()) return Stretch::kNone;
    if (!runs_.alone() && ++streak_ <= kStreak) return Stretch::kNone;
    MARBLE_ASSIGN_OR_RETURN(SstRows* const rows, runs_.PlainRows(run));
    if (rows == nullptr) return Stretch::kNone;
    std::string_view bound = options_.range.upper;
    const RunRow* const second = runs_.Second();
    if (second != nullptr && (bound.empty() || second->key() < bound)) bound = second->key();
    int64_t alone = rows->total();  // up to here no other run has a key
    if (!bound.empty()) {
      MARBLE_ASSIGN_OR_RETURN(alone, rows->LowerBound(bound));
    }
    if (options_.stretches != nullptr) {
      const int64_t next = LeaveOutFrom(*rows->file()->reader, rows->row(), alone);
      if (next > rows->row()) return SkipTo(run, next);
    }
    const int64_t stop = std::min(rows->batch_end(), alone);
    const int64_t count = std::min(stop - rows->row(), left_);
    const bool last = stop == rows->batch_end() || second == nullptr;
    if (count >= kSliceRows || (collector_.empty() && last)) {
      if (!collector_.empty()) return Stretch::kBehindGathered;
      *slice = FileSlice(*rows->file(), *rows->batch(), rows->batch_index(), rows->row_in_batch(),
                         count);
      MARBLE_RETURN_NOT_OK(runs_.SkipTo(run, rows->row() + count));
      return Stretch::kSlice;
    }
    collector_.AddRows(rows->batch(), rows->row_in_batch(), count);
    left_ -= count;
    if (count < kStreak) streak_ = 0;
    return SkipTo(run, rows->row() + count);
  }
  Result<Stretch> SkipTo(size_t run, int64_t row) {
    MARBLE_RETURN_NOT_OK(runs_.SkipTo(run, row));
    return Stretch::kTaken;
  }

  /// Backwards, the file of the next row may be alone down to the next key of another run: leave
  /// out there what the filter knows. Not at every row, because it costs a binary search.
  Result<Stretch> LeaveOutBack() {
    if (options_.stretches == nullptr || runs_.tied() || runs_.has_tombstones()) {
      return Stretch::kNone;
    }
    const size_t run = runs_.run();
    if (run == last_run_ && ++streak_ < kAskRows) return Stretch::kNone;
    last_run_ = run;
    streak_ = 0;
    MARBLE_ASSIGN_OR_RETURN(SstRows* const rows, runs_.PlainRows(run));
    if (rows == nullptr) return Stretch::kNone;
    std::string behind(options_.range.lower);  // the first key at which it is alone
    if (const RunRow* const second = runs_.Second();
        second != nullptr && second->key() >= std::string_view(behind)) {
      behind.assign(second->key());
      behind.push_back('\0');
    }
    int64_t first = 0;
    if (!behind.empty()) {
      MARBLE_ASSIGN_OR_RETURN(first, rows->LowerBound(behind));
    }
    const int64_t next = LeaveOutBackFrom(*rows->file()->reader, rows->row(), first);
    if (next == rows->row()) return Stretch::kNone;
    return SkipTo(run, next);
  }

  MergedRuns runs_;
  bool finished_ = false;
  std::deque<std::pair<std::string, std::string>> merged_;  // what the collector points to
  bool started_ = false;
  // The run of the row before, and how many in a row were from it.
  size_t last_run_ = SIZE_MAX;
  int streak_ = 0;
};

/// Tables without a key.
class AppendOrderScan : public ScanBase {
 public:
  using ScanBase::ScanBase;

  Status Open() {
    const auto& files = version_->files->level0;  // newest first; there are no others
    for (auto it = files.rbegin(); it != files.rend(); ++it) {
      for (int64_t b = 0; b < (*it)->reader->num_batches(); ++b) {
        pieces_.push_back({*it, b, nullptr});
      }
    }
    for (auto it = version_->memtables.rbegin(); it != version_->memtables.rend(); ++it) {
      for (const AppendedBatch* batch = (*it)->first_batch();
           batch != nullptr && batch->sequence <= view_.sequence;
           batch = batch->next.load(std::memory_order_acquire)) {
        if (!view_.Expired(batch->expires)) pieces_.push_back({nullptr, -1, batch});
      }
    }
    if (options_.reverse) std::reverse(pieces_.begin(), pieces_.end());
    return Status::OK();
  }

  Result<ScanBatch> Next() override {
    if (!ready_.empty()) return Gathered();
    while (left_ > 0 && next_ < pieces_.size() && !CollectorFull()) {
      const Piece& piece = pieces_[next_];
      if (options_.stretches != nullptr && piece.file != nullptr && row_ == 0 && AllCount(piece)) {
        const SstReader& reader = *piece.file->reader;
        MARBLE_RETURN_NOT_OK(reader.Load());
        if (options_.stretches->LeaveOut(reader, piece.index, 0, reader.layout(piece.index).rows)) {
          ++next_;
          continue;
        }
      }
      std::shared_ptr<arrow::RecordBatch> batch;
      int64_t count;
      if (piece.file == nullptr) {
        batch = piece.appended->batch;
        count = batch->num_rows();
      } else {
        MARBLE_ASSIGN_OR_RETURN(batch, piece.file->ReadBatch(piece.index, options_.columns.get(),
                                                             /*once=*/true));
        count = VisibleRows(*piece.file, *batch);
      }
      if (options_.reverse) {
        for (int64_t row = count; row-- > 0 && left_ > 0;) {
          if (Expired(piece, *batch, row)) continue;
          collector_.AddRows(batch, row, 1);
          --left_;
        }
        ++next_;
        continue;
      }
      // The next rows of the piece that live: usually all of them.
      int64_t start = row_;
      while (start < count && Expired(piece, *batch, start)) ++start;
      int64_t end = MayExpire(piece) ? start : count;
      while (end < count && end - start < left_ && !Expired(piece, *batch, end)) ++end;
      if (end - start > left_) end = start + left_;
      if (start == end) {
        ++next_;
        row_ = 0;
        continue;
      }
      const bool whole = piece.file != nullptr || end - start >= kSliceRows;
      if (whole && !collector_.empty()) return Gathered();
      row_ = end;
      if (!whole) {
        collector_.AddRows(batch, start, end - start);
        left_ -= end - start;
        continue;
      }
      if (piece.file != nullptr) {
        return FileSlice(*piece.file, *batch, piece.index, start, end - start);
      }
      left_ -= end - start;
      DbCounters::Add(counters_->merged_batches);
      ScanBatch out;
      out.batch = SliceOfTable(schema_, options_.columns, *batch, start, end - start);
      return out;
    }
    return Gathered();
  }

 private:
  struct Piece {
    SstFileRef file;
    int64_t index;
    const AppendedBatch* appended;
  };

  /// Rows are in the order of their sequences: the visible ones come first.
  int64_t VisibleRows(const SstFile& file, const arrow::RecordBatch& batch) const {
    const int column = file.reader->seq_column();
    if (column < 0 || file.meta.max_sequence <= view_.sequence) return batch.num_rows();
    const auto& sequences = static_cast<const arrow::UInt64Array&>(*batch.column(column));
    const uint64_t* begin = sequences.raw_values();
    return std::upper_bound(begin, begin + sequences.length(), view_.sequence) - begin;
  }
  /// Every row of a file's piece is visible and alive.
  bool AllCount(const Piece& piece) const {
    return !MayExpire(piece) && (piece.file->reader->seq_column() < 0 ||
                                 piece.file->meta.max_sequence <= view_.sequence);
  }
  /// Some rows of a piece have expired and others may not have. Batches in memory expire whole.
  bool MayExpire(const Piece& piece) const {
    return piece.file != nullptr && view_.Expired(piece.file->reader->min_expires());
  }
  bool Expired(const Piece& piece, const arrow::RecordBatch& batch, int64_t row) const {
    if (!MayExpire(piece)) return false;
    const auto* expires =
        batch.column_data(piece.file->reader->expires_column())->GetValues<int64_t>(1);
    return view_.Expired(expires[row]);
  }

  std::vector<Piece> pieces_;
  size_t next_ = 0;  // piece
  int64_t row_ = 0;  // of it
};

}  // namespace

Result<std::unique_ptr<Iterator>> NewScanIterator(const TableHandle& table, SuperVersionRef version,
                                                  const ReadView& view, const ScanOptions& options,
                                                  std::shared_ptr<DbCounters> counters) {
  if (table->info().keyed()) {
    return std::make_unique<KeyedScan>(table, std::move(version), view, options,
                                       std::move(counters));
  }
  if (!options.range.lower.empty() || !options.range.upper.empty()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "table '" + table->info().name() +
                         "' has no primary key: a scan of it cannot have key bounds");
  }
  auto scan = std::make_unique<AppendOrderScan>(table, std::move(version), view, options,
                                                std::move(counters));
  MARBLE_RETURN_NOT_OK(scan->Open());
  return scan;
}

}  // namespace marble::lsm
