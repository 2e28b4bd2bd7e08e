#include "lsm/sst/sst_format.h"

#include <cinttypes>
#include <cstdio>

namespace marble::lsm {
namespace {

std::string NumberedName(FileNumber number, const char* suffix) {
  char name[32];
  std::snprintf(name, sizeof(name), "%06" PRIu64 "%s", number, suffix);
  return name;
}

}  // namespace

std::string SstArrowName(FileNumber number) { return NumberedName(number, ".arrow"); }
std::string SstIdxName(FileNumber number) { return NumberedName(number, ".idx"); }

}  // namespace marble::lsm
