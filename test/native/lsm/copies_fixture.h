// What the tests of copies share: a database with small limits, so that flushes and compactions run
// nearly all the time; threads that write random batches over several tables and note what was
// acknowledged under which sequence number; the model of that; and what a database holds.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "db_fixture.h"

namespace marble::lsm::testing {

inline DbOptions SmallOptions() {
  DbOptions options;
  options.log_segment_bytes = 64 << 10;
  options.compaction_trigger = 3;
  options.max_block_ms = 60'000;
  options.target_file_bytes = 32 << 10;
  options.level_base_bytes = 64 << 10;
  options.level_multiplier = 3;
  options.max_compactions = 2;
  return options;
}

/// All that the tables hold.
struct Contents {
  std::map<std::string, std::string> a, b;
  std::map<std::pair<int64_t, std::string>, TypedRow> t;
  std::multiset<std::pair<int64_t, std::string>> log;
  bool operator==(const Contents&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, const Contents& c) {
  return out << c.a.size() << " in a, " << c.b.size() << " in b, " << c.t.size() << " in t, "
             << c.log.size() << " in log";
}

struct CopiedTables {
  TableHandle a, b, t, log;
  explicit CopiedTables(DB* db)
      : a(Must(db->CreateTable(StateFamily("a"), true))),
        b(Must(db->CreateTable(StateFamily("b"), true))),
        t(Must(db->CreateTable(TypedTable("t"), true))),
        log(Must(db->CreateTable(AppendTable("log"), true))) {}
};

inline std::shared_ptr<arrow::RecordBatch> LogRow(int64_t n, const std::string& s) {
  arrow::Int64Builder numbers;
  arrow::StringBuilder strings;
  Must(numbers.Append(n));
  Must(strings.Append(s));
  return arrow::RecordBatch::Make(AppendTable("").schema, 1,
                                  {Must(numbers.Finish()), Must(strings.Finish())});
}

inline Contents ContentsOf(DB* db) {
  const CopiedTables tables(db);
  Contents out;
  for (auto& [k, v] : ScanState(db, tables.a)) out.a[k] = v;
  for (auto& [k, v] : ScanState(db, tables.b)) out.b[k] = v;
  for (const auto& batch : Must(ScanBatches(db, tables.t, {}))) {
    for (int64_t i = 0; i < batch->num_rows(); ++i) {
      TypedRow row = TypedRowAt(*batch, i);
      out.t[{row.id, row.name}] = row;
    }
  }
  for (const auto& batch : Must(ScanBatches(db, tables.log, {}))) {
    const auto& n = static_cast<const arrow::Int64Array&>(*batch->column(0));
    const auto& s = static_cast<const arrow::StringArray&>(*batch->column(1));
    for (int64_t i = 0; i < batch->num_rows(); ++i) out.log.emplace(n.Value(i), s.GetString(i));
  }
  return out;
}

/// Threads that write until they are stopped. What they wrote is known by sequence number.
class RandomWriter {
 public:
  RandomWriter(DB* db, int threads, uint64_t seed) : db_(db), tables_(db) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this, seed, i] { Run(seed * 1000 + static_cast<uint64_t>(i)); });
    }
  }
  ~RandomWriter() { Stop(); }
  void Stop() {
    stop_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }
  /// The newest sequence that has been acknowledged; all below it need not be.
  SequenceNumber acknowledged() const { return acknowledged_.load(); }
  void WaitFor(uint64_t writes) const {
    while (count_.load() < writes) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  uint64_t count() const { return count_.load(); }
  /// After Stop.
  Contents ModelAt(SequenceNumber sequence) const {
    Contents model;
    for (const auto& [at, apply] : history_) {
      if (at > sequence) break;
      apply(&model);
    }
    return model;
  }

 private:
  using Apply = std::function<void(Contents*)>;

  void Run(uint64_t seed) {
    std::mt19937_64 random(seed);
    for (uint64_t i = 0; !stop_; ++i) {
      WriteBatch batch;
      std::vector<Apply> steps;
      const uint64_t ops = 1 + random() % 3;
      for (uint64_t op = 0; op < ops; ++op) steps.push_back(AddTo(&batch, &random, i));
      const SequenceNumber sequence = Must(db_->Write(std::move(batch), {}));
      {
        std::lock_guard lock(mutex_);
        history_[sequence] = [steps = std::move(steps)](Contents* model) {
          for (const Apply& step : steps) step(model);
        };
      }
      SequenceNumber before = acknowledged_.load();
      while (before < sequence && !acknowledged_.compare_exchange_weak(before, sequence)) {
      }
      ++count_;
    }
  }

  Apply AddTo(WriteBatch* batch, std::mt19937_64* random, uint64_t i) {
    const std::string key = "key" + std::to_string((*random)() % 400);
    const std::string value = std::to_string(i) + std::string((*random)() % 200, 'v');
    switch ((*random)() % 8) {
      case 0:
      case 1:
        Must(batch->Put(tables_.a, key, value));
        return [=](Contents* m) { m->a[key] = value; };
      case 2:
        Must(batch->Put(tables_.b, key, value));
        return [=](Contents* m) { m->b[key] = value; };
      case 3:
        Must(batch->Delete(tables_.a, key));
        return [=](Contents* m) { m->a.erase(key); };
      case 4: {
        const std::string to = key + "5";
        Must(batch->DeleteRange(tables_.b, key, to));
        return [=](Contents* m) { m->b.erase(m->b.lower_bound(key), m->b.lower_bound(to)); };
      }
      case 5: {
        Must(batch->Insert(tables_.log, LogRow(static_cast<int64_t>(i), value)));
        return [=](Contents* m) { m->log.emplace(static_cast<int64_t>(i), value); };
      }
      case 6: {
        const auto id = static_cast<int64_t>((*random)() % 300);
        Must(batch->DeleteRows(tables_.t, KeyBatch({{id, "n"}})));
        return [=](Contents* m) { m->t.erase({id, "n"}); };
      }
      default: {
        std::vector<TypedRow> rows;
        const size_t count = 1 + (*random)() % 20;
        for (size_t r = 0; r < count; ++r) {
          rows.push_back({static_cast<int64_t>((*random)() % 300), "n",
                          static_cast<double>((*random)() % 100), value, std::nullopt});
        }
        Must(batch->Insert(tables_.t, TypedBatch(rows)));
        return [=](Contents* m) {
          for (const TypedRow& row : rows) m->t[{row.id, row.name}] = row;
        };
      }
    }
  }

  DB* const db_;
  const CopiedTables tables_;
  std::atomic<bool> stop_{false};
  std::atomic<SequenceNumber> acknowledged_{0};
  std::atomic<uint64_t> count_{0};
  std::mutex mutex_;
  std::map<SequenceNumber, Apply> history_;
  std::vector<std::thread> threads_;
};

}  // namespace marble::lsm::testing
