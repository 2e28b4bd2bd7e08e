// The memtable's indexes against std::map, and readers beside a writer.
#include "lsm/memtable/memtable.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <set>
#include <thread>

#include "base/hash.h"
#include "db_fixture.h"

namespace marble::lsm {
namespace {

using namespace testing;

std::shared_ptr<const TableInfo> StateInfo(bool lazy = false) {
  TableOptions options;
  options.lazy_index = lazy;
  return Must(TableInfo::Make(StateFamily("s", options)));
}

std::string RandomKey(std::mt19937_64* random) {
  std::string key(random->operator()() % 12, '\0');
  for (char& c : key)
    c = "\0\x01"
        "abz\xff"[(*random)() % 6];
  return key;
}

TEST(Memtable, FindsTheVersionThatASequenceSees) {
  for (const bool lazy : {false, true}) {
    std::mt19937_64 random(3);
    Memtable memtable(StateInfo(lazy), 1, 0);
    std::deque<std::string> memory;  // stands for the log
    std::map<std::string, std::map<SequenceNumber, std::optional<std::string>>> model;
    for (SequenceNumber sequence = 1; sequence <= 5000; ++sequence) {
      const std::string& key = memory.emplace_back(RandomKey(&random));
      if (random() % 4 == 0) {
        memtable.Delete(sequence, key);
        model[key][sequence] = std::nullopt;
      } else {
        const std::string& value = memory.emplace_back(std::to_string(sequence));
        memtable.Put(sequence, key, value, false);
        model[key][sequence] = value;
      }
      if (sequence % 7 != 0) continue;
      const SequenceNumber at = 1 + random() % sequence;
      const auto& [probe, versions] = *std::next(model.begin(), random() % model.size());
      memtable.Prepare(false);
      const KeyVersion* found = memtable.Find(probe, HashKey(probe), at);
      auto it = versions.upper_bound(at);
      if (it == versions.begin()) {
        ASSERT_EQ(found, nullptr);
      } else {
        --it;
        ASSERT_NE(found, nullptr);
        ASSERT_EQ(found->sequence(), it->first);
        ASSERT_EQ(found->kind() == VersionKind::kDelete, !it->second.has_value());
        if (it->second) {
          ASSERT_EQ(found->bytes(), *it->second);
        }
      }
    }
    memtable.Prepare(false);
    ASSERT_EQ(memtable.num_keys(), model.size());
    const SortedNodes nodes = memtable.InOrder();
    ASSERT_EQ(nodes.size(), model.size());
    auto it = model.begin();
    for (size_t i = 0; i < nodes.size(); ++i) ASSERT_EQ(nodes[i].key(), (it++)->first);
  }
}

TEST(SortedNodes, SortAndSearchLikeASetWhateverTheKeysShare) {
  std::mt19937_64 random(11);
  const std::vector<std::string> shared = {"", "s", "a long beginning of all keys"};
  for (const size_t count : {0, 1, 2, 63, 64, 65, 300, 511, 512, 513, 5000}) {
    for (const std::string& beginning : shared) {
      // How many values a byte has says how many prefixes are the same.
      for (const int values : {2, 256}) {
        std::set<std::string> keys;
        const auto random_key = [&] {
          std::string key = beginning;
          for (size_t left = random() % 20; left > 0; --left) {
            key.push_back(static_cast<char>(random() % values));
          }
          return key;
        };
        while (keys.size() < count) keys.insert(random_key());
        std::deque<KeyNode> memory;
        std::vector<KeyNode*> nodes;
        for (const std::string& key : keys) {
          KeyNode& node = memory.emplace_back();
          node.key_data = key.data();
          node.key_size = static_cast<uint32_t>(key.size());
          nodes.push_back(&node);
        }
        std::shuffle(nodes.begin(), nodes.end(), random);
        const size_t half = nodes.size() / 2;
        const SortedNodes whole(nodes);
        const SortedNodes merged(SortedNodes({nodes.begin(), nodes.begin() + half}),
                                 SortedNodes({nodes.begin() + half, nodes.end()}));
        for (const SortedNodes* sorted : {&whole, &merged}) {
          ASSERT_EQ(sorted->size(), keys.size());
          size_t i = 0;
          for (const std::string& key : keys) {
            ASSERT_EQ((*sorted)[i].key(), key);
            ASSERT_EQ(sorted->LowerBound(key), i++);
          }
          for (int probes = 0; probes < 300; ++probes) {
            std::string probe = random_key();
            if (random() % 4 == 0) probe = probe.substr(random() % (probe.size() + 1));
            const auto place = std::distance(keys.begin(), keys.lower_bound(probe));
            ASSERT_EQ(sorted->LowerBound(probe), static_cast<size_t>(place));
          }
        }
      }
    }
  }
}

TEST(Memtable, OrderedIndexSeeksLikeAMapWhileKeysAreAdded) {
  std::mt19937_64 random(5);
  Memtable memtable(StateInfo(), 1, 0);
  std::deque<std::string> memory;
  std::map<std::string, int> model;
  for (SequenceNumber sequence = 1; sequence <= 3000; ++sequence) {
    const std::string& key = memory.emplace_back(RandomKey(&random));
    memtable.Put(sequence, key, key, false);
    model[key] = 1;
    if (random() % 5 != 0) continue;
    memtable.Prepare(true);
    const std::string probe = RandomKey(&random);
    auto cursor = memtable.NewCursor();
    cursor.SeekGE(probe);
    auto it = model.lower_bound(probe);
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(cursor.Valid(), it != model.end());
      if (!cursor.Valid()) break;
      ASSERT_EQ(cursor.node().key(), it->first);
      cursor.Next();
      ++it;
    }
    cursor.SeekLT(probe);
    it = model.lower_bound(probe);
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(cursor.Valid(), it != model.begin());
      if (!cursor.Valid()) break;
      ASSERT_EQ(cursor.node().key(), (--it)->first);
      cursor.Prev();
    }
    cursor.SeekToLast();
    ASSERT_EQ(cursor.node().key(), model.rbegin()->first);
  }
}

TEST(Memtable, ReadersBesideTheWriterFindAllThatWasPublished) {
  constexpr int kKeys = 200'000;
  Memtable memtable(StateInfo(), 1, 0);
  std::vector<std::string> keys(kKeys);
  for (int i = 0; i < kKeys; ++i) keys[i] = "key" + std::to_string(i * 7919 % kKeys);
  std::atomic<SequenceNumber> visible{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (SequenceNumber at = 0; at < kKeys; at = visible.load(std::memory_order_acquire)) {
        if (at == 0) continue;
        const std::string& key = keys[random() % at];
        const KeyVersion* found = memtable.Find(key, HashKey(key), at);
        ASSERT_NE(found, nullptr);
        ASSERT_EQ(found->bytes(), key);
        if (t == 1 && random() % 64 == 0) {
          memtable.Prepare(true);
          auto cursor = memtable.NewCursor();
          cursor.SeekGE(key);
          ASSERT_TRUE(cursor.Valid());
          ASSERT_EQ(cursor.node().key(), key);
        }
      }
    });
  }
  for (int i = 0; i < kKeys; ++i) {
    memtable.Put(i + 1, keys[i], keys[i], false);
    visible.store(i + 1, std::memory_order_release);
  }
  for (auto& reader : readers) reader.join();
}

}  // namespace
}  // namespace marble::lsm
