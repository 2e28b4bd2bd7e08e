// Checks everything that a closed database's folder, or a backup, says and holds: every checksum of
// every file, page and record, every invariant. Writes nothing and takes no lock. Damaged input
// gives findings, never an error or a crash; an error means that the check itself could not go on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "lsm/backup/copy_file.h"

namespace marble::lsm {

struct Finding {
  /// kError: data is damaged or missing. kNotice: what a crash leaves and the next open repairs.
  enum class Severity { kError, kNotice } severity = Severity::kError;
  std::string file;                // its name in the folder
  std::optional<uint64_t> offset;  // in the file, where it is known
  std::string message;
};

struct VerifyReport {
  std::vector<Finding> findings;
  uint64_t files = 0;  // looked at
  uint64_t bytes = 0;
  uint64_t rows = 0;         // of SSTables
  uint64_t log_records = 0;  // not yet flushed
  bool ok() const {
    for (const Finding& finding : findings) {
      if (finding.severity == Finding::Severity::kError) return false;
    }
    return true;
  }
};

/// kNotFound when there is no database in the folder, kAborted when it was cancelled.
Result<VerifyReport> VerifyDatabase(const std::shared_ptr<io::FileSystem>& files,
                                    const std::string& dir, const CopyControl& control);

/// { ok, files, bytes, rows, logRecords, findings: [{ severity, file, offset?, message }] }
std::string ReportToJson(const VerifyReport& report);

}  // namespace marble::lsm
