// What an experiment has measured, sample by sample, and what follows from it: medians, the ratio
// to the better setting of the peer, the bars. Plain data; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "meter.h"
#include "statistics.h"
#include "work_directory.h"
#include "workload.h"

namespace marble::lsm::bench {

/// One run of a line on one side.
struct Sample {
  Cost cost;  // of the line alone
  Outcome outcome;
  /// Of lines that write: until background work had ended, and what was written until then.
  double background_seconds = 0;
  uint64_t written_bytes = 0;
  uint64_t cancelled_bytes = 0;
};

/// What the number of a line means; more is better but for kMilliseconds and the latencies.
enum class Unit { kPerSecond, kMilliseconds, kLatency };

/// A figure that a line must reach by itself.
struct Bar {
  enum class Of { kRate, kMean, kP99 } of = Of::kRate;
  double value = 0;  // per second, or nanoseconds
  std::string text;
};

struct LineResult {
  uint64_t keys = 0;
  std::string state;  // "as written", "settled" or empty
  std::string line;
  Unit unit = Unit::kPerSecond;
  bool writes = false;
  std::vector<Bar> bars;
  std::vector<std::vector<Sample>> samples;  // by side
  std::string void_because;                  // empty: the sides agree

  /// The line's number in one sample.
  double NumberOf(const Sample& sample) const;
  std::vector<double> Numbers(size_t side) const;
};

/// How a database looked when its lines were read.
struct ShapeResult {
  uint64_t keys = 0;
  std::string state;
  std::vector<std::string> shapes;  // by side, of the last round
  std::vector<DiskUse> use;
  std::vector<std::vector<double>> settle_seconds;  // by side, of the settled state
  std::vector<std::vector<double>> settle_written;
};

struct Results {
  std::vector<std::string> sides;  // the first one is ours
  std::vector<std::string> descriptions;
  double required_ratio = 3.0;
  int rounds = 0;
  std::vector<LineResult> lines;
  std::vector<ShapeResult> shapes;
  std::vector<std::string> notes;     // what a reader of the bars has to know
  std::vector<std::string> failures;  // what was wrong with a database's contents

  LineResult* Line(uint64_t keys, const std::string& state, const std::string& line);
  ShapeResult* Shape(uint64_t keys, const std::string& state);
  bool valid() const;
};

/// What a line says: its medians, and whether the bars are reached.
struct Verdict {
  std::vector<double> medians;  // by side
  std::vector<double> spreads;
  size_t better = 0;  // the side that is compared with; 0: there is none
  /// Ours to the better one, above one when ours is better; of the medians, and the least and
  /// greatest of a round.
  double ratio = 0;
  double least_ratio = 0;
  double greatest_ratio = 0;
  bool ratio_reached = true;
  std::vector<bool> bars_reached;
};
Verdict Judge(const LineResult& line, double required_ratio);

}  // namespace marble::lsm::bench
