// Which files of a table can go as they are, unread, because every row in them has expired for
// everybody. Pure: it sees what files say of themselves and does no I/O.
//
// A file may go when
// 1. every row of it has expired, by the clock of now and of each snapshot, or is a tombstone;
// 2. no older file that stays overlaps it: else what its rows hide would be seen again;
// 3. with merges: in no newer run that stays and overlaps it was a row written before the file's
//    last one expired. Such an operand was in time: what it adds to still counts.
// Files that allow each other to go, go together: in one edit of the manifest.
//
// Tables without a key have 1 alone.
#pragma once

#include <cstdint>
#include <vector>

#include "lsm/table_info.h"
#include "lsm/version/table_version.h"

namespace marble::lsm {

struct ExpiryView {
  const TableInfo* info;
  const TableVersion* files;
  /// The table's memtables: when the first row of each expires; 0: none does.
  std::vector<int64_t> memtable_expiries;
  /// What expires up to then has expired for every reader and snapshot.
  int64_t expired_ms = 0;
};

/// The files, from the newest to the oldest, without those that a compaction is busy with.
std::vector<LevelFile> FindExpiredFiles(const ExpiryView& view);

/// When the next file will have expired as a whole; INT64_MAX: none will.
int64_t NextFileExpiry(const TableVersion& files);

}  // namespace marble::lsm
