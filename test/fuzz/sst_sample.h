// A sound SSTable, and what a reader of it is asked for.
#pragma once

#include <arrow/api.h>

#include "base/hash.h"
#include "base/key_codec.h"
#include "fuzz_util.h"
#include "lsm/sst/sst_reader.h"
#include "lsm/sst/sst_writer.h"

namespace marble::lsm::fuzz {

struct SstSample {
  std::shared_ptr<arrow::Schema> schema;
  std::shared_ptr<const KeyCodec> codec;
  FileMeta meta;
  std::string arrow_bytes, idx_bytes;

  static std::shared_ptr<arrow::DataType> Any() {
    return arrow::dense_union(
        {arrow::field("flag", arrow::boolean()), arrow::field("number", arrow::int64())}, {7, 2});
  }

  explicit SstSample(Compression compression) {
    schema = arrow::schema({arrow::field("id", arrow::int64(), false),
                            arrow::field("note", arrow::utf8()),
                            arrow::field("score", arrow::float64()), arrow::field("any", Any())});
    codec = Must(KeyCodec::Make(schema, {0}));
    auto files = std::make_shared<io::MemoryFileSystem>();
    Must(files->CreateDirs("/db"));
    SstWriterOptions options;
    options.dir = "/db";
    options.number = 1;
    options.table = 1;
    options.schema = schema;
    options.codec = codec;
    options.key_columns = {0};
    options.batch_rows = 64;
    options.write_kind = true;
    options.compression = compression;
    options.write_seq = true;
    options.file_system = files;
    auto writer = Must(SstWriter::Create(options));
    arrow::Int64Builder ids;
    arrow::StringBuilder notes;
    arrow::DoubleBuilder scores;
    const auto any = Must(arrow::MakeBuilder(Any()));
    auto* dense = static_cast<arrow::DenseUnionBuilder*>(any.get());
    std::vector<SequenceNumber> sequences;
    std::vector<uint8_t> kinds;
    for (int64_t i = 0; i < 200; ++i) {
      Must(ids.Append(i * 3));
      // Long enough that some buffers shrink and some do not.
      Must(i % 5 == 0 ? notes.AppendNull() : notes.Append("a note, note " + std::to_string(i)));
      Must(scores.Append(static_cast<double>(i) / 4));
      Must(dense->Append(i % 3 == 0 ? 7 : 2));
      auto* child = dense->child_builder(i % 3 == 0 ? 0 : 1).get();
      Must(i % 3 == 0 ? static_cast<arrow::BooleanBuilder*>(child)->Append(true)
                      : static_cast<arrow::Int64Builder*>(child)->Append(i));
      sequences.push_back(static_cast<SequenceNumber>(i + 1));
      kinds.push_back(i % 17 == 0 ? 1 : 0);
    }
    const auto rows = arrow::RecordBatch::Make(
        schema, 200,
        {Must(ids.Finish()), Must(notes.Finish()), Must(scores.Finish()), Must(any->Finish())});
    Must(writer->Append(*rows, sequences.data(), kinds.data(), nullptr));
    meta = Must(writer->Finish(1, 200));
    arrow_bytes = Must(files->ReadFile("/db/" + SstArrowName(1)));
    idx_bytes = Must(files->ReadFile("/db/" + SstIdxName(1)));
  }

  /// Open the two files and read all there is to read.
  Status ReadAll(std::string_view arrow_file, std::string_view idx_file, const FileMeta& file_meta,
                 VerifyReads verify = VerifyReads::kFirst) const {
    auto files = std::make_shared<io::MemoryFileSystem>();
    Must(files->CreateDirs("/db"));
    WriteFile(files.get(), "/db/" + SstArrowName(1), arrow_file);
    WriteFile(files.get(), "/db/" + SstIdxName(1), idx_file);
    SstReaderOptions options;
    options.dir = "/db";
    options.schema = schema;
    options.codec = codec;
    options.file_system = files;
    options.verify = verify;
    MARBLE_ASSIGN_OR_RETURN(auto reader, SstReader::Open(options, file_meta));
    for (const int64_t id : {0, 3, 4, 300, 597, 1'000'000}) {
      const std::string key = Must(codec->EncodeScalars({arrow::MakeScalar(id)}));
      const uint64_t hash = HashKey(key);
      (void)reader->MayContain(key, hash);
      MARBLE_RETURN_NOT_OK(reader->Find(key, hash).status());
      MARBLE_RETURN_NOT_OK(reader->LowerBound(key).status());
    }
    std::string scratch;
    for (int64_t row = 0; row < reader->num_rows(); row += 7) {
      MARBLE_RETURN_NOT_OK(reader->KeyAt(row, &scratch).status());
    }
    for (int64_t batch = 0; batch < reader->num_batches(); ++batch) {
      MARBLE_RETURN_NOT_OK(reader->ReadBatch(batch).status());
      for (int column = 0; column < schema->num_fields(); ++column)
        (void)reader->zone_map(batch, column);
    }
    return reader->Verify();
  }
};

/// The same rows without compression and with each.
inline const std::vector<SstSample>& Samples() {
  static const auto* samples = new std::vector<SstSample>{
      SstSample(Compression::kNone), SstSample(Compression::kLz4), SstSample(Compression::kZstd)};
  return *samples;
}

}  // namespace marble::lsm::fuzz
