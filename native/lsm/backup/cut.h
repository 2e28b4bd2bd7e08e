// A consistent cut of an open database, from which copies are made: what the manifest said at one
// moment, every file that it named, and the log from there up to a position. As long as the cut
// lives none of that is unlinked. Immutable; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "io/file_system.h"
#include "lsm/version/table_version.h"
#include "lsm/version/version_edit.h"
#include "lsm/wal/log_pins.h"

namespace marble::lsm {

struct DatabaseCut {
  std::shared_ptr<io::FileSystem> file_system;
  std::string dir;
  ManifestState manifest;
  std::vector<SstFileRef> files;  // all that the manifest names, maybe more
  LogPosition log_end = 0;        // everything before it is published
  uint64_t last_segment = 0;      // where the log was at that moment, or shortly after
  std::shared_ptr<LogPins::Pin> log_pin;
};

/// One log segment as far as it belongs to a cut.
struct CutSegment {
  uint64_t id = 0;
  uint64_t bytes = 0;  // to be copied; 0: the segment does not exist any more (a fixed end)
  std::shared_ptr<io::LogFile> file;
};

/// The log of a cut. `manifest` is the one that a copy gets: fixed ends at the cut.
struct CutLog {
  std::vector<CutSegment> segments;
  ManifestState manifest;
  SequenceNumber last_sequence = 0;  // of the whole cut
};

/// Find and check the log's records up to the cut. kCorruption names file and offset.
Result<CutLog> ReadCutLog(const DatabaseCut& cut);

}  // namespace marble::lsm
