// The connector 'filesystem': json lines, bounded. 'path' is a file or a directory, whose files
// are read in the order of their names (hidden ones are not). One partition, 0; an offset is the
// JSON string "<file>:<byte>" of the next line. What is appended to a file after the source has
// opened is not read.
#pragma once

#include <memory>

#include "stream/source.h"

namespace marble::stream {

/// kPlan names a missing, wrong or unknown option.
Result<std::unique_ptr<Source>> MakeFileSource(const SourceSpec& spec);

}  // namespace marble::stream
