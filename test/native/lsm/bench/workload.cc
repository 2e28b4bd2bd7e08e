#include "workload.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "meter.h"

namespace marble::lsm::bench {
namespace {

using Buffers = std::array<RowBuffer, kBatch>;

void FillSequential(const Assignment& a, StoreSide* side, Outcome* out) {
  RowBuffer buffer;
  for (uint64_t row = 0; row < a.rows->count(); ++row) {
    side->Put(a.rows->Key(row, &buffer), a.rows->Value(row, a.version, &buffer));
  }
  out->operations = a.rows->count();
}

void PutInOrder(const Assignment& a, StoreSide* side, Outcome* out) {
  RowBuffer buffer;
  for (const uint32_t row : a.order) {
    side->Put(a.rows->Key(row, &buffer), a.rows->Value(row, a.version, &buffer));
  }
  out->operations = a.order.size();
}

void FillBatches(const Assignment& a, StoreSide* side, Outcome* out) {
  Buffers buffers;
  std::array<KeyValue, kBatch> batch;
  for (size_t begin = 0; begin < a.order.size(); begin += kBatch) {
    const size_t n = std::min<size_t>(kBatch, a.order.size() - begin);
    for (size_t i = 0; i < n; ++i) {
      const uint32_t row = a.order[begin + i];
      batch[i] = {a.rows->Key(row, &buffers[i]), a.rows->Value(row, a.version, &buffers[i])};
    }
    side->PutMany(std::span(batch).first(n));
  }
  out->operations = a.order.size();
}

void ReadRandom(const Assignment& a, StoreSide* side, Outcome* out) {
  RowBuffer buffer;
  Random random(a.seed);
  for (uint64_t i = 0; i < a.operations; ++i) {
    const uint64_t row = random.Below(a.rows->count());
    if (!side->Get(a.rows->Key(row, &buffer), &out->touched)) ++out->misses;
  }
  out->operations = a.operations;
}

void ReadHot(const Assignment& a, StoreSide* side, Outcome* out) {
  RowBuffer buffer;
  Random random(a.seed);
  std::vector<uint64_t> hot(std::min(kHotKeys, a.rows->count()));
  for (uint64_t& row : hot) row = random.Below(a.rows->count());
  for (uint64_t i = 0; i < a.operations; ++i) {
    const uint64_t row = hot[random.Below(hot.size())];
    if (!side->Get(a.rows->Key(row, &buffer), &out->touched)) ++out->misses;
  }
  out->operations = a.operations;
}

void ReadMissing(const Assignment& a, StoreSide* side, Outcome* out) {
  RowBuffer buffer;
  Random random(a.seed);
  for (uint64_t i = 0; i < a.operations; ++i) {
    const uint64_t row = random.Below(a.rows->count());
    if (!side->Get(a.rows->MissingKey(row, &buffer), &out->touched)) ++out->misses;
  }
  out->operations = a.operations;
}

void ReadBatched(const Assignment& a, StoreSide* side, Outcome* out) {
  Buffers buffers;
  std::array<std::string_view, kBatch> keys;
  Random random(a.seed);
  for (uint64_t done = 0; done < a.operations; done += kBatch) {
    for (int i = 0; i < kBatch; ++i) {
      keys[i] = a.rows->Key(random.Below(a.rows->count()), &buffers[i]);
    }
    side->GetMany(keys, &out->touched);
    out->operations += kBatch;
  }
  out->misses = out->operations - out->touched.rows;
}

void Seek(const Assignment& a, StoreSide* side, Outcome* out) {
  RowBuffer buffer;
  Random random(a.seed);
  for (uint64_t i = 0; i < a.operations; ++i) {
    const uint64_t row = random.Below(a.rows->count());
    side->SeekAndRead(a.rows->Key(row, &buffer), kSeekRows, &out->touched);
  }
  out->operations = a.operations;
}

/// As many whole scans as it takes to read `operations` rows; the operations are the rows.
void Scan(const Assignment& a, StoreSide* side, Outcome* out) {
  for (uint64_t done = 0; done < a.operations; done += a.rows->count()) {
    side->ScanAll(&out->touched);
  }
  out->operations = out->touched.rows;
}

/// One put in ten, a put of a row and a get of another.
void Mix(const Assignment& a, StoreSide* side, Outcome* out) {
  RowBuffer buffer;
  Random random(a.seed);
  for (uint64_t i = 0; i < a.operations; ++i) {
    const uint64_t row = random.Below(a.rows->count());
    if (i % 10 == 9) {
      side->Put(a.rows->Key(row, &buffer), a.rows->Value(row, a.version, &buffer));
    } else if (!side->Get(a.rows->Key(row, &buffer), &out->touched)) {
      ++out->misses;
    }
  }
  out->operations = a.operations;
}

void ReadLatency(const Assignment& a, StoreSide* side, Outcome* out) {
  RowBuffer buffer;
  Random random(a.seed);
  std::vector<uint32_t> ticks(a.operations);
  for (uint32_t& taken : ticks) {
    const std::string_view key = a.rows->Key(random.Below(a.rows->count()), &buffer);
    const uint64_t start = OperationClock::Ticks();
    if (!side->Get(key, &out->touched)) ++out->misses;
    taken = static_cast<uint32_t>(std::min<uint64_t>(OperationClock::Ticks() - start, UINT32_MAX));
  }
  out->operations = a.operations;
  const double unit = OperationClock::NanosecondsPerTick();
  const Latencies in_ticks = Summarize(&ticks);
  out->nanoseconds = {in_ticks.mean * unit, in_ticks.p50 * unit, in_ticks.p99 * unit,
                      in_ticks.p999 * unit};
}

}  // namespace

Outcome RunWork(Work work, const Assignment& assignment, StoreSide* side) {
  Outcome out;
  switch (work) {
    case Work::kFillSequential:
      FillSequential(assignment, side, &out);
      break;
    case Work::kFillRandom:
    case Work::kOverwrite:
      PutInOrder(assignment, side, &out);
      break;
    case Work::kFillBatches:
      FillBatches(assignment, side, &out);
      break;
    case Work::kReadRandom:
      ReadRandom(assignment, side, &out);
      break;
    case Work::kReadHot:
      ReadHot(assignment, side, &out);
      break;
    case Work::kReadMissing:
      ReadMissing(assignment, side, &out);
      break;
    case Work::kReadBatched:
      ReadBatched(assignment, side, &out);
      break;
    case Work::kSeek:
      Seek(assignment, side, &out);
      break;
    case Work::kScan:
      Scan(assignment, side, &out);
      break;
    case Work::kMix:
      Mix(assignment, side, &out);
      break;
    case Work::kReadWhileWriting:
      return RunReadWhileWriting(assignment, side, /*with_reader=*/true);
    case Work::kLatency:
      ReadLatency(assignment, side, &out);
      break;
  }
  return out;
}

Outcome RunReadWhileWriting(const Assignment& a, StoreSide* side, bool with_reader) {
  Outcome out;
  std::atomic<bool> stop{!with_reader};
  std::thread reader([&] {
    RowBuffer buffer;
    Random random(a.seed + 1);
    while (!stop.load(std::memory_order_relaxed)) {
      const uint64_t row = random.Below(a.rows->count());
      Touched one;
      // The newest version before the line or the line's own: any known one passes here, which
      // of them is compared when the line is over.
      if (!side->Get(a.rows->Key(row, &buffer), &one) || one.bytes != kValueBytes ||
          Rows::VersionOf(row, one.sum) > a.version) {
        ++out.wrong;
      }
      ++out.operations;
    }
  });
  RowBuffer buffer;
  Random random(a.seed);
  for (uint64_t i = 0; i < a.operations; ++i) {
    const uint64_t row = random.Below(a.rows->count());
    side->Put(a.rows->Key(row, &buffer), a.rows->Value(row, a.version, &buffer));
  }
  stop.store(true);
  reader.join();
  out.writes = a.operations;
  return out;
}

}  // namespace marble::lsm::bench
