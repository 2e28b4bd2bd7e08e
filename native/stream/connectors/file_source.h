// The connector 'filesystem': json lines, bounded. 'path' is a file, a folder, whose files are read
// in the order of their names (hidden ones are not), or a pattern (io/glob.h), whose files are read
// in the order of their paths; with a prefix for another file system (io/file_system.h). Files
// named .gz, .lz4 and .zst are decompressed. One partition, 0; an offset is the JSON string
// "<file>:<byte>" of the next line, <byte> counting what the lines are made of: in a compressed
// file the decompressed bytes, all of which before it are decompressed again when a job resumes.
// What is appended to a file after the source has opened is not read.
#pragma once

#include <memory>

#include "stream/source.h"

namespace marble::stream {

/// kPlan names a missing, wrong or unknown option.
Result<std::unique_ptr<Source>> MakeFileSource(const SourceSpec& spec);

}  // namespace marble::stream
