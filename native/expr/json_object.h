// A JSON object of a plan, read strictly: every key must be asked for, or AllRead() fails and
// names the one that was not. `where` is the path of the object, for messages. One thread; valid
// while the simdjson parser that made the element lives.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace marble::expr {

class JsonObject {
 public:
  /// kPlan when `element` is no object.
  static Result<JsonObject> Make(simdjson::dom::element element, std::string where);

  bool Has(std::string_view key) const;
  /// True when the key is there and null, which counts as read.
  bool IsNull(std::string_view key);
  Result<simdjson::dom::element> Element(std::string_view key);
  Result<std::string> String(std::string_view key);
  Result<int64_t> Int(std::string_view key);
  Result<bool> Bool(std::string_view key);
  Result<std::vector<simdjson::dom::element>> Array(std::string_view key);
  Result<std::vector<std::string>> Strings(std::string_view key);
  Result<JsonObject> Object(std::string_view key);
  /// The members of the object under `key`, all of them strings.
  Result<std::vector<std::pair<std::string, std::string>>> StringMap(std::string_view key);
  /// kPlan when a key was not read: nothing of a plan is ignored.
  Status AllRead() const;

  const std::string& where() const { return where_; }
  Status Error(const std::string& message) const;

 private:
  JsonObject(simdjson::dom::object object, std::string where)
      : object_(object), where_(std::move(where)) {}

  simdjson::dom::object object_;
  std::string where_;
  std::vector<std::string> read_;
};

}  // namespace marble::expr
