#include "stream/graph.h"

#include <arrow/api.h>

#include "stream/operators/calc_operator.h"
#include "stream/operators/collect_sink.h"
#include "stream/operators/group_aggregate.h"
#include "stream/operators/table_sink.h"
#include "stream/operators/window_aggregate.h"

namespace marble::stream {

namespace {

/// Passes a source's rows on to everything that reads it.
class SourceOutput : public Operator {
 protected:
  Status ProcessRows(const Morsel& morsel) override { return Emit(morsel); }
};

Result<std::unique_ptr<Operator>> MakeOperator(const Plan& plan, const PlanNode& node,
                                               const GraphOptions& options) {
  const PlanNode* input = node.input < 0 ? nullptr : &plan.nodes[static_cast<size_t>(node.input)];
  // The plan reader has checked it: only sources have no input.
  MARBLE_CHECK(input != nullptr || node.type == NodeType::kSource);
  switch (node.type) {
    case NodeType::kSource:
      return std::make_unique<SourceOutput>();
    case NodeType::kWatermark:
      return WatermarkOperator::Make(node, options.clock);
    case NodeType::kCalc:
      return CalcOperator::Make(node, options.clock);
    case NodeType::kWindowAggregate:
      return WindowAggregate::Make(node, *input->schema, options.max_parallelism, options.clock);
    case NodeType::kGroupAggregate:
      return GroupAggregate::Make(node, *input->schema, plan.collects() && plan.bounded(),
                                  options.max_parallelism, options.clock);
    case NodeType::kSink:
      break;
  }
  if (node.connector == "collect") return std::make_unique<CollectSink>(node, options.results);
  MARBLE_ASSIGN_OR_RETURN(auto table, options.find_table(node.table));
  return TableSink::Make(node, std::move(table));
}

}  // namespace

Result<std::unique_ptr<Graph>> Graph::Make(const Plan& plan, const GraphOptions& options) {
  std::unique_ptr<Graph> graph(new Graph(plan));
  std::vector<int> source_of(plan.nodes.size(), -1);  // index into sources_
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    const auto& node = plan.nodes[i];
    auto made = MakeOperator(plan, node, options);
    if (!made.ok()) {
      return MakeError(CodeOf(made.status()),
                       "Operator '" + node.id + "': " + MessageOf(made.status()));
    }
    Operator* op = made->get();
    graph->operators_.push_back(std::move(*made));
    if (node.type == NodeType::kSource) {
      source_of[i] = static_cast<int>(graph->sources_.size());
      graph->sources_.push_back({&node, op});
      continue;
    }
    const auto input = static_cast<size_t>(node.input);
    source_of[i] = source_of[input];
    graph->operators_[input]->AddOutput(op);
    if (node.type != NodeType::kWatermark) continue;
    auto& source = graph->sources_[static_cast<size_t>(source_of[i])];
    if (source.watermark != nullptr) {
      return MakeError(ErrorCode::kNotSupported, "Operator '" + node.id + "': source '" +
                                                     source.node->id + "' already has a watermark");
    }
    source.watermark = static_cast<WatermarkOperator*>(op);
  }
  return graph;
}

}  // namespace marble::stream
