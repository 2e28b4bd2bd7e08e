#include "marble_side.h"

#include <arrow/api.h>
#include <arrow/util/config.h>

#include <atomic>
#include <utility>

#include "lsm/db.h"

namespace marble::lsm::bench {
namespace {

class MarbleSide : public StoreSide {
 public:
  explicit MarbleSide(MarbleSettings settings) : settings_(std::move(settings)) {
    if (settings_.log_segment_bytes > 0) options_.log_segment_bytes = settings_.log_segment_bytes;
  }
  ~MarbleSide() override {
    if (db_ != nullptr) (void)Close();
  }

  std::string name() const override { return "marble"; }

  std::string Describe() const override {
    const TableOptions table;
    return "MarbleDB " MARBLE_VERSION +
           (settings_.revision.empty() ? "" : ", " + settings_.revision) +
           ", Arrow " ARROW_VERSION_STRING
           "\ndefaults: durability 'process' (log mapped, not synced), log segment = memtable " +
           std::to_string(options_.log_segment_bytes >> 20) + " MiB, " +
           std::to_string(options_.max_immutable_generations) +
           " memtables may wait for their flush, compaction at " +
           std::to_string(options_.compaction_trigger) +
           " files, pages verified at their first touch"
           "\none state family, Bloom " +
           std::to_string(static_cast<int>(table.bloom_bits_per_key)) +
           " bits, point index, no compression"
           "\nput: Write of a WriteBatch with one put (the batch object is used again)"
           "\nbatched read: MultiGet";
  }

  Status Open(const std::string& dir) override {
    MARBLE_ASSIGN_OR_RETURN(db_, DB::Open(dir, options_));
    TableDescriptor family;
    family.name = "bench";
    family.schema = arrow::schema({arrow::field("key", arrow::binary(), false),
                                   arrow::field("value", arrow::binary(), false)});
    family.key_columns = {0};
    family.is_state_family = true;
    MARBLE_ASSIGN_OR_RETURN(table_, db_->CreateTable(family, /*if_not_exists=*/true));
    return Status::OK();
  }

  Status Close() override {
    table_ = nullptr;
    const Status closed = db_->Close();
    db_ = nullptr;
    return closed;
  }

  /// A generation that waits for its flush. A merge under way does not show in the metrics.
  bool Busy() override { return db_->metrics().log_bytes > options_.log_segment_bytes; }
  Status Settle() override { return db_->Compact(""); }

  std::string Shape() override {
    const DbMetrics metrics = db_->metrics();
    const TableMetrics& table = metrics.tables.at(0);
    return std::to_string(table.sst_files) + (table.sst_files == 1 ? " file, " : " files, ") +
           std::to_string(table.memtable_rows) + " rows in memtables";
  }

  void Put(std::string_view key, std::string_view value) override {
    Check(batch_.Put(table_, key, value));
    Commit();
  }

  void PutMany(std::span<const KeyValue> rows) override {
    for (const KeyValue& row : rows) Check(batch_.Put(table_, row.key, row.value));
    Commit();
  }

  bool Get(std::string_view key, Touched* touched) override {
    const auto found = db_->Get(table_, key, {});
    if (!found.ok()) {
      Fail(found.status());
      return false;
    }
    if (!found->has_value()) return false;
    touched->AddValue((*found)->bytes);
    return true;
  }

  void GetMany(std::span<const std::string_view> keys, Touched* touched) override {
    found_.resize(keys.size());
    const Status status = db_->MultiGet(table_, keys.data(), keys.size(), {}, found_.data());
    if (!status.ok()) return Fail(status);
    for (const auto& value : found_) {
      if (value) touched->AddValue(value->bytes);
    }
    found_.clear();
  }

  void SeekAndRead(std::string_view key, int rows, Touched* touched) override {
    // A new one each time, as on the other side: an iterator is a view of one moment.
    auto iterator = db_->NewStateIterator(table_, {}, {});
    if (!iterator.ok()) return Fail(iterator.status());
    StateIterator& at = **iterator;
    for (at.Seek(key); rows > 0 && at.Valid(); at.Next(), --rows) {
      touched->AddRow(at.key(), at.value());
    }
    if (!at.status().ok()) Fail(at.status());
  }

  void ScanAll(Touched* touched) override {
    Scan({}, [touched](std::string_view k, std::string_view v) { touched->AddRow(k, v); });
  }

  void VisitAll(const std::function<void(std::string_view, std::string_view)>& visit) override {
    Scan({}, visit);
  }

 private:
  template <typename Visit>
  void Scan(const ScanOptions& options, const Visit& visit) {
    auto iterator = db_->NewIterator(table_, options);
    if (!iterator.ok()) return Fail(iterator.status());
    while (true) {
      const auto step = (*iterator)->Next();
      if (!step.ok()) return Fail(step.status());
      if (step->batch == nullptr) return;
      const auto& keys = static_cast<const arrow::BinaryArray&>(*step->batch->column(0));
      const auto& values = static_cast<const arrow::BinaryArray&>(*step->batch->column(1));
      const int64_t rows = step->batch->num_rows();
      for (int64_t i = 0; i < rows; ++i) visit(keys.GetView(i), values.GetView(i));
    }
  }

  void Commit() {
    while (true) {
      const auto written = db_->Write(std::move(batch_), {});
      if (written.ok()) return;
      // As a caller does: the batch is whole, the flush needs time.
      if (CodeOf(written.status()) == ErrorCode::kBusy) continue;
      return Fail(written.status());
    }
  }

  void Check(const Status& status) {
    if (!status.ok()) Fail(status);
  }

  const MarbleSettings settings_;
  DbOptions options_;
  std::vector<std::optional<PinnedValue>> found_;
  std::shared_ptr<DB> db_;
  TableHandle table_;
  WriteBatch batch_;
};

}  // namespace

std::unique_ptr<StoreSide> NewMarbleSide(MarbleSettings settings) {
  return std::make_unique<MarbleSide>(std::move(settings));
}

}  // namespace marble::lsm::bench
