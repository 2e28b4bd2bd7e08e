// What goes into an SSTable comes out of it.
#include "sst_test_util.h"

#include "base/limits.h"

namespace marble::lsm {
namespace {

TEST(SstRoundTrip, EveryTypeWithAndWithoutNullsComesBackEqual) {
  Random random(1);
  arrow::FieldVector fields;
  int n = 0;
  for (const auto& type : AllTypes()) {
    fields.push_back(arrow::field("n" + std::to_string(n), type));
    if (type->id() != arrow::Type::NA) {
      fields.push_back(arrow::field("v" + std::to_string(n), type, false));
    }
    ++n;
  }
  const auto schema = arrow::schema(fields);
  for (const int64_t rows : {1, 2, 63, 64, 65, 1000, 3333}) {
    TempDir dir;
    SstWriterOptions options{.dir = dir.path(), .number = 7, .schema = schema};
    options.batch_rows = 1 + Below(&random, 700);
    const auto batch = RandomRows(schema, rows, &random);
    const Opened file = WriteAndOpen(options, *batch, &random);
    ExpectSameRows(*ReadAll(*file.reader), *batch);
    ASSERT_OK(file.reader->Verify());
    EXPECT_TRUE(file.meta.clean);
    EXPECT_EQ(file.meta.rows, static_cast<uint64_t>(rows));
  }
}

TEST(SstRoundTrip, RandomSchemasBatchSizesAndHiddenColumnsComeBackEqual) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const auto types = AllTypes();
    arrow::FieldVector fields;
    for (int64_t i = 1 + Below(&random, 6); i > 0; --i) {
      const auto& type = types[Below(&random, static_cast<int64_t>(types.size()))];
      const bool nullable = type->id() == arrow::Type::NA || Below(&random, 2) == 0;
      fields.push_back(arrow::field("c" + std::to_string(i), type, nullable));
    }
    const auto schema = arrow::schema(fields, arrow::key_value_metadata({"k"}, {"v"}));
    TempDir dir;
    SstWriterOptions options{.dir = dir.path(), .number = seed, .schema = schema};
    options.batch_rows = 1 + Below(&random, 5000);
    options.batch_bytes = 1 + Below(&random, 50000);
    options.zone_maps = Below(&random, 2) == 0;
    options.write_seq = Below(&random, 2) == 0;
    options.write_expires = Below(&random, 2) == 0;
    // A slice of a larger batch: offsets in every buffer and bitmap.
    const auto whole = RandomRows(schema, 1500, &random);
    const int64_t from = Below(&random, 500);
    const auto batch = whole->Slice(from, 1 + Below(&random, 1000));
    std::vector<SequenceNumber> sequences;
    std::vector<int64_t> expires;
    for (int64_t i = 0; i < batch->num_rows(); ++i) {
      sequences.push_back(random());
      expires.push_back(Below(&random, 3) == 0 ? Below(&random, 1 << 20) : 0);
    }
    const FileMeta meta = WriteFile(options, *batch, &random, sequences.data(), nullptr,
                                    options.write_expires ? expires.data() : nullptr);
    const auto reader = Must(SstReader::Open(ReaderOptions(options), meta));
    const auto table = ReadAll(*reader);
    ExpectSameRows(*table, *batch);
    EXPECT_TRUE(table->schema()->metadata()->Equals(*schema->metadata()));
    EXPECT_EQ(reader->seq_column() >= 0, options.write_seq);
    EXPECT_EQ(reader->expires_column() >= 0, options.write_expires);
    EXPECT_EQ(reader->kind_column(), -1);
    int64_t row = 0;
    for (int64_t b = 0; b < reader->num_batches(); ++b) {
      const auto rows = Must(reader->ReadBatch(b));
      EXPECT_EQ(reader->batch_start(b), row);
      for (int64_t i = 0; i < rows->num_rows(); ++i, ++row) {
        const RowLocation at = reader->Locate(row);
        ASSERT_EQ(at.batch, b);
        ASSERT_EQ(at.row, i);
        if (options.write_seq) {
          ASSERT_EQ(rows->column_data(reader->seq_column())->GetValues<uint64_t>(1)[i],
                    sequences[row]);
        }
        if (options.write_expires) {
          ASSERT_EQ(rows->column_data(reader->expires_column())->GetValues<int64_t>(1)[i],
                    expires[row]);
        }
      }
    }
    ASSERT_OK(reader->Verify());
  }
}

TEST(SstRoundTrip, AColumnThatIsAllNullComesBackAllNull) {
  Random random(3);
  for (const auto& type : AllTypes()) {
    const auto schema = arrow::schema({arrow::field("a", type)});
    const auto batch = arrow::RecordBatch::Make(
        schema, 100, arrow::ArrayVector{Must(arrow::MakeArrayOfNull(type, 100))});
    TempDir dir;
    SstWriterOptions options{.dir = dir.path(), .number = 1, .schema = schema};
    options.batch_rows = 33;
    const Opened file = WriteAndOpen(options, *batch, &random);
    ExpectSameRows(*ReadAll(*file.reader), *batch);
    ASSERT_OK(file.reader->Verify());
    const auto zone = file.reader->zone_map(0, 0);
    EXPECT_EQ(zone.null_count, 33);
    EXPECT_EQ(zone.min, nullptr);
    EXPECT_EQ(zone.max, nullptr);
  }
}

TEST(SstRoundTrip, BatchesKeepToTheLimitsOfRowsAndBytes) {
  Random random(4);
  const auto schema = arrow::schema(
      {arrow::field("a", arrow::int64(), false), arrow::field("b", arrow::binary(), false)});
  arrow::Int64Builder a;
  arrow::BinaryBuilder b;
  for (int i = 0; i < 20000; ++i) {
    ASSERT_OK(a.Append(i));
    ASSERT_OK(b.Append(std::string(100, 'x')));
  }
  const auto batch = arrow::RecordBatch::Make(
      schema, 20000, arrow::ArrayVector{Must(a.Finish()), Must(b.Finish())});
  TempDir dir;
  SstWriterOptions options{.dir = dir.path(), .number = 1, .schema = schema};
  options.batch_bytes = limits::kStateBatchBytes;
  const Opened file = WriteAndOpen(options, *batch, &random);
  for (int64_t i = 0; i < file.reader->num_batches(); ++i) {
    uint64_t bytes = 0;
    for (const auto& span : file.reader->layout(i).buffers) bytes += span.length;
    EXPECT_LE(bytes, static_cast<uint64_t>(limits::kStateBatchBytes));
    if (i + 1 < file.reader->num_batches()) {
      EXPECT_GE(bytes, static_cast<uint64_t>(limits::kStateBatchBytes) * 9 / 10);
    }
  }
  options.number = 2;
  options.batch_bytes = 0;
  options.batch_rows = 1000;
  const Opened rows = WriteAndOpen(options, *batch, &random);
  EXPECT_EQ(rows.reader->num_batches(), 20);
}

TEST(SstRoundTrip, BuffersLieAlignedInTheFileAndAreHandedOutWithoutACopy) {
  Random random(5);
  const auto schema =
      arrow::schema({arrow::field("a", arrow::int64()), arrow::field("b", arrow::utf8())});
  const auto batch = RandomRows(schema, 5000, &random);
  TempDir dir;
  SstWriterOptions options{.dir = dir.path(), .number = 1, .schema = schema};
  options.batch_rows = 1024;
  const Opened file = WriteAndOpen(options, *batch, &random);
  const auto& mapped = *file.reader->file();
  for (int64_t b = 0; b < file.reader->num_batches(); ++b) {
    const auto rows = Must(file.reader->ReadBatch(b));
    size_t next = 0;
    for (int c = 0; c < 2; ++c) {
      for (const auto& buffer : rows->column_data(c)->buffers) {
        const BufferSpan& span = file.reader->layout(b).buffers[next++];
        EXPECT_EQ(span.offset % 8, 0u);
        EXPECT_EQ(buffer->data(), mapped.data() + span.offset);
      }
    }
  }
}

TEST(SstRoundTrip, ABatchKeepsItsReaderAlive) {
  Random random(6);
  const auto schema = arrow::schema({arrow::field("a", arrow::utf8())});
  const auto batch = RandomRows(schema, 100, &random);
  std::shared_ptr<arrow::Array> column;
  std::weak_ptr<SstReader> weak;
  {
    TempDir dir;
    SstWriterOptions options{.dir = dir.path(), .number = 1, .schema = schema};
    Opened file = WriteAndOpen(options, *batch, &random);
    weak = file.reader;
    column = Must(file.reader->ReadBatch(0))->column(0);
  }
  EXPECT_FALSE(weak.expired());
  EXPECT_TRUE(column->Equals(*batch->column(0)));
  column.reset();
  EXPECT_TRUE(weak.expired());
}

TEST(SstWriter, RefusesWhatItCannotKeep) {
  Random random(7);
  TempDir dir;
  const auto schema = arrow::schema(
      {arrow::field("k", arrow::binary(), false), arrow::field("v", arrow::int32(), false)});
  const auto codec = Must(KeyCodec::Make(schema, {0}));
  SstWriterOptions options{.dir = dir.path(), .number = 1, .schema = schema, .codec = codec};
  const auto code_of = [](const Status& status) { return CodeOf(status); };
  EXPECT_EQ(code_of(SstWriter::Create(options).status()), ErrorCode::kInvalidArgument)
      << "key columns are missing";
  options.key_columns = {0};
  const Keyed sorted = SortByKey(RandomRows(schema, 50, &random), *codec);
  const auto attempt = [&](const arrow::RecordBatch& rows, const SequenceNumber* sequences,
                           const uint8_t* kinds, const int64_t* expires) {
    auto writer = Must(SstWriter::Create(options));
    const Status status = writer->Append(rows, sequences, kinds, expires);
    writer->Abandon();
    EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
    return status;
  };
  const int64_t n = sorted.rows->num_rows();
  ASSERT_GE(n, 3);
  const std::vector<uint8_t> kinds(n, 1);
  const std::vector<int64_t> expires(n, 5);
  EXPECT_TRUE(attempt(*sorted.rows, nullptr, nullptr, nullptr).ok());
  EXPECT_EQ(code_of(attempt(*sorted.rows, nullptr, kinds.data(), nullptr)),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(attempt(*sorted.rows, nullptr, nullptr, expires.data())),
            ErrorCode::kInvalidArgument);
  const auto swapped =
      Must(arrow::ConcatenateRecordBatches({sorted.rows->Slice(1, 1), sorted.rows->Slice(0, 1)}));
  EXPECT_EQ(code_of(attempt(*swapped, nullptr, nullptr, nullptr)), ErrorCode::kInternal);
  const auto twice =
      Must(arrow::ConcatenateRecordBatches({sorted.rows->Slice(1, 1), sorted.rows->Slice(1, 1)}));
  EXPECT_EQ(code_of(attempt(*twice, nullptr, nullptr, nullptr)), ErrorCode::kInternal);
  const auto nulls =
      arrow::RecordBatch::Make(schema, 1,
                               arrow::ArrayVector{sorted.rows->column(0)->Slice(0, 1),
                                                  Must(arrow::MakeArrayOfNull(arrow::int32(), 1))});
  EXPECT_EQ(code_of(attempt(*nulls, nullptr, nullptr, nullptr)), ErrorCode::kSchema);
  const auto other = RandomRows(arrow::schema({arrow::field("k", arrow::binary(), false),
                                               arrow::field("v", arrow::int64(), false)}),
                                1, &random);
  EXPECT_EQ(code_of(attempt(*other, nullptr, nullptr, nullptr)), ErrorCode::kSchema);
  auto empty = Must(SstWriter::Create(options));
  EXPECT_EQ(code_of(empty->Finish(1, 1).status()), ErrorCode::kInvalidArgument);
  empty.reset();
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));

  options.schema =
      arrow::schema({arrow::field("d", arrow::dictionary(arrow::int32(), arrow::utf8()))});
  options.codec = nullptr;
  options.key_columns = {};
  EXPECT_EQ(code_of(SstWriter::Create(options).status()), ErrorCode::kNotSupported);
  options.schema = arrow::schema({arrow::field("__seq", arrow::int32())});
  EXPECT_EQ(code_of(SstWriter::Create(options).status()), ErrorCode::kSchema);
}

}  // namespace
}  // namespace marble::lsm
