#include "lsm/sst/sst_reader.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/type.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "lsm/mutation.h"
#include "lsm/sst/null_column.h"
#include "lsm/sst/sst_reader_impl.h"

namespace marble::lsm {
namespace {

constexpr std::string_view kArrowMagic = "ARROW1";
/// An empty Arrow file is longer than this: magic and padding, footer, its length, magic.
constexpr uint64_t kMinArrowBytes = 8 + 4 + 6;

PageVerifier::Mode ModeOf(VerifyReads verify) {
  switch (verify) {
    case VerifyReads::kFirst:
      return PageVerifier::Mode::kFirst;
    case VerifyReads::kAlways:
      return PageVerifier::Mode::kAlways;
    case VerifyReads::kNever:
      return PageVerifier::Mode::kNever;
  }
  return PageVerifier::Mode::kAlways;
}

/// A piece of the mapping that keeps its reader alive.
class ReaderBuffer : public arrow::Buffer {
 public:
  ReaderBuffer(const uint8_t* data, uint64_t size, std::shared_ptr<const SstReader> reader)
      : arrow::Buffer(data, static_cast<int64_t>(size)), reader_(std::move(reader)) {}

 private:
  std::shared_ptr<const SstReader> reader_;
};

}  // namespace

Result<std::shared_ptr<SstReader>> SstReader::Open(const SstReaderOptions& options,
                                                   const FileMeta& meta) {
  auto reader = std::make_shared<SstReaderImpl>(options, meta);
  const Status opened = reader->Init();
  if (CodeOf(opened) == ErrorCode::kIo) {
    for (const std::string& name : {SstIdxName(meta.number), SstArrowName(meta.number)}) {
      const std::string path = options.dir + "/" + name;
      const auto exists = options.file_system->Exists(path);
      if (exists.ok() && !*exists) {
        return IdxCorruption(path, "the manifest names it, and it is missing");
      }
    }
  }
  MARBLE_RETURN_NOT_OK(opened);
  return std::shared_ptr<SstReader>(std::move(reader));
}

SstReaderImpl::~SstReaderImpl() {
  if (cache_ != nullptr) cache_->Forget(cache_file_, num_batches());
  if (views_ == nullptr) return;
  for (size_t i = 0; i < layouts_.size(); ++i) delete views_[i].load();
}

Status SstReaderImpl::Damaged(const std::string& what) const {
  return IdxCorruption(options_.dir + "/" + SstIdxName(meta_.number), what);
}

Status SstReaderImpl::Init() {
  const std::string idx_path = options_.dir + "/" + SstIdxName(meta_.number);
  MARBLE_ASSIGN_OR_RETURN(auto idx, IdxFile::Open(options_.file_system.get(), idx_path));
  idx_ = std::move(idx);
  if (idx_->file().size() != meta_.idx_bytes) {
    return Damaged("the file has " + std::to_string(idx_->file().size()) +
                   " bytes, the manifest says " + std::to_string(meta_.idx_bytes));
  }
  const bool now = options_.load == LoadIndex::kAtOpen;
  if (now && options_.verify != VerifyReads::kNever) {
    MARBLE_RETURN_NOT_OK(CheckFileCrc(Crc32c(idx_->file().bytes())));
  }
  MARBLE_RETURN_NOT_OK(InitProperties());
  MARBLE_RETURN_NOT_OK(CheckMeta());
  if (file_ == nullptr) MARBLE_RETURN_NOT_OK(MapArrow());
  return now ? Load() : Status::OK();
}

/// `crc`: of the whole .idx.
Status SstReaderImpl::CheckFileCrc(uint32_t crc) const {
  if (crc == meta_.idx_crc) return Status::OK();
  // The page checksums say where; they hold for all but themselves and the directory.
  MARBLE_RETURN_NOT_OK(idx_->Verify());
  return Damaged("the file's checksum is not the manifest's, between offsets 0 and " +
                 std::to_string(idx_->file().size()) + " and outside of its sections");
}

Status SstReaderImpl::LoadNow() const {
  std::lock_guard lock(load_mutex_);
  if (loaded()) return Status::OK();
  // Nobody looks at what this sets before loaded_ is set.
  auto* self = const_cast<SstReaderImpl*>(this);
  MARBLE_RETURN_NOT_OK(self->LoadLocked());
  self->loaded_.store(true, std::memory_order_release);
  if (!idx_pages_->checks() || lookup_pages_begin_ == lookup_pages_end_) {
    lookups_checked_.store(true, std::memory_order_release);
  }
  return Status::OK();
}

Status SstReaderImpl::LoadLocked() {
  layouts_.clear();
  starts_.clear();
  batch_guess_.clear();
  regions_.clear();
  if (!pages_) MARBLE_RETURN_NOT_OK(InitPages());
  MARBLE_RETURN_NOT_OK(InitSections());
  InitRegions();
  // The two ends of the .arrow file say that it is one.
  MARBLE_RETURN_NOT_OK(pages_->Touch(0, kMinArrowBytes));
  MARBLE_RETURN_NOT_OK(pages_->Touch(file_->size() - kMinArrowBytes, kMinArrowBytes));
  const std::string_view bytes = file_->bytes();
  if (bytes.substr(0, kArrowMagic.size()) != kArrowMagic ||
      bytes.substr(bytes.size() - kArrowMagic.size()) != kArrowMagic) {
    return IdxCorruption(
        file_->path(),
        "this is no Arrow file (the magic bytes at offset 0 or at the end are wrong)");
  }
  return Status::OK();
}

Status SstReaderImpl::InitPages() {
  // What the manifest says of the whole .idx binds the checksums of its pages, and those the pages,
  // when they are touched.
  const bool first =
      options_.load == LoadIndex::kAtFirstRead && options_.verify != VerifyReads::kNever;
  if (first) {
    MARBLE_ASSIGN_OR_RETURN(const uint32_t crc, idx_->FileCrcByPages());
    MARBLE_RETURN_NOT_OK(CheckFileCrc(crc));
  }
  MARBLE_ASSIGN_OR_RETURN(const IdxFile::PageCrcs own, idx_->page_crcs());
  idx_pages_.emplace(idx_->file(), own.crcs,
                     first ? PageVerifier::Mode::kFirst : PageVerifier::Mode::kNever, own.covered);
  MARBLE_ASSIGN_OR_RETURN(const auto crcs, Section(IdxSection::kArrowPageCrcs));
  if (!crcs || crcs->size() != PageCount(file_->size()) * sizeof(uint32_t)) {
    return Damaged("the page checksums of the .arrow file are missing or too few");
  }
  pages_.emplace(*file_, *crcs, ModeOf(options_.verify));
  return Status::OK();
}

Result<std::optional<std::string_view>> SstReaderImpl::Section(IdxSection type,
                                                               uint64_t bytes) const {
  const auto section = idx_->section(type);
  if (!section) return section;
  MARBLE_RETURN_NOT_OK(TouchIdx(section->data(), std::min<uint64_t>(bytes, section->size())));
  return section;
}

Status SstReaderImpl::TouchIdx(const void* at, uint64_t length) const {
  return idx_pages_->Touch(
      static_cast<uint64_t>(static_cast<const uint8_t*>(at) - idx_->file().data()), length);
}

Status SstReaderImpl::CheckFilter(uint64_t hash) const {
  MARBLE_RETURN_NOT_OK(Load());
  if (bloom_) {
    MARBLE_RETURN_NOT_OK(TouchIdx(bloom_->LineOf(hash), BloomFilter::kLineBytes));
  }
  CheckSome();
  return Status::OK();
}

Status SstReaderImpl::CheckPoints(uint64_t hash) const {
  MARBLE_RETURN_NOT_OK(CheckFilter(hash));
  if (!points_) return Status::OK();
  return points_->Walk(
      hash, [this](const uint8_t* slot) { return TouchIdx(slot, PointIndex::kSlotBytes); });
}

void SstReaderImpl::CheckSome() const {
  constexpr uint64_t kPages = 4, kPage = limits::kChecksumPageBytes;
  const uint64_t pages = lookup_pages_end_ - lookup_pages_begin_;
  const uint64_t first = next_lookup_page_.load(std::memory_order_relaxed) >= pages
                             ? pages
                             : next_lookup_page_.fetch_add(kPages, std::memory_order_relaxed);
  if (first < pages) {
    const uint64_t count = std::min(kPages, pages - first);
    // A damaged one is never counted: so lookups go on checking, and who needs it is told.
    if (!idx_pages_->Touch((lookup_pages_begin_ + first) * kPage, (count - 1) * kPage + 1).ok()) {
      return;
    }
    if (sound_lookup_pages_.fetch_add(count, std::memory_order_acq_rel) + count < pages) return;
  } else if (sound_lookup_pages_.load(std::memory_order_acquire) < pages) {
    return;
  }
  lookups_checked_.store(true, std::memory_order_release);
}

Status SstReaderImpl::InitProperties() {
  const auto properties = idx_->section(IdxSection::kProperties);
  const auto layout = idx_->section(IdxSection::kLayout);
  if (!properties || !layout) return Damaged("a required section is missing");
  if (options_.verify != VerifyReads::kNever) {
    MARBLE_RETURN_NOT_OK(idx_->CheckSection(IdxSection::kProperties));
  }
  auto decoded = DecodeProperties(*properties);
  if (!decoded.ok()) return Damaged(MessageOf(decoded.status()));
  properties_ = std::move(decoded).ValueUnsafe();
  min_key_ = properties_.min_key;
  max_key_ = properties_.max_key;
  compressed_ = idx_->section(IdxSection::kStoredBuffers).has_value();

  MARBLE_RETURN_NOT_OK(InitColumns());
  first_.push_back({});
  for (const auto& field : stored_schema_->fields()) {
    const LayoutSize size = LayoutSizeOf(*field->type());
    first_.push_back({first_.back().nodes + size.nodes, first_.back().buffers + size.buffers});
  }
  if (!IsLayoutOf(layout->size(), properties_.batches, first_.back())) {
    return Damaged("the layout at offset " + std::to_string(idx_->OffsetOf(*layout)) +
                   " does not hold the file's batches");
  }
  return InitKeyColumns();
}

Status SstReaderImpl::InitSections() {
  MARBLE_ASSIGN_OR_RETURN(const auto layout, Section(IdxSection::kLayout));
  MARBLE_ASSIGN_OR_RETURN(const auto stored, Section(IdxSection::kStoredBuffers));
  // Decoded batches are bounded one by one by what is stored of them.
  const uint64_t most = stored ? 2 * limits::kMaxWriteBatchBytes : meta_.arrow_bytes;
  auto layouts = DecodeLayouts(*layout, *stored_schema_, most);
  if (!layouts.ok()) return Damaged(MessageOf(layouts.status()));
  layouts_ = std::move(layouts).ValueUnsafe();
  if (stored) MARBLE_RETURN_NOT_OK(InitStored(*stored));
  starts_.push_back(0);
  for (const BatchLayout& batch : layouts_) starts_.push_back(starts_.back() + batch.rows);
  if (layouts_.size() != properties_.batches || layouts_.empty() ||
      static_cast<uint64_t>(starts_.back()) != properties_.rows) {
    return Damaged("the layout does not hold the file's rows");
  }
  MARBLE_ASSIGN_OR_RETURN(const auto zones, Section(IdxSection::kZoneMaps));
  if (zones) {
    const HiddenColumns& hidden = properties_.hidden;
    const int columns = stored_schema_->num_fields() - hidden.seq - hidden.kind - hidden.expires;
    zones_ = ZoneMaps::Parse(*zones, layouts_.size(), columns);
    if (!zones_) return Damaged("the zone maps are malformed");
  }
  return InitKeys();
}

/// What columns the file has, and which of them are the table's. Mostly all, in the same order.
Status SstReaderImpl::InitColumns() {
  const arrow::Schema& table = *options_.schema;
  const HiddenColumns& hidden = properties_.hidden;
  if (options_.field_ids.empty()) {
    options_.field_ids.resize(static_cast<size_t>(table.num_fields()));
    std::iota(options_.field_ids.begin(), options_.field_ids.end(), 1);
  }
  std::vector<uint32_t> ids = properties_.field_ids;
  if (ids.empty()) {
    ids.resize(options_.field_ids.size());
    std::iota(ids.begin(), ids.end(), 1);
    if (Mutated(Mutant::kOldFilesHaveAllIds)) ids = options_.field_ids;
  }
  int next = table.num_fields();
  if (hidden.seq) seq_column_ = next++;
  if (hidden.kind) kind_column_ = next++;
  if (hidden.expires) expires_column_ = next++;
  if (ids == options_.field_ids) {
    for (const int column : properties_.key_columns) {
      if (column >= table.num_fields()) return Damaged("a key column is not in the schema");
    }
    file_schema_ = FileSchema(options_.schema, properties_.key_columns, hidden);
    if (TypeFingerprint(*file_schema_) == properties_.type_fingerprint) {
      stored_schema_ = file_schema_;
      return Status::OK();
    }
  }
  // Written with another schema of the table: the file says which. It is the rare case.
  MARBLE_RETURN_NOT_OK(MapArrow());
  MARBLE_RETURN_NOT_OK(InitPages());
  MARBLE_ASSIGN_OR_RETURN(auto stored, ReadStoredSchema());
  return MapColumns(std::move(stored));
}

/// The schema in the footer of the .arrow file, whose pages are verified.
Result<std::shared_ptr<arrow::Schema>> SstReaderImpl::ReadStoredSchema() const {
  constexpr uint64_t kTail = sizeof(int32_t) + kArrowMagic.size();
  const uint64_t size = file_->size();
  MARBLE_RETURN_NOT_OK(pages_->Touch(size - kTail, kTail));
  const auto footer = LoadFixed<uint32_t>(file_->data() + size - kTail);
  if (footer > size - kTail) {
    return IdxCorruption(file_->path(), "the Arrow footer is longer than the file");
  }
  MARBLE_RETURN_NOT_OK(pages_->Touch(size - kTail - footer, footer));
  auto schema = ReadFileSchema(file_->bytes());
  if (!schema.ok()) return IdxCorruption(file_->path(), MessageOf(schema.status()));
  return schema;
}

Status SstReaderImpl::MapColumns(std::shared_ptr<arrow::Schema> stored) {
  const arrow::Schema& table = *options_.schema;
  const HiddenColumns& hidden = properties_.hidden;
  const int hidden_columns = hidden.seq + hidden.kind + hidden.expires;
  const int columns = stored->num_fields() - hidden_columns;
  const std::vector<uint32_t> ids = FieldIdsOf(*stored, std::max(columns, 0));
  if (TypeFingerprint(*stored) != properties_.type_fingerprint ||
      (!properties_.field_ids.empty() && properties_.field_ids != ids)) {
    return Damaged("the columns that it is about are not those of the .arrow file");
  }
  for (const int column : properties_.key_columns) {
    if (column >= columns) return Damaged("a key column is not in the schema");
  }
  std::vector<int> key_columns;
  for (int c = 0; c < table.num_fields(); ++c) {
    auto at = std::find(ids.begin(), ids.end(), options_.field_ids[c]);
    if (Mutated(Mutant::kColumnsByPosition) && c < columns &&
        stored->field(c)->type()->Equals(*table.field(c)->type())) {
      at = ids.begin() + c;
    }
    if (at == ids.end()) {
      columns_.push_back(-1);
      continue;
    }
    const int from = static_cast<int>(at - ids.begin());
    if (!stored->field(from)->type()->Equals(*table.field(c)->type())) {
      return MakeError(ErrorCode::kIncompatible,
                       idx_->file().path() +
                           ": the file was written with other column types than the table's "
                           "schema: column '" +
                           table.field(c)->name() + "' is " +
                           stored->field(from)->type()->ToString() + ", in the table " +
                           table.field(c)->type()->ToString());
    }
    columns_.push_back(from);
    const auto& keys = properties_.key_columns;
    if (std::find(keys.begin(), keys.end(), from) != keys.end()) key_columns.push_back(c);
  }
  if (key_columns.size() != properties_.key_columns.size()) {
    return MakeError(ErrorCode::kIncompatible,
                     idx_->file().path() + ": a key column of the file is not in the table");
  }
  for (int c = 0; c < table.num_fields(); ++c) {
    const bool key = std::find(key_columns.begin(), key_columns.end(), c) != key_columns.end();
    if (columns_[c] >= 0 || table.field(c)->nullable() || key) continue;
    return MakeError(ErrorCode::kIncompatible, idx_->file().path() + ": the file has no column '" +
                                                   table.field(c)->name() +
                                                   "', which does not allow nulls");
  }
  for (int c = 0; c < hidden_columns; ++c) columns_.push_back(columns + c);
  file_schema_ = FileSchema(options_.schema, key_columns, hidden);
  stored_schema_ = std::move(stored);
  return Status::OK();
}

Status SstReaderImpl::InitKeyColumns() {
  const size_t columns =
      options_.codec == nullptr ? 0 : static_cast<size_t>(options_.codec->num_columns());
  if (properties_.key_columns.size() != columns) {
    return MakeError(ErrorCode::kIncompatible, idx_->file().path() + ": the file's key has " +
                                                   std::to_string(properties_.key_columns.size()) +
                                                   " columns, the table's has " +
                                                   std::to_string(columns));
  }
  if (columns == 0) return Status::OK();
  raw_ = options_.codec->raw();
  for (const int column : properties_.key_columns) {
    KeyColumn key{KeyColumn::Shape::kFixed, first_[column].buffers, 0};
    const arrow::Field& field = *stored_schema_->field(column);
    const arrow::DataType& type = *field.type();
    if (type.id() == arrow::Type::BOOL) {
      key.shape = KeyColumn::Shape::kBits;
    } else if (arrow::is_binary_like(type.id())) {
      key.shape = KeyColumn::Shape::kOffsets32;
      key.width = 4;
    } else if (arrow::is_large_binary_like(type.id())) {
      key.shape = KeyColumn::Shape::kOffsets64;
      key.width = 8;
    } else if (arrow::is_fixed_width(type.id())) {
      key.width =
          static_cast<uint64_t>(static_cast<const arrow::FixedWidthType&>(type).bit_width() / 8);
    } else {
      return Damaged("column '" + field.name() + "' cannot be a key column");
    }
    key_columns_.push_back(key);
  }
  if (raw_ && key_columns_[0].shape != KeyColumn::Shape::kOffsets32 &&
      key_columns_[0].shape != KeyColumn::Shape::kOffsets64) {
    return Damaged("the key column's type does not fit the key codec");
  }
  return Status::OK();
}

Status SstReaderImpl::InitKeys() {
  if (key_columns_.empty()) return Status::OK();
  MARBLE_ASSIGN_OR_RETURN(const auto sparse, Section(IdxSection::kSparseKeys));
  if (!sparse) return Damaged("the sparse keys are missing");
  sparse_ = SparseKeys::Parse(*sparse, properties_.rows);
  if (!sparse_) return Damaged("the sparse keys are malformed");
  // Of these two only the heads are looked at now; their pages are checked by lookups.
  MARBLE_ASSIGN_OR_RETURN(const auto bloom,
                          Section(IdxSection::kBloomFilter, BloomFilter::kHeaderBytes));
  if (bloom) {
    bloom_ = BloomFilter::Parse(*bloom);
    if (!bloom_) return Damaged("the Bloom filter is malformed");
  }
  MARBLE_ASSIGN_OR_RETURN(const auto points,
                          Section(IdxSection::kPointIndex, PointIndex::kHeaderBytes));
  if (points) {
    points_ = PointIndex::Parse(*points);
    if (!points_) return Damaged("the point index is malformed");
  }
  // They lie behind each other.
  lookup_pages_begin_ = UINT64_MAX;
  lookup_pages_end_ = 0;
  for (const auto& section : {bloom, points}) {
    if (!section) continue;
    const uint64_t offset = idx_->OffsetOf(*section);
    lookup_pages_begin_ = std::min(lookup_pages_begin_, offset / limits::kChecksumPageBytes);
    lookup_pages_end_ = std::max(lookup_pages_end_, PageCount(offset + section->size()));
  }
  lookup_pages_begin_ = std::min(lookup_pages_begin_, lookup_pages_end_);
  if (!raw_) {
    views_ = std::make_unique<std::atomic<const BatchView*>[]>(layouts_.size());
  }
  return Status::OK();
}

Status SstReaderImpl::CheckMeta() const {
  if (properties_.rows != meta_.rows || properties_.arrow_bytes != meta_.arrow_bytes ||
      properties_.min_key != meta_.min_key || properties_.max_key != meta_.max_key ||
      properties_.tombstones != meta_.tombstones || properties_.clean != meta_.clean ||
      compressed() != (meta_.compression != Compression::kNone)) {
    return Damaged("what the file says about itself is not what the manifest says");
  }
  return Status::OK();
}

Status SstReaderImpl::MapArrow() {
  MARBLE_ASSIGN_OR_RETURN(
      file_, options_.file_system->Map(options_.dir + "/" + SstArrowName(meta_.number)));
  if (file_->size() != meta_.arrow_bytes) {
    return IdxCorruption(file_->path(), "the file has " + std::to_string(file_->size()) +
                                            " bytes, the manifest says " +
                                            std::to_string(meta_.arrow_bytes));
  }
  if (file_->size() < kMinArrowBytes) {
    return IdxCorruption(file_->path(), "the file is cut off");
  }
  return Status::OK();
}

/// Cut the file so that every byte belongs to one batch, headers and footer included: who reads
/// all batches has verified the whole file. And a table from rows to batches.
void SstReaderImpl::InitRegions() {
  uint64_t end = 0;
  for (size_t batch = 0; batch < layouts_.size(); ++batch) {
    uint64_t low = file_->size();
    uint64_t high = end;
    for (const BufferSpan& span : compressed() ? stored_[batch] : layouts_[batch].buffers) {
      if (span.length == 0) continue;
      low = std::min(low, span.offset);
      high = std::max(high, span.offset + span.length);
    }
    low = std::min(low, end);
    regions_.push_back({low, high - low});
    end = high;
  }
  regions_.back().length = file_->size() - regions_.back().offset;
  const arrow::Schema& table = *options_.schema;
  if (raw_ && points_ && !compressed() && options_.verify != VerifyReads::kAlways &&
      table.num_fields() == 2 && table.field(0)->type()->id() == arrow::Type::BINARY &&
      table.field(1)->type()->id() == arrow::Type::BINARY && properties_.key_columns[0] == 0) {
    bytes_ = BytesRows::Make(layouts_, file_->data());
  }

  // About one entry per batch: a guess is off by a batch or two.
  const auto average = static_cast<uint64_t>(num_rows()) / layouts_.size();
  while (guess_shift_ < 62 && (uint64_t{1} << (guess_shift_ + 1)) <= average) ++guess_shift_;
  const auto entries = (static_cast<uint64_t>(num_rows()) >> guess_shift_) + 1;
  batch_guess_.reserve(entries);
  uint32_t batch = 0;
  for (uint64_t i = 0; i < entries; ++i) {
    const auto row = static_cast<int64_t>(i << guess_shift_);
    while (batch + 1 < layouts_.size() && starts_[batch + 1] <= row) ++batch;
    batch_guess_.push_back(batch);
  }
}

Result<std::shared_ptr<arrow::RecordBatch>> SstReaderImpl::ReadBatch(int64_t batch) const {
  MARBLE_DCHECK(batch >= 0 && batch < num_batches());
  MARBLE_RETURN_NOT_OK(Load());
  if (compressed()) {
    MARBLE_ASSIGN_OR_RETURN(const auto decoded, Decoded(batch, /*keep=*/true));
    return decoded->rows;
  }
  MARBLE_RETURN_NOT_OK(pages_->Touch(regions_[batch].offset, regions_[batch].length));
  return MakeBatch(batch);
}

Result<std::shared_ptr<arrow::RecordBatch>> SstReaderImpl::ReadOnce(
    int64_t batch, const std::vector<int>* columns) const {
  MARBLE_RETURN_NOT_OK(Load());
  if (columns != nullptr) return ReadColumns(batch, *columns);
  if (!compressed()) return ReadBatch(batch);
  MARBLE_ASSIGN_OR_RETURN(const auto decoded, Decoded(batch, /*keep=*/false));
  return decoded->rows;
}

Result<std::shared_ptr<arrow::RecordBatch>> SstReaderImpl::ReadColumns(
    int64_t batch, const std::vector<int>& columns) const {
  MARBLE_DCHECK(batch >= 0 && batch < num_batches());
  MARBLE_RETURN_NOT_OK(Load());
  if (compressed()) return DecodedColumns(batch, columns);
  const std::vector<BufferSpan>& buffers = layouts_[batch].buffers;
  const auto touch = [&](int column) -> Status {
    if (column < 0) return Status::OK();
    for (size_t i = first_[column].buffers; i < first_[column + 1].buffers; ++i) {
      if (buffers[i].length == 0) continue;
      MARBLE_RETURN_NOT_OK(pages_->Touch(buffers[i].offset, buffers[i].length));
    }
    return Status::OK();
  };
  for (const int column : columns) MARBLE_RETURN_NOT_OK(touch(StoredColumn(column)));
  for (const int column : properties_.key_columns) MARBLE_RETURN_NOT_OK(touch(column));
  for (const int column : {seq_column_, kind_column_, expires_column_}) {
    if (column >= 0) MARBLE_RETURN_NOT_OK(touch(StoredColumn(column)));
  }
  return MakeBatch(batch);
}

std::vector<std::shared_ptr<arrow::ArrayData>> SstReaderImpl::BuildColumns(
    int64_t batch, const BufferFactory& factory) const {
  const BatchLayout& layout = layouts_[batch];
  if (columns_.empty()) return BuildArrays(layout, *file_schema_, factory);
  std::vector<std::shared_ptr<arrow::ArrayData>> out;
  out.reserve(columns_.size());
  for (size_t c = 0; c < columns_.size(); ++c) {
    const auto& type = file_schema_->field(static_cast<int>(c))->type();
    out.push_back(columns_[c] < 0 ? NullColumn(type, layout.rows)
                                  : BuildArray(layout, type, first_[columns_[c]], factory));
  }
  return out;
}

std::shared_ptr<arrow::RecordBatch> SstReaderImpl::MakeBatch(int64_t batch) const {
  const std::shared_ptr<const SstReader> self = shared_from_this();
  const uint8_t* base = file_->data();
  const BufferFactory factory = [&](const BufferSpan& span) -> std::shared_ptr<arrow::Buffer> {
    return std::make_shared<ReaderBuffer>(base + span.offset, span.length, self);
  };
  return arrow::RecordBatch::Make(file_schema_, layouts_[batch].rows, BuildColumns(batch, factory));
}

const arrow::RecordBatch& SstReaderImpl::View(int64_t batch) const {
  const BatchView* view = views_[batch].load(std::memory_order_acquire);
  if (view != nullptr) return **view;
  const uint8_t* base = file_->data();
  const BufferFactory factory = [&](const BufferSpan& span) {
    return std::make_shared<arrow::Buffer>(base + span.offset, static_cast<int64_t>(span.length));
  };
  auto mine = std::make_unique<BatchView>(
      arrow::RecordBatch::Make(file_schema_, layouts_[batch].rows, BuildColumns(batch, factory)));
  if (views_[batch].compare_exchange_strong(view, mine.get(), std::memory_order_acq_rel)) {
    view = mine.release();
  }
  return **view;
}

RowLocation SstReaderImpl::Locate(int64_t row_number) const {
  MARBLE_DCHECK(loaded() && row_number >= 0 && row_number < num_rows());
  int64_t batch = batch_guess_[row_number >> guess_shift_];
  while (starts_[batch + 1] <= row_number) ++batch;
  return {batch, row_number - starts_[batch]};
}

SstReader::ZoneMap SstReaderImpl::zone_map(int64_t batch, int column) const {
  if (column < 0 || column >= options_.schema->num_fields()) return {};
  const int stored = StoredColumn(column);
  if (!Load().ok()) return {};
  if (stored < 0) return {nullptr, nullptr, layouts_[batch].rows};
  if (!zones_) return {};
  return DecodeZone(options_.schema->field(column)->type(), zones_->entry(batch, stored));
}

Result<std::string_view> SstReaderImpl::VarValue(const uint8_t* base, const BatchLayout& layout,
                                                 const KeyColumn& column, int64_t row) const {
  const BufferSpan& offsets = layout.buffers[column.first_buffer + 1];
  const BufferSpan& data = layout.buffers[column.first_buffer + 2];
  uint64_t from;
  uint64_t to;
  if (column.shape == KeyColumn::Shape::kOffsets32) {
    const uint64_t at = offsets.offset + static_cast<uint64_t>(row) * 4;
    MARBLE_RETURN_NOT_OK(Touch(at, 8));
    from = LoadFixed<uint32_t>(base + at);
    to = LoadFixed<uint32_t>(base + at + 4);
  } else {
    const uint64_t at = offsets.offset + static_cast<uint64_t>(row) * 8;
    MARBLE_RETURN_NOT_OK(Touch(at, 16));
    from = LoadFixed<uint64_t>(base + at);
    to = LoadFixed<uint64_t>(base + at + 8);
  }
  if (from > to || to > data.length) {
    return IdxCorruption(
        file_->path(), "the offsets of the key column " +
                           (compressed() ? "of a decoded batch, in row " + std::to_string(row) + ","
                                         : "at " + std::to_string(offsets.offset)) +
                           " are impossible");
  }
  MARBLE_RETURN_NOT_OK(Touch(data.offset + from, to - from));
  return std::string_view(reinterpret_cast<const char*>(base) + data.offset + from, to - from);
}

/// Verify the pages that hold one row's key, so that the codec may read it.
Status SstReaderImpl::TouchKey(const uint8_t* base, const BatchLayout& layout, int64_t row) const {
  const auto at = static_cast<uint64_t>(row);
  for (const KeyColumn& column : key_columns_) {
    const BufferSpan& validity = layout.buffers[column.first_buffer];
    if (validity.length > 0) {
      MARBLE_RETURN_NOT_OK(Touch(validity.offset + at / 8, 1));
    }
    const BufferSpan& values = layout.buffers[column.first_buffer + 1];
    switch (column.shape) {
      case KeyColumn::Shape::kBits:
        MARBLE_RETURN_NOT_OK(Touch(values.offset + at / 8, 1));
        break;
      case KeyColumn::Shape::kFixed:
        MARBLE_RETURN_NOT_OK(Touch(values.offset + at * column.width, column.width));
        break;
      default:
        MARBLE_RETURN_NOT_OK(VarValue(base, layout, column, row).status());
    }
  }
  return Status::OK();
}

Result<std::string_view> SstReaderImpl::KeyOf(RowLocation at, std::string* scratch) const {
  const BatchLayout& layout = layouts_[at.batch];
  const uint8_t* base = file_->data();
  if (raw_) return VarValue(base, layout, key_columns_[0], at.row);
  // The columns' values lie apart: let their cache misses overlap.
  for (const KeyColumn& column : key_columns_) {
    __builtin_prefetch(base + layout.buffers[column.first_buffer + 1].offset +
                       static_cast<uint64_t>(at.row) * column.width);
  }
  MARBLE_RETURN_NOT_OK(TouchKey(base, layout, at.row));
  scratch->clear();
  options_.codec->Encode(View(at.batch), at.row, scratch);
  return std::string_view(*scratch);
}

Result<std::string_view> SstReaderImpl::KeyAt(int64_t row_number, std::string* scratch) const {
  if (key_columns_.empty()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     file_->path() + ": a table without a primary key has no keys");
  }
  MARBLE_RETURN_NOT_OK(Load());
  const RowLocation at = Locate(row_number);
  if (!compressed()) return KeyOf(at, scratch);
  MARBLE_ASSIGN_OR_RETURN(const auto decoded, Decoded(at.batch, /*keep=*/true));
  MARBLE_ASSIGN_OR_RETURN(const std::string_view key, DecodedKey(*decoded, at, scratch));
  // The batch may be gone from the cache when the caller looks.
  if (key.data() != scratch->data()) scratch->assign(key);
  return std::string_view(*scratch);
}

Result<std::optional<RowLocation>> SstReaderImpl::Find(std::string_view key, uint64_t hash) const {
  if (key_columns_.empty() || !MayContain(key, hash)) return std::nullopt;
  MARBLE_RETURN_NOT_OK(CheckLookup(hash));
  if (compressed()) return FindDecoded(key, hash);
  thread_local std::string scratch;
  if (!points_) {
    MARBLE_ASSIGN_OR_RETURN(const int64_t row, LowerBound(key));
    if (row == num_rows()) return std::nullopt;
    const RowLocation at = Locate(row);
    MARBLE_ASSIGN_OR_RETURN(const std::string_view found, KeyOf(at, &scratch));
    return found == key ? std::optional<RowLocation>(at) : std::nullopt;
  }
  PointIndex::Probe probe = points_->Lookup(hash);
  for (uint32_t row = probe.Next(); row != PointIndex::kNone; row = probe.Next()) {
    if (row >= num_rows()) return Damaged("the point index names a row beyond the file");
    const RowLocation at = Locate(row);
    MARBLE_ASSIGN_OR_RETURN(const std::string_view found, KeyOf(at, &scratch));
    if (found == key) return at;
  }
  return std::nullopt;
}

Result<std::optional<std::string_view>> SstReaderImpl::FindBytes(std::string_view key,
                                                                 uint64_t hash) const {
  MARBLE_RETURN_NOT_OK(CheckLookup(hash));
  PointIndex::Probe probe = points_->Lookup(hash);
  for (uint32_t row = probe.Next(); row != PointIndex::kNone; row = probe.Next()) {
    if (row >= num_rows()) return Damaged("the point index names a row beyond the file");
    const size_t index = bytes_->BatchOf(row);
    const BytesRows::Batch& at = bytes_->batch(index);
    const int64_t i = row - at.first_row;
    MARBLE_RETURN_NOT_OK(VerifyBytes(index));
    const auto found = BytesRows::Key(at, i);
    const auto value = BytesRows::Value(at, i);
    if (!found || !value) {
      return ImpossibleOffsets(file_->path(), row);
    }
    __builtin_prefetch(value->data());
    if (*found == key) return value;
  }
  return std::nullopt;
}

void SstReaderImpl::PrefetchBytes(uint64_t hash) const {
  PointIndex::Probe probe = points_->Lookup(hash);
  const uint32_t row = probe.Next();
  if (row < num_rows()) bytes_->PrefetchOffsets(row);
}

void SstReaderImpl::PrefetchValue(uint64_t hash) const {
  PointIndex::Probe probe = points_->Lookup(hash);
  const uint32_t row = probe.Next();
  if (row < num_rows()) bytes_->PrefetchRow(row);
}

Status SstReaderImpl::VerifyBytesOf(size_t batch) const {
  MARBLE_RETURN_NOT_OK(pages_->Touch(regions_[batch].offset, regions_[batch].length));
  bytes_->MarkVerified(batch);
  return Status::OK();
}

/// Rows [low, high) are in one batch, or in two.
Result<int64_t> SstReaderImpl::LowerBoundOfBytes(std::string_view key,
                                                 const RowsOfKey& rows) const {
  if (rows.low >= rows.high) return rows.high;  // behind the last row, perhaps
  size_t batch = bytes_->BatchOf(rows.guess);
  Status status = VerifyBytes(batch);
  // After an error the search only comes to its end.
  const int64_t row = SearchNear(rows.low, rows.high, rows.guess, [&](int64_t i) {
    if (!status.ok()) return false;
    if (i >= bytes_->batch(batch + 1).first_row || i < bytes_->batch(batch).first_row) {
      batch = bytes_->BatchOf(i);
      status = VerifyBytes(batch);
      if (!status.ok()) return false;
    }
    const BytesRows::Batch& at = bytes_->batch(batch);
    const auto found = BytesRows::Key(at, i - at.first_row);
    if (found) return *found < key;
    status = ImpossibleOffsets(file_->path(), i);
    return false;
  });
  MARBLE_RETURN_NOT_OK(status);
  return row;
}

SstReaderImpl::RowsOfKey SstReaderImpl::NarrowBySparse(std::string_view key) const {
  if (sparse_->size() == 0) return {0, 0, 0};
  std::call_once(fences_made_, [this] {
    const std::string_view first = sparse_->key(0);
    fences_ = KeyFences(first.substr(0, SharedPrefix(first, sparse_->key(sparse_->size() - 1))),
                        static_cast<size_t>(sparse_->size()));
    for (int64_t i = 0; i < sparse_->size(); ++i) fences_.Add(sparse_->key(i));
  });
  auto [low, high] = fences_.Find(key);
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (sparse_->key(static_cast<int64_t>(middle)) < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return {0, 0, 0};
  // It lies behind the last sparse key that is smaller, and not behind the next.
  constexpr auto kInterval = static_cast<int64_t>(limits::kSparseKeyInterval);
  const auto from = static_cast<int64_t>(low - 1) * kInterval;
  RowsOfKey rows;
  rows.low = from + 1;
  rows.high = std::min(from + kInterval, num_rows());
  rows.guess = from + static_cast<int64_t>(fences_.Guess(low, fences_.PrefixOf(key), kInterval));
  rows.guess = std::clamp(rows.guess, rows.low, std::max(rows.low, rows.high - 1));
  return rows;
}

void SstReaderImpl::PrefetchSearch(std::string_view key) const {
  if (bytes() == nullptr || key.empty()) return;
  PrefetchAround(NarrowBySparse(key));
}

void SstReaderImpl::PrefetchAround(const RowsOfKey& rows) const {
  // Of 64 keys that are evenly spread one lies seldom farther from where it should.
  constexpr int64_t kAround = 6;
  const int64_t low = std::max(rows.low, rows.guess - kAround);
  const int64_t high = std::min(rows.high, rows.guess + kAround);
  if (low < high) bytes_->PrefetchKeys(low, high);
}

Result<int64_t> SstReaderImpl::LowerBound(std::string_view key) const {
  if (key_columns_.empty()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     file_->path() + ": a table without a primary key has no keys");
  }
  MARBLE_RETURN_NOT_OK(Load());
  const RowsOfKey rows = NarrowBySparse(key);
  if (bytes_ != nullptr) {
    if (rows.low < rows.high) PrefetchAround(rows);
    return LowerBoundOfBytes(key, rows);
  }
  if (compressed()) return LowerBoundOfDecoded(key, rows.low, rows.high);
  thread_local std::string scratch;
  Status status;
  const int64_t row = SearchNear(rows.low, rows.high, rows.guess, [&](int64_t i) {
    if (!status.ok()) return false;
    const Result<std::string_view> at = KeyOf(Locate(i), &scratch);
    status = at.status();
    return at.ok() && *at < key;
  });
  MARBLE_RETURN_NOT_OK(status);
  return row;
}

}  // namespace marble::lsm
