// Writes sound files as the beginning of each target's corpus: seeds FOLDER.
#include <filesystem>
#include <fstream>

#include "lsm/db.h"
#include "sst_sample.h"

using namespace marble;
using namespace marble::lsm;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  const auto save = [&](const char* target, const std::string& name, const std::string& bytes) {
    std::filesystem::create_directories(folder / target);
    for (const char* end : {"", "x"}) {  // the length says whether checksums are put right
      std::ofstream(folder / target / (name + end), std::ios::binary) << bytes << end;
    }
  };
  for (const auto& sample : fuzz::Samples()) {
    const std::string name = "sound-" + std::string(CompressionName(sample.meta.compression));
    save("fuzz_arrow", name, sample.arrow_bytes);
    save("fuzz_idx", name, sample.idx_bytes);
  }

  auto files = std::make_shared<io::MemoryFileSystem>();
  DbOptions options;
  options.file_system = files;
  options.log_segment_bytes = 16 << 10;
  auto db = fuzz::Must(DB::Open("/db", options));
  TableDescriptor family;
  family.name = "s";
  family.schema = arrow::schema(
      {arrow::field("key", arrow::binary(), false), arrow::field("value", arrow::binary(), false)});
  family.key_columns = {0};
  family.is_state_family = true;
  TableDescriptor table;
  table.name = "t";
  table.schema = fuzz::Samples()[0].schema;
  table.options.compression = Compression::kZstd;
  table.key_columns = {0};
  const auto s = fuzz::Must(db->CreateTable(family, false));
  fuzz::Must(db->CreateTable(table, false));
  for (int i = 0; i < 60; ++i) {
    WriteBatch batch;
    fuzz::Must(batch.Put(s, "key" + std::to_string(i), std::string(static_cast<size_t>(i), 'v')));
    if (i % 3 == 0) fuzz::Must(batch.Delete(s, "key" + std::to_string(i / 2)));
    if (i % 9 == 0) fuzz::Must(batch.DeleteRange(s, "key1", "key2"));
    fuzz::Must(db->Write(std::move(batch), {}));
    if (i == 20) fuzz::Must(db->Flush());
  }
  fuzz::Must(db->Close());
  db.reset();
  for (const std::string& name : fuzz::Must(files->List("/db"))) {
    std::string bytes = fuzz::Must(files->ReadFile("/db/" + name));
    bytes.resize(bytes.find_last_not_of('\0') + 1);
    if (name.ends_with(".log")) save("fuzz_log", name, bytes);
    if (!name.starts_with("MANIFEST")) continue;
    save("fuzz_manifest", name, bytes);
    // Its records as fuzz_manifest frames them: a length of two bytes instead of checksum and
    // length.
    std::string records;
    size_t at = 8 + 1 + 16 + 1 + 4;
    while (at + 8 <= bytes.size()) {
      uint32_t length;
      std::memcpy(&length, bytes.data() + at + 4, sizeof length);
      if (length > bytes.size() - at - 8) break;
      records.append(reinterpret_cast<const char*>(&length), 2);
      records.append(bytes, at + 8, length);
      at += 8 + length;
    }
    if (records.size() % 2 != 0) records.push_back('\0');
    save("fuzz_manifest", "records", records);
  }
  return 0;
}
