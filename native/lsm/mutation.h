// Faults put in on purpose, to test the tests: with each of them some test of lsm has to fail
// (scripts/mutants). They exist in builds with -DMARBLE_MUTANTS=ON alone, which cannot have the
// addon; there the environment variable MARBLE_MUTANT names the one that is in force, for the whole
// process. In every other build Mutated is the constant false, and nothing is left of them.
#pragma once

#ifdef MARBLE_MUTANTS
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string_view>
#endif

namespace marble::lsm {

enum class Mutant {
  kDropManifestFsync,  // an edit counts as durable when it is written
  kDropLogFsync,       // a log segment does
  kDropTableFsync,     // an .arrow file does
  kDropFolderFsync,    // the names of a flush's files do
  kIgnoreLogCrc,
  kIgnoreManifestCrc,
  kIgnorePageCrc,       // of .arrow and .idx files
  kRemoveLogEarly,      // segments go before the edit that makes them superfluous
  kSyncedEarly,         // the log claims to be durable up to where the fsync is still to come
  kVisibleEarly,        // readers may see a write before it is in the memtables
  kColumnsByPosition,   // a file's columns are found by their place, where the type allows it
  kDecodeTableColumns,  // of a compressed file the table's columns are decoded, not its own
  kOldFilesHaveAllIds,  // a file without field ids is taken to have the table's
};

#ifdef MARBLE_MUTANTS
inline constexpr std::string_view kMutantNames[] = {
    "drop-manifest-fsync",   "drop-log-fsync",      "drop-table-fsync",    "drop-folder-fsync",
    "ignore-log-crc",        "ignore-manifest-crc", "ignore-page-crc",     "remove-log-early",
    "synced-early",          "visible-early",       "columns-by-position", "decode-table-columns",
    "old-files-have-all-ids"};

inline bool Mutated(Mutant mutant) {
  static const int in_force = [] {
    const char* name = std::getenv("MARBLE_MUTANT");
    if (name == nullptr || *name == '\0') return -1;
    for (size_t i = 0; i < std::size(kMutantNames); ++i) {
      if (kMutantNames[i] == name) return static_cast<int>(i);
    }
    std::fprintf(stderr, "MARBLE_MUTANT: there is no mutant '%s'\n", name);
    std::exit(2);
  }();
  return static_cast<int>(mutant) == in_force;
}
#else
constexpr bool Mutated(Mutant) { return false; }
#endif

}  // namespace marble::lsm
