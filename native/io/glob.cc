#include "io/glob.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace marble::io {
namespace {

constexpr size_t kMaxAlternatives = 1000;
constexpr std::string_view kSpecial = "*?[{\\";

Status Bad(const std::string& pattern, const std::string& what, size_t at) {
  return MakeError(ErrorCode::kInvalidArgument,
                   "pattern '" + pattern + "': " + what + " at position " + std::to_string(at) +
                       "; write a backslash before a character that means itself");
}

/// The position behind the character of UTF-8 at `at`.
size_t NextCharacter(std::string_view text, size_t at) {
  ++at;
  while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

/// The position of the bracket that closes the set at `open`; npos when there is none.
size_t EndOfSet(std::string_view pattern, size_t open) {
  size_t at = open + 1;
  if (at < pattern.size() && (pattern[at] == '!' || pattern[at] == '^')) ++at;
  if (at < pattern.size() && pattern[at] == ']') ++at;  // first, it is a member
  while (at < pattern.size() && pattern[at] != ']') at += pattern[at] == '\\' ? 2 : 1;
  return at < pattern.size() ? at : std::string_view::npos;
}

/// Whether the character is in the set "[...]" (with its brackets).
bool InSet(std::string_view set, std::string_view character) {
  size_t at = 1;
  const bool negated = set[at] == '!' || set[at] == '^';
  if (negated) ++at;
  const auto member = [&] {
    if (set[at] == '\\') ++at;
    const size_t end = NextCharacter(set, at);
    const std::string_view out = set.substr(at, end - at);
    at = end;
    return out;
  };
  bool found = false;
  while (at < set.size() - 1) {
    const std::string_view low = member();
    std::string_view high = low;
    if (set[at] == '-' && at + 1 < set.size() - 1) {
      ++at;
      high = member();
    }
    // Bytes of UTF-8 compare as code points do.
    found |= low <= character && character <= high;
  }
  return found != negated;
}

/// Whether a pattern without braces and slashes matches a name. Backtracks to the last star only,
/// which is enough.
bool Matches(std::string_view pattern, std::string_view name) {
  if (name.starts_with('.') && !pattern.starts_with('.') && !pattern.starts_with("\\."))
    return false;
  size_t p = 0, n = 0;
  size_t star = std::string_view::npos, star_name = 0;
  while (n < name.size()) {
    bool same = false;
    size_t next_p = p;
    const size_t next_n = NextCharacter(name, n);
    if (p < pattern.size()) {
      switch (pattern[p]) {
        case '*':
          star = p++;
          star_name = n;
          continue;
        case '?':
          same = true;
          next_p = p + 1;
          break;
        case '[': {
          const size_t end = EndOfSet(pattern, p);
          same = InSet(pattern.substr(p, end - p + 1), name.substr(n, next_n - n));
          next_p = end + 1;
          break;
        }
        default: {
          const size_t literal = pattern[p] == '\\' && p + 1 < pattern.size() ? p + 1 : p;
          next_p = NextCharacter(pattern, literal);
          same = pattern.substr(literal, next_p - literal) == name.substr(n, next_n - n);
        }
      }
    }
    if (same) {
      p = next_p;
      n = next_n;
    } else if (star != std::string_view::npos) {
      star_name = NextCharacter(name, star_name);
      n = star_name;
      p = star + 1;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

/// A pattern for each combination of alternatives.
Status ExpandBraces(const std::string& whole, const std::string& pattern,
                    std::vector<std::string>* out) {
  size_t open = std::string::npos;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\') {
      ++i;
    } else if (pattern[i] == '[') {
      const size_t end = EndOfSet(pattern, i);
      if (end == std::string::npos) return Bad(whole, "a '[' is not closed", i);
      i = end;
    } else if (pattern[i] == '{') {
      open = i;
      break;
    }
  }
  if (open == std::string::npos) {
    if (out->size() >= kMaxAlternatives) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "pattern '" + whole + "': its braces give more than " +
                           std::to_string(kMaxAlternatives) + " patterns");
    }
    out->push_back(pattern);
    return Status::OK();
  }
  std::vector<std::string> alternatives(1);
  int depth = 1;
  size_t close = open + 1;
  for (; close < pattern.size(); ++close) {
    const char c = pattern[close];
    if (c == '\\' && close + 1 < pattern.size()) {
      alternatives.back().append(pattern, close++, 2);
      continue;
    }
    if (c == '[') {
      const size_t end = EndOfSet(pattern, close);
      if (end == std::string::npos) return Bad(whole, "a '[' is not closed", close);
      alternatives.back().append(pattern, close, end - close + 1);
      close = end;
      continue;
    }
    if (c == '{') ++depth;
    if (c == '}' && --depth == 0) break;
    if (c == ',' && depth == 1) {
      alternatives.emplace_back();
    } else {
      alternatives.back().push_back(c);
    }
  }
  if (depth != 0) return Bad(whole, "a '{' is not closed", open);
  for (const std::string& alternative : alternatives) {
    MARBLE_RETURN_NOT_OK(ExpandBraces(
        whole, pattern.substr(0, open) + alternative + pattern.substr(close + 1), out));
  }
  return Status::OK();
}

std::string Unescape(std::string_view pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    out.push_back(pattern[i]);
  }
  return out;
}

bool HasWildcard(std::string_view part) {
  for (size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '\\') {
      ++i;
    } else if (part[i] == '*' || part[i] == '?' || part[i] == '[') {
      return true;
    }
  }
  return false;
}

class Walk {
 public:
  Walk(FileSystem* files, std::set<std::string>* found) : files_(files), found_(found) {}

  Status Run(const std::string& pattern) {
    parts_.clear();
    for (size_t begin = 0; begin <= pattern.size();) {
      const size_t end = std::min(pattern.find('/', begin), pattern.size());
      if (end > begin) parts_.push_back(pattern.substr(begin, end - begin));
      begin = end + 1;
    }
    return From(pattern.starts_with('/') ? "/" : "", 0);
  }

 private:
  using Identity = std::pair<uint64_t, uint64_t>;

  static std::string Join(const std::string& folder, const std::string& name) {
    return folder.empty() || folder == "/" ? folder + name : folder + "/" + name;
  }

  /// Match parts_[index...] below `folder`, which is there.
  Status From(const std::string& folder, size_t index) {
    if (index == parts_.size()) return Status::OK();
    const std::string& part = parts_[index];
    const bool last = index + 1 == parts_.size();
    if (part == "**") {
      std::set<Identity> above;
      return Deep(folder, index, &above);
    }
    if (!HasWildcard(part)) return Step(Join(folder, Unescape(part)), index, last);
    MARBLE_ASSIGN_OR_RETURN(const auto names, files_->List(folder.empty() ? "." : folder));
    for (const std::string& name : names) {
      if (Matches(part, name)) MARBLE_RETURN_NOT_OK(Step(Join(folder, name), index, last));
    }
    return Status::OK();
  }

  /// `path` matches up to parts_[index].
  Status Step(const std::string& path, size_t index, bool last) {
    MARBLE_ASSIGN_OR_RETURN(const auto info, files_->Stat(path));
    if (!info) return Status::OK();
    if (!info->is_directory) {
      if (last) found_->insert(path);
      return Status::OK();
    }
    return last ? Status::OK() : From(path, index + 1);
  }

  /// `**`: the rest in this folder and in all below. As the last part it means all files.
  Status Deep(const std::string& folder, size_t index, std::set<Identity>* above) {
    const bool last = index + 1 == parts_.size();
    if (!last) MARBLE_RETURN_NOT_OK(From(folder, index + 1));
    MARBLE_ASSIGN_OR_RETURN(const auto names, files_->List(folder.empty() ? "." : folder));
    for (const std::string& name : names) {
      if (name.starts_with('.')) continue;
      const std::string path = Join(folder, name);
      MARBLE_ASSIGN_OR_RETURN(const auto info, files_->Stat(path));
      if (!info) continue;
      if (!info->is_directory) {
        if (last) found_->insert(path);
        continue;
      }
      const Identity identity{info->device, info->inode};
      if (!above->insert(identity).second) continue;  // a link to a folder that it lies in
      MARBLE_RETURN_NOT_OK(Deep(path, index, above));
      above->erase(identity);
    }
    return Status::OK();
  }

  FileSystem* const files_;
  std::set<std::string>* const found_;
  std::vector<std::string> parts_;
};

}  // namespace

bool IsPattern(const std::string& path) {
  return path.find_first_of(kSpecial) != std::string::npos;
}

Result<std::vector<std::string>> Glob(FileSystem* files, const std::string& pattern) {
  std::vector<std::string> patterns;
  MARBLE_RETURN_NOT_OK(ExpandBraces(pattern, pattern, &patterns));
  std::set<std::string> found;
  Walk walk(files, &found);
  for (const std::string& one : patterns) MARBLE_RETURN_NOT_OK(walk.Run(one));
  return std::vector<std::string>(found.begin(), found.end());
}

}  // namespace marble::io
