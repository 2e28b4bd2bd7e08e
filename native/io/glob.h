// Which files a pattern names.
//
//   *      any characters of one name, also none; not a leading dot
//   ?      one character of a name (of UTF-8, not a byte); not a leading dot
//   [a-z]  one character out of a set; [!a-z] or [^a-z] one that is not in it
//   **     as a whole name: any number of folders, also none; hidden ones are left out
//   {a,b}  each of the alternatives, which may hold patterns, '/' and further braces
//   \x     x itself
//
// Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "io/file_system.h"

namespace marble::io {

/// Whether a path holds one of the characters above (or a backslash): else it names one file.
bool IsPattern(const std::string& path);

/// The files (not folders) that a pattern matches, sorted, each once; none is no error. A link to a
/// folder is followed, a circle of them once. kInvalidArgument for a bracket or brace that is not
/// closed and for braces with more than 1,000 alternatives in all; an error of a folder that
/// cannot be listed.
Result<std::vector<std::string>> Glob(FileSystem* files, const std::string& pattern);

}  // namespace marble::io
