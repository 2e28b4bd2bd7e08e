#include "stream/plan.h"

#include <arrow/api.h>

#include <algorithm>

namespace marble::stream {

std::string_view NodeTypeName(NodeType type) {
  switch (type) {
    case NodeType::kSource:
      return "source";
    case NodeType::kWatermark:
      return "watermark";
    case NodeType::kCalc:
      return "calc";
    case NodeType::kWindowAggregate:
      return "windowAggregate";
    case NodeType::kGroupAggregate:
      return "groupAggregate";
    case NodeType::kSink:
      return "sink";
  }
  return "";
}

bool Plan::bounded() const {
  return std::all_of(nodes.begin(), nodes.end(), [](const PlanNode& node) {
    return node.type != NodeType::kSource || node.source.bounded;
  });
}

bool Plan::collects() const {
  return std::any_of(nodes.begin(), nodes.end(), [](const PlanNode& node) {
    return node.type == NodeType::kSink && node.connector == "collect";
  });
}

std::vector<std::pair<std::string, std::string>> Fingerprint(const Plan& plan,
                                                             const PlanNode& node) {
  std::vector<std::pair<std::string, std::string>> parts;
  if (node.type == NodeType::kSource) {
    // Where it is reached may change (another broker, another folder); what it is may not: offsets
    // of one topic mean nothing in another.
    parts.emplace_back("connector", node.source.connector);
    const auto topic = node.source.options.find("topic");
    if (topic != node.source.options.end()) parts.emplace_back("topic", topic->second);
    return parts;
  }
  if (node.type == NodeType::kCalc) {
    const auto& input = *plan.nodes[static_cast<size_t>(node.input)].schema;
    if (node.filter != nullptr) parts.emplace_back("filter", node.filter->ToString(&input));
    std::string projections;
    for (const auto& projection : node.projections) {
      projections += (projections.empty() ? "" : ", ") + projection->ToString(&input);
    }
    parts.emplace_back("projections", projections);
    return parts;
  }
  if (node.type != NodeType::kWindowAggregate && node.type != NodeType::kGroupAggregate) {
    return parts;
  }
  const auto& input = *plan.nodes[static_cast<size_t>(node.input)].schema;
  std::string keys;
  for (int key : node.keys) {
    const auto& field = input.field(key);
    keys += (keys.empty() ? "" : ", ") + field->name() + " " + field->type()->ToString() +
            (field->nullable() ? "" : " not null");
  }
  parts.emplace_back("keys", keys);
  std::string aggregates;
  for (size_t i = 0; i < node.aggregates.size(); ++i) {
    const auto& call = node.aggregates[i];
    if (i > 0) aggregates += ", ";
    aggregates += call.function + "(";
    for (const auto& arg : call.args) {
      aggregates += arg->ToString(&input) + " " + arg->type->ToString();
    }
    aggregates += ")";
    if (call.filter != nullptr) aggregates += " filter " + call.filter->ToString(&input);
  }
  parts.emplace_back("aggregates", aggregates);
  if (node.type == NodeType::kWindowAggregate) {
    parts.emplace_back("window", "tumble(" + input.field(node.window.time_column)->name() +
                                     ", size " + std::to_string(node.window.size_ms) +
                                     " ms, offset " + std::to_string(node.window.offset_ms) +
                                     " ms)");
  }
  return parts;
}

namespace {

const PlanNode* Find(const Plan& plan, const std::string& id) {
  for (const auto& node : plan.nodes) {
    if (node.id == id) return &node;
  }
  return nullptr;
}

constexpr char kRemedy[] =
    "; give the changed query another job name, or SET 'execution.restart' = 'fresh' to drop "
    "its state and rows";

}  // namespace

Status CheckCompatible(const Plan& before, const Plan& after) {
  const std::string job = "Job '" + after.job_name + "': ";
  if (before.max_parallelism != after.max_parallelism) {
    auto text = [](const std::optional<uint16_t>& value) {
      return value ? std::to_string(*value) : std::string("the default");
    };
    return MakeError(ErrorCode::kIncompatibleState,
                     job + "all operators: max parallelism was " + text(before.max_parallelism) +
                         ", the plan has " + text(after.max_parallelism) + kRemedy);
  }
  for (const auto& node : before.nodes) {
    const auto old_parts = Fingerprint(before, node);
    if (old_parts.empty()) continue;
    const PlanNode* now = Find(after, node.id);
    if (now == nullptr || now->type != node.type) {
      return MakeError(
          ErrorCode::kIncompatibleState,
          job + "operator '" + node.id + "' has state, but the plan no longer has it" + kRemedy);
    }
    const auto new_parts = Fingerprint(after, *now);
    for (size_t i = 0; i < old_parts.size(); ++i) {
      if (old_parts[i] == new_parts[i]) continue;
      return MakeError(ErrorCode::kIncompatibleState,
                       job + "operator '" + node.id + "': " + old_parts[i].first + " were " +
                           old_parts[i].second + ", the plan has " + new_parts[i].second + kRemedy);
    }
  }
  for (const auto& node : after.nodes) {
    if (Fingerprint(after, node).empty() || Find(before, node.id) != nullptr) continue;
    return MakeError(ErrorCode::kIncompatibleState, job + "operator '" + node.id +
                                                        "' is new and would miss what was read " +
                                                        "before" + kRemedy);
  }
  for (const auto& node : before.nodes) {
    if (node.type != NodeType::kSink) continue;
    const PlanNode* now = Find(after, node.id);
    if (now == nullptr || now->table != node.table) {
      return MakeError(ErrorCode::kIncompatibleState, job + "sink '" + node.id + "' wrote table '" +
                                                          node.table + "', the plan does not" +
                                                          kRemedy);
    }
  }
  return Status::OK();
}

}  // namespace marble::stream
