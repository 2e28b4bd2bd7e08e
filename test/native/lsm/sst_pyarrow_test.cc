// An SSTable's .arrow file is an ordinary Arrow file: another reader opens it.
#include "sst_test_util.h"

#include <cstdio>
#include <cstdlib>

namespace marble::lsm {
namespace {

/// The lines that a command prints; fails the test when the command fails.
std::vector<std::string> LinesOf(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  std::string output;
  char chunk[4096];
  for (size_t n = 0; (n = std::fread(chunk, 1, sizeof(chunk), pipe)) > 0;) {
    output.append(chunk, n);
  }
  EXPECT_EQ(::pclose(pipe), 0) << command;
  std::vector<std::string> lines;
  for (size_t at = 0; at < output.size();) {
    const size_t end = std::min(output.find('\n', at), output.size());
    lines.push_back(output.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

class SstPyarrow : public ::testing::TestWithParam<Compression> {};
INSTANTIATE_TEST_SUITE_P(Codecs, SstPyarrow,
                         ::testing::Values(Compression::kNone, Compression::kLz4,
                                           Compression::kZstd),
                         [](const auto& info) { return std::string(CompressionName(info.param)); });

TEST_P(SstPyarrow, OpensTheFileAndReadsTheSameRows) {
  const char* python = std::getenv("MARBLE_PYARROW_PYTHON");
  ASSERT_NE(python, nullptr)
      << "MARBLE_PYARROW_PYTHON must name a python that has pyarrow: scripts/test sets it";
  TempDir dir;
  const auto schema = arrow::schema(
      {arrow::field("sym", arrow::utf8(), false), arrow::field("px", arrow::int64(), false),
       arrow::field("tags", arrow::list(arrow::utf8())), arrow::field("raw", arrow::binary())});
  const auto codec = Must(KeyCodec::Make(schema, {0}));
  arrow::StringBuilder sym;
  arrow::Int64Builder px;
  const auto tag_values = std::make_shared<arrow::StringBuilder>();
  arrow::ListBuilder tags(arrow::default_memory_pool(), tag_values);
  arrow::BinaryBuilder raw;
  std::vector<SequenceNumber> sequences;
  std::vector<uint8_t> kinds;
  std::vector<std::string> want = {
      R"({"schema": [["sym", "string", false], ["px", "int64", true], )"
      R"(["tags", "list<item: string>", true], ["raw", "binary", true], )"
      R"(["__seq", "uint64", false], ["__kind", "uint8", false]], "rows": 10})"};
  for (int i = 0; i < 10; ++i) {
    const bool tombstone = i == 4;
    const std::string n = std::to_string(i);
    ASSERT_OK(sym.Append("s" + n));
    ASSERT_OK(tombstone ? px.AppendNull() : px.Append(i * 1000));
    if (tombstone) {
      ASSERT_OK(tags.AppendNull());
      ASSERT_OK(raw.AppendNull());
    } else {
      ASSERT_OK(tags.Append());
      ASSERT_OK(tag_values->Append("t" + n));
      ASSERT_OK(tag_values->AppendNull());
      ASSERT_OK(raw.Append(std::string("\x00\xff", 2)));
    }
    sequences.push_back(100 + i);
    kinds.push_back(tombstone);
    want.push_back(
        tombstone
            ? R"({"sym": "s4", "px": null, "tags": null, "raw": null, "__seq": 104, "__kind": 1})"
            : "{\"sym\": \"s" + n + "\", \"px\": " + std::to_string(i * 1000) + ", \"tags\": [\"t" +
                  n + "\", null], \"raw\": \"00ff\", \"__seq\": " + std::to_string(100 + i) +
                  ", \"__kind\": 0}");
  }
  const auto rows =
      arrow::RecordBatch::Make(schema, 10,
                               arrow::ArrayVector{Must(sym.Finish()), Must(px.Finish()),
                                                  Must(tags.Finish()), Must(raw.Finish())});
  SstWriterOptions options{.dir = dir.path(), .number = 12, .schema = schema, .codec = codec};
  options.key_columns = {0};
  options.write_seq = true;
  options.write_kind = true;
  options.batch_rows = 3;
  options.compression = GetParam();
  Random random(1);
  WriteFile(options, *rows, &random, sequences.data(), kinds.data());

  const auto script = std::filesystem::path(__FILE__).parent_path() / "read_with_pyarrow.py";
  const auto lines = LinesOf("'" + std::string(python) + "' '" + script.string() + "' '" +
                             dir.path() + "/000012.arrow'");
  EXPECT_EQ(lines, want);
}

}  // namespace
}  // namespace marble::lsm
