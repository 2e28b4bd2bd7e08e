#include "expr/json_object.h"

#include <algorithm>

namespace marble::expr {

namespace dom = simdjson::dom;

Result<JsonObject> JsonObject::Make(dom::element element, std::string where) {
  dom::object object;
  if (element.get(object) != simdjson::SUCCESS) {
    return MakeError(ErrorCode::kPlan, "Plan: " + where + " must be an object");
  }
  return JsonObject(object, std::move(where));
}

Status JsonObject::Error(const std::string& message) const {
  return MakeError(ErrorCode::kPlan, "Plan: " + where_ + ": " + message);
}

bool JsonObject::Has(std::string_view key) const {
  dom::element element;
  return object_.at_key(key).get(element) == simdjson::SUCCESS;
}

Result<dom::element> JsonObject::Element(std::string_view key) {
  dom::element element;
  if (object_.at_key(key).get(element) != simdjson::SUCCESS) {
    return Error("key '" + std::string(key) + "' is missing");
  }
  read_.emplace_back(key);
  return element;
}

bool JsonObject::IsNull(std::string_view key) {
  dom::element element;
  if (object_.at_key(key).get(element) != simdjson::SUCCESS || !element.is_null()) return false;
  read_.emplace_back(key);
  return true;
}

Result<std::string> JsonObject::String(std::string_view key) {
  MARBLE_ASSIGN_OR_RETURN(auto element, Element(key));
  std::string_view value;
  if (element.get(value) != simdjson::SUCCESS) {
    return Error("'" + std::string(key) + "' must be a string");
  }
  return std::string(value);
}

Result<int64_t> JsonObject::Int(std::string_view key) {
  MARBLE_ASSIGN_OR_RETURN(auto element, Element(key));
  int64_t value;
  if (element.get(value) != simdjson::SUCCESS) {
    return Error("'" + std::string(key) + "' must be an integer");
  }
  return value;
}

Result<bool> JsonObject::Bool(std::string_view key) {
  MARBLE_ASSIGN_OR_RETURN(auto element, Element(key));
  bool value;
  if (element.get(value) != simdjson::SUCCESS) {
    return Error("'" + std::string(key) + "' must be true or false");
  }
  return value;
}

Result<std::vector<dom::element>> JsonObject::Array(std::string_view key) {
  MARBLE_ASSIGN_OR_RETURN(auto element, Element(key));
  dom::array array;
  if (element.get(array) != simdjson::SUCCESS) {
    return Error("'" + std::string(key) + "' must be an array");
  }
  return std::vector<dom::element>(array.begin(), array.end());
}

Result<std::vector<std::string>> JsonObject::Strings(std::string_view key) {
  MARBLE_ASSIGN_OR_RETURN(auto elements, Array(key));
  std::vector<std::string> values;
  for (auto element : elements) {
    std::string_view value;
    if (element.get(value) != simdjson::SUCCESS) {
      return Error("'" + std::string(key) + "' must be an array of strings");
    }
    values.emplace_back(value);
  }
  return values;
}

Result<JsonObject> JsonObject::Object(std::string_view key) {
  MARBLE_ASSIGN_OR_RETURN(auto element, Element(key));
  return Make(element, where_ + "." + std::string(key));
}

Result<std::vector<std::pair<std::string, std::string>>> JsonObject::StringMap(
    std::string_view key) {
  MARBLE_ASSIGN_OR_RETURN(auto member, Object(key));
  std::vector<std::pair<std::string, std::string>> values;
  for (auto field : member.object_) {
    std::string_view value;
    if (field.value.get(value) != simdjson::SUCCESS) {
      return Error("'" + std::string(key) + "." + std::string(field.key) + "' must be a string");
    }
    values.emplace_back(std::string(field.key), std::string(value));
  }
  return values;
}

Status JsonObject::AllRead() const {
  for (auto field : object_) {
    if (std::find(read_.begin(), read_.end(), field.key) == read_.end()) {
      return Error("key '" + std::string(field.key) +
                   "' is not known; a newer planner than this runtime?");
    }
  }
  return Status::OK();
}

}  // namespace marble::expr
