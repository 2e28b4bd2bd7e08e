// A JSON plan (lib/sql/plan/PLAN.md, version 1) as C++: nodes in topological order, checked.
// Immutable after reading.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "expr/expression.h"
#include "stream/source.h"

namespace marble::stream {

struct AggregateCall {
  std::string function;  // count, sum, avg, min, max
  std::vector<expr::ExpressionPtr> args;
  expr::ExpressionPtr filter;  // null: none
};

struct TumbleWindow {
  int time_column = 0;
  int64_t size_ms = 0;
  int64_t offset_ms = 0;
};

enum class NodeType { kSource, kWatermark, kCalc, kWindowAggregate, kGroupAggregate, kSink };
std::string_view NodeTypeName(NodeType type);

struct PlanNode {
  std::string id;
  NodeType type = NodeType::kSource;
  std::shared_ptr<arrow::Schema> schema;  // its output
  int input = -1;                         // index of the node that feeds it
  bool updating = false;                  // output is an upsert stream

  SourceSpec source;

  int time_column = -1;  // watermark
  expr::ExpressionPtr expression;
  std::optional<int64_t> idle_timeout_ms;

  expr::ExpressionPtr filter;  // calc
  std::vector<expr::ExpressionPtr> projections;

  TumbleWindow window;  // aggregates
  std::vector<int> keys;
  std::vector<AggregateCall> aggregates;
  std::vector<std::string> window_columns;

  std::string table;  // sink
  std::string connector;
  std::vector<std::string> primary_key;
  bool upsert = false;
};

struct Plan {
  std::string text;
  std::string job_name;
  std::optional<int64_t> epoch_ms;
  std::optional<uint16_t> max_parallelism;
  std::vector<PlanNode> nodes;

  /// True when every source is.
  bool bounded() const;
  /// True when results go to a collect sink: a query, which keeps nothing in the store.
  bool collects() const;
};

/// Read and check a plan. kPlan names the node and the key; kNotSupported what cannot run yet.
Result<Plan> ReadPlan(std::string_view json);

/// What the state of a stateful node depends on, as text: keys, aggregates, window, types, all
/// by name. Empty for nodes without state.
std::vector<std::pair<std::string, std::string>> Fingerprint(const Plan& plan,
                                                             const PlanNode& node);

/// Check that a job with `before`'s state can go on with `after`: kIncompatibleState names the
/// operator and what differs.
Status CheckCompatible(const Plan& before, const Plan& after);

}  // namespace marble::stream
