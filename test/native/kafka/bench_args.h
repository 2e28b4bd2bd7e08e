// What the Kafka benchmark programs share: the record they speak of, its checksum, CPU time.
#pragma once

#include <sys/resource.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace marble::kafka::bench {

/// One record's part of the checksum: every column counts, in any order of the records.
inline uint64_t Checksum(int64_t ts, std::string_view key, double px, int64_t qty) {
  uint64_t letters = 0;
  for (char c : key) letters = letters * 31 + static_cast<unsigned char>(c);
  return static_cast<uint64_t>(ts) + letters + static_cast<uint64_t>(std::llround(px * 100)) +
         static_cast<uint64_t>(qty);
}

/// User and system seconds of this process so far.
inline double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

inline int64_t Number(const char* text) { return std::strtoll(text, nullptr, 10); }

}  // namespace marble::kafka::bench
