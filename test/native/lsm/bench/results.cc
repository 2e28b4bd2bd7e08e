#include "results.h"

#include <algorithm>

namespace marble::lsm::bench {

double LineResult::NumberOf(const Sample& sample) const {
  switch (unit) {
    case Unit::kPerSecond:
      return static_cast<double>(sample.outcome.operations) / sample.cost.seconds;
    case Unit::kMilliseconds:
      return sample.cost.seconds * 1e3;
    case Unit::kLatency:
      return sample.outcome.nanoseconds.mean;
  }
  return 0;
}

std::vector<double> LineResult::Numbers(size_t side) const {
  std::vector<double> numbers;
  for (const Sample& sample : samples[side]) numbers.push_back(NumberOf(sample));
  return numbers;
}

LineResult* Results::Line(uint64_t keys, const std::string& state, const std::string& line) {
  for (LineResult& result : lines) {
    if (result.keys == keys && result.state == state && result.line == line) return &result;
  }
  LineResult& added = lines.emplace_back();
  added.keys = keys;
  added.state = state;
  added.line = line;
  added.samples.resize(sides.size());
  return &added;
}

ShapeResult* Results::Shape(uint64_t keys, const std::string& state) {
  for (ShapeResult& result : shapes) {
    if (result.keys == keys && result.state == state) return &result;
  }
  ShapeResult& added = shapes.emplace_back();
  added.keys = keys;
  added.state = state;
  added.shapes.resize(sides.size());
  added.use.resize(sides.size());
  added.settle_seconds.resize(sides.size());
  added.settle_written.resize(sides.size());
  return &added;
}

bool Results::valid() const {
  return failures.empty() && std::all_of(lines.begin(), lines.end(), [](const LineResult& line) {
           return line.void_because.empty();
         });
}

Verdict Judge(const LineResult& line, double required_ratio) {
  Verdict verdict;
  const bool more_is_better = line.unit == Unit::kPerSecond;
  std::vector<std::vector<double>> numbers;
  for (size_t side = 0; side < line.samples.size(); ++side) {
    numbers.push_back(line.Numbers(side));
    verdict.medians.push_back(Median(numbers.back()));
    verdict.spreads.push_back(Spread(numbers.back()));
  }
  const auto ratio = [&](double ours, double theirs) {
    return more_is_better ? ours / theirs : theirs / ours;
  };
  for (size_t side = 1; side < numbers.size(); ++side) {
    if (numbers[side].empty()) continue;
    const bool better =
        verdict.better == 0 || ratio(verdict.medians[side], verdict.medians[verdict.better]) > 1;
    if (better) verdict.better = side;
  }
  if (verdict.better != 0 && !numbers[0].empty()) {
    verdict.ratio = ratio(verdict.medians[0], verdict.medians[verdict.better]);
    verdict.ratio_reached = verdict.ratio >= required_ratio;
    verdict.least_ratio = verdict.greatest_ratio = verdict.ratio;
    const std::vector<double>& theirs = numbers[verdict.better];
    for (size_t i = 0; i < std::min(numbers[0].size(), theirs.size()); ++i) {
      const double one = ratio(numbers[0][i], theirs[i]);
      verdict.least_ratio = std::min(verdict.least_ratio, one);
      verdict.greatest_ratio = std::max(verdict.greatest_ratio, one);
    }
  }
  for (const Bar& bar : line.bars) {
    if (bar.of == Bar::Of::kP99) {
      std::vector<double> p99;
      for (const Sample& s : line.samples[0]) p99.push_back(s.outcome.nanoseconds.p99);
      verdict.bars_reached.push_back(Median(p99) <= bar.value);
    } else if (bar.of == Bar::Of::kMean) {
      verdict.bars_reached.push_back(verdict.medians[0] <= bar.value);
    } else {
      verdict.bars_reached.push_back(verdict.medians[0] >= bar.value);
    }
  }
  return verdict;
}

}  // namespace marble::lsm::bench
