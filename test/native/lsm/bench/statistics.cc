#include "statistics.h"

#include <algorithm>
#include <cmath>

namespace marble::lsm::bench {

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double Spread(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  const double median = Median(values);
  return median > 0 ? (*greatest - *least) / median : 0;
}

Latencies Summarize(std::vector<uint32_t>* samples) {
  Latencies out;
  if (samples->empty()) return out;
  std::sort(samples->begin(), samples->end());
  const auto at = [&](double share) {
    const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(samples->size())));
    return static_cast<double>((*samples)[std::max<size_t>(rank, 1) - 1]);
  };
  double sum = 0;
  for (const uint32_t sample : *samples) sum += sample;
  out.mean = sum / static_cast<double>(samples->size());
  out.p50 = at(0.5);
  out.p99 = at(0.99);
  out.p999 = at(0.999);
  return out;
}

}  // namespace marble::lsm::bench
