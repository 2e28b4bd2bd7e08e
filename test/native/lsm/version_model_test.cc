// Random operations against maps, for what makes versions depend on each other and on time:
// merges (of an operator whose order matters), rows that expire under a moved clock, put if
// absent, tables that are not in the log; with snapshots, flushes, compactions, reopenings and
// crashes. MARBLE_MODEL_SEEDS: how many seeds (default 6); MARBLE_VERSION_SEED: one seed alone.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "db_fixture.h"
#include "manual_clock.h"

namespace marble::lsm {
namespace {

using namespace testing;

constexpr int64_t kTtlMs = 1000;

struct Entry {
  std::string value;
  int64_t expires = 0;
};
using Map = std::map<std::string, Entry>;

/// One state family and what it should hold.
struct Family {
  const char* name;
  TableOptions options;
  TableHandle handle;
};

struct Model {
  std::map<std::string, Map> maps;                  // by family
  std::vector<std::pair<int64_t, int64_t>> events;  // (n, expires) of a table without a key
};

bool Alive(const Entry& e, int64_t now) { return e.expires == 0 || e.expires > now; }

class VersionRun {
 public:
  explicit VersionRun(uint64_t seed) : random_(seed) {
    options_.log_segment_bytes = Pick(2) ? 16 << 10 : 1 << 20;
    options_.compaction_trigger = 2 + Pick(4);
    options_.max_block_ms = 60'000;
    options_.clock = &clock_;
    const auto family = [&](const char* name, const char* merge, int64_t ttl_ms, bool logged) {
      TableOptions o;
      o.merge_operator = merge;
      o.ttl_ms = ttl_ms;
      o.logged = logged;
      o.batch_rows = 1 + Pick(50);
      o.compression = static_cast<Compression>(Pick(3));
      families_.push_back({name, o, nullptr});
    };
    family("append", "append", 0, true);
    family("append expiring", "append", kTtlMs, true);
    family("expiring", "", kTtlMs, true);
    family("unlogged", "append", 0, false);
    dir_ = std::make_unique<TempDir>(TempDir::Place::kMemory);
    Open();
    cuts_.push_back(model_.maps["unlogged"]);
  }

  /// Files that went unread because all their rows had expired.
  uint64_t expired_files() const { return expired_files_ + db_->metrics().expired_files; }

  void Run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      const int what = Pick(100);
      if (what < 50) {
        WriteRandomBatch();
      } else if (what < 55) {
        PutIfAbsent();
      } else if (what < 68) {
        CheckGets();
      } else if (what < 76) {
        CheckScans();
      } else if (what < 80) {
        CheckIterators();
      } else if (what < 84) {
        snapshots_.push_back({db_->GetSnapshot(), model_, clock_.NowMs()});
      } else if (what < 87) {
        if (!snapshots_.empty()) snapshots_.erase(snapshots_.begin() + Pick(snapshots_.size()));
      } else if (what < 92) {
        Must(db_->Flush());
      } else if (what < 95) {
        Must(db_->Compact(""));
      } else if (what < 97) {
        snapshots_.clear();
        expired_files_ += db_->metrics().expired_files;
        Must(db_->Close());
        Open();
        // Closing does not flush, so the rows that are in no file and in no log are gone.
        AcceptCut();
      } else {
        Crash();
      }
      if (Pick(4) == 0) clock_.Advance(Pick(700));
    }
    CheckScans();
  }

 private:
  struct Taken {
    SnapshotRef snapshot;
    Model model;
    int64_t now;
  };

  int Pick(size_t below) { return static_cast<int>(random_() % below); }

  void Open() {
    db_ = Must(DB::Open(dir_->path(), options_));
    for (Family& f : families_) {
      f.handle = Must(db_->CreateTable(StateFamily(f.name, f.options), true));
    }
    TableDescriptor events = AppendTable("events");
    events.options.ttl_ms = kTtlMs;
    events_ = Must(db_->CreateTable(events, true));
  }

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
    expired_files_ += db_->metrics().expired_files;
    Must(db_->Close());
    dir_ = std::move(copy);
    Open();
    AcceptCut();
  }

  /// The unlogged family must be as it was after some batch, and goes on from there.
  void AcceptCut() {
    Map found;
    for (const auto& [key, value] : ScanState(db_.get(), HandleOf("unlogged"), {})) {
      found[key] = {value, 0};
    }
    const auto same = [](const Map& a, const Map& b) {
      return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        return x.first == y.first && x.second.value == y.second.value;
      });
    };
    ASSERT_TRUE(std::any_of(cuts_.begin(), cuts_.end(), [&](const Map& m) {
      return same(m, found);
    })) << "the unlogged family is at no cut between two batches";
    model_.maps["unlogged"] = found;
    cuts_ = {found};
  }

  TableHandle HandleOf(const std::string& name) const {
    for (const Family& f : families_) {
      if (f.name == name) return f.handle;
    }
    return nullptr;
  }

  std::string RandomKey() { return "k" + std::to_string(Pick(12)); }
  std::string RandomValue() { return std::string(Pick(Pick(30) ? 4 : 900), 'a' + Pick(26)); }
  int64_t Expiry(const Family& f) const {
    return f.options.ttl_ms == 0 ? 0 : clock_.NowMs() + f.options.ttl_ms;
  }

  void WriteRandomBatch() {
    WriteBatch batch;
    for (int i = 1 + Pick(8); i > 0; --i) {
      Family& f = families_[Pick(families_.size())];
      Map& map = model_.maps[f.name];
      const std::string key = RandomKey();
      switch (Pick(f.options.merge_operator.empty() ? 7 : 16)) {
        case 0:
        case 1:
        case 2: {
          const std::string value = RandomValue();
          Must(batch.Put(f.handle, key, value));
          map[key] = {value, Expiry(f)};
          break;
        }
        case 3:
          Must(batch.Delete(f.handle, key));
          map.erase(key);
          break;
        case 4: {
          std::string from = RandomKey(), to = Pick(6) ? RandomKey() : "";
          if (!to.empty() && to < from) std::swap(from, to);
          Must(batch.DeleteRange(f.handle, from, to));
          if (from != to) {
            map.erase(map.lower_bound(from), to.empty() ? map.end() : map.lower_bound(to));
          }
          break;
        }
        case 5: {
          arrow::BinaryBuilder keys, values;
          for (int r = 1 + Pick(5); r > 0; --r) {
            const std::string k = RandomKey(), v = RandomValue();
            Must(keys.Append(k));
            Must(values.Append(v));
            map[k] = {v, Expiry(f)};
          }
          const int64_t rows = keys.length();
          Must(batch.Insert(
              f.handle, arrow::RecordBatch::Make(StateFamily("").schema, rows,
                                                 {Must(keys.Finish()), Must(values.Finish())})));
          break;
        }
        case 6: {
          arrow::Int64Builder n;
          arrow::StringBuilder s;
          for (int r = 1 + Pick(5); r > 0; --r) {
            const auto number = static_cast<int64_t>(next_event_++);
            Must(n.Append(number));
            Must(s.Append("event"));
            model_.events.emplace_back(number, clock_.NowMs() + kTtlMs);
          }
          const int64_t rows = n.length();
          Must(batch.Insert(events_,
                            arrow::RecordBatch::Make(AppendTable("").schema, rows,
                                                     {Must(n.Finish()), Must(s.Finish())})));
          break;
        }
        default: {
          const std::string operand = RandomValue();
          Must(batch.Merge(f.handle, key, operand));
          Entry& e = map[key];
          if (!Alive(e, clock_.NowMs())) e.value.clear();
          e.value += operand;
          e.expires = Expiry(f);
        }
      }
    }
    Must(db_->Write(std::move(batch), {}));
    cuts_.push_back(model_.maps["unlogged"]);
  }

  void PutIfAbsent() {
    Family& f = families_[Pick(families_.size())];
    const std::string key = RandomKey(), value = RandomValue();
    Map& map = model_.maps[f.name];
    const auto it = map.find(key);
    const bool absent = it == map.end() || !Alive(it->second, clock_.NowMs());
    ASSERT_EQ(Must(db_->PutIfAbsent(f.handle, key, value, {})), absent) << f.name << " " << key;
    if (absent) map[key] = {value, Expiry(f)};
    cuts_.push_back(model_.maps["unlogged"]);
  }

  struct View {
    ReadOptions read;
    const Model* model;
    int64_t now;
  };
  View RandomView() {
    if (snapshots_.empty() || Pick(2)) return {{}, &model_, clock_.NowMs()};
    const Taken& taken = snapshots_[Pick(snapshots_.size())];
    return {{taken.snapshot}, &taken.model, taken.now};
  }

  static std::map<std::string, std::string> Living(const View& view, const char* name) {
    std::map<std::string, std::string> out;
    const auto it = view.model->maps.find(name);
    if (it == view.model->maps.end()) return out;
    for (const auto& [key, entry] : it->second) {
      if (Alive(entry, view.now)) out[key] = entry.value;
    }
    return out;
  }

  void CheckGets() {
    const View view = RandomView();
    for (const Family& f : families_) {
      const auto living = Living(view, f.name);
      std::vector<std::string> keys;
      for (int i = 0; i < 20; ++i) keys.push_back("k" + std::to_string(i));
      const std::vector<std::string_view> views(keys.begin(), keys.end());
      std::vector<std::optional<PinnedValue>> many(keys.size());
      Must(db_->MultiGet(f.handle, views.data(), views.size(), view.read, many.data()));
      for (size_t i = 0; i < keys.size(); ++i) {
        const auto it = living.find(keys[i]);
        const auto expected = it == living.end() ? std::nullopt : std::optional(it->second);
        EXPECT_EQ(GetState(db_.get(), f.handle, keys[i], view.read), expected)
            << f.name << " " << keys[i];
        EXPECT_EQ(many[i] ? std::optional(std::string(many[i]->bytes)) : std::nullopt, expected)
            << f.name << " " << keys[i];
        EXPECT_EQ(Must(db_->Exists(f.handle, keys[i], view.read)), expected.has_value());
        const auto row = Must(db_->GetRow(f.handle, keys[i], view.read));
        ASSERT_EQ(row.has_value(), expected.has_value());
        if (row) {
          const auto& values = static_cast<const arrow::BinaryArray&>(*row->batch->column(1));
          EXPECT_EQ(values.GetString(row->row), *expected);
        }
      }
    }
  }

  void CheckScans() {
    const View view = RandomView();
    ScanOptions o;
    o.read = view.read;
    o.reverse = Pick(2);
    if (Pick(3) == 0) o.limit = Pick(8);
    if (Pick(3) == 0) o.batch_rows = 1 + Pick(4);
    CheckEvents(view, o);
    if (Pick(2)) o.range.lower = RandomKey();
    if (Pick(2)) o.range.upper = RandomKey();
    for (const Family& f : families_) {
      std::vector<std::pair<std::string, std::string>> expected;
      for (const auto& entry : Living(view, f.name)) {
        if (entry.first < o.range.lower) continue;
        if (!o.range.upper.empty() && entry.first >= o.range.upper) continue;
        expected.push_back(entry);
      }
      if (o.reverse) std::reverse(expected.begin(), expected.end());
      if (o.limit >= 0 && expected.size() > static_cast<size_t>(o.limit)) expected.resize(o.limit);
      const auto got = ScanState(db_.get(), f.handle, o);
      ASSERT_EQ((std::vector<std::pair<std::string, std::string>>(got.begin(), got.end())),
                expected)
          << f.name << ", " << Describe(o);
    }
  }

  /// A random walk, against the same walk in a map.
  void CheckIterators() {
    const View view = RandomView();
    for (const Family& f : families_) {
      ScanRange range;
      if (Pick(3) == 0) range.lower = RandomKey();
      if (Pick(3) == 0) range.upper = RandomKey();
      if (Pick(4) == 0) range = PrefixRange("k1");
      auto living = Living(view, f.name);
      std::erase_if(living, [&](const auto& entry) {
        return entry.first < range.lower || (!range.upper.empty() && entry.first >= range.upper);
      });
      const auto iterator = Must(db_->NewStateIterator(f.handle, view.read, range));
      EXPECT_FALSE(iterator->Valid());
      auto at = living.end();
      std::string walk = f.name;
      for (int step = 0; step < 30; ++step) {
        const std::string key = RandomKey();
        switch (at == living.end() ? Pick(4) : Pick(14)) {
          case 0:
            walk += " first";
            iterator->SeekToFirst();
            at = living.begin();
            break;
          case 1:
            walk += " last";
            iterator->SeekToLast();
            at = living.empty() ? living.end() : std::prev(living.end());
            break;
          case 2:
            walk += " seek " + key;
            iterator->Seek(key);
            at = living.lower_bound(key);
            break;
          case 3:
            walk += " seek for prev " + key;
            iterator->SeekForPrev(key);
            at = living.upper_bound(key);
            at = at == living.begin() ? living.end() : std::prev(at);
            break;
          case 4:
          case 5:
          case 6:
          case 7:
            walk += " prev";
            iterator->Prev();
            at = at == living.begin() ? living.end() : std::prev(at);
            break;
          default:
            walk += " next";
            iterator->Next();
            ++at;
        }
        ASSERT_TRUE(iterator->status().ok());
        ASSERT_EQ(iterator->Valid(), at != living.end()) << walk;
        if (!iterator->Valid()) continue;
        ASSERT_EQ(iterator->key(), at->first) << walk;
        ASSERT_EQ(iterator->value(), at->second) << walk;
      }
    }
  }

  static std::string Describe(const ScanOptions& o) {
    return "scan of [" + o.range.lower + ", " + o.range.upper + ") limit " +
           std::to_string(o.limit) + ", batch rows " + std::to_string(o.batch_rows) +
           (o.reverse ? ", reverse" : "") + (o.read.snapshot ? ", at a snapshot" : "");
  }

  void CheckEvents(const View& view, const ScanOptions& o) {
    std::vector<int64_t> expected, got;
    for (const auto& [n, expires] : view.model->events) {
      if (expires > view.now) expected.push_back(n);
    }
    if (o.reverse) std::reverse(expected.begin(), expected.end());
    if (o.limit >= 0 && expected.size() > static_cast<size_t>(o.limit)) expected.resize(o.limit);
    for (const auto& batch : Must(ScanBatches(db_.get(), events_, o))) {
      const auto& n = static_cast<const arrow::Int64Array&>(*batch->column(0));
      for (int64_t i = 0; i < n.length(); ++i) got.push_back(n.Value(i));
    }
    ASSERT_EQ(got, expected);
  }

  std::mt19937_64 random_;
  uint64_t expired_files_ = 0;
  ManualClock clock_;
  DbOptions options_;
  std::unique_ptr<TempDir> dir_;
  std::shared_ptr<DB> db_;
  std::vector<Family> families_;
  TableHandle events_;
  uint64_t next_event_ = 0;
  Model model_;
  std::vector<Map> cuts_;  // states of the unlogged family since the last reopening
  std::vector<Taken> snapshots_;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text == nullptr ? otherwise : strtoull(text, nullptr, 10);
}

TEST(VersionModel, MergesExpiryAndUnloggedTablesBehaveAsMaps) {
  const uint64_t alone = FromEnvironment("MARBLE_VERSION_SEED", 0);
  const uint64_t seeds = alone > 0 ? 1 : FromEnvironment("MARBLE_MODEL_SEEDS", 6);
  uint64_t expired_files = 0;
  for (uint64_t i = 0; i < seeds; ++i) {
    const uint64_t seed = alone > 0 ? alone : i + 1;
    SCOPED_TRACE("MARBLE_VERSION_SEED=" + std::to_string(seed));
    VersionRun run(seed);
    run.Run(400);
    expired_files += run.expired_files();
    if (HasFailure()) {
      std::printf("failed with MARBLE_VERSION_SEED=%llu\n", static_cast<unsigned long long>(seed));
      return;
    }
  }
  std::printf("files dropped because all rows had expired: %llu\n",
              static_cast<unsigned long long>(expired_files));
  if (alone == 0) {
    EXPECT_GT(expired_files, 0u) << "the test means to drop some";
  }
}

}  // namespace
}  // namespace marble::lsm
