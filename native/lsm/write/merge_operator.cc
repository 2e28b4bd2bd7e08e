#include "lsm/write/merge_operator.h"

#include <map>
#include <mutex>

#include "base/coding.h"

namespace marble::lsm {
namespace {

class Int64Add : public MergeOperator {
 public:
  std::string_view name() const override { return "int64add"; }
  Status Check(std::string_view value) const override {
    if (value.size() == sizeof(int64_t)) return Status::OK();
    return MakeError(ErrorCode::kInvalidArgument,
                     "the merge operator int64add works on 8 bytes (a little-endian int64), got " +
                         std::to_string(value.size()));
  }
  void Merge(std::string_view, std::string_view older, std::string_view newer,
             std::string* out) const override {
    PutFixed<uint64_t>(out, LoadFixed<uint64_t>(older.data()) + LoadFixed<uint64_t>(newer.data()));
  }
};

class Extreme : public MergeOperator {
 public:
  explicit Extreme(bool max) : max_(max) {}
  std::string_view name() const override { return max_ ? "max" : "min"; }
  Status Check(std::string_view) const override { return Status::OK(); }
  void Merge(std::string_view, std::string_view older, std::string_view newer,
             std::string* out) const override {
    out->append((older < newer) == max_ ? newer : older);
  }

 private:
  const bool max_;
};

class Append : public MergeOperator {
 public:
  std::string_view name() const override { return "append"; }
  Status Check(std::string_view) const override { return Status::OK(); }
  void Merge(std::string_view, std::string_view older, std::string_view newer,
             std::string* out) const override {
    out->append(older).append(newer);
  }
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, MergeOperatorRef, std::less<>> by_name;

  Registry() {
    for (MergeOperatorRef op : {MergeOperatorRef(std::make_shared<Int64Add>()),
                                MergeOperatorRef(std::make_shared<Extreme>(true)),
                                MergeOperatorRef(std::make_shared<Extreme>(false)),
                                MergeOperatorRef(std::make_shared<Append>())}) {
      by_name.emplace(op->name(), op);
    }
  }
};

Registry& TheRegistry() {
  static auto* registry = new Registry();  // never destroyed: databases may outlive statics
  return *registry;
}

}  // namespace

Status RegisterMergeOperator(MergeOperatorRef merge_operator) {
  if (merge_operator == nullptr || merge_operator->name().empty()) {
    return MakeError(ErrorCode::kInvalidArgument, "a merge operator needs a name");
  }
  Registry& registry = TheRegistry();
  std::lock_guard lock(registry.mutex);
  const std::string name(merge_operator->name());
  if (!registry.by_name.emplace(name, std::move(merge_operator)).second) {
    return MakeError(ErrorCode::kTableExists, "a merge operator '" + name + "' exists already");
  }
  return Status::OK();
}

Result<MergeOperatorRef> FindMergeOperator(std::string_view name) {
  if (name.empty()) return nullptr;
  Registry& registry = TheRegistry();
  {
    std::lock_guard lock(registry.mutex);
    const auto it = registry.by_name.find(name);
    if (it != registry.by_name.end()) return it->second;
  }
  std::string known;
  for (const std::string& other : MergeOperatorNames()) {
    known += (known.empty() ? "" : ", ") + other;
  }
  return MakeError(ErrorCode::kNotFound, "there is no merge operator '" + std::string(name) +
                                             "'; known are " + known +
                                             " (register one of your own before the open)");
}

std::vector<std::string> MergeOperatorNames() {
  Registry& registry = TheRegistry();
  std::lock_guard lock(registry.mutex);
  std::vector<std::string> names;
  for (const auto& [name, op] : registry.by_name) names.push_back(name);
  return names;
}

}  // namespace marble::lsm
