#include "stream/connectors/table_source.h"

#include <arrow/api.h>

#include <algorithm>
#include <atomic>
#include <charconv>

#include "base/limits.h"

namespace marble::stream {

namespace {

class TableSource : public Source {
 public:
  TableSource(SourceSpec spec, std::shared_ptr<lsm::DB> db)
      : spec_(std::move(spec)), db_(std::move(db)) {}

  Status Prepare() {
    MARBLE_ASSIGN_OR_RETURN(table_, db_->GetTable(spec_.table));
    const auto& schema = *lsm::DescriptorOf(table_).schema;
    std::vector<std::shared_ptr<arrow::Field>> output;
    for (const auto& column : spec_.columns) {
      const int index = schema.GetFieldIndex(column.name);
      if (column.kind == SourceColumn::Kind::kMetadata || index < 0) {
        return MakeError(ErrorCode::kColumnNotFound,
                         "Table '" + spec_.table + "' has no column '" + column.name + "'");
      }
      if (!schema.field(index)->type()->Equals(*column.field->type())) {
        return MakeError(ErrorCode::kSchema, "Table '" + spec_.table + "': column '" + column.name +
                                                 "' is " + schema.field(index)->type()->ToString() +
                                                 ", the plan reads " +
                                                 column.field->type()->ToString());
      }
      columns_.push_back(index);
      output.push_back(column.field);
    }
    schema_ = arrow::schema(std::move(output));
    return Status::OK();
  }

  Status Open(const Offsets& start) override {
    lsm::ScanOptions options;
    options.read.snapshot = db_->GetSnapshot();
    const auto offset = start.find(0);
    if (offset != start.end()) {
      const auto& text = offset->second;
      if (lsm::CodecOf(table_) == nullptr) {
        std::from_chars(text.data(), text.data() + text.size(), skip_);
        read_ = skip_;
      } else if (text.size() >= 2) {
        for (size_t i = 1; i + 2 < text.size(); i += 2) {
          unsigned byte = 0;
          std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
          options.range.lower.push_back(static_cast<char>(byte));
        }
        offset_ = text;
        // The smallest key behind it.
        if (!options.range.lower.empty()) options.range.lower.push_back('\0');
      }
    }
    MARBLE_ASSIGN_OR_RETURN(iterator_, db_->NewIterator(table_, options));
    return Status::OK();
  }

  Result<std::optional<SourceBatch>> Next(std::chrono::milliseconds) override {
    if (closed_) return MakeError(ErrorCode::kClosed, "The source is closed");
    if (finished_) return std::nullopt;
    if (current_ == nullptr || at_ >= current_->num_rows()) {
      MARBLE_ASSIGN_OR_RETURN(auto scanned, iterator_->Next());
      current_ = scanned.batch;
      at_ = 0;
      if (current_ == nullptr) {
        finished_ = true;
        return std::nullopt;
      }
      const int64_t skipped = std::min(skip_, current_->num_rows());
      skip_ -= skipped;
      at_ = skipped;
      if (at_ >= current_->num_rows()) return std::nullopt;
    }
    const int64_t rows = std::min(limits::kSourceBatchRows, current_->num_rows() - at_);
    const auto slice = current_->Slice(at_, rows);
    at_ += rows;
    read_ += rows;
    const auto& codec = lsm::CodecOf(table_);
    if (codec == nullptr) {
      offset_ = std::to_string(read_);
    } else {
      std::string key;
      codec->Encode(*slice, rows - 1, &key);
      offset_ = "\"";
      for (unsigned char c : key) {
        offset_.push_back("0123456789abcdef"[c >> 4]);
        offset_.push_back("0123456789abcdef"[c & 15]);
      }
      offset_ += "\"";
    }
    std::vector<std::shared_ptr<arrow::Array>> columns;
    for (int column : columns_) columns.push_back(slice->column(column));
    SourceBatch batch;
    batch.rows = arrow::RecordBatch::Make(schema_, rows, std::move(columns));
    batch.next_offset = offset_;
    return std::optional(std::move(batch));
  }

  bool finished() const override { return finished_; }
  std::vector<PartitionStatus> Partitions() const override {
    PartitionStatus status;
    status.finished = finished_;
    status.caught_up = finished_;
    return {status};
  }
  Status Commit(const Offsets&) override { return Status::OK(); }
  void Close() override { closed_ = true; }

 private:
  SourceSpec spec_;
  std::shared_ptr<lsm::DB> db_;
  lsm::TableHandle table_;
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<int> columns_;
  std::unique_ptr<lsm::Iterator> iterator_;
  std::shared_ptr<arrow::RecordBatch> current_;
  int64_t at_ = 0, read_ = 0, skip_ = 0;
  std::string offset_;
  bool finished_ = false;
  std::atomic<bool> closed_{false};
};

}  // namespace

Result<std::unique_ptr<Source>> MakeTableSource(const SourceSpec& spec,
                                                const std::shared_ptr<lsm::DB>& db) {
  auto source = std::make_unique<TableSource>(spec, db);
  MARBLE_RETURN_NOT_OK(source->Prepare());
  return source;
}

}  // namespace marble::stream
