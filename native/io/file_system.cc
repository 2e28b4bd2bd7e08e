#include "io/file_system.h"

#include <cerrno>
#include <map>
#include <mutex>

#include "io/memory_file_system.h"

namespace marble::io {

Result<bool> FileSystem::Exists(const std::string& path) {
  MARBLE_ASSIGN_OR_RETURN(const auto info, Stat(path));
  return info.has_value();
}

Result<uint64_t> FileSystem::Size(const std::string& path) {
  MARBLE_ASSIGN_OR_RETURN(const auto info, Stat(path));
  if (!info) return IoError("stat", path, ENOENT);
  return info->size;
}

Status FileSystem::WriteFileAtomically(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp";
  MARBLE_ASSIGN_OR_RETURN(const bool left_over, Exists(temporary));
  if (left_over) MARBLE_RETURN_NOT_OK(Remove(temporary));
  MARBLE_ASSIGN_OR_RETURN(auto file, Create(temporary));
  Status status = file->Append(bytes);
  if (status.ok()) status = file->Sync();
  if (status.ok()) status = file->Close();
  file.reset();
  if (status.ok()) status = Rename(temporary, path);
  if (!status.ok()) {
    (void)Remove(temporary);  // the first error is the one to report
    return status;
  }
  return SyncDir(ParentOf(path));
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

namespace {

constexpr std::string_view kSeparator = "://";

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<FileSystem>, std::less<>> by_scheme;
};

Registry& TheRegistry() {
  static auto* registry = [] {
    auto* made = new Registry;  // outlives every static destructor
    made->by_scheme["file"] = FileSystem::Local();
    made->by_scheme["mem"] = std::make_shared<MemoryFileSystem>();
    return made;
  }();
  return *registry;
}

bool IsScheme(std::string_view text) {
  if (text.empty()) return false;
  for (const char& c : text) {
    const bool letter = c >= 'a' && c <= 'z';
    const bool other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
    if (!letter && (!other || &c == text.data())) return false;
  }
  return true;
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// "file://" has been taken off. A host can only be this one.
Result<std::string> DecodeFileUrl(const std::string& url, std::string_view rest) {
  if (rest.starts_with("localhost/")) rest.remove_prefix(std::string_view("localhost").size());
  if (!rest.starts_with('/')) {
    return MakeError(ErrorCode::kInvalidArgument,
                     url + ": a file URL has three slashes and an absolute path (file:///data)");
  }
  std::string path;
  for (size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] != '%') {
      path.push_back(rest[i]);
      continue;
    }
    const int high = i + 2 < rest.size() ? HexValue(rest[i + 1]) : -1;
    const int low = i + 2 < rest.size() ? HexValue(rest[i + 2]) : -1;
    if (high < 0 || low < 0 || high * 16 + low == 0) {
      return MakeError(ErrorCode::kInvalidArgument,
                       url + ": bad percent-encoding at position " +
                           std::to_string(url.size() - rest.size() + i) +
                           "; a plain path needs none");
    }
    path.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return path;
}

}  // namespace

Result<ResolvedPath> ResolvePath(const std::string& path) {
  const size_t separator = path.find(kSeparator);
  // "/odd/name://x" is a plain path: what stands before is no scheme.
  if (separator == std::string::npos || path.find('/') < separator) {
    return ResolvedPath{FileSystem::Local(), path};
  }
  const std::string_view scheme = std::string_view(path).substr(0, separator);
  const std::string_view rest = std::string_view(path).substr(separator + kSeparator.size());
  Registry& registry = TheRegistry();
  std::string known;
  {
    std::lock_guard lock(registry.mutex);
    const auto it = registry.by_scheme.find(scheme);
    if (it != registry.by_scheme.end()) {
      if (scheme == "file") {
        MARBLE_ASSIGN_OR_RETURN(std::string decoded, DecodeFileUrl(path, rest));
        return ResolvedPath{it->second, std::move(decoded)};
      }
      if (rest.empty()) {
        return MakeError(ErrorCode::kInvalidArgument, path + " names no file or folder");
      }
      return ResolvedPath{it->second, std::string(rest)};
    }
    for (const auto& [name, ignored] : registry.by_scheme) {
      known += (known.empty() ? "" : ", ") + name + std::string(kSeparator);
    }
  }
  return MakeError(ErrorCode::kInvalidArgument, path + ": no file system has the prefix '" +
                                                    std::string(scheme) + std::string(kSeparator) +
                                                    "'; known are " + known + " and plain paths");
}

Status RegisterFileSystem(const std::string& scheme, std::shared_ptr<FileSystem> file_system) {
  if (!IsScheme(scheme) || file_system == nullptr) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "'" + scheme +
                         "' cannot be registered: a file system needs a scheme of lower-case "
                         "letters, digits, '+', '-' and '.', a letter first");
  }
  Registry& registry = TheRegistry();
  std::lock_guard lock(registry.mutex);
  if (!registry.by_scheme.emplace(scheme, std::move(file_system)).second) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "the prefix '" + scheme + std::string(kSeparator) + "' is taken");
  }
  return Status::OK();
}

}  // namespace marble::io
