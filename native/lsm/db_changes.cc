// The change feed: reads the log behind the writers, segment by segment, and turns the operations
// on one table into record batches.
//
// When the table was altered, its columns are others from some sequence on (TableState::SchemaAt):
// a batch ends there, and the next one has the new columns.
//
// A subscriber pins the segments that it has not read (wal/log_pins.h). It needs nothing else of
// the database, and may outlive it: then every call is kClosed.
#include <arrow/api.h>

#include <chrono>
#include <set>

#include "lsm/db_impl.h"
#include "lsm/read/row_collector.h"
#include "lsm/wal/log_format.h"
#include "lsm/write/batch_payload.h"

namespace marble::lsm {
namespace {

/// A batch ends with the first commit that reaches this.
constexpr int64_t kBatchRows = 16 * 1024;
constexpr uint64_t kBatchBytes = 8 << 20;
/// A waiter that missed the hint looks again after this.
constexpr std::chrono::milliseconds kLookAgain{5};

/// The table's columns behind `op`; only the key is in every row.
std::shared_ptr<arrow::Schema> ChangeSchema(const TableDescriptor& table) {
  const std::set<int> keys(table.key_columns.begin(), table.key_columns.end());
  arrow::FieldVector fields{arrow::field("op", arrow::utf8(), false)};
  // A column of the table that is called op, too, comes as op0.
  std::string other = "op";
  for (int n = 0; table.schema->GetFieldIndex(other) >= 0; ++n) other = "op" + std::to_string(n);
  for (int c = 0; c < table.schema->num_fields(); ++c) {
    auto field = table.schema->field(c);
    if (field->name() == "op") field = field->WithName(other);
    const bool always = keys.empty() || keys.contains(c);
    fields.push_back(always ? field : field->WithNullable(true));
  }
  return arrow::schema(std::move(fields), table.schema->metadata());
}

class LogChangeFeed final : public ChangeFeed {
 public:
  LogChangeFeed(TableHandle table, std::shared_ptr<ChangeSignal> signal,
                std::shared_ptr<LogPins::Pin> pin, std::shared_ptr<io::FileSystem> files,
                std::string dir, std::string database_id, SequenceNumber behind)
      : table_(std::move(table)),
        info_(table_->SchemaAt(behind + 1)),
        signal_(std::move(signal)),
        pin_(std::move(pin)),
        files_(std::move(files)),
        dir_(std::move(dir)),
        database_id_(std::move(database_id)),
        schema_(ChangeSchema(info_->descriptor)),
        segment_(pin_->segment()),
        delivered_(behind) {}

  const std::shared_ptr<arrow::Schema>& schema() const override { return schema_; }

  void Cancel() override {
    cancelled_.store(true);
    signal_->moved.notify_all();
  }

  Result<std::optional<ChangeBatch>> Next(int64_t timeout_ms) override {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    while (true) {
      MARBLE_RETURN_NOT_OK(failed_);
      if (cancelled_.load()) return MakeError(ErrorCode::kAborted, "the change feed was cancelled");
      if (signal_->closed.load()) return MakeError(ErrorCode::kClosed, "the database is closed");
      // First, so that nothing written before it can be missed below.
      const SequenceNumber bulk = table_->bulk_loaded.load();
      const bool dropped = table_->dropped();
      auto read = Read(signal_->applied_end.load(std::memory_order_acquire), bulk);
      if (!read.ok()) {
        failed_ = read.status();
        return failed_;
      }
      if (*read) return read;
      if (bulk > delivered_) {
        failed_ = TooFarBehind("it was bulk loaded, which is in no log");
        return failed_;
      }
      if (dropped) {
        failed_ =
            MakeError(ErrorCode::kTableNotFound, "table '" + info_->name() + "' has been dropped");
        return failed_;
      }
      const auto now = std::chrono::steady_clock::now();
      if (timeout_ms >= 0 && now >= deadline) return std::optional<ChangeBatch>();
      signal_->waiters.fetch_add(1);
      {
        std::unique_lock lock(signal_->mutex);
        signal_->moved.wait_for(lock, kLookAgain);
      }
      signal_->waiters.fetch_sub(1);
    }
  }

 private:
  Status TooFarBehind(const std::string& why) const {
    return MakeError(ErrorCode::kTooFarBehind,
                     "the changes of table '" + info_->name() + "' behind sequence " +
                         std::to_string(delivered_) + " cannot be read: " + why +
                         "; read the table and follow its changes from there");
  }

  /// What lies before `end`, up to a batch's size; nullopt: nothing for this table. Stops before
  /// the commit that follows `bulk`.
  Result<std::optional<ChangeBatch>> Read(LogPosition end, SequenceNumber bulk) {
    std::optional<RowCollector> rows(info_);
    ops_.clear();
    held_.clear();
    ChangeBatch batch;
    uint64_t bytes = 0;
    while (static_cast<int64_t>(ops_.size()) < kBatchRows && bytes < kBatchBytes) {
      MARBLE_ASSIGN_OR_RETURN(const bool more, Reach(end));
      if (!more) break;
      log_format::RecordHeader header;
      log_format::RecordLayout layout;
      const char* why = "";
      if (!log_format::DecodeRecord(file_->data(), file_->size(), offset_, segment_, seed_, &header,
                                    &layout, &why)) {
        return MakeError(ErrorCode::kCorruption, "log segment " + file_->path() + ", offset " +
                                                     std::to_string(offset_) + ": " + why);
      }
      const auto type = static_cast<RecordType>(header.type);
      if (type == RecordType::kSegmentEnd) {
        offset_ = layout.end;
        ended_ = true;
        continue;
      }
      if (bulk > delivered_ && header.sequence > bulk) break;
      const bool due = type == RecordType::kWriteBatch && header.sequence > delivered_;
      if (due) {
        auto info = table_->SchemaAt(header.sequence);
        if (info != info_) {
          if (!ops_.empty() || !batch.ranges.empty()) break;
          info_ = std::move(info);
          schema_ = ChangeSchema(info_->descriptor);
          rows.emplace(info_);
        }
      }
      offset_ = layout.end;
      if (!due) continue;
      const std::string_view payload(reinterpret_cast<const char*>(file_->data()) + layout.payload,
                                     header.payload_bytes);
      MARBLE_ASSIGN_OR_RETURN(const bool any, AddRecord(payload, &*rows, &batch));
      if (any) bytes += payload.size();
      delivered_ = header.sequence;
    }
    if (ops_.empty() && batch.ranges.empty()) {
      return std::optional<ChangeBatch>();
    }
    batch.last_sequence = delivered_;
    MARBLE_ASSIGN_OR_RETURN(batch.rows, Build(&*rows));
    held_.clear();
    return std::optional<ChangeBatch>(std::move(batch));
  }

  /// To a segment that holds a record before `end`; false: there is none.
  Result<bool> Reach(LogPosition end) {
    while (file_ == nullptr || ended_) {
      if (ended_) {
        // The next segment begins behind this one's end; there is something in it if the end lies
        // behind its header.
        if (base_ + offset_ + log_format::kSegmentHeaderBytes >= end) return false;
        ++segment_;
        // What was read is kept by the mapping as long as rows are gathered from it.
        file_.reset();
        ended_ = false;
      }
      // Look at the pin only after the file is open: then it cannot be dropped any more.
      auto opened = files_->OpenLog(dir_ + "/" + log_format::SegmentName(segment_));
      if (pin_->lost()) return TooFarBehind("the log that is kept for it grew too large");
      MARBLE_RETURN_NOT_OK(opened.status());
      file_ = std::move(*opened);
      std::string why;
      MARBLE_ASSIGN_OR_RETURN(const auto header,
                              log_format::DecodeSegmentHeader(file_->data(), file_->size(), &why));
      if (!header) {
        return MakeError(ErrorCode::kCorruption, "log segment " + file_->path() + ": " + why);
      }
      base_ = header->base;
      offset_ = log_format::kSegmentHeaderBytes;
      seed_ = log_format::CrcSeed(reinterpret_cast<const uint8_t*>(database_id_.data()), segment_);
      pin_->Advance(segment_);
    }
    return base_ + offset_ < end;
  }

  Result<bool> AddRecord(std::string_view payload, RowCollector* rows, ChangeBatch* batch) {
    MARBLE_ASSIGN_OR_RETURN(
        auto reader,
        BatchPayloadReader::Make(reinterpret_cast<const uint8_t*>(payload.data()), payload.size()));
    bool any = false;
    DecodedOp op;
    while (true) {
      MARBLE_ASSIGN_OR_RETURN(const bool more, reader.Next(&op));
      if (!more) return any;
      if (op.table != info_->id()) continue;
      if (!any && (held_.empty() || held_.back() != file_)) held_.push_back(file_);
      any = true;
      switch (WithoutExpiry(op.op)) {
        case BatchOp::kPut:
          rows->AddBytes(op.a, op.b);
          ops_.push_back("+U");
          break;
        case BatchOp::kMerge:
          rows->AddBytes(op.a, op.b);
          ops_.push_back("+M");
          break;
        case BatchOp::kDelete:
          rows->AddTombstone(op.a);
          ops_.push_back("-D");
          break;
        case BatchOp::kDeleteRange:
          batch->ranges.push_back(
              {static_cast<int64_t>(ops_.size()), std::string(op.a), std::string(op.b)});
          break;
        case BatchOp::kInsert: {
          MARBLE_ASSIGN_OR_RETURN(const auto message,
                                  ReadMessage(op.message, info_->descriptor.schema, file_));
          rows->AddRows(message, 0, message->num_rows());
          ops_.insert(ops_.end(), static_cast<size_t>(message->num_rows()),
                      info_->keyed() ? "+U" : "+I");
          break;
        }
        case BatchOp::kDeleteRows: {
          MARBLE_ASSIGN_OR_RETURN(const auto message,
                                  ReadMessage(op.message, info_->key_schema, file_));
          std::string keys;
          std::vector<uint32_t> offsets;
          info_->key_codec->EncodeAll(*message, &keys, &offsets);
          for (size_t i = 0; i + 1 < offsets.size(); ++i) {
            rows->AddTombstone(
                std::string_view(keys).substr(offsets[i], offsets[i + 1] - offsets[i]));
            ops_.push_back("-D");
          }
          break;
        }
        default:
          return MakeError(ErrorCode::kInternal, "an operation of a write batch is not known");
      }
    }
  }

  Result<std::shared_ptr<arrow::RecordBatch>> Build(RowCollector* rows) {
    arrow::StringBuilder ops;
    for (const char* op : ops_) MARBLE_RETURN_NOT_OK(ops.Append(op));
    MARBLE_ASSIGN_OR_RETURN(auto op_column, ops.Finish());
    std::vector<std::shared_ptr<arrow::Array>> columns{op_column};
    MARBLE_ASSIGN_OR_RETURN(const auto batches, rows->Finish());
    // One commit is at most 1 GiB and batches end at 8 MiB: it fits one.
    if (batches.size() > 1) {
      return MakeError(ErrorCode::kTooLarge, "a commit is too large for one batch of changes");
    }
    for (int c = 1; c < schema_->num_fields(); ++c) {
      if (batches.empty()) {
        MARBLE_ASSIGN_OR_RETURN(auto empty, arrow::MakeEmptyArray(schema_->field(c)->type()));
        columns.push_back(std::move(empty));
      } else {
        columns.push_back(batches[0]->column(c - 1));
      }
    }
    return arrow::RecordBatch::Make(schema_, static_cast<int64_t>(ops_.size()), std::move(columns));
  }

  const TableHandle table_;
  std::shared_ptr<const TableInfo> info_;  // of the rows that come next
  const std::shared_ptr<ChangeSignal> signal_;
  const std::shared_ptr<LogPins::Pin> pin_;
  const std::shared_ptr<io::FileSystem> files_;
  const std::string dir_;
  const std::string database_id_;
  std::shared_ptr<arrow::Schema> schema_;

  // Where it reads.
  uint64_t segment_;
  std::shared_ptr<io::LogFile> file_;
  LogPosition base_ = 0;
  uint64_t offset_ = 0;
  uint32_t seed_ = 0;
  bool ended_ = false;  // the segment's end record was read

  SequenceNumber delivered_;  // every commit up to here is dealt with
  std::vector<const char*> ops_;
  std::vector<std::shared_ptr<io::LogFile>> held_;  // that gathered rows point into
  Status failed_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace

Result<std::unique_ptr<ChangeFeed>> DbImpl::Changes(const TableHandle& table,
                                                    SequenceNumber behind) {
  const CallGuard guard(&calls_);
  MARBLE_RETURN_NOT_OK(CheckTable(table));
  if (!table->current()) return SchemaChanged(table->info());
  if (!table->info().descriptor.options.logged) {
    return MakeError(ErrorCode::kNotSupported,
                     "table '" + table->info().name() +
                         "' is not logged: there is nothing that its changes could be read from");
  }
  if (behind > last_sequence()) {
    return MakeError(ErrorCode::kInvalidArgument, "sequence " + std::to_string(behind) +
                                                      " has not been written yet, the last "
                                                      "one is " +
                                                      std::to_string(last_sequence()));
  }
  MARBLE_RETURN_NOT_OK(Begin());  // its first segment will be read
  auto pin = log_pins_->PinBehind(behind);
  if (pin == nullptr) {
    return MakeError(ErrorCode::kTooFarBehind,
                     "the changes of table '" + table->info().name() + "' behind sequence " +
                         std::to_string(behind) +
                         " are no longer in the log, which begins behind " +
                         std::to_string(log_pins_->dropped_sequence()) +
                         "; read the table and follow its changes from there");
  }
  return std::make_unique<LogChangeFeed>(table, changes_, std::move(pin), options_.file_system,
                                         dir_, database_id_, behind);
}

}  // namespace marble::lsm
