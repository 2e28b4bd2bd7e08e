#include <arrow/api.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "state/keyed_table.h"
#include "state/time_service.h"

namespace marble::state {
namespace {

using Key = std::pair<int64_t, std::string>;  // window end, key ("" is NULL)

KeyedTableOptions Options() {
  KeyedTableOptions options;
  options.keys = {arrow::field("k", arrow::utf8()), arrow::field("n", arrow::int32(), false)};
  options.windowed = true;
  options.accumulators = {arrow::field("sum", arrow::int64(), false),
                          arrow::field("top", arrow::utf8())};
  return options;
}

std::shared_ptr<arrow::RecordBatch> KeyBatch(const std::vector<Key>& rows) {
  arrow::StringBuilder names;
  arrow::Int32Builder numbers;
  for (const auto& [end, name] : rows) {
    EXPECT_TRUE((name.empty() ? names.AppendNull() : names.Append(name)).ok());
    EXPECT_TRUE(numbers.Append(static_cast<int32_t>(name.size())).ok());
  }
  return arrow::RecordBatch::Make(
      arrow::schema({arrow::field("k", arrow::utf8()), arrow::field("n", arrow::int32(), false)}),
      static_cast<int64_t>(rows.size()), {*names.Finish(), *numbers.Finish()});
}

struct Value {
  int64_t sum = 0;
  std::string top;
  bool operator==(const Value&) const = default;
};

/// What a state table would hold: rows by key, upserted and deleted as the table says.
struct Store {
  std::map<Key, Value> rows;
  std::map<Key, uint16_t> key_groups;

  static Key KeyAt(const arrow::RecordBatch& batch, int64_t row) {
    const auto& names = static_cast<const arrow::StringArray&>(*batch.column(2));
    return {static_cast<const arrow::TimestampArray&>(*batch.column(1)).Value(row),
            names.IsNull(row) ? "" : names.GetString(row)};
  }
  void Apply(KeyedTable* table) {
    auto deleted = *table->CollectDeleted();
    ASSERT_TRUE(deleted->ValidateFull().ok());
    for (int64_t i = 0; i < deleted->num_rows(); ++i) {
      ASSERT_EQ(rows.erase(KeyAt(*deleted, i)), 1u) << "deleted a row that is not stored";
    }
    auto dirty = *table->CollectDirty();
    ASSERT_TRUE(dirty->ValidateFull().ok());
    std::set<Key> seen;
    for (int64_t i = 0; i < dirty->num_rows(); ++i) {
      const auto key = KeyAt(*dirty, i);
      ASSERT_TRUE(seen.insert(key).second) << "a dirty row twice";
      const auto& tops = static_cast<const arrow::StringArray&>(*dirty->column(5));
      rows[key] = {static_cast<const arrow::Int64Array&>(*dirty->column(4)).Value(i),
                   tops.IsNull(i) ? "" : tops.GetString(i)};
      const auto group = static_cast<const arrow::UInt16Array&>(*dirty->column(0)).Value(i);
      // All windows of a key are in one key group.
      const Key of_key{0, key.second};
      if (key_groups.count(of_key)) {
        ASSERT_EQ(key_groups[of_key], group);
      }
      key_groups[of_key] = group;
      ASSERT_LT(group, 16);
    }
  }
};

std::shared_ptr<arrow::RecordBatch> AllRows(const std::map<Key, Value>& model, const Store& store,
                                            const KeyedTable& table) {
  arrow::UInt16Builder groups;
  arrow::TimestampBuilder ends(arrow::timestamp(arrow::TimeUnit::MILLI),
                               arrow::default_memory_pool());
  arrow::StringBuilder names, tops;
  arrow::Int32Builder numbers;
  arrow::Int64Builder sums;
  for (const auto& [key, value] : model) {
    EXPECT_TRUE(groups.Append(store.key_groups.at({0, key.second})).ok());
    EXPECT_TRUE(ends.Append(key.first).ok());
    EXPECT_TRUE((key.second.empty() ? names.AppendNull() : names.Append(key.second)).ok());
    EXPECT_TRUE(numbers.Append(static_cast<int32_t>(key.second.size())).ok());
    EXPECT_TRUE(sums.Append(value.sum).ok());
    EXPECT_TRUE((value.top.empty() ? tops.AppendNull() : tops.Append(value.top)).ok());
  }
  return arrow::RecordBatch::Make(table.state_schema(), static_cast<int64_t>(model.size()),
                                  {*groups.Finish(), *ends.Finish(), *names.Finish(),
                                   *numbers.Finish(), *sums.Finish(), *tops.Finish()});
}

TEST(KeyedTable, WhatIsCollectedEqualsAModelAndRestores) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    auto table = *KeyedTable::Make(Options());
    std::map<Key, Value> model;
    std::map<Key, GroupId> groups_of;
    Store store;
    for (int step = 0; step < 60; ++step) {
      const int action = static_cast<int>(random() % 10);
      if (action < 6) {
        std::vector<Key> rows;
        std::vector<int64_t> ends;
        for (size_t i = 0, n = random() % 400; i < n; ++i) {
          const auto number = random() % 300;
          rows.emplace_back(static_cast<int64_t>(random() % 5) * 10,
                            number == 0 ? "" : "key" + std::to_string(number * number));
          ends.push_back(rows.back().first);
        }
        std::vector<GroupId> groups, created;
        ASSERT_TRUE(table->Lookup(*KeyBatch(rows), ends.data(), &groups, &created).ok());
        std::set<GroupId> fresh(created.begin(), created.end());
        for (size_t i = 0; i < rows.size(); ++i) {
          ASSERT_EQ(table->window_end(groups[i]), rows[i].first);
          if (!model.count(rows[i])) {
            ASSERT_TRUE(fresh.count(groups[i]));
            groups_of[rows[i]] = groups[i];
          }
          ASSERT_EQ(groups_of[rows[i]], groups[i]);
          Value& value = model[rows[i]];
          value.sum += static_cast<int64_t>(i);
          table->accumulator(0).int64s()[groups[i]] += static_cast<int64_t>(i);
          if (i % 3 == 0 && rows[i].second > value.top) {
            value.top = rows[i].second;
            table->accumulator(1).strings()[groups[i]] = value.top;
            table->accumulator(1).valid()[groups[i]] = 1;
          }
        }
        ASSERT_EQ(table->size(), model.size());
      } else if (action < 8) {
        const int64_t end = static_cast<int64_t>(random() % 5) * 10;
        std::vector<GroupId> erased;
        for (auto it = model.begin(); it != model.end();) {
          if (it->first.first == end) {
            erased.push_back(groups_of[it->first]);
            groups_of.erase(it->first);
            it = model.erase(it);
          } else {
            ++it;
          }
        }
        table->Erase(erased);
      } else {
        store.Apply(table.get());
        ASSERT_EQ(store.rows, model);
      }
    }
    store.Apply(table.get());
    ASSERT_EQ(store.rows, model) << "seed " << seed;
    ASSERT_EQ((*table->CollectDirty())->num_rows(), 0);

    auto restored = *KeyedTable::Make(Options());
    std::vector<GroupId> created;
    ASSERT_TRUE(restored->Restore(*AllRows(model, store, *table), &created).ok());
    ASSERT_EQ(restored->size(), model.size());
    ASSERT_EQ((*restored->CollectDirty())->num_rows(), 0) << "a restored row is not dirty";
    restored->Erase(created);
    ASSERT_EQ(static_cast<size_t>((*restored->CollectDeleted())->num_rows()), model.size());
  }
}

TEST(KeyedTable, WithoutKeysThereIsOneGroup) {
  KeyedTableOptions options;
  options.accumulators = {arrow::field("n", arrow::int64(), false)};
  auto table = *KeyedTable::Make(options);
  auto batch = arrow::RecordBatch::Make(arrow::schema({}), 3, arrow::ArrayVector{});
  std::vector<GroupId> groups, created;
  ASSERT_TRUE(table->Lookup(*batch, nullptr, &groups, &created).ok());
  EXPECT_EQ(created.size(), 1u);
  EXPECT_EQ(groups, std::vector<GroupId>(3, created[0]));
}

TEST(KeyedTable, RefusesRowsInTheWrongKeyGroup) {
  auto table = *KeyedTable::Make(Options());
  Store store;
  store.key_groups[{0, "a"}] = 17;
  std::vector<GroupId> created;
  auto status = table->Restore(*AllRows({{{10, "a"}, {}}}, store, *table), &created);
  EXPECT_EQ(CodeOf(status), ErrorCode::kCorruption);
}

TEST(TimeService, FiresEachTimeOnceInOrderAndNeverGoesBack) {
  std::mt19937 random(7);
  TimeService service;
  std::set<int64_t> model;
  int64_t now = kMinWatermark;
  for (int i = 0; i < 5000; ++i) {
    if (random() % 3 != 0) {
      const auto time = static_cast<int64_t>(random() % 1000);
      service.Register(time);
      model.insert(time);
      continue;
    }
    const auto watermark = static_cast<int64_t>(random() % 1000);
    std::vector<int64_t> expected;
    if (watermark > now) {
      now = watermark;
      while (!model.empty() && *model.begin() <= watermark) {
        expected.push_back(*model.begin());
        model.erase(model.begin());
      }
    }
    ASSERT_EQ(service.AdvanceTo(watermark), expected);
    ASSERT_EQ(service.watermark(), now);
    ASSERT_EQ(service.size(), model.size());
  }
}

}  // namespace
}  // namespace marble::state
