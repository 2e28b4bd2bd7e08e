// Random operations against std::map: seven tables, batches across them, snapshots, flushes,
// compactions of tables and of ranges, reopenings and crashes; gets and scans in both directions,
// bounded and limited. One family is merged into; of two tables columns are added, dropped and
// renamed, and old snapshots read with the columns of then and of now. Levels and files are so
// small, by seed, that data lies in several levels and compactions of several kinds run beside the
// operations. Files are compressed, by level and seed.
// MARBLE_MODEL_SEEDS: how many seeds (default 4); MARBLE_MODEL_SEED: one seed alone.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

#include "altered_table.h"

namespace marble::lsm {
namespace {

using namespace testing;

struct Model {
  std::map<std::string, std::string> s;  // state family
  std::map<std::string, std::string> z;  // state family with a lazy index
  std::map<std::string, TypedRow> t;     // typed table by encoded key
  std::map<std::string, std::string> m;  // state family of counters, merged into
  std::vector<int64_t> log;              // table without a key
  AlteredTable::State a, e;              // tables whose columns change: with a key, without
};

class ModelRun {
 public:
  explicit ModelRun(uint64_t seed) : random_(seed) {
    const auto pick = [this](size_t below) { return Pick(below); };
    options_.log_segment_bytes = Pick(2) ? 32 << 10 : 1 << 20;
    options_.compaction_trigger = 2 + Pick(6);
    options_.max_immutable_generations = 1 + Pick(4);
    options_.max_block_ms = 60'000;
    options_.target_file_bytes = 1 << (10 + Pick(6));
    options_.level_base_bytes = options_.target_file_bytes * static_cast<uint64_t>(1 + Pick(6));
    options_.level_multiplier = 2 + Pick(5);
    options_.max_compactions = 1 + Pick(3);
    options_.max_subcompactions = 1 + Pick(3);
    if (Pick(4) == 0) options_.compaction_bytes_per_second = 2 << 20;
    // Hardly anything stays decoded, or all of it.
    options_.decoded_cache_bytes = Pick(2) ? 100 << 10 : 16 << 20;
    for (TableOptions* table : {&s_options_, &z_options_, &t_options_}) RandomCompression(table);
    log_options_.compression = static_cast<Compression>(Pick(3));
    TableOptions a, e;
    RandomCompression(&a);
    a.batch_rows = Pick(2) ? 64 : 1000;
    a.point_index = Pick(3) != 0;
    e.compression = static_cast<Compression>(Pick(3));
    a_ = std::make_unique<AlteredTable>("a", /*keyed=*/true, a, pick);
    e_ = std::make_unique<AlteredTable>("e", /*keyed=*/false, e, pick);
    dir_ = std::make_unique<TempDir>(TempDir::Place::kMemory);
    Open();
  }

  void Run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      const int what = Pick(100);
      if (what < 43) {
        WriteRandomBatch();
      } else if (what < 61) {
        CheckGets();
      } else if (what < 77) {
        CheckScan();
      } else if (what < 82) {
        if (Pick(3) == 0) {
          e_->Alter(db_.get(), &model_.e);
        } else {
          a_->Alter(db_.get(), &model_.a);
        }
        ++alterations_;
      } else if (what < 86) {
        snapshots_.emplace_back(db_->GetSnapshot(), model_);
      } else if (what < 89) {
        if (!snapshots_.empty()) snapshots_.erase(snapshots_.begin() + Pick(snapshots_.size()));
      } else if (what < 94) {
        Must(db_->Flush());
      } else if (what < 96) {
        CompactSomething();
      } else if (what < 98) {
        snapshots_.clear();
        Must(db_->Close());
        db_.reset();
        Open();
      } else {
        Crash();
      }
    }
    CheckAll();
  }

  /// The most sorted levels that one table had data in.
  size_t most_levels() const { return most_levels_; }
  int alterations() const { return alterations_; }

 private:
  int Pick(size_t below) { return static_cast<int>(random_() % below); }

  void Open() {
    db_ = Must(DB::Open(dir_->path(), options_));
    TableOptions& small = s_options_;
    small.batch_rows = 37;
    TableOptions& lazy = z_options_;
    lazy.lazy_index = true;
    lazy.point_index = false;
    s_ = Must(db_->CreateTable(StateFamily("s", small), true));
    z_ = Must(db_->CreateTable(StateFamily("z", lazy), true));
    t_ = Must(db_->CreateTable(TypedTable("t", t_options_), true));
    TableOptions counters;
    counters.merge_operator = "int64add";
    m_ = Must(db_->CreateTable(StateFamily("m", counters), true));
    a_->Open(db_.get(), &model_.a);
    e_->Open(db_.get(), &model_.e);
    TableDescriptor log = AppendTable("log");
    log.options = log_options_;
    log_ = Must(db_->CreateTable(std::move(log), true));
  }

  /// None, one of all levels, or one for each.
  void RandomCompression(TableOptions* table) {
    switch (Pick(4)) {
      case 0:
        return;
      case 1:
        table->compression = static_cast<Compression>(1 + Pick(2));
        return;
      default:
        for (int levels = 1 + Pick(limits::kNumLevels); levels > 0; --levels) {
          table->compression_per_level.push_back(static_cast<Compression>(Pick(3)));
        }
    }
  }

  void CompactSomething() {
    switch (Pick(5)) {
      case 0:
        Must(db_->Compact(Pick(2) ? "" : "t"));
        break;
      case 4: {
        CompactOptions options;
        options.bottommost = static_cast<BottommostFiles>(Pick(3));
        Must(db_->CompactRange(Pick(3) ? "a" : "e", "", "", options));
        break;
      }
      case 1: {
        CompactOptions options;
        options.bottommost = static_cast<BottommostFiles>(Pick(3));
        options.progress = [](uint64_t done, uint64_t total) { EXPECT_LE(done, total); };
        Must(db_->CompactRange(Pick(2) ? "s" : "log", "", "", options));
        break;
      }
      default: {
        std::string from = RandomKey(), to = Pick(4) ? RandomKey() : "";
        if (!to.empty() && to < from) std::swap(from, to);
        if (from == to) to.clear();
        if (Pick(3) == 0) {
          const int64_t id = Pick(20'000);
          from = TypedKey(t_, id, "");
          to = TypedKey(t_, id + 1 + Pick(5000), "");
          Must(db_->CompactRange("t", from, to, {}));
        } else {
          Must(db_->CompactRange(Pick(2) ? "s" : "z", from, to, {}));
        }
      }
    }
    NoteLevels();
  }

  void NoteLevels() {
    for (const TableMetrics& table : db_->metrics().tables) {
      size_t levels = 0;
      for (const LevelMetrics& level : table.levels) levels += level.level > 0 && level.files > 0;
      most_levels_ = std::max(most_levels_, levels);
    }
  }

  /// What SIGKILL at this moment would leave: the directory as it is.
  void Crash() {
    snapshots_.clear();
    auto copy = std::make_unique<TempDir>(TempDir::Place::kMemory);
    const auto listing = [&] {
      std::map<std::string, uintmax_t> out;
      for (const auto& e : std::filesystem::directory_iterator(dir_->path())) {
        const std::string name = e.path().filename().string();
        std::error_code ec;
        out[name] = name.starts_with("MANIFEST") ? std::filesystem::file_size(e.path(), ec) : 0;
      }
      return out;
    };
    while (true) {  // until no flush has changed the directory meanwhile
      const auto before = listing();
      std::error_code ec;
      std::filesystem::copy(dir_->path(), copy->path(), std::filesystem::copy_options::recursive,
                            ec);
      if (!ec && listing() == before) break;
      copy = std::make_unique<TempDir>(TempDir::Place::kMemory);
    }
    Must(db_->Close());
    db_.reset();
    dir_ = std::move(copy);
    Open();
  }

  std::string RandomKey() {
    switch (Pick(12)) {
      case 0:
        return "";
      case 1:
        return std::string(1 + Pick(3), '\0');
      case 2:
        return std::string(1 + Pick(3), '\xff');
      default:
        return "k" + std::to_string(Pick(60)) + (Pick(4) ? "" : "suffix-longer-than-8");
    }
  }
  std::string RandomValue() { return std::string(Pick(Pick(20) ? 40 : 3000), 'a' + Pick(26)); }
  TypedRow RandomRow() {
    TypedRow row{Pick(40) - 5, std::string(1, 'a' + Pick(3)), {}, {}, {}};
    if (Pick(4)) row.score = Pick(1000) / 8.0;
    if (Pick(4)) row.note = RandomValue();
    if (Pick(4)) row.flag = Pick(2) == 1;
    return row;
  }

  template <typename Map>
  static void EraseRange(Map* map, const std::string& from, const std::string& to) {
    map->erase(map->lower_bound(from), to.empty() ? map->end() : map->lower_bound(to));
  }

  void WriteRandomBatch() {
    WriteBatch batch;
    const int ops = 1 + Pick(6);
    for (int i = 0; i < ops; ++i) {
      auto& [handle, map] = Pick(2) ? state_s_ : state_z_;
      const TableHandle& state = *handle;
      switch (Pick(16)) {
        case 12:
        case 13:
          a_->Insert(&batch, &model_.a);
          break;
        case 14:
          if (Pick(2)) {
            a_->Delete(&batch, &model_.a);
          } else {
            e_->Insert(&batch, &model_.e);
          }
          break;
        case 15:
          Count(&batch);
          break;
        case 0:
        case 1:
        case 2:
        case 3: {
          const std::string key = RandomKey(), value = RandomValue();
          Must(batch.Put(state, key, value));
          (*map)[key] = value;
          break;
        }
        case 4: {
          const std::string key = RandomKey();
          Must(batch.Delete(state, key));
          map->erase(key);
          break;
        }
        case 5: {
          std::string from = RandomKey(), to = Pick(8) ? RandomKey() : "";
          if (!to.empty() && to < from) std::swap(from, to);
          Must(batch.DeleteRange(state, from, to));
          if (from != to || to.empty()) EraseRange(map, from, to);
          break;
        }
        case 6:
        case 7:
          InsertTyped(&batch);
          break;
        case 8: {
          std::vector<std::pair<int64_t, std::string>> keys;
          for (int k = 1 + Pick(8); k > 0; --k) {
            const TypedRow row = RandomRow();
            keys.emplace_back(row.id, row.name);
            model_.t.erase(TypedKey(t_, row.id, row.name));
          }
          Must(batch.DeleteRows(t_, KeyBatch(keys)));
          break;
        }
        case 9: {
          const int64_t from = Pick(40) - 5, to = from + 1 + Pick(6);
          Must(batch.DeleteRange(t_, TypedKey(t_, from, ""), TypedKey(t_, to, "")));
          EraseRange(&model_.t, TypedKey(t_, from, ""), TypedKey(t_, to, ""));
          break;
        }
        case 10: {  // Arrow rows into a state family
          arrow::BinaryBuilder keys, values;
          const int rows = 1 + Pick(Pick(10) ? 10 : 1500);
          for (int r = 0; r < rows; ++r) {
            const std::string key = rows > 20 ? "bulk" + std::to_string(Pick(5000)) : RandomKey();
            const std::string value = rows > 20 ? std::to_string(r) : RandomValue();
            Must(keys.Append(key));
            Must(values.Append(value));
            (*map)[key] = value;
          }
          Must(batch.Insert(
              state, arrow::RecordBatch::Make(StateFamily("").schema, rows,
                                              {Must(keys.Finish()), Must(values.Finish())})));
          break;
        }
        default: {
          arrow::Int64Builder n;
          arrow::StringBuilder s;
          const int rows = 1 + Pick(Pick(10) ? 5 : 2500);
          for (int r = 0; r < rows; ++r) {
            const int64_t value = static_cast<int64_t>(model_.log.size());
            Must(n.Append(value));
            Must(s.Append("row " + std::to_string(value)));
            model_.log.push_back(value);
          }
          Must(batch.Insert(log_, arrow::RecordBatch::Make(AppendTable("").schema, rows,
                                                           {Must(n.Finish()), Must(s.Finish())})));
        }
      }
    }
    Must(db_->Write(std::move(batch), {}));
  }

  /// Add to some counters, and set or delete one now and then.
  void Count(WriteBatch* batch) {
    const auto bytes = [](int64_t value) {
      return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
    };
    for (int i = 1 + Pick(Pick(5) ? 4 : 40); i > 0; --i) {
      const std::string key = "n" + std::to_string(Pick(20));
      const auto known = model_.m.find(key);
      const int what = Pick(12);
      if (what == 0) {
        Must(batch->Delete(m_, key));
        model_.m.erase(key);
        continue;
      }
      int64_t value = Pick(1000) - 500;
      Must(what == 1 ? batch->Put(m_, key, bytes(value)) : batch->Merge(m_, key, bytes(value)));
      if (what != 1 && known != model_.m.end()) {
        int64_t before;
        std::memcpy(&before, known->second.data(), sizeof(before));
        value += before;
      }
      model_.m[key] = bytes(value);
    }
  }

  void InsertTyped(WriteBatch* batch) {
    std::vector<TypedRow> rows;
    if (Pick(15) == 0) {  // a long sorted stretch: files with clean ranges
      const int64_t begin = 1000 + Pick(20'000);
      for (int64_t i = 0; i < 3000; ++i) rows.push_back({begin + i, "bulk", i * 0.25, {}, {}});
    } else {
      for (int i = 1 + Pick(30); i > 0; --i) rows.push_back(RandomRow());
    }
    const int64_t skip = Pick(static_cast<size_t>(rows.size()));
    Must(batch->Insert(t_, TypedBatch(rows)->Slice(skip)));
    for (size_t i = static_cast<size_t>(skip); i < rows.size(); ++i) {
      model_.t[TypedKey(t_, rows[i].id, rows[i].name)] = rows[i];
    }
  }

  std::pair<ReadOptions, const Model*> RandomView() {
    if (snapshots_.empty() || Pick(2)) return {ReadOptions{}, &model_};
    const auto& [snapshot, model] = snapshots_[Pick(snapshots_.size())];
    return {ReadOptions{snapshot}, &model};
  }

  /// The columns to read an altered table with: those of a snapshot, or those of now.
  const AlteredTable::State& Columns(const ReadOptions& read, const AlteredTable::State& then,
                                     const AlteredTable::State& now) {
    return read.snapshot != nullptr && Pick(2) ? then : now;
  }

  void CheckGets() {
    NoteLevels();
    const auto [read, model] = RandomView();
    a_->CheckGets(db_.get(), Columns(read, model->a, model_.a), model->a, read);
    for (int i = 0; i < 5; ++i) {
      const std::string key = "n" + std::to_string(Pick(20));
      const auto it = model->m.find(key);
      const auto found = GetState(db_.get(), m_, key, read);
      EXPECT_EQ(found, it == model->m.end() ? std::nullopt : std::optional(it->second)) << key;
    }
    for (int i = 0; i < 20; ++i) {
      const std::string key = RandomKey();
      const auto expect = [&](const auto& map) {
        const auto it = map.find(key);
        return it == map.end() ? std::nullopt : std::optional(it->second);
      };
      EXPECT_EQ(GetState(db_.get(), s_, key, read), expect(model->s));
      EXPECT_EQ(GetState(db_.get(), z_, key, read), expect(model->z));
      const TypedRow row = RandomRow();
      const std::string typed = TypedKey(t_, row.id, row.name);
      const auto found = Must(db_->GetRow(t_, typed, read));
      const auto it = model->t.find(typed);
      ASSERT_EQ(found.has_value(), it != model->t.end());
      if (found) {
        EXPECT_EQ(TypedRowAt(*found->batch, found->row), it->second);
      }
    }
  }

  template <typename Map>
  static std::vector<typename Map::mapped_type> Expected(const Map& map, const ScanOptions& o) {
    std::vector<typename Map::mapped_type> out;
    for (auto it = map.lower_bound(o.range.lower); it != map.end(); ++it) {
      if (!o.range.upper.empty() && it->first >= o.range.upper) break;
      out.push_back(it->second);
    }
    if (o.reverse) std::reverse(out.begin(), out.end());
    if (o.limit >= 0 && static_cast<int64_t>(out.size()) > o.limit) {
      out.resize(static_cast<size_t>(o.limit));
    }
    return out;
  }

  void CheckScan() {
    const auto [read, model] = RandomView();
    ScanOptions o;
    o.read = read;
    o.reverse = Pick(3) == 0;
    if (Pick(3) == 0) o.limit = Pick(200);
    if (Pick(4) == 0) o.batch_rows = 1 + Pick(50);
    ScanOptions keyless = o;
    if (Pick(2)) o.range.lower = RandomKey();
    if (Pick(2)) o.range.upper = RandomKey();
    CheckState(s_, model->s, o);
    CheckState(z_, model->z, o);
    if (!o.range.lower.empty()) o.range.lower = TypedKey(t_, Pick(40) - 5, "b");
    if (!o.range.upper.empty()) o.range.upper = TypedKey(t_, Pick(2) ? 20'000 : Pick(40), "");
    CheckTyped(*model, o);
    CheckLog(*model, keyless);
    CheckState(m_, model->m, keyless);
    a_->CheckScan(db_.get(), Columns(read, model->a, model_.a), model->a, o);
    e_->CheckScan(db_.get(), Columns(read, model->e, model_.e), model->e, keyless);
  }

  void CheckState(const TableHandle& table, const std::map<std::string, std::string>& map,
                  const ScanOptions& o) {
    std::vector<std::string> values;
    for (const auto& [key, value] : ScanState(db_.get(), table, o)) {
      values.push_back(value);
      ASSERT_EQ(map.count(key), 1u);
      ASSERT_EQ(map.at(key), value);
    }
    ASSERT_EQ(values, Expected(map, o));
  }
  void CheckTyped(const Model& model, const ScanOptions& o) {
    std::vector<TypedRow> rows;
    for (const auto& batch : Must(ScanBatches(db_.get(), t_, o))) {
      for (int64_t i = 0; i < batch->num_rows(); ++i) rows.push_back(TypedRowAt(*batch, i));
    }
    const auto expected = Expected(model.t, o);
    ASSERT_EQ(rows.size(), expected.size());
    ASSERT_TRUE(rows == expected);
  }
  void CheckLog(const Model& model, const ScanOptions& o) {
    std::vector<int64_t> got;
    for (const auto& batch : Must(ScanBatches(db_.get(), log_, o))) {
      const auto& n = static_cast<const arrow::Int64Array&>(*batch->column(0));
      for (int64_t i = 0; i < n.length(); ++i) got.push_back(n.Value(i));
    }
    std::vector<int64_t> expected = model.log;
    if (o.reverse) std::reverse(expected.begin(), expected.end());
    if (o.limit >= 0 && static_cast<int64_t>(expected.size()) > o.limit) {
      expected.resize(static_cast<size_t>(o.limit));
    }
    ASSERT_EQ(got, expected);
  }

  void CheckAll() {
    ScanOptions all;
    CheckState(s_, model_.s, all);
    CheckState(z_, model_.z, all);
    CheckTyped(model_, all);
    CheckLog(model_, all);
    CheckState(m_, model_.m, all);
    a_->CheckScan(db_.get(), model_.a, model_.a, all);
    e_->CheckScan(db_.get(), model_.e, model_.e, all);
  }

  std::mt19937_64 random_;
  DbOptions options_;
  std::unique_ptr<TempDir> dir_;
  std::shared_ptr<DB> db_;
  TableOptions s_options_, z_options_, t_options_, log_options_;
  TableHandle s_, z_, t_, m_, log_;
  std::unique_ptr<AlteredTable> a_, e_;
  Model model_;
  std::pair<TableHandle*, std::map<std::string, std::string>*> state_s_{&s_, &model_.s};
  std::pair<TableHandle*, std::map<std::string, std::string>*> state_z_{&z_, &model_.z};
  std::vector<std::pair<SnapshotRef, Model>> snapshots_;
  size_t most_levels_ = 0;
  int alterations_ = 0;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text == nullptr ? otherwise : strtoull(text, nullptr, 10);
}

TEST(Model, BehavesAsAMapUnderRandomOperations) {
  const uint64_t alone = FromEnvironment("MARBLE_MODEL_SEED", 0);
  const uint64_t seeds = alone > 0 ? 1 : FromEnvironment("MARBLE_MODEL_SEEDS", 4);
  std::map<size_t, int> runs_by_levels;
  int alterations = 0;
  for (uint64_t i = 0; i < seeds; ++i) {
    const uint64_t seed = alone > 0 ? alone : i + 1;
    const std::string replay =
        "replay: MARBLE_MODEL_SEED=" + std::to_string(seed) + " lsm_test --gtest_filter=Model.*";
    SCOPED_TRACE(replay);
    ModelRun run(seed);
    run.Run(400);
    ++runs_by_levels[run.most_levels()];
    alterations += run.alterations();
    if (HasFailure()) {
      std::printf("%s\n", replay.c_str());
      return;
    }
  }
  std::printf("runs by the most levels of a table:");
  for (const auto& [levels, runs] : runs_by_levels) std::printf(" %zu: %d", levels, runs);
  std::printf("; changes of columns: %d\n", alterations);
  if (alone == 0) {
    EXPECT_GE(runs_by_levels.rbegin()->first, 3u) << "the test means several levels";
  }
}

}  // namespace
}  // namespace marble::lsm
