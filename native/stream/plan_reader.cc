// Reads lib/sql/plan/PLAN.md's JSON. Strict: nothing of a plan is ignored.
#include <arrow/api.h>
#include <simdjson.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/arrow_types.h"
#include "expr/expression_reader.h"
#include "expr/json_object.h"
#include "stream/plan.h"

namespace marble::stream {

namespace dom = simdjson::dom;
using expr::JsonObject;

namespace {

constexpr int64_t kMaxNodes = 10'000;

Result<std::shared_ptr<arrow::Schema>> ReadFields(JsonObject* node) {
  MARBLE_ASSIGN_OR_RETURN(auto elements, node->Array("fields"));
  std::vector<std::shared_ptr<arrow::Field>> fields;
  for (const auto& element : elements) {
    auto field = FieldFromJson(std::string(simdjson::minify(element)));
    if (!field.ok()) {
      return MakeError(CodeOf(field.status()),
                       "Plan: " + node->where() + ".fields: " + MessageOf(field.status()));
    }
    fields.push_back(*field);
  }
  return arrow::schema(std::move(fields));
}

std::map<std::string, std::string> ToMap(std::vector<std::pair<std::string, std::string>> pairs) {
  std::map<std::string, std::string> map;
  for (auto& [key, value] : pairs) map[key] = std::move(value);
  return map;
}

Status ReadSource(JsonObject* json, PlanNode* node) {
  auto& source = node->source;
  source.id = node->id;
  MARBLE_ASSIGN_OR_RETURN(source.table, json->String("table"));
  MARBLE_ASSIGN_OR_RETURN(source.connector, json->String("connector"));
  MARBLE_ASSIGN_OR_RETURN(auto options, json->StringMap("options"));
  source.options = ToMap(std::move(options));
  if (!json->IsNull("format")) {
    MARBLE_ASSIGN_OR_RETURN(auto format, json->Object("format"));
    MARBLE_ASSIGN_OR_RETURN(source.format, format.String("name"));
    MARBLE_ASSIGN_OR_RETURN(auto format_options, format.StringMap("options"));
    source.format_options = ToMap(std::move(format_options));
    MARBLE_RETURN_NOT_OK(format.AllRead());
  }
  MARBLE_ASSIGN_OR_RETURN(source.bounded, json->Bool("bounded"));
  MARBLE_ASSIGN_OR_RETURN(auto columns, json->Array("columns"));
  if (static_cast<int>(columns.size()) != node->schema->num_fields()) {
    return json->Error("'columns' has " + std::to_string(columns.size()) + " entries, 'fields' " +
                       std::to_string(node->schema->num_fields()));
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    MARBLE_ASSIGN_OR_RETURN(auto object, JsonObject::Make(columns[i], json->where() + ".columns[" +
                                                                          std::to_string(i) + "]"));
    SourceColumn column;
    column.field = node->schema->field(static_cast<int>(i));
    MARBLE_ASSIGN_OR_RETURN(auto kind, object.String("kind"));
    if (kind == "physical") {
      MARBLE_ASSIGN_OR_RETURN(column.name, object.String("name"));
    } else if (kind == "metadata") {
      column.kind = SourceColumn::Kind::kMetadata;
      MARBLE_ASSIGN_OR_RETURN(column.name, object.String("key"));
    } else {
      return object.Error("kind '" + kind + "' is not known");
    }
    MARBLE_RETURN_NOT_OK(object.AllRead());
    source.columns.push_back(std::move(column));
  }
  return Status::OK();
}

Status ReadWatermark(JsonObject* json, const arrow::Schema& input, PlanNode* node) {
  MARBLE_ASSIGN_OR_RETURN(int64_t column, json->Int("column"));
  if (column < 0 || column >= input.num_fields() ||
      input.field(static_cast<int>(column))->type()->id() != arrow::Type::TIMESTAMP) {
    return json->Error("'column' must be the index of a timestamp");
  }
  node->time_column = static_cast<int>(column);
  MARBLE_ASSIGN_OR_RETURN(auto expression, json->Element("expr"));
  MARBLE_ASSIGN_OR_RETURN(node->expression,
                          expr::ReadExpression(expression, input, json->where() + ".expr"));
  if (node->expression->type->id() != arrow::Type::TIMESTAMP) {
    return json->Error("'expr' must be a timestamp");
  }
  if (!json->IsNull("idleTimeoutMs")) {
    MARBLE_ASSIGN_OR_RETURN(node->idle_timeout_ms, json->Int("idleTimeoutMs"));
    if (*node->idle_timeout_ms < 0) return json->Error("'idleTimeoutMs' is negative");
  }
  if (!node->schema->Equals(input, false)) {
    return json->Error("'fields' differ from the input's");
  }
  return Status::OK();
}

Status ReadCalc(JsonObject* json, const arrow::Schema& input, PlanNode* node) {
  if (!json->IsNull("filter")) {
    MARBLE_ASSIGN_OR_RETURN(auto filter, json->Element("filter"));
    MARBLE_ASSIGN_OR_RETURN(node->filter,
                            expr::ReadExpression(filter, input, json->where() + ".filter"));
    if (node->filter->type->id() != arrow::Type::BOOL) {
      return json->Error("'filter' must be a boolean");
    }
  }
  MARBLE_ASSIGN_OR_RETURN(auto projections, json->Array("projections"));
  if (static_cast<int>(projections.size()) != node->schema->num_fields()) {
    return json->Error("'projections' and 'fields' differ in number");
  }
  for (size_t i = 0; i < projections.size(); ++i) {
    const auto where = json->where() + ".projections[" + std::to_string(i) + "]";
    MARBLE_ASSIGN_OR_RETURN(auto read, expr::ReadExpression(projections[i], input, where));
    const auto& field = node->schema->field(static_cast<int>(i));
    if (!read->type->Equals(*field->type())) {
      return MakeError(ErrorCode::kPlan, "Plan: " + where + " is " + read->type->ToString() +
                                             ", field '" + field->name() + "' is " +
                                             field->type()->ToString());
    }
    node->projections.push_back(std::move(read));
  }
  return Status::OK();
}

Status ReadAggregate(JsonObject* json, const arrow::Schema& input, PlanNode* node) {
  size_t window_fields = 0;
  if (node->type == NodeType::kWindowAggregate) {
    MARBLE_ASSIGN_OR_RETURN(auto window, json->Object("window"));
    MARBLE_ASSIGN_OR_RETURN(auto kind, window.String("kind"));
    if (kind != "tumble") {
      return MakeError(ErrorCode::kNotSupported,
                       "Plan: " + window.where() + ": window '" + kind + "' is not supported");
    }
    MARBLE_ASSIGN_OR_RETURN(int64_t column, window.Int("timeColumn"));
    if (column < 0 || column >= input.num_fields() ||
        input.field(static_cast<int>(column))->type()->id() != arrow::Type::TIMESTAMP) {
      return window.Error("'timeColumn' must be the index of a timestamp");
    }
    node->window.time_column = static_cast<int>(column);
    MARBLE_ASSIGN_OR_RETURN(node->window.size_ms, window.Int("sizeMs"));
    MARBLE_ASSIGN_OR_RETURN(node->window.offset_ms, window.Int("offsetMs"));
    if (node->window.size_ms <= 0) return window.Error("'sizeMs' must be positive");
    MARBLE_RETURN_NOT_OK(window.AllRead());
    MARBLE_ASSIGN_OR_RETURN(node->window_columns, json->Strings("windowColumns"));
    for (const auto& name : node->window_columns) {
      if (name != "start" && name != "end" && name != "time") {
        return json->Error("window column '" + name + "' is not known");
      }
    }
    window_fields = node->window_columns.size();
  }
  MARBLE_ASSIGN_OR_RETURN(auto keys, json->Array("keys"));
  for (const auto& key : keys) {
    int64_t index;
    if (key.get(index) != simdjson::SUCCESS || index < 0 || index >= input.num_fields()) {
      return json->Error("'keys' must be indices of input columns");
    }
    node->keys.push_back(static_cast<int>(index));
  }
  MARBLE_ASSIGN_OR_RETURN(auto aggregates, json->Array("aggregates"));
  for (size_t i = 0; i < aggregates.size(); ++i) {
    const auto where = json->where() + ".aggregates[" + std::to_string(i) + "]";
    MARBLE_ASSIGN_OR_RETURN(auto object, JsonObject::Make(aggregates[i], where));
    AggregateCall call;
    MARBLE_ASSIGN_OR_RETURN(call.function, object.String("function"));
    MARBLE_ASSIGN_OR_RETURN(auto args, object.Array("args"));
    for (const auto& arg : args) {
      MARBLE_ASSIGN_OR_RETURN(auto read, expr::ReadExpression(arg, input, where + ".args"));
      call.args.push_back(std::move(read));
    }
    if (!object.IsNull("filter")) {
      MARBLE_ASSIGN_OR_RETURN(auto filter, object.Element("filter"));
      MARBLE_ASSIGN_OR_RETURN(call.filter, expr::ReadExpression(filter, input, where + ".filter"));
      if (call.filter->type->id() != arrow::Type::BOOL) {
        return object.Error("'filter' must be a boolean");
      }
    }
    MARBLE_ASSIGN_OR_RETURN(bool distinct, object.Bool("distinct"));
    if (distinct) {
      return MakeError(ErrorCode::kNotSupported,
                       "Plan: " + where + ": " + call.function + "(DISTINCT …) is not supported");
    }
    MARBLE_RETURN_NOT_OK(object.AllRead());
    node->aggregates.push_back(std::move(call));
  }
  const size_t fields = node->keys.size() + node->aggregates.size() + window_fields;
  if (static_cast<size_t>(node->schema->num_fields()) != fields) {
    return json->Error("'fields' must be keys, aggregates and window columns: " +
                       std::to_string(fields));
  }
  for (size_t i = 0; i < node->keys.size(); ++i) {
    if (!node->schema->field(static_cast<int>(i))
             ->type()
             ->Equals(*input.field(node->keys[i])->type())) {
      return json->Error("field " + std::to_string(i) + " has another type than its key");
    }
  }
  return Status::OK();
}

Status ReadSink(JsonObject* json, const PlanNode& input, PlanNode* node) {
  MARBLE_ASSIGN_OR_RETURN(node->table, json->String("table"));
  MARBLE_ASSIGN_OR_RETURN(node->connector, json->String("connector"));
  MARBLE_ASSIGN_OR_RETURN(auto options, json->StringMap("options"));
  if (node->connector != "marbledb" && node->connector != "collect") {
    return MakeError(ErrorCode::kNotSupported, "Plan: " + json->where() + ": sink connector '" +
                                                   node->connector + "' is not supported");
  }
  for (const auto& [name, value] : options) {
    if (name == "connector") continue;
    return json->Error("option '" + name + "' is not known to connector '" + node->connector + "'");
  }
  MARBLE_ASSIGN_OR_RETURN(node->primary_key, json->Strings("primaryKey"));
  for (const auto& name : node->primary_key) {
    if (node->schema->GetFieldIndex(name) < 0) {
      return json->Error("primary key column '" + name + "' is no field");
    }
  }
  MARBLE_ASSIGN_OR_RETURN(auto mode, json->String("mode"));
  if (mode != "append" && mode != "upsert") return json->Error("mode '" + mode + "' is not known");
  node->upsert = mode == "upsert";
  if (input.updating && !node->upsert && node->connector != "collect") {
    return json->Error("an updating input needs mode 'upsert' and a primary key");
  }
  if (node->schema->num_fields() != input.schema->num_fields()) {
    return json->Error("'fields' and the input differ in number");
  }
  for (int i = 0; i < node->schema->num_fields(); ++i) {
    if (!node->schema->field(i)->type()->Equals(*input.schema->field(i)->type())) {
      return json->Error("column '" + node->schema->field(i)->name() + "' is " +
                         node->schema->field(i)->type()->ToString() + ", its input is " +
                         input.schema->field(i)->type()->ToString());
    }
  }
  return Status::OK();
}

Result<NodeType> TypeOf(const std::string& name, const JsonObject& json) {
  for (auto type : {NodeType::kSource, NodeType::kWatermark, NodeType::kCalc,
                    NodeType::kWindowAggregate, NodeType::kGroupAggregate, NodeType::kSink}) {
    if (name == NodeTypeName(type)) return type;
  }
  return json.Error("node type '" + name + "' is not known to this runtime");
}

Status CheckUpdating(const JsonObject& json, const PlanNode& input, PlanNode* node) {
  node->updating = input.updating || node->type == NodeType::kGroupAggregate;
  if (!input.updating) return Status::OK();
  if (node->type == NodeType::kWindowAggregate || node->type == NodeType::kGroupAggregate ||
      node->type == NodeType::kWatermark) {
    return MakeError(ErrorCode::kNotSupported, "Plan: " + json.where() + ": " +
                                                   std::string(NodeTypeName(node->type)) +
                                                   " over an updating input is not supported");
  }
  return Status::OK();
}

Status ReadNode(dom::element element, size_t index, Plan* plan,
                std::unordered_map<std::string, int>* ids) {
  MARBLE_ASSIGN_OR_RETURN(auto json,
                          JsonObject::Make(element, "nodes[" + std::to_string(index) + "]"));
  PlanNode node;
  MARBLE_ASSIGN_OR_RETURN(node.id, json.String("id"));
  MARBLE_ASSIGN_OR_RETURN(json, JsonObject::Make(element, "node '" + node.id + "'"));
  MARBLE_RETURN_NOT_OK(json.Element("id").status());
  MARBLE_ASSIGN_OR_RETURN(auto type, json.String("type"));
  MARBLE_ASSIGN_OR_RETURN(node.type, TypeOf(type, json));
  MARBLE_ASSIGN_OR_RETURN(node.schema, ReadFields(&json));
  const PlanNode* input = nullptr;
  if (node.type != NodeType::kSource) {
    MARBLE_ASSIGN_OR_RETURN(auto name, json.String("input"));
    const auto found = ids->find(name);
    if (found == ids->end()) {
      return json.Error("input '" + name + "' is no earlier node");
    }
    node.input = found->second;
    input = &plan->nodes[static_cast<size_t>(node.input)];
    if (input->type == NodeType::kSink) return json.Error("a sink feeds nothing");
    MARBLE_RETURN_NOT_OK(CheckUpdating(json, *input, &node));
  }
  switch (node.type) {
    case NodeType::kSource:
      MARBLE_RETURN_NOT_OK(ReadSource(&json, &node));
      break;
    case NodeType::kWatermark:
      MARBLE_RETURN_NOT_OK(ReadWatermark(&json, *input->schema, &node));
      break;
    case NodeType::kCalc:
      MARBLE_RETURN_NOT_OK(ReadCalc(&json, *input->schema, &node));
      break;
    case NodeType::kWindowAggregate:
    case NodeType::kGroupAggregate:
      MARBLE_RETURN_NOT_OK(ReadAggregate(&json, *input->schema, &node));
      break;
    case NodeType::kSink:
      MARBLE_RETURN_NOT_OK(ReadSink(&json, *input, &node));
      break;
  }
  MARBLE_RETURN_NOT_OK(json.AllRead());
  if (!ids->emplace(node.id, static_cast<int>(plan->nodes.size())).second) {
    return json.Error("the id is used twice");
  }
  plan->nodes.push_back(std::move(node));
  return Status::OK();
}

Status CheckShape(const Plan& plan) {
  std::vector<int> readers(plan.nodes.size(), 0);
  bool collect = false, store = false;
  for (const auto& node : plan.nodes) {
    if (node.input >= 0) ++readers[static_cast<size_t>(node.input)];
    if (node.type == NodeType::kSink) {
      (node.connector == "collect" ? collect : store) = true;
    }
  }
  if (plan.nodes.empty()) return MakeError(ErrorCode::kPlan, "Plan: 'nodes' is empty");
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    if (plan.nodes[i].type != NodeType::kSink && readers[i] == 0) {
      return MakeError(ErrorCode::kPlan, "Plan: node '" + plan.nodes[i].id + "' feeds nothing");
    }
  }
  if (collect && store) {
    return MakeError(ErrorCode::kNotSupported, "Plan: a job cannot both collect and write tables");
  }
  return Status::OK();
}

}  // namespace

Result<Plan> ReadPlan(std::string_view json) {
  dom::parser parser;
  dom::element element;
  const auto error = parser.parse(json.data(), json.size()).get(element);
  if (error != simdjson::SUCCESS) {
    return MakeError(ErrorCode::kPlan,
                     std::string("Plan: not JSON: ") + simdjson::error_message(error));
  }
  MARBLE_ASSIGN_OR_RETURN(auto document, JsonObject::Make(element, "document"));
  MARBLE_ASSIGN_OR_RETURN(int64_t version, document.Int("version"));
  if (version != 1) {
    return MakeError(ErrorCode::kPlan, "Plan: version " + std::to_string(version) +
                                           " is not known; this runtime reads version 1");
  }
  Plan plan;
  plan.text = std::string(json);
  MARBLE_ASSIGN_OR_RETURN(auto job, document.Object("job"));
  MARBLE_ASSIGN_OR_RETURN(plan.job_name, job.String("name"));
  if (plan.job_name.empty()) return job.Error("'name' is empty");
  MARBLE_RETURN_NOT_OK(job.AllRead());
  MARBLE_ASSIGN_OR_RETURN(auto settings, document.Object("settings"));
  if (settings.Has("epochMs")) {
    MARBLE_ASSIGN_OR_RETURN(plan.epoch_ms, settings.Int("epochMs"));
    if (*plan.epoch_ms < 1) return settings.Error("'epochMs' must be positive");
  }
  if (settings.Has("maxParallelism")) {
    MARBLE_ASSIGN_OR_RETURN(int64_t value, settings.Int("maxParallelism"));
    if (value < 1 || value > 32768) {
      return settings.Error("'maxParallelism' must be between 1 and 32768");
    }
    plan.max_parallelism = static_cast<uint16_t>(value);
  }
  MARBLE_RETURN_NOT_OK(settings.AllRead());
  MARBLE_ASSIGN_OR_RETURN(auto nodes, document.Array("nodes"));
  if (static_cast<int64_t>(nodes.size()) > kMaxNodes) {
    return document.Error("too many nodes: " + std::to_string(nodes.size()));
  }
  MARBLE_RETURN_NOT_OK(document.AllRead());
  std::unordered_map<std::string, int> ids;
  plan.nodes.reserve(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    MARBLE_RETURN_NOT_OK(ReadNode(nodes[i], i, &plan, &ids));
  }
  MARBLE_RETURN_NOT_OK(CheckShape(plan));
  return plan;
}

}  // namespace marble::stream
