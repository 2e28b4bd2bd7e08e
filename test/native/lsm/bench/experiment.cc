#include "experiment.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "meter.h"
#include "workload.h"

namespace marble::lsm::bench {

struct Experiment::Line {
  Work work;
  const char* name;
  Unit unit = Unit::kPerSecond;
  bool writes = false;
  std::vector<Bar> bars = {};
};

namespace {

/// Fills of fewer keys than this take well under a second: they are repeated.
constexpr uint64_t kShortFill = 1'000'000;
constexpr int kOpens = 3;
constexpr uint64_t kLatencyKeys = 100'000;  // for which the bars of the latencies are set

Bar AtLeast(double per_second, const char* text) { return {Bar::Of::kRate, per_second, text}; }

std::string Short(double number, Unit unit) {
  char text[32];
  if (unit == Unit::kMilliseconds) {
    std::snprintf(text, sizeof(text), "%.2f ms", number);
  } else if (unit == Unit::kLatency) {
    std::snprintf(text, sizeof(text), "%.0f ns", number);
  } else {
    std::snprintf(text, sizeof(text), "%.0fk/s", number / 1e3);
  }
  return text;
}

}  // namespace

const std::vector<Experiment::Line>& Experiment::Fills() {
  static const auto* const lines = new std::vector<Line>{
      {Work::kFillSequential,
       "fill sequential",
       Unit::kPerSecond,
       true,
       {AtLeast(445e3, ">= 445k/s")}},
      {Work::kFillBatches, "fill random, batches of 100", Unit::kPerSecond, true},
      {Work::kFillRandom, "fill random", Unit::kPerSecond, true},
      {Work::kOverwrite, "overwrite", Unit::kPerSecond, true},
      {Work::kMix,
       "mix, 90 % reads 10 % puts",
       Unit::kPerSecond,
       true,
       {AtLeast(1.4e6, ">= 1.4M/s")}},
      {Work::kReadWhileWriting, "read while writing", Unit::kPerSecond, true}};
  return *lines;
}

const std::vector<Experiment::Line>& Experiment::Reads() {
  static const auto* const lines = new std::vector<Line>{
      {Work::kReadRandom, "read random"},
      {Work::kReadHot,
       "read hot (1,000 keys)",
       Unit::kPerSecond,
       false,
       {AtLeast(4.3e6, ">= 4.3M/s")}},
      {Work::kReadMissing, "read missing"},
      {Work::kReadBatched, "batched read of 100"},
      {Work::kSeek, "seek + 10 rows"},
      {Work::kScan, "scan all (rows)", Unit::kPerSecond, false, {AtLeast(2e6, ">= 2M rows/s")}},
      {Work::kLatency, "read random, latency", Unit::kLatency}};
  return *lines;
}

Experiment::Experiment(uint64_t keys, const ExperimentOptions& options, Sides* sides,
                       const WorkDirectory* directory, Results* results, Progress progress)
    : options_(options),
      sides_(*sides),
      directory_(*directory),
      results_(*results),
      progress_(std::move(progress)),
      rows_(keys, options.key_shape),
      model_(&rows_),
      dirs_(sides_.size()),
      wrong_(sides_.size()) {}

Status Experiment::Run() {
  for (round_ = 0; round_ < options_.rounds; ++round_) MARBLE_RETURN_NOT_OK(RunRound(round_));
  return Status::OK();
}

Status Experiment::RunRound(int round) {
  const Line& sequential = Fills()[0];
  const Line& batches = Fills()[1];
  const Line& random = Fills()[2];
  const Line& overwrite = Fills()[3];
  const Line& mix = Fills()[4];
  const Line& beside = Fills()[5];
  const int repeats = rows_.count() < kShortFill ? options_.short_fill_repeats : 1;
  for (int i = 0; i < repeats; ++i) {
    MARBLE_RETURN_NOT_OK(RunFill(sequential));
    MARBLE_RETURN_NOT_OK(RunFill(batches));
    // Once it fills the main database.
    if (i > 0) MARBLE_RETURN_NOT_OK(RunFill(random));
  }

  MARBLE_RETURN_NOT_OK(OpenAll("main"));
  MARBLE_RETURN_NOT_OK(RunLine(random, ""));
  MARBLE_RETURN_NOT_OK(RunLine(overwrite, ""));
  MARBLE_RETURN_NOT_OK(RunReads("as written"));
  MARBLE_RETURN_NOT_OK(SettleAll("settled"));
  MARBLE_RETURN_NOT_OK(RunReads("settled"));
  if (Selected(mix)) {
    MARBLE_RETURN_NOT_OK(RunLine(mix, ""));
    MARBLE_RETURN_NOT_OK(VerifyAll("after the mix"));
    MARBLE_RETURN_NOT_OK(RunOpens("open, with the log of the mix"));
  }
  if (Selected(beside)) {
    MARBLE_RETURN_NOT_OK(VerifyAll("opened again"));
    MARBLE_RETURN_NOT_OK(RunLine(beside, ""));
    MARBLE_RETURN_NOT_OK(VerifyAll("after reading while writing"));
  }
  MARBLE_RETURN_NOT_OK(SettleAll("in the end"));
  MARBLE_RETURN_NOT_OK(RunOpens("open, settled"));
  MARBLE_RETURN_NOT_OK(VerifyAll("in the end"));
  return CloseAll();
}

Status Experiment::RunFill(const Line& line) {
  if (!Selected(line)) return Status::OK();
  MARBLE_RETURN_NOT_OK(OpenAll("fill"));
  MARBLE_RETURN_NOT_OK(RunLine(line, ""));
  MARBLE_RETURN_NOT_OK(VerifyAll(line.name));
  return CloseAll();
}

Status Experiment::RunReads(const std::string& state) {
  NoteShapes(state);
  MARBLE_RETURN_NOT_OK(VerifyAll(state));
  for (const Line& line : Reads()) {
    if (Selected(line, state)) MARBLE_RETURN_NOT_OK(RunLine(line, state));
  }
  return Status::OK();
}

Assignment Experiment::AssignmentOf(const Line& line) {
  Assignment assignment;
  assignment.rows = &rows_;
  assignment.operations = options_.operations > 0
                              ? options_.operations
                              : std::clamp<uint64_t>(rows_.count(), 1'000'000, 2'000'000);
  assignment.seed = (static_cast<uint64_t>(line.work) + 1) * 1000 + static_cast<uint64_t>(round_);
  switch (line.work) {
    case Work::kFillBatches:
    case Work::kFillRandom:
    case Work::kOverwrite:
      assignment.order = rows_.Shuffled(assignment.seed);
      break;
    case Work::kReadHot:
      assignment.operations *= 2;  // it is the shortest
      break;
    case Work::kSeek:
      assignment.operations /= 10;
      break;
    default:
      break;
  }
  if (line.writes) assignment.version = version_++;
  return assignment;
}

Status Experiment::RunLine(const Line& line, const std::string& state) {
  LineResult* result = results_.Line(rows_.count(), state, line.name);
  result->unit = line.unit;
  result->writes = line.writes;
  result->bars = line.bars;
  if (line.work == Work::kLatency && rows_.count() == kLatencyKeys) {
    result->bars = {{Bar::Of::kMean, 720, "mean <= 0.72 us"}, {Bar::Of::kP99, 3000, "p99 <= 3 us"}};
  }
  const Assignment assignment = AssignmentOf(line);
  const bool beside = line.work == Work::kReadWhileWriting;
  const Outcome truth = beside ? RunReadWhileWriting(assignment, &model_, /*with_reader=*/false)
                               : RunWork(line.work, assignment, &model_);
  std::string text = "round " + std::to_string(round_ + 1) + ", " + std::to_string(rows_.count()) +
                     " keys: " + (state.empty() ? "" : state + ": ") + line.name;
  for (const size_t side : Order()) {
    MARBLE_ASSIGN_OR_RETURN(Sample sample, Measure(line, side, assignment));
    const std::string name = sides_[side]->name();
    if (beside ? sample.outcome.wrong > 0 : !sample.outcome.Agrees(truth)) {
      result->void_because = name + " has answered otherwise than what was written";
    } else if (!wrong_[side].empty()) {
      result->void_because = wrong_[side];
    }
    text += ", " + name + " " + Short(result->NumberOf(sample), line.unit);
    result->samples[side].push_back(std::move(sample));
  }
  if (progress_) progress_(text);
  if (beside) {
    // The same samples, seen from the writer.
    LineResult* writer = results_.Line(rows_.count(), state, "write while reading");
    writer->writes = true;
    writer->void_because = result->void_because;
    for (size_t side = 0; side < sides_.size(); ++side) {
      writer->samples[side].push_back(result->samples[side].back());
      Outcome& outcome = writer->samples[side].back().outcome;
      outcome.operations = outcome.writes;
    }
  }
  return Status::OK();
}

Result<Sample> Experiment::Measure(const Line& line, size_t side, const Assignment& assignment) {
  StoreSide* store = sides_[side].get();
  Sample best;
  for (int attempt = 0;; ++attempt) {
    Sample sample;
    const Usage before = Usage::Now();
    sample.outcome = RunWork(line.work, assignment, store);
    sample.cost = Cost::Between(before, Usage::Now());
    MARBLE_RETURN_NOT_OK(store->error());
    if (line.writes) {
      const Usage end = Usage::Now();
      MARBLE_RETURN_NOT_OK(options_.wait_until_quiet(store));
      const Usage quiet = Usage::Now();
      sample.background_seconds = quiet.seconds - end.seconds;
      sample.written_bytes = quiet.written_bytes - before.written_bytes;
      sample.cancelled_bytes = quiet.cancelled_bytes - before.cancelled_bytes;
      directory_.SyncFileSystem();
      return sample;  // it cannot be done again
    }
    if (attempt == 0 || sample.cost.others < best.cost.others) best = std::move(sample);
    if (best.cost.others <= options_.noisy_cores || attempt >= options_.retries) return best;
  }
}

Status Experiment::RunOpens(const std::string& name) {
  const Line line{Work::kReadRandom, name.c_str(), Unit::kMilliseconds};
  if (!Selected(line)) return Status::OK();
  LineResult* result = results_.Line(rows_.count(), "", name);
  result->unit = line.unit;
  // With a log to replay only the first open of a round has one.
  const int opens = name == "open, settled" ? kOpens : 1;
  for (int i = 0; i < opens; ++i) {
    std::string text = "round " + std::to_string(round_ + 1) + ", " +
                       std::to_string(rows_.count()) + " keys: " + name;
    for (const size_t side : Order()) {
      StoreSide* store = sides_[side].get();
      MARBLE_RETURN_NOT_OK(store->Close());
      RowBuffer buffer;
      const std::string_view key = rows_.Key(rows_.count() / 2, &buffer);
      Sample sample;
      Outcome truth;
      if (!model_.Get(key, &truth.touched)) ++truth.misses;
      const Usage before = Usage::Now();
      MARBLE_RETURN_NOT_OK(store->Open(dirs_[side]));
      if (!store->Get(key, &sample.outcome.touched)) ++sample.outcome.misses;
      sample.cost = Cost::Between(before, Usage::Now());
      sample.outcome.operations = 1;
      MARBLE_RETURN_NOT_OK(store->error());
      MARBLE_RETURN_NOT_OK(options_.wait_until_quiet(store));
      if (!sample.outcome.Agrees(truth)) {
        result->void_because = store->name() + " has answered otherwise than what was written";
      }
      text += ", " + store->name() + " " + Short(result->NumberOf(sample), line.unit);
      result->samples[side].push_back(std::move(sample));
    }
    if (progress_) progress_(text);
  }
  return Status::OK();
}

Status Experiment::OpenAll(const std::string& name) {
  version_ = 0;
  MARBLE_RETURN_NOT_OK(model_.Open(""));
  for (size_t side = 0; side < sides_.size(); ++side) {
    MARBLE_ASSIGN_OR_RETURN(dirs_[side], directory_.Fresh(sides_[side]->name() + "-" + name));
    MARBLE_RETURN_NOT_OK(sides_[side]->Open(dirs_[side]));
    wrong_[side].clear();
    MARBLE_RETURN_NOT_OK(options_.wait_until_quiet(sides_[side].get()));
  }
  return Status::OK();
}

Status Experiment::CloseAll() {
  for (size_t side = 0; side < sides_.size(); ++side) {
    MARBLE_RETURN_NOT_OK(sides_[side]->Close());
    directory_.Remove(dirs_[side].substr(dirs_[side].rfind('/') + 1));
  }
  return Status::OK();
}

Status Experiment::SettleAll(const std::string& state) {
  ShapeResult* shape = results_.Shape(rows_.count(), state);
  for (const size_t side : Order()) {
    const Usage before = Usage::Now();
    MARBLE_RETURN_NOT_OK(sides_[side]->Settle());
    const Usage settled = Usage::Now();
    MARBLE_RETURN_NOT_OK(options_.wait_until_quiet(sides_[side].get()));
    shape->settle_seconds[side].push_back(settled.seconds - before.seconds);
    shape->settle_written[side].push_back(
        static_cast<double>(Usage::Now().written_bytes - before.written_bytes));
    directory_.SyncFileSystem();
  }
  NoteShapes(state);
  return Status::OK();
}

Status Experiment::VerifyAll(const std::string& state) {
  for (size_t side = 0; side < sides_.size(); ++side) {
    const Status compared = model_.Compare(sides_[side].get());
    MARBLE_RETURN_NOT_OK(sides_[side]->error());
    if (compared.ok() || !wrong_[side].empty()) continue;
    wrong_[side] = MessageOf(compared);
    results_.failures.push_back(std::to_string(rows_.count()) + " keys, round " +
                                std::to_string(round_ + 1) + ", " + state + ": " + wrong_[side]);
  }
  return Status::OK();
}

void Experiment::NoteShapes(const std::string& state) {
  ShapeResult* shape = results_.Shape(rows_.count(), state);
  for (size_t side = 0; side < sides_.size(); ++side) {
    shape->shapes[side] = sides_[side]->Shape();
    shape->use[side] = WorkDirectory::UseOf(dirs_[side]);
  }
}

bool Experiment::Selected(const Line& line, const std::string& state) const {
  if (options_.lines.empty()) return true;
  const std::string name = (state.empty() ? "" : state + ": ") + line.name;
  return std::any_of(options_.lines.begin(), options_.lines.end(),
                     [&](const std::string& part) { return name.find(part) != std::string::npos; });
}

std::vector<size_t> Experiment::Order() const {
  std::vector<size_t> order;
  for (size_t side = 0; side < sides_.size(); ++side) order.push_back(side);
  if (round_ % 2 == 1) std::reverse(order.begin(), order.end());
  return order;
}

}  // namespace marble::lsm::bench
