// scripts/bench reads: what reading by mapping is worth. In one process, in turn:
//
//   scans of a table of three columns (int64 key, float64, int32), adding up every value: through
//   a table's scan, by pread of each batch into one buffer that is used again, and over plain
//   arrays in memory, which is what the machine's memory gives one thread; values of random keys of
//   a state family: where they lie in the mapping, and by pread. Both find them by the mapped
//   index: what is compared is how the value is read; Gets of 1,000 hot keys of that family, and
//   what they would cost with a cache of values in front of the files that never misses: a Get that
//   ends before it looks into a file (its key lies beyond the last one), and a probe of a table
//   that holds the hot keys. The store's answer is consistent only if the cache is asked after the
//   version, the sequence and the memtables.
//
// Every side's sums are compared; a difference voids all figures. One thread reads.
//   read_bench DIRECTORY [million rows [runs]]
#include <arrow/api.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "lsm/db.h"
#include "lsm/sst/sst_reader.h"
#include "lsm/write/write_batch.h"
#include "table/scan.h"
#include "table/table.h"

namespace marble::table {
namespace {

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "error: %s\n", what.c_str());
  std::exit(1);
}
void Must(const Status& status) {
  if (!status.ok()) Fail(status.ToString());
}
template <typename T>
T Must(Result<T> result) {
  Must(result.status());
  return *std::move(result);
}

constexpr int64_t kBatchRows = 64 * 1024;
constexpr uint64_t kLookups = 1'000'000;
constexpr size_t kKeyBytes = 16;
constexpr size_t kValueBytes = 100;
constexpr std::array<int, 3> kColumnBytes = {8, 8, 4};
constexpr int64_t kRowBytes = 20;

/// Per column, of the values' bits.
using Sums = std::array<uint64_t, 3>;

template <typename T>
uint64_t SumOf(const void* data, int64_t rows) {
  const T* values = static_cast<const T*>(data);
  uint64_t sum = 0;
  for (int64_t i = 0; i < rows; ++i) sum += values[i];
  return sum;
}
void Add(Sums* sums, const std::array<const void*, 3>& columns, int64_t rows) {
  (*sums)[0] += SumOf<uint64_t>(columns[0], rows);
  (*sums)[1] += SumOf<uint64_t>(columns[1], rows);
  (*sums)[2] += SumOf<uint32_t>(columns[2], rows);
}

/// The rows as plain arrays: the truth, and the bandwidth of memory.
struct Columns {
  std::vector<int64_t> id;
  std::vector<double> a;
  std::vector<int32_t> b;
};
Columns MakeColumns(int64_t rows) {
  Columns columns;
  std::mt19937_64 random(7);
  for (int64_t i = 0; i < rows; ++i) {
    columns.id.push_back(i * 3);
    columns.a.push_back(static_cast<double>(random() % 1'000'000) / 7);
    columns.b.push_back(static_cast<int32_t>(random()));
  }
  return columns;
}

template <typename Array, typename T>
std::shared_ptr<arrow::Array> Wrap(const std::vector<T>& values, int64_t from, int64_t rows) {
  const auto bytes = static_cast<int64_t>(sizeof(T));
  return std::make_shared<Array>(
      rows, std::make_shared<arrow::Buffer>(reinterpret_cast<const uint8_t*>(values.data() + from),
                                            rows * bytes));
}

lsm::TableHandle MakeTable(lsm::DB* db, const Columns& columns) {
  const auto schema = arrow::schema({arrow::field("id", arrow::int64(), false),
                                     arrow::field("a", arrow::float64(), false),
                                     arrow::field("b", arrow::int32(), false)});
  const auto table =
      Must(db->CreateTable(Must(MakeTableDescriptor("rows", schema, {"id"})), false));
  const auto total = static_cast<int64_t>(columns.id.size());
  for (int64_t at = 0; at < total; at += kBatchRows) {
    const int64_t rows = std::min(kBatchRows, total - at);
    lsm::WriteBatch batch;
    Must(batch.Insert(table,
                      arrow::RecordBatch::Make(schema, rows,
                                               {Wrap<arrow::Int64Array>(columns.id, at, rows),
                                                Wrap<arrow::DoubleArray>(columns.a, at, rows),
                                                Wrap<arrow::Int32Array>(columns.b, at, rows)})));
    Must(db->Write(std::move(batch), {}).status());
  }
  Must(db->Compact("rows"));
  return table;
}

std::string KeyOf(uint64_t i) {
  char key[kKeyBytes + 1];
  std::snprintf(key, sizeof key, "%016llu", static_cast<unsigned long long>(i));
  return {key, kKeyBytes};
}

lsm::TableHandle MakeState(lsm::DB* db, uint64_t keys) {
  const auto state = Must(db->CreateTable(MakeStateDescriptor("state"), false));
  std::mt19937_64 random(11);
  std::string value(kValueBytes, '\0');
  for (uint64_t i = 0; i < keys;) {
    lsm::WriteBatch batch;
    for (int n = 0; n < 1000 && i < keys; ++n, ++i) {
      for (size_t c = 0; c + 8 <= kValueBytes; c += 8) {
        const uint64_t bits = random();
        std::memcpy(value.data() + c, &bits, 8);
      }
      Must(batch.Put(state, KeyOf(i), value));
    }
    Must(db->Write(std::move(batch), {}).status());
  }
  Must(db->Compact("state"));
  return state;
}

/// A file that is open for pread.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) Fail(path + ": cannot be opened");
  }
  ~OpenFile() { ::close(fd_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  void Read(void* to, size_t size, uint64_t offset) const {
    if (::pread(fd_, to, size, static_cast<off_t>(offset)) != static_cast<ssize_t>(size)) {
      Fail("a read was short");
    }
  }

 private:
  const int fd_;
};

/// A whole batch of a file, as the scan met it.
struct Stretch {
  std::shared_ptr<const lsm::SstReader> sst;
  int64_t batch;
  const OpenFile* file;
};
using OpenFiles = std::map<std::string, std::unique_ptr<OpenFile>>;

std::vector<Stretch> StretchesOf(lsm::DB* db, const lsm::TableHandle& table, OpenFiles* files) {
  std::vector<Stretch> stretches;
  const auto scan = Must(NewScan(db, table, {}));
  while (true) {
    const lsm::ScanBatch step = Must(scan->Next());
    if (step.batch == nullptr) return stretches;
    if (step.sst == nullptr || step.first_row != 0 ||
        step.sst->layout(step.sst_batch).rows != step.batch->num_rows()) {
      Fail("a batch of a compacted table came out in pieces");
    }
    auto& file = (*files)[step.sst->file()->path()];
    if (file == nullptr) file = std::make_unique<OpenFile>(step.sst->file()->path());
    stretches.push_back({step.sst, step.sst_batch, file.get()});
  }
}

struct Side {
  std::string name;
  std::function<void()> run;
  std::vector<double> seconds{};
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Run the sides in turn, once to warm up and `runs` times for the record.
void Measure(std::vector<Side>* sides, int runs) {
  for (int run = -1; run < runs; ++run) {
    for (Side& side : *sides) {
      const auto begin = std::chrono::steady_clock::now();
      side.run();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      if (run < 0) {
        std::printf("  %-34s first %8.2f ms\n", side.name.c_str(), took.count() * 1e3);
      } else {
        side.seconds.push_back(took.count());
      }
    }
  }
}

void MeasureScans(lsm::DB* db, int64_t rows, int runs) {
  const Columns columns = MakeColumns(rows);
  const lsm::TableHandle table = MakeTable(db, columns);
  OpenFiles files;
  const std::vector<Stretch> stretches = StretchesOf(db, table, &files);
  Sums truth{};
  const auto plain = [&](Sums* sums) {
    Add(sums, {columns.id.data(), columns.a.data(), columns.b.data()}, rows);
  };
  plain(&truth);
  const auto check = [&](const Sums& sums) {
    if (sums != truth) Fail("void: the sums differ");
  };
  std::vector<uint64_t> buffer;  // aligned for every column
  std::vector<Side> sides;
  sides.push_back({"plain arrays in memory", [&] {
                     Sums sums{};
                     plain(&sums);
                     check(sums);
                   }});
  sides.push_back({"table scan, mapped", [&] {
                     Sums sums{};
                     const auto scan = Must(NewScan(db, table, {}));
                     while (true) {
                       const lsm::ScanBatch step = Must(scan->Next());
                       if (step.batch == nullptr) break;
                       std::array<const void*, 3> data{};
                       for (int c = 0; c < 3; ++c) {
                         const arrow::ArrayData& column = *step.batch->column_data(c);
                         data[c] = column.buffers[1]->data() + column.offset * kColumnBytes[c];
                       }
                       Add(&sums, data, step.batch->num_rows());
                     }
                     check(sums);
                   }});
  sides.push_back({"pread of each batch", [&] {
                     Sums sums{};
                     for (const Stretch& stretch : stretches) {
                       const lsm::BatchLayout& layout = stretch.sst->layout(stretch.batch);
                       uint64_t begin = UINT64_MAX, end = 0;
                       for (const lsm::BufferSpan& span : layout.buffers) {
                         if (span.length == 0) continue;
                         begin = std::min<uint64_t>(begin, span.offset);
                         end = std::max<uint64_t>(end, span.offset + span.length);
                       }
                       buffer.resize((end - begin + 7) / 8);
                       stretch.file->Read(buffer.data(), end - begin, begin);
                       std::array<const void*, 3> data{};
                       for (size_t c = 0; c < 3; ++c) {
                         // Of each column a validity bitmap and the values.
                         data[c] = reinterpret_cast<const char*>(buffer.data()) +
                                   (layout.buffers[2 * c + 1].offset - begin);
                       }
                       Add(&sums, data, layout.rows);
                     }
                     check(sums);
                   }});
  std::printf("scan of %lld rows in %zu batches, %zu files, every value added up; %d runs\n",
              static_cast<long long>(rows), stretches.size(), files.size(), runs);
  Measure(&sides, runs);
  const double bytes = static_cast<double>(rows * kRowBytes);
  for (const Side& side : sides) {
    const double median = Median(side.seconds);
    std::printf("  %-34s median %8.2f ms, best %8.2f ms, %6.2f GB/s, %5.2f of memory's\n",
                side.name.c_str(), median * 1e3,
                *std::min_element(side.seconds.begin(), side.seconds.end()) * 1e3,
                bytes / median / 1e9, Median(sides[0].seconds) / median);
  }
  std::printf("  mapped is %.2f times pread\n",
              Median(sides[2].seconds) / Median(sides[1].seconds));
}

/// What a cache of values could be at best: no eviction, no other thread, no key misses.
class HotValues {
 public:
  void Add(std::string_view key, std::string value) {
    size_t at = HashKey(key) % slots_.size();
    while (!slots_[at].key.empty()) at = (at + 1) % slots_.size();
    slots_[at] = {std::string(key), std::move(value)};
  }
  const std::string* Find(std::string_view key, uint64_t hash) const {
    for (size_t at = hash % slots_.size(); !slots_[at].key.empty(); at = (at + 1) % slots_.size()) {
      if (slots_[at].key == key) return &slots_[at].value;
    }
    return nullptr;
  }

 private:
  struct Slot {
    std::string key;
    std::string value;
  };
  std::vector<Slot> slots_ = std::vector<Slot>(4096);
};

void MeasureHotKeys(lsm::DB* db, uint64_t keys, int runs) {
  const lsm::TableHandle state = Must(db->GetTable("state"));
  constexpr size_t kHot = 1000;
  std::vector<std::string> hot, beyond;
  std::mt19937_64 random(17);
  HotValues cache;
  for (size_t i = 0; i < kHot; ++i) {
    hot.push_back(KeyOf(random() % keys));
    beyond.push_back(hot.back());
    beyond.back().front() = '9';
    if (cache.Find(hot.back(), HashKey(hot.back())) != nullptr) continue;
    cache.Add(hot.back(), std::string(Must(db->Get(state, hot.back(), {}))->bytes));
  }
  std::vector<uint16_t> order(kLookups);
  for (uint16_t& at : order) at = static_cast<uint16_t>(random() % kHot);
  uint64_t expected = 0;
  const auto add = [](uint64_t* sum, std::string_view value) {
    for (size_t c = 0; c + 8 <= value.size(); c += 8) {
      uint64_t bits;
      std::memcpy(&bits, value.data() + c, 8);
      *sum += bits;
    }
  };
  const auto check = [&](uint64_t sum) {
    if (expected == 0) expected = sum;
    if (sum != expected) Fail("void: the sums differ");
  };
  std::vector<Side> sides;
  sides.push_back({"Get", [&] {
                     uint64_t sum = 0;
                     for (const uint16_t at : order) {
                       add(&sum, Must(db->Get(state, hot[at], {}))->bytes);
                     }
                     check(sum);
                   }});
  sides.push_back({"Get without a file, and a cache", [&] {
                     uint64_t sum = 0;
                     for (const uint16_t at : order) {
                       if (Must(db->Get(state, beyond[at], {}))) Fail("void: a key was found");
                       add(&sum, *cache.Find(hot[at], HashKey(hot[at])));
                     }
                     check(sum);
                   }});
  std::printf("Gets of %zu hot keys of %llu; %d runs\n", kHot,
              static_cast<unsigned long long>(keys), runs);
  Measure(&sides, runs);
  for (const Side& side : sides) {
    std::printf("  %-34s median %8.1f ns, best %8.1f ns\n", side.name.c_str(),
                Median(side.seconds) / kLookups * 1e9,
                *std::min_element(side.seconds.begin(), side.seconds.end()) / kLookups * 1e9);
  }
  std::printf("  a cache that never misses makes hot reads %.2f times as fast\n",
              Median(sides[0].seconds) / Median(sides[1].seconds));
}

void MeasureLookups(lsm::DB* db, uint64_t keys, int runs) {
  const lsm::TableHandle state = MakeState(db, keys);
  OpenFiles files;
  std::vector<Stretch> stretches = StretchesOf(db, state, &files);
  // One of each file, by the last key.
  std::map<std::string, Stretch> by_last_key;
  for (Stretch& stretch : stretches) {
    by_last_key.insert_or_assign(stretch.sst->meta().max_key, stretch);
  }
  std::vector<std::string> order;
  std::mt19937_64 random(13);
  order.reserve(kLookups);
  for (uint64_t i = 0; i < kLookups; ++i) order.push_back(KeyOf(random() % keys));
  uint64_t expected = 0;
  bool first = true;
  // `read`: the value's bytes, from where they lie.
  const auto all = [&](const std::function<const char*(const Stretch&, std::string_view)>& read) {
    uint64_t sum = 0;
    for (const std::string& key : order) {
      const Stretch& file = by_last_key.lower_bound(key)->second;
      const auto found = Must(file.sst->FindBytes(key, HashKey(key)));
      if (!found || found->size() != kValueBytes) Fail("a key was not found");
      const char* value = read(file, *found);
      for (size_t c = 0; c + 8 <= kValueBytes; c += 8) {
        uint64_t bits;
        std::memcpy(&bits, value + c, 8);
        sum += bits;
      }
    }
    if (first) expected = sum;
    first = false;
    if (sum != expected) Fail("void: the sums differ");
  };
  std::array<char, kValueBytes> buffer;
  std::vector<Side> sides;
  sides.push_back({"value in the mapping", [&] {
                     all([](const Stretch&, std::string_view value) { return value.data(); });
                   }});
  sides.push_back({"value by pread", [&] {
                     all([&](const Stretch& file, std::string_view value) {
                       const auto offset =
                           static_cast<uint64_t>(value.data() - file.sst->file()->bytes().data());
                       file.file->Read(buffer.data(), value.size(), offset);
                       return static_cast<const char*>(buffer.data());
                     });
                   }});
  std::printf("values of %llu random keys of %llu, in %zu files; %d runs\n",
              static_cast<unsigned long long>(kLookups), static_cast<unsigned long long>(keys),
              files.size(), runs);
  Measure(&sides, runs);
  for (const Side& side : sides) {
    std::printf("  %-34s median %8.1f ns, best %8.1f ns\n", side.name.c_str(),
                Median(side.seconds) / kLookups * 1e9,
                *std::min_element(side.seconds.begin(), side.seconds.end()) / kLookups * 1e9);
  }
  std::printf("  mapped is %.2f times pread\n",
              Median(sides[1].seconds) / Median(sides[0].seconds));
}

int Main(int argc, char** argv) {
  const int64_t millions = argc > 2 ? std::atoll(argv[2]) : 10;
  const int runs = argc > 3 ? std::atoi(argv[3]) : 15;
  if (argc < 2 || millions <= 0 || runs <= 0) {
    std::fprintf(stderr, "error: usage: read_bench DIRECTORY [million rows [runs]]\n");
    return 2;
  }
  const std::string directory = std::string(argv[1]) + "/db";
  const auto db = Must(lsm::DB::Open(directory, {}));
  MeasureScans(db.get(), millions * 1'000'000, runs);
  MeasureLookups(db.get(), 1'000'000, runs);
  MeasureHotKeys(db.get(), 1'000'000, runs);
  Must(db->Close());
  return 0;
}

}  // namespace
}  // namespace marble::table

int main(int argc, char** argv) { return marble::table::Main(argc, argv); }
