// Medians, spreads and percentiles of measurements. Pure functions.
#pragma once

#include <cstdint>
#include <vector>

namespace marble::lsm::bench {

/// The middle value, of an even number the mean of the two; 0 of none.
double Median(std::vector<double> values);

/// How far apart the values are: (greatest - least) / median; 0 of fewer than two.
double Spread(const std::vector<double>& values);

struct Latencies {
  double mean = 0;  // all in the unit of the samples
  double p50 = 0;
  double p99 = 0;
  double p999 = 0;
};

/// Exact: every sample counts, none is put into a bucket. The pth percentile is the least sample
/// that at least p percent of the samples do not exceed. Reorders `samples`.
Latencies Summarize(std::vector<uint32_t>* samples);

}  // namespace marble::lsm::bench
