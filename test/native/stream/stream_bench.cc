// Prints what the runtime costs without a source: rows/s through calc (TO_TIMESTAMP, CAST),
// watermark and window aggregate on one core, and nanoseconds per changed group of a commit.
#include <arrow/api.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "state/keyed_table.h"
#include "stream/graph.h"

namespace marble::stream {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string ReadFixture() {
  std::ifstream in(std::string(MARBLE_SOURCE_DIR) + "/test/fixtures/plans/flights.json");
  std::stringstream text;
  text << in.rdbuf();
  std::string plan = text.str();
  const auto at = plan.rfind("\"marbledb\"");
  if (at != std::string::npos) plan.replace(at, 10, "\"collect\"");
  return plan;
}

std::vector<std::shared_ptr<arrow::RecordBatch>> MakeRows(
    const std::shared_ptr<arrow::Schema>& schema, int64_t batches, uint32_t groups) {
  std::mt19937 random(1);
  std::vector<std::shared_ptr<arrow::RecordBatch>> made;
  for (int64_t b = 0; b < batches; ++b) {
    arrow::StringBuilder dates, origins;
    arrow::Int32Builder delays;
    for (int i = 0; i < 10'000; ++i) {
      char date[32];
      std::snprintf(date, sizeof(date), "2001/01/%02d %02d:%02d",
                    static_cast<int>(1 + b * 20 / batches), static_cast<int>(i / 417),
                    static_cast<int>(i % 60));
      (void)dates.Append(date);
      (void)delays.Append(static_cast<int32_t>(random() % 100));
      (void)origins.Append("key" + std::to_string(random() % groups));
    }
    made.push_back(arrow::RecordBatch::Make(
        schema, 10'000, {*dates.Finish(), *delays.Finish(), *origins.Finish()}));
  }
  return made;
}

Status Pipeline() {
  MARBLE_ASSIGN_OR_RETURN(auto plan, ReadPlan(ReadFixture()));
  for (uint32_t groups : {10u, 10'000u, 1'000'000u}) {
    GraphOptions options;
    options.results = std::make_shared<ResultQueue>();
    MARBLE_ASSIGN_OR_RETURN(auto graph, Graph::Make(plan, options));
    auto& source = graph->sources()[0];
    const auto batches = MakeRows(plan.nodes[0].schema, 200, groups);
    MARBLE_RETURN_NOT_OK(source.watermark->UpdatePartitions({PartitionStatus{}}));
    const double start = Seconds();
    int64_t rows = 0;
    for (const auto& batch : batches) {
      Morsel morsel;
      morsel.rows = batch;
      rows += batch->num_rows();
      MARBLE_RETURN_NOT_OK(source.entry->Process(morsel));
      while (true) {
        MARBLE_ASSIGN_OR_RETURN(auto popped, options.results->Pop(std::chrono::milliseconds(0)));
        if (!popped || *popped == nullptr) break;
      }
    }
    const double seconds = Seconds() - start;
    std::printf("pipeline, %u keys: %.2f M rows/s", groups, rows / seconds / 1e6);
    for (size_t i = 0; i < plan.nodes.size(); ++i) {
      std::printf(" | %s %.0f ns", plan.nodes[i].id.c_str(),
                  graph->operators()[i]->busy_micros() * 1e3 / static_cast<double>(rows));
    }
    std::printf("\n");
  }
  return Status::OK();
}

Status Commits() {
  for (int64_t groups : {1'000, 100'000, 1'000'000}) {
    state::KeyedTableOptions options;
    options.windowed = true;
    options.keys = {arrow::field("origin", arrow::utf8())};
    options.accumulators = {
        arrow::field("count", arrow::int64(), false), arrow::field("sum", arrow::float64(), false),
        arrow::field("n", arrow::int64(), false), arrow::field("max", arrow::int64())};
    MARBLE_ASSIGN_OR_RETURN(auto table, state::KeyedTable::Make(options));
    arrow::StringBuilder keys;
    std::vector<int64_t> ends(static_cast<size_t>(groups), 86'400'000);
    for (int64_t i = 0; i < groups; ++i) {
      MARBLE_RETURN_NOT_OK(keys.Append("key" + std::to_string(i)));
    }
    MARBLE_ASSIGN_OR_RETURN(auto array, keys.Finish());
    auto batch = arrow::RecordBatch::Make(arrow::schema(options.keys), groups, {array});
    double best_lookup = 1e9, best_collect = 1e9;
    for (int round = 0; round < 5; ++round) {
      std::vector<state::GroupId> found, created;
      double start = Seconds();
      MARBLE_RETURN_NOT_OK(table->Lookup(*batch, ends.data(), &found, &created));
      if (round > 0) best_lookup = std::min(best_lookup, Seconds() - start);
      start = Seconds();
      MARBLE_RETURN_NOT_OK(table->CollectDirty().status());
      best_collect = std::min(best_collect, Seconds() - start);
    }
    std::printf("commit of %ld dirty groups: %.1f ns a group; lookup %.1f ns a row\n",
                static_cast<long>(groups), best_collect * 1e9 / static_cast<double>(groups),
                best_lookup * 1e9 / static_cast<double>(groups));
  }
  return Status::OK();
}

/// The same through the store: one WriteBatch an epoch.
Status StoredCommits() {
  char name[] = "/tmp/marble-bench-XXXXXX";
  const std::string dir = mkdtemp(name);
  MARBLE_ASSIGN_OR_RETURN(auto db, lsm::DB::Open(dir + "/db", {}));
  state::KeyedTableOptions options;
  options.keys = {arrow::field("origin", arrow::utf8())};
  options.accumulators = {arrow::field("count", arrow::int64(), false),
                          arrow::field("sum", arrow::float64(), false)};
  MARBLE_ASSIGN_OR_RETURN(auto table, state::KeyedTable::Make(options));
  lsm::TableDescriptor descriptor;
  descriptor.name = "state.bench.agg";
  descriptor.schema = table->state_schema();
  descriptor.key_columns = table->state_key_columns();
  descriptor.options.lazy_index = true;
  descriptor.options.point_index = false;
  MARBLE_ASSIGN_OR_RETURN(auto handle, db->CreateTable(descriptor, false));
  const int64_t groups = 100'000;
  arrow::StringBuilder keys;
  for (int64_t i = 0; i < groups; ++i) {
    MARBLE_RETURN_NOT_OK(keys.Append("key" + std::to_string(i)));
  }
  MARBLE_ASSIGN_OR_RETURN(auto array, keys.Finish());
  auto batch = arrow::RecordBatch::Make(arrow::schema(options.keys), groups, {array});
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    std::vector<state::GroupId> found, created;
    MARBLE_RETURN_NOT_OK(table->Lookup(*batch, nullptr, &found, &created));
    const double start = Seconds();
    EpochWrites writes;
    MARBLE_ASSIGN_OR_RETURN(auto dirty, table->CollectDirty());
    writes.Insert(handle, std::move(dirty));
    MARBLE_ASSIGN_OR_RETURN(auto write, writes.Build());
    MARBLE_RETURN_NOT_OK(db->Write(std::move(write), {}).status());
    best = std::min(best, Seconds() - start);
  }
  std::printf("stored commit of %ld dirty groups: %.1f ns a group (must be at most 60)\n",
              static_cast<long>(groups), best * 1e9 / static_cast<double>(groups));
  MARBLE_RETURN_NOT_OK(db->Close());
  std::filesystem::remove_all(dir);
  return Status::OK();
}

}  // namespace
}  // namespace marble::stream

int main() {
  for (auto run :
       {marble::stream::Pipeline, marble::stream::Commits, marble::stream::StoredCommits}) {
    const auto status = run();
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.ToString().c_str());
      return 1;
    }
  }
  return 0;
}
