// Factories by name: how an implementation behind a seam is chosen. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace marble {

/// Factory: a callable without arguments.
template <typename Factory>
class Registry {
 public:
  /// `what` names the kind of thing in errors: "state backend".
  Registry(std::string what, std::map<std::string, Factory> built_in)
      : what_(std::move(what)), factories_(std::move(built_in)) {}

  /// kInvalidArgument when the name is empty or taken.
  Status Register(const std::string& name, Factory factory) {
    if (name.empty()) return MakeError(ErrorCode::kInvalidArgument, "a " + what_ + " needs a name");
    std::lock_guard lock(mutex_);
    if (!factories_.emplace(name, std::move(factory)).second) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "there is a " + what_ + " named '" + name + "' already");
    }
    return Status::OK();
  }
  /// kNotFound names those there are.
  Result<Factory> Find(const std::string& name) const {
    std::lock_guard lock(mutex_);
    const auto found = factories_.find(name);
    if (found != factories_.end()) return found->second;
    std::string known;
    for (const auto& [other, factory] : factories_) {
      known += (known.empty() ? "'" : ", '") + other + "'";
    }
    return MakeError(ErrorCode::kNotFound,
                     "there is no " + what_ + " named '" + name + "'; there are " + known);
  }
  std::vector<std::string> Names() const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, factory] : factories_) names.push_back(name);
    return names;
  }

 private:
  const std::string what_;
  mutable std::mutex mutex_;
  std::map<std::string, Factory> factories_;
};

}  // namespace marble
